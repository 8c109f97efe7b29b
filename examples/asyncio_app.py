"""An asyncio app: three questions to one agent side by side, each answered as it streams.

python examples/asyncio_app.py
"""

import asyncio

from rxagents import Agent, Workflow
from rxagents.testing import demo_llm

QUESTIONS = ("What is a marble?", "What is an observable?", "What is an operator?")


async def ask(agent: Agent, question: str) -> str:
    tokens = 0
    async with Workflow(agent).arun_stream(question) as stream:
        async for mark, content in stream:
            tokens += mark == "delta"
            if mark == "response":
                message, usage = content
                print(f"{question} ({tokens} deltas, {usage['total_tokens']} tokens)", flush=True)
                return str(message["content"])
    return ""


async def main() -> None:
    agent = Agent("guide", demo_llm(), system_message="Answer in one sentence.")
    async with asyncio.timeout(60):
        for answer in await asyncio.gather(*(ask(agent, question) for question in QUESTIONS)):
            print(answer)


if __name__ == "__main__":
    asyncio.run(main())
