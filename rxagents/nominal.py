"""Nominal: abstract classes whose instances are known by their class alone."""

from __future__ import annotations

from abc import ABCMeta

__all__ = ["Nominal"]


class Nominal(ABCMeta):
    """The class of abstract classes that nobody registers others with.

    The check of `ABCMeta` looks for those, in Python, at each `isinstance`: 0.35 µs in place of 0.05. Items
    are told apart by it a dozen times at each level of a team.
    """

    __instancecheck__ = type.__instancecheck__
    __subclasscheck__ = type.__subclasscheck__
