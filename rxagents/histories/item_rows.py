"""What a store holds of a conversation: a row for each item.

The rows make a tree, since items end in another order than they stand in. Each has its `node`, the
`parent` in which it stands (0: in no block) and its `place` among the items there. Its `kind` says what
the JSON in `data` is: of a `message`, the message; of an `update`, what it changes; of a `snapshot`,
what was folded into it; of a `block`, how that enters the conversation.

A block that has no end, because the process was killed in the midst of it, counts as interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from ..blocks import Block
from ..streams import MessageStream
from ..transcripts import Item, Transcript
from ..values import message_from
from .item_data import fold_from, transcript_of, update_from

__all__ = ["Row", "restored"]


class Row(NamedTuple):
    """One item of a conversation."""

    node: int
    parent: int
    place: int
    kind: str
    id: str
    data: str


def restored(rows: Iterable[Row]) -> Transcript:
    """What the rows come to, as the items would.

    Raises:
        InputError, KeyError, TypeError, ValueError: The data is something else.
    """
    items: dict[int, list[Item]] = {0: []}
    blocks: dict[int, Block] = {}
    # a parent comes before what is in it, and so its list is there when it is asked for
    for row in sorted(rows, key=lambda row: (row.parent, row.place)):
        item = _item(row)
        if isinstance(item, Block):
            blocks[row.node] = item
        items.setdefault(row.parent, []).append(item)
    for node, block in blocks.items():
        block._items = items.get(node, [])
        block.ended = block._started = True
    return Transcript().fold_all(items[0])


def _item(row: Row) -> Item:
    data = json.loads(row.data)
    if row.kind == "message":
        return MessageStream.of(message_from(data), id=row.id)
    if row.kind == "update":
        return update_from(row.id, data)
    if row.kind == "snapshot":
        return transcript_of(map(fold_from, data))
    if row.kind == "block":
        return Block(data["name"], None, entry=data["entry"], id=row.id)
    raise ValueError(f"a row of the kind {row.kind!r}")
