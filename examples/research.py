"""Research in parallel: a question is split, all parts are looked into at once, the answers come in order.

The desk is a function agent. What it asks for inside a turn starts at once; what it yields is delivered
in order, token by token as soon as it is each one's turn.

python examples/research.py "What should I know about the sea?"
"""

import sys
from collections.abc import AsyncIterator
from typing import Any

from offline.research_script import SCRIPT
from pydantic import BaseModel

from rxagents import Agent, Transcript, Workflow, agent
from rxagents.testing import demo_llm

llm = demo_llm(SCRIPT, delay=0.01)


class Questions(BaseModel):
    """A question, in parts."""

    parts: list[str]


planner = Agent("planner", llm, system_message="You split a question into three.", output_type=Questions)
researcher = Agent("researcher", llm, system_message="You answer one question in one sentence.")
editor = Agent("editor", llm, system_message="You sum up reports in one sentence.")


@agent
async def desk(transcript: Transcript) -> AsyncIterator[Any]:
    """Has a question looked into, part by part."""
    plan = await planner.ask(transcript)
    reports = [researcher.ask(question) for question in plan.parsed.parts]  # all of them begin here
    for question, report in zip(plan.parsed.parts, reports, strict=True):
        yield [f"{question} ", report]
    yield editor.ask(*reports)


question = " ".join(sys.argv[1:]) or "What should I know about the sea?"
workflow = Workflow(desk)
for mark, content in workflow.run_stream(question):
    if mark == "delta" and content["content"]:
        print(content["content"], end="", flush=True)
    elif mark == "response":
        print()
tokens = workflow.conversation.metrics["total_tokens"]
print(f"({len(workflow.conversation)} messages, {tokens} tokens)")
