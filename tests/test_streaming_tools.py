"""Tools that stream: generators, observables, messages and conversations, live in the markers."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops

from rxagents import (
    Agent,
    Context,
    Message,
    OpenAILLM,
    ScriptedLLM,
    Sequence,
    StateUpdate,
    Tool,
    Usage,
    Workflow,
    say,
)
from rxagents.blocks import Block
from rxagents.engine.emitters import Emitter
from rxagents.errors import ModelError, ToolFailedError, ToolTimeoutError
from rxagents.llm import Call
from rxagents.operators import until
from rxagents.streams import MessageStream
from rxagents.testing import Marbles, OpenAIServer, Paused, virtual
from rxagents.tooling.contexts import TurnState
from rxagents.transcripts import Transcript

WAIT = 10.0


def progress(text: str, name: str = "dig", id: str = "call_1") -> dict[str, Any]:
    """As a lane shows it."""
    return {"progress": {"id": id, "name": name, "content": text}}


class Heard:
    """A call of a tool by itself, with what it showed and changed."""

    def __init__(self, tool: Tool | Callable[..., Any], arguments: str = "", **options: Any) -> None:
        self.tool = tool if isinstance(tool, Tool) else Tool(tool, **options)
        self.shown: list[str] = []
        self.turn = TurnState(Transcript())
        self.arguments = arguments

    async def call(self) -> str:
        return await self.tool.call(self.arguments, context=Context(self.turn, self.shown.append))

    def result(self) -> str:
        return asyncio.run(self.call())


# --- generators -----------------------------------------------------------------------------------


def test_a_generator_runs_in_a_thread_and_its_last_value_is_the_result() -> None:
    threads: set[threading.Thread] = set()

    def dig(to: int) -> Iterator[Any]:
        for number in range(to):
            threads.add(threading.current_thread())
            yield number

    heard = Heard(dig, '{"to": 3}')
    assert (heard.tool.streams, heard.tool.is_async) == (True, False)
    assert heard.result() == "2"
    assert heard.shown == ["0", "1", "2"]
    assert threading.main_thread() not in threads
    assert len(threads) == 1
    assert Heard(dig, '{"to": 0}').result() == "null"


def test_what_a_generator_returns_is_the_result_and_no_progress() -> None:
    def dig() -> Any:
        yield "half"
        return {"found": 214}

    heard = Heard(dig)
    assert heard.result() == '{"found":214}'
    assert heard.shown == ["half"]


def test_changes_that_a_generator_yields_or_returns_are_neither_progress_nor_result() -> None:
    def dig() -> Any:
        yield StateUpdate("variables", variables={"a": 1})
        yield "done", StateUpdate("variables", variables={"b": 2})
        return StateUpdate("variables", variables={"c": 3})

    heard = Heard(dig)
    assert heard.result() == "done"
    assert heard.shown == ["done"]
    assert dict(heard.turn.transcript.variables) == {"a": 1, "b": 2, "c": 3}

    def only() -> Any:
        yield StateUpdate("variables", variables={"a": 1})

    heard = Heard(only)
    assert (heard.result(), heard.shown) == ("done", [])


def test_a_generator_that_a_function_gives_streams_and_a_generator_expression_is_a_list() -> None:
    def dig() -> Any:
        yield 1
        yield 2

    @functools.wraps(dig)
    def wrapped() -> Any:
        return dig()

    async def later() -> Any:
        return dig()

    for function in (wrapped, later):
        heard = Heard(function)
        assert (heard.result(), heard.shown) == ("2", ["1", "2"])
    assert Heard(lambda: (n for n in (1, 2)), name="f").result() == "[1,2]"


def test_an_async_generator_that_a_function_gives_streams() -> None:
    async def dig() -> Any:
        yield 1
        yield 2

    async def later() -> Any:
        return dig()

    for function in (dig, later, lambda: dig()):
        heard = Heard(function, name="dig")
        assert (heard.result(), heard.shown) == ("2", ["1", "2"])


def test_a_generator_that_raises_is_a_failure_after_what_it_showed() -> None:
    def dig() -> Any:
        yield "half"
        raise KeyError("lost")

    heard = Heard(dig)
    with pytest.raises(ToolFailedError, match="the tool 'dig' failed: KeyError: 'lost'"):
        heard.result()
    assert heard.shown == ["half"]


def test_a_generator_is_closed_at_its_next_step_once_nobody_waits() -> None:
    reached, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def dig() -> Any:
        try:
            yield "half"
            reached.set()
            go_on.wait(WAIT)
            yield "never shown"
            raise AssertionError("was resumed")
        finally:
            closed.set()

    heard = Heard(dig)

    async def main() -> None:
        task = asyncio.create_task(heard.call())
        await asyncio.to_thread(reached.wait, WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert await asyncio.to_thread(closed.wait, WAIT)

    asyncio.run(main())
    assert heard.shown == ["half"]


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.integers() | st.text(max_size=3) | st.none(), max_size=5), how=st.integers(0, 3))
def test_however_it_streams_a_tool_shows_and_gives_the_same(steps: list[Any], how: int) -> None:
    def generator() -> Any:
        yield from steps

    async def async_generator() -> Any:
        for step in steps:
            yield step

    def observable() -> Any:
        return rx.from_iterable(steps)

    async def async_observable() -> Any:
        return rx.from_iterable(steps)

    heard = Heard([generator, async_generator, observable, async_observable][how])
    texts = [step if isinstance(step, str) else "null" if step is None else str(step) for step in steps]
    assert heard.result() == (texts[-1] if texts else "null")
    assert heard.shown == texts


# --- observables ----------------------------------------------------------------------------------


def test_what_an_observable_emits_is_progress_at_its_time(marbles: Marbles) -> None:
    source = marbles.cold("--1--2--|")
    llm = marbles.llm("@dig|", "(Oh|)")
    agent = Agent("a", llm, tools=[Tool(lambda: source, name="dig")])
    marbles.expect(say("q").pipe(agent)).to_be(
        """
           (a|)
        a  m-----------|
        m  @dig--1--2--(=2 Oh|)
        """,
        **{"1": progress("1"), "2": progress("2")},
    )
    marbles.expect_subscriptions(source).to_be("----^-------!")


def test_an_observable_that_fails_fails_the_call(marbles: Marbles) -> None:
    source = marbles.cold("--1--#", error=ValueError("no luck"))
    llm = marbles.llm("@dig|", "(Oh|)")
    agent = Agent("a", llm, tools=[Tool(lambda: source, name="dig")])
    marbles.expect_markers(Workflow(agent).observe("q"), only=["delta", "function_result"]).to_be(
        [(0, "delta", ...), (6, "delta", ...), (9, "function_result", ...), (9, "delta", ...)]
    )
    marbles.flush()
    said = llm.requests[1].messages[-1]["content"]
    assert said.startswith("Error: the tool 'dig' failed: ValueError: no luck\n")


def test_an_observable_is_disposed_when_the_turn_is_cut_and_when_time_is_up(marbles: Marbles) -> None:
    source = marbles.cold("--1--------------")
    llm = marbles.llm("@dig|")
    stop = marbles.hot("----------s")
    agent = Agent("a", llm, tools=[Tool(lambda: source, name="dig")])
    marbles.expect(say("q").pipe(agent, until(stop))).to_be(
        """
           (a)-------|
        a  m---------~
        m  @dig--1---~
        """,
        **{"1": progress("1")},
    )
    marbles.expect_subscriptions(source).to_be("----^-----!")


@virtual
async def test_an_observable_is_disposed_when_time_is_up() -> None:
    disposed: list[float] = []
    loop = asyncio.get_running_loop()
    endless = Emitter(lambda sink: lambda: disposed.append(loop.time()))
    begun = loop.time()
    with pytest.raises(ToolTimeoutError, match="the tool 'dig' did not answer within 3 s"):
        await Heard(lambda: endless, name="dig", timeout=3).call()
    assert disposed == [begun + 3]


def test_changes_that_an_observable_emits_change_the_conversation() -> None:
    heard = Heard(lambda: rx.of("half", StateUpdate("variables", variables={"a": 1})), name="dig")
    assert heard.result() == "half"
    assert heard.shown == ["half"]
    assert dict(heard.turn.transcript.variables) == {"a": 1}


def test_an_observable_may_emit_on_another_thread() -> None:
    heard = Heard(lambda: rx.timer(0.001).pipe(ops.map(lambda _: "late")), name="dig")
    assert heard.result() == "late"
    assert heard.shown == ["late"]


def test_a_function_that_says_it_gives_an_observable_may_block() -> None:
    threads: list[threading.Thread] = []

    def dig() -> rx.Observable[int]:
        threads.append(threading.current_thread())
        return rx.of(1)

    heard = Heard(dig)
    assert (heard.tool.is_async, heard.result()) == (False, "1")
    assert threads != [threading.main_thread()]


# --- messages and conversations -------------------------------------------------------------------


def test_a_message_is_shown_token_by_token_and_its_text_is_the_result(marbles: Marbles) -> None:
    said = marbles.message("-Hel-lo-|")
    llm = marbles.llm("@dig|", "(Oh|)")
    agent = Agent("a", llm, tools=[Tool(lambda: said, name="dig")])
    marbles.expect(say("q").pipe(agent)).to_be(
        """
           (a|)
        a  m-----------|
        m  @dig-h---l--(=Hello Oh|)
        """,
        h=progress("Hel"),
        l=progress("lo"),
    )


def test_what_another_agent_is_asked_is_shown_and_paid(marbles: Marbles) -> None:
    other = Agent("other", marbles.llm("-Hel-lo-|", usage=Usage(total_tokens=7)))
    llm = marbles.llm("@dig|", "(Oh|)", name="own")

    async def dig() -> Any:
        return other.ask("Why?")

    conversation = Workflow(Agent("a", llm, tools=[dig]))
    run = conversation.observe("q")
    marbles.expect_markers(run, only=["delta", "function_result"]).to_be(
        [
            (0, "delta", ...),
            (5, "delta", ...),
            (9, "delta", ...),
            (12, "function_result", ...),
            (12, "delta", ...),
        ]
    )
    marbles.flush()
    assert conversation.conversation.transcript.usage.total_tokens == 7
    assert conversation.conversation[-1].steps[-1].text == "Hello"


def test_a_conversation_that_is_cut_is_cancelled(marbles: Marbles) -> None:
    inner = marbles.llm("-Hel-------------------|")
    other = Agent("other", inner)
    llm = marbles.llm("@dig|", name="own")
    stop = marbles.hot("----------s")

    async def dig() -> Any:
        return other.ask("Why?")

    marbles.expect(say("q").pipe(Agent("a", llm, tools=[dig]), until(stop))).to_be(
        """
           (a)-------|
        a  m---------~
        m  @dig-h----~
        """,
        h=progress("Hel"),
    )
    marbles.expect_subscriptions(inner).to_be("----^-----!")


def test_a_conversation_that_fails_fails_the_call(marbles: Marbles) -> None:
    other = Agent("other", marbles.llm("-Hel-#", error=ModelError("gone")))
    llm = marbles.llm("@dig|", "(Oh|)", name="own")
    agent = Agent("a", llm, tools=[Tool(lambda: say("Why?").pipe(other), name="dig")])
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(9, "function_result", ...)]
    )
    marbles.flush()
    assert "the tool 'dig' failed: ModelError: gone" in llm.requests[1].messages[-1]["content"]


def test_what_was_said_before_a_conversation_failed_is_paid(marbles: Marbles) -> None:
    first = Agent("first", marbles.llm("-Hi|", usage=Usage(total_tokens=7)))
    second = Agent("second", marbles.llm("-#", error=ModelError("gone")))
    llm = marbles.llm("(@dig|)", "(Oh|)", name="own")
    tool = Tool(lambda: say("Why?").pipe(Sequence("both", [first, second])), name="dig")
    flow = Workflow(Agent("a", llm, tools=[tool]))
    marbles.expect_markers(flow.observe("q"), only=["result"]).to_be([(4, "result", "done")])
    marbles.flush()
    assert flow.conversation.transcript.usage.total_tokens == 7
    assert "ModelError: gone" in llm.requests[1].messages[-1]["content"]


def test_a_message_that_is_given_whole_is_its_text() -> None:
    async def dig() -> Message:
        return Message(role="assistant", content="Hello")

    assert Heard(dig).result() == "Hello"
    assert Heard(lambda: MessageStream.of(Message(role="user", content="Hi")), name="f").result() == "null"


def test_of_values_and_messages_the_last_is_the_result() -> None:
    message = Message(role="assistant", content="Hello")
    heard = Heard(lambda: rx.of(1, MessageStream.of(message)), name="f")
    assert (heard.result(), heard.shown) == ("Hello", ["1", "Hello"])
    heard = Heard(lambda: rx.of(MessageStream.of(message), 2), name="f")
    assert (heard.result(), heard.shown) == ("2", ["Hello", "2"])


def test_a_change_after_a_message_is_no_result() -> None:
    message = Message(role="assistant", content="Hello")
    heard = Heard(
        lambda: rx.of(MessageStream.of(message), StateUpdate("variables", variables={"a": 1})), name="f"
    )
    assert (heard.result(), heard.shown) == ("Hello", ["Hello"])
    assert dict(heard.turn.variables) == {"a": 1}


def test_what_changes_in_another_conversation_changes_that_one_only() -> None:
    def note(context: Context) -> str:
        context["noted"] = True
        return "noted"

    other = Agent("other", ScriptedLLM([Call("note", {}), "Done."]), tools=[note])
    heard = Heard(lambda: other.ask("Note it."), name="f")
    assert (heard.result(), "".join(heard.shown)) == ("Done.", "Done.")
    assert dict(heard.turn.variables) == {}
    change = StateUpdate("variables", variables={"noted": True})
    said = MessageStream.of(Message(role="assistant", content="Done."))
    heard = Heard(lambda: Block("other", rx.of(change, said)), name="f")
    assert (heard.result(), heard.shown) == ("Done.", ["Done."])
    assert dict(heard.turn.variables) == {}


def test_what_a_call_shows_when_it_has_been_answered_is_not_shown() -> None:
    kept: list[Context] = []

    async def keep(context: Context) -> str:
        context.progress("in time")
        kept.append(context)
        return "kept"

    async def dig() -> str:
        kept[0].progress("late")
        return "dug"

    llm = ScriptedLLM([Call("keep", {}), Call("dig", {}), "Oh."])
    marks = Workflow(Agent("a", llm, tools=[keep, dig])).run_stream("q")
    deltas = [content for mark, content in marks if mark == "delta"]
    assert [each["progress"]["content"] for each in deltas if "progress" in each] == ["in time"]


# --- over HTTP ------------------------------------------------------------------------------------


def test_progress_is_live_in_the_markers_over_http() -> None:
    seen, stepped = threading.Event(), threading.Event()

    def dig() -> Any:
        yield "half way"
        # the run must have shown it before this ends, or nobody would let it go on
        assert seen.wait(WAIT)
        stepped.set()
        yield "214"

    def answer(body: dict[str, Any]) -> Any:
        return "Found it." if body["messages"][-1]["role"] == "tool" else Call("dig")

    with OpenAIServer(answer) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        marks: list[Any] = []
        for mark, content in Workflow(Agent("a", llm, tools=[dig])).run_stream("q"):
            if mark == "delta" and content.get("progress"):
                marks.append(content["progress"])
                seen.set()
            elif mark in ("function_result", "response"):
                marks.append(content)
        sent = server.requests[1].body["messages"][-1]
    assert stepped.is_set()
    assert marks[:2] == [
        {"id": "call_1", "name": "dig", "content": "half way"},
        {"id": "call_1", "name": "dig", "content": "214"},
    ]
    assert marks[2]["result"] == "214"
    assert (sent["role"], sent["content"]) == ("tool", "214")


def test_another_agents_response_closes_on_the_wire_when_the_turn_is_cut() -> None:
    def answer(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["content"] == "Why?":
            return Paused(3, "one two three four")
        return Call("dig")

    with OpenAIServer(answer) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        other = Agent("other", llm)

        async def dig() -> Any:
            return other.ask("Why?")

        stop = rx.Subject[str]()
        seen = False
        flow = Workflow(lambda source: source.pipe(Agent("a", llm, tools=[dig]), until(stop)))
        for mark, content in flow.run_stream("q"):
            if mark == "delta" and content.get("progress") and not seen:
                seen = True
                stop.on_next("stop")
        assert seen
        assert server.requests[1].wait_closed(WAIT)
        assert not server.requests[1].completed
