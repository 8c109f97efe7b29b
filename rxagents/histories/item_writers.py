"""ItemWriter: writes what a conversation is made of to a store, item by item, as they end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from typing import Any
from weakref import finalize

from ..blocks import Block, Scope
from ..conversations import Conversation
from ..engine.loops import dropped
from ..errors import HistoryError
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Transcript
from ..witnesses import Witness, folds_of
from .item_data import fold_data, json_text, message_data, update_data
from .item_rows import Row, restored
from .stores import Store
from .writer_locks import LockedError, WriterLock

__all__ = ["ItemWriter", "as_stored", "locked"]


class _Frame:
    """A block: its node, and the places of its items."""

    __slots__ = ("node", "places")

    def __init__(self, node: int, first: int = 0) -> None:
        self.node = node
        # a counter: `next` on it is atomic, and several threads may append at once
        self.places = count(first)


class ItemWriter:
    """The one writer of one conversation; the visitor of a `Witness`.

    Args:
        path: Of the store, which is made if there is none.
        id: Of the conversation.

    Raises:
        HistoryError: The store cannot be opened, or somebody else writes to this conversation.
    """

    def __init__(self, path: str, id: str) -> None:
        self._store = Store(path, make=True)
        try:
            lock = locked(path, id)
        except BaseException:
            self._store.close()
            raise
        self._release = finalize(self, lock.release)
        self._id = id
        self._lock = threading.Lock()
        self._pending: list[Row] = []
        self._anew = False
        self._failed = False
        self._closed = False
        self._node = 0
        self._known: Callable[[str], bool] = _nothing
        self._witness: Witness[_Frame] | None = None

    def read(self) -> Conversation:
        """What is stored; what enters it from now on is written.

        Raises:
            HistoryError: It cannot be read.
        """
        rows = self._store.rows(self._id)
        conversation = Conversation()
        conversation.follow(as_stored(rows, self._store.path, self._id))
        _ = conversation.transcript  # it is taken over, and no item that is still followed
        self._node = max((row.node for row in rows), default=0)
        top = max((row.place for row in rows if not row.parent), default=-1)
        self._follow(conversation, _Frame(0, top + 1))
        return conversation

    def replace(self, conversation: Conversation) -> None:
        """Writes another conversation in place of what is stored, and follows that one.

        Raises:
            HistoryError: It cannot be written.
        """
        with self._lock:
            self._node, self._anew, self._pending = 0, True, []
        root = _Frame(0)
        self.snapshot(conversation.settled, root)
        self._follow(conversation, root)
        self.flush()

    def flush(self) -> None:
        """Writes what could not be written before.

        Raises:
            HistoryError: It still cannot.
        """
        with self._lock:
            self._write()

    def close(self) -> None:
        """Writes what is left, and lets go of the file and of the conversation.

        Raises:
            HistoryError: It cannot be written.
        """
        if self._closed:
            return
        if self._witness is not None:
            self._witness.leave()
        try:
            self.flush()
        finally:
            self._closed = True
            self._store.close()
            self._release()

    # as the visitor of a witness

    def message(self, stream: MessageStream, frame: _Frame) -> None:
        place = next(frame.places)

        def ended(_: Any) -> None:
            message = stream.result
            if message is not None:
                self._add(frame, place, "message", stream.id, lambda: message_data(message))

        stream.on_end(ended)

    def state(self, update: StateUpdate, frame: _Frame) -> None:
        place = next(frame.places)
        if update.messages or update.drop or update.variables or update.usage or update.log:
            self._add(frame, place, "update", update.id, lambda: update_data(update))

    def snapshot(self, transcript: Transcript, frame: _Frame) -> None:
        place = next(frame.places)
        folds = [fold for fold in folds_of(transcript) if not self._known(fold.key)]
        if folds:
            self._add(frame, place, "snapshot", "", lambda: [fold_data(fold) for fold in folds])

    def enter(self, block: Scope, frame: _Frame) -> _Frame:
        entry = block.entry if isinstance(block, Block) else "append"
        id = block.id if isinstance(block, Block) else ""
        data = json_text({"name": block.name or "", "entry": entry})
        with self._lock:
            # with the first item in it: an empty block is nothing to a conversation
            self._node += 1
            self._pending.append(Row(self._node, frame.node, next(frame.places), "block", id, data))
            return _Frame(self._node)

    def leave(self, block: Scope, frame: _Frame) -> None: ...

    def _follow(self, conversation: Conversation, root: _Frame) -> None:
        if self._witness is not None:
            self._witness.leave()
        self._known = conversation.had
        self._witness = Witness(self, root)
        conversation.witnessed_by(self._witness)

    def _add(self, frame: _Frame, place: int, kind: str, id: str, data: Callable[[], Any]) -> None:
        try:
            text = json_text(data())
        except Exception as error:
            dropped(error, f"an item of the conversation {self._id!r} could not be stored")
            return
        with self._lock:
            if self._closed:
                return
            self._node += 1
            self._pending.append(Row(self._node, frame.node, place, kind, id, text))
            failed = self._failed
            try:
                self._write()
                return
            except HistoryError as error:
                failure = error
        if not failed:
            dropped(failure, "what came is kept in memory, and written with what comes next")

    def _write(self) -> None:
        if self._closed:
            raise HistoryError(f"the history {self._store.path!r} of {self._id!r} is closed")
        if not self._pending and not self._anew:
            return
        try:
            self._store.add(self._id, self._pending, anew=self._anew)
        except HistoryError:
            self._failed = True
            raise
        self._pending, self._anew, self._failed = [], False, False


def as_stored(rows: list[Row], path: str, id: str) -> Transcript:
    """What the rows of a conversation come to.

    Raises:
        HistoryError: They are damaged.
    """
    try:
        return restored(rows)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise HistoryError(f"the conversation {id!r} of the history {path!r} is damaged: {error}") from error


def locked(path: str, id: str) -> WriterLock:
    """The lock of the writer of one conversation.

    Raises:
        HistoryError: Somebody else holds it.
    """
    name = f"{path}-{sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}.lock"
    try:
        return WriterLock(name)
    except LockedError as error:
        holder = f"process {error.holder}" if error.holder else "another process"
        raise HistoryError(
            f"the conversation {id!r} of the history {path!r} is being written to, by {holder}; "
            "close that history first, or use another id"
        ) from None
    except OSError as error:
        raise HistoryError(f"the history {path!r} cannot be locked: {error}") from error


def _nothing(_: str) -> bool:
    return False
