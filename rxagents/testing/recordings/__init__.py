"""Reading what `record` and `Workflow.record` wrote: as lanes, and as a model that answers from it.

The format is a page in `rxagents.recording.journals`.
"""

from .exchanges import Exchange, RecordedError
from .recorded_files import Recording, read_recording
from .replaying import ReplayedLLM, replay

__all__ = ["Exchange", "RecordedError", "Recording", "ReplayedLLM", "read_recording", "replay"]
