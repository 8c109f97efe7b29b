"""A turn that waits for approval is stored, restored, decided, and gone on with, in another process too."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rxagents import (
    Agent,
    ApprovalError,
    Chain,
    Conversation,
    InMemoryHistory,
    Loop,
    MarkdownHistory,
    OpenAILLM,
    Parallel,
    PendingCall,
    PlannedTeam,
    Sequence,
    SQLiteHistory,
    Team,
    Tool,
    Workflow,
    agent,
)
from rxagents.llm import Call, Reply, ScriptedLLM
from rxagents.testing import OpenAIServer, virtual

from .tills import Till

PAY = Call("pay", {"amount": 5}, "c1")
LOOK = Call("look", {}, "c2")
WAITING = PendingCall("c1", "pay", "bot", {"amount": 5})
CUT = "Error: the call was interrupted, and what it came to is not known."


def first(till: Till, **options: Any) -> Agent:
    return till.bot(Reply("Well. ", [PAY, LOOK]), **options)


def stopped(askable: Any, **options: Any) -> Workflow:
    """A workflow whose run has ended because it waits."""
    workflow = Workflow(askable, on_waiting="stop", **options)
    assert workflow.run("q") == "waiting"
    return workflow


def restored(workflow: Workflow) -> Conversation:
    """Its conversation as another process reads it."""
    return Conversation.from_dict(json.loads(json.dumps(workflow.conversation.to_dict())))


def lines(workflow: Workflow) -> list[tuple[str | None, str]]:
    return [(message.name or message.role, message.text) for message in workflow.conversation]


def steps(workflow: Workflow, at: int = -1) -> list[str]:
    return [step.text for step in workflow.conversation[at].steps if step.role == "tool"]


def variables(workflow: Workflow) -> dict[str, Any]:
    return {name: value for name, value in workflow.conversation.variables.items() if value is not None}


# -- stopping


def test_a_run_may_end_when_all_that_is_open_waits() -> None:
    till = Till()
    workflow = Workflow(first(till), on_waiting="stop")
    shown = list(workflow.run_stream("q"))
    assert [content["kind"] for mark, content in shown if mark == "state"] == ["approval"]
    assert [str(mark) for mark, _ in shown[-3:]] == ["interrupted", "end", "result"]
    assert shown[-1] == ("result", "waiting")
    assert workflow.waiting == (WAITING,)
    assert till.done == ["look"]
    (call, other) = workflow.conversation[-1].tool_calls
    assert (call.id, other.id) == ("c1", "c2")


@virtual
async def test_it_does_not_end_while_another_speaks_or_somebody_is_asked() -> None:
    async def later(call: PendingCall) -> None:
        await asyncio.sleep(3)

    async def slow(request: Any) -> Any:
        await asyncio.sleep(9)
        return "Slow."

    speaks = agent(slow, id="slow")
    workflow = Workflow(Parallel("both", [first(Till()), speaks]), approvals=later, on_waiting="stop")
    assert await workflow.arun("q") == "waiting"
    assert asyncio.get_running_loop().time() == 9
    assert lines(workflow) == [("user", "q"), ("bot", "Well. "), ("slow", "Slow.")]
    assert workflow.waiting == (WAITING,)


def test_a_call_that_somebody_decides_at_once_does_not_stop_it() -> None:
    till = Till()
    bot = till.bot([PAY], "Done.")
    assert Workflow(bot, approvals=lambda call: True, on_waiting="stop").run("q") == "done"
    assert till.done == ["pay 5"]


# -- going on


def test_the_same_workflow_goes_on() -> None:
    till = Till()
    workflow = stopped(till.bot(Reply("Well. ", [PAY, LOOK]), "Done."))
    workflow.approve("c1")
    assert workflow.waiting == ()
    result = workflow.run()
    assert (result, result.text) == ("done", "Well. Done.")
    assert till.done == ["look", "pay 5"]
    assert lines(workflow) == [("user", "q"), ("bot", "Well. Done.")]
    assert steps(workflow) == ["paid 5", "seen"]
    assert variables(workflow) == {}


def test_another_process_goes_on_as_if_it_had_never_stopped() -> None:
    kept = restored(stopped(first(Till())))
    till = Till()
    bot = till.bot("Done.")
    workflow = Workflow(bot, kept)
    assert workflow.waiting == (WAITING,)
    workflow.approve("c1")
    shown = list(workflow.run_stream())
    assert till.done == ["pay 5"]
    assert [content for mark, content in shown if mark == "function_result"] == [
        {"name": "pay", "result": "paid 5", "id": "c1"},
        {"name": "look", "result": "seen", "id": "c2"},
    ]
    assert shown[-1] == ("result", "done")

    at_once = Workflow(Till().bot(Reply("Well. ", [PAY, LOOK]), "Done."), approvals=lambda call: True)
    at_once.run("q")
    one, other = workflow.conversation, at_once.conversation
    assert [m.model_copy(update={"usage": None}) for m in one] == [
        m.model_copy(update={"usage": None}) for m in other
    ]
    assert one.metrics == other.metrics
    (request,) = bot.llm.requests
    assert [message["role"] for message in request.messages] == ["user", "assistant", "tool", "tool"]


def test_a_rejection_is_told_and_what_is_changed_is_run() -> None:
    till = Till()
    workflow = Workflow(till.bot("Pity."), restored(stopped(first(till))))
    workflow.reject("c1", "too dear")
    assert workflow.run().text == "Well. Pity."
    assert steps(workflow)[0].startswith("The call was rejected: too dear\n")
    assert till.done == ["look"]

    workflow = Workflow(till.bot("Done."), restored(stopped(first(till))))
    workflow.approve("c1", arguments={"amount": 1})
    workflow = Workflow(till.bot("Done."), restored(workflow))  # a decision is stored as well
    assert workflow.waiting == ()
    workflow.run()
    assert till.done == ["look", "look", "pay 1"]


@virtual
async def test_without_a_decision_it_waits_again() -> None:
    till = Till()
    before = Workflow(first(till), on_waiting="stop")
    assert await before.arun("q") == "waiting"
    workflow = Workflow(till.bot("Done."), restored(before))
    run = workflow.start()
    await asyncio.sleep(1)
    assert workflow.waiting == (WAITING,)
    workflow.approve("c1")
    assert await run == "done"
    assert till.done == ["look", "pay 5"]
    again = Workflow(first(till), restored(before), on_waiting="stop")
    assert await again.arun() == "waiting"
    assert lines(again) == [("user", "q"), ("bot", "Well. ")]
    assert again.waiting == (WAITING,)


@virtual
async def test_what_is_approved_while_its_run_begins_counts() -> None:
    till = Till()
    before = Workflow(first(till), on_waiting="stop")
    await before.arun("q")
    workflow = Workflow(till.bot("Done."), restored(before))
    run = workflow.start()
    workflow.approve("c1")
    with pytest.raises(ApprovalError):
        workflow.reject("c1")
    assert await run == "done"
    assert till.done == ["look", "pay 5"]


@virtual
async def test_a_run_that_was_cut_while_it_waited_is_gone_on_with() -> None:
    till = Till()
    workflow = Workflow(till.bot(Reply("Well. ", [PAY, LOOK]), "Done."))
    run = workflow.start("q")
    await asyncio.sleep(1)
    run.dispose()
    assert await run == "interrupted"
    assert workflow.waiting == (WAITING,)
    workflow.approve("c1")
    assert (await workflow.arun()).text == "Well. Done."
    assert till.done == ["look", "pay 5"]


def test_several_rounds_and_several_calls() -> None:
    till = Till()
    two = Reply("Then. ", [PAY, Call("pay", {"amount": 6}, "c3")])
    kept = restored(stopped(till.bot(Reply("Well. ", [LOOK]), two)))
    workflow = Workflow(till.bot(), kept, on_waiting="stop")
    assert [call.call_id for call in workflow.waiting] == ["c1", "c3"]
    workflow.approve("c3")
    assert workflow.run() == "waiting"
    assert till.done == ["look", "pay 6"]
    workflow = Workflow(till.bot("Done."), restored(workflow))
    assert workflow.waiting == (WAITING,)
    workflow.approve("c1")
    assert workflow.run().text == "Well. Then. Done."
    assert till.done == ["look", "pay 6", "pay 5"]
    assert sorted(steps(workflow)) == ["paid 5", "paid 6", "seen"]
    assert [s.text for s in workflow.conversation[-1].steps if s.role == "assistant"] == ["Well. ", "Then. "]


def test_new_words_of_the_user_make_it_void() -> None:
    till = Till()
    bot = till.bot("Well, no.")
    workflow = Workflow(bot, restored(stopped(first(till))))
    shown = list(workflow.run_stream("Never mind."))
    assert [content for mark, content in shown if mark == "state"] == [
        {"kind": "rejected", "call_id": "c1", "tool": "pay", "agent": "bot", "arguments": {"amount": 5},
         "reason": "the conversation went on"}
    ]  # fmt: skip
    assert workflow.waiting == ()
    assert variables(workflow) == {}
    assert till.done == ["look"]
    sent = bot.llm.requests[0].messages
    assert not any("tool_calls" in message for message in sent)
    assert sent[1]["content"] == "Well. "


@pytest.mark.parametrize(
    "strategy", ["append", "replace_last", "none", lambda before, said: [*before, *said]]
)
def test_it_enters_the_conversation_as_it_would_have(strategy: Any) -> None:
    till = Till()
    workflow = Workflow(
        till.bot("Done.", update_strategy=strategy),
        restored(stopped(first(till, update_strategy=strategy))),
    )
    workflow.approve("c1")
    workflow.run()
    done = [("bot", "Well. Done.")]
    user = [("user", "q")]
    assert lines(workflow) == {"replace_last": done, "none": user}.get(strategy, user + done)
    assert till.done == ["look", "pay 5"]


# -- in teams


def talker(id: str, *words: str) -> Agent:
    return Agent(id, ScriptedLLM(words))


def nobody(_: Any) -> Any:
    raise AssertionError("nobody is to be asked")


def in_sequence(bot: Agent, *others: Agent) -> Any:
    return Sequence("team", [others[0], bot, others[1]])


def in_chain(bot: Agent, *others: Agent) -> Any:
    return Chain("team", [others[0], bot, others[1]])


def in_parallel(bot: Agent, *others: Agent) -> Any:
    return Sequence("team", [Parallel("both", [others[0], bot]), others[1]])


def in_loop(bot: Agent, *others: Agent) -> Any:
    return Loop("team", [others[0], Sequence("inner", [bot]), others[1]], max_turns=1)


@pytest.mark.parametrize("team", [in_sequence, in_chain, in_parallel, in_loop])
def test_a_team_goes_on_with_whom_it_waits_for(team: Callable[..., Any]) -> None:
    till = Till()
    kept = restored(stopped(team(first(till), talker("ann", "A"), talker("bob", "B"))))
    workflow = Workflow(team(till.bot("Done."), Agent("ann", nobody), talker("bob", "B")), kept)
    assert workflow.waiting == (WAITING,)
    workflow.approve("c1")
    workflow.run()
    assert lines(workflow) == [("user", "q"), ("ann", "A"), ("bot", "Well. Done."), ("bob", "B")]
    assert till.done == ["look", "pay 5"]


@virtual
@pytest.mark.parametrize("team", [in_sequence, in_chain, in_parallel, in_loop])
async def test_a_conversation_that_is_stored_while_its_run_waits_is_gone_on_with(team: Any) -> None:
    till = Till()
    before = Workflow(team(first(till), talker("ann", "A"), talker("bob", "B")))
    run = before.start("q")
    await asyncio.sleep(1)
    kept = restored(before)
    run.dispose()
    workflow = Workflow(team(till.bot("Done."), Agent("ann", nobody), talker("bob", "B")), kept)
    assert lines(workflow) == [("user", "q"), ("ann", "A")]
    workflow.approve("c1")
    await workflow.arun()
    assert lines(workflow) == [("user", "q"), ("ann", "A"), ("bot", "Well. Done."), ("bob", "B")]
    assert till.done == ["look", "pay 5"]

    void = Workflow(team(first(till), talker("ann", "A"), talker("bob", "B")), restored(before))
    assert await Workflow(till.bot("Well, no."), restored(void)).arun("Never mind.") == "done"
    assert till.done == ["look", "pay 5"]


def test_a_team_with_a_router_lets_whoever_waits_go_first() -> None:
    till = Till()
    choice = json.dumps({"agent_id": "bot", "reason": ""})
    members = [first(till), talker("bob", "B")]
    kept = restored(stopped(Team(ScriptedLLM([choice]), members, "team")))
    again = json.dumps({"agent_id": "bob", "reason": ""})
    team = Team(ScriptedLLM([again]), [till.bot("Done."), talker("bob", "B")], "team", max_turns=2)
    workflow = Workflow(team, kept)
    workflow.approve("c1")
    assert workflow.run() == "max-turns"
    assert lines(workflow) == [("user", "q"), ("bot", "Well. Done."), ("bob", "B")]


def test_a_plan_goes_on() -> None:
    till = Till()
    plan = json.dumps(
        {"plan": [{"agent_id": "bot", "instructions": "pay"}, {"agent_id": "bob", "instructions": "b"}]}
    )
    kept = restored(stopped(PlannedTeam("team", [first(till), talker("bob", "B")], ScriptedLLM([plan]))))
    team = PlannedTeam("team", [till.bot("Done."), talker("bob", "B")], nobody)
    workflow = Workflow(team, kept)
    workflow.approve("c1")
    assert workflow.run() == "done"
    assert lines(workflow) == [
        ("user", "q"), ("team", "pay"), ("bot", "Well. Done."), ("team", "b"), ("bob", "B")
    ]  # fmt: skip
    assert till.done == ["look", "pay 5"]


def test_whoever_it_was_handed_over_to_goes_on() -> None:
    till = Till()
    hands = Agent(
        "desk", ScriptedLLM([[Call("transfer_to_bot", {"reason": "pays"}, "h1")]]), handoffs=[first(till)]
    )
    kept = restored(stopped(hands))
    workflow = Workflow(Agent("desk", nobody, handoffs=[till.bot("Done.")]), kept)
    workflow.approve("c1")
    assert workflow.run().text == "Well. Done."
    assert till.done == ["look", "pay 5"]
    assert [line for line in lines(workflow) if line[0] == "bot"] == [("bot", "Well. Done.")]


# -- histories, and processes that are killed


HISTORIES = {
    "markdown": lambda folder: MarkdownHistory(folder / "chat.md"),
    "sqlite": lambda folder: SQLiteHistory(folder / "chats.db", "ada"),
}

PROGRAM = """
import os, sys
from pathlib import Path
from rxagents import Workflow
from tests.test_approvals_restored import HISTORIES, Till, first

till = Till()
workflow = Workflow(first(till), history=HISTORIES[sys.argv[1]](Path(sys.argv[2])))
for mark, content in workflow.run_stream("q"):
    if mark == "state":
        while till.done != ["look"]:
            pass
        os._exit(9)  # nothing is said to anybody
"""


@pytest.mark.parametrize("kind", HISTORIES)
def test_a_process_that_is_killed_while_it_waits_is_gone_on_with(kind: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PROGRAM, kind, str(tmp_path)]
    killed = subprocess.run(argv, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60)
    assert killed.returncode == 9, killed.stderr
    with HISTORIES[kind](tmp_path) as history:
        workflow = Workflow(nobody, history=history)
        assert workflow.waiting == (WAITING,)
        workflow.approve("c1")
    till = Till()
    with HISTORIES[kind](tmp_path) as history:
        workflow = Workflow(till.bot("Done."), history=history)
        assert workflow.waiting == ()
        assert workflow.run().text == "Well. Done."
    assert till.done == ["pay 5"]
    with HISTORIES[kind](tmp_path) as history:
        workflow = Workflow(nobody, history=history)
        assert lines(workflow) == [("user", "q"), ("bot", "Well. Done.")]
        assert variables(workflow) == {}


@pytest.mark.parametrize("kind", ["memory", *HISTORIES])
def test_histories_keep_what_waits(kind: str, tmp_path: Path) -> None:
    memory = InMemoryHistory()

    def history() -> Any:
        return memory if kind == "memory" else HISTORIES[kind](tmp_path)

    till = Till()
    kept = history()
    stopped(first(till), history=kept)
    if kind != "memory":
        kept.close()
    kept = history()
    workflow = Workflow(till.bot("Done.", "Later."), history=kept)
    assert workflow.waiting == (WAITING,)
    workflow.approve("c1")
    assert workflow.run().text == "Well. Done."
    assert workflow.run("more").text == "Later."
    if kind != "memory":
        kept.close()
    assert lines(Workflow(nobody, history=history())) == [
        ("user", "q"), ("bot", "Well. Done."), ("user", "more"), ("bot", "Later.")
    ]  # fmt: skip


@virtual
async def test_what_was_at_work_when_it_was_cut_is_not_run_again() -> None:
    till = Till()

    async def pay(amount: int) -> str:
        """Pays."""
        await asyncio.sleep(60)
        return "never"

    bot = Agent("bot", ScriptedLLM([Reply("Well. ", [PAY])]), tools=[Tool(pay, approval=True)])
    workflow = Workflow(bot, approvals=lambda call: True)
    run = workflow.start("q")
    await asyncio.sleep(5)
    run.dispose()
    assert workflow.waiting == ()
    workflow = Workflow(till.bot("Done."), restored(workflow))
    await workflow.arun()
    assert till.done == []
    assert steps(workflow)[0].startswith(CUT)
    assert lines(workflow) == [("user", "q"), ("bot", "Well. Done.")]


@virtual
async def test_what_was_decided_in_the_moment_of_the_cut_is_kept() -> None:
    till = Till()
    workflow = Workflow(till.bot(Reply("Well. ", [PAY]), [PAY], "Done."))
    run = workflow.start("q")
    await asyncio.sleep(1)
    workflow.approve("c1")
    await asyncio.sleep(1)
    assert workflow.waiting == (WAITING,)  # the second round's, of the same id
    run.dispose()
    assert workflow.waiting == (WAITING,)
    again = workflow.start()
    await asyncio.sleep(1)
    workflow.approve("c1")
    again.dispose()  # before its agent could hear of it
    assert till.done == ["pay 5"]
    assert workflow.waiting == ()
    assert await workflow.arun() == "done"
    assert till.done == ["pay 5", "pay 5"]


@virtual
@pytest.mark.parametrize("kind", HISTORIES)
async def test_what_waits_inside_a_tool_is_not_stored(kind: str, tmp_path: Path) -> None:
    till = Till()
    boss = Agent("boss", ScriptedLLM([[Call("bot", {"input": "pay"})]]), tools=[first(till).as_tool()])
    with HISTORIES[kind](tmp_path) as history:
        workflow = Workflow(boss, history=history, on_waiting="stop")
        run = workflow.start("q")
        await asyncio.sleep(1)
        assert workflow.waiting == (WAITING,)
        run.dispose()
        assert await run == "interrupted"
        assert workflow.waiting == ()
    with HISTORIES[kind](tmp_path) as history:
        assert Workflow(nobody, history=history).waiting == ()
        assert dict(history.load().variables) == {}


def test_damaged_data_is_nothing_that_waits() -> None:
    odd = {"__approval:bot": {"agent": "bot"}, "__approval:x": "y", "__approval:z": None}
    workflow = Workflow(talker("bot", "Hi."), Conversation(variables=odd))
    assert workflow.waiting == ()
    assert workflow.run("q").text == "Hi."


def test_over_http_it_goes_on_with_the_call_and_all_results() -> None:
    till = Till()
    with OpenAIServer([Reply("Well. ", [PAY, LOOK]), "Done."]) as server:
        tools = [Tool(till.pay, approval=True), till.look]

        def bot() -> Agent:
            llm = OpenAILLM("gpt-4o-mini", api_key="sk", base_url=server.base_url)
            return Agent("bot", llm, system_message="Help.", tools=tools)

        workflow = Workflow(bot(), restored(stopped(bot())))
        workflow.approve("c1")
        assert workflow.run().text == "Well. Done."
        assert len(server.requests) == 2
        said = server.requests[1].body["messages"]
        assert [message["role"] for message in said] == ["system", "user", "assistant", "tool", "tool"]
        assert [call["id"] for call in said[2]["tool_calls"]] == ["c1", "c2"]
        assert [(m["tool_call_id"], m["content"]) for m in said[3:]] == [("c1", "paid 5"), ("c2", "seen")]


def test_a_recording_of_a_run_that_stops_is_whole(tmp_path: Path) -> None:
    workflow = Workflow(first(Till()), on_waiting="stop")
    with workflow.record(tmp_path / "run.jsonl"):
        workflow.run("q")
    written = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert written[-1]["result"] == "waiting"
    assert [line["kind"] for line in written if line.get("is") == "state"].count("approval") == 1
