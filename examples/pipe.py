"""Two agents in a pipe: a poet retells what a physicist explains, and the poem prints as it comes.

python examples/pipe.py
"""

from rxagents import Agent, say
from rxagents.operators import text
from rxagents.testing import demo_llm

# what the embedded server says where no key is set
llm = demo_llm(
    [
        "Sunlight holds all colours. Air scatters blue far more than red. So blue comes from everywhere.",
        "All colours ride upon the light,\nthe air lets red ones go,\nbut hands the blue from mote to mote\n"
        "till all the heavens glow.",
    ]
)
physicist = Agent("physicist", llm, system_message="Explain it in three sentences.")
poet = Agent("poet", llm, system_message="Retell what you are told as a poem of four lines.")


def show(token: str) -> None:
    print(token, end="", flush=True)


say("Why is the sky blue?").pipe(physicist, poet, text()).subscribe(show, on_completed=print)
