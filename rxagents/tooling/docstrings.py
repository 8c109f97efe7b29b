"""What a function says of itself: its name, and the texts in its docstring."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

__all__ = ["docstring_of", "name_of", "origin_of", "texts_of"]

_fields_of_docstring = re.compile(r"\*{0,2}(\w+)(?:\s*\(.*?\))?\s*:\s*(.*)")
_section = re.compile(r"[A-Z]\w*(?: \w+)?:")


def name_of(function: Callable[..., Any]) -> str:
    """The function's own name, or the class of a callable object."""
    bare = _without_partial(function)
    return str(getattr(bare, "__name__", type(bare).__name__))


def origin_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """What bears the docstring and the annotations: a partial's function, an object's `__call__`."""
    bare = _without_partial(function)
    return bare if inspect.isroutine(bare) or inspect.isclass(bare) else type(bare).__call__


def _without_partial(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def docstring_of(function: Callable[..., Any]) -> str:
    """The docstring of a function, or of a callable object's `__call__`; else an empty text."""
    origin, bare = origin_of(function), _without_partial(function)
    # `getdoc` would find the text "Call self as a function." for a `__call__` that has none.
    own = "" if origin is bare else inspect.cleandoc(origin.__doc__ or "")
    return own or inspect.getdoc(bare) or ""


def texts_of(doc: str) -> tuple[str, dict[str, str]]:
    """The first paragraph, and the texts of the parameters in a Google-style `Args:` section."""
    lines = doc.splitlines()
    summary: list[str] = []
    for line in lines:
        if not line.strip() or _section.fullmatch(line.strip()):
            break
        summary.append(line.strip())

    texts: dict[str, list[str]] = {}
    entry: list[str] = []
    margin: int | None = None
    indent: int | None = None
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if line.strip() in ("Args:", "Arguments:", "Parameters:"):
            margin, indent = depth, None
        elif margin is not None and line.strip():
            if depth <= margin:
                break
            indent = depth if indent is None else indent
            begins = _fields_of_docstring.fullmatch(line.strip()) if depth <= indent else None
            if begins:
                entry = texts.setdefault(begins[1], [])
            entry.append(begins[2] if begins else line.strip())
    return " ".join(summary), {name: " ".join(filter(None, parts)) for name, parts in texts.items()}
