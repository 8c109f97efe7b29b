"""map_tokens and transform: from message to message, token by token, and interruption both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    MessageStream,
    StateUpdate,
    Team,
    Usage,
    UserMessage,
    say,
)
from rxagents.engine.emitters import just
from rxagents.operators import (
    map_tokens,
    markers,
    messages,
    responses,
    shared,
    text,
    transcript,
    transform,
    until,
)
from rxagents.testing import Marbles
from rxagents.values import Completion, FunctionResult, delta

texts = ops.map(lambda message: message.text)


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


# -- tokens


@BOTH
def test_each_token_comes_when_it_came_as_the_diagram_draws_it(marbles: Marbles, shout: Any) -> None:
    said = marbles.message("     --Hel-lo-|")
    heard = just(said).pipe(shout, text())
    marbles.expect(heard).to_be("--HEL-LO-|")


def test_a_transform_may_keep_and_join_tokens_as_the_diagram_draws_it(marbles: Marbles) -> None:
    said = marbles.message("     --a-b--c-|")
    heard = just(said).pipe(transform(pairs), text())
    marbles.expect(heard).to_be("----ab---(c|)")


def test_a_token_that_is_mapped_to_none_is_taken_out(marbles: Marbles) -> None:
    stream = marbles.message("-a-b-x-c|", x=delta("b", tool_calls=[]))
    probe = marbles.probe()
    without_b = map_tokens(lambda token: None if token == "b" else token)
    marbles.expect(just(stream).pipe(without_b, messages(), probe)).to_be("""
       (m|)
    m  -a-----c|
    """)
    marbles.flush()
    (twin,) = probe.items
    assert [item["content"] for item in twin.items] == ["a", None, "c"]


def test_a_token_may_be_mapped_to_nothing(marbles: Marbles) -> None:
    said = marbles.message("     a-b|")
    heard = just(said).pipe(map_tokens(lambda _: ""), text())
    marbles.expect(heard).to_be("---|")


async def doubled(words: AsyncIterator[str]) -> AsyncIterator[str]:
    yield "<"
    async for word in words:
        yield word
        yield word
    yield ">"


def test_a_transform_may_yield_more_than_it_read(marbles: Marbles) -> None:
    said = marbles.message("     ----a-----b-----|")
    heard = just(said).pipe(transform(doubled), text())
    marbles.expect(heard).to_be("'<'-(a a)-(b b)-('>'|)")


@given(st.lists(st.text(max_size=3), max_size=6))
def test_the_identity_changes_nothing_that_is_said(words: list[str]) -> None:
    for operator in (map_tokens(lambda token: token), transform(same)):
        with Marbles() as marbles:
            said = just(MessageStream(just(*words))).pipe(operator, responses(), texts)
            marbles.expect(said).to_be("(t|)", t="".join(words))


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
def test_name_role_calls_results_usage_reason_and_metadata_stay(marbles: Marbles, shout: Any) -> None:
    before, after = marbles.probe("before"), marbles.probe("after")
    said = just(MessageStream(two_rounds(), name="a")).pipe(responses(), before, texts)
    loud = just(MessageStream(two_rounds(), name="a")).pipe(shout, responses(), after, texts)
    marbles.expect(said).to_be("(t|)", t="Let me look.It is 214.")
    marbles.expect(loud).to_be("(t|)", t="LET ME LOOK.IT IS 214.")
    marbles.flush()
    (plain,), (message,) = before.items, after.items
    kept = ("name", "role", "finish_reason", "usage", "metadata", "tool_calls")
    assert [message[key] for key in kept] == [plain[key] for key in kept]
    assert message.usage == Usage(total_tokens=5)
    assert [step.role for step in message.steps] == ["assistant", "tool"]
    assert message.steps[0].tool_calls == plain.steps[0].tool_calls


@BOTH
def test_a_message_that_was_finished_before_is_mapped_too(marbles: Marbles, shout: Any) -> None:
    said = AssistantMessage("hi", name="a", usage=Usage(total_tokens=2), finish_reason="length")
    probe = marbles.probe()
    loud = just(MessageStream.of(said)).pipe(shout, responses(), probe, texts)
    marbles.expect(loud).to_be("(t|)", t="HI")
    marbles.flush()
    (message,) = probe.items
    assert (message.name, message.usage, message.finish_reason) == ("a", said.usage, "length")


@BOTH
def test_messages_of_the_user_and_the_system_and_state_pass_as_they_are(marbles: Marbles, shout: Any) -> None:
    items = [
        MessageStream.of(UserMessage("q")),
        StateUpdate("plan"),
        marbles.message("----s|", role="system"),
    ]
    probe = marbles.probe()
    marbles.expect(just(*items).pipe(shout, probe), state=True).to_be("""
       (m <plan> m2|)
    m  (q|)
    m2 ----s|
    """)
    marbles.flush()
    assert probe.items == items


@BOTH
def test_blocks_keep_their_names_and_nesting(marbles: Marbles, shout: Any) -> None:
    def items() -> Observable[Any]:
        inner = Block("inner", just(marbles.message("    -----a---|")), entry="aside")
        return just(Block("outer", just(marbles.message("-b-----|"), inner), catches_stops=True))

    probe = marbles.probe()
    marbles.expect(items().pipe(shout, probe)).to_be("""
           (outer|)
    outer  (m inner)|
    m      -B-----|
    inner  m2-------|
    m2     -----A---|
    """)
    marbles.expect_markers(items().pipe(shout, markers())).to_be(
        [
            *((0, "start", "outer"), (0, "start", "inner"), (1, "delta", "B"), (5, "delta", "A")),
            *((7, "response", "B"), (9, "response", "A"), (9, "end", "inner"), (9, "end", "outer")),
            (9, "result", "done"),
        ]
    )
    marbles.flush()
    (block,) = probe.items
    assert block.catches_stops
    assert [item.entry for item in block.items if isinstance(item, Block)] == ["aside"]


@BOTH
def test_a_team_is_mapped_with_its_outcome(marbles: Marbles, shout: Any) -> None:
    llm = marbles.llm(lambda request: "--hi-|")
    team = Team(marbles.llm(), [Agent("bot", llm)], "team", max_turns=2)
    said = say("q").pipe(team, shout)
    marbles.expect(said).to_be("""
           (team|)
    team   bot--bot.2|
    bot    m----|
    m      --HI-|
    bot.2  -----m2---|
    m2     -------HI-|
    """)
    marbles.expect_markers(said.pipe(markers(), ops.last())).to_be([(10, "result", "max-turns")])


@BOTH
def test_list_shaped_content_does_not_go_on_saying_the_old_text(marbles: Marbles, shout: Any) -> None:
    parts = [{"type": "text", "text": "secret"}, {"type": "image_url", "image_url": {"url": "x"}}]
    said = MessageStream(just(delta("secret", content_parts=parts)))
    probe = marbles.probe()
    marbles.expect(just(said).pipe(shout, responses(), probe, texts)).to_be("(t|)", t="SECRET")
    marbles.flush()
    (message,) = probe.items
    assert "secret" not in str(message.to_dict())
    assert message.metadata["content_parts"] == parts[1:]


def test_an_agent_behind_a_map_hears_the_mapped_words(marbles: Marbles) -> None:
    first = marbles.llm("        -hi|")
    second = marbles.llm("       -done|")
    said = say("q").pipe(Agent("a", first), map_tokens(str.upper), Agent("b", second))
    heard = said.pipe(responses())
    marbles.expect(heard).to_be("--------([done]|)")
    marbles.flush()
    assert second.requests[0].messages == ({"role": "user", "content": "HI", "name": "a"},)


# -- interruption and errors


@BOTH
def test_interrupting_the_mapped_block_cancels_the_model(marbles: Marbles, shout: Any) -> None:
    llm = marbles.llm("                      -a-b-c-d-e|")
    stop = marbles.hot("                     ----s")
    said = say("q").pipe(Agent("bot", llm), shout, until(stop))
    marbles.expect_markers(said.pipe(markers())).to_be(
        [
            *((0, "start", "bot"), (1, "delta", "A"), (3, "delta", "B")),
            *((4, "interrupted", "AB"), (4, "end", "bot"), (4, "result", "interrupted")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("^---!")


@BOTH
def test_interrupting_the_mapped_message_alone_cancels_the_model(marbles: Marbles, shout: Any) -> None:
    llm = marbles.llm("                        -a-b-c-d-e|")
    probe = marbles.probe()
    run = say("q").pipe(Agent("bot", llm), shout, shared())
    marbles.at(4, lambda: probe.items[0].interrupt())
    marbles.expect(run.pipe(messages(), probe)).to_be("""
       m---|
    m  -A-B~
    """)
    marks = marbles.probe()
    marbles.expect_subscriptions(marks).to_be("^---!")
    marbles.expect_markers(run.pipe(markers(), marks)).to_be(
        [
            *((0, "start", "bot"), (1, "delta", "A"), (3, "delta", "B")),
            *((4, "interrupted", "AB"), (4, "end", "bot"), (4, "result", "done")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("  ^---!")


@BOTH
def test_an_interrupted_original_gives_an_interrupted_twin(marbles: Marbles, shout: Any) -> None:
    llm = marbles.llm("         -a-b-c-d-e|")
    stop = marbles.hot("        ----s")
    probe = marbles.probe()
    said = say("q").pipe(Agent("bot", llm), until(stop), shout, responses(), probe)
    marbles.expect(said).to_be("----([AB]|)")
    marbles.flush()
    (message,) = probe.items
    assert message.finish_reason == "interrupted"


@BOTH
def test_what_was_paid_before_an_interruption_is_counted(marbles: Marbles, shout: Any) -> None:
    paid, unpaid = Completion(Usage(total_tokens=3)), Completion(Usage(total_tokens=9))
    look = marbles.tool("look", "(214|)")
    stop = marbles.hot("                         ------------s")
    probe = marbles.probe()
    for cut in ([shout, until(stop)], [until(stop), shout]):
        llm = marbles.llm("                      -@look-u|", "-and-on-and-on-v|", u=paid, v=unpaid)
        said = say("q").pipe(Agent("bot", llm, tools=[look]), *cut, responses(), probe)
        marbles.expect(said).to_be("             ------------([AND]|)")
        marbles.expect_subscriptions(llm).to_be("^-------!", "--------^---!")
    marbles.flush()
    assert [message.finish_reason for message in probe.items] == ["interrupted"] * 2
    assert [message.usage for message in probe.items] == [Usage(total_tokens=3)] * 2


@BOTH
def test_disposing_cancels_the_model(marbles: Marbles, shout: Any) -> None:
    llm = marbles.llm("                               -a-b-c-d-e|")
    said = say("q").pipe(Agent("bot", llm), shout, text())
    marbles.expect(said, unsubscribe_at="^-!").to_be("-A-")
    marbles.expect_subscriptions(llm).to_be("         ^-!")


@BOTH
def test_leaving_the_mapped_block_leaves_the_original_to_its_other_readers(
    marbles: Marbles, shout: Any
) -> None:
    llm = marbles.llm("                      -a-b-c-d-e|")
    run = say("q").pipe(Agent("bot", llm), shared())
    loud = run.pipe(shout, text(), ops.take(1))
    marbles.expect(run.pipe(text())).to_be(" -a-b-c-d-e|")
    marbles.expect(loud).to_be("             -(A|)")
    marbles.expect_subscriptions(llm).to_be("^---------!")


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
def test_what_the_function_raises_fails_the_message_where_it_is_and_cancels_the_model(
    marbles: Marbles, operator: Any
) -> None:
    llm = marbles.llm("                      -a-b-c-d-e|")
    error = {"type": "ValueError", "message": "b", "where": "bot"}
    marbles.expect_markers(say("q").pipe(Agent("bot", llm), operator, markers())).to_be(
        [
            *((0, "start", "bot"), (1, "delta", "a"), (3, "error", error)),
            *((3, "end", "bot"), (3, "result", "agent-error")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("^--!")


@BOTH
def test_an_error_of_the_model_passes_in_its_place(marbles: Marbles, shout: Any) -> None:
    error = ValueError("no")
    llm = marbles.llm("         -a-#", error=error)
    said = say("q").pipe(Agent("bot", llm), shout, text())
    marbles.expect(said).to_be("-A-#", error=error)
    marbles.flush()
    assert error.__notes__ == ["in bot"]


async def first_two(words: AsyncIterator[str]) -> AsyncIterator[str]:
    seen = 0
    async for word in words:
        yield word
        seen += 1
        if seen == 2:
            return


def test_a_transform_that_returns_early_cancels_the_model_and_has_said_its_all(marbles: Marbles) -> None:
    llm = marbles.llm("                      -a-b-c-d-e|")
    said = say("q").pipe(Agent("bot", llm), transform(first_two))
    marbles.expect_markers(said.pipe(markers())).to_be(
        [
            *((0, "start", "bot"), (1, "delta", "a"), (3, "delta", "b")),
            *((3, "response", "ab"), (3, "end", "bot"), (3, "result", "done")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("^--!")


def test_a_free_standing_message_too_is_cancelled_when_its_transform_returns(marbles: Marbles) -> None:
    stream = marbles.message("   -a-b-c-d|")
    probe = marbles.probe()
    heard = just(stream).pipe(transform(first_two), responses(), probe)
    marbles.expect(heard).to_be("---([ab]|)")
    marbles.flush()
    assert probe.items[0].finish_reason == "stop"
    assert stream.interrupted


def test_a_transform_that_never_reads_cancels_the_model(marbles: Marbles) -> None:
    async def own(words: AsyncIterator[str]) -> AsyncIterator[str]:
        await asyncio.sleep(2)
        yield "own"

    llm = marbles.llm("                      -a-b-c-d-e|")
    said = say("q").pipe(Agent("bot", llm), transform(own), text())
    marbles.expect(said).to_be("             --(own|)")
    marbles.expect_subscriptions(llm).to_be("^-!")


@pytest.mark.parametrize(("stop", "heard"), [("--s", "-a|"), ("---s", "-a-|")])
def test_the_generator_is_closed_when_the_message_is_cut(marbles: Marbles, stop: str, heard: str) -> None:
    closed: list[float] = []

    async def watched(words: AsyncIterator[str]) -> AsyncIterator[str]:
        try:
            async for word in words:
                yield word
        finally:
            closed.append(asyncio.get_running_loop().time())

    llm = marbles.llm("-a-b-c-d-e|", "-a-b-c-d-e|")
    said = say("q").pipe(Agent("bot", llm), transform(watched))
    at = stop.index("s")
    marbles.expect(said.pipe(text()), unsubscribe_at=at).to_be(heard.rstrip("|"))
    marbles.expect(said.pipe(until(marbles.cold(stop)), text())).to_be(heard)
    marbles.flush()
    assert closed == [at, at]


def test_maps_follow_one_another(marbles: Marbles) -> None:
    llm = marbles.llm("                      -a-b-c-d-e|")
    said = say("q").pipe(Agent("bot", llm), map_tokens(str.upper), transform(pairs), map_tokens(str.lower))
    marbles.expect(said.pipe(text())).to_be("---ab--cd-(e|)")


def test_a_thousand_nested_blocks_are_mapped(marbles: Marbles) -> None:
    def nested() -> Observable[Any]:
        item: Any = marbles.message("-a-b--|")
        for level in range(1_000):
            item = Block(f"b{level}", just(item))
        return just(item)

    heard = nested().pipe(map_tokens(str.upper), text())
    marbles.expect(heard).to_be("    -A-B--|")
    stop = marbles.hot("             --s")
    marbles.expect_markers(nested().pipe(map_tokens(str.upper), until(stop), markers())).to_be(
        [
            *((0, "start", f"b{level}") for level in reversed(range(1_000))),
            *((1, "delta", "A"), (2, "interrupted", "A")),
            *((2, "end", f"b{level}") for level in range(1_000)),
            (2, "result", "interrupted"),
        ]
    )


async def unchanged(tokens: AsyncIterator[str]) -> AsyncIterator[str]:
    async for token in tokens:
        yield token


@pytest.mark.parametrize("operator", [transform(unchanged), map_tokens(str)], ids=["transform", "map_tokens"])
def test_a_turn_ends_before_the_next_one_begins(operator: Any, marbles: Marbles) -> None:
    team = Team(marbles.llm(), [Agent("bot", marbles.llm("-Hi-|", "-Yo-|"))], "team", max_turns=2)
    marbles.expect_markers(say("q").pipe(team, operator, markers())).to_be(
        [
            *((0, "start", "team"), (0, "start", "bot")),
            *((1, "delta", "Hi"), (4, "response", "Hi"), (4, "end", "bot")),
            *((4, "start", "bot"), (5, "delta", "Yo"), (8, "response", "Yo"), (8, "end", "bot")),
            *((8, "end", "team"), (8, "result", "max-turns")),
        ]
    )


def test_what_is_said_twice_has_one_twin(marbles: Marbles) -> None:
    said = MessageStream(just("a"), name="bot")
    block = Block("bot", just(said))
    twice = just(said, block, said, block).pipe(map_tokens(str.upper))
    heard = twice.pipe(transcript(), ops.map(lambda found: [message.text for message in found]))
    marbles.expect(heard).to_be("(x|)", x=["A"])
    marbles.expect(twice.pipe(ops.to_set(), ops.map(len))).to_be("(n|)", n=2)
