"""A package that documents itself: one agent asks, one answers from the docstrings, one writes the page.

Everything streams: the questions, the answers, and the page that is made of them.

python examples/documentation_writer.py
"""

import inspect

from offline.documentation_writer_script import SCRIPT

import rxagents
from rxagents import Agent, Loop, Sequence, Workflow
from rxagents.testing import demo_llm

llm = demo_llm(SCRIPT, delay=0.005)


def docstring(name: str) -> str:
    """Gives the documentation of a public name of the package.

    Args:
        name: Such as `Agent`.
    """
    thing = getattr(rxagents, name, None)
    return inspect.getdoc(thing) or f"there is no {name}; there are: {', '.join(dir(rxagents))}"


interviewer = Agent(
    "interviewer",
    llm,
    system_message="You interview an expert on the Python package rxagents, for a page that introduces it. "
    "Ask one short question at a time, about one public class, and none twice.",
)
expert = Agent(
    "expert",
    llm,
    system_message="You know rxagents by its docstrings. Look up what you are asked for, and answer in two "
    "sentences, with nothing that is not there.",
    tools=[docstring],
)
writer = Agent(
    "writer",
    llm,
    system_message="You write a page in Markdown from an interview: a title, and a section for each answer.",
)

interview = Loop("interview", [interviewer, expert], max_turns=3)
workflow = Workflow(Sequence("documentation", [interview, writer]))
for mark, content in workflow.run_stream("Introduce rxagents to somebody who knows Python."):
    if mark == "start" and mark.path[-1] in ("interviewer", "expert", "writer"):
        print(f"\n--- {content}", flush=True)
    elif mark == "function_result":
        print(f"({content['name']}: {len(content['result'])} characters)", flush=True)
    elif mark == "delta" and content["content"]:
        print(content["content"], end="", flush=True)
    elif mark == "response":
        print(flush=True)
