"""Trails: who a conversation was handed to, one after the other, in the turns around and in this one."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["trail"]

# Tasks inherit it, so it reaches those whose turn is their own; who is called as a tool begins anew.
trail: ContextVar[tuple[str, ...]] = ContextVar("rxagents_handoffs", default=())
