"""The pytest plugin, seen from the projects that have it: runs of pytest within the test."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

import rxagents.testing
from rxagents.testing.drawing.kept_pictures import file_name
from rxagents.testing.lanes import Event, Lane
from rxagents.testing.marbles.marble_failures import MarbleFailure, Problem

pytest_plugins = ["pytester"]

HI = Lane((Event(0.0, "next", "Hi"),))
HO = Lane((Event(0.0, "next", "Ho"),))


class StandIn:
    """Stands in for Marbles and writes down what the plugin does with it; `wrong` is what it fails with."""

    log: list[str]
    wrong: BaseException | None

    def __init__(self, *, frame: float = 1.0) -> None:
        self.frame = frame
        self.log.append(f"made, {frame}")

    def flush(self) -> None:
        self.log.append("flushed")
        print("the clock ran")

    def verify(self) -> None:
        self.log.append("verified")
        if self.wrong is not None:
            raise self.wrong

    def close(self) -> None:
        self.log.append("closed")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    class Marbles(StandIn):
        log: list[str] = []  # noqa: RUF012
        wrong = None

    module: Any = ModuleType("rxagents.testing.marbles")
    module.Marbles = Marbles
    module.MarbleFailure = MarbleFailure
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(rxagents.testing, "log", Marbles.log, raising=False)  # where the tests within write
    return Marbles


LOG = "from rxagents.testing import log\nimport pytest\n"

WRONG = MarbleFailure(
    [Problem("expect at test_a.py:7", "expected  --Hi|\nactual    --Ho|\n            ^", HI, HO)]
)


def test_the_clock_runs_and_all_is_compared_before_the_test_counts_as_passed(
    pytester: pytest.Pytester, stand_in: type[StandIn]
) -> None:
    pytester.makepyfile(
        LOG
        + """
@pytest.fixture
def other():
    yield
    log.append("another fixture ends")

def test_a(marbles, other):
    log.append("body")
"""
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    assert stand_in.log == ["made, 1.0", "body", "flushed", "verified", "another fixture ends", "closed"]


def test_a_wrong_picture_is_a_failed_test_and_its_text_is_all_that_is_shown(
    pytester: pytest.Pytester, stand_in: type[StandIn]
) -> None:
    stand_in.wrong = WRONG
    pytester.makepyfile(test_a="def test_a(marbles):\n    pass")
    result = pytester.runpytest_inprocess("--show-capture=no")
    result.assert_outcomes(failed=1)
    shown = result.outlines[
        result.outlines.index(next(line for line in result.outlines if " test_a " in line)) :
    ]
    assert shown[1:-1] == [
        "expect at test_a.py:7",
        "",
        "  expected  --Hi|",
        "  actual    --Ho|",
        "              ^",
        "=========================== short test summary info ============================",
        "FAILED test_a.py::test_a - expect at test_a.py:7",
    ]


def test_what_happens_on_the_clock_is_captured_as_the_tests_own(
    pytester: pytest.Pytester, stand_in: type[StandIn]
) -> None:
    stand_in.wrong = WRONG
    pytester.makepyfile("def test_a(marbles):\n    pass")
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines(["*- Captured stdout call -*", "the clock ran"])


def test_an_error_on_the_clock_fails_the_test_with_its_traceback(
    pytester: pytest.Pytester, stand_in: type[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: StandIn) -> None:
        raise LookupError("on the clock")

    monkeypatch.setattr(stand_in, "flush", fail)
    pytester.makepyfile("def test_a(marbles):\n    pass")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ['>*raise LookupError("on the clock")', "*test_pytest_plugin.py:*: LookupError"]
    )
    assert stand_in.log == ["made, 1.0", "closed"]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("assert 1 == 2", {"failed": 1}),
        ("pytest.skip('not now')", {"skipped": 1}),
        ("pytest.xfail('known')", {"xfailed": 1}),
        ("raise KeyError('mine')", {"failed": 1}),
    ],
)
def test_where_the_test_function_did_not_return_nothing_is_run_or_compared(
    pytester: pytest.Pytester, stand_in: type[StandIn], body: str, outcome: dict[str, int]
) -> None:
    stand_in.wrong = WRONG
    pytester.makepyfile(f"import pytest\ndef test_a(marbles):\n    {body}")
    pytester.runpytest_inprocess().assert_outcomes(**outcome)
    assert stand_in.log == ["made, 1.0", "closed"]


def test_a_wrong_picture_may_be_expected_to_fail(pytester: pytest.Pytester, stand_in: type[StandIn]) -> None:
    stand_in.wrong = WRONG
    pytester.makepyfile(
        """
        import pytest
        from rxagents.testing.marbles.marble_failures import MarbleFailure

        @pytest.mark.xfail(raises=MarbleFailure, strict=True, reason="known")
        def test_a(marbles):
            pass
        """
    )
    result = pytester.runpytest_inprocess("-rx", "--marbles-dir=kept")
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["XFAIL *::test_a - known"])
    assert not (pytester.path / "kept").exists()


def test_the_mark_sets_the_frame_and_the_nearest_counts(
    pytester: pytest.Pytester, stand_in: type[StandIn]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.marbles(frame=0.1)

        def test_of_the_module(marbles):
            assert marbles.frame == 0.1

        @pytest.mark.marbles(frame=0.2)
        class TestAll:
            def test_of_the_class(self, marbles):
                assert marbles.frame == 0.2

            @pytest.mark.marbles(frame=3)
            @pytest.mark.parametrize("number", [1, 2])
            def test_of_the_function(self, number, marbles):
                assert marbles.frame == 3

            @pytest.mark.parametrize("frame", [
                pytest.param(4, marks=pytest.mark.marbles(frame=4)),
                pytest.param(5, marks=pytest.mark.marbles(frame=5)),
            ])
            def test_of_a_parameter(self, frame, marbles):
                assert marbles.frame == frame

            @pytest.mark.marbles
            def test_without_a_frame(self, marbles):
                assert marbles.frame == 1.0
        """
    )
    pytester.runpytest_inprocess("--strict-markers").assert_outcomes(passed=7)
    assert stand_in.log.count("verified") == 7


@pytest.mark.parametrize("wrong", ["0.1", "frame=1, frames=2", "seconds=1"])
def test_a_wrong_mark_says_how_it_is_written(
    pytester: pytest.Pytester, stand_in: type[StandIn], wrong: str
) -> None:
    pytester.makepyfile(
        f"import pytest\n@pytest.mark.marbles({wrong})\ndef test_a(marbles):\n    pass",
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["E *ConfigurationError: the mark `marbles` takes `frame` alone: @pytest.mark.marbles(frame=0.1)"]
    )


def test_fixtures_may_use_marbles_themselves_or_ask_for_it_late(
    pytester: pytest.Pytester, stand_in: type[StandIn]
) -> None:
    pytester.makepyfile(
        LOG
        + """
@pytest.fixture
def bot(marbles):
    yield marbles
    log.append("the bot ends")

def test_by_a_fixture(bot):
    log.append("first")

@pytest.mark.usefixtures("bot")
def test_by_a_mark():
    log.append("second")

def test_late(request):
    assert request.getfixturevalue("bot") is request.getfixturevalue("marbles")
    log.append("third")

def test_without():
    log.append("fourth")
"""
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=4)
    end = ["flushed", "verified", "the bot ends", "closed"]
    expected = ["made, 1.0", "first", *end, "made, 1.0", "second", *end, "made, 1.0", "third", *end, "fourth"]
    assert stand_in.log == expected


UNITTEST = """
import unittest
import pytest

class TestOld(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def draw(self, marbles):
        self.marbles = marbles

    def test_old(self):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "wrong", "shown"),
    [
        ("pass", WRONG, "FAILED test_a.py::TestOld::test_old - expect at test_a.py:7"),
        ("self.assertEqual(1, 2)", WRONG, "FAILED test_a.py::TestOld::test_old - AssertionError: 1 != 2"),
        ("pass", None, "* 1 passed in *"),
    ],
)
def test_cases_of_unittest_are_run_and_compared_too(
    pytester: pytest.Pytester, stand_in: type[StandIn], body: str, wrong: BaseException | None, shown: str
) -> None:
    stand_in.wrong = wrong
    pytester.makepyfile(test_a=UNITTEST.format(body=body))
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines([shown])
    result.assert_outcomes(**({"failed": 1} if wrong else {"passed": 1}))
    assert stand_in.log[-1] == "closed"


def test_async_tests_of_another_plugin_are_compared_after_their_loop(
    pytester: pytest.Pytester, stand_in: type[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("anyio.pytest_plugin")
    pytester.makepyfile(
        LOG
        + """
import asyncio

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_a(marbles):
    await asyncio.sleep(0)
    log.append("body")
"""
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    assert stand_in.log == ["made, 1.0", "body", "flushed", "verified", "closed"]


IN_THE_BODY = """
import pytest
from rxagents.testing.lanes import Lane
from rxagents.testing.marbles.marble_failures import MarbleFailure, Problem

def fail():
    raise MarbleFailure([Problem("first", "--a|", None, Lane()), Problem("second")])

def test_a():
    fail()
"""


@pytest.mark.parametrize("style", ["auto", "long", "short", "native"])
def test_a_failure_in_the_test_function_is_its_text_too(pytester: pytest.Pytester, style: str) -> None:
    pytester.makepyfile(test_a=IN_THE_BODY)
    result = pytester.runpytest_inprocess(f"--tb={style}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*_ test_a _*",
            "first",
            "",
            "  --a|",
            "",
            "second",
            "*= short test summary info =*",
            "FAILED test_a.py::test_a - first",
        ],
        consecutive=True,
    )


def test_the_place_of_a_failure_is_where_the_test_raised_it_or_begins(
    pytester: pytest.Pytester, stand_in: type[StandIn]
) -> None:
    stand_in.wrong = WRONG
    path = pytester.makepyfile(test_a=IN_THE_BODY + "\n\ndef test_b(marbles):\n    pass")
    result = pytester.runpytest_inprocess("--tb=line")
    result.stdout.fnmatch_lines([f"{path}:6: first", f"{path}:12: expect at test_a.py:7"])


def test_the_full_trace_can_be_had(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a=IN_THE_BODY)
    result = pytester.runpytest_inprocess("--full-trace")
    result.stdout.fnmatch_lines([">*fail()", "E *MarbleFailure: first", "test_a.py:6: MarbleFailure"])


def test_a_failure_in_a_fixture_is_its_text_too(pytester: pytest.Pytester) -> None:
    fixture = "@pytest.fixture\ndef broken():\n    fail()\n\ndef test_b(broken):\n    pass"
    pytester.makepyfile(test_a=f"{IN_THE_BODY}\n{fixture}")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_b*", "first", "", "  --a|"], consecutive=True)


def test_reports_travel_between_processes_and_to_junit(
    pytester: pytest.Pytester, stand_in: type[StandIn]
) -> None:
    stand_in.wrong = WRONG
    pytester.makepyfile(test_a="def test_a(marbles):\n    pass")
    run = pytester.inline_run("--junitxml=result.xml", "--marbles-dir=kept")
    [report] = [report for report in run.getreports("pytest_runtest_logreport") if report.failed]
    told = report._to_json()
    back = pytest.TestReport._from_json(told)
    assert (report.when, back.longreprtext) == ("call", str(WRONG))
    assert back.sections == report.sections
    failure = ElementTree.parse(pytester.path / "result.xml").find(".//failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == (str(WRONG).partition("\n")[0], str(WRONG))


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands in for the module that draws."""

    class Drawing:
        def __init__(self, lane: Lane) -> None:
            self.svg = f"<svg>{'/'.join(str(event.value) for event in lane.events)}</svg>"

    module: Any = ModuleType("rxagents.testing.drawing.drawings")
    module.draw = Drawing
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def kept(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def test_what_a_test_failed_with_is_kept_when_asked_for(
    pytester: pytest.Pytester, stand_in: type[StandIn], drawings: Any
) -> None:
    stand_in.wrong = MarbleFailure(
        [Problem("first", "…", HI, HO), Problem("open"), Problem("second", "…", None, HI)]
    )
    pytester.mkdir("tests")
    pytester.makepyfile(
        **{
            "tests/test_a": """
                class TestX:
                    def test_a(self, marbles):
                        pass
            """
        }
    )
    result = pytester.runpytest_inprocess("--marbles-dir=kept/here")
    result.assert_outcomes(failed=1)
    folder = pytester.path / "kept" / "here"
    name = "tests.test_a.TestX.test_a"
    assert kept(folder) == {
        f"{name}.txt": "first\n\n  …\n\nopen\n\nsecond\n\n  …\n",
        f"{name}.expected.svg": "<svg>Hi</svg>",
        f"{name}.actual.svg": "<svg>Ho</svg>",
        f"{name}-2.actual.svg": "<svg>Hi</svg>",
    }
    result.stdout.fnmatch_lines(
        [
            "*- kept by --marbles-dir -*",
            f"{folder}/{name}.txt",
            f"{folder}/{name}.expected.svg",
            f"{folder}/{name}.actual.svg",
            f"{folder}/{name}-2.actual.svg",
        ],
        consecutive=True,
    )


def test_a_test_that_passes_or_fails_otherwise_keeps_nothing(
    pytester: pytest.Pytester, stand_in: type[StandIn], drawings: Any
) -> None:
    pytester.makepyfile("def test_a(marbles):\n    pass\ndef test_b(marbles):\n    assert 0")
    pytester.runpytest_inprocess("--marbles-dir=kept").assert_outcomes(passed=1, failed=1)
    assert not (pytester.path / "kept").exists()


def test_what_cannot_be_drawn_leaves_the_text_and_the_report(
    pytester: pytest.Pytester, stand_in: type[StandIn], drawings: Any
) -> None:
    def refuse(lane: Lane) -> Any:
        raise ValueError("too long")

    drawings.draw = refuse
    stand_in.wrong = WRONG
    pytester.makepyfile(test_a="def test_a(marbles):\n    pass")
    result = pytester.runpytest_inprocess("--marbles-dir=kept")
    result.assert_outcomes(failed=1)
    path = pytester.path / "kept" / "test_a.test_a.txt"
    assert path.read_text(encoding="utf-8") == f"{WRONG}\n"
    result.stdout.fnmatch_lines([str(path), "not all could be kept: ValueError: too long"], consecutive=True)


def test_a_folder_that_cannot_be_made_leaves_the_report(
    pytester: pytest.Pytester, stand_in: type[StandIn], drawings: Any
) -> None:
    stand_in.wrong = WRONG
    pytester.makepyfile("def test_a(marbles):\n    pass")
    pytester.makefile(".txt", kept="a file")
    result = pytester.runpytest_inprocess("--marbles-dir=kept.txt")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["expect at test_a.py:7", "not all could be kept: FileExistsError: *"])


@pytest.mark.parametrize(
    ("test_id", "name"),
    [
        ("test_a.py::test_a", "test_a.test_a"),
        ("tests/deep/test_a.py::TestX::test_a[1-x]", "tests.deep.test_a.TestX.test_a[1-x]"),
        ("test_a.py::test_a[a/b.py::c]", "test_a.test_a[a_b.py_c]-6288627a"),
        ("test_a.py::test_a[a b?]", "test_a.test_a[a_b_]-19133cde"),
        ("test_a.py::test_a[\\xe4:<*>]", "test_a.test_a[_xe4_]-48abd87e"),
        (f"test_a.py::test_a[{'x' * 300}]", f"test_a.test_a[{'x' * 136}-0052d791"),
    ],
)
def test_the_name_of_a_file_is_that_of_the_test(test_id: str, name: str) -> None:
    assert file_name(test_id) == name


def test_other_tests_have_other_names_and_the_same_has_the_same() -> None:
    values = ("a b", "a_b", "a?b", "a/b", "a.b", "ä", "x" * 300, "x" * 301)
    names = [file_name(f"test_a.py::test_a[{value}]") for value in values]
    assert len(set(names)) == len(values)
    assert names == [file_name(f"test_a.py::test_a[{value}]") for value in values]
    assert max(len(f"{name}-99.expected.svg") for name in names) < 200  # of the 255 that a file system takes


BLOCKED = """
from openai import OpenAI
import pytest

def refused():
    with OpenAI(api_key="k", base_url="http://0.0.0.0:1/v1", max_retries=0) as client:
        try:
            client.models.list()
        except Exception as error:
            return type(error).__name__

AT_IMPORT = refused()

@pytest.fixture(scope="session")
def early():
    return refused()

def test_a(early):
    assert (AT_IMPORT, early, refused()) == ("{error}",) * 3
"""


@pytest.mark.parametrize(
    ("arguments", "ini", "error"),
    [
        ([], "", "APIConnectionError"),
        (["--block-model-requests"], "", "ModelRequestBlockedError"),
        ([], "block_model_requests = true", "ModelRequestBlockedError"),
    ],
)
def test_model_requests_are_blocked_for_the_whole_session_and_no_longer(
    pytester: pytest.Pytester, arguments: list[str], ini: str, error: str
) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.makepyfile(BLOCKED.replace("{error}", error))
    result = pytester.runpytest_subprocess("--strict-config", *arguments)
    result.assert_outcomes(passed=1)


UNUSED = """
import sys

def pytest_sessionfinish():
    own = sorted(name for name in sys.modules if name.partition(".")[0] == "rxagents")
    heavy = sorted({"openai", "httpx2", "reactivex", "pydantic"} & {*sys.modules})
    print("\\nIMPORTED", own, heavy)
"""


def test_a_project_that_does_not_use_it_pays_for_the_plugin_alone(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n")
    pytester.makeconftest(UNUSED)
    pytester.makepyfile("def test_a():\n    assert True\n\ndef test_b():\n    assert False")
    result = pytester.runpytest_subprocess("-s")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["IMPORTED ['rxagents', 'rxagents.pytest_plugin'] []"])
    result.stdout.no_fnmatch_line("*arning*")


def test_it_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(UNUSED)
    pytester.makepyfile("def test_a(marbles):\n    pass")
    result = pytester.runpytest_subprocess("-s", "-p", "no:rxagents")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["IMPORTED [[]] [[]]", "E *fixture 'marbles' not found"])


def test_pytest_tells_of_the_options_the_mark_and_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.runpytest_inprocess("--help").stdout.fnmatch_lines(
        ["agents and marble diagrams:", "*--block-model-requests*", "*--marbles-dir=DIR*"]
    )
    pytester.runpytest_inprocess("--markers").stdout.fnmatch_lines(
        ["@pytest.mark.marbles(frame=1.0): how long a column is, in virtual seconds"]
    )
    pytester.runpytest_inprocess("--fixtures").stdout.fnmatch_lines(
        ["marbles -- *", "    Draws sources and expectations, which are run and compared *"]
    )


END_TO_END = """
import pytest
import reactivex as rx
from rxagents import Agent, say
from rxagents.operators import text
from rxagents.testing.marbles import Marbles

@pytest.fixture
def bot(marbles):
    return Agent("bot", marbles.llm("--Well-let|"))

@pytest.mark.marbles(frame=0.1)
def test_right(marbles, bot):
    marbles.expect(say("hi").pipe(bot, text())).to_be("--Well-let|")

class TestWrong:
    @pytest.mark.parametrize("drawn", ["--Well-lot|"])
    def test_wrong(self, marbles, bot, drawn):
        marbles.expect(say("hi").pipe(bot, text())).to_be(drawn)

def test_without_a_picture(marbles):
    marbles.expect(rx.just(1))

def test_in_the_body():
    with Marbles() as marbles:
        marbles.expect(marbles.cold("ab|")).to_be("ac|")

def test_not_run(marbles, bot):
    marbles.expect(say("hi").pipe(bot, text())).to_be("--Well-let|")
    raise LookupError("mine")
"""


def test_all_of_it_together(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n")
    pytester.makepyfile(test_a=END_TO_END)
    result = pytester.runpytest_subprocess("--marbles-dir=kept", "--block-model-requests")
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(
        [
            "expect at test_a.py:18: another picture",
            "",
            "  expected  --Well-lot|",
            "  actual    --Well-let|",
            "                   ^ expected 'lot' at 7 s, but 'let' came",
        ],
        consecutive=True,
    )
    result.stdout.fnmatch_lines(
        [
            "FAILED test_a.py::TestWrong::test_wrong[[]--Well-lot|[]] - expect at test_a.py:18*",
            "FAILED test_a.py::test_without_a_picture - never compared: write .to_be(…) *",
            "FAILED test_a.py::test_in_the_body - expect at test_a.py:25: another picture",
            "FAILED test_a.py::test_not_run - LookupError: mine",
        ],
        consecutive=True,
    )
    files = kept(pytester.path / "kept")
    wrong = file_name("test_a.py::TestWrong::test_wrong[--Well-lot|]")
    assert sorted(files) == sorted(
        [
            f"{wrong}.txt",
            f"{wrong}.expected.svg",
            f"{wrong}.actual.svg",
            "test_a.test_in_the_body.txt",
            "test_a.test_in_the_body.expected.svg",
            "test_a.test_in_the_body.actual.svg",
            "test_a.test_without_a_picture.txt",
        ]
    )
    for which, word in (("expected", "lot"), ("actual", "let")):
        root = ElementTree.fromstring(files[f"{wrong}.{which}.svg"])
        assert root.tag.endswith("svg")
        assert word in files[f"{wrong}.{which}.svg"]
