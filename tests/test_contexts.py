"""Context variables: in system messages, through tools, and in the conversation."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator
from typing import Annotated

import pytest

from rxagents import (
    Agent,
    Context,
    Conversation,
    InputError,
    OpenAILLM,
    ScriptedLLM,
    StateUpdate,
    Team,
    Tool,
    Transcript,
    User,
    Workflow,
    agent,
    say,
)
from rxagents.engine.loops import on_dropped
from rxagents.ledgers import Ledger
from rxagents.llm import Call, Reply
from rxagents.operators import markers, transcript
from rxagents.testing import Marbles, OpenAIServer
from rxagents.values import delta


def calling(name: str, **arguments: object) -> Reply:
    return Reply(calls=[Call(name, dict(arguments))])


def asked() -> ScriptedLLM:
    return ScriptedLLM(lambda request: "OK")


def test_variables_stand_in_the_system_message_as_json() -> None:
    llm = asked()
    workflow = Workflow(
        Agent("bot", llm, system_message="Known: __context__."),
        Conversation(variables={"name": "Ann", "day": 3}),
        system_prompt="Be kind. __context__",
    )
    workflow.run("hi")
    known = '{"name": "Ann", "day": 3}'
    assert [m["content"] for m in llm.requests[0].messages] == [
        f"Known: {known}.",
        f"Be kind. {known}",
        "hi",
    ]


def test_an_unfinished_plan_of_a_team_is_for_no_model() -> None:
    llm = asked()
    held = Conversation(variables={"__plan:team": {"steps": []}, "__feedback": "more"})
    Workflow(Agent("bot", llm, system_message="__context__"), held).run("hi")
    assert llm.requests[0].messages[0]["content"] == '{"__feedback": "more"}'


def test_only_system_messages_are_filled() -> None:
    llm = asked()
    Workflow(Agent("bot", llm), Conversation(variables={"a": 1})).run("what is __context__?")
    assert llm.requests[0].messages[-1]["content"] == "what is __context__?"


def test_a_system_message_of_parts_is_filled_as_well() -> None:
    llm = asked()
    parts = [{"type": "text", "text": "Known: __context__."}, {"type": "text", "text": "Be kind."}]
    given = Conversation([{"role": "system", "content": parts}], variables={"a": 1})
    Workflow(Agent("bot", llm), given).run("hi")
    assert llm.requests[0].messages[0]["content"] == [
        {"type": "text", "text": 'Known: {"a": 1}.'},
        {"type": "text", "text": "Be kind."},
    ]
    assert given[0].content == parts


def test_what_json_does_not_know_is_shown_as_its_str() -> None:
    llm = asked()
    given = Conversation(variables={"path": threading.Event})
    Workflow(Agent("bot", llm, system_message="__context__"), given).run("hi")
    assert json.loads(llm.requests[0].messages[0]["content"]) == {"path": str(threading.Event)}


def test_the_context_tool_sets_variables_and_the_next_round_sees_them() -> None:
    llm = ScriptedLLM(
        [calling("update_conversation_variable", variableName="name", variableValue="Ann"), "Hello Ann"]
    )
    workflow = Workflow(Agent("bot", llm, system_message="Known: __context__", context_tool=True))
    assert workflow.run("I am Ann").text == "Hello Ann"
    assert dict(workflow.conversation.variables) == {"name": "Ann"}
    first, second = llm.requests
    assert first.messages[0]["content"] == "Known: {}"
    assert second.messages[0]["content"] == 'Known: {"name": "Ann"}'
    assert second.messages[-1]["content"] == "name is now 'Ann'"
    (tool,) = first.tools
    assert tool["function"]["name"] == "update_conversation_variable"
    assert list(tool["function"]["parameters"]["properties"]) == ["variableName", "variableValue"]


def test_over_the_wire_a_variable_survives_in_the_stored_conversation() -> None:
    replies = [calling("update_conversation_variable", variableName="zip", variableValue="10115"), "Noted."]
    with OpenAIServer([*replies, "It is 10115."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="k")
        bot = Agent("bot", llm, system_message="__context__", context_tool=True)
        first = Workflow(bot)
        assert first.run("My zip is 10115").text == "Noted."
        stored = json.loads(json.dumps(first.conversation.to_dict()))
        assert Workflow(bot, Conversation.from_dict(stored)).run("My zip?").text == "It is 10115."
        bodies = [request.body for request in server.requests]
    assert bodies[-1]["messages"][0] == {"role": "system", "content": '{"zip": "10115"}'}


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_tool_reads_and_writes_through_its_context(in_thread: bool) -> None:
    heard: list[str] = []

    def plain(step: int, context: Context) -> str:
        heard.append(context.transcript[-1].text)
        context["seen"] = context.get("seen", 0) + step
        return f"now {context['seen']}"

    async def coroutine(step: int, context: Annotated[Context, "ours"]) -> str:
        return plain(step, context)

    tool = Tool(plain if in_thread else coroutine, name="count")
    assert list(tool.parameters["properties"]) == ["step"]
    llm = ScriptedLLM([calling("count", step=2), calling("count", step=3), "done"])
    workflow = Workflow(Agent("bot", llm, tools=[tool]))
    workflow.run("go")
    assert dict(workflow.conversation.variables) == {"seen": 5}
    assert heard == ["go", "go"]
    assert [step.content for step in workflow.conversation[-1].steps if step.role == "tool"] == [
        "now 2",
        "now 5",
    ]


def test_a_tool_takes_the_transcript() -> None:
    def said(transcript: Transcript | None) -> int:
        assert transcript is not None
        return len(transcript)

    workflow = Workflow(Agent("bot", ScriptedLLM([calling("said"), "ok"]), tools=[said]))
    workflow.run(["one", "two"])
    assert workflow.conversation[-1].steps[-1].content == "2"


def test_a_tool_outside_of_an_agent_has_an_empty_conversation() -> None:
    def said(transcript: Transcript, context: Context) -> str:
        context.progress("to nobody")
        return f"{len(transcript)} {dict(context.variables)}"

    assert asyncio.run(Tool(said).call("{}")) == "0 {}"


def test_a_tool_may_return_state() -> None:
    async def book(seat: str) -> tuple[str, StateUpdate]:
        return f"booked {seat}", StateUpdate("variables", variables={"seat": seat})

    async def leave() -> StateUpdate:
        return StateUpdate("stop", stop="the end", log=(("info", "left"),))

    llm = ScriptedLLM([[Call("book", {"seat": "4a"}), Call("leave")], "Bye."])
    bot = Agent("bot", llm, tools=[book, leave])
    workflow = Workflow(Team(llm, [bot], "team"))
    assert workflow.run("a seat") == "agent-stop"
    assert dict(workflow.conversation.variables) == {"seat": "4a"}
    assert ("info", "left") in workflow.conversation.log
    results = [step.content for step in workflow.conversation[-1].steps if step.role == "tool"]
    assert results == ["booked 4a", "done"]


def test_what_a_tool_changes_is_shown_when_it_changes(marbles: Marbles) -> None:
    llm = marbles.llm("@book{}|", "-----Booked|")

    async def book(context: Context) -> str:
        context["seat"] = "4a"
        await asyncio.sleep(3)
        return "ok"

    bot = Agent("bot", llm, tools=[book])
    shown = ["state", "function_result", "response"]
    marbles.expect_markers(say("go").pipe(bot, markers(state=True)), only=shown).to_be(
        [
            (7, "state", {"kind": "variables", "variables": {"seat": "4a"}}),
            (10, "function_result", {"name": "book", "result": "ok", "id": "call_1"}),
            (21, "response", "Booked"),
        ]
    )


@pytest.mark.parametrize("timeout", [None, 4.0])
def test_what_a_generator_yields_is_shown_when_it_comes(marbles: Marbles, timeout: float | None) -> None:
    async def dig() -> AsyncGenerator[object]:
        yield "ten"
        await asyncio.sleep(3)
        yield {"deep": 20}
        await asyncio.sleep(3)
        yield "found"

    def shown(text: str) -> object:
        return delta(progress={"id": "call_1", "name": "dig", "content": text})

    bot = Agent("bot", marbles.llm("@dig{}|", "-|"), tools=[Tool(dig, timeout=timeout)])
    too_late = (
        "Error: the tool 'dig' did not answer within 4 s\n"
        "Its work may be half done. Call it again only if that does no harm, or go on without it."
    )
    end: list[tuple[int, str, object]] = [
        (12, "delta", shown("found")),
        (12, "function_result", {"name": "dig", "result": "found", "id": "call_1"}),
    ]
    if timeout:
        end = [(10, "function_result", {"name": "dig", "result": too_late, "id": "call_1"})]
    called = [
        {"id": "call_1", "function": {"arguments": "{}", "name": "dig"}, "type": "function", "index": 0}
    ]
    marbles.expect_markers(say("go").pipe(bot, markers()), only=["delta", "function_result"]).to_be(
        [
            (0, "delta", delta(tool_calls=called)),
            (6, "delta", shown("ten")),
            (9, "delta", shown('{"deep":20}')),
            *end,
        ]
    )


def test_a_generator_is_closed_when_its_run_is_cancelled() -> None:
    async def cancelled() -> None:
        begun, closed = asyncio.Event(), asyncio.Event()

        async def dig() -> AsyncGenerator[str]:
            try:
                yield "ten"
                begun.set()
                await asyncio.Event().wait()
            finally:
                closed.set()

        workflow = Workflow(Agent("bot", ScriptedLLM([calling("dig"), "ok"]), tools=[dig]))
        run = workflow.start("go")
        await asyncio.wait_for(begun.wait(), 5)
        run.dispose()
        await asyncio.wait_for(closed.wait(), 5)
        assert (await run) == "interrupted"
        assert workflow.conversation[-1].finish_reason == "interrupted"

    asyncio.run(cancelled())


def test_a_context_emits_state_updates_and_nothing_else() -> None:
    def bad(context: Context) -> None:
        context.emit("a word")  # type: ignore[arg-type]

    llm = ScriptedLLM([calling("bad"), "so be it"])
    workflow = Workflow(Agent("bot", llm, tools=[bad]))
    workflow.run("go")
    told = workflow.conversation[-1].steps[-1].text
    assert "a context emits StateUpdates, not str; set a variable with context['name'] = value" in told


def test_an_agent_that_is_asked_by_another_reads_its_variables() -> None:
    @agent
    async def clerk(transcript: Transcript) -> list[object]:
        return [StateUpdate("variables", variables={"order": "214"}), "looked up"]

    heard: list[Transcript] = []
    source = say("hi").pipe(clerk, transcript())
    done = threading.Event()
    source.subscribe(heard.append, on_completed=done.set)
    assert done.wait(5)
    assert dict(heard[0].variables) == {"order": "214"}


def test_a_named_system_message_is_for_that_agent_alone() -> None:
    one, two = asked(), asked()
    mine = {"role": "system", "name": "one", "content": "Only one."}
    Workflow(Agent("one", one)).run([mine, "hi"])
    Workflow(Agent("two", two)).run([mine, "hi"])
    assert [m["content"] for m in one.requests[0].messages] == ["Only one.", "hi"]
    assert [m["content"] for m in two.requests[0].messages] == ["hi"]


def test_a_user_in_the_team_finds_the_variables_too() -> None:
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return "Ann"

    workflow = Workflow(User(interaction_function=ask), Conversation(variables={"a": 1}))
    workflow.run("name?")
    assert prompts == ["user: "]
    assert dict(workflow.conversation.variables) == {"a": 1}


def test_the_error_names_what_a_context_is_for() -> None:
    with pytest.raises(InputError, match="a context emits StateUpdates, not int"):
        Context.__new__(Context).emit(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [(1, 2), 3, None])
def test_a_variable_has_a_text_for_its_name(key: object) -> None:
    def bad(context: Context) -> None:
        context[key] = 1  # type: ignore[index]

    workflow = Workflow(Agent("bot", ScriptedLLM([calling("bad"), "so be it"]), tools=[bad]))
    workflow.run("go")
    told = workflow.conversation[-1].steps[-1].text
    assert f"the name of a context variable is a str, not {type(key).__name__}" in told
    assert dict(workflow.conversation.variables) == {}


def test_any_value_of_a_variable_can_stand_in_a_system_message() -> None:
    llm = asked()
    given = Conversation(variables={"seats": {(4, "a"): {"Ann"}}, 5: "five"})  # type: ignore[dict-item]
    Workflow(Agent("bot", llm, system_message="__context__"), given).run("hi")
    assert llm.requests[0].messages[0]["content"] == '{"seats": {"4,a": ["Ann"]}, "5": "five"}'


def test_the_conversation_agrees_with_the_turn_on_which_change_was_the_last() -> None:
    written = threading.Event()

    def early(context: Context) -> None:
        context["by"] = "the thread"
        written.set()

    async def late(context: Context) -> None:
        assert written.wait(5)  # the loop stands still, and has not heard of the other change
        context["by"] = "the loop"

    llm = ScriptedLLM([[Call("early"), Call("late")], "ok"])
    workflow = Workflow(Agent("bot", llm, tools=[early, late], system_message="__context__"))
    workflow.run("go")
    assert llm.requests[1].messages[0]["content"] == '{"by": "the loop"}'
    assert dict(workflow.conversation.variables) == {"by": "the loop"}


@pytest.mark.drops
def test_a_change_that_comes_after_the_turn_is_reported() -> None:
    go_on, reported = threading.Event(), threading.Event()
    drops: list[tuple[str, str]] = []

    def slow(context: Context) -> None:
        assert go_on.wait(5)
        context["late"] = True
        context.progress("to nobody")

    def hear(error: BaseException, what: str) -> None:
        drops.append((str(error), what))
        reported.set()

    before = on_dropped(hear)
    try:
        workflow = Workflow(
            Agent("bot", ScriptedLLM([calling("slow"), "ok"]), tools=[Tool(slow, timeout=0.01)])
        )
        assert workflow.run("go").text == "ok"
        go_on.set()
        assert reported.wait(5)
    finally:
        on_dropped(before)
    assert drops == [
        (
            "agent bot: a change of state came after the turn had ended",
            "a tool changed variables after the turn had ended; the change is lost",
        )
    ]
    assert dict(workflow.conversation.variables) == {}


def test_a_change_in_a_turn_does_not_copy_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[int] = []
    copied = Ledger.copied

    def counted(ledger: Ledger, messages: int, log: int, folds: int) -> Ledger:
        copies.append(messages)
        return copied(ledger, messages, log, folds)

    def count(context: Context) -> None:
        context["n"] = context.get("n", 0) + 1

    monkeypatch.setattr(Ledger, "copied", counted)
    llm = ScriptedLLM([reply for _ in range(4) for reply in (calling("count"), "ok")])
    workflow = Workflow(Agent("bot", llm, tools=[count]))
    for _ in range(4):
        workflow.run("go")
    assert dict(workflow.conversation.variables) == {"n": 4}
    assert copies == []


def test_a_change_that_is_emitted_twice_is_one() -> None:
    def twice(context: Context) -> str:
        first = StateUpdate("variables", variables={"a": 1}, log=(("info", "once"),))
        context.emit(first)
        context["a"] = 2
        context.emit(first)
        return f"{context['a']} {context.transcript.variables['a']}"

    workflow = Workflow(Agent("bot", ScriptedLLM([calling("twice"), "ok"]), tools=[twice]))
    workflow.run("go")
    assert workflow.conversation[-1].steps[-1].content == "2 2"
    assert dict(workflow.conversation.variables) == {"a": 2}
    assert workflow.conversation.log.count(("info", "once")) == 1
