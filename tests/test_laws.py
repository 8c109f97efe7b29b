"""The laws, over random trees of every agent, team and operator of the package.

The same examples in every run. For others, and more of them:

    RXAGENTS_LAW_EXAMPLES=20000 python -m pytest tests/test_laws.py

What hypothesis finds there is printed as data: it goes to the end of this file, as a test of its own.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings

from rxagents.testing.laws.balances import check_balance
from rxagents.testing.laws.cases import Broken, Case
from rxagents.testing.laws.casts import Bot, Crew, Named, Person
from rxagents.testing.laws.contracts import check_contract, check_release
from rxagents.testing.laws.drawing import cases
from rxagents.testing.laws.folds import check_folding
from rxagents.testing.laws.forests import trees
from rxagents.testing.laws.plans import Maps, Pipe, Plan, Shares, Transforms, Until, View, made
from rxagents.testing.laws.readings import check_replay
from rxagents.testing.laws.replies import Hears, Replies
from rxagents.testing.laws.talks import Talk, Words
from rxagents.testing.laws.tempos import check_timing
from rxagents.testing.laws.wraps import check_wrapping

MORE = int(os.environ.get("RXAGENTS_LAW_EXAMPLES", "0"))

examples = settings(
    max_examples=MORE or 2_000,
    derandomize=not MORE,
    database=None,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    # a tree is large, and some are slow; how long they take in all is what the test's timeout bounds
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

pytestmark = pytest.mark.timeout(120 if not MORE else 3_600)


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
def test_7_timing(tree: Plan, case: Case) -> None:
    check_timing(made(tree), case)
