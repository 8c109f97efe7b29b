"""The benchmark's chart, its laws of growth and the environments of its peers, all in small."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import growth_of_costs, growth_of_memory, peers, venvs
from tests.benchmarks.charts import chart
from tests.benchmarks.growth import Law

SVG = "{http://www.w3.org/2000/svg}"

ROWS: list[dict[str, Any]] = [
    {"name": "openai, bare `async for`", "burst": [90.0, 100.0, 110.0], "paced": [229.0]},
    {"name": "langgraph 1.2.22", "burst": [190.0, 210.0, 200.0], "paced": [340.0]},
    {"name": "rxagents, 5 agents deep, fast", "burst": [5.0, 5.0, 6.0], "paced": [50.0, 52.0]},
    {"name": "a & b, whose name is <much> longer than there is room for it", "burst": [2.0], "paced": [35.0]},
    {"name": "rxagents, of which only the burst matters", "burst": [5.0], "paced": None},
]


def drawn(rows: list[dict[str, Any]]) -> ElementTree.Element:
    return ElementTree.fromstring(chart({"rows": rows}).encode())


def words(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


# The chart


def test_the_chart_names_each_contestant_the_cheapest_first() -> None:
    shown = [each.text for each in drawn(ROWS).iter(f"{SVG}text") if each.get("text-anchor") == "end"]
    assert shown == [
        "a & b, whose name is <much> lo…",
        "rxagents, 5 agents deep, fast",
        "openai, bare async for",
        "langgraph 1.2.22",
    ]


def test_each_bar_says_its_median_and_what_it_is_beside_the_bare_client() -> None:
    said = words(drawn(ROWS))
    for label in (
        "2 µs · 0.02 ×",
        "5 µs · 0.05 ×",
        "100 µs · 1 ×",
        "200 µs · 2 ×",
        "51 µs · 0.22 ×",
        "340 µs · 1.5 ×",
    ):
        assert label in said


def test_a_bar_twice_as_long_is_twice_the_cost() -> None:
    bars = [each for each in drawn(ROWS).iter(f"{SVG}rect") if "bar" in (each.get("class") or "")]
    _, _, bare, langgraph = (float(bar.get("width") or 0) for bar in bars[:4])
    assert langgraph == pytest.approx(2 * bare, rel=0.01)


def test_no_text_covers_another_and_all_is_on_the_page() -> None:
    root = drawn(ROWS * 3)
    boxes = []
    for each in root.iter(f"{SVG}text"):
        x, y, width = float(each.get("x") or 0), float(each.get("y") or 0), 7.4 * len(each.text or "")
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[each.get("text-anchor") or "start"]
        boxes.append((left, left + width, y - 11, y + 3, each.text))
    assert all(left >= 0 and right <= float(root.get("width") or 0) for left, right, *_ in boxes)
    for one, two in combinations(boxes, 2):
        apart = one[1] <= two[0] or two[1] <= one[0] or one[3] <= two[2] or two[3] <= one[2]
        assert apart, (one, two)


def test_the_chart_stands_alone_and_is_told_to_those_who_cannot_see_it() -> None:
    svg = chart({"rows": ROWS})
    assert "prefers-color-scheme: dark" in svg
    assert svg.count("http") == 1  # the namespace
    assert "url(" not in svg
    root = ElementTree.fromstring(svg.encode())
    assert [root[0].text, root.get("role")] == ["What a token costs", "img"]
    assert (
        "langgraph 1.2.22: 200 µs in a burst, 340 µs one read per token" in (root[1].text or "").splitlines()
    )


@pytest.mark.parametrize("rows", [[], [{"name": "none"}], [{"name": "none", "burst": [], "paced": None}]])
def test_a_chart_of_nothing_is_a_chart(rows: list[dict[str, Any]]) -> None:
    assert words(drawn(rows))[0] == "What a token costs"


# The laws of growth


def test_a_law_says_whether_it_is_held() -> None:
    law = Law("a token", "depth", "µs", [(1, 1.234), (1_000, 1234.5)], 1.05, at_most=1.05)
    assert law.held
    assert not law._replace(ratio=1.06).held
    assert law.line == (
        "a token, µs, against depth: 1: 1.23 · 1,000: 1,234; last / first 1.05 (held to 1.05)"
    )


@pytest.mark.parametrize(
    ("grown", "numbers"),
    [
        (lambda: growth_of_costs.per_token_by_depth(200, 2, (1, 3)), [1, 3]),
        (lambda: growth_of_costs.per_level(2, (3, 5)), [3, 5]),
        (lambda: growth_of_costs.per_token_by_subscribers(200, 2, (1, 4)), [1, 4]),
        (lambda: growth_of_costs.per_turn(40, 1), [4, 20, 40]),
    ],
)
def test_the_laws_measure_something(grown: Any, numbers: list[int]) -> None:
    points, ratio = grown()
    assert [number for number, _ in points] == numbers
    assert ratio == ratio
    assert all(value == value for _, value in points)


def test_memory_is_counted_per_message_and_per_stream() -> None:
    points, ratio = growth_of_memory.per_message((10, 30))
    assert [number for number, _ in points] == [10, 30]
    assert all(value > 100 for _, value in points)
    assert ratio < 1.5
    points, ratio = growth_of_memory.per_stream((2, 5))
    assert all(value > 1 for _, value in points)
    assert ratio < 1.5


# The environments of the peers


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return venvs.cache()


def pretend(cache: Path, name: str, requirements: list[str]) -> str:
    """An environment that is there, as far as one can see."""
    python = venvs._python(cache / name)
    python.parent.mkdir(parents=True)
    python.touch()
    (cache / name / "requirements.txt").write_text(venvs._stamp(requirements))
    return str(python)


def test_an_environment_is_used_again_as_long_as_it_has_what_is_asked_for(cache: Path) -> None:
    assert venvs.present("peer", ["peer==1"]) is None
    python = pretend(cache, "peer", ["peer==1"])
    assert venvs.present("peer", ["peer==1"]) == python
    assert venvs.made("peer", ["peer==1"]) == python
    assert venvs.present("peer", ["peer==2"]) is None
    os.remove(python)
    assert venvs.present("peer", ["peer==1"]) is None


def test_an_environment_is_made_and_gets_its_requirements(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str]) -> None:
        ran.append(command)
        venvs._python(cache / "peer").parent.mkdir(parents=True, exist_ok=True)
        venvs._python(cache / "peer").touch()

    monkeypatch.setattr(venvs, "_run", run)
    python = venvs.made("peer", ["peer==1", "openai"])
    assert ran[0] == [sys.executable, "-m", "venv", str(cache / "peer")]
    assert ran[1][0] == python
    assert ran[1][-2:] == ["peer==1", "openai"]
    assert venvs.present("peer", ["peer==1", "openai"]) == python


def test_what_went_wrong_is_what_pip_called_an_error() -> None:
    script = "import sys; print('collecting'); sys.exit('ERROR: no such thing\\nnote: try again')"
    with pytest.raises(RuntimeError, match=r"^ERROR: no such thing$"):
        venvs._run([sys.executable, "-c", script])
    with pytest.raises(RuntimeError, match="no-such-program"):
        venvs._run(["no-such-program-there"])


def test_a_peer_that_cannot_be_installed_is_left_out_and_said_so(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str]) -> None:
        raise RuntimeError("ERROR: no network")

    monkeypatch.setattr(venvs, "_run", run)
    monkeypatch.setattr(venvs, "installed", lambda _: None)
    first = peers.PEERS[0]
    python = pretend(cache, first.name, first.pinned)
    assert peers.entries(install=True) == [
        (f"{first.name} {first.version}", f"tests.benchmarks.peers.{first.module}", python)
    ]
    said = capsys.readouterr().out
    assert "langgraph is left out, it could not be installed: ERROR: no network" in said
    assert f"{first.name} is left out" not in said


def test_peers_of_the_running_environment_take_part(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venvs, "installed", {"langgraph": "9.9"}.get)
    assert peers.entries(install=False) == [
        ("langgraph 9.9", "tests.benchmarks.peers.lang_graph", sys.executable)
    ]


def test_each_peer_has_its_module_and_runs_on_our_client() -> None:
    for peer in peers.PEERS:
        assert (Path(peers.__file__).parent / f"{peer.module}.py").exists()
        assert peer.pinned[-1] == f"openai=={venvs.installed('openai')}"
