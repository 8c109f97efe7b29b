"""The answers of the canned server, as bytes: streams as OpenAI's service sends them."""

from __future__ import annotations

import json
import random
import string
from functools import cache

__all__ = ["BEGIN", "DIGITS", "HEAD", "burst", "padded", "stamped", "tail", "token"]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

DIGITS = 20
"""The digits of a stamped token, which is the time it was sent: monotonic nanoseconds."""


def _event(delta: dict[str, object], finish: str | None = None, **extra: object) -> bytes:
    """One event in an HTTP chunk of its own."""
    chunk = {
        "id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012",
        "object": "chat.completion.chunk",
        "created": 1754693442,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_07871e2ad8",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": None,
    }
    return _http_chunk(b"data: " + json.dumps(chunk | extra, separators=(",", ":")).encode() + b"\n\n")


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@cache
def token(number: int) -> bytes:
    """The event of one token."""
    return _event({"content": f" word{number % 97}"})


BEGIN = _event({"role": "assistant", "content": "", "refusal": None})


@cache
def tail(tokens: int, usage: bool = True) -> bytes:
    """What follows the last token; a client that did not ask for the usage may fail on its event."""
    counts = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": tokens + 9}
    return (
        _event({}, "stop")
        + (_event({}, choices=[], usage=counts) if usage else b"")
        + _http_chunk(b"data: [DONE]\n\n")
        + b"0\r\n\r\n"
    )


@cache
def burst(tokens: int, usage: bool = True) -> bytes:
    """A whole HTTP response of so many tokens."""
    return b"".join((HEAD, BEGIN, *(token(number) for number in range(tokens)), tail(tokens, usage)))


@cache
def padded(tokens: int, usage: bool = True) -> bytes:
    """The same with random letters in each event, which hide the length of the token.

    OpenAI's service sends them unless it is told not to (`include_obfuscation`); most others do not.
    """
    dice = random.Random(6)

    def event(number: int) -> bytes:
        letters = "".join(dice.choices(string.ascii_letters + string.digits, k=dice.randrange(1, 16)))
        return _event({"content": f" word{number % 97}"}, obfuscation=letters)

    return b"".join((HEAD, BEGIN, *map(event, range(tokens)), tail(tokens, usage)))


def stamped() -> tuple[bytes, bytes]:
    """What stands before and after the digits of a stamped token."""
    mark = "0" * DIGITS
    before, _, after = _event({"content": mark}).partition(mark.encode())
    return before, after
