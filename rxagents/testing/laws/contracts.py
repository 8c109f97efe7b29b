"""The first two laws: the contract of observables, and that every source is released."""

from __future__ import annotations

from reactivex import Observable

from .audiences import Audience
from .cases import Broken, Case
from .talks import played
from .worlds import HORIZON, Make, World

__all__ = ["check_contract", "check_release"]


def check_contract(make: Make, case: Case) -> None:
    """`on_next* (on_error | on_completed)?`, never two at a time, nothing after dispose.

    Raises:
        Broken: For the output, or for a message or block in it.
    """
    with World() as world:
        audience = Audience.of(world, case)
        output = world.do(lambda: make(world)(played(world, case.source)))
        world.do(lambda: audience.attend(output))
        world.run()
        world.do(audience.leave)
        world.run(2 * HORIZON)
        for words in audience.wrong:
            raise Broken(words.strip(), audience.drawn())
        for error in world.faults:
            raise Broken(
                f"an error that nobody heard of: {type(error).__name__}: {error}", audience.drawn()
            ) from error
        for name in world.unawaited():
            raise Broken(f"the coroutine {name} was never awaited", audience.drawn())


def check_release(make: Make, case: Case) -> None:
    """Building subscribes to nothing, subscribing to each source at most once, the end releases all.

    Raises:
        Broken: Some source was subscribed to at building, or twice, or was not let go.
    """
    with World() as world:
        audience = Audience.of(world, case)
        output: Observable[object] = world.do(lambda: make(world)(played(world, case.source)))
        begun = [feed.name for feed in world.feeds if feed.subscribed]
        begun += [f"the model of {request.agent}" for request in world.requests]
        if begun:
            raise Broken(f"building subscribed to {', '.join(begun)}")
        if world.tasks:
            raise Broken(f"building started {', '.join(world.tasks)}")
        found: list[str] = []

        def look() -> None:
            found.extend(_open(world))

        # behind all that happens at this instant
        audience.on_over = lambda: None if world.owned else world.at(world.now, look)
        world.do(lambda: audience.attend(output))
        world.run()
        audience.on_over = lambda: None
        world.do(audience.leave)
        found += _open(world)
        for feed in world.feeds:
            if len(feed.subscribed) > 1:
                times = ", ".join(f"{at:g} s" for at in feed.subscribed)
                found.append(f"{feed.name} was subscribed to {len(feed.subscribed)} times: at {times}")
        if found:
            raise Broken(found[0], audience.drawn())


def _open(world: World) -> list[str]:
    """What is still subscribed or running, in words."""
    found = [
        f"{feed.name} was subscribed to at {feed.subscribed[-1]:g} s and is not released at {world.now:g} s, "
        "when all had ended or left"
        for feed in world.feeds
        if len(feed.released) < len(feed.subscribed)
    ]
    return found or [f"the task {name} is still running" for name in world.tasks]
