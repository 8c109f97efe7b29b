"""transcript: what a conversation comes to."""

from __future__ import annotations

from unittest.mock import ANY

import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    MessageStream,
    StateUpdate,
    Transcript,
    Usage,
    say,
)
from rxagents.engine.emitters import just
from rxagents.operators import transcript
from rxagents.testing import Marbles
from rxagents.values import Completion


def texts(folded: Transcript) -> list[str]:
    return [message.text for message in folded]


def test_it_comes_when_all_has_ended_as_the_diagram_draws_it(marbles: Marbles) -> None:
    items = marbles.cold("""
                                  --B|
                              B   --m---|
                              m   ----x-|
    """)
    folded = items.pipe(transcript(), ops.map(texts))
    marbles.expect(folded).to_be("------(t|)", t=["x"])


def test_it_holds_inputs_answers_variables_usage_and_log(marbles: Marbles) -> None:
    state = StateUpdate("s", variables={"n": 1}, usage=Usage(total_tokens=3), log=(("info", "x"),))
    said = MessageStream(rx.of("Hi", Completion(usage=Usage(total_tokens=4))))
    items = rx.concat(say("q"), just(state, Block("b", just(said))))
    probe = marbles.probe()
    marbles.expect(items.pipe(transcript(), probe)).to_be("(t|)", t=ANY)
    marbles.flush()
    (folded,) = probe.items
    assert texts(folded) == ["q", "Hi"]
    assert folded.variables["n"] == 1
    assert folded.usage.total_tokens == 7
    assert folded.log == (("info", "x"),)


def test_an_empty_conversation_comes_to_an_empty_transcript(marbles: Marbles) -> None:
    marbles.expect(marbles.cold("|").pipe(transcript())).to_be("(t|)", t=Transcript())


def test_a_transcript_at_the_head_is_gone_on_with(marbles: Marbles) -> None:
    before = Transcript().with_message(AssistantMessage("a"))
    folded = rx.concat(just(before), say("q")).pipe(transcript(), ops.map(texts))
    marbles.expect(folded).to_be("(t|)", t=["a", "q"])


def test_it_fails_with_the_first_error(marbles: Marbles) -> None:
    error = ValueError("no")
    agent = Agent("a", marbles.llm("--#", error=error))
    probe = marbles.probe()
    folded = say("q").pipe(agent, transcript(), probe)
    marbles.expect(folded).to_be("  --#", error=error)
    marbles.flush()
    assert probe.errors == [error]
    assert error.__notes__ == ["in a"]


def test_disposing_cancels_what_runs(marbles: Marbles) -> None:
    source = marbles.cold("                              -a-b-c|")
    stream = MessageStream(source)
    heard = just(stream).pipe(transcript())
    marbles.expect(heard, unsubscribe_at="^---!").to_be("-----")
    marbles.expect_subscriptions(source).to_be("         ^---!")
    marbles.flush()
    assert stream.interrupted
    assert stream.result is not None
    assert stream.result.text == "ab"
