"""console_user: keys, the memory of what was typed, what is printed, and Ctrl-C, all in this process."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    ConfigurationError,
    FunctionResult,
    MessageStream,
    ModelError,
    ScriptedLLM,
    Transcript,
    UserMessage,
    Workflow,
)
from rxagents.consoles.interrupts import Interrupts
from rxagents.consoles.lines import TerminalLines, at_terminal
from rxagents.consoles.printers import Pen, Printer
from rxagents.consoles.users import console_user
from rxagents.dialogs import dialog
from rxagents.engine.emitters import just
from rxagents.testing import VirtualClock
from rxagents.values import delta

ALT_ENTER = "\x1b\r"
CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    """A terminal whose keys are pressed here; it shows nothing."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


def asked(lines: TerminalLines, times: int = 1) -> list[str]:
    async def ask() -> list[str]:
        return [await lines.ask("user: ") for _ in range(times)]

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("pressed", "sent"),
    [
        ("Hello\r", "Hello"),
        ("\r", ""),
        (f"one{ALT_ENTER}two\r", "one\ntwo"),
        ("one\x00two\r", "one\ntwo"),
        ("\x00one\r", "one"),
        ("one\\\rtwo\r", "one\ntwo"),
        ("one\\\\\rtwo\r", "one\\\ntwo"),
        ("a\\b\r", "a\\b"),
        ("\x1b[200~one\r\ntwo\n\x1b[201~\r", "one\ntwo\n"),
        (f"never mind{CTRL_C}Hello\r", "Hello"),
        (f"{CTRL_C}{CTRL_C}Hello\r", "Hello"),
        ("ü€\r", "ü€"),
    ],
    ids=[
        "line",
        "empty",
        "alt-enter",
        "ctrl-space",
        "ctrl-d before",
        "backslash",
        "two",
        "within",
        "pasted",
        "ctrl-c",
        "twice",
        "other",
    ],
)
def test_what_the_keys_send(keys: PipeInput, pressed: str, sent: str) -> None:
    keys.send_text(pressed)
    assert asked(TerminalLines()) == [sent]


def test_ctrl_d_leaves_but_only_where_nothing_was_typed(keys: PipeInput) -> None:
    lines = TerminalLines()
    keys.send_text(f"ab\x01{CTRL_D}\r")  # Ctrl-A, and then it deletes what is under the cursor
    assert asked(lines) == ["b"]
    keys.send_text(CTRL_D)
    with pytest.raises(EOFError):
        asked(lines)


def asked_with_memory(lines: TerminalLines, keys: PipeInput, pressed: str, sent_before: int) -> str:
    """Presses the keys once it has read what was sent before; it does so in the background."""

    async def ask() -> str:
        buffer = lines._session.default_buffer
        asking = asyncio.create_task(lines.ask("user: "))
        rendered = asyncio.Event()
        lines._session.app.after_render += lambda _: rendered.set()
        await rendered.wait()
        assert buffer._load_history_task is not None
        await buffer._load_history_task
        assert len(buffer._working_lines) == sent_before + 1
        keys.send_text(pressed)
        return await asking

    return asyncio.run(ask())


def test_the_arrows_go_through_what_was_sent(keys: PipeInput) -> None:
    lines = TerminalLines()
    keys.send_text("one\rtwo\r")
    assert asked(lines, 2) == ["one", "two"]
    assert asked_with_memory(lines, keys, f"{UP}{UP}\r", 2) == "one"
    assert asked_with_memory(lines, keys, f"{UP}!\r", 3) == "one!"
    assert asked_with_memory(lines, keys, "\x12tw\r?\r", 4) == "?two"  # Ctrl-R searches
    assert asked_with_memory(lines, keys, f"\x12tw{CTRL_C}no\r", 5) == "no"


def test_a_file_keeps_what_was_sent_for_the_next_time(keys: PipeInput, tmp_path: Path) -> None:
    keys.send_text(f"one{ALT_ENTER}two\r")
    assert asked(TerminalLines(tmp_path / "inputs")) == ["one\ntwo"]
    again = TerminalLines(tmp_path / "inputs")
    assert asked_with_memory(again, keys, f"{UP}\r", 1) == "one\ntwo"


@pytest.mark.parametrize("path", ["missing/inputs", ".", "a\0b"])
def test_a_file_that_cannot_be_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match="`inputs`: what is typed cannot be kept in"):
        console_user(inputs=os.path.join(tmp_path, path), plain=False)


def test_the_hint_is_there_at_first_and_after_an_idle_ctrl_c(keys: PipeInput) -> None:
    lines = TerminalLines()
    placeholder: Any = lines._session.placeholder
    hints = [bool(placeholder())]
    keys.send_text("one\r")
    asked(lines)
    hints.append(bool(placeholder()))
    keys.send_text(f"x{CTRL_C}\r")
    asked(lines)
    hints.append(bool(placeholder()))

    @lines._session.default_buffer.on_text_changed.add_handler
    def _(_: Any) -> None:
        hints.append(bool(placeholder()))

    keys.send_text(f"{CTRL_C}y\r")
    asked(lines)
    assert hints[:3] == [True, False, False]
    assert True in hints[3:]


def test_cancelling_the_question_leaves_the_terminal_to_the_next(keys: PipeInput) -> None:
    lines = TerminalLines()

    async def main() -> str:
        rendered = asyncio.Event()
        lines._session.app.after_render += lambda _: rendered.set()
        first = asyncio.create_task(lines.ask("user: "))
        await rendered.wait()
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        keys.send_text("Hello\r")
        return await lines.ask("user: ")

    assert asyncio.run(main()) == "Hello"


def test_without_prompt_toolkit_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rxagents\[console\]'"):
        console_user(plain=False)
    assert console_user(plain=True).id == "user"


def test_where_there_is_no_terminal_it_reads_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert not at_terminal()
    monkeypatch.setattr(sys, "stdin", None)
    assert not at_terminal()


def printed(*items: Any, bold: bool = False) -> str:
    """What is printed of these, one after the other."""

    async def main() -> None:
        printer = Printer(Pen(), bold=bold)
        for item in items:
            printer.show(item)
            if isinstance(item, MessageStream | Block):
                await asyncio.sleep(100)

    shown = io.StringIO()
    before, sys.stdout = sys.stdout, shown
    try:
        with VirtualClock() as clock:
            clock.run(main())
    finally:
        sys.stdout = before
    return shown.getvalue()


def bot(*pieces: Any) -> MessageStream:
    return MessageStream(rx.from_iterable(pieces), name="bot")


CALLS = [{"id": "c1", "function": {"arguments": "", "name": "look"}, "type": "function", "index": 0}]


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["Hel", "lo."], "bot: Hello.\n"),
        (["Hello.\n"], "bot: Hello.\n"),
        (["one\n", "two"], "bot: one\ntwo\n"),
        ([], ""),
        (["\x1b[31mred\x07\rx\ty\x9b0m"], "bot: [31mredx\ty0m\n"),
        ([delta(refusal="I will not.")], "bot: I will not.\n"),
        (
            [delta(tool_calls=CALLS), FunctionResult("look", "blue\nsky", "c1"), "It is blue."],
            "  · look …\n  · look: blue sky\nbot: It is blue.\n",
        ),
        (
            ["Let me see", delta(tool_calls=CALLS), FunctionResult("look", "x" * 200, "c1"), "Oh."],
            f"bot: Let me see\n  · look …\n  · look: {'x' * 98} …\nOh.\n",
        ),
        (
            [
                delta(progress={"id": "c1", "name": "run", "content": "50 %\n"}),
                delta(progress={"content": ""}),
            ],
            "  · run: 50 %\n",
        ),
        (["No", delta(restart="not that"), "Yes"], "bot: No\n  · begins anew: not that\nYes\n"),
        ([delta(content_parts=[{"type": "image_url"}])], ""),
    ],
)
def test_what_is_printed_of_a_message(pieces: list[Any], shown: str) -> None:
    assert printed(bot(*pieces)) == shown


def test_a_name_stands_out_at_a_terminal() -> None:
    assert printed(bot("Hello."), bold=True) == "\x1b[1mbot:\x1b[0m Hello.\n"


def test_several_speak_one_after_the_other_in_their_order() -> None:
    slow = MessageStream(rx.timer(5).pipe(rx.operators.map(lambda _: "late")), name="slow")
    quick = MessageStream(rx.of("Quick."), name="quick")
    team = Block("team", just(Block("one", just(slow)), Block("two", just(quick))))
    assert printed(team) == "slow: late\nquick: Quick.\n"


def test_of_what_was_put_in_only_words_of_people_are_printed() -> None:
    system = MessageStream(rx.of("Be brief."), role="system")
    person = MessageStream(rx.of("Hi."), role="user", name="bob")
    assert printed(Block("team", just(system, person))) == "bob: Hi.\n"


def test_an_error_is_printed_once_after_what_was_said() -> None:
    failing = MessageStream(rx.concat(rx.of("Hel"), rx.throw(ModelError("no\nmore"))), name="bot")
    assert printed(Block("team", just(Block("bot", just(failing))))) == "bot: Hel\n  ! ModelError: no more\n"
    assert printed(bot("a"), Block("bot", rx.throw(ModelError("no")))) == "bot: a\n  ! ModelError: no\n"
    alone = MessageStream(rx.throw(ModelError("no")), name="bot")
    assert printed(alone) == "  ! ModelError: no\n"


def test_what_was_cut_says_so() -> None:
    cut = MessageStream(rx.concat(rx.of("Hel"), rx.never()), name="bot")
    silent = MessageStream(rx.never(), name="bot")

    async def main() -> None:
        printer = Printer(Pen())
        for message in (cut, silent):
            printer.show(message)
            await asyncio.sleep(1)
            message.interrupt()

    shown = io.StringIO()
    before, sys.stdout = sys.stdout, shown
    try:
        with VirtualClock() as clock:
            clock.run(main())
    finally:
        sys.stdout = before
    assert shown.getvalue() == "bot: Hel [interrupted]\nbot: [interrupted]\n"


@given(st.lists(st.text(alphabet="ab \n", max_size=5), max_size=8))
@settings(deadline=None, max_examples=50)
def test_all_words_are_printed_and_the_line_is_ended(pieces: list[str]) -> None:
    whole = "".join(pieces)
    expected = f"bot: {whole}" + ("" if whole.endswith("\n") else "\n") if whole else ""
    assert printed(bot(*pieces)) == expected


class Counting(io.StringIO):
    flushed = 0

    def flush(self) -> None:
        self.flushed += 1


def test_a_burst_of_tokens_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Counting()
    monkeypatch.setattr(sys, "stdout", out)

    async def main() -> None:
        Printer(Pen()).show(bot(*["x"] * 5000))
        await asyncio.sleep(1)

    with VirtualClock() as clock:
        clock.run(main())
    assert out.getvalue() == f"bot: {'x' * 5000}\n"
    assert out.flushed <= 3


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_who_left_is_noticed_and_the_user_leaves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    user = console_user(plain=True)
    talk = dialog(user, Agent("bot", ScriptedLLM(["Hello."])))
    monkeypatch.setattr(sys, "stdout", Broken())
    assert talk.run("Hi") == "agent-stop"
    assert user.gone
    assert len(talk.conversation) == 2


def test_letters_that_the_terminal_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)

    async def main() -> None:
        Printer(Pen()).show(bot("Grüße"))
        await asyncio.sleep(1)

    with VirtualClock() as clock:
        clock.run(main())
    assert out.buffer.getvalue() == b"bot: Gr??e\n"  # type: ignore[attr-defined]


def test_in_a_dialog_the_reply_is_printed_and_the_next_line_is_asked_for(
    keys: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.send_text(f"\r \rOne?\rTwo{ALT_ENTER}lines?\r{CTRL_D}")  # what is empty is not sent
    user = console_user(plain=False)
    talk = dialog(user, Agent("bot", ScriptedLLM(["One.", "Two."])))
    assert talk.run() == "agent-stop"
    assert [message.text for message in talk.conversation] == ["One?", "One.", "Two\nlines?", "Two."]
    assert capsys.readouterr().out == "\x1b[1mbot:\x1b[0m One.\n\x1b[1mbot:\x1b[0m Two.\n"


def test_elsewhere_it_is_shown_at_its_turn_what_the_others_have_said(
    keys: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.send_text("Yes.\r")
    user = console_user("ann", plain=False)
    heard = Transcript().fold_all(
        MessageStream.of(message)
        for message in (
            AssistantMessage("Before.", name="bot"),
            UserMessage("Mine.", name="ann"),
            AssistantMessage("Really?", name="bot"),
            UserMessage("I wonder.", name="bob"),
        )
    )
    result = Workflow(lambda source: just(heard).pipe(user)).run("")
    assert result == "done"
    assert capsys.readouterr().out == "\x1b[1mbot:\x1b[0m Really?\n\x1b[1mbob:\x1b[0m I wonder.\n"


def test_a_wish_is_told_to_who_listens_now_from_any_thread() -> None:
    interrupts = Interrupts(no)
    told: list[str] = []

    async def main() -> None:
        interrupts.wish()
        first = interrupts.wishes.subscribe(lambda _: told.append("first"))
        await asyncio.sleep(0)
        interrupts.wishes.subscribe(lambda _: told.append("second"))
        thread = threading.Thread(target=interrupts.wish)
        thread.start()
        thread.join()
        await asyncio.sleep(1)
        first.dispose()
        interrupts.wish()
        await asyncio.sleep(1)

    with VirtualClock() as clock:
        clock.run(main())
    assert told == ["first", "second", "second"]


posix = pytest.mark.skipif(os.name != "posix", reason="sends itself SIGINT")


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@posix
def test_ctrl_c_is_a_wish_while_something_is_said_and_else_what_it_was() -> None:
    told: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    heard, asking = threading.Event(), threading.Event()
    interrupts = Interrupts(asking.is_set)

    def hear(_: Any) -> None:
        told.append("wish")
        heard.set()

    with interrupts.on_ctrl_c():
        subscription = interrupts.wishes.subscribe(hear)
        assert wait_until(lambda: bool(interrupts._sinks))
        press()
        assert heard.wait(10)
        subscription.dispose()
        assert wait_until(lambda: not interrupts._sinks)
        asking.set()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert signal.getsignal(signal.SIGINT) is before
    assert told == ["wish"]
    with pytest.raises(KeyboardInterrupt):
        press()


def yes() -> bool:
    return True


def no() -> bool:
    return False


def wait_until(condition: Callable[[], bool]) -> bool:
    """Waits for what the shared loop does, on the shared loop."""
    from rxagents.engine.loops import hop, shared_loop

    for _ in range(1000):
        if condition():
            return True
        passed = threading.Event()
        hop(shared_loop(), passed.set)
        passed.wait(10)
    return False


@posix
def test_who_presses_again_before_anything_came_of_it_wants_out() -> None:
    interrupts = Interrupts(no)
    with interrupts.on_ctrl_c():
        press()  # between a reply and the next question: not the program
        with pytest.raises(KeyboardInterrupt):
            press()
        press()
        interrupts.came_true()
        press()  # the person was asked in between: this is a first one again


@posix
def test_a_signal_that_ends_the_program_by_default_is_an_interrupt() -> None:
    interrupts = Interrupts(yes)
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with interrupts.on_ctrl_c(), pytest.raises(KeyboardInterrupt):
            press()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts.on_ctrl_c():
            press()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_is_changed() -> None:
    seen: list[Any] = []

    def run() -> None:
        with Interrupts(no).on_ctrl_c():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


@posix
def test_ctrl_c_cuts_the_reply_of_a_run_that_blocks_this_thread(
    keys: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    user = console_user(plain=False)

    def endless(request: Any) -> rx.Observable[Any]:
        return rx.concat(rx.of("One two"), rx.never()).pipe(rx.operators.do_action(lambda _: press()))

    keys.send_text(f"Go on\r{CTRL_D}")
    talk = dialog(user, Agent("bot", endless))
    assert talk.run() == "agent-stop"
    assert [(m.text, m.finish_reason) for m in talk.conversation][1] == ("One two", "interrupted")
    assert capsys.readouterr().out == "\x1b[1mbot:\x1b[0m One two [interrupted]\n"


@posix
def test_ctrl_c_cuts_the_reply_of_a_run_on_the_main_threads_loop(
    keys: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    user = console_user(plain=False)

    def endless(request: Any) -> rx.Observable[Any]:
        return rx.concat(rx.of("One two"), rx.never()).pipe(rx.operators.do_action(lambda _: press()))

    keys.send_text(f"Go on\r{CTRL_D}")
    talk = dialog(user, Agent("bot", endless))
    assert asyncio.run(talk.arun()) == "agent-stop"
    assert talk.conversation[1].finish_reason == "interrupted"
    assert capsys.readouterr().out == "\x1b[1mbot:\x1b[0m One two [interrupted]\n"
