"""logged and log_models: each call of a model, its prompt and its answer, written down for people.

A recording (`rxagents.recording.journals`) is for programs, which play it again; this is for reading.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TypeAlias

from ..errors import ConfigurationError
from ..recording.redaction import Redact, Redaction
from .around import Wrapper, take_off, wear
from .call_files import CallFiles
from .call_pages import page
from .logged_models import CallLog, LoggedLLM
from .model_calls import ModelCall
from .requests import LLM

__all__ = ["log_models", "logged"]

LogTo: TypeAlias = "str | os.PathLike[str] | logging.Logger | Callable[[ModelCall], object]"
"""Where to: a folder, a logger, or a function."""


def logged(
    llm: LLM, to: LogTo, *, redact: Redact | None = None, now: Callable[[], datetime] | None = None
) -> LoggedLLM:
    """A model that passes through and logs each call when it has ended, be it failed or cancelled.

    The prompt, the parameters, the tools, the answer with its tool calls, the usage, how long it took
    and how it ended. No key and no header is in it, see `rxagents.recording.redaction`. What cannot be
    written goes to `on_dropped`, and the call goes on.

    ```python
    agent = Agent("bot", logged(OpenAILLM("gpt-4o-mini"), "model_log"))
    ```

    Args:
        llm: The model.
        to: A folder, made if it is not there, which gets one Markdown file for each call, named by
            its time in UTC, its number and who asked; a `logging.Logger`, which gets the same text
            (at the level INFO, of failed calls WARNING), and the ModelCall as `record.model_call`; or
            a function, called with the ModelCall.
        redact: Takes out more: called with the JSON-able body of each request, a copy, it returns the
            body to write. Where it raises, nothing is written.
        now: The time of day; by default that of the machine.

    Returns:
        A model with the same `constraints`. Each subscription is a call of its own.

    Raises:
        ConfigurationError: Nothing can be written there, or an argument is of no use.
    """
    if not callable(llm):
        raise ConfigurationError(f"`llm` is a {type(llm).__name__}; give a model, such as OpenAILLM(...)")
    return LoggedLLM(llm, CallLog(_writer(to), Redaction(redact), now))


def log_models(
    to: LogTo, *, redact: Redact | None = None, now: Callable[[], datetime] | None = None
) -> AbstractContextManager[None]:
    """Logs every call of every model that is asked by what is started within the `with` block.

    So all agents of a team are logged, and its router, without a change to any of them. A run that
    was started within the block is logged to its end.

    ```python
    with log_models("model_log"):
        workflow.run("Where is my order?")
    ```

    Args:
        to: As for `logged`; so are the others.

    Raises:
        ConfigurationError: As `logged`.
    """
    log = CallLog(_writer(to), Redaction(redact), now)
    return _worn(lambda llm: LoggedLLM(llm, log))


@contextmanager
def _worn(wrapper: Wrapper) -> Iterator[None]:
    wear(wrapper)
    try:
        yield
    finally:
        take_off(wrapper)  # wherever it is: another block that was begun within may still be open


def _writer(to: object) -> Callable[[ModelCall], object]:
    if isinstance(to, str | os.PathLike):
        return CallFiles(to)
    if isinstance(to, logging.Logger):
        logger = to

        def log(call: ModelCall) -> None:
            level = logging.WARNING if call.how == "error" else logging.INFO
            if logger.isEnabledFor(level):
                logger.log(level, "%s", page(call), extra={"model_call": call})

        return log
    if callable(to) and not inspect.iscoroutinefunction(to):
        return to
    raise ConfigurationError(
        f"`to` is {to!r:.80}; give the path of a folder, a logging.Logger, or a function of a ModelCall that "
        "is not async"
    )
