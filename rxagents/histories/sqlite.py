"""SQLiteHistory: one of many conversations in a file, written as its items arrive."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from ..conversations import Conversation, held
from ..errors import ConfigurationError, HistoryError
from .item_writers import ItemWriter, as_stored, locked
from .stores import Store

__all__ = ["SQLiteHistory"]


class SQLiteHistory:
    """Keeps one conversation of a file that holds many; a context manager.

    Each message is written where it ends, before any reader hears of it, and each StateUpdate as it
    comes: when the process is killed, at whatever moment, all of that is there, and a new run goes on
    from it. What was open then counts as interrupted. Many processes may use one file, each with
    conversations of its own.

    What cannot be written, because another process holds the file for longer than a second or the disk is
    full, goes to `on_dropped` and is tried again with what comes next: the run goes on, and the next one
    does not begin before it is written. Of variables, metadata and the log only JSON data is stored.

    ```python
    with SQLiteHistory("chats.db", "ada") as history:
        Workflow(bot, history=history).run("Hello")
    ```

    Args:
        path: Of the file; it is made if there is none.
        conversation: The id of the conversation; a new one is empty.

    Raises:
        ConfigurationError: The path or the id is none.
    """

    def __init__(self, path: str | os.PathLike[str], conversation: str = "default") -> None:
        self.path = _path(path)
        self.id = _id(conversation)
        self._writer: ItemWriter | None = None
        self._conversation: Conversation | None = None

    def load(self) -> Conversation:
        """The conversation, always the same object; what enters it from now on is stored.

        Raises:
            HistoryError: The file cannot be opened or is something else, somebody else writes to this
                conversation, or what came before could not be written.
        """
        if self._conversation is None or self._writer is None:
            writer = ItemWriter(self.path, self.id)
            try:
                self._conversation = writer.read()
            except BaseException:
                writer.close()
                raise
            self._writer = writer
        self._writer.flush()
        return self._conversation

    def follow(self, conversation: Conversation) -> None:
        """Stores this conversation from now on, in place of what was stored.

        Raises:
            HistoryError: As `load`.
        """
        held(conversation)
        if self._writer is None:
            self._writer = ItemWriter(self.path, self.id)
        self._writer.replace(conversation)
        self._conversation = conversation

    def close(self) -> None:
        """Writes what is left, and lets others write. What comes after is not stored.

        Raises:
            HistoryError: What is left cannot be written.
        """
        writer, self._writer, self._conversation = self._writer, None, None
        if writer is not None:
            writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SQLiteHistory {self.path} {self.id!r}>"

    @staticmethod
    def conversations(path: str | os.PathLike[str]) -> list[str]:
        """The ids of the conversations in a file, the oldest first; none, if there is no file.

        Raises:
            HistoryError: It cannot be read, or is something else.
        """
        store = _store(path)
        if store is None:
            return []
        try:
            return store.ids()
        finally:
            store.close()

    @staticmethod
    def read(path: str | os.PathLike[str], conversation: str = "default") -> Conversation:
        """A conversation as it is stored now, also while somebody writes to it; changing it stores nothing.

        Raises:
            HistoryError: There is none of this id, or the file cannot be read.
        """
        store = _store(path)
        try:
            ids = [] if store is None else store.ids()
            if store is None or conversation not in ids:
                raise HistoryError(
                    f"the history {_path(path)!r} has no conversation {conversation!r}; it has "
                    f"{', '.join(map(repr, ids)) or 'none'}"
                )
            found = Conversation()
            found.follow(as_stored(store.rows(conversation), store.path, conversation))
            return found
        finally:
            if store is not None:
                store.close()

    @staticmethod
    def delete(path: str | os.PathLike[str], conversation: str) -> bool:
        """Forgets a conversation; False if there was none.

        Raises:
            HistoryError: Somebody writes to it, or the file cannot be written.
        """
        store = _store(path)
        if store is None:
            return False
        try:
            lock = locked(store.path, _id(conversation))
            try:
                return store.delete(conversation)
            finally:
                lock.release()
        finally:
            store.close()


def _store(path: str | os.PathLike[str]) -> Store | None:
    there = _path(path)
    return Store(there) if os.path.exists(there) else None


def _path(path: str | os.PathLike[str]) -> str:
    try:
        return os.path.realpath(os.fsdecode(path))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"`path` is {path!r}, which names no file; give a str or a Path") from error


def _id(conversation: str) -> str:
    if not isinstance(conversation, str) or not conversation:
        raise ConfigurationError(f"`conversation` is {conversation!r}; give an id of one character or more")
    return conversation
