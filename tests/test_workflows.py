"""Workflow: one conversation, a run at a time, through six entry points."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as rx_ops
from reactivex.disposable import Disposable

from rxagents import (
    Agent,
    AssistantMessage,
    BlockingCallError,
    ConfigurationError,
    Conversation,
    InputError,
    Message,
    OpenAILLM,
    RunResult,
    ScriptedLLM,
    StateUpdate,
    Team,
    Transcript,
    Usage,
    User,
    UserMessage,
    Workflow,
    WorkflowBusyError,
    WorkflowInput,
    agent,
    as_agent,
    say,
)
from rxagents.engine.async_items import AsyncItems
from rxagents.engine.loops import shared_loop
from rxagents.llm import Call, Reply
from rxagents.operators import map_tokens, text, until
from rxagents.testing import Marbles, OpenAIServer, Stalled, order_scenario

from .listening import heard

WAIT = 10.0


class Probe:
    """A model that says some tokens and then nothing, until it is told to end or is left."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = tokens
        self.asked = 0
        self.waits = threading.Event()
        self.left = threading.Event()
        self.observer: Any = None

    def __call__(self, request: Any) -> rx.Observable[Any]:
        def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
            self.asked += 1
            self.observer = observer
            for token in self.tokens:
                observer.on_next(token)
            self.waits.set()
            return Disposable(self.left.set)

        return rx.create(subscribe)


def parrot(*answers: Any, **options: Any) -> Workflow:
    return Workflow(Agent("parrot", ScriptedLLM(answers)), **options)


def words(conversation: Conversation | Transcript) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in conversation]


def aiter_of(observable: rx.Observable[Any]) -> AsyncItems[Any]:
    return AsyncItems(observable)


def kinds(markers: list[Any]) -> list[str]:
    return [mark for mark, _ in markers]


async def collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


# -- what comes out


def test_run_gives_a_result_that_is_its_code() -> None:
    usage = Usage(completion_tokens=3, prompt_tokens=4, total_tokens=7)
    result = parrot(Reply("Hello.", usage=usage)).run("Hi")
    assert isinstance(result, str)
    assert isinstance(result, RunResult)
    assert result == "done"
    assert isinstance(result.message, Message)
    assert (result.message.role, result.message.name) == ("assistant", "parrot")
    assert (result.text, result.usage, result.error) == ("Hello.", usage, None)
    assert json.dumps(result) == '"done"'


MARKS = ["start", "delta", "delta", "delta", "response", "end", "result"]


def test_every_entry_point_gives_the_same_markers() -> None:
    async def entered(workflow: Workflow) -> list[Any]:
        async with workflow.arun_stream("Hi") as markers:
            return [marker async for marker in markers]

    ways: list[Callable[[Workflow], list[Any]]] = [
        lambda workflow: list(workflow.run_stream("Hi")),
        lambda workflow: asyncio.run(collected(workflow.arun_stream("Hi"))),
        lambda workflow: asyncio.run(entered(workflow)),
        lambda workflow: heard(workflow.observe("Hi")),
        lambda workflow: heard(workflow.start("Hi").markers()),
    ]
    outputs = [way(parrot("Hello")) for way in ways]
    assert all(output == outputs[0] for output in outputs)
    assert kinds(outputs[0]) == MARKS
    results = [parrot("Hello").run("Hi"), asyncio.run(parrot("Hello").arun("Hi"))]
    assert [(result, result.text) for result in results] == [("done", "Hello")] * 2


def test_every_entry_point_may_go_without_an_input() -> None:
    def left() -> Workflow:
        return parrot("Hello", conversation=Conversation([UserMessage("Hi")]))

    ways: list[Callable[[Workflow], list[Any]]] = [
        lambda workflow: list(workflow.run_stream()),
        lambda workflow: asyncio.run(collected(workflow.arun_stream())),
        lambda workflow: heard(workflow.observe()),
        lambda workflow: heard(workflow.start().markers()),
    ]
    outputs = [way(left()) for way in ways]
    assert all(kinds(output) == MARKS for output in outputs)
    for run in (left().run, lambda: asyncio.run(left().arun())):
        assert run().text == "Hello"
    workflow = left()
    workflow.run()
    assert words(workflow.conversation) == [("user", "Hi"), ("assistant", "Hello")]


def test_observe_emits_what_its_diagram_draws(marbles: Marbles) -> None:
    asked = marbles.cold("                     -(q|)")
    llm = marbles.llm("                        Hi-!--|")
    probe = marbles.probe()
    marbles.expect_markers(Workflow(Agent("a", llm)).observe(asked).pipe(probe)).to_be(
        [
            (1, "start", "a"), (1, "delta", "Hi"), (4, "delta", "!"),
            (7, "response", "Hi!"), (7, "end", "a"), (7, "result", "done"),
        ]
    )  # fmt: skip
    marbles.expect_subscriptions(llm).to_be("  -^-----!")
    marbles.expect_subscriptions(probe).to_be("^------!")
    marbles.flush()
    assert probe.completions == 1


def test_state_shows_what_is_no_message() -> None:
    member = as_agent("setter", lambda source: rx.of(StateUpdate("variables", variables={"city": "Bern"})))
    markers = list(Workflow(member).run_stream("Hi", state=True))
    assert kinds(markers) == ["start", "state", "end", "result"]
    assert markers[1][1] == {"kind": "variables", "variables": {"city": "Bern"}}
    assert kinds(list(Workflow(member).run_stream("Hi"))) == ["start", "end", "result"]
    assert kinds(heard(Workflow(member).observe("Hi", state=True))) == kinds(markers)
    assert kinds(asyncio.run(collected(Workflow(member).arun_stream("Hi", state=True)))) == kinds(markers)


# -- results


def team(*answers: Any, **options: Any) -> Team:
    member = Agent("one", ScriptedLLM(answers or ["Yes."] * 9))
    return Team(ScriptedLLM([]), [member], "team", **options)


@pytest.mark.parametrize(
    ("askable", "code"),
    [
        (Agent("a", ScriptedLLM(["Yes."])), "done"),
        (Team(ScriptedLLM([]), [User("u", mode="unattended")], "team"), "agent-stop"),
        (User("u", mode="unattended"), "agent-stop"),
        (team(stop_callback=lambda messages: len(messages) > 2), "callback-stop"),
        (team(max_turns=2), "max-turns"),
        (team(allowed_transitions={}), "done"),
        (Agent("a", ScriptedLLM([RuntimeError("no")])), "agent-error"),
        (Agent("a", lambda _: rx.of("Well", "this")).__call__, "done"),
    ],
)
def test_the_result_tells_how_it_ended_in_every_way_alike(askable: Any, code: str) -> None:
    workflow = Workflow(askable)
    run = workflow.start("Hi")
    markers = heard(run.markers())
    assert markers[-1] == ("result", code)
    assert run.result == code
    assert run.result is not None
    assert (run.result.error is not None) == (code == "agent-error")


def test_a_cut_run_ends_as_interrupted() -> None:
    probe, stop = Probe("Well", " then"), rx.Subject[None]()
    workflow = Workflow(lambda source: source.pipe(Agent("a", probe), until(stop)))
    run = workflow.start("Hi")
    assert probe.waits.wait(WAIT)
    stop.on_next(None)
    markers = heard(run.markers())
    assert kinds(markers) == ["start", "delta", "delta", "interrupted", "end", "result"]
    assert markers[-1] == ("result", "interrupted") == ("result", run.result)
    assert words(workflow.conversation) == [("user", "Hi"), ("assistant", "Well then")]
    assert workflow.conversation[-1].finish_reason == "interrupted"


def test_nothing_raises_for_what_fails_within_a_run() -> None:
    failing = parrot(RuntimeError("no"), RuntimeError("no"), RuntimeError("no"))
    assert isinstance(failing.run("Hi").error, RuntimeError)
    markers = list(failing.run_stream("Hi"))
    assert kinds(markers) == ["start", "error", "end", "result"]
    assert markers[1][1] == {"type": "RuntimeError", "message": "no", "where": "parrot"}
    assert asyncio.run(failing.arun("Hi")) == "agent-error"


# -- the conversation


def test_the_conversation_goes_on_from_run_to_run() -> None:
    llm = ScriptedLLM(["Hello.", "Fine."])
    workflow = Workflow(Agent("a", llm))
    workflow.run("Hi")
    workflow.run("How are you?")
    assert words(workflow.conversation) == [
        ("user", "Hi"), ("assistant", "Hello."), ("user", "How are you?"), ("assistant", "Fine."),
    ]  # fmt: skip
    assert [message["content"] for message in llm.requests[1].messages] == ["Hi", "Hello.", "How are you?"]


def test_a_given_conversation_is_gone_on_with_and_survives_json() -> None:
    first = parrot("Hello.", system_prompt="Be brief.")
    first.run("Hi")
    stored = json.dumps(first.conversation.to_dict())
    llm = ScriptedLLM(["Fine."])
    restored = Conversation.from_dict(json.loads(stored))
    second = Workflow(Agent("parrot", llm), conversation=restored, system_prompt="Be brief.")
    second.run("How are you?")
    assert second.conversation is restored
    assert [role for role, _ in words(restored)] == ["system", "user", "assistant", "user", "assistant"]
    assert [message["role"] for message in llm.requests[0].messages] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip


def test_the_system_prompt_is_the_first_message_of_a_new_conversation_only() -> None:
    workflow = parrot("Hello.", "Fine.", system_prompt="Be brief.")
    workflow.run("Hi")
    workflow.run("Again")
    assert [role for role, _ in words(workflow.conversation)].count("system") == 1
    assert words(workflow.conversation)[0] == ("system", "Be brief.")


def test_restart_forgets_the_conversation() -> None:
    workflow = parrot("Hello.", "Hello again.", system_prompt="Be brief.")
    workflow.run("Hi")
    before = workflow.conversation
    workflow.restart()
    assert len(workflow.conversation) == 0
    workflow.run("Hi")
    assert words(workflow.conversation) == [*words(before)[:2], ("assistant", "Hello again.")]


def test_the_usage_of_a_run_is_what_it_added_to_the_conversation() -> None:
    workflow = Workflow(
        Team(
            ScriptedLLM(order_scenario()),
            [_order_agent(), User("user", mode="unattended")],
            "team",
        )
    )
    first = workflow.run("Which is the expected delivery date for my order?")
    after_first = Usage(**workflow.conversation.metrics)
    assert first.usage == after_first
    assert first.message is not None
    assert first.message.usage is not None
    assert first.usage.total_tokens > first.message.usage.total_tokens  # the router's tokens count too
    second = workflow.run("And again?")
    assert after_first + second.usage == Usage(**workflow.conversation.metrics)


def _order_agent() -> Agent:
    one = Agent("agent1", ScriptedLLM(order_scenario()))
    one.register_tool(description="The order")(get_order_id)
    one.register_tool(description="The date")(get_delivery_date)
    return one


def get_order_id() -> str:
    return "214"


def get_delivery_date(order_id: str) -> str:
    return "2022-01-01"


def test_the_usage_of_what_was_put_in_is_not_the_runs() -> None:
    said = AssistantMessage("Hello.", name="other", usage=Usage(total_tokens=100))
    result = parrot(Reply("Hi.", usage=Usage(total_tokens=1))).run([said, "And you?"])
    assert result.usage == Usage(total_tokens=1)
    assert result.text == "Hi."


def test_a_run_in_which_nobody_answers_has_no_message() -> None:
    conversation = Conversation([UserMessage("Hi"), AssistantMessage("Hello.")])
    result = Workflow(User("u", mode="unattended"), conversation=conversation).run("And?")
    assert (result.message, result.text, result.usage) == (None, "", Usage())


@pytest.mark.parametrize("system_prompt", ["", "Be brief."])
def test_replaying_the_items_of_a_run_gives_its_conversation_again(system_prompt: str) -> None:
    workflow = Workflow(
        Team(ScriptedLLM(order_scenario()), [_order_agent(), User("user", mode="unattended")], "team"),
        system_prompt=system_prompt,
    )
    for question in ("Which date?", ["And", "again?"], {"text": "And once more?"}):
        run = workflow.start(question)
        heard(run)
        assert Transcript().fold_all(run.items) == workflow.conversation.transcript


def test_the_conversation_is_up_to_date_when_response_and_result_are_heard() -> None:
    workflow = parrot("Hello.", "Fine.")
    for question in ("Hi", "How are you?"):
        seen: dict[str, list[tuple[str, str]]] = {}

        def note(marker: Any, seen: dict[str, Any] = seen) -> None:
            seen[marker[0]] = words(workflow.conversation)

        heard(workflow.observe(question).pipe(rx_ops.do_action(note)))
        assert seen["response"] == seen["end"] == seen["result"] == words(workflow.conversation)
        assert seen["start"] == words(workflow.conversation)[:-1]


def test_the_conversation_of_a_run_that_is_going_on_can_be_read_and_has_no_half_message() -> None:
    probe = Probe("Well")
    workflow = Workflow(Agent("a", probe))
    run = workflow.start("Hi")
    assert probe.waits.wait(WAIT)
    assert words(workflow.conversation) == [("user", "Hi")]
    run.dispose()


# -- inputs


async def _async_words() -> AsyncIterator[str]:
    yield "one"
    yield "two"


async def _one_word() -> str:
    return "one"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: "one", ["one"]),
        (lambda: WorkflowInput("one", name="Ann"), ["one"]),
        (lambda: {"text": "one"}, ["one"]),
        (lambda: {"role": "user", "content": "one"}, ["one"]),
        (lambda: ["one", ["two", UserMessage("three")]], ["one", "two", "three"]),
        (lambda: (word for word in ("one", "two")), ["one", "two"]),
        (lambda: rx.of("one", "two"), ["one", "two"]),
        (_async_words, ["one", "two"]),
        (_one_word, ["one"]),
        (lambda: Conversation([UserMessage("one"), UserMessage("two")]), ["one", "two"]),
        (lambda: say("one", "two"), ["one", "two"]),
        (lambda: None, []),
    ],
)
def test_a_run_takes_whatever_say_takes(given: Callable[[], Any], said: list[str]) -> None:
    llm = ScriptedLLM(["Yes."])
    workflow = Workflow(Agent("a", llm))
    assert workflow.run(given()) == "done"
    assert [text for _, text in words(workflow.conversation)] == [*said, "Yes."]
    assert [message["content"] for message in llm.requests[0].messages] == said


@pytest.mark.parametrize("thing", [3, 2.5, True, b"bytes", object(), {"colour": "red"}, ["ok", 3], str])
def test_input_that_is_no_message_is_refused_at_the_call_naming_its_type(thing: Any) -> None:
    workflow = parrot("never")
    named = {dict: "colour", list: "int"}.get(type(thing), type(thing).__name__)
    calls: list[Callable[[Any], Any]] = [
        workflow.run, workflow.run_stream, workflow.arun_stream, workflow.observe, workflow.start,
        lambda input: asyncio.run(workflow.arun(input)),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InputError, match=named):
            call(thing)
    assert len(workflow.conversation) == 0
    assert workflow.run("Hi") == "done"  # no run was begun


def test_input_that_turns_out_to_be_no_message_is_the_runs_error() -> None:
    markers = list(parrot("never").run_stream(rx.of("one", 3)))
    assert kinds(markers) == ["error", "result"]
    assert markers[0][1]["type"] == "InputError"
    assert "int" in markers[0][1]["message"]


def test_an_exception_as_input_fails_the_run_in_its_place() -> None:
    workflow = parrot("never")
    result = workflow.run(["one", RuntimeError("no input")])
    assert result == "agent-error"
    assert str(result.error) == "no input"
    assert words(workflow.conversation) == [("user", "one")]


# -- askables


def test_a_function_agent_is_asked() -> None:
    @agent
    def shouter(transcript: Transcript) -> str:
        return transcript[-1].text.upper()

    assert Workflow(shouter).run("hi").text == "HI"


def test_a_live_agent_hears_the_conversation_so_far() -> None:
    @agent.live
    async def listener(messages: Any) -> AsyncIterator[str]:
        async for message in messages:
            yield f"heard {(await message).text}"

    workflow = Workflow(listener, conversation=Conversation([UserMessage("one")]))
    workflow.run("two")
    assert [text for _, text in words(workflow.conversation)] == ["one", "two", "heard one", "heard two"]


def test_a_pipe_of_agents_is_an_operator_like_any() -> None:
    first, second = Agent("first", ScriptedLLM(["A"] * 2)), Agent("second", ScriptedLLM(["B"] * 2))
    workflow = Workflow(lambda source: source.pipe(first, second))
    result = workflow.run("Hi")
    assert (result, result.text) == ("done", "B")
    assert next(mark.path for mark, _ in workflow.run_stream("Hi")) == ("second",)


def test_as_agent_puts_a_pipe_into_a_block() -> None:
    shout = map_tokens(str.upper)
    shouter = as_agent("shouter", lambda source: source.pipe(Agent("a", ScriptedLLM(["hi"])), shout))
    markers = list(Workflow(shouter).run_stream("Hi"))
    assert [content for mark, content in markers if mark in ("start", "end")] == [
        "shouter", "a", "a", "shouter",
    ]  # fmt: skip
    assert markers[-4][1][0]["content"] == "HI"


def test_what_is_no_operator_is_refused_and_what_gives_none_fails_the_run() -> None:
    with pytest.raises(ConfigurationError, match="str"):
        Workflow("agent")  # type: ignore[arg-type]
    result = Workflow(lambda source: [1, 2]).run("Hi")  # type: ignore[arg-type, return-value]
    assert result == "agent-error"
    assert isinstance(result.error, ConfigurationError)
    assert "list" in str(result.error)


# -- one run at a time


@pytest.mark.parametrize("thing", [[], [UserMessage("q")], "text", 0])
def test_what_is_no_conversation_is_refused_and_named(thing: Any) -> None:
    parrot = Agent("parrot", ScriptedLLM([]))
    with pytest.raises(ConfigurationError, match=f"conversation is a {type(thing).__name__}; give"):
        Workflow(parrot, conversation=thing)
    workflow = Workflow(parrot)
    with pytest.raises(ConfigurationError, match="conversation is a"):
        workflow.conversation = thing
    assert len(workflow.conversation) == 0


def test_a_second_run_at_once_is_refused_at_every_entry() -> None:
    probe = Probe("Well")
    workflow = Workflow(Agent("a", probe))
    run = workflow.start("Hi")
    assert probe.waits.wait(WAIT)
    entries: list[Callable[[], Any]] = [
        lambda: workflow.start("again"),
        lambda: workflow.run("again"),
        lambda: next(workflow.run_stream("again")),
        lambda: asyncio.run(workflow.arun("again")),
        lambda: asyncio.run(collected(workflow.arun_stream("again"))),
        lambda: workflow.restart(),
        lambda: setattr(workflow, "conversation", Conversation()),
    ]
    for entry in entries:
        with pytest.raises(WorkflowBusyError, match="fork"):
            entry()
    assert isinstance(heard(workflow.observe("again"))[-1], WorkflowBusyError)
    assert probe.asked == 1
    assert words(workflow.conversation) == [("user", "Hi")]
    run.dispose()
    workflow.restart()


def test_each_subscription_to_observe_is_a_run_of_its_own_that_says_the_input_again() -> None:
    workflow = parrot("one", "two")
    observable = workflow.observe("Hi")
    assert kinds(heard(observable)) == kinds(heard(observable)) == MARKS
    assert [text for _, text in words(workflow.conversation)] == ["Hi", "one", "Hi", "two"]


def test_the_next_run_may_begin_at_once_after_the_last_was_left() -> None:
    probe = Probe("Well")
    workflow = Workflow(Agent("a", probe))

    def broken_out_of() -> None:
        for mark, _ in workflow.run_stream("Hi"):
            if mark == "delta":
                break

    def closed() -> None:
        with workflow.run_stream("Hi") as markers:
            next(markers)
            next(markers)

    def disposed() -> None:
        run = workflow.start("Hi")
        assert probe.waits.wait(WAIT)
        run.dispose()

    def unsubscribed() -> None:
        delta = threading.Event()
        subscription = workflow.observe("Hi").subscribe(lambda marker: marker[0] == "delta" and delta.set())
        assert delta.wait(WAIT)
        subscription.dispose()

    async def async_broken_out_of() -> None:
        async for mark, _ in workflow.arun_stream("Hi"):
            if mark == "delta":
                break
        assert workflow.conversation[-1].finish_reason == "interrupted"
        workflow.start("again").dispose()

    ways = [broken_out_of, closed, disposed, unsubscribed, lambda: asyncio.run(async_broken_out_of())]
    for way in ways:
        workflow.restart()
        probe.waits.clear()
        way()
        # no waiting here: the run that was left is over for whoever left it
        assert words(workflow.conversation)[:2] == [("user", "Hi"), ("assistant", "Well")]
        assert workflow.conversation[1].finish_reason == "interrupted"
        assert next(iter(workflow.run_stream("again")))[0] == "start"


# -- leaving


@pytest.mark.parametrize("way", ["close", "break", "drop", "exception"])
def test_leaving_a_blocking_iterator_disposes_its_run(way: str) -> None:
    probe = Probe("Well", " then")
    workflow = Workflow(Agent("a", probe))
    markers = workflow.run_stream("Hi")
    assert [next(markers)[0] for _ in range(2)] == ["start", "delta"]
    if way == "close":
        markers.close()
        assert list(markers) == []
    elif way == "break":
        for _ in markers:
            break
        del markers
    elif way == "drop":
        del markers
        gc.collect()
    else:
        with pytest.raises(ZeroDivisionError), markers:
            1 / 0  # noqa: B018
    assert probe.left.wait(WAIT)
    assert workflow.conversation[-1].finish_reason == "interrupted"


@pytest.mark.parametrize("way", ["aclose", "context", "break", "drop", "cancel"])
def test_leaving_an_async_iterator_disposes_its_run(way: str) -> None:
    probe = Probe("Well", " then")
    workflow = Workflow(Agent("a", probe))

    async def main() -> None:
        markers = workflow.arun_stream("Hi")
        assert [(await anext(markers))[0] for _ in range(2)] == ["start", "delta"]
        if way == "aclose":
            await markers.aclose()
            assert [marker async for marker in markers] == []
        elif way == "context":
            async with markers:
                pass
        elif way == "break":
            async for _ in markers:
                break
            del markers
        elif way == "drop":
            del markers
            gc.collect()
        else:
            task = asyncio.create_task(collected(markers))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert workflow.conversation[-1].finish_reason == "interrupted"
        # its tasks are cancelled by now, and gone when the loop has come round
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()} or {_no_task()})
        assert probe.left.is_set()

    asyncio.run(main())


def _no_task() -> asyncio.Future[None]:
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


def test_an_iterator_that_was_never_read_never_runs() -> None:
    probe = Probe("Well")
    workflow = Workflow(Agent("a", probe))
    workflow.run_stream("Hi").close()
    closed = workflow.run_stream("Hi")
    closed.close()
    assert list(closed) == []
    del closed
    asyncio.run(workflow.arun_stream("Hi").aclose())
    assert probe.asked == 0
    assert len(workflow.conversation) == 0


def test_closing_from_elsewhere_wakes_whoever_waits_for_the_next_marker() -> None:
    probe = Probe("Well")
    markers = Workflow(Agent("a", probe)).run_stream("Hi")
    got: list[Any] = []
    reader = threading.Thread(target=lambda: got.extend(markers))
    reader.start()
    assert probe.waits.wait(WAIT)
    markers.close()
    reader.join(WAIT)
    assert not reader.is_alive()

    async def main() -> list[Any]:
        markers = Workflow(Agent("a", Probe("Well"))).arun_stream("Hi")
        reader = asyncio.create_task(collected(markers))
        await asyncio.sleep(0)
        await markers.aclose()
        return await reader

    assert "result" not in kinds(asyncio.run(main()))


def test_cancelling_arun_disposes_its_run(marbles: Marbles) -> None:
    llm = marbles.llm("                      Well-let-me-see|")
    marbles.expect_subscriptions(llm).to_be("^----!")
    workflow = Workflow(Agent("a", llm))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(workflow.arun("Hi"), 5.0)
        assert llm.calls.subscriptions.open == 0
        assert words(workflow.conversation) == [("user", "Hi"), ("assistant", "Well")]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    marbles.run(main())


def test_a_subscriber_that_raises_hears_it_and_its_run_is_disposed() -> None:
    probe = Probe("Well")
    errors: list[Exception] = []
    told = threading.Event()

    def on_next(marker: Any) -> None:
        if marker[0] == "delta":
            raise ZeroDivisionError("mine")

    def on_error(error: Exception) -> None:
        errors.append(error)
        told.set()

    Workflow(Agent("a", probe)).observe("Hi").subscribe(on_next, on_error)
    assert told.wait(WAIT)
    assert [str(error) for error in errors] == ["mine"]
    assert probe.left.wait(WAIT)


# -- loops and threads


def test_a_blocking_call_on_the_shared_loop_is_refused() -> None:
    workflow = parrot("Hello.")
    raised: list[str] = []

    def on_next(_: Any) -> None:
        for call in (workflow.run, workflow.run_stream):
            with pytest.raises(BlockingCallError) as caught:
                call("Hi")
            raised.append(str(caught.value))

    heard(say("x").pipe(rx_ops.do_action(on_next)))
    assert "await workflow.arun(" in raised[0]
    assert "async for … in workflow.arun_stream(" in raised[1]
    assert workflow.run("Hi") == "done"


def test_blocking_calls_work_where_the_thread_has_a_running_loop() -> None:
    async def notebook() -> None:
        workflow = parrot("Hello.", "Fine.", "Bye.")
        assert workflow.run("Hi").text == "Hello."
        assert kinds(list(workflow.run_stream("Hi"))) == MARKS[:1] + ["delta"] * 4 + MARKS[-3:]
        assert (await workflow.arun("Hi")).text == "Bye."

    asyncio.run(notebook())


def test_a_started_run_is_on_the_loop_of_its_thread_or_else_on_the_shared_one() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    @agent
    async def where(_: Transcript) -> None:
        loops.append(asyncio.get_running_loop())

    async def main() -> bool:
        await Workflow(where).start("Hi")
        return loops[-1] is asyncio.get_running_loop()

    assert asyncio.run(main())
    heard(Workflow(where).start("Hi"))
    assert loops[-1] is shared_loop()


def test_a_hundred_threads_with_a_workflow_each_work_side_by_side() -> None:
    count = 100
    together = threading.Barrier(count, timeout=WAIT)

    def one(number: int) -> list[str]:
        workflow = parrot(f"one {number}", f"two {number}", f"three {number}")
        together.wait()
        first = workflow.run("Hi").text
        second = next(content[0] for mark, content in workflow.run_stream("Hi") if mark == "response")
        third = asyncio.run(workflow.arun("Hi")).text
        assert len(workflow.conversation) == 6
        return [first, second["content"], third]

    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(one, range(count)))
    assert results == [[f"{word} {number}" for word in ("one", "two", "three")] for number in range(count)]


def test_threads_that_race_for_one_workflow_get_one_run_and_clear_errors() -> None:
    probe = Probe("Well")
    workflow = Workflow(Agent("a", probe))
    together = threading.Barrier(20, timeout=WAIT)

    def one(_: int) -> Any:
        together.wait()
        try:
            return workflow.start("Hi")
        except WorkflowBusyError:
            return None

    with ThreadPoolExecutor(20) as pool:
        runs = [run for run in pool.map(one, range(20)) if run is not None]
    assert len(runs) == 1
    runs[0].dispose()


def test_one_model_serves_several_loops_at_once_and_one_after_the_other() -> None:
    with OpenAIServer(lambda body: f"re: {body['messages'][-1]['content']}") as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")

        async def ask(text: str) -> str:
            answers = await asyncio.gather(
                *(Workflow(Agent("a", llm)).arun(f"{text} {number}") for number in range(3))
            )
            return " ".join(answer.text for answer in answers)

        for number in range(2):
            assert asyncio.run(ask(str(number))) == " ".join(f"re: {number} {each}" for each in range(3))
        with ThreadPoolExecutor(4) as pool:
            texts = list(pool.map(lambda number: asyncio.run(ask(str(number))), range(4)))
        assert texts == [" ".join(f"re: {n} {each}" for each in range(3)) for n in range(4)]
        assert Workflow(Agent("a", llm)).run("x").text == "re: x"


def test_a_run_whose_loop_ends_ends_as_cancelled_and_frees_its_workflow(caplog: Any) -> None:
    probe = Probe("Well")
    workflow = Workflow(Agent("a", probe))

    async def main() -> Any:
        run = workflow.start("Hi")
        async for mark, _ in aiter_of(run.markers()):
            if mark == "delta":
                return run
        return None

    run = asyncio.run(main())
    assert not caplog.records
    assert run.result == "agent-error"
    assert type(run.result.error).__name__ == "RunCancelledError"
    assert words(workflow.conversation) == [("user", "Hi"), ("assistant", "Well")]
    workflow.restart()


def test_a_workflow_does_not_keep_what_it_ran() -> None:
    workflow = parrot("Hello.")
    run = workflow.start("Hi")
    heard(run)
    assert all(run is not each for each in gc.get_referrers(workflow))
    assert workflow._session._current is None


# -- programs


def program(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-W", "error", "-c", textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    with process:
        try:
            return process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


PREAMBLE = """
import sys
from rxagents import Agent, OpenAILLM, ScriptedLLM, Workflow, say
from rxagents.operators import text
"""


def test_a_script_that_ends_in_subscribe_print_prints_all(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        PREAMBLE
        + textwrap.dedent("""
        with_server = OpenAILLM("gpt-test", base_url=sys.argv[1], api_key="any")
        physicist = Agent("physicist", with_server)
        poet = Agent("poet", with_server)
        say("Why is the sky blue?").pipe(physicist, poet, text()).subscribe(print)
        """)
    )
    with OpenAIServer(["Rayleigh scattering.", "Blue, because."], delay=0.02) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script), server.base_url],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Blue\n,\n because\n.\n"


def test_a_script_whose_last_line_starts_a_run_runs_it_to_its_end() -> None:
    with OpenAIServer(["Hello there."], delay=0.02) as server:
        out, err = finished(
            program(
                PREAMBLE
                + """
run = Workflow(Agent("a", OpenAILLM("gpt-test", base_url=sys.argv[1], api_key="any"))).start("Hi")
run.on_end(lambda run: print(run.result, run.result.text))
""",
                server.base_url,
            )
        )
    assert (out, err) == ("done Hello there.\n", "")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("for mark, content in stream:\n    if content == {**content, 'content': 'one'}: break", 0),
        ("for mark, content in stream:\n    if content == {**content, 'content': 'one'}: 1 / 0", 1),
    ],
)
def test_a_script_that_breaks_out_of_an_iterator_it_still_holds_ends(body: str, code: int) -> None:
    with OpenAIServer([Stalled(4, "one two three")]) as server:
        process = program(
            PREAMBLE
            + """
workflow = Workflow(Agent("a", OpenAILLM("gpt-test", base_url=sys.argv[1], api_key="any")))
stream = workflow.run_stream("Hi")
next(stream)
"""
            + body,
            server.base_url,
        )
        _, err = finished(process)
        assert process.returncode == code, err
        assert server.requests[0].wait_closed(WAIT)


INTERRUPTED = {
    "run": "workflow.run('Hi')",
    "run_stream": "for mark, content in workflow.run_stream('Hi'): print(mark)",
    "print": "for mark, content in workflow.run_stream('Hi'):\n    if mark == 'delta': signal.pause()",
    "arun": "asyncio.run(workflow.arun('Hi'))",
}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent to a process here")
@pytest.mark.parametrize("way", ["run", "run_stream", "print", "arun"])
def test_ctrl_c_ends_the_run_and_the_program(way: str) -> None:
    with OpenAIServer([Stalled(4, "one two three")]) as server:
        process = program(
            PREAMBLE
            + f"""
import asyncio, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
workflow = Workflow(Agent("a", OpenAILLM("gpt-test", base_url=sys.argv[1], api_key="any")))
{INTERRUPTED[way]}
""",
            server.base_url,
        )
        with process:
            assert server.wait_for_requests(1, WAIT)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert process.returncode in (1, -signal.SIGINT, 130), err
            assert err.rstrip().endswith("KeyboardInterrupt"), err
            assert server.requests[0].wait_closed(WAIT)


def test_a_poem_is_printed_as_it_comes() -> None:
    got: list[str] = []
    ended = threading.Event()
    physicist, poet = Agent("physicist", ScriptedLLM(["Scattering."])), Agent("poet", ScriptedLLM(["O sky."]))
    say("Why?").pipe(physicist, poet, text()).subscribe(got.append, on_completed=ended.set)
    assert ended.wait(WAIT)
    assert got == ["O", " sky", "."]


def test_a_tool_may_run_a_workflow_of_its_own() -> None:
    inner = parrot("42")
    outer = Agent("outer", ScriptedLLM([Call("ask"), "It is 42."]))

    @outer.register_tool(description="Asks somebody else")
    def ask() -> str:
        return inner.run("What is it?").text

    workflow = Workflow(outer)
    results = [content for mark, content in workflow.run_stream("?") if mark == "function_result"]
    assert [result["result"] for result in results] == ["42"]


def test_workflows_may_be_nested_as_operators() -> None:
    with contextlib.closing(parrot("unused").run_stream("Hi")):
        pass
    inner = Agent("inner", ScriptedLLM(["A"]))
    outer = Workflow(as_agent("outer", lambda source: source.pipe(inner)))
    assert outer.run("Hi").text == "A"
