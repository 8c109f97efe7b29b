"""The output of a response, written increment by increment: its items, and the events that tell of them.

Source: OpenAI API reference, "Streaming events" of the Responses API; streams of `gpt-4o` and `gpt-5`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...values import Delta

__all__ = ["OutputWriter"]

_Tell = Callable[..., None]

_GROUPS = {"summary_text": "summary", "reasoning_text": "content"}
_SPOKEN = ("id", "content", "summary")
_NAMES = {"summary_text": "reasoning_summary_text", "reasoning_text": "reasoning_text"}


class OutputWriter:
    """Writes one output.

    Args:
        identifier: Of the response; those of its items are made from it.
        tell: Called with the type of each event and, by their names, its fields.

    Attributes:
        output: The items that have ended.
    """

    def __init__(self, identifier: str, tell: _Tell) -> None:
        self.output: list[dict[str, Any]] = []
        self._identifier = identifier
        self._tell = tell
        self._item: dict[str, Any] | None = None
        self._part: dict[str, Any] | None = None
        self._call: int | None = None

    def write(self, increment: Delta) -> None:
        """Tells of an increment, in whatever item it belongs to."""
        extra: dict[str, Any] = {**increment}
        for key, kind in (("reasoning", "summary_text"), ("reasoning_content", "reasoning_text")):
            if isinstance(thought := extra.get(key), str):
                self._write_thought(kind, thought)
        for item in _whole_items(extra):
            self._write_whole(item)
        if increment["content"] is not None:
            self._write_text("output_text", "text", increment["content"])
        if increment["refusal"] is not None:
            self._write_text("refusal", "refusal", increment["refusal"])
        for annotation in extra.get("annotations") or ():
            self._annotate(annotation)
        for fragment in increment["tool_calls"] or ():
            self._write_call(fragment)

    def close(self, status: str = "completed") -> None:
        """Ends the item that is under way."""
        item, self._item = self._item, None
        if item is None:
            return
        self._close_part(item)
        if item["type"] == "function_call":
            fields = {"item_id": item["id"], "output_index": len(self.output)}
            self._tell("function_call_arguments.done", **fields, arguments=item["arguments"])
        if "status" in item:
            item["status"] = status
        self._tell("output_item.done", output_index=len(self.output), item=item)
        self.output.append(item)

    def _open(self, kind: str, prefix: str, **fields: Any) -> dict[str, Any]:
        """The item that is under way, if it is of that kind, else a new one."""
        if self._item is not None and self._item["type"] == kind:
            return self._item
        self.close()
        identifier = f"{prefix}_{self._identifier}_{len(self.output)}"
        self._item = {"id": identifier, "type": kind, **fields}
        self._tell("output_item.added", output_index=len(self.output), item=self._item)
        return self._item

    def _write_text(self, kind: str, key: str, text: str) -> None:
        item = self._open("message", "msg", status="in_progress", content=[], role="assistant")
        if self._part is None or self._part["type"] != kind:
            self._close_part(item)
            self._part = {"type": kind, key: ""}
            if kind == "output_text":
                self._part |= {"annotations": [], "logprobs": []}
            item["content"].append(self._part)
            self._tell("content_part.added", **self._at(item), part=self._part)
        self._part[key] += text
        if text:
            self._tell(f"{kind}.delta", **self._at(item), delta=text, logprobs=[])

    def _annotate(self, annotation: Any) -> None:
        self._write_text("output_text", "text", "")
        assert self._item is not None
        assert self._part is not None
        index = len(self._part["annotations"])
        self._part["annotations"].append(annotation)
        at = self._at(self._item)
        self._tell("output_text.annotation.added", **at, annotation_index=index, annotation=annotation)

    def _write_thought(self, kind: str, text: str) -> None:
        item = self._open("reasoning", "rs", summary=[])
        group = _GROUPS[kind]
        if not item.get(group):
            item[group] = [{"type": kind, "text": ""}]
            if group == "summary":
                self._tell("reasoning_summary_part.added", **self._at(item, group), part=item[group][0])
        item[group][0]["text"] += text
        self._tell(f"{_NAMES[kind]}.delta", **self._at(item, group), delta=text)

    def _write_whole(self, item: dict[str, Any]) -> None:
        """An item that comes whole; encrypted thoughts belong to the reasoning that is under way."""
        if self._item is not None and self._item["type"] == item["type"] == "reasoning":
            self._item |= {key: value for key, value in item.items() if key not in _SPOKEN}
        else:
            self.close()
            self._item = {"id": f"{item['type']}_{self._identifier}_{len(self.output)}"} | item
            self._tell("output_item.added", output_index=len(self.output), item=self._item)
        self.close()

    def _write_call(self, fragment: dict[str, Any]) -> None:
        function = fragment.get("function") or {}
        index = fragment.get("index")
        if self._item is None or self._item["type"] != "function_call" or index != self._call:
            self.close()
            self._call = index
            self._open(
                "function_call",
                "fc",
                status="in_progress",
                arguments="",
                call_id=fragment.get("id"),
                name=function.get("name"),
            )
        assert self._item is not None
        if piece := function.get("arguments"):
            self._item["arguments"] += piece
            at = {"item_id": self._item["id"], "output_index": len(self.output)}
            self._tell("function_call_arguments.delta", **at, delta=piece)

    def _close_part(self, item: dict[str, Any]) -> None:
        part, self._part = self._part, None
        if part is not None:
            key = "refusal" if part["type"] == "refusal" else "text"
            self._tell(f"{part['type']}.done", **self._at(item), **{key: part[key]})
            self._tell("content_part.done", **self._at(item), part=part)
        elif item["type"] == "reasoning":
            for kind, group in _GROUPS.items():
                for part in item.get(group) or ():
                    self._tell(f"{_NAMES[kind]}.done", **self._at(item, group), text=part["text"])
                    if group == "summary":
                        self._tell("reasoning_summary_part.done", **self._at(item, group), part=part)

    def _at(self, item: dict[str, Any], group: str = "content") -> dict[str, Any]:
        """Where the newest part of an item stands."""
        index = max(len(item.get(group) or ()) - 1, 0)
        return {"item_id": item["id"], "output_index": len(self.output), f"{group}_index": index}


def _whole_items(extra: dict[str, Any]) -> list[dict[str, Any]]:
    """Items of built-in tools and thoughts, which a script gives as a model emits them."""
    items = [
        value
        for key, value in extra.items()
        if isinstance(value, dict) and value.get("type") == key and value.get("status") != "in_progress"
    ]
    return items + [item for item in extra.get("output_items") or () if item not in items]
