"""The laws, over random trees of every agent, team and operator of the package.

The same examples in every run. For others, and more of them:

    RXAGENTS_LAW_EXAMPLES=20000 python -m pytest tests/test_laws.py

What hypothesis finds there is printed as data: it goes to the end of this file, as a test of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from rxagents import Block, MessageStream, Transcript
from rxagents.operators import deltas, messages, responses, shared, text, transcript
from rxagents.testing.laws.audiences import Audience
from rxagents.testing.laws.balances import check_balance
from rxagents.testing.laws.cases import Case
from rxagents.testing.laws.casts import Bot, Crew, Named, Person
from rxagents.testing.laws.checking import quiet
from rxagents.testing.laws.contracts import check_contract, check_release
from rxagents.testing.laws.drawing import cases
from rxagents.testing.laws.folds import check_folding
from rxagents.testing.laws.forests import trees
from rxagents.testing.laws.lineups import Line, Relay, Side
from rxagents.testing.laws.plans import Maps, Pipe, Plan, Shares, Transforms, Until, View, made
from rxagents.testing.laws.readings import check_replay
from rxagents.testing.laws.replies import Hears, Replies
from rxagents.testing.laws.talks import Talk, Words, played
from rxagents.testing.laws.tempos import check_order_of_markers, check_timing
from rxagents.testing.laws.worlds import HORIZON, World
from rxagents.testing.laws.wraps import check_wrapping

MORE = int(os.environ.get("RXAGENTS_LAW_EXAMPLES", "0"))

examples = settings(
    max_examples=MORE or 1_000,
    derandomize=not MORE,
    database=None,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    # a tree is large, and some are slow; how long they take in all is what the test's timeout bounds
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

pytestmark = pytest.mark.timeout(120 if not MORE else 3_600)


@pytest.fixture(autouse=True)
def nothing_is_logged() -> Iterator[None]:
    with quiet():
        yield


@examples
@given(trees(views=True), cases("contract", hostile=True))
def test_1_the_contract(tree: Plan, case: Case) -> None:
    check_contract(made(tree), case)


@examples
@given(trees(views=True), cases("release", hostile=True))
def test_2_release(tree: Plan, case: Case) -> None:
    check_release(made(tree), case)


@examples
@given(trees(), cases("replay", hostile=True))
def test_3_replay(tree: Plan, case: Case) -> None:
    check_replay(made(tree), case)


@examples
@given(trees(), cases("balance", hostile=True))
def test_4_balance(tree: Plan, case: Case) -> None:
    check_balance(made(tree), case)


@examples
@given(trees(), cases("folding"))
def test_5_folding(tree: Plan, case: Case) -> None:
    check_folding(made(tree), case)


@examples
@given(trees(), cases("wrapping"))
def test_6_wrapping(tree: Plan, case: Case) -> None:
    check_wrapping(made(tree), case)


@examples
@given(trees(calm=True, views=True), cases("timing"))
def test_7_timing(tree: Pipe, case: Case) -> None:
    view = tree.plans[-1]
    # the markers of messages that speak at the same time have no order
    in_order = isinstance(view, View) and view.name == "markers"
    (check_order_of_markers if in_order else check_timing)(made(tree), case)


@examples
@given(trees(calm=True), cases("timing"))
def test_7_no_view_loses_anything(tree: Plan, case: Case) -> None:
    with World(case.pace) as world:
        run = shared()(made(tree)(world)(played(world, case.source, by_turns=True)))
        views = (messages(), responses(), deltas(), text(separator=""), transcript())
        watches = [world.do(partial(Audience(world).attend, run.pipe(view))) for view in views]
        world.run(2 * HORIZON)
        spoken = list(said(run.items))
        assert [watch.end for watch in watches] == ["completed"] * len(views)
        assert [watch.values for watch in watches] == [
            spoken,
            [message.result for message in spoken],
            [item for message in spoken for item in message.items if type(item) is dict],
            [item["content"] for message in spoken for item in message.items if has_text(item)],
            [Transcript().fold_all(run.items)],
        ]


def said(items: Iterable[Any]) -> Iterator[MessageStream]:
    """The messages that views show, in the order of the conversation."""
    for item in items:
        if isinstance(item, Block) and item.entry != "aside":
            yield from said(item.items)
        elif isinstance(item, MessageStream) and item.role == "assistant":
            yield item


def has_text(item: Any) -> bool:
    return type(item) is dict and bool(item["content"])


# -- what was found, and stays


def test_found_a_cancelled_transform_waited_a_second_for_itself() -> None:
    tree = Pipe((Transforms("p"),))
    case = Case(Talk("m|", (Words("a"),)), readers="0", leave_at=1.0)
    check_release(made(tree), case)


def test_found_a_coroutine_of_an_agent_that_was_left_before_it_began() -> None:
    tree = Pipe((Hears("h"), Hears("e")))
    check_contract(made(tree), Case(Talk("|"), leave_after=1))


def test_found_a_stop_button_that_is_pressed_within_an_on_next() -> None:
    case = Case(Talk("B|", (Talk("|"),)), press_after=1)
    check_contract(made(Pipe((Until("p"),))), case)


def test_found_a_shared_run_that_is_disposed_within_an_on_next() -> None:
    tree = Pipe((Shares(), View("markers")))
    check_contract(made(tree), Case(Talk("mB|", (Words("|"), Talk("|"))), leave_after=1))


def test_found_a_tool_call_that_overtakes_the_text_before_it_in_a_transform() -> None:
    case = Case(Talk("m|", (Words("a-1|"),)), pace=(0,))
    check_timing(made(Pipe((Transforms("p"),))), case)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("view", ["text", "messages", "markers"])
def test_found_what_came_in_turn_is_overtaken_behind_map_tokens(view: str, late: bool) -> None:
    tree = Pipe((Maps("u"), Maps("u"), View(view)))
    inner = Talk("BB|", (Talk("w|"), Talk("w|")))
    case = Case(Talk("Bw|", (inner,)), pace=() if late else (1,), in_turn=True, late=late)
    check_timing(made(tree), case)


def test_found_a_message_without_a_name_that_had_ended_and_so_stayed_without() -> None:
    tree = Pipe((Transforms("p"), Hears("e")))
    check_timing(made(tree), Case(Talk("-w|", queued=True), pace=(0,)))


def test_found_what_a_step_of_a_chain_passes_on_is_said_in_two_places() -> None:
    bot = Named(Pipe((Bot(("|",)),)))
    check_balance(made(Pipe((Line((bot, Hears("e"))),))), Case(Talk("|")))
    check_balance(made(Pipe((Line((Crew((Bot(("|",)),)), Named(Pipe()))),))), Case(Talk("|")))


def test_found_what_a_chain_hears_live_was_counted_by_the_chain_and_by_its_step() -> None:
    tree = Pipe((Line((Hears("e"),)), Bot(("|",))))
    check_timing(made(tree), Case(Talk("-w|"), pace=(0,)))


def test_found_a_block_that_had_ended_was_mended_behind_what_follows_it() -> None:
    replies = Replies("bm", (Words("|"), Words("a|")))
    inner = Side((Person(), replies), "m")
    tree = Pipe((Side((Bot(("|",), max_rounds=8), inner), "mk"),))
    with World((0, 0, 1)) as world:
        run = shared()(made(tree)(world)(played(world, Talk("|"), by_turns=True)))
        watch = world.do(partial(Audience(world).attend, run.pipe(messages())))
        world.run(2 * HORIZON)
        assert watch.values == list(said(run.items))


def test_found_a_switch_that_begins_a_turn_for_who_left_when_told_of_the_choice() -> None:
    tree = Pipe((Relay((Replies("", (), "c"), Person("")), "0"), View("markers", "s")))
    check_release(made(tree), Case(Talk("|"), leave_after=2))
