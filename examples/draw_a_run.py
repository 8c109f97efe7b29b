"""Records a run in virtual time and draws it: the picture in the README.

python examples/draw_a_run.py [run.svg]
"""

import sys
import tempfile
from pathlib import Path

from rxagents import ScriptedLLM, Workflow
from rxagents.demo import QUESTION, order_team
from rxagents.testing import VirtualClock, draw, order_scenario


def main() -> None:
    picture = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("draw_a_run.svg"))
    # the clock is virtual, so that the picture is the same each time, and is made at once
    workflow = Workflow(order_team(ScriptedLLM(order_scenario(), delay=0.05)))
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder, "run.jsonl")
        with workflow.record(recording):
            VirtualClock().run(workflow.arun(QUESTION))
        drawing = draw(recording)
    drawing.save(picture)
    print(drawing.text)
    print(f"The same as a picture: {picture.name}")


if __name__ == "__main__":
    main()
