"""User: a person who is asked, or nobody at all."""

from __future__ import annotations

import asyncio
import builtins
import threading
from typing import Any

import pytest
import reactivex as rx

from rxagents import (
    Agent,
    ConfigurationError,
    InputError,
    MessageStream,
    ScriptedLLM,
    StateUpdate,
    Team,
    User,
    Workflow,
    say,
)
from rxagents.operators import markers, messages, responses, until
from rxagents.testing import virtual
from rxagents.testing.timelines import END, timeline


def marbles(diagram: str, **lookup: Any) -> Any:
    return rx.from_marbles(diagram, timespan=1.0, lookup=lookup)


async def typing_slowly(prompt: str) -> str:
    await asyncio.sleep(2)
    return f"answer to {prompt!r}"


def test_an_interactive_user_is_asked_at_its_turn_as_the_diagram_draws_it() -> None:
    source = marbles("-q-|", q=MessageStream(rx.of("q")))
    user = User(interaction_function=typing_slowly)
    (at, block), end = timeline(source.pipe(user))
    assert (at, block.name, end) == (3, "user", (3, END))
    (_, said), end = timeline(source.pipe(user, responses(inputs=True)))
    assert end == (5, END)
    assert (said.text, said.role, said.name) == ("answer to 'user: '", "user", "user")


def test_an_unattended_user_emits_a_stop_as_the_diagram_draws_it() -> None:
    source = marbles("-q-|", q=MessageStream(rx.of("q")))
    (at, update), end = timeline(source.pipe(User(mode="unattended")))
    assert isinstance(update, StateUpdate)
    assert (at, update.stop, update.scope, end) == (3, "user", "team", (3, END))
    assert update.log == (("info", "agent/stop", "user"),)


class Asking:
    """An object whose call is async."""

    async def __call__(self, prompt: str) -> str:
        return await typing_slowly(prompt)


@pytest.mark.parametrize(
    ("ask", "seconds"),
    [
        (typing_slowly, 2),
        (Asking(), 2),
        (lambda prompt: typing_slowly(prompt), 2),
        (lambda prompt: f"answer to {prompt!r}", 0),
    ],
    ids=["async", "object", "lambda", "sync"],
)
def test_the_interaction_function_may_be_sync_or_async(ask: Any, seconds: float) -> None:
    user = User("ann", interaction_function=ask)
    (_, stream), end = timeline(say("q").pipe(user, messages(inputs=True)))
    assert end == (seconds, END)
    assert stream.result.text == "answer to 'ann: '"


def test_a_blocking_interaction_function_does_not_block_the_loop() -> None:
    threads: list[threading.Thread] = []

    def ask(prompt: str) -> str:
        threads.append(threading.current_thread())
        return "x"

    timeline(say("q").pipe(User(interaction_function=ask), responses(inputs=True)))
    assert threads != [threading.main_thread()]


def test_the_default_is_input(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def read(prompt: str) -> str:
        asked.append(prompt)
        return "typed"

    monkeypatch.setattr(builtins, "input", read)
    (_, message), _ = timeline(say("q").pipe(User("ann"), responses(inputs=True)))
    assert message.text == "typed"
    assert asked == ["ann: "]


def test_an_interaction_function_that_raises_fails_the_turn_and_is_named() -> None:
    cause = KeyError("cause")

    def ask(prompt: str) -> str:
        raise ValueError("no") from cause

    ((_, error),) = timeline(say("q").pipe(User(interaction_function=ask), responses(inputs=True)))
    assert isinstance(error, ValueError)
    assert error.__cause__ is cause
    assert error.__notes__ == ["in user > interaction_function"]


@pytest.mark.parametrize("typed", [None, 3, b"x", ["x"]])
def test_an_answer_that_is_no_text_fails_the_turn(typed: Any) -> None:
    user = User(interaction_function=lambda prompt: typed)
    ((_, error),) = timeline(say("q").pipe(user, responses(inputs=True)))
    assert isinstance(error, InputError)
    assert f"gave {type(typed).__name__}, not str" in str(error)
    assert error.__notes__ == ["in user > interaction_function"]


def test_end_of_input_fails_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(builtins, "input", read)
    *_, (_, (_, result)), _ = timeline(Workflow(User()).observe("q"))
    assert result == "agent-error"


def test_waiting_for_an_async_answer_is_cancelled_at_once() -> None:
    log: list[float] = []

    async def ask(prompt: str) -> str:
        try:
            await asyncio.sleep(100)
        finally:
            log.append(asyncio.get_running_loop().time())
        return ""

    entries = timeline(say("q").pipe(User(interaction_function=ask), until(rx.timer(3.0)), markers()))
    assert entries[-2:] == [(3, ("result", "interrupted")), (3, END)]
    assert log == [3]


@virtual
async def test_waiting_for_a_blocking_answer_is_abandoned_at_once() -> None:
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()
    stop: rx.Subject[Any] = rx.Subject()

    def ask(prompt: str) -> str:
        entered.set()
        leave.wait(30)
        left.set()
        return "late"

    marks: list[Any] = []
    say("q").pipe(User(interaction_function=ask), until(stop), markers()).subscribe(marks.append)
    await asyncio.to_thread(entered.wait, 30)
    stop.on_next("s")
    assert marks[-1] == ("result", "interrupted")
    leave.set()
    await asyncio.to_thread(left.wait, 30)
    await asyncio.sleep(1)
    assert [str(mark) for mark, _ in marks] == ["start", "interrupted", "end", "result"]


def team(user: User, llm: ScriptedLLM, **options: Any) -> Team:
    agent = Agent("a", llm)
    return Team(llm, [agent, user], "team", allowed_transitions={agent: [user], user: [agent]}, **options)


def chosen(agent_id: str) -> dict[str, str]:
    return {"agent_id": agent_id, "reason": ""}


def test_in_a_team_the_interactive_user_is_heard_by_the_agents() -> None:
    llm = ScriptedLLM([chosen("a"), "What?", "Fine."])
    user = User(interaction_function=lambda prompt: "This.")
    entries = timeline(say("q").pipe(team(user, llm, max_turns=3), markers()))
    marks = [item for _, item in entries[:-1]]
    said = [
        (content[0]["name"], content[0]["role"], content[0]["content"])
        for mark, content in marks
        if mark == "response"
    ]
    assert said == [("a", "assistant", "What?"), ("user", "user", "This."), ("a", "assistant", "Fine.")]
    assert llm.requests[-1].messages[-1] == {"role": "user", "content": "This.", "name": "user"}


def test_in_a_team_the_unattended_user_ends_it_and_shows_no_block() -> None:
    llm = ScriptedLLM([chosen("a"), "Done."])
    entries = timeline(say("q").pipe(team(User(mode="unattended"), llm), markers()))
    marks = [item for _, item in entries[:-1]]
    assert [content for mark, content in marks if mark == "start"] == ["team", "a"]
    assert marks[-1] == ("result", "agent-stop")


def test_another_mode_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="mode is 'interactive' or 'unattended', not 'away'"):
        User(mode="away")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="the id"):
        User("a b")
