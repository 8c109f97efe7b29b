"""Approvals: a call that needs one waits, while the others run; who decides, and what comes of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    ApprovalError,
    Approvals,
    Approve,
    ConfigurationError,
    Context,
    InputError,
    OpenAILLM,
    Parallel,
    PendingCall,
    Reject,
    Sequence,
    Tool,
    Workflow,
    agent,
    say,
)
from rxagents.llm import Call, Reply, ScriptedLLM
from rxagents.operators import text, until
from rxagents.testing import Marbles, OpenAIServer, virtual
from rxagents.testing.laws import check_laws

PAY = Call("pay", {"amount": 5}, "c1")
WAITING = PendingCall("c1", "pay", "bot", {"amount": 5, "to": "ann"})
REJECTED = "It was not run. Do not call it again like that; go on without it."


def pay(amount: int, to: str = "ann") -> str:
    """Pays."""
    return f"paid {amount} to {to}"


def payer(*replies: Any, approval: Any = True, id: str = "bot", **options: Any) -> Agent:
    """An agent whose model pays first."""
    llm = ScriptedLLM(replies or [Reply("Well. ", [PAY]), "Done."])
    return Agent(id, llm, tools=[Tool(pay, approval=approval)], **options)


def results(workflow: Workflow) -> list[str]:
    return [step.text for message in workflow.conversation for step in message.steps if step.role == "tool"]


@contextmanager
def refused(error: type[Exception], text: str) -> Iterator[None]:
    with pytest.raises(error) as caught:
        yield
    assert str(caught.value).startswith(text)


def states(items: list[Any]) -> list[Any]:
    return [content for mark, content in items if mark == "state"]


# -- live, on the clock


def test_a_call_waits_and_the_others_run_meanwhile(marbles: Marbles) -> None:
    desk = Approvals()
    risky = marbles.tool("risky", "----------------(r|)", approval=True)
    quick = marbles.tool("quick", "-(q|)")
    llm = marbles.llm("(@risky @quick|)", "(ok|)")
    bot = Agent("bot", llm, tools=[risky, quick], approvals=desk)
    marbles.at(20, lambda: desk.approve(desk.waiting[0].call_id))
    marbles.expect(say("q").pipe(bot)).to_be(
        """
             (bot|)
        bot  (m <approval>)------<approved>------|
        m    (@risky @quick)---------------------(=r =q ok|)
        """
    )
    marbles.expect_subscriptions(quick).to_be("^!")
    marbles.expect_subscriptions(risky).to_be("--------------------^---------------!")
    marbles.flush()
    assert desk.waiting == ()


def test_who_is_rejected_is_told_so_in_words_and_the_model_goes_on(marbles: Marbles) -> None:
    llm = marbles.llm("(@risky|)", "(ok|)")
    risky = marbles.tool("risky", "(r|)", approval=True)
    bot = Agent("bot", llm, tools=[risky], approvals=lambda call: call.reject("too dear"))
    marbles.expect(say("q").pipe(bot, text())).to_be("(ok|)")
    marbles.flush()
    assert len(risky.calls) == 0
    told = llm.requests[1].messages[-1]
    assert (told["role"], told["content"]) == ("tool", f"The call was rejected: too dear\n{REJECTED}")


def test_an_observable_decides_and_is_left_then(marbles: Marbles) -> None:
    source = marbles.hot("--x-----y-------z", x=("other", True), y=("call_1", True), z=("call_1", False))
    llm = marbles.llm("(@risky|)", "(ok|)")
    bot = Agent("bot", llm, tools=[marbles.tool("risky", "(r|)", approval=True)], approvals=source)
    marbles.expect(say("q").pipe(bot, text())).to_be("--------(ok|)")
    marbles.expect_subscriptions(source).to_be("^-------!")
    marbles.flush()


def test_an_observable_that_fails_fails_the_turn_there(marbles: Marbles) -> None:
    source = marbles.hot("----#", error=ValueError("gone"))
    bot = Agent(
        "bot",
        marbles.llm("(@risky|)"),
        tools=[marbles.tool("risky", "(r|)", approval=True)],
        approvals=source,
    )
    failed = marbles.probe()
    marbles.expect(say("q").pipe(bot, text(), failed)).to_be("----#", error=ValueError("gone"))
    marbles.flush()
    assert failed.errors[0].__notes__ == ["in bot > approvals"]


def test_what_is_cut_while_it_waits_ends_as_interrupted_and_still_waits(marbles: Marbles) -> None:
    desk = Approvals()
    stop = marbles.hot("-----s")
    bot = Agent("bot", marbles.llm("('Well.' @risky|)"), tools=[marbles.tool("risky", "(r|)", approval=True)])
    cut = Workflow(lambda source: source.pipe(bot, until(stop)), approvals=desk)
    marbles.expect_markers(cut.observe("q"), only=("state", "interrupted", "result")).to_be(
        [(0, "state", ...), (5, "interrupted", "Well."), (5, "result", "interrupted")]
    )
    marbles.flush()
    assert desk.waiting == ()  # nothing waits there any more, but it does in the conversation
    assert [call.tool for call in cut.waiting] == ["risky"]
    with pytest.raises(
        ApprovalError, match=r"^no call 'x' waits for approval; waiting: 'call_1' \(risky of bot\)$"
    ):
        cut.approve("x")


# -- who decides


@virtual
async def test_a_callback_decides_plain_or_async_and_the_markers_say_so() -> None:
    asked: list[PendingCall] = []

    async def later(call: PendingCall) -> bool:
        asked.append(call)
        await asyncio.sleep(3)
        return True

    for decide in (later, lambda call: asked.append(call) or True):
        workflow = Workflow(payer(), approvals=decide)
        shown = [marker async for marker in workflow.arun_stream("q")]
        data = {"call_id": "c1", "tool": "pay", "agent": "bot", "arguments": {"amount": 5, "to": "ann"}}
        assert states(shown) == [{"kind": "approval", **data}, {"kind": "approved", **data}]
        assert results(workflow) == ["paid 5 to ann"]
        assert workflow.waiting == ()
        assert workflow.conversation.variables == {"__approval:bot": None}
    assert asked == [WAITING, WAITING]


@virtual
async def test_a_callback_may_leave_it_to_others() -> None:
    workflow = Workflow(payer(), approvals=lambda call: None)
    run = workflow.start("q")
    await asyncio.sleep(5)
    assert workflow.waiting == (WAITING,)
    workflow.reject("c1")
    assert await run == "done"
    assert results(workflow) == [f"The call was rejected.\n{REJECTED}"]


@virtual
async def test_deciding_twice_and_what_nobody_asked_about_are_errors() -> None:
    workflow = Workflow(payer())
    with refused(ApprovalError, "no call 'c1' waits for approval; waiting: none"):
        workflow.approve("c1")
    run = workflow.start("q")
    await asyncio.sleep(1)
    workflow.approve("c1")
    with refused(ApprovalError, "no call 'c1' waits for approval; waiting: none"):
        workflow.reject("c1")
    assert await run == "done"
    with pytest.raises(ApprovalError):
        workflow.approve("c1")


@virtual
async def test_the_arguments_may_be_changed_and_the_model_is_told() -> None:
    workflow = Workflow(payer(), approvals=lambda call: call.approve({"amount": 1, "to": "bob"}))
    shown = [marker async for marker in workflow.arun_stream("q")]
    assert states(shown)[1]["arguments"] == {"amount": 1, "to": "bob"}
    assert results(workflow) == [
        '(It was approved with other arguments: {"amount": 1, "to": "bob"})\npaid 1 to bob'
    ]


@virtual
async def test_arguments_that_do_not_fit_are_told_to_the_model() -> None:
    workflow = Workflow(payer(), approvals=lambda call: Approve("c1", {"amount": "much"}))
    assert await workflow.arun("q") == "done"
    assert "amount: Input should be a valid integer" in results(workflow)[0]


def test_another_thread_decides_while_run_blocks() -> None:
    workflow = Workflow(payer())
    waits = threading.Event()

    def person() -> None:
        waits.wait(10)
        (call,) = workflow.waiting
        workflow.approve(call.call_id)

    deciding = threading.Thread(target=person)
    deciding.start()
    desk: Any = workflow._session._desk
    desk.on_stall(waits.set)
    assert workflow.run("q") == "done"
    deciding.join()
    assert results(workflow) == ["paid 5 to ann"]


def test_a_subject_decides_from_another_thread() -> None:
    said: rx.Subject[Any] = rx.Subject()
    workflow = Workflow(payer(), approvals=said)
    run = workflow.run_stream("q")
    shown = []
    for marker in run:
        shown.append(marker)
        if marker[0] == "state" and marker[1]["kind"] == "approval":
            threading.Thread(target=lambda: said.on_next(Reject("c1", "no"))).start()
    assert [state["kind"] for state in states(shown)] == ["approval", "rejected"]
    assert states(shown)[1]["reason"] == "no"
    assert shown[-1] == ("result", "done")
    assert not said.observers


@virtual
async def test_a_cold_observable_may_have_decided_before() -> None:
    workflow = Workflow(payer(), approvals=rx.of(("c0", False), Approve("c1")))
    assert await workflow.arun("q") == "done"
    assert results(workflow) == ["paid 5 to ann"]


@pytest.mark.parametrize(
    ("decide", "error", "says"),
    [
        (
            lambda call: "yes",
            InputError,
            "approvals: str is no decision; give True, False",
        ),
        (lambda call: 1 / 0, ZeroDivisionError, "division by zero"),
        (rx.of("yes"), InputError, "approvals: str is no decision"),
    ],
)
def test_who_decides_badly_fails_the_turn(decide: Any, error: type[Exception], says: str) -> None:
    result = Workflow(payer(), approvals=decide).run("q")
    assert result == "agent-error"
    assert isinstance(result.error, error)
    assert str(result.error).startswith(says)
    assert result.error.__notes__ == ["in bot > approvals"]


def test_without_anybody_to_decide_it_is_an_error() -> None:
    failed: list[Exception] = []
    done = threading.Event()

    def end(error: Exception | None = None) -> None:
        failed.extend([error] if error else [])
        done.set()

    say("q").pipe(payer(), text()).subscribe(on_error=end, on_completed=end)
    assert done.wait(10)
    assert isinstance(failed[0], ApprovalError)
    assert str(failed[0]) == (
        "the tool 'pay' of agent bot needs approval, and there is nobody to give it: ask the agent through "
        "a Workflow, or give it approvals=…"
    )


def test_what_decides_nothing_is_refused_at_once() -> None:
    with refused(ConfigurationError, "the tool 'pay': approval is True, False or a function"):
        Tool(pay, approval="yes")  # type: ignore[arg-type]
    with refused(ConfigurationError, "agent bot: approvals: str decides nothing; give a function"):
        payer(approvals="yes")
    with refused(ConfigurationError, "workflow: approvals: int decides nothing"):
        Workflow(payer(), approvals=3)  # type: ignore[arg-type]
    with refused(ConfigurationError, "workflow: on_waiting is 'wait' or 'stop', not 'go'"):
        Workflow(payer(), on_waiting="go")  # type: ignore[arg-type]


# -- which calls


@virtual
async def test_a_predicate_says_which_calls_plain_or_async() -> None:
    def dear(call: PendingCall) -> bool:
        return bool(call.arguments["amount"] > 4 and call.arguments["to"] == "ann")

    async def later(call: PendingCall) -> bool:
        await asyncio.sleep(1)
        return dear(call)

    for approval in (dear, later):
        calls = [PAY, Call("pay", {"amount": 3}, "c2"), Call("pay", {"amount": 9, "to": "bob"}, "c3")]
        workflow = Workflow(payer(calls, "Done.", approval=approval))
        run = workflow.start("q")
        await asyncio.sleep(3)
        assert workflow.waiting == (WAITING,)
        workflow.reject("c1", "no")
        assert await run == "done"
        assert results(workflow)[1:] == ["paid 3 to ann", "paid 9 to bob"]


@virtual
async def test_a_predicate_that_raises_fails_the_call_and_arguments_that_do_not_fit_need_none() -> None:
    def broken(call: PendingCall) -> bool:
        raise LookupError("no such customer")

    calls = [PAY, Call("pay", {"amount": "much"}, "c2")]
    workflow = Workflow(payer(calls, "Done.", approval=broken))
    assert await workflow.arun("q") == "done"
    told, misfit = results(workflow)
    assert told == (
        "Error: whether the tool 'pay' needs approval could not be told: LookupError: no such customer\n"
        "It was not run. Go on without it."
    )
    assert "amount: Input should be a valid integer" in misfit


@virtual
async def test_register_tool_takes_it_too_and_two_calls_of_one_id_are_told_apart() -> None:
    bots = []
    for id in ("ann", "bob"):
        bot = payer([PAY], "Done.", approval=False, id=id)
        bot = Agent(id, bot.llm)
        bot.register_tool(approval=True)(pay)
        bots.append(bot)
    workflow = Workflow(Parallel("both", bots))
    run = workflow.start("q")
    await asyncio.sleep(1)
    assert [(call.call_id, call.agent) for call in workflow.waiting] == [("c1", "ann"), ("c1.2", "bob")]
    workflow.reject("c1.2", "b")
    workflow.reject("c1", "a")
    assert await run == "done"
    assert [text.splitlines()[0] for text in results(workflow)] == [
        "The call was rejected: a",
        "The call was rejected: b",
    ]


# -- wherever it is asked


@virtual
async def test_an_agent_that_is_a_tool_and_one_that_a_function_asks_reach_the_workflow() -> None:
    async def outer(heard: Any) -> Any:
        return await payer().ask("q")

    def boss() -> Agent:
        llm = ScriptedLLM([[Call("bot", {"input": "pay"})], "ok"])
        return Agent("boss", llm, tools=[payer().as_tool()])

    for asked in (boss(), agent(outer, id="outer"), Sequence("all", [payer(), boss()])):
        workflow = Workflow(asked, approvals=lambda call: call == WAITING)
        assert await workflow.arun("q") == "done"


@virtual
async def test_a_tool_that_waits_does_not_see_what_waits_in_its_context() -> None:
    seen: list[Any] = []

    def look(context: Context) -> str:
        """Looks."""
        seen.append(dict(context.variables))
        return "ok"

    llm = ScriptedLLM([[PAY, Call("look", {}, "c2")], [Call("look", {}, "c3")], "Done."])
    bot = Agent("bot", llm, system_message="Known: __context__", tools=[Tool(pay, approval=True), look])
    assert await Workflow(bot, approvals=lambda call: True).arun("q") == "done"
    assert seen == [{}, {}]
    assert {request.messages[0]["content"] for request in llm.requests} == {"Known: {}"}


def test_the_laws_hold_for_an_agent_whose_calls_wait() -> None:
    def make() -> Agent:
        calls = [PAY, Call("pay", {"amount": 1}, "c2")]
        return payer(Reply("Well. ", calls), "Done.", approvals=lambda call: call.call_id == "c1")

    check_laws(make, max_examples=20)


@virtual
async def test_waiting_is_no_part_of_the_tools_time_and_takes_no_place() -> None:
    llm = ScriptedLLM([[PAY, Call("pay", {"amount": 1}, "c2")], "Done."])
    tool = Tool(pay, approval=lambda call: call.call_id == "c1", timeout=1, max_concurrent=1)
    workflow = Workflow(Agent("bot", llm, tools=[tool], early_calls=True))
    run = workflow.start("q")
    await asyncio.sleep(100)
    assert [call.call_id for call in workflow.waiting] == ["c1"]
    workflow.approve("c1")
    assert await run == "done"
    assert results(workflow) == ["paid 5 to ann", "paid 1 to ann"]


# -- over HTTP


def test_over_http_the_request_after_the_approval_holds_the_call_and_its_result() -> None:
    with OpenAIServer([[PAY], "Done."]) as server:
        llm = OpenAILLM("gpt-4o-mini", api_key="sk", base_url=server.base_url)
        workflow = Workflow(Agent("bot", llm, tools=[Tool(pay, approval=True)]), approvals=lambda call: True)
        result = workflow.run("Pay.")
        assert (result, result.text) == ("done", "Done.")
        sent = server.requests[1].body["messages"]
        assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
        assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == "c1"
        assert sent[2]["content"] == "paid 5 to ann"


@virtual
async def test_a_run_that_is_disposed_while_it_waits_leaves_nothing() -> None:
    before = len(asyncio.all_tasks())
    said: rx.Subject[Any] = rx.Subject()
    workflow = Workflow(payer(), approvals=said)
    left = workflow.observe("q").pipe(ops.ignore_elements())
    subscription = left.subscribe()
    await asyncio.sleep(1)
    assert workflow.waiting == (WAITING,)
    assert len(said.observers) == 1
    subscription.dispose()
    await asyncio.sleep(1)
    assert not said.observers
    assert len(asyncio.all_tasks()) == before
    assert workflow.waiting == (WAITING,)
