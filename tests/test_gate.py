"""gate and gated: what has not passed is not shown, not kept, not heard; its response is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    ConfigurationError,
    GuardError,
    MessageStream,
    OpenAILLM,
    Sequence,
    Tool,
    Usage,
    UserMessage,
    Workflow,
    agent,
    say,
)
from rxagents.engine.emitters import just
from rxagents.llm import Call, Reply, ScriptedLLM, gated
from rxagents.operators import Gated, gate, map_tokens, markers, text, until
from rxagents.testing import Dropped, Marbles, OpenAIServer, Paused
from rxagents.testing.laws import check_laws
from rxagents.values import Completion, FunctionResult, delta

WAIT = 10.0
NO = "the check did not pass"


def polite(words: str) -> bool:
    return "damn" not in words


def after(seconds: float, check: Callable[[Any], bool] = polite) -> Callable[[Any], Any]:
    """The check, which takes so long."""

    async def slowly(words: Any) -> bool:
        await asyncio.sleep(seconds)
        return check(words)

    return slowly


def told(workflow: Workflow) -> list[dict[str, Any]]:
    """What the markers of a run say of its guards."""
    shown = [content for mark, content in workflow.run_stream("q") if mark == "state"]
    return [{key: each[key] for key in ("guard", "agent", "reason", "action")} for each in shown]


# -- windows pass as the check says


def test_a_sentence_is_shown_when_it_has_passed_and_cut_when_not(marbles: Marbles) -> None:
    m = marbles.message("            --Hi.--_Oh,-damn_it.-_Bye.|")
    heard = just(m).pipe(gate(polite), text())
    marbles.expect(heard).to_be("    -------Hi.-----------|")
    marbles.flush()
    assert m.interrupted, "its source was cancelled"


def test_the_end_ends_the_last_sentence(marbles: Marbles) -> None:
    m = marbles.message("            --Hi.-_You.-|")
    heard = just(m).pipe(gate(polite), text())
    marbles.expect(heard).to_be("    ------Hi.---(_You.|)")


def test_a_window_of_tokens(marbles: Marbles) -> None:
    m = marbles.message("                      a----b----c----d----e|")
    heard = just(m).pipe(gate(polite, window=2), text())
    marbles.expect(heard).to_be("              -----(a b)-----(c d)-(e|)")


def test_the_whole(marbles: Marbles) -> None:
    m = marbles.message("                             a-b|")
    heard = just(m).pipe(gate(polite, window="whole"), text())
    marbles.expect(heard).to_be("                     ---(a b|)")


def test_a_slow_check_lets_the_tokens_wait_and_the_checks_run_in_order(marbles: Marbles) -> None:
    asked: list[tuple[str, str, bool]] = []

    async def check(words: Gated) -> bool:
        asked.append((words.passed, words.window, words.last))
        await asyncio.sleep(3)
        return polite(words)

    m = marbles.message("                         a-b-c|")
    heard = just(m).pipe(gate(check, window=1), text())
    marbles.expect(heard).to_be("                 ---a--b--(c|)")
    marbles.flush()
    assert asked == [("", "a", False), ("a", "b", False), ("ab", "c", True)]


def test_only_the_last_of_the_windows_that_wait_is_the_last(marbles: Marbles) -> None:
    asked: list[tuple[str, bool]] = []

    async def check(words: Gated) -> bool:
        asked.append((words.window, words.last))
        await asyncio.sleep(3)
        return True

    m = marbles.message("                         (a b c|)")
    heard = just(m).pipe(gate(check, window=1), text())
    marbles.expect(heard).to_be("                 ---a--b--(c|)")
    marbles.flush()
    assert asked == [("a", False), ("b", False), ("c", True)]


def test_what_is_blank_passes_without_a_check() -> None:
    checked: list[str] = []

    def check(words: Gated) -> bool:
        checked.append(words.window)
        return True

    assert Workflow(Agent("bot", ScriptedLLM(["Hi.\n\n"])).pipe(gate(check))).run("q").text == "Hi.\n\n"
    assert checked == ["Hi."]


def test_the_check_gets_all_the_text_so_that_nothing_hides_between_windows(marbles: Marbles) -> None:
    m = marbles.message("                      da-mn-it|")
    heard = just(m).pipe(gate(polite, window=1), text())
    marbles.expect(heard).to_be("              da-|")


def test_who_says_it_is_told(marbles: Marbles) -> None:
    names: list[str | None] = []
    llm = marbles.llm("                               a|")
    heard = say("q").pipe(Agent("bot", llm), gate(lambda words: names.append(words.agent) or True), text())
    marbles.expect(heard).to_be("                      -(a|)")
    marbles.flush()
    assert names == ["bot"]


# -- what comes of a message that does not pass


def gated_run(marbles: Marbles, lane: str, **options: Any) -> Any:
    return say("q").pipe(Agent("bot", marbles.llm(lane)), gate(polite, **options))


def test_cut_the_update_comes_before_the_end_and_the_model_is_cancelled(marbles: Marbles) -> None:
    llm = marbles.llm("Hi.-_Damn,_damn.-_Bye---------|")
    said = say("q").pipe(Agent("bot", llm), gate(lambda words: "amn" not in words))
    marbles.expect(said).to_be(
        """
             (bot|)
        bot  m----------------(<guard>|)
        m    ----Hi.----------|
        """
    )
    marbles.expect_subscriptions(llm).to_be("^----------------!")
    marbles.flush()


def test_cut_the_message_and_its_log(marbles: Marbles) -> None:
    llm = ScriptedLLM(["Hi. Oh, damn it. Bye."])
    workflow = Workflow(Agent("bot", llm).pipe(gate(polite)))
    assert told(workflow) == [{"guard": "polite", "agent": "bot", "reason": NO, "action": "cut"}]
    transcript = workflow.conversation.transcript
    said = transcript[-1]
    assert (said.text, said.name, said.finish_reason) == ("Hi.", "bot", "content_filter")
    assert transcript.log == (("warning", "guard/trip", "bot", "polite", NO, "cut"),)


def test_replaced_what_was_shown_is_void(marbles: Marbles) -> None:
    said = gated_run(marbles, "Hi.-_damn.-|", on_fail="replace", replacement="Well.")
    marbles.expect(said).to_be(
        """
             (bot|)
        bot  m----------(<guard>|)
        m    ----Hi.----(x Well.|)
        """,
        x={"restart": NO},
    )


def test_replaced_where_nothing_was_shown_there_is_nothing_to_void(marbles: Marbles) -> None:
    said = gated_run(marbles, "damn-|", on_fail="replace", replacement="Well.")
    marbles.expect(said).to_be(
        """
             (bot|)
        bot  m----(<guard>|)
        m    -----(Well.|)
        """
    )


def test_replaced_the_message_says_the_replacement_alone() -> None:
    llm = ScriptedLLM(["Hi. Oh, damn it. Bye."])
    workflow = Workflow(Agent("bot", llm).pipe(gate(polite, on_fail="replace", name="manners")))
    assert told(workflow) == [{"guard": "manners", "agent": "bot", "reason": NO, "action": "replace"}]
    said = workflow.conversation[-1]
    assert (said.text, said.finish_reason) == ("I cannot say that.", "content_filter")


def test_retried_the_same_message_goes_on_with_the_next_answer(marbles: Marbles) -> None:
    llm = marbles.llm("               Hi.-_damn.-_x--|", "Hi.-_dear.|")
    said = say("q").pipe(Agent("bot", llm), gate(polite, on_fail="retry"))
    marbles.expect(said).to_be(
        """
             (bot|)
        bot  m----------<guard>---|
        m    ----Hi.----x---Hi.---(_dear.|)
        """,
        x={"restart": NO},
    )
    marbles.expect_subscriptions(llm).to_be("^----------!", "-----------^---------!")


def test_retried_in_a_workflow_all_answers_are_paid_and_one_is_kept() -> None:
    llm = ScriptedLLM([Reply("Oh damn."), Reply("Well, damn it."), Reply("Dear me.")])
    workflow = Workflow(Agent("bot", llm).pipe(gate(polite, on_fail="retry", window="whole")))
    result = workflow.run("q")
    assert (result, result.text) == ("done", "Dear me.")
    assert [message.text for message in workflow.conversation] == ["q", "Dear me."]
    assert len(llm.requests) == 3
    one = Workflow(Agent("bot", ScriptedLLM(["Dear me."]))).run("q").usage
    assert result.usage.prompt_tokens == 3 * one.prompt_tokens
    assert [entry[-1] for entry in workflow.conversation.transcript.log] == ["retry", "retry"]


def test_retried_in_vain_it_is_cut() -> None:
    llm = ScriptedLLM(lambda request: "Hi. Oh damn.")
    workflow = Workflow(Agent("bot", llm).pipe(gate(polite, on_fail="retry", retries=1)))
    assert [each["action"] for each in told(workflow)] == ["retry", "cut"]
    said = workflow.conversation[-1]
    assert (said.text, said.finish_reason, len(llm.requests)) == ("Hi.", "content_filter", 2)


def test_retried_only_who_tripped_in_a_team_is_asked_again() -> None:
    ann, bob = ScriptedLLM(["Hello."]), ScriptedLLM(["damn.", "Yes."])
    team = Sequence("team", [Agent("ann", ann), Agent("bob", bob)])
    workflow = Workflow(team.pipe(gate(polite, on_fail="retry")))
    assert workflow.run("q") == "done"
    assert [message.text for message in workflow.conversation] == ["q", "Hello.", "Yes."]
    assert (len(ann.requests), len(bob.requests)) == (1, 2)


def test_retried_tools_are_run_again_and_the_message_has_those_that_led_to_it() -> None:
    ran: list[str] = []

    def look() -> str:
        ran.append("look")
        return f"{len(ran)}"

    llm = ScriptedLLM([Call("look"), "damn 1", Call("look"), "dear 2"])
    workflow = Workflow(Agent("bot", llm, tools=[look]).pipe(gate(polite, on_fail="retry")))
    assert workflow.run("q").text == "dear 2"
    results = [step.text for step in workflow.conversation[-1].steps if step.role == "tool"]
    assert results == ["1", "2"], "what the tools did is not void"


def test_retried_who_cannot_be_asked_again_is_cut() -> None:
    @agent
    async def echo(heard: Any) -> Any:
        yield "Oh damn."

    workflow = Workflow(echo.pipe(gate(polite, on_fail="retry")))
    assert [each["action"] for each in told(workflow)] == ["cut"]


# -- failing closed


def test_a_check_that_raises_has_not_passed_and_says_why_by_a_guard_error() -> None:
    def check(words: str) -> bool:
        raise GuardError("no judge at hand")

    workflow = Workflow(Agent("bot", ScriptedLLM(["Hi."])).pipe(gate(check)))
    assert [each["reason"] for each in told(workflow)] == ["no judge at hand"]
    assert [message.text for message in workflow.conversation] == ["q"]


@pytest.mark.parametrize("on_fail", ["cut", "replace", "retry"])
@pytest.mark.parametrize("of", ["message", "model"])
def test_what_a_check_raises_by_accident_is_told_by_its_kind_as_it_may_quote_the_words(
    on_fail: Any, of: str, caplog: pytest.LogCaptureFixture
) -> None:
    def check(words: Gated) -> bool:
        return not words.passed or int(words) == 0

    llm = ScriptedLLM(lambda request: "Hi. Oh damn.")
    bot = Agent("bot", gated(llm, check, on_fail=on_fail) if of == "model" else llm)
    workflow = Workflow(bot if of == "model" else bot.pipe(gate(check, on_fail=on_fail)))
    shown = list(workflow.run_stream("q"))
    assert "the check raised ValueError" in str(shown)
    assert "damn" not in str(shown)
    assert "damn" not in str(workflow.conversation.to_dict())
    assert "the check check raised ValueError in ['" in caplog.text
    assert "damn" not in caplog.text


def test_an_async_check_that_raises_or_is_cancelled_has_not_passed(marbles: Marbles) -> None:
    async def cancelled(words: str) -> bool:
        raise asyncio.CancelledError

    async def broken(words: str) -> bool:
        await asyncio.sleep(1)
        raise LookupError

    for check, at, reason in (
        (cancelled, 0, "the check was cancelled"),
        (broken, 1, "the check raised LookupError"),
    ):
        with Marbles() as each:
            llm = each.llm("a|")
            probe = each.probe()
            said = say("q").pipe(Agent("bot", llm), gate(check), markers(), probe)
            each.expect(said)
            each.allow("unread")
        reasons = [content["reason"] for mark, content in probe.items if mark == "state"]
        assert reasons == [reason], at


@pytest.mark.parametrize(
    ("answer", "is_async"),
    [("no", False), ("no", True), (AssistantMessage("no"), True), (iter([0]), False), (just(True), True)],
)
def test_an_answer_that_is_neither_yes_nor_no_has_not_passed(answer: Any, is_async: bool) -> None:
    async def asked(words: str) -> Any:
        return answer

    def given(words: str) -> Any:
        return answer

    workflow = Workflow(Agent("bot", ScriptedLLM(["Hi."])).pipe(gate(asked if is_async else given)))
    (said,) = told(workflow)
    kind = type(answer).__name__
    assert said["reason"] == f"the check gave {kind}, which is neither yes nor no; give True or False"


# -- what is no text


def call(id: str) -> dict[str, Any]:
    return {"id": id, "function": {"arguments": "{}", "name": "look"}, "type": "function", "index": 0}


def items_of(source: list[Any], **options: Any) -> list[Any]:
    """What a message of these items comes to behind a gate."""
    with Marbles() as marbles:
        probe = marbles.probe()
        message = MessageStream(just(*source), name="bot")
        marbles.expect(just(message).pipe(gate(**{"check": polite, **options}), probe))
        marbles.allow("unread")
        marbles.flush()
        (twin,) = (item for item in probe.items if isinstance(item, MessageStream))
        held = twin.hold()
        held.dispose()
        return [
            {key: value for key, value in item.items() if value is not None} if type(item) is dict else item
            for item in twin.items
        ]


def test_nothing_overtakes_the_text() -> None:
    hm, no = delta(reasoning="hm"), delta(refusal="no")
    looks, result = delta(tool_calls=[call("1")]), FunctionResult("look", "214", "1")
    source = [hm, "Let me ", hm, "look", looks, result, "It", no, " is."]
    shown = items_of(source)
    assert shown == [
        {"reasoning": "hm"}, {"content": "Let me "}, {"reasoning": "hm"}, {"content": "look"},
        {"tool_calls": [call("1")]}, result, {"content": "It"}, {"refusal": "no"}, {"content": " is."},
    ]  # fmt: skip
    assert items_of(source, window="whole") == shown


def test_text_that_leads_to_a_call_must_pass_before_the_call_is_shown(marbles: Marbles) -> None:
    looks, result = delta(tool_calls=[call("1")]), FunctionResult("look", "214", "1")
    m = MessageStream(marbles.cold("ab(cd)|", a="Look", b=" up", c=looks, d=result), name="bot")
    heard = just(m).pipe(gate(after(3)), markers(), ops.map(str_of))
    probe = marbles.probe()
    marbles.expect(heard.pipe(probe))
    marbles.allow("unread")
    marbles.flush()
    assert probe.items == ["delta", "delta", "delta", "function_result", "response", "result"]


def test_a_token_that_ends_one_sentence_and_begins_another_is_cut_in_two() -> None:
    parts = [{"type": "text", "text": "Hi. You"}, {"type": "image_url", "image_url": {"url": "x"}}]
    shown = items_of([delta("Hi. You", content_parts=parts, reasoning="hm"), " damn."])
    assert shown == [{"content": "Hi."}]
    shown = items_of([delta("Hi. You", content_parts=parts, reasoning="hm"), " all."])
    assert shown == [
        {"content": "Hi."}, {"content": " You", "content_parts": parts[1:], "reasoning": "hm"},
        {"content": " all."},
    ]  # fmt: skip


def test_text_that_comes_as_a_part_is_checked_too() -> None:
    def part(words: str) -> dict[str, Any]:
        return {"type": "text", "text": words}

    assert items_of([delta(content_parts=[part("Oh damn.")])]) == []
    whole = delta(content_parts=[part("Hi. "), {"type": "image_url"}, part("You.")])
    assert items_of([whole]) == [
        {"content": "Hi."},
        {"content": " You.", "content_parts": [{"type": "image_url"}]},
    ]


def test_a_restart_from_above_voids_what_waits_and_what_was_shown() -> None:
    again = delta(restart="broken")
    looks, result = delta(tool_calls=[call("1")]), FunctionResult("look", "214", "1")
    assert items_of(["damn", again, "Hi."]) == [{"content": "Hi."}], "nothing was shown: nothing is void"
    assert items_of(["Hi. dam", again, "n it"]) == [
        {"content": "Hi."},
        {"restart": "broken"},
        {"content": "n it"},
    ]
    assert items_of(["a", looks, result, "damn", again, "b"], window="whole") == [
        {"tool_calls": [call("1")]}, result, {"content": "b"},
    ]  # fmt: skip


def test_usage_and_what_a_message_was_parsed_to() -> None:
    llm = ScriptedLLM(['{"a": 1}'])
    good = Workflow(Agent("bot", llm, output_type=dict[str, int]).pipe(gate(polite))).run("q")
    assert good.message is not None
    assert good.message.parsed == {"a": 1}
    bad = Workflow(
        Agent("bot", ScriptedLLM(['{"damn": 1}']), output_type=dict[str, int]).pipe(
            gate(polite, window="whole", on_fail="replace")
        )
    ).run("q")
    assert bad.message is not None
    assert (bad.message.parsed, bad.message.text) == (None, "I cannot say that.")
    assert bad.usage.total_tokens > 0, "the answer was whole, and was paid for"


@pytest.mark.parametrize("on_fail", ["cut", "replace", "retry"])
def test_a_call_that_waits_for_approval_waits_no_more_when_its_message_is_cut(on_fail: Any) -> None:
    ran: list[str] = []

    def pay() -> str:
        ran.append("pay")
        return "paid"

    llm = ScriptedLLM([Reply("Oh damn. ", [Call("pay")]), "Done."])
    bot = Agent("bot", llm, tools=[Tool(pay, approval=True)])
    workflow = Workflow(bot.pipe(gate(after(0.02), on_fail=on_fail)))
    assert workflow.run("q") == "done"
    assert (workflow.waiting, ran) == ((), [])
    assert "damn" not in str(workflow.conversation.to_dict())


# -- how it ends


def test_what_fails_above_fails_after_what_had_passed(marbles: Marbles) -> None:
    error = ValueError("broken")
    m = marbles.message("                 Hi.-_yo-----#", error=error)
    heard = just(m).pipe(gate(polite), text())
    marbles.expect(heard).to_be("         ----Hi.-----(_yo#)", error=error)


def test_what_is_interrupted_above_is_interrupted_when_its_rest_has_passed(marbles: Marbles) -> None:
    llm = marbles.llm("   Hi-you-there-|")
    stop = marbles.hot("  ----s")
    said = say("q").pipe(Agent("bot", llm), until(stop), gate(after(2)), markers(), ops.map(str_of))
    probe = marbles.probe()
    marbles.expect(said.pipe(probe))
    marbles.allow("unread")
    marbles.flush()
    assert probe.items[-3:] == ["interrupted", "end", "result"]


def str_of(marker: Any) -> str:
    return str(marker[0])


def test_who_leaves_at_the_sight_of_the_guard_asks_nobody_again(marbles: Marbles) -> None:
    asked: list[int] = []

    def model(request: Any) -> Any:
        return rx.defer(lambda _: asked.append(1) or rx.of("damn."))

    said = say("q").pipe(Agent("bot", model), gate(polite, on_fail="retry"))
    probe = marbles.probe()
    marbles.expect(said.pipe(markers(), ops.map(str_of), ops.take_while(lambda mark: mark != "state"), probe))
    marbles.allow("unread")
    marbles.flush()
    assert (probe.items, asked) == (["start"], [1])


def test_who_cuts_it_cuts_the_check_too(marbles: Marbles) -> None:
    ended: list[str] = []

    async def check(words: str) -> bool:
        try:
            await asyncio.sleep(9)
        finally:
            ended.append("check")
        return True

    llm = marbles.llm("              Hi.-_you---------|")
    stop = marbles.hot("             ------s")
    said = say("q").pipe(Agent("bot", llm), gate(check), until(stop))
    marbles.expect(said.pipe(text())).to_be("------|")
    marbles.expect_subscriptions(llm).to_be("^-----!")
    marbles.flush()
    assert ended == ["check"]


def test_what_a_check_asks_ends_with_it_and_is_paid_for(marbles: Marbles) -> None:
    judge = Agent("judge", ScriptedLLM(lambda request: "yes"))

    async def check(words: str) -> bool:
        return (await judge.ask(words)).text == "yes"

    alone = Workflow(Agent("bot", ScriptedLLM(["Hi. You."]))).run("q")
    result = Workflow(Agent("bot", ScriptedLLM(["Hi. You."])).pipe(gate(check))).run("q")
    assert result.text == "Hi. You."
    assert result.usage.total_tokens > alone.usage.total_tokens


def test_the_next_agent_hears_only_what_passed() -> None:
    bob = ScriptedLLM(["Yes."])
    ann = Agent("ann", ScriptedLLM(["Hi. Oh damn."])).pipe(gate(polite))
    Workflow(Sequence("team", [ann, Agent("bob", bob)])).run("q")
    assert [message["content"] for message in bob.requests[0].messages] == ["q", "Hi."]


@pytest.mark.parametrize("on_fail", ["cut", "replace", "retry"])
def test_what_an_update_strategy_makes_of_the_words_it_makes_of_those_that_passed(on_fail: Any) -> None:
    def stressed(before: Any, said: Any) -> Any:
        return (*before, *(message.model_copy(update={"content": message.text + "!"}) for message in said))

    bot = Agent("bot", ScriptedLLM(lambda request: "Hi. Oh damn."), update_strategy=stressed)
    twice = bot.pipe(gate(polite, on_fail=on_fail), gate(lambda words: True))
    workflow = Workflow(twice)
    assert workflow.run("q") == "done"
    expected = {"replace": "I cannot say that.!"}.get(on_fail, "Hi.!")
    assert [message.text for message in workflow.conversation] == ["q", expected]


def test_messages_of_the_user_pass_and_blocks_stay(marbles: Marbles) -> None:
    asked = MessageStream.of(UserMessage("damn"))
    inner = Block("inner", just(marbles.message("a|", name="inner")), entry="aside")
    said = just(asked, Block("outer", just(inner), catches_stops=True)).pipe(gate(polite))
    probe = marbles.probe()
    marbles.expect(said.pipe(probe))
    marbles.allow("unread")
    marbles.flush()
    assert probe.items[0] is asked
    outer = probe.items[1]
    assert outer.catches_stops
    assert [block.entry for block in outer.items] == ["aside"]


def test_two_gates_and_a_map_between_them(marbles: Marbles) -> None:
    m = marbles.message("  Hi.-_you.-_all|")
    both = just(m).pipe(gate(polite), map_tokens(str.upper), gate(lambda words: "ALL" not in words), text())
    probe = marbles.probe()
    marbles.expect(both.pipe(probe))
    marbles.allow("unread")
    marbles.flush()
    assert probe.items == ["HI.", " YOU."]


# -- a model behind a gate


def test_gated_a_call_that_does_not_pass_is_asked_again(marbles: Marbles) -> None:
    llm = marbles.llm("                                 Hi.-_damn.-_x--|", "Hi.-_dear.|")
    said = say("q").pipe(Agent("bot", gated(llm, polite, on_fail="retry")))
    probe = marbles.probe()
    marbles.expect(said.pipe(markers(), probe))
    marbles.expect_subscriptions(llm).to_be("^----------!", "-----------^---------!")
    marbles.allow("unread")
    marbles.flush()
    marks = [mark for mark, _ in probe.items]
    assert marks == ["start", "delta", "state", "delta", "delta", "delta", "response", "end", "result"]
    contents = [
        content.get("content") or content.get("restart") for mark, content in probe.items if mark == "delta"
    ]
    assert contents == ["Hi.", NO, "Hi.", " dear."]


def test_gated_tools_are_not_run_twice_nor_those_of_a_call_that_was_cut() -> None:
    ran: list[str] = []

    def look() -> str:
        ran.append("look")
        return "214"

    llm = ScriptedLLM([Reply("Let me.", [Call("look")]), Reply("Oh damn."), Reply("It is.")])
    workflow = Workflow(Agent("bot", gated(llm, polite, on_fail="retry"), tools=[look]))
    assert workflow.run("q").text.endswith("It is.")
    assert (ran, len(llm.requests)) == (["look"], 3)
    cut = ScriptedLLM([Reply("Oh damn.", [Call("look")])])
    workflow = Workflow(Agent("bot", gated(cut, polite), tools=[look]))
    result = workflow.run("q")
    assert (result, ran) == ("done", ["look"])


def test_gated_calls_that_came_before_the_words_are_void() -> None:
    items = [
        delta("Hi. "),
        delta(tool_calls=[call("1")]),
        delta("damn."),
        Completion(Usage(total_tokens=5), "tool_calls"),
    ]
    ran: list[str] = []

    def look() -> str:
        ran.append("look")
        return "214"

    workflow = Workflow(Agent("bot", gated(lambda request: rx.from_iterable(items), polite), tools=[look]))
    result = workflow.run("q")
    assert (result, result.text, ran) == ("done", "Hi. ", [])
    assert result.usage.total_tokens == 5


def test_gated_each_call_that_was_whole_is_paid_for() -> None:
    end = Completion(Usage(total_tokens=5), "stop", "m")
    answers = iter([rx.of("damn.", end), rx.of("dear.", end)])
    bot = Agent("bot", gated(lambda request: next(answers), polite, window="whole", on_fail="retry"))
    result = Workflow(bot).run("q")
    assert (result.text, result.usage.total_tokens) == ("dear.", 10)


def test_gated_what_was_said_on_in_the_same_breath_is_no_part_of_the_next_answer() -> None:
    def breathless(*words: str) -> Any:
        def subscribe(observer: Any, scheduler: Any) -> None:
            for word in words:
                observer.on_next(word)
            observer.on_completed()

        return rx.create(subscribe)

    answers = iter([breathless("damn.", " Now", " what."), breathless("dear.", " You.")])
    bot = Agent("bot", gated(lambda request: next(answers), polite, on_fail="retry"))
    assert Workflow(bot).run("q").text == "dear. You."


def test_gated_what_is_cut_is_known_by_its_model_where_that_was_told() -> None:
    whole = rx.of("damn.", Completion(Usage(total_tokens=5), "stop", "m", "r1"))
    bot = Agent("bot", gated(lambda request: whole, polite, window="whole", on_fail="replace"))
    result = Workflow(bot).run("q")
    assert result.message is not None
    assert result.message.metadata == {"model": "m", "request_id": "r1"}
    assert (result.message.finish_reason, result.usage.total_tokens) == ("content_filter", 5)


def test_gated_refuses_what_is_no_model() -> None:
    with pytest.raises(ConfigurationError, match=r"gated: llm is a str; give a model"):
        gated("gpt", polite)  # type: ignore[arg-type]
    broken = Workflow(Agent("bot", gated(lambda request: "Hi", polite))).run("q")  # type: ignore[arg-type,return-value]
    assert "gave str and no observable" in str(broken.error)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            {"check": "polite"},
            "gate: check is a str; give a function, plain or async, that says whether it passes",
        ),
        ({"on_fail": "stop"}, "gate: on_fail is 'stop'; give 'cut', 'replace' or 'retry'"),
        ({"replacement": None}, "gate: replacement is a NoneType; give a str"),
        ({"retries": 0}, "gate: retries is 0; it must be a number, 1 or more"),
        ({"name": 3}, "the name of a guard is a int; give a str"),
    ],
)
def test_arguments_that_will_not_do(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        gate(**{"check": polite, **options})
    assert str(raised.value) == complaint


# -- the laws, and the wire


@pytest.mark.parametrize("operator", [gate(lambda _: True), gate(after(0.7), window=1)], ids=["fast", "slow"])
def test_it_obeys_the_laws(operator: Any) -> None:
    check_laws(operator, max_examples=5)


@pytest.mark.parametrize("on_fail", ["cut", "replace", "retry"])
def test_it_obeys_the_laws_when_it_trips(on_fail: Any) -> None:
    # without `timing`: who reads a message outside of blocks when all has ended hears of it from that alone
    laws = ("contract", "release", "replay", "balance", "folding", "wrapping")
    bot = Agent("bot", ScriptedLLM(lambda request: "Hi. Oh damn. Bye.", delay=0.3))
    check_laws(gate(lambda words: len(words) < 9, window=1, on_fail=on_fail), laws=laws, max_examples=5)
    check_laws(bot.pipe(gate(after(0.5), window=2, on_fail=on_fail)), max_examples=3)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer([Paused(9, "Hi. Oh damn it. And so on, and on."), "Dear me."]) as server:
        yield server


@pytest.mark.parametrize("on_fail", ["cut", "replace", "retry"])
@pytest.mark.parametrize("of", ["message", "model"])
def test_over_http_nothing_unsafe_is_shown_and_the_response_is_closed(
    server: OpenAIServer, on_fail: Any, of: str
) -> None:
    llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
    if of == "model":
        workflow = Workflow(Agent("bot", gated(llm, polite, on_fail=on_fail)))
    else:
        workflow = Workflow(Agent("bot", llm).pipe(gate(polite, on_fail=on_fail)))
    shown = list(workflow.run_stream("q"))
    assert "damn" not in str(shown)
    said = [content["content"] for mark, content in shown if mark == "delta"]
    assert "".join(filter(None, said)).startswith("Hi.")
    request = server.requests[0]
    assert request.wait_closed(WAIT)
    assert not request.completed
    request.release()
    expected = {"cut": "Hi.", "replace": "I cannot say that.", "retry": "Dear me."}[on_fail]
    assert workflow.conversation[-1].text == expected
    assert "damn" not in str(workflow.conversation.to_dict())
    assert len(server.requests) == (2 if on_fail == "retry" else 1)


def test_over_http_a_connection_that_is_lost_shows_what_had_passed() -> None:
    with OpenAIServer([Dropped(4, "Hi. You there.")]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        result = Workflow(Agent("bot", llm).pipe(gate(polite))).run("q")
    assert result == "agent-error"
    assert result.message is not None
    assert result.message.text.startswith("Hi.")
