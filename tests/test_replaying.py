"""replay: a model that answers from a recording."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler

from rxagents import (
    Completion,
    ConfigurationError,
    LLMConstraints,
    ModelConnectionError,
    ModelError,
    ModelStatusError,
    ScriptedLLM,
    ScriptError,
    Usage,
)
from rxagents.engine.bridges import from_async
from rxagents.llm import ChatRequest
from rxagents.llm.recorded import record
from rxagents.testing import VirtualClock, virtual
from rxagents.testing.recordings.exchanges import RecordedError
from rxagents.testing.recordings.replaying import ReplayedLLM, replay
from rxagents.testing.recordings.request_matching import canonical, comparable, first_difference, likeness
from rxagents.values import delta

from .listening import heard
from .timelines import timeline

Model = Callable[[ChatRequest], rx.Observable[Any]]


def asked(text: str = "Hi", agent: str | None = "bot", **params: Any) -> ChatRequest:
    return ChatRequest(({"role": "user", "content": text},), params=params, agent=agent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def recorded(path: Path, *calls: tuple[ChatRequest, str], delay: float = 0.0) -> Path:
    """A recording of these requests with these answers."""
    with record(ScriptedLLM([text for _, text in calls], delay=delay), path) as llm:
        for request, _ in calls:
            timeline(llm(request))
    return path


def text_of(answer: list[Any]) -> str:
    """What an answer says; its error as text."""
    return "".join(item["content"] or "" if isinstance(item, dict) else "" for item in answer)


def failure(answer: list[Any]) -> ScriptError:
    error = answer[-1]
    assert isinstance(error, ScriptError)
    return error


def test_the_answer_comes_as_it_came_and_when_it_came(path: Path) -> None:
    def script() -> ScriptedLLM:
        return ScriptedLLM(["Well, let me see."], delay=0.75)

    timeline(record(script(), path)(asked()))
    assert timeline(replay(path)(asked())) == timeline(script()(asked()))


@pytest.mark.parametrize(
    ("speed", "times"), [(2, [0.0, 1.5, 3.0]), (0.5, [0.0, 6.0, 12.0]), (3, [0.0, 1.0, 2.0])]
)
def test_a_speed_divides_the_times(path: Path, speed: float, times: list[float]) -> None:
    recorded(path, (asked(), "one two"), delay=3.0)
    came = timeline(replay(path, speed=speed)(asked()))
    assert [at for at, item in came if isinstance(item, dict) and item["content"] is not None] == times


@pytest.mark.parametrize("speed", [math.inf, None])
def test_at_once_needs_no_time_and_no_loop(path: Path, speed: float | None) -> None:
    recorded(path, (asked(), "one two"), (asked(), "one two"), delay=3.0)
    llm = replay(path, speed=speed)
    came: list[Any] = []
    llm(asked()).subscribe(came.append, came.append, lambda: came.append("|"))
    assert (text_of(came[:-1]), came[-1]) == ("one two", "|")
    assert {at for at, _ in timeline(llm(asked()))} == {0.0}


def test_at_once_stops_when_the_reader_leaves(path: Path) -> None:
    recorded(path, (asked(), "one two three"))
    came: list[Any] = []
    replay(path, speed=None)(asked()).pipe(ops.take(2)).subscribe(came.append)
    assert text_of(came) == "one"


def test_a_scheduler_that_is_passed_tells_the_time(path: Path) -> None:
    recorded(path, (asked(), "one two"), delay=3.0)
    scheduler = VirtualTimeScheduler()
    came: list[tuple[float, Any]] = []
    replay(path)(asked()).subscribe(lambda item: came.append((scheduler.clock, item)), scheduler=scheduler)
    scheduler.start()
    assert [at for at, _ in came] == [0.0, 3.0, 6.0, 9.0, 9.0]


def test_the_stock_asyncio_scheduler_tells_its_loops_time(path: Path) -> None:
    recorded(path, (asked(), "one two"), delay=3.0)

    async def ask() -> float:
        await replay(path)(asked())
        return asyncio.get_running_loop().time()

    assert VirtualClock().run(ask()) == 9.0


def test_in_a_plain_thread_it_is_real_time(path: Path) -> None:
    recorded(path, (asked(), "one two"), delay=3.0)
    assert text_of(heard(replay(path, speed=1000)(asked()))) == "one two"


def test_equal_requests_get_their_answers_in_order(path: Path) -> None:
    recorded(path, (asked("a"), "first"), (asked("b"), "other"), (asked("a"), "second"))
    llm = replay(path, speed=None)
    assert [text_of(heard(llm(asked(text)))) for text in "aab"] == ["first", "second", "other"]
    assert llm.left == ()
    assert [request.messages[0]["content"] for request in llm.requests] == ["a", "a", "b"]


def test_what_is_left_says_what_was_not_asked(path: Path) -> None:
    recorded(path, (asked("a"), "x"), (asked("b"), "y"), (asked("c"), "z"))
    llm = replay(path, speed=None)
    heard(llm(asked("b")))
    assert [exchange.number for exchange in llm.left] == [1, 3]


def test_each_subscription_is_a_request_of_its_own(path: Path) -> None:
    recorded(path, (asked(), "first"), (asked(), "second"))
    llm = replay(path, speed=None)
    answer = llm(asked())
    assert llm.requests == []
    assert [text_of(heard(answer)), text_of(heard(answer))] == ["first", "second"]


def test_one_request_too_many_fails(path: Path) -> None:
    recorded(path, (asked("a"), "x"), (asked("b"), "y"), (asked("a"), "z"))
    llm = replay(path, speed=None)
    for _ in range(2):
        heard(llm(asked("a")))
    assert str(failure(heard(llm(asked("a"))))) == (
        f"replay of {path}: agent 'bot' asked once more what was recorded 2 times (number 1 and number 3). "
        "Record it again, or ask no more often than it was"
    )
    heard(llm(asked("b")))
    assert "was recorded once (number 2)" in str(failure(heard(llm(asked("b", agent=None)))))


def test_a_request_that_was_not_recorded_fails_and_names_the_nearest(path: Path) -> None:
    one = asked("Where is my order?", temperature=0)
    other = asked(
        "What is the weather like in the town of Uppsala on Friday?", agent="weather", temperature=0
    )
    recorded(path, (one, "x"), (other, "y"))
    new = asked("What is the weather like in the town of Uppsala today?", temperature=1)
    assert str(failure(heard(replay(path)(new)))) == (
        f"replay of {path}: agent 'bot' asked what was not recorded. 2 requests were; the nearest, number "
        "2 of agent 'weather', differs first at messages[0].content:\n"
        '  recorded  …the town of Uppsala on Friday?"\n'
        '  asked     …the town of Uppsala today?"\n'
        "Record it again; or, where this varies from run to run, take it out with `redact`"
    )


def test_the_nearest_is_the_one_that_shares_most(path: Path) -> None:
    def request(*texts: str) -> ChatRequest:
        return ChatRequest(tuple({"role": "user", "content": text} for text in texts), agent="bot")

    long = "The question is the same for a long time, and only its very end is another one: "
    recorded(path, (request("x"), "1"), (request("a", "b", long + "yes"), "2"), (request("q"), "3"))
    text = str(failure(heard(replay(path)(request("a", "b", long + "no")))))
    assert (
        "3 requests were; the nearest, number 2 of agent 'bot', differs first at messages[2].content" in text
    )
    assert '  recorded  …end is another one: yes"\n  asked     …end is another one: no"\n' in text


def test_one_request_was(path: Path) -> None:
    recorded(path, (asked("a", agent=None), "x"))
    text = str(failure(heard(replay(path)(asked("b", agent=None)))))
    assert (
        "asked what was not recorded. 1 request was; the nearest, number 1 of an unnamed agent, differs"
        in text
    )


def test_a_recording_without_requests_says_so(path: Path) -> None:
    path.write_text('{"rxagents": "recording", "version": 1}\n', encoding="utf-8")
    assert str(failure(heard(replay(path)(asked())))) == (
        f"replay of {path}: agent 'bot' asked what was not recorded. Nothing was: no request is in the "
        "recording. Record it again"
    )


@pytest.mark.parametrize(
    ("recorded", "asked", "difference"),
    [
        ({"a": 1}, {"a": 2}, ("a", "1", "2")),
        ({"a": 0}, {"a": 0.0}, ("a", "0", "0.0")),
        ({"a": 1}, {"a": True}, ("a", "1", "true")),
        ({"a": 1}, {}, ("a", "1", "nothing")),
        ({}, {"a": [1]}, ("a", "nothing", "[1]")),
        ({"a": [1, 2]}, {"a": [1]}, ("a[1]", "2", "nothing")),
        ({"a": {"b": [{"c": "x"}]}}, {"a": {"b": [{"c": "y"}]}}, ("a.b[0].c", '"x"', '"y"')),
        ({"a": 1, "tools": [1]}, {"a": 2, "tools": [2]}, ("tools[0]", "1", "2")),
        ({"tools": [1], "messages": []}, {"tools": [2], "messages": [1]}, ("messages[0]", "nothing", "1")),
        ({"a": "x" * 80 + "y"}, {"a": "x" * 80 + "z"}, ("a", "…" + "x" * 20 + 'y"', "…" + "x" * 20 + 'z"')),
        ({"a": "x" * 90}, {"a": "y" * 90}, ("a", '"' + "x" * 59 + "…", '"' + "y" * 59 + "…")),
    ],
)  # fmt: skip
def test_the_first_difference_is_pointed_at(
    recorded: Any, asked: Any, difference: tuple[str, str, str]
) -> None:
    assert first_difference(recorded, asked) == difference


def test_equal_bodies_have_no_difference() -> None:
    assert first_difference({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) is None


def test_likeness_goes_from_nothing_to_all() -> None:
    assert likeness({"a": [1, 2]}, {"a": [1, 2]}) == 1.0
    assert likeness({"a": [1, 2]}, {"a": [1, 3]}) == 0.5
    assert (
        likeness({"a": "like that"}, {"a": "like this"}) > likeness({"a": "like that"}, {"a": "likely"}) > 0
    )
    assert likeness({"a": 1}, {"b": 1}) == 0.0
    assert likeness({}, {}) == 1.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "messages"]), inner),
    max_leaves=8,
)
BODIES = st.dictionaries(st.sampled_from(["messages", "tools", "x"]), JSON, max_size=3)


@settings(deadline=None)
@given(BODIES, BODIES)
def test_there_is_a_difference_exactly_where_bodies_are_not_equal(one: Any, other: Any) -> None:
    difference = first_difference(one, other)
    assert (difference is None) == (canonical(one) == canonical(other))
    if difference is not None:
        assert difference.recorded != difference.asked
        assert likeness(one, other) < 1.0 or not one or not other


@settings(deadline=None)
@given(BODIES)
def test_what_is_comparable_stays_so(body: Any) -> None:
    assert comparable(comparable(body)) == comparable(body)


def test_whoever_asks_does_not_count(path: Path) -> None:
    recorded(path, (asked("a", agent="one"), "x"))
    assert text_of(heard(replay(path, speed=None)(asked("a", agent="other")))) == "x"


def test_the_order_of_keys_does_not_count_and_that_of_messages_does(path: Path) -> None:
    one = {"role": "user", "content": "1"}
    other = {"content": "2", "role": "user"}
    recorded(path, (ChatRequest((one, other), params={"a": 1, "b": 2}), "x"))
    llm = replay(path, speed=None)
    assert isinstance(heard(llm(ChatRequest((other, one), params={"a": 1, "b": 2})))[-1], ScriptError)
    turned = tuple(dict(reversed(message.items())) for message in (one, other))
    assert text_of(heard(llm(ChatRequest(turned, params={"b": 2, "a": 1})))) == "x"


@pytest.mark.parametrize(
    "change",
    [
        {"tools": ({"type": "function", "function": {"name": "f"}},)},
        {"response_format": {"type": "json_object"}},
        {"params": {"temperature": 0}},
    ],
)
def test_tools_response_format_and_parameters_count(path: Path, change: Any) -> None:
    recorded(path, (asked(agent=None), "x"))
    other = ChatRequest(asked().messages, **change)
    (place,) = other.body().keys() - {"messages"}
    assert f"differs first at {place}" in str(failure(heard(replay(path)(other))))


def with_calls(*ids: str) -> ChatRequest:
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
    results = [{"role": "tool", "tool_call_id": id, "content": f"result {n}"} for n, id in enumerate(ids)]
    return ChatRequest(({"role": "assistant", "tool_calls": calls}, *results), agent="bot")


def test_the_ids_of_tool_calls_count_only_in_what_belongs_together(path: Path) -> None:
    recorded(path, (with_calls("call_8f_0", "call_8f_1"), "x"))
    llm = replay(path, speed=None)
    crossed = with_calls("a", "b")
    crossed.messages[1]["tool_call_id"], crossed.messages[2]["tool_call_id"] = "b", "a"
    assert "messages[1].tool_call_id" in str(failure(heard(llm(crossed))))
    assert text_of(heard(llm(with_calls("call_3c_0", "call_3c_1")))) == "x"


def test_what_is_never_written_does_not_count(path: Path) -> None:
    recorded(path, (asked(extra_headers={"x-run": "1"}, api_key="hush"), "x"))
    assert text_of(heard(replay(path, speed=None)(asked(extra_headers={"x-run": "2"})))) == "x"


def without_day(body: dict[str, Any]) -> dict[str, Any]:
    for message in body["messages"]:
        message["content"] = message["content"].replace("Monday", "some day").replace("Tuesday", "some day")
    return body


def test_the_hook_of_the_recording_is_that_of_the_replay(path: Path) -> None:
    with record(ScriptedLLM(["x"]), path, redact=without_day) as llm:
        heard(llm(asked("It is Monday")))
    assert "Monday" not in path.read_text(encoding="utf-8")
    assert isinstance(heard(replay(path)(asked("It is Tuesday")))[-1], ScriptError)
    again = replay(path, speed=None, redact=without_day)
    assert text_of(heard(again(asked("It is Tuesday")))) == "x"


def test_a_hook_can_be_added_for_the_replay_alone(path: Path) -> None:
    recorded(path, (asked("It is Monday"), "x"))
    again = replay(path, speed=None, redact=without_day)
    assert text_of(heard(again(asked("It is Tuesday")))) == "x"


def test_a_hook_need_not_understand_what_it_gave_itself(path: Path) -> None:
    def shorten(body: dict[str, Any]) -> dict[str, Any]:
        return {"last": body.pop("messages")[-1]["content"]}

    with record(ScriptedLLM(["x"]), path, redact=shorten) as llm:
        heard(llm(asked("Hi")))
    assert text_of(heard(replay(path, speed=None, redact=shorten)(asked("Hi")))) == "x"


def test_a_hook_that_raises_fails_the_request(path: Path) -> None:
    def redact(body: dict[str, Any]) -> dict[str, Any]:
        raise LookupError("oh")

    recorded(path, (asked(), "x"))
    (error,) = heard(replay(path, redact=redact)(asked()))
    assert isinstance(error, LookupError)


def failing(error: Exception) -> Model:
    return lambda request: rx.concat(rx.of("Oh"), rx.timer(2.0).pipe(ops.ignore_elements()), rx.throw(error))


def test_a_recorded_error_is_raised_again_in_its_time(path: Path) -> None:
    status = ModelStatusError("slow down", status=429, request_id="req_7")
    timeline(record(failing(status), path)(asked()))
    came = timeline(replay(path)(asked()))
    assert [at for at, _ in came] == [0.0, 2.0]
    error = came[-1][1]
    assert isinstance(error, ModelStatusError)
    assert (str(error), error.status, error.request_id) == ("slow down", 429, "req_7")


def test_an_error_that_is_none_of_ours_is_raised_as_a_recorded_error(path: Path) -> None:
    timeline(record(failing(OSError("gone")), path)(asked()))
    error = timeline(replay(path)(asked()))[-1][1]
    assert isinstance(error, RecordedError)
    assert (error.type, str(error)) == ("OSError", "gone")


def cancelled(path: Path) -> ReplayedLLM:
    timeline(record(ScriptedLLM(["one two three"], delay=1.0), path)(asked()), dispose_at=2.5)
    return replay(path)


def test_what_was_cancelled_may_be_cancelled_again(path: Path) -> None:
    came = timeline(cancelled(path)(asked()), dispose_at=2.5)
    assert [at for at, _ in came] == [0.0, 1.0, 2.0]
    assert "|" not in [item for _, item in came]


def test_what_was_cancelled_and_is_not_fails_a_second_later(path: Path) -> None:
    at, error = timeline(cancelled(path)(asked()))[-1]
    assert at == 3.5
    assert str(error) == (
        f"replay of {path}: the answer to request 1 was cancelled after 3 increments, and what would have "
        "followed is not known. Record it again, to its end"
    )


def test_an_answer_that_the_recording_breaks_off_fails(path: Path) -> None:
    recorded(path, (asked(), "one"))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:3]), encoding="utf-8")
    error = failure(heard(replay(path, speed=None)(asked())))
    assert "the answer to request 1 ends in the recording after 1 increment, and" in str(error)


def test_the_constraints_are_those_of_the_recorded_model(path: Path) -> None:
    constraints = LLMConstraints(structured_output=False)
    with record(ScriptedLLM(["x"], constraints=constraints), path) as llm:
        heard(llm(asked()))
        assert replay(path).constraints == constraints
        other = record(ScriptedLLM(["x"]), path)
        heard(other(asked()))
    assert replay(path).constraints == LLMConstraints()


@pytest.mark.parametrize("speed", [0, -1, math.nan, "fast"])
def test_a_speed_that_is_none_is_refused(path: Path, speed: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"`speed` is {speed!r}; give a number above 0, or None"):
        replay(recorded(path, (asked(), "x")), speed=speed)


def test_a_recording_that_is_none_is_refused_at_once(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        replay(path)
    with pytest.raises(ConfigurationError, match="`redact` is a int"):
        replay(recorded(path, (asked(), "x")), redact=3)  # type: ignore[arg-type]


def test_the_repr_says_what_it_is(path: Path) -> None:
    assert repr(replay(recorded(path, (asked(), "x")))) == f"replay({str(path)!r})"


def test_a_replay_can_be_recorded(path: Path, tmp_path: Path) -> None:
    recorded(path, (asked(), "one two"), delay=3.0)
    timeline(record(replay(path), tmp_path / "again.jsonl")(asked()))
    again = (tmp_path / "again.jsonl").read_text(encoding="utf-8")
    assert again == path.read_text(encoding="utf-8")


ITEMS = st.one_of(
    st.text(max_size=5),
    st.builds(delta, st.none() | st.text(max_size=5)),
    st.builds(lambda text: delta(refusal=text), st.text(max_size=5)),
    st.builds(lambda text: delta(None, reasoning=text), st.text(max_size=5)),
    st.builds(
        lambda index, text: delta(
            tool_calls=[
                {"id": "c", "function": {"arguments": text, "name": None}, "type": "function", "index": index}
            ]
        ),
        st.none() | st.integers(0, 3),
        st.text(max_size=5),
    ),
    st.builds(
        Completion,
        st.none() | st.builds(Usage, completion_tokens=st.integers(0, 9)),
        st.none() | st.sampled_from(["stop", "length"]),
        st.none() | st.just("gpt-x"),
    ),
)
GAPS = st.integers(0, 5_000_000).map(lambda ticks: ticks / 1_000_000) | st.integers(0, 3).map(float)
ANSWERS = st.lists(st.tuples(GAPS, ITEMS), max_size=8)
ENDS = st.sampled_from(
    [
        None,
        ModelError("oh"),
        ModelConnectionError("gone"),
        ModelStatusError("no", status=500),
        ValueError("x"),
    ]
)


def timed(answer: list[tuple[float, Any]], last: float, error: Exception | None) -> Model:
    """A model that says this, with a pause before each, and ends after a last one."""

    async def say(emit: Callable[[Any], None]) -> None:
        for pause, item in answer:
            await asyncio.sleep(pause)
            emit(item)
        await asyncio.sleep(last)
        if error is not None:
            raise error

    return lambda request: from_async(say)


def told(entries: list[tuple[float, Any]]) -> list[tuple[float, Any]]:
    """A timeline whose errors are compared by type and words."""
    return [(at, (_kind(item), str(item)) if isinstance(item, Exception) else item) for at, item in entries]


def _kind(error: Exception) -> str:
    return error.type if isinstance(error, RecordedError) else type(error).__name__


@settings(deadline=None)
@given(ANSWERS, GAPS, ENDS, st.none() | GAPS.map(lambda at: at * 2))
def test_a_replay_gives_the_timeline_that_was_recorded(
    tmp_path_factory: pytest.TempPathFactory,
    answer: list[tuple[float, Any]],
    last: float,
    error: Exception | None,
    dispose_at: float | None,
) -> None:
    path = tmp_path_factory.mktemp("law") / "run.jsonl"
    plain = told(timeline(timed(answer, last, error)(asked()), dispose_at=dispose_at))
    with record(timed(answer, last, error), path) as llm:
        assert told(timeline(llm(asked()), dispose_at=dispose_at)) == plain
    assert told(timeline(replay(path)(asked()), dispose_at=dispose_at)) == plain


@settings(deadline=None)
@given(st.lists(st.tuples(GAPS, ANSWERS), min_size=2, max_size=4))
def test_requests_at_once_are_told_apart(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[float, list[tuple[float, Any]]]]
) -> None:
    path = tmp_path_factory.mktemp("law") / "run.jsonl"
    models = {str(n): timed(answer, 0.5, None) for n, (_, answer) in enumerate(calls)}

    def ask(llm: Model) -> list[tuple[float, Any]]:
        def one(number: int, after: float) -> rx.Observable[Any]:
            # marked, since which of two at one instant is first is not the point
            marked = ops.map(lambda item: (number, item))
            return rx.timer(after).pipe(ops.flat_map(lambda _: llm(asked(str(number))).pipe(marked)))

        entries = timeline(rx.merge(*(one(number, after) for number, (after, _) in enumerate(calls))))
        return sorted(entries[:-1], key=lambda entry: (entry[0], entry[1][0]))

    with record(lambda request: models[request.messages[0]["content"]](request), path) as llm:
        said = ask(llm)
    assert ask(replay(path)) == said


@virtual
async def test_two_equal_requests_at_once_get_an_answer_each(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with record(ScriptedLLM(["first", "second"], delay=1.0), path) as llm:
        await asyncio.gather(*(_text(llm(asked())) for _ in range(2)))
    again = replay(path)
    assert await asyncio.gather(*(_text(again(asked())) for _ in range(2))) == ["first", "second"]


async def _text(answer: rx.Observable[Any]) -> str:
    return text_of(await answer.pipe(ops.to_list()))
