"""Law: how a law is put to the test on somebody's operator; and how its breach is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from ...errors import ConfigurationError
from .cases import Broken, Case
from .drawing import cases
from .subjects import Output, Subject
from .worlds import Make

__all__ = ["Law", "LawError", "quiet"]

Check = Callable[[Make, Case], None]

_LEGEND = "`-` is a second; what stands together happens at one instant"


class LawError(AssertionError):
    """A law does not hold; the text shows the simplest example that was found.

    Attributes:
        law: The name of the law.
        found: What is wrong, in words.
        case: The example, as data.
    """

    def __init__(self, law: Law, subject: Subject, case: Case, broken: Broken) -> None:
        lines = [*case.described(), *broken.lanes]
        width = max(len(name) for name, _ in lines)
        told = [f"  {name:{width}}  {words}".rstrip() for name, words in lines]
        if subject.is_one and law.compares:
            told.append("  If it has a state, give a function that makes a new one for each run.")
        heading = f"{subject.name} breaks the law {law.name!r}: {broken.found}"
        super().__init__("\n".join([heading, f"  ({law.says})", *told, f"  ({_LEGEND})"]))
        self.law = law.name
        self.found = broken.found
        self.case = case


@contextmanager
def quiet() -> Iterator[None]:
    """Logs nothing: what is logged about thousands of examples helps nobody."""
    logger = logging.getLogger("rxagents")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


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

    @property
    def compares(self) -> bool:
        """Whether it compares one run with another."""
        return self.number > 4

    def __call__(self, operator: Any, *, max_examples: int = 200, seed: int | None = None) -> None:
        """Puts the law to the test on random conversations.

        Args:
            operator: An operator on conversations, an agent, a team, or a function without arguments
                that makes one: what has a state must be made anew for each example.
            max_examples: How many conversations to try.
            seed: A number, for other conversations than the same ones in each run.

        Raises:
            LawError: It does not hold; with the simplest example that was found.
            ConfigurationError: `operator` is none, or gives something that this law is not about.
            BlockingCallError: An event loop is running in this thread.
        """
        subject = Subject(operator)
        if subject.output not in self.checks:
            raise ConfigurationError(
                f"the law {self.name!r} says nothing about a {subject.output}, which is what {subject.name} "
                f"gives, but about {' and '.join(self.checks)}; check_laws finds the laws that apply"
            )
        self.hold(subject, max_examples, seed)

    def hold(self, subject: Subject, max_examples: int, seed: int | None) -> None:
        """The same for an operator that was looked at before.

        Raises:
            LawError: It does not hold.
        """
        check = self.checks[subject.output]
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
        @given(cases(self.name))
        def example(case: Case) -> None:
            last[:] = [case]
            check(subject.make, case)

        try:
            with quiet():
                (example if seed is None else seeded(seed)(example))()
        except Broken as broken:
            # the last that hypothesis runs is the simplest that it has found
            raise LawError(self, subject, last[0], broken) from broken.__cause__
