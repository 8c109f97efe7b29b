"""The laws, each with its check; and check_laws, which puts an operator to all that apply to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...errors import ConfigurationError
from .balances import check_balance, check_own_markers
from .checking import Law
from .contracts import check_contract, check_release
from .folds import check_folding
from .readings import check_replay
from .subjects import Subject
from .tempos import check_loss, check_order_of_markers, check_timing
from .wraps import check_wrapping

__all__ = [
    "ALL",
    "balance",
    "check_laws",
    "contract",
    "folding",
    "loss",
    "release",
    "replay",
    "timing",
    "wrapping",
]

contract = Law(
    1,
    "contract",
    "on_next* (on_error | on_completed)?, never two at a time, nothing after dispose",
    {"conversation": check_contract, "markers": check_contract, "view": check_contract},
)
release = Law(
    2,
    "release",
    "Building subscribes to nothing; subscribing subscribes each source at most once; after the end or "
    "dispose every source has been released, exactly once",
    {"conversation": check_release, "markers": check_release, "view": check_release},
)
replay = Law(
    3,
    "replay",
    "The tokens of a message concatenate to its content; every late or second subscriber sees the same",
    {"conversation": check_replay},
)
balance = Law(
    4,
    "balance",
    "Markers balance, whatever happens; every delta lies inside its block; every message ends in exactly "
    "one of response, error, interruption",
    {"conversation": check_balance, "markers": check_own_markers},
)
folding = Law(
    5,
    "folding",
    "Folding a run's items gives the run's conversation; a conversation restored from JSON goes on as the "
    "original does",
    {"conversation": check_folding},
)
wrapping = Law(
    6,
    "wrapping",
    "Wrapping in further teams changes paths and block marks, nothing else",
    {"conversation": check_wrapping},
)
timing = Law(
    7,
    "timing",
    "Ordered composition gives the same order whatever the timing; nothing is lost under any timing",
    {"conversation": check_timing, "markers": check_order_of_markers, "view": check_timing},
)
loss = Law(
    7,
    "loss",
    "Nothing is lost under any timing",
    {"conversation": check_loss, "markers": check_loss, "view": check_loss},
)

ALL = (contract, release, replay, balance, folding, wrapping, timing)
_NAMED = {law.name: law for law in (*ALL, loss)}


def check_laws(
    operator: Any,
    *,
    laws: Iterable[Law | str] = ALL,
    max_examples: int = 200,
    seed: int | None = None,
) -> None:
    """Puts an operator to every law that applies to what it gives.

    Random conversations are played to it in virtual time, with random timing, failures and subscribers
    who leave. The same ones in every run, so that a test that passes goes on passing.

    ```python
    def test_my_operator():
        check_laws(my_operator)
    ```

    Args:
        operator: An operator on conversations, an agent, a team; or a function without arguments that
            makes one, which what has a state needs: it is made anew for each example.
        laws: Which laws, by name if you like. For what gives no order, `loss` in place of `timing`.
        max_examples: How many conversations to try for each law.
        seed: A number, for other conversations.

    Raises:
        LawError: A law does not hold; with the simplest example that was found.
        ConfigurationError: `operator` is none, a law is unknown, or none of them applies.
        BlockingCallError: An event loop is running in this thread.
    """
    asked = [_law(law) for law in laws]
    subject = Subject(operator)
    applying = [law for law in asked if subject.output in law.checks]
    if not applying:
        raise ConfigurationError(
            f"what {subject.name} gives is a {subject.output}, and none of these laws is about that: "
            f"{', '.join(law.name for law in asked) or 'there are none'}"
        )
    for law in applying:
        law.hold(subject, max_examples, seed)


def _law(law: Law | str) -> Law:
    if isinstance(law, Law):
        return law
    if law not in _NAMED:
        raise ConfigurationError(f"there is no law {law!r}; the laws are {', '.join(_NAMED)}")
    return _NAMED[law]
