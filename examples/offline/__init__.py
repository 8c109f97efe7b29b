"""What the embedded server answers in the examples, where no key is set: a script for each of them."""

from collections.abc import Callable
from typing import Any

__all__ = ["asks", "last", "results", "system"]

Body = dict[str, Any]


def system(body: Body) -> str:
    """The system messages of a request, as text."""
    return "\n".join(str(m["content"]) for m in body["messages"] if m["role"] == "system")


def asks(who: str) -> Callable[[Body], bool]:
    """Whether the system message of a request begins with this."""
    return lambda body: system(body).startswith(who)


def last(body: Body, role: str) -> str:
    """The last message of a role, as text; empty if there is none."""
    return next((str(m["content"]) for m in reversed(body["messages"]) if m["role"] == role), "")


def results(body: Body) -> list[str]:
    """What the tools have answered since the user last spoke."""
    answers: list[str] = []
    for message in body["messages"]:
        if message["role"] == "user":
            answers.clear()
        elif message["role"] == "tool":
            answers.append(str(message["content"]))
    return answers
