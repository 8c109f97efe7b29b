"""Variants: the same class, made again of the same constructor arguments with some of them changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from inspect import BoundArguments, Parameter
from typing import Any, TypeVar

from .errors import ConfigurationError

__all__ = ["variant"]

T = TypeVar("T")
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_ONLY)


def variant(
    kind: type[T], what: str, args: Iterable[Any], kwargs: Mapping[str, Any], changes: Mapping[str, Any]
) -> T:
    """Makes another one of a class, of what one was made of and of these changes.

    Where a class passes `*args` or `**kwargs` on to the one above it, that one's names count too.

    Args:
        kind: The class.
        what: What an error calls the one that it is made from.
        args: What that one was made of.
        kwargs: The same, by name.
        changes: Constructor arguments by name.

    Raises:
        ConfigurationError: The class takes no such argument.
    """
    inits = _chain(kind)
    try:
        bound = inspect.signature(inits[0]).bind(None, *args, **kwargs)
    except TypeError as error:
        raise ConfigurationError(
            f"{what}: it cannot be made again, since what it was made of is not known: {error}; a class with "
            "a __new__ of its own hands it what the constructor gets"
        ) from None
    for name, value in changes.items():
        _change(bound, inits, name, value, what)
    try:
        return kind(*bound.args[1:], **bound.kwargs)
    except TypeError as error:  # as one above it says that gets what this one does not name
        told = ("unexpected keyword argument", "multiple values for argument")
        unknown = [name for name in changes if any(f"{words} {name!r}" in str(error) for words in told)]
        if not unknown:
            raise
        names = [each for init in inits for each in _named(init) if each != unknown[0]]
        raise _unknown(what, unknown[0], names) from None


def _chain(kind: type) -> list[Callable[..., Any]]:
    """The constructor, and those above it that get what the one below does not name."""
    chain: list[Callable[..., Any]] = []
    for base in kind.__mro__:
        if "__init__" in vars(base):
            chain.append(vars(base)["__init__"])
            kinds = {parameter.kind for parameter in _parameters(chain[-1]).values()}
            if not kinds & {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}:
                break
    return chain


def _parameters(init: Callable[..., Any]) -> dict[str, Parameter]:
    return dict(list(inspect.signature(init).parameters.items())[1:])  # without self


def _named(init: Callable[..., Any]) -> list[str]:
    return [name for name, parameter in _parameters(init).items() if parameter.kind in _BY_NAME]


def _rest(init: Callable[..., Any], kind: Any) -> str | None:
    return next((name for name, each in _parameters(init).items() if each.kind is kind), None)


def _change(bound: BoundArguments, inits: list[Callable[..., Any]], name: str, value: Any, what: str) -> None:
    own, *above = inits
    if name in _named(own):
        bound.arguments[name] = value
        return
    by_position, by_name = _rest(own, Parameter.VAR_POSITIONAL), _rest(own, Parameter.VAR_KEYWORD)
    if by_name is None:
        raise _unknown(what, name, _named(own))
    given = list(bound.arguments.get(by_position, ())) if by_position else []
    place = _named(above[0]).index(name) if above and name in _named(above[0]) else len(given)
    if place < len(given) and by_position:  # it was passed on by its place, and keeps that
        given[place] = value
        bound.arguments[by_position] = tuple(given)
    else:
        bound.arguments[by_name] = {**bound.arguments.get(by_name, {}), name: value}


def _unknown(what: str, name: str, known: list[str]) -> ConfigurationError:
    meant = get_close_matches(name, known, n=1, cutoff=0.7)
    hint = f"; did you mean {meant[0]!r}?" if meant else f"; it is made of {', '.join(dict.fromkeys(known))}"
    return ConfigurationError(f"{what}: with_ got {name!r}, which is no argument of its constructor{hint}")
