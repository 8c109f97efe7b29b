"""Thousands of conversations that wait for their users: what they cost, and that they are let go."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import Agent, Conversation, Transcript, agent, turns
from rxagents.operators import responses, text
from rxagents.testing import Marbles

LIMIT = 200  # MiB above the empty process, for 10,000 conversations

PROGRAM = """
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

empty = resident()

import asyncio, gc, sys, threading
import reactivex as rx
from reactivex import operators as ops
from rxagents import Agent, turns
from rxagents.operators import text

NUMBER = int(sys.argv[1])
gc.set_threshold(5_000, 20, 10)  # as a server does, which would look at its many objects all the time

async def main():
    source, answered = rx.Subject(), 0
    bot = Agent("bot", lambda request: rx.of("You said: ", request.messages[-1]["content"]))
    live = source.pipe(
        ops.group_by(lambda said: said[0], lambda said: said[1]),
        ops.flat_map(lambda user: user.pipe(turns(bot), text())),
    )
    threads = threading.active_count()

    def heard(token):
        nonlocal answered
        answered += token != "You said: "

    live.subscribe(heard)
    for user in range(NUMBER):
        source.on_next((user, f"This is what user {user} has to say."))
        if user % 100 == 99:
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0)
    gc.collect()
    print(resident() - empty, answered, threading.active_count() - threads)

asyncio.run(main())
"""


# By hand: RxPY alone takes 90 MiB for 10,000 groups of group_by in a flat_map, and importing takes 31.


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
def test_ten_thousand_idle_conversations_fit_in_200_mebibytes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "10000"], capture_output=True, text=True, timeout=100, check=True
    )
    mebibytes, answered, threads = done.stdout.split()
    # that all tasks end is what the program waits for
    assert (int(answered), int(threads)) == (10_000, 0), "an idle conversation has no thread"
    assert float(mebibytes) < LIMIT


def test_a_conversation_that_is_idle_for_long_is_released_and_the_user_begins_a_new_one(
    marbles: Marbles,
) -> None:
    kept: weakref.WeakSet[Conversation] = weakref.WeakSet()
    alive: list[int] = []
    llm = marbles.llm("(A1|)", "(B1|)", "(A2|)", "(A3|)")
    bot = Agent("bot", llm)

    def conversation(user: Any) -> rx.Observable[Any]:
        held = Conversation()
        kept.add(held)
        return user.pipe(turns(bot, conversation=held))

    source = marbles.hot("                         ab-a--------a-|")
    idle = ops.group_by_until(lambda user: user, None, lambda user: user.pipe(ops.debounce(5)))
    live = source.pipe(idle, ops.flat_map(conversation), text(order="arrival"))
    marbles.expect(live).to_be("                   xy-z--------w-|", x="A1", y="B1", z="A2", w="A3")

    def look() -> None:
        gc.collect()
        alive.append(len(kept))

    marbles.at(4, look)
    marbles.at(10, look)
    marbles.flush()
    assert alive == [2, 0]
    assert [len(request.messages) for request in llm.requests] == [1, 1, 3, 1]


# -- recipes with stock operators


def test_keystrokes_are_one_turn_when_the_typing_pauses(marbles: Marbles) -> None:
    llm = marbles.llm("                     -ok|")
    typed = marbles.hot("                    ab-c------|", a="H", b="He", c="Hey")
    live = typed.pipe(ops.debounce(3), turns(Agent("bot", llm)), text(order="arrival"))
    marbles.expect(live).to_be("             -------ok-|")
    marbles.flush()
    assert llm.requests[0].messages == ({"role": "user", "content": "Hey"},)


def test_messages_that_come_in_a_burst_are_one_turn(marbles: Marbles) -> None:
    llm = marbles.llm("                     -x|", "-y|")
    source = marbles.hot("                   ab----c-----|")
    burst = source.pipe(ops.publish(lambda each: each.pipe(ops.buffer(each.pipe(ops.debounce(2))))))
    live = burst.pipe(ops.filter(len), turns(Agent("bot", llm), "concat"), text(order="arrival"))
    marbles.expect(live).to_be("             ----x----y--|")
    marbles.flush()
    heard = [[message["content"] for message in request.messages] for request in llm.requests]
    assert heard == [["a", "b"], ["a", "b", "x", "c"]]


def test_what_comes_within_a_time_is_one_turn(marbles: Marbles) -> None:
    llm = marbles.llm("                     (x|)", "(y|)")
    source = marbles.hot("                   ab----c--|")
    live = source.pipe(ops.buffer_with_time(4), ops.filter(len), turns(Agent("bot", llm), "concat"))
    marbles.expect(live.pipe(text(order="arrival"))).to_be("----x---y|")


def test_each_user_has_a_conversation_of_its_own(marbles: Marbles) -> None:
    @agent
    def bot(heard: Transcript) -> str:
        return "+".join(message.text for message in heard if message.role == "user")

    said = {"a": ("ann", "1"), "b": ("bob", "2"), "c": ("ann", "3")}
    source = marbles.hot("                   a-b-c-|", **said)
    users = ops.group_by(lambda each: each[0], lambda each: each[1])
    live = source.pipe(users, ops.flat_map(turns(bot)), responses(), ops.map(str))
    marbles.expect(live).to_be("             x-y-z-|", x="1", y="2", z="1+3")
