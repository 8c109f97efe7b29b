"""Reading strategies: what a model gets to see, as laws and over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops

from rxagents import (
    Agent,
    AllMessagesStrategy,
    AssistantMessage,
    ChatRequest,
    Completion,
    ConfigurationError,
    Conversation,
    InputError,
    LastNMessagesStrategy,
    Message,
    OpenAILLM,
    PipelineConversationReadingStrategy,
    Reading,
    ScriptedLLM,
    SummarizeMessagesStrategy,
    SystemMessage,
    Team,
    TokenBudgetStrategy,
    TopKLastNMessagesStrategy,
    Transcript,
    Usage,
    UserMessage,
    Workflow,
    say,
)
from rxagents.engine.loops import current_loop
from rxagents.ledgers import is_instruction
from rxagents.operators import text
from rxagents.strategies.cuts import estimated_tokens
from rxagents.strategies.readings import check_strategy, read
from rxagents.strategies.selections import Selection
from rxagents.testing import Marbles, OpenAIServer
from rxagents.values import ToolCall

laws = settings(deadline=None)


def called(*ids: str, text: str = "") -> Message:
    calls = tuple(ToolCall(id=id, function={"name": "look", "arguments": "{}"}) for id in ids)
    return AssistantMessage(text or None, tool_calls=calls)


def gave(id: str | None, text: str = "result") -> Message:
    return Message(role="tool", content=text, tool_call_id=id)


def held(messages: Iterable[Message], **variables: Any) -> Transcript:
    transcript = Transcript().with_variables(variables) if variables else Transcript()
    for message in messages:
        transcript = transcript.with_message(message)
    return transcript


def chosen(strategy: Any, messages: Iterable[Message]) -> Reading:
    return asyncio.run(read(strategy, held(messages)))


def texts(messages: Iterable[Message]) -> list[str]:
    return [message.text for message in messages]


HISTORY = [SystemMessage("be brief"), *(UserMessage(f"m{n}") for n in range(6))]


# -- laws, on conversations of any shape


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """Messages of all roles; calls with all, some or none of their results, near or far, or no call."""
    messages: list[Message] = []
    for number, mark in enumerate(draw(st.text("uuaasSc12o", max_size=14))):
        if mark == "u":
            messages.append(UserMessage(f"user {number}"))
        elif mark == "a":
            messages.append(AssistantMessage(f"bot {number}", name="bot"))
        elif mark in "sS":
            messages.append(
                Message(role="system", content=f"do {number}", name="bot" if mark == "S" else None)
            )
        elif mark == "c":
            messages.append(called(f"1-{number}", f"2-{number}"))
        elif mark == "o":
            messages.append(gave(f"orphan {number}"))
        else:
            asked = [call.id for message in messages for call in message.tool_calls if call.id[0] == mark]
            messages.append(gave(asked[-1] if asked else None))
    return messages


STRATEGIES = st.one_of(
    st.builds(LastNMessagesStrategy, st.integers(1, 6)),
    st.builds(TopKLastNMessagesStrategy, st.integers(0, 4), st.integers(1, 4)),
    st.builds(TokenBudgetStrategy, st.integers(1, 60)),
    st.builds(TokenBudgetStrategy, st.integers(1, 6), st.just(lambda _: 1)),
)


def places(selected: Iterable[Message], messages: list[Message]) -> list[int]:
    return [next(at for at, other in enumerate(messages) if other is message) for message in selected]


@laws
@given(histories(), STRATEGIES)
def test_a_selection_keeps_the_order_and_has_nothing_twice(messages: list[Message], strategy: Any) -> None:
    found = places(strategy(held(messages)), messages)
    assert found == sorted(set(found))


@laws
@given(histories(), STRATEGIES)
def test_a_selection_has_all_instructions_of_the_conversation(messages: list[Message], strategy: Any) -> None:
    selected = list(strategy(held(messages)))
    assert [m for m in selected if is_instruction(m)] == [m for m in messages if is_instruction(m)]


@laws
@given(histories(), STRATEGIES)
def test_results_go_with_their_call_and_calls_with_their_results(
    messages: list[Message], strategy: Any
) -> None:
    selected = set(places(strategy(held(messages)), messages))
    for at, message in enumerate(messages):
        if message.role != "tool":
            continue
        callers = [
            before
            for before in range(at)
            if any(call.id == message.tool_call_id for call in messages[before].tool_calls)
        ]
        if callers:
            assert (at in selected) == (callers[-1] in selected)
        else:
            assert at not in selected


@laws
@given(histories(), st.integers(1, 6))
def test_the_last_n_are_read_and_more_only_to_keep_calls_whole(messages: list[Message], n: int) -> None:
    selection = Selection(messages)
    selected = list(LastNMessagesStrategy(n)(held(messages)))
    last = [messages[at] for at in selection.said[-n:]]
    assert all(any(message is other for other in selected) for message in last)
    beyond = [m for m in selected if not any(m is other for other in last) and not is_instruction(m)]
    assert all(message.role == "tool" or message.tool_calls for message in beyond)


@laws
@given(histories(), st.integers(1, 8))
def test_a_budget_is_kept_unless_what_came_last_exceeds_it(messages: list[Message], budget: int) -> None:
    selection = Selection(messages)
    selected = [m for m in TokenBudgetStrategy(budget, lambda _: 1)(held(messages)) if not is_instruction(m)]
    if not selection.said:
        assert selected == []
        return
    last = selection.whole(selection.said[-1])
    assert selected[-1] is messages[selection.said[-1]]
    assert len(selected) <= max(budget, len(last))
    if len(selected) < len(selection.said):  # nothing that would have fitted next was left out
        taken = set(places(selected, messages))
        following = next(at for at in reversed(selection.said) if at not in taken)
        assert len(selected) + len(selection.whole(following)) > budget


@laws
@given(histories(), STRATEGIES, STRATEGIES)
def test_a_pipe_of_strategies_is_one_after_the_other(messages: list[Message], one: Any, two: Any) -> None:
    both = chosen(PipelineConversationReadingStrategy([one, two]), messages).messages
    assert both == chosen(two, chosen(one, messages).messages).messages


@laws
@given(histories())
def test_a_strategy_that_has_room_for_all_reads_what_can_be_read(messages: list[Message]) -> None:
    selection = Selection(messages)
    everything = selection.of(selection.said)
    for strategy in (LastNMessagesStrategy(99), TopKLastNMessagesStrategy(9, 9), TokenBudgetStrategy(10**6)):
        assert tuple(strategy(held(messages))) == everything
    assert tuple(AllMessagesStrategy()(held(messages))) == tuple(messages)


# -- each of them


def test_the_last_n_and_the_first_k_besides_the_instructions() -> None:
    assert texts(chosen(LastNMessagesStrategy(2), HISTORY).messages) == ["be brief", "m4", "m5"]
    assert texts(chosen(TopKLastNMessagesStrategy(1, 2), HISTORY).messages) == ["be brief", "m0", "m4", "m5"]
    assert texts(chosen(TopKLastNMessagesStrategy(0, 1), HISTORY).messages) == ["be brief", "m5"]
    assert texts(chosen(TopKLastNMessagesStrategy(4, 4), HISTORY).messages) == texts(HISTORY)


def test_a_cut_moves_back_to_the_message_that_called() -> None:
    history = [UserMessage("q"), called("1", "2"), gave("1", "one"), gave("2", "two"), UserMessage("then")]
    for n in (2, 3, 4):
        assert chosen(LastNMessagesStrategy(n), history).messages == tuple(history[1:])
    budget = TokenBudgetStrategy(3, lambda _: 1)
    assert chosen(budget, history).messages == (history[-1],)
    assert chosen(budget, history[:-1]).messages == tuple(history[1:-1])


def test_a_system_message_with_a_name_is_one_agents_own_and_counts_like_others() -> None:
    history = [Message(role="system", name="bot", content="own"), UserMessage("a"), UserMessage("b")]
    assert texts(chosen(LastNMessagesStrategy(1), history).messages) == ["b"]


def test_tokens_are_estimated_by_the_bytes_of_the_text() -> None:
    assert estimated_tokens(UserMessage("x" * 40)) == 14
    assert estimated_tokens(UserMessage("")) == 4
    assert estimated_tokens(UserMessage("日" * 4)) == 7
    assert estimated_tokens(UserMessage("\ud83d")) == 5
    image = {"type": "image_url", "image_url": {"url": "data:" + "x" * 10_000}}
    assert estimated_tokens(Message(role="user", content=[{"type": "text", "text": "look"}, image])) == 770
    steps = (called("1", text="let me look"), gave("1", "y" * 400))
    with_steps = AssistantMessage("let me look: done", steps=steps)
    assert estimated_tokens(with_steps) > estimated_tokens(AssistantMessage("let me look: done")) + 100


@pytest.mark.parametrize("count", [lambda _: -1, lambda _: 1.5, lambda _: None])
def test_a_count_that_is_none_is_named(count: Any) -> None:
    with pytest.raises(InputError, match=r"TokenBudgetStrategy: count gave .*; it must give the tokens"):
        chosen(TokenBudgetStrategy(5, count), HISTORY)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: LastNMessagesStrategy(0), "LastNMessagesStrategy: n is 0; it must be a number, 1 or more"),
        (lambda: LastNMessagesStrategy("3"), "n is '3'"),  # type: ignore[arg-type]
        (lambda: LastNMessagesStrategy(True), "n is True"),
        (lambda: TopKLastNMessagesStrategy(-1, 2), "k is -1; it must be a number, 0 or more"),
        (lambda: TopKLastNMessagesStrategy(1, 0), "n is 0"),
        (lambda: TokenBudgetStrategy(0), "max_tokens is 0"),
        (lambda: TokenBudgetStrategy(5, 7), "count is a int; give a function"),  # type: ignore[arg-type]
        (lambda: SummarizeMessagesStrategy("gpt"), "llm is a str; give a model"),  # type: ignore[arg-type]
        (lambda: SummarizeMessagesStrategy(ScriptedLLM([]), keep_last=-1), "keep_last is -1"),
        (lambda: PipelineConversationReadingStrategy(5), "strategies is a int; give a list"),  # type: ignore[arg-type]
        (lambda: PipelineConversationReadingStrategy([len, 5]), "number 2: reading_strategy is a int"),  # type: ignore[list-item]
        (lambda: Agent("a", ScriptedLLM([]), reading_strategy=LastNMessagesStrategy), "is the class LastN"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_settings_that_do_not_do_are_refused(make: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()


# -- forms of a strategy


class SeedStrategy:
    """As vanilla-aiagents has them."""

    def get_messages(self, conversation: Any) -> list[Any]:
        last = conversation.messages[-1]["content"]
        return [{"role": "system", "content": f"of {len(conversation.messages)}"}, UserMessage(last)]


def test_an_object_with_get_messages_is_a_strategy_and_may_give_dicts() -> None:
    assert texts(chosen(SeedStrategy(), HISTORY).messages) == ["of 7", "m5"]
    llm = ScriptedLLM(["ok"])
    assert Workflow(Agent("a", llm, reading_strategy=SeedStrategy())).run("hi") == "done"
    assert [message["content"] for message in llm.requests[0].messages] == ["of 1", "hi"]


def test_a_strategy_may_give_a_reading_with_its_usage() -> None:
    usage = Usage(total_tokens=5, prompt_tokens=5)

    async def strategy(transcript: Transcript) -> Reading:
        return Reading(transcript.messages[-1:], usage)

    assert chosen(strategy, HISTORY) == Reading((HISTORY[-1],), usage)
    workflow = Workflow(Agent("a", lambda _: rx.of("ok"), reading_strategy=strategy))
    assert workflow.run("hi").usage == usage


def test_without_one_everything_is_read() -> None:
    assert isinstance(check_strategy("agent a", None), AllMessagesStrategy)


def test_one_message_is_no_list_of_them() -> None:
    with pytest.raises(InputError, match="gives messages, but it gave Message"):
        chosen(lambda _: Message(role="user", content="x"), HISTORY)


def test_a_pipe_hands_on_the_variables_and_adds_up_the_usage() -> None:
    seen: list[Any] = []

    def costly(transcript: Transcript) -> Reading:
        seen.append((texts(transcript), dict(transcript.variables)))
        return Reading(transcript.messages[1:], Usage(total_tokens=2))

    pipe = PipelineConversationReadingStrategy([costly, LastNMessagesStrategy(2), costly])
    reading = asyncio.run(read(pipe, held([UserMessage(t) for t in "abcd"], room=7)))
    assert (texts(reading.messages), reading.usage.total_tokens) == (["d"], 4)
    assert seen == [([*"abcd"], {"room": 7}), ([*"cd"], {"room": 7})]


# -- summaries


def test_a_summary_stands_for_what_was_said_before_the_users_last_message() -> None:
    llm = ScriptedLLM(["They said hello."])
    history = [
        SystemMessage("be brief"),
        UserMessage("hello"),
        AssistantMessage("hi", name="bot"),
        UserMessage("now?"),
    ]
    reading = chosen(SummarizeMessagesStrategy(llm), history)
    assert [(m.role, m.name, m.text) for m in reading.messages] == [
        ("system", None, "be brief"),
        ("assistant", "summarizer", "They said hello."),
        ("user", None, "now?"),
    ]
    told, asked = llm.requests[0].messages
    assert told["role"] == "system"
    assert asked == {"role": "user", "content": "user: hello\nbot: hi\nuser: now?"}
    assert llm.requests[0].agent == "summarizer"


def test_the_last_messages_stay_as_they_are_with_the_calls_that_belong_to_them() -> None:
    llm = ScriptedLLM(["short"] * 3)
    history = [UserMessage("a"), UserMessage("b"), called("1"), gave("1", "one"), AssistantMessage("c")]
    summarize = SummarizeMessagesStrategy(llm, keep_last=2)
    assert chosen(summarize, history).messages[1:] == tuple(history[1:])
    assert llm.requests[0].messages[1]["content"] == "user: a\nuser: b"
    assert texts(chosen(SummarizeMessagesStrategy(llm, keep_last=1), history).messages) == ["short", "b", "c"]
    assert llm.requests[1].messages[1]["content"].endswith("assistant: (calls look {})\ntool: one")
    assert texts(chosen(SummarizeMessagesStrategy(llm, keep_last=3), history[:4]).messages) == texts(
        [AssistantMessage("short"), *history[1:4]]
    )


@pytest.mark.parametrize("keep_last", [0, 1, 5])
@pytest.mark.parametrize("history", [[], [UserMessage("q")], [SystemMessage("s"), UserMessage("q")]])
def test_where_there_is_nothing_to_sum_up_no_model_is_asked(keep_last: int, history: list[Message]) -> None:
    llm = ScriptedLLM([])
    strategy = SummarizeMessagesStrategy(llm, keep_last=keep_last)
    assert chosen(strategy, history) == Reading(tuple(history))
    assert llm.requests == []


def test_a_model_that_says_nothing_leaves_everything_to_be_read(caplog: pytest.LogCaptureFixture) -> None:
    usage = Usage(total_tokens=3)
    reading = chosen(SummarizeMessagesStrategy(lambda _: rx.of(Completion(usage=usage))), HISTORY)
    assert reading == Reading(tuple(HISTORY), usage)
    assert "said nothing, so everything is read" in caplog.text


def test_images_and_the_steps_of_agents_are_shown_to_the_model_that_sums_up() -> None:
    llm = ScriptedLLM(["short"])
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    steps = (called("1"), gave("1", "42"))
    history = [
        Message(
            role="user", content=[{"type": "text", "text": "see "}, image, {"type": "text", "text": "this"}]
        ),
        AssistantMessage("so it is", name="bot", steps=steps),
        UserMessage("why?"),
    ]
    chosen(SummarizeMessagesStrategy(llm, "Sum up."), history)
    told, asked = llm.requests[0].messages
    assert told == {"role": "system", "content": "Sum up."}
    assert asked["content"] == [
        {"type": "text", "text": "user: see "},
        image,
        {"type": "text", "text": "this\nbot: (calls look {}) (a tool gave: 42) so it is\nuser: why?\n"},
    ]


def test_a_model_that_fails_to_sum_up_fails_the_turn_there() -> None:
    strategy = SummarizeMessagesStrategy(lambda _: rx.throw(ValueError("no")))
    workflow = Workflow(Agent("a", ScriptedLLM(["ok"]), reading_strategy=strategy), Conversation(HISTORY))
    result = workflow.run("hi")
    assert (result, str(result.error)) == ("agent-error", "no")
    assert result.error is not None
    assert result.error.__notes__ == ["in a > reading_strategy > summarizer"]


def test_leaving_cancels_the_summary(marbles: Marbles) -> None:
    left: list[float] = []

    def summarizer(_: ChatRequest) -> rx.Observable[Any]:
        return rx.never().pipe(ops.finally_action(lambda: left.append(current_loop().time())))

    agent = Agent("a", marbles.llm(), reading_strategy=SummarizeMessagesStrategy(summarizer))
    reading: list[Any] = []
    marbles.at(0, lambda: reading.append(say("one", "two").pipe(agent, text()).subscribe()))
    marbles.at(3, lambda: reading[0].dispose())
    marbles.flush()
    assert left == [3.0]


# -- over the wire


def bodies(server: OpenAIServer) -> list[list[tuple[str, Any]]]:
    return [[(m["role"], m["content"]) for m in request.body["messages"]] for request in server.requests]


def model(server: OpenAIServer) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="k")


def test_an_agent_that_reads_the_last_messages_sends_those_only() -> None:
    with OpenAIServer(["1", "2"]) as server:
        reading = LastNMessagesStrategy(1)
        agent = Agent("bot", model(server), system_message="You help.", reading_strategy=reading)
        workflow = Workflow(agent, system_prompt="Be brief.")
        for said in ("one", "two"):
            assert workflow.run(said) == "done"
        assert bodies(server) == [
            [("system", "You help."), ("system", "Be brief."), ("user", said)] for said in ("one", "two")
        ]
        assert len(workflow.conversation) == 5


def test_a_summary_over_the_wire_counts_as_the_agents_usage() -> None:
    history = [UserMessage("Hello"), AssistantMessage("Hi there", name="bot"), UserMessage("I am Ada")]
    with OpenAIServer(["Ada greeted.", "Hi Ada"]) as server:
        agent = Agent(
            "bot", model(server), reading_strategy=SummarizeMessagesStrategy(model(server), "Sum up.")
        )
        workflow = Workflow(agent, Conversation(history))
        result = workflow.run("Who am I?")
        assert (result, result.text) == ("done", "Hi Ada")
        assert bodies(server) == [
            [("system", "Sum up."), ("user", "user: Hello\nbot: Hi there\nuser: I am Ada\nuser: Who am I?")],
            [("assistant", "Ada greeted."), ("user", "Who am I?")],
        ]
        named = server.requests[1].body["messages"][0]
        assert named["name"] == "summarizer"
    with OpenAIServer(["Hi Ada"]) as server:
        alone = Workflow(Agent("bot", model(server)), Conversation(history)).run("Who am I?")
    assert result.usage.completion_tokens > alone.usage.completion_tokens > 0
    assert workflow.conversation.metrics == result.usage.model_dump()


@pytest.mark.parametrize("where", ["agent", "team"])
def test_the_usage_of_reading_is_in_the_run_and_in_the_conversation(where: str) -> None:
    def summarizer(request: ChatRequest) -> Any:
        return rx.of("short", Completion(usage=Usage(total_tokens=10)))

    def answers(request: ChatRequest) -> Any:
        chosen = '{"agent_id": "a", "reason": ""}' if request.agent == "team" else "ok"
        return rx.of(chosen, Completion(usage=Usage(total_tokens=1)))

    reading = SummarizeMessagesStrategy(summarizer)
    if where == "agent":
        askable: Any = Agent("a", answers, reading_strategy=reading)
    else:
        members = [Agent("a", answers), Agent("b", answers)]
        askable = Team(answers, members, "team", reading_strategy=reading, max_turns=1)
    spent = 11 if where == "agent" else 12
    workflow = Workflow(askable, Conversation(HISTORY))
    result = workflow.run("q")
    assert (result.error, result.usage.total_tokens) == (None, spent)
    assert workflow.conversation.metrics["total_tokens"] == spent
