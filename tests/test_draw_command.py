"""python -m rxagents draw: a drawing printed or saved, and what is said when it cannot be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rxagents.__main__ import main
from rxagents.testing.drawing.drawings import draw

LINES = """
{"rxagents": "recording", "version": 1}
{"at": 0.0, "is": "run", "id": 1, "askable": "bot"}
{"at": 0.0, "is": "block", "id": 2, "in": 1, "name": "bot", "entry": "append"}
{"at": 0.0, "is": "message", "id": 3, "in": 2, "role": "assistant", "name": "bot"}
{"at": 1.0, "is": "delta", "id": 3, "delta": {"content": "Hello"}}
{"at": 2.0, "is": "end", "id": 3, "how": "completed"}
{"at": 2.0, "is": "end", "id": 2, "how": "completed"}
{"at": 2.0, "is": "end", "id": 1, "how": "completed", "result": "done"}
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    path.write_text(LINES.lstrip())
    return path


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("terminal")
def test_without_a_file_the_drawing_is_printed_as_wide_as_the_terminal(
    recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["draw", str(recording)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{draw(recording, width=80).text}\n"
    assert printed.err == ""
    assert "╰" in printed.out
    monkeypatch.setenv("COLUMNS", "10")
    assert main(["draw", str(recording)]) == 0
    assert capsys.readouterr().out == f"{draw(recording, width=40).text}\n"


def test_the_width_can_be_chosen(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", str(recording), "--width", "44"]) == 0
    assert capsys.readouterr().out == f"{draw(recording, width=44).text}\n"


@pytest.mark.usefixtures("terminal")
def test_a_file_gets_the_drawing_of_its_suffix(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    svg, text = tmp_path / "run.svg", tmp_path / "run.txt"
    assert main(["draw", str(recording), "-o", str(svg)]) == 0
    assert main(["draw", str(recording), "--output", str(text)]) == 0
    assert svg.read_text(encoding="utf-8") == f"{draw(recording).svg}\n"
    assert text.read_text(encoding="utf-8") == f"{draw(recording, width=100).text}\n"
    assert capsys.readouterr() == ("", "")


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["draw", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("rxagents: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_a_missing_recording_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing.jsonl cannot be read" in fails(capsys, str(tmp_path / "nothing.jsonl"))
    assert "cannot be read" in fails(capsys, str(tmp_path))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\n{}\n", "broken.jsonl, line 1"),
        (b'{"some": "JSON"}\n', "broken.jsonl, line 1"),
        (LINES.lstrip().encode() + b'{"at": 3.0, "is": "dance", "id": 3}\n', "broken.jsonl, line 9"),
    ],
    ids=["empty", "no-text", "no-recording", "bad-line"],
)
def test_a_broken_recording_is_one_line(
    lines: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(lines)
    assert words in fails(capsys, str(path))


def test_an_unknown_suffix_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(capsys, str(tmp_path / "nothing.jsonl"), "-o", "run.png")
    assert said == "rxagents: run.png: a drawing is saved as .svg or as .txt, not .png\n"


def test_a_place_that_cannot_be_written_to_is_one_line(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(capsys, str(recording), "-o", str(tmp_path / "missing" / "run.svg"))
    assert "run.svg cannot be written: No such file or directory" in said


def test_too_few_columns_are_refused(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a drawing takes 40 columns or more" in fails(capsys, str(recording), "--width", "0")
    assert "a drawing takes 40 columns or more" in fails(
        capsys, str(recording), "-o", "a.svg", "--width", "0"
    )


def test_the_command_is_listed_beside_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "{demo,chat,draw}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as refused:
        main([])
    assert refused.value.code == 2


def draw_in_a_process(recording: Path, encoding: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "rxagents", "draw", str(recording)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONIOENCODING": encoding, "COLUMNS": "80"},
    )


def test_a_terminal_without_these_characters_still_shows_the_words(recording: Path) -> None:
    out, err = draw_in_a_process(recording, "ascii").communicate(timeout=30)
    assert b"Hello" in out
    assert out == draw(recording, width=80).text.encode("ascii", "replace") + b"\n"
    assert err == b""


def test_a_reader_that_has_seen_enough_is_no_error(recording: Path) -> None:
    process = draw_in_a_process(recording, "utf-8")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
