"""How a team's model is asked who speaks next, and how its answer is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxagents import Agent, AssistantMessage, ScriptedLLM, User, UserMessage
from rxagents.teams._routing import PROMPT, choice_request, describe, read_choice

NAMES = ("agent1", "agent2", "user")


def request(prompt: str = PROMPT, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "agents": "- agent_id: agent1",
        "messages": [UserMessage("q"), AssistantMessage("hi", name="agent1")],
        "candidates": NAMES,
        "wrong": [],
        "structured": True,
        "team": "team",
    }
    return choice_request(prompt, **(settings | options))


def test_the_request_asks_for_one_of_the_candidates_by_schema() -> None:
    asked = request()
    assert asked.agent == "team"
    assert asked.tools == ()
    assert asked.params == {}  # the model's own settings hold: some take no temperature
    schema = asked.response_format["json_schema"]
    assert asked.response_format["type"] == "json_schema"
    assert schema["name"] == "agent_choice"
    assert schema["strict"] is True
    assert schema["schema"]["properties"]["agent_id"] == {"type": "string", "enum": list(NAMES)}
    assert schema["schema"]["required"] == list(schema["schema"]["properties"])
    assert schema["schema"]["additionalProperties"] is False


def test_without_structured_output_it_asks_in_words() -> None:
    asked = request(structured=False)
    assert asked.response_format is None
    assert asked.messages[-1]["content"].endswith("Nothing else.")
    assert "agent_id" in asked.messages[0]["content"]


def test_the_prompt_shows_the_members_and_the_history() -> None:
    system = request().messages[0]
    assert system["role"] == "system"
    assert "- agent_id: agent1" in system["content"]
    assert "user: q\nagent1: hi" in system["content"]
    assert "{" not in system["content"]


@pytest.mark.parametrize(
    "said", ["{agents}", "{history}", "{x} {0} {", '{"a": {"b": "{agents}"}}', "%s \\1 }"]
)
def test_braces_in_the_history_and_in_the_prompt_stay_as_they_are(said: str) -> None:
    asked = request("{agents}|{history}|{agents}|{other} {{}}", messages=[UserMessage(said)])
    assert (
        asked.messages[0]["content"]
        == f"- agent_id: agent1|user: {said}|- agent_id: agent1|{{other}} {{{{}}}}"
    )


def test_a_prompt_may_hold_no_field_at_all() -> None:
    assert request("Choose well.").messages[0]["content"] == "Choose well."


def test_wrong_answers_are_told_to_the_model_in_their_order() -> None:
    asked = request(wrong=[("bob", "bob is no member."), ("", "Nobody.")])
    assert [(message["role"], message["content"]) for message in asked.messages[2:]] == [
        *(("assistant", "bob"), ("user", "bob is no member. Choose again.")),
        *(("assistant", ""), ("user", "Nobody. Choose again.")),
    ]


def test_members_are_described_with_their_tools_and_whom_they_may_hand_over_to() -> None:
    def look() -> None:
        """Looks."""

    a = Agent("a", ScriptedLLM([]), "Knows all", tools=[look])
    members = [a, User("user", description="")]
    assert (
        describe(members, tools=False, transitions=None)
        == "- agent_id: a\n  description: Knows all\n- agent_id: user"
    )
    assert describe(members, tools=True, transitions={"a": ("user",)}).splitlines() == [
        *("- agent_id: a", "  description: Knows all", "  tool look: Looks.", "  may hand over to: user"),
        *("- agent_id: user", "  may hand over to: nobody"),
    ]


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ('{"agent_id": "agent2", "reason": "why"}', ("agent2", "why")),
        ('{"agent_id": "agent2"}', ("agent2", "")),
        ('```json\n{"agent_id": "agent2", "reason": "{}"}\n```', ("agent2", "{}")),
        ("agent2", ("agent2", "")),
        (" agent2.\n", ("agent2", "")),
        ("I choose **agent2**", ("agent2", "")),
        ("Not agent1, but agent2", ("agent2", "")),
        ('"agent2"', ("agent2", "")),
        ('{"agent_id": agent2}', ("agent2", "")),
    ],
)
def test_an_answer_is_read_from_json_or_from_words(answer: str, chosen: tuple[str, str]) -> None:
    assert read_choice(answer, NAMES, NAMES) == chosen


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("bob", "'bob' is no member; the choice is between: agent1, user."),
        ('{"agent_id": "bob"}', "'bob' is no member; the choice is between: agent1, user."),
        ("agent2", "agent2 may not speak now; the choice is between: agent1, user."),
        ('{"agent_id": "agent2"}', "agent2 may not speak now; the choice is between: agent1, user."),
        ("", "'' is no member; the choice is between: agent1, user."),
        ("[]", "'[]' is no member; the choice is between: agent1, user."),
        ('{"agent_id": null}', "'None' is no member; the choice is between: agent1, user."),
        ("agent11", "'agent11' is no member; the choice is between: agent1, user."),
    ],
)
def test_a_wrong_answer_is_told_in_a_sentence(answer: str, told: str) -> None:
    with pytest.raises(ValueError, match="the choice is between") as raised:
        read_choice(answer, ("agent1", "user"), NAMES)
    assert str(raised.value) == told


def test_a_long_wrong_answer_is_quoted_in_part() -> None:
    with pytest.raises(ValueError, match="is no member") as raised:
        read_choice("x" * 500, NAMES, NAMES)
    assert len(str(raised.value)) < 200


@given(
    st.text()
    | st.recursive(st.none() | st.text(), lambda v: st.dictionaries(st.text(), v) | st.lists(v)).map(
        json.dumps
    )
)
def test_whatever_a_model_answers_gives_a_candidate_or_a_sentence(answer: str) -> None:
    told = ""
    try:
        chosen, _ = read_choice(answer, NAMES, NAMES)
    except ValueError as error:
        told = str(error)
    assert told.endswith(".") or chosen in NAMES


@pytest.mark.parametrize("name", ["user", "agent1"])
@given(st.text(alphabet="{}[]\"' \n,:.", max_size=8), st.text(alphabet="{}[]\"' \n,:.", max_size=8))
def test_a_name_among_punctuation_is_found(name: str, before: str, after: str) -> None:
    assert read_choice(before + name + after, NAMES, NAMES)[0] == name
