"""The command line: `python -m rxagents demo`, `… chat` and `… draw`."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from .errors import ConfigurationError, HistoryError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit status: 0; 1 if the run ended in an error; 2 if a setting or an argument is missing
        or wrong, or a history cannot be read, which one line on stderr says; 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m rxagents", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_demo(commands.add_parser("demo", help="run the order-delivery team and print its markers"))
    _add_chat(commands.add_parser("chat", help="talk to a model in the terminal"))
    _add_draw(commands.add_parser("draw", help="draw a recording, in the terminal or as SVG"))
    parsed = parser.parse_args(arguments)
    try:
        return {"demo": _demo, "chat": _chat, "draw": _draw}[parsed.command](parsed)
    except (ConfigurationError, HistoryError) as error:
        print(f"rxagents: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs the order-delivery team and prints one `mark: content` line a marker, as it comes. Talks "
        "to the service that OPENAI_API_KEY, OPENAI_BASE_URL or the AZURE_OPENAI_* variables name, or "
        "else to the embedded server."
    )
    parser.add_argument("question", nargs="?", help="what to ask; by default where an order is")
    parser.add_argument(
        "--delay", type=float, default=0.03, help="seconds between two tokens of the embedded server"
    )


def _add_chat(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Talks to a model. Enter sends, Alt+Enter begins a new line, Ctrl-C cuts a reply, Ctrl-D leaves. "
        "Talks to the service that OPENAI_API_KEY, OPENAI_BASE_URL or the AZURE_OPENAI_* variables name, "
        "or else to the embedded server, which repeats what it hears. In a pipe each line is answered."
    )
    parser.add_argument("--model", help="the model, or the deployment; by default that of the environment")
    parser.add_argument(
        "--system", metavar="TEXT", default="", help="what the assistant is told about itself"
    )
    parser.add_argument(
        "--history", metavar="FILE", help="goes on with it and keeps it: FILE.md, FILE.db or FILE.sqlite"
    )
    parser.add_argument(
        "--inputs", metavar="FILE", help="keeps what is typed, for the arrow keys of the next time"
    )
    parser.add_argument("--log", metavar="FOLDER", help="writes each call of the model to a file in it")
    parser.add_argument(
        "--delay", type=float, default=0.03, help="seconds between two tokens of the embedded server"
    )


def _add_draw(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Draws a recording as marbles: time to the right, one lane for each block and each message. "
        "Without -o the drawing is printed."
    )
    parser.add_argument("recording", help="a file that Workflow.record or rxagents.llm.record wrote")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to save it: FILE.svg or FILE.txt")
    parser.add_argument(
        "--width", type=int, help="columns of the text; by default those of the terminal, 100 in a file"
    )


# Each command imports what it needs: a drawing needs no client of a service, and a demo no drawing.


def _demo(parsed: argparse.Namespace) -> int:
    from .demo import QUESTION, order_team
    from .testing.server.services import demo_llm
    from .workflows import Workflow

    workflow = Workflow(order_team(demo_llm(delay=parsed.delay)))
    result = ""
    for mark, content in workflow.run_stream(parsed.question or QUESTION):
        print(f"{mark}: {content}", flush=True)
        result = content
    return int(result == "agent-error")


def _chat(parsed: argparse.Namespace) -> int:
    from .agents import Agent
    from .consoles.users import console_user
    from .dialogs import dialog
    from .llm import log_models
    from .places import where, words
    from .testing.server.scenarios import echo_scenario
    from .testing.server.services import demo_llm

    user = console_user(inputs=parsed.inputs)
    llm = demo_llm(echo_scenario(), model=parsed.model, delay=parsed.delay)
    assistant = Agent("assistant", llm, system_message=parsed.system)
    with (
        dialog(user, assistant, parsed.history) as talk,
        log_models(parsed.log) if parsed.log else nullcontext(),
    ):
        result = talk.run()
        while result.error is not None and user.id not in where(result.error):
            result = talk.run()  # it was shown; the person says what next
    if user.gone:
        _leave_output()
    if result.error is None:
        return 0
    print(f"rxagents: {type(result.error).__name__}: {words(result.error)}", file=sys.stderr)
    return 1


def _draw(parsed: argparse.Namespace) -> int:
    from .testing.drawing.drawings import draw, suffix_of

    if parsed.output is not None:
        suffix_of(parsed.output)  # before the work, not after it
        draw(parsed.recording, width=100 if parsed.width is None else parsed.width).save(parsed.output)
        return 0
    width = parsed.width
    if width is None:
        width = max(shutil.get_terminal_size((100, 24)).columns, 40)
    text = draw(parsed.recording, width=width).text
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks ╰ still shows the words
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _leave_output()
    return 0


def _leave_output() -> None:
    # Source: Python's documentation of SIGPIPE; whoever read it has seen enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
