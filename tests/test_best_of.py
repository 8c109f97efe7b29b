"""fan_out, best_of: several answers side by side, of which comes one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx

from rxagents import (
    Agent,
    ChatRequest,
    ConfigurationError,
    LLMConstraints,
    Message,
    ModelConnectionError,
    ModelError,
    OpenAILLM,
    ScriptedLLM,
    Usage,
    Workflow,
    say,
)
from rxagents.engine.bridges import from_async_iterable
from rxagents.engine.demands import demanded_by
from rxagents.llm import Call, Reply, best_of, fan_out, rate_limited, retry
from rxagents.operators import text
from rxagents.testing import HTTPFault, Marbles, OpenAIServer, Paused

from .valves import Valve

REQUEST = ChatRequest(({"role": "user", "content": "Hi"},), agent="bot")
WAIT = 10.0
LOST = ModelConnectionError("lost")


def longest(answers: list[Message]) -> Message:
    return max(answers, key=lambda answer: len(answer.text))


def test_the_best_comes_when_all_are_there(marbles: Marbles) -> None:
    llm = marbles.llm("--Yes|", "-No------|", "---Maybe|")
    marbles.expect(best_of(llm, 3, longest)(REQUEST)).to_be("---------(Maybe|)")
    for call, drawn in enumerate(("^----!", "^--------!", "^-------!")):
        marbles.expect_subscriptions(llm.calls[call]).to_be(drawn)


def test_the_judge_sees_finished_messages_and_may_name_a_place() -> None:
    seen: list[Message] = []

    async def judge(answers: list[Message]) -> int:
        seen.extend(answers)
        return 1

    llm = ScriptedLLM(["one", "two", "three"])
    assert Workflow(Agent("bot", best_of(llm, 3, judge))).run("q").text == "two"
    assert [(said.text, said.name, said.role) for said in seen] == [
        (word, "bot", "assistant") for word in ("one", "two", "three")
    ]


def test_its_deltas_come_as_they_were_calls_included() -> None:
    def find(id: int) -> str:
        return f"order {id}"

    def with_calls(answers: list[Message]) -> Message:
        return next((answer for answer in answers if answer.tool_calls), answers[0])

    llm = ScriptedLLM(["I know.", Reply("Let me see.", [Call("find", {"id": 7})]), "It is 7.", "It is 8."])
    result = Workflow(Agent("bot", best_of(llm, 2, with_calls), tools=[find])).run("q")
    assert result.text == "Let me see.It is 7."
    assert result.message is not None
    assert [step.role for step in result.message.steps] == ["assistant", "tool"]


def test_what_all_of_them_took_is_counted() -> None:
    usages = [Usage(total_tokens=n, prompt_tokens=n) for n in (1, 20, 300)]
    llm = ScriptedLLM([Reply("x" * number, usage=usage) for number, usage in enumerate(usages, 1)])
    result = Workflow(Agent("bot", best_of(llm, 3, lambda answers: 1))).run("q")
    assert (result.text, result.usage) == ("xx", Usage(total_tokens=321, prompt_tokens=321))
    assert result.message is not None
    assert result.message.finish_reason == "stop"


def test_one_that_fails_is_left_out(marbles: Marbles) -> None:
    llm = marbles.llm("-#", "--Yes|", "---No|", error=LOST)
    seen: list[int] = []

    def judge(answers: list[Message]) -> int:
        seen.append(len(answers))
        return 1

    marbles.expect(best_of(llm, 3, judge)(REQUEST)).to_be("-----(No|)")
    marbles.flush()
    assert seen == [2]


def test_one_that_is_left_alone_is_not_judged(marbles: Marbles) -> None:
    llm = marbles.llm("-Yes|", "-#", error=LOST)
    marbles.expect(best_of(llm, 2, lambda answers: 1 // 0)(REQUEST)).to_be("----(Yes|)")


def test_when_all_have_failed_the_last_error_tells_of_the_others(marbles: Marbles) -> None:
    error = ModelConnectionError("second")
    errors = iter([LOST, error])
    llm = best_of(lambda _: rx.throw(next(errors)), 2, longest)
    marbles.expect(llm(REQUEST)).to_be("#", error=error)
    marbles.flush()
    assert error.__notes__[0].endswith(": ModelConnectionError: lost")


def test_a_judge_that_fails_fails_the_answer_and_all_is_paid() -> None:
    def judge(answers: list[Message]) -> int:
        raise LookupError("no taste")

    llm = ScriptedLLM([Reply("x", usage=Usage(total_tokens=5, prompt_tokens=5))] * 2)
    workflow = Workflow(Agent("bot", best_of(llm, 2, judge)))
    result = workflow.run("q")
    assert isinstance(result.error, LookupError)
    assert result.usage.total_tokens == 10


@pytest.mark.parametrize(
    "found", [2, -1, True, "one", None, Message(role="assistant", content="x")], ids=repr
)
def test_a_judge_that_names_none(found: Any) -> None:
    llm = ScriptedLLM(["one", "two"])
    result = Workflow(Agent("bot", best_of(llm, 2, lambda answers: found))).run("q")
    assert isinstance(result.error, ConfigurationError)
    assert "it gives the place of one of 2 answers, from 0, or that Message" in str(result.error)


def test_a_model_as_judge(marbles: Marbles) -> None:
    usage = Usage(total_tokens=1, prompt_tokens=1)
    llm, judge = marbles.llm("-one|", "--two|", usage=usage), marbles.llm("--'Number 2.'|", usage=usage)
    workflow = Workflow(Agent("bot", best_of(llm, 2, judge), system_message="Count."))
    marbles.expect_markers(workflow.observe("q"), only=["delta", "response"]).to_be(
        [(18, "delta", "two"), (18, "response", "two")]
    )
    marbles.flush()
    (asked,) = judge.requests
    assert [message["role"] for message in asked.messages] == ["system", "user", "user"]
    assert asked.messages[-1]["content"] == (
        "These are 2 answers to the conversation above. Which is the best? Say its number and nothing else."
        "\n\nAnswer 1:\none\n\nAnswer 2:\ntwo"
    )
    assert workflow.conversation.transcript.usage.total_tokens == 3


@pytest.mark.parametrize("said", ["3", "0", "the second", ""])
def test_a_model_that_names_none(said: str) -> None:
    llm, judge = ScriptedLLM(["one", "two"]), ScriptedLLM([said])
    result = Workflow(Agent("bot", best_of(llm, 2, judge))).run("q")
    assert isinstance(result.error, ModelError)
    assert f"was asked for the number of the best of 2 answers and said {said!r}" in str(result.error)


def test_a_model_judges_calls_as_well() -> None:
    llm, judge = ScriptedLLM([Call("find", {"id": 7}), "two"]), ScriptedLLM(["2"])
    assert Workflow(Agent("bot", best_of(llm, 2, judge), tools=[longest_word])).run("q").text == "two"
    assert 'Answer 1:\n(calls find {"id":7})\n\n' in judge.requests[0].messages[-1]["content"]


def longest_word(text: str) -> str:
    return max(text.split(), key=len)


def test_disposing_cancels_all_of_them(marbles: Marbles) -> None:
    llm = marbles.llm("-Yes------|", "--No------|")
    marbles.expect(best_of(llm, 2, longest)(REQUEST), unsubscribe_at="---!").to_be("-")
    for call in range(2):
        marbles.expect_subscriptions(llm.calls[call]).to_be("^--!")


def test_of_an_answer_that_began_anew_the_last_beginning_comes(marbles: Marbles) -> None:
    llm = retry(marbles.llm("-Hi-#", "-Yes|", error=LOST), delay=1, jitter=None, restart=True)
    marbles.expect(best_of(llm, 1, longest)(REQUEST)).to_be("---------(Yes|)")


def test_while_a_reader_pauses_the_answers_are_read_no_further(marbles: Marbles) -> None:
    def slow(request: ChatRequest) -> rx.Observable[Any]:
        async def words() -> AsyncIterator[str]:
            for word in ("One", ", two", ", three."):
                await asyncio.sleep(1)
                yield word

        return from_async_iterable(words())

    valve = Valve()
    heard: list[Any] = []

    def read() -> None:
        loop = asyncio.get_running_loop()
        with demanded_by(valve):
            best_of(slow, 2, lambda answers: 0)(REQUEST).subscribe(
                lambda item: heard.append((loop.time(), item["content"]))
            )

    marbles.at(0, read)
    marbles.at(1.5, valve.close)
    marbles.at(6.5, valve.open)
    marbles.flush()
    assert heard == [(7.5, "One"), (7.5, ", two"), (7.5, ", three.")]
    assert valve.watchers == 0


def test_it_composes_with_limits(marbles: Marbles) -> None:
    llm = marbles.llm("-one|", "-three|")
    limited = best_of(rate_limited(llm, concurrent=1), 2, longest)
    marbles.expect(say("q").pipe(Agent("bot", limited), text())).to_be("----------(three|)")


def test_a_function_makes_one_answer_of_several(marbles: Marbles) -> None:
    a, b = marbles.llm("--Yes|"), marbles.llm("-No---|")

    async def joined(answers: list[Message]) -> str:
        await asyncio.sleep(1)
        return "-".join(answer.text for answer in answers)

    both = fan_out(a, b, combine=joined)
    marbles.expect(both(REQUEST)).to_be("-------('Yes-No'|)")


def test_a_function_may_choose_one() -> None:
    llm = fan_out(ScriptedLLM(["short"]), ScriptedLLM(["long one"]), combine=longest)
    result = Workflow(Agent("bot", llm)).run("q")
    assert result.text == "long one"
    assert result.message is not None
    assert result.message.finish_reason == "stop"


def test_a_model_makes_one_answer_of_several_and_streams_it(marbles: Marbles) -> None:
    usage = Usage(total_tokens=1, prompt_tokens=1)
    a, b = marbles.llm("--Yes|", usage=usage), marbles.llm("-No---|", usage=usage)
    writer = marbles.llm("-Well,-maybe|", usage=usage)
    llm = fan_out(a, b, combine=writer)
    workflow = Workflow(Agent("bot", llm, tools=[longest_word], tool_choice="auto", temperature=0.5))
    marbles.expect_markers(workflow.observe("q"), only=["delta", "response"]).to_be(
        [(7, "delta", "Well,"), (13, "delta", "maybe"), (18, "response", "Well,maybe")]
    )
    marbles.flush()
    (asked,) = writer.requests
    assert asked.tools == ()
    assert asked.params == {"temperature": 0.5}
    assert asked.messages[-1]["content"].endswith("\n\nAnswer 1:\nYes\n\nAnswer 2:\nNo")
    assert workflow.conversation.transcript.usage.total_tokens == 3


def test_a_combination_that_is_none() -> None:
    llm = fan_out(ScriptedLLM(["a"]), ScriptedLLM(["b"]), combine=lambda answers: 5)  # type: ignore[arg-type, return-value]
    result = Workflow(Agent("bot", llm)).run("q")
    assert str(result.error) == "fan_out: combine gave 5; it gives a text, or one of the 2 Messages"


def test_what_they_cannot_do() -> None:
    weak = ScriptedLLM([], constraints=LLMConstraints(structured_output=False))
    strong = ScriptedLLM([])
    assert best_of(strong, 2, weak).constraints == LLMConstraints()
    assert fan_out(strong, combine=weak).constraints == LLMConstraints(structured_output=False)
    assert fan_out(strong, weak, combine=strong).constraints == LLMConstraints(structured_output=False)
    assert best_of(strong, 2, weak).llms == (strong, weak)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: best_of(ScriptedLLM([]), 0, longest), "best_of: n is 0; it must be a number, 1 or more"),
        (
            lambda: best_of(ScriptedLLM([]), 2, "longest"),  # type: ignore[arg-type]
            "best_of: judge is a str; give a function of the list of Messages, or a model",
        ),
        (
            lambda: fan_out(ScriptedLLM([]), combine=None),  # type: ignore[arg-type]
            "fan_out: combine is a NoneType; give a function of the list of Messages, or a model",
        ),
        (lambda: fan_out(combine=longest), "fan_out takes at least one model, such as OpenAILLM(...)"),  # type: ignore[arg-type]
    ],
)
def test_arguments_of_no_use(make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == words


def served(server: OpenAIServer) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", max_retries=0)


def test_over_the_wire_all_are_asked_side_by_side() -> None:
    with OpenAIServer(["one", HTTPFault(503, "busy"), "three"]) as server:
        result = Workflow(Agent("bot", best_of(served(server), 3, longest))).run("Hi")
        assert result.text == "three"
        assert len(server.requests) == 3
        assert result.usage.completion_tokens == 2


def test_over_the_wire_leaving_closes_all_of_them() -> None:
    with OpenAIServer(lambda body: Paused(2, "one two three")) as server:
        workflow = Workflow(Agent("bot", best_of(served(server), 3, longest)))

        async def main() -> None:
            run = workflow.start("Hi")
            assert await asyncio.to_thread(server.wait_for_requests, 3, WAIT)
            run.dispose()

        asyncio.run(main())
        for request in server.requests:
            assert request.wait_closed(WAIT)
            request.release()
            assert request.events_sent <= 2
