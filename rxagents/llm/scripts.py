"""Scripts: which reply comes to which request.

A *script* is one of
- a list of answers, one for each request, in order;
- a list of `Rule`s, of which the first that matches answers;
- a function from the request to an answer.

An *answer* is a `Reply`, or what stands for one: text, a `Call` or a list of them, a dict (sent as
JSON text, for structured output), or an exception, which is raised. `ScriptedLLM` and
`rxagents.testing.OpenAIServer` read the same scripts and emit the same deltas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

from ..errors import ConfigurationError, ScriptError
from ..values import Completion, Delta
from .replies import as_reply, message_text, new_ids
from .requests import ChatRequest

__all__ = ["Rule", "Script", "ScriptSource"]

ScriptSource: TypeAlias = Callable[[Any], object] | Sequence[object]


@dataclass(frozen=True, slots=True)
class Rule:
    """Answers the requests that it fits.

    Args:
        when: A predicate on the request's JSON body.
        reply: The answer, or a function from the request's JSON body to it.
    """

    when: Callable[[dict[str, Any]], bool]
    reply: object


class Script:
    """A script in use: it knows which answer is next and which ids it has given.

    Args:
        source: A list of answers, a list of rules, or a function from the request to an answer.

    Raises:
        ConfigurationError: The source is none of these.
    """

    def __init__(self, source: ScriptSource) -> None:
        self._function: Callable[[Any], object] | None = None
        self._rules: tuple[Rule, ...] = ()
        self._answers: tuple[object, ...] = ()
        # Counters, not indices: `next` on them is atomic, and several threads may ask at once.
        self._asked = count()
        self._next_id = new_ids()
        if isinstance(source, list | tuple):
            self._rules = tuple(item for item in source if isinstance(item, Rule))
            self._answers = tuple(item for item in source if not isinstance(item, Rule))
            if self._rules and self._answers:
                raise ConfigurationError(
                    "a script holds either rules or replies, not both; give a reply that always fits as "
                    "Rule(lambda body: True, reply)"
                )
        elif callable(source):
            self._function = source
        else:
            kind = type(source).__name__
            raise ConfigurationError(
                f"a script is a list of replies, a list of rules or a function, not {kind}"
            )

    @classmethod
    def of(cls, source: Script | ScriptSource) -> Script:
        """The script itself, if it is one already in use, else a new one."""
        return source if isinstance(source, Script) else cls(source)

    def pick(self, request: ChatRequest | Mapping[str, Any]) -> object:
        """The script's answer to a request, as it stands in the script.

        Args:
            request: What a function as script is called with; rules get its JSON body.

        Raises:
            ScriptError: The script has no answer for it.
        """
        if self._function:
            return self._function(request)
        body = request.body() if isinstance(request, ChatRequest) else dict(request)
        if self._rules:
            for rule in self._rules:
                if rule.when(body):
                    return rule.reply(body) if callable(rule.reply) else rule.reply
            raise ScriptError(
                f"none of the script's {len(self._rules)} rules fits the request of "
                f"{_describe(request, body)}; add a rule for it"
            )
        number = next(self._asked)
        if number < len(self._answers):
            return self._answers[number]
        raise ScriptError(
            f"the script had {len(self._answers)} replies, and this is request {number + 1}, of "
            f"{_describe(request, body)}; add a reply for it"
        )

    def render(self, answer: object, body: Mapping[str, Any]) -> tuple[list[Delta], Completion]:
        """The deltas and the completion of an answer.

        Raises:
            Exception: The answer itself, if it is one.
            ScriptError: It is nothing that can be answered.
        """
        return as_reply(answer).render(body, self._next_id)


def _describe(request: object, body: Mapping[str, Any]) -> str:
    agent = (
        f"agent {request.agent!r}"
        if isinstance(request, ChatRequest) and request.agent
        else "an unnamed agent"
    )
    messages = body.get("messages") or ()
    if not messages:
        return f"{agent} without messages"
    return f"{agent}, whose last message is {messages[-1].get('role')}: {message_text(messages[-1])[:200]!r}"
