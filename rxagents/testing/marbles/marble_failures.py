"""How a marble test fails: each thing that is wrong, with its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent

from ..lanes import Lane

__all__ = ["MarbleFailure", "Problem", "first_error"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Args:
        title: What, and where it was written.
        text: The picture, or a list.
        expected: What was drawn, where that is a lane.
        actual: What came, where that is a lane.
    """

    title: str
    text: str = ""
    expected: Lane | None = None
    actual: Lane | None = None


class MarbleFailure(AssertionError):
    """A marble test failed: a picture is another one, or something was left over.

    Attributes:
        problems: What is wrong, one by one.
        pictures: The title, the expected and the actual lane of each that is a picture.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n\n".join(_words(problem) for problem in self.problems))

    @property
    def pictures(self) -> tuple[tuple[str, Lane | None, Lane], ...]:
        return tuple(
            (problem.title, problem.expected, problem.actual)
            for problem in self.problems
            if problem.actual is not None
        )

    def __reduce__(self) -> tuple[type[MarbleFailure], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


def _words(problem: Problem) -> str:
    return f"{problem.title}\n\n{indent(problem.text, '  ')}" if problem.text else problem.title


def first_error(problems: Sequence[Problem]) -> BaseException | None:
    """The first error that came where something else was drawn: what the failure is raised from."""
    for problem in problems:
        for lane in problem.actual.walk() if problem.actual is not None else ():
            if lane.end is not None and lane.end.kind == "error":
                return lane.end.value  # type: ignore[no-any-return]
    return None
