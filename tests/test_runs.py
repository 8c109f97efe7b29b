"""Run: one run of a workflow, hot, and its result."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as rx_ops
from reactivex.disposable import Disposable

from rxagents import (
    Agent,
    Block,
    Conversation,
    Message,
    MessageStream,
    Run,
    RunResult,
    ScriptedLLM,
    StateUpdate,
    Transcript,
    Usage,
    UserMessage,
    Workflow,
    say,
    stream,
)
from rxagents.operators import answer, text
from rxagents.testing import Marbles

from .listening import heard

WAIT = 10.0


class Held:
    """A model that says one word and then waits; it can be told to go on, and knows when it was left."""

    def __init__(self) -> None:
        self.observer: Any = None
        self.waits = threading.Event()
        self.left = threading.Event()

    def __call__(self, _: Any) -> rx.Observable[Any]:
        def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
            self.observer = observer
            observer.on_next("Well")
            self.waits.set()
            return Disposable(self.left.set)

        return rx.create(subscribe)

    def go_on(self) -> None:
        self.observer.on_next(" then")
        self.observer.on_completed()


def kinds(markers: list[Any]) -> list[str]:
    return [mark for mark, _ in markers]


# -- the diagram


def test_a_run_and_its_markers_are_as_drawn(marbles: Marbles) -> None:
    asked = marbles.cold("                     -(q|)")
    talker = Agent("a", marbles.llm("          Hi-!--|", "Hi-!--|"))
    run = Run(
        say(asked).pipe(
            rx_ops.publish(lambda said: rx.merge(said, said.pipe(talker)))  # type: ignore[arg-type]
        ),
        Conversation(),
    )
    marbles.expect(run).to_be(
        """
            -(m1 a)|
        m1  -(q|)
        a   -m2----|
        m2  -Hi-!--|
        """
    )
    probe = marbles.probe()
    run = Run(talker(say(asked)), Conversation())
    marbles.expect_markers(run.markers().pipe(probe)).to_be(
        [
            (1, "start", "a"), (1, "delta", "Hi"), (4, "delta", "!"),
            (7, "response", "Hi!"), (7, "end", "a"), (7, "result", "done"),
        ]
    )  # fmt: skip
    marbles.expect_subscriptions(probe).to_be("^------!")
    marbles.flush()
    assert probe.completions == 1


# -- hot


def test_a_run_goes_on_without_readers() -> None:
    model = Held()
    workflow = Workflow(Agent("a", model))
    run = workflow.start("Hi")
    assert model.waits.wait(WAIT)
    ended = threading.Event()
    run.on_end(lambda _: ended.set())
    model.go_on()
    assert ended.wait(WAIT)
    assert run.result == "done"
    assert workflow.conversation[-1].text == "Well then"


def test_readers_come_and_go_and_late_ones_replay() -> None:
    model = Held()
    run = Workflow(Agent("a", model)).start("Hi")
    assert model.waits.wait(WAIT)
    first_got: list[Any] = []
    saw_delta = threading.Event()

    def note(marker: Any) -> None:
        first_got.append(marker)
        if marker[0] == "delta":
            saw_delta.set()

    first = run.markers().subscribe(note)
    assert saw_delta.wait(WAIT)
    first.dispose()
    assert not model.left.is_set()
    model.go_on()
    late = heard(run.markers())
    again = heard(run.markers())
    assert kinds(late) == ["start", "delta", "delta", "response", "end", "result"]
    assert again == late
    assert first_got == late[:2]
    assert heard(run) == list(run.items)


def test_a_run_can_be_read_as_text_and_as_answer_while_it_goes_on_and_after() -> None:
    run = Workflow(Agent("a", ScriptedLLM(["Hello there."]))).start("Hi")
    assert "".join(heard(run.pipe(text()))) == "Hello there."
    assert [message.text for message in heard(run.answer())] == ["Hello there."]
    assert heard(run.answer()) == heard(run.pipe(answer()))
    with pytest.raises(TypeError, match="async for"):
        iter(run)


def test_a_run_can_be_awaited_often_and_iterated(marbles: Marbles) -> None:
    llm = marbles.llm("                      -one-_two|")
    marbles.expect_subscriptions(llm).to_be("^--------!")

    async def main() -> None:
        run = Workflow(Agent("a", llm)).start("Hi")
        results = await asyncio.gather(run, run)
        assert results[0] is results[1] is run.result is await run
        assert [type(item) async for item in run] == [MessageStream, Block]

    marbles.run(main())


def test_a_run_can_be_awaited_on_another_loop_than_its_own() -> None:
    model = Held()
    run = Workflow(Agent("a", model)).start("Hi")  # on the shared loop
    assert model.waits.wait(WAIT)

    async def main() -> RunResult:
        waiting = asyncio.ensure_future(run._whole())
        await asyncio.sleep(0)
        model.go_on()
        return await waiting

    assert asyncio.run(main()).text == "Well then"
    assert asyncio.run(main_again(run)) is run.result


async def main_again(run: Run) -> RunResult:
    return await run


def test_awaiting_from_many_loops_while_it_ends_never_hangs() -> None:
    def one(_: int) -> list[str]:
        run = Workflow(Agent("a", ScriptedLLM(["x"]))).start("Hi")
        return [asyncio.run(asyncio.wait_for(main_again(run), WAIT)), str(run.result)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(100))) == [["done", "done"]] * 100


def test_waiting_for_a_run_does_not_cancel_it_when_the_waiter_gives_up(marbles: Marbles) -> None:
    llm = marbles.llm("                      --one-_two-_three|")
    marbles.expect_subscriptions(llm).to_be("^----------------!")

    async def main() -> None:
        run = Workflow(Agent("a", llm)).start("Hi")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(main_again(run), 8.0)
        assert not run.ended
        assert (await run).text == "one two three"

    marbles.run(main())


# -- cancelling


def test_dispose_cancels_for_all_readers_and_keeps_what_had_come() -> None:
    model = Held()
    workflow = Workflow(Agent("a", model))
    run = workflow.start("Hi")
    assert model.waits.wait(WAIT)
    run.dispose()
    run.dispose()
    markers = heard(run.markers())
    assert kinds(markers) == ["start", "delta", "interrupted", "end", "result"]
    assert markers[-1][1] == "interrupted" == run.result
    assert model.left.wait(WAIT)
    assert run.result is not None
    assert run.result.text == "Well"
    assert run.result.message is workflow.conversation[-1]


def test_dispose_within_a_reader_cancels_at_once() -> None:
    model = Held()
    run = Workflow(Agent("a", model)).start("Hi")

    def on_next(marker: Any) -> None:
        if marker[0] == "delta":
            run.dispose()

    got: list[Any] = []
    ended = threading.Event()
    run.markers().pipe(rx_ops.do_action(on_next)).subscribe(got.append, on_completed=ended.set)
    assert ended.wait(WAIT)
    assert kinds(got) == ["start", "delta", "interrupted", "end", "result"]


def test_dispose_after_the_end_changes_nothing() -> None:
    run = Workflow(Agent("a", ScriptedLLM(["Hello."]))).start("Hi")
    markers = heard(run.markers())
    run.dispose()
    assert run.result == "done"
    assert heard(run.markers()) == markers


def test_dispose_before_the_first_word_leaves_only_the_input() -> None:
    workflow = Workflow(Agent("a", lambda _: rx.never()))
    run = workflow.start("Hi")
    run.dispose()
    assert heard(run.markers())[-1] == ("result", "interrupted")
    assert [message.text for message in workflow.conversation] in ([], ["Hi"])


def test_a_reader_that_raises_leaves_the_run_and_the_other_readers_alone() -> None:
    model = Held()
    run = Workflow(Agent("a", model)).start("Hi")
    assert model.waits.wait(WAIT)
    errors: list[Exception] = []
    told = threading.Event()

    def on_next(marker: Any) -> None:
        if marker[0] == "delta":
            raise ZeroDivisionError("mine")

    def on_error(error: Exception) -> None:
        errors.append(error)
        told.set()

    run.markers().subscribe(on_next, on_error)
    assert told.wait(WAIT)
    model.go_on()
    assert kinds(heard(run.markers()))[-1] == "result"
    assert run.result == "done"
    assert [str(error) for error in errors] == ["mine"]


# -- the result


def test_a_failed_run_is_awaited_without_raising_and_has_the_error() -> None:
    error = RuntimeError("no")
    workflow = Workflow(Agent("a", ScriptedLLM([error])))

    async def main() -> RunResult:
        return await workflow.start("Hi")

    result = asyncio.run(main())
    assert (result, result.error) == ("agent-error", error)
    assert (result.message, result.text) == (None, "")


def test_its_readers_hear_the_error_of_a_run() -> None:
    run = Workflow(Agent("a", ScriptedLLM([RuntimeError("no")]))).start("Hi")
    caught = heard(run.pipe(text(), rx_ops.catch(lambda error, _: rx.of(f"caught {error}"))))
    assert caught == ["caught no"]
    assert isinstance(heard(run)[-1], RuntimeError)


def test_a_result_can_be_copied_pickled_and_printed() -> None:
    message = Message(role="assistant", content="Hello.")
    result = RunResult("done", message=message, usage=Usage(total_tokens=3), error=None)
    for twin in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert (twin, twin.message, twin.text, twin.usage) == ("done", message, "Hello.", result.usage)
        assert isinstance(twin, RunResult)
    assert f"{result}" == "done"
    bare = RunResult("done")
    assert (bare.message, bare.text, bare.usage, bare.error) == (None, "", Usage(), None)


THINGS = st.sampled_from(["stop", "message", "block", "stopping block", "failing block", "aside"])


def thing(kind: str) -> Any:
    match kind:
        case "stop":
            return StateUpdate("stop", stop="me")
        case "message":
            return stream("Hello", name="m")
        case "block":
            return Block("b", rx.of(StateUpdate("result", {"result": "max-turns"})))
        case "stopping block":
            return Block("s", rx.of(StateUpdate("stop", stop="me")))
        case "failing block":
            return Block("f", rx.throw(RuntimeError("no")))
        case _:
            return Block("x", rx.of(StateUpdate("result", {"result": "callback-stop"})), entry="aside")


@given(st.lists(THINGS, max_size=5))
def test_the_marker_and_the_result_of_a_run_agree_whatever_it_holds(things: list[str]) -> None:
    workflow = Workflow(lambda source: rx.from_iterable([thing(kind) for kind in things]))
    run = workflow.start("Hi")
    live = heard(run.markers())
    assert live[-1] == ("result", run.result)
    assert heard(run.markers())[-1] == live[-1]  # and for whoever comes late
    assert sum(mark == "result" for mark, _ in live) == 1
    assert sum(mark == "error" for mark, _ in live) == ("failing block" in things)
    names = [[content for mark, content in live if mark == kind] for kind in ("start", "end")]
    assert sorted(names[0]) == sorted(names[1])
    decisive = [kind for kind in things if kind not in ("message", "aside")]
    codes = {"stop": "agent-stop", "block": "max-turns", "stopping block": "agent-stop"}
    expected = codes[decisive[-1]] if decisive and decisive[-1] in codes else "done"
    assert run.result == ("agent-error" if "failing block" in things else expected)


def test_a_cut_message_outside_of_all_blocks_makes_the_run_interrupted() -> None:
    cut = stream(rx.never())
    workflow = Workflow(lambda source: rx.of(cut))
    run = workflow.start("Hi")
    first = threading.Event()
    run.markers().subscribe(lambda _: None)
    run.on_end(lambda _: first.set())
    cut.interrupt()
    assert first.wait(WAIT)
    assert run.result == "interrupted"
    assert heard(run.markers())[-1] == ("result", "interrupted")


def test_the_items_of_a_run_begin_with_what_was_before_if_there_was_anything() -> None:
    workflow = Workflow(Agent("a", ScriptedLLM(["one", "two"])))
    first = workflow.start("Hi")
    heard(first)
    assert [type(item) for item in first.items] == [MessageStream, Block]
    before = workflow.conversation.transcript
    second = workflow.start("again")
    heard(second)
    assert [type(item) for item in second.items] == [Transcript, MessageStream, Block]
    assert second.items[0] == before
    assert Transcript().fold_all(second.items) == workflow.conversation.transcript
    # and views of it show what is new only
    assert "".join(heard(second.pipe(text()))) == "two"
    assert kinds(heard(second.markers(inputs=True)))[:2] == ["delta", "response"]


def test_what_the_application_adds_during_a_run_is_kept() -> None:
    model = Held()
    workflow = Workflow(Agent("a", model), conversation=Conversation([UserMessage("before")]))
    run = workflow.start("Hi")
    assert model.waits.wait(WAIT)
    workflow.conversation.append(UserMessage("meanwhile"))
    model.go_on()
    heard(run)
    assert sorted(message.text for message in workflow.conversation) == [
        "Hi", "Well then", "before", "meanwhile",
    ]  # fmt: skip
    assert run.result is not None
    assert run.result.text == "Well then"
