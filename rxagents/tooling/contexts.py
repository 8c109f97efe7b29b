"""Context: what a tool may read and change of the conversation that it was called in."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pydantic_core import to_jsonable_python

from ..errors import InputError
from ..state_updates import StateUpdate
from ..transcripts import Transcript

__all__ = ["PLACE", "Context", "TurnState", "filled", "is_hidden"]

PLACE = "__context__"
"""What stands in a system message for the context variables."""

# where teams keep their unfinished plans, as long as prompts, and agents whom they handed over to, or what
# waits for approval: for no model
_HIDDEN = ("__plan:", "__handoff:", "__approval:")


class TurnState:
    """The conversation as it stands in the midst of a turn: what was heard, and what changed since.

    Tools of one round run side by side and some of them in threads, so all go by this one.

    Args:
        transcript: What was heard.
        changed: Called after each change, in the thread that made it.
        agent: The id of the agent whose turn it is.

    Attributes:
        variables: The context variables as they are now.
        over: What ends the turn with this round, such as a handoff; None: it goes on.
    """

    def __init__(
        self, transcript: Transcript, changed: Callable[[], None] | None = None, agent: str = ""
    ) -> None:
        self.variables = transcript.variables
        self.agent = agent
        self.over: Any = None
        self._transcript = transcript
        self._changed = changed
        # nearly always empty, in each turn that is going on: a set or a deque would be several times as large
        self._ids: dict[str, None] = {}
        self._unfolded: list[StateUpdate] = []
        self._untold: list[StateUpdate] = []
        self._lock = threading.Lock()

    @property
    def transcript(self) -> Transcript:
        """What was heard, with all that changed since.

        Folded only when asked for. In the conversation the changes stand behind the turn's message, so it
        cannot go on from this version, and has to copy its history.
        """
        with self._lock:
            self._transcript = self._transcript.fold_all(self._unfolded)
            self._unfolded.clear()
            return self._transcript

    def update(self, change: StateUpdate) -> None:
        """Takes in a change; one that came before changes nothing."""
        with self._lock:
            if change.id in self._ids:
                return
            self._ids[change.id] = None
            if change.variables:
                self.variables = MappingProxyType({**self.variables, **change.variables})
            self._unfolded.append(change)
            self._untold.append(change)
        if self._changed is not None:
            self._changed()

    def untold(self) -> Iterator[StateUpdate]:
        """The changes that nobody has taken from here yet, in the order in which they came."""
        while self._untold:
            yield self._untold.pop(0)


class Context:
    """What a tool may read and change of the conversation that it was called in.

    A parameter of a tool that is annotated with it is filled by the agent, and the model does not see
    it. What a tool changes counts at once, for the tools beside it, for the model's next round, and
    in the conversation. It may be used from any thread.

    ```python
    @agent.register_tool
    def remember(name: str, context: Context) -> str:
        context["name"] = name
        return f"noted, after {len(context.transcript)} messages"
    ```
    """

    def __init__(
        self,
        turn: TurnState,
        progress: Callable[[str], None] | None = None,
        show: Callable[[Any], None] | None = None,
    ) -> None:
        self._turn = turn
        self._progress = progress
        self._show = show

    @property
    def agent(self) -> str:
        """The id of the agent that called; empty where none did."""
        return self._turn.agent

    @property
    def transcript(self) -> Transcript:
        """What the agent heard, with all that changed in its turn."""
        return self._turn.transcript

    @property
    def variables(self) -> Mapping[str, Any]:
        """The context variables as they are now."""
        return self._turn.variables

    def __getitem__(self, name: str) -> Any:
        return self.variables[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise InputError(f"the name of a context variable is a str, not {type(name).__name__}")
        self.emit(StateUpdate("variables", variables={name: value}))

    def get(self, name: str, default: Any = None) -> Any:
        """A context variable, or the default where it is not set."""
        return self.variables.get(name, default)

    def emit(self, change: StateUpdate) -> None:
        """Changes something else than a variable: a log entry, a stop, messages.

        Raises:
            InputError: It is no StateUpdate.
        """
        if not isinstance(change, StateUpdate):
            raise InputError(
                f"a context emits StateUpdates, not {type(change).__name__}; set a variable with "
                "context['name'] = value"
            )
        self._turn.update(change)

    def progress(self, text: str) -> None:
        """Shows how far the tool is: a `progress` delta of its call, which no model reads."""
        if self._progress is not None:
            self._progress(text)

    def show(self, item: Any) -> None:
        """Emits an item, such as a Block that stands aside, in the agent's block beside its message."""
        if self._show is not None:
            self._show(item)


def is_hidden(name: object) -> bool:
    """Whether a variable is one that agents and teams keep for themselves."""
    return str(name).startswith(_HIDDEN)


def filled(messages: list[dict[str, Any]], variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages with the variables, as JSON, where a system message says `__context__`."""
    return [_filled(m, variables) if m["role"] in ("system", "developer") else m for m in messages]


def _filled(message: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, list):
        parts = [
            _in_text(part, "text", variables) if part.get("type") == "text" else part for part in content
        ]
        return {**message, "content": parts}
    return _in_text(message, "content", variables)


def _in_text(holder: dict[str, Any], key: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    text = holder.get(key)
    if not isinstance(text, str) or PLACE not in text:
        return holder
    shown = {name: value for name, value in variables.items() if not is_hidden(name)}
    known = to_jsonable_python(shown, fallback=str)
    return {**holder, key: text.replace(PLACE, json.dumps(known, ensure_ascii=False))}
