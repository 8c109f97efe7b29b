"""What a marble test draws: lanes, messages, models, tools and probes, all on one clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from ...errors import ConfigurationError
from ...llm.requests import ChatRequest, LLMConstraints
from ...streams import MessageStream
from ...tooling.call_limits import ToolRetry
from ...tooling.pending_calls import Approval
from ...values import Role, Usage
from ..lanes import Lane
from ..language.diagrams import parse
from .drawn_items import drawn_message
from .drawn_lanes import ColdLane, HotLane
from .drawn_models import MarbleLLM
from .drawn_tools import MarbleTool
from .probes import Probe

__all__ = ["Drawn", "Palette"]

Drawn = HotLane | ColdLane | MarbleLLM | MarbleTool | Probe | MessageStream


S = TypeVar("S", HotLane, ColdLane, MarbleLLM, MarbleTool, Probe, MessageStream)


class Palette:
    """Draws the sources of a test.

    Args:
        frame: How long a column is, in virtual seconds.

    Attributes:
        has_run: Whether the clock has run; nothing can be drawn any more.
        misused: What was asked of that which is drawn and cannot be, in words; it fails the test.
    """

    def __init__(self, frame: float) -> None:
        if not frame > 0:
            raise ConfigurationError(f"a frame is a time in seconds, above 0, not {frame!r}")
        self.frame = frame
        self._says_words = False
        self.has_run = False
        self.misused: list[str] = []
        self.sources: list[Drawn] = []

    @property
    def speaks(self) -> bool:
        """Whether words are spoken: by a model, tool or message; if no lane is drawn, by what is tested."""
        return self._says_words or not any(isinstance(lane, HotLane | ColdLane) for lane in self.sources)

    def hot(
        self,
        diagram: str,
        bound: Mapping[str, Any] = {},
        /,
        *,
        error: Exception | None = None,
        **values: Any,
    ) -> HotLane:
        """An observable that runs whether or not somebody listens; a `^` in it is the frame 0.

        Args:
            diagram: Single characters, unless bound as a whole; lanes within it read words.
            bound: What the characters, or words, stand for, as a mapping.
            error: What a `#` raises.
            values: The same, by keyword.
        """
        self._check_open()
        lane = self._draw(diagram, {**bound, **values}, words=False, error=error)
        return self._drawn(HotLane(lane, f"hot({diagram.strip()!r})", self.misused.append))

    def cold(
        self,
        diagram: str,
        bound: Mapping[str, Any] = {},
        /,
        *,
        error: Exception | None = None,
        **values: Any,
    ) -> ColdLane:
        """An observable that begins anew with each subscription. Arguments as for `hot`."""
        self._check_open()
        lane = self._draw(diagram, {**bound, **values}, words=False, error=error)
        return self._drawn(ColdLane(_without_caret(lane), f"cold({diagram.strip()!r})", self.misused.append))

    def message(
        self,
        diagram: str,
        /,
        *,
        name: str | None = None,
        role: Role = "assistant",
        error: Exception | None = None,
        **values: Any,
    ) -> MessageStream:
        """A message that streams the words of a lane, from when it is first read; `~` interrupts it."""
        self._check_open()
        self._says_words = True
        lane = self._draw(diagram, values, words=True, error=error)
        return self._drawn(drawn_message(_without_caret(lane), name=name, role=role))

    def llm(
        self,
        *scripts: str | Callable[[ChatRequest], str],
        name: str | None = None,
        constraints: LLMConstraints | None = None,
        usage: Usage | None = None,
        error: Exception | None = None,
        **values: Any,
    ) -> MarbleLLM:
        """A model that answers each request with the next diagram, or as a function of the request says.

        A request that finds no script fails the test.

        Args:
            scripts: A diagram for each request, or one function from the ChatRequest to a diagram.
            name: For the pictures; by default `llm`, `llm2`, …
            constraints: What this model shall not be able to do.
            usage: What each answer takes.
            error: What a `#` is.
            values: What the words stand for.
        """
        self._check_open()
        self._says_words = True
        draw = partial(self._draw, values=values, words=True, error=error)
        number = 1 + sum(isinstance(source, MarbleLLM) for source in self.sources)
        return self._drawn(
            MarbleLLM(
                scripts,
                draw,
                name=name or f"llm{number if number > 1 else ''}",
                constraints=constraints,
                usage=usage,
                on_misuse=self.misused.append,
            )
        )

    def tool(
        self,
        name: str,
        /,
        *lanes: str,
        arguments: Mapping[str, Any] | None = None,
        description: str = "",
        timeout: float | None = None,
        max_concurrent: int | None = None,
        retry: int | ToolRetry = 0,
        max_result: int | None = None,
        early: bool = True,
        approval: Approval = False,
        error: Exception | None = None,
        **values: Any,
    ) -> MarbleTool:
        """A tool whose work is a lane: its last item is the result, `#` what it raises; the rest is progress.

        Args:
            name: The tool's name.
            lanes: One for all calls, or one for each.
            arguments: The parameters that the model sees, each with its type.
            description: What the model reads.
            timeout: Seconds, as of any tool.
            max_concurrent: As of any tool.
            retry: As of any tool; each attempt is a call, and gets a lane.
            max_result: As of any tool.
            early: As of any tool.
            approval: As of any tool.
            error: What a `#` raises.
            values: What the words stand for.
        """
        self._check_open()
        self._says_words = True
        drawn = tuple(self._draw(lane, values, words=True, error=error) for lane in lanes)
        return self._drawn(
            MarbleTool(
                name,
                drawn,
                arguments=arguments,
                description=description,
                timeout=timeout,
                max_concurrent=max_concurrent,
                retry=retry,
                max_result=max_result,
                early=early,
                approval=approval,
                on_misuse=self.misused.append,
            )
        )

    def probe(self, name: str = "probe") -> Probe:
        """An operator that counts subscriptions, cancellations and items where it stands."""
        self._check_open()
        return self._drawn(Probe(name))

    def _drawn(self, source: S) -> S:
        self.sources.append(source)
        if isinstance(source, HotLane | ColdLane) and source.lane.lanes:
            self._says_words = True
        return source

    def _draw(
        self, diagram: str, values: Mapping[str, Any], *, words: bool, error: Exception | None = None
    ) -> Lane:
        return parse(diagram, values, frame=self.frame, words=words, error=error)

    def _check_open(self) -> None:
        if self.has_run:
            raise ConfigurationError(
                "the clock of this test has run; draw and expect everything before flush() and run()"
            )


def _without_caret(lane: Lane) -> Lane:
    if lane.caret is not None:
        raise ConfigurationError(
            "a ^ is where a hot lane has its frame 0, and where an expected one is subscribed to; a cold one "
            "begins with each subscription"
        )
    return lane
