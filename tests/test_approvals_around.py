"""Approvals where there is more around: desks that are shared, operators behind the agent, many calls."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    ApprovalError,
    Approvals,
    Context,
    Conversation,
    MarkdownHistory,
    Message,
    OpenAILLM,
    PendingCall,
    Sequence,
    SQLiteHistory,
    Tool,
    Workflow,
    as_agent,
    guard_input,
    guard_output,
    say,
)
from rxagents.llm import Call, Reply, ScriptedLLM
from rxagents.operators import checkpoint, errors_as_messages, gate, limit, markers, until
from rxagents.testing import OpenAIServer, virtual

from .tills import Till

PAY = Call("pay", {"amount": 5}, "c1")
OTHER = Call("pay", {"amount": 6}, "c2")
LOOK = Call("look", {}, "c3")


def ids(desk: Workflow | Approvals) -> list[str]:
    return [call.call_id for call in desk.waiting]


def restored(workflow: Workflow) -> Conversation:
    return Conversation.from_dict(json.loads(json.dumps(workflow.conversation.to_dict())))


async def stopped(askable: Any) -> Workflow:
    workflow = Workflow(askable, on_waiting="stop")
    assert await asyncio.wait_for(workflow.arun("q"), 60) == "waiting"
    return workflow


# -- at once


@virtual
async def test_whoever_hears_of_a_call_may_decide_it_there_and_then() -> None:
    for stop in (False, True):
        till, desk, shown = Till(), Approvals(), []
        workflow = Workflow(till.bot([PAY], "Done."), on_waiting="stop" if stop else "wait")

        def approve(mark: Any, desk: Any = desk, shown: list[Any] = shown) -> None:
            shown.append(mark)
            if mark[0] == "state" and mark[1]["kind"] == "approval":
                desk.approve("c1")

        bot = till.bot([PAY], "Done.", approvals=desk)
        say("q").pipe(bot, markers()).subscribe(approve)
        await asyncio.sleep(1)
        assert till.done == ["pay 5"]
        workflow.observe("q").subscribe(lambda mark, w=workflow, f=approve: f(mark, w))
        await asyncio.sleep(1)
        assert shown[-1] == ("result", "done")
        assert till.done == ["pay 5", "pay 5"]


@virtual
async def test_whoever_hears_of_a_call_may_leave_and_nobody_is_asked() -> None:
    asked: list[PendingCall] = []
    said: rx.Subject[Any] = rx.Subject()
    for decide in (asked.append, said):
        workflow = Workflow(Till().bot([PAY]), approvals=decide)
        run = workflow.start("q")
        run.markers().subscribe(lambda mark, run=run: run.dispose() if mark[0] == "state" else None)
        assert await run == "interrupted"
        await asyncio.sleep(1)
        assert (asked, said.observers) == ([], [])
        assert ids(workflow) == ["c1"]
        workflow.reject("c1")
        assert ids(workflow) == []


@virtual
async def test_what_fails_is_not_hidden_behind_a_call_that_waits() -> None:
    def decide(call: PendingCall) -> None:
        if call.call_id == "c2":
            raise LookupError("who is that?")

    workflow = Workflow(Till().bot([PAY, OTHER]), approvals=decide)
    result = await asyncio.wait_for(workflow.arun("q"), 5)
    assert (result, str(result.error)) == ("agent-error", "who is that?")
    assert ids(workflow) == ["c1", "c2"]


@virtual
async def test_early_calls_start_only_what_needs_no_approval() -> None:
    till = Till()
    bot = till.bot([PAY, LOOK, OTHER], "Done.", early_calls=True)
    workflow = Workflow(bot)
    run = workflow.start("q")
    await asyncio.sleep(5)
    assert till.done == ["look"]
    workflow.approve("c2")
    workflow.reject("c1")
    assert await run == "done"
    assert till.done == ["look", "pay 6"]


# -- one desk for several


@virtual
@pytest.mark.parametrize("whose", ["workflow", "agent"])
async def test_calls_of_one_id_are_told_apart_at_a_desk_that_is_shared(whose: str) -> None:
    desk, tills = Approvals(), [Till(), Till()]

    def workflow(till: Till) -> Workflow:
        if whose == "agent":
            return Workflow(till.bot([PAY], "Done.", approvals=desk))
        return Workflow(till.bot([PAY], "Done."), approvals=desk)

    one, other = map(workflow, tills)
    runs = [one.start("q"), other.start("q")]
    await asyncio.sleep(1)
    assert (ids(desk), ids(one), ids(other)) == (["c1", "c1.2"], ["c1"], ["c1.2"])
    with pytest.raises(ApprovalError, match=r"^no call 'c1' waits for approval; waiting: 'c1\.2' "):
        other.approve("c1")
    desk.approve("c1.2")
    assert await runs[1] == "done"
    assert [till.done for till in tills] == [[], ["pay 5"]]
    one.approve("c1")
    with pytest.raises(ApprovalError):
        desk.approve("c1")  # it was decided, at the other desk
    assert await runs[0] == "done"
    assert desk.waiting == ()


@virtual
async def test_stored_calls_of_one_id_are_told_apart_there_too() -> None:
    desk, tills = Approvals(), [Till(), Till()]
    kept = await stopped(Till().bot([PAY]))
    one, other = (Workflow(till.bot("Done."), restored(kept), approvals=desk) for till in tills)
    runs = [one.start(), other.start()]
    await asyncio.sleep(1)
    assert (ids(one), ids(other)) == (["c1"], ["c1.2"])
    other.approve("c1.2")
    one.reject("c1")
    assert [await run for run in runs] == ["done", "done"]
    assert [till.done for till in tills] == [[], ["pay 5"]]


@virtual
async def test_a_workflow_decides_no_call_of_another() -> None:
    desk, till = Approvals(), Till()
    live = Workflow(till.bot([PAY], "Done."), approvals=desk)
    run = live.start("q")
    await asyncio.sleep(1)
    stored = Workflow(Till().bot("Done."), restored(await stopped(Till().bot([PAY]))), approvals=desk)
    stored.approve("c1")
    await asyncio.sleep(1)
    assert till.done == []
    assert (ids(live), ids(stored)) == (["c1"], [])
    run.dispose()


def test_a_desk_serves_several_loops() -> None:
    desk, tills = Approvals(), [Till() for _ in range(8)]
    answers: list[str] = []
    both = threading.Barrier(len(tills))

    def serve(till: Till) -> None:
        both.wait(10)
        result = asyncio.run(Workflow(till.bot([PAY], "Done."), approvals=desk).arun("q"))
        answers.append(result)

    threads = [threading.Thread(target=serve, args=(till,)) for till in tills]
    for thread in threads:
        thread.start()
    decided = 0
    while decided < len(tills):
        for id in ids(desk):
            desk.approve(id)
            decided += 1
    for thread in threads:
        thread.join(10)
    assert answers == ["done"] * len(tills)
    assert all(till.done == ["pay 5"] for till in tills)


def test_what_waited_on_a_loop_that_was_closed_is_gone_on_with_on_another() -> None:
    till = Till()
    workflow = Workflow(till.bot([PAY], "Done."))
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        shown = workflow.start("q").markers()
        await shown.pipe(ops.first(lambda mark: mark[0] == "state"))

    loop.run_until_complete(begin())
    loop.close()
    assert ids(workflow) == ["c1"]
    again = workflow.start()
    again.markers().pipe(ops.first(lambda mark: mark[0] == "state")).run()
    assert ids(workflow) == ["c1"]  # by the same id
    again.dispose()
    assert ids(workflow) == ["c1"]
    workflow.approve("c1")
    assert ids(workflow) == []
    assert workflow.run() == "done"
    assert till.done == ["pay 5"]


def test_of_many_who_decide_one_is_heard() -> None:
    till = Till()
    workflow = Workflow(till.bot([PAY, OTHER], "Done."))
    run = workflow.start("q")
    while len(workflow.waiting) < 2:
        pass
    heard: list[str] = []

    def decide(how: Callable[[str], None], id: str) -> None:
        try:
            how(id)
        except ApprovalError:
            return
        heard.append(how.__name__)

    threads = [
        threading.Thread(target=decide, args=(how, id))
        for id in ("c1", "c2")
        for how in (workflow.approve, workflow.reject, workflow.approve)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = threading.Event()
    run.on_end(lambda _: ended.set())
    assert ended.wait(10)
    assert len(heard) == 2
    assert len(till.done) == heard.count("approve")


# -- what stands behind the agent


def passes(*_: Any) -> bool:
    return True


AROUND: dict[str, Callable[[Agent], Any]] = {
    "until": lambda bot: lambda source: source.pipe(bot, until(rx.never())),
    "limit": lambda bot: lambda source: source.pipe(bot, limit(turns=3)),
    "gate": lambda bot: lambda source: source.pipe(bot, gate(passes)),
    "two gates": lambda bot: lambda source: source.pipe(bot, gate(passes, window="whole"), gate(passes)),
    "errors": lambda bot: lambda source: source.pipe(bot, gate(passes), errors_as_messages()),
    "checkpoint": lambda bot: lambda source: source.pipe(bot, checkpoint("here")),
    "guard_input": lambda bot: Sequence("team", [guard_input(bot, passes)]),
    "guard_output": lambda bot: guard_output(bot, passes),
    "as_agent": lambda bot: as_agent("outer", bot),
}


@virtual
@pytest.mark.parametrize("around", AROUND)
async def test_a_run_stops_and_goes_on_behind_operators(around: str) -> None:
    till, wrap = Till(), AROUND[around]
    kept = await stopped(wrap(till.bot(Reply("Well. ", [PAY, LOOK]))))
    workflow = Workflow(wrap(till.bot("Done.")), restored(kept))
    workflow.approve("c1")
    assert await workflow.arun() == "done"
    assert till.done == ["look", "pay 5"]
    assert [message.text for message in workflow.conversation] == ["q", "Well. Done."]


@virtual
async def test_what_a_pipe_cannot_go_on_with_is_said() -> None:
    till = Till()
    ann, bob = Agent("ann", ScriptedLLM(["A", "A", "A"])), till.bot([PAY], "B", "B", id="bob")
    workflow = await stopped(lambda source: source.pipe(ann, bob))
    workflow.approve("c1")
    result = await workflow.arun()
    assert result == "agent-error"
    assert isinstance(result.error, ApprovalError)
    assert str(result.error) == (
        "what was decided about 'c1' (pay of bob) was not done: nobody who was asked goes on with the turn "
        "of bob; of a bare pipe(a, b) make a Sequence, or say something else, which makes the call void"
    )
    assert till.done == []
    assert await workflow.arun("Something else.") == "done"


@virtual
async def test_what_the_next_in_a_pipe_hears_waits_live() -> None:
    till = Till()
    bot, ann = till.bot([PAY], "Done."), Agent("ann", ScriptedLLM(["A"]))
    workflow = Workflow(lambda source: source.pipe(bot, ann), on_waiting="stop")
    run = workflow.start("q")
    await asyncio.sleep(5)
    assert run.result is None
    workflow.approve("c1")
    assert await run == "done"
    assert till.done == ["pay 5"]

    workflow = Workflow(lambda source: source.pipe(till.bot([PAY]), ann))
    run = workflow.start("q")
    await asyncio.sleep(1)
    run.dispose()
    assert workflow.waiting == ()
    with pytest.raises(ApprovalError):
        workflow.approve("c1")


@virtual
async def test_a_handoff_beside_a_call_that_waited_is_not_forgotten() -> None:
    till = Till()

    def desk(*replies: Any) -> Agent:
        return till.bot(*replies, id="desk", handoffs=[Agent("ann", ScriptedLLM(["I am Ann."]))])

    over = Call("transfer_to_ann", {"reason": "pays"}, "h1")
    kept = await stopped(desk([PAY, over]))
    workflow = Workflow(desk("Never said."), restored(kept))
    workflow.approve("c1")
    shown = [content for mark, content in [m async for m in workflow.arun_stream()] if mark == "state"]
    assert shown[-1] == {"kind": "handoff", "from": "desk", "to": "ann", "reason": "pays"}
    assert workflow.conversation[-1].text == "I am Ann."
    assert till.done == ["pay 5"]


# -- many, and for long


@virtual
async def test_a_round_of_many_calls_is_written_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    till, written = Till(), 0
    to_dict = Message.to_dict

    def counted(message: Message) -> dict[str, Any]:
        nonlocal written
        written += 1
        return to_dict(message)

    monkeypatch.setattr(Message, "to_dict", counted)
    calls = [Call("pay", {"amount": number}, f"c{number}") for number in range(200)]
    workflow = Workflow(till.bot(calls, "Done."))
    run = workflow.start("q")
    await asyncio.sleep(1)
    assert len(workflow.waiting) == 200
    for call in workflow.waiting:
        workflow.approve(call.call_id)
    assert await run == "done"
    assert len(till.done) == 200
    assert written == 1


@virtual
async def test_what_a_later_round_has_begun_is_not_run_again(tmp_path: Path) -> None:
    till = Till()
    history = MarkdownHistory(tmp_path / "chat.md")
    stuck = asyncio.Event()

    async def look() -> str:
        """Looks."""
        till.done.append("look")
        await stuck.wait()
        return "never"

    def note(context: Context) -> str:
        """Notes."""
        context["noted"] = 1
        return "noted"

    calls = [[PAY, Call("note", {}, "c4")], [LOOK]]
    bot = Agent("bot", ScriptedLLM(calls), tools=[Tool(till.pay, approval=True), look, note])
    run = Workflow(bot, history=history, approvals=lambda call: True).start("q")
    await asyncio.sleep(1)
    assert till.done == ["pay 5", "look"]
    copy(tmp_path / "chat.md", tmp_path / "copy.md")  # what there is if the process is killed now
    run.dispose()
    history.close()
    with MarkdownHistory(tmp_path / "copy.md") as kept:
        workflow = Workflow(till.bot("Done."), history=kept)
        assert await workflow.arun() == "done"
    assert till.done == ["pay 5", "look"]
    told = [step.text for step in workflow.conversation[-1].steps if step.role == "tool"]
    assert told[:2] == ["paid 5", "noted"]
    assert workflow.conversation.variables["noted"] == 1
    assert told[2].startswith("Error: the call was interrupted, and what it came to is not known.")


def test_a_server_stops_stores_decides_and_goes_on(tmp_path: Path) -> None:
    till = Till()
    with OpenAIServer([Reply("", [PAY, OTHER, LOOK]), "Done."]) as server:

        def request(*, say: str | None = None, approve: str = "", reject: str = "") -> tuple[str, list[str]]:
            llm = OpenAILLM("gpt-4o-mini", api_key="sk", base_url=server.base_url)
            bot = Agent("bot", llm, tools=[Tool(till.pay, approval=True), till.look])
            with SQLiteHistory(tmp_path / "chats.db", "ada") as history:
                workflow = Workflow(bot, history=history, on_waiting="stop")
                if approve:
                    workflow.approve(approve)
                if reject:
                    workflow.reject(reject, "no")
                return workflow.run(say), ids(workflow)

        assert request(say="q") == ("waiting", ["c1", "c2"])
        assert request(approve="c2") == ("waiting", ["c1"])
        assert till.done == ["look", "pay 6"]
        assert request(reject="c1") == ("done", [])
        assert till.done == ["look", "pay 6"]
        assert len(server.requests) == 2
        told = server.requests[1].body["messages"][-3:]
        assert [(message["tool_call_id"], message["content"].splitlines()[0]) for message in told] == [
            ("c1", "The call was rejected: no"), ("c2", "paid 6"), ("c3", "seen")
        ]  # fmt: skip


@virtual
async def test_what_was_decided_before_and_was_at_work_when_it_was_cut_is_not_run_again() -> None:
    till = Till()

    async def pay(amount: int) -> str:
        """Pays."""
        till.done.append(f"pay {amount}")
        await asyncio.sleep(60)
        return "never"

    workflow = Workflow(
        Agent("bot", ScriptedLLM(["Done."]), tools=[Tool(pay, approval=True)]),
        restored(await stopped(till.bot([PAY]))),
    )
    workflow.approve("c1")
    run = workflow.start()
    await asyncio.sleep(5)
    run.dispose()
    assert till.done == ["pay 5"]
    assert workflow.waiting == ()
    assert await workflow.arun() == "done"
    assert till.done == ["pay 5"]


@virtual
async def test_what_is_decided_ahead_is_about_no_new_call_of_that_id() -> None:
    till = Till()
    workflow = Workflow(till.bot([PAY], "Done.", id="other"), restored(await stopped(till.bot([PAY]))))
    run = workflow.start()
    workflow.approve("c1")  # of the agent that is not there any more
    await asyncio.sleep(1)
    assert till.done == []
    assert [(call.call_id, call.agent) for call in workflow.waiting] == [("c1", "other")]
    workflow.reject("c1")
    assert await run == "done"
    assert till.done == []


@virtual
async def test_whoever_is_asked_and_will_not_be_cancelled_holds_nothing_back() -> None:
    async def stubborn(call: PendingCall) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(1)

    workflow = Workflow(Till().bot([PAY], [PAY]), approvals=stubborn, on_waiting="stop")
    run = workflow.start("q")
    await asyncio.sleep(1)
    run.dispose()
    await asyncio.sleep(5)
    assert workflow._session._desk.stalled == set()
    assert ids(workflow) == ["c1"]


@virtual
async def test_what_was_lost_is_void_too_when_somebody_has_spoken_since() -> None:
    workflow = Workflow(Till().bot([PAY]))
    run = workflow.start("q")
    await asyncio.sleep(1)
    lost = [restored(workflow) for _ in range(3)]  # without the message, which has not ended
    run.dispose()
    lost[1].append({"role": "user", "content": "Never mind."})
    lost[2].append({"role": "assistant", "name": "bot", "content": "Well, no."})
    assert [ids(Workflow(Till().bot(), kept)) for kept in lost] == [["c1"], [], []]


@virtual
async def test_what_was_in_its_way_is_out_of_it_when_the_turn_has_ended() -> None:
    workflow = Workflow(Till().bot([PAY], "One.", [PAY], "Two."), approvals=passes)
    for said in ("q", "again"):
        assert await workflow.arun(said) == "done"
    assert dict(workflow.conversation.variables) == {"__approval:bot": None}


@virtual
async def test_what_is_approved_while_a_run_begins_that_is_cut_then_is_kept() -> None:
    till = Till()
    workflow = Workflow(till.bot("Done."), restored(await stopped(till.bot([PAY]))))
    run = workflow.start()
    workflow.approve("c1")
    run.dispose()
    assert await run == "interrupted"
    assert (ids(workflow), till.done) == ([], [])
    assert await workflow.arun() == "done"
    assert till.done == ["pay 5"]


@virtual
async def test_a_team_goes_on_with_whom_a_member_had_handed_over_to() -> None:
    till = Till()
    over = Call("transfer_to_bot", {"reason": "pays"}, "h1")

    def team(bot: Agent, ann: list[str], *replies: Any) -> Sequence:
        desk = Agent("desk", ScriptedLLM(replies), handoffs=[bot])
        return Sequence("team", [Agent("ann", ScriptedLLM(ann)), desk])

    kept = await stopped(team(till.bot([PAY]), ["A"], [over]))
    workflow = Workflow(team(till.bot("Done."), []), restored(kept))
    workflow.approve("c1")
    assert await workflow.arun() == "done"
    assert till.done == ["pay 5"]
    assert [message.name for message in workflow.conversation] == [None, "ann", "desk", "bot"]
