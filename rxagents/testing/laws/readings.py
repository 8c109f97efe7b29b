"""The third law: a message is its tokens, and the same for whoever reads it, whenever."""

from __future__ import annotations

from functools import partial

from ...streams import MessageStream
from .audiences import Audience
from .cases import Broken, Case
from .talks import played
from .watches import Watch
from .worlds import HORIZON, Make, World

__all__ = ["check_replay"]


def check_replay(make: Make, case: Case) -> None:
    """Tokens concatenate to the content; every late or second subscriber of an item sees the same.

    Raises:
        Broken: Two readers saw different things, or the message is not what its tokens say.
    """
    with World() as world:
        audience = Audience.of(world, case)
        output = world.do(lambda: make(world)(played(world, case.source)))
        world.do(lambda: audience.attend(output))
        world.run()
        world.do(audience.leave)
        world.run(2 * HORIZON)
        for item, readers in list(audience.items.items()):
            if not item.ended:  # nobody has read it
                continue
            last = world.do(partial(Audience(world).attend, item, "after the end"))
            readers = [*readers, last]
            times = _first_seen(readers)
            for reader in readers:
                _check_same(reader, last, times, readers)
            if isinstance(item, MessageStream):
                _check_content(world, item, readers)


def _first_seen(readers: list[Watch]) -> list[float]:
    """When each of the events was there for anybody."""
    # the error that one who raised has heard was its own
    seen = [[at for at, kind, _ in reader.events if kind == "next" or reader.whole] for reader in readers]
    return [min(times[place] for times in seen if len(times) > place) for place in range(max(map(len, seen)))]


def _check_same(reader: Watch, last: Watch, times: list[float], readers: list[Watch]) -> None:
    seen, all_of_it = reader.values, last.values
    # who left, or raised, saw the beginning
    wanted = all_of_it if reader.whole else all_of_it[: len(seen)]
    what = reader.name.strip()
    if seen != wanted:
        raise Broken(f"two readers of the {what} saw different things", _lanes(readers))
    if reader.whole and reader.events[-1][1:] != last.events[-1][1:]:
        raise Broken(f"two readers of the {what} saw different ends", _lanes(readers))
    heard = zip(reader.events, times, strict=False)
    if reader.whole and any(at > max(reader.came, time) for (at, _, _), time in heard):
        raise Broken(f"a reader of the {what} saw later what was there already", _lanes(readers))


def _check_content(world: World, item: MessageStream, readers: list[Watch]) -> None:
    deltas = [value for value in readers[-1].values if type(value) is dict]
    restarts = [at for at, value in enumerate(deltas) if value.get("restart") is not None]
    said_last = deltas[restarts[-1] + 1 :] if restarts else deltas  # what came before is void
    text = "".join(value["content"] or "" for value in said_last)
    result = item.result
    if result is None or result.text != text:
        said = None if result is None else result.text
        raise Broken(f"the tokens say {text!r}, and the message {said!r}", _lanes(readers))
    audience = Audience(world)
    given = world.do(lambda: audience.attend(item.message, "message"))
    if (given.end == "completed" and given.values != [result]) or (given.end == "error") != bool(item.error):
        raise Broken("`.message` does not give the message", _lanes([*readers, given]))


def _lanes(readers: list[Watch]) -> list[tuple[str, str]]:
    return [(reader.name, reader.drawn()) for reader in readers]
