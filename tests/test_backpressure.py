"""A consumer that stops reading stops the source; nothing is lost, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable

from rxagents import (
    Agent,
    Block,
    Chain,
    ChatRequest,
    Marker,
    Parallel,
    ScriptedLLM,
    Sequence,
    Tool,
    Transcript,
    Workflow,
    agent,
    say,
    stream,
    turns,
)
from rxagents.engine.bridges import from_async, from_async_iterable
from rxagents.engine.demands import BUFFER, until_wanted
from rxagents.llm import Call
from rxagents.operators import map_tokens, messages, shared, text, transform
from rxagents.participants import Participant
from rxagents.testing import Marbles, record, replay

EXAMPLES = int(os.environ.get("BACKPRESSURE_EXAMPLES", "40"))

WORDS = [f"w{number} " for number in range(1000)]
ALL = "".join(WORDS)


class Tokens:
    """Tokens that are counted when they are taken: of an async generator, a generator, or a model."""

    def __init__(self, words: list[str] | None = None) -> None:
        self.words = WORDS if words is None else words
        self.taken = 0
        self.closed = 0

    def _next(self, word: str) -> str:
        self.taken += 1
        return word

    async def asynchronous(self) -> AsyncIterator[str]:
        try:
            for word in self.words:
                yield self._next(word)
        finally:
            self.closed += 1

    def synchronous(self) -> Iterator[str]:
        try:
            for word in self.words:
                yield self._next(word)
        finally:
            self.closed += 1

    def model(self, request: ChatRequest, /) -> Observable[Any]:
        async def run(emit: Callable[[Any], None]) -> None:
            for word in self.words:
                await until_wanted()
                emit(self._next(word))

        return from_async(run)


def nested(participant: Participant, levels: int = 3) -> Participant:
    for level in range(levels):
        participant = Sequence(f"team{level}", [participant])
    return participant


def tokens_of(markers: list[Marker]) -> str:
    return "".join(content["content"] or "" for mark, content in markers if mark == "delta")


async def settled() -> None:
    """When all that can be done has been done: in virtual time, nothing takes any."""
    await asyncio.sleep(1)


# --- a message


@pytest.mark.parametrize("kind", ["asynchronous", "synchronous", "model"])
@pytest.mark.parametrize("buffer", [1, 2, 10, BUFFER])
def test_a_message_is_pulled(marbles: Marbles, kind: str, buffer: int) -> None:
    async def run() -> None:
        tokens = Tokens()
        source = tokens.model(ChatRequest(())) if kind == "model" else getattr(tokens, kind)()
        message = stream(source)
        said: list[str] = []
        async for delta in message.pull(buffer=buffer):
            said.append(delta["content"])
            if len(said) % 100 == 1:
                await settled()  # the reader sleeps
                assert len(said) <= tokens.taken <= len(said) + buffer
                assert message.length <= len(said) + buffer
        assert said == WORDS
        assert (await message).text == ALL

    marbles.run(run())


def test_async_for_over_a_message_pulls(marbles: Marbles) -> None:
    async def run() -> None:
        tokens = Tokens()
        message = stream(tokens.asynchronous())
        async for _ in message:
            await settled()
            assert tokens.taken <= BUFFER + 1
            break
        gc.collect()
        await settled()
        assert message.interrupted
        assert tokens.closed == 1

    marbles.run(run())


def test_a_plain_subscriber_is_told_everything(marbles: Marbles) -> None:
    async def run() -> None:
        message = stream(Tokens().synchronous())
        said: list[Any] = []
        message.subscribe(said.append)
        await settled()
        assert len(said) == len(WORDS)

    marbles.run(run())


def test_the_fastest_reader_decides(marbles: Marbles) -> None:
    async def run() -> None:
        tokens = Tokens()
        message = stream(tokens.asynchronous())
        slow, fast = message.pull(buffer=5), message.pull(buffer=5)
        await anext(slow)
        for _ in range(50):
            await anext(fast)
        await settled()
        assert 50 <= tokens.taken <= 60
        await fast.aclose()
        await settled()
        assert tokens.taken <= 60  # the slow one has been left alone with what the other has read
        assert len([delta async for delta in slow]) == len(WORDS) - 1

    marbles.run(run())


def test_a_plain_subscriber_that_leaves_leaves_the_others_their_pace(marbles: Marbles) -> None:
    async def run() -> None:
        tokens = Tokens()
        message = stream(tokens.asynchronous())
        reader = message.pull(buffer=5)
        await anext(reader)
        await settled()
        assert tokens.taken <= 6
        subscription: Any = None

        def leave_at_100(_: Any) -> None:
            if message.length == 100:
                subscription.dispose()

        subscription = message.subscribe(leave_at_100)
        await settled()
        assert tokens.taken <= 101
        assert len([delta async for delta in reader]) == len(WORDS) - 1

    marbles.run(run())


@pytest.mark.parametrize("whole", ["await", "message", "subscribe", "iterate"])
def test_a_reader_that_sleeps_holds_up_nobody(marbles: Marbles, whole: str) -> None:
    async def run() -> None:
        message = stream(Tokens().asynchronous())
        sleeper = message.pull(buffer=3)
        await anext(sleeper)
        await settled()
        if whole == "await":
            assert (await message).text == ALL
        elif whole == "message":
            assert (await message.message).text == ALL
        elif whole == "iterate":
            assert len([delta async for delta in message]) == len(WORDS)
        else:
            message.subscribe(lambda _: None)
        await settled()
        assert message.ended
        assert len([delta async for delta in sleeper]) == len(WORDS) - 1

    marbles.run(run())


def test_a_hold_runs_it_to_its_end(marbles: Marbles) -> None:
    async def run() -> None:
        message = stream(Tokens().asynchronous())
        reader = message.pull(buffer=3)
        await anext(reader)
        hold = message.hold()  # by nobody who is slow
        await settled()
        assert message.ended
        hold.dispose()

    marbles.run(run())


def test_a_reader_that_leaves_while_it_pauses_closes_the_source(marbles: Marbles) -> None:
    async def run() -> None:
        tokens = Tokens()
        message = stream(tokens.asynchronous())
        async with message.pull(buffer=3) as reader:
            await anext(reader)
            await settled()
        assert message.interrupted
        assert tokens.closed == 1
        assert message.result is not None
        assert message.result.finish_reason == "interrupted"

    marbles.run(run())


# --- in a run


def test_a_run_is_pulled_however_deeply_its_message_is_nested(marbles: Marbles) -> None:
    async def run() -> None:
        tokens = Tokens()
        came: list[Marker] = []
        async for marker in Workflow(nested(Agent("bot", tokens.model), 20)).arun_stream("go", buffer=10):
            came.append(marker)
            if len(came) % 100 == 30:
                await settled()
                assert tokens.taken <= len(came) + 10
        assert tokens_of(came) == ALL

    marbles.run(run())


@pytest.mark.parametrize("delay", [0.0, 0.25])
def test_a_scripted_model_pauses(marbles: Marbles, delay: float) -> None:
    async def run() -> None:
        llm = ScriptedLLM([ALL], delay=delay)
        came: list[Marker] = []
        async for marker in Workflow(nested(Agent("bot", llm))).arun_stream("go", buffer=10):
            came.append(marker)
            if len(came) == 50:
                begun = asyncio.get_running_loop().time()
                await asyncio.sleep(1000)
        assert tokens_of(came) == ALL
        if delay:
            left = len([mark for mark, _ in came if mark == "delta"]) - 50
            took = asyncio.get_running_loop().time() - begun
            assert 1000 + (left - 15) * delay <= took <= 1000 + left * delay

    marbles.run(run())


def test_a_recorded_model_pauses(marbles: Marbles, tmp_path: Any) -> None:
    path = tmp_path / "calls.jsonl"

    async def run() -> None:
        recorded = record(ScriptedLLM([ALL]), path)
        await Workflow(Agent("bot", recorded)).arun("go")
        for speed in (None, 1.0):
            played = replay(path, speed=speed)
            run_of_it = []
            async for marker in Workflow(Agent("bot", played)).arun_stream("go", buffer=10):
                run_of_it.append(marker)
                if len(run_of_it) == 20:
                    await settled()
            assert tokens_of(run_of_it).strip() == ALL.strip()

    marbles.run(run())


def test_an_agent_begins_when_more_is_wanted(marbles: Marbles) -> None:
    asked: list[int] = []

    def model(request: ChatRequest, /) -> Observable[str]:
        asked.append(1)
        return rx.of("Hi")

    async def run() -> None:
        team = Sequence("team", [Agent(f"bot{number}", model) for number in range(30)])
        async with Workflow(team).arun_stream("go", buffer=8) as reader:
            await anext(reader)
            await settled()
            assert len(asked) < 6
            assert len([marker async for marker in reader]) == 30 * 4 + 2
        assert len(asked) == 30

    marbles.run(run())


def test_what_is_mapped_is_pulled_through(marbles: Marbles) -> None:
    async def run() -> None:
        words = WORDS * 5
        tokens = Tokens(words)

        async def doubled(words: AsyncIterator[str]) -> AsyncIterator[str]:
            async for word in words:
                yield word
                yield word

        bot = Agent("bot", tokens.model).pipe(map_tokens(str.upper), transform(doubled))
        came = []
        async for word in say("go").pipe(bot, text()).pull(buffer=10):
            came.append(word)
            if len(came) == 100:
                taken = tokens.taken
                await asyncio.sleep(1000)
                assert tokens.taken <= taken + 2 * BUFFER < 1000
        assert came == [word.upper() for word in words for _ in range(2)]

    marbles.run(run())


async def pulled_in_turn(askable: Any, one: Tokens, two: Tokens) -> None:
    """Reads two replies that come in turn: in the midst of the first, the second is a buffer ahead."""
    came = []
    async for word in say("go").pipe(askable, text("")).pull(buffer=10):
        came.append(word)
        if len(came) == 20:
            await settled()
            assert one.taken <= 31
            assert two.taken <= BUFFER + 1
    assert "".join(came) == ALL + ALL


def test_members_that_wait_for_their_turn_run_one_buffer_ahead(marbles: Marbles) -> None:
    async def run() -> None:
        one, two = Tokens(), Tokens()
        team = Parallel("team", [Agent("one", one.model), Agent("two", two.model)], order="member")
        await pulled_in_turn(team, one, two)

    marbles.run(run())


def test_what_an_agent_asks_is_pulled_and_comes_to_its_end(marbles: Marbles) -> None:
    async def run() -> None:
        one, two = Tokens(), Tokens()
        first, second = Agent("first", one.model), Agent("second", two.model)

        @agent
        async def boss(transcript: Transcript) -> AsyncIterator[Any]:
            a, b = first.ask("one"), second.ask("two")
            yield a
            yield b

        await pulled_in_turn(boss, one, two)

    marbles.run(run())


def test_an_agent_that_hears_another_one_gets_its_turn(marbles: Marbles) -> None:
    async def run() -> None:
        tokens = Tokens()
        chain = Chain("chain", [Agent("one", tokens.model), Agent("two", ScriptedLLM(["Yes."]))])
        came = [marker async for marker in Workflow(chain).arun_stream("go", buffer=2)]
        assert tokens_of(came) == ALL + "Yes."

    marbles.run(run())


def test_what_is_asked_runs_on_when_its_reader_is_dropped(marbles: Marbles) -> None:
    async def run() -> None:
        tokens = Tokens()
        asked = Agent("bot", tokens.model).ask("go")
        reader = asked.pipe(text()).pull(buffer=5)  # type: ignore[attr-defined]
        await anext(reader)
        await settled()
        assert tokens.taken <= 6
        del reader
        gc.collect()
        await settled()
        assert asked.ended
        assert (await asked).text == ALL

    marbles.run(run())


def test_items_that_are_not_read_keep_no_message_from_being_read(marbles: Marbles) -> None:
    """The outer iterator is a buffer behind, while its consumer reads what the first item says."""

    async def run() -> None:
        first = Tokens(WORDS[:200])
        answers = [ScriptedLLM(["Hi"]) for _ in range(100)]
        inner = Sequence("inner", [Agent("first", first.model), Agent("second", ScriptedLLM(["Bye"]))])
        team = Parallel("team", [inner, *(Agent(f"a{n}", llm) for n, llm in enumerate(answers))])
        outer = say("go").pipe(team, shared())
        came: list[str] = []
        block = await anext(outer.pull())
        async for item in block.pull(buffer=1):
            if isinstance(item, Block) and item.name == "inner":
                async for word in rx.of(item).pipe(text("")).pull(buffer=1):  # type: ignore[attr-defined]
                    came.append(word)
        assert "".join(came) == "".join(WORDS[:200]) + "Bye"

    marbles.run(run())


def test_a_reader_of_a_shared_run_does_not_wait_for_another(marbles: Marbles) -> None:
    async def run() -> None:
        tokens = Tokens(WORDS[:300])
        team = Sequence("team", [Agent("one", tokens.model), Agent("two", ScriptedLLM(["Bye"]))])
        both = say("go").pipe(team, shared())
        sleeper = both.pipe(text("")).pull(buffer=1)
        await anext(sleeper)
        await settled()
        assert tokens.taken <= 3
        assert "".join([word async for word in both.pipe(text("")).pull(buffer=1)]).endswith("Bye")
        assert "".join([word async for word in sleeper]).endswith("Bye")

    marbles.run(run())


def test_in_a_shared_run_the_one_that_is_left_decides(marbles: Marbles) -> None:
    async def run() -> None:
        tokens = Tokens()
        both = say("go").pipe(Agent("one", tokens.model), shared())
        first, second = both.pipe(text("")).pull(buffer=5), both.pipe(text("")).pull(buffer=5)
        await anext(first)
        await anext(second)
        await first.aclose()
        await settled()
        assert tokens.taken <= 7
        await second.aclose()
        await settled()
        assert tokens.taken == len(WORDS)  # it runs on, for those who come late

    marbles.run(run())


@pytest.mark.parametrize("policy", ["switch", "concat"])
def test_live_input_is_heard_while_the_reader_of_the_replies_sleeps(marbles: Marbles, policy: Any) -> None:
    async def run() -> None:
        heard: list[int] = []

        async def keys() -> AsyncIterator[str]:
            for number in range(20):
                heard.append(number)
                yield f"q{number}"
                await asyncio.sleep(0.25)

        tokens = Tokens()
        asked: list[str] = []

        def model(request: ChatRequest, /) -> Observable[Any]:
            asked.append(str(request.messages[-1]["content"]))
            return tokens.model(request)

        replies = from_async_iterable(keys()).pipe(turns(Agent("bot", model), policy), text())
        reader = replies.pull(buffer=5)  # type: ignore[attr-defined]
        await anext(reader)
        await asyncio.sleep(1000)
        assert len(heard) == 20
        assert tokens.taken <= 20 * 7  # the replies are no further ahead of him than any other
        await reader.aclose()
        assert len(asked) == (20 if policy == "switch" else 1)

    marbles.run(run())


# --- tools


async def steps_of(tokens: Tokens) -> AsyncIterator[str]:
    async for word in tokens.asynchronous():
        yield word


@pytest.mark.parametrize("kind", ["generator", "agent"])
def test_a_tool_that_streams_is_pulled_and_its_timeout_stands_still(marbles: Marbles, kind: str) -> None:
    async def run() -> None:
        tokens = Tokens()
        options: dict[str, Any] = {"name": "dig", "timeout": 5}
        tool = (
            Tool(lambda input: steps_of(tokens), **options)
            if kind == "generator"
            else Agent("helper", tokens.model).as_tool(**options)
        )
        llm = ScriptedLLM([Call("dig", {"input": "it"}), "Done"])
        came: list[Marker] = []
        async for marker in Workflow(Agent("bot", llm, tools=[tool])).arun_stream("go", buffer=10):
            came.append(marker)
            if len(came) == 50:
                await asyncio.sleep(1000)
                assert tokens.taken <= 61
        assert tokens.taken == len(WORDS)
        assert [content["result"] for mark, content in came if mark == "function_result"] == [
            WORDS[-1] if kind == "generator" else ALL
        ]

    marbles.run(run())


def test_the_time_that_a_tool_has_left_is_as_much_as_before_the_pause(marbles: Marbles) -> None:
    async def run() -> None:
        async def dig() -> AsyncIterator[int]:
            for number in range(30):
                yield number
                await asyncio.sleep(0.125)

        llm = ScriptedLLM([Call("dig"), "Done"])
        bot = Agent("bot", llm, tools=[Tool(dig, timeout=5)])
        came: list[Marker] = []
        async for marker in Workflow(bot).arun_stream("go", buffer=1):
            came.append(marker)
            if len(came) == 20:
                await asyncio.sleep(1000)
        assert [content["result"] for mark, content in came if mark == "function_result"] == ["29"]

    marbles.run(run())


def test_the_timeout_of_a_tool_counts_while_somebody_waits(marbles: Marbles) -> None:
    async def run() -> None:
        async def dig() -> AsyncIterator[str]:
            yield "begun"
            await asyncio.sleep(6)
            yield "found"

        begun = asyncio.get_running_loop().time()
        llm = ScriptedLLM([Call("dig"), "Done"])
        bot = Agent("bot", llm, tools=[Tool(dig, timeout=5)])
        came = [marker async for marker in Workflow(bot).arun_stream("go", buffer=1)]
        assert asyncio.get_running_loop().time() - begun == 5
        assert [
            "did not answer within 5 s" in content["result"]
            for mark, content in came
            if mark == "function_result"
        ] == [True]

    marbles.run(run())


# --- no deadlock


class Reading:
    """How a reader reads: so many at once, then it sleeps; and when it leaves, if it does."""

    def __init__(self, kind: str, buffer: int, rhythm: int, leaves: int | None) -> None:
        self.kind, self.buffer, self.rhythm, self.leaves = kind, buffer, rhythm, leaves

    def __repr__(self) -> str:
        return f"{self.kind}(buffer={self.buffer}, rhythm={self.rhythm}, leaves={self.leaves})"

    async def read(self, conversation: Observable[Any]) -> bool:
        """Reads; whether it came to the end."""
        if self.kind == "push":
            ended = asyncio.Event()
            conversation.pipe(text()).subscribe(lambda _: None, lambda _: ended.set(), ended.set)
            await ended.wait()
            return True
        if self.kind == "tokens":
            return await self._step(conversation.pipe(text()).pull(buffer=self.buffer))  # type: ignore[attr-defined]
        if self.kind == "messages":
            each = conversation.pipe(messages()).pull(buffer=self.buffer)  # type: ignore[attr-defined]
            async for message in each:
                await self._step(message.pull(buffer=self.buffer))
            return True
        async for item in conversation.pull(buffer=self.buffer):  # type: ignore[attr-defined]
            assert isinstance(item, Block)
            await self._step(rx.of(item).pipe(text()).pull(buffer=self.buffer))  # type: ignore[attr-defined]
        return True

    async def _step(self, items: Any) -> bool:
        async with items:
            for count in itertools.count(1):
                if count == self.leaves:
                    return False
                try:
                    await anext(items)
                except StopAsyncIteration:
                    break
                if count % self.rhythm == 0:
                    await asyncio.sleep(1)
        return True


def shapes() -> st.SearchStrategy[Callable[[], Participant]]:
    names = itertools.count()

    def bot(length: int) -> Callable[[], Participant]:
        return lambda: Agent(f"a{next(names)}", Tokens(WORDS[:length]).model)

    def team(kind: str, members: list[Callable[[], Participant]]) -> Callable[[], Participant]:
        made = {"sequence": Sequence, "chain": Chain, "parallel": Parallel}[kind.split("-")[0]]
        options = {"order": "member"} if kind == "parallel-member" else {}
        return lambda: made(f"t{next(names)}", [member() for member in members], **options)

    def asks(members: list[Callable[[], Participant]]) -> Callable[[], Participant]:
        def make() -> Participant:
            whom = [member() for member in members]

            @agent(id=f"f{next(names)}")
            async def boss(transcript: Transcript) -> AsyncIterator[Any]:
                asked = [each.ask("go") for each in whom]
                for each in reversed(asked):
                    yield (await each).text
                for each in asked:
                    yield each

            return boss

        return make

    return st.recursive(
        st.integers(0, 150).map(bot),
        lambda inner: st.one_of(
            st.builds(
                team,
                st.sampled_from(["sequence", "chain", "parallel", "parallel-member"]),
                st.lists(inner, min_size=1, max_size=3),
            ),
            st.builds(asks, st.lists(inner, min_size=1, max_size=2)),
        ),
        max_leaves=6,
    )


READINGS = st.builds(
    Reading,
    st.sampled_from(["tokens", "messages", "items", "push"]),
    st.sampled_from([1, 2, 5, 64]),
    st.integers(1, 80),
    st.none() | st.integers(1, 100),
)


@settings(deadline=None, max_examples=EXAMPLES)
@given(make=shapes(), readings=st.lists(READINGS, min_size=1, max_size=3))
def test_every_reader_that_goes_on_reading_comes_to_the_end(
    make: Callable[[], Participant], readings: list[Reading]
) -> None:
    with Marbles() as marbles:

        async def run() -> None:
            conversation = say("go").pipe(make(), shared())
            asleep = conversation.pipe(text()).pull(buffer=1)
            await anext(asleep, None)  # and never again
            ends = [reading.read(conversation) for reading in readings]
            came = await asyncio.gather(*ends)
            for reading, end in zip(readings, came, strict=True):
                assert end or reading.leaves is not None
            await asleep.aclose()
            async for _ in conversation:
                pass

        marbles.run(run())
