"""Block: nesting, ends from the inside out, interruption, failures in their place."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import weakref
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops

from rxagents import Block, MessageStream, StateUpdate, Usage
from rxagents.blocks import Scope
from rxagents.errors import where
from rxagents.loops import shared_loop
from rxagents.operators import text
from rxagents.participants import until_ended
from rxagents.replays import Replay
from rxagents.sinks import Emitter, just
from rxagents.testing import VirtualClock, virtual
from rxagents.testing.timelines import END, timeline


def marbles(diagram: str) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0)


def message(diagram: str = "-a-|", **options: Any) -> MessageStream:
    return MessageStream(marbles(diagram), **options)


def failing(error: Exception, diagram: str = "-a-|") -> MessageStream:
    return MessageStream(rx.concat(marbles(diagram), rx.throw(error)))


def forever(*items: Any) -> Observable[Any]:
    return rx.concat(just(*items), rx.never())


def ends(log: list[Any], *replays: Replay[Any]) -> None:
    """Notes each replay as it ends."""
    for replay in replays:
        replay.on_end(log.append)


def test_a_block_ends_after_every_child_it_emitted() -> None:
    m, n = message("-a-|"), message("---b---|")
    assert timeline(Block("b", just(m, n))) == [(0, m), (0, n), (7, END)]


def test_a_block_drives_its_children_and_holds_them() -> None:
    m = message("-a-b-|")
    timeline(Block("b", just(m)))
    assert m.result is not None
    assert (m.interrupted, m.result.text) == (False, "ab")


def test_an_empty_block_ends_with_its_source() -> None:
    assert timeline(Block("b", marbles("---|"))) == [(3, END)]


@virtual
async def test_a_block_that_nobody_subscribes_to_never_runs() -> None:
    begun: list[int] = []
    inner = Block("inner", Emitter(lambda _: begun.append(1)))
    outer = Block("outer", just(inner))
    outer.on_end(lambda _: None)
    await asyncio.sleep(10)
    assert begun == []


def test_its_attributes_are_known_at_once() -> None:
    block = Block("b", None, entry="aside", catches_stops=True, id="7")
    assert (block.name, block.entry, block.catches_stops, block.id) == ("b", "aside", True, "7")
    assert repr(block) == "<Block b, open>"
    assert Block("b", None).id != Block("b", None).id


@virtual
async def test_interruption_ends_the_innermost_first_in_order_and_at_once() -> None:
    a, b, c, d = (message(f"-{name}---|", name=name) for name in "abcd")
    inner = Block("inner", forever(b, c))
    outer = Block("outer", forever(a, inner, d))
    log: list[Any] = []
    ends(log, outer, d, c, inner, b, a)
    outer.hold()
    await asyncio.sleep(2)
    outer.interrupt()
    assert log == [a, b, c, inner, d, outer]
    assert all(replay.interrupted for replay in log)
    results = [stream.result for stream in (a, b, c, d)]
    assert [(r.text, r.finish_reason) for r in results if r] == [(n, "interrupted") for n in "abcd"]


@virtual
async def test_interruption_is_one_truth_for_readers_of_the_block_and_of_its_children() -> None:
    m = message("-a-b-|")
    block = Block("b", forever(m))
    told: list[Any] = []
    for replay in (m, block, m, block):
        replay.subscribe(
            lambda item: item is m or told.append(item["content"]), None, lambda: told.append(END)
        )
    await asyncio.sleep(2)
    block.interrupt()
    assert told == ["a", "a", END, END, END, END]
    assert m.interrupted


@virtual
async def test_what_had_ended_is_not_cut() -> None:
    done, cut = message("a|"), message("-b---|")
    block = Block("b", forever(done, cut))
    block.hold()
    await asyncio.sleep(2)
    block.interrupt()
    assert (done.interrupted, cut.interrupted) == (False, True)


def nested(depth: int, inside: Observable[Any], log: list[Any] | None = None) -> Block:
    block = Block("innermost", inside)
    for level in range(depth):
        block = Block(f"level{level}", just(block))
    return block


@pytest.mark.parametrize("how", ["ends", "interrupt", "fails", "leaves"])
def test_two_thousand_nested_blocks_end_without_recursion(how: str) -> None:
    @virtual
    async def test() -> None:
        m = (
            failing(ValueError("deep"))
            if how == "fails"
            else message("-a-|" if how == "ends" else "-a---b-|")
        )
        block = nested(2_000, just(m))
        told: list[Any] = []
        subscription = block.subscribe(None, told.append, lambda: told.append(END))
        await asyncio.sleep(2)
        if how == "interrupt":
            block.interrupt()
            assert m.interrupted
        elif how == "leaves":
            subscription.dispose()
            assert m.interrupted
        await asyncio.sleep(10)
        assert block.ended
        assert block.interrupted == (how in ("interrupt", "leaves"))
        if how == "fails":
            assert len(where(told[0])) == 2_001
        else:
            assert told == ([] if how == "leaves" else [END])

    test()


@virtual
async def test_two_thousand_nested_blocks_can_be_dropped() -> None:
    m = message("a|")
    block: Any = nested(2_000, just(m))
    block.hold()
    await asyncio.sleep(2)
    assert block.ended
    gone = weakref.ref(block)
    del block
    gc.collect()
    assert gone() is None


# Leaving


@virtual
async def test_a_block_whose_last_reader_leaves_lets_its_children_go() -> None:
    m = message("-a---b-|")
    block = Block("b", forever(m))
    subscription = block.subscribe()
    await asyncio.sleep(2)
    subscription.dispose()
    assert (block.interrupted, m.interrupted) == (True, True)


@virtual
async def test_a_child_that_somebody_else_reads_goes_on_when_its_block_is_left() -> None:
    m = message("-a---b-|")
    block = Block("b", forever(m))
    subscription = block.subscribe()
    told: list[Any] = []
    m.subscribe(lambda item: told.append(item["content"]), None, lambda: told.append(END))
    await asyncio.sleep(2)
    subscription.dispose()
    assert block.interrupted
    await asyncio.sleep(10)
    assert told == ["a", "b", END]


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_taking_two_tokens_of_an_endless_child_keeps_its_list_short(depth: int) -> None:
    async def main() -> None:
        m = MessageStream(rx.from_iterable(map(str, itertools.count())))
        block = nested(depth, just(m))
        told: list[str] = []
        just(block).pipe(text(), ops.take(2)).subscribe(told.append, None, lambda: told.append(END))
        await until_ended(block)
        assert told == ["0", "1", END]
        assert m.ended
        assert m.length == 2

    asyncio.run(main())


# Failures


def test_a_childs_failure_comes_in_its_place_after_its_tokens() -> None:
    error = ValueError("broken")
    m = failing(error, "-a-b-|")
    before, after = message("|"), message("--------|")
    block = Block("b", just(before, m, after))
    events: list[Any] = []

    def reading(stream: Any) -> Observable[Any]:
        return Emitter(lambda sink: stream.subscribe(sink))

    assert timeline(block.pipe(ops.do_action(lambda item: events.append(item)))) == [
        *((0, before), (0, m), (0, after), (5, error)),
    ]
    assert timeline(reading(m).pipe(ops.map(lambda item: item["content"]))) == [
        (0, "a"),
        (0, "b"),
        (0, error),
    ]
    assert block.error is error


@virtual
async def test_a_failing_block_interrupts_its_open_children_first() -> None:
    error = ValueError("broken")
    a, bad, c = message("-a-------|"), failing(error, "--b|"), message("-c-------|")
    inner = Block("inner", just(c))
    outer = Block("outer", just(a, bad, inner))
    log: list[Any] = []
    ends(log, outer, inner, c, bad, a)
    told: list[Any] = []
    outer.subscribe(None, lambda error: log.append("heard") or told.append(error))
    await asyncio.sleep(20)
    assert log == [bad, a, c, inner, outer, "heard"]
    assert (a.interrupted, c.interrupted, inner.interrupted, outer.interrupted) == (True, True, True, False)
    assert told == [error]


@virtual
async def test_a_source_that_fails_interrupts_the_open_children() -> None:
    error = ValueError("broken")
    m = message("-a-------|")
    block = Block("b", rx.concat(just(m), marbles("---|"), rx.throw(error)))
    told: list[Any] = []
    block.subscribe(None, told.append)
    await asyncio.sleep(20)
    assert (told, m.interrupted, m.items[0]["content"]) == ([error], True, "a")  # type: ignore[index]


@virtual
async def test_an_error_says_where_it_was_when_it_is_heard() -> None:
    error = ValueError("broken")
    agent = Block("agent1", just(failing(error)))
    team = Block("team", just(agent))
    heard: list[Any] = []
    team.subscribe(None, lambda error: heard.append((error.__notes__, where(error))))
    await asyncio.sleep(5)
    assert heard == [(["in team > agent1"], ("team", "agent1"))]
    assert (agent.error_where, team.error_where) == ((), ("agent1",))


@virtual
async def test_one_failure_that_two_blocks_share_is_placed_in_each_by_itself() -> None:
    m = failing(ValueError("broken"))
    paths: list[Any] = []
    for name in ("one", "two"):
        inner = Block(name, just(m))
        outer = Block(f"around {name}", just(inner))
        outer.subscribe(None, lambda error: paths.append(where(error)))
    await asyncio.sleep(5)
    assert paths == [("around one", "one"), ("around two", "two")]
    assert m.error is not None
    assert len(m.error.__notes__) == 1


# Stops and outcomes


@pytest.mark.parametrize(
    ("catches", "scope", "escapes"),
    [(False, "team", True), (False, "run", True), (True, "team", False), (True, "run", True)],
)
def test_a_stop_ends_what_is_around_unless_it_is_caught(catches: bool, scope: Any, escapes: bool) -> None:
    stop = StateUpdate("stop", stop="enough", scope=scope)
    inner = Block("inner", just(stop), catches_stops=catches)
    outer = Block("outer", just(inner))
    timeline(outer)
    assert inner.stop is stop
    assert inner.escaping_stop == (stop if escapes else None)
    assert outer.stop == (stop if escapes else None)


def test_the_result_of_a_block_is_its_outcome() -> None:
    block = Block("b", just(StateUpdate("result", {"result": "callback-stop"})))
    timeline(block)
    assert (block.outcome, block.stop) == ("callback-stop", None)


def test_a_state_update_shows_what_it_changed() -> None:
    update = StateUpdate("x", {"a": 1}, variables={"v": 2}, usage=Usage(total_tokens=3), stop="why")
    assert update.to_dict() == {
        "kind": "x",
        "a": 1,
        "variables": {"v": 2},
        "stop": "why",
        "usage": {"completion_tokens": 0, "prompt_tokens": 0, "total_tokens": 3},
    }
    assert StateUpdate("x").to_dict() == {"kind": "x"}


# Threads


def test_a_child_of_another_loop_is_interrupted_on_its_own_loop() -> None:
    m = MessageStream(rx.concat(rx.of("a"), rx.never()))
    m.bind(shared_loop())
    threads: list[str] = []
    ended = threading.Event()

    def note(_: object) -> None:
        threads.append(threading.current_thread().name)
        ended.set()

    m.on_end(note)

    async def main() -> None:
        block = Block("b", forever(m))
        block.hold()
        async for _ in m:
            break
        block.interrupt()
        assert block.interrupted

    asyncio.run(main())
    assert ended.wait(30)
    assert threads == ["rxagents-loop"]
    assert m.interrupted


def test_a_block_may_be_interrupted_from_any_thread() -> None:
    m = MessageStream(rx.never())
    block = Block("b", forever(m))
    ended = threading.Event()
    block.on_end(lambda _: ended.set())
    block.hold()
    block.interrupt()
    assert ended.wait(30)
    assert block.interrupted


# The laws, over any tree

TREES = st.recursive(
    st.tuples(st.integers(0, 6), st.sampled_from(["ends", "fails"])),
    lambda children: st.lists(children, max_size=3),
    max_leaves=8,
)


def built(tree: Any, messages: list[MessageStream], blocks: list[Block]) -> MessageStream | Block:
    if isinstance(tree, tuple):
        at, how = tree
        stream = message("-" * at + "x|") if how == "ends" else failing(ValueError("x"), "-" * at + "x|")
        messages.append(stream)
        return stream
    block = Block(f"b{len(blocks)}", just(*[built(child, messages, blocks) for child in tree]))
    blocks.append(block)
    return block


@given(TREES, st.integers(0, 8) | st.none())
def test_any_tree_ends_from_the_inside_out(tree: Any, interrupted_at: int | None) -> None:
    messages: list[MessageStream] = []
    blocks: list[Block] = []
    root = Block("root", just(built(tree, messages, blocks)))
    order: list[Any] = []
    ends(order, root, *blocks, *messages)
    told: list[Any] = []
    with VirtualClock() as clock:
        clock.at(0, lambda: root.subscribe(None, told.append, lambda: told.append(END)))
        if interrupted_at is not None:
            clock.at(interrupted_at, root.interrupt)
        clock.advance(30)
    assert root.ended
    assert len(told) == 1
    assert order[-1] is root
    place = {id(replay): at for at, replay in enumerate(order)}
    for block in [*blocks, root]:
        for child in block.items:
            assert child.ended
            assert place[id(child)] < place[id(block)]
    failed = [replay for replay in [*messages, *blocks] if replay.error is not None]
    assert (root.error is not None) == bool(failed)
    if not failed and not root.interrupted:
        assert all(stream.result is not None and stream.result.text == "x" for stream in messages)


@given(TREES)
def test_leaving_any_tree_at_any_time_leaves_nothing_open(tree: Any) -> None:
    messages: list[MessageStream] = []
    blocks: list[Block] = []
    scope = Scope(just(built(tree, messages, blocks)))
    with VirtualClock() as clock:
        subscriptions: list[Any] = []
        clock.at(0, lambda: subscriptions.append(scope.subscribe(None, lambda _: None)))
        clock.at(3, lambda: subscriptions[0].dispose())
        clock.advance(3)
        assert scope.ended
        assert all(replay.ended for replay in [*messages, *blocks] if replay._started)


def test_the_kind_of_a_state_update_is_its_own_and_stands_first() -> None:
    shown = StateUpdate(kind="mine", data={"a": 1, "kind": "other"}).to_dict()
    assert list(shown.items()) == [("kind", "mine"), ("a", 1)]
