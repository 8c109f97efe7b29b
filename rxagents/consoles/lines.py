"""Reading what a person types at a terminal: several lines, with a memory, through prompt_toolkit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

__all__ = ["TerminalLines", "at_terminal"]

_HINT = "Enter sends, Alt+Enter: new line, Ctrl-C cuts a reply, Ctrl-D leaves"


def at_terminal() -> bool:
    """Whether there is a person: the standard input and output are a terminal's."""
    try:
        return os.isatty(sys.stdin.fileno()) and os.isatty(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):  # there is none, or it is closed, or no file
        return False


class TerminalLines:
    """Asks at a terminal.

    Enter sends what was typed. Alt+Enter or Ctrl+Space begins a new line, and so does Enter after a
    backslash. Up and down go through what was sent before, Ctrl-R searches it. Ctrl-C takes back what was
    typed, Ctrl-D leaves, Ctrl-Z leaves it to the shell for a while.

    Args:
        history: A file that keeps what was sent, for the next time; None: only this time.

    Raises:
        ConfigurationError: There is no prompt_toolkit; or the file cannot be written.
    """

    def __init__(self, history: str | os.PathLike[str] | None = None) -> None:
        try:
            from prompt_toolkit import PromptSession
            from prompt_toolkit.history import FileHistory, History, InMemoryHistory
        except ImportError as error:
            raise ConfigurationError(
                "a user at a terminal is asked through the package prompt_toolkit; "
                "install it with: pip install 'rxagents[console]'"
            ) from error
        kept: History = InMemoryHistory()
        if history is not None:
            _check_file(history)
            kept = FileHistory(os.fspath(history))
        self._hinting = True
        self._has_keys = False
        self._session: PromptSession[str] = PromptSession(
            history=kept,
            multiline=True,
            enable_suspend=True,
            key_bindings=self._keys(),
            prompt_continuation=lambda width, line, wrapped: " " * width,
            placeholder=lambda: [("ansibrightblack", _HINT)] if self._hinting else "",
            reserve_space_for_menu=0,
        )
        # the terminal gives its keys from before the prompt is drawn, and who sees it may press one
        self._session.app.before_render += self._note_keys

    def _note_keys(self, _: object) -> None:
        self._has_keys = True

    @property
    def reading(self) -> bool:
        """Whether keys come here, and none of them is a signal."""
        app = self._session.app
        return self._has_keys and app.is_running and not app.is_done

    async def ask(self, prompt: str) -> str:
        """What the person sent. What is printed meanwhile stands above it.

        Raises:
            EOFError: The person has left.
        """
        from prompt_toolkit.patch_stdout import patch_stdout

        self._has_keys = False
        with patch_stdout(raw=True):
            # Ctrl-C comes as a key; the loop, its handlers and its signals are not only ours
            said = await self._session.prompt_async(
                [("bold", prompt.rstrip()), ("", " ")],
                handle_sigint=False,
                set_exception_handler=False,
            )
        self._hinting = False
        return said

    def _keys(self) -> KeyBindings:
        from prompt_toolkit.enums import DEFAULT_BUFFER
        from prompt_toolkit.filters import has_focus
        from prompt_toolkit.key_binding import KeyBindings

        keys = KeyBindings()
        typing = has_focus(DEFAULT_BUFFER)  # and not searching

        @keys.add("enter", filter=typing)
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\"):
                buffer.delete_before_cursor()
                buffer.insert_text("\n")
            else:
                buffer.validate_and_handle()

        @keys.add("escape", "enter", filter=typing)
        @keys.add("c-space", filter=typing)
        def _(event: KeyPressEvent) -> None:
            # a Ctrl-D that was typed while a reply came arrives as a NUL, which is Ctrl-Space
            if event.current_buffer.text or event.data != "\x00":
                event.current_buffer.insert_text("\n")

        @keys.add("c-c", filter=typing)
        def _(event: KeyPressEvent) -> None:
            # who takes back nothing is looking for the way out
            self._hinting = self._hinting or not event.current_buffer.text
            event.current_buffer.reset()

        return keys


def _check_file(path: Any) -> None:
    try:
        with open(path, "ab"):
            pass
    except (OSError, TypeError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise ConfigurationError(
            f"`inputs`: what is typed cannot be kept in {str(path)!r} ({reason}); give a file in a folder "
            "that exists and may be written to"
        ) from error
