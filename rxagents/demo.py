"""The order-delivery team: the smallest job that has everything, a router, tools and a stream."""

from __future__ import annotations

from typing import Annotated

from .agents import Agent
from .llm import LLM
from .teams import Team
from .users import User

__all__ = ["QUESTION", "order_team"]

QUESTION = "Which is expected delivery date for my order?"


def order_team(llm: LLM) -> Team:
    """An agent with two tools, and a user who is not there.

    Args:
        llm: The model of the agent, and of the team.
    """
    agent1 = Agent(
        id="agent1",
        llm=llm,
        description="Call this agent for general purpose questions",
        system_message="You are an AI assistant. Help the customer with questions about orders; "
        "use your tools, and do not ask for what they can tell you.",
    )

    @agent1.register_tool(description="Get the order ID for a customer's order.")
    def get_order_id() -> Annotated[str, "The customer's order ID."]:
        return "214"

    @agent1.register_tool(
        description="Get the delivery date for a customer's order. Call this whenever you need to "
        "know when an order arrives, for example when a customer asks 'Where is my package?'"
    )
    def get_delivery_date(
        order_id: Annotated[str, "The customer's order ID."],
    ) -> Annotated[str, "The delivery date for the customer's order."]:
        return "2022-01-01"

    user = User(id="user", mode="unattended")
    return Team(llm, [agent1, user], "team", stop_callback=lambda messages: len(messages) > 4)
