"""Law and check_laws: how a law is put to the test on somebody's operator."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.strategies import SearchStrategy
from reactivex import Observable

from ...blocks import Block, StateUpdate
from ...errors import BlockingCallError, ConfigurationError
from ...operators import Mark
from ...streams import MessageStream
from ...transcripts import Transcript
from .cases import Broken, Case
from .drawing import cases
from .talks import Talk, Words, played
from .watches import Audience
from .worlds import Make, World

__all__ = ["Law", "LawError", "Subject"]

Check = Callable[[Make, Case], None]
Output = Literal["conversation", "markers", "view"]

_ITEMS = (MessageStream, Block, StateUpdate, Transcript)
_SAMPLE = Talk("muwsB|", (Words("ab|"), Talk("m|", (Words("a|"),))))
_LEGEND = "`-` is a second; what stands together happens at one instant"


class LawError(AssertionError):
    """A law does not hold; the text shows the simplest example that was found.

    Attributes:
        law: The name of the law.
        found: What is wrong, in words.
        case: The example, as data.
    """

    def __init__(self, law: Law, subject: Subject, case: Case, broken: Broken) -> None:
        lines = [("the law", law.says), *case.described(), *broken.lanes]
        width = max(len(name) for name, _ in lines)
        told = [f"  {name:{width}}  {words}".rstrip() for name, words in lines]
        legend = f"  {'':{width}}  ({_LEGEND})"
        super().__init__(
            "\n".join([f"{subject.name} breaks the law {law.name!r}: {broken.found}", *told, legend])
        )
        self.law = law.name
        self.found = broken.found
        self.case = case


class Subject:
    """Somebody's operator, agent or team, or a function that makes one; and what comes out of it.

    Args:
        thing: The operator, or a function without arguments that makes it.

    Raises:
        ConfigurationError: It is neither.
        BlockingCallError: An event loop is running in this thread.
    """

    def __init__(self, thing: Any) -> None:
        if not callable(thing):
            raise ConfigurationError(
                f"operator is a {type(thing).__name__}; give an operator, an agent, a team, or a function "
                "without arguments that makes one"
            )
        _refuse_running_loop()
        self.name = getattr(thing, "__name__", None) or repr(thing)
        self.make: Make = (lambda world: _made(thing)) if _takes_nothing(thing) else lambda world: thing
        self.output = self._tried()

    def _tried(self) -> Output:
        """What comes out of it for a small conversation."""
        with World() as world:
            audience = Audience(world)
            watch = world.do(lambda: audience.attend(_applied(self.make(world), played(world, _SAMPLE))))
            world.run()
            world.do(audience.leave)
            values = watch.values
        if all(isinstance(value, _ITEMS) for value in values):
            return "conversation"
        if all(isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Mark) for value in values):
            return "markers"
        return "view"


def _applied(operator: Callable[..., Any], source: Observable[Any]) -> Observable[Any]:
    output = operator(source)
    if not isinstance(output, Observable):
        raise ConfigurationError(
            f"operator gave a {type(output).__name__} and no observable; it must be a function from an "
            "observable to an observable"
        )
    return output


def _takes_nothing(thing: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return False
    return not any(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL)
        for parameter in parameters
    )


def _made(factory: Callable[[], Any]) -> Any:
    operator = factory()
    if not callable(operator):
        raise ConfigurationError(
            f"operator is a function that makes a {type(operator).__name__}; it must make an operator, an "
            "agent or a team"
        )
    return operator


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise BlockingCallError("laws run event loops of their own: call them from a plain function, not an async one")


@dataclass(frozen=True, slots=True)
class Law:
    """A law: called with an operator, it looks for an example in which it does not hold.

    Args:
        number: Its place in the list.
        name: Its name.
        says: What it says.
        checks: How one example is checked, by what comes out of the operator; it says nothing about
            outputs that are not named.
    """

    number: int
    name: str
    says: str
    checks: Mapping[Output, Check]

    def __call__(
        self,
        operator: Any,
        *,
        max_examples: int = 200,
        seed: int | None = None,
    ) -> None:
        """Puts the law to the test on random conversations.

        Args:
            operator: An operator on conversations, an agent, a team, or a function without arguments
                that makes one: what has a state must be made anew for each example.
            max_examples: How many conversations to try.
            seed: For other conversations than those of every other run.

        Raises:
            LawError: It does not hold; with the simplest example that was found.
            ConfigurationError: `operator` is none, or it has an output of which this law says nothing.
            BlockingCallError: An event loop is running in this thread.
        """
        subject = Subject(operator)
        if subject.output not in self.checks:
            raise ConfigurationError(
                f"the law {self.name!r} is about conversations, and {subject.name} gives none; the laws for "
                "it are found by check_laws"
            )
        self.hold(subject, max_examples, seed)

    def hold(self, subject: Subject, max_examples: int, seed: int | None) -> None:
        """The same, for what was looked at before."""
        examine(self, subject, cases(self.name), max_examples, seed)


def examine(
    law: Law, subject: Subject, drawn: SearchStrategy[Case], max_examples: int, seed: int | None
) -> None:
    """Looks for the simplest example in which a law does not hold."""
    check = law.checks[subject.output]
    last: list[Case] = []

    @settings(
        max_examples=max_examples,
        deadline=None,
        database=None,
        derandomize=seed is None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(drawn)
    def example(case: Case) -> None:
        last[:] = [case]
        check(subject.make, case)

    try:
        (example if seed is None else seeded(seed)(example))()
    except Broken as broken:
        raise LawError(law, subject, last[0], broken) from broken.__cause__


def chosen(laws: Collection[Law | str] | None, all_of_them: Collection[Law]) -> list[Law]:
    ...
