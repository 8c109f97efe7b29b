"""turns over a real socket: what a barge-in, a stop and a dispose leave on the wire."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.subject import ReplaySubject

from rxagents import Agent, Conversation, LLMConstraints, OpenAILLM, turns
from rxagents.engine.loops import shared_loop
from rxagents.llm import Call, Reply
from rxagents.llm.wire import CUT_OFF
from rxagents.operators import markers, text, until
from rxagents.testing import HTTPFault, OpenAIServer, Paused

WAIT = 10.0


def model(server: OpenAIServer, **options: Any) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", **options)


class Heard:
    """What a subscriber on another thread hears of an observable."""

    def __init__(self, source: rx.Observable[Any]) -> None:
        self.items: list[Any] = []
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self.error: Exception | None = None
        self.subscription = source.subscribe(self._next, self._fail, self._ended.set)

    def _next(self, item: Any) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        self.error = error
        self._ended.set()

    def until(self, is_there: Callable[[Any], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(is_there, self.items)), WAIT), self.items

    def end(self) -> list[Any]:
        assert self._ended.wait(WAIT), self.items
        return self.items


def tasks() -> set[Any]:
    async def running() -> set[Any]:
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    return asyncio.run_coroutine_threadsafe(running(), shared_loop()).result(WAIT)


def all_over(before: set[Any]) -> bool:
    async def over() -> bool:
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        return not left or not (await asyncio.wait(left, timeout=WAIT))[1]

    return asyncio.run_coroutine_threadsafe(over(), shared_loop()).result(2 * WAIT)


def test_new_input_closes_the_response_in_flight_and_the_model_is_told_where_it_was_cut() -> None:
    source: ReplaySubject[str] = ReplaySubject()
    conversation = Conversation()
    with OpenAIServer([Paused(3, "one two three four"), "Five then."]) as server:
        bot = Agent("bot", model(server), system_message="Count.")
        heard = Heard(source.pipe(turns(bot, conversation=conversation), text(order="arrival")))
        source.on_next("Count!")
        heard.until(lambda token: token == " two")
        source.on_next("Only five.")
        source.on_completed()
        assert "".join(heard.end()).endswith("Five then.")
        cut, whole = server.requests
        assert cut.wait_closed(WAIT)
        assert not cut.completed
        assert whole.completed
        assert whole.body["messages"] == [
            {"role": "system", "content": "Count."},
            {"role": "user", "content": "Count!"},
            {"role": "assistant", "content": conversation[1].content, "name": "bot"},
            {"role": "system", "content": CUT_OFF},
            {"role": "user", "content": "Only five."},
        ]
    assert conversation[1].text.startswith("one two")
    assert [message.finish_reason for message in conversation] == [None, "interrupted", None, "stop"]


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_model_without_system_messages_is_told_by_the_user(api: Any) -> None:
    source: ReplaySubject[str] = ReplaySubject()
    with OpenAIServer([Paused(3, "one two three four"), "Five then."]) as server:
        llm = model(server, api=api, constraints=LLMConstraints(system_message=False))
        heard = Heard(source.pipe(turns(Agent("bot", llm)), text(order="arrival")))
        source.on_next("Count!")
        heard.until(lambda token: token == " two")
        source.on_next("Only five.")
        source.on_completed()
        heard.end()
        sent = server.requests[1].body["input" if api == "responses" else "messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user", "user"]
    assert sent[2]["content"] == CUT_OFF


def test_a_tool_that_runs_is_cancelled_and_its_call_is_not_sent_again() -> None:
    source: ReplaySubject[str] = ReplaySubject()
    entered, cancelled = threading.Event(), threading.Event()

    async def look() -> str:
        """Looks for ever."""
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "nothing"

    with OpenAIServer([Reply("Let me look.", [Call("look")]), "Fine."]) as server:
        bot = Agent("bot", model(server), tools=[look])
        heard = Heard(source.pipe(turns(bot), text(order="arrival")))
        source.on_next("Look!")
        assert entered.wait(WAIT)
        source.on_next("Never mind.")
        source.on_completed()
        heard.end()
        assert cancelled.wait(WAIT)
        assert server.requests[1].body["messages"] == [
            {"role": "user", "content": "Look!"},
            {"role": "assistant", "content": "Let me look.", "name": "bot"},
            {"role": "system", "content": CUT_OFF},
            {"role": "user", "content": "Never mind."},
        ]


@pytest.mark.parametrize("how", ["dispose", "until", "source fails"])
@pytest.mark.parametrize("policy", ["switch", "concat", "merge", "exhaust"])
def test_leaving_closes_the_response_and_leaves_no_task(how: str, policy: Any) -> None:
    before = tasks()
    source: ReplaySubject[str] = ReplaySubject()
    stop: ReplaySubject[str] = ReplaySubject()
    conversation = Conversation()
    with OpenAIServer([Paused(3, "one two three four")]) as server:
        live = source.pipe(turns(Agent("bot", model(server)), policy, conversation=conversation), until(stop))
        heard = Heard(live.pipe(text(order="arrival")))
        source.on_next("Count!")
        heard.until(lambda token: token == " two")
        if how == "dispose":
            heard.subscription.dispose()
        elif how == "until":
            stop.on_next("now")
            heard.end()
        else:
            source.on_error(ValueError("gone"))
            heard.end()
            assert str(heard.error) == "gone"
        (request,) = server.requests
        assert request.wait_closed(WAIT)
        assert not request.completed
        assert all_over(before)
        assert server.open_connections == 0
    assert [message.finish_reason for message in conversation] == [None, "interrupted"]


def test_a_service_that_refuses_is_shown_and_the_next_turn_is_answered() -> None:
    source: ReplaySubject[str] = ReplaySubject()
    with OpenAIServer([HTTPFault(400, "No such thing."), "Hello."]) as server:
        bot = Agent("bot", model(server))
        heard = Heard(
            source.pipe(turns(bot, "concat"), markers(), ops.filter(lambda each: each[0] != "delta"))
        )
        source.on_next("Hi")
        source.on_next("Hi again")
        source.on_completed()
        shown = [(str(mark), content) for mark, content in heard.end()]
    assert [mark for mark, _ in shown] == [
        *("start", "response", "state", "end", "start", "response", "end", "result")
    ]
    state, result = shown[2][1], shown[-1][1]
    assert (state["kind"], state["type"], state["where"]) == ("error", "ModelStatusError", "bot")
    assert "No such thing." in state["message"]
    assert result == "done"
    assert [message["content"] for message in server.requests[1].body["messages"]] == ["Hi", "Hi again"]
