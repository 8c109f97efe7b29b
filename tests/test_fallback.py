"""fallback: where a model fails, the next one is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    ChatRequest,
    Completion,
    ConfigurationError,
    LLMConstraints,
    ModelConnectionError,
    ModelStatusError,
    OpenAILLM,
    RunCancelledError,
    ScriptedLLM,
    Usage,
    Workflow,
    say,
)
from rxagents.llm import fallback, hedge, logged, rate_limited, record, retry, timeouts
from rxagents.operators import map_tokens, markers
from rxagents.testing import Dropped, HTTPFault, Marbles, OpenAIServer
from rxagents.testing.laws import check_laws
from rxagents.values import delta

WAIT = 10.0
REQUEST = ChatRequest(({"role": "user", "content": "Hi"},))


def test_the_next_is_asked_where_one_fails_before_its_first_token(marbles: Marbles) -> None:
    a = marbles.llm("                          ---#")
    b = marbles.llm("                          --#")
    c = marbles.llm("                          --Hi|")
    marbles.expect(fallback(a, b, c)(REQUEST)).to_be("-------Hi|")
    marbles.expect_subscriptions(a).to_be("    ^--!")
    marbles.expect_subscriptions(b).to_be("    ---^-!")
    marbles.expect_subscriptions(c).to_be("    -----^---!")
    marbles.flush()
    assert a.requests == b.requests == c.requests == [REQUEST]


def test_one_that_answers_is_the_only_one_asked(marbles: Marbles) -> None:
    a, b = marbles.llm("-Hi-|"), marbles.llm("never|")
    marbles.expect(fallback(a, b)(REQUEST)).to_be("-Hi-|")
    marbles.expect_subscriptions(b).to_be()
    marbles.allow("unused")


def test_after_the_first_token_a_failure_is_the_answers(marbles: Marbles) -> None:
    error = ModelConnectionError("lost")
    a, b = marbles.llm("-Hi-#", error=error), marbles.llm("never|")
    marbles.expect(fallback(a, b)(REQUEST)).to_be("-Hi-#", error=error)
    marbles.allow("unused")


def test_with_restart_the_next_begins_anew_and_says_so(marbles: Marbles) -> None:
    a = marbles.llm("-Hi-#", error=ModelConnectionError("lost"))
    b = marbles.llm("    --Yes|")
    void = {"restart": "lost"}
    marbles.expect(fallback(a, b, restart=True)(REQUEST)).to_be("-Hi-x-Yes|", x=void)


def test_a_restart_without_words_names_the_error(marbles: Marbles) -> None:
    a, b = marbles.llm("-Hi--#", error=ValueError()), marbles.llm("--Yes|")
    marbles.expect(fallback(a, b, restart=True)(REQUEST)).to_be("-Hi--x-Yes|", x={"restart": "ValueError"})


def test_an_opening_delta_that_says_nothing_is_no_token(marbles: Marbles) -> None:
    a = marbles.llm("o--#", o=delta(""))
    b = marbles.llm("-Yes|")
    marbles.expect(fallback(a, b)(REQUEST)).to_be("----Yes|")


@pytest.mark.parametrize(
    "on",
    [ConnectionError, (KeyError, OSError), lambda error: "lost" in str(error)],
    ids=["type", "types", "predicate"],
)
def test_only_the_errors_that_are_meant(marbles: Marbles, on: Any) -> None:
    lost, other = ConnectionError("lost"), ValueError("other")
    a, b = marbles.llm("-#", error=lost), marbles.llm("-Yes|")
    marbles.expect(fallback(a, b, on=on)(REQUEST)).to_be("--Yes|")
    c, d = marbles.llm("-#", error=other), marbles.llm("never|")
    marbles.expect(fallback(c, d, on=on)(REQUEST)).to_be("-#", error=other)
    marbles.allow("unused")


def test_a_predicate_that_raises_fails_the_answer(marbles: Marbles) -> None:
    def on(error: Exception) -> bool:
        raise LookupError("predicate")

    a, b = marbles.llm("-#"), marbles.llm("never|")
    marbles.expect(fallback(a, b, on=on)(REQUEST)).to_be("-#", error=LookupError("predicate"))
    marbles.allow("unused")


def test_the_end_of_the_loop_is_no_reason_to_ask_another(marbles: Marbles) -> None:
    error = RunCancelledError("the loop has ended")
    a, b = marbles.llm("-#", error=error), marbles.llm("never|")
    marbles.expect(fallback(a, b)(REQUEST)).to_be("-#", error=error)
    marbles.allow("unused")


def test_when_all_have_failed_the_last_error_tells_of_the_others(marbles: Marbles) -> None:
    last = ModelConnectionError("b lost")
    a = marbles.llm("-#", "-#", name="A", error=ValueError("a broke"))
    b = marbles.llm("-#", "-#", name="B", error=last)
    both = fallback(a, b)
    marbles.expect(both(REQUEST)).to_be("--#", error=last)
    marbles.expect(both(REQUEST)).to_be("--#", error=last)
    marbles.flush()
    # one error object, raised twice: the note stands there once
    assert last.__notes__ == ["before it, A: ValueError: a broke"]


def test_a_stale_note_goes_with_its_run() -> None:
    firsts, last = iter([KeyError("a"), KeyError("b")]), ValueError("last")
    failing = fallback(lambda _: rx.throw(next(firsts)), lambda _: rx.throw(last))
    for word in "ab":
        with pytest.raises(ValueError, match="last"):
            failing(REQUEST).run()
        (note,) = last.__notes__
        assert note.endswith(f": KeyError: {word!r}")


def test_a_note_of_a_model_within_stays() -> None:
    errors = [ModelConnectionError(word) for word in ("first", "second", "third")]
    script = iter(errors)
    within = retry(lambda _: rx.throw(next(script)), 1, delay=0)
    with pytest.raises(ModelConnectionError) as caught:
        fallback(lambda _: rx.throw(next(script)), within)(REQUEST).run()
    inner, outer = caught.value.__notes__
    assert inner == "before it, attempt 1: ModelConnectionError: second"
    assert outer.endswith(": ModelConnectionError: first")


def test_what_a_failed_model_took_is_counted_and_the_rest_of_its_completion_is_void() -> None:
    took = Completion(Usage(prompt_tokens=3, total_tokens=3), finish_reason="length", model="a")
    first = rx.concat(rx.of("No", took), rx.throw(ModelConnectionError("lost")))
    second = rx.of("Yes", Completion(Usage(prompt_tokens=4, total_tokens=4)))
    workflow = Workflow(Agent("bot", fallback(lambda _: first, lambda _: second, restart=True)))
    result = workflow.run("Hi")
    assert (result.text, result.usage) == ("Yes", Usage(prompt_tokens=7, total_tokens=7))
    assert result.message is not None
    assert (result.message.finish_reason, result.message.metadata) == (None, {})


def test_a_call_that_was_half_streamed_is_void(marbles: Marbles) -> None:
    def find(id: int) -> str:
        return f"order {id}"

    half = {"id": "c1", "function": {"arguments": '{"id"', "name": "find"}, "type": "function", "index": 0}
    a = marbles.llm("-Let-c-#", "-Found|", c=delta(tool_calls=[half]), error=ModelConnectionError("lost"))
    b = marbles.llm('-@find{"id": 7}|')
    bot = Agent("bot", fallback(a, b, restart=True), tools=[find])
    found = {"name": "find", "result": "order 7", "id": "call_1"}
    marbles.expect_markers(
        say("q").pipe(bot, map_tokens(str.upper), markers()), only=["delta", "function_result", "response"]
    ).to_be(
        [
            (1, "delta", "LET"),
            (5, "delta", delta(tool_calls=[half])),
            (7, "delta", delta(restart="lost")),
            (8, "delta", delta(tool_calls=[CALL])),
            (22, "function_result", found),
            (23, "delta", "FOUND"),
            (28, "response", "FOUND"),
        ]
    )


CALL = {
    "id": "call_1",
    "function": {"arguments": '{"id":7}', "name": "find"},
    "type": "function",
    "index": 0,
}


def test_a_model_within_that_has_made_its_words_void_may_fail_then(marbles: Marbles) -> None:
    lost = ModelConnectionError("lost")
    a = marbles.llm("-Hi-#", "-#", error=lost)
    b = marbles.llm("-Yes|")
    within = retry(a, 1, delay=1, jitter=None, restart=True)
    marbles.expect(fallback(within, b)(REQUEST)).to_be("-Hi-x--Yes|", x={"restart": "lost"})


def test_disposing_cancels_the_one_that_is_asked(marbles: Marbles) -> None:
    a, b = marbles.llm("-#"), marbles.llm("-Hi-there|")
    marbles.expect(fallback(a, b)(REQUEST), unsubscribe_at="---!").to_be("--Hi")
    marbles.expect_subscriptions(a).to_be("^!")
    marbles.expect_subscriptions(b).to_be("-^-!")


def test_who_leaves_at_the_restart_asks_nobody_else(marbles: Marbles) -> None:
    a, b = marbles.llm("-Hi-#", error=ValueError("lost")), marbles.llm("never|")
    heard = fallback(a, b, restart=True)(REQUEST).pipe(ops.take(2))
    marbles.expect(heard).to_be("-Hi-(x|)", x={"restart": "lost"})
    marbles.expect_subscriptions(b).to_be()
    marbles.allow("unused")


def test_each_subscription_asks_anew(marbles: Marbles) -> None:
    a, b = marbles.llm("-#", "-Hi|"), marbles.llm("-Yes|")
    answer = fallback(a, b)(REQUEST)
    marbles.expect(answer).to_be("--Yes|")
    marbles.expect(answer).to_be("-Hi|")


@pytest.mark.parametrize(
    "broken",
    [
        lambda _: rx.throw(ValueError("no")),
        lambda _: 1 / 0,
        lambda _: "Hello",
        ScriptedLLM([ValueError("no")]),
    ],
    ids=["fails", "raises", "gives no observable", "scripted"],
)
def test_models_that_answer_at_once(broken: Callable[[ChatRequest], Any]) -> None:
    llm = fallback(broken, lambda _: rx.of("He", "llo"))
    assert Workflow(Agent("bot", llm)).run("Hi").text == "Hello"


def test_what_gives_no_observable_is_said() -> None:
    with pytest.raises(ConfigurationError, match="gave str; a model gives an observable"):
        fallback(lambda _: "Hello")(REQUEST).run()  # type: ignore[arg-type, return-value]


def test_what_the_models_cannot_do_it_cannot() -> None:
    a = ScriptedLLM([], constraints=LLMConstraints(system_message=False, temperature=1.0))
    b = ScriptedLLM([], constraints=LLMConstraints(structured_output=False))
    c = ScriptedLLM([], constraints=LLMConstraints(temperature=0.0))
    assert fallback(a, b).constraints == LLMConstraints(False, False, 1.0)
    assert fallback(a, c).constraints == LLMConstraints(False, True, None)
    assert fallback(lambda _: rx.of("")).constraints == LLMConstraints()


def test_it_names_its_models() -> None:
    a, b = OpenAILLM("a", base_url="http://a/v1", api_key="k"), OpenAILLM("b", base_url="http://b/v1")
    assert repr(fallback(a, b)) == f"fallback({a!r}, {b!r})"
    assert repr(fallback(a, on=OSError, restart=True)) == f"fallback({a!r}, on={OSError!r}, restart=True)"
    assert fallback(a, b).llms == (a, b)


@pytest.mark.parametrize(
    ("models", "options", "words"),
    [
        ((), {}, "fallback takes at least one model, such as OpenAILLM(...)"),
        (("gpt",), {}, "fallback: a model is a str; give a model, such as OpenAILLM(...)"),
        (
            (ScriptedLLM([]),),
            {"on": "all"},
            "fallback: `on` is a type of exception, some, or a predicate, not",
        ),
        ((ScriptedLLM([]),), {"on": (ValueError, 5)}, "`on` is a type of exception, some, or a predicate"),
    ],
    ids=["none", "no model", "on", "types"],
)
def test_arguments_of_no_use(models: Any, options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fallback(*models, **options)
    assert words in str(caught.value)


def test_the_laws_hold() -> None:
    def make() -> Agent:
        lost = ModelConnectionError("lost")
        a = lambda _: rx.concat(rx.of("No"), rx.throw(lost))  # noqa: E731
        llm = retry(a, 1, delay=0.5, jitter=None, restart=True)
        b = timeouts(ScriptedLLM(lambda _: "Yes, I do.", delay=0.25), first_token=3, total=9)
        return Agent("host", rate_limited(fallback(llm, hedge(b, b, after=1), restart=True), concurrent=2))

    check_laws(make, max_examples=10)


def served(server: OpenAIServer, key: str = "any") -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key=key, max_retries=0)


def test_over_the_wire_the_next_answers() -> None:
    with OpenAIServer([HTTPFault(503, "busy")]) as one, OpenAIServer(["Hello."]) as other:
        result = Workflow(Agent("bot", fallback(served(one), served(other)))).run("Hi")
        assert result.text == "Hello."
        assert [len(one.requests), len(other.requests)] == [1, 1]


def test_over_the_wire_an_answer_that_is_cut_begins_anew() -> None:
    with OpenAIServer([Dropped(3, "one two three")]) as one, OpenAIServer(["Hello."]) as other:
        workflow = Workflow(Agent("bot", fallback(served(one), served(other), restart=True)))
        deltas = [content for mark, content in workflow.run_stream("Hi") if mark == "delta"]
        restarts = [content["restart"] for content in deltas if "restart" in content]
        assert len(restarts) == 1
        assert restarts[0].startswith("lost the connection to 127.0.0.1")
        assert workflow.conversation[-1].text == "Hello."


def test_over_the_wire_all_fail_and_the_error_says_how() -> None:
    with OpenAIServer([HTTPFault(503, "busy")]) as one, OpenAIServer([HTTPFault(400, "bad")]) as other:
        result = Workflow(Agent("bot", fallback(served(one), served(other)))).run("Hi")
    assert isinstance(result.error, ModelStatusError)
    assert (str(result.error), result.error.status) == ("bad", 400)
    assert any("ModelStatusError: busy" in note for note in result.error.__notes__)
    assert "in bot" in result.error.__notes__


def test_a_recording_holds_the_key_of_none_of_its_models(tmp_path: Path) -> None:
    key = "secret-of-the-second-1234"
    with OpenAIServer([HTTPFault(503, f"busy, {key}")]) as one, OpenAIServer([f"It is {key}."]) as other:
        path = tmp_path / "calls.jsonl"
        with record(fallback(served(one), served(other, key)), path) as llm:
            assert Workflow(Agent("bot", llm)).run("Hi").text == f"It is {key}."
    assert key not in path.read_text()


def test_a_log_sees_one_call_around_it_and_each_within() -> None:
    around: list[Any] = []
    within: list[Any] = []
    a, b = ScriptedLLM([ValueError("no")]), ScriptedLLM(["Yes"])
    llm = logged(fallback(logged(a, within.append), logged(b, within.append)), around.append)
    assert Workflow(Agent("bot", llm)).run("Hi").text == "Yes"
    assert [call.how for call in around] == ["completed"]
    assert [call.how for call in within] == ["error", "completed"]


def test_closing_it_closes_the_idle_connections_of_its_models() -> None:
    async def main(one: OpenAIServer, other: OpenAIServer) -> None:
        llm = fallback(served(one), lambda _: rx.of("never"), hedge(served(other), after=1))
        for model in (llm.llms[0], llm.llms[2]):
            await Workflow(Agent("bot", model)).arun("Hi")
        assert [one.open_connections, other.open_connections] == [1, 1]
        await llm.aclose()
        for server in (one, other):
            assert await asyncio.to_thread(server.requests[0].wait_closed, WAIT)

    with OpenAIServer(["Hello."]) as one, OpenAIServer(["Hello."]) as other:
        asyncio.run(main(one, other))


def test_what_it_does_is_in_the_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    a, b = ScriptedLLM([ModelConnectionError("lost")] * 2), ScriptedLLM(["Yes"])
    with caplog.at_level("DEBUG", "rxagents.llm"):
        Workflow(Agent("bot", fallback(retry(a, 1, delay=0), b))).run("Hi")
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == ["retry", "fallback"]
