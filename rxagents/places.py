"""Where an error passed: agents, teams and tools, from the outside in.

`where(error)` gives the places, and the same stands in one exception note (`in team > agent1`), so
that a traceback shows it.
"""

from __future__ import annotations

__all__ = ["located", "located_as", "placed", "raisable", "unlocated", "where", "words"]


def words(error: BaseException) -> str:
    """What an error says, also where its own `__str__` fails."""
    try:
        return str(error)
    except Exception:
        return f"({type(error).__name__} without words: its __str__ raises)"


def where(error: BaseException) -> tuple[str, ...]:
    """The places that the error passed, from the outside in."""
    return getattr(error, "_rxagents_where", ())


def located(error: Exception, place: str) -> Exception:
    """Adds a place in front of those that the error has passed, and keeps its one note up to date."""
    return placed(error, (place, *where(error)))


def raisable(error: Exception, what: str) -> Exception:
    """What a coroutine can raise in an error's place: the error itself, unless it is a stop of an iteration.

    Python would replace such a one by a bare RuntimeError, which has lost its place.
    """
    if not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    other = RuntimeError(f"{what} raised {type(error).__name__}, which means the end of an iteration")
    other.__cause__ = error
    return other


def located_as(error: Exception, place: str) -> Exception:
    """What to raise for an error of a place: located there, and such that a coroutine can raise it."""
    return located(raisable(error, place), place)


def unlocated(error: Exception) -> Exception:
    """Forgets where the error passed: one object may be raised anew, by a model that is asked again."""
    return placed(error, ())


def placed(error: Exception, places: tuple[str, ...]) -> Exception:
    """Says anew where the error passed: one object may reach several readers by different ways."""
    stale = where(error)
    if stale:
        note = _note(stale)
        error.__notes__[:] = [other for other in error.__notes__ if other != note]
    error._rxagents_where = places  # type: ignore[attr-defined]
    if places:
        error.add_note(_note(places))
    return error


def _note(places: tuple[str, ...]) -> str:
    return "in " + " > ".join(places)
