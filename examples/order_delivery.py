"""A team of an agent with tools and a user who is not there, streaming its markers.

python examples/order_delivery.py
"""

from typing import Annotated

from rxagents import Agent, Team, User, Workflow
from rxagents.testing import demo_llm

llm = demo_llm()

agent1 = Agent(
    id="agent1",
    llm=llm,
    description="Call this agent for general purpose questions",
    system_message="You are an AI assistant. Use your tools to answer questions about orders.",
)


@agent1.register_tool(description="Get the order ID for a customer's order.")
def get_order_id() -> Annotated[str, "The customer's order ID."]:
    return "214"


@agent1.register_tool(description="Get the delivery date for a customer's order.")
def get_delivery_date(
    order_id: Annotated[str, "The customer's order ID."],
) -> Annotated[str, "The delivery date for the customer's order."]:
    return "2022-01-01"


user = User(id="user", mode="unattended")
flow = Team(
    id="team",
    description="",
    members=[agent1, user],
    llm=llm,
    stop_callback=lambda messages: len(messages) > 4,
)

workflow = Workflow(askable=flow)
for mark, content in workflow.run_stream("Which is expected delivery date for my order?"):
    print(f"{mark}: {content}", flush=True)
