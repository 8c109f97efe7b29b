"""A planned team that learns from its reviewer: the plan is made again until the reviewer is content.

The planner's model writes down who does what. The reviewer tells, in context variables, whether the text
will do and what is missing; where it will not do, that feedback is in the next plan's prompt.

python examples/planned_team.py
"""

from offline.planned_team_script import SCRIPT

from rxagents import Agent, Context, PlannedTeam, Workflow
from rxagents.testing import demo_llm

llm = demo_llm(SCRIPT, delay=0.01)

writer = Agent("writer", llm, "Writes and rewrites texts.", "You write invitations, as you are instructed.")
reviewer = Agent("reviewer", llm, "Reviews a text. Comes last.", "You review invitations; call your tool.")


@reviewer.register_tool
def review(approved: bool, feedback: str, context: Context) -> str:
    """Says whether the text will do, and if not, what is missing."""
    context["approved"] = approved
    context["__feedback"] = feedback
    return "noted"


team = PlannedTeam(
    "team",
    [writer, reviewer],
    llm,
    repeat_until=lambda transcript: transcript.variables.get("approved", False),
    max_plans=3,
)

workflow = Workflow(team)
for mark, content in workflow.run_stream("Invite the neighbours to a summer party.", state=True):
    if mark == "state" and content["kind"] == "plan":
        print(f"plan {content['plan']}:")
        for step in content["steps"]:
            print(f"  {step['agent_id']}: {step['instructions']}")
    elif mark == "response":
        print(f"{mark.path[-1]}: {content[0]['content']}")
    elif mark == "result":
        print(content)
