"""Three watchers of one run, cell by cell as in a notebook: the model is asked once.

One watches from the beginning, one leaves in the middle, one comes late and hears it all from the
beginning. In a notebook each cell stands as it is, with `await` at the top level.

python examples/three_watchers.py
"""

import asyncio

from rxagents import Agent, Run, Workflow
from rxagents.operators import text
from rxagents.testing import demo_llm

STORY = "There was a stream. It ran to the sea, and who came late saw it from its spring all the same."


async def watch(name: str, run: Run, tokens: int | None = None) -> str:
    """Reads the words of a run, all of them or so many tokens."""
    heard: list[str] = []
    words = run.pipe(text())
    async for token in words:  # type: ignore[attr-defined]  # RxPY's types do not know that ours iterate
        heard.append(token)
        if len(heard) == tokens:
            print(f"{name} leaves after {tokens} tokens", flush=True)
            break
    return "".join(heard)


async def main() -> None:
    # %% the run begins, watched or not
    teller = Agent("teller", demo_llm([STORY], delay=0.01), system_message="Tell a story.")
    workflow = Workflow(teller)
    run = workflow.start("Tell me a story.")

    # %% two watch it while it is told
    ann = asyncio.create_task(watch("ann", run))
    bob = asyncio.create_task(watch("bob", run, tokens=5))
    print("bob heard:", await bob)
    print("ann heard:", await ann)

    # %% and one when it is over
    result = await run
    print("cleo heard the same:", await watch("cleo", run) == result.text)
    print(f"{result}, {len(workflow.conversation)} messages")


if __name__ == "__main__":
    asyncio.run(main())
