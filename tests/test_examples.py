"""Every example runs as a program, without a key, against the embedded server."""

from __future__ import annotations

import json
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest

from .test_readme import ROOT, without_keys

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(*arguments: str | Path, server: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=50,
        env=without_keys(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("talking to the embedded server" in done.stderr) is server
    return done


def check_order_markers(printed: str) -> None:
    lines = [line.partition(": ")[::2] for line in printed.splitlines()]
    marks = [mark for mark, _ in lines]
    assert lines[:2] == [("start", "team"), ("start", "agent1")]
    assert lines[-3:] == [("end", "agent1"), ("end", "team"), ("result", "agent-stop")]
    assert marks.count("response") == 1
    assert marks.count("function_result") == 2
    deltas = [literal_eval(content) for mark, content in lines if mark == "delta"]
    assert all(list(delta) == ["content", "function_call", "refusal", "tool_calls"] for delta in deltas)
    said = "".join(delta["content"] or "" for delta in deltas)
    assert said == "The expected delivery date for your order 214 is 2022-01-01."
    assert json.dumps(deltas)


def test_order_delivery_prints_the_markers_of_the_team() -> None:
    check_order_markers(run(ROOT / "examples" / "order_delivery.py").stdout)


def test_the_demo_command_prints_the_same_markers() -> None:
    check_order_markers(run("-m", "rxagents", "demo", "--delay", "0").stdout)


def test_the_pipe_prints_the_poem_and_only_the_poem() -> None:
    printed = run(ROOT / "examples" / "pipe.py").stdout
    assert printed.startswith("All colours ride upon the light,\n")
    assert printed.endswith("till all the heavens glow.\n")


def test_the_asyncio_app_answers_every_question() -> None:
    printed = run(ROOT / "examples" / "asyncio_app.py").stdout
    for thing in ("a marble", "an observable", "an operator"):
        assert f'You said: "What is {thing}?".' in printed
    assert printed.count("tokens)") == 3


def test_the_redactor_hides_every_digit_and_keeps_the_rest() -> None:
    printed = run(ROOT / "examples" / "redactor.py").stdout
    assert printed == "Thank you. I noted the card █ █ █ █, valid to █/█.\n"


def test_the_call_centre_hands_the_customer_on_and_remembers_what_it_found_out() -> None:
    said = run(ROOT / "examples" / "call_centre.py").stdout.strip().splitlines()
    assert [line.partition(": ")[0] for line in said] == [
        "front_desk > technicians > diagnostics",
        "front_desk > technicians > field_service",
        "customer",
        "front_desk > sales",
        "customer",
        "front_desk > sales",
        "agent-stop",
    ]
    assert "(test_line: copper line: noise of 14 dB" in said[0]
    assert said[-1] == "agent-stop: a visit on Tuesday, and the plan Fibre 100"


def test_the_planned_team_plans_again_with_the_feedback() -> None:
    said = run(ROOT / "examples" / "planned_team.py").stdout.splitlines()
    assert [line for line in said if line.startswith("plan ")] == ["plan 1:", "plan 2:"]
    assert "  writer: Write it again, and say that it is on Saturday at six." in said
    assert [line for line in said if line.startswith("writer: ")] == [
        "writer: Dear neighbours, come to our summer party!",
        "writer: Dear neighbours, come to our summer party on Saturday at six!",
    ]
    assert said[-1] == "done"


def test_the_documentation_writer_makes_its_page_of_the_docstrings() -> None:
    printed = run(ROOT / "examples" / "documentation_writer.py").stdout
    speakers = [line[4:] for line in printed.splitlines() if line.startswith("--- ")]
    assert speakers == ["interviewer", "expert"] * 3 + ["writer"]
    page = printed.partition("--- writer\n")[2]
    assert page.startswith("# rxagents\n\n## Agent\n\nA model with a system prompt and tools.\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Agent",
        "## Team",
        "## Workflow",
    ]


def test_the_research_is_answered_in_order() -> None:
    said = run(ROOT / "examples" / "research.py").stdout.splitlines()
    assert said[::2] == [
        "How deep is the sea? ",
        "Why is it salty? ",
        "What lives there? ",
        "The sea is deep, salty and full of life.",
    ]
    assert said[-1].startswith("(8 messages, ")
    assert said[1].startswith("About 3,700 metres")


def test_three_watchers_hear_one_run_which_asks_once() -> None:
    printed = run(ROOT / "examples" / "three_watchers.py").stdout.splitlines()
    story = "There was a stream. It ran to the sea, and who came late saw it from its spring all the same."
    assert printed == [
        "bob leaves after 5 tokens",
        "bob heard: There was a stream.",
        f"ann heard: {story}",
        "cleo heard the same: True",
        "done, 2 messages",
    ]


def test_the_sensors_readings_stand_beside_what_the_agent_says_of_them() -> None:
    printed = run(ROOT / "examples" / "sensor_stream.py").stdout.splitlines()
    shown = [line.split(" °C  ") for line in printed]
    assert shown[-1] == ["20.6", "All is well."]
    # what is said may be about the band before, or of another still, but is never cut
    assert {advice for _, advice in shown} <= {"All is well.", "Open a window.", "Switch it off!"}


def test_the_picture_in_the_repository_is_the_one_that_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "run.svg"
    printed = run(ROOT / "examples" / "draw_a_run.py", picture, server=False).stdout
    assert "[get_order_id" in printed
    assert picture.read_text(encoding="utf-8") == (ROOT / "examples" / "draw_a_run.svg").read_text(
        encoding="utf-8"
    )


def test_every_example_has_a_test_here() -> None:
    text = "".join(
        (ROOT / "tests" / name).read_text(encoding="utf-8")
        for name in ("test_examples.py", "test_embedding.py")
    )
    missing = [
        path.name for path in EXAMPLES if f'"{path.name}"' not in text and f"from {path.stem} " not in text
    ]
    assert EXAMPLES
    assert not missing, f"examples without a test: {missing}"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, "Talking to gpt-4o-mini at http://127.0.0.1:9/v1."),
        ({"AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:9"}, "AZURE_OPENAI_MODEL"),
    ],
)
def test_the_demo_talks_to_the_service_that_the_environment_names(
    variables: dict[str, str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rxagents", "demo"],
        capture_output=True,
        text=True,
        timeout=50,
        env=without_keys() | variables,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert said in done.stderr
