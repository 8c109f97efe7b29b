"""What bounds the calls of tools: timeouts, how many at once, retries, and the size of results."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import Agent, ConfigurationError, Context, OpenAILLM, Tool, ToolRetry, Workflow, say
from rxagents.engine.limits import Limit
from rxagents.errors import ToolArgumentsError, ToolFailedError, ToolTimeoutError
from rxagents.llm import Call
from rxagents.operators import until
from rxagents.testing import Marbles, OpenAIServer, virtual
from rxagents.tooling.call_limits import CallLimits, shortened
from rxagents.tooling.contexts import TurnState
from rxagents.tooling.toolboxes import Toolbox
from rxagents.transcripts import Transcript
from rxagents.values import ToolCall

WAIT = 10.0


def progress(text: str, name: str = "dig", id: str = "call_1") -> dict[str, Any]:
    """As a lane shows it."""
    return {"progress": {"id": id, "name": name, "content": text}}


def told(agent_llm: Any, request: int = 1) -> str:
    """What the model was told in place of a result."""
    return str(agent_llm.requests[request].messages[-1]["content"])


# --- timeouts -------------------------------------------------------------------------------------


def test_a_tool_without_a_timeout_takes_the_agents(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "---------(x|)")
    own = marbles.tool("own", "------(x|)", timeout=7)
    llm = marbles.llm("(@dig @own|)", "(Oh|)")
    agent = Agent("a", llm, tools=[dig, own], tool_timeout=5)
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(5, "function_result", ...), (6, "function_result", {"name": "own", "result": "x", "id": "call_2"})]
    )
    marbles.expect_subscriptions(dig.calls[0]).to_be("^----!")
    marbles.flush()
    assert "the tool 'dig' did not answer within 5 s" in str(llm.requests[1].messages[-2]["content"])


@pytest.mark.parametrize("seconds", [-1, "5", True, float("nan")])
def test_a_timeout_that_is_none_is_refused(seconds: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"agent a: tool_timeout is .*; it must be a number of seconds"
    ):
        Agent("a", lambda request: None, tool_timeout=seconds)  # type: ignore[arg-type, return-value]


# --- how many at once -----------------------------------------------------------------------------


def test_the_calls_of_a_tool_wait_for_their_places_in_order(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "--(a|)", "---(b|)", "-(c|)", max_concurrent=1)
    agent = Agent("a", marbles.llm("(@dig @dig @dig|)", "(Oh|)"), tools=[dig])
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(2, "function_result", ...), (5, "function_result", ...), (6, "function_result", ...)]
    )
    marbles.expect_subscriptions(dig).to_be("^-!", "--^--!", "-----^!")


def test_two_agents_that_have_one_tool_share_its_places(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "---(x|)", max_concurrent=2)
    agents = [Agent(id, marbles.llm("(@dig @dig|)", "(Oh|)"), tools=[dig]) for id in "ab"]
    for agent, at in zip(agents, (3, 6), strict=True):
        marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
            [(at, "function_result", ...)] * 2
        )
    marbles.expect_subscriptions(dig).to_be("^--!", "^--!", "---^--!", "---^--!")


def test_the_calls_of_an_agent_wait_whichever_tools_they_are_of(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "--(x|)", "--(x|)", max_concurrent=1)
    own = marbles.tool("own", "---(y|)")
    llm = marbles.llm("(@dig @dig @own|)", "(Oh|)")
    agent = Agent("a", llm, tools=[dig, own], max_concurrent_tools=2)
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [(2, "function_result", ...), (4, "function_result", ...), (4, "function_result", ...)]
    )
    # the second call waits for its tool, and keeps no place of the agent's from the third
    marbles.expect_subscriptions(dig).to_be("^-!", "--^-!")
    marbles.expect_subscriptions(own).to_be("^--!")


def test_who_waits_and_is_cut_takes_no_place(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "------(a|)", "--(c|)", max_concurrent=1)
    stop = marbles.hot("   ---s")
    first = Agent("a", marbles.llm("(@dig|)", "(Oh|)"), tools=[dig])
    second = Agent("b", marbles.llm("-(@dig|)"), tools=[dig])
    third = Agent("c", marbles.llm("--(@dig|)", "(Oh|)"), tools=[dig])
    cut = Workflow(lambda source: source.pipe(second, until(stop)))
    marbles.expect_markers(cut.observe("q"), only=["interrupted"]).to_be([(3, "interrupted", ...)])
    for agent, at in [(first, 6), (third, 8)]:
        marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
            [(at, "function_result", ...)]
        )
    marbles.expect_subscriptions(dig).to_be("^-----!", "------^-!")


def test_who_gets_no_place_in_time_is_told_that_nothing_was_done(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "------(a|)", max_concurrent=1)
    llm = marbles.llm("-(@dig|)", "(Oh|)")
    first = Agent("a", marbles.llm("(@dig|)", "(Oh|)"), tools=[dig])
    second = Agent("b", llm, tools=[dig], tool_timeout=2)
    for agent, at in [(first, 6), (second, 3)]:
        marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
            [(at, "function_result", ...)]
        )
    marbles.expect_subscriptions(dig).to_be("^-----!")
    marbles.flush()
    assert told(llm) == (
        "Error: the tool 'dig' did not begin within 2 s, "
        "since as many calls as may run at once were running\n"
        "It has done nothing. Call it again later, or go on without it."
    )


def test_an_abandoned_thread_keeps_its_place_until_it_has_ended() -> None:
    entered, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def dig(n: int) -> str:
        calls.append(n)
        entered.set()
        go_on.wait(WAIT)
        return "done"

    tool = Tool(dig, max_concurrent=1, timeout=60)

    async def main() -> None:
        first = asyncio.create_task(tool.call('{"n": 1}'))
        await asyncio.to_thread(entered.wait, WAIT)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(ToolTimeoutError, match="did not begin within 0 s"):
            await Tool(dig, name="other").call(
                '{"n": 2}', defaults=CallLimits(0, places=tool._attempts.places)
            )
        second = asyncio.create_task(tool.call('{"n": 3}'))
        go_on.set()
        assert await second == "done"

    asyncio.run(main())
    assert calls == [1, 3]


def test_a_thread_that_nobody_waits_for_any_more_does_not_begin() -> None:
    """Cancelled between its place and its thread: the function is not called, the place is free again."""
    calls: list[int] = []
    tool = Tool(lambda: calls.append(1), name="dig", max_concurrent=1)

    async def main() -> None:
        threads = Limit(1)
        await threads.acquire()
        task = asyncio.create_task(tool.call("", limit=threads))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        threads.release()
        assert calls == []
        assert await tool.call("", limit=threads) == "null"

    asyncio.run(main())
    assert calls == [1]


def test_one_tool_is_bounded_on_all_loops_together() -> None:
    lock = threading.Lock()
    out = most = 0

    def dig() -> str:
        nonlocal out, most
        with lock:
            out += 1
            most = max(most, out)
        for _ in range(100):
            threading.Event().wait(0)
        with lock:
            out -= 1
        return "done"

    tool = Tool(dig, max_concurrent=2)

    async def many() -> list[str]:
        return list(await asyncio.gather(*(tool.call("") for _ in range(10))))

    results: list[list[str]] = []
    loops = [threading.Thread(target=lambda: results.append(asyncio.run(many()))) for _ in range(3)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join(WAIT)
    assert results == [["done"] * 10] * 3
    assert most <= 2


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_places_that_are_no_number_are_refused(n: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"the tool 'f': max_concurrent is .*; it must be a number, 1"
    ):
        Tool(print_nothing, name="f", max_concurrent=n)
    with pytest.raises(
        ConfigurationError, match=r"agent a: max_concurrent_tools is .*; it must be a number, 1"
    ):
        Agent("a", lambda request: None, max_concurrent_tools=n)  # type: ignore[arg-type, return-value]


def print_nothing() -> None: ...


@settings(max_examples=30, deadline=None)
@given(
    work=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), min_size=1, max_size=8),
    places=st.integers(1, 3),
)
def test_however_calls_come_and_go_no_more_than_allowed_run_and_all_are_answered(
    work: list[tuple[int, int, bool]], places: int
) -> None:
    out = most = 0

    async def dig(seconds: int) -> str:
        nonlocal out, most
        out += 1
        most = max(most, out)
        try:
            await asyncio.sleep(seconds)
        finally:
            out -= 1
        return "done"

    tool = Tool(dig, max_concurrent=places)

    @virtual
    async def main() -> None:
        async def one(at: int, seconds: int, leaves: bool) -> str | None:
            await asyncio.sleep(at)
            try:
                async with asyncio.timeout(1 if leaves else None):
                    return await tool.call(json.dumps({"seconds": seconds}))
            except TimeoutError:
                return None

        results = await asyncio.gather(*(one(*each) for each in work))
        assert all(
            result == "done" for result, (_, _, leaves) in zip(results, work, strict=True) if not leaves
        )
        # every place was given back
        await asyncio.gather(*(tool.call('{"seconds": 1}') for _ in range(places)))

    main()
    assert most <= places


# --- retry ----------------------------------------------------------------------------------------


def test_a_tool_that_raises_is_called_again(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "-#", "--#", "-(x|)", retry=2, error=OSError("gone"))
    agent = Agent("a", marbles.llm("@dig|", "(Oh|)"), tools=[dig])
    marbles.expect(say("q").pipe(agent)).to_be(
        """
           (a|)
        a  m-------|
        m  @dig-1-2(=x Oh|)
        """,
        **{
            "1": progress("attempt 1 failed: OSError: gone; again now"),
            "2": progress("attempt 2 failed: OSError: gone; again now"),
        },
    )


def test_the_pauses_grow_up_to_the_longest(marbles: Marbles) -> None:
    retry = ToolRetry(4, delay=1, factor=3, longest=5)
    dig = marbles.tool("dig", "#", "#", "#", "#", "(x|)", retry=retry, error=OSError("gone"))
    llm = marbles.llm("(@dig|)", "(Oh|)")
    marbles.expect_markers(Workflow(Agent("a", llm, tools=[dig])).observe("q"), only=["delta"]).to_be(
        [(at, "delta", ...) for at in (0, 0, 1, 4, 9, 14)]
    )
    marbles.expect_subscriptions(dig).to_be(
        "(^!)", "-(^!)", "----(^!)", "---------(^!)", "--------------(^!)"
    )


def test_the_pauses_never_overflow() -> None:
    assert ToolRetry(5000, delay=1, factor=10.0).pause(5000) == 60
    assert ToolRetry(2, delay=0).pause(1) == 0


def test_between_attempts_others_get_the_place(marbles: Marbles) -> None:
    retry = ToolRetry(1, delay=2)
    dig = marbles.tool("dig", "-#", "--(b|)", "-(a|)", retry=retry, max_concurrent=1)
    agent = Agent("a", marbles.llm("(@dig @dig|)", "(Oh|)"), tools=[dig])
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [
            (4, "function_result", {"name": "dig", "result": "a", "id": "call_1"}),
            (4, "function_result", {"name": "dig", "result": "b", "id": "call_2"}),
        ]
    )
    marbles.expect_subscriptions(dig).to_be("^!", "-^-!", "---^!")


def test_the_model_is_told_of_the_last_attempt(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "#", "#", retry=1, error=OSError("gone"))
    llm = marbles.llm("(@dig|)", "(Oh|)")
    marbles.expect_markers(Workflow(Agent("a", llm, tools=[dig])).observe("q"), only=["result"]).to_be(
        [(0, "result", "done")]
    )
    marbles.flush()
    assert told(llm).startswith("Error: the tool 'dig' failed: OSError: gone (in attempt 2)\n")


def test_a_turn_that_is_cut_makes_no_further_attempt(marbles: Marbles) -> None:
    dig = marbles.tool("dig", "-#", "-(x|)", retry=ToolRetry(1, delay=10))
    stop = marbles.hot("---s")
    agent = Agent("a", marbles.llm("(@dig|)"), tools=[dig])
    flow = Workflow(lambda source: source.pipe(agent, until(stop)))
    marbles.expect_markers(flow.observe("q"), only=["interrupted"]).to_be([(3, "interrupted", ...)])
    marbles.expect_subscriptions(dig).to_be("^!")
    marbles.allow("unused")


class Attempts:
    """A tool that fails in its own ways, attempt by attempt."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = list(errors)
        self.made = 0

    async def dig(self, n: int = 0) -> str:
        error = self.errors[self.made]
        self.made += 1
        if error is not None:
            raise error
        return "found"

    def blocking(self) -> str:
        error = self.errors[self.made]
        self.made += 1
        if error is not None:
            raise error
        return "found"


@pytest.mark.parametrize(
    ("errors", "retry", "made"),
    [
        ([OSError(), None], 1, 2),
        ([OSError()], 0, 1),
        ([OSError(), OSError(), None], 1, 2),
        ([OSError(), ValueError(), None], ToolRetry(5, on=OSError), 2),
        ([OSError(), ValueError(), None], ToolRetry(5, on=(OSError, ValueError)), 3),
        ([ToolArgumentsError("of another"), None], 1, 2),
        ([SystemExit(1), None], 1, 1),
        ([asyncio.CancelledError(), None], 1, 1),
    ],
)
def test_what_is_raised_decides(
    errors: list[BaseException | None], retry: int | ToolRetry, made: int
) -> None:
    attempts = Attempts(*errors)
    tool = Tool(attempts.dig, retry=retry)
    if errors[made - 1] is None:
        assert asyncio.run(tool.call("")) == "found"
    else:
        with pytest.raises(ToolFailedError):
            asyncio.run(tool.call(""))
    assert attempts.made == made


def test_a_blocking_tool_is_tried_again_too() -> None:
    attempts = Attempts(OSError("gone"), None)
    shown: list[str] = []
    context = Context(TurnState(Transcript()), shown.append)
    assert asyncio.run(Tool(attempts.blocking, retry=3).call("", context=context)) == "found"
    assert shown == ["attempt 1 failed: OSError: gone; again now"]


def test_bad_arguments_are_no_reason() -> None:
    attempts = Attempts(None)
    with pytest.raises(ToolArgumentsError):
        asyncio.run(Tool(attempts.dig, retry=3).call('{"n": "x"}'))
    assert attempts.made == 0


def test_each_attempt_gets_the_arguments_as_they_were_sent() -> None:
    seen: list[list[int]] = []

    def dig(items: list[int]) -> str:
        seen.append(list(items))
        items.append(0)
        raise OSError

    with pytest.raises(ToolFailedError):
        asyncio.run(Tool(dig, retry=1).call('{"items": [1]}'))
    assert seen == [[1], [1]]


@pytest.mark.parametrize(
    ("on", "made"), [(Exception, 1), (ToolTimeoutError, 2), ((OSError, ToolTimeoutError), 2)]
)
def test_what_takes_too_long_is_tried_again_only_where_it_is_named(on: Any, made: int) -> None:
    begun: list[float] = []

    async def dig() -> None:
        begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(100)

    @virtual
    async def main() -> None:
        start = asyncio.get_running_loop().time()
        with pytest.raises(
            ToolTimeoutError, match="did not answer within 5 s" + " .in attempt 2." * (made - 1)
        ):
            await Tool(dig, timeout=5, retry=ToolRetry(1, on=on, delay=2)).call("")
        assert [at - start for at in begun] == [0, 7][:made]

    main()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"times": -1}, "retry: times is -1; it must be a number, 0 or more"),
        ({"times": True}, "retry: times is True"),
        ({"times": 1, "on": "Exception"}, "retry: on is 'Exception'; give an exception class"),
        ({"times": 1, "on": (OSError, 1)}, "retry: on is .*; give an exception class, or a tuple of them"),
        ({"times": 1, "delay": -1}, "retry: delay is -1; it must be a number of seconds, 0 or more"),
        ({"times": 1, "longest": None}, "retry: longest is None"),
        ({"times": 1, "factor": 0.5}, "retry: factor is 0.5; it must be a number, 1 or more"),
    ],
)
def test_a_retry_that_does_not_do_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        ToolRetry(**options)


# --- the size of results --------------------------------------------------------------------------


def test_a_result_is_cut_with_a_note() -> None:
    tool = Tool(lambda: "a" * 50 + "b" * 50, name="dig", max_result=30)
    assert asyncio.run(tool.call("")) == (
        "a" * 20 + "\n[70 of 100 characters are left out here]\n" + "b" * 10
    )
    rows = Tool(lambda: [{"n": n} for n in range(100)], name="dig", max_result=6)
    assert asyncio.run(rows.call("")) == (
        '[{"n\n[885 of 891 characters are left out here, so that this is no valid JSON]\n}]'
    )


def test_progress_is_never_cut_and_an_error_is() -> None:
    def dig(fails: bool) -> Any:
        yield "x" * 100
        if fails:
            raise ValueError("y" * 500)

    shown: list[str] = []
    box = Toolbox([Tool(dig, max_result=40)])
    context = Context(TurnState(Transcript()), shown.append)

    def answer(arguments: str) -> str:
        call = ToolCall(id="call_1", function={"name": "dig", "arguments": arguments})
        return asyncio.run(box.answer(call, context=context)).result

    assert answer('{"fails": false}') == (
        "x" * 27 + "\n[60 of 100 characters are left out here]\n" + "x" * 13
    )
    failed = answer('{"fails": true}').splitlines()
    assert failed[0] == "Error: the tool 'dig' failed: Valu"
    assert failed[1] == "[495 of 535 characters are left out here]"
    assert failed[-1].startswith("If the arguments were the cause")
    assert shown == ["x" * 100] * 2


def test_the_tools_own_size_wins_over_the_agents(marbles: Marbles) -> None:
    llm = marbles.llm("(@dig @own|)", "(Oh|)")
    tools = [marbles.tool("dig", "(aaaaaaaaaa|)"), marbles.tool("own", "(bbbbbbbbbb|)", max_result=10)]
    agent = Agent("a", llm, tools=tools, max_tool_result=3)
    marbles.expect_markers(Workflow(agent).observe("q"), only=["function_result"]).to_be(
        [
            (0, "function_result", ...),
            (0, "function_result", {"name": "own", "result": "bbbbbbbbbb", "id": "call_2"}),
        ]
    )
    marbles.flush()
    assert llm.requests[1].messages[-2]["content"] == "aa\n[7 of 10 characters are left out here]\na"


@given(text=st.text(max_size=60), most=st.integers(1, 70))
def test_what_is_left_is_its_beginning_and_its_end(text: str, most: int) -> None:
    told = shortened(text, most)
    if len(text) <= most:
        assert told == text
        return
    ending = most // 3
    note = told[most - ending :].removeprefix("\n")
    assert told.startswith(text[: most - ending])
    assert told.endswith(text[len(text) - ending :])
    assert note.startswith(f"[{len(text) - most} of {len(text)} characters are left out here")


@pytest.mark.parametrize("most", [0, "10", True])
def test_a_size_that_is_no_number_is_refused(most: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"the tool 'f': max_result is .*; it must be a number, 1 or"
    ):
        Tool(print_nothing, name="f", max_result=most)
    with pytest.raises(
        ConfigurationError, match=r"agent a: max_tool_result is .*; it must be a number, 1 or"
    ):
        Agent("a", lambda request: None, max_tool_result=most)  # type: ignore[arg-type, return-value]


# --- where they are given -------------------------------------------------------------------------


def test_register_tool_takes_what_a_tool_takes() -> None:
    agent = Agent("a", lambda request: None)  # type: ignore[arg-type, return-value]
    retry = ToolRetry(1)

    @agent.register_tool(timeout=3, max_concurrent=2, retry=retry, max_result=10, early=False)
    def dig() -> None: ...

    tool = agent.toolbox.get("dig")
    assert tool is not None
    assert (tool.timeout, tool.retry, tool.max_result, tool.early) == (3, retry, 10, False)
    assert tool._attempts.places is not None


def test_a_variant_of_an_agent_has_its_limits() -> None:
    agent = Agent("a", lambda request: None, tool_timeout=3, max_tool_result=10)  # type: ignore[arg-type, return-value]
    made = agent.with_(max_tool_result=20)
    assert (made.toolbox.defaults.timeout, made.toolbox.defaults.max_result) == (3, 20)


def test_limits_hold_over_http() -> None:
    attempts = Attempts(OSError("gone"), None)

    async def dig() -> str:
        return await attempts.dig() + "!" * 100

    def answer(body: dict[str, Any]) -> Any:
        return "Found it." if body["messages"][-1]["role"] == "tool" else Call("dig")

    with OpenAIServer(answer) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        agent = Agent("a", llm, max_tool_result=9)
        agent.register_tool(retry=1)(dig)
        shown = [
            content["progress"]["content"]
            for mark, content in Workflow(agent).run_stream("q")
            if mark == "delta" and content.get("progress")
        ]
        sent = server.requests[1].body["messages"][-1]["content"]
    assert shown == ["attempt 1 failed: OSError: gone; again now"]
    assert sent == "found!\n[96 of 105 characters are left out here]\n!!!"
