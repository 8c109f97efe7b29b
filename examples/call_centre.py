"""The call centre of a telephone company: a routed team, another one within it, tools and variables.

The front desk's model hands the customer on to the technicians, a team of its own, or to sales. What a
tool finds out about the customer is a context variable, which all others see in their system message.

python examples/call_centre.py
"""

from collections.abc import Iterator
from typing import Annotated, Any

from offline.call_centre_script import SCRIPT

from rxagents import Agent, Context, Team, User, Workflow
from rxagents.testing import demo_llm

llm = demo_llm(SCRIPT, delay=0.01)

CUSTOMERS = {"555-0100": {"name": "Ann", "line": "copper", "plan": "Basic 16"}}
KNOWN = "What is known of the customer: __context__"

diagnostics = Agent(
    "diagnostics",
    llm,
    "Looks the customer up and tests the line. Comes first in any trouble.",
    f"You test telephone lines. {KNOWN}",
)
field_service = Agent(
    "field_service",
    llm,
    "Sends a technician when a test has found a fault.",
    f"You plan the technicians' days. {KNOWN}",
)
sales = Agent("sales", llm, "Explains plans, and changes them.", f"You sell plans. {KNOWN}")


@diagnostics.register_tool
def look_up_customer(phone: Annotated[str, "The customer's number."], context: Context) -> str:
    """Finds a customer, and what line and plan he has."""
    customer = CUSTOMERS.get(phone)
    if customer is None:
        return f"nobody has the number {phone}"
    context["customer"] = customer
    return f"{phone} is {customer['name']}"


@diagnostics.register_tool
async def test_line(context: Context) -> str:
    """Tests the line of the customer who was looked up."""
    line = context.get("customer", {}).get("line", "unknown")
    return f"{line} line: noise of 14 dB, the fault is at the house"


@field_service.register_tool
def send_technician(day: Annotated[str, "A day of this week."], context: Context) -> str:
    """Books a visit."""
    context["visit"] = day
    return f"booked for {day}"


@sales.register_tool
def change_plan(plan: Annotated[str, "The name of the plan."], context: Context) -> str:
    """Changes the customer's plan from tomorrow on."""
    context["customer"] = {**context.get("customer", {}), "plan": plan}
    return f"changed to {plan}"


def customer_lines() -> Iterator[str]:
    yield "Thank you. And which plan is faster than mine?"
    yield "Then I take that one."


lines = customer_lines()


def spoken(prompt: str) -> str:
    """What the customer says next; an EOFError when he has hung up."""
    line = next(lines, None)
    if line is None:
        raise EOFError
    print(f"\n{prompt}{line}", end="", flush=True)
    return line


technicians = Team(
    llm,
    [diagnostics, field_service],
    "technicians",
    "All that is wrong with a line.",
    stop_callback=lambda transcript: "visit" in transcript.variables,
)
customer = User("customer", interaction_function=spoken)
front_desk = Team(llm, [technicians, sales, customer], "front_desk")

workflow = Workflow(front_desk)
speaker = result = ""
for mark, content in workflow.run_stream("My internet is slow. My number is 555-0100."):
    if mark == "start":
        speaker = f"\n{' > '.join(mark.path)}: "
    elif mark == "function_result":
        print(f"{speaker}({content['name']}: {content['result']}) ", end="", flush=True)
        speaker = ""
    elif mark == "delta" and content["content"] and mark.path[-1] != customer.id:
        print(f"{speaker}{content['content']}", end="", flush=True)
        speaker = ""
    elif mark == "result":
        result = content
variables: dict[str, Any] = dict(workflow.conversation.variables)
print(f"\n{result}: a visit on {variables['visit']}, and the plan {variables['customer']['plan']}")
