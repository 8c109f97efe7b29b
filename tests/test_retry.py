"""retry: a model that is asked again where it fails for a reason that may pass."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    ChatRequest,
    ConfigurationError,
    ModelConnectionError,
    ModelError,
    ModelProtocolError,
    ModelStatusError,
    ModelStreamError,
    ModelTimeoutError,
    OpenAILLM,
    ScriptedLLM,
    Usage,
    Workflow,
    say,
)
from rxagents.llm import fallback, retry, timeouts
from rxagents.llm.retries import may_pass
from rxagents.operators import markers, partials, text, transform
from rxagents.testing import Dropped, HTTPFault, Malformed, Marbles, OpenAIServer, Paused
from rxagents.values import delta

REQUEST = ChatRequest(({"role": "user", "content": "Hi"},))
WAIT = 10.0
LOST = ModelConnectionError("lost")


def test_it_is_asked_again_with_waits_that_double(marbles: Marbles) -> None:
    llm = marbles.llm("-#", "-#", "-#", "-Hi|", error=LOST)
    marbles.expect(retry(llm, 3, delay=1, jitter=None)(REQUEST)).to_be("-----------Hi|")
    marbles.expect_subscriptions(llm.calls[0]).to_be("^!")
    marbles.expect_subscriptions(llm.calls[1]).to_be("--^!")
    marbles.expect_subscriptions(llm.calls[2]).to_be("-----^!")
    marbles.expect_subscriptions(llm.calls[3]).to_be("----------^--!")


def test_the_waits_have_an_upper_bound(marbles: Marbles) -> None:
    llm = marbles.llm("#", "#", "#", "Hi|", error=LOST)
    marbles.expect(retry(llm, 3, delay=2, max_delay=3, jitter=None)(REQUEST)).to_be("--------Hi|")


def test_jitter_takes_up_to_half_off_and_may_be_seeded(marbles: Marbles) -> None:
    llm = marbles.llm("#", "Hi|", error=LOST)
    marbles.expect(retry(llm, delay=4, jitter=lambda: 1.0)(REQUEST)).to_be("--Hi|")
    waits = [retry(llm, delay=4, jitter=random.Random(1).random).wait(1, LOST) for _ in range(2)]
    assert waits == [4 * (1 - random.Random(1).random() / 2)] * 2
    assert all(2 <= retry(llm, delay=4).wait(1, LOST) <= 4 for _ in range(20))


def test_a_function_may_say_how_long_to_wait(marbles: Marbles) -> None:
    llm = marbles.llm("#", "#", "Hi|", error=LOST)
    asked: list[Any] = []

    def delay(failures: int, error: Exception) -> float:
        asked.append((failures, error))
        return 3.0 * failures

    marbles.expect(retry(llm, delay=delay)(REQUEST)).to_be("---------Hi|")
    marbles.flush()
    assert asked == [(1, LOST), (2, LOST)]


def test_a_function_that_gives_no_time_fails_the_answer() -> None:
    with pytest.raises(
        ConfigurationError, match="retry: what delay gave is 'soon'; it must be a number of seconds"
    ):
        retry(ScriptedLLM([LOST]), delay=lambda failures, error: "soon")(REQUEST).run()  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("given", ["x", -0.1, 1.5, None])
def test_a_jitter_that_gives_no_part_fails_the_answer(given: Any) -> None:
    words = f"retry: what jitter gave is {given!r}; it must be a number from 0 to 1"
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        retry(ScriptedLLM([LOST]), jitter=lambda: given)(REQUEST).run()


def test_what_a_function_raises_hides_no_failure() -> None:
    def on(error: Exception) -> bool:
        raise LookupError("of the predicate")

    def same(error: Exception) -> bool:
        raise error

    with pytest.raises(LookupError) as caught:
        retry(ScriptedLLM([LOST]), on=on)(REQUEST).run()
    assert caught.value.__context__ is LOST
    lost = ModelConnectionError("lost")
    with pytest.raises(ModelConnectionError) as caught_same:
        retry(ScriptedLLM([lost]), on=same)(REQUEST).run()
    assert caught_same.value is lost
    assert lost.__context__ is not lost


def test_what_the_service_says_is_waited(marbles: Marbles) -> None:
    llm = marbles.llm("#", "Hi|", error=ModelStatusError("slow down", status=429, retry_after=5.0))
    marbles.expect(retry(llm, delay=1)(REQUEST)).to_be("-----Hi|")


def test_longer_than_the_upper_bound_is_not_waited(marbles: Marbles) -> None:
    error = ModelStatusError("come back tomorrow", status=429, retry_after=86_400.0)
    llm, other = marbles.llm("-#", error=error), marbles.llm("-Hi|")
    marbles.expect(retry(llm)(REQUEST)).to_be("-#", error=error)
    again = marbles.llm("-#", error=error)
    marbles.expect(fallback(retry(again), other)(REQUEST)).to_be("--Hi|")


def test_when_it_has_failed_for_good_the_last_error_tells_of_the_others(marbles: Marbles) -> None:
    first, second, last = LOST, ModelTimeoutError("slow"), ModelStatusError("busy", status=503)
    errors = iter([first, second, last])
    llm = retry(lambda _: rx.throw(next(errors)), delay=1, jitter=None)
    marbles.expect(llm(REQUEST)).to_be("---#", error=last)
    marbles.flush()
    assert last.__notes__ == [
        "before it, attempt 1: ModelConnectionError: lost\nbefore it, attempt 2: ModelTimeoutError: slow"
    ]


def test_after_the_first_token_a_failure_is_the_answers(marbles: Marbles) -> None:
    llm = marbles.llm("-Hi-#", error=LOST)
    marbles.expect(retry(llm)(REQUEST)).to_be("-Hi-#", error=LOST)


def test_with_restart_it_says_at_once_that_what_came_is_void(marbles: Marbles) -> None:
    llm = marbles.llm("-Hi-#", "-Hello|", error=LOST)
    marbles.expect(retry(llm, delay=2, jitter=None, restart=True)(REQUEST)).to_be(
        "-Hi-x--Hello|", x={"restart": "lost"}
    )


def test_a_restart_within_a_composition_is_told_once(marbles: Marbles) -> None:
    llm = marbles.llm("-Hi-#", "-#", "-Hello|", error=LOST)
    marbles.expect(retry(llm, delay=1, jitter=None, restart=True)(REQUEST)).to_be(
        "-Hi-x----Hello|", x={"restart": "lost"}
    )


def test_what_each_attempt_took_is_counted() -> None:
    took = Usage(total_tokens=3, prompt_tokens=3)
    script = [[rx.of("No"), rx.throw(LOST)], [rx.of("Yes")]]
    answers = iter(script)

    def llm(_: ChatRequest) -> rx.Observable[Any]:
        from rxagents import Completion

        first, *rest = next(answers)
        return rx.concat(first, rx.of(Completion(took)), *rest)

    result = Workflow(Agent("bot", retry(llm, delay=0, restart=True))).run("q")
    assert (result.text, result.usage) == ("Yes", Usage(total_tokens=6, prompt_tokens=6))


def status(code: int) -> ModelStatusError:
    return ModelStatusError("no", status=code)


@pytest.mark.parametrize(
    "error",
    [
        LOST,
        ModelTimeoutError("late"),
        ModelStreamError("overloaded"),
        *map(status, (408, 409, 429, 500, 503)),
    ],
    ids=repr,
)
def test_what_may_pass(error: Exception) -> None:
    assert may_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        status(400),
        status(401),
        status(404),
        ModelProtocolError("?"),
        ConfigurationError("key"),
        ValueError("mine"),
    ],
    ids=repr,
)
def test_what_does_not_pass_is_told_at_once(error: Exception) -> None:
    llm = ScriptedLLM([error])
    with pytest.raises(type(error), match=str(error).replace("?", r"\?")):
        retry(llm)(REQUEST).run()
    assert len(llm.requests) == 1


def test_on_decides_otherwise(marbles: Marbles) -> None:
    llm = marbles.llm("#", "#", "Hi|", error=ValueError("mine"))
    marbles.expect(retry(llm, on=ValueError, delay=1, jitter=None)(REQUEST)).to_be("---Hi|")
    again = marbles.llm("#", error=LOST)
    marbles.expect(retry(again, on=ValueError)(REQUEST)).to_be("#", error=LOST)


def test_disposing_cancels_the_attempt_or_the_wait(marbles: Marbles) -> None:
    first, second = marbles.llm("-#", "--Hi|", error=LOST), marbles.llm("-#", error=LOST)
    marbles.expect(retry(first, delay=1, jitter=None)(REQUEST), unsubscribe_at="---!").to_be("-")
    marbles.expect_subscriptions(first.calls[1]).to_be("--^!")
    marbles.expect(retry(second, delay=4, jitter=None)(REQUEST), unsubscribe_at="---!").to_be("-")
    marbles.flush()
    assert len(second.requests) == 1


def test_who_leaves_at_the_restart_is_not_asked_for_again(marbles: Marbles) -> None:
    llm = marbles.llm("-Hi-#", "never|", error=LOST)
    heard = retry(llm, delay=1, jitter=None, restart=True)(REQUEST).pipe(ops.take(2))
    marbles.expect(heard).to_be("-Hi-(x|)", x={"restart": "lost"})
    marbles.expect_subscriptions(llm).to_be("^---!")
    marbles.allow("unused")


def test_a_thousand_attempts_that_fail_at_once_do_not_nest() -> None:
    llm = ScriptedLLM([*[LOST] * 1000, "Hi"])
    assert Workflow(Agent("bot", retry(llm, 1000, delay=0))).run("q").text == "Hi"


def test_compositions(marbles: Marbles) -> None:
    a = marbles.llm("-----Late|", "-----Late|", "-Hi|")
    b = marbles.llm("-#", "-#", error=LOST)
    llm = retry(timeouts(fallback(a, b, on=ModelError), first_token=2), delay=1, jitter=None)
    # a: late (2 s), wait 1, late (2 s), wait 2, Hi
    marbles.expect(say("q").pipe(Agent("bot", llm), text())).to_be("--------Hi|")
    marbles.expect_subscriptions(a.calls[1]).to_be("---^-!")
    marbles.expect_subscriptions(b).to_be()
    marbles.allow("unused")


def test_timeouts_within_a_fallback_within_a_retry(marbles: Marbles) -> None:
    a, b = marbles.llm("-----Late|", "-Hi|"), marbles.llm("-#", error=LOST)
    llm = retry(fallback(timeouts(a, first_token=2), b), delay=1, jitter=None)
    marbles.expect(llm(REQUEST)).to_be("-----Hi|")
    marbles.expect_subscriptions(a.calls[0]).to_be("^-!")
    marbles.expect_subscriptions(b).to_be("--^!")


def test_partials_begin_anew(marbles: Marbles) -> None:
    llm = retry(marbles.llm("-'[1, '-#", "-'[2]'|", error=LOST), delay=1, jitter=None, restart=True)
    marbles.expect(say("q").pipe(Agent("bot", llm), partials(list[int]))).to_be(
        "-a------b-c----(d|)", a=[1], b=[], c=[2], d=[2]
    )


def test_the_message_is_what_came_last(marbles: Marbles) -> None:
    llm = retry(marbles.llm("-Hi-#", "-Yes|", error=LOST), delay=1, jitter=None, restart=True)
    marbles.expect_markers(say("q").pipe(Agent("bot", llm), markers()), only=["delta", "response"]).to_be(
        [(1, "delta", "Hi"), (4, "delta", delta(restart="lost")), (6, "delta", "Yes"), (9, "response", "Yes")]
    )


def test_a_transform_passes_the_restart_in_its_place(marbles: Marbles) -> None:
    async def loud(tokens: Any) -> Any:
        held = ""
        async for token in tokens:
            if held:
                yield held.upper()
            held = token
        yield held.upper()

    llm = retry(marbles.llm("-Hi-yo-#", "-Yes|", error=LOST), delay=1, jitter=None, restart=True)
    workflow = Workflow(lambda source: source.pipe(Agent("bot", llm), transform(loud)))
    marbles.expect_markers(workflow.observe("q"), only=["delta", "response"]).to_be(
        [
            (4, "delta", "HI"),
            (7, "delta", "YO"),  # what it held, which is void
            (7, "delta", delta(restart="lost")),
            (12, "delta", "YES"),
            (12, "response", "YES"),
        ]
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"times": -1}, "retry: times is -1; it must be a number, 0 or more"),
        ({"delay": -1}, "retry: delay is -1; it must be a number of seconds, 0 or more"),
        ({"max_delay": "1"}, "retry: max_delay is '1'; it must be a number of seconds, 0 or more"),
        ({"jitter": 0.5}, "retry: jitter is a function that gives a number from 0 to 1, or None, not 0.5"),
        ({"on": 429}, "retry: `on` is a type of exception, some, or a predicate, not 429"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_arguments_of_no_use(options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        retry(ScriptedLLM([]), **options)
    assert str(caught.value) == words


def served(server: OpenAIServer) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", max_retries=0)


def test_it_is_its_model_to_whoever_looks() -> None:
    a = OpenAILLM("a", base_url="http://a/v1", api_key="k", temperature=0.5)
    llm = retry(a)
    assert (llm.model, llm.llm, llm.constraints) == ("a", a, a.constraints)
    assert repr(retry(a, 5, restart=True)) == f"retry({a!r}, times=5, restart=True)"
    assert not hasattr(retry(lambda _: rx.of("")), "model")


@pytest.mark.usefixtures("each_transport")
def test_over_the_wire_the_headers_say_when() -> None:
    busy = HTTPFault(429, "slow down", {"Retry-After": "7"})
    soon = HTTPFault(429, "slow down", {"Retry-After-Ms": "1"})
    dated = HTTPFault(
        503,
        "later",
        {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"},
    )
    odd = HTTPFault(503, "later", {"Retry-After": "when I say so"})
    told = []
    with OpenAIServer([busy, soon, dated, odd]) as server:
        for _ in range(4):
            with pytest.raises(ModelStatusError) as caught:
                served(server)(REQUEST).run()
            told.append(caught.value.retry_after)
    assert told == [7.0, 0.001, 30.0, None]


@pytest.mark.usefixtures("each_transport")
def test_over_the_wire_a_busy_service_is_asked_again() -> None:
    with OpenAIServer([HTTPFault(429, "slow down", {"Retry-After-Ms": "1"}), "Hello."]) as server:
        assert Workflow(Agent("bot", retry(served(server)))).run("Hi").text == "Hello."
        assert len(server.requests) == 2


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize(
    "fault", [Dropped(3, "one two three"), Dropped(3, "one two three", reset=True)], ids=repr
)
def test_over_the_wire_a_connection_that_is_lost_begins_anew(fault: Any) -> None:
    with OpenAIServer([fault, "Hello."]) as server:
        workflow = Workflow(Agent("bot", retry(served(server), delay=0, restart=True)))
        marks = [content for mark, content in workflow.run_stream("Hi") if mark == "delta"]
        assert sum("restart" in content for content in marks) == 1
        assert workflow.conversation[-1].text == "Hello."


@pytest.mark.usefixtures("each_transport")
def test_over_the_wire_a_bad_request_is_told_at_once() -> None:
    with OpenAIServer([HTTPFault(400, "bad")]) as server:
        result = Workflow(Agent("bot", retry(served(server), delay=0))).run("Hi")
        assert str(result.error) == "bad"
        assert len(server.requests) == 1


@pytest.mark.usefixtures("each_transport")
def test_over_the_wire_what_is_no_answer_is_told_at_once() -> None:
    with OpenAIServer([Malformed(1, "one two")]) as server:
        result = Workflow(Agent("bot", retry(served(server), delay=0, restart=True))).run("Hi")
        assert isinstance(result.error, ModelProtocolError)
        assert len(server.requests) == 1


@pytest.mark.usefixtures("each_transport")
def test_over_the_wire_the_attempt_that_is_cancelled_is_closed() -> None:
    with OpenAIServer([HTTPFault(503, "busy"), Paused(3, "one two three four")]) as server:
        workflow = Workflow(Agent("bot", retry(served(server), delay=0)))
        for mark, content in workflow.run_stream("Hi"):
            if mark == "delta" and content["content"] == " two":
                break
        request = server.requests[1]
        assert request.wait_closed(WAIT)
        request.release()
        assert request.events_sent == 3
