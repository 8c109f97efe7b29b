"""Workflow.record: whole runs in a file, and answered from it again."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops

from rxagents import (
    Agent,
    ConfigurationError,
    ModelError,
    OpenAILLM,
    Run,
    ScriptedLLM,
    StateUpdate,
    Team,
    Transcript,
    User,
    Workflow,
    agent,
    as_agent,
    on_dropped,
    say,
)
from rxagents.engine.emitters import just
from rxagents.llm import Call, ChatRequest, Rule
from rxagents.llm.around import as_worn
from rxagents.llm.recorded import record
from rxagents.testing import OpenAIServer, VirtualClock, order_scenario, virtual
from rxagents.testing.lanes import Called, Lane, Returned
from rxagents.testing.recordings import Recording, read_recording
from rxagents.testing.recordings.replaying import replay

from .test_order_scenario import ANSWER, QUESTION, check

KEY = "sk-proj-never-to-be-written-0123456789"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def shown(lane: Lane) -> list[Any]:
    """A lane as nested lists, without the states of usage."""
    found: list[Any] = []
    for event in lane.events:
        if event.kind == "open":
            title = event.value.name or event.value.detail.get("role") or "run"
            found.append((event.at, title, shown(event.value)))
        elif event.kind in ("completed", "interrupted"):
            found.append((event.at, event.kind))
        else:
            found.append((event.at, event.kind, event.value))
    return found


def agents_asked(recording: Recording) -> list[str | None]:
    return [exchange.agent for exchange in recording.requests]


def slow(*answers: Any) -> ScriptedLLM:
    return ScriptedLLM(list(answers), delay=1.0)


def parrot(request: ChatRequest) -> rx.Observable[Any]:
    """Says who is asked what."""
    return rx.of(f"{request.agent}: {request.messages[-1]['content']}")


def order_team(llm: Any) -> Workflow:
    clerk = Agent("agent1", llm, system_message="You are an AI assistant …", extra_headers={"x-key": KEY})

    @clerk.register_tool
    def get_order_id() -> str:
        """Gets the order ID."""
        return "214"

    @clerk.register_tool
    def get_delivery_date(order_id: str) -> str:
        """Gets the delivery date of an order."""
        assert order_id == "214"
        return "2022-01-01"

    members = [clerk, User("user", mode="unattended")]
    return Workflow(Team(llm, members, "team", stop_callback=lambda transcript: len(transcript) > 4))


def test_a_team_recorded_over_http_gives_the_same_markers_in_virtual_time(path: Path) -> None:
    with OpenAIServer(order_scenario()) as server:
        workflow = order_team(OpenAILLM("gpt-4o-mini", base_url=server.base_url, api_key=KEY))
        with workflow.record(path):
            markers = list(workflow.run_stream(QUESTION, state=True))
    assert KEY not in path.read_text(encoding="utf-8")
    check([marker for marker in markers if marker[0] != "state"])

    async def again() -> tuple[list[Any], float]:
        entries = [marker async for marker in order_team(llm).arun_stream(QUESTION, state=True)]
        return entries, asyncio.get_running_loop().time()

    llm = replay(path)
    replayed, took = VirtualClock().run(again())
    assert replayed == markers
    assert llm.left == ()
    assert 0 < took <= read_recording(path).lane.last


def test_the_file_of_a_team_reads_as_lanes(path: Path) -> None:
    with OpenAIServer(order_scenario()) as server:
        workflow = order_team(OpenAILLM("gpt-4o-mini", base_url=server.base_url, api_key=KEY))
        with workflow.record(path):
            workflow.run(QUESTION)
    recording = read_recording(path)
    (run,) = recording.lane.lanes
    question, team = run.lanes
    assert [event.value for event in question.events if event.kind == "next"] == [QUESTION]
    assert question.detail["role"] == "user"
    (clerk,) = team.lanes
    assert (team.name, clerk.name) == ("team", "agent1")
    (message,) = clerk.lanes
    assert "".join(event.value for event in message.events if event.kind == "next") == ANSWER
    assert [event.value for event in message.events if event.kind in ("call", "result")] == [
        Called("get_order_id", {}),
        Returned("214"),
        Called("get_delivery_date", {"order_id": "214"}),
        Returned("2022-01-01"),
    ]
    assert [event.value for event in team.events if event.kind == "state"] == [
        "choice:agent1",
        "choice:user",
        "stop",
        "result:agent-stop",
    ]
    assert agents_asked(recording) == ["team", "agent1", "agent1", "agent1", "team"]
    assert all(lane.end is not None for lane in recording.lane.lanes[0].walk())


def look(answer: str = "blue") -> Callable[..., Any]:
    async def look_up() -> str:
        """Looks up."""
        await asyncio.sleep(2)
        return answer

    return look_up


@virtual
async def test_blocks_messages_calls_and_results_stand_in_their_time(tmp_path: Path) -> None:
    bot = Agent("bot", slow([Call("look_up")], "It is blue"), tools=[look()])
    workflow = Workflow(bot)
    with workflow.record(tmp_path / "run.jsonl"):
        await workflow.arun("What colour is the sky?")
    (run,) = read_recording(tmp_path / "run.jsonl").lane.lanes
    assert shown(run) == [
        (0.0, "user", [(0.0, "next", "What colour is the sky?"), (0.0, "completed")]),
        (0.0, "bot", [
            (0.0, "assistant", [
                (0.0, "call", Called("look_up", {})),
                (4.0, "result", Returned("blue")),
                (5.0, "next", "It"),
                (6.0, "next", " is"),
                (7.0, "next", " blue"),
                (8.0, "completed"),
            ]),
            (8.0, "completed"),
        ]),
        (8.0, "completed"),
    ]  # fmt: skip
    assert run.detail == {"id": 1, "askable": "bot"}
    assert run.events[-1].detail["result"] == "done"
    assert run.events[-1].detail["usage"]["completion_tokens"] > 0
    message = run.lanes[1].lanes[0]
    assert message.events[-1].detail["content"] == "It is blue"
    assert [step["role"] for step in message.events[-1].detail["steps"]] == ["assistant", "tool"]


@virtual
async def test_a_request_is_written_with_the_run_that_it_belongs_to(tmp_path: Path) -> None:
    workflow = Workflow(Agent("bot", parrot))
    with workflow.record(tmp_path / "run.jsonl"):
        await workflow.arun("one")
        await workflow.arun("two")
    entries = _lines(tmp_path / "run.jsonl")
    runs = [line["id"] for line in entries if line["is"] == "run"]
    assert [line["in"] for line in entries if line["is"] == "request"] == runs
    recording = read_recording(tmp_path / "run.jsonl")
    assert len(recording.lane.lanes) == 2
    assert [lane.name for lane in recording.lane.lanes[1].lanes] == ["", "bot"]


@virtual
async def test_only_what_begins_while_it_is_recorded_is_written(tmp_path: Path) -> None:
    workflow = Workflow(Agent("bot", slow("a b", "c", "d e f", "g")))
    await workflow.arun("before")
    recorder = workflow.record(tmp_path / "run.jsonl")
    await workflow.arun("during")
    cut = workflow.start("cut off")
    await asyncio.sleep(2.5)
    recorder.dispose()
    recorder.dispose()
    await cut
    await workflow.arun("after")
    assert workflow._session._recorders == {}
    recording = read_recording(tmp_path / "run.jsonl")
    whole, broken_off = recording.lane.lanes
    assert whole.events[-1].kind == "completed"
    assert broken_off.end is None
    assert [exchange.end for exchange in recording.requests] == ["completed", None]
    assert [event.value for event in broken_off.lanes[1].lanes[0].events] == ["d", " e"]


@virtual
async def test_a_run_that_had_begun_is_not_recorded(tmp_path: Path) -> None:
    workflow = Workflow(Agent("bot", slow("a b c", "d")))
    run = workflow.start("before")
    await asyncio.sleep(0.5)
    with workflow.record(tmp_path / "run.jsonl"):
        await run
        await workflow.arun("during")
    assert len(read_recording(tmp_path / "run.jsonl").lane.lanes) == 1


@virtual
async def test_a_run_that_is_disposed_ends_as_interrupted(tmp_path: Path) -> None:
    workflow = Workflow(Agent("bot", slow("a b c d")))
    with workflow.record(tmp_path / "run.jsonl"):
        run = workflow.start("Hi")
        await asyncio.sleep(2.5)
        run.dispose()
        await asyncio.sleep(1)
    recording = read_recording(tmp_path / "run.jsonl")
    ends = [(lane.name, lane.end.kind, lane.end.at) for lane in recording.lane.lanes[0].walk() if lane.end]
    assert ends == [
        ("", "interrupted", 2.5),
        ("", "completed", 0.0),
        ("bot", "interrupted", 2.5),
        ("", "interrupted", 2.5),
    ]
    assert [exchange.end for exchange in recording.requests] == ["interrupted"]
    assert recording.lane.lanes[0].events[-1].detail["result"] == "interrupted"


@virtual
async def test_a_failure_is_written_where_it_happened_and_replayed(tmp_path: Path) -> None:
    def workflow(llm: Any) -> Workflow:
        return Workflow(Team(llm, [Agent("bot", llm)], "team"))

    def fails(_: ChatRequest) -> rx.Observable[Any]:
        return rx.concat(rx.of("Oh"), rx.throw(ModelError(f"lost {KEY}")))

    with (recorded := workflow(fails)).record(tmp_path / "run.jsonl"):
        assert await recorded.arun("Hi") == "agent-error"
    (run,) = read_recording(tmp_path / "run.jsonl").lane.lanes
    ends = [lane.end for lane in run.walk() if lane.end and lane.end.kind == "error"]
    assert [(type(end.value), str(end.value)) for end in ends] == [(ModelError, "lost sk-…")] * 4
    assert ends[0].value.__notes__ == ["in team > bot"]
    again = await workflow(replay(tmp_path / "run.jsonl")).arun("Hi")
    assert isinstance(again.error, ModelError)


def nested(llm: Any) -> Workflow:
    """Two teams, one in the other, with agents of every kind."""
    inner = Agent("inner", llm)

    @agent
    def piped(transcript: Transcript) -> Any:
        return say(transcript[-1].text).pipe(Agent("deep", llm))

    @agent.live
    async def live(messages: Any) -> Any:
        async for message in messages:
            last = await message
        yield say(f"live {last.text}").pipe(Agent("lively", llm))

    chain = as_agent("chain", lambda source: source.pipe(Agent("first", llm), Agent("second", llm)))
    followers: dict[Any, list[Any]] = {"inner": ["piped"], "piped": ["live"], "live": ["chain"]}
    team = Team(llm, [inner, piped, live, chain], "team", allowed_transitions=followers)
    return Workflow(Team(llm, [team], "around", max_turns=1))


def routing(request: ChatRequest) -> rx.Observable[Any]:
    if request.response_format is not None:
        return rx.of(json.dumps({"agent_id": "inner", "reason": "it is first"}))
    return parrot(request)


EVERYBODY = ["team", "inner", "deep", "lively", "first", "second"]


def test_it_reaches_nested_teams_and_agents_that_ask_agents(path: Path) -> None:
    workflow = nested(routing)
    with workflow.record(path):
        assert workflow.run("Hi") == "max-turns"
    recording = read_recording(path)
    assert agents_asked(recording) == EVERYBODY
    names = [lane.name for lane in recording.lane.walk() if lane.name]
    assert names[:3] == ["around", "team", "inner"]
    assert {"piped", "live", "chain", "deep", "lively", "second"} <= set(names)

    async def markers(llm: Any) -> list[Any]:
        return [marker async for marker in nested(llm).arun_stream("Hi")]

    llm = replay(path)
    assert VirtualClock().run(markers(llm)) == VirtualClock().run(markers(routing))
    assert llm.left == ()


def test_it_reaches_a_workflow_that_a_tool_runs(path: Path) -> None:
    async def ask_expert() -> str:
        """Asks an expert."""
        return (await Workflow(Agent("expert", parrot)).arun("How?")).text

    def ask_in_a_thread() -> str:
        """Asks another expert."""
        done: list[str] = []

        async def asking() -> None:
            done.append((await Workflow(Agent("other", parrot)).arun("What?")).text)

        asyncio.run(asking())
        return done[0]

    bot = Agent("bot", ScriptedLLM([[Call("ask_expert"), Call("ask_in_a_thread")], "So."]))
    bot.register_tool(ask_expert)
    bot.register_tool(ask_in_a_thread)
    with (workflow := Workflow(bot)).record(path):
        assert workflow.run("Hi") == "done"
    asked = agents_asked(read_recording(path))
    assert asked[0] == asked[-1] == "bot"
    assert sorted(map(str, asked[1:-1])) == ["expert", "other"]


@pytest.mark.parametrize("way", ["run", "run_stream", "start", "observe", "arun", "arun_stream"])
def test_each_way_to_run_is_recorded(way: str, path: Path) -> None:
    workflow = Workflow(Agent("bot", parrot))

    async def on_a_loop() -> None:
        if way == "arun":
            await workflow.arun("Hi")
        else:
            assert [marker async for marker in workflow.arun_stream("Hi")]

    with workflow.record(path):
        if way == "run":
            workflow.run("Hi")
        elif way == "run_stream":
            list(workflow.run_stream("Hi"))
        elif way == "start":
            _ended(workflow.start("Hi"))
        elif way == "observe":
            ended = threading.Event()
            workflow.observe("Hi").subscribe(on_completed=ended.set)
            assert ended.wait(10)
        else:
            asyncio.run(on_a_loop())
    recording = read_recording(path)
    assert agents_asked(recording) == ["bot"]
    assert recording.lane.lanes[0].events[-1].kind == "completed"


def _ended(run: Run) -> None:
    ended = threading.Event()
    run.on_end(lambda _: ended.set())
    assert ended.wait(10)


@virtual
async def test_two_workflows_on_one_loop_do_not_mix(tmp_path: Path) -> None:
    llm = ScriptedLLM(lambda request: f"{request.agent} says so", delay=0.5)
    one, other, third = (
        Workflow(Team(llm, [Agent(name, llm)], f"team-{name}", max_turns=1)) for name in ("a", "b", "c")
    )
    with one.record(tmp_path / "one.jsonl"), other.record(tmp_path / "other.jsonl"):
        runs = [workflow.start(f"Hi {n}") for n, workflow in enumerate((one, other, third))]
        for run in runs:
            await run
    for name, file in (("a", "one"), ("b", "other")):
        recording = read_recording(tmp_path / f"{file}.jsonl")
        assert agents_asked(recording) == [name]
        assert [lane.name for lane in recording.lane.walk()] == ["", "", "", f"team-{name}", name, ""]
    assert len(llm.requests) == 3


def test_two_workflows_on_the_shared_loop_do_not_mix(tmp_path: Path) -> None:
    workflows = {name: Workflow(Agent(name, parrot)) for name in "abcd"}
    runs: list[Run] = []
    recorders = [workflows[name].record(tmp_path / f"{name}.jsonl") for name in "abc"]
    for _ in range(5):
        runs = [workflow.start("Hi") for workflow in workflows.values()]
        for run in runs:
            _ended(run)
    for recorder in recorders:
        recorder.dispose()
    for name in "abc":
        assert agents_asked(read_recording(tmp_path / f"{name}.jsonl")) == [name] * 5


@virtual
async def test_two_workflows_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    llm = ScriptedLLM(lambda request: f"{request.agent}!", delay=1.0)
    one, other = Workflow(Agent("a", llm)), Workflow(Agent("b", llm))
    with one.record(path), other.record(path):
        await asyncio.gather(one.arun("Hi"), other.arun("Hi"))
    recording = read_recording(path)
    assert [lane.lanes[1].name for lane in recording.lane.lanes] == ["a", "b"]
    assert agents_asked(recording) == ["a", "b"]


@virtual
async def test_two_recordings_of_one_workflow_are_equal(tmp_path: Path) -> None:
    workflow = Workflow(Agent("bot", slow("a b c")))
    with workflow.record(tmp_path / "one.jsonl"), workflow.record(tmp_path / "other.jsonl"):
        await workflow.arun("Hi")
    one = (tmp_path / "one.jsonl").read_text(encoding="utf-8")
    assert one == (tmp_path / "other.jsonl").read_text(encoding="utf-8")


@virtual
async def test_a_recorded_model_in_a_recorded_workflow_is_in_both(tmp_path: Path) -> None:
    with record(parrot, tmp_path / "llm.jsonl") as llm:
        workflow = Workflow(Agent("bot", llm))
        with workflow.record(tmp_path / "run.jsonl"):
            await workflow.arun("Hi")
    one, other = (read_recording(tmp_path / f"{name}.jsonl").requests for name in ("llm", "run"))
    assert one[0].answer == other[0].answer


def test_without_a_recording_the_model_itself_is_asked() -> None:
    worn: list[bool] = []

    def llm(request: ChatRequest) -> rx.Observable[Any]:
        worn.append(as_worn(parrot) is parrot)
        return parrot(request)

    workflow = Workflow(Agent("bot", llm))
    workflow.run("Hi")
    assert worn == [True]


def test_it_is_worn_within_the_run_and_not_outside(path: Path) -> None:
    worn: list[bool] = []

    def llm(request: ChatRequest) -> rx.Observable[Any]:
        worn.append(as_worn(parrot) is parrot)
        return parrot(request)

    workflow = Workflow(Agent("bot", llm))
    with workflow.record(path):
        workflow.run("Hi")
        assert as_worn(parrot) is parrot
        Workflow(Agent("bot", llm)).run("Hi")
    workflow.run("Hi")
    assert worn == [False, True, True]


def test_who_gives_no_observable_is_told_so_recorded_or_not(path: Path) -> None:
    workflow = Workflow(Agent("bot", lambda _: "text"))  # type: ignore[arg-type, return-value]
    plain = workflow.run("Hi")
    with workflow.record(path):
        recorded = workflow.run("Hi")
    assert isinstance(plain.error, ConfigurationError)
    assert str(recorded.error) == str(plain.error)


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    workflow = Workflow(Agent("bot", parrot))
    with pytest.raises(ConfigurationError, match="`path`: nothing can be recorded to"):
        workflow.record(tmp_path)
    assert workflow._session._recorders == {}


@virtual
async def test_state_is_written_without_secrets(tmp_path: Path) -> None:
    update = StateUpdate("variables", {"note": KEY}, variables={"password": "hush", "seen": {1}})
    workflow = Workflow(as_agent("bot", lambda _: just(update)))
    with workflow.record(tmp_path / "run.jsonl"):
        await workflow.arun("Hi")
    (state,) = [line for line in _lines(tmp_path / "run.jsonl") if line["is"] == "state"]
    assert state["data"] == {"kind": "variables", "note": "sk-…", "variables": {"seen": [1]}}


@virtual
async def test_keys_that_are_put_in_are_masked(tmp_path: Path) -> None:
    bot = Agent("bot", ScriptedLLM([[Call("look_up")], "So."]), tools=[look(f"Bearer {KEY}")])
    workflow = Workflow(bot)
    with workflow.record(tmp_path / "run.jsonl"):
        await workflow.arun(f"My key is {KEY}")
    assert KEY not in (tmp_path / "run.jsonl").read_text(encoding="utf-8")
    (run,) = read_recording(tmp_path / "run.jsonl").lane.lanes
    assert run.lanes[0].events[0].value == "My key is sk-…"


def hide_ada(body: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(body).replace("Ada", "***"))  # type: ignore[no-any-return]


@virtual
async def test_a_hook_sees_all_that_is_put_in(tmp_path: Path) -> None:
    def workflow(llm: Any) -> Workflow:
        return Workflow(Agent("bot", llm, tools=[look("Ada lives here")]))

    script = ScriptedLLM([[Call("look_up")], "Hello you."])
    with (recorded := workflow(script)).record(tmp_path / "run.jsonl", redact=hide_ada):
        await recorded.arun(say(rx.of("I am ", "Ada").pipe(ops.reduce(lambda one, other: one + other))))
    assert "Ada" not in (tmp_path / "run.jsonl").read_text(encoding="utf-8")
    (run,) = read_recording(tmp_path / "run.jsonl").lane.lanes
    assert shown(run)[0] == (0.0, "user", [(0.0, "next", "I am ***"), (0.0, "completed")])
    results = [event.value for lane in run.walk() for event in lane.events if event.kind == "result"]
    assert results == [Returned("*** lives here")]
    message = run.lanes[1].lanes[0].events[-1].detail
    assert message["steps"][1]["content"] == "*** lives here"
    again = replay(tmp_path / "run.jsonl", redact=hide_ada)
    assert (await workflow(again).arun("I am Ada")).text == "Hello you."


@pytest.mark.drops
def test_a_hook_that_raises_for_a_message_leaves_it_out(path: Path) -> None:
    def redact(body: dict[str, Any]) -> dict[str, Any]:
        body["tools"]
        return body

    said: list[str] = []
    before = on_dropped(lambda error, what: said.append(f"{error!r}: {what}"))
    try:
        workflow = Workflow(Agent("bot", parrot, tools=[look()]))
        with workflow.record(path, redact=redact):
            assert workflow.run("Hi") == "done"
    finally:
        on_dropped(before)
    assert said == ["KeyError('tools'): the `redact` of a recording raised, and a message was left out"] * 2
    (run,) = read_recording(path).lane.lanes
    assert [event.kind for event in run.lanes[0].events] == ["completed"]
    assert run.lanes[0].events[0].detail is None


TEXTS = st.lists(st.sampled_from(["a b c", "x", "one two three four"]), min_size=3, max_size=3)


@settings(deadline=None, max_examples=50)
@given(TEXTS, st.sampled_from([0.0, 0.5, 1.0]), st.none() | st.integers(0, 12).map(float), st.booleans())
def test_recording_changes_nothing_in_a_run(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    delay: float,
    leave_at: float | None,
    fails: bool,
) -> None:
    async def markers(recorded: Path | None) -> list[tuple[float, Any]]:
        def choose(body: dict[str, Any]) -> Any:
            return {"agent_id": "a", "reason": ""}

        calls = iter(texts)
        rules = [
            Rule(lambda body: "response_format" in body, choose),
            Rule(lambda body: True, lambda body: next(calls, None) or ModelError("no more")),
        ]
        llm = ScriptedLLM(rules, delay=delay)
        team = Team(llm, [Agent("a", llm), Agent("b", llm)], "team", max_turns=4 if fails else 2)
        workflow = Workflow(team)
        recorder = None if recorded is None else workflow.record(recorded)
        loop = asyncio.get_running_loop()
        entries: list[tuple[float, Any]] = []
        run = workflow.start("Hi")
        run.markers(state=True).subscribe(lambda marker: entries.append((loop.time(), marker)))
        if leave_at is not None:
            loop.call_at(leave_at, run.dispose)
        await run
        if recorder is not None:
            recorder.dispose()
        return entries

    plain = VirtualClock().run(markers(None))
    path = tmp_path_factory.mktemp("law") / "run.jsonl"
    assert VirtualClock().run(markers(path)) == plain
    recording = read_recording(path)
    last = plain[-1]
    assert recording.lane.last == last[0]
    assert recording.lane.lanes[0].events[-1].detail["result"] == last[1][1]
    for lane in recording.lane.lanes[0].walk():
        assert [event.ends for event in lane.events].count(True) == 1
        assert lane.end is not None


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]


def test_a_recording_that_ends_with_its_run_has_the_end_of_it(tmp_path: Path) -> None:
    path, ended, on = tmp_path / "run.jsonl", threading.Event(), threading.Event()
    workflow = Workflow(Agent("bot", ScriptedLLM(["Hi."])))
    with workflow.record(path):
        run = workflow.start("q")
        run.on_end(lambda _: ended.set())
        run.on_end(lambda _: on.wait(10))  # witnesses hear it first, and its readers only then
        assert ended.wait(10)
        threading.Timer(0.05, on.set).start()
    assert _lines(path)[-1]["result"] == "done"
