"""Content parts of messages, in the form of OpenAI's chat completions: text, images, files."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import InputError
from .media_types import file_media_type, image_media_type

__all__ = ["MAX_FILE_BYTES", "MAX_IMAGE_BYTES", "Detail", "file_part", "image_part", "text_part"]

Detail = Literal["auto", "low", "high", "original"]

# OpenAI, guide "Images and vision", image input requirements: up to 20 MB an image, 50 MB of them a request.
MAX_IMAGE_BYTES = 20 * 1024 * 1024
# OpenAI, guide "File inputs": less than 50 MB a file, and 50 MB of them a request.
MAX_FILE_BYTES = 50 * 1024 * 1024

_WEB = re.compile(r"https?://\S+")
_DATA_IMAGE = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/]+={0,2}")


def text_part(text: str) -> dict[str, Any]:
    """A text among other parts."""
    if not isinstance(text, str):
        raise InputError(f"the text of a text part is a str, not {type(text).__name__}")
    return {"type": "text", "text": text}


def image_part(
    image: str | os.PathLike[str] | bytes,
    *,
    detail: Detail | None = None,
    media_type: str | None = None,
    max_bytes: int = MAX_IMAGE_BYTES,
) -> dict[str, Any]:
    """An image: `UserMessage([text_part("What is it?"), image_part(Path("cat.png"))])`.

    Args:
        image: A URL (`https:` or `data:`), a Path to a file, or the bytes of a PNG, JPEG, GIF or WEBP.
        detail: How closely the model looks at it; by default, its own choice.
        media_type: Of a file or bytes of another kind, for a model that takes it.
        max_bytes: The most bytes that it may have, before base64. By default what OpenAI documents.

    Raises:
        InputError: It is no image, too large, or cannot be read.
    """
    if detail is not None and detail not in get_args(Detail):
        raise InputError(f"the detail of an image is one of {', '.join(get_args(Detail))}, not {detail!r}")
    if isinstance(image, str):
        url = _checked_url(image)
    else:
        data, name = _content_of(image, "image", max_bytes)
        url = _data_url(data, _image_type(data, name, media_type))
    return {"type": "image_url", "image_url": {"url": url} | ({"detail": detail} if detail else {})}


def file_part(
    file: os.PathLike[str] | bytes,
    *,
    filename: str | None = None,
    media_type: str | None = None,
    max_bytes: int = MAX_FILE_BYTES,
) -> dict[str, Any]:
    """A file, such as a PDF: `UserMessage([text_part("Sum it up."), file_part(Path("report.pdf"))])`.

    Args:
        file: A Path, or the bytes.
        filename: What the model is told that it is called; of bytes it must be said.
        media_type: By default PDF if the bytes say so, else what the name says, else plain text.
        max_bytes: The most bytes that it may have, before base64. By default what OpenAI documents.

    Raises:
        InputError: Its type cannot be told, it is too large, or cannot be read.
    """
    data, own = _content_of(file, "file", max_bytes)
    name = filename or own
    if name is None:
        raise InputError("the file of these bytes has no name: give filename='report.pdf'")
    kind = media_type or file_media_type(data, name)
    if kind is None:
        why = "is no PDF, whatever its name" if name.lower().endswith(".pdf") else "is of no known type"
        raise InputError(f"the file {name!r} {why}; give media_type='application/…' if it is right so")
    return {"type": "file", "file": {"filename": name, "file_data": _data_url(data, kind)}}


def _content_of(source: Any, what: str, max_bytes: int) -> tuple[bytes, str | None]:
    """The bytes, and the name of the file that they are in; the size is checked before they are read."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, name, called = bytes(source), None, f"the {what} of these bytes"
        _check_size(len(data), called, max_bytes)
    elif isinstance(source, os.PathLike):
        path = Path(source)
        name, called = path.name, f"the {what} {str(path)!r}"
        try:
            _check_size(path.stat().st_size, called, max_bytes)
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{called} cannot be read: {error.strerror or error}") from error
    else:
        raise InputError(f"the {what} is a Path or bytes, not {type(source).__name__}")
    if not data:
        raise InputError(f"{called} is empty")
    return data, name


def _check_size(size: int, called: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise InputError(
            f"{called} has {_megabytes(size)}, more than the {_megabytes(max_bytes)} that a model takes; "
            "make it smaller, or give max_bytes= for a model that takes more"
        )


def _megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:.4g} MB" if size >= 1024 * 1024 else f"{size} bytes"


def _image_type(data: bytes, name: str | None, given: str | None) -> str:
    called = f"the image {name!r}" if name else "the image of these bytes"
    found = image_media_type(data)
    if given is not None and not re.fullmatch(r"image/[\w.+-]+", given):
        raise InputError(f"{called}: a media type is like 'image/png', not {given!r}")
    if given and found and given != found:
        raise InputError(f"{called} is said to be {given}, but it is {found}; leave media_type out")
    if found is None and given is None:
        raise InputError(
            f"{called} is no PNG, JPEG, GIF or WEBP (it begins with {data[:8]!r}); convert it, or give "
            "media_type='image/…' for a model that takes it"
        )
    return found or str(given)


def _checked_url(url: str) -> str:
    if _WEB.fullmatch(url) or _DATA_IMAGE.fullmatch(url):
        return url
    if url.startswith("data:"):
        raise InputError(f"the data URL {url[:40]!r}… is no image in base64: 'data:image/png;base64,…'")
    raise InputError(f"{url[:80]!r} is no URL of an image; for a file give a pathlib.Path")


def _data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode('ascii')}"
