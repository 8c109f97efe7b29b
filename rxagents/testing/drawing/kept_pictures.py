"""What a marble test failed with, kept as files: its text, and each picture as SVG.

```
tests/test_bot.py::test_stop[fast]  ─▶  tests.test_bot.test_stop[fast].txt
                                        tests.test_bot.test_stop[fast].expected.svg    .actual.svg
                                        tests.test_bot.test_stop[fast]-2.expected.svg  …   the next one
```
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from ..marbles.marble_failures import MarbleFailure

__all__ = ["file_name", "keep_pictures"]

_LONGEST = 150


def keep_pictures(failure: MarbleFailure, folder: Path, test_id: str) -> str:
    """Writes the files of a failure; those that an earlier run of the same test left are overwritten.

    Nothing is raised: a test has failed already, and its report is on the way.

    Args:
        failure: What the test failed with.
        folder: Made if it is missing.
        test_id: The test's id, which the files are named after.

    Returns:
        The paths of the files, one a line; or what kept them from being written.
    """
    kept: list[str] = []

    def write(ending: str, text: str) -> None:
        path = folder / f"{name}{ending}"
        path.write_text(text, encoding="utf-8")
        kept.append(str(path))

    name = file_name(test_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(".txt", f"{failure}\n")
        from .drawings import draw  # not before: what is written by now is kept if drawing fails

        for number, (_, expected, actual) in enumerate(failure.pictures, 1):
            which = "" if number == 1 else f"-{number}"
            if expected is not None:
                write(f"{which}.expected.svg", draw(expected).svg)
            write(f"{which}.actual.svg", draw(actual).svg)
    except Exception as error:
        kept.append(f"not all could be kept: {type(error).__name__}: {error}")
    return "\n".join(kept)


def file_name(test_id: str) -> str:
    """A name that every file system takes, the same in each run, and another for each test."""
    test, bracket, parameters = test_id.partition("[")
    plain = re.sub(r"\.py(?=::|$)", "", test).replace("::", ".").replace("/", ".") + bracket + parameters
    name = re.sub(r"[^\w.\[\]=,+-]+", "_", plain, flags=re.ASCII)
    if name == plain and len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{sha256(test_id.encode()).hexdigest()[:8]}"
