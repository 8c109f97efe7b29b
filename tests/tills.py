"""An agent with a tool that needs approval and one that needs none, shared by the tests of approvals."""

from __future__ import annotations

from typing import Any

from rxagents import Agent, ScriptedLLM, Tool


class Till:
    """Two tools, and what was done with them."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def pay(self, amount: int) -> str:
        """Pays."""
        self.done.append(f"pay {amount}")
        return f"paid {amount}"

    def look(self) -> str:
        """Looks."""
        self.done.append("look")
        return "seen"

    def bot(self, *replies: Any, id: str = "bot", **options: Any) -> Agent:
        tools = [Tool(self.pay, approval=True), self.look]
        return Agent(id, ScriptedLLM(replies), tools=tools, **options)
