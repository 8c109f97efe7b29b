"""Compositions of agents: operators made of operators, so they nest."""

from ._chain import Chain
from ._loop import Loop
from ._planned_team import PlannedTeam
from ._sequence import Sequence
from ._team import Team

__all__ = ["Chain", "Loop", "PlannedTeam", "Sequence", "Team"]
