"""The pytest plugin: the fixture `marbles`, and a guard against real model requests.

```python
@pytest.mark.marbles(frame=0.1)         # how long a column is, in virtual seconds; by default 1.0
def test_stop_button(marbles):
    marbles.expect(…).to_be("--Well-let|")
```

When the test function has returned, and before it counts as passed, the clock of its `marbles` runs
and what was drawn is compared, see `rxagents.testing.marbles`. So a wrong picture is a failed test.

```
--marbles-dir DIR            what a marble test failed with is kept there: text, and pictures as SVG
--block-model-requests       for the whole session: only models on the loopback can be asked
block_model_requests = true  the same, in the configuration
```

pytest imports this module in each run of each project that has rxagents installed. So it imports
nothing of rxagents before it is needed; `pytest -p no:rxagents` leaves it out altogether.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing.marbles import Marbles

__all__ = ["marbles"]

_FAILURES = f"{__package__}.testing.marbles.marble_failures"


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "refuse each request for a model that would leave the loopback"
    group = parser.getgroup("rxagents", "agents and marble diagrams")
    group.addoption("--block-model-requests", action="store_true", help=what)
    group.addoption("--marbles-dir", metavar="DIR", help="keep there what marble tests fail with, as SVG too")
    parser.addini("block_model_requests", what, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "marbles(frame=1.0): how long a column is, in virtual seconds")
    if config.getoption("--block-model-requests") or config.getini("block_model_requests"):
        from .testing.guards import block_model_requests

        config.add_cleanup(block_model_requests().release)


@pytest.fixture
def marbles(request: pytest.FixtureRequest) -> Iterator[Marbles]:
    """Draws sources and expectations, which are run and compared when the test function has returned."""
    from .testing.marbles import Marbles

    drawn = Marbles(**_settings(request.node.get_closest_marker("marbles")))
    request.node.stash[_drawn] = drawn
    yield drawn
    del request.node.stash[_drawn]
    drawn.close()


_drawn = pytest.StashKey["Marbles"]()


def _settings(mark: pytest.Mark | None) -> dict[str, Any]:
    if mark is None:
        return {}
    if mark.args or mark.kwargs.keys() - {"frame"}:
        from .errors import ConfigurationError

        raise ConfigurationError("the mark `marbles` takes `frame` alone: @pytest.mark.marbles(frame=0.1)")
    return dict(mark.kwargs)


# Last, and so innermost: what is printed and logged meanwhile is captured as the test's own.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    try:
        result = yield
    except Exception as error:
        _note_pictures(item, error)
        raise
    drawn = item.stash.get(_drawn, None)
    if drawn is not None:
        drawn.flush()
        drawn.verify()
    return result


def _note_pictures(item: pytest.Item, error: Exception) -> None:
    """What is asserted after flush() mostly fails because a picture is another one: that is shown too."""
    drawn = item.stash.get(_drawn, None)
    if drawn is not None and drawn.has_run and not isinstance(error, sys.modules[_FAILURES].MarbleFailure):
        try:
            drawn.verify()
        except sys.modules[_FAILURES].MarbleFailure as failure:
            error.add_note(f"and of the marbles:\n\n{failure}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    failures = sys.modules.get(_FAILURES)
    if failures is None or call.excinfo is None:
        return report
    if type(call.excinfo.value).__name__ in (
        "ConfigurationError",
        "DiagramError",
    ) and not item.config.getoption("fulltrace"):
        report.longrepr = _written(item, call.excinfo)
    if not isinstance(call.excinfo.value, failures.MarbleFailure):
        return report
    if not item.config.getoption("fulltrace"):
        report.longrepr = _picture(item, call.excinfo)
    folder = item.config.getoption("--marbles-dir")
    if folder and report.failed:
        from .testing.drawing.kept_pictures import keep_pictures

        kept = keep_pictures(call.excinfo.value, item.config.invocation_params.dir / folder, item.nodeid)
        report.sections.append(("kept by --marbles-dir", kept))
    return report


def _written(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
    """What is wrong with a diagram or an argument, and where it was written; our own frames tell nothing."""

    def theirs(_: pytest.ExceptionInfo[BaseException]) -> Any:
        ours = f"{__package__}."
        test = excinfo.traceback.cut(path=item.path)
        return test.filter(lambda entry: not str(entry.frame.f_globals.get("__name__")).startswith(ours))

    return excinfo.getrepr(style="long", tbfilter=theirs)


def _picture(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
    """The failure as pytest is to show it: its text alone, since no traceback leads to what was drawn."""
    shown = excinfo.getrepr(style="value", tbfilter=False, chain=False)
    for note in getattr(excinfo.value, "__notes__", ()):  # such as the example that hypothesis found
        shown.addsection("note", note)
    path, line, _ = item.location
    place = item.config.rootpath / path, line or 0
    for entry in excinfo.traceback:
        if entry.path == item.path:
            place = item.path, entry.lineno
    if shown.reprcrash is not None:
        # its first line alone: the summary would draw everything once more
        shown.reprcrash = replace(
            shown.reprcrash,
            path=str(place[0]),
            lineno=place[1] + 1,
            message=str(excinfo.value).partition("\n")[0],
        )
    return shown
