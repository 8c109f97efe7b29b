"""dialog: a person and an assistant, by turns, until the person leaves."""

from __future__ import annotations

import os
from typing import Any, Self

from .conversations import Conversation
from .dialog_turns import Turns
from .errors import ConfigurationError
from .histories import History, MarkdownHistory, SQLiteHistory
from .participants import Participant
from .runs import RunResult
from .teams._turns import Condition
from .users import User
from .workflows import Workflow

__all__ = ["Dialog", "dialog"]


class Dialog(Workflow):
    """A conversation of a user and an assistant; `dialog` makes it.

    As a context manager it closes the history at the end.

    Args:
        turns: The two of them.
        user: Who is attended while a thread waits.
        opened: The history that it is to close.
        options: As a Workflow has them.
    """

    def __init__(
        self, turns: Turns, user: Participant, *, opened: History | None = None, **options: Any
    ) -> None:
        super().__init__(turns, **options)
        self._user = user
        self._opened = opened

    def run(self, input: Any = None) -> RunResult:
        """Runs until the user leaves, blocking this thread; what is put in is answered first.

        Raises:
            BlockingCallError: Called on the shared loop itself.
            InputError, WorkflowBusyError: As `start`.
        """
        if not isinstance(self._user, User):
            return super().run(input)
        with self._user.attending():
            return super().run(input)

    def close(self) -> None:
        """Lets go of the history's file, if it was made with its path; a history that was given stays."""
        self._session.end_what_was_left()  # so that it is written, too
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def arun(self, input: Any = None) -> RunResult:
        """Runs until the user leaves, on the running loop; cancelling the task disposes the run."""
        if not isinstance(self._user, User):
            return await super().arun(input)
        with self._user.attending():
            return await super().arun(input)


def dialog(
    user: Participant,
    assistant: Participant,
    history: str | os.PathLike[str] | History | Conversation | None = None,
    *,
    id: str = "dialog",
    until: Condition | None = None,
    max_turns: int | None = None,
    system_prompt: str = "",
) -> Dialog:
    """A workflow in which a user and an assistant speak by turns, until the user leaves.

    `dialog(console_user(), Agent("bot", llm), history="chat.md").run()` is a chat in the terminal. The
    user begins, unless its last word is still unanswered, as in a history that ends with it or in
    what is put in: `run("Hello")`. It leaves with a stop, as a `User` does at the end of the input. A
    user that can interrupt (`User.interrupts`) cuts the reply alone: what was said stays, as
    interrupted, and the user is asked again.

    ```
    llm      Oh-yes|
    run      dialog----------|
    dialog   ann-bot---ann.2-|
    ann      ----(m1|)
    m1       ----(Hi|)
    bot      ----m2----|
    m2       ----Oh-yes|
    ann.2    ----------------|
    ```

    Args:
        user: Who asks: a `console_user()`, a `User`, or an agent.
        assistant: Who answers: an agent, a team, or `as_agent(id, operator)`.
        history: What to go on with, and where to keep it: a file, `chat.md` (see MarkdownHistory) or
            `chat.db` or `.sqlite` (see SQLiteHistory); any history; or a Conversation.
        id: The name of the two in the conversation.
        until: Called with the Transcript after each reply, plain or async; true ends the dialog.
        max_turns: After so many replies it ends; None: never.
        system_prompt: The first message of a new conversation.

    Raises:
        ConfigurationError: One of these will not do.
        HistoryError: What is stored cannot be read.
    """
    for name, one in (("user", user), ("assistant", assistant)):
        if not callable(one) or not isinstance(getattr(one, "id", None), str):
            raise ConfigurationError(
                f"dialog: {name} is a {type(one).__name__}; give an Agent, a User, a team, or "
                "as_agent(id, operator)"
            )
    turns = Turns(id, user, assistant, until, max_turns)
    options: dict[str, Any] = {"system_prompt": system_prompt}
    if history is None or isinstance(history, Conversation):
        return Dialog(turns, user, conversation=history, **options)
    if not isinstance(history, str | os.PathLike):
        return Dialog(turns, user, history=history, **options)
    opened = _history_at(history)
    try:
        return Dialog(turns, user, history=opened, opened=opened, **options)
    except BaseException:
        opened.close()
        raise


def _history_at(path: str | os.PathLike[str]) -> History:
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix in (".md", ".markdown"):
        return MarkdownHistory(path)
    if suffix in (".db", ".sqlite", ".sqlite3"):
        return SQLiteHistory(path)
    raise ConfigurationError(
        f"dialog: history is {os.fspath(path)!r}; name a file that ends in .md, .db or .sqlite, or give a "
        "history"
    )
