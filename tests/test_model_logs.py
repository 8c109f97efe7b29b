"""logged and log_models: the calls of models as pages of Markdown, in files and through a logger."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex.scheduler import VirtualTimeScheduler

from rxagents import (
    Agent,
    Completion,
    ConfigurationError,
    LLMConstraints,
    ModelError,
    OpenAILLM,
    ScriptedLLM,
    Usage,
    Workflow,
    on_dropped,
)
from rxagents.demo import QUESTION, order_team
from rxagents.engine.loops import hop, shared_loop
from rxagents.llm import Call, ChatRequest, ModelCall, Reply, log_models, logged
from rxagents.llm.call_pages import page
from rxagents.testing import HTTPFault, OpenAIServer, Paused, VirtualClock, order_scenario, virtual
from rxagents.values import delta

from .timelines import timeline

KEY = "sk-proj-never-to-be-written-0123456789"
HELLO = {"role": "user", "content": "Hi"}
REQUEST = ChatRequest((HELLO,), agent="bot")
NOON = datetime(2026, 7, 25, 12, 0, 0, 250, tzinfo=UTC)
NAME = "2026-07-25T12-00-00.000250Z-0001-bot.md"


def noon() -> datetime:
    return NOON


def pages(folder: Path) -> dict[str, str]:
    """The files of a log in the order of their names."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def the_page(folder: Path) -> str:
    (text,) = pages(folder).values()
    return text


def section(text: str, title: str) -> str:
    return text.split(f"# {title}\n\n")[1].strip()


def comes_to(condition: Callable[[], bool]) -> bool:
    """Lets the shared loop take step after step until it is so."""
    for _ in range(1000):
        if condition():
            return True
        passed = threading.Event()
        hop(shared_loop(), passed.set)
        passed.wait(10)
    return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_a_call_is_one_file_with_all_that_was_asked_and_answered(folder: Path) -> None:
    usage = Usage(prompt_tokens=9, completion_tokens=3, total_tokens=12)
    script = [Reply("Let me see.", calls=[Call("look", {"at": "sky"}, id="c7")], usage=usage)]
    request = ChatRequest(
        (
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where is\nit?", "name": "ann"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "214"},
        ),
        tools=({"type": "function", "function": {"name": "look"}},),
        params={"temperature": 0},
        agent="bot",
    )
    timeline(logged(ScriptedLLM(script, delay=0.5), folder, now=noon)(request))
    assert pages(folder) == {
        NAME: """\
# bot asked a model

- begun: 2026-07-25 12:00:00.000250 UTC
- took: 5.500 s
- ended: completed, tool_calls
- tokens: 9 read, 3 written, 12 in all

## Parameters

```json
{"temperature": 0}
```

## Tools

```json
[{"type": "function", "function": {"name": "look"}}]
```

## system

Be brief.

## user / ann

Where is
it?

## assistant

calls `look` (c1)

```json
{"at": 1}
```

## tool / c1

214

# Answer

Let me see.

calls `look` (c7)

```json
{"at": "sky"}
```
"""
    }


def test_over_the_wire_every_call_of_a_team_is_logged_and_none_outside_of_the_block(folder: Path) -> None:
    with OpenAIServer(order_scenario()) as server:
        llm = OpenAILLM("gpt-x", base_url=server.base_url, api_key=KEY, temperature=0.5)
        with log_models(folder, now=noon):
            assert Workflow(order_team(llm)).run(f"{QUESTION} My key is {KEY}.") == "agent-stop"
        Workflow(order_team(llm)).run(QUESTION)
        assert len(server.requests) == 10
    written = pages(folder)
    assert [name.removeprefix(NAME[:28]) for name in written] == [
        "0001-team.md", "0002-agent1.md", "0003-agent1.md", "0004-agent1.md", "0005-team.md"
    ]  # fmt: skip
    last = [*written.values()][3]
    assert last.startswith("# agent1 asked gpt-x\n\n- begun: 2026-07-25 12:00:00.000250 UTC\n- took: ")
    assert "\n- ended: completed, stop\n- tokens: 68 read, 18 written, 86 in all\n- request: req_" in last
    assert '\n## Parameters\n\n```json\n{"temperature": 0.5}\n```\n' in last
    assert section(last, "Answer") == "The expected delivery date for your order 214 is 2022-01-01."
    for text in written.values():
        assert "never-to-be-written" not in text
    assert f"{QUESTION} My key is …." in last


def test_a_secret_parameter_and_what_looks_like_a_key_are_left_out(folder: Path) -> None:
    llm = ScriptedLLM([f"It is {KEY}, and Bearer abcdefghijkl, so."])
    request = ChatRequest(
        ({"role": "user", "content": f"api_key={KEY}"},),
        params={"extra_headers": {"x": "hidden-header"}, "api_key": "hidden-key", "seed": 7},
        agent="bot",
    )
    timeline(logged(llm, folder, now=noon)(request))
    text = the_page(folder)
    assert "never-to-be" not in text
    assert "hidden" not in text
    assert '{"seed": 7}' in text
    assert section(text, "Answer") == "It is sk-…, and Bearer …, so."


def test_a_key_that_comes_in_pieces_is_no_key_in_the_log(folder: Path) -> None:
    timeline(logged(lambda _: rx.of("sk-proj", "-never-to", "-be-written"), folder, now=noon)(REQUEST))
    assert section(the_page(folder), "Answer") == "sk-…"


def test_a_failed_call_is_written_with_what_had_arrived(folder: Path) -> None:
    error = ModelError(f"no more, {KEY}")
    llm = logged(lambda _: rx.concat(rx.of("Hel", "lo"), rx.throw(error)), folder, now=noon)
    assert [value for _, value in timeline(llm(REQUEST))] == ["Hel", "lo", error]
    text = the_page(folder)
    assert "\n- ended: error\n" in text
    assert text.endswith("# Answer\n\nHello\n\n# Error\n\nModelError: no more, sk-…\n")


def test_a_call_that_the_service_refuses_is_written_too(folder: Path) -> None:
    with OpenAIServer([HTTPFault(400, message="too long")]) as server:
        llm = OpenAILLM("gpt-x", base_url=server.base_url, api_key=KEY)
        with log_models(folder, now=noon):
            result = Workflow(Agent("bot", llm)).run("Hi")
    assert result == "agent-error"
    text = the_page(folder)
    assert "\n- ended: error\n" in text
    assert "# Error\n\nModelStatusError: " in text
    assert "too long" in text


def test_a_model_that_raises_at_once_is_written_and_still_raises(folder: Path) -> None:
    def broken(request: ChatRequest) -> rx.Observable[Any]:
        raise ValueError("out of order")

    with pytest.raises(ValueError, match="out of order"):
        logged(broken, folder, now=noon)(REQUEST)
    assert the_page(folder).endswith("# Answer\n\n# Error\n\nValueError: out of order\n")


def test_a_subscription_that_raises_is_written_and_still_raises(folder: Path) -> None:
    class Raising(rx.Observable[str]):
        def subscribe(self, *_: Any, **__: Any) -> Any:
            raise ValueError("no line")

    raising = Raising()
    ended = timeline(logged(lambda _: raising, folder, now=noon)(REQUEST))
    assert str(ended[-1][1]) == "no line"
    assert the_page(folder).endswith("# Error\n\nValueError: no line\n")


def test_what_is_no_model_is_told_by_whoever_asks(folder: Path) -> None:
    result = Workflow(Agent("bot", logged(lambda _: "Hello", folder))).run("Hi")  # type: ignore[arg-type,return-value]
    assert "gave str; a model gives an observable" in str(result.error)
    assert not pages(folder)


def test_a_cancelled_call_is_written_with_what_had_arrived(folder: Path) -> None:
    llm = logged(ScriptedLLM(["One two three"], delay=1.0), folder, now=noon)
    timeline(llm(REQUEST), dispose_at=2.5)
    text = the_page(folder)
    assert "\n- took: 2.500 s\n- ended: interrupted\n" in text
    assert section(text, "Answer") == "One two"


def test_over_the_wire_a_disposed_run_writes_its_call(folder: Path) -> None:
    with OpenAIServer([Paused(3, "One two three four five")]) as server:
        llm = OpenAILLM("gpt-x", base_url=server.base_url, api_key="any")
        workflow = Workflow(Agent("bot", logged(llm, folder, now=noon)))
        said = ""
        with workflow.run_stream("Hi") as markers:
            for mark, content in markers:
                if mark == "delta":
                    said += content["content"] or ""
                    if said == "One two":
                        break
        assert workflow.conversation[-1].finish_reason == "interrupted"  # waits for what was left
        assert comes_to(lambda: any(path.stat().st_size for path in folder.iterdir()))
    text = the_page(folder)
    assert text.startswith("# bot asked gpt-x\n")
    assert "\n- ended: interrupted\n" in text
    assert section(text, "Answer") == "One two"


def test_parallel_calls_of_one_instant_get_a_file_each(folder: Path) -> None:
    async def main() -> list[Any]:
        with log_models(folder, now=noon):
            runs = [
                Workflow(Agent("bot", ScriptedLLM([f"Answer {number}."], delay=1.0))).arun(f"Ask {number}")
                for number in range(20)
            ]
            return await asyncio.gather(*runs)

    with VirtualClock() as clock:
        results = clock.run(main())
    assert [result.text for result in results] == [f"Answer {number}." for number in range(20)]
    written = [*pages(folder).values()]
    assert len(written) == 20
    for text in written:
        asked = section(text, "user").split("\n")[0].removeprefix("Ask ")
        assert section(text, "Answer") == f"Answer {asked}."


def test_logs_of_one_folder_write_over_nothing(folder: Path) -> None:
    for number in range(3):
        timeline(logged(ScriptedLLM([f"Answer {number}."]), folder, now=noon)(REQUEST))
    stem = NAME.removesuffix(".md")
    assert [*pages(folder)] == [f"{stem}-2.md", f"{stem}-3.md", f"{stem}.md"]


PROCESS = """
import sys
from datetime import datetime, UTC
from rxagents import Agent, ScriptedLLM, Workflow
from rxagents.llm import logged
llm = logged(ScriptedLLM(["One."] * 20), sys.argv[1], now=lambda: datetime(2026, 7, 25, tzinfo=UTC))
workflow = Workflow(Agent("bot", llm))
sys.stdin.readline()
for _ in range(20):
    workflow.run("Hi")
"""


def test_processes_that_log_to_one_folder_at_once_write_over_nothing(folder: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(folder)], stdin=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=50)
        assert process.returncode == 0
    written = pages(folder)
    assert len(written) == 60
    assert all(section(text, "Answer") == "One." for text in written.values())


def test_what_passes_through_is_what_the_model_said(folder: Path) -> None:
    def script() -> ScriptedLLM:
        return ScriptedLLM([[Call("look", {"at": "sky"}), Call("listen")]], delay=0.25)

    assert timeline(logged(script(), folder)(REQUEST)) == timeline(script()(REQUEST))


def test_each_subscription_is_a_call_and_none_without(folder: Path) -> None:
    answer = logged(ScriptedLLM(["One.", "Two."]), folder, now=noon)(REQUEST)
    assert not pages(folder)
    timeline(answer)
    timeline(answer)
    assert [section(text, "Answer") for text in pages(folder).values()] == ["One.", "Two."]


def test_the_models_constraints_are_those_of_the_logged_one(folder: Path) -> None:
    constraints = LLMConstraints(temperature=1.0)
    assert logged(ScriptedLLM([], constraints=constraints), folder).constraints == constraints
    assert logged(lambda _: rx.empty(), folder).constraints == LLMConstraints()
    assert "logged(<" in repr(logged(ScriptedLLM([]), folder))


def test_the_time_is_that_of_the_given_scheduler_and_the_stamp_is_utc(folder: Path) -> None:
    scheduler = VirtualTimeScheduler()
    east = timezone(timedelta(hours=5))
    llm = logged(ScriptedLLM(["One two"], delay=2.0), folder, now=lambda: NOON.astimezone(east))
    llm(REQUEST).subscribe(scheduler=scheduler)
    scheduler.start()
    ((name, text),) = pages(folder).items()
    assert name == NAME
    assert "\n- begun: 2026-07-25 12:00:00.000250 UTC\n- took: 6.000 s\n" in text


def test_the_stamp_is_by_default_of_this_moment(folder: Path) -> None:
    before = datetime.now(UTC)
    calls: list[ModelCall] = []
    timeline(logged(ScriptedLLM(["One."]), calls.append)(REQUEST))
    assert before <= calls[0].begun <= datetime.now(UTC)


def test_a_function_gets_the_call_itself() -> None:
    calls: list[ModelCall] = []
    completion = Completion(Usage(prompt_tokens=1), "stop", "gpt-x-2026", "req_7")
    said = (delta("Hel", reasoning="be"), "lo", delta(reasoning="cause"), completion)
    llm = logged(lambda _: rx.from_iterable(said), calls.append, now=noon)
    timeline(llm(REQUEST))
    timeline(llm(ChatRequest(())))
    first, second = calls
    assert (first.number, first.agent, first.model, first.how) == (1, "bot", "gpt-x-2026", "completed")
    assert (first.begun, first.error, first.body) == (NOON, None, {"messages": [HELLO]})
    assert first.answer.text == "Hello"
    assert first.answer.metadata["reasoning"] == "because"
    assert (second.number, second.agent) == (2, None)
    assert page(second).startswith("# somebody asked gpt-x-2026\n")
    assert "\n- request: req_7\n" in page(first)
    assert "# Answer\n\n## reasoning\n\nbecause\n\nHello\n" in page(first)


def test_a_logger_gets_the_page_and_the_call(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.models")
    with caplog.at_level(logging.INFO, logger="tests.models"):
        timeline(logged(ScriptedLLM(["One.", ModelError("no")]), logger, now=noon)(REQUEST))
        failing = logged(lambda _: rx.throw(ModelError("no")), logger, now=noon)
        timeline(failing(REQUEST))
    fine, failed = caplog.records
    assert fine.getMessage().startswith("# bot asked a model\n")
    assert fine.model_call.answer.text == "One."  # type: ignore[attr-defined]
    assert (fine.levelno, failed.levelno) == (logging.INFO, logging.WARNING)
    assert failed.getMessage().endswith("# Error\n\nModelError: no\n")


def test_a_logger_that_is_not_interested_gets_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="tests.models"):
        timeline(logged(ScriptedLLM(["One."]), logging.getLogger("tests.models"))(REQUEST))
    assert not caplog.records


def dropped_by(action: Callable[[], object]) -> list[str]:
    heard: list[str] = []
    before = on_dropped(lambda error, what: heard.append(f"{what}: {type(error).__name__}: {error}"))
    try:
        action()
    finally:
        on_dropped(before)
    return heard


@pytest.mark.drops
def test_a_failing_disk_does_not_fail_the_call(folder: Path) -> None:
    llm = logged(ScriptedLLM(["One.", "Two."]), folder, now=noon)
    folder.rmdir()
    folder.write_text("in the way")
    (told,) = dropped_by(lambda: timeline(llm(REQUEST)))
    assert told.startswith("the log of a model's call could not be written: FileExistsError")
    folder.unlink()
    timeline(llm(REQUEST))  # and once there is a place again, it goes on
    assert section(the_page(folder), "Answer") == "Two."


@pytest.mark.drops
@pytest.mark.parametrize(
    "options",
    [{"to": lambda call: 1 / 0}, {"to": list, "redact": lambda body: 1 / 0}],
    ids=["function", "redact"],
)
def test_what_raises_in_the_log_is_reported_and_the_run_goes_on(options: Any) -> None:
    results: list[Any] = []

    def run() -> None:
        with log_models(**options):
            results.append(Workflow(Agent("bot", ScriptedLLM(["One."]))).run("Hi"))

    (told,) = dropped_by(run)
    assert told == "the log of a model's call could not be written: ZeroDivisionError: division by zero"
    assert results[0].text == "One."


def test_a_hook_takes_out_more(folder: Path) -> None:
    def redact(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "messages": [{"role": "user", "content": "(private)"}]}

    with log_models(folder, redact=redact):
        Workflow(Agent("bot", ScriptedLLM(["One."]))).run("Hi")
    assert section(the_page(folder), "user").startswith("(private)")


@virtual
async def test_what_was_started_in_the_block_is_logged_to_its_end_and_nothing_else(tmp_path: Path) -> None:
    def workflow() -> Workflow:
        return Workflow(Agent("bot", ScriptedLLM(["One."], delay=1.0)))

    with log_models(tmp_path / "outer", now=noon):
        with log_models(tmp_path / "inner", now=noon):
            within = workflow().start("within")
        outside = workflow().start("outside")
    after = workflow().start("after")
    for run in (within, outside, after):
        assert await run == "done"
    asked = {
        name: sorted(section(text, "user").split("\n")[0] for text in pages(tmp_path / name).values())
        for name in ("outer", "inner")
    }
    assert asked == {"outer": ["outside", "within"], "inner": ["within"]}


def test_blocks_may_end_in_any_order() -> None:
    one: list[ModelCall] = []
    two: list[ModelCall] = []
    first, second = log_models(one.append), log_models(two.append)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    Workflow(Agent("bot", ScriptedLLM(["One."]))).run("Hi")
    second.__exit__(None, None, None)
    Workflow(Agent("bot", ScriptedLLM(["One."]))).run("Hi")
    assert (len(one), len(two)) == (0, 1)


def test_another_thread_is_not_logged() -> None:
    calls: list[ModelCall] = []

    def run() -> None:
        Workflow(Agent("bot", ScriptedLLM(["One."]))).run("Hi")

    with log_models(calls.append):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert not calls


def test_what_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    async def later(call: ModelCall) -> None: ...

    model = ScriptedLLM([])
    file = tmp_path / "file"
    file.touch()
    for to, words in [
        (7, "`to` is 7; give the path of a folder"),
        (later, "that is not async"),
        (file, "no calls can be logged in .*file' \\(File exists\\)"),
        (file / "x", "Not a directory"),
        ("a\0b", "null"),
    ]:
        with pytest.raises(ConfigurationError, match=words):
            logged(model, to)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=words):
            log_models(to)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="`llm` is a str"):
        logged("gpt", tmp_path)  # type: ignore[arg-type]
    for now in (3, lambda: 3):
        with pytest.raises(ConfigurationError, match="`now` is a function"):
            logged(model, tmp_path, now=now)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="`redact`"):
        logged(model, tmp_path, redact=3)  # type: ignore[arg-type]


def test_a_folder_that_may_not_be_written_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    # as the system would say it to anybody but root
    monkeypatch.setattr(os, "access", lambda path, mode: bool(asked.append((path, mode))))
    with pytest.raises(ConfigurationError, match="not allowed"):
        logged(ScriptedLLM([]), tmp_path)
    assert asked == [(str(tmp_path), os.W_OK | os.X_OK)]


def test_who_asks_makes_no_path(folder: Path) -> None:
    request = ChatRequest((HELLO,), agent="../über/all")
    timeline(logged(ScriptedLLM(["One."]), folder, now=noon)(request))
    assert [*pages(folder)] == [NAME.replace("bot", "_ber_all")]


def test_images_are_named_by_their_length_and_parts_are_shown(folder: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1000}}
    content = [{"type": "text", "text": "What is it?"}, image]
    timeline(logged(ScriptedLLM(["A cat."]), folder)(ChatRequest(({"role": "user", "content": content},))))
    text = the_page(folder)
    assert "What is it?\n\n```json\n" in text
    assert '"url": "data:image/png;base64,… (1000 characters)"' in text
    assert "AAAA" not in text


def test_arguments_that_are_no_json_are_shown_as_they_are(folder: Path) -> None:
    timeline(logged(ScriptedLLM([[Call("look", '{"at')]]), folder)(REQUEST))
    assert section(the_page(folder), "Answer").endswith('```\n{"at\n```')


@given(st.text(alphabet='`~\n a{}"\\', max_size=40))
@settings(deadline=None)
def test_no_text_breaks_out_of_its_fence(text: str) -> None:
    calls: list[ModelCall] = []
    timeline(logged(ScriptedLLM([[Call("look", text)]]), calls.append, now=noon)(REQUEST))
    shown = section(page(calls[0]), "Answer").split("\n\n", 1)[1]
    fence = shown.splitlines()[0].removesuffix("json")
    assert set(fence) == {"`"}
    assert shown.endswith(f"\n{fence}")
    assert fence not in shown[len(fence) : -len(fence)]
