"""concat_eager and in_turn: all at once, and yet in order."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from rxagents import Block, MessageStream, StateUpdate
from rxagents.engine.emitters import Emitter, just
from rxagents.saying.ordering import concat_eager, in_turn
from rxagents.testing import Marbles, virtual

END = "|"


def test_sources_run_at_once_and_come_in_order_as_the_diagram_draws_them(marbles: Marbles) -> None:
    a = marbles.cold("                     --a--a-------|")
    b = marbles.cold("                     -b--b-b|")
    together = concat_eager(just(a, b))
    marbles.expect(together).to_be("       --a--a-------(bbb|)")
    marbles.expect_subscriptions(a).to_be("^------------!")
    marbles.expect_subscriptions(b).to_be("^------!")


def test_a_source_whose_turn_has_come_streams_through(marbles: Marbles) -> None:
    a = marbles.cold("              -a|")
    b = marbles.cold("              -b--c-|")
    together = concat_eager(just(a, b))
    marbles.expect(together).to_be("-ab-c-|")


def test_it_ends_when_the_outer_and_all_inner_sources_have(marbles: Marbles) -> None:
    marbles.expect(concat_eager(rx.empty())).to_be("|")
    inner = marbles.cold("                          a|")
    late = marbles.cold("                           -----x|", x=inner)
    marbles.expect(concat_eager(late)).to_be("      -----a|")
    long = marbles.cold("                           x----|", x=inner)
    marbles.expect(concat_eager(long)).to_be("      a----|")
    mapped = concat_eager(marbles.cold("            x----|"), lambda _: inner)
    marbles.expect(mapped).to_be("                  a----|")


def test_an_error_comes_in_its_place_and_ends_the_others(marbles: Marbles) -> None:
    error = ValueError("broken")
    first = marbles.cold("                     ----a|")
    bad = marbles.cold("                       -b#", error=error)
    last = marbles.cold("                      -c-------c|")
    probe = marbles.probe()
    together = concat_eager(just(first, bad, last)).pipe(probe)
    marbles.expect(together).to_be("           ----a(b#)", error=error)
    marbles.expect_subscriptions(first).to_be("^----!")
    marbles.expect_subscriptions(bad).to_be("  ^-!")
    marbles.expect_subscriptions(last).to_be(" ^----!")
    marbles.flush()
    assert probe.errors == [error]


def test_the_outer_error_comes_after_what_was_there_before_it(marbles: Marbles) -> None:
    error = ValueError("broken")
    probe = marbles.probe()
    inner = marbles.cold("          ----a|")
    outer = marbles.cold("          (x#)", x=inner, error=error)
    together = concat_eager(outer).pipe(probe)
    marbles.expect(together).to_be("----a#", error=error)
    marbles.flush()
    assert probe.errors == [error]


def test_what_the_mapping_raises_is_an_error_in_its_place(marbles: Marbles) -> None:
    inner = marbles.cold("          --a-|")

    def mapped(thing: Any) -> Observable[Any]:
        if thing == 2:
            raise ValueError("no two")
        return inner

    together = concat_eager(just(1, 2), mapped)
    marbles.expect(together).to_be("--a-#", error=ValueError("no two"))


@virtual
async def test_a_hot_source_loses_nothing_before_its_turn() -> None:
    first: Subject[int] = Subject()
    second: Subject[int] = Subject()
    heard: list[Any] = []
    concat_eager(just(first, second)).subscribe(heard.append, None, lambda: heard.append(END))
    for item in range(10_000):
        second.on_next(item)
    first.on_next(-1)
    second.on_completed()
    first.on_completed()
    assert heard == [-1, *range(10_000), END]


@virtual
async def test_disposing_releases_every_source_once() -> None:
    released: list[int] = []
    sources = [Emitter(lambda _, n=n: lambda: released.append(n)) for n in range(3)]
    subscription = concat_eager(rx.concat(just(*sources), rx.never())).subscribe()
    await asyncio.sleep(1)
    subscription.dispose()
    subscription.dispose()
    assert sorted(released) == [0, 1, 2]


@virtual
async def test_a_source_that_comes_after_the_reader_has_left_is_not_opened() -> None:
    opened: list[int] = []

    def source(n: int) -> Observable[int]:
        opened.append(n)
        return Emitter(lambda sink: (sink.on_next(n), sink.on_completed())[1])

    heard: list[Any] = []
    concat_eager(just(*range(10)), source).pipe(ops.take(2)).subscribe(heard.append)
    assert heard == [0, 1]
    assert opened == [0, 1]


@virtual
async def test_lanes_that_have_ended_are_forgotten() -> None:
    outer: Subject[Any] = Subject()
    teardowns: list[Any] = []

    def start(sink: Any) -> Any:
        from rxagents.saying.ordering import _Lanes

        lanes = _Lanes(sink, outer, lambda item: item)
        teardowns.append(lanes)
        return lanes

    Emitter(start).subscribe()
    for n in range(1_000):
        outer.on_next(just(n))
    assert len(teardowns[0]._lanes) == 0


@virtual
async def test_a_reader_may_feed_a_source_while_it_reads() -> None:
    feeding: Subject[int] = Subject()
    heard: list[Any] = []

    def on_next(item: int) -> None:
        heard.append(item)
        if item < 3:
            feeding.on_next(item + 1)

    first: Subject[int] = Subject()
    concat_eager(just(first, feeding)).subscribe(on_next)
    feeding.on_next(0)
    first.on_completed()
    assert heard == [0, 1, 2, 3]


LANES = st.lists(
    st.tuples(st.integers(0, 5), st.lists(st.integers(0, 4), max_size=4), st.booleans()), max_size=5
)


@given(LANES)
def test_the_order_is_that_of_the_sources_whatever_the_timing(
    lanes: list[tuple[int, list[int], bool]],
) -> None:
    error = ValueError("x")

    def lane(n: int, gaps: list[int], fails: bool) -> Observable[Any]:
        parts = [rx.timer(float(gap)).pipe(ops.map(lambda _, at=at: (n, at))) for at, gap in enumerate(gaps)]
        return rx.concat(*parts, rx.throw(error) if fails else rx.empty())

    outer = rx.merge(
        *[
            rx.timer(float(sum(gap for gap, *_ in lanes[: n + 1]))).pipe(ops.map(lambda _, n=n: n))
            for n in range(len(lanes))
        ]
    )
    with Marbles() as marbles:
        probe = marbles.probe()
        together = concat_eager(outer, lambda n: lane(n, *lanes[n][1:])).pipe(probe)
        marbles.at(0, lambda: together.subscribe(None, lambda error: None))
    expected: list[Any] = []
    ends: tuple[list[Exception], int] = ([], 1)
    for n, (_, gaps, fails) in enumerate(lanes):
        expected += [(n, at) for at in range(len(gaps))]
        if fails:
            ends = ([error], 0)
            break
    arrived = sorted(range(len(lanes)), key=lambda n: sum(gap for gap, *_ in lanes[: n + 1]))
    assert arrived == list(range(len(lanes)))
    assert probe.items == expected
    assert (probe.errors, probe.completions) == ends


def test_sources_of_other_threads_are_heard_in_order() -> None:
    async def main() -> list[Any]:
        def threaded(n: int) -> Observable[Any]:
            def subscribe(observer: Any, _: Any = None) -> Disposable:
                def emit() -> None:
                    for item in range(500):
                        observer.on_next((n, item))
                    observer.on_completed()

                threading.Thread(target=emit).start()
                return Disposable()

            return Observable(subscribe)

        heard: list[Any] = []
        ended = asyncio.Event()
        concat_eager(just(*range(4)), threaded).subscribe(heard.append, None, ended.set)
        await ended.wait()
        return heard

    assert asyncio.run(main()) == [(n, item) for n in range(4) for item in range(500)]


# in_turn


def test_messages_start_at_once_and_come_when_the_one_before_has_ended(marbles: Marbles) -> None:
    one = marbles.cold("                       --a|")
    two = marbles.cold("                       -b--------------|")
    three = marbles.cold("                     -c|")
    a, b, c = MessageStream(one), MessageStream(two), MessageStream(three)
    note, block, probe = StateUpdate("note"), Block("block", just(c)), marbles.probe()
    marbles.expect(in_turn(just(a, note, b, block)).pipe(probe), state=True).to_be(
        """
               m1-(<note> m2)--(block|)
        m1     --a|
        m2     ---b------------|
        block  ----------------(m3|)
        m3     ----------------(c|)
        """
    )
    marbles.expect_subscriptions(one).to_be("  ^--!")
    marbles.expect_subscriptions(two).to_be("  ^---------------!")
    marbles.expect_subscriptions(three).to_be("^-!")
    marbles.flush()
    assert probe.items == [a, note, b, block]
    assert (b.result is not None, block.ended) == (True, True)


def test_a_failed_message_lets_the_next_one_come(marbles: Marbles) -> None:
    bad, good = marbles.message("#"), marbles.message("-a-----|")
    probe = marbles.probe()
    marbles.expect(in_turn(just(bad, good)).pipe(probe)).to_be(
        """
            (m1 m2)|
        m1  #
        m2  -a-----|
        """
    )
    marbles.flush()
    assert probe.items == [bad, good]


@pytest.mark.parametrize(
    ("left", "first", "second"), [("^-!", "^-!", "^-!"), ("^------!", "^---!", "^------!")]
)
def test_leaving_lets_go_of_what_was_started(marbles: Marbles, left: str, first: str, second: str) -> None:
    one = marbles.cold("                                ---a|")
    two = marbles.cold("                                ---------b|")
    a, b = MessageStream(one), MessageStream(two)
    nothing = in_turn(just(a, b)).pipe(ops.ignore_elements())
    marbles.expect(nothing, unsubscribe_at=left).to_be("-")
    marbles.expect_subscriptions(one).to_be(first)
    marbles.expect_subscriptions(two).to_be(second)
    marbles.flush()
    assert (a.interrupted, b.interrupted) == (left == first, True)
