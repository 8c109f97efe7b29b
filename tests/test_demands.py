"""Demand: who wants how much, who decides, and that nobody waits for himself."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from rxagents import Agent, ChatRequest, ConfigurationError, MessageStream, ScriptedLLM, Workflow
from rxagents.engine.async_items import AsyncItems
from rxagents.engine.bridges import from_async_iterable
from rxagents.engine.demands import BUFFER, Demand, Watchers, current_demand, demanded_by, until_wanted
from rxagents.engine.emitters import Emitter, just
from rxagents.engine.inlets import listen
from rxagents.engine.loops import shared_loop
from rxagents.engine.mailboxes import Mailbox
from rxagents.engine.sinks import Sink
from rxagents.engine.steps import stepped, when_wanted
from rxagents.engine.sync_items import SyncItems
from rxagents.reader_demands import ReaderDemand
from rxagents.replays import Replay


class Valve(Demand):
    """A demand that a test opens and shuts."""

    def __init__(self, wanted: bool = False, idle: bool = False) -> None:
        self._wanted = wanted
        self._idle = idle
        self.watchers = Watchers()

    @property
    def wanted(self) -> bool:
        return self._wanted

    @property
    def idle(self) -> bool:
        return self._idle

    def watch(self, callback: Callable[[], None], cares: Watchers | None = None) -> Any:
        return self.watchers.add(callback, cares)

    def turn(self, wanted: bool, idle: bool = False) -> None:
        self._wanted, self._idle = wanted, idle
        self.watchers.tell()


def subscribed(replay: Replay[Any], demand: Demand | None) -> Any:
    with demanded_by(demand):
        return replay.subscribe(lambda _: None)


def held(replay: Replay[Any], demand: Demand | None) -> Any:
    with demanded_by(demand):
        return replay.hold()


def run_on_a_loop(test: Callable[[], object]) -> None:
    async def run() -> None:
        test()

    asyncio.run(run())


# --- a mailbox


def test_a_mailbox_is_shut_when_full_and_opens_when_half_of_it_was_taken() -> None:
    box: Mailbox[int] = Mailbox(lambda: None, 4)
    wanted = []
    for number in range(4):
        wanted.append(box.wanted)
        box.on_next(number)
    assert wanted == [True] * 4
    assert not box.wanted
    assert [box.take(), box.wanted] == [0, False]
    assert [box.take(), box.wanted] == [1, True]
    box.on_next(4)
    assert box.wanted
    box.on_next(5)
    assert not box.wanted


def test_one_that_another_thread_has_emptied_in_the_meantime_is_not_full() -> None:
    box: Mailbox[int] = Mailbox(lambda: None, 2)
    box.on_next(1)
    box.take()
    box._is_full = True  # as `put` finds it, after which that thread took all
    assert box.wanted


def test_a_mailbox_for_one_item() -> None:
    box: Mailbox[int] = Mailbox(lambda: None, 1)
    box.on_next(1)
    assert not box.wanted
    assert box.take() == 1
    assert box.wanted


def test_a_reader_is_idle_only_while_he_waits_and_has_read_all() -> None:
    box: Mailbox[int] = Mailbox(lambda: None, 4)
    assert not box.idle
    box.wait()
    assert box.idle
    box.on_next(1)
    assert not box.idle
    box.take()
    assert not box.idle


@pytest.mark.parametrize("leave", [Mailbox.close, Mailbox.on_completed])
def test_a_mailbox_that_nobody_fetches_from_any_more_holds_nobody_up(leave: Callable[[Any], None]) -> None:
    box: Mailbox[int] = Mailbox(lambda: None, 1)
    box.on_next(1)
    leave(box)
    assert box.wanted
    assert box.idle


def test_watchers_are_told_of_each_turn_until_they_leave() -> None:
    async def run() -> list[str]:
        told: list[str] = []
        box: Mailbox[int] = Mailbox(lambda: None, 2)
        watching = box.watch(lambda: told.append(f"wanted {box.wanted} idle {box.idle}"))
        box.on_next(1)
        assert told == []
        box.on_next(2)
        box.take()
        box.take()
        box.wait()
        watching.dispose()
        box.on_next(3)
        box.on_next(4)
        return told

    assert asyncio.run(run()) == [
        "wanted False idle False",
        "wanted True idle False",
        "wanted True idle True",
    ]


def test_who_watches_from_another_loop_is_told_there() -> None:
    async def run() -> bool:
        box: Mailbox[int] = Mailbox(lambda: None, 1)
        box.on_next(1)
        loop = asyncio.get_running_loop()
        told: asyncio.Future[bool] = loop.create_future()
        box.watch(lambda: told.set_result(asyncio.get_running_loop() is loop))
        threading.Thread(target=box.take).start()
        return await asyncio.wait_for(told, 10)

    assert asyncio.run(run())


def test_who_has_left_is_not_told_what_was_on_its_way_from_another_thread() -> None:
    told: list[int] = []

    async def run() -> None:
        watchers = Watchers()
        watching = watchers.add(lambda: told.append(1))
        teller = threading.Thread(target=watchers.tell)
        teller.start()
        teller.join()
        watching.dispose()
        await asyncio.sleep(0)

    asyncio.run(run())
    assert told == []


def test_who_tells_nobody_is_not_told() -> None:
    def test() -> None:
        watchers, behind = Watchers(), Watchers()
        told: list[int] = []
        watchers.add(lambda: told.append(1), behind)
        watchers.tell()
        assert told == []
        behind.add(lambda: None)
        watchers.tell()
        assert told == [1]

    run_on_a_loop(test)


def test_what_becomes_wanted_while_it_is_being_watched_is_gone_on_with() -> None:
    class Opening(Valve):
        def watch(self, callback: Callable[[], None], cares: Watchers | None = None) -> Any:
            self._wanted = True  # in another thread: before it was watched, and so it is told to nobody
            return super().watch(callback, cares)

    def test() -> None:
        resumed: list[int] = []
        when_wanted(Opening(), lambda: Disposable(resumed.append(1)))
        assert resumed == [1]

    run_on_a_loop(test)


def test_granted_waits_for_another_thread() -> None:
    async def run() -> None:
        box: Mailbox[int] = Mailbox(lambda: None, 1)
        box.on_next(1)
        with demanded_by(box):
            taking = threading.Thread(target=box.take)
            asyncio.get_running_loop().call_soon(taking.start)
            await asyncio.wait_for(until_wanted(), 10)
        assert box.wanted

    asyncio.run(run())


def test_one_whose_iterator_was_dropped_in_a_thread_holds_nobody_up() -> None:
    reader = SyncItems(Emitter[int](lambda sink: sink.on_next(1)), shared_loop(), buffer=1)
    assert next(reader) == 1
    box = reader._box
    box.on_next(2)
    assert not box.wanted
    del reader
    gc.collect()
    heard = threading.Event()
    shared_loop().call_soon_threadsafe(heard.set)
    assert heard.wait(10)
    assert box.wanted


# --- where it comes from, and where it goes


def test_by_default_everything_is_demanded() -> None:
    seen: list[Demand | None] = []
    run_on_a_loop(lambda: Emitter[int](lambda sink: _note(seen, just(1), sink)).subscribe(lambda _: None))
    assert seen == [None]


def _note(seen: list[Demand | None], source: rx.Observable[Any], sink: Sink[Any]) -> Any:
    seen.append(current_demand())
    return source.subscribe(sink)


def test_an_iterator_demands_what_it_subscribes_to_and_nothing_else() -> None:
    seen: list[Demand | None] = []

    async def run() -> None:
        async for _ in Emitter(lambda sink: _note(seen, just(1), sink)):
            seen.append(current_demand())

    asyncio.run(run())
    assert isinstance(seen[0], Mailbox)
    assert seen[1] is None


def test_the_demand_goes_through_stock_operators_trampolines_and_tasks() -> None:
    seen: list[Demand | None] = []

    async def late(sink: Sink[int]) -> None:
        seen.append(current_demand())
        sink.on_next(1)
        sink.on_completed()

    tasks = []

    def start(sink: Sink[int]) -> None:
        tasks.append(asyncio.ensure_future(late(sink)))

    async def run() -> None:
        async for _ in AsyncItems(rx.concat(rx.empty(), Emitter(start))):
            pass

    asyncio.run(run())
    assert isinstance(seen[0], Mailbox)


def test_the_demand_of_a_plain_thread_reaches_the_loop() -> None:
    seen: list[Demand | None] = []
    source = Emitter[int](lambda sink: _note(seen, just(1, 2), sink))
    assert list(SyncItems(source, shared_loop())) == [1, 2]
    assert isinstance(seen[0], Mailbox)


def test_what_a_reader_subscribes_to_when_he_is_told_is_demanded_by_him() -> None:
    seen: list[Demand | None] = []

    async def run() -> None:
        outer: Subject[int] = Subject()
        replay = Replay[int](outer)
        inner = Emitter[int](lambda sink: _note(seen, just(1), sink))
        push = replay.pipe(rx.operators.flat_map(lambda _: inner)).subscribe(lambda _: None)
        pull = AsyncItems(replay.pipe(rx.operators.flat_map(lambda _: inner)))
        waiting = asyncio.ensure_future(anext(pull))
        await asyncio.sleep(0)
        valve = Valve()
        with demanded_by(valve):  # whoever feeds it serves somebody else
            outer.on_next(1)
        await waiting
        push.dispose()
        await pull.aclose()

    asyncio.run(run())
    assert len(seen) == 2
    assert seen[0] is None
    assert isinstance(seen[1], Mailbox)


def test_a_stock_multicast_demands_everything_since_its_readers_are_not_known() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(9):
            yield number

    async def run() -> None:
        shared = from_async_iterable(numbers()).pipe(rx.operators.share())
        sleeper, reader = AsyncItems(shared, buffer=1), AsyncItems(shared, buffer=1)
        waiting = asyncio.ensure_future(anext(sleeper))
        await asyncio.sleep(0)
        assert [item async for item in reader] == [*range(9)]
        await waiting
        await sleeper.aclose()

    asyncio.run(run())


def test_who_hears_everything_tells_its_reader_in_his_own_demand() -> None:
    seen: list[Demand | None] = []
    told: list[Demand | None] = []

    def start(sink: Sink[int]) -> Any:
        def tell(item: int) -> None:
            told.append(current_demand())
            sink.on_next(item)

        def complete() -> None:
            told.append(current_demand())
            sink.on_completed()

        source = Emitter[int](lambda inner: _note(seen, just(1, 2), inner))
        return listen(source, sink.loop, tell, sink.on_error, complete, everything=True)

    async def run() -> None:
        assert [item async for item in Emitter(start).pull(buffer=1)] == [1, 2]

    asyncio.run(run())
    assert seen == [None]
    assert len(told) == 3
    assert all(isinstance(demand, Mailbox) for demand in told)


def test_a_witness_is_called_in_the_demand_of_whoever_asked_for_it() -> None:
    seen: list[Demand | None] = []

    def test() -> None:
        replay, valve = Replay[int](rx.never()), Valve()
        with demanded_by(valve):
            replay.on_end(lambda _: seen.append(current_demand()))
        replay.interrupt()
        assert seen == [valve]

    run_on_a_loop(test)


# --- of many, one is enough


def test_the_fastest_reader_decides() -> None:
    def test() -> None:
        replay = Replay[int](rx.never())
        one, two = Valve(), Valve()
        subscribed(replay, one)
        subscribed(replay, two)
        demand = replay._demand
        assert not demand.wanted
        two.turn(True)
        assert demand.wanted
        assert not demand.idle
        one.turn(True, idle=True)
        assert demand.idle

    run_on_a_loop(test)


def test_a_plain_subscriber_demands_everything_until_he_leaves() -> None:
    def test() -> None:
        replay = Replay[int](rx.never())
        subscribed(replay, Valve())
        plain = replay.subscribe(lambda _: None)
        told: list[bool] = []
        replay._demand.watch(lambda: told.append(replay._demand.wanted))
        assert replay._demand.wanted
        assert replay._demand.idle
        plain.dispose()
        assert told == [False]

    run_on_a_loop(test)


def test_who_holds_it_beside_a_reader_decides_only_while_he_waits() -> None:
    def test() -> None:
        stream = MessageStream(rx.never())
        reader, holder = Valve(), Valve(wanted=True)
        subscribed(stream, reader)
        held(stream, holder)
        assert not stream._demand.wanted
        assert not stream._demand.idle
        holder.turn(True, idle=True)
        assert stream._demand.wanted
        assert stream._demand.idle

    run_on_a_loop(test)


def test_a_hold_fetches_one_buffer_of_what_nobody_reads_and_all_of_it_when_somebody_waits() -> None:
    async def test() -> None:
        tokens: Subject[str] = Subject()
        stream = MessageStream(tokens)
        holder = Valve(wanted=True)
        held(stream, holder)
        for _ in range(BUFFER - 1):
            tokens.on_next("a")
            assert stream._demand.wanted
        tokens.on_next("a")
        assert not stream._demand.wanted
        holder.turn(True, idle=True)
        for length in range(BUFFER, 3 * BUFFER):
            # in steps, between which a reader may come
            assert stream._demand.wanted == bool(length % BUFFER)
            await asyncio.wait_for(stream._demand.granted(), 10)
            tokens.on_next("a")

    asyncio.run(test())


def test_a_hold_that_waits_for_nothing_fetches_no_second_buffer_of_what_nobody_reads() -> None:
    async def run() -> None:
        tokens: Subject[str] = Subject()
        stream = MessageStream(tokens)
        held(stream, Valve(wanted=True))
        for _ in range(BUFFER):
            assert stream._demand.wanted
            tokens.on_next("a")
        for _ in range(3):  # nor with any turn of the loop
            assert not stream._demand.wanted
            await asyncio.sleep(0)

    asyncio.run(run())


def test_who_reads_it_from_within_it_is_no_reader_beside_whom_others_have_to_wait() -> None:
    def test() -> None:
        stream = MessageStream(rx.never())
        held(stream, Valve(wanted=True))
        subscribed(stream, stream._demand)
        assert stream._demand.wanted

    run_on_a_loop(test)


@pytest.mark.parametrize("held_first", [True, False])
def test_one_that_reads_and_holds_is_asked_as_a_reader(held_first: bool) -> None:
    """By two ways, of which one asks only whether he waits."""

    def test() -> None:
        valve, outer = Valve(wanted=True), MessageStream(rx.never())
        read, kept = MessageStream(rx.never()), MessageStream(rx.never())
        subscribed(read, valve)
        subscribed(kept, Valve())
        held(kept, valve)
        for way in (kept, read) if held_first else (read, kept):
            subscribed(outer, way._demand)
        assert not kept._demand.wanted
        assert outer._demand.wanted

    run_on_a_loop(test)


def test_a_replay_that_is_read_and_held_for_the_same_one_is_asked_as_it_is_read() -> None:
    def test() -> None:
        outer, inner = MessageStream(rx.never()), MessageStream(rx.never())
        subscribed(inner, Valve(wanted=True))
        subscribed(outer, inner._demand)
        held(outer, inner._demand)
        assert outer._demand.wanted

    run_on_a_loop(test)


def test_without_readers_it_is_as_whoever_started_it_wants_it() -> None:
    def test() -> None:
        replay = Replay[int](rx.never())
        replay._kept = True
        starter = Valve()
        subscribed(replay, starter).dispose()
        assert not replay._demand.wanted
        starter.turn(True)
        assert replay._demand.wanted

    run_on_a_loop(test)


def test_it_does_not_ask_itself() -> None:
    def test() -> None:
        replay = Replay[int](rx.never())
        subscribed(replay, Valve()).dispose()
        again = Replay[int](rx.never())
        subscribed(again, again._demand)
        assert again._demand.wanted

    run_on_a_loop(test)


def test_who_read_each_other_in_a_circle_hold_nobody_up() -> None:
    def test() -> None:
        one, two = Replay[int](rx.never()), Replay[int](rx.never())
        subscribed(one, two._demand)
        subscribed(two, one._demand)
        assert one._demand.wanted
        assert two._demand.idle

    run_on_a_loop(test)


def test_a_thousand_nested_demands_are_no_recursion() -> None:
    def test() -> None:
        end = Valve()
        demand: Demand = end
        replays = []
        for _ in range(2000):
            replay = Replay[int](rx.never())
            replays.append(replay)
            held(replay, demand)
            demand = replay._demand
        told: list[bool] = []
        demand.watch(lambda: told.append(demand.wanted))
        assert not demand.wanted
        end.turn(True)
        assert told == [True]

    run_on_a_loop(test)


def test_who_watches_is_told_when_somebody_else_decides() -> None:
    def test() -> None:
        replay = Replay[int](rx.never())
        slow, fast = Valve(), Valve(wanted=True)
        subscribed(replay, slow)
        told: list[bool] = []
        watching = replay._demand.watch(lambda: told.append(replay._demand.wanted))
        reading = subscribed(replay, fast)
        fast.turn(False)
        reading.dispose()
        slow.turn(True)
        watching.dispose()
        slow.turn(False)
        assert told == [True, False, False, True]
        fast.turn(True)  # it is not watched any more
        assert not fast.watchers

    run_on_a_loop(test)


def test_the_demand_of_what_has_ended_does_not_keep_it() -> None:
    async def run() -> None:
        stream = MessageStream(just("Hi"))
        valve = Valve()
        subscribed(stream, valve)
        demand = stream._demand
        assert stream.ended
        gone = weakref.ref(stream)
        del stream
        gc.collect()
        assert gone() is None
        assert isinstance(demand, ReaderDemand)
        assert not demand.wanted
        valve.turn(True)
        assert demand.wanted

    asyncio.run(run())


# --- sources


def test_an_iterator_steps_while_more_is_wanted() -> None:
    async def run() -> None:
        valve = Valve(wanted=True)
        came: list[int] = []
        closed: list[bool] = []

        def numbers() -> Any:
            try:
                for number in range(100):
                    if number == 3:
                        valve.turn(False)
                    yield number
            finally:
                closed.append(True)

        with demanded_by(valve):
            subscription = stepped(numbers).subscribe(came.append)
        assert came == [0, 1, 2, 3]
        valve.turn(False)
        await asyncio.sleep(0)
        assert len(came) == 4
        valve.turn(True)
        assert len(came) == 4  # not within the call of whoever wants more
        await asyncio.sleep(0)
        assert len(came) == 100
        assert closed == [True]
        subscription.dispose()

    asyncio.run(run())


def test_an_async_iterable_is_not_begun_before_anything_is_wanted() -> None:
    begun: list[int] = []

    async def numbers() -> AsyncIterator[int]:
        begun.append(1)
        yield 1

    async def run() -> None:
        valve = Valve()
        with demanded_by(valve):
            from_async_iterable(numbers()).subscribe(lambda _: None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert begun == []
        valve.turn(True)
        for _ in range(5):
            await asyncio.sleep(0)
        assert begun == [1]

    asyncio.run(run())


def test_leaving_an_iterator_that_pauses_closes_it() -> None:
    async def run() -> None:
        valve = Valve(wanted=True)
        closed: list[bool] = []

        def numbers() -> Any:
            try:
                while True:
                    valve.turn(False)
                    yield 1
            finally:
                closed.append(True)

        with demanded_by(valve):
            subscription = stepped(numbers).subscribe(lambda _: None)
        assert closed == []
        subscription.dispose()
        assert closed == [True]
        assert not valve.watchers
        valve.turn(True)
        await asyncio.sleep(0)

    asyncio.run(run())


# --- arguments


@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_leaving_a_scripted_model_that_pauses_watches_no_more(delay: float) -> None:
    async def run() -> None:
        valve = Valve()
        with demanded_by(valve):
            left = ScriptedLLM(["one two"], delay=delay)(ChatRequest(())).subscribe(lambda _: None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert valve.watchers
        left.dispose()
        assert not valve.watchers

    asyncio.run(run())


@pytest.mark.parametrize("buffer", [0, -1, 1.5, True, "many"])
def test_a_buffer_is_a_number_from_one_on(buffer: Any) -> None:
    workflow = Workflow(Agent("bot", ScriptedLLM(["Hi"])))
    what = f"an iterator: buffer is {buffer!r}; it must be a number, 1 or more"
    for make in (
        lambda: workflow.arun_stream("q", buffer=buffer),
        lambda: workflow.run_stream("q", buffer=buffer),
        lambda: MessageStream(rx.of("a")).pull(buffer=buffer),
        lambda: just(1).pull(buffer=buffer),
    ):
        with pytest.raises(ConfigurationError) as raised:
            make()
        assert str(raised.value) == what
