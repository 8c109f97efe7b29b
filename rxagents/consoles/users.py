"""console_user: the person at the terminal."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from reactivex import Observable

from ..blocks import Block
from ..prompts import typed
from ..streams import MessageStream
from ..transcripts import Item, Transcript
from ..users import User
from ..values import Message
from .interrupts import Interrupts
from .lines import TerminalLines, at_terminal
from .printers import Pen, Printer

__all__ = ["ConsoleUser", "console_user"]


class ConsoleUser(User):
    """The person at the terminal; `console_user` makes it.

    Args:
        id: Its name in the conversation.
        description: When to turn to the user.
        lines: What asks; None: plain lines of the standard input.
    """

    def __init__(self, id: str, description: str, lines: TerminalLines | None) -> None:
        super().__init__(id, "interactive", description, self._ask_at_console)
        self._lines = lines
        self._pen = Pen()
        self._printer = Printer(self._pen, bold=lines is not None)
        self._asking = False
        self._ctrl_c = Interrupts(lambda: self._asking if lines is None else lines.reading)
        self.interrupts = self._ctrl_c.wishes

    def hears(self, item: Item) -> None:
        """Prints what is said in it, as it comes."""
        if isinstance(item, MessageStream | Block):
            self._printer.show(item)

    def attending(self) -> AbstractContextManager[None]:
        """Within it, Ctrl-C cuts what is being said, and then the person is asked."""
        return self._ctrl_c.on_ctrl_c()

    @property
    def gone(self) -> bool:
        """Whether nobody reads the standard output any more."""
        return self._pen.broken

    def turn(self, transcript: Transcript) -> Observable[Item]:
        for message in self._unseen(transcript):
            self._printer.show(MessageStream.of(message))
        self._printer.printed.clear()
        return super().turn(transcript)

    def _unseen(self, transcript: Transcript) -> list[Message]:
        """What the others have said since this one spoke, and what it has not been shown as it came."""
        unseen: list[Message] = []
        for message in reversed(transcript.messages):
            if message.role == "user" and message.name in (self.id, None):
                break
            if message.role in ("assistant", "user") and message not in self._printer.printed:
                unseen.append(message)
        return unseen[::-1]

    async def _ask_at_console(self, prompt: str) -> str:
        said = ""
        while not said.strip():  # an empty line is no message: the person is asked again
            said = await self._line(prompt)
        return said

    async def _line(self, prompt: str) -> str:
        self._pen.flush()
        if self.gone:
            raise EOFError("nobody reads what is said")
        self._ctrl_c.came_true()
        if self._lines is not None:
            return await self._lines.ask(prompt)
        self._asking = True
        try:
            line: str = await typed(prompt)
            return line
        except EOFError:
            self._pen.write("\n")  # nobody has ended the line of the prompt
            self._pen.flush()
            raise
        finally:
            self._asking = False


def console_user(
    id: str = "user",
    description: str = "A human user who can answer questions and give further input",
    *,
    inputs: str | os.PathLike[str] | None = None,
    plain: bool | None = None,
) -> ConsoleUser:
    """The person at the terminal: types several lines at a time, and reads what is said as it comes.

    Enter sends, unless nothing was typed; Alt+Enter, or Enter after a backslash, begins a new line; up
    and down go through what was sent before; Ctrl-C takes back what was typed, and Ctrl-D leaves. In a
    `dialog` that is run with `run` or `arun` in the main thread, Ctrl-C while a reply comes cuts that
    reply: what was said stays, as interrupted, and the person is asked again.

    ```python
    dialog(console_user(), Agent("bot", llm)).run()
    ```

    Where the standard input or output is no terminal it reads plain lines, and the end of the input is
    the way to leave.

    Args:
        id: Its name in the conversation.
        description: When to turn to the user; a team's model reads it.
        inputs: A file that keeps what was sent, for the next time.
        plain: Read plain lines in any case, or in no case; by default as there is a terminal.

    Raises:
        ConfigurationError: At a terminal, without the package prompt_toolkit (the extra `console`); or
            the file cannot be written to.
    """
    if plain is None:
        plain = not at_terminal()
    return ConsoleUser(id, description, None if plain else TerminalLines(inputs))
