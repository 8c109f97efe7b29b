"""Compositions of agents: operators made of operators, so they nest."""

from ._team import Team

__all__ = ["Team"]
