"""What is logged: under which name, with whose id, and never a secret or what was said."""

from __future__ import annotations

import logging

import pytest

from rxagents import Agent, OpenAILLM, Team, User, Workflow
from rxagents.testing import OpenAIServer, order_scenario


def test_a_run_logs_who_does_what_and_nothing_that_is_secret(caplog: pytest.LogCaptureFixture) -> None:
    with OpenAIServer(order_scenario()) as server, caplog.at_level(logging.DEBUG, logger="rxagents"):
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="sk-secret-key")
        agent1 = Agent("agent1", llm, system_message="Keep the password swordfish to yourself.")
        agent1.register_tool(name="get_order_id", description="The order.")(lambda: "214")
        agent1.register_tool(name="get_delivery_date", description="The date.")(lambda order_id: "2022-01-01")
        team = Team(llm, [agent1, User("user", mode="unattended")], "team")
        assert Workflow(team).run("When does my parcel come?") == "agent-stop"
    said = [(record.name, record.getMessage()) for record in caplog.records]
    assert ("rxagents.agent", "agent1: calls get_order_id") in said
    assert ("rxagents.agent", "agent1: calls get_delivery_date") in said
    assert ("rxagents.team", "team: agent1 speaks next") in said
    assert any(name == "rxagents.llm" and "agent agent1" in line for name, line in said)
    assert any(name == "rxagents.workflow" and "agent-stop" in line for name, line in said)
    everything = " ".join(line for _, line in said)
    for secret in ("sk-secret-key", "swordfish", "parcel", "2022-01-01"):
        assert secret not in everything


def test_the_library_is_silent_by_itself() -> None:
    handlers = logging.getLogger("rxagents").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
