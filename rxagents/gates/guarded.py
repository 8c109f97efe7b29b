"""guard_input and guard_output: participants with a guard beside them, who works while they do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from reactivex import Observable

from ..blocks import Block, Scope
from ..engine.bridges import forward, from_async
from ..engine.emitters import Emitter, just
from ..errors import ConfigurationError
from ..operators._gate import kept
from ..participants import Emit, Participant, hear
from ..state_updates import StateUpdate
from ..transcripts import Item, Transcript
from .checking import Check, check_check, name_of
from .guarded_turns import Guard, GuardedTurn, OnTrip
from .rules import Rule
from .windows import Window, check_window

__all__ = ["guard_input", "guard_output"]

_REFUSAL = "I cannot help with that."


def guard_input(
    participant: Participant,
    check: Check,
    *,
    on_trip: OnTrip = "refuse",
    refusal: str = _REFUSAL,
    hold: bool = True,
    name: str | None = None,
) -> Participant:
    """An agent or team whose turn goes on only if what it heard passes a check.

    The check runs beside the turn, so it costs no time: the model is asked at once, and what it says is
    shown when the check has passed. When the check gives something falsy, or raises, the turn is cut (its
    HTTP responses are closed, its tools cancelled), a shown StateUpdate of the kind `guard` says so, and
    the log. A plain check is asked first, and then the model is not asked at all.

    ```
    source   -q-|
    check       ----|
    llm         Hi-there|
    out      ---(bot|)
    bot      -------(<guard> m|)
    m        -------(No.|)
    ```

    Args:
        participant: The agent or team. The result is that one in all else: its id, its place in a team.
        check: Called with the Transcript of what was heard; `heard[-1].text` is the last message.
            Truthy passes. Plain, or async: so it may ask a model.
        on_trip: What comes then: `"refuse"`: a message of the participant with the refusal, and the finish
            reason `content_filter`; `"fail"`: the turn fails with a GuardError; `"stop"`: a stop, which
            ends the nearest team.
        refusal: The words.
        hold: Whether nothing is shown before the check has passed. If not, what was said is cut.
        name: Of the guard, in what it reports; by default the check's.

    Raises:
        ConfigurationError: An argument is of no use.
    """
    what = "guard_input"
    _check_arguments(what, participant, check, on_trip, refusal)
    return _InputGuarded(participant, Guard(name_of(check, name), check, on_trip, refusal, bool(hold)))


def guard_output(
    participant: Participant,
    check: Check,
    *,
    window: Window = "sentence",
    on_trip: OnTrip = "refuse",
    refusal: str = _REFUSAL,
    name: str | None = None,
) -> Participant:
    """An agent or team whose words are checked while they are shown; they end when they do not pass.

    Nothing is held back, so nothing is slower; what must not be shown at all takes a `gate`. The check
    gets the text so far with each window of it. When it gives something falsy, or raises, the message
    and the response of its model are cut, what it said is void (a `restart` delta) and no part of the
    conversation, a shown StateUpdate of the kind `guard` says so, and the log. A message ends when all
    its checks have.

    ```
    source   -q-|
    llm         Hi.--_Damn.--_Yes|
    out      ---(bot|)
    bot      ---m------------(<guard>|)
    m        ---Hi.--_Damn.--(_Yes restart No.|)
    ```

    Args:
        participant: The agent or team. The result is that one in all else.
        check: Called with a `Gated`, as by `rxagents.operators.gate`.
        window: `"sentence"`, a number of tokens, or the `"whole"` message.
        on_trip: What comes then: `"refuse"`: the message says the refusal instead; `"fail"`: it fails with
            a GuardError; `"stop"`: it says no more than what had passed, and stops the nearest team.
        refusal: The words.
        name: Of the guard, in what it reports; by default the check's.

    Raises:
        ConfigurationError: An argument is of no use.
    """
    what = "guard_output"
    _check_arguments(what, participant, check, on_trip, refusal)
    windows = check_window(what, window)
    actions: dict[str, Any] = {"refuse": "replace", "fail": "fail", "stop": "cut"}
    rule = Rule(
        name_of(check, name),
        check,
        windows,
        whole=window == "whole",
        on_fail=actions[on_trip],
        replacement=refusal,
        hold=False,
        stops=on_trip == "stop",
    )
    return participant.pipe(kept(rule))


def _check_arguments(what: str, participant: object, check: Check, on_trip: object, refusal: object) -> None:
    if not isinstance(participant, Participant):
        raise ConfigurationError(f"{what} guards an agent or a team, not {type(participant).__name__}")
    check_check(what, check)
    if on_trip not in ("refuse", "fail", "stop"):
        raise ConfigurationError(f"{what}: on_trip is {on_trip!r}; give 'refuse', 'fail' or 'stop'")
    if not isinstance(refusal, str):
        raise ConfigurationError(f"{what}: refusal is a {type(refusal).__name__}; give a str")


class _InputGuarded(Participant):
    """A participant with a guard of what it hears; in all else it is that participant."""

    def __init__(self, participant: Participant, guard: Guard) -> None:
        super().__init__(participant.id, participant.description)
        self._participant = participant
        self._guard = guard

    def with_(self, **changes: Any) -> Self:
        return type(self)(self._participant.with_(**changes), self._guard)

    def __call__(self, source: Observable[Item]) -> Observable[Item]:
        async def take_turn(emit: Emit) -> None:
            heard = await hear(source, emit)
            if not heard.run_stopped:
                guarded = partial(self._guarded, heard.transcript, emit)
                await forward(self._participant(just(heard.transcript)), guarded)

        return from_async(take_turn)

    def _guarded(self, transcript: Transcript, emit: Emit, item: Item) -> None:
        if isinstance(item, StateUpdate | Transcript):
            emit(item)
            return
        # what it says outside of a block gets one: the check needs a place to say what came of it
        block = item if isinstance(item, Block) else Block(self.id, just(item))
        inside = self._beside(lambda: block, transcript)
        guarded = block.around(inside)
        guarded.id = block.id
        emit(guarded)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return self._beside(lambda: Scope(self._participant.turn(transcript)), transcript)

    def _beside(self, turn: Callable[[], Scope], transcript: Transcript) -> Observable[Item]:
        return Emitter(lambda sink: GuardedTurn(sink, turn(), transcript, self.id, self._guard))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self._participant, name)

    def __repr__(self) -> str:
        return f"{self._participant!r} with the guard {self._guard.name}"
