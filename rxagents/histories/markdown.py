"""MarkdownHistory: a file that a person can read and edit."""

from __future__ import annotations

import os
import threading
from itertools import takewhile
from types import TracebackType
from typing import Self

from ..conversations import Conversation, held
from ..errors import ConfigurationError, HistoryError
from ..ledgers import Fold
from ..witnesses import Witness, folds_of
from .in_order import InOrder
from .markdown_pages import Part, page_of, parts_of
from .markdown_parts import items_of, parts_for, without_last
from .page_files import PageFile

__all__ = ["MarkdownHistory"]

# what a comment leads to that holds something else
_DAMAGE = (AttributeError, KeyError, TypeError, ValueError)


class MarkdownHistory:
    """Keeps a conversation in a Markdown file, which resumes the dialog; a context manager.

    The layout is the one of MiniAgents' chat files, see `rxagents.histories.markdown_pages`. Each message is
    added when it and all before it have ended, in one write; so a crash leaves whole messages. What was
    edited by hand holds from the next run on. Before that, it is left as it is, unless a turn takes messages
    away.

    What cannot be written goes to `on_dropped` and is tried again with what comes next; the run goes on, and
    the next one does not begin before it is written.

    ```python
    workflow = Workflow(bot, history=MarkdownHistory("chat.md"))
    ```

    Args:
        path: Of the file; it is made with the first message.

    Raises:
        ConfigurationError: The path is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self.path = os.path.realpath(os.fsdecode(path))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"`path` is {path!r}, which names no file; give a str or a Path"
            ) from error
        self._file = PageFile(self.path)
        self._conversation: Conversation | None = None
        self._witness: Witness[bool | None] | None = None
        self._pending: list[Fold] = []
        self._lock = threading.RLock()

    def load(self) -> Conversation:
        """The conversation; a new object if the file was changed by somebody else.

        Raises:
            HistoryError: The file cannot be read, holds text but no message, or could not be written.
        """
        self._write()
        if self._conversation is None or self._file.changed:
            preamble, parts = self._parsed()
            if not parts and any(line.strip() for line in preamble):
                raise HistoryError(
                    f"{self.path!r} holds text, and no message; begin it with a line 'user' that is "
                    "underlined with '=', or give another path"
                )
            conversation = Conversation()
            try:
                for item in items_of(parts):
                    conversation.follow(item)
            except _DAMAGE as error:
                raise self._damaged(error) from error
            self._go_on_with(conversation)
        assert self._conversation is not None
        return self._conversation

    def follow(self, conversation: Conversation) -> None:
        """Keeps this conversation from now on; the file begins anew with it.

        Raises:
            HistoryError: It cannot be written.
        """
        folds = folds_of(held(conversation).settled)
        self._file.replace(page_of(part for fold in folds for part in parts_for(fold)))
        self._pending = []
        self._go_on_with(conversation)

    def close(self) -> None:
        """Writes what is left. What comes after is not kept.

        Raises:
            HistoryError: It cannot be written.
        """
        if self._witness is not None:
            self._witness.leave()
        self._witness = self._conversation = None
        self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<MarkdownHistory {self.path}>"

    def _go_on_with(self, conversation: Conversation) -> None:
        if self._witness is not None:
            self._witness.leave()
        self._witness = Witness(InOrder(conversation.settled, self._came), True)
        self._conversation = conversation
        conversation.witnessed_by(self._witness)

    def _came(self, folds: list[Fold]) -> HistoryError | None:
        with self._lock:
            failed = bool(self._pending)
            self._pending.extend(folds)
        try:
            self._write()
        except HistoryError as error:
            return None if failed else error
        return None

    def _write(self) -> None:
        with self._lock:
            while self._pending:
                plain = list(takewhile(lambda fold: not fold.drop, self._pending))
                if plain:
                    self._file.add(page_of(part for fold in plain for part in parts_for(fold)))
                    del self._pending[: len(plain)]
                else:
                    self._take_away(self._pending[0])
                    del self._pending[0]

    def _take_away(self, fold: Fold) -> None:
        preamble, parts = self._parsed()
        kept = [*preamble, *(line for part in without_last(parts, fold.drop) for line in part.source)]
        page = "\n".join(kept)
        added = page_of(parts_for(fold))
        self._file.replace(page + added if page.endswith("\n") or not page else f"{page}\n{added}")

    def _parsed(self) -> tuple[list[str], list[Part]]:
        try:
            return parts_of(self._file.read())
        except _DAMAGE as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> HistoryError:
        return HistoryError(f"the history {self.path!r} cannot be understood: {error}")
