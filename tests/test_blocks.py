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
from rxagents.engine.emitters import just
from rxagents.engine.loops import shared_loop
from rxagents.operators import text
from rxagents.participants import until_ended
from rxagents.places import where
from rxagents.replays import Replay
from rxagents.testing import Marbles

END = "|"


def forever(*items: Any) -> Observable[Any]:
    return rx.concat(just(*items), rx.never())


def ends(log: list[Any], *replays: Replay[Any]) -> None:
    """Notes each replay as it ends."""
    for replay in replays:
        replay.on_end(log.append)


def test_a_block_ends_after_every_child_it_emitted(marbles: Marbles) -> None:
    m, n = marbles.message("-a-|"), marbles.message("---b---|")
    probe = marbles.probe()
    marbles.expect(Block("b", just(m, n)).pipe(probe)).to_be(
        """
            (m1 m2)|
        m1  -a-|
        m2  ---b---|
        """
    )
    marbles.flush()
    assert probe.items == [m, n]


def test_a_block_drives_its_children_and_holds_them(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b-|")
    m = MessageStream(source)
    nothing = Block("b", just(m)).pipe(ops.ignore_elements())
    marbles.expect(nothing).to_be("             -----|")
    marbles.expect_subscriptions(source).to_be("^----!")
    marbles.flush()
    assert m.result is not None
    assert (m.interrupted, m.result.text) == (False, "ab")


def test_an_empty_block_ends_with_its_source(marbles: Marbles) -> None:
    source = marbles.cold("                   ---|")
    marbles.expect(Block("b", source)).to_be("---|")


def test_a_block_that_nobody_subscribes_to_never_runs(marbles: Marbles) -> None:
    source = marbles.cold("-a|")
    inner = Block("inner", source)
    outer = Block("outer", just(inner))
    outer.on_end(lambda _: None)
    marbles.expect_subscriptions(source).to_be()


def test_its_attributes_are_known_at_once() -> None:
    block = Block("b", None, entry="aside", catches_stops=True, id="7")
    assert (block.name, block.entry, block.catches_stops, block.id) == ("b", "aside", True, "7")
    assert repr(block) == "<Block b, open>"
    assert Block("b", None).id != Block("b", None).id


def test_interruption_ends_the_innermost_first_in_order_and_at_once(marbles: Marbles) -> None:
    a, b, c, d = (marbles.message(f"-{name}-------------|", name=name) for name in "abcd")
    inner = Block("inner", forever(b, c))
    outer = Block("outer", forever(a, inner, d))
    log: list[Any] = []
    at_once: list[Any] = []
    ends(log, outer, d, c, inner, b, a)

    def interrupt() -> None:
        outer.interrupt()
        at_once.extend(log)

    marbles.at(14, interrupt)
    marbles.expect(outer).to_be(
        """
               (m1 inner m4)-~
        m1     -a------------~
        inner  (m2 m3)-------~
        m2     -b------------~
        m3     -c------------~
        m4     -d------------~
        """
    )
    marbles.flush()
    assert at_once == log == [a, b, c, inner, d, outer]
    results = [stream.result for stream in (a, b, c, d)]
    assert [(r.text, r.finish_reason) for r in results if r] == [(n, "interrupted") for n in "abcd"]


def test_interruption_is_one_truth_for_readers_of_the_block_and_of_its_children(marbles: Marbles) -> None:
    m = marbles.message("        -a-b-|")
    block = Block("b", forever(m))
    for _ in range(2):
        marbles.expect(m).to_be("-a~")
        marbles.expect(block).to_be(
            """
               m-~
            m  -a~
            """
        )
    told: list[Any] = []
    at_once: list[Any] = []

    def read() -> None:
        for replay in (m, block, m, block):
            replay.subscribe(
                lambda item: item is m or told.append(item["content"]), None, lambda: told.append(END)
            )

    def interrupt() -> None:
        block.interrupt()
        at_once.extend(told)

    marbles.at(0, read)
    marbles.at(2, interrupt)
    marbles.flush()
    assert at_once == told == ["a", "a", END, END, END, END]


def test_what_had_ended_is_not_cut(marbles: Marbles) -> None:
    done, cut = marbles.message("a|"), marbles.message("-b-------|")
    block = Block("b", forever(done, cut))
    marbles.at(8, block.interrupt)
    marbles.expect(block).to_be(
        """
            (m1 m2)-~
        m1  a|
        m2  -b------~
        """
    )


def nested(depth: int, inside: Observable[Any]) -> Block:
    block = Block("innermost", inside)
    for level in range(depth):
        block = Block(f"level{level}", just(block))
    return block


@pytest.mark.parametrize(
    ("how", "said", "told", "run"),
    [
        ("ends", "-a-|", "---|", "^--!"),
        ("interrupt", "-a---b-|", "--|", "^-!"),
        ("fails", "-a-#", "---#", "^--!"),
        ("leaves", "-a---b-|", "--", "^-!"),
    ],
)
def test_two_thousand_nested_blocks_end_without_recursion(
    marbles: Marbles, how: str, said: str, told: str, run: str
) -> None:
    error = ValueError("deep")
    source = marbles.cold(said, error=error)
    m = MessageStream(source)
    block = nested(2_000, just(m))
    probe = marbles.probe()
    if how == "interrupt":
        marbles.at(2, block.interrupt)
    reading = block.pipe(ops.ignore_elements(), probe)
    marbles.expect(reading, unsubscribe_at="^-!" if how == "leaves" else None).to_be(told, error=error)
    marbles.expect_subscriptions(source).to_be(run)
    marbles.flush()
    assert block.ended
    assert block.interrupted == m.interrupted == (how in ("interrupt", "leaves"))
    assert [len(where(error)) for error in probe.errors] == [2_001] * (how == "fails")


def test_two_thousand_nested_blocks_can_be_dropped(marbles: Marbles) -> None:
    source = marbles.cold("a|")

    async def dropped() -> None:
        block: Any = nested(2_000, just(MessageStream(source)))
        block.hold()
        await asyncio.sleep(2)
        assert block.ended
        gone = weakref.ref(block)
        del block
        gc.collect()
        assert gone() is None

    marbles.run(dropped())


# Leaving


def test_a_block_whose_last_reader_leaves_lets_its_children_go(marbles: Marbles) -> None:
    source = marbles.cold("                                                        -a---b-|")
    m = MessageStream(source)
    block = Block("b", forever(m))
    marbles.expect(block.pipe(ops.ignore_elements()), unsubscribe_at="^-!").to_be("--")
    marbles.expect_subscriptions(source).to_be("                                   ^-!")
    marbles.flush()
    assert (block.interrupted, m.interrupted) == (True, True)


def test_a_child_that_somebody_else_reads_goes_on_when_its_block_is_left(marbles: Marbles) -> None:
    m = marbles.message("                                                          -a---b-|")
    block = Block("b", forever(m))
    marbles.expect(block.pipe(ops.ignore_elements()), unsubscribe_at="^-!").to_be("--")
    marbles.expect(m).to_be("                                                      -a---b-|")
    interrupted: list[bool] = []
    marbles.at(3, lambda: interrupted.append(block.interrupted))
    marbles.flush()
    assert interrupted == [True]


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


def test_a_childs_failure_comes_in_its_place_after_its_tokens(marbles: Marbles) -> None:
    error = ValueError("broken")
    m = marbles.message("                                  -a-b-------#", error=error)
    before, after = marbles.message("|"), marbles.message("--------------|")
    block = Block("b", just(before, m, after))
    probe = marbles.probe()
    marbles.expect(block.pipe(probe)).to_be(
        """
            (m1 m2 m3)-#
        m1  |
        m2  -a-b-------#
        m3  -----------~
        """,
        error=error,
    )
    late = marbles.probe()
    marbles.expect(m.pipe(late)).to_be("                   ------------(^a b#)", error=error)
    marbles.flush()
    assert probe.items == [before, m, after]
    assert probe.errors == late.errors == [error]
    assert block.error is error


def test_a_failing_block_interrupts_its_open_children_first(marbles: Marbles) -> None:
    error = ValueError("broken")
    a = marbles.message("  -a--------------|")
    bad = marbles.message("--b-----------#", error=error)
    c = marbles.message("  -c--------------|")
    inner = Block("inner", just(c))
    outer = Block("outer", just(a, bad, inner))
    log: list[Any] = []
    ends(log, outer, inner, c, bad, a)
    probe = marbles.probe()
    reading = outer.pipe(probe, ops.do_action(on_error=lambda _: log.append("heard")))
    marbles.expect(reading).to_be(
        """
               (m1 m2 inner)-#
        m1     -a------------~
        m2     --b-----------#
        inner  m3------------~
        m3     -c------------~
        """,
        error=error,
    )
    marbles.flush()
    assert log == [bad, a, c, inner, outer, "heard"]
    assert not outer.interrupted
    assert probe.errors == [error]


def test_a_source_that_fails_interrupts_the_open_children(marbles: Marbles) -> None:
    error = ValueError("broken")
    probe = marbles.probe()
    source = marbles.cold("x--#", x=marbles.message("-a-------|"), error=error)
    marbles.expect(Block("b", source).pipe(probe)).to_be(
        """
           m--#
        m  -a-~
        """,
        error=error,
    )
    marbles.flush()
    assert probe.errors == [error]


def test_an_error_says_where_it_was_when_it_is_heard(marbles: Marbles) -> None:
    error = ValueError("broken")
    agent = Block("agent1", just(marbles.message("-a-----#", error=error)))
    team = Block("team", just(agent))
    heard: list[Any] = []
    hearing = team.pipe(ops.do_action(on_error=lambda error: heard.append((error.__notes__, where(error)))))
    marbles.expect(hearing).to_be(
        """
                agent1-#
        agent1  m------#
        m       -a-----#
        """,
        error=error,
    )
    marbles.flush()
    assert heard == [(["in team > agent1"], ("team", "agent1"))]
    assert (agent.error_where, team.error_where) == ((), ("agent1",))


def test_one_failure_that_two_blocks_share_is_placed_in_each_by_itself(marbles: Marbles) -> None:
    error = ValueError("broken")
    m = marbles.message("-a-#", error=error)
    paths: list[Any] = []
    for name in ("one", "two"):
        inner = Block(name, just(m))
        outer = Block(f"around {name}", just(inner))
        hearing = outer.pipe(ops.do_action(on_error=lambda error: paths.append(where(error))))
        marbles.expect(hearing).to_be(
            f"""
                   {name}#
            {name}  m--#
            m    -a-#
            """,
            error=error,
        )
    marbles.flush()
    assert paths == [("around one", "one"), ("around two", "two")]
    assert m.error is not None
    assert len(m.error.__notes__) == 1


# Stops and outcomes


@pytest.mark.parametrize(
    ("catches", "scope", "escapes"),
    [(False, "team", True), (False, "run", True), (True, "team", False), (True, "run", True)],
)
def test_a_stop_ends_what_is_around_unless_it_is_caught(
    marbles: Marbles, catches: bool, scope: Any, escapes: bool
) -> None:
    stop = StateUpdate("stop", stop="enough", scope=scope)
    inner = Block("inner", just(stop), catches_stops=catches)
    outer = Block("outer", just(inner))
    marbles.expect(outer, state=True).to_be(
        """
               (inner|)
        inner  (<stop:enough>|)
        """
    )
    marbles.flush()
    assert inner.stop is stop
    assert inner.escaping_stop == (stop if escapes else None)
    assert outer.stop == (stop if escapes else None)


def test_the_result_of_a_block_is_its_outcome(marbles: Marbles) -> None:
    block = Block("b", just(StateUpdate("result", {"result": "callback-stop"})))
    marbles.expect(block, state=True).to_be("(<result:callback-stop>|)")
    marbles.flush()
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


def built(
    marbles: Marbles, tree: Any, messages: list[MessageStream], blocks: list[Block]
) -> MessageStream | Block:
    if isinstance(tree, tuple):
        at, how = tree
        stream = marbles.message("-" * at + ("x|" if how == "ends" else "x#"))
        messages.append(stream)
        return stream
    block = Block(f"b{len(blocks)}", just(*[built(marbles, child, messages, blocks) for child in tree]))
    blocks.append(block)
    return block


@given(TREES, st.integers(0, 8) | st.none())
def test_any_tree_ends_from_the_inside_out(tree: Any, interrupted_at: int | None) -> None:
    messages: list[MessageStream] = []
    blocks: list[Block] = []
    order: list[Any] = []
    told: list[Any] = []
    with Marbles() as marbles:
        root = Block("root", just(built(marbles, tree, messages, blocks)))
        ends(order, root, *blocks, *messages)
        marbles.at(0, lambda: root.subscribe(None, told.append, lambda: told.append(END)))
        if interrupted_at is not None:
            marbles.at(interrupted_at, root.interrupt)
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
    subscriptions: list[Any] = []
    left: list[Any] = []

    def look() -> None:
        left.append([each for each in (scope, *messages, *blocks) if each._started and not each.ended])

    with Marbles() as marbles:
        scope = Scope(just(built(marbles, tree, messages, blocks)))
        marbles.at(0, lambda: subscriptions.append(scope.subscribe(None, lambda _: None)))
        marbles.at(3, lambda: subscriptions[0].dispose())
        marbles.at(3, look)
    assert left == [[]]


def test_the_kind_of_a_state_update_is_its_own_and_stands_first() -> None:
    shown = StateUpdate(kind="mine", data={"a": 1, "kind": "other"}).to_dict()
    assert list(shown.items()) == [("kind", "mine"), ("a", 1)]
