"""The table "Errors": what comes out of each thing that can go wrong, over HTTP where a wire is involved."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as rx_ops

from rxagents import (
    Agent,
    AzureOpenAILLM,
    ConfigurationError,
    Conversation,
    InputError,
    ModelConnectionError,
    ModelError,
    ModelProtocolError,
    ModelStatusError,
    ModelStreamError,
    ModelTimeoutError,
    OpenAILLM,
    Run,
    RxAgentsError,
    ScriptedLLM,
    Team,
    Tool,
    User,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.llm import Call, Reply
from rxagents.operators import map_tokens, text
from rxagents.places import where
from rxagents.testing import Dropped, HTTPFault, Malformed, OpenAIServer, Paused, Raw, Stalled

from .listening import heard

WAIT = 10.0
VARIABLES = [
    "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_VERSION", "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY", "AZURE_OPENAI_MODEL", "AZURE_OPENAI_API_VERSION",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def serve(*answers: Any) -> OpenAIServer:
    return OpenAIServer(list(answers))


def model(server: OpenAIServer, **options: Any) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", **options)


def kinds(markers: list[Any]) -> list[str]:
    return [mark for mark, _ in markers]


def spoken(markers: list[Any]) -> str:
    return "".join(content["content"] or "" for mark, content in markers if mark == "delta")


def failed(
    askable: Any,
    error: type[Exception],
    *,
    where: str,
    message: str = "",
    said: str = "",
    kept: str | None = None,
) -> Exception:
    """Runs it, checks all that holds for every error of a run, and gives the error."""
    workflow = Workflow(askable)
    run = workflow.start("Hi")
    markers = heard(run.markers())
    assert json.loads(json.dumps(markers)) == [list(marker) for marker in markers]
    assert kinds(markers).count("error") == 1
    content = next(content for mark, content in markers if mark == "error")
    assert list(content) == ["type", "message", "where"]
    assert (content["type"], content["where"]) == (error.__name__, where)
    assert message in content["message"]
    # balanced ends, and nothing after the error but them
    after = markers[kinds(markers).index("error") + 1 :]
    assert kinds(after) == ["end"] * (len(after) - 1) + ["result"]
    opened: list[str] = []
    for mark, name in markers:
        if mark == "start":
            opened.append(name)
        elif mark == "end":
            assert opened.pop() == name
    assert opened == []
    assert markers[-1] == ("result", "agent-error")
    assert spoken(markers) == said
    result = run.result
    assert result is not None
    assert result == "agent-error"
    assert type(result.error) is error
    assert str(result.error) == content["message"]
    if where:
        assert any(where in note for note in result.error.__notes__)
    kept = said if kept is None else kept
    assert [each.text for each in workflow.conversation] == ["Hi", *([kept] if kept else [])]
    if kept:
        assert workflow.conversation[-1].finish_reason == "error"
    _check_views(run, said, result.error)
    return result.error


def _check_views(run: Run, said: str, error: Exception) -> None:
    """`text()` hands the error to Rx, after what came before it."""
    *tokens, last = heard(run.pipe(text()))
    assert "".join(tokens) == said
    assert last is error
    caught = heard(run.pipe(text(), rx_ops.catch(lambda caught, _: rx.of(caught))))
    assert caught[-1] is error


# -- no key, no model, unknown host: an error naming the setting, before or at the first request


def test_no_key() -> None:
    failed(
        Agent("a", OpenAILLM("gpt-test")),
        ConfigurationError,
        where="a",
        message="OPENAI_API_KEY",
    )


def test_no_model_and_missing_settings_of_azure_name_their_variables() -> None:
    with pytest.raises(ConfigurationError, match="model"):
        OpenAILLM()
    given = {
        "azure_deployment": "gpt",
        "azure_endpoint": "http://127.0.0.1:1",
        "api_version": "2024-08-01-preview",
    }
    names = {
        "azure_deployment": "AZURE_OPENAI_MODEL",
        "azure_endpoint": "AZURE_OPENAI_ENDPOINT",
        "api_version": "AZURE_OPENAI_API_VERSION",
    }
    for missing, variable in names.items():
        with pytest.raises(RxAgentsError, match=variable):
            AzureOpenAILLM({**given, missing: None})


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_nobody_listens(closed_port: int) -> None:
    llm = OpenAILLM("gpt", base_url=f"http://127.0.0.1:{closed_port}/v1", api_key="any", max_retries=0)
    error = failed(Agent("a", llm), ModelConnectionError, where="a", message="base_url")
    assert f"127.0.0.1:{closed_port}" in str(error)


def test_nobody_listens_where_azure_should_be(closed_port: int) -> None:
    llm = AzureOpenAILLM(
        {
            "azure_deployment": "gpt",
            "azure_endpoint": f"http://127.0.0.1:{closed_port}",
            "api_key": "any",
            "api_version": "2024-08-01-preview",
        },
        max_retries=0,
    )
    failed(Agent("a", llm), ModelConnectionError, where="a", message="AZURE_OPENAI_ENDPOINT")


def test_an_address_that_is_none() -> None:
    llm = OpenAILLM("gpt", base_url="localhost", api_key="any")
    failed(Agent("a", llm), ConfigurationError, where="a", message="base_url")


# -- 401, 400: the provider's message, at once


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "Incorrect API key provided."),
        (400, "Invalid value for 'temperature'."),
        (403, "You have no access to this model."),
        (404, "The model `gpt-test` does not exist."),
        (422, "messages: field required"),
    ],
)
def test_a_refusal_is_told_at_once_in_the_providers_words(status: int, words: str) -> None:
    with serve(HTTPFault(status, words)) as server:
        error = failed(Agent("a", model(server)), ModelStatusError, where="a", message=words)
        assert isinstance(error, ModelStatusError)
        assert error.status == status
        assert len(server.requests) == 1


def test_a_wrong_key_is_told_and_not_shown() -> None:
    with OpenAIServer(["never"], api_keys=["right"]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="wrong-and-secret")
        error = failed(Agent("a", llm), ModelStatusError, where="a", message="Incorrect API key")
        assert "wrong-and-secret" not in f"{error} {error.__notes__}"


# -- 429, 500, connect failure: retried by the client as configured, then `error`


SOON = {"Retry-After-Ms": "1"}


@pytest.mark.parametrize(
    "fault",
    [
        HTTPFault(429, "Slow down.", {**SOON, "Retry-After": "0"}),
        HTTPFault(500, "Oops.", SOON),
        HTTPFault(503, "Overloaded.", SOON),
    ],
)
def test_what_passes_is_retried_as_configured(fault: HTTPFault) -> None:
    with serve(fault, fault, "Hello.") as server:
        result = Workflow(Agent("a", model(server, max_retries=2))).run("Hi")
        assert (result, result.text) == ("done", "Hello.")
        assert len(server.requests) == 3
    for retries in (0, 1):
        with serve(fault, fault, fault) as server:
            llm = model(server, max_retries=retries)
            error = failed(Agent("a", llm), ModelStatusError, where="a", message=fault.message)
            assert isinstance(error, ModelStatusError)
            assert error.status == fault.status
            assert len(server.requests) == retries + 1


def test_a_connection_lost_before_the_headers_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    # the client waits before it asks again; here it does not
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    connections: list[int] = []

    def hang_up(listener: socket.socket) -> None:
        for number in range(3):
            connection, _ = listener.accept()
            connections.append(number)
            connection.recv(65_536)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up, args=(listener,))
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        llm = OpenAILLM("gpt-test", base_url=address, api_key="any", max_retries=2)
        failed(Agent("a", llm), ModelConnectionError, where="a", message="lost the connection")
        thread.join(WAIT)
    assert len(connections) == 3


# -- lost, stalled, malformed in mid-stream: what arrived stays; error; balanced ends; agent-error


ANSWER = Reply(tokens=["one", " two", " three"])
SAID = "one two"
MID_STREAM = {
    "closed": (Dropped(3, ANSWER), ModelConnectionError),
    "reset": (Dropped(3, ANSWER, reset=True), ModelConnectionError),
    "stalled": (Stalled(3, ANSWER), ModelTimeoutError),
    "malformed": (Malformed(3, ANSWER), ModelProtocolError),
    "an error in a chunk": (
        Malformed(3, ANSWER, data='{"error": {"message": "The engine failed.", "code": 500}}'),
        ModelStreamError,
    ),
    "no end": (Raw(b'data: {"choices": [{"delta": {"content": "one two"}}]}\n\n'), ModelConnectionError),
    "event: error": (
        Raw(
            b'data: {"choices": [{"delta": {"content": "one two"}}]}\n\n'
            b'event: error\ndata: {"message": "The engine failed."}\n\n'
        ),
        ModelStreamError,
    ),
}


@pytest.mark.parametrize("case", MID_STREAM)
@pytest.mark.parametrize("azure", [False, True], ids=["openai", "azure"])
def test_what_goes_wrong_in_mid_stream(case: str, azure: bool) -> None:
    answer, kind = MID_STREAM[case]
    with serve(answer, "Here I am again.") as server:
        # a stall is told from a slow service by the timeout alone: real time, but little of it
        options: dict[str, Any] = {"timeout": 0.2 if case == "stalled" else WAIT, "max_retries": 0}
        llm: Any = model(server, **options)
        if azure:
            settings = {
                "azure_endpoint": server.azure_endpoint,
                "azure_deployment": "gpt-test",
                "api_key": "any",
                "api_version": "2024-08-01-preview",
            }
            llm = AzureOpenAILLM(settings, **options)
        member = Agent("a", llm)
        error = failed(member, kind, where="a", said=SAID)
        assert isinstance(error, ModelError)
        # where the body had its end, and has come, the connection is kept for the next request
        first = server.requests[0]
        assert isinstance(answer, Raw) or first.completed or first.wait_closed(WAIT)
        assert len(server.requests) == 1  # never again: the tokens are out already
        # and the agent is none the worse for it
        assert Workflow(member).run("again").text == "Here I am again."


def test_a_failing_member_ends_its_teams_with_balanced_ends() -> None:
    with serve(Dropped(3, ANSWER)) as server:
        member = Agent("a", model(server))
        inner = Team(ScriptedLLM([]), [member], "inner")
        outer = Team(ScriptedLLM([]), [inner], "outer")
        failed(outer, ModelConnectionError, where="outer > inner > a", said=SAID)


def test_the_next_run_goes_on_with_what_had_come_and_sends_a_valid_history() -> None:
    calls = Reply("Let me see.", [Call("look", id="call_1")])
    with serve(Dropped(7, calls), "Sorry, again: 42.") as server:
        member = Agent("a", model(server))
        member.register_tool(name="look", description="Looks")(lambda: "42")
        workflow = Workflow(member)
        assert workflow.run("Hi") == "agent-error"
        assert [message.text for message in workflow.conversation] == ["Hi", "Let me see."]
        assert workflow.run("Well?").text == "Sorry, again: 42."
        history = server.requests[1].body["messages"]
        assert [(message["role"], message["content"]) for message in history] == [
            ("user", "Hi"), ("assistant", "Let me see."), ("user", "Well?"),
        ]  # fmt: skip
        assert "tool_calls" not in history[1]


def test_an_error_after_a_tool_keeps_the_tool_and_its_result() -> None:
    calls = Reply(calls=[Call("look", id="call_1")])
    with serve(calls, Dropped(2, ANSWER), "42 it was.") as server:
        member = Agent("a", model(server))
        member.register_tool(name="look", description="Looks")(lambda: "42")
        workflow = Workflow(member)
        markers = list(workflow.run_stream("Hi"))
        assert kinds(markers)[-4:] == ["delta", "error", "end", "result"]
        assert ("function_result", {"name": "look", "result": "42", "id": "call_1"}) in markers
        message = workflow.conversation[-1]
        assert (message.text, message.finish_reason, len(message.steps)) == ("one", "error", 2)
        assert workflow.run("Well?").text == "42 it was."
        history = server.requests[2].body["messages"]
        assert [message["role"] for message in history] == [
            "user", "assistant", "tool", "assistant", "user",
        ]  # fmt: skip


def test_a_router_that_fails_is_named() -> None:
    members = [Agent("a", ScriptedLLM([])), Agent("b", ScriptedLLM([]))]
    with serve(HTTPFault(400, "No such format.")) as server:
        team = Team(model(server), members, "team")
        failed(team, ModelStatusError, where="team > router", message="No such format.")


def test_a_tool_that_fails_is_told_to_the_model_and_the_run_goes_on() -> None:
    with serve(Call("look"), "I could not look.") as server:
        member = Agent("a", model(server))

        @member.register_tool(description="Looks")
        def look() -> str:
            raise RuntimeError("the archive burned down")

        result = Workflow(member).run("Hi")
        assert (result, result.text) == ("done", "I could not look.")
        assert "the archive burned down" in server.requests[1].body["messages"][-1]["content"]


# -- a stop callback, strategy or selector raises: the same, with `where` naming it


def raising(*_: Any) -> Any:
    raise RuntimeError("mine")


async def raising_async(*_: Any) -> Any:
    raise RuntimeError("mine")


@pytest.mark.parametrize("stop", [raising, raising_async])
def test_a_stop_callback_that_raises(stop: Callable[..., Any]) -> None:
    with serve("one two") as server:
        team = Team(ScriptedLLM([]), [Agent("a", model(server))], "team", stop_callback=stop)
        workflow = Workflow(team)
        markers = list(workflow.run_stream("Hi"))
        assert kinds(markers)[-3:] == ["error", "end", "result"]
        assert markers[-3][1] == {"type": "RuntimeError", "message": "mine", "where": "team > stop_callback"}
        # the member's turn had ended well before
        assert workflow.conversation[-1].text == "one two"
        assert workflow.conversation[-1].finish_reason == "stop"


class RaisingStrategy:
    def __call__(self, transcript: Any) -> Any:
        raise RuntimeError("mine")

    select = read = __call__


def test_a_reading_strategy_that_raises() -> None:
    member = Agent("a", ScriptedLLM([]), reading_strategy=RaisingStrategy())
    failed(member, RuntimeError, where="a > reading_strategy", message="mine")
    two = [Agent("a", ScriptedLLM([])), Agent("b", ScriptedLLM([]))]
    team = Team(ScriptedLLM([]), two, "team", reading_strategy=RaisingStrategy())
    error = Workflow(team).run("Hi").error
    assert error is not None
    assert any("in team > " in note and "reading_strategy" in note for note in error.__notes__)


def ends(*_: Any) -> Any:
    return next(iter([]))


@pytest.mark.parametrize(
    ("options", "place", "what"),
    [
        ({"stop_callback": ends}, "team > stop_callback", "stop_callback"),
        ({"reading_strategy": ends}, "team > reading_strategy", "reading_strategy"),
        ({"llm": ends}, "team > router", "the model of team"),
    ],
)
def test_the_end_of_an_iteration_keeps_its_place_in_a_team(
    options: dict[str, Any], place: str, what: str
) -> None:
    members = [Agent(id, lambda _: rx.of("Hi")) for id in ("a", "b")]
    team = Team(
        **{"llm": ScriptedLLM([{"agent_id": "a", "reason": ""}]), **options}, members=members, id="team"
    )
    error = Workflow(team).run("Hi").error
    assert isinstance(error, RuntimeError)
    assert str(error).startswith(f"{what} raised StopIteration")
    assert isinstance(error.__cause__, StopIteration)
    assert " > ".join(where(error)) == place


def test_the_end_of_an_iteration_keeps_its_place_in_an_agent() -> None:
    failed(Agent("a", ends), RuntimeError, where="a", message="the model of a raised StopIteration")
    reader = Agent("a", ScriptedLLM([]), reading_strategy=ends)
    words = "reading_strategy raised StopIteration"
    failed(reader, RuntimeError, where="a > reading_strategy", message=words)


@pytest.mark.parametrize(
    ("selected", "told"),
    [
        ([{"role": "user", "content": "x"}], "among them was dict"),
        (["x"], "among them was str"),
        ("x", "among them was str"),
        (5, "gave int"),
        (None, "gave NoneType"),
    ],
)
def test_a_reading_strategy_that_gives_no_messages(selected: Any, told: str) -> None:
    async def later(_: Any) -> Any:
        return selected

    for strategy in (lambda _: selected, later):
        member = Agent("a", ScriptedLLM([]), reading_strategy=strategy)
        failed(member, InputError, where="a > reading_strategy", message=told)


def test_a_function_agent_that_raises() -> None:
    failed(agent(raising, id="mine"), RuntimeError, where="mine", message="mine")

    @agent
    async def late(_: Any) -> Any:
        yield "one two"
        raise RuntimeError("mine")

    workflow = Workflow(late)
    markers = list(workflow.run_stream("Hi"))
    assert kinds(markers) == ["start", "delta", "response", "error", "end", "result"]
    assert markers[3][1]["where"] == "late"
    assert workflow.conversation[-1].text == "one two"


def test_a_token_transform_that_raises() -> None:
    def fussy(token: str) -> str:
        return token if token in SAID else raising()

    with serve(Paused(4, ANSWER)) as server:
        member = as_agent("b", lambda source: source.pipe(Agent("a", model(server)), map_tokens(fussy)))
        workflow = Workflow(member)
        markers = list(workflow.run_stream("Hi"))
        assert spoken(markers) == SAID
        error = next(content for mark, content in markers if mark == "error")
        assert (error["type"], error["message"]) == ("RuntimeError", "mine")
        assert error["where"].startswith("b > a")
        assert kinds(markers)[-3:] == ["end", "end", "result"]
        # the model is not asked to talk on to nobody
        assert server.requests[0].wait_closed(WAIT)


def test_a_model_that_raises_at_the_call() -> None:
    failed(Agent("a", raising), RuntimeError, where="a", message="mine")


def test_a_model_that_gives_what_is_no_delta() -> None:
    failed(Agent("a", lambda _: rx.of("one two", 3)), InputError, where="a", message="int", said=SAID)


# -- a subscriber's own on_next raises: that one gets it; the run and its other readers go on


def test_a_subscriber_that_raises() -> None:
    with serve(Paused(3, ANSWER)) as server:
        run = Workflow(Agent("a", model(server))).start("Hi")
        told: list[Exception] = []
        got_it = threading.Event()

        def on_error(error: Exception) -> None:
            told.append(error)
            got_it.set()

        def on_next(marker: Any) -> None:
            if marker[0] == "delta":
                raise ZeroDivisionError("mine")

        other: list[Any] = []
        ended = threading.Event()
        run.markers().subscribe(on_next, on_error)
        run.markers().subscribe(other.append, on_completed=ended.set)
        run.pipe(text()).subscribe(raising, on_error=lambda error: told.append(error))
        assert got_it.wait(WAIT)
        server.release()
        assert ended.wait(WAIT)
        assert spoken(other) == "one two three"
        assert other[-1] == ("result", "done")
        assert sorted(str(error) for error in told) == ["mine", "mine"]
        assert server.requests[0].completed


# -- two members with one id, an empty team, an id that does not fit: at construction


def member(id: str) -> Agent:
    return Agent(id, ScriptedLLM([]))


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda: Team(ScriptedLLM([]), [member("a"), member("a")], "team"), "'a'"),
        (lambda: Team(ScriptedLLM([]), [], "team"), "team"),
        (lambda: Team(ScriptedLLM([]), ["a"], "team"), "str"),
        (
            lambda: Team(ScriptedLLM([]), [member("a")], "team", allowed_transitions={"x": []}),
            "'x'",
        ),
        (lambda: Team(ScriptedLLM([]), [member("a")], "my team"), "'my team'"),
        (lambda: member("a b"), "'a b'"),
        (lambda: member(""), "''"),
        (lambda: member("a" * 65), "64"),
        (lambda: member("a\n"), r"'a\\n'"),
        (lambda: member("ä"), "'ä'"),
        (lambda: User("a.b"), "'a.b'"),
        (lambda: User("u", mode="absent"), "'absent'"),  # type: ignore[arg-type]
        (lambda: as_agent("a/b", lambda source: source), "'a/b'"),
        (lambda: agent(raising, id="a:b"), "'a:b'"),
        (lambda: Agent("a", "gpt-4"), "str"),  # type: ignore[arg-type]
        (lambda: Agent("a", ScriptedLLM([]), tools=[len, len]), "'len'"),
        (lambda: Tool("look"), "look"),  # type: ignore[arg-type]
        (lambda: Workflow(None), "NoneType"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_work_is_refused_at_construction(build: Callable[[], Any], names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        build()


def test_ids_of_all_allowed_signs_are_taken() -> None:
    assert member("Az09_-" + "x" * 58).id.startswith("Az09_-")


# -- input that is no message: at say/run, naming the type


@pytest.mark.parametrize("thing", [3, 2.5, True, b"bytes", object(), ["fine", [object()]]])
def test_input_that_is_no_message(thing: Any) -> None:
    name = "object" if isinstance(thing, list) else type(thing).__name__
    workflow = Workflow(member("a"))
    for call in (say, workflow.run, workflow.run_stream, workflow.observe, workflow.start):
        with pytest.raises(InputError, match=name):
            call(thing)
    with pytest.raises(InputError, match=name):
        asyncio.run(workflow.arun(thing))
    with pytest.raises(InputError, match="a conversation holds messages"):
        Conversation().append(thing)


def test_a_dict_that_is_no_message_names_its_keys() -> None:
    with pytest.raises(InputError, match=r"'colour'"):
        Workflow(member("a")).run({"colour": "red"})


# -- never a hang, never a silent end


WAYS: dict[str, Callable[[Workflow], Any]] = {
    "run": lambda workflow: workflow.run("Hi"),
    "arun": lambda workflow: asyncio.run(workflow.arun("Hi")),
    "run_stream": lambda workflow: list(workflow.run_stream("Hi"))[-1][1],
    "observe": lambda workflow: heard(workflow.observe("Hi"))[-1][1],
}


@pytest.mark.parametrize("after", range(6))
@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_is_lost_after_any_event_ends_the_run_as_failed(way: str, after: int) -> None:
    with serve(Dropped(after, ANSWER)) as server:
        assert WAYS[way](Workflow(Agent("a", model(server)))) == "agent-error"
