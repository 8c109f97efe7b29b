"""How a marble test fails: the text of each failure, and its way out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import Agent, ConfigurationError, Transcript, Workflow, agent, say
from rxagents.operators import text
from rxagents.testing import MarbleFailure, Marbles


def failure(draw: Callable[[Marbles], object]) -> str:
    """The text with which a test fails, without the places where it was written."""
    with pytest.raises(MarbleFailure) as caught, Marbles() as marbles:
        draw(marbles)
    return re.sub(r" at test_\w+\.py:\d+", "", str(caught.value))


def bot(marbles: Marbles, *scripts: str) -> Agent:
    return Agent("bot", marbles.llm(*scripts))


def test_another_picture() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.expect(say("q").pipe(bot(marbles, "--Well-let|"), text())).to_be("--Well-lit|")

    assert failure(draw) == (
        "expect: another picture\n"
        "\n"
        "  expected  --Well-lit|\n"
        "  actual    --Well-let|\n"
        "                   ^ expected 'lit' at 7 s, but 'let' came"
    )


def test_each_picture_that_is_another_one_is_shown() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.expect(marbles.cold("-a|")).to_be("-b|")
        marbles.expect(marbles.cold("-a|")).to_be("-a|")
        marbles.expect(marbles.cold("-a|")).to_be("--|")

    text = failure(draw)
    assert text.count("another picture") == 2
    with pytest.raises(MarbleFailure) as caught, Marbles() as marbles:
        draw(marbles)
    titles = [title.split(" at ")[0] for title, expected, actual in caught.value.pictures if expected]
    assert titles == ["expect", "expect"]


def test_it_says_where_the_expectation_was_written() -> None:
    marbles = Marbles()
    marbles.expect(rx.never()).to_be("-a")
    marbles.flush()
    with pytest.raises(MarbleFailure, match=r"expect at test_marble_failures\.py:\d+: another picture"):
        marbles.verify()


def test_what_can_never_come() -> None:
    async def waits(transcript: Transcript) -> None:
        await asyncio.get_running_loop().create_future()

    def draw(marbles: Marbles) -> None:
        marbles.expect(say("q").pipe(agent(waits), text())).to_be("-a-|")

    text_of_it = re.sub(r"Task-\d+", "Task-N", failure(draw))
    assert text_of_it.endswith(
        "expected 'a' at 1 s, but nothing more came\n"
        "\n"
        "  Nothing can happen any more. Still waiting:\n"
        "    Task-N: Feed._drive > run > waits on <Future pending>"
    )


def test_an_expectation_that_was_never_compared() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.expect(marbles.cold("-a|"))
        marbles.expect_subscriptions(marbles.cold("-a|"))
        marbles.expect_markers(Workflow(agent(lambda transcript: "hi", id="a")).observe("q"))

    assert failure(draw) == (
        "never compared: write .to_be(…) (the way out: marbles.allow('unread'))\n"
        "\n"
        "  - expect: 2 events came\n"
        "  - expect_markers: 5 markers came\n"
        "  - expect_subscriptions of cold('-a|')"
    )


def test_what_nobody_asked_for() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.hot("-s")
        marbles.tool("look", "-a|", "-b|")
        marbles.expect(say("q").pipe(bot(marbles, "-a|", "-b|"), text())).to_be("-a|")

    assert failure(draw) == (
        "drawn, and nobody asked for it (the way out: marbles.allow('unused'))\n"
        "\n"
        "  - hot('-s') was never subscribed to\n"
        "  - look was asked 0 times; 2 more drawn\n"
        "  - llm was asked 1 time; 1 more drawn"
    )


def test_a_script_too_few_fails_the_test_whoever_catches_the_error() -> None:
    def draw(marbles: Marbles) -> None:
        talk = bot(marbles, "-a|")
        twice = rx.concat(say("q").pipe(talk, text()), say("q").pipe(talk, text()))
        marbles.expect(twice.pipe(ops.catch(rx.empty()))).to_be("-a|")

    assert failure(draw) == (
        "what is drawn cannot be played\n"
        "\n"
        "  llm has 1 script, and request 2 came, of agent 'bot'; draw another script for it"
    )


def test_a_lane_too_few_of_a_tool() -> None:
    def draw(marbles: Marbles) -> None:
        look = marbles.tool("look", "-a|", "-b|")
        llm = marbles.llm("(@look @look @look|)", "-x|")
        marbles.expect(say("q").pipe(Agent("bot", llm, tools=[look]), text())).to_be("---x|")

    assert failure(draw) == (
        "what is drawn cannot be played\n\n  the tool look has 2 lanes, and call 3 came; draw another lane"
    )


def _leaks(source: rx.Observable[Any]) -> rx.Observable[Any]:
    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        source.subscribe(observer.on_next)

    return rx.create(subscribe)


def test_a_subscription_that_was_left_open() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.expect(_leaks(marbles.hot("-a-b-")), unsubscribe_at=2).to_be("-a")

    assert failure(draw) == (
        "left open at the end (the way out: marbles.allow('open'))\n\n  - hot('-a-b-'), subscribed to at 0 s"
    )


def test_a_task_that_was_left_open() -> None:
    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    kept: list[Any] = []

    def draw(marbles: Marbles) -> None:
        marbles.at(1, lambda: kept.append(asyncio.ensure_future(waits())))

    assert re.sub(r"Task-\d+", "Task-N", failure(draw)) == (
        "left open at the end (the way out: marbles.allow('open'))\n"
        "\n"
        "  - the task Task-N: waits on <Future pending>"
    )


def test_a_timer_without_end() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.at(0, lambda: rx.interval(1.0).subscribe(lambda _: None))

    assert failure(draw).startswith(
        "left open at the end (the way out: marbles.allow('open'))\n\n  - the timer"
    )


def test_words_where_characters_were_read() -> None:
    def draw(marbles: Marbles) -> None:
        joined = marbles.cold("-ab|").pipe(ops.reduce(lambda one, other: one + other))
        marbles.expect(joined).to_be("---(ab|)")

    assert failure(draw) == (
        "expect: another picture\n"
        "\n"
        "  expected  ---(a b|)\n"
        "  actual    ---(ab|)\n"
        "                ^ expected 'a' at 3 s, but 'ab' came\n"
        "\n"
        "  Only hot and cold lanes are drawn, so this was read character by character; expect(…, words=True) "
        "reads words."
    )


def test_a_lane_without_an_end_is_what_was_waited_for() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.expect(say("q").pipe(bot(marbles, "--Hi"), text())).to_be("--Hi-|")

    assert "Still waiting:\n    llm, subscribed to at 0 s, and its lane has no end\n" in failure(draw)


def test_a_task_that_will_not_be_cancelled_does_not_hang_the_test() -> None:
    async def stubborn(transcript: Transcript) -> None:
        while True:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                left.append("once more")
                if len(left) > 5:
                    raise

    left: list[str] = []

    def draw(marbles: Marbles) -> None:
        marbles.expect(say("q").pipe(agent(stubborn), text()), unsubscribe_at=3).to_be("---")

    assert failure(draw).startswith(
        "left open at the end (the way out: marbles.allow('open'))\n\n  - the task"
    )


def test_a_drawn_model_that_is_asked_outside_of_the_clock_fails_the_test() -> None:
    def draw(marbles: Marbles) -> None:
        assert Workflow(bot(marbles, "-Hi|")).run("q") == "agent-error"
        marbles.allow("unused")

    assert failure(draw).startswith(
        "what is drawn cannot be played\n\n  llm lives in virtual time, and was subscribed to outside of it;"
    )


@pytest.mark.parametrize(
    ("script", "words"), [("-(a", "a ( without its )"), ("-=214|", "has something else in it")]
)
def test_a_script_that_cannot_be_read_fails_the_test_whoever_catches_it(script: str, words: str) -> None:
    def draw(marbles: Marbles) -> None:
        llm = marbles.llm(lambda request: script)
        caught = say("q").pipe(Agent("bot", llm), text(), ops.catch(rx.empty()))
        marbles.expect(caught).to_be("|")

    assert failure(draw).startswith("what is drawn cannot be played\n\n")
    assert words in failure(draw)


def test_the_failure_is_raised_from_the_error_that_came() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.expect(marbles.cold("-a|").pipe(ops.map(lambda letter: letter.nope))).to_be("-a|")

    with pytest.raises(MarbleFailure) as caught, Marbles() as marbles:
        draw(marbles)
    assert isinstance(caught.value.__cause__, AttributeError)
    assert re.search(
        r"where e = AttributeError\(.*\), raised at test_marble_failures\.py:\d+", str(caught.value)
    )


def test_an_action_that_is_a_coroutine_is_run_and_its_error_heard() -> None:
    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("in an action")

    assert "ValueError: in an action" in failure(lambda marbles: marbles.at(1, fails))


def test_an_endless_source_is_left_when_it_has_gone_wrong() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.expect(rx.interval(1.0)).to_be("-a-", a=0)

    assert "1 came at 2 s, where nothing more was expected" in failure(draw)


def test_errors_that_nobody_handled() -> None:
    async def fails() -> None:
        raise ValueError("in a task")

    kept: list[Any] = []

    def draw(marbles: Marbles) -> None:
        marbles.at(1, lambda: kept.append(asyncio.ensure_future(fails())))
        marbles.at(2, lambda: say(ValueError("on a stream")).subscribe())

    text_of_it = re.sub(r"Task-\d+", "Task-N", failure(draw))
    assert text_of_it == (
        "errors that nobody handled (the way out: marbles.errors, and marbles.allow('errors'))\n"
        "\n"
        "  - ValueError: on a stream (a stream failed and its subscriber has no on_error)\n"
        "  - ValueError: in a task (the task Task-N failed, and nobody awaited it)"
    )


def test_other_subscriptions() -> None:
    def draw(marbles: Marbles) -> None:
        llm = marbles.llm("--Hi|")
        marbles.expect(say("q").pipe(Agent("bot", llm), text())).to_be("--Hi|")
        marbles.expect_subscriptions(llm.calls[0]).to_be("^--!")
        marbles.expect_subscriptions(llm.calls[1]).to_be("^--!")
        marbles.expect_subscriptions(llm).to_be()

    assert failure(draw) == (
        "expect_subscriptions of llm.calls[0]: other subscriptions\n"
        "\n"
        "  expected   ^--!\n"
        "  actual     ^---!\n"
        "\n"
        "expect_subscriptions of llm.calls[1]: other subscriptions\n"
        "\n"
        "  expected   ^--!\n"
        "  actual     (never)\n"
        "\n"
        "expect_subscriptions of llm: other subscriptions\n"
        "\n"
        "  expected   (never)\n"
        "  actual     ^---!"
    )


def test_other_markers() -> None:
    def draw(marbles: Marbles) -> None:
        workflow = Workflow(bot(marbles, "--Hi|"))
        marbles.expect_markers(workflow.observe("q")).to_be(
            [("start", "bot"), (2, "delta", "Hi"), ("delta", "there")]
        )

    assert failure(draw) == (
        "expect_markers: other markers\n"
        "\n"
        "    0  ('start', 'bot') at frame 0\n"
        "    1  ('delta', 'Hi') at frame 2\n"
        "  > 2  expected  ('delta', 'there')\n"
        "  > 2  actual    ('response', 'Hi') at frame 4"
    )


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ([("start", "bot"), (3, "delta", "Hi")], "> 1  actual    ('delta', 'Hi') at frame 2"),
        ([("start", "bot")], "> 1  expected  nothing more"),
    ],
)
def test_markers_at_another_time_and_too_many(expected: Any, words: str) -> None:
    def draw(marbles: Marbles) -> None:
        marbles.expect_markers(Workflow(bot(marbles, "--Hi|")).observe("q")).to_be(expected)

    assert words in failure(draw)


@pytest.mark.parametrize("last", [("result", "done"), "|"])
def test_markers_that_do_not_complete(last: Any) -> None:
    def draw(marbles: Marbles) -> None:
        endless = rx.concat(rx.of(("result", "done")), rx.never())
        marbles.expect_markers(endless).to_be([("result", "done"), "|"] if last == "|" else [last])

    assert "> 1  expected  the completion" in failure(draw)


def test_one_way_out_is_not_all_of_them() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.hot("-s")
        marbles.expect(marbles.cold("-a|"))
        marbles.allow("unused")

    assert failure(draw).startswith("never compared")


def test_what_an_action_asserts_fails_the_test_as_it_is() -> None:
    def check() -> None:
        raise AssertionError("mine")

    marbles = Marbles()
    marbles.at(2, check)
    with pytest.raises(AssertionError, match="mine"):
        marbles.flush()


def test_characters_where_words_were_read() -> None:
    def draw(marbles: Marbles) -> None:
        marbles.llm("-x|")
        marbles.allow("unused")
        marbles.expect(marbles.hot("-ab-|")).to_be("-ab-|")

    assert "This was read as words; expect(…, words=False) reads single characters." in failure(draw)
    with Marbles() as marbles:
        marbles.llm("-x|")
        marbles.allow("unused")
        marbles.expect(marbles.hot("-ab-|"), words=False).to_be("-ab-|")


def test_what_has_no_end_of_its_own() -> None:
    assert "what it reads has no end of its own, such as a Subject" in failure(
        lambda marbles: marbles.expect(rx.never()).to_be("---|")
    )


@pytest.mark.parametrize("kind", ["unread", "unused", "errors", "open"])
def test_each_has_a_way_out(kind: Any) -> None:
    kept: list[Any] = []

    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    def draw(marbles: Marbles) -> None:
        match kind:
            case "unread":
                marbles.expect(marbles.cold("-a|"))
            case "unused":
                marbles.hot("-s")
            case "errors":
                marbles.at(0, lambda: say(ValueError("x")).subscribe())
            case "open":
                marbles.at(0, lambda: kept.append(asyncio.ensure_future(waits())))

    assert failure(draw)
    with Marbles() as marbles:
        draw(marbles)
        marbles.allow(kind)
    assert [str(error) for error in marbles.errors] == (["x"] if kind == "errors" else [])


def test_a_test_that_failed_by_itself_is_not_compared() -> None:
    def fails(marbles: Marbles) -> None:
        with marbles:
            marbles.expect(marbles.cold("-a|")).to_be("-b|")
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fails(Marbles())


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda marbles: marbles.expect(3), r"expect at .* takes an observable, or a function .*, not int"),
        (lambda marbles: marbles.expect_markers("x"), r"expect_markers at .* takes an observable"),
        (lambda marbles: marbles.expect_subscriptions(rx.never()), "does not know its subscriptions"),
        (lambda marbles: marbles.allow("all"), "allow takes unread, unused, errors, open, not 'all'"),
        (lambda marbles: marbles.llm(3), "llm: a script is a diagram, or one function of the request"),
        (lambda marbles: marbles.tool("t"), "the tool 't': draw a lane that ends with its result"),
        (lambda marbles: marbles.llm("-a|").calls[-1], "count the calls from 0"),
        (lambda marbles: marbles.expect_markers(rx.never(), only=["detla"]), "only takes a list of delta, "),
        (lambda marbles: marbles.expect_markers(rx.never(), only="delta"), "only takes a list of delta, "),
        (lambda marbles: marbles.cold("-^-a|"), "a \\^ is where a hot lane has its frame 0"),
        (lambda marbles: marbles.llm("-=214|"), "a model says words and calls tools, and ends or fails"),
        (lambda marbles: marbles.expect(rx.never(), unsubscribe_at="---"), "there is no ! in '---'"),
        (lambda marbles: marbles.at(-1, print), "at is a frame, from 0 on, not -1"),
        (lambda marbles: marbles.expect(rx.never(), unsubscribe_at=float("nan")), "unsubscribe_at is"),
        (lambda marbles: marbles.expect_markers(rx.never()).to_be(["end"]), r"give \(mark, content\) or"),
        (lambda marbles: [expected := marbles.expect(rx.never()), expected.to_be("-"), expected.to_be("-")],
         "what is expected was said already"),
        (lambda marbles: [marbles.flush(), marbles.cold("-a|")], "the clock of this test has run; draw and"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_used_wrongly_says_so_at_once(use: Callable[[Marbles], object], words: str) -> None:
    with pytest.raises((ConfigurationError, IndexError), match=words):
        use(Marbles())


def test_a_drawn_lane_lives_on_the_clock_only() -> None:
    marbles = Marbles()
    with pytest.raises(
        ConfigurationError, match="and was subscribed to outside of it; hand what reads it to"
    ):
        marbles.cold("-a|").subscribe()
    with pytest.raises(MarbleFailure, match="what is drawn cannot be played"):
        marbles.verify()
