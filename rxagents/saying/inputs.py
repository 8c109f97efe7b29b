"""WorkflowInput: what a person gives to a workflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..errors import InputError
from ..values import Message
from .content_parts import MAX_FILE_BYTES, MAX_IMAGE_BYTES, Detail, file_part, image_part, text_part

__all__ = ["WorkflowInput"]


@dataclass
class WorkflowInput:
    """The input of one run: what is said, with images and files.

    Images and files are read when they are given, and travel within the message, in base64.

    Args:
        text: What is said.
        name: Who says it; None: nobody in particular.
        images: URLs, Paths, bytes, or dicts with `url` and `detail`. They are kept as URLs, or as such dicts.
        files: Paths, or dicts with `file_id`, or `filename` and `file_data`. They are kept as such dicts.

    Raises:
        InputError: Something is not what it must be, too large, or cannot be read.
    """

    text: str
    name: str | None = None
    images: list[Any] = field(default_factory=list, kw_only=True)
    files: list[Any] = field(default_factory=list, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise InputError(f"the text of a WorkflowInput is a str, not {type(self.text).__name__}")
        for name, given in (("images", self.images), ("files", self.files)):
            if not isinstance(given, (list, tuple)):
                raise InputError(f"the {name} of a WorkflowInput are a list, not {type(given).__name__}")
        self.images = [_image(image) for image in self.images]
        self.files = [_file(file) for file in self.files]

    def add_image_file(
        self,
        path: str | os.PathLike[str],
        *,
        detail: Detail | None = None,
        media_type: str | None = None,
        max_bytes: int = MAX_IMAGE_BYTES,
    ) -> Self:
        """Adds an image from a file: PNG, JPEG, GIF or WEBP, whatever its name.

        Args:
            path: The file.
            detail: How closely the model looks at it.
            media_type: Of an image of another kind, for a model that takes it.
            max_bytes: The most bytes that it may have; by default what OpenAI documents (20 MB).
        """
        part = image_part(Path(path), detail=detail, media_type=media_type, max_bytes=max_bytes)
        return self._add_image(part)

    def add_image_bytes(
        self,
        data: bytes,
        media_type: str | None = None,
        *,
        detail: Detail | None = None,
        max_bytes: int = MAX_IMAGE_BYTES,
    ) -> Self:
        """Adds an image from its bytes; see `add_image_file`."""
        return self._add_image(image_part(data, detail=detail, media_type=media_type, max_bytes=max_bytes))

    def add_image_url(self, url: str, *, detail: Detail | None = None) -> Self:
        """Adds an image from the web, which the model's service fetches; or from a data URL."""
        return self._add_image(image_part(url, detail=detail))

    def add_file(
        self,
        path: str | os.PathLike[str],
        *,
        filename: str | None = None,
        media_type: str | None = None,
        max_bytes: int = MAX_FILE_BYTES,
    ) -> Self:
        """Adds a file, such as a PDF.

        Args:
            path: The file.
            filename: What the model is told that it is called; by default the name that it has.
            media_type: By default PDF if the bytes say so, else what the name says, else plain text.
            max_bytes: The most bytes that it may have; by default what OpenAI documents (50 MB).
        """
        part = file_part(Path(path), filename=filename, media_type=media_type, max_bytes=max_bytes)
        self.files.append(part["file"])
        return self

    def _add_image(self, part: dict[str, Any]) -> Self:
        self.images.append(_as_kept(part))
        return self

    def to_message(self) -> Message:
        """The input as a message of the user; its content is a list of parts if there is more than text."""
        if not (self.images or self.files):
            return Message(role="user", content=self.text, name=self.name)
        parts = [text_part(self.text)] if self.text else []
        parts += [{"type": "image_url", "image_url": _unpacked(image)} for image in self.images]
        parts += [{"type": "file", "file": dict(file)} for file in self.files]
        return Message(role="user", content=parts, name=self.name)

    def to_dict(self) -> dict[str, Any]:
        """The input as JSON-able data, without what it does not have."""
        whole = {"text": self.text, "name": self.name, "images": [*self.images], "files": [*self.files]}
        return {key: value for key, value in whole.items() if value or key == "text"}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WorkflowInput:
        """The input that `to_dict` wrote."""
        unknown = sorted(set(data) - {"text", "name", "images", "files"})
        if unknown:
            raise InputError(
                f"a WorkflowInput has 'text', 'name', 'images' and 'files', not "
                f"{', '.join(map(repr, unknown))}"
            )
        if "text" not in data:
            raise InputError("a WorkflowInput needs a 'text'; it may be empty")
        return cls(**data)


def _image(given: Any) -> str | dict[str, Any]:
    """An image as it is kept: a URL, with the detail if there is one."""
    if not isinstance(given, Mapping):
        return _as_kept(image_part(given))
    if not isinstance(given.get("url"), str) or set(given) - {"url", "detail"}:
        raise InputError(f"an image is a dict with 'url' and maybe 'detail', not with {sorted(given)}")
    return _as_kept(image_part(given["url"], detail=given.get("detail")))


def _as_kept(part: dict[str, Any]) -> str | dict[str, Any]:
    image: dict[str, Any] = part["image_url"]
    return image if "detail" in image else str(image["url"])


def _unpacked(image: str | dict[str, Any]) -> dict[str, Any]:
    return {"url": image} if isinstance(image, str) else dict(image)


def _file(given: Any) -> dict[str, Any]:
    """A file as it is kept: its id, or its name and data."""
    if not isinstance(given, Mapping):
        part: dict[str, Any] = file_part(given)["file"]
        return part
    if set(given) not in ({"file_id"}, {"filename", "file_data"}):
        raise InputError(
            f"a file is a Path, or a dict with 'file_id', or 'filename' and 'file_data', not {sorted(given)}"
        )
    return dict(given)
