"""Items that come at once are told at once where nobody acts on them, and else one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import MagicMock

import pytest
import reactivex as rx

from rxagents import Agent, MessageStream, OpenAILLM, Workflow, say
from rxagents.engine.bridges import fed, forward
from rxagents.engine.mailboxes import Mailbox
from rxagents.engine.sinks import Sink
from rxagents.operators import text, until
from rxagents.testing import OpenAIServer
from rxagents.values import Completion, Delta, delta

ONE_READ = "alpha beta gamma delta epsilon zeta eta theta"


def words(*said: str) -> list[Delta]:
    return [delta(word) for word in said]


def burst(*batches: list[Delta]) -> MessageStream:
    """A message whose deltas come in batches, each at once."""

    async def run(sink: Sink[Any]) -> None:
        for batch in batches:
            await asyncio.sleep(0)
            sink.on_many(batch)
        sink.on_next(Completion(finish_reason="stop"))

    return MessageStream(fed(run))


class Passive(rx.abc.ObserverBase[Any]):
    """Writes down what it is told, and how."""

    passive = True

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_next(self, value: Any) -> None:
        self.told.append(value)

    def on_many(self, values: Sequence[Any]) -> None:
        self.told.append(list(values))

    def on_error(self, error: Exception) -> None:
        self.told.append(error)

    def on_completed(self) -> None:
        self.told.append("|")


def test_who_acts_on_nothing_is_told_all_at_once() -> None:
    async def main() -> None:
        stream, reader = burst(words("a", "b"), words("c")), Passive()
        stream.subscribe(reader)
        assert (await stream).text == "abc"
        assert reader.told == [words("a", "b"), words("c"), "|"]

    asyncio.run(main())


def test_who_comes_late_is_told_all_that_is_there_at_once() -> None:
    async def main() -> None:
        stream, late = burst(words("a"), words("b")), Passive()
        await stream
        stream.subscribe(late)
        assert late.told == [words("a", "b"), "|"]

    asyncio.run(main())


def test_who_may_act_is_told_one_by_one_and_sees_no_further() -> None:
    async def main() -> None:
        stream = burst(words("a", "b", "c"))
        seen: list[tuple[str, int]] = []
        stream.subscribe(lambda item: seen.append((item["content"], stream.length)))
        stream.subscribe(Passive())
        await stream
        assert seen == [("a", 1), ("b", 2), ("c", 3)]

    asyncio.run(main())


@pytest.mark.parametrize("beside", [[], [Passive()]])
def test_a_message_that_is_cut_in_the_midst_of_what_came_at_once_ends_there(beside: list[Passive]) -> None:
    async def main() -> None:
        stream = burst(words("a", "b", "c"))
        for reader in beside:
            stream.subscribe(reader)

        def cut(item: Delta) -> None:
            if item["content"] == "b":
                stream.interrupt()

        stream.subscribe(cut)
        message = await stream
        assert (message.text, message.finish_reason) == ("ab", "interrupted")
        assert all(reader.told == [words("a"), words("b"), "|"] for reader in beside)

    asyncio.run(main())


def test_what_a_subscriber_raises_ends_his_subscription_only() -> None:
    async def main() -> None:
        stream, errors, others = burst(words("a", "b")), list[Exception](), Passive()

        def fail(item: Delta) -> None:
            raise KeyError(item["content"])

        stream.subscribe(fail, errors.append)
        stream.subscribe(others)
        assert (await stream).text == "ab"
        assert [str(error) for error in errors] == ["'a'"]
        assert others.told == [words("a"), words("b"), "|"]

    asyncio.run(main())


def test_an_item_that_comes_while_many_are_told_is_told_after_them() -> None:
    async def main() -> None:
        told: list[Any] = []

        class Feeding(Passive):
            def on_many(self, values: Sequence[Any]) -> None:
                told.append(values)
                if len(told) == 1:
                    sink.on_many([3, 4])
                    sink.on_completed()

            def on_next(self, value: Any) -> None:
                told.append(value)

            def on_completed(self) -> None:
                told.append("|")

        sink: Sink[int] = Sink(asyncio.get_running_loop(), Feeding())
        sink.on_many([1, 2])
        assert told == [[1, 2], 3, 4, "|"]

    asyncio.run(main())


def test_who_takes_but_one_at_a_time_may_leave_between_two() -> None:
    async def main() -> None:
        told: list[int] = []

        def on_next(value: int) -> None:
            told.append(value)
            if value == 2:
                sink.dispose()

        sink: Sink[int] = Sink(asyncio.get_running_loop(), on_next)
        sink.on_many([1, 2, 3])
        assert told == [1, 2]

    asyncio.run(main())


def test_a_mock_is_told_one_by_one() -> None:
    async def main() -> None:
        stream, mock = burst(words("a", "b")), MagicMock()
        stream.subscribe(mock)
        await stream
        assert [call.args[0]["content"] for call in mock.on_next.call_args_list] == ["a", "b"]
        mock.on_many.assert_not_called()
        mock.on_completed.assert_called_once_with()

    asyncio.run(main())


def test_forward_hears_many_at_once_where_it_is_asked_to() -> None:
    async def main() -> None:
        async def run(sink: Sink[int]) -> None:
            sink.on_many([1, 2])
            sink.on_next(3)

        heard: list[Any] = []
        await forward(fed(run), heard.append, heard.append)
        await forward(fed(run), heard.append)
        await forward(rx.of(4, 5), heard.append, heard.append)
        assert heard == [[1, 2], 3, 1, 2, 3, 4, 5]

        def refuse(values: Any) -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await forward(fed(run), heard.append, refuse)

    asyncio.run(main())


def test_a_box_that_gets_many_at_once_is_full_and_wants_no_more() -> None:
    box: Mailbox[int] = Mailbox(lambda: None, 4)
    box.on_many([1, 2, 3])
    assert box.wanted
    box.on_many([4, 5, 6])
    assert not box.wanted
    assert [box.take() for _ in range(4)] == [1, 2, 3, 4]
    assert box.wanted


@pytest.mark.parametrize("pulled", [True, False])
def test_the_markers_of_a_burst_are_the_same_pulled_and_pushed(pulled: bool) -> None:
    with OpenAIServer([ONE_READ], burst=True) as server:

        async def main() -> list[Any]:
            bot = Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="k"))
            if pulled:
                return [marker async for marker in Workflow(bot).arun_stream("go")]
            markers: list[Any] = []
            ended = asyncio.Event()
            Workflow(bot).observe("go").subscribe(markers.append, on_completed=ended.set)
            await ended.wait()
            return markers

        markers = asyncio.run(main())
    said = [content["content"] for mark, content in markers if mark == "delta"]
    assert "".join(word or "" for word in said) == ONE_READ
    assert [mark for mark, _ in markers if mark != "delta"] == ["start", "response", "end", "result"]
    assert len(said) == 10


def test_a_reply_that_is_cut_at_a_word_of_one_read_ends_with_that_word() -> None:
    with OpenAIServer([ONE_READ], burst=True) as server:

        async def main() -> str:
            bot = Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="k"))
            heard: list[str] = []
            stop: rx.subject.Subject[None] = rx.subject.Subject()

            def hear(word: str) -> None:
                heard.append(word)
                if "gamma" in word:
                    stop.on_next(None)

            conversation = say("go").pipe(bot, until(stop))
            ended = asyncio.Event()
            conversation.pipe(text()).subscribe(hear, on_completed=ended.set)
            await ended.wait()
            return "".join(heard)

        said = asyncio.run(main())
    assert said == "alpha beta gamma"
