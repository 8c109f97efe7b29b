"""A model that answers from a script, and the vocabulary of scripts.

A *script* is one of
- a list of answers, one for each request, in order;
- a list of `Rule`s, of which the first that matches answers;
- a function from the request to an answer.

An *answer* is a `Reply`, or what stands for one: text, a `Call` or a list of them, a dict (sent as
JSON text, for structured output), or an exception, which is raised. `ScriptedLLM` and
`rxagents.testing.OpenAIServer` read the same scripts and emit the same deltas.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import count
from typing import Any, TypeAlias

import reactivex as rx
from reactivex import Observable, abc
from reactivex.disposable import MultipleAssignmentDisposable
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from ..errors import ConfigurationError, ScriptError
from ..values import Completion, Delta, Usage, delta
from .requests import ChatRequest, LLMConstraints

__all__ = [
    "Call",
    "Reply",
    "Rule",
    "Script",
    "ScriptSource",
    "ScriptedLLM",
    "message_text",
    "request_text",
    "tokenize",
]

_TOKEN = re.compile(r" ?_?[^\W\d_]+|\d{1,3}|_+| ?[^\w\s]+|\s+?(?= ?\S)|\s+")
_CAN_ALL = LLMConstraints()

ScriptSource: TypeAlias = Callable[[Any], object] | Sequence[object]


def tokenize(text: str) -> list[str]:
    """Cuts text about as models do: words with their leading space, digits in threes, punctuation apart.

    Nothing is lost: `"".join(tokenize(text)) == text`. An underscore begins a token.
    """
    return _TOKEN.findall(text)


def message_text(message: Mapping[str, Any]) -> str:
    """The text of a wire-form message; of content parts, the text parts joined."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def request_text(body: Mapping[str, Any]) -> str:
    """The text of all messages of a request, one below the other."""
    return "\n".join(message_text(message) for message in body.get("messages", ()))


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of a scripted reply.

    Args:
        name: The tool's name.
        arguments: Its arguments; a dict is sent as compact JSON, a string as it is.
        id: The id of the call; by default `call_1`, `call_2`, … in the order of the script.
        fragments: The pieces in which the arguments come; by default they are cut as models do.
    """

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    id: str | None = None
    fragments: Sequence[str] | None = None

    def cut(self) -> list[str]:
        """The pieces of the arguments: of `{"order_id": "214"}`, `{"` `order` `_id` `":"` `214` `"}`."""
        if self.fragments is not None:
            return list(self.fragments)
        if isinstance(self.arguments, str):
            return tokenize(self.arguments)
        return tokenize(_json(self.arguments))

    def render(self, index: int, call_id: str) -> list[Delta]:
        """The call as deltas: the first has id, type and name, the others have pieces of arguments.

        Args:
            index: The position of the call in its reply.
            call_id: The id on the wire.
        """
        opening = delta(tool_calls=[_fragment(index, "", call_id, self.name, "function")])
        return [opening, *(delta(tool_calls=[_fragment(index, piece)]) for piece in self.cut())]


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer of a model.

    Args:
        text: What it says.
        calls: The tools that it calls, after the text.
        tokens: The pieces in which the text comes; by default it is cut by `tokenize`.
        refusal: The model's refusal, instead of a text.
        usage: By default counted: a completion token for each delta that carries something, and the
            prompt tokens that the text of the request would be cut into.
        finish_reason: By default `tool_calls` if there are calls, else `stop`.
        deltas: The increments themselves, instead of all that; for what a provider adds.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    _: KW_ONLY
    tokens: Sequence[str] | None = None
    refusal: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    deltas: Sequence[Delta] | None = None

    def render(
        self, body: Mapping[str, Any], next_id: Callable[[], str] | None = None
    ) -> tuple[list[Delta], Completion]:
        """The reply as OpenAI's wire gives it: an opening delta, the increments, an empty last one.

        Args:
            body: The request, for the count of its tokens.
            next_id: Gives the ids of calls that have none; by default `call_1`, `call_2`, …
        """
        deltas = self._increments(next_id or _new_ids()) if self.deltas is None else list(self.deltas)
        carrying = sum(1 for item in deltas if _carries(item))
        prompt = len(tokenize(request_text(body)))
        usage = self.usage or Usage(
            completion_tokens=carrying, prompt_tokens=prompt, total_tokens=carrying + prompt
        )
        calls = any(item["tool_calls"] for item in deltas)
        reason = self.finish_reason or ("tool_calls" if calls else "stop")
        return deltas, Completion(usage=usage, finish_reason=reason)

    def _increments(self, next_id: Callable[[], str]) -> list[Delta]:
        tokens = self.tokens if self.tokens is not None else tokenize(self.text)
        deltas: list[Delta] = []
        if tokens or not self.calls:
            deltas = [delta("" if self.refusal is None else None)]
            deltas += (delta(token) for token in tokens)
            deltas += (delta(refusal=token) for token in tokenize(self.refusal or ""))
        for index, call in enumerate(self.calls):
            deltas += call.render(index, call.id or next_id())
        return [*deltas, delta()]


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
        self._next_id = _new_ids()
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
        return _as_reply(answer).render(body, self._next_id)


class ScriptedLLM:
    """A model that answers from a script: for tests, and to try a team without a service.

    Called with a request, it gives a cold observable: each subscription is a request of its own.
    It emits the deltas as OpenAI's wire would give them and a Completion, and completes; it fails
    with a ScriptError, or with the exception that the script orders.

    ```
    script   ["Hello."]
    emits    ("") ("Hello") (".") (empty) (Completion) |
    ```

    Args:
        script: A list of answers, a list of rules, or a function from the ChatRequest.
        delay: Seconds between two deltas. With 0, all is emitted on subscribe; else the scheduler
            that is passed to `subscribe` tells the time, or, if there is none, the running loop.
        constraints: What this model shall not be able to do.

    Attributes:
        requests: Each ChatRequest that was asked, in order.
    """

    def __init__(
        self,
        script: Script | ScriptSource,
        *,
        delay: float = 0.0,
        constraints: LLMConstraints = _CAN_ALL,
    ) -> None:
        self.requests: list[ChatRequest] = []
        self.constraints = constraints
        self._script = Script.of(script)
        self._delay = delay

    def __call__(self, request: ChatRequest, /) -> Observable[Delta | Completion]:
        def begin(_: abc.SchedulerBase) -> Observable[Delta | Completion]:
            self.requests.append(request)
            deltas, completion = self._script.render(self._script.pick(request), request.body())
            items: list[Delta | Completion] = [*deltas, completion]
            if self._delay > 0:
                return _paced(items, self._delay)
            # Its own scheduler, so that a scheduler passed to subscribe does not delay it.
            return rx.from_iterable(items, CurrentThreadScheduler.singleton())

        return rx.defer(begin)


def _paced(items: Sequence[Delta | Completion], delay: float) -> Observable[Delta | Completion]:
    """The first item at once, each further one `delay` seconds later, the completion with the last."""

    def subscribe(
        observer: abc.ObserverBase[Delta | Completion], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        pending = MultipleAssignmentDisposable()

        def step(clock: abc.SchedulerBase, index: int | None) -> None:
            position = index or 0
            observer.on_next(items[position])
            if position + 2 < len(items):
                pending.disposable = clock.schedule_relative(delay, step, position + 1)
                return
            for item in items[position + 1 :]:
                observer.on_next(item)
            observer.on_completed()

        clock = scheduler or _loop_clock()
        pending.disposable = clock.schedule(step, 0)
        return pending

    return rx.create(subscribe)


def _loop_clock() -> abc.SchedulerBase:
    try:
        return AsyncIOScheduler(asyncio.get_running_loop())
    except RuntimeError:
        raise ConfigurationError(
            "a ScriptedLLM with a delay needs a scheduler passed to subscribe, or a running event loop"
        ) from None


def _as_reply(answer: object) -> Reply:
    match answer:
        case Reply():
            return answer
        case str():
            return Reply(answer)
        case Call():
            return Reply(calls=(answer,))
        case dict():
            return Reply(_json(answer))
        case Exception():
            raise answer
        case list() | tuple():
            calls = tuple(item for item in answer if isinstance(item, Call))
            if calls and len(calls) == len(answer):
                return Reply(calls=calls)
    raise ScriptError(
        f"{type(answer).__name__} is no answer of a model; give a str, a Call, a list of Calls, "
        "a dict, a Reply or an exception (faults of the connection need rxagents.testing.OpenAIServer)"
    )


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


def _fragment(
    index: int, arguments: str, call_id: str | None = None, name: str | None = None, kind: str | None = None
) -> dict[str, Any]:
    return {
        "id": call_id,
        "function": {"arguments": arguments, "name": name},
        "type": kind,
        "index": index,
    }


def _carries(item: Delta) -> bool:
    return any(value for key, value in item.items() if key != "role")


def _new_ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"call_{next(numbers)}"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
