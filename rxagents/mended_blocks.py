"""Mended conversations: what fails in one ends, and says in words that it has failed.

The blocks around what failed do not fail. This is what `errors_as_messages` does, and a call of a tool
that is an agent.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from .blocks import Block
from .checks import is_id
from .engine.emitters import Emitter
from .engine.inlets import listen
from .engine.sinks import Sink
from .engine.work import defer
from .errors import ConfigurationError
from .mended_messages import Mended
from .places import located_as, where, words
from .recording.masks import masked
from .replays import Replay
from .state_updates import StateUpdate
from .streams import MessageStream
from .transcripts import Item
from .values import Message

__all__ = ["SHOWN", "Describe", "described", "mended"]

Describe = Callable[[Exception], str]

SHOWN: Any = object()
"""What `describe` may give in place of a text: the error is shown as a StateUpdate, and is no message."""


class MendedBlock(Block):
    """A block in which what fails says so.

    Attributes:
        contained: Whether nothing in it can fail any more: then there is nothing to mend, however often
            it is passed on.
    """

    contained = False


def mended(source: Observable[Item], describe: Describe) -> Observable[Item]:
    """The conversation, with a message of the agent's in the place of each error.

    Args:
        source: What may fail.
        describe: Takes the error, gives the text; called once for each that is told.
    """
    return Emitter(lambda sink: _Outside(sink, source, describe))


def described(error: Exception) -> str:
    """What the error says, without what looks like a key."""
    return f"Error: {masked(words(error)) or type(error).__name__}"


class _Level(CompositeDisposable):
    """The items of one block, or of the whole: mended, and with a word on what failed."""

    def __init__(
        self, sink: Sink[Item], source: Observable[Item], describe: Describe, path: tuple[str, ...]
    ) -> None:
        super().__init__()
        self._sink = sink
        self._describe = describe
        self._path = path
        self._blocks: list[Block] = []
        self.add(listen(source, sink.loop, self._next, self._failed, self._completed))

    def _next(self, item: Item) -> None:
        if isinstance(item, MessageStream):
            self._message(item)
        elif isinstance(item, Block) and not (_went_well(item) or _is_contained(item)):
            self._blocks.append(item)
            path = (*self._path, *item.checkpoints, item.name)
            self._sink.on_next(_twin(item, self._describe, path))
        else:
            self._sink.on_next(item)

    @abstractmethod
    def _message(self, item: MessageStream) -> None:
        """A message has come."""

    @abstractmethod
    def _failed(self, error: Exception) -> None:
        """The source has failed."""

    @abstractmethod
    def _completed(self) -> None:
        """The source has completed."""

    def _is_told(self, error: Exception) -> bool:
        """Whether it came from a block in here, which says so itself."""
        return any(block.error is error for block in self._blocks)

    def _tell(self, error: Exception, name: str | None, places: tuple[str, ...]) -> None:
        try:
            text = self._describe(error)
            if text is not SHOWN and not isinstance(text, str):
                raise ConfigurationError(f"describe gave {type(text).__name__}; it must give a str")
        except Exception as raised:
            raised = located_as(raised, "errors_as_messages")
            self._sink.on_error(raised)
            return
        details = {
            "type": type(error).__name__,
            "message": masked(words(error)),
            "where": " > ".join((*self._path, *places)),
        }
        if text is SHOWN:
            self._sink.on_next(StateUpdate("error", details, shown=True))
            return
        message = Message(role="assistant", name=name, content=text, metadata={"error": details})
        self._sink.on_next(MessageStream.of(message))


class _Inside(_Level):
    """The items of a block, which drives them."""

    def __init__(
        self,
        sink: Sink[Item],
        block: Block,
        describe: Describe,
        path: tuple[str, ...],
        cut: Callable[[], None],
    ) -> None:
        self._block = block
        self._cut = cut
        super().__init__(sink, block, describe, path)

    def _message(self, item: MessageStream) -> None:
        self._sink.on_next(item if _went_well(item) else Mended(item, in_block=True))

    def _failed(self, error: Exception) -> None:
        if not self._is_told(error):
            self._tell(error, self._block.name, self._block.error_where)
        self._sink.on_completed()

    def _completed(self) -> None:
        if self._block.interrupted:
            self._cut()
        self._sink.on_completed()


class _Outside(_Level):
    """The items outside blocks: nobody else says that a message there has failed."""

    def __init__(self, sink: Sink[Item], source: Observable[Item], describe: Describe) -> None:
        self._open: dict[MessageStream, None] = {}
        self._messages_told: list[Exception] = []
        self._source_done = False
        super().__init__(sink, source, describe, ())

    def _message(self, item: MessageStream) -> None:
        if _went_well(item):
            self._sink.on_next(item)
            return
        self._open[item] = None
        self._sink.on_next(Mended(item, in_block=False))
        # deferred: its own readers hear its end first
        item.on_end(lambda _: defer(partial(self._message_ended, item)))

    def _message_ended(self, item: MessageStream) -> None:
        del self._open[item]
        if item.error is not None and not self._sink.stopped:
            self._messages_told.append(item.error)
            self._tell(item.error, item.name, item.places)
        self._end_if_done()

    def _is_told(self, error: Exception) -> bool:
        open_ones = (item.error for item in self._open)
        return super()._is_told(error) or any(told is error for told in (*self._messages_told, *open_ones))

    def _failed(self, error: Exception) -> None:
        if not self._is_told(error):
            places = where(error)
            self._tell(error, places[0] if places and is_id(places[0]) else None, places)
        self._completed()

    def _completed(self) -> None:
        self._source_done = True
        for item in list(self._open):
            self.add(item.hold())  # nobody else may want it, and then it would never end
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._source_done and not self._open and not self._sink.stopped:
            self._sink.on_completed()


def _went_well(item: Replay[Any]) -> bool:
    # then it is passed on as it is: a twin of a block would begin anew, behind what follows the block
    return item.ended and item.error is None


def _is_contained(block: Block) -> bool:
    return isinstance(block, MendedBlock) and block.contained


def _twin(block: Block, describe: Describe, path: tuple[str, ...]) -> Block:
    inside: Emitter[Any] = Emitter(
        lambda sink: _Inside(sink, block, describe, path, cut=lambda: twin.interrupt())
    )
    twin = MendedBlock(block.name, inside, entry=block.entry, catches_stops=block.catches_stops, id=block.id)
    return twin
