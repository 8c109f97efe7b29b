"""rate_limited: no more requests, or tokens, than a service allows, for all who share the model."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import (
    Agent,
    ChatRequest,
    Completion,
    ConfigurationError,
    OpenAILLM,
    ScriptedLLM,
    Usage,
    Workflow,
    say,
)
from rxagents.engine.bridges import from_async
from rxagents.llm import fallback, rate_limited, retry
from rxagents.operators import text
from rxagents.testing import Marbles, OpenAIServer, Paused, VirtualClock, virtual

REQUEST = ChatRequest(({"role": "user", "content": "Hi"},))
WAIT = 10.0


def test_so_many_at_once_and_the_next_in_the_order_of_arrival(marbles: Marbles) -> None:
    llm = marbles.llm("--a--|", "----b|", "c-|", "d|")
    shared = rate_limited(llm, concurrent=2)
    for diagram in ("--a--|", "----b|", "-----c-|", "-----d|"):
        marbles.expect(shared(REQUEST)).to_be(diagram)
    marbles.expect_subscriptions(llm.calls[2]).to_be("-----^-!")
    marbles.expect_subscriptions(llm.calls[3]).to_be("-----^!")


def test_agents_share_it(marbles: Marbles) -> None:
    shared = rate_limited(marbles.llm("--a|", "--b|"), concurrent=1)
    one, other = Agent("one", shared), Agent("other", shared)
    marbles.expect(say("q").pipe(one, text())).to_be("--a|")
    marbles.expect(say("q").pipe(other, text())).to_be("-----b|")


def test_a_place_is_given_back_at_an_error_and_on_dispose(marbles: Marbles) -> None:
    error = ValueError("no")
    llm = marbles.llm("--#", "-----late|", "-c|", error=error)
    shared = rate_limited(llm, concurrent=1)
    marbles.expect(shared(REQUEST)).to_be("--#", error=error)
    marbles.expect(shared(REQUEST), unsubscribe_at="----!").to_be("-")
    marbles.expect(shared(REQUEST)).to_be("-----c|")


def test_who_leaves_the_line_has_taken_nothing(marbles: Marbles) -> None:
    llm = marbles.llm("-----a|", "-c|")
    shared = rate_limited(llm, concurrent=1, requests_per_minute=2)
    marbles.expect(shared(REQUEST)).to_be("-----a|")
    marbles.expect(shared(REQUEST), unsubscribe_at="---!").to_be("-")
    marbles.expect(shared(REQUEST)).to_be("-------c|")
    marbles.flush()
    assert len(llm.requests) == 2


def test_so_many_in_a_minute(marbles: Marbles) -> None:
    llm = marbles.llm("a|", "b|", "c|", "d|")
    shared = rate_limited(llm, requests_per_minute=2)
    marbles.expect(shared(REQUEST)).to_be("a|")
    marbles.expect(shared(REQUEST)).to_be("b|")
    marbles.expect(shared(REQUEST)).to_be("1m c|")
    marbles.expect(shared(REQUEST)).to_be("1m d|")


def test_the_minute_slides(marbles: Marbles) -> None:
    llm = marbles.llm(lambda request: "a|")
    shared = rate_limited(llm, requests_per_minute=2)
    assert marbles.run(begun_at(shared, llm, [0, 30, 40, 50, 95])) == [0, 30, 60, 90, 120]


def test_tokens_that_were_taken_are_waited_for(marbles: Marbles) -> None:
    llm = marbles.llm(lambda request: "a|", usage=Usage(total_tokens=60))
    shared = rate_limited(llm, tokens_per_minute=100)
    # what is under way is not known yet: those of 10 end at 11, and then 120 are used
    assert marbles.run(begun_at(shared, llm, [0, 10, 10.5, 20, 62])) == [0, 10, 10.5, 71, 71]


def test_one_answer_of_more_than_a_minute_allows_is_paid_off(marbles: Marbles) -> None:
    llm = marbles.llm(lambda request: "a|", usage=Usage(total_tokens=1000))
    shared = rate_limited(llm, tokens_per_minute=100)
    assert marbles.run(begun_at(shared, llm, [0, 2, 3])) == [0, 61, 61]


def test_all_limits_together(marbles: Marbles) -> None:
    llm = marbles.llm(lambda request: "----a|", usage=Usage(total_tokens=10))
    shared = rate_limited(llm, requests_per_minute=3, tokens_per_minute=25, concurrent=1)
    assert marbles.run(begun_at(shared, llm, [0, 0, 0, 0])) == [0, 5, 10, 65]


def test_one_that_was_let_in_and_left_before_it_began_takes_nothing() -> None:
    async def main() -> None:
        never = rate_limited(lambda _: rx.never(), concurrent=1, requests_per_minute=3)
        one = never(REQUEST).subscribe()
        two = never(REQUEST).subscribe()
        one.dispose()  # now two is let in, and told so by the loop
        two.dispose()
        assert never._budget._inside == set()  # type: ignore[attr-defined]
        assert len(never._budget._others[asyncio.get_running_loop()].begun) == 1  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        assert never._budget._inside == set()  # type: ignore[attr-defined]

    VirtualClock().run(main())


@given(
    times=st.lists(st.integers(0, 200), min_size=1, max_size=12),
    lasts=st.integers(0, 40),
    requests=st.integers(1, 4) | st.none(),
    tokens=st.integers(1, 50) | st.none(),
    concurrent=st.integers(1, 3),
)
@settings(max_examples=50, deadline=None)
def test_the_limits_hold_and_everybody_gets_their_turn(
    times: list[int], lasts: int, requests: int | None, tokens: int | None, concurrent: int
) -> None:
    log: list[tuple[float, int]] = []
    open_now = most = 0

    def model(request: ChatRequest) -> rx.Observable[Any]:
        async def answer(emit: Any) -> None:
            nonlocal open_now, most
            loop = asyncio.get_running_loop()
            log.append((loop.time(), request.params["n"]))
            spent = sum(5 for at, _ in taken if at > loop.time() - 60 + 1e-5)
            assert tokens is None or spent < tokens
            open_now += 1
            most = max(most, open_now)
            try:
                await asyncio.sleep(lasts)
            finally:
                open_now -= 1
            taken.append((loop.time(), 5))
            emit(Completion(Usage(total_tokens=5)))

        return from_async(answer)

    taken: list[tuple[float, int]] = []
    shared = rate_limited(
        model, requests_per_minute=requests, tokens_per_minute=tokens, concurrent=concurrent
    )

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ended = [loop.create_future() for _ in times]
        for number, (at, done) in enumerate(zip(sorted(times), ended, strict=True)):
            request = ChatRequest((), params={"n": number})
            loop.call_at(
                at,
                lambda request=request, done=done: shared(request).subscribe(
                    on_error=done.set_exception, on_completed=lambda: done.set_result(None)
                ),
            )
        await asyncio.gather(*ended)

    VirtualClock().run(main())
    assert [n for _, n in log] == sorted(n for _, n in log)
    assert len(log) == len(times)
    assert most <= concurrent
    if requests is not None:
        begun = [at for at, _ in log]
        assert all(late - early >= 60 - 1e-4 for early, late in zip(begun, begun[requests:], strict=False))


def test_a_budget_is_shared_by_threads_and_loops() -> None:
    both = threading.Barrier(2)
    most = open_now = 0
    lock = threading.Lock()

    def model(request: ChatRequest) -> rx.Observable[Any]:
        async def answer(emit: Any) -> None:
            nonlocal most, open_now
            with lock:
                open_now += 1
                most = max(most, open_now)
            await asyncio.sleep(0)
            emit("Hi")
            with lock:
                open_now -= 1

        return from_async(answer)

    shared = rate_limited(model, concurrent=1)
    texts: list[str] = []

    def ask() -> None:
        async def main() -> None:
            workflow = Workflow(Agent("bot", shared))
            texts.append((await workflow.arun("q")).text)

        both.wait(WAIT)
        for _ in range(20):
            asyncio.run(main())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert texts == ["Hi"] * 40
    assert most == 1


def test_a_loop_that_is_closed_keeps_no_place() -> None:
    answers = iter([rx.never(), rx.of("Hi")])
    shared = rate_limited(lambda _: next(answers), concurrent=1)

    async def leave_open() -> None:
        shared(REQUEST).subscribe()
        shared(REQUEST).subscribe()  # it waits, and nobody is there any more to be let in

    asyncio.run(leave_open())
    assert Workflow(Agent("bot", shared)).run("q").text == "Hi"


def test_who_waits_for_a_minute_on_a_loop_that_is_closed_holds_up_nobody() -> None:
    shared = rate_limited(lambda _: rx.of("Hi"), requests_per_minute=1)

    async def leave_open() -> None:
        shared(REQUEST).subscribe()
        shared(REQUEST).subscribe()  # the first in line, with a timer that will never ring

    asyncio.run(leave_open())
    heard: list[Any] = []

    @virtual  # its minute is another one
    async def main() -> None:
        shared(REQUEST).subscribe(heard.append)
        await asyncio.sleep(1)

    main()
    assert heard == ["Hi"]


def test_the_one_who_waits_is_asked_with_its_own_context(marbles: Marbles) -> None:
    seen: list[str] = []
    who: ContextVar[str] = ContextVar("who")
    llm = marbles.llm("--a|", "--b|")

    def model(request: ChatRequest) -> rx.Observable[Any]:
        seen.append(who.get())
        return llm(request)

    shared = rate_limited(model, concurrent=1)

    def ask(name: str) -> None:
        who.set(name)
        shared(REQUEST).subscribe()

    for name in ("one", "other"):
        marbles.at(0, copy_context().run, ask, name)
    marbles.flush()
    assert seen == ["one", "other"]


def test_compositions(marbles: Marbles) -> None:
    llm = marbles.llm("-#", "-#", "--Hi|", error=ValueError("no"))
    shared = rate_limited(llm, concurrent=1)
    again = retry(shared, on=ValueError, delay=3, jitter=None)
    marbles.expect(again(REQUEST)).to_be("------Hi|")
    marbles.expect(shared(REQUEST)).to_be("--#", error=ValueError("no"))
    other = fallback(shared, shared)
    assert repr(other) == f"fallback({shared!r}, {shared!r})"


def test_models_that_answer_at_once() -> None:
    llm = rate_limited(lambda _: rx.of("He", "llo"), concurrent=1)
    assert [Workflow(Agent("bot", llm)).run("Hi").text for _ in range(3)] == ["Hello"] * 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "rate_limited: give one of requests_per_minute, tokens_per_minute, concurrent"),
        ({"concurrent": 0}, "rate_limited: concurrent is 0; it must be a number, 1 or more"),
        (
            {"requests_per_minute": 1.5},
            "rate_limited: requests_per_minute is 1.5; it must be a number, 1 or more",
        ),
    ],
)
def test_arguments_of_no_use(options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rate_limited(ScriptedLLM([]), **options)
    assert str(caught.value) == words


def served(server: OpenAIServer) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", max_retries=0)


def test_over_the_wire_the_next_is_asked_when_the_one_before_is_closed() -> None:
    with OpenAIServer([Paused(3, "one two three"), "Hello."]) as server:
        shared = rate_limited(served(server), concurrent=1)
        one, other = Workflow(Agent("one", shared)), Workflow(Agent("other", shared))

        async def main() -> str:
            talking = one.start("Hi")
            assert await asyncio.to_thread(server.wait_for_requests, 1, WAIT)
            waiting = asyncio.create_task(other.arun("Hi"))
            await asyncio.sleep(0)
            assert len(server.requests) == 1
            talking.dispose()
            return (await waiting).text

        assert asyncio.run(main()) == "Hello."
        first, second = server.requests
        assert first.wait_closed(WAIT)
        assert (first.completed, second.completed) == (False, True)


async def begun_at(shared: Any, llm: Any, times: list[float]) -> list[float]:
    """When requests that come at these times begin."""
    loop = asyncio.get_running_loop()
    ended = [loop.create_future() for _ in times]
    for at, done in zip(times, ended, strict=True):
        loop.call_at(
            at, lambda done=done: shared(REQUEST).subscribe(on_completed=lambda: done.set_result(None))
        )
    await asyncio.gather(*ended)
    return [call.at for call in llm.calls.subscriptions]
