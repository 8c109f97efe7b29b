"""record and read_recording: what is written of a model's calls, and read back."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import reactivex as rx
from openai import AsyncOpenAI
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler

from rxagents import (
    Agent,
    Completion,
    ConfigurationError,
    LLMConstraints,
    ModelError,
    ModelStatusError,
    ModelStreamError,
    OpenAILLM,
    ScriptedLLM,
    Team,
    Usage,
    Workflow,
    errors,
    on_dropped,
)
from rxagents.llm import Call, ChatRequest, Reply
from rxagents.llm.recorded import RecordedLLM, record
from rxagents.places import where
from rxagents.recording.redaction import masked
from rxagents.testing import HTTPFault, OpenAIServer, VirtualClock, virtual
from rxagents.testing.lanes import Called, Event, Lane, Returned
from rxagents.testing.recordings import RecordedError, read_recording
from rxagents.values import delta

from .listening import heard
from .timelines import timeline

HELLO = {"role": "user", "content": "Hi"}
REQUEST = ChatRequest((HELLO,), agent="bot")
HEADER = '{"rxagents": "recording", "version": 1}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def lines(path: Path) -> list[Any]:
    """The lines of a recording behind the first."""
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    assert first == HEADER
    return [json.loads(line) for line in rest]


def picture(lane: Lane) -> list[Any]:
    """A lane as nested lists of what is compared."""
    return [
        (event.at, [event.value.name, picture(event.value)])
        if event.kind == "open"
        else (event.at, event.kind, event.value)
        for event in lane.events
    ]


def written(path: Path, *entries: Any, header: str = HEADER) -> Path:
    """A recording by hand."""
    texts = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text("\n".join([header, *texts]) + "\n", encoding="utf-8")
    return path


def speaker(*items: Any, fails: Exception | None = None) -> Callable[[ChatRequest], rx.Observable[Any]]:
    """A model that says these items, then ends."""
    end = rx.empty() if fails is None else rx.throw(fails)
    return lambda request: rx.concat(rx.from_iterable(items), end)


def test_a_call_is_written_line_by_line_in_virtual_time(path: Path) -> None:
    usage = Usage(completion_tokens=2, prompt_tokens=1, total_tokens=3)
    llm = record(ScriptedLLM([Reply("Oh dear", usage=usage)], delay=0.5), path)
    answer = timeline(llm(REQUEST))
    assert [value for _, value in answer][-1] == "|"
    assert lines(path) == [
        {"at": 0.0, "is": "request", "id": 1, "agent": "bot", "body": {"messages": [HELLO]}},
        {"at": 0.0, "is": "delta", "id": 1, "delta": {"content": ""}},
        {"at": 0.5, "is": "delta", "id": 1, "delta": {"content": "Oh"}},
        {"at": 1.0, "is": "delta", "id": 1, "delta": {"content": " dear"}},
        {"at": 1.5, "is": "delta", "id": 1, "delta": {}},
        {"at": 1.5, "is": "completion", "id": 1, "usage": usage.model_dump(), "finish_reason": "stop"},
        {"at": 1.5, "is": "end", "id": 1, "how": "completed"},
    ]  # fmt: skip


def test_what_passes_through_is_what_the_model_said(path: Path) -> None:
    def script() -> ScriptedLLM:
        return ScriptedLLM([[Call("look", {"at": "sky"}), Call("listen")]], delay=0.25)

    assert timeline(record(script(), path)(REQUEST)) == timeline(script()(REQUEST))


def test_the_recording_is_read_back(path: Path) -> None:
    completion = Completion(Usage(completion_tokens=1), "stop", "gpt-x", "req_1")
    said = (delta("Hello"), " world", delta("!", reasoning="why"), completion)
    assert heard(record(speaker(*said), path)(REQUEST)) == list(said)
    (exchange,) = read_recording(path).requests
    assert [item for _, item in exchange.answer] == list(said)
    assert exchange.body == REQUEST.body()
    assert (exchange.number, exchange.agent, exchange.end, exchange.error) == (1, "bot", "completed", None)
    assert exchange.constraints == LLMConstraints()


def test_a_call_is_a_lane_with_its_tokens_and_tool_calls(path: Path) -> None:
    script = [
        Reply("Let me see", calls=[Call("look", {"at": "sky"}), Call("wait", "soon"), Call("go", "[1]")])
    ]
    timeline(record(ScriptedLLM(script, delay=1.0), path)(REQUEST))
    lane = read_recording(path).lane
    assert picture(lane) == [
        (0.0, ["", [
            (1.0, "next", "Let"),
            (2.0, "next", " me"),
            (3.0, "next", " see"),
            (4.0, "call", Called("look", {"at": "sky"})),
            (10.0, "call", Called("wait", "soon")),
            (12.0, "call", Called("go", "[1]")),
            (16.0, "completed", None),
        ]]),
    ]  # fmt: skip
    assert lane.lanes[0].detail == {"id": 1, "role": "assistant", "name": "bot"}
    assert [event.value.id for event in lane.lanes[0].events if event.kind == "call"] == [
        "call_1",
        "call_2",
        "call_3",
    ]


def test_calls_without_index_and_id_begin_with_a_new_id(path: Path) -> None:
    def fragment(arguments: str, name: str | None = None, id: str | None = None) -> Any:
        call = {"id": id, "function": {"arguments": arguments, "name": name}, "type": None, "index": None}
        return delta(tool_calls=[call])

    said = [
        fragment("", "a", "x"),
        fragment('{"n"'),
        fragment(": 1}"),
        fragment("", "b", "y"),
        fragment("{}"),
    ]
    heard(record(speaker(*said), path)(REQUEST))
    (call,) = read_recording(path).lane.lanes
    called = [event.value for event in call.events if event.kind == "call"]
    assert [(one.name, one.arguments, one.id) for one in called] == [("a", {"n": 1}, "x"), ("b", {}, "y")]


def test_an_error_is_written_with_what_is_known_of_it(path: Path) -> None:
    error = ModelStatusError("slow down", status=429, request_id="req_7")
    assert heard(record(speaker("Oh", fails=error), path)(REQUEST)) == ["Oh", error]
    assert lines(path)[-1]["how"] == "error"
    assert lines(path)[-1]["error"] == {
        "type": "ModelStatusError",
        "message": "slow down",
        "status": 429,
        "request_id": "req_7",
    }
    again = read_recording(path).requests[0].error
    assert isinstance(again, ModelStatusError)
    assert (str(again), again.status, again.request_id) == ("slow down", 429, "req_7")


KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_each_error_of_the_tree_comes_back_as_itself(kind: Any, path: Path) -> None:
    error = kind("oh", status=500) if kind is ModelStatusError else kind("oh")
    heard(record(speaker(fails=error), path)(REQUEST))
    again = read_recording(path).requests[0].error
    assert type(again) is kind
    assert str(again) == "oh"


def test_a_stream_error_keeps_its_body(path: Path) -> None:
    heard(record(speaker(fails=ModelStreamError("oh", body={"code": 7, "api_key": "hush"})), path)(REQUEST))
    again = read_recording(path).requests[0].error
    assert isinstance(again, ModelStreamError)
    assert again.body == {"code": 7}


class OutOfLuckError(ModelError):
    """A user's own."""

    def __init__(self, number: int, *, why: str) -> None:
        super().__init__(f"{why} ({number})")


def test_an_error_of_others_comes_back_as_what_it_counts_as(path: Path) -> None:
    heard(record(speaker(fails=OutOfLuckError(13, why="the cat")), path)(REQUEST))
    again = read_recording(path).requests[0].error
    assert type(again) is ModelError
    assert str(again) == "the cat (13)"


def test_an_error_of_nobody_comes_back_as_a_recorded_error(path: Path) -> None:
    heard(record(speaker(fails=KeyError("k")), path)(REQUEST))
    again = read_recording(path).requests[0].error
    assert isinstance(again, RecordedError)
    assert (again.type, str(again), repr(again)) == (
        "KeyError",
        "'k'",
        "RecordedError(\"'k'\", type='KeyError')",
    )


def test_an_error_is_made_anew_each_time(path: Path) -> None:
    heard(record(speaker(fails=ModelError("oh")), path)(REQUEST))
    (exchange,) = read_recording(path).requests
    assert exchange.error is not exchange.error


def test_what_is_cancelled_ends_as_interrupted(path: Path) -> None:
    llm = record(ScriptedLLM(["one two three four"], delay=1.0), path)
    timeline(llm(REQUEST), dispose_at=2.5)
    assert lines(path)[-1] == {"at": 2.5, "is": "end", "id": 1, "how": "interrupted"}
    (exchange,) = read_recording(path).requests
    assert (exchange.end, exchange.ended, exchange.error) == ("interrupted", 2.5, None)
    assert picture(read_recording(path).lane)[0][1][1][-1] == (2.5, "interrupted", None)


def test_nothing_is_written_after_the_reader_has_left(path: Path) -> None:
    llm = record(speaker("a", "b", "c", "d"), path)
    assert heard(llm(REQUEST).pipe(ops.take(2))) == ["a", "b"]
    assert [line["is"] for line in lines(path)] == ["request", "delta", "delta", "end"]
    assert lines(path)[-1]["how"] == "interrupted"


def test_calls_at_once_interleave(path: Path) -> None:
    llm = record(lambda request: rx.timer(1.0, 2.0).pipe(ops.take(2), ops.map(str)), path)
    both = rx.merge(llm(REQUEST), rx.timer(0.5).pipe(ops.flat_map(lambda _: llm(REQUEST))))
    timeline(both)
    assert [(line["at"], line["is"], line["id"]) for line in lines(path)] == [
        (0.0, "request", 1),
        (0.5, "request", 2),
        (1.0, "delta", 1),
        (1.5, "delta", 2),
        (3.0, "delta", 1),
        (3.0, "end", 1),
        (3.5, "delta", 2),
        (3.5, "end", 2),
    ]
    assert [exchange.at for exchange in read_recording(path).requests] == [0.0, 0.5]


def test_nothing_is_asked_and_nothing_written_before_somebody_subscribes(path: Path) -> None:
    asked: list[ChatRequest] = []

    def ask(request: ChatRequest) -> rx.Observable[Any]:
        return rx.defer(lambda _: asked.append(request) or rx.of("x"))  # type: ignore[func-returns-value]

    path.write_text("of old\n", encoding="utf-8")
    answer = record(ask, path)(REQUEST)
    assert path.read_text(encoding="utf-8") == "of old\n"
    assert asked == []
    heard(answer)
    heard(answer)
    assert len(asked) == 2
    assert len(read_recording(path).requests) == 2


def test_a_recording_is_begun_anew_and_models_of_one_path_share_it(path: Path) -> None:
    with record(speaker("old"), path) as llm:
        heard(llm(REQUEST))
    with record(speaker("a"), path) as one, record(speaker("b"), str(path)) as other:
        heard(one(REQUEST))
        heard(other(REQUEST))
    assert [exchange.answer[0][1] for exchange in read_recording(path).requests] == ["a", "b"]


def test_after_the_end_of_the_recording_calls_pass_through_unwritten(path: Path) -> None:
    other = record(speaker("b"), path)
    with record(speaker("a"), path) as llm:
        heard(llm(REQUEST))
        later = llm(REQUEST)
    assert heard(later) == ["a"]
    heard(other(REQUEST))
    assert [exchange.answer[0][1] for exchange in read_recording(path).requests] == ["a", "b"]


def test_disposing_twice_leaves_the_others_their_file(path: Path) -> None:
    one, other = record(speaker("a"), path), record(speaker("b"), path)
    one.dispose()
    one.dispose()
    heard(other(REQUEST))
    assert len(read_recording(path).requests) == 1


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("nowhere/run.jsonl", "No such file or directory"),
        (".", "Is a directory"),
        ("a\0b", "embedded null"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path, place: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match="`path`: nothing can be recorded to") as caught:
        record(speaker("a"), tmp_path / place)
    assert reason in str(caught.value)
    assert "give a file in a folder that exists" in str(caught.value)


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nothing can be recorded to 'None'"):
        record(speaker("a"), None)  # type: ignore[arg-type]


def test_what_is_no_model_and_what_is_no_hook_is_refused(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="`llm` is a str; give a model"):
        record("gpt", path)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="`redact` is a str; give a function"):
        record(speaker("a"), path, redact="all")  # type: ignore[arg-type]
    assert not path.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
@pytest.mark.drops
def test_a_full_disk_ends_the_recording_and_not_the_call() -> None:
    said: list[str] = []
    before = on_dropped(lambda error, what: said.append(f"{type(error).__name__}: {what}"))
    try:
        assert heard(record(speaker("a", "b"), "/dev/full")(REQUEST)) == ["a", "b"]
    finally:
        on_dropped(before)
    assert said == ["OSError: the recording /dev/full ends here: its next line cannot be written"]


def test_the_constraints_stay_and_are_written(path: Path) -> None:
    constraints = LLMConstraints(structured_output=False, temperature=1.0)
    llm = record(ScriptedLLM(["x"], constraints=constraints), path)
    assert llm.constraints == constraints
    heard(llm(REQUEST))
    assert read_recording(path).requests[0].constraints == constraints
    assert record(speaker("x"), path).constraints == LLMConstraints()


def test_a_model_that_raises_where_it_is_asked_is_written_too(path: Path) -> None:
    def broken(_: ChatRequest) -> rx.Observable[Any]:
        raise ModelError("no")

    with pytest.raises(ModelError, match="no"):
        record(broken, path)(REQUEST)
    (exchange,) = read_recording(path).requests
    assert (exchange.end, str(exchange.error)) == ("error", "no")


def test_a_source_that_raises_on_subscribe_fails_and_is_written(path: Path) -> None:
    class Broken(rx.Observable[Any]):
        def subscribe(self, *_: Any, **__: Any) -> Any:
            raise ModelError("no")

    (error,) = heard(record(lambda _: Broken(), path)(REQUEST))
    assert isinstance(error, ModelError)
    assert read_recording(path).requests[0].end == "error"


def test_what_is_no_answer_is_left_to_who_asks(path: Path) -> None:
    assert record(lambda _: "text", path)(REQUEST) == "text"  # type: ignore[arg-type, return-value]
    assert path.read_text(encoding="utf-8") == ""


def test_the_repr_says_what_it_is(path: Path) -> None:
    llm = record(OpenAILLM("gpt-x", base_url="http://127.0.0.1:9/v1"), path)
    assert isinstance(llm, RecordedLLM)
    assert repr(llm) == f"record(OpenAILLM('gpt-x', base_url='http://127.0.0.1:9/v1'), {str(path)!r})"


def test_text_of_any_kind_comes_back(path: Path) -> None:
    said = ["grüße", "\u2028", "日本", "\n", "\ud83d", float("nan")]
    answer = [delta(text) if isinstance(text, str) else delta(None, score=text) for text in said]
    heard(record(speaker(*answer), path)(REQUEST))
    assert len(path.read_bytes().split(b"\n")) == len(said) + 4
    back = [item for _, item in read_recording(path).requests[0].answer]
    assert back == [*answer[:-1], delta(None, score="NaN")]


def test_what_has_no_json_is_named_by_its_type(path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    request = ChatRequest((), params={"seen": object(), "loop": endless, "raw": b"\xff"})
    heard(record(speaker("x"), path)(request))
    assert lines(path)[0]["body"] == {"body": "<dict>"}
    heard(record(speaker("x"), path)(ChatRequest((), params={"seen": object(), "raw": b"\xff"})))
    assert lines(path)[3]["body"] == {"messages": [], "seen": "<object>", "raw": "_w=="}


def test_times_never_fall_and_ids_never_meet_when_threads_write_at_once(path: Path) -> None:
    llm = record(speaker(*"abcdefgh"), path)
    threads = [threading.Thread(target=lambda: heard(llm(REQUEST))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = [line["at"] for line in lines(path)]
    assert times == sorted(times)
    exchanges = read_recording(path).requests
    assert [[item for _, item in exchange.answer] for exchange in exchanges] == [list("abcdefgh")] * 8


def test_the_time_of_a_second_clock_goes_on_where_the_first_one_ended(path: Path) -> None:
    llm = record(lambda _: rx.timer(3.0).pipe(ops.map(str)), path)
    for _ in range(2):
        timeline(llm(REQUEST))
    assert [line["at"] for line in lines(path)] == [0.0, 3.0, 3.0, 3.0, 6.0, 6.0]


def test_the_recording_begins_with_the_first_request(path: Path) -> None:
    llm = record(speaker("x"), path)

    @virtual
    async def later() -> None:
        await asyncio.sleep(100)
        await llm(REQUEST)

    later()
    assert lines(path)[0]["at"] == 0.0


def test_a_scheduler_tells_the_time(path: Path) -> None:
    scheduler = VirtualTimeScheduler()
    llm = record(lambda _: rx.timer(5.0).pipe(ops.map(str)), path)
    llm(REQUEST).subscribe(scheduler=scheduler)
    scheduler.start()
    assert [line["at"] for line in lines(path)] == [0.0, 5.0, 5.0]


KEY = "plainly-secret-0123456789"
SK = "sk-proj-abcDEF123456"


def test_no_key_reaches_the_file_whatever_holds_it(path: Path) -> None:
    words = (
        f"refused: {KEY}, {SK}, Authorization: Bearer tok.en-123456, api-key: hush-hush, https://me:pw@host/"
    )
    params = {
        "extra_headers": {"X-Auth": "header-secret"},
        "api_key": "param-secret",
        "Authorization": "Basic c2VjcmV0OnNlY3JldA==",
        "extra_body": {
            "client_secret": "body-secret",
            "kept": "yes",
            "nested": [{"password": "deep-secret"}],
        },
        "metadata": {"note": f"key is {SK}"},
        "max_tokens": 5,
    }
    said = {"role": "user", "content": f"my key is {SK} and Bearer abcdefghijkl"}
    with OpenAIServer([HTTPFault(401, words)]) as server:
        plain = OpenAILLM("gpt-test", base_url=server.base_url, api_key=KEY, max_retries=0)
        llm = record(plain, path)
        (error,) = heard(llm(ChatRequest((said,), params=params)))
    assert KEY in str(error)
    text = path.read_text(encoding="utf-8")
    planted = """
        plainly-secret sk-proj-abc tok.en hush-hush me:pw header-secret param-secret c2VjcmV0 body-secret
        deep-secret abcdefghijkl
    """.split()
    assert [secret for secret in planted if secret in text] == []
    (request, end) = lines(path)
    assert request["body"]["extra_body"] == {"kept": "yes", "nested": [{}]}
    assert request["body"]["metadata"] == {"note": "key is sk-…"}
    assert request["body"]["max_tokens"] == 5
    assert request["body"]["messages"] == [{"role": "user", "content": "my key is sk-… and Bearer …"}]
    assert end["error"]["message"] == (
        "refused: …, sk-…, Authorization: Bearer …, api-key: …, https://…@host/"
    )
    assert end["error"]["status"] == 401


def test_a_key_is_known_before_its_client_is_made(path: Path) -> None:
    said = {"role": "user", "content": f"my key is {KEY}"}
    with OpenAIServer([f"Your key is {KEY}."]) as server:
        llm = record(OpenAILLM("gpt-test", base_url=server.base_url, api_key=KEY), path)
        heard(llm(ChatRequest((said,))))
    assert KEY not in path.read_text(encoding="utf-8")


def test_a_workflow_knows_the_keys_of_its_models_before_they_are_asked(path: Path) -> None:
    with OpenAIServer(["Hello."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key=KEY)
        workflow = Workflow(Team(llm, [Agent("bot", llm)], "team", max_turns=1))
        with workflow.record(path):
            assert workflow.run(f"my key is {KEY}") == "max-turns"
    assert KEY not in path.read_text(encoding="utf-8")


def test_the_headers_of_a_tool_that_the_provider_hosts_are_left_out(path: Path) -> None:
    hosted = {"type": "mcp", "server_url": "https://h", "authorization": "x", "headers": {"X-Api-Key": "x"}}
    own = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"token": {}}}}}
    timeline(record(ScriptedLLM(["Hi"]), path)(ChatRequest((HELLO,), tools=(hosted, own))))
    assert lines(path)[0]["body"]["tools"] == [{"type": "mcp", "server_url": "https://h"}, own]


@pytest.mark.parametrize(
    "name",
    """
    accessToken authToken clientSecret secretKey privateKey xApiKey X-API-Key refreshToken sessionToken
    bearerToken subscriptionKey apiToken api_token hf_token github_token aws_secret_access_key passphrase
    """.split(),
)
def test_a_parameter_that_is_named_like_a_secret_is_left_out(name: str, path: Path) -> None:
    params = {name: "hush", "max_tokens": 5, "key_points": 3, "token_count": 1}
    timeline(record(ScriptedLLM(["Hi"]), path)(ChatRequest((HELLO,), params=params)))
    kept = set(lines(path)[0]["body"])
    assert kept == {"messages", "max_tokens", "key_points", "token_count"}


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("https://tok@h/p", "https://…@h/p"),
        ("https://u:p@ss@h/p", "https://…@h/p"),
        ("https://h/?a=1&sig=abc&token=def", "https://h/?a=1&sig=…&token=…"),
        ("github_pat_11ABCDEFG and ghs_abcdefgh", "github_pat_… and ghs_…"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIA…"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END", "-----BEGIN RSA PRIVATE KEY-----…-----END"),
        ("mail me@home, a ratio of 1:2@3", "mail me@home, a ratio of 1:2@3"),
    ],
)
def test_text_that_looks_like_a_key_is_masked(words: str, written: str, path: Path) -> None:
    said = {"role": "user", "content": words}
    timeline(record(ScriptedLLM(["Hi"]), path)(ChatRequest((said,))))
    assert lines(path)[0]["body"]["messages"][0]["content"] == written


def test_a_recording_is_read_from_a_path() -> None:
    with pytest.raises(ConfigurationError, match="a recording is a file: give its path, not int"):
        read_recording(3)  # type: ignore[arg-type]


def test_the_keys_of_a_given_client_are_masked(path: Path) -> None:
    async def ask() -> None:
        async with AsyncOpenAI(
            api_key=KEY,
            base_url="http://127.0.0.1:9/v1",
            default_headers={"X-Api-Key": "header-secret-1"},
            http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(refuse)),
            max_retries=0,
        ) as client:
            llm = record(OpenAILLM("gpt-test", client=client), path)
            with pytest.raises(ModelStatusError, match=KEY):
                await llm(REQUEST)

    def refuse(request: httpx2.Request) -> httpx2.Response:
        words = (
            f"no {request.headers['authorization'].removeprefix('Bearer ')} {request.headers['x-api-key']}"
        )
        return httpx2.Response(403, json={"error": {"message": words}})

    asyncio.run(ask())
    assert lines(path)[-1]["error"]["message"] == "no … …"


def test_a_key_of_the_environment_is_masked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    heard(record(speaker(fails=ModelError(f"not {KEY}")), path)(REQUEST))
    assert lines(path)[-1]["error"]["message"] == "not …"


def test_a_short_word_that_serves_as_key_does_not_riddle_the_text(path: Path) -> None:
    with OpenAIServer([HTTPFault(400, "not any of many")]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        heard(record(llm, path)(REQUEST))
    assert lines(path)[-1]["error"]["message"] == "not any of many"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: abcdefgh.", "Incorrect API key provided: …"),
        ("key sk-abc***xyz is wrong", "key sk-… is wrong"),
        ("gsk_abcdefgh1234", "gsk_…"),
        ("AIzaSyA1234567890123456789", "AIza…"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def", "eyJ…"),
        ('{"access_token": "abc123"}', '{"access_token": "…"}'),
        ("?api-key=abc123&x=1", "?api-key=…&x=1"),
        ("Ocp-Apim-Subscription-Key: 12345", "Ocp-Apim-Subscription-Key: …"),
        ("a task-oriented risk-averse desk-bound mask", "a task-oriented risk-averse desk-bound mask"),
        ("bearer of good news", "bearer of good news"),
        ("no key, no token", "no key, no token"),
    ],
)
def test_what_looks_like_a_key_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_messages_and_tools_keep_keys_that_parameters_lose(path: Path) -> None:
    tool = {"type": "function", "function": {"name": "login", "parameters": {"password": {"type": "string"}}}}
    heard(record(speaker("x"), path)(ChatRequest((), tools=(tool,))))
    assert lines(path)[0]["body"]["tools"] == [tool]


def test_what_a_model_says_is_written_as_said(path: Path) -> None:
    heard(record(speaker(SK), path)(REQUEST))
    assert read_recording(path).requests[0].answer[0][1] == SK


def test_a_hook_has_the_last_word_on_the_body(path: Path) -> None:
    def redact(body: dict[str, Any]) -> dict[str, Any]:
        body["messages"][0]["content"] = "…"
        body["hooked"] = (1, 2)
        return body

    request = ChatRequest(({"role": "user", "content": "I am Ada"},), params={"api_key": "hush"})
    heard(record(speaker("x"), path, redact=redact)(request))
    assert lines(path)[0]["body"] == {"messages": [{"role": "user", "content": "…"}], "hooked": [1, 2]}
    assert request.messages[0]["content"] == "I am Ada"


def test_a_hook_that_raises_fails_the_request_before_it_is_sent(path: Path) -> None:
    asked: list[Any] = []

    def redact(body: dict[str, Any]) -> dict[str, Any]:
        raise LookupError("no such field")

    llm = record(lambda _: rx.defer(lambda _: asked.append(1) or rx.of("x")), path, redact=redact)  # type: ignore[func-returns-value]
    (error,) = heard(llm(REQUEST))
    assert isinstance(error, LookupError)
    assert error.__notes__ == ["in the `redact` of a recording"]
    assert asked == []
    assert path.read_text(encoding="utf-8") == ""


def test_a_hook_that_returns_no_body_fails_the_request(path: Path) -> None:
    (error,) = heard(record(speaker("x"), path, redact=lambda body: body.clear())(REQUEST))  # type: ignore[arg-type, return-value]
    assert isinstance(error, ConfigurationError)
    assert str(error) == "`redact` gave NoneType; it must return the body to write, a dict of JSON data"


REQUESTED = {"at": 0.0, "is": "request", "id": 1, "body": {"messages": []}}
DELTA = {"at": 0.0, "is": "delta", "id": 1, "delta": "x"}
BLOCK = {"at": 0.0, "is": "block", "id": 4, "in": 3, "name": "b"}
END = {"at": 1.0, "is": "end", "id": 1, "how": "completed"}


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        (["{"], "line 2: this is no JSON"),
        ([[1]], "line 2: a line is a JSON object, not list"),
        ([{"at": 0.0, "is": "song", "id": 1}], "line 2: there are no lines of the kind 'song'"),
        ([{"at": 0.0, "id": 1}], "line 2: there are no lines of the kind None"),
        ([{"at": 0.0, "is": "request", "id": 1}], "line 2: a line of the kind 'request' needs 'body'"),
        ([REQUESTED | {"body": "x"}], "line 2: this is no line of the kind 'request': its body is str"),
        ([REQUESTED | {"constraints": {"x": 1}}], "line 2: this is no line of the kind 'request'"),
        ([{"is": "run", "id": 1}], "line 2: a line of the kind 'run' needs 'at'"),
        ([{"at": "soon", "is": "run", "id": 1}], "line 2: this is no line of the kind 'run'"),
        ([DELTA | {"id": 4}], "line 2: .* 'delta': nothing with the id 4 has begun"),
        ([BLOCK], "line 2: .* 'block': nothing with the id 3 has begun"),
        ([REQUESTED, DELTA | {"delta": 7}], "line 3: this is no line of the kind 'delta'"),
        ([REQUESTED, END | {"how": "well"}], "line 3: .* nothing ends as 'well'"),
        ([REQUESTED, END | {"how": "error"}], "line 3: .* needs 'error'"),
    ],
)  # fmt: skip
def test_a_broken_line_is_named(path: Path, entries: list[Any], complaint: str) -> None:
    written(path, *entries, {"at": 9.0, "is": "run", "id": 99})
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        read_recording(path)
    assert str(caught.value).startswith(f"{path}, line ")
    assert str(caught.value).endswith("; record it again")


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("hello", "line 1: this is no JSON"),
        ("{}", "line 1: a recording of rxagents begins with {'rxagents': 'recording', 'version': 1}"),
        ('{"rxagents": "recording", "version": 2}', "the recording has version 2, and this .* reads 1; rec"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused(path: Path, header: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        read_recording(written(path, header=header))


def test_a_recording_that_is_missing_or_empty_is_refused(path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"cannot be read \(No such file or directory\); record it first"
    ):
        read_recording(path)
    record(speaker("x"), path)
    with pytest.raises(ConfigurationError, match="is empty: nothing was asked while it was made"):
        read_recording(path)


@pytest.mark.parametrize("cut", [2, 5, 18, 40])
def test_a_last_line_that_a_crash_cut_off_is_left_out(path: Path, cut: int) -> None:
    heard(record(speaker("a", "naïve"), path)(REQUEST))
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:3]) + whole[3][:-cut])
    (exchange,) = read_recording(path).requests
    assert [item for _, item in exchange.answer] == ["a"]
    assert exchange.end is None
    assert read_recording(path).lane.lanes[0].end is None


def test_keys_that_are_not_known_are_passed_over(path: Path) -> None:
    written(path, REQUESTED | {"mood": "good"}, {"at": 1.0, "is": "end", "id": 1, "how": "completed", "x": 1})
    assert read_recording(path).requests[0].ended == 1.0


def test_a_run_is_read_as_nested_lanes(path: Path) -> None:
    said = {"role": "assistant", "content": "Hi"}
    failure = {"type": "ModelError", "message": "oh", "where": ["team", "bot"]}
    entries = [
        {"at": 0.0, "is": "run", "id": 1, "askable": "team"},
        {"at": 0.0, "is": "block", "id": 2, "in": 1, "name": "team", "entry": "append"},
        {"at": 1.0, "is": "state", "id": 2, "kind": "choice", "data": {"kind": "choice", "agent_id": "bot"}},
        {"at": 1.0, "is": "message", "id": 3, "in": 2, "role": "assistant", "name": "bot"},
        {"at": 1.0, "is": "request", "id": 4, "in": 1, "body": {}},
        {"at": 2.0, "is": "delta", "id": 3, "delta": {"content": "Hi"}},
        {"at": 2.0, "is": "result", "id": 3, "name": "look", "text": "214", "call": "c"},
        {"at": 3.0, "is": "end", "id": 3, "how": "completed", "message": said},
        {"at": 3.0, "is": "end", "id": 2, "how": "error", "error": failure},
        {"at": 3.0, "is": "end", "id": 1, "how": "interrupted", "result": "interrupted"},
    ]  # fmt: skip
    recording = read_recording(written(path, *entries))
    (run,) = recording.lane.lanes
    message = Lane((Event(2.0, "next", "Hi"), Event(2.0, "result", Returned("214")), Event(3.0, "completed")))
    (block,) = run.lanes
    assert block.name == "team"
    assert block.lanes == (message,)
    assert [(event.at, event.kind) for event in block.events] == [
        (1.0, "state"),
        (1.0, "open"),
        (3.0, "error"),
    ]
    assert block.events[0].value == "choice:bot"
    assert block.events[0].detail == {"kind": "choice", "agent_id": "bot"}
    error = block.events[-1].value
    assert (type(error), str(error), where(error)) == (ModelError, "oh", ("team", "bot"))
    assert block.lanes[0].events[-1].detail == said
    assert block.lanes[0].detail == {"id": 3, "role": "assistant", "name": "bot"}
    assert (run.events[-1].kind, run.events[-1].detail) == ("interrupted", {"result": "interrupted"})
    assert run.detail == {"id": 1, "askable": "team"}
    assert len(recording.requests) == 1


def test_a_thousand_nested_blocks_are_read(path: Path) -> None:
    blocks = [
        {"at": 0.0, "is": "block", "id": number, "in": number - 1, "name": "b"} for number in range(2, 1500)
    ]
    recording = read_recording(written(path, {"at": 0.0, "is": "run", "id": 1}, *blocks))
    assert sum(1 for _ in recording.lane.walk()) == 1500


def test_a_virtual_hour_is_written_as_one(path: Path) -> None:
    with VirtualClock() as clock:
        llm = record(lambda _: rx.timer(3600.0).pipe(ops.map(str)), path)

        async def ask() -> None:
            await llm(REQUEST)

        clock.run(ask())
    assert lines(path)[-1]["at"] == 3600.0
