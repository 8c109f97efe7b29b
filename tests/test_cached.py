"""cached: a request that was answered before is answered from a store."""

from __future__ import annotations

import asyncio
import json
import shelve
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    ChatRequest,
    Completion,
    ConfigurationError,
    LLMConstraints,
    ModelConnectionError,
    OpenAILLM,
    ScriptedLLM,
    Usage,
    Workflow,
    on_dropped,
)
from rxagents.llm import Call, Reply, best_of, cached, fallback, fan_out, gated, logged, retry
from rxagents.testing import Dropped, Marbles, OpenAIServer, Paused
from rxagents.values import delta

REQUEST = ChatRequest(({"role": "user", "content": "Hi"},))
OTHER = ChatRequest(({"role": "user", "content": "Bye"},))
WAIT = 10.0


def all_of(answer: rx.Observable[Any]) -> list[Any]:
    heard: list[Any] = []

    async def main() -> None:
        ended = asyncio.get_running_loop().create_future()
        answer.subscribe(heard.append, ended.set_exception, lambda: ended.set_result(None))
        await ended

    asyncio.run(main())
    return heard


def test_the_second_time_it_comes_from_the_store_at_once(marbles: Marbles) -> None:
    llm = marbles.llm("--Hi-you-|")
    again = cached(llm, {})
    marbles.expect(again(REQUEST)).to_be("--Hi-you-|")
    late = rx.timer(20.0).pipe(ops.flat_map(lambda _: again(REQUEST)))
    marbles.expect(late).to_be("20s (Hi you|)")
    marbles.flush()
    assert len(llm.requests) == 1


def test_the_deltas_are_as_they_were_and_cost_nothing() -> None:
    call = Reply("Let me see.", [Call("find", {"id": 7})], usage=Usage(total_tokens=9, prompt_tokens=9))
    llm = ScriptedLLM([call])
    store: dict[str, str] = {}
    first, second = (all_of(cached(llm, store)(REQUEST)) for _ in range(2))
    assert len(llm.requests) == 1
    assert first[:-1] == second[:-1]
    assert first[-1].usage == Usage(total_tokens=9, prompt_tokens=9)
    assert second[-1] == Completion(None, first[-1].finish_reason, first[-1].model, first[-1].request_id)


def test_usage_is_counted_once() -> None:
    llm = ScriptedLLM([Reply("Hello", usage=Usage(total_tokens=5, completion_tokens=5))])
    bot = Agent("bot", cached(llm, {}))
    usages = [Workflow(bot).run("Hi").usage for _ in range(2)]
    assert [usage.total_tokens for usage in usages] == [5, 0]


def test_what_is_kept_is_json_under_a_hash(tmp_path: Path) -> None:
    store: dict[str, str] = {}
    all_of(cached(ScriptedLLM(["Hi"]), store)(REQUEST))
    ((key, value),) = store.items()
    assert len(key) == 64
    assert set(json.loads(value)) == {"deltas", "completion"}
    with shelve.open(tmp_path / "answers") as shelf:
        llm = ScriptedLLM(["Hi"])
        assert all_of(cached(llm, shelf)(REQUEST))[:-1] == all_of(cached(llm, shelf)(REQUEST))[:-1]
        assert len(llm.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        OTHER,
        ChatRequest(REQUEST.messages, params={"temperature": 1}),
        ChatRequest(REQUEST.messages, tools=({"type": "function"},)),
        ChatRequest(REQUEST.messages, response_format={"type": "json_object"}),
    ],
    ids=["messages", "params", "tools", "format"],
)
def test_another_request_is_asked(other: ChatRequest) -> None:
    llm = ScriptedLLM(["one", "two"])
    store: dict[str, str] = {}
    for request in (REQUEST, other):
        all_of(cached(llm, store)(request))
    assert (len(llm.requests), len(store)) == (2, 2)


def test_who_asks_makes_no_difference() -> None:
    llm = ScriptedLLM(["one"])
    again = cached(llm, {})
    texts = [Workflow(Agent(name, again)).run("Hi").text for name in ("ann", "bob")]
    assert texts == ["one", "one"]


def keys(*llms: Any, **options: Any) -> set[str]:
    return {cached(llm, {}, **options)._key_of(REQUEST) for llm in llms}  # type: ignore[attr-defined]


def served_by(name: str = "a", base_url: str = "http://a/v1", **options: Any) -> OpenAILLM:
    return OpenAILLM(name, base_url=base_url, api_key="k", **options)


def function_a(request: ChatRequest) -> rx.Observable[Any]:
    return rx.of("a")


def function_b(request: ChatRequest) -> rx.Observable[Any]:
    return rx.of("b")


def test_another_model_has_another_key() -> None:
    a = served_by()
    others = [
        served_by("b"),
        served_by(base_url="http://b/v1"),
        served_by(temperature=1),
        served_by(constraints=LLMConstraints(system_message=False)),
        fallback(a, served_by("b")),
        fallback(served_by("b"), a),
        retry(a),
        ScriptedLLM([]),
        function_a,
        function_b,
    ]
    assert len(keys(a, *others)) == 11
    assert len(keys(a, served_by(), OpenAILLM("a", base_url="http://a/v1", api_key="another"))) == 1
    assert keys(logged(a, print)) == keys(a), "one that only listens is the model itself"


class Wrapped:
    """A model of the user's around another."""

    def __init__(self, llm: Any) -> None:
        self.llm = llm

    def __call__(self, request: ChatRequest) -> rx.Observable[Any]:
        return rx.of("another word")


def decent(text: str) -> bool:
    return True


def short(text: str) -> bool:
    return len(text) < 9


def test_what_settles_the_answer_is_part_of_the_key() -> None:
    a = served_by()
    others = [
        Wrapped(a),
        gated(a, decent),
        gated(a, short),
        gated(a, decent, on_fail="replace"),
        gated(a, decent, on_fail="replace", replacement="No."),
        best_of(a, 2, len),
        best_of(a, 3, len),
        best_of(a, 2, max),
        best_of(a, 2, served_by("b")),
        best_of(a, 2, served_by("c")),
        fan_out(a, combine=len),
        fan_out(a, combine=max),
    ]
    assert len(keys(a, *others)) == 13


def test_the_key_may_be_chosen() -> None:
    llm = ScriptedLLM(["one"])
    again = cached(llm, {}, key=lambda request: request.messages[-1]["content"].lower())
    loud = ChatRequest(({"role": "user", "content": "HI"},))
    assert all_of(again(REQUEST))[0] == all_of(again(loud))[0]
    assert len(llm.requests) == 1


def test_a_key_that_fails_fails_the_answer() -> None:
    with pytest.raises(ZeroDivisionError):
        all_of(cached(ScriptedLLM(["one"]), {}, key=lambda request: 1 / 0)(REQUEST))


def test_only_whole_answers_are_kept(marbles: Marbles) -> None:
    error = ModelConnectionError("lost")
    failing, cut = marbles.llm("-Hi-#", error=error), marbles.llm("-Hi-you|")
    store: dict[str, str] = {}
    marbles.expect(cached(failing, store)(REQUEST)).to_be("-Hi-#", error=error)
    marbles.expect(cached(cut, store)(REQUEST), unsubscribe_at="---!").to_be("-Hi")
    marbles.expect_subscriptions(cut).to_be("^--!")
    marbles.flush()
    assert store == {}


def test_of_an_answer_that_began_anew_the_last_beginning_is_kept(marbles: Marbles) -> None:
    llm = retry(
        marbles.llm("-Hi-#", "-Yes|", error=ModelConnectionError("lost")), delay=1, jitter=None, restart=True
    )
    store: dict[str, str] = {}
    marbles.expect(cached(llm, store)(REQUEST)).to_be("-Hi-x-Yes|", x={"restart": "lost"})
    marbles.flush()
    ((_, kept),) = store.items()
    assert json.loads(kept)["deltas"] == ["Yes"]


class Wire:
    """A store on the other side of a wire, in virtual time."""

    def __init__(self, lasts: float = 0.0, error: Exception | None = None) -> None:
        self.kept: dict[str, bytes] = {}
        self.lasts = lasts
        self.error = error

    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(self.lasts)
        if self.error is not None:
            raise self.error
        return self.kept.get(key)

    async def set(self, key: str, value: str) -> None:
        await asyncio.sleep(self.lasts)
        if self.error is not None:
            raise self.error
        self.kept[key] = value.encode()


def test_an_async_store(marbles: Marbles) -> None:
    llm = marbles.llm("-Hi|")
    again = cached(llm, Wire(2.0))
    marbles.expect(again(REQUEST)).to_be("---Hi--|")
    late = rx.timer(20.0).pipe(ops.flat_map(lambda _: again(REQUEST)))
    marbles.expect(late).to_be("22s (Hi|)")
    marbles.flush()
    assert len(llm.requests) == 1


def test_a_store_that_is_asked_is_let_go_of(marbles: Marbles) -> None:
    llm = marbles.llm("never|")
    marbles.expect(cached(llm, Wire(5.0))(REQUEST), unsubscribe_at="--!").to_be("-")
    marbles.expect_subscriptions(llm).to_be()
    marbles.allow("unused")


@pytest.mark.drops
def test_a_store_that_fails_is_reported_and_the_model_answers() -> None:
    heard: list[str] = []
    before = on_dropped(lambda error, what: heard.append(f"{what}: {error}"))
    try:
        broken = Wire(error=OSError("no route"))
        assert Workflow(Agent("bot", cached(ScriptedLLM(["Hello"]), broken))).run("Hi").text == "Hello"
    finally:
        on_dropped(before)
    assert heard == [
        "the store of a cached model could not be read; the model is asked: no route",
        "the store of a cached model could not be written; its answer is not kept: no route",
    ]


@pytest.mark.drops
@pytest.mark.parametrize("garbage", ["{", "[]", '{"deltas": [5], "completion": null}', 5], ids=repr)
def test_what_cannot_be_read_is_reported_and_replaced(garbage: Any) -> None:
    heard: list[BaseException] = []
    before = on_dropped(lambda error, what: heard.append(error))
    llm = ScriptedLLM(["Hello"])
    store: dict[str, Any] = {}
    again = cached(llm, store)
    store[again._key_of(REQUEST)] = garbage  # type: ignore[attr-defined]
    try:
        assert all_of(again(REQUEST))[:-1] == all_of(again(REQUEST))[:-1]
    finally:
        on_dropped(before)
    assert len(heard) == len(llm.requests) == 1


def test_two_at_the_same_time_are_both_asked(marbles: Marbles) -> None:
    llm = marbles.llm("-Hi|", "-Hi|")
    again = cached(llm, {})
    for _ in range(2):
        marbles.expect(again(REQUEST)).to_be("-Hi|")


def test_models_that_answer_at_once_and_say_no_more() -> None:
    store: dict[str, str] = {}
    again = cached(lambda _: rx.of("He", delta("llo")), store)
    assert [all_of(again(REQUEST)) for _ in range(2)] == [["He", delta("llo")]] * 2


@pytest.mark.parametrize(
    ("store", "options", "words"),
    [
        (
            [],
            {},
            "cached: the store is a list; give a mapping such as a dict, or an object whose `get` and `set`",
        ),
        ({}, {"key": "model"}, "cached: key is a function of the ChatRequest, not 'model'"),
    ],
)
def test_arguments_of_no_use(store: Any, options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cached(ScriptedLLM([]), store, **options)
    assert words in str(caught.value)


def served(server: OpenAIServer) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", max_retries=0)


def test_over_the_wire_it_is_asked_once() -> None:
    with OpenAIServer(["Hello there."]) as server:
        bot = Agent("bot", cached(served(server), {}))
        texts = [Workflow(bot).run("Hi").text for _ in range(3)]
        assert texts == ["Hello there."] * 3
        assert len(server.requests) == 1


def test_over_the_wire_an_answer_that_was_cut_is_asked_for_again() -> None:
    with OpenAIServer([Dropped(3, "one two"), "Hello."]) as server:
        bot = Agent("bot", cached(served(server), {}))
        assert [Workflow(bot).run("Hi").text for _ in range(3)] == ["one two", "Hello.", "Hello."]
        assert len(server.requests) == 2


def test_over_the_wire_leaving_closes_it() -> None:
    store: dict[str, str] = {}
    with OpenAIServer([Paused(3, "one two three")]) as server:
        workflow = Workflow(Agent("bot", cached(served(server), store)))
        for mark, content in workflow.run_stream("Hi"):
            if mark == "delta" and content["content"] == " two":
                break
        (request,) = server.requests
        assert request.wait_closed(WAIT)
        request.release()
        assert request.events_sent == 3
    assert store == {}
