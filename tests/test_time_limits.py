"""timeouts: how long a model may take to begin, to go on, and in all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx

from rxagents import (
    Agent,
    ChatRequest,
    ConfigurationError,
    ModelConnectionError,
    ModelTimeoutError,
    OpenAILLM,
    ScriptedLLM,
    Workflow,
    say,
)
from rxagents.engine.demands import demanded_by
from rxagents.llm import fallback, hedge, rate_limited, retry, timeouts
from rxagents.operators import text
from rxagents.testing import Marbles, OpenAIServer, Paused, Stalled
from rxagents.values import delta

from .valves import Valve

REQUEST = ChatRequest(({"role": "user", "content": "Hi"},))
WAIT = 10.0
LATE = ModelTimeoutError("llm said nothing within 3 s; ask again, or raise `first_token` of its timeouts")
SILENT = ModelTimeoutError(
    "llm fell silent in the midst of its answer for 3 s; ask again, or raise `between_tokens` of its timeouts"
)
LONG = ModelTimeoutError(
    "llm had not answered to the end within 5 s; ask again, or raise `total` of its timeouts"
)


def test_the_first_token(marbles: Marbles) -> None:
    llm = marbles.llm("-----Late|")
    marbles.expect(timeouts(llm, first_token=3)(REQUEST)).to_be("---#", error=LATE)
    marbles.expect_subscriptions(llm).to_be("                    ^--!")


def test_the_model_is_let_go_of_before_the_error_is_told(marbles: Marbles) -> None:
    llm = marbles.llm("-----Late|")
    gone: list[Any] = []
    heard = timeouts(llm, first_token=3)(REQUEST).pipe(
        rx.operators.do_action(on_error=lambda _: gone.append(llm.calls.subscriptions[0].until))
    )
    marbles.expect(heard).to_be("---#", error=LATE)
    marbles.flush()
    assert gone == [3.0]


def test_the_first_token_in_time(marbles: Marbles) -> None:
    llm = marbles.llm("--Hi----------there|")
    marbles.expect(timeouts(llm, first_token=3)(REQUEST)).to_be("--Hi----------there|")


def test_what_says_nothing_is_no_token(marbles: Marbles) -> None:
    llm = marbles.llm("o-k-Late|", o=delta(""), k=delta(reasoning=None))
    heard = timeouts(llm, first_token=3)(REQUEST)
    marbles.expect(heard).to_be("---#", error=LATE)


def test_a_thought_and_a_piece_of_a_call_are_tokens(marbles: Marbles) -> None:
    llm = marbles.llm("--t--@find--|", t=delta(reasoning="Hm"))
    heard = timeouts(llm, first_token=3, between_tokens=8)(REQUEST)
    marbles.expect(heard).to_be("--t--@find--|", t={"reasoning": "Hm"})


def test_between_two_tokens(marbles: Marbles) -> None:
    llm = marbles.llm("-----Hi-you----there|")
    marbles.expect(timeouts(llm, between_tokens=3)(REQUEST)).to_be("-----Hi-you#", error=SILENT)
    marbles.expect_subscriptions(llm).to_be("                       ^----------!")


def test_from_the_last_token_to_the_end(marbles: Marbles) -> None:
    llm = marbles.llm("-Hi-----|")
    marbles.expect(timeouts(llm, between_tokens=3)(REQUEST)).to_be("-Hi-#", error=SILENT)


def test_in_all(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b--c-d|")
    marbles.expect(timeouts(llm, total=5.0)(REQUEST)).to_be("-a-b-#", error=LONG)


def test_the_nearest_limit_is_named(marbles: Marbles) -> None:
    a, b = marbles.llm("-a-b--c-d|", name="llm"), marbles.llm("------a|", name="llm")
    both = {"first_token": 3, "between_tokens": 3, "total": 5}
    marbles.expect(timeouts(a, **both)(REQUEST)).to_be("-a-b-#", error=LONG)  # type: ignore[arg-type]
    marbles.expect(timeouts(b, **both)(REQUEST)).to_be("---#", error=LATE)  # type: ignore[arg-type]


def test_a_shorter_limit_takes_over_with_the_first_token(marbles: Marbles) -> None:
    llm = marbles.llm("-Hi------there|")
    heard = timeouts(llm, first_token=60, between_tokens=3)(REQUEST)
    marbles.expect(heard).to_be("-Hi-#", error=SILENT)


def test_in_time_it_changes_nothing_and_leaves_nothing(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b-c|")
    heard = timeouts(llm, first_token=100, between_tokens=100, total=100)(REQUEST)
    marbles.expect(heard, state=True).to_equal(marbles.llm("-a-b-c|")(REQUEST))


def test_after_a_restart_the_first_token_is_waited_for_again(marbles: Marbles) -> None:
    a = marbles.llm("-Hi-#", error=ModelConnectionError("lost"))
    b = marbles.llm("-------Late|")
    llm = timeouts(fallback(a, b, restart=True), first_token=3, between_tokens=4)
    marbles.expect(llm(REQUEST)).to_be(
        "-Hi-x--#", x={"restart": "lost"},
        error=ModelTimeoutError(
            "fallback(llm, llm2, restart=True) said nothing within 3 s; ask again, or raise `first_token` "
            "of its timeouts"
        ),
    )  # fmt: skip


def test_what_had_come_stays(marbles: Marbles) -> None:
    workflow = Workflow(Agent("bot", timeouts(marbles.llm("-Hi-there----late|"), between_tokens=3)))
    marbles.expect_markers(workflow.observe("q"), only=["delta", "error", "response", "end"]).to_be(
        [
            *((1, "delta", "Hi"), (4, "delta", "there")),
            (7, "error", {"type": "ModelTimeoutError", "message": str(SILENT), "where": "bot"}),
            (7, "end", "bot"),
        ]
    )
    marbles.flush()
    said = workflow.conversation[-1]
    assert (said.text, said.finish_reason) == ("Hithere", "error")


def test_disposing_silences_the_clock(marbles: Marbles) -> None:
    llm = marbles.llm("-----Late|")
    marbles.expect(timeouts(llm, first_token=3)(REQUEST), unsubscribe_at="--!").to_be("-")
    marbles.expect_subscriptions(llm).to_be("^-!")


def paused(marbles: Marbles, llm: Any, pauses: list[tuple[float, float]]) -> list[Any]:
    """What comes of a model, and when, if its reader pauses."""
    heard: list[Any] = []
    valve = Valve()

    def read() -> None:
        def note(what: Any) -> None:
            heard.append((asyncio.get_running_loop().time(), what))

        with demanded_by(valve):
            llm(REQUEST).subscribe(
                lambda item: note(item if isinstance(item, str) else "completion"),
                lambda error: note(type(error).__name__),
                lambda: note("end"),
            )

    marbles.at(0, read)
    for begin, end in pauses:
        marbles.at(begin, valve.close)
        marbles.at(end, valve.open)
    marbles.flush()
    assert valve.watchers == 0
    return heard


def test_while_a_reader_pauses_the_clocks_stand_still(marbles: Marbles) -> None:
    llm = timeouts(marbles.llm("-Hi-----------you|"), between_tokens=5, total=9)
    # 13 seconds lie between the two, of which 9 are a pause
    assert paused(marbles, llm, [(2, 8), (9, 12)]) == [
        (1, "Hi"),
        (14, "you"),
        (17, "completion"),
        (17, "end"),
    ]


def test_after_a_pause_the_rest_of_the_time_is_left(marbles: Marbles) -> None:
    llm = timeouts(marbles.llm("-Hi--------------------you|"), between_tokens=3)
    assert paused(marbles, llm, [(2, 8), (9, 12)]) == [(1, "Hi"), (13, "ModelTimeoutError")]


def test_a_pause_that_is_there_already_counts_from_the_beginning(marbles: Marbles) -> None:
    llm = timeouts(marbles.llm("---------Hi|"), first_token=3)
    assert paused(marbles, llm, [(0, 7)])[0] == (9, "Hi")


def test_a_token_that_comes_in_a_pause_is_as_late_as_the_pause_began(marbles: Marbles) -> None:
    llm = timeouts(marbles.llm("-Hi----you------------there|"), between_tokens=3)
    assert paused(marbles, llm, [(2, 9)]) == [(1, "Hi"), (7, "you"), (12, "ModelTimeoutError")]


def test_within_another_model_they_stand_still_as_well(marbles: Marbles) -> None:
    slow = marbles.llm("#", "------------Hi|", error=ModelConnectionError("lost"))
    llm = retry(hedge(timeouts(slow, first_token=3), after=100), delay=2, jitter=None)
    # asked again at 2, by a timer, and 10 seconds of the 12 that follow are a pause
    assert paused(marbles, llm, [(3, 13)])[0] == (14, "Hi")


def test_the_line_counts_outside_and_not_inside(marbles: Marbles) -> None:
    outside = marbles.llm("-----Hi|")
    shared = rate_limited(outside, concurrent=1)
    marbles.expect(shared(REQUEST)).to_be("-----Hi|")
    late = timeouts(shared, first_token=3)
    marbles.expect(late(REQUEST)).to_be("---#", error=ModelTimeoutError)
    inside = rate_limited(timeouts(marbles.llm("--Hi--|", "--Yes|"), first_token=3), concurrent=1)
    marbles.expect(inside(REQUEST)).to_be("--Hi--|")
    marbles.expect(inside(REQUEST)).to_be("--------Yes|")


def test_compositions(marbles: Marbles) -> None:
    a, b = marbles.llm("-----Late|"), marbles.llm("--Hi|")
    llm = fallback(timeouts(a, first_token=2), b)
    marbles.expect(say("q").pipe(Agent("bot", llm), text())).to_be("----Hi|")
    marbles.expect_subscriptions(a).to_be("^-!")


def test_models_that_answer_at_once() -> None:
    llm = timeouts(lambda _: rx.of("He", "llo"), first_token=1, total=2)
    assert Workflow(Agent("bot", llm)).run("Hi").text == "Hello"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "timeouts: give `first_token`, `between_tokens` or `total`, in seconds"),
        ({"total": 0}, "timeouts: total is 0; it must be a number of seconds, above 0"),
        ({"first_token": "5"}, "timeouts: first_token is '5'; it must be a number of seconds, above 0"),
    ],
)
def test_arguments_of_no_use(options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        timeouts(ScriptedLLM([]), **options)
    assert str(caught.value) == words


def served(server: OpenAIServer) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", max_retries=0)


def test_it_names_its_model_and_limits() -> None:
    a = OpenAILLM("a", base_url="http://a/v1", api_key="k")
    assert repr(timeouts(a, first_token=5, total=60)) == f"timeouts({a!r}, first_token=5, total=60)"
    assert timeouts(a, total=1).model == "a"


@pytest.mark.usefixtures("each_transport")
def test_over_the_wire_it_is_closed_before_its_next_token() -> None:
    with OpenAIServer([Paused(2, "one two three")]) as server:
        result = Workflow(Agent("bot", timeouts(served(server), between_tokens=0.05))).run("Hi")
        assert isinstance(result.error, ModelTimeoutError)
        assert "fell silent in the midst of its answer for 0.05 s" in str(result.error)
        (request,) = server.requests
        assert request.wait_closed(WAIT)
        request.release()
        assert request.events_sent == 2


@pytest.mark.usefixtures("each_transport")
def test_over_the_wire_it_is_closed_before_its_first_token() -> None:
    async def main(server: OpenAIServer) -> Exception:
        valve = Valve()  # the time begins when the request is there
        valve.close()
        failed = asyncio.get_running_loop().create_future()
        with demanded_by(valve):
            timeouts(served(server), first_token=0.05)(REQUEST).subscribe(on_error=failed.set_result)
        assert await asyncio.to_thread(server.wait_for_requests, 1, WAIT)
        valve.open()
        return await failed  # type: ignore[no-any-return]

    with OpenAIServer([Paused(1, "one two three")]) as server:
        assert "said nothing within 0.05 s" in str(asyncio.run(main(server)))
        (request,) = server.requests
        assert request.wait_closed(WAIT)
        request.release()
        assert request.events_sent <= 1


@pytest.mark.usefixtures("each_transport")
def test_over_the_wire_another_one_answers_in_the_place_of_one_that_stalls() -> None:
    with OpenAIServer([Stalled(2, "one two")]) as stalled, OpenAIServer(["Hello."]) as other:
        llm = fallback(timeouts(served(stalled), between_tokens=0.05), served(other), restart=True)
        assert Workflow(Agent("bot", llm)).run("Hi").text == "Hello."
        assert stalled.requests[0].wait_closed(WAIT)


def test_a_reader_who_is_a_buffer_behind_makes_no_model_late(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b-----------c-|", "-a-------b|")
    bot = Agent("bot", timeouts(llm, between_tokens=3))

    async def read(pause: float) -> list[str]:
        marks = []
        async for mark, content in Workflow(bot).arun_stream("q", buffer=1):
            if mark == "delta":
                marks.append(content["content"])
                await asyncio.sleep(pause)
            elif mark == "error":
                marks.append(content["type"])
        return marks

    async def main() -> tuple[list[str], list[str]]:
        return await read(14.0), await read(0.0)

    assert marbles.run(main()) == (["a", "b", "c"], ["a", "ModelTimeoutError"])
