"""Hash keys: what is equal has the same key, in every process and on every Python."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic_core import to_jsonable_python

__all__ = ["hash_key"]


def hash_key(data: Any) -> str:
    """The SHA-256 of the canonical JSON of some data.

    Canonical means: keys in order, no spaces, UTF-8; a number that is whole is written as a whole one,
    since Python takes `1`, `1.0` and `True` for equal; a set is written in the order of its elements'
    JSON, since its own differs from process to process.
    """
    # half of a surrogate pair is no UTF-8, but has a key all the same
    return hashlib.sha256(_text(_canonical(data)).encode("utf-8", "surrogatepass")).hexdigest()


def _text(canonical: Any) -> str:
    return json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _canonical(value: Any) -> Any:
    if value is None or isinstance(value, str):
        # the text itself, whatever a subclass such as an Enum prints
        return value if value is None else str.__str__(value)
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {_key(key): _canonical(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(_canonical, value), key=_text)
    plain = to_jsonable_python(value, fallback=_type_name, bytes_mode="base64")
    return plain if plain is None or isinstance(plain, str) else _canonical(plain)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else _text(_canonical(key))


def _type_name(value: object) -> str:
    return f"<{type(value).__name__}>"
