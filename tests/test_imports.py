"""`import rxagents` is cheap: what costs time is imported when a name is first asked for."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import rxagents
from rxagents import public_names

ROOT = Path(rxagents.__file__).parent.parent


def fresh(code: str) -> str:
    """What the code prints in an interpreter of its own, where nothing of rxagents is imported yet."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=ROOT,
    )
    assert ran.stderr == ""
    return ran.stdout.strip()


LOADED = """
    def loaded(*names):
        import sys
        return sorted({name.partition(".")[0] for name in sys.modules} & {*names})

    def own():
        import sys
        return sorted(name for name in sys.modules if name.partition(".")[0] == "rxagents")

    HEAVY = ("openai", "httpx2", "reactivex", "pydantic", "hypothesis", "asyncio")
"""


def test_the_package_and_the_plugin_import_nothing_heavy() -> None:
    said = fresh(
        LOADED
        + """
    import rxagents.pytest_plugin
    print(own(), loaded(*HEAVY[:-1]))
    """
    )
    assert said == "['rxagents', 'rxagents.pytest_plugin'] []"


def test_the_package_alone_does_not_even_import_asyncio() -> None:
    assert fresh(LOADED + "    import rxagents; print(own(), loaded(*HEAVY))") == "['rxagents'] []"


def test_asking_for_what_no_package_exports_imports_nothing() -> None:
    said = fresh(
        LOADED
        + """
    import rxagents
    print(hasattr(rxagents, "__wrapped__"), hasattr(rxagents, "_errors"), own())
    """
    )
    assert said == "False False ['rxagents']"


FIRST = [
    ("from rxagents import Agent; print(Agent.__module__)", "rxagents.agents"),
    ("from rxagents import *; print(Team.__name__, ModelError.__name__)", "Team ModelError"),
    ("import rxagents; print(len(rxagents.__all__) > 50, 'Agent' in vars(rxagents))", "True True"),
    ("import rxagents; print({*rxagents.__all__, 'llm', 'errors'} <= {*dir(rxagents)})", "True"),
    ("import rxagents; print(rxagents.operators.text.__module__)", "rxagents.operators._text"),
    ("import rxagents; print(rxagents.llm.ScriptedLLM is rxagents.ScriptedLLM)", "True"),
    ("import rxagents; print(rxagents.errors.ModelError is rxagents.ModelError)", "True"),
    ("from rxagents import testing, operators; print(testing.__name__, operators.__name__)",
     "rxagents.testing rxagents.operators"),
    ("import rxagents.operators as o, rxagents; print(rxagents.operators is o, o.Mark)",
     "True <class 'rxagents.operators._marks.Mark'>"),
    ("import rxagents.testing; print(rxagents.Agent.__name__)", "Agent"),
    ("import rxagents.teams; print(rxagents.teams.Team is rxagents.Team)", "True"),
    ("import rxagents; print(rxagents.testing.OpenAIServer.__name__)", "OpenAIServer"),
]  # fmt: skip


@pytest.fixture(scope="module")
def said_first() -> list[str]:
    """What each of FIRST prints, with nothing of rxagents imported before, all in one interpreter."""
    said = fresh(
        f"""
        import sys
        import openai, pydantic, reactivex

        for code in {[code for code, _ in FIRST]!r}:
            for name in [name for name in sys.modules if name.partition(".")[0] == "rxagents"]:
                del sys.modules[name]
            exec(code, {{}})
        """
    )
    return said.splitlines()


@pytest.mark.parametrize("number", range(len(FIRST)), ids=[code for code, _ in FIRST])
def test_the_names_are_there_whoever_comes_first(number: int, said_first: list[str]) -> None:
    assert said_first[number] == FIRST[number][1]


def test_a_module_of_the_package_comes_alone() -> None:
    # also within the package, where `from . import errors` asks the package for its attribute first
    asked = "import rxagents; rxagents.increments; from rxagents import errors"
    said = fresh(LOADED + f"    {asked}; print(own())")
    assert said == "['rxagents', 'rxagents.errors', 'rxagents.increments']"


def test_what_a_module_lacks_is_told_as_such() -> None:
    said = fresh(
        """
        import sys
        sys.modules["pydantic"] = None
        import rxagents
        for name in ("values", "Agent"):
            try:
                getattr(rxagents, name)
            except ModuleNotFoundError as error:
                print(error)
        """
    )
    assert said.splitlines() == ["import of pydantic halted; None in sys.modules"] * 2


def test_every_exported_name_is_the_thing_itself() -> None:
    assert rxagents.__all__ is public_names.__all__
    for name in rxagents.__all__:
        assert getattr(rxagents, name) is getattr(public_names, name)


def test_an_unknown_name_is_an_attribute_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match=r"^module 'rxagents' has no attribute 'Agnt'$") as caught:
        rxagents.Agnt  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("Agnt", rxagents)  # what "Did you mean" is made from
    assert not hasattr(rxagents, "errors.ModelError")
    with pytest.raises(ImportError, match=r"^cannot import name 'Agnt' from 'rxagents' \(.+\)$"):
        from rxagents import Agnt  # noqa: F401


def test_mocks_come_and_go_in_any_order() -> None:
    said = fresh(
        """
        from unittest import mock
        import rxagents

        agent = mock.patch("rxagents.Agent", "an agent")  # of a package from which no name was asked yet
        team = mock.patch("rxagents.Team", "a team")
        agent.start(), team.start()
        print(rxagents.Agent, rxagents.Team, rxagents.User.__name__)
        team.stop()
        print(rxagents.Agent, rxagents.Team.__name__)
        agent.stop()
        print(rxagents.Agent.__name__, rxagents.Team.__name__)
        """
    )
    assert said.splitlines() == ["an agent a team User", "an agent Team", "Agent Team"]


def test_a_name_that_was_set_before_any_was_asked_for_stays() -> None:
    said = fresh("import rxagents; rxagents.Agent = 'mine'; print(rxagents.Team.__name__, rxagents.Agent)")
    assert said == "Team mine"


def test_what_is_exported_can_be_copied_and_pickled() -> None:
    thing = rxagents.Message(role="user", content="hi")
    assert pickle.loads(pickle.dumps(rxagents.say)) is rxagents.say
    assert pickle.loads(pickle.dumps(rxagents.Agent)) is rxagents.Agent
    assert pickle.loads(pickle.dumps(thing)) == copy.deepcopy(thing) == thing


def test_a_pickle_brings_its_package_along() -> None:
    pickled = pickle.dumps(rxagents.Message(role="user", content="hi"))
    assert fresh(f"import pickle; print(pickle.loads({pickled!r}).text)") == "hi"


def test_many_threads_may_ask_first() -> None:
    said = fresh(
        """
        import threading
        import rxagents

        found, start = [], threading.Barrier(16)

        def ask():
            start.wait()
            found.append((rxagents.Workflow, rxagents.say, rxagents.__all__))

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(found), all(each == found[0] for each in found), found[0][0].__name__)
        """
    )
    assert said == "16 True Workflow"


def test_the_package_keeps_its_picture_and_its_silent_logger() -> None:
    assert (rxagents.__doc__ or "").startswith("LLM agents as Rx operators")
    said = fresh("import logging, rxagents; print(logging.getLogger('rxagents').handlers)")
    assert said == "[<NullHandler (NOTSET)>]"


USER = """\
import rxagents
from rxagents import *
from rxagents import Agent as TheAgent, Agnt

reveal_type(TheAgent)
reveal_type(rxagents.say)
reveal_type(ModelError)
reveal_type(rxagents.operators.text)
rxagents.nothing
TheAgent("bot", 3)
logging
"""


def test_a_type_checker_sees_the_types_and_what_is_missing(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    pytest.importorskip("mypy")
    assert pytestconfig.cache is not None
    user = tmp_path / "user.py"
    user.write_text(USER)
    # what is imported is read for its types, and not checked again
    options = ["--strict", "--follow-imports=silent", "--config-file=", "--no-error-summary"]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--cache-dir", pytestconfig.cache.mkdir("mypy"), user],
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ran.stderr == ""
    said = [line.rpartition(f"{user.name}:")[2] for line in ran.stdout.splitlines()]
    types = [re.sub(r"note: Revealed type is|\(.*\)", "", line) for line in said if "Revealed" in line]
    assert types == [
        '5:  "def  -> rxagents.agents.Agent"',
        '6:  "def  -> reactivex.observable.observable.Observable[Any]"',
        '7:  "def  -> rxagents.errors.ModelError"',
        '8:  "def  -> reactivex.observable.observable.Observable[str]"',
    ]
    assert [line for line in said if " error: " in line] == [
        '3: error: Module "rxagents" has no attribute "Agnt"; maybe "Agent"?  [attr-defined]',
        '9: error: Module has no attribute "nothing"  [attr-defined]',
        '10: error: Argument 2 to "Agent" has incompatible type "int"; expected "LLM"  [arg-type]',
        '11: error: Name "logging" is not defined  [name-defined]',
    ]
