"""Subject: what somebody asks the laws about, and what comes out of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Literal

from reactivex import Observable

from ...blocks import Block
from ...errors import BlockingCallError, ConfigurationError
from ...operators import Mark
from ...state_updates import StateUpdate
from ...streams import MessageStream
from ...transcripts import Transcript
from .audiences import Audience
from .talks import Talk, Words, played
from .worlds import Make, World

__all__ = ["Output", "Subject"]

Output = Literal["conversation", "markers", "view"]

_ITEMS = (MessageStream, Block, StateUpdate, Transcript)
_SAMPLE = Talk("muwsB|", (Words("ab|"), Talk("m|", (Words("a|"),))))


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
        self.name = str(getattr(thing, "__qualname__", None) or repr(thing)).replace(".<locals>", "")
        self.is_one = not _takes_nothing(thing)
        self.make: Make = (lambda world: thing) if self.is_one else lambda world: _made(thing)
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
        if all(
            isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Mark) for value in values
        ):
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
        parameter.kind
        in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL)
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
    raise BlockingCallError(
        "laws run event loops of their own: call them from a plain function, not an async one"
    )
