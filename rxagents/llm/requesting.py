"""How a model is asked: with all that is worn around it, and its errors told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactivex import Observable

from ..engine.bridges import forward
from ..engine.demands import until_wanted
from ..engine.inlets import OnMany
from ..errors import ConfigurationError
from ..places import raisable, unlocated
from .around import as_worn
from .requests import LLM, ChatRequest

__all__ = ["ask"]


async def ask(
    llm: LLM,
    request: ChatRequest,
    emit: Callable[[Any], None],
    emit_many: OnMany[Any] | None = None,
) -> None:
    """Asks a model, when an answer is wanted, with all that is worn around it, and emits it as it comes.

    Deltas that come at once are given to `emit_many`, if there is one.

    Raises:
        ConfigurationError: It is no model: it gave no observable.
        Exception: What the model raises or fails with.
    """
    try:
        answer = as_worn(llm)(request)
        if not isinstance(answer, Observable):
            raise ConfigurationError(
                f"the model of {request.agent} gave {type(answer).__name__}; a model gives an observable "
                "of deltas or strings, such as rx.of('Hello')"
            )
        await until_wanted()
        await forward(answer, emit, emit_many)
    except Exception as error:
        error = unlocated(raisable(error, f"the model of {request.agent}"))
        raise error
