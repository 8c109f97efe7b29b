"""The command line: `python -m rxagents demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .demo import QUESTION, order_team
from .errors import ConfigurationError
from .testing.services import demo_llm
from .workflows import Workflow

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit status: 0; 1 if the run ended in an error; 2 if a setting is missing or wrong;
        130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m rxagents", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="run the order-delivery team and print its markers",
        description="Runs the order-delivery team and prints one `mark: content` line a marker, as it "
        "comes. Talks to the service that OPENAI_API_KEY, OPENAI_BASE_URL or the AZURE_OPENAI_* "
        "variables name, or else to the embedded server.",
    )
    demo.add_argument("question", nargs="?", default=QUESTION, help="what to ask; default: %(default)r")
    demo.add_argument(
        "--delay", type=float, default=0.03, help="seconds between two tokens of the embedded server"
    )
    parsed = parser.parse_args(arguments)
    try:
        return _demo(parsed.question, parsed.delay)
    except ConfigurationError as error:
        print(f"rxagents: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _demo(question: str, delay: float) -> int:
    workflow = Workflow(order_team(demo_llm(delay=delay)))
    result = ""
    for mark, content in workflow.run_stream(question):
        print(f"{mark}: {content}", flush=True)
        result = content
    return int(result == "agent-error")


if __name__ == "__main__":
    sys.exit(main())
