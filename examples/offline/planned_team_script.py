"""What the models of the planned team say."""

from rxagents.llm import Call, Rule

from . import Body, asks, last, results, system

DATE = "Saturday at six"


def planned(body: Body) -> object:
    missing = "no date" in system(body)
    task = f"Write it again, and say that it is on {DATE}." if missing else "Write the invitation."
    return {
        "plan": [
            {"agent_id": "writer", "instructions": task},
            {"agent_id": "reviewer", "instructions": "Review the invitation."},
        ]
    }


def written(body: Body) -> object:
    when = f" on {DATE}" if DATE in str(body["messages"]) else ""
    return f"Dear neighbours, come to our summer party{when}!"


def reviewed(body: Body) -> object:
    if results(body):
        return "Reviewed."
    dated = DATE in last(body, "assistant") or DATE in last(body, "user")
    return Call("review", {"approved": dated, "feedback": "" if dated else "There is no date in it."})


SCRIPT = [
    Rule(asks("You write"), written),
    Rule(asks("You review"), reviewed),
    Rule(lambda body: "agent_id" in system(body), planned),
]
