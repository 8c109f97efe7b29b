"""What a recording must not hold: keys, tokens, headers, and whatever a hook takes out.

Parameters named like a secret (`extra_headers`, `api_key`, `authorization`, …) are left out of a
request's body, and so is every header. Text that looks like a key is masked (`sk-…`, `Bearer …`)
wherever it was put in: in requests, tool results, state and errors. What is said is written as it was
said, since that is what a replay answers, but for the keys that are known: those of the models and of
the environment. A hook has the last word on each body.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from pydantic_core import to_jsonable_python

from ..errors import ConfigurationError
from .masks import masked, masked_all, without

__all__ = ["Redact", "Redaction", "cleaned", "jsonable", "masked", "secrets_of"]

Redact: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""A hook: gets the JSON-able body of a request, a copy that it may change, and returns what to keep."""

_SECRET_NAMES = frozenset(
    """
    access_key access_token api_key apikey auth auth_token authorization azure_ad_token bearer
    bearer_token client_secret cookie cookies credentials default_headers extra_headers extra_query
    headers id_token passwd password private_key proxy_authorization refresh_token secret secret_key
    session_token set_cookie subscription_key token
    """.split()
)
_SECRET_ENDS = re.compile(
    r"(^|_)(secret|password|passphrase|credentials?|(api|access|private|secret|subscription|signing)_key"
    r"|(access|api|auth|bearer|client|github|gh|hf|id|refresh|session)_token)$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VARIABLES = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN")

# A shorter known key is no secret, and stands in other words.
_SHORTEST = 8
_SHORTEST_IN_BODIES = 16


class Redaction:
    """What is taken out of everything that one recording writes.

    Args:
        hook: Takes out more, or None.
    """

    def __init__(self, hook: Redact | None = None) -> None:
        if hook is not None and not callable(hook):
            raise ConfigurationError(
                f"`redact` is a {type(hook).__name__}; give a function from the body of a request to the "
                "body to write"
            )
        self.hook = hook
        self._models: list[object] = []

    def meet(self, llm: object) -> None:
        """Says that this model is asked: its keys are known from now on."""
        if not any(known is llm for known in self._models):
            self._models.append(llm)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys of the models that were met, and those in the environment."""
        found = {text for llm in self._models for text in secrets_of(llm)}
        found.update(filter(None, map(os.environ.get, _VARIABLES)))
        return tuple(sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True))

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body as it may be written.

        Raises:
            ConfigurationError: The hook gave no body.
            Exception: What the hook raises, with a note that says so.
        """
        whole = cleaned(body, self._in_bodies())
        if not isinstance(whole, dict):
            whole = {"body": whole}  # nothing that could be sent
        if self.hook is None:
            return whole
        try:
            kept = self.hook(whole)
        except Exception as error:
            note = "in the `redact` of a recording"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            raise
        data = jsonable(kept)
        if not isinstance(data, dict):
            raise ConfigurationError(
                f"`redact` gave {type(kept).__name__}; it must return the body to write, a dict of JSON data"
            )
        return data

    def message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message as it may be written: the hook sees it, after its steps, as a body's messages."""
        said = {
            key: _pruned(value) if key == "metadata" else value
            for key, value in message.items()
            if key != "steps"
        }
        messages = self.body({"messages": [*message.get("steps", ()), said]}).get("messages") or [{}]
        *steps, last = messages
        return {**last, "steps": steps} if steps else dict(last)

    def value(self, value: object) -> Any:
        """Anything else as it may be written: the hook does not see it."""
        return _pruned(cleaned(value, self._in_bodies()))

    def said(self, data: Any) -> Any:
        """What was said, as it may be written: as it was, but for the keys that are known."""
        secrets = self._in_bodies()
        return without(data, secrets) if secrets else data

    def text(self, text: str) -> str:
        """The words of an error as they may be written."""
        return masked(text, self.secrets)

    def _in_bodies(self) -> tuple[str, ...]:
        return tuple(text for text in self.secrets if len(text) >= _SHORTEST_IN_BODIES)


def cleaned(body: object, secrets: Iterable[str] = ()) -> Any:
    """A body as JSON data of its own, masked, and of its parameters those that are no secret.

    Messages, tools and the response format keep their keys: a tool may have a parameter `password`.
    """
    whole = jsonable(body)
    if isinstance(whole, dict):
        tools = whole.get("tools")
        if isinstance(tools, list):  # one that the provider hosts carries its own headers
            whole["tools"] = [_hosted(tool) for tool in tools]
        for name in [*whole]:
            if name not in ("messages", "tools", "response_format"):
                if _is_secret(name):
                    del whole[name]
                else:
                    whole[name] = _pruned(whole[name])
    return masked_all(whole, tuple(secrets))


def jsonable(value: object) -> Any:
    """The value as JSON data; what has no JSON is named by its type, which is the same each time."""
    try:
        data = to_jsonable_python(value, fallback=_type_name, bytes_mode="base64")
        return json.loads(json.dumps(data), parse_constant=str) if _has_no_json(data) else data
    except (ValueError, TypeError, RecursionError):
        return _type_name(value)


def _has_no_json(value: Any) -> bool:
    """Whether there is a number in it that JSON does not know."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return any(map(_has_no_json, value))


def _type_name(value: object) -> str:
    return f"<{type(value).__name__}>"


def _is_secret(name: str) -> bool:
    plain = _CAMEL.sub("_", name).lower().replace("-", "_").removeprefix("x_")
    return plain in _SECRET_NAMES or _SECRET_ENDS.search(plain) is not None


def _hosted(tool: Any) -> Any:
    return tool if isinstance(tool, dict) and tool.get("type", "function") == "function" else _pruned(tool)


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _pruned(inner) for name, inner in value.items() if not _is_secret(name)}
    return [_pruned(inner) for inner in value] if isinstance(value, list) else value


def secrets_of(llm: object) -> Iterator[str]:
    """The keys that a model, or the models within it, sign their requests with, so far as they are known."""
    seen: list[object] = []
    found = [llm]
    while found:
        llm = found.pop()
        if llm is None or any(llm is one for one in seen):
            continue
        seen.append(llm)
        yield from getattr(llm, "_secrets", ())  # before its first client is made
        held = getattr(getattr(llm, "_clients", None), "_held", {})
        for client in (getattr(llm, "_client", None), *(client for _, client in list(held.values()))):
            headers = getattr(client, "_custom_headers", None)
            named = headers.items() if isinstance(headers, Mapping) else ()
            for text in (
                getattr(client, "api_key", None),
                getattr(client, "_azure_ad_token", None),
                *(value for name, value in named if _is_secret(name)),
            ):
                if isinstance(text, str) and text:
                    yield text
        found += [getattr(llm, "llm", None), *getattr(llm, "llms", ())]
