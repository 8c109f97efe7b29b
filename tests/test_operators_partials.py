"""partials: what has come of a value while its JSON streams, then the value."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import pytest
import reactivex as rx
from pydantic import BaseModel, field_validator
from reactivex import operators as ops

import rxagents
from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    ConfigurationError,
    FunctionResult,
    MessageStream,
    OpenAILLM,
    OutputError,
    ScriptedLLM,
    UserMessage,
    partial_model,
    say,
)
from rxagents.engine.emitters import just
from rxagents.llm import Call, Reply
from rxagents.operators import markers, partials, until
from rxagents.testing import Dropped, Marbles, OpenAIServer, virtual
from rxagents.values import delta


class Line(BaseModel):
    what: str
    price: int


class Invoice(BaseModel):
    number: int
    customer: str
    lines: list[Line] = []

    @field_validator("customer")
    @classmethod
    def is_somebody(cls, customer: str) -> str:
        if len(customer) < 2:
            raise ValueError("too short")
        return customer


Twin = partial_model(Invoice)
LineTwin = partial_model(Line)
EMPTY = Twin()
WHOLE = Invoice(number=12, customer="Ann", lines=[Line(what="tea", price=3)])
TOKENS = ['{"num', 'ber": 1', '2, "cus', 'tomer": "A', 'nn", "lin', 'es": [{"wh']
TOKENS += ['at": "tea", "pri', 'ce": 3}]}']
SEEN = [
    Twin(number=12),
    Twin(number=12, customer="A"),
    Twin(number=12, customer="Ann"),
    Twin(number=12, customer="Ann", lines=[LineTwin()]),
    Twin(number=12, customer="Ann", lines=[LineTwin(what="tea")]),
    Twin(number=12, customer="Ann", lines=[LineTwin(what="tea", price=3)]),
    WHOLE,
]


async def every(source: rx.Observable[Any]) -> list[Any]:
    return await source.pipe(ops.to_list())


def spoken(*tokens: Any, name: str | None = None) -> MessageStream:
    return MessageStream(rx.of(*tokens), name=name)


async def seen(type: Any, *tokens: Any) -> list[Any]:
    return await every(just(spoken(*tokens)).pipe(partials(type)))


@virtual
async def test_what_has_come_grows_until_it_is_the_whole() -> None:
    assert await seen(Invoice, *TOKENS) == SEEN


@virtual
async def test_a_finished_message_gives_what_it_is_and_the_whole() -> None:
    said = say(UserMessage("q"), AssistantMessage(WHOLE.model_dump_json()))
    assert await every(said.pipe(partials(Invoice))) == [SEEN[-2], WHOLE]


def test_each_partial_comes_with_its_token(marbles: Marbles) -> None:
    class Word(BaseModel):
        a: str
        n: int

    twin = partial_model(Word)
    values = {"x": twin(a="ab"), "y": twin(a="abc"), "z": twin(a="abc", n=12), "w": Word(a="abc", n=12)}
    m = marbles.message("                    -'{\"a\":\"ab'---c-'\", \"n\": 12'---'}'-|")
    marbles.expect(just(m).pipe(partials(Word))).to_be("-x------------y----------------z---(w|)", **values)


def test_it_begins_anew_with_the_empty_twin(marbles: Marbles) -> None:
    class Word(BaseModel):
        a: str

    twin = partial_model(Word)
    values = {"x": twin(a="ab"), "o": twin(), "y": twin(a="c"), "w": Word(a="c")}
    m = marbles.message('       -\'{"a":"ab\'--r-\'{"a":"c\'--\'"}\'-|', r=delta(restart="too long"))
    marbles.expect(just(m).pipe(partials(Word))).to_be("-x-----------o-y---------------(w|)", **values)


@virtual
async def test_where_nothing_was_shown_there_is_nothing_to_take_back() -> None:
    tokens = ["I think", delta(restart="no JSON"), WHOLE.model_dump_json()]
    assert await seen(Invoice, *tokens) == [SEEN[-2], WHOLE]


@virtual
async def test_what_was_said_before_a_tool_call_is_no_part_of_it() -> None:
    answered = FunctionResult("find", "Ann", "c1")
    tokens = ["{", '"number": 1,', answered, *TOKENS]
    assert await seen(Invoice, *tokens) == [Twin(number=1), EMPTY, *SEEN]


@virtual
async def test_progress_of_a_tool_changes_nothing() -> None:
    ahead = delta(progress={"id": "c1", "name": "find", "content": "{"})
    assert await seen(Invoice, *TOKENS[:3], ahead, *TOKENS[3:]) == SEEN


@virtual
async def test_words_and_fences_around_it_are_passed_by() -> None:
    tokens = ["Here {it} is:\n", "```js", "on\n", *TOKENS, "\n``", "`\nAnything else?"]
    assert await seen(Invoice, *tokens) == SEEN


@virtual
async def test_no_validator_runs_before_the_whole() -> None:
    with pytest.raises(OutputError, match="customer: Value error, too short"):
        await seen(Invoice, '{"number": 1, "customer": "A"}')


@virtual
async def test_an_answer_that_is_not_of_the_type_fails_after_what_had_come() -> None:
    came: list[Any] = []
    source = just(spoken('{"number": 1, ', '"customer": 2}', name="clerk"))
    with pytest.raises(OutputError) as caught:
        await source.pipe(partials(Invoice), ops.do_action(came.append))
    assert came == [Twin(number=1)]
    assert str(caught.value) == (
        "the answer is not of the output type Invoice:\ncustomer: Input should be a valid string"
    )
    assert caught.value.__notes__ == ["in clerk"]


@virtual
async def test_a_refusal_is_told_as_one() -> None:
    with pytest.raises(OutputError, match=r"^the model refused: I will not\.$"):
        await seen(Invoice, delta(refusal="I will "), delta(refusal="not."))


@virtual
async def test_several_messages_come_one_after_the_other() -> None:
    first, second = Line(what="tea", price=1), Line(what="cup", price=2)
    inside = Block("shop", just(spoken(first.model_dump_json()), spoken(second.model_dump_json())))
    shown = [LineTwin(what="tea", price=1), first, LineTwin(what="cup", price=2), second]
    assert await every(just(inside).pipe(partials(Line))) == shown


@virtual
async def test_only_what_agents_say_counts() -> None:
    said = say("What was sold?", AssistantMessage('{"what": "tea", "price": 1}'))
    assert (await every(said.pipe(partials(Line))))[-1] == Line(what="tea", price=1)


@virtual
async def test_one_agents_messages_can_be_asked_for() -> None:
    line = Line(what="tea", price=1)
    told = just(spoken("Let me see.", name="host"), spoken(line.model_dump_json(), name="clerk"))
    assert (await every(told.pipe(partials(Line, name="clerk"))))[-1] == line
    assert await every(told.pipe(partials(Line, name="nobody"))) == []
    with pytest.raises(OutputError):
        await every(told.pipe(partials(Line)))


@virtual
async def test_blocks_aside_count_if_asked_for() -> None:
    aside = Block("log", just(spoken('{"what": "tea", "price": 1}')), entry="aside")
    assert await every(just(aside).pipe(partials(Line))) == []
    assert len(await every(just(aside).pipe(partials(Line, aside=True)))) == 2


def test_a_message_that_is_cut_has_no_whole(marbles: Marbles) -> None:
    m = marbles.message('  -\'{"what":"te\'---a-----|')
    stop = marbles.hot("   --------------------s")
    cut = just(m).pipe(until(stop), partials(Line))
    marbles.expect(cut).to_be("-x---------------y--|", x=LineTwin(what="te"), y=LineTwin(what="tea"))


def test_a_failing_message_fails_it_after_what_had_come(marbles: Marbles) -> None:
    m = marbles.message('                           -\'{"what":"te\'--#')
    marbles.expect(just(m).pipe(partials(Line))).to_be("-x--------------#", x=LineTwin(what="te"))


def test_leaving_it_cancels_the_model(marbles: Marbles) -> None:
    llm = marbles.llm('                        -\'{"what":"te\'--a-|')
    heard = say("q").pipe(Agent("bot", llm), partials(Line), ops.take(1))
    marbles.expect(heard).to_be("-(x|)", x=LineTwin(what="te"))
    marbles.expect_subscriptions(llm).to_be("^!")


LINES = [[LineTwin(what="te")], [LineTwin(what="tea", price=3)], [Line(what="tea", price=3)]]


@pytest.mark.parametrize(
    ("type", "tokens", "shown"),
    [
        (list[int], ['{"value": [1', "2, 3", "4]}"], [[12], [12, 34], [12, 34]]),
        (list[Line], ['[{"what": "te', 'a", "price": 3}', "]"], LINES),
        (str, ['{"value": "a', 'b"}'], ["a", "ab", "ab"]),
        (int, ['{"value": 1', "2}"], [12, 12]),
        (Literal["yes", "no"], ['{"value": "y', 'es"}'], ["yes", "yes"]),
        (dict[str, int], ['{"a": 1,', ' "b": 2}'], [{"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}]),
    ],
    ids=str,
)
@virtual
async def test_other_types_than_models(type: Any, tokens: list[str], shown: list[Any]) -> None:
    assert await seen(type, *tokens) == shown


@virtual
async def test_a_list_begins_anew_empty() -> None:
    tokens = ["[1, ", delta(restart="short"), "[2, 3]"]
    assert await seen(list[int], *tokens) == [[1], [], [2, 3], [2, 3]]


@virtual
async def test_leaving_a_finished_message_leaves_its_error() -> None:
    said = just(MessageStream.of(AssistantMessage('{"what": "tea", "price": "?"}')))
    assert await said.pipe(partials(Line), ops.take(1)) == LineTwin(what="tea")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: partials(None), "partials: the type: None is no type"),
        (lambda: partials("Invoice"), "partials: the type: 'Invoice' is no type"),
        (lambda: partials(object()), "partials: the type: .* has no JSON schema"),
        (lambda: partials(Line, name=7), "partials: the name is an agent's id, not 7"),  # type: ignore[arg-type]
    ],
)
def test_what_it_cannot_work_with_is_refused_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


@virtual
async def test_many_messages_need_no_stack() -> None:
    line = Line(what="tea", price=1)
    crowd = [spoken(line.model_dump_json()) for _ in range(2000)]
    assert len(await every(just(*crowd).pipe(partials(Line)))) == 4000


@virtual
async def test_it_is_read_again_from_the_beginning() -> None:
    heard = just(spoken(*TOKENS)).pipe(partials(Invoice))
    assert await every(heard) == await every(heard) == SEEN


@virtual
async def test_an_agent_with_an_output_type_that_retries() -> None:
    replies = ['{"number": 1, "customer": "A"}', WHOLE.model_dump_json()]
    bot = Agent("bot", ScriptedLLM(replies), output_type=Invoice)
    shown = await every(say("q").pipe(bot, partials(Invoice)))
    reset = shown.index(EMPTY)
    assert shown[reset - 1] == Twin(number=1, customer="A")
    assert shown[-2:] == [SEEN[-2], WHOLE]


def real(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 30))

    return run


def serving(*script: Any) -> OpenAIServer:
    return OpenAIServer(list(script))


def of(server: OpenAIServer) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="k", max_retries=0)


@real
async def test_over_the_wire() -> None:
    with serving('{"number": 1, "customer": ""}', WHOLE.model_dump_json()) as server:
        bot = Agent("bot", of(server), output_type=Invoice)
        shown = await every(say("What was sold?").pipe(bot, partials(Invoice)))
        first, second = (request.body for request in server.requests)
    assert first["response_format"]["json_schema"]["strict"] is True
    assert first["response_format"]["json_schema"]["name"] == "Invoice"
    assert "customer: Value error, too short" in json.dumps(second["messages"][-1])
    assert shown[-1] == WHOLE
    assert EMPTY in shown
    assert shown.index(EMPTY) < shown.index(SEEN[-2])


@real
async def test_over_the_wire_after_a_tool_call() -> None:
    def price(what: str) -> int:
        """What it costs."""
        return 3

    script = [Reply("Let me look it up.", calls=[Call("price", {"what": "tea"})]), WHOLE.model_dump_json()]
    with serving(*script) as server:
        bot = Agent("bot", of(server), tools=[price], output_type=Invoice)
        shown = await every(say("q").pipe(bot, partials(Invoice)))
    assert shown[-1] == WHOLE
    assert EMPTY not in shown, "nothing had been shown when the tool was called"


@real
async def test_over_the_wire_a_broken_connection_fails_it() -> None:
    with serving(Dropped(3, WHOLE.model_dump_json())) as server:
        heard = say("q").pipe(Agent("bot", of(server)), partials(Invoice))
        with pytest.raises(rxagents.ModelConnectionError):
            await every(heard)


@virtual
async def test_beside_other_readers_the_message_runs_once() -> None:
    runs: list[str] = []
    source = rx.defer(lambda _: runs.append("run") or rx.of(*TOKENS))  # type: ignore[func-returns-value]
    said = just(MessageStream(source))
    shown, marks = await every(said.pipe(partials(Invoice))), await every(said.pipe(markers()))
    assert shown == SEEN
    assert [mark for mark, _ in marks] == [*["delta"] * len(TOKENS), "response", "result"]
    assert runs == ["run"]
