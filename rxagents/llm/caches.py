"""cached: a request that was answered before is answered from a store."""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Protocol, TypeAlias

from reactivex import Observable

from ..engine.bridges import forward, from_async
from ..engine.loops import dropped
from ..errors import ConfigurationError
from ..hash_keys import hash_key
from ..recording.journal_values import completion_data, completion_from, delta_data, delta_from
from ..values import Completion
from .compositions import ComposedLLM, WrappedLLM, answer_of
from .gated_models import GatedLLM
from .logged_models import LoggedLLM
from .recorded import RecordedLLM
from .requests import LLM, ChatRequest, LLMConstraints

__all__ = ["AsyncStore", "Store", "cached"]


class AsyncStore(Protocol):
    """A store on the other side of a wire, such as a client of Redis."""

    async def get(self, key: str, /) -> str | bytes | None: ...
    async def set(self, key: str, value: str, /) -> object: ...


Store: TypeAlias = MutableMapping[str, Any] | AsyncStore


def cached(llm: LLM, store: Store, *, key: Callable[[ChatRequest], Any] | None = None) -> WrappedLLM:
    """A model that answers a request that it has answered before from a store.

    It answers with the deltas as they were, all at once, and a Completion without usage: it costs nothing,
    and costs are not counted again. Only whole answers are kept, and of these what came after the last
    `restart`; what fails or is cancelled is not. Two equal requests at the same time are both asked. A store
    that fails is reported (see `rxagents.on_dropped`), and the model is asked.

    ```
    first   --Hi-|
    out     --Hi-|
    again   ---------(Hi|)
    ```

    (It is asked again at 9.)

    Args:
        llm: The model.
        store: A dict, a `shelve`, any mapping; or an object whose `get` and `set` are coroutine functions.
            Keys are strings of 64 characters, values JSON text.
        key: What makes two requests equal, as JSON-able data of a ChatRequest. By default the body of the
            request, and of the model its name, address, settings and constraints. What has no name of
            its own, such as a function, a judge or a check, is known by its qualified name only: where
            several share a store, give this.

    Raises:
        ConfigurationError: It is no model, or the store is none.
    """
    return _CachedLLM(llm, store, key)


class _CachedLLM(WrappedLLM):
    def __init__(self, llm: LLM, store: Store, key: Callable[[ChatRequest], Any] | None) -> None:
        super().__init__("cached", llm)
        if not isinstance(store, MutableMapping) and not (
            iscoroutinefunction(getattr(store, "get", None))
            and iscoroutinefunction(getattr(store, "set", None))
        ):
            raise ConfigurationError(
                f"cached: the store is a {type(store).__name__}; give a mapping such as a dict, or an object "
                "whose `get` and `set` are coroutine functions"
            )
        if key is not None and not callable(key):
            raise ConfigurationError(f"cached: key is a function of the ChatRequest, not {key!r}")
        self._store = store
        self._key = key

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        return from_async(partial(self._answer, request))

    async def _answer(self, request: ChatRequest, emit: Callable[[Any], None]) -> None:
        key = self._key_of(request)
        items = await self._kept(key)
        if items is not None:
            for item in items:
                emit(item)
            return
        items = []

        def pass_on(item: Any) -> None:
            items.append(item)
            emit(item)

        await forward(answer_of(self.llm, request), pass_on)
        await self._keep(key, items)

    def _key_of(self, request: ChatRequest) -> str:
        if self._key is not None:
            return hash_key({"key": self._key(request)})
        return hash_key({"body": request.body(), "model": _identity(self.llm)})

    async def _kept(self, key: str) -> list[Any] | None:
        """What is kept of an answer; None: nothing, or nothing that can be read."""
        try:
            found = self._store.get(key)
            text = await found if isawaitable(found) else found
            return None if text is None else _read(text)
        except Exception as error:
            dropped(error, "the store of a cached model could not be read; the model is asked")
            return None

    async def _keep(self, key: str, items: list[Any]) -> None:
        try:
            text = _written(items)
            if isinstance(self._store, MutableMapping):
                self._store[key] = text
            else:
                await self._store.set(key, text)
        except Exception as error:
            dropped(error, "the store of a cached model could not be written; its answer is not kept")


def _written(items: Sequence[Any]) -> str:
    deltas: list[Any] = []
    last: Completion | None = None
    for item in items:
        if isinstance(item, Completion):
            last = replace(item, usage=None)
        elif isinstance(item, dict) and item.get("restart") is not None:
            deltas.clear()  # what it makes void is of no interest to anyone any more
        else:
            deltas.append(delta_data(item))
    return json.dumps({"deltas": deltas, "completion": None if last is None else completion_data(last)})


def _read(text: str | bytes) -> list[Any]:
    data = json.loads(text)
    items: list[Any] = [delta_from(each) for each in data["deltas"]]
    return items if data["completion"] is None else [*items, completion_from(data["completion"])]


def _identity(llm: Any) -> Any:
    """What tells a model, or what settles an answer, from others, in every process."""
    if isinstance(llm, ComposedLLM):
        return [type(llm).__qualname__, *map(_identity, (*llm.llms, *llm.settled_by))]
    if isinstance(llm, LoggedLLM | RecordedLLM):  # they only listen
        return _identity(llm.llm)
    if isinstance(llm, GatedLLM):
        rule = llm._rule
        return [_name(llm), _identity(llm.llm), rule.name, rule.on_fail, rule.replacement, _name(rule.check)]
    if isinstance(llm, int):
        return llm
    inner = getattr(llm, "llm", None)
    if inner is not None:
        return [_name(llm), _identity(inner)]
    if isinstance(getattr(llm, "model", None), str):
        return [repr(llm), getattr(llm, "_params", {}), getattr(llm, "constraints", LLMConstraints())]
    return _name(llm)


def _name(thing: object) -> str:
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"
