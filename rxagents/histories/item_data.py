"""What a history stores of the items of a conversation, as JSON data, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from ..engine.loops import dropped
from ..errors import HistoryError
from ..ledgers import Fold
from ..state_updates import StateUpdate
from ..transcripts import Transcript
from ..values import Message, Usage, message_from

__all__ = [
    "fold_data",
    "fold_from",
    "json_text",
    "message_data",
    "transcript_of",
    "update_data",
    "update_from",
    "usage_data",
]


def json_text(data: Any) -> str:
    """JSON as one line of text that can be written as UTF-8."""
    text = json.dumps(data, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        text = json.dumps(data)
    return text


def message_data(message: Message) -> dict[str, Any]:
    """A message, without what of its metadata is no JSON data; that goes to `on_dropped`."""
    try:
        data = message.to_dict()
        json.dumps(data)
        return data
    except (ValueError, TypeError):
        metadata = _jsonable(message.metadata, "the metadata", "of a message")
        return message.model_copy(update={"metadata": metadata}).to_dict()


def usage_data(usage: Usage) -> dict[str, int]:
    """Without what is 0."""
    return {name: count for name, count in usage.model_dump().items() if count}


def update_data(update: StateUpdate) -> dict[str, Any]:
    """What an update does to the conversation; empty if that is nothing."""
    return _data(update)


def update_from(id: str, data: Mapping[str, Any]) -> StateUpdate:
    """The update that `update_data` was made of.

    Raises:
        InputError, ValueError: The data is something else.
    """
    return StateUpdate("restored", id=id, **_fields(data))


def fold_data(fold: Fold) -> dict[str, Any]:
    """What an item came to, by its id."""
    return {"id": fold.id, **_data(fold)} | ({"aside": True} if fold.aside else {})


def fold_from(data: Mapping[str, Any]) -> Fold:
    """The fold that `fold_data` was made of.

    Raises:
        InputError, KeyError, ValueError: The data is something else.
    """
    return Fold(data["id"], aside=bool(data.get("aside")), **_fields(data))


def transcript_of(folds: Iterable[Fold]) -> Transcript:
    """The transcript that the folds come to."""
    return reduce(Transcript._with, folds, Transcript())


def _data(of: StateUpdate | Fold) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if of.messages:
        data["messages"] = [message_data(message) for message in of.messages]
    if of.drop:
        data["drop"] = of.drop
    if of.variables:
        data["variables"] = _jsonable(of.variables, "the variable", "")
    if of.usage:
        data["usage"] = usage_data(of.usage)
    if of.log:
        data["log"] = [_jsonable({str(n): x for n, x in enumerate(entry)}, "the part", "of a log entry")
                       for entry in of.log]  # fmt: skip
        data["log"] = [list(entry.values()) for entry in data["log"]]
    return data


def _fields(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "messages": tuple(map(message_from, data.get("messages", ()))),
        "drop": data.get("drop", 0),
        "variables": data.get("variables"),
        "usage": Usage(**data["usage"]) if data.get("usage") else None,
        "log": tuple(tuple(entry) for entry in data.get("log", ())),
    }


def _jsonable(values: Mapping[str, Any], what: str, where: str) -> dict[str, Any]:
    """Those of the values that are JSON data; the others go to `on_dropped`."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            error = HistoryError(
                f"{what} {name!r}{where and ' '}{where} is of the type {type(value).__name__}, which is no "
                "JSON data; a history stores only what is"
            )
            dropped(error, "a part of a conversation was not stored")
        else:
            kept[name] = value
    return kept
