"""guard_input and guard_output: guards work beside the agent, and cut it when they trip."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reactivex import operators as ops

from rxagents import (
    Agent,
    ConfigurationError,
    GuardError,
    OpenAILLM,
    Sequence,
    Team,
    Transcript,
    Workflow,
    agent,
    guard_input,
    guard_output,
    say,
)
from rxagents.llm import Call, Reply, ScriptedLLM
from rxagents.operators import Gated, markers, text, until
from rxagents.places import where
from rxagents.testing import Marbles, OpenAIServer, Paused
from rxagents.testing.laws import check_laws

WAIT = 10.0
NO = "the check did not pass"
REFUSAL = "I cannot help with that."


def says(answer: bool, seconds: float | None = None) -> Callable[[Any], Any]:
    """A check that says so, after some time."""

    async def verdict(heard: Any) -> bool:
        await asyncio.sleep(seconds or 0)
        return answer

    return verdict if seconds is not None else lambda heard: answer


def polite(words: str) -> bool:
    return "damn" not in words


def shown(name: str, action: str, reason: str = NO) -> dict[str, Any]:
    return {"kind": "guard", "guard": name, "agent": "bot", "reason": reason, "action": action}


# -- the input


def test_what_is_said_is_shown_when_the_check_has_passed_and_not_before(marbles: Marbles) -> None:
    llm = marbles.llm("                                       Hi-you-all-|")
    bot = guard_input(Agent("bot", llm), says(True, 5))
    marbles.expect_markers(say("q").pipe(bot, markers())).to_be(
        [
            *((0, "start", "bot"), (5, "delta", "Hi"), (5, "delta", "you"), (7, "delta", "all")),
            *((11, "response", "Hiyouall"), (11, "end", "bot"), (11, "result", "done")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("                 ^----------!")


def test_when_it_trips_nothing_was_shown_and_the_model_is_cancelled(marbles: Marbles) -> None:
    llm = marbles.llm("                                     Hi-you-all-|")
    bot = guard_input(Agent("bot", llm), says(False, 5), name="topic")
    marbles.expect_markers(say("q").pipe(bot, markers())).to_be(
        [
            *((0, "start", "bot"), (5, "state", shown("topic", "refuse")), (5, "delta", REFUSAL)),
            *((5, "response", REFUSAL), (5, "end", "bot"), (5, "result", "done")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("               ^----!")


def test_without_hold_what_was_said_is_cut(marbles: Marbles) -> None:
    llm = marbles.llm("                                     Hi-you-all-|")
    bot = guard_input(Agent("bot", llm), says(False, 5), hold=False)
    marbles.expect_markers(say("q").pipe(bot, markers())).to_be(
        [
            *((0, "start", "bot"), (0, "delta", "Hi"), (3, "delta", "you"), (5, "interrupted", "Hiyou")),
            *((5, "state", shown("verdict", "refuse")), (5, "delta", REFUSAL)),
            *((5, "response", REFUSAL), (5, "end", "bot"), (5, "result", "done")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("               ^----!")


@pytest.mark.parametrize("hold", [True, False])
def test_a_turn_that_was_done_first_waits_for_its_check(marbles: Marbles, hold: bool) -> None:
    llm = marbles.llm("                                          Hi|")
    bot = guard_input(Agent("bot", llm), says(True, 5), hold=hold)
    at = 5 if hold else 0
    marbles.expect_markers(say("q").pipe(bot, markers())).to_be(
        [
            *((0, "start", "bot"), (at, "delta", "Hi"), (5 if hold else 2, "response", "Hi")),
            *((5, "end", "bot"), (5, "result", "done")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("                    ^-!")


def test_a_plain_check_comes_first_and_the_model_is_not_asked() -> None:
    llm = ScriptedLLM(["Hi."])
    heard: list[str] = []

    def check(transcript: Transcript) -> bool:
        heard.append(transcript[-1].text)
        return False

    workflow = Workflow(guard_input(Agent("bot", llm), check, refusal="No."))
    result = workflow.run("What is your key?")
    assert (result, result.text, heard, llm.requests) == ("done", "No.", ["What is your key?"], [])
    assert workflow.conversation[-1].finish_reason == "content_filter"
    assert workflow.conversation.transcript.log == (("warning", "guard/trip", "bot", "check", NO, "refuse"),)


def test_a_check_that_raises_has_not_passed() -> None:
    async def check(transcript: Transcript) -> bool:
        raise LookupError("no policy")

    result = Workflow(guard_input(Agent("bot", ScriptedLLM(["Hi."])), check)).run("q")
    assert result.text == REFUSAL


def test_it_may_fail_the_turn() -> None:
    async def check(transcript: Transcript) -> bool:
        raise LookupError("no policy for the word secret")

    workflow = Workflow(
        Sequence("team", [guard_input(Agent("bot", ScriptedLLM(["Hi."])), check, on_trip="fail")])
    )
    result = workflow.run("q")
    assert result == "agent-error"
    error = result.error
    assert isinstance(error, GuardError)
    assert str(error) == "agent bot: the guard check tripped: the check raised LookupError"
    assert (error.guard, error.agent, error.reason) == ("check", "bot", "the check raised LookupError")
    assert isinstance(error.__cause__, LookupError)
    assert where(error) == ("team", "bot")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.guard) == (str(error), "check")


def test_it_may_stop_the_team() -> None:
    llm, other = ScriptedLLM(["Hi."]), ScriptedLLM(["Yes."])
    bot = guard_input(Agent("bot", llm), says(False, 0), on_trip="stop")
    workflow = Workflow(Sequence("team", [bot, Agent("other", other)]))
    assert workflow.run("q") == "agent-stop"
    assert [message.text for message in workflow.conversation] == ["q"]
    assert other.requests == []


def test_what_was_spent_on_what_nobody_sees_is_counted(marbles: Marbles) -> None:
    llm = ScriptedLLM(["Hi there."])
    alone = Workflow(Agent("bot", ScriptedLLM(["Hi there."]))).run("q").usage
    result = Workflow(guard_input(Agent("bot", llm), says(False, 0.05))).run("q")
    assert (result.text, result.usage) == (REFUSAL, alone)


def test_what_a_check_asks_is_counted() -> None:
    judge = Agent("judge", ScriptedLLM(lambda request: "yes"))

    async def check(heard: Transcript) -> bool:
        return (await judge.ask(heard)).text == "yes"

    alone = Workflow(Agent("bot", ScriptedLLM(["Hi."]))).run("q").usage
    result = Workflow(guard_input(Agent("bot", ScriptedLLM(["Hi."])), check)).run("q")
    assert result.text == "Hi."
    assert result.usage.total_tokens > alone.total_tokens


def test_its_tools_are_cancelled() -> None:
    ended = threading.Event()

    async def look() -> str:
        try:
            await asyncio.sleep(WAIT)
        finally:
            ended.set()
        return "never"

    async def check(heard: Transcript) -> bool:
        await asyncio.sleep(0.05)
        return False

    bot = Agent("bot", ScriptedLLM([Call("look")]), tools=[look])
    assert Workflow(guard_input(bot, check)).run("q").text == REFUSAL
    assert ended.wait(WAIT)


def test_who_cuts_it_cuts_the_check_and_the_turn(marbles: Marbles) -> None:
    ended: list[str] = []

    async def check(heard: Transcript) -> bool:
        try:
            await asyncio.sleep(9)
        finally:
            ended.append("check")
        return True

    llm = marbles.llm("                             Hi-you-all-|")
    stop = marbles.hot("                            ----s")
    said = say("q").pipe(guard_input(Agent("bot", llm), check), until(stop))
    marbles.expect(said.pipe(text())).to_be("----|")
    marbles.expect_subscriptions(llm).to_be("       ^---!")
    marbles.flush()
    assert ended == ["check"]


@pytest.mark.drops
def test_a_turn_that_failed_before_its_guard_tripped_is_reported(marbles: Marbles) -> None:
    llm = marbles.llm("  -#", error=ValueError("broken"))
    bot = guard_input(Agent("bot", llm), says(False, 5))
    probe = marbles.probe()
    marbles.expect(say("q").pipe(bot, markers(), ops.map(lambda marker: str(marker[0])), probe))
    marbles.allow("unread", "errors")
    marbles.flush()
    assert probe.items == ["start", "state", "delta", "response", "end", "result"]


def test_a_turn_that_fails_and_passes_fails(marbles: Marbles) -> None:
    llm = marbles.llm("  -#", error=ValueError("broken"))
    workflow = Workflow(guard_input(Agent("bot", llm), says(True, 5)))
    probe = marbles.probe()
    marbles.expect(workflow.observe("q").pipe(probe))
    marbles.allow("unread")
    marbles.flush()
    assert probe.items[-1] == ("result", "agent-error")
    (error,) = (content for mark, content in probe.items if mark == "error")
    assert error == {"type": "ValueError", "message": "broken", "where": "bot"}


# -- the output


def test_words_are_shown_at_once_and_void_when_they_do_not_pass(marbles: Marbles) -> None:
    llm = marbles.llm("                           Hi.-_Damn-it.-_And-so|")
    bot = guard_output(Agent("bot", llm), lambda words: "Damn" not in words)
    said = say("q").pipe(bot)
    marbles.expect(said).to_be(
        """
             (bot|)
        bot  m-------------(<guard>|)
        m    Hi.-_Damn-it.-(_And x I_cannot_help_with_that.|)
        """,
        x={"restart": NO},
    )
    marbles.expect_subscriptions(llm).to_be("^-------------!")


def test_a_slow_check_runs_beside_and_the_message_waits_for_it_at_its_end(marbles: Marbles) -> None:
    llm = marbles.llm("                                 Hi|")
    bot = guard_output(Agent("bot", llm), says(True, 6))
    marbles.expect(say("q").pipe(bot, text())).to_be("Hi------|")
    marbles.allow("unread")
    probe = marbles.probe()
    said = say("q").pipe(guard_output(Agent("bot", marbles.llm("Hi|")), says(False, 6)), markers(), probe)
    marbles.expect(said)
    marbles.flush()
    assert [str(mark) for mark, _ in probe.items] == [
        "start", "delta", "state", "delta", "delta", "response", "end", "result",
    ]  # fmt: skip
    assert probe.items[3][1]["restart"] == NO


def test_words_that_were_whole_before_they_are_checked_end_where_they_do_not_pass() -> None:
    bot = Agent("bot", ScriptedLLM(lambda request: "Hi. Oh damn. And so on, and on."))
    both = guard_output(guard_input(bot, says(True, 0.02)), polite)
    shown = list(Workflow(both).run_stream("q"))
    assert "so on" not in str(shown)
    assert asyncio.run(_answer(both)) == REFUSAL


async def _answer(bot: Any) -> str:
    return (await bot.ask("q")).text  # type: ignore[no-any-return]


def test_the_conversation_keeps_nothing_of_what_did_not_pass() -> None:
    bob = ScriptedLLM(["Yes."])
    guarded = guard_output(Agent("bot", ScriptedLLM(["Hi. Oh damn."])), polite, refusal="No.")
    workflow = Workflow(Sequence("team", [guarded, Agent("bob", bob)]))
    assert workflow.run("q") == "done"
    assert [message.text for message in workflow.conversation] == ["q", "No.", "Yes."]
    assert "damn" not in str(bob.requests[0].messages)


def test_output_it_may_fail_or_stop() -> None:
    def guarded(on_trip: Any) -> Workflow:
        bot = guard_output(Agent("bot", ScriptedLLM(["Hi. Oh damn. Bye."])), polite, on_trip=on_trip)
        return Workflow(Sequence("team", [bot, Agent("bob", ScriptedLLM(["Yes."]))]))

    failed, stopped = guarded("fail"), guarded("stop")
    result = failed.run("q")
    assert isinstance(result.error, GuardError)
    assert str(result.error) == f"agent bot: the guard polite tripped: {NO}"
    assert where(result.error) == ("team", "bot")
    assert stopped.run("q") == "agent-stop"
    assert [(said.text, said.finish_reason) for said in stopped.conversation[1:]] == [
        ("Hi.", "content_filter")
    ]


def test_output_the_check_gets_windows() -> None:
    windows: list[tuple[str, bool]] = []

    def check(words: Gated) -> bool:
        windows.append((words.window, words.last))
        return True

    Workflow(guard_output(Agent("bot", ScriptedLLM(["Hi. You."])), check)).run("q")
    assert windows == [("Hi.", False), (" You.", True)]


# -- as participants


def test_both_keep_who_they_guard() -> None:
    async def asked(who: Any) -> str:
        return (await who.ask("q")).text

    bot = Agent("bot", ScriptedLLM(lambda request: "Hi."), "Greets.", temperature=0)
    for guarded in (guard_input(bot, says(True)), guard_output(bot, says(True))):
        assert (guarded.id, guarded.description, guarded.params) == ("bot", "Greets.", {"temperature": 0})  # type: ignore[attr-defined]
        other = guarded.with_(id="other")
        assert (other.id, Workflow(other).run("q").message["name"]) == ("other", "other")
        assert Workflow(guarded.pipe(lambda source: source)).run("q").text == "Hi."
        assert asyncio.run(asked(guarded)) == "Hi."
        with pytest.raises(AttributeError):
            _ = guarded._nothing
    assert repr(guard_input(bot, says(True), name="topic")) == "<Agent bot> with the guard topic"


def test_both_at_once_in_a_team_and_around_one() -> None:
    bot = Agent("bot", ScriptedLLM(lambda request: "Hi."))
    both = guard_output(guard_input(bot, says(True)), polite)
    inner = Team(ScriptedLLM([]), [both], "team", max_turns=1)
    outer = guard_input(guard_output(inner, polite), says(True, 0))
    workflow = Workflow(outer)
    marks = [(str(mark), mark.path) for mark, _ in workflow.run_stream("q") if mark != "delta"]
    assert marks == [
        ("start", ("team",)), ("start", ("team", "bot")), ("response", ("team", "bot")),
        ("end", ("team", "bot")), ("end", ("team",)), ("result", ()),
    ]  # fmt: skip
    assert [message.text for message in workflow.conversation] == ["q", "Hi."]


def test_a_team_is_cut_with_its_members(marbles: Marbles) -> None:
    a = marbles.llm("                            Hi-|")
    b = marbles.llm("                            Yes---------|")
    team = Sequence("team", [Agent("a", a), Agent("b", b)])
    said = say("q").pipe(guard_input(team, says(False, 5)), markers())
    marbles.expect_markers(said).to_be(
        [
            *((0, "start", "team"), (5, "state", {**shown("verdict", "refuse"), "agent": "team"})),
            *((5, "delta", REFUSAL), (5, "response", REFUSAL), (5, "end", "team"), (5, "result", "done")),
        ]
    )
    marbles.expect_subscriptions(b).to_be("   ---^-!")
    marbles.expect_subscriptions(a).to_be("   ^--!")


def test_how_an_agent_enters_the_conversation_stays() -> None:
    writer = Agent("writer", ScriptedLLM(["Better."]), update_strategy="replace_last")
    workflow = Workflow(
        Sequence("team", [Agent("a", ScriptedLLM(["Good."])), guard_input(writer, says(True))])
    )
    workflow.run("q")
    assert [message.text for message in workflow.conversation] == ["q", "Better."]


@pytest.mark.parametrize("passes", [True, False])
def test_an_update_strategy_makes_what_it_makes_of_the_refusal_too(passes: bool) -> None:
    def stressed(before: Any, said: Any) -> Any:
        return (*before, *(message.model_copy(update={"content": message.text + "!"}) for message in said))

    def kept(strategy: Any) -> list[str]:
        bot = Agent("bot", ScriptedLLM(["Hi."]), update_strategy=strategy)
        workflow = Workflow(guard_input(bot, says(passes), refusal="No."))
        workflow.run("q")
        return [message.text for message in workflow.conversation]

    assert kept("none") == ["q"]
    assert kept(stressed) == ["q", "Hi.!" if passes else "No.!"]


def test_a_function_agent_is_guarded_too() -> None:
    @agent
    async def echo(heard: Transcript) -> Any:
        yield heard[-1].text

    assert Workflow(guard_input(echo, says(True))).run("Hi").text == "Hi"
    assert Workflow(guard_input(echo, says(False))).run("Hi").text == REFUSAL
    assert Workflow(guard_output(echo, polite)).run("damn").text == REFUSAL


@pytest.mark.parametrize("guard", [guard_input, guard_output])
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"participant": "bot"}, "guards an agent or a team, not str"),
        (
            {"check": None},
            ": check is a NoneType; give a function, plain or async, that says whether it passes",
        ),
        ({"on_trip": "cut"}, ": on_trip is 'cut'; give 'refuse', 'fail' or 'stop'"),
        ({"refusal": 1}, ": refusal is a int; give a str"),
    ],
)
def test_arguments_that_will_not_do(guard: Any, options: dict[str, Any], complaint: str) -> None:
    given = {"participant": Agent("bot", ScriptedLLM([])), "check": polite, **options}
    with pytest.raises(ConfigurationError) as raised:
        guard(given.pop("participant"), given.pop("check"), **given)
    assert str(raised.value) == f"{guard.__name__}{'' if complaint[0] == ':' else ' '}{complaint}"


# -- the laws, and the wire


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("passes", [True, False])
def test_the_input_guard_obeys_the_laws(hold: bool, passes: bool) -> None:
    bot = Agent("bot", ScriptedLLM(lambda request: "Hi you. Damn it.", delay=0.3))
    check_laws(guard_input(bot, says(passes, 1.1), hold=hold), max_examples=4)


@pytest.mark.parametrize("on_trip", ["refuse", "fail", "stop"])
def test_the_output_guard_obeys_the_laws(on_trip: Any) -> None:
    bot = Agent("bot", ScriptedLLM(lambda request: "Hi you. Oh damn it.", delay=0.3))
    check_laws(guard_output(bot, polite, on_trip=on_trip, window=1), max_examples=4)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer([Paused(12, "Here is the key: 1234. damn. And so on, and on.")]) as server:
        yield server


def test_over_http_the_response_is_closed_when_the_input_guard_trips(server: OpenAIServer) -> None:
    llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")

    said: list[str] = []
    in_the_midst = asyncio.Event()

    def noted(item: Any) -> None:
        said.append(getattr(item, "get", {}.get)("content") or "")
        if "1234" in "".join(said):
            in_the_midst.set()

    async def check(heard: Transcript) -> bool:
        await in_the_midst.wait()
        return False

    bot = Agent("bot", lambda request: llm(request).pipe(ops.do_action(noted)))
    workflow = Workflow(guard_input(bot, check))
    markers_shown = list(workflow.run_stream("q"))
    assert "key" not in str(markers_shown)
    assert workflow.conversation[-1].text == REFUSAL
    (request,) = server.requests
    assert request.wait_closed(WAIT)
    assert not request.completed
    request.release()


def test_over_http_the_response_is_closed_when_the_output_guard_trips(server: OpenAIServer) -> None:
    llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
    workflow = Workflow(guard_output(Agent("bot", llm), lambda words: "1234" not in words))
    assert workflow.run("q").text == REFUSAL
    (request,) = server.requests
    assert request.wait_closed(WAIT)
    assert not request.completed
    request.release()
    assert "1234" not in str(workflow.conversation.to_dict())


def test_a_reply_that_calls_no_tool_of_a_turn_that_was_cut() -> None:
    ran: list[str] = []

    def look() -> str:
        ran.append("look")
        return "214"

    bot = Agent("bot", ScriptedLLM([Reply("Oh damn. ", [Call("look")]), "Done."]), tools=[look])
    result = Workflow(guard_output(bot, polite)).run("q")
    assert (result.text, ran) == (REFUSAL, [])
