"""fallback: where a model fails, the next one is asked."""

from __future__ import annotations

import logging
from typing import Any

from reactivex import Observable, abc

from .attempts import Attempt, On, begun_anew, matcher, with_others
from .compositions import Asking, ComposedLLM, answered
from .requests import LLM, ChatRequest

__all__ = ["fallback"]

_log = logging.getLogger("rxagents.llm")


def fallback(*llms: LLM, on: On = Exception, restart: bool = False) -> ComposedLLM:
    """A model that asks the first, and where that fails the next.

    After the first token a failure is the answer's failure, since what was said may be shown already;
    with `restart=True` the next model is asked then too, and a delta with the key `restart` comes first,
    which says that what came before is void. When all have failed it fails with the last error, which has
    a note of the others. What a failed model took is counted, if it says so.

    ```
    a     ---#
    b     --Hi|
    out   -----Hi|
    ```

    Args:
        llms: The models, the one to ask first in front.
        on: The errors after which the next is asked: a type, a tuple of types, or a predicate.
        restart: Also after the first token.

    Raises:
        ConfigurationError: There is no model, or an argument is of no use.
    """
    return _FallbackLLM(llms, on, restart)


class _FallbackLLM(ComposedLLM):
    def __init__(self, llms: tuple[LLM, ...], on: On, restart: bool) -> None:
        super().__init__("fallback", llms, on=None if on is Exception else on, restart=restart or None)
        self.meant = matcher("fallback", on)
        self.restart = restart

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        return answered(request, lambda asking: _Falling(self, asking))


class _Falling(abc.DisposableBase):
    """One answer."""

    def __init__(self, made_of: _FallbackLLM, asking: Asking) -> None:
        self._made_of = made_of
        self._asking = asking
        self._failures: list[tuple[str, Exception]] = []
        self._ask()

    def _ask(self) -> None:
        self._attempt = Attempt(self._made_of.llms[len(self._failures)], self._asking, self._failed)
        self._attempt.begin()

    def _failed(self, error: Exception, said: bool) -> None:
        made_of, sink = self._made_of, self._asking.sink
        before = [*self._failures]
        self._failures.append((repr(self._attempt.llm), error))
        left = len(self._failures) < len(made_of.llms)
        if not left or (said and not made_of.restart) or not made_of.meant(error):
            sink.on_error(with_others(made_of, error, before))
            return
        _log.debug(
            "fallback: %r failed with %s, and the next is asked", self._attempt.llm, type(error).__name__
        )
        if said:
            sink.on_next(begun_anew(error))
        if not sink.stopped:
            self._ask()

    def dispose(self) -> None:
        self._attempt.dispose()
