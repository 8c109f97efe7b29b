"""A redactor between two agents: it works token by token, and what is secret never gets through.

python examples/redactor.py
"""

import re
from collections.abc import AsyncIterator

from rxagents import Agent, as_agent, say
from rxagents.operators import text, transform
from rxagents.testing import demo_llm

NUMBER = re.compile(r"\d+")


async def redacted(tokens: AsyncIterator[str]) -> AsyncIterator[str]:
    """Holds digits back until the number is whole, and hides it; everything else passes at once."""
    held = ""
    async for token in tokens:
        held += token
        whole = held.rstrip("0123456789")  # a number at the end may go on in the next token
        if whole:
            held = held[len(whole) :]
            yield NUMBER.sub("█", whole)
    if held:
        yield NUMBER.sub("█", held)


# what the embedded server says where no key is set
llm = demo_llm(["Thank you. I noted the card 4929 1234 5678 9012, valid to 12/29."])
clerk = Agent("clerk", llm, system_message="Repeat the customer's details to confirm them.")
redactor = as_agent("redactor", transform(redacted), "Hides all numbers.")


def show(token: str) -> None:
    print(token, end="", flush=True)


card = "My card is 4929 1234 5678 9012, valid to 12/29."
say(card).pipe(clerk, redactor, text()).subscribe(show, on_completed=print)
