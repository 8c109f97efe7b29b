"""Compositions of agents: operators made of operators, so they nest."""

from ._chain import Chain
from ._loop import Loop
from ._parallel import Parallel
from ._planned_team import PlannedTeam
from ._race import Race
from ._sequence import Sequence
from ._switch import Switch
from ._team import Team

__all__ = ["Chain", "Loop", "Parallel", "PlannedTeam", "Race", "Sequence", "Switch", "Team"]
