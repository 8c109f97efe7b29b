"""Ready-made scripts, so that examples and the demo run without a service.

Each is a list of rules: put your own before them, `[Rule(…), *order_scenario()]`. They recognise
requests by their content alone, so one server plays the router and all agents at once.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ...llm.replies import Call, Reply, message_text, request_text
from ...llm.scripts import Rule

__all__ = ["default_scenario", "echo_scenario", "order_scenario", "router_rule"]

Body: TypeAlias = dict[str, Any]

_ORDER_TOOLS = frozenset(("get_order_id", "get_delivery_date"))
_DELIVERY_DATE = "2022-01-01"
_ECHO = "You said: "


def order_scenario(agent: str = "agent1", user: str = "user") -> list[Rule]:
    """The order-delivery team: a router, and an agent that calls `get_order_id` and `get_delivery_date`.

    The agent calls one tool after the other, the second with the result of the first, and answers
    with both results. The router chooses the first agent until the request holds the delivery date
    2022-01-01, then the user.

    Args:
        agent: The agent that a router without structured output is to choose; with it, the schema
            says which there are.
        user: The id of the user.
    """
    return [router_rule([_DELIVERY_DATE], agent, user), Rule(_knows_orders, _order_reply)]


def echo_scenario(agent: str = "agent1", user: str = "user") -> list[Rule]:
    """Answers every request with a short sentence that quotes its last message.

    A router chooses the first agent until the request holds such a sentence, then the user.

    Args:
        agent: As in `order_scenario`.
        user: As in `order_scenario`.
    """
    return [router_rule([_ECHO], agent, user), Rule(lambda _: True, _echo_reply)]


def default_scenario(agent: str = "agent1", user: str = "user") -> list[Rule]:
    """The order-delivery team, and an echo for whatever else is asked.

    Args:
        agent: As in `order_scenario`.
        user: As in `order_scenario`.
    """
    return [
        router_rule([_DELIVERY_DATE, _ECHO], agent, user),
        *order_scenario(agent, user),
        *echo_scenario(agent, user),
    ]


def router_rule(signs: Sequence[str], agent: str = "agent1", user: str = "user") -> Rule:
    """A rule that plays a team's router: an agent's turn until the answer is there, then the user's.

    A router's request is one whose response format is named `agent_choice`, or one without tools
    whose system message speaks of an `agent_id`.

    Args:
        signs: The answer is there if the request's text holds one of these.
        agent: The agent to choose where no schema says which there are.
        user: The id of the user.
    """
    return Rule(_is_routing, _router_reply(tuple(signs), agent, user))


def _is_routing(body: Body) -> bool:
    if body.get("response_format"):
        schema = body["response_format"].get("json_schema") or {}
        if schema.get("name") == "agent_choice":
            return True
    if body.get("tools"):
        return False
    system = (message for message in body["messages"] if message.get("role") in ("system", "developer"))
    return any("agent_id" in message_text(message) for message in system)


def _router_reply(signs: tuple[str, ...], agent: str, user: str) -> Callable[[Body], object]:
    def reply(body: Body) -> object:
        members = _members(body) or [agent, user]
        text = request_text(body)
        agents = [member for member in members if member != user]
        answered = any(sign in text for sign in signs)
        if (answered and user in members) or not agents:
            return {"agent_id": user, "reason": "The question is answered."}
        return {"agent_id": agents[0], "reason": f"The question is one for {agents[0]}."}

    return reply


def _members(body: Body) -> list[str]:
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}
    choice = (schema.get("properties") or {}).get("agent_id") or {}
    return list(choice.get("enum") or ())


def _knows_orders(body: Body) -> bool:
    names = {tool.get("function", {}).get("name") for tool in body.get("tools") or ()}
    return names >= _ORDER_TOOLS


def _order_reply(body: Body) -> object:
    results = _results(body)
    if "get_order_id" not in results:
        return Call("get_order_id")
    order = results["get_order_id"]
    if "get_delivery_date" not in results:
        return Call("get_delivery_date", {"order_id": order})
    date = results["get_delivery_date"]
    return Reply(f"The expected delivery date for your order {order} is {date}.")


def _results(body: Body) -> dict[str, str]:
    """What the tools have answered in this turn, by their names."""
    names: dict[str, str] = {}
    results: dict[str, str] = {}
    for message in body["messages"]:
        if message.get("role") == "user":
            results.clear()
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        if message.get("role") == "tool":
            results[names.get(message.get("tool_call_id"), "")] = message_text(message)
    return results


def _echo_reply(body: Body) -> object:
    last = message_text(body["messages"][-1]) if body["messages"] else ""
    return f'{_ECHO}"{textwrap.shorten(last, 80, placeholder=" …")}".'
