"""Update strategies: how what an agent says enters the conversation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal

from reactivex import Observable

from ..blocks import Block
from ..engine.loops import dropped
from ..errors import ConfigurationError, InputError
from ..places import located_as
from ..state_updates import StateUpdate
from ..transcripts import Item, Transcript
from ..values import Message

__all__ = [
    "AppendMessagesUpdateStrategy",
    "NoopUpdateStrategy",
    "ReplaceLastMessageUpdateStrategy",
    "Update",
    "UpdateStrategy",
    "check_update",
    "entered",
]

Messages = tuple[Message, ...]
Update = Callable[[Messages, Messages], Iterable[Message]]
"""A function of the messages before and those that were said; it gives the conversation that is to be."""

UpdateStrategy = Literal["append", "replace_last", "none"] | Update
"""What an agent or a team takes: one of the three by its name, or a function."""


class AppendMessagesUpdateStrategy:
    """What was said comes after what was there: `"append"`."""

    def __call__(self, before: Messages, said: Messages) -> Iterable[Message]:
        return (*before, *said)


class ReplaceLastMessageUpdateStrategy:
    """What was said takes the place of the message before it: `"replace_last"`."""

    def __call__(self, before: Messages, said: Messages) -> Iterable[Message]:
        return (*before[:-1], *said) if said else before


class NoopUpdateStrategy:
    """What was said is shown, and is no part of the conversation: `"none"`.

    Variables that were set, the usage and the log count all the same.
    """

    def __call__(self, before: Messages, said: Messages) -> Iterable[Message]:
        return before


_APPEND, _REPLACE, _NONE = (
    AppendMessagesUpdateStrategy(),
    ReplaceLastMessageUpdateStrategy(),
    NoopUpdateStrategy(),
)
_NAMED: dict[Any, Update] = {None: _APPEND, "append": _APPEND, "replace_last": _REPLACE, "none": _NONE}


def check_update(what: str, strategy: UpdateStrategy | None) -> Update:
    """The strategy as a function; None is `"append"`.

    Args:
        what: Whose it is, for the error.
        strategy: What was given.

    Raises:
        ConfigurationError: It is none.
    """
    if strategy is None or isinstance(strategy, str):
        if strategy in _NAMED:
            return _NAMED[strategy]
    elif callable(strategy) and not inspect.isclass(strategy) and not _is_async(strategy):
        return strategy
    given = f"the class {strategy.__name__}" if inspect.isclass(strategy) else repr(strategy)
    raise ConfigurationError(
        f"{what}: update_strategy is {given}; give 'append', 'replace_last', 'none', or a plain function of "
        "the messages before and the messages said"
    )


def _is_async(strategy: Any) -> bool:
    # asked for what kind of function it is, not for whether it can be called
    return any(map(inspect.iscoroutinefunction, (strategy, getattr(strategy, "__call__", None))))  # noqa: B004


def entered(
    strategy: Update,
    name: str,
    turn: Observable[Item],
    transcript: Transcript,
    *,
    catches_stops: bool = False,
) -> Block:
    """The block of a turn whose words enter the conversation by a strategy.

    To append costs nothing. For `"none"` and functions the block's last item is a StateUpdate of the
    kind `update`, which takes away and adds what it must; it comes however the block ends, so that
    words that were cut are treated like others.

    Args:
        strategy: As `check_update` gave it.
        name: Of the block.
        turn: Its items.
        transcript: What was heard: the messages before.
        catches_stops: As of a Block.
    """
    if type(strategy) is AppendMessagesUpdateStrategy:
        return Block(name, turn, catches_stops=catches_stops)
    if type(strategy) is ReplaceLastMessageUpdateStrategy:
        return Block(name, turn, entry="replace_last", catches_stops=catches_stops)
    return _Updating(strategy, name, turn, transcript, catches_stops)


class _Updating(Block):
    """A block that says at its end what becomes of the conversation."""

    updates = True

    def __init__(
        self,
        strategy: Update,
        name: str,
        turn: Observable[Item],
        transcript: Transcript,
        catches_stops: bool,
    ) -> None:
        super().__init__(name, turn, catches_stops=catches_stops)
        self._strategy = strategy
        self._heard: Transcript | None = transcript

    def around(self, source: Observable[Any]) -> Block:
        if self._heard is None:  # it has ended, and what becomes of the conversation is said
            return super().around(source)
        return _Updating(self._strategy, self.name, source, self._heard, self.catches_stops)

    def _settle(self) -> None:
        heard, self._heard = self._heard, None
        try:
            update = None if heard is None else _update(self._strategy, heard, self._items)
        except Exception as error:
            error = located_as(error, "update_strategy")
            if self.error is None and not self.interrupted:
                self._record(error)
            else:
                dropped(error, f"the update_strategy of {self.name} raised when its turn was cut")
        else:
            if update is not None:
                # not emitted, since whoever hears it might end this block anew; its readers get it
                # with the end
                self._items.append(update)
                self.update = update
        super()._settle()


def _update(strategy: Update, heard: Transcript, items: list[Item]) -> StateUpdate | None:
    """What leads from the conversation that holds the items to the one that the strategy gives."""
    after = heard.fold_all(items)
    common = heard.common_with(after)
    if type(strategy) is NoopUpdateStrategy:
        stays, more = common, heard[common:]  # known without a look at all that was said before
    else:
        wanted = _checked(strategy(heard.messages, after[common:]))
        stays = _stays(wanted, after)
        more = wanted[stays:]
    if stays == len(after) and not more:
        return None
    return StateUpdate("update", messages=more, drop=len(after) - stays)


def _stays(wanted: Messages, after: Transcript) -> int:
    """How many messages may stay where they are. The same words said twice are two messages."""
    pairs = zip(wanted, after, strict=False)
    least = min(len(wanted), len(after))
    return next((at for at, (mine, its) in enumerate(pairs) if mine is not its), least)


def _checked(wanted: object) -> Messages:
    if inspect.iscoroutine(wanted):
        wanted.close()
    if not isinstance(wanted, Iterable) or isinstance(wanted, Message):
        raise InputError(
            f"an update strategy gives the messages that are to be, but it gave {type(wanted).__name__}"
        )
    messages = tuple(wanted)
    for message in messages:
        if not isinstance(message, Message):
            raise InputError(
                "an update strategy gives the messages that are to be, but among them was "
                f"{type(message).__name__}; make a Message"
            )
    return messages
