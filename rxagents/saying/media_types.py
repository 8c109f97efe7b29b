"""What kind of image or file some bytes are: by their first bytes, never by a name alone."""

from __future__ import annotations

import mimetypes

__all__ = ["file_media_type", "image_media_type"]


def image_media_type(data: bytes) -> str | None:
    """The media type of an image that OpenAI takes; None: it is none of them.

    Sources of the signatures: PNG specification, 5.2; JPEG, ISO/IEC 10918-1, B.1.1.3 (SOI, then a marker);
    GIF89a specification, 17; RFC 9649 (WebP), 2.4.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def file_media_type(data: bytes, name: str) -> str | None:
    """The media type of a file: PDF by its bytes, others by the name; None: neither tells."""
    if data.startswith(b"%PDF-"):
        return "application/pdf"
    named, _ = mimetypes.guess_type(name)
    if named == "application/pdf":
        return None  # it says so, and is none
    if named is not None:
        return named
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return "text/plain"
