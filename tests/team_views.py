"""Views of a run that the tests of teams share, and members who stop one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

from reactivex import Observable
from reactivex import operators as ops

from rxagents import StateUpdate, as_agent
from rxagents.engine.emitters import just
from rxagents.operators import markers

RESPONSE = ("response", ANY)
STOPPER = as_agent("stopper", lambda source: just(StateUpdate("stop", stop="enough")))
QUITTER = as_agent("quitter", lambda source: just(StateUpdate("stop", stop="all", scope="run")))


def only(*marks: str) -> Callable[[Observable[Any]], Observable[Any]]:
    return ops.filter(lambda marker: marker[0] in marks)


def speakers(source: Observable[Any]) -> Observable[str]:
    return source.pipe(markers(), only("response"), ops.map(lambda marker: marker[1][0]["name"]))


def ended(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(markers(), ops.last(), ops.map(lambda marker: marker[1]))
