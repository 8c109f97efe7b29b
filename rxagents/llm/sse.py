"""Server-sent events, from the bytes of a response as they arrive.

Source: WHATWG HTML, "Server-sent events", sections "Parsing an event stream" and "Interpreting an
event stream". Departures: an event that the end of the body cut off from its blank line is
delivered (some services send their last one so), and `id` and `retry` are not kept, because a
model's answer cannot be resumed.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SSEDecoder", "ServerSentEvent"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONG = 65536


class ServerSentEvent(NamedTuple):
    """One event.

    Args:
        event: Its name, or None where the stream gave none.
        data: Its data lines, joined by LF. Undecoded, because JSON is parsed fastest from bytes;
            the standard decodes them as UTF-8 with replacement.
    """

    event: str | None
    data: bytes


class SSEDecoder:
    """Finds the events in the reads of one response body, wherever the reads may cut it.

    Use one for each body: `feed` it what was read, `close` it when the body has ended. `feed` is `cut`
    and then `decode`; a caller may look at the events that `cut` gives before they are decoded.
    """

    def __init__(self) -> None:
        self._uncut: bytes | None = b""
        self._between_events = True
        self._first_line = True
        self._skip_line_feed = False
        self._line: list[bytes] = []
        self._event: str | None = None
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that this read completes, in their order."""
        return self.decode(self.cut(chunk))

    def cut(self, chunk: bytes) -> bytes:
        """What can be decoded now: the events that this read completes; its rest is kept for the next one.

        Once there was a CR, or an event without an end in sight, it is the read as it came.
        """
        uncut = self._uncut
        if uncut is None:
            return chunk
        data = uncut + chunk if uncut else chunk
        if b"\r" in chunk or len(uncut) > _LONG:
            self._uncut = None
            return data
        end = data.rfind(b"\n\n", max(0, len(uncut) - 1)) + 2  # there was none before
        if end == len(data):
            self._uncut = b""
            return data
        self._uncut = data[end:] if end > 1 else data
        return data[:end] if end > 1 else b""

    @property
    def cuts(self) -> bool:
        """Whether what `cut` has given is whole events, and nothing else."""
        return self._uncut is not None

    def decode(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events of what was cut."""
        # Services write an event as one line of data and one blank line, and nearly every read holds
        # one such event or several. Those reads are split at once: each event in them accounts for two
        # line feeds, so any other shape (a comment, a name, a second line) shows in the places of those.
        if (
            self._between_events
            and chunk.startswith(b"data: ")
            and chunk.endswith(b"\n\n")
            and b"\r" not in chunk
        ):
            self._first_line = False
            if chunk.find(b"\n") == len(chunk) - 2:
                return [ServerSentEvent(None, chunk[6:-2])]
            data = chunk[6:-2].split(b"\n\ndata: ")
            if chunk.count(b"\n") == 2 * len(data):
                return [ServerSentEvent(None, each) for each in data]
        return self._feed_lines(chunk)

    def close(self) -> list[ServerSentEvent]:
        """The last event, if the body ended without the blank line after it."""
        # The first LF ends the open line (or is the second half of a CRLF), the second is the blank one.
        return self._feed_lines((self._uncut or b"") + b"\n\n")

    def _feed_lines(self, chunk: bytes) -> list[ServerSentEvent]:
        """The careful way: any line ends, any fields, cut anywhere."""
        events: list[ServerSentEvent] = []
        for line in self._whole_lines(chunk):
            if line.startswith(b"data: "):
                self._data.append(line[6:])
            elif line:
                self._take_field(line)
            else:
                if self._data:
                    events.append(ServerSentEvent(self._event, b"\n".join(self._data)))
                    self._data = []
                self._event = None
        self._between_events = not (self._first_line or self._line or self._data or self._event)
        return events

    def _whole_lines(self, chunk: bytes) -> list[bytes]:
        """The lines that this read completes; what follows the last line end waits in `_line`."""
        # A CR ends its line at once, since the next read may be long in coming. If that read then
        # begins with LF, the LF was the second half of the line end.
        if chunk and self._skip_line_feed:
            chunk = chunk.removeprefix(b"\n")
            self._skip_line_feed = False
        if b"\r" in chunk:
            self._skip_line_feed = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines:
            # The pieces of a line are joined once, so that a long line in many reads stays linear.
            lines[0] = b"".join((*self._line, lines[0]))
            self._line.clear()
            if self._first_line:
                lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
                self._first_line = False
        if rest:
            self._line.append(rest)
        return lines

    def _take_field(self, line: bytes) -> None:
        """Takes a field; comments begin with a colon and so are fields without a name."""
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._event = value.removeprefix(b" ").decode("utf-8", "replace") or None
