"""Lanes as values: a cold lane that is bound in a picture stands for an observable that does the same."""

from __future__ import annotations

from dataclasses import replace

from ..lanes import Event, Lane, moment
from .drawn_lanes import ColdLane

__all__ = ["with_lanes"]


def with_lanes(lane: Lane) -> Lane:
    """Bound cold lanes as what is seen of one: a lane that begins there."""
    return replace(lane, events=tuple(map(_with_lane, lane.events)))


def _with_lane(event: Event) -> Event:
    if event.kind == "open":
        return replace(event, value=with_lanes(event.value))
    if isinstance(event.value, ColdLane):
        return replace(event, kind="open", value=_later(event.value.lane, event.at))
    return event


def _later(lane: Lane, seconds: float) -> Lane:
    events = (
        replace(
            event,
            at=moment(event.at + seconds),
            value=_later(event.value, seconds) if event.kind == "open" else event.value,
        )
        for event in lane.events
    )
    return replace(lane, events=tuple(events))
