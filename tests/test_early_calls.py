"""Early calls: a call that starts as soon as its arguments are whole, while the model still speaks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Subject
from reactivex import operators as ops

from rxagents import Agent, ModelError, OpenAILLM, Tool, Workflow, say
from rxagents.calling.early_calls import EarlyCalls
from rxagents.llm import Call, Reply
from rxagents.operators import until
from rxagents.testing import Marbles, OpenAIServer, Paused
from rxagents.values import FunctionResult, ToolCall, delta

WAIT = 10.0


def fragment(arguments: str = "", id: str | None = None, name: str | None = None, index: Any = 0) -> Any:
    """A delta with a piece of a call."""
    function = {"arguments": arguments, "name": name}
    return delta(tool_calls=[{"id": id, "function": function, "type": "function", "index": index}])


def progress(text: str, name: str = "dig", id: str = "call_1") -> dict[str, Any]:
    """As a lane shows it."""
    return {"progress": {"id": id, "name": name, "content": text}}


# --- in time --------------------------------------------------------------------------------------


def test_a_call_starts_while_the_model_still_speaks(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "------h---(x|)")
    own = marbles.tool("own", "---(y|)")
    llm = marbles.llm("-@dig-------@own-|", "(Oh|)")
    agent = Agent("a", llm, tools=[dig, own], early_calls=True)
    marbles.expect(say("q").pipe(agent)).to_be(
        """
           (a|)
        a  m----------------|
        m  -@dig--h----@own-(=x =y Oh|)
        """,
        h=progress("h"),
    )
    marbles.expect_subscriptions(dig).to_be("-^---------!")
    marbles.expect_subscriptions(own).to_be("------------^--!")
    marbles.flush()
    sent = llm.requests[1].messages[-3:]
    assert [(message["role"], message.get("content")) for message in sent[1:]] == [
        ("tool", "x"),
        ("tool", "y"),
    ]
    assert [call["id"] for call in sent[0]["tool_calls"]] == ["call_1", "call_2"]


def test_without_the_option_it_waits_for_the_whole_message(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "--(x|)")
    llm = marbles.llm("-@dig-----|", "(Oh|)")
    marbles.expect_markers(
        Workflow(Agent("a", llm, tools=[dig])).observe("q"), only=["function_result"]
    ).to_be([(12, "function_result", ...)])
    marbles.expect_subscriptions(dig).to_be("----------^-!")


def test_a_call_that_is_still_at_work_at_the_end_is_waited_for(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "---------------(x|)")
    llm = marbles.llm("-@dig---|", "(Oh|)")
    agent = Agent("a", llm, tools=[dig], early_calls=True)
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(16, "function_result", {"name": "dig", "result": "x", "id": "call_1"})]
    )
    marbles.expect_subscriptions(dig).to_be("-^--------------!")


def test_a_model_that_fails_cancels_the_calls_it_made(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "---------------(x|)")
    llm = marbles.llm("-@dig---#", error=ModelError("gone"))
    agent = Agent("a", llm, tools=[dig], early_calls=True)
    marbles.expect(say("q").pipe(agent)).to_be(
        """
           (a|)
        a  m-------#
        m  -@dig---#
        """,
        error=ModelError("gone"),
    )
    marbles.expect_subscriptions(dig).to_be("-^------!")


def test_a_turn_that_is_cut_cancels_the_calls_at_that_instant(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "---------------(x|)")
    stop = marbles.hot("-------s")
    llm = marbles.llm("-@dig---------------|")
    agent = Agent("a", llm, tools=[dig], early_calls=True)
    marbles.expect_markers(
        Workflow(lambda source: source.pipe(agent, until(stop))).observe("q"), only=["interrupted"]
    ).to_be([(7, "interrupted", ...)])
    marbles.expect_subscriptions(dig).to_be("-^-----!")


def test_a_turn_that_is_cut_at_the_sight_of_a_call_does_not_start_it(marbles: Marbles) -> None:
    begun: list[str] = []

    async def dig() -> str:
        begun.append("dig")
        return "x"

    stop: Subject[str] = Subject()
    agent = Agent("a", marbles.llm("-c---|", c=fragment("{}", "c1", "dig")), tools=[dig], early_calls=True)

    def see(mark: Any) -> None:
        if mark[0] == "delta":
            stop.on_next("stop")

    flow = Workflow(lambda source: source.pipe(agent, until(stop)))
    marbles.expect_markers(flow.observe("q").pipe(ops.do_action(see)), only=["interrupted"]).to_be(
        [(1, "interrupted", ...)]
    )
    marbles.flush()
    assert begun == []


def test_a_turn_that_is_cut_while_it_waits_for_them_cancels_them(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "---------------(x|)")
    stop = marbles.hot("-------s")
    agent = Agent("a", marbles.llm("-@dig|"), tools=[dig], early_calls=True)
    marbles.expect_markers(
        Workflow(lambda source: source.pipe(agent, until(stop))).observe("q"), only=["interrupted"]
    ).to_be([(7, "interrupted", ...)])
    marbles.expect_subscriptions(dig).to_be("-^-----!")


def test_a_restart_makes_the_calls_void_and_those_after_it_run(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "----------(x|)", "-(y|)")
    source = marbles.cold(
        "-abcd|",
        a=fragment("{}", "c1", "dig"),
        b=delta(restart="gone"),
        c=fragment("{}", "c2", "dig"),
        d=fragment(" \n"),
    )
    answers = [source, rx.of("Oh")]
    agent = Agent("a", lambda request: answers.pop(0), tools=[dig], early_calls=True)
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(5, "function_result", {"name": "dig", "result": "y", "id": "c2"})]
    )
    marbles.expect_subscriptions(dig).to_be("-^!", "---^!")


def test_a_call_that_turns_out_another_is_cancelled_and_runs_anew(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "----------(x|)", "-(y|)")
    source = marbles.cold("-a-b-|", a=fragment("{}", "c1", "dig"), b=fragment("!"))
    answers = [source, rx.of("Oh")]
    agent = Agent("a", lambda request: answers.pop(0), tools=[dig], early_calls=True)
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(5, "function_result", ...)]
    )
    # the whole arguments are no JSON, so it is not even begun again
    marbles.expect_subscriptions(dig).to_be("-^-!")
    marbles.allow("unused")


def test_a_tool_may_be_kept_from_it(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "-(x|)", early=False)
    asks = Tool(lambda: "y", name="asks", approval=lambda call: False)
    llm = marbles.llm("-@dig---@asks---@none---|", "(Oh|)")
    agent = Agent("a", llm, tools=[dig, asks], early_calls=True)
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(25, "function_result", ...)] * 3
    )
    marbles.expect_subscriptions(dig).to_be("------------------------^!")


def test_early_calls_count_for_the_limits(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "----------(x|)", "-(y|)", max_concurrent=1)
    llm = marbles.llm("-@dig-@dig-----|", "(Oh|)")
    agent = Agent("a", llm, tools=[dig], early_calls=True)
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(15, "function_result", ...)] * 2
    )
    marbles.expect_subscriptions(dig).to_be("-^---------!", "-----------^!")


def test_a_second_round_starts_its_calls_early_too(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "-(x|)", "-(y|)")
    llm = marbles.llm("-@dig---|", "-@dig---|", "(Oh|)")
    agent = Agent("a", llm, tools=[dig], early_calls=True)
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(8, "function_result", ...), (16, "function_result", ...)]
    )
    marbles.expect_subscriptions(dig).to_be("-^!", "---------^!")


def test_a_tool_is_called_in_the_context_of_its_turn_and_not_of_the_model() -> None:
    place: ContextVar[str] = ContextVar("place", default="the turn's")
    seen: list[str] = []

    async def dig() -> str:
        seen.append(place.get())
        return "x"

    def llm(request: Any) -> Any:
        if request.messages[-1]["role"] == "tool":
            return rx.of("Oh")

        def subscribe(observer: Any, scheduler: Any = None) -> None:
            def speak() -> None:
                place.set("the model's")
                observer.on_next(fragment("{}", "c1", "dig"))
                observer.on_completed()

            asyncio.get_running_loop().call_soon(speak)

        return rx.create(subscribe)

    assert Workflow(Agent("a", llm, tools=[dig], early_calls=True)).run("q") is not None
    assert seen == ["the turn's"]


# --- what is whole --------------------------------------------------------------------------------


class Started:
    """What was started early, of fragments by themselves."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.tasks: list[asyncio.Task[FunctionResult]] = []
        self.early = EarlyCalls(self._start)

    def _start(self, call: ToolCall) -> asyncio.Task[FunctionResult]:
        async def work() -> FunctionResult:
            await asyncio.Event().wait()
            raise AssertionError

        self.calls.append(call)
        self.tasks.append(asyncio.ensure_future(work()))
        return self.tasks[-1]

    async def hear(self, *items: Any) -> list[str]:
        for item in items:
            self.early.hear(item)
        return [call.function["arguments"] for call in self.calls]


@pytest.mark.parametrize(
    ("pieces", "started"),
    [
        (["{}"], ["{}"]),
        (["", "{", "}"], ["{}"]),
        (['{"a":', ' "}"', "}"], ['{"a": "}"}']),
        (['{"a": "\\', '"}"', "}"], ['{"a": "\\"}"}']),
        (['{"a": "\\', "", '\\"}'], ['{"a": "\\\\"}']),
        (['{"a": {"b": [1, {}]}', "}"], ['{"a": {"b": [1, {}]}}']),
        (["{} \n", "  "], ["{} \n"]),
        ([""], []),
        (["[1]"], []),
        (["1"], []),
        (["{]"], []),
        (["}"], []),
        (["{}{}"], []),
        (["{'a': 1}"], []),
        (['{"a": 1'], []),
    ],
)
def test_a_call_is_whole_with_the_end_of_its_object(pieces: Sequence[str], started: list[str]) -> None:
    async def main() -> None:
        heard = Started()
        first, *more = pieces
        assert await heard.hear(fragment(first, "c1", "dig"), *map(fragment, more)) == started
        heard.early.cancel()

    asyncio.run(main())


def test_a_name_that_goes_on_after_the_arguments_makes_it_another_call() -> None:
    async def main() -> None:
        heard = Started()
        assert await heard.hear(fragment("{}", "c1", "dig"), fragment("", None, "ger")) == ["{}"]
        (begun,) = heard.tasks
        whole = ToolCall(id="c1", function={"arguments": "{}", "name": "digger"})
        assert heard.early.taken(whole) is None
        with pytest.raises(asyncio.CancelledError):
            await begun

    asyncio.run(main())


def test_what_is_no_fragment_of_a_call_starts_nothing() -> None:
    async def main() -> None:
        heard = Started()
        odd: list[Any] = [
            "text",
            delta("text"),
            {"tool_calls": "odd"},
            {
                "tool_calls": [
                    None,
                    1,
                    {"function": 3},
                    {"index": "x", "function": {"arguments": 1, "name": 2}},
                ]
            },
            fragment("{}", None, "dig", 5),
            fragment("{}", "c1", None, 6),
        ]
        assert await heard.hear(*odd) == []

    asyncio.run(main())


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    async def main() -> None:
        heard = Started()
        items = [
            fragment('{"a"', "c1", "dig", None),
            fragment(": 1}", None, None, None),
            fragment("{", "c2", "dig", None),
            fragment("}", "c2", None, None),
        ]
        assert await heard.hear(*items) == ['{"a": 1}', "{}"]
        assert [call.id for call in heard.calls] == ["c1", "c2"]
        same = heard.early.taken(ToolCall(id="c1", function={"name": "dig", "arguments": '{"a": 1} '}))
        assert same is not None
        same.cancel()
        assert heard.early.taken(heard.calls[0]) is None, "it is taken once"
        assert heard.early.taken(ToolCall(id="c2", function={"name": "other", "arguments": "{}"})) is None
        heard.early.cancel()

    asyncio.run(main())


@pytest.mark.drops
def test_what_an_early_call_raises_after_it_became_void_is_told() -> None:
    from rxagents import on_dropped

    told: list[str] = []

    async def main() -> None:
        async def work() -> FunctionResult:
            raise ValueError("no")

        early = EarlyCalls(lambda call: asyncio.ensure_future(work()))
        early.hear(fragment("{}", "c1", "dig"))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.sleep(0)

    before = on_dropped(lambda error, what: told.append(f"{what}: {error}"))
    try:
        asyncio.run(main())
    finally:
        on_dropped(before)
    assert told == ["an early call of the tool dig failed after it had become void: no"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(
    calls=st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=3),
    cuts=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    ascii=st.booleans(),
)
def test_however_arguments_are_cut_each_call_starts_once_with_its_last_brace(
    calls: list[dict[str, Any]], cuts: list[int], ascii: bool
) -> None:
    async def main() -> None:
        heard = Started()
        for index, arguments in enumerate(calls):
            text = json.dumps(arguments, ensure_ascii=ascii)
            heard.early.hear(fragment("", f"c{index}", "dig", index))
            at = turn = 0
            while at < len(text):
                assert len(heard.calls) == index
                size = cuts[turn % len(cuts)]
                heard.early.hear(fragment(text[at : at + size], None, None, index))
                at, turn = at + size, turn + 1
            assert [json.loads(call.function["arguments"]) for call in heard.calls] == calls[: index + 1]
        heard.early.cancel()

    asyncio.run(main())


# --- over HTTP ------------------------------------------------------------------------------------


def test_a_tool_works_while_the_response_is_still_open() -> None:
    started = threading.Event()

    def dig(n: int) -> str:
        started.set()
        return f"found {n}"

    def answer(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            return "Oh."
        first, second = Call("dig", {"n": 1}), Call("dig", {"n": 2})
        return Paused(9, Reply("", [first, second]))

    with OpenAIServer(answer) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        flow = Workflow(Agent("a", llm, tools=[dig], early_calls=True))
        run, done = flow.start("q"), threading.Event()
        run.on_end(lambda _: done.set())
        assert started.wait(WAIT), "it starts before the server sends the rest"
        assert not server.requests[0].completed
        server.requests[0].release()
        assert done.wait(WAIT)
        sent = server.requests[1].body["messages"][-2:]
    assert [message["content"] for message in sent] == ["found 1", "found 2"]


def test_an_early_call_is_cancelled_when_the_connection_is_lost() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def dig(n: int) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "never"

    reply = Reply("", [Call("dig", {"n": 1}), Call("dig", {"n": 2})])
    with OpenAIServer(lambda body: Paused(9, reply)) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", max_retries=0)
        run = Workflow(Agent("a", llm, tools=[dig], early_calls=True)).start("q")
        assert begun.wait(WAIT)
    assert cancelled.wait(WAIT)
    run.dispose()
