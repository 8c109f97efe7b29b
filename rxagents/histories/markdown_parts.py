"""From what is folded into a conversation to the parts of a page, and back to items."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..ledgers import Fold
from ..state_updates import StateUpdate
from ..streams import MessageStream, new_id
from ..transcripts import Item
from ..values import Message, Usage, message_from
from .item_data import fold_data, message_data, update_from, usage_data
from .markdown_pages import Also, Part, Section

__all__ = ["items_of", "parts_for", "without_last"]

_SHOWN = ("system", "developer", "user", "assistant", "tool")
_MODEL = re.compile(r"\S+")


def parts_for(fold: Fold) -> Iterator[Part]:
    """What to add to a page for an item: its messages, then what else it brought."""
    paid = len(fold.messages) == 1 and fold.messages[0].usage == fold.usage
    for message in fold.messages:
        yield _section(message, counted=paid or message.usage is None)
    beside = fold_data(fold._replace(messages=(), drop=0, aside=False, usage=None if paid else fold.usage))
    del beside["id"]
    if beside:
        yield Also(beside)


def items_of(parts: Iterable[Part]) -> Iterator[Item]:
    """The items that a page stands for.

    Raises:
        InputError, TypeError, ValueError: A comment holds something else.
    """
    for part in parts:
        if isinstance(part, Also):
            yield update_from(new_id(), part.data)
            continue
        message = _message(part)
        if part.details.get("on page", {}).get("counted", True):
            yield MessageStream.of(message)
        else:
            yield StateUpdate("restored", messages=(message,))


def without_last(parts: list[Part], number: int) -> list[Part]:
    """The parts without the last messages; what those took is still counted."""
    kept: list[Part] = []
    for part in reversed(parts):
        if number and isinstance(part, Section):
            number -= 1
            usage = part.details.get("usage")
            if usage and part.details.get("on page", {}).get("counted", True):
                also = Also({"usage": usage_data(Usage(**usage))})
                also.source = [*also.lines(), ""]
                kept.append(also)
        else:
            kept.append(part)
    kept.reverse()
    return kept


def _section(message: Message, *, counted: bool) -> Section:
    details = message_data(message)
    role, content = details.pop("role"), details.pop("content", None)
    metadata = dict(details.pop("metadata", {}))
    model = metadata.get("model")
    shown = isinstance(model, str) and model.isprintable() and _MODEL.fullmatch(model) is not None
    if shown:
        del metadata["model"]
    page: dict[str, Any] = {}
    text = _shown(message.text)
    if not isinstance(content, str) or text != content:
        page["content"] = content
    if not counted:
        page["counted"] = False
    details |= ({"metadata": metadata} if metadata else {}) | ({"on page": page} if page else {})
    return Section(role, model if shown else None, text, details)


def _shown(text: str) -> str:
    # half of a surrogate pair is no UTF-8
    return text.encode(errors="replace").decode()


def _message(section: Section) -> Message:
    data = {name: value for name, value in section.details.items() if name != "on page"}
    if section.who in _SHOWN:
        data["role"] = section.who
    else:
        data = {"role": "assistant", "name": section.who, **data}
    if section.model:
        data["metadata"] = {**data.get("metadata", {}), "model": section.model}
    page = section.details.get("on page", {})
    data["content"] = _content(page["content"], section.text) if "content" in page else section.text
    return message_from(data)


def _content(stored: Any, text: str) -> Any:
    """The content that a page cannot show, with the text that it shows for it now."""
    if stored is None:
        return text or None
    if _shown(Message(role="user", content=stored).text) == text:
        return stored
    if isinstance(stored, str):
        return text
    others = [part for part in stored if part.get("type") != "text"]
    return [{"type": "text", "text": text}, *others]
