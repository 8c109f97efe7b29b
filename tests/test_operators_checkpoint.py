"""checkpoint: a place of one's own among those that say where an error comes from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx

from rxagents import (
    Agent,
    ConfigurationError,
    OpenAILLM,
    ScriptedLLM,
    Sequence,
    Transcript,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.llm import Call
from rxagents.operators import checkpoint, errors_as_messages, map_tokens, markers, shared, text
from rxagents.places import where
from rxagents.testing import HTTPFault, Marbles, OpenAIServer
from rxagents.testing.laws import check_laws


def failing(id: str = "writer") -> Agent:
    return Agent(id, ScriptedLLM([ValueError("no")]))


def error_of(askable: Any) -> dict[str, Any]:
    [content] = [content for mark, content in Workflow(askable).run_stream("q") if mark == "error"]
    return dict(content)


def test_its_place_stands_before_what_it_is_behind() -> None:
    assert error_of(failing().pipe(checkpoint("draft")))["where"] == "draft > writer"


def test_those_nearer_to_the_error_stand_nearer_to_it() -> None:
    bot = failing().pipe(checkpoint("inner"), checkpoint("outer"))
    team = Sequence("team", [bot])
    assert error_of(team.pipe(checkpoint("all")))["where"] == "all > team > outer > inner > writer"


def test_the_note_and_the_places_of_the_exception_say_the_same() -> None:
    team = Sequence("team", [failing().pipe(checkpoint("draft"))])
    result = Workflow(team).run("q")
    assert result.error is not None
    assert where(result.error) == ("team", "draft", "writer")
    assert result.error.__notes__ == ["in team > draft > writer"]


def test_it_stays_through_operators_behind_it() -> None:
    bot = failing().pipe(checkpoint("draft"), map_tokens(str.upper))
    assert error_of(bot)["where"] == "draft > writer"


def test_it_is_in_what_the_next_agent_reads_of_the_error() -> None:
    seen: list[Any] = []

    @agent
    def reader(transcript: Transcript) -> str:
        seen.append(transcript.messages[-1].metadata["error"]["where"])
        return "read"

    bot = failing().pipe(checkpoint("draft"), errors_as_messages())
    assert Workflow(Sequence("team", [bot, reader])).run("q") == "done"
    assert seen == ["draft > writer"]


def test_a_message_outside_of_blocks_carries_it_too(marbles: Marbles) -> None:
    error = ValueError("no")
    words = marbles.message("--a-#", error=error)
    told = {"type": "ValueError", "message": "no", "where": "draft"}
    shown = rx.of(words).pipe(checkpoint("draft"), markers())
    marbles.expect_markers(shown, only=["error", "result"]).to_be(
        [(4, "error", told), (4, "result", "agent-error")]
    )
    marbles.flush()
    assert where(error) == ("draft",)


def test_tokens_and_other_observables_pass_it_as_well(marbles: Marbles) -> None:
    error = ValueError("no")
    source = marbles.cold("--a-#", error=error).pipe(checkpoint("sensor"))
    marbles.expect(source).to_be("--a-#", error=error)
    marbles.flush()
    assert where(error) == ("sensor",)


def test_what_another_agent_hears_fails_with_the_place() -> None:
    got: list[Exception] = []
    source = say("q").pipe(failing(), checkpoint("draft"), Agent("next", ScriptedLLM(["never"])))
    shared_run = shared()(source)

    async def read() -> None:
        try:
            async for _ in shared_run:
                pass
        except ValueError as error:
            got.append(error)

    asyncio.run(read())
    assert where(got[0]) == ("draft", "writer")


def test_a_failing_tool_of_a_nested_agent_over_http() -> None:
    with OpenAIServer([HTTPFault(400, "no such model")]) as server:
        bot = Agent("writer", OpenAILLM("m", base_url=server.base_url, api_key="k"))
        content = error_of(Sequence("team", [bot.pipe(checkpoint("draft"))]))
    assert content["type"] == "ModelStatusError"
    assert content["where"] == "team > draft > writer"


def test_what_goes_well_passes_untouched() -> None:
    bot = Agent("writer", ScriptedLLM([Call("look"), "Hello there."]), tools=[look])
    plain = [
        (str(mark), content)
        for mark, content in Workflow(bot.pipe(checkpoint("draft"))).run_stream("q")
        if mark in ("delta", "function_result", "response")
    ]
    bot = Agent("writer", ScriptedLLM([Call("look"), "Hello there."]), tools=[look])
    same = [
        (str(mark), content)
        for mark, content in Workflow(bot).run_stream("q")
        if mark in ("delta", "function_result", "response")
    ]
    assert plain == same
    assert len(plain) > 3


def look() -> str:
    """Looks."""
    return "seen"


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_place_needs_a_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"checkpoint: the name .* give a few words"):
        checkpoint(name)


def test_the_laws_hold() -> None:
    check_laws(checkpoint("here"), max_examples=20)


def test_as_an_agent_and_behind_text(marbles: Marbles) -> None:
    error = ValueError("no")
    inner = Agent("bot", marbles.llm("-Hi-#", error=error))
    bot = as_agent("both", lambda source: source.pipe(inner))
    seen = say("q").pipe(bot, text(), checkpoint("tokens"))
    marbles.expect(seen, words=True).to_be("-Hi-#", error=error)
    marbles.flush()
    assert where(error) == ("tokens", "both", "bot")
