"""map_tokens and transform: from message to message, token by token, and interruption both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    Message,
    MessageStream,
    ScriptedLLM,
    StateUpdate,
    Team,
    Usage,
    UserMessage,
    say,
)
from rxagents.llm.replies import Call, Reply
from rxagents.operators import map_tokens, markers, messages, responses, shared, text, transform, until
from rxagents.sinks import just
from rxagents.testing.timelines import END, timeline
from rxagents.values import Completion, FunctionResult, delta


def marbles(diagram: str, **lookup: Any) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0, lookup=lookup)


def tokens(diagram: str, **options: Any) -> MessageStream:
    return MessageStream(marbles(diagram), **options)


async def same(words: AsyncIterator[str]) -> AsyncIterator[str]:
    async for word in words:
        yield word


async def shouting(words: AsyncIterator[str]) -> AsyncIterator[str]:
    async for word in words:
        yield word.upper()


async def pairs(words: AsyncIterator[str]) -> AsyncIterator[str]:
    held = ""
    async for word in words:
        held += word
        if len(held) == 2:
            yield held
            held = ""
    if held:
        yield held


BOTH = pytest.mark.parametrize(
    "shout", [map_tokens(str.upper), transform(shouting)], ids=["map", "transform"]
)


def finished(source: Observable[Any]) -> list[Message]:
    return [item for _, item in timeline(source.pipe(responses()))[:-1]]


# -- tokens


@BOTH
def test_each_token_comes_when_it_came_as_the_diagram_draws_it(shout: Any) -> None:
    entries = timeline(just(tokens("--Hel-lo-|")).pipe(shout, text()))
    assert entries == [(2, "HEL"), (6, "LO"), (9, END)]


def test_a_transform_may_keep_and_join_tokens_as_the_diagram_draws_it() -> None:
    entries = timeline(just(tokens("--a-b--c-|")).pipe(transform(pairs), text()))
    assert entries == [(2 + 2, "ab"), (9, "c"), (9, END)]


def test_a_token_that_is_mapped_to_none_is_taken_out() -> None:
    stream = MessageStream(just("a", "b", delta("b", tool_calls=[]), "c"))
    (twin,) = [
        item
        for _, item in timeline(just(stream).pipe(map_tokens(lambda t: None if t == "b" else t), messages()))[
            :-1
        ]
    ]
    timeline(twin)
    assert [item["content"] for item in twin.items] == ["a", None, "c"]


def test_a_token_may_be_mapped_to_nothing() -> None:
    assert [item for _, item in timeline(just(tokens("ab|")).pipe(map_tokens(lambda _: ""), text()))] == [END]


async def doubled(words: AsyncIterator[str]) -> AsyncIterator[str]:
    yield "<"
    async for word in words:
        yield word
        yield word
    yield ">"


def test_a_transform_may_yield_more_than_it_read() -> None:
    entries = timeline(just(tokens("-a-b|")).pipe(transform(doubled), text()))
    assert [item for _, item in entries] == ["<", "a", "a", "b", "b", ">", END]
    assert entries[0] == (0, "<")


@given(st.lists(st.text(max_size=3), max_size=6))
def test_the_identity_changes_nothing_that_is_said(words: list[str]) -> None:
    for operator in (map_tokens(lambda token: token), transform(same)):
        (message,) = finished(just(MessageStream(just(*words))).pipe(operator))
        assert message.text == "".join(words)


# -- what stays as it is


def call(id: str) -> dict[str, Any]:
    return {"id": id, "function": {"arguments": "{}", "name": "look"}, "type": "function", "index": 0}


def two_rounds() -> Observable[Any]:
    return just(
        *("Let me ", delta("look.", tool_calls=[call("1")]), delta(None, reasoning="hm")),
        Completion(Usage(total_tokens=2), "tool_calls", "m", "r1"),
        FunctionResult("look", "214", "1"),
        *("It is 214.", Completion(Usage(total_tokens=3), "stop", "m", "r2")),
    )


@BOTH
def test_name_role_calls_results_usage_reason_and_metadata_stay(shout: Any) -> None:
    (plain,) = finished(just(MessageStream(two_rounds(), name="a")))
    (message,) = finished(just(MessageStream(two_rounds(), name="a")).pipe(shout))
    assert message.text == "LET ME LOOK.IT IS 214."
    kept = ("name", "role", "finish_reason", "usage", "metadata", "tool_calls")
    assert [message[key] for key in kept] == [plain[key] for key in kept]
    assert message.usage == Usage(total_tokens=5)
    assert [step.role for step in message.steps] == ["assistant", "tool"]
    assert message.steps[0].tool_calls == plain.steps[0].tool_calls


@BOTH
def test_a_message_that_was_finished_before_is_mapped_too(shout: Any) -> None:
    said = AssistantMessage("hi", name="a", usage=Usage(total_tokens=2), finish_reason="length")
    (message,) = finished(just(MessageStream.of(said)).pipe(shout))
    assert (message.text, message.name, message.usage, message.finish_reason) == (
        "HI",
        "a",
        said.usage,
        "length",
    )


@BOTH
def test_messages_of_the_user_and_the_system_and_state_pass_as_they_are(shout: Any) -> None:
    items = [MessageStream.of(UserMessage("q")), StateUpdate("s"), MessageStream(just("s"), role="system")]
    assert [item for _, item in timeline(just(*items).pipe(shout))] == [*items, END]


@BOTH
def test_blocks_keep_their_names_and_nesting(shout: Any) -> None:
    def items() -> Observable[Any]:
        inner = Block("inner", just(tokens("a|")), entry="aside")
        return just(Block("outer", just(tokens("b|"), inner), catches_stops=True))

    *marks, _ = [item for _, item in timeline(items().pipe(shout, markers()))]
    said = [(str(mark), content) for mark, content in marks if mark in ("start", "end", "result")]
    assert said == [
        ("start", "outer"),
        ("start", "inner"),
        ("end", "inner"),
        ("end", "outer"),
        ("result", "done"),
    ]
    (block,) = [item for _, item in timeline(items().pipe(shout))[:-1]]
    assert block.catches_stops
    timeline(block)
    assert [item.entry for item in block.items if isinstance(item, Block)] == ["aside"]


@BOTH
def test_a_team_is_mapped_with_its_outcome(shout: Any) -> None:
    team = Team(ScriptedLLM([]), [Agent("a", ScriptedLLM(["hi"] * 2))], "team", max_turns=2)
    marks = [item for _, item in timeline(say("q").pipe(team, shout, markers()))[:-1]]
    assert marks[-1][1] == "max-turns"
    assert [content[0]["content"] for mark, content in marks if mark == "response"] == ["HI", "HI"]


@BOTH
def test_list_shaped_content_does_not_go_on_saying_the_old_text(shout: Any) -> None:
    parts = [{"type": "text", "text": "secret"}, {"type": "image_url", "image_url": {"url": "x"}}]
    (message,) = finished(just(MessageStream(just(delta("secret", content_parts=parts)))).pipe(shout))
    assert message.text == "SECRET"
    assert "secret" not in str(message.to_dict())
    assert message.metadata["content_parts"] == parts[1:]


def test_an_agent_behind_a_map_hears_the_mapped_words() -> None:
    llm = ScriptedLLM(["done"])
    finished(say("q").pipe(Agent("a", ScriptedLLM(["hi"])), map_tokens(str.upper), Agent("b", llm)))
    assert llm.requests[0].messages == ({"role": "user", "content": "HI", "name": "a"},)


# -- interruption and errors


def model(diagram: str = "-a-b-c-d-e|") -> tuple[Agent, list[str]]:
    gone: list[str] = []
    source = marbles(diagram).pipe(ops.finally_action(lambda: gone.append("gone")))
    return Agent("a", lambda request: source), gone


@BOTH
def test_interrupting_the_mapped_block_cancels_the_model(shout: Any) -> None:
    agent, gone = model()
    entries = timeline(say("q").pipe(agent, shout, until(rx.timer(4.5)), markers()))
    kinds = [(at, str(item[0])) for at, item in entries[:-1]]
    assert kinds[-3:] == [(4.5, "interrupted"), (4.5, "end"), (4.5, "result")]
    assert entries[-2][1][1] == "interrupted"
    assert gone == ["gone"]


@BOTH
def test_interrupting_the_mapped_message_alone_cancels_the_model(shout: Any) -> None:
    agent, gone = model()
    run = say("q").pipe(agent, shout, shared())
    cut = run.pipe(messages(), ops.do_action(lambda m: setattr(run, "first", m)), ops.filter(lambda _: False))
    timer = rx.timer(4.5).pipe(ops.do_action(lambda _: run.first.interrupt()), ops.filter(lambda _: False))  # type: ignore[attr-defined]
    entries = timeline(rx.merge(run.pipe(markers()), cut, timer))
    assert entries[-1] == (4.5, END)
    assert gone == ["gone"]


@BOTH
def test_an_interrupted_original_gives_an_interrupted_twin(shout: Any) -> None:
    agent, _ = model()
    entries = timeline(say("q").pipe(agent, until(rx.timer(4.5)), shout, responses()))
    (at, message), _ = entries
    assert (at, message.text, message.finish_reason) == (4.5, "AB", "interrupted")


@BOTH
def test_what_was_paid_before_an_interruption_is_counted(shout: Any) -> None:
    llm = ScriptedLLM([Call("look"), Reply("and on and on", usage=Usage(total_tokens=9))], delay=1)
    agent = Agent("a", llm, tools=[look])
    plain = finished(say("q").pipe(Agent("a", ScriptedLLM([Call("look"), "x"]), tools=[look])))[0]
    for cut in ([shout, until(rx.timer(5.5))], [until(rx.timer(5.5)), shout]):
        llm = ScriptedLLM([Call("look"), Reply("and on and on", usage=Usage(total_tokens=9))], delay=1)
        agent = Agent("a", llm, tools=[look])
        (message,) = finished(say("q").pipe(agent, *cut))
        assert message.finish_reason == "interrupted"
        assert message.text.startswith("AND")
        assert message.usage is not None
        assert 0 < message.usage.total_tokens < 9
        assert plain.usage is not None


async def look() -> str:
    return "214"


@BOTH
def test_disposing_cancels_the_model(shout: Any) -> None:
    agent, gone = model()
    assert timeline(say("q").pipe(agent, shout, text()), dispose_at=2) == [(1, "A")]
    assert gone == ["gone"]


@BOTH
def test_leaving_the_mapped_block_leaves_the_original_to_its_other_readers(shout: Any) -> None:
    agent, gone = model()
    run = say("q").pipe(agent, shared())
    loud = run.pipe(shout, text(), ops.take(1))
    entries = timeline(rx.merge(run.pipe(text()), loud))
    assert entries == [(1, "a"), (1, "A"), (3, "b"), (5, "c"), (7, "d"), (9, "e"), (10, END)]
    assert gone == ["gone"]


def broken(token: str) -> str:
    raise ValueError(token)


async def breaking(words: AsyncIterator[str]) -> AsyncIterator[str]:
    async for word in words:
        if word == "b":
            raise ValueError(word)
        yield word


@pytest.mark.parametrize(
    "operator", [map_tokens(lambda t: broken(t) if t == "b" else t), transform(breaking)]
)
def test_what_the_function_raises_fails_the_message_where_it_is_and_cancels_the_model(operator: Any) -> None:
    agent, gone = model()
    entries = timeline(say("q").pipe(agent, operator, markers()))
    marks = [(at, str(item[0]), item[1]) for at, item in entries[:-1]]
    error = {"type": "ValueError", "message": "b", "where": "a"}
    assert marks[-3:] == [(3, "error", error), (3, "end", "a"), (3, "result", "agent-error")]
    assert gone == ["gone"]


@BOTH
def test_an_error_of_the_model_passes_in_its_place(shout: Any) -> None:
    agent = Agent("a", lambda request: marbles("-a-#"))
    (_, token), (at, error) = timeline(say("q").pipe(agent, shout, text()))
    assert token == "A"
    assert at == 3
    assert error.__notes__ == ["in a"]


async def first_two(words: AsyncIterator[str]) -> AsyncIterator[str]:
    seen = 0
    async for word in words:
        yield word
        seen += 1
        if seen == 2:
            return


def test_a_transform_that_returns_early_cancels_the_model_and_has_said_its_all() -> None:
    agent, gone = model()
    entries = timeline(say("q").pipe(agent, transform(first_two), markers()))
    kinds = [(at, str(item[0])) for at, item in entries[:-1]]
    assert kinds[-3:] == [(3, "response"), (3, "end"), (3, "result")]
    assert entries[-2][1][1] == "done"
    assert gone == ["gone"]


def test_a_free_standing_message_too_is_cancelled_when_its_transform_returns() -> None:
    stream = tokens("-a-b-c-d|")
    (message,) = finished(just(stream).pipe(transform(first_two)))
    assert (message.text, message.finish_reason) == ("ab", "stop")
    assert stream.interrupted


def test_a_transform_that_never_reads_cancels_the_model() -> None:
    async def own(words: AsyncIterator[str]) -> AsyncIterator[str]:
        await asyncio.sleep(2)
        yield "own"

    agent, gone = model()
    assert timeline(say("q").pipe(agent, transform(own), text())) == [(2, "own"), (2, END)]
    assert gone == ["gone"]


@pytest.mark.parametrize("cut_at", [1.5, 3])
def test_the_generator_is_closed_when_the_message_is_cut(cut_at: float) -> None:
    closed: list[float] = []

    async def watched(words: AsyncIterator[str]) -> AsyncIterator[str]:
        try:
            async for word in words:
                yield word
        finally:
            closed.append(asyncio.get_running_loop().time())

    agent, _ = model()
    timeline(say("q").pipe(agent, transform(watched), text()), dispose_at=cut_at)
    timeline(say("q").pipe(agent, transform(watched), until(rx.timer(cut_at)), text()))
    assert closed == [cut_at, cut_at]


def test_maps_follow_one_another() -> None:
    entries = timeline(
        say("q").pipe(model()[0], map_tokens(str.upper), transform(pairs), map_tokens(str.lower), text())
    )
    assert entries == [(3, "ab"), (7, "cd"), (10, "e"), (10, END)]


def test_a_thousand_nested_blocks_are_mapped() -> None:
    def nested() -> Any:
        item: Any = tokens("-a-b--|")
        for level in range(1_000):
            item = Block(f"b{level}", just(item))
        return just(item)

    assert timeline(nested().pipe(map_tokens(str.upper), text())) == [(1, "A"), (3, "B"), (6, END)]
    cut = timeline(nested().pipe(map_tokens(str.upper), until(rx.timer(2.0)), markers()))
    assert [str(mark) for _, (mark, _) in cut[1_000:1_003]] == ["delta", "interrupted", "end"]
    assert cut[-2][1][1] == "interrupted"
