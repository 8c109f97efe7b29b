"""The kit itself: drawn sources, one clock for Rx and asyncio, and tests that read like pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import ANY

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxagents import (
    Agent,
    AssistantMessage,
    ConfigurationError,
    ModelError,
    ScriptedLLM,
    Team,
    Transcript,
    Usage,
    User,
    Workflow,
    agent,
    say,
)
from rxagents.operators import responses, text, until
from rxagents.testing import EndlessInstantError, MarbleFailure, NothingToWaitForError
from rxagents.testing.language.diagrams import MarbleError
from rxagents.testing.marbles import Marbles


def test_stop_button() -> None:
    with Marbles() as marbles:
        llm = marbles.llm("--Well-let-me-see|")
        stop = marbles.hot("----------s")
        bot = Agent(id="bot", llm=llm)
        marbles.expect(say("hi").pipe(bot, text(), ops.take_until(stop))).to_be("--Well-let|")
        marbles.expect_subscriptions(llm.calls[0]).to_be("^---------!")


class TestWhatIsDrawn:
    def test_a_cold_lane_begins_with_each_subscription(self) -> None:
        with Marbles() as marbles:
            cold = marbles.cold("--a-b|")
            marbles.expect(cold).to_be("--a-b|")
            marbles.expect(cold, unsubscribe_at="  ---^---!").to_be("---^-a-")
            marbles.expect_subscriptions(cold).to_be("^----!", "---^---!")

    def test_a_hot_lane_runs_by_itself(self) -> None:
        with Marbles() as marbles:
            hot = marbles.hot("-a-b-c|")
            marbles.expect(hot).to_be("-a-b-c|")
            marbles.expect(hot).to_be("--^b-c|")
            marbles.expect(hot).to_be("--------(^|)")

    def test_a_hot_lane_may_have_begun_before_the_clock(self) -> None:
        with Marbles() as marbles:
            marbles.expect(marbles.hot("a-^-b|")).to_be("--b|")

    def test_characters_stand_for_what_is_bound(self) -> None:
        with Marbles() as marbles:
            source = marbles.cold("-ab-c|", a=1, b=[2], c=None)
            marbles.expect(source).to_be("-xy-z|", x=1, y=[2], z=None)

    def test_an_error_is_compared_by_type_and_message(self) -> None:
        with Marbles() as marbles:
            marbles.expect(marbles.cold("-a#")).to_be("-a#")
            boom = marbles.cold("-#", error=ValueError("boom"))
            marbles.expect(boom).to_be("-#", error=ValueError("boom"))
            marbles.expect(boom).to_be("-#", error=ValueError)
            marbles.expect(rx.throw(MarbleError())).to_be("#")

    def test_a_message_speaks_in_words(self) -> None:
        with Marbles() as marbles:
            message = marbles.message("--Well,-_let-@look{\"a\":1}--=it_is-'-|-'|", name="bot")
            marbles.expect(message).to_be("--Well,-_let-@look{\"a\":1}--=it_is-'-|-'|")
        assert message.result is not None
        assert message.result.text == "Well, let-|-"
        assert message.result.steps[0].tool_calls[0].function == {"name": "look", "arguments": '{"a":1}'}
        assert message.result.steps[1].text == "it is"

    def test_a_message_may_be_cut(self) -> None:
        with Marbles() as marbles:
            message = marbles.message("--Well-let~")
            marbles.expect(message).to_be("--Well-let~")
            marbles.expect_subscriptions(message).to_be("^---------!")
        assert message.result is not None
        assert message.result.finish_reason == "interrupted"

    def test_lanes_within_lanes(self) -> None:
        drawn = """
                 -m----bot-----|
            m    --He-llo------|
            bot  ------m2------|
            m2   -------Yes----|
        """
        with Marbles() as marbles:
            marbles.expect(marbles.cold(drawn)).to_be(drawn)
            marbles.expect(marbles.cold(drawn).pipe(text())).to_be("--He-llo------('\\n\\n' Yes|)")

    def test_a_caret_among_characters(self) -> None:
        with Marbles() as marbles:
            marbles.expect(marbles.hot("-a-b|")).to_be("--^b|")
            marbles.expect(marbles.hot("-ab-----c|")).to_be("--(^b)--c|")

    def test_a_bound_message_counts_in_all_its_fields(self) -> None:
        said = AssistantMessage("Hi", name="bot")
        with Marbles() as marbles:
            marbles.expect(rx.of(said)).to_be("(m|)", m=said)
            marbles.expect(rx.of(said)).to_be("(m|)", m=ANY)
            marbles.expect(rx.of(said)).to_be("([Hi]|)")
        other = Marbles()
        other.expect(rx.of(said)).to_be("(m|)", m=AssistantMessage("Hi", name="other"))
        other.flush()
        with pytest.raises(MarbleFailure):
            other.verify()

    def test_the_same_as_another_observable(self) -> None:
        with Marbles() as marbles:
            marbles.expect(marbles.cold("-a-b|")).to_equal(
                marbles.cold("-a|").pipe(ops.concat(marbles.cold("-b|").pipe(ops.delay_subscription(0))))
            )
        other = Marbles()
        other.expect(other.cold("-a-b|")).to_equal(other.cold("-a--b|"))
        other.flush()
        with pytest.raises(MarbleFailure, match="expected 'b' at 4 s, but it came at 3 s"):
            other.verify()

    def test_a_lane_stands_for_an_observable_that_does_the_same(self) -> None:
        with Marbles() as marbles:
            letters = marbles.cold("-a-b-a-|")
            grouped = letters.pipe(ops.group_by(lambda letter: letter))
            marbles.expect(grouped).to_be(
                "-x-y---|", x=marbles.cold("a---a-|", a="a"), y=marbles.cold("b---|", b="b")
            )
            marbles.expect(letters.pipe(ops.group_by(lambda letter: letter))).to_be("-x-x---|", x=ANY)
        other = Marbles()
        windows = other.cold("-a-b|").pipe(ops.group_by(lambda letter: letter))
        other.expect(windows).to_be("-x-y|", x=other.cold("b--|"), y=ANY)
        other.flush()
        with pytest.raises(MarbleFailure, match="expected 'b' at 1 s, but 'a' came"):
            other.verify()

    def test_values_may_be_a_mapping(self) -> None:
        with Marbles() as marbles:
            marbles.expect(marbles.cold("-1-2|", {"1": 10}, **{"2": 20})).to_be("-x-2|", {"2": 20}, x=10)

    def test_an_unsubscription_wins_every_tie(self) -> None:
        async def sleeper(heard: Transcript) -> AsyncIterator[str]:
            await asyncio.sleep(3)
            yield "late"

        with Marbles() as marbles:
            spoken = say("q").pipe(agent(sleeper), text())
            for source in (
                marbles.cold("---a"),
                marbles.hot("---a"),
                rx.timer(3.0),
                rx.interval(3.0),
                spoken,
            ):
                marbles.expect(source, unsubscribe_at=3).to_be("---")
                marbles.expect(source, unsubscribe_at="---!").to_be("---")
                marbles.expect(source, unsubscribe_at="^--!").to_be("---")

    def test_a_hot_lane_wins_a_tie_with_a_cold_one_that_was_drawn_before(self) -> None:
        with Marbles() as marbles:
            letters = marbles.cold("                               --a--b|")
            stop = marbles.hot("                                   -----s")
            marbles.expect(letters.pipe(ops.take_until(stop))).to_be("--a--|")

    def test_a_hot_lane_tells_nobody_who_has_just_left(self) -> None:
        told: list[str] = []
        subscriptions: list[Any] = []

        def first(_: object) -> None:
            told.append("first")
            subscriptions[1].dispose()

        def both() -> None:
            subscriptions.append(hot.subscribe(first))
            subscriptions.append(hot.subscribe(lambda _: told.append("second")))

        with Marbles() as marbles:
            hot = marbles.hot("-a|")
            marbles.at(0, both)
        assert told == ["first"]

    def test_a_probe_counts_how_subscriptions_end(self) -> None:
        with Marbles() as marbles:
            probe = marbles.probe()
            letters = marbles.cold("-a-b|").pipe(probe)
            failing = marbles.cold("-a#").pipe(probe)
            marbles.expect(letters).to_be("-a-b|")
            marbles.expect(letters, unsubscribe_at=2).to_be("-a")
            marbles.expect(failing).to_be("-a#")
            marbles.expect_subscriptions(probe).to_be("^---!", "^-!", "^-!")
        assert (probe.completions, probe.cancellations, probe.errors) == (1, 1, [MarbleError()])
        assert sorted(probe.items) == ["a", "a", "a", "b"]
        assert probe.active == 0

    def test_what_hears_at_the_frame_of_a_hot_item_hears_it(self) -> None:
        with Marbles() as marbles:
            marbles.expect(marbles.hot("---a----b|")).to_be("---(^a)-b|")

    def test_stock_schedulers_of_the_loop_tell_its_time(self) -> None:
        def delayed() -> rx.Observable[Any]:
            clock = AsyncIOScheduler(asyncio.get_running_loop())
            return marbles_lane.pipe(ops.delay(2.0, scheduler=clock))

        with Marbles() as marbles:
            marbles_lane = marbles.cold("-a-b|")
            marbles.expect(delayed).to_be("---a-b|")

    def test_it_may_run_in_several_threads_at_once(self) -> None:
        def run(_: int) -> None:
            with Marbles() as marbles:
                marbles.expect(marbles.cold("-a|").pipe(ops.delay(1.0))).to_be("--a|")
                ended: list[Any] = []
                marbles.at(0, lambda: rx.timer(5.0).subscribe(ended.append))
            assert ended == [0]

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, range(40)))

    def test_who_speaks_speaks_in_words_and_all_others_in_characters(self) -> None:
        with Marbles() as marbles:
            marbles.expect(marbles.cold("-ab|")).to_be("-ab|")
        with Marbles() as marbles:
            said = marbles.message("-ab|").pipe(ops.map(lambda delta: delta["content"]))
            marbles.expect(said).to_be("-ab|")
        with Marbles() as marbles:  # nobody is drawn who speaks, but words came
            bot = Agent("bot", ScriptedLLM(["Hi there"]))
            marbles.expect(say("q").pipe(bot, text())).to_be("(Hi _there|)")

    def test_the_length_of_a_frame(self) -> None:
        with Marbles(frame=0.01) as marbles:
            marbles.expect(marbles.cold("-a|").pipe(ops.delay(0.02))).to_be("---a|")
            marbles.expect(rx.timer(1.0)).to_be("1s (a|)", a=0)
        with pytest.raises(ConfigurationError, match="a frame is a time in seconds, above 0, not 0"):
            Marbles(frame=0)


class TestOneClock:
    def test_delay_and_sleep_are_one_time(self) -> None:
        async def sleeper(transcript: Transcript) -> AsyncIterator[str]:
            await asyncio.sleep(2)
            yield "one"
            await asyncio.sleep(3)
            yield "two"

        with Marbles() as marbles:
            marbles.expect(marbles.cold("-a|").pipe(ops.delay(2.0))).to_be("---a|")
            slept = say("q").pipe(agent(sleeper), text(""))
            marbles.expect(slept, words=True).to_be("--one(two|)")

    def test_a_retry_with_backoff(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm("--#", "--Hi|", error=ModelError("busy"))
            bot = Agent("bot", llm)
            patient = (
                say("q")
                .pipe(bot, text())
                .pipe(ops.catch(lambda error, source: rx.timer(5.0).pipe(ops.flat_map(lambda _: source))))
            )
            marbles.expect(patient).to_be("---------Hi|")
            marbles.expect_subscriptions(llm).to_be("^-!", "-------^---!")

    def test_a_timeout(self) -> None:
        with Marbles() as marbles:
            slow = marbles.llm("--Well 9s |")
            marbles.expect(say("q").pipe(Agent("bot", slow), text(), ops.timeout(5.0))).to_be(
                "--Well-#", error=Exception("Timeout")
            )
            marbles.expect_subscriptions(slow.calls[0]).to_be("^------!")

    def test_a_coroutine_tool_and_a_thread(self) -> None:
        out: list[str] = []

        async def slow() -> str:
            await asyncio.sleep(3)
            return "slow"

        def blocking() -> str:
            out.append("a thread")
            return "blocking"

        with Marbles() as marbles:
            llm = marbles.llm("(@slow @blocking|)", "-Done|")
            marbles.expect(say("q").pipe(Agent("bot", llm, tools=[slow, blocking]), responses())).to_be(
                "--------([Done]|)"
            )
        assert out == ["a thread"]

    def test_an_hour_in_milliseconds(self) -> None:
        with Marbles() as marbles:  # in real time, the test's own timeout would end it
            marbles.expect(rx.timer(3600.0)).to_be("1h (a|)", a=0)

    def test_ten_thousand_items_at_one_instant_do_not_move_the_clock(self) -> None:
        with Marbles() as marbles:
            many = rx.range(10_000).pipe(ops.delay(1.0), ops.count())
            marbles.expect(many).to_be("-(a|)", a=10_000)

    def test_a_million_steps_at_one_instant_fail(self) -> None:
        async def endless() -> None:
            while True:  # noqa: ASYNC110
                await asyncio.sleep(0)

        with pytest.raises(EndlessInstantError, match=r"more than 1,000,000 callbacks ran at 0.0 s"):
            Marbles().run(endless())

    def test_a_drawn_stop_wins_a_tie(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm("--a--b--c|")
            stop = marbles.hot("-----s")
            marbles.expect(say("q").pipe(Agent("bot", llm), until(stop), text())).to_be("--a--|")

    @pytest.mark.parametrize("awaits", [0, 50])
    def test_the_order_does_not_depend_on_the_number_of_awaits(self, awaits: int) -> None:
        async def patient(name: str) -> None:
            await asyncio.sleep(2)
            for _ in range(awaits):
                await asyncio.sleep(0)
            came.append(name)

        async def both() -> None:
            await asyncio.gather(patient("first"), asyncio.sleep(2, came.append("began")), second())

        async def second() -> None:
            await asyncio.sleep(2)
            came.append("second")

        came: list[str] = []
        Marbles().run(both())
        assert came == ["began", "first", "second"]

    def test_what_can_never_come_fails_at_once_and_says_what_was_waited_for(self) -> None:
        async def waits() -> str:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        with pytest.raises(NothingToWaitForError, match="waits on <Future pending>"):
            Marbles().run(waits())

    def test_a_coroutine_runs_on_the_clock(self) -> None:
        async def main() -> str:
            await asyncio.sleep(100)
            result = await Workflow(Agent("bot", llm)).arun("hi")
            return f"{result.text} at {asyncio.get_running_loop().time():g}"

        with Marbles() as marbles:
            llm = marbles.llm("--Hi|")
            assert marbles.run(main()) == "Hi at 104"

    def test_what_a_coroutine_raises_is_handled_by_who_runs_it(self) -> None:
        async def fails() -> None:
            await asyncio.sleep(1)
            raise ValueError("lost")

        with Marbles() as marbles, pytest.raises(ValueError, match="lost"):
            marbles.run(fails())

    def test_actions_happen_at_their_frame(self) -> None:
        subject: rx.Subject[str] = rx.Subject()
        with Marbles() as marbles:
            marbles.at(2, subject.on_next, "x")
            marbles.at(4, subject.on_completed)
            marbles.expect(subject).to_be("--x-|")


class TestModelsAndTools:
    def test_one_script_a_call(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm('-@look{"at":1}-|', "-----It_is-214|")
            look = marbles.tool("look", "--214|", arguments={"at": int}, description="Looks.")
            bot = Agent("bot", llm, tools=[look])
            marbles.expect(say("q").pipe(bot)).to_be(
                """
                     (bot|)
                bot  m---------------------------------|
                m    -@look{"at":1}------=214-It_is-214|
                """
            )
        assert look.arguments == [{"at": 1}]
        assert llm.requests[0].tools[0]["function"]["description"] == "Looks."

    def test_nobody_asked_may_be_the_point(self) -> None:
        with Marbles() as marbles:
            router = marbles.llm("-x|", name="router")
            ann = Agent("ann", marbles.llm("-Hi|"))
            marbles.expect(say("q").pipe(Team(router, [ann], "team", max_turns=1), text())).to_be("-Hi|")
            marbles.expect_subscriptions(router).to_be()

    def test_a_function_of_the_request(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm(lambda request: f"-{request.messages[-1]['content']}|")
            ask = say("Hello").pipe(Agent("bot", llm), text())
            marbles.expect(ask).to_be("-Hello|")
        assert len(llm.calls) == 1

    def test_what_an_answer_takes(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm("--Hi|", usage=Usage(prompt_tokens=3, completion_tokens=1, total_tokens=4))
            marbles.expect_markers(Workflow(Agent("bot", llm)).observe("q"), only=["response"]).to_be(
                [(4, "response", [ANY, {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}])]
            )

    def test_a_tool_whose_work_is_a_lane_is_cancelled_with_its_call(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm("@look|")
            look = marbles.tool("look", "---busy---214|")
            stop = marbles.hot("----------s")
            bot = Agent("bot", llm, tools=[look])
            marbles.expect(say("q").pipe(bot, until(stop))).to_be(
                """
                     (bot)-----|
                bot  m---------~
                m    @look---b-~
                """,
                b={"progress": {"id": "call_1", "name": "look", "content": "busy"}},
            )
            marbles.expect_subscriptions(look.calls[0]).to_be("-----^----!")

    def test_a_tool_shows_what_comes_before_its_result_when_it_comes(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm("@look|", "(Oh|)")
            look = marbles.tool("look", "--half--214--|")
            h = {"progress": {"id": "call_1", "name": "look", "content": "half"}}
            marbles.expect(say("q").pipe(Agent("bot", llm, tools=[look]))).to_be(
                """
                     (bot|)
                bot  m-----------------|
                m    @look--h----------(=214 Oh|)
                """,
                h=h,
            )

    def test_what_a_tool_shows_before_it_fails_is_progress(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm("@look|", "Oh|")
            look = marbles.tool("look", "-half-#")
            marbles.expect_markers(
                Workflow(Agent("bot", llm, tools=[look])).observe("q"), only=["delta"]
            ).to_be([(0, "delta", ...), (6, "delta", ...), (11, "delta", ...)])

    def test_the_last_item_of_a_tool_is_its_result(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm("@look|", "-Oh|")
            look = marbles.tool("look", "-half-214|")
            marbles.expect_markers(
                Workflow(Agent("bot", llm, tools=[look])).observe("q"), only=["function_result"]
            ).to_be([(14, "function_result", {"name": "look", "result": "214", "id": ANY})])

    def test_a_tool_that_fails_tells_the_model(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm("@look|", "-Oh|")
            look = marbles.tool("look", "-#", error=ValueError("no luck"))
            marbles.expect(say("q").pipe(Agent("bot", llm, tools=[look]), text())).to_be("-------Oh|")
        assert "the tool 'look' failed: ValueError: no luck" in str(llm.requests[1].messages[-1]["content"])

    def test_a_model_that_fails(self) -> None:
        with Marbles() as marbles:
            llm = marbles.llm("-Well-#", error=ModelError("gone"))
            marbles.expect(say("q").pipe(Agent("bot", llm))).to_be(
                """
                     (bot|)
                bot  m-----#
                m    -Well-#
                """,
                error=ModelError("gone"),
            )

    def test_a_team_as_lanes(self) -> None:
        with Marbles() as marbles:
            router = marbles.llm('-\'{"agent_id": "ann"}\'|', '-\'{"agent_id": "bob"}\'|', name="router")
            ann, bob = Agent("ann", marbles.llm("-Hello-|")), User("bob", mode="unattended")
            marbles.expect(say("q").pipe(Team(router, [ann, bob], "team")), state=True).to_be(
                """
                      (team|)
                team  ----------------------(<choice:ann> ann) 11s (<choice:bob> <stop> <result:agent-stop>|)
                ann   ----------------------m------|
                m     -----------------------Hello-|
                """
            )
