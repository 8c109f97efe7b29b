"""Store: a file of many conversations, in SQLite.

`conversations` has their ids, `items` what they are made of; see `rxagents.histories.item_rows`. Several
processes may use one file at once: each statement waits for the others', which take a fraction of a
millisecond. What was written is there when the process is killed, at whatever moment.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from urllib.parse import quote
from weakref import finalize

from ..errors import HistoryError
from .item_rows import Row

__all__ = ["Store"]

# "rxag": how a file says what it is, see `PRAGMA application_id`.
_OURS = 0x72786167
_VERSION = 1

# Seconds that a statement waits for those of other processes.
_PATIENCE = 1.0

_TABLES = (
    "CREATE TABLE conversations (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)",
    "CREATE TABLE items ("
    " conversation INTEGER NOT NULL, node INTEGER NOT NULL, parent INTEGER NOT NULL, place INTEGER NOT NULL,"
    " kind TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL,"
    " PRIMARY KEY (conversation, node)) WITHOUT ROWID",
    f"PRAGMA application_id = {_OURS}",
    f"PRAGMA user_version = {_VERSION}",
)


class Store:
    """A file of conversations.

    Args:
        path: Of the file.
        make: Whether to make it if there is none.

    Raises:
        HistoryError: It cannot be opened or made, is something else, or of a newer version.
    """

    def __init__(self, path: str, *, make: bool = False) -> None:
        self.path = path
        with self._named("opened"):
            uri = f"file:{quote(os.path.abspath(path))}?mode={'rwc' if make else 'rw'}"
            # any thread may be the one of the loop that writes
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
            self._let_go = finalize(self, self._connection.close)
            try:
                self._prepare()
            except BaseException:
                self._let_go()
                raise

    def ids(self) -> list[str]:
        """The ids of the conversations, the oldest first."""
        with self._named("read"):
            return [id for (id,) in self._connection.execute("SELECT id FROM conversations ORDER BY number")]

    def rows(self, conversation: str) -> list[Row]:
        """What is stored of a conversation, in the order in which it came."""
        with self._named("read"):
            found = self._connection.execute(
                "SELECT node, parent, place, kind, items.id, data FROM items JOIN conversations"
                " ON conversation = number WHERE conversations.id = ? ORDER BY node",
                (conversation,),
            )
            return [Row(*row) for row in found]

    def add(self, conversation: str, rows: Sequence[Row], *, anew: bool = False) -> None:
        """Adds to a conversation, all of it or nothing.

        Args:
            conversation: Its id.
            rows: What came.
            anew: Whether what is stored of it goes first.
        """
        with self._named("written"), self._transaction():
            run = self._connection.execute
            run("INSERT OR IGNORE INTO conversations (id) VALUES (?)", (conversation,))
            (number,) = run("SELECT number FROM conversations WHERE id = ?", (conversation,)).fetchone()
            if anew:
                run("DELETE FROM items WHERE conversation = ?", (number,))
            self._connection.executemany(f"INSERT INTO items VALUES ({number}, ?, ?, ?, ?, ?, ?)", rows)

    def delete(self, conversation: str) -> bool:
        """Forgets a conversation; False if there was none."""
        with self._named("written"), self._transaction():
            run = self._connection.execute
            mine = "(SELECT number FROM conversations WHERE id = ?)"
            run(f"DELETE FROM items WHERE conversation = {mine}", (conversation,))
            return run("DELETE FROM conversations WHERE id = ?", (conversation,)).rowcount > 0

    def close(self) -> None:
        """Closes the file."""
        self._let_go()

    def _prepare(self) -> None:
        if not self._is_prepared():
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                if not self._is_prepared():  # by another process, in between
                    for statement in _TABLES:
                        self._connection.execute(statement)
        # the end of the process costs nothing of what was written, the end of the power no more than that
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def _is_prepared(self) -> bool:
        (owner,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if owner == _OURS and version == _VERSION:
            return True
        if owner == _OURS:
            raise HistoryError(
                f"the history {self.path!r} has the version {version}, and this rxagents knows {_VERSION}; "
                "use a newer rxagents"
            )
        if owner or version or self._connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise HistoryError(
                f"{self.path!r} is a database of something else, and no history; give another path"
            )
        return False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def _named(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HistoryError(f"the history {self.path!r} cannot be {what}: {error}") from error
