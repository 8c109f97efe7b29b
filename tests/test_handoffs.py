"""Handoffs: the other goes on with the turn, in the block of the agent that handed over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from pydantic import BaseModel

from rxagents import (
    Agent,
    Block,
    ConfigurationError,
    Context,
    Conversation,
    Handoff,
    LastNMessagesStrategy,
    LocalCodingAgent,
    MaxHandoffsError,
    Message,
    MessageStream,
    OpenAILLM,
    ScriptedLLM,
    Sequence,
    SQLiteHistory,
    StateUpdate,
    SummarizeMessagesStrategy,
    Tool,
    Transcript,
    Usage,
    User,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.engine.bridges import from_async
from rxagents.llm import Call, Reply
from rxagents.llm.replies import as_reply
from rxagents.operators import answer, errors_as_messages, gate, markers, text
from rxagents.testing import Marbles, OpenAIServer, Paused
from rxagents.testing.laws import check_laws
from rxagents.values import delta
from tests.team_views import STOPPER, ended, only

WAIT = 10.0
TO_A, TO_B, TO_C = Call("transfer_to_a"), Call("transfer_to_b"), Call("transfer_to_c")


def hands(id: str, *replies: Any, **options: Any) -> Agent:
    return Agent(id, ScriptedLLM(list(replies)), **options)


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


def asked(agent: Agent, number: int = 0) -> list[dict[str, Any]]:
    """What the model of an agent was asked."""
    assert isinstance(agent.llm, ScriptedLLM)
    return list(agent.llm.requests[number].messages)


def said(workflow: Workflow) -> list[tuple[str | None, str]]:
    return [(message.name or message.role, message.text) for message in workflow.conversation]


def blocks(workflow: Workflow, input: Any = "q") -> list[str]:
    """The blocks and responses of a run, in order."""
    shown = []
    for mark, content in workflow.run_stream(input):
        if mark in ("start", "end", "error", "result"):
            shown.append(f"{mark} {content['message'] if mark == 'error' else content}")
        elif mark == "response":
            shown.append(f"{content[0]['name']}: {content[0]['content']}")
    return shown


# -- the turn


def test_the_other_goes_on_in_the_block_of_the_agent_that_handed_over(marbles: Marbles) -> None:
    first = marbles.llm("      --Moment-@transfer_to_b{}-|")
    second = marbles.llm("                              ----------------Yes-|")
    bot = Agent("a", first, handoffs=[Agent("b", second)])
    marbles.expect(say("q").pipe(bot)).to_be(
        """
            (a|)
        a   m1------------------------(<handoff:b> b)-----|
        m1  --Moment-@transfer_to_b{}-(=Transferred_to_b.|)
        b   --------------------------m2------------------|
        m2  ------------------------------------------Yes-|
        """
    )


def test_in_the_markers_its_block_stands_beside_the_message() -> None:
    workflow = Workflow(hands("a", TO_B, handoffs=[talker("b")]))
    assert [(*mark.path, str(mark)) for mark, _ in workflow.run_stream("q") if mark != "delta"] == [
        *(("a", "start"), ("a", "function_result"), ("a", "response"), ("a", "state")),
        *(("a", "b", "start"), ("a", "b", "response"), ("a", "b", "end"), ("a", "end"), ("result",)),
    ]


def test_its_call_is_answered_and_its_model_is_not_asked_again() -> None:
    a = hands("a", Reply("Moment.", [TO_B]), handoffs=[talker("b", "Yes")])
    workflow = Workflow(a)
    result = workflow.run("q")
    assert (result, result.text) == ("done", "Yes")
    assert said(workflow) == [("user", "q"), ("a", "Moment."), ("b", "Yes")]
    steps = workflow.conversation[1].steps
    assert [(step.role, step.text) for step in steps] == [
        ("assistant", "Moment."),
        ("tool", "Transferred to b."),
    ]
    assert workflow.conversation[1].tool_calls == ()


def test_the_other_hears_the_conversation_and_is_told_who_handed_over() -> None:
    b = hands("b", "Yes", system_message="You are b.")
    a = hands("a", Reply("Moment.", [Call("transfer_to_b", {"reason": "it is about b"})]), handoffs=[b])
    Workflow(a, system_prompt="Be kind.").run("q")
    assert asked(b) == [
        {
            "role": "system",
            "content": "You are b.\n\na has handed the conversation over to you: it is about b",
        },
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "Moment.", "name": "a"},
    ]


def test_without_a_system_message_and_a_reason_it_is_told_all_the_same() -> None:
    b = hands("b", "Yes")
    Workflow(hands("a", TO_B, handoffs=[b])).run("q")
    assert asked(b) == [
        {"role": "system", "content": "a has handed the conversation over to you."},
        {"role": "user", "content": "q"},
    ]


def test_a_system_message_of_parts_is_left_as_it_is() -> None:
    b = hands("b", "Yes")
    kind = Message(role="system", content=[{"type": "text", "text": "Be kind."}])
    Workflow(hands("a", TO_B, handoffs=[b])).run([kind, "q"])
    told, parts, _ = (message["content"] for message in asked(b))
    assert told == "a has handed the conversation over to you."
    assert parts == [{"type": "text", "text": "Be kind."}]


def test_the_handoff_is_shown_and_logged() -> None:
    a = hands("a", Call("transfer_to_b", {"reason": "why not"}), handoffs=[talker("b")])
    workflow = Workflow(a)
    shown = [(mark.path, content) for mark, content in workflow.run_stream("q") if mark == "state"]
    assert shown == [(("a",), {"kind": "handoff", "from": "a", "to": "b", "reason": "why not"})]
    assert workflow.conversation.log == (("info", "agent/handoff", "a", "b", "why not"),)


def test_other_calls_of_the_round_are_answered_first(marbles: Marbles) -> None:
    slow = marbles.tool("slow", "--------------------------done|")
    llm = marbles.llm("          (@slow{} @transfer_to_b{}|)")
    bot = Agent("a", llm, tools=[slow], handoffs=[talker("b", "Yes")])
    marbles.expect(say("q").pipe(bot)).to_be(
        """
            (a|)
        a   m1----------------------------(<handoff:b> b|)
        m1  (@slow{} @transfer_to_b{})----(=done =Transferred_to_b.|)
        b   ------------------------------(m2|)
        m2  ------------------------------(Yes|)
        """
    )


def test_of_two_transfers_in_a_round_the_first_counts() -> None:
    a = hands("a", [TO_B, TO_C], handoffs=[talker("b"), talker("c")])
    workflow = Workflow(a)
    assert workflow.run("q").text == "b"
    answers = [step.text for step in workflow.conversation[1].steps if step.role == "tool"]
    assert answers == ["Transferred to b.", "Not transferred: the conversation goes on with b."]


def test_the_answer_is_that_of_whom_it_was_handed_to(marbles: Marbles) -> None:
    a = hands("a", Reply("Moment.", [TO_B]), handoffs=[talker("b", "Yes")])
    marbles.expect(say("q").pipe(a, answer())).to_be("([Yes]|)")

    async def ask() -> str:
        again = hands("a", Reply("Moment.", [TO_B]), handoffs=[talker("b", "Yes")])
        return (await again.ask("q")).text

    assert asyncio.run(ask()) == "Yes"


def test_where_the_other_says_nothing_the_words_before_are_the_answer() -> None:
    silent = agent(lambda heard: None, id="b")
    assert Workflow(hands("a", Reply("Moment.", [TO_B]), handoffs=[silent])).run("q").text == "Moment."


def test_an_agent_with_an_output_type_may_hand_over() -> None:
    b = hands("b", "7", output_type=int)
    result = Workflow(hands("a", TO_B, handoffs=[b], output_type=int)).run("q")
    assert result.message is not None
    assert result.message.parsed == 7


def test_a_handoff_that_a_restart_has_made_void_is_none() -> None:
    async def attempts(emit: Callable[[Any], None]) -> None:
        call = {"id": "c1", "function": {"arguments": "{}", "name": "transfer_to_b"}, "index": 0}
        emit(delta(tool_calls=[call]))
        for _ in range(10):  # time enough for a call that starts early
            await asyncio.sleep(0)
        emit(delta(restart="lost"))
        emit("Mine.")

    called: list[str] = []
    to_b = Handoff(talker("b"), on_handoff=lambda context, reason: called.append(reason))
    a = Agent("a", lambda request: from_async(attempts), handoffs=[to_b], early_calls=True)
    assert blocks(Workflow(a)) == ["start a", "a: Mine.", "end a", "result done"]
    assert called == []  # it does not start early


# -- whom


def test_a_team_a_user_and_a_function_are_targets() -> None:
    team = Sequence("b", [talker("x"), talker("y")])
    assert blocks(Workflow(hands("a", TO_B, handoffs=[team]))) == [
        *("start a", "a: ", "start b", "start x", "x: x", "end x", "start y", "y: y", "end y"),
        *("end b", "end a", "result done"),
    ]
    user = User("b", interaction_function=lambda prompt: "typed")
    workflow = Workflow(hands("a", TO_B, handoffs=[user]))
    workflow.run("q")
    assert said(workflow) == [("user", "q"), ("a", ""), ("b", "typed")]
    heard: list[Transcript] = []

    @agent
    def b(transcript: Transcript) -> str:
        heard.append(transcript)
        return "called"

    assert Workflow(hands("a", Reply("Moment.", [TO_B]), handoffs=[b])).run("q").text == "called"
    assert [message.text for message in heard[0]] == ["q", "Moment."]


def test_an_agent_with_operators_behind_it_keeps_them() -> None:
    def fail(request: Any) -> rx.Observable[str]:
        return rx.throw(ValueError("no"))

    mended = Agent("b", fail).pipe(errors_as_messages())
    assert Workflow(hands("a", TO_B, handoffs=[mended])).run("q").text == "Error: no"


def test_a_coding_agent_hands_over_and_is_handed_to() -> None:
    coder = LocalCodingAgent("a", ScriptedLLM([TO_B, "coded"]))
    b = hands("b", TO_A, handoffs=[coder])
    coder.register_handoff(b)
    assert blocks(Workflow(coder)) == [
        *("start a", "a: ", "start b", "b: ", "end b", "a: coded", "end a", "result done")
    ]
    c = hands("c", TO_A, handoffs=[LocalCodingAgent("a", ScriptedLLM(["coded"]))])
    assert blocks(Workflow(c)) == ["start c", "c: ", "start a", "a: coded", "end a", "end c", "result done"]


def test_its_update_strategy_counts_for_what_the_other_says() -> None:
    b = hands("b", "Yes", update_strategy="none")
    workflow = Workflow(hands("a", Reply("Moment.", [TO_B]), handoffs=[b]))
    assert workflow.run("q").text == "Yes"
    assert said(workflow) == [("user", "q"), ("a", "Moment.")]
    whole = Workflow(hands("a", Reply("Moment.", [TO_B]), handoffs=[talker("b")], update_strategy="none"))
    whole.run("q")
    assert said(whole) == [("user", "q")]
    assert whole.conversation.variables == {"__handoff:a": ["b"]}


# -- chains


def test_who_hands_back_lets_the_first_speak_in_its_own_block() -> None:
    a = hands("a", TO_B, "Done.")
    b = hands("b", Reply("Looked.", [TO_A]), handoffs=[a])
    a.register_handoff(b)
    workflow = Workflow(a)
    assert blocks(workflow) == [
        *("start a", "a: ", "start b", "b: Looked.", "end b", "a: Done.", "end a", "result done")
    ]
    assert asked(a, 1) == [
        {"role": "system", "content": "b has handed the conversation over to you."},
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"arguments": "{}", "name": "transfer_to_b"},
                }
            ],
            "name": "a",
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Transferred to b."},
        {"role": "assistant", "content": "Looked.", "name": "b"},
    ]
    assert workflow.conversation.variables == {"__handoff:a": None}


def test_those_who_hand_on_stand_side_by_side() -> None:
    c = hands("c", "Done.")
    b = hands("b", Reply("Not mine.", [TO_C]), handoffs=[c])
    workflow = Workflow(hands("a", TO_B, handoffs=[b]))
    assert blocks(workflow) == [
        *("start a", "a: ", "start b", "b: Not mine.", "end b", "start c", "c: Done.", "end c"),
        *("end a", "result done"),
    ]


def table_tennis(max_handoffs: int, replies: int = 1_000_000) -> Workflow:
    """Two that hand over to each other, until the first has been asked so often."""
    numbers = iter(range(replies))
    last = LastNMessagesStrategy(1)  # what takes long is to write what was said for so many requests
    first = ScriptedLLM(lambda _: TO_B if next(numbers, None) is not None else "Mine.")
    a = Agent("a", first, reading_strategy=last)
    b = Agent("b", ScriptedLLM(lambda _: TO_A), handoffs=[a], reading_strategy=last)
    a.register_handoff(b)
    return Workflow(a.with_(max_handoffs=max_handoffs))


def test_one_handoff_too_many_fails_the_turn_and_names_them() -> None:
    result = table_tennis(3).run("q")
    assert isinstance(result.error, MaxHandoffsError)
    assert str(result.error) == (
        "agent a: the conversation was handed over 4 times in one turn, and nobody answered: "
        "a > b > a > b > a; raise max_handoffs, or tell them in their system messages when to answer"
    )
    assert "a > b > a > b > … > a > b > a; raise" in str(table_tennis(9).run("q").error)


def test_through_those_whose_turn_is_their_own_they_are_counted_too() -> None:
    a = Agent("a", ScriptedLLM(lambda _: TO_B), max_handoffs=5)
    b = Agent("b", ScriptedLLM(lambda _: TO_A), handoffs=[a], max_handoffs=5)
    a.register_handoff(b.pipe(errors_as_messages(lambda error: "so it ended")))
    result = Workflow(a).run("q")
    assert result.text == "so it ended"


def test_hundreds_of_handoffs_need_no_stack() -> None:
    workflow = table_tennis(400, replies=200)
    result = workflow.run("q")
    assert result.text == "Mine."
    assert len(workflow.conversation) == 402


# -- the next turn


def test_the_next_turn_is_of_whom_it_was_handed_to() -> None:
    b = hands("b", "One.", "Two.")
    a = hands("a", TO_B, handoffs=[b])
    workflow = Workflow(a)
    workflow.run("q")
    assert blocks(workflow, "more") == ["start a", "start b", "b: Two.", "end b", "end a", "result done"]
    assert [message["content"] for message in asked(b, 1)] == ["q", "One.", "more"]


def test_it_is_so_after_a_while_in_a_file_or_in_json(tmp_path: Path) -> None:
    def triage() -> Agent:
        return hands("a", TO_B, handoffs=[talker("b")])

    with SQLiteHistory(tmp_path / "h.db") as history:
        first = Workflow(triage(), history=history)
        first.run("q")
        data = json.loads(json.dumps(first.conversation.to_dict()))
    with SQLiteHistory(tmp_path / "h.db") as history:
        assert blocks(Workflow(triage(), history=history), "more")[:2] == ["start a", "start b"]
    assert blocks(Workflow(triage(), Conversation.from_dict(data)), "more")[:2] == ["start a", "start b"]


def test_until_it_is_handed_back() -> None:
    a = hands("a", TO_B, "Back.", "Here.")
    b = hands("b", "One.", TO_A, handoffs=[a])
    a.register_handoff(b)
    workflow = Workflow(a)
    assert [workflow.run(text).text for text in ("q", "more", "and more")] == ["One.", "Back.", "Here."]


def test_it_leads_through_those_between() -> None:
    c = hands("c", "One.", TO_A, handoffs=[talker("a")])
    b = hands("b", TO_C, handoffs=[c])
    a = hands("a", TO_B, "Back.", handoffs=[b])
    workflow = Workflow(a)
    assert workflow.run("q").text == "One."
    assert workflow.conversation.variables == {"__handoff:a": ["b", "c"]}
    assert workflow.run("more").text == "Back."


def test_who_is_handed_back_to_in_the_midst_is_gone_on_with() -> None:
    b = hands("b", TO_C, "One.", "Two.")
    c = hands("c", TO_B, handoffs=[b])
    b.register_handoff(c)
    workflow = Workflow(hands("a", TO_B, handoffs=[b]))
    assert workflow.run("q").text == "One."
    assert workflow.conversation.variables == {"__handoff:a": ["b"]}
    assert workflow.run("more").text == "Two."


def test_with_sticky_handoffs_off_it_is_asked_each_time() -> None:
    a = hands("a", TO_B, "Mine.", handoffs=[talker("b")], sticky_handoffs=False)
    workflow = Workflow(a)
    assert [workflow.run(text).text for text in ("q", "more")] == ["b", "Mine."]
    assert workflow.conversation.variables == {"__handoff:a": None}
    plain = Workflow(hands("a", "Mine.", handoffs=[talker("b")], sticky_handoffs=False))
    plain.run("q")
    assert plain.conversation.variables == {}


def test_with_sticky_handoffs_off_a_cut_leaves_nothing_behind(marbles: Marbles) -> None:
    b = Agent("b", marbles.llm("--One-two|"))
    workflow = Workflow(hands("a", TO_B, "Mine.", handoffs=[b], sticky_handoffs=False))

    async def both() -> str | None:
        first = workflow.start("q")
        await asyncio.sleep(4)
        first.dispose()
        return (await workflow.arun("more")).text

    assert marbles.run(both()) == "Mine."


def test_with_sticky_handoffs_off_what_waits_is_gone_on_with_all_the_same() -> None:
    def desk(*replies: Any) -> Agent:
        b = hands("b", *replies, tools=[Tool(len_of, name="size", approval=True)])
        return hands("a", TO_B, handoffs=[b], sticky_handoffs=False)

    first = Workflow(desk(Call("size", {"text": "four"}, "c1")), on_waiting="stop")
    assert first.run("q") == "waiting"
    again = Workflow(desk("Done."), Conversation.from_dict(first.conversation.to_dict()))
    again.approve("c1")
    assert blocks(again, None) == ["start a", "start b", "b: Done.", "end b", "end a", "result done"]
    assert again.conversation.variables == {"__handoff:a": None, "__approval:b": None}


def test_in_a_team_whoever_is_chosen_goes_on_with_whom_it_handed_over_to() -> None:
    a = hands("a", TO_B, handoffs=[talker("b")])
    assert blocks(Workflow(Sequence("s", [a, a]))) == [
        *("start s", "start a", "a: ", "start b", "b: b", "end b", "end a"),
        *("start a", "start b", "b: b", "end b", "end a", "end s", "result done"),
    ]


@pytest.mark.parametrize("kept", [["c"], ["b", "c"], "b", 7, None, []])
def test_what_leads_nowhere_is_not_followed(kept: Any) -> None:
    a = hands("a", "Mine.", handoffs=[talker("b")])
    assert Workflow(a, Conversation(variables={"__handoff:a": kept})).run("q").text == "Mine."


def test_no_model_sees_where_it_is_kept() -> None:
    b = hands("b", "One.", "Two.", system_message="Known: __context__")
    a = hands("a", TO_B, handoffs=[b])
    workflow = Workflow(a, Conversation(variables={"seat": "4a"}))
    workflow.run("q")
    workflow.run("more")
    assert asked(b, 1)[0]["content"] == 'Known: {"seat": "4a"}'


# -- how


def test_the_tools_are_sent_with_their_descriptions() -> None:
    b, c = talker("b"), Agent("c", lambda request: rx.of("c"), "Knows c.")
    a = hands(
        "a",
        "Mine.",
        tools=[Tool(len_of, name="size")],
        handoffs=[b, Handoff(c, description="Go.", name="to_c")],
    )
    Workflow(a).run("q")
    assert isinstance(a.llm, ScriptedLLM)
    _, first, second = (tool["function"] for tool in a.llm.requests[0].tools)
    assert (first["name"], first["description"]) == (
        "transfer_to_b",
        "Transfers the conversation to b, who goes on with it.",
    )
    assert first["parameters"]["properties"]["reason"] == {
        "default": "",
        "description": "Why, in a few words; the other reads it.",
        "type": "string",
    }
    assert (second["name"], second["description"]) == ("to_c", "Go.")
    described = hands("d", handoffs=[c]).toolbox.get("transfer_to_c")
    assert described is not None
    assert described.description == "Transfers the conversation to c, who goes on with it. Knows c."


def len_of(text: str) -> int:
    return len(text)


class Order(BaseModel):
    number: int


def test_what_is_handed_over_may_have_a_type() -> None:
    got: list[tuple[str, Any]] = []

    def note(context: Context, order: Order) -> None:
        got.append((context.agent, order))
        context["order"] = order.number

    b = hands("b", "Yes")
    a = hands(
        "a",
        Call("transfer_to_b", {"input": {"number": "x"}}),
        Call("transfer_to_b", {"input": {"number": 7}}),
        handoffs=[Handoff(b, input_type=Order, on_handoff=note)],
    )
    workflow = Workflow(a)
    assert workflow.run("q").text == "Yes"
    assert got == [("a", Order(number=7))]
    assert workflow.conversation.variables == {"order": 7, "__handoff:a": ["b"]}
    assert asked(b)[0]["content"] == 'a has handed the conversation over to you: {"number":7}'
    first, *_ = (step.text for step in workflow.conversation[1].steps if step.role == "tool")
    assert first.startswith("Error: the arguments of the tool 'transfer_to_b' do not fit:")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_callback_that_raises_keeps_the_conversation_where_it_is(is_async: bool) -> None:
    def refuse(context: Context, reason: str) -> None:
        raise PermissionError("closed on Sundays")

    async def refuse_later(context: Context, reason: str) -> None:
        await asyncio.sleep(0)
        refuse(context, reason)

    on_handoff = refuse_later if is_async else refuse
    a = hands("a", TO_B, "Mine.", handoffs=[Handoff(talker("b"), on_handoff=on_handoff)])
    workflow = Workflow(a)
    assert workflow.run("q").text == "Mine."
    assert "PermissionError: closed on Sundays" in workflow.conversation[1].steps[1].text
    assert workflow.conversation.variables == {}


def test_the_other_may_hear_less_now_and_later() -> None:
    b = hands("b", "One.", "Two.")
    a = hands("a", Reply("Moment.", [TO_B]), handoffs=[Handoff(b, reading_strategy=LastNMessagesStrategy(1))])
    workflow = Workflow(a)
    workflow.run("q")
    workflow.run("more")
    assert [message["content"] for message in asked(b)][1:] == ["Moment."]
    assert [message["content"] for message in asked(b, 1)] == ["more"]
    assert said(workflow) == [
        *(("user", "q"), ("a", "Moment."), ("b", "One.")),
        *(("user", "more"), ("b", "Two.")),
    ]


@pytest.mark.parametrize(("decided", "words"), [(True, "b"), (False, "Mine.")])
def test_it_may_wait_for_approval_and_be_stored_meanwhile(decided: bool, words: str) -> None:
    def desk(*replies: Any) -> Agent:
        return hands("a", *replies, handoffs=[Handoff(talker("b"), approval=True)])

    first = Workflow(desk(Reply("Moment. ", [Call("transfer_to_b", {}, "c1")])), on_waiting="stop")
    assert first.run("q") == "waiting"
    again = Workflow(desk("Mine."), Conversation.from_dict(first.conversation.to_dict()))
    (again.approve if decided else again.reject)("c1")
    assert again.run().text == (words if decided else "Moment. Mine.")
    assert again.conversation.variables.get("__handoff:a") == (["b"] if decided else None)


# -- what is no handoff


def test_a_clash_of_names_is_refused() -> None:
    def transfer_to_b() -> None:
        """Not what it seems."""

    clash = r"two tools have the name 'transfer_to_b'; pass another as name=…"
    with pytest.raises(ConfigurationError, match=clash):
        Agent("a", ScriptedLLM([]), tools=[transfer_to_b], handoffs=[talker("b")])
    a = Agent("a", ScriptedLLM([]), handoffs=[talker("b")])
    with pytest.raises(ConfigurationError, match=clash):
        a.register_tool(transfer_to_b)
    with pytest.raises(ConfigurationError, match=clash):
        a.register_handoff(talker("b"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Handoff("b"), "a handoff to str: give an Agent, a User, a team, or as_agent(id, operator)"),
        (
            lambda: hands("a", handoffs=[talker("a")]),
            "agent a: a handoff to a; an agent hands over to others",
        ),
        (
            lambda: Handoff(talker("b"), on_handoff="x"),
            "the handoff to b: on_handoff is a str; give a function of the Context and of what is handed "
            "over",
        ),
        (
            lambda: Handoff(talker("b"), reading_strategy=7),
            "the handoff to b: reading_strategy is a int; give a function of the Transcript",
        ),
        (lambda: hands("a", max_handoffs=-1), "agent a: max_handoffs is -1; it must be a number, 0 or more"),
        (
            lambda: hands("a", handoffs=[talker("x" * 60)]),
            "the tool name 'transfer_to_"
            + "x" * 60
            + "' does not fit [A-Za-z0-9_-]{1,64}; pass another as name=…",
        ),
    ],
)
def test_what_does_not_do_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make()
    assert str(raised.value) == words


def test_a_variant_has_the_same_handoffs_unless_it_has_others() -> None:
    a = hands("a", handoffs=[talker("b")])
    a.register_handoff(talker("c"))
    assert [each.target.id for each in a.with_(temperature=0).handoffs] == ["b", "c"]
    assert [tool.name for tool in a.with_(tools=[len_of]).toolbox] == [
        *("len_of", "transfer_to_b", "transfer_to_c")
    ]
    other = a.with_(handoffs=[talker("d")])
    assert [each.target.id for each in other.handoffs] == ["d"]
    assert [tool.name for tool in other.toolbox] == ["transfer_to_d"]


# -- its ends


def test_a_failure_of_the_other_is_located_in_both(marbles: Marbles) -> None:
    failing = Agent("b", marbles.llm("#", error=ValueError("no")))
    a = hands("a", TO_B, handoffs=[failing])
    marbles.expect(say("q").pipe(a, markers(), only("error", "result"))).to_be(
        "(er|)",
        e=("error", {"type": "ValueError", "message": "no", "where": "a > b"}),
        r=("result", "agent-error"),
    )


def test_a_stop_of_the_other_goes_on_to_the_team_around(marbles: Marbles) -> None:
    stopper = as_agent("b", STOPPER)
    a = hands("a", TO_B, handoffs=[stopper])
    marbles.expect(say("q").pipe(Sequence("s", [a, talker("never")]), ended)).to_be("(r|)", r="agent-stop")
    gone = hands("a", TO_B, handoffs=[User("b", mode="unattended")])
    marbles.expect(say("q").pipe(Sequence("s", [gone, talker("never")]), ended)).to_be("(r|)", r="agent-stop")


def test_after_a_stop_nobody_else_speaks() -> None:
    def stop() -> StateUpdate:
        return StateUpdate("stop", stop="enough")

    a = hands("a", [Call("stop"), TO_B], tools=[stop], handoffs=[talker("b")])
    assert blocks(Workflow(a)) == ["start a", "a: ", "end a", "result agent-stop"]


def test_each_model_call_is_paid_for_once() -> None:
    b = hands("b", paid("One.", 100), paid("Two.", 1000))
    workflow = Workflow(hands("a", paid(TO_B, 10), handoffs=[b]))
    assert workflow.run("q").usage.total_tokens == 110
    workflow.run("more")
    assert workflow.conversation.metrics["total_tokens"] == 1110


def paid(answer: Any, total: int) -> Reply:
    return replace(as_reply(answer), usage=Usage(total_tokens=total))


def test_what_the_reading_for_the_other_took_is_paid_for() -> None:
    summary = SummarizeMessagesStrategy(ScriptedLLM([paid("In short.", 1000)]))
    b = hands("b", paid("One.", 100))
    a = hands("a", paid(TO_B, 10), handoffs=[Handoff(b, reading_strategy=summary)])
    workflow = Workflow(a)
    assert workflow.run("q").usage.total_tokens == 1110


def test_what_was_handed_over_is_not_taken_again_by_a_gate() -> None:
    a = hands("a", Reply("So.", [TO_B]), handoffs=[hands("b", "bad", "good")])
    workflow = Workflow(a.pipe(gate(lambda text: "bad" not in text, window="whole", on_fail="retry")))
    workflow.run("q")
    assert said(workflow) == [("user", "q"), ("a", "So.")]
    a = hands("a", Reply("bad", [TO_B]), "Again.", handoffs=[talker("b")])
    workflow = Workflow(a.pipe(gate(lambda text: "bad" not in text, window="whole", on_fail="retry")))
    workflow.run("q")
    assert said(workflow) == [("user", "q"), ("b", "b")]


def test_a_transfer_that_is_cut_before_the_round_is_over_is_none() -> None:
    async def slow() -> None:
        reached.set()
        await asyncio.get_running_loop().create_future()

    reached = asyncio.Event()
    a = hands("a", [TO_B, Call("slow")], tools=[slow], handoffs=[talker("b")])
    workflow = Workflow(a)

    async def main() -> None:
        run = workflow.start("q")
        await reached.wait()
        (block,) = (item for item in run.items if isinstance(item, Block))
        (message,) = (item for item in block.items if isinstance(item, MessageStream))
        message.interrupt()
        await run

    asyncio.run(main())
    assert workflow.conversation.variables == {}
    assert workflow.conversation.log == ()


def test_leaving_it_cancels_the_other(marbles: Marbles) -> None:
    llm = marbles.llm("-----x|")
    a = hands("a", TO_B, handoffs=[Agent("b", llm)])
    marbles.expect(say("q").pipe(a, text()), unsubscribe_at=2).to_be("--")
    marbles.expect_subscriptions(llm).to_be("^-!")


def test_cut_in_the_midst_of_the_other_the_next_turn_is_its_own(marbles: Marbles) -> None:
    b = Agent("b", marbles.llm("--One-two|", "Three|"))
    workflow = Workflow(hands("a", TO_B, handoffs=[b]))

    async def both() -> str | None:
        first = workflow.start("q")
        await asyncio.sleep(4)
        first.dispose()
        return (await workflow.arun("more")).text

    assert marbles.run(both()) == "Three"
    assert said(workflow) == [("user", "q"), ("a", ""), ("b", "One"), ("user", "more"), ("b", "Three")]


# -- laws


def test_the_laws_hold() -> None:
    def make() -> Agent:
        a = Agent("a", ScriptedLLM([Reply("So.", [TO_B]), "Mine."]))
        b = Agent("b", ScriptedLLM([Reply("Yes.", [TO_C])]), handoffs=[hands("c", TO_A, handoffs=[a])])
        a.register_handoff(b)
        return a

    check_laws(make, max_examples=5)


# -- over HTTP


def test_over_http_the_history_stays_valid() -> None:
    def reply(body: dict[str, Any]) -> Any:
        names = [tool["function"]["name"] for tool in body["tools"]]
        said = [message["content"] for message in body["messages"]]
        if "transfer_to_b" in names:
            return "Back." if "more" in said else Reply("Moment.", [Call("transfer_to_b", {"reason": "b's"})])
        return Call("transfer_to_a") if "more" in said else "Yes."

    with OpenAIServer(reply) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        a = Agent("a", llm)
        a.register_handoff(Agent("b", llm, handoffs=[a]))
        workflow = Workflow(a)
        assert workflow.run("q").text == "Yes."
        assert workflow.run("more").text == "Back."
        bodies = [request.body for request in server.requests]
    user, more = {"role": "user", "content": "q"}, {"role": "user", "content": "more"}
    yes = {"role": "assistant", "content": "Yes.", "name": "b"}
    assert [body["messages"] for body in bodies] == [
        [user],
        [
            {"role": "system", "content": "a has handed the conversation over to you: b's"},
            user,
            {"role": "assistant", "content": "Moment.", "name": "a"},
        ],
        [user, {"role": "assistant", "content": "Moment.", "name": "a"}, yes, more],
        [
            {"role": "system", "content": "b has handed the conversation over to you."},
            user,
            {
                "role": "assistant",
                "content": "Moment.",
                "name": "a",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "transfer_to_b", "arguments": '{"reason":"b\'s"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Transferred to b."},
            yes,
            more,
        ],
    ]
    tool, back = bodies[0]["tools"], bodies[1]["tools"]
    assert [[tool["function"]["name"] for tool in body["tools"]] for body in bodies] == [
        *(["transfer_to_b"], ["transfer_to_a"], ["transfer_to_a"], ["transfer_to_b"])
    ]
    assert (tool[0]["type"], back[0]["function"]["description"]) == (
        "function",
        "Transfers the conversation to a, who goes on with it.",
    )


def test_over_http_leaving_closes_the_connection_of_the_other() -> None:
    def reply(body: dict[str, Any]) -> Any:
        return TO_B if body.get("tools") else Paused(2, "one two three")

    with OpenAIServer(reply) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        workflow = Workflow(Agent("a", llm, handoffs=[Agent("b", llm)]))
        for mark, content in workflow.run_stream("q"):
            if mark == "delta" and mark.path == ("a", "b") and content["content"]:
                break
        assert server.requests[1].wait_closed(WAIT)
        assert not server.requests[1].completed
        assert workflow.conversation[-1].name == "b"
        assert workflow.conversation[-1].finish_reason == "interrupted"
