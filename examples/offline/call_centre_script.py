"""What the models of the call centre say."""

from rxagents.llm import Call, Rule

from . import Body, asks, last, results, system

ROUTER = "You lead a conversation"


def diagnosed(body: Body) -> object:
    steps = [Call("look_up_customer", {"phone": "555-0100"}), Call("test_line")]
    done = len(results(body))
    return steps[done] if done < len(steps) else "I see the fault, Ann: it is at your house."


def planned(body: Body) -> object:
    return "A technician comes on Tuesday." if results(body) else Call("send_technician", {"day": "Tuesday"})


def sold(body: Body) -> object:
    if "faster" in last(body, "user"):
        return "Fibre 100 is six times as fast as your Basic 16."
    return "You have it from tomorrow on." if results(body) else Call("change_plan", {"plan": "Fibre 100"})


def routed(body: Body) -> object:
    """Who speaks next, by what was said last."""
    said = system(body).rstrip().rpartition("\n")[2]
    speaker = said.partition(": ")[0]
    if "- agent_id: technicians" not in system(body):
        choice = "field_service" if speaker == "diagnostics" else "diagnostics"
    elif speaker == "user":
        choice = "technicians"
    else:
        choice = "sales" if speaker == "customer" else "customer"
    return {"agent_id": choice, "reason": f"after {speaker}"}


SCRIPT = [
    Rule(asks("You test"), diagnosed),
    Rule(asks("You plan"), planned),
    Rule(asks("You sell"), sold),
    Rule(asks(ROUTER), routed),
]
