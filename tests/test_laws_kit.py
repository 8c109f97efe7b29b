"""check_laws finds operators that break a law: the laws can fail, and say what is wrong."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import Disposable

from rxagents import (
    Agent,
    Block,
    BlockingCallError,
    ConfigurationError,
    MessageStream,
    StateUpdate,
    Team,
    User,
    agent,
)
from rxagents.operators import (
    answer,
    deltas,
    map_tokens,
    markers,
    messages,
    responses,
    shared,
    text,
    transcript,
)
from rxagents.testing import VirtualClock, laws
from rxagents.testing.laws import LawError, check_laws
from rxagents.testing.laws.cases import Case
from rxagents.testing.laws.talks import Talk, Words


class Raw(Observable[Any]):
    """An observable without the guards that those of reactivex have."""

    def __init__(self, run: Callable[[Any, Any, Any, Any], Any]) -> None:
        super().__init__()
        self._run = run

    def subscribe(
        self, on_next: Any = None, on_error: Any = None, on_completed: Any = None, *, scheduler: Any = None
    ) -> Any:
        if hasattr(on_next, "on_next"):
            on_next, on_error, on_completed = on_next.on_next, on_next.on_error, on_next.on_completed
        return self._run(on_next, on_error, on_completed, scheduler)


# -- operators that are wrong


def emits_after_completion(source: Observable[Any]) -> Observable[Any]:
    def run(on_next: Any, on_error: Any, on_completed: Any, scheduler: Any) -> Any:
        def completed() -> None:
            on_completed()
            on_next(StateUpdate("late"))

        return source.subscribe(on_next, on_error, completed, scheduler=scheduler)

    return Raw(run)


def completes_twice(source: Observable[Any]) -> Observable[Any]:
    def run(on_next: Any, on_error: Any, on_completed: Any, scheduler: Any) -> Any:
        def completed() -> None:
            on_completed()
            on_completed()

        return source.subscribe(on_next, on_error, completed, scheduler=scheduler)

    return Raw(run)


def emits_after_dispose(source: Observable[Any]) -> Observable[Any]:
    def run(on_next: Any, on_error: Any, on_completed: Any, scheduler: Any) -> Any:
        def later(action: Any, *args: Any) -> None:
            asyncio.get_running_loop().call_later(1, action, *args)

        return source.subscribe(
            lambda item: later(on_next, item),
            lambda error: later(on_error, error),
            lambda: later(on_completed),
            scheduler=scheduler,
        )

    return Raw(run)


def tells_who_reads(source: Observable[Any]) -> Observable[Any]:
    def run(on_next: Any, on_error: Any, on_completed: Any, scheduler: Any) -> Any:
        class Told(MessageStream):
            def subscribe(self, *observer: Any, **options: Any) -> Any:
                on_next(StateUpdate("read"))
                return super().subscribe(*observer, **options)

        return source.subscribe(
            lambda item: on_next(remade(Told)(item)), on_error, on_completed, scheduler=scheduler
        )

    return Raw(run)


def subscribes_at_building(source: Observable[Any]) -> Observable[Any]:
    items: list[Any] = []
    source.subscribe(items.append, lambda error: None)
    return source


def subscribes_twice(source: Observable[Any]) -> Observable[Any]:
    return rx.merge(source, source.pipe(ops.filter(lambda item: isinstance(item, StateUpdate))))


def leaks(source: Observable[Any]) -> Observable[Any]:
    def run(on_next: Any, on_error: Any, on_completed: Any, scheduler: Any) -> Any:
        left = False
        source.subscribe(
            lambda item: None if left else on_next(item),
            lambda error: None if left else on_error(error),
            lambda: None if left else on_completed(),
            scheduler=scheduler,
        )

        def leave() -> None:
            nonlocal left
            left = True

        return Disposable(leave)

    return Raw(run)


class Fickle(MessageStream):
    """A message that gives its second reader other tokens."""

    def subscribe(self, on_next: Any = None, on_error: Any = None, on_completed: Any = None, **_: Any) -> Any:
        first = not self._readers and not self.ended
        shown = on_next if first else lambda item: on_next({**item, "content": "again"})
        return super().subscribe(shown, on_error, on_completed)


class Boastful(MessageStream):
    """A message that says something else than its tokens do."""

    def _settle(self) -> None:
        super()._settle()
        assert self.result is not None
        self.result = self.result.model_copy(update={"content": self.result.text + "!"})


def remade(kind: type[MessageStream]) -> Callable[[Any], Any]:
    return lambda item: kind(item, name=item.name) if isinstance(item, MessageStream) else item


def changes_tokens(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(ops.map(remade(Fickle)))


def adds_to_the_content(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(ops.map(remade(Boastful)))


def drops_the_ends(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(markers(), ops.filter(lambda marker: marker[0] != "end"))


def shows_within(source: Observable[Any]) -> Observable[Any]:
    """Shows each message beside a block, and in it."""
    alone = source.pipe(ops.filter(lambda item: isinstance(item, MessageStream)))
    return alone.pipe(ops.flat_map(lambda message: rx.of(message, Block("again", rx.of(message)))))


def shows_twice(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(ops.flat_map(lambda item: rx.of(item, item)))


def counts_its_calls() -> Any:
    calls = count(1)
    return Agent("counter", lambda request: rx.of(f"call {next(calls)}"))


def in_order_of_their_ends(source: Observable[Any]) -> Observable[Any]:
    messages = source.pipe(ops.filter(lambda item: isinstance(item, MessageStream)))
    return messages.pipe(ops.flat_map(lambda message: message.message))


def loses_what_comes_quickly(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(ops.throttle_first(0.5))


def fails_at_a_third(source: Observable[Any]) -> Observable[Any]:
    def checked(item: Any, index: int) -> Any:
        if index == 2:
            raise KeyError(index)
        return item

    return source.pipe(ops.map_indexed(checked))


# -- what is found


def breach(operator: Any, law: str) -> LawError:
    with pytest.raises(LawError) as caught:
        check_laws(operator, laws=[law])
    assert caught.value.law == law
    return caught.value


@pytest.mark.parametrize(
    ("operator", "law", "found"),
    [
        (emits_after_completion, "contract", "seen: on_next was called after on_completed"),
        (completes_twice, "contract", "seen: on_completed was called after on_completed"),
        (emits_after_dispose, "contract", "seen: on_completed was called after it was left"),
        (tells_who_reads, "contract", "seen: on_next was called within an on_next"),
        (subscribes_at_building, "release", "building subscribed to source"),
        (subscribes_twice, "release", "source was subscribed to 2 times: at 0 s, 0 s"),
        (
            leaks,
            "release",
            "source was subscribed to at 0 s and is not released at 1000 s, when all had ended or left",
        ),
        (changes_tokens, "replay", "two readers of the message saw different things"),
        (adds_to_the_content, "replay", "the tokens say 'source.0 ', and the message 'source.0 !'"),
        (drops_the_ends, "balance", "i1 was begun and never ended"),
        (shows_twice, "balance", "response for what has ended already"),
        (shows_within, "balance", "delta of one message in two blocks, one within the other"),
        (
            in_order_of_their_ends,
            "timing",
            "another timing gave another result, in [0][1].role: 'assistant' and 'user'",
        ),
        (
            loses_what_comes_quickly,
            "timing",
            "another timing gave another result, in [1][0]: 'message' and 'end'",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_operator_is_found(operator: Any, law: str, found: str) -> None:
    error = breach(operator, law)
    assert error.found == found
    assert str(error).startswith(f"{operator.__name__} breaks the law {law!r}: {found}\n")


def test_the_error_shows_the_simplest_example() -> None:
    assert str(breach(in_order_of_their_ends, "timing")).splitlines() == [
        "in_order_of_their_ends breaks the law 'timing': another timing gave another result, in "
        "[0][1].role: 'assistant' and 'user'",
        "  (Ordered composition gives the same order whatever the timing; nothing is lost under any timing)",
        "  source      i1 - u |",
        "  i1          |",
        "  pace        0 s between the marks instead",
        "  seen        '' - 'source.1' |",
        "  the other:",
        "  seen        'source.1' '' |",
        "  If it has a state, give a function that makes a new one for each run.",
        "  (`-` is a second; what stands together happens at one instant)",
    ]


def test_the_error_says_who_reads_and_who_leaves() -> None:
    lines = str(breach(emits_after_dispose, "contract")).splitlines()
    assert lines[2:-1] == ["  source  |", "  left    at 0.5 s", "  seen    - |"]
    lines = str(breach(changes_tokens, "replay")).splitlines()
    assert lines[2:4] == ["  source         u |", "  readers        of each item, 0, 0 s after it came"]
    assert lines[4:6] == ["    message      'source.0' |", "    message      'again' |"]


def test_the_example_is_data_to_keep() -> None:
    case = breach(drops_the_ends, "balance").case
    assert eval(repr(case), {"Case": Case, "Talk": Talk, "Words": Words}) == case
    assert case.source == Talk("B|", (Talk("|"),))


def test_the_same_conversations_in_every_run_and_others_with_a_seed() -> None:
    def heard(**options: Any) -> list[str]:
        words: list[str] = []

        def noted(source: Observable[Any]) -> Observable[Any]:
            return source.pipe(ops.do_action(lambda item: words.append(getattr(item, "name", None) or "")))

        check_laws(noted, laws=["contract"], max_examples=20, **options)
        return words

    assert heard() == heard()
    assert heard(seed=1) == heard(seed=1)
    assert heard(seed=1) != heard(seed=2)


@pytest.mark.parametrize("law", ["folding", "wrapping", "timing", "loss"])
def test_an_agent_with_a_state_is_to_be_made_anew(law: str) -> None:
    error = breach(counts_its_calls(), law)
    assert str(error).startswith(f"<Agent counter> breaks the law {law!r}: ")
    assert (
        "  If it has a state, give a function that makes a new one for each run." in str(error).splitlines()
    )
    check_laws(counts_its_calls, laws=[law], max_examples=20)


def test_what_an_operator_fails_with_is_its_output() -> None:
    check_laws(fails_at_a_third, max_examples=50)


def test_what_building_raises_is_raised() -> None:
    def refuses(source: Observable[Any]) -> Observable[Any]:
        raise KeyError("no")

    with pytest.raises(KeyError, match="no"):
        check_laws(refuses)


# -- what holds


def a_team() -> Team:
    a, b = Agent("a", lambda request: rx.of("x", "y")), Agent("b", lambda request: rx.of("z"))
    return Team(lambda request: rx.of("a"), [a, b], "team", max_turns=2)


@agent
async def critic(transcript: Any) -> Any:
    yield "one"
    await asyncio.sleep(1)
    yield ["two", rx.of("three")]


@pytest.mark.parametrize(
    "operator",
    [
        lambda source: source, ops.map(lambda item: item), ops.delay(1.0), a_team(), a_team, critic,
        User("u", "unattended"), markers(), markers(state=True, inputs=True), text(), deltas(), messages(),
        responses(), answer(), transcript(), shared(), map_tokens(str.upper),
        lambda source: source.pipe(a_team(), responses()),
    ],
)  # fmt: skip
def test_the_laws_hold_for_a_sound_operator(operator: Any) -> None:
    check_laws(operator, max_examples=15)


def test_where_there_is_no_order_nothing_must_be_lost() -> None:
    check_laws(in_order_of_their_ends, laws=["contract", "release", "loss"], max_examples=50)
    check_laws(text(order="arrival"), laws=[laws.contract, laws.release, laws.loss], max_examples=50)
    found = breach(loses_what_comes_quickly, "loss").found
    assert found.startswith("another timing lost something, in all: 1 more at the end: ")


def test_a_law_is_a_function_of_an_operator() -> None:
    laws.contract(text())
    laws.folding(a_team, max_examples=20, seed=3)
    with pytest.raises(LawError, match="breaks the law 'contract'"):
        laws.contract(emits_after_completion)


def test_the_laws_are_the_seven_of_the_table() -> None:
    assert [(law.number, law.name) for law in laws.ALL] == [
        (1, "contract"), (2, "release"), (3, "replay"), (4, "balance"), (5, "folding"), (6, "wrapping"),
        (7, "timing"),
    ]  # fmt: skip
    table = [line for line in str(laws.__doc__).splitlines() if line[:1].isdigit()]
    assert [(int(line[0]), line.split()[1]) for line in table] == [(law.number, law.name) for law in laws.ALL]


# -- what is refused


def test_what_is_no_operator_is_refused() -> None:
    for thing, words in (
        (3, "operator is a int; give an operator, an agent, a team, or a function without arguments that "
            "makes one"),
        (lambda: 3, "operator is a function that makes a int; it must make an operator, an agent or a team"),
        (lambda source: 3, "operator gave a int and no observable; it must be a function from an observable "
            "to an observable"),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError) as caught:
            check_laws(thing)
        assert str(caught.value) == words


def test_a_law_that_does_not_apply_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        laws.folding(text())
    assert str(caught.value) == (
        "the law 'folding' says nothing about a view, which is what text.operator gives, but about "
        "conversation; check_laws finds the laws that apply"
    )
    with pytest.raises(ConfigurationError) as caught:
        check_laws(text(), laws=["folding", "balance"])
    assert str(caught.value) == (
        "what text.operator gives is a view, and none of these laws is about that: folding, balance"
    )
    with pytest.raises(ConfigurationError) as caught:
        check_laws(text(), laws=["gravity"])
    assert str(caught.value) == (
        "there is no law 'gravity'; the laws are contract, release, replay, balance, folding, wrapping, "
        "timing, loss"
    )


def test_under_a_running_loop_it_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(BlockingCallError) as caught:
            check_laws(text())
        assert str(caught.value) == (
            "laws run event loops of their own: call them from a plain function, not an async one"
        )

    VirtualClock().run(main())


def test_nothing_else_imports_hypothesis() -> None:
    program = "import sys, rxagents.testing; print([name for name in sys.modules if 'hypothesis' in name])"
    assert run_python(program) == "[]"


def test_without_hypothesis_the_error_says_what_to_install() -> None:
    program = """
import sys
sys.modules["hypothesis"] = None
from rxagents import ConfigurationError
try:
    import rxagents.testing.laws
except ConfigurationError as error:
    print(error)
"""
    assert run_python(program) == (
        "rxagents.testing.laws draws its examples with hypothesis, which is not installed: "
        "pip install 'rxagents[test]'"
    )


def run_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    return done.stdout.strip()
