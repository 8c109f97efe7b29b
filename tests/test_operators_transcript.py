"""transcript: what a conversation comes to."""

from __future__ import annotations

from typing import Any

import reactivex as rx
from reactivex import Observable

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    MessageStream,
    ScriptedLLM,
    StateUpdate,
    Transcript,
    Usage,
    say,
)
from rxagents.operators import transcript
from rxagents.sinks import just
from rxagents.testing.timelines import END, timeline
from rxagents.values import Completion


def marbles(diagram: str, **lookup: Any) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0, lookup=lookup)


def test_it_comes_when_all_has_ended_as_the_diagram_draws_it() -> None:
    block = Block("B", marbles("m---|", m=MessageStream(marbles("--x-|"))))
    (at, folded), end = timeline(marbles("--B|", B=block).pipe(transcript()))
    assert at == 6
    assert [message.text for message in folded] == ["x"]
    assert end == (6, END)


def test_it_holds_inputs_answers_variables_usage_and_log() -> None:
    state = StateUpdate("s", variables={"n": 1}, usage=Usage(total_tokens=3), log=(("info", "x"),))
    said = MessageStream(rx.of("Hi", Completion(usage=Usage(total_tokens=4))))
    (_, folded), _ = timeline(rx.concat(say("q"), just(state, Block("b", just(said)))).pipe(transcript()))
    assert [message.text for message in folded] == ["q", "Hi"]
    assert folded.variables["n"] == 1
    assert folded.usage.total_tokens == 7
    assert folded.log == (("info", "x"),)


def test_an_empty_conversation_comes_to_an_empty_transcript() -> None:
    assert timeline(rx.empty().pipe(transcript())) == [(0, Transcript()), (0, END)]


def test_a_transcript_at_the_head_is_gone_on_with() -> None:
    before = Transcript().with_message(AssistantMessage("a"))
    (_, folded), _ = timeline(rx.concat(just(before), say("q")).pipe(transcript()))
    assert [message.text for message in folded] == ["a", "q"]


def test_it_fails_with_the_first_error() -> None:
    error = ValueError("no")
    agent = Agent("a", ScriptedLLM([error]))
    assert timeline(say("q").pipe(agent, transcript())) == [(0, error)]
    assert error.__notes__ == ["in a"]


def test_disposing_cancels_what_runs() -> None:
    stream = MessageStream(marbles("-a-b-c|"))
    assert timeline(just(stream).pipe(transcript()), dispose_at=4) == []
    assert stream.interrupted
    assert stream.result is not None
    assert stream.result.text == "ab"
