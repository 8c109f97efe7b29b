"""What one reader, one source or one step does is left to itself: the others go on, nothing is lost."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.disposable import Disposable

import rxagents
from rxagents import Agent, OpenAILLM, ScriptedLLM, StateUpdate, Team, User, Workflow, agent, as_agent, say
from rxagents.blocks import Block
from rxagents.engine.emitters import just
from rxagents.operators import answer, deltas, messages, responses, text
from rxagents.testing import HTTPFault, Marbles, OpenAIServer


@pytest.mark.parametrize("count", range(1, 8))
def test_a_reader_that_takes_some_markers_cuts_no_other(count: int) -> None:
    taken: list[Any] = []

    async def main() -> rxagents.RunResult:
        run = Workflow(Agent("bot", ScriptedLLM(["one two three"]))).start("hi")
        run.markers().pipe(ops.take(count)).subscribe(taken.append)  # before anything has come
        return await run

    result = asyncio.run(main())
    assert (result, result.text) == ("done", "one two three")
    assert len(taken) == count


def test_a_reader_that_raises_at_the_first_mark_cuts_no_other() -> None:
    told: list[Exception] = []

    def refuse(marker: Any) -> None:
        raise ValueError("at the first mark")

    async def main() -> rxagents.RunResult:
        run = Workflow(Agent("bot", ScriptedLLM(["one two three"]))).start("hi")
        run.markers().subscribe(refuse, told.append)  # before anything has come
        return await run

    result = asyncio.run(main())
    assert (result, result.text) == ("done", "one two three")
    assert [str(error) for error in told] == ["at the first mark"]


@pytest.mark.drops
def test_a_source_that_raises_when_it_is_disposed_does_not_keep_the_run_open() -> None:
    reported: list[str] = []

    def stubborn(request: rxagents.ChatRequest) -> rx.Observable[Any]:
        def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
            observer.on_next("one")

            def fail() -> None:
                raise OSError("will not close")

            return Disposable(fail)

        return rx.create(subscribe)

    async def main() -> rxagents.RunResult:
        run = Workflow(Agent("bot", stubborn)).start("hi")
        await run.pipe(messages(), ops.first())
        run.dispose()
        return await run

    before = rxagents.on_dropped(lambda error, what: reported.append(f"{what}: {error}"))
    try:
        assert asyncio.run(main()) == "interrupted"
    finally:
        rxagents.on_dropped(before)
    assert "a source raised when it was disposed: will not close" in reported


def test_an_error_without_words_is_written_all_the_same() -> None:
    class Wordless(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    markers = list(Workflow(Agent("bot", lambda request: rx.throw(Wordless()))).run_stream("hi"))
    assert [mark for mark, _ in markers] == ["start", "error", "end", "result"]
    assert "Wordless" in markers[1][1]["message"]


@pytest.mark.parametrize(
    ("view", "lane", "inner"),
    [
        (text, "-one-", ""),
        (deltas, "-one-", ""),
        (messages, "m----", "\nm  -one-#"),
        (responses, "-----", ""),
        (answer, "-----", ""),
    ],
)
def test_an_error_that_was_heard_is_not_reported_as_dropped(
    marbles: Marbles, view: Any, lane: str, inner: str
) -> None:
    error = ValueError("no")
    bot = Agent("bot", marbles.llm("-one-#", "-one-#", error=error))
    heard = say("hi").pipe(bot, view())
    marbles.expect(heard).to_be(f"{lane}#{inner}", error=error)  # and nothing else, or the test would fail
    caught = heard.pipe(ops.catch(rx.of("caught")))
    marbles.expect(caught).to_be(f"{lane}(caught|){inner}", error=error)


def test_a_pipe_hands_on_log_variables_and_usage_of_what_it_heard() -> None:
    @agent
    def keeper(transcript: rxagents.Transcript) -> Any:
        return [StateUpdate("variables", variables={"k": 1}, log=(("info", "kept"),)), "kept"]

    poet = Agent("poet", ScriptedLLM(["a poem"]))
    workflow = Workflow(lambda source: source.pipe(keeper, poet))
    assert workflow.run("hi") == "done"
    assert dict(workflow.conversation.variables) == {"k": 1}
    assert ("info", "kept") in workflow.conversation.log


def test_a_pipe_hands_on_the_last_value_of_a_variable() -> None:
    @agent
    def keeper(transcript: rxagents.Transcript) -> Any:
        return [StateUpdate("variables", variables={"k": 1}), "kept"]

    later = StateUpdate("variables", variables={"k": 2})
    poet = Agent("poet", ScriptedLLM(["a poem"]))
    workflow = Workflow(lambda source: rx.concat(source.pipe(keeper), just(later)).pipe(poet))
    assert workflow.run("hi") == "done"
    assert dict(workflow.conversation.variables) == {"k": 2}


def test_a_stop_of_the_run_inside_the_first_of_a_pipe_stops_the_second() -> None:
    @agent
    def ender(transcript: rxagents.Transcript) -> Any:
        return ["enough", StateUpdate("stop", stop="enough", scope="run")]

    poet = ScriptedLLM(["a poem"])
    result = Workflow(lambda source: source.pipe(ender, Agent("poet", poet))).run("hi")
    assert result == "agent-stop"
    assert not poet.requests


def test_the_cost_of_a_pipe_whose_first_agent_fails_is_counted() -> None:
    model = ScriptedLLM([rxagents.llm.Call("look"), ValueError("no")])
    first = Agent("first", model, tools=[rxagents.Tool(lambda: "seen", name="look")])
    alone = Workflow(first).run("hi").usage
    model = ScriptedLLM([rxagents.llm.Call("look"), ValueError("no")])
    first = Agent("first", model, tools=[rxagents.Tool(lambda: "seen", name="look")])
    piped = Workflow(lambda source: source.pipe(first, Agent("second", ScriptedLLM([])))).run("hi")
    assert piped == "agent-error"
    assert piped.usage == alone
    assert alone.total_tokens > 0


def test_the_answer_is_the_last_outermost_message(marbles: Marbles) -> None:
    @agent
    def inner(transcript: rxagents.Transcript) -> str:
        return "inner words"

    @agent
    def outer(transcript: rxagents.Transcript) -> Any:
        return ["outer words", say(transcript).pipe(inner)]

    assert Workflow(outer).run("hi").text == "outer words"
    marbles.expect(say("hi").pipe(outer, answer())).to_be("([outer words]|)")


def test_the_router_asks_with_the_models_own_settings() -> None:
    with OpenAIServer([{"agent_id": "user", "reason": ""}]) as server:
        llm = OpenAILLM("o1", temperature=1, base_url=server.base_url, api_key="k")
        team = Team(llm, [Agent("bot", llm), User("user", mode="unattended")], "team")
        assert Workflow(team).run("hi") == "agent-stop"
        assert server.requests[0].body["temperature"] == 1


@pytest.mark.usefixtures("each_transport")
def test_a_model_that_is_dropped_as_its_loop_ends_leaves_no_connection() -> None:
    async def main(url: str) -> None:
        bot = Agent("bot", OpenAILLM("m", base_url=url, api_key="k"))
        results = await asyncio.gather(*(Workflow(bot).arun("hi") for _ in range(20)))
        assert results == ["done"] * 20

    with OpenAIServer(lambda body: "hello") as server:
        asyncio.run(main(server.base_url))  # a warning of an open socket would be an error here
        assert all(request.wait_closed(20) for request in server.requests)


def test_a_pipeline_is_read_with_async_for_and_never_with_for() -> None:
    bot = Agent("bot", ScriptedLLM(["one two"] * 3))

    async def main() -> list[str]:
        return [token async for token in say("hi").pipe(bot, text())]

    assert asyncio.run(main()) == ["one", " two"]
    for stream in (say("hi"), say("hi").pipe(bot, text()), Workflow(bot).observe("hi")):
        with pytest.raises(TypeError, match="async for"):
            iter(stream)


@pytest.mark.parametrize("name", rxagents.errors.__all__)
def test_every_error_can_be_pickled(name: str) -> None:
    kind = getattr(rxagents.errors, name)
    error = kind("no", status=429) if name == "ModelStatusError" else kind("no")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (kind, "no")
    assert getattr(again, "status", None) == getattr(error, "status", None)


def test_what_a_run_came_to_can_be_pickled_and_copied() -> None:
    with OpenAIServer([HTTPFault(400, "no")]) as server:
        bot = Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="k"))
        workflow = Workflow(bot)
        result = pickle.loads(pickle.dumps(workflow.run("hi")))
    assert (result, result.error.status) == ("agent-error", 400)
    conversation = workflow.conversation
    assert pickle.loads(pickle.dumps(conversation.transcript)) == conversation.transcript
    assert copy.deepcopy(conversation.transcript) == conversation.transcript
    twin = copy.deepcopy(conversation)
    twin.append({"role": "user", "content": "more"})
    assert len(twin) == len(conversation) + 1
    assert pickle.loads(pickle.dumps(conversation)).messages == conversation.messages


def test_what_the_user_says_is_sent_even_if_it_is_nothing() -> None:
    model = ScriptedLLM(["What?"])
    Workflow(Agent("bot", model)).run("")
    assert model.requests[0].messages == ({"role": "user", "content": ""},)


def test_a_named_operator_is_a_block_of_its_own() -> None:
    shout = as_agent("shout", lambda source: just(Block("inner", just())))
    assert [mark for mark, _ in Workflow(shout).run_stream("hi")] == [
        "start",
        "start",
        "end",
        "end",
        "result",
    ]
