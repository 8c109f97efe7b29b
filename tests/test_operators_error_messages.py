"""errors_as_messages: what fails says so, and the conversation goes on."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    Block,
    ConfigurationError,
    Message,
    MessageStream,
    OpenAILLM,
    ScriptedLLM,
    Team,
    Transcript,
    Usage,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.engine.emitters import just
from rxagents.llm.replies import Reply
from rxagents.operators import (
    errors_as_messages,
    map_tokens,
    markers,
    messages,
    responses,
    shared,
    text,
    transcript,
    until,
)
from rxagents.testing import HTTPFault, Marbles, OpenAIServer
from rxagents.testing.laws import check_laws

NO = ValueError("no")


def details(where: str, message: str = "no", kind: str = "ValueError") -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, "where": where}}


def without_ids(message: Message) -> tuple[Any, ...]:
    return message.name, message.text, message.finish_reason


def test_a_failing_block_ends_with_a_message_that_says_so(marbles: Marbles) -> None:
    bot = Agent("bot", marbles.llm("-Well,-#", error=NO))
    ended = marbles.probe()
    marks = say("q").pipe(bot, errors_as_messages(), markers(), ended)
    marbles.expect_markers(marks).to_be(
        [
            (0, "start", "bot"),
            (1, "delta", "Well,"),
            (7, "response", "Well,"),
            (7, "delta", "Error: no"),
            (7, "response", "Error: no"),
            (7, "end", "bot"),
            (7, "result", "done"),
        ]
    )
    marbles.flush()
    assert ended.completions == 1


def test_what_had_been_said_stays_and_counts_and_the_next_agent_reads_both(marbles: Marbles) -> None:
    llm = ScriptedLLM([Reply("Well,", usage=Usage(total_tokens=5))])
    broken = Agent("broken", lambda request: rx.concat(llm(request), rx.throw(NO)))
    asked = marbles.llm("ok|")
    said = say("q").pipe(broken, errors_as_messages(), Agent("next", asked), transcript())
    marbles.expect(said.pipe(ops.map(lambda t: t.usage.total_tokens))).to_be("--(n|)", n=5)
    marbles.flush()
    assert [message["content"] for message in asked.requests[0].messages] == ["Well,", "Error: no"]


def test_the_message_is_the_agents_and_says_what_happened_where(marbles: Marbles) -> None:
    bot = Agent("bot", marbles.llm("-#", error=NO))
    team = Team(marbles.llm(), [bot], "team")
    heard: list[Message] = []
    marbles.expect(
        say("q").pipe(team, errors_as_messages(), responses(), ops.do_action(heard.append), ops.count())
    ).to_be("-(n|)", n=2)
    marbles.flush()
    failed, told = heard
    assert (failed.finish_reason, failed.text) == ("error", "")
    assert (told.role, told.name, told.text, told.finish_reason) == ("assistant", "bot", "Error: no", None)
    assert told.metadata == details("team > bot")
    assert Transcript().fold_all([MessageStream.of(message) for message in heard])[0] is told


def test_it_is_said_once_and_the_blocks_around_do_not_fail(marbles: Marbles) -> None:
    inner = agent(lambda _: ["before", NO, "after"], id="inner")
    outer = agent(lambda transcript: ["a", say(transcript).pipe(inner), "b"], id="outer")
    marks = say("q").pipe(outer, errors_as_messages(), markers(), ops.filter(lambda m: m[0] != "delta"))
    marbles.expect_markers(marks).to_be(
        [
            ("start", "outer"),
            ("response", "a"),
            ("start", "inner"),
            ("response", "before"),
            ("response", "Error: no"),
            ("end", "inner"),
            ("end", "outer"),
            ("result", "done"),
        ]
    )


def test_where_it_stands_inside_the_others_go_on(marbles: Marbles) -> None:
    inner = agent(lambda _: ["before", NO, "after"], id="inner").pipe(errors_as_messages())
    outer = agent(lambda transcript: ["a", say(transcript).pipe(inner), "b"], id="outer")
    said = say("q").pipe(outer, responses(), ops.map(str))
    marbles.expect(said).to_be("(a before e b|)", e="Error: no")


def test_a_failure_of_the_source_is_said_outside_of_blocks(marbles: Marbles) -> None:
    bot = Agent("bot", marbles.llm("-#", error=ValueError("no")))
    heard: list[Message] = []
    sources = [
        ("-(n|)", say("q").pipe(bot, Agent("next", marbles.llm()))),
        ("(n|)", rx.throw(ValueError("no"))),
        ("(n|)", say(ValueError("no"))),
    ]
    for picture, source in sources:
        told = source.pipe(errors_as_messages(), responses(), ops.do_action(heard.append), ops.count())
        marbles.expect(told).to_be(picture, n=1)
    marbles.flush()
    assert sorted((str(message.name), message.text, str(message.metadata)) for message in heard) == [
        ("None", "Error: no", str(details(""))),
        ("None", "Error: no", str(details(""))),
        ("bot", "Error: no", str(details("bot"))),
    ]


def test_a_failure_outside_of_blocks_comes_when_the_message_has_ended(marbles: Marbles) -> None:
    m = marbles.message("-a-b#", error=NO)
    other = marbles.message("------c|")
    marks = just(m, other).pipe(errors_as_messages(), markers())
    marbles.expect_markers(marks).to_be(
        [
            (1, "delta", "a"),
            (3, "delta", "b"),
            (4, "response", "ab"),
            (4, "delta", "Error: no"),
            (4, "response", "Error: no"),
            (6, "delta", "c"),
            (7, "response", "c"),
            (7, "result", "done"),
        ]
    )


def test_messages_outside_of_blocks_that_nobody_reads_do_not_keep_it_open(marbles: Marbles) -> None:
    m = marbles.message("-a-b#", error=NO)
    collected = just(m).pipe(errors_as_messages(), messages(), ops.to_list(), ops.map(len))
    marbles.expect(collected).to_be("----(n|)", n=2)


def test_an_interruption_is_no_error(marbles: Marbles) -> None:
    stop = marbles.hot("----s")
    bot = Agent("bot", marbles.llm("-a-b-c-d|", "-a-b-c-d|"))
    for cut in (
        say("q").pipe(bot, until(stop), errors_as_messages()),
        say("q").pipe(bot, errors_as_messages(), until(stop)),
    ):
        marks = cut.pipe(markers(), ops.filter(lambda m: m[0] != "delta"))
        marbles.expect_markers(marks).to_be(
            [(0, "start", "bot"), (4, "interrupted", "ab"), (4, "end", "bot"), (4, "result", "interrupted")]
        )


def test_cutting_it_cancels_what_it_was_made_of(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b-c-d|", "-a-b-c-d|")
    bot = Agent("bot", llm)
    marbles.expect(say("q").pipe(bot, errors_as_messages(), text()), unsubscribe_at=4).to_be("-a-b")
    run = say("q").pipe(bot, errors_as_messages(), shared())
    marbles.expect(run.pipe(text())).to_be("-a-b|")
    marbles.at(4, run.dispose)
    marbles.expect_subscriptions(llm.calls[0]).to_be("^---!")
    marbles.expect_subscriptions(llm.calls[1]).to_be("^---!")


def test_what_runs_beside_the_one_that_fails_is_cut_as_it_was(marbles: Marbles) -> None:
    m, other = marbles.message("-a-#", error=NO), marbles.message("-b-----b|")
    block = Block("x", just(m, other))
    marks = just(block).pipe(errors_as_messages(), markers(), ops.filter(lambda m: m[0] != "delta"))
    marbles.expect_markers(marks).to_be(
        [
            (0, "start", "x"),
            (3, "response", "a"),
            (3, "interrupted", "b"),
            (3, "response", "Error: no"),
            (3, "end", "x"),
            (3, "result", "done"),
        ]
    )


def test_the_tokens_are_the_messages_own(marbles: Marbles) -> None:
    original = marbles.message("-a-b-#", error=NO)
    got: list[Any] = []
    marbles.expect(
        just(Block("x", just(original))).pipe(
            errors_as_messages(), messages(), ops.do_action(got.append), ops.count()
        )
    ).to_be("-----(n|)", n=2)
    marbles.flush()
    twin = got[0]
    assert twin is not original
    assert (twin.id, twin.error, twin.ended, twin.interrupted) == (original.id, None, True, False)
    assert twin.items == original.items
    assert all(one is other for one, other in zip(twin._items, original._items, strict=True))
    assert twin.result is original.result
    assert original.error is NO


def test_what_went_well_passes_by_reference(marbles: Marbles) -> None:
    said = MessageStream.of(Message(role="assistant", content="x"))
    passed: list[Any] = []
    marbles.expect(just(said).pipe(errors_as_messages(), ops.do_action(passed.append), ops.count())).to_be(
        "(n|)", n=1
    )
    marbles.flush()
    assert passed == [said]


def test_a_twin_is_read_again_and_again_in_part_and_late(marbles: Marbles) -> None:
    run = just(marbles.message("-a-b-c-#", error=NO)).pipe(errors_as_messages(), shared())
    first = run.pipe(messages(), ops.take(1), ops.flat_map(lambda m: m), ops.map(lambda d: d["content"]))
    marbles.expect(first).to_be("              -a-b-c-|")
    marbles.expect(first.pipe(ops.take(1))).to_be("-(a|)")
    marbles.expect(first).to_be("              ----------(^a b c|)")


def test_describe_gives_the_words(marbles: Marbles) -> None:
    bot = Agent("bot", marbles.llm("-#", error=NO))
    said = say("q").pipe(bot, errors_as_messages(lambda error: f"{type(error).__name__}!"), text())
    marbles.expect(said).to_be("-(x|)", x="ValueError!")


@pytest.mark.parametrize(
    ("describe", "message"),
    [(lambda error: 3, "describe gave int; it must give a str"), (lambda error: {}["x"], "'x'")],
)
def test_a_describe_that_fails_fails_the_block(marbles: Marbles, describe: Any, message: str) -> None:
    bot = Agent("bot", marbles.llm("-#", error=NO))
    failed = marbles.probe()
    marks = say("q").pipe(bot, errors_as_messages(describe), markers(), ops.filter(lambda m: m[0] == "error"))
    marbles.expect(marks.pipe(failed, ops.count())).to_be("-(n|)", n=1)
    marbles.flush()
    content = failed.items[0][1]
    assert (content["message"], content["where"]) == (message, "bot > errors_as_messages")


def test_a_describe_that_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="describe is a str; give a function of the error"):
        errors_as_messages("oops")  # type: ignore[arg-type]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("key sk-abcdefgh12345678 is wrong"), "Error: key sk-… is wrong"),
        (ValueError(), "Error: ValueError"),
        (Unspeakable(), "Error: (Unspeakable without words: its __str__ raises)"),
    ],
)
def test_no_key_is_told(marbles: Marbles, error: Exception, said: str) -> None:
    bot = Agent("bot", marbles.llm("-#", error=error))
    heard: list[Message] = []
    marbles.expect(
        say("q").pipe(bot, errors_as_messages(), responses(), ops.do_action(heard.append), ops.count())
    ).to_be("-(n|)", n=2)
    marbles.flush()
    assert heard[-1].text == said
    assert "abcdefgh" not in str(heard[-1].to_dict())


def test_one_error_object_at_two_places_is_said_twice(marbles: Marbles) -> None:
    bots = [Agent(name, marbles.llm("-#", error=NO)).pipe(errors_as_messages()) for name in "ab"]
    host = agent(lambda transcript: [say(transcript).pipe(bot) for bot in bots], id="host")
    said = say("q").pipe(host, errors_as_messages(), responses(), ops.map(without_ids), ops.to_list())
    marbles.expect(said).to_be(
        "-(x|)",
        x=[(n, t, f) for n in "ab" for t, f in (("", "error"), ("Error: no", None))],
    )


def test_the_answer_of_a_run_is_the_error(marbles: Marbles) -> None:
    bot = Agent("bot", marbles.llm("-a#", error=NO)).pipe(errors_as_messages())
    workflow = Workflow(bot)
    result = marbles.run(workflow.arun("q"))
    assert (result, result.text, result.error) == ("done", "Error: no", None)
    assert [message.text for message in workflow.conversation] == ["q", "a", "Error: no"]


# -- pipe


def test_an_agent_with_operators_behind_it_is_the_same_member(marbles: Marbles) -> None:
    bot = Agent("bot", marbles.llm("-a#", "-a#", error=NO), "Says a.", tools=[lookup])
    quiet = bot.pipe(errors_as_messages(), map_tokens(str.upper))
    assert (quiet.id, quiet.description) == ("bot", "Says a.")
    assert [tool.name for tool in quiet.toolbox] == ["lookup"]  # type: ignore[attr-defined]
    seen = agent(lambda transcript: " / ".join(map(str, transcript)), id="seen")
    line = say("q").pipe(quiet, seen, text())
    marbles.expect(line).to_be("--(x|)", x="A / ERROR: NO")
    team = Team(marbles.llm(), [quiet], "team", max_turns=1)
    said = say("q").pipe(team, responses(), ops.map(str))
    marbles.expect(said).to_be("--(A x|)", x="ERROR: NO")


def lookup(key: str) -> str:
    """Looks a key up."""
    return key


def test_a_piped_agent_is_varied_asked_and_piped_on(marbles: Marbles) -> None:
    bot = Agent("bot", ScriptedLLM(["hi", "hi"])).pipe(map_tokens(str.upper))
    varied = bot.with_(id="other").pipe(map_tokens(lambda token: f"{token}!"))
    assert varied.id == "other"
    marbles.expect(varied.ask("q").pipe(text())).to_be("(HI!|)")
    marbles.expect(bot.ask("q").pipe(text())).to_be("(HI|)")
    assert bot.pipe() is bot


def test_pipe_takes_operators_only() -> None:
    bot = Agent("bot", ScriptedLLM(["hi"]))
    with pytest.raises(ConfigurationError, match="<Agent bot>: pipe takes operators, not str"):
        bot.pipe("x")  # type: ignore[arg-type]
    assert repr(bot.pipe(errors_as_messages())) == "<Agent bot> with 1 operators behind it"
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = bot.pipe(errors_as_messages()).colour  # type: ignore[attr-defined]


# -- laws and the wire


def test_it_keeps_the_laws() -> None:
    check_laws(errors_as_messages(), max_examples=50)


def test_what_a_server_refuses_the_next_agent_reads() -> None:
    with OpenAIServer([HTTPFault(400, "no such thing"), "I see."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="key-123456789")
        chain = Workflow(
            as_agent(
                "chain", lambda source: source.pipe(Agent("a", llm), errors_as_messages(), Agent("b", llm))
            )
        )
        result = chain.run("Hi.")
        told = [message["content"] for message in server.requests[1].body["messages"]]
    assert (result, result.text) == ("done", "I see.")
    assert len(told) == 1
    assert told[0].startswith("Error: ")
    assert "no such thing" in told[0]
    assert "key-123456789" not in told[0]
