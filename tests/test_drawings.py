"""draw: a recording as a picture. What its text shows, what holds of any picture, and how it is called."""

from __future__ import annotations

import inspect
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents.errors import ConfigurationError, ModelStatusError
from rxagents.testing.drawing.drawings import draw
from rxagents.testing.drawing.glyphs import cells
from rxagents.testing.drawing.layouts import Layout, lay_out
from rxagents.testing.drawing.scenes import scene_of
from rxagents.testing.drawing.svg_marks import METRICS
from rxagents.testing.lanes import Called, Event, Kind, Lane, Returned
from rxagents.testing.recordings.exchanges import RecordedError
from tests.drawn_lanes import failed, lane, lanes, long_run, message, team, tools


def shows(recording: Lane, picture: str, width: int = 60) -> None:
    assert f"\n{draw(recording, width=width).text}\n" == picture


# What the text shows


def test_a_lane_of_tokens_is_a_line_of_words() -> None:
    cat = lane((2, "next", "The"), (6, "next", "cat"), (10, "next", "sat"), (13, "completed"))
    shows(
        cat,
        """
0 s   2 s   4 s   6 s   8 s    10 s  12 s
┴─────┴─────┴─────┴─────┴──────┴─────┴───
──────The─────────cat──────────sat──────|
""",
    )


def test_a_message_is_joined_to_the_lane_on_which_it_began() -> None:
    outer = lane((1, "open", message(1, "Well", " let", " me", " see")), (6, "completed"))
    shows(
        outer,
        """
0 s    1 s   2 s    3 s    4 s   5 s    6 s
┴──────┴─────┴──────┴──────┴─────┴──────┴
───────┬────────────────────────────────|
       ╰─────Well───let────me────see────✓
""",
    )


def test_two_blocks_that_run_at_once_lie_one_below_the_other() -> None:
    alice = lane((1, "open", message(1, "Hello", " there", step=2)), (8, "completed"), name="alice")
    bob = lane((2, "open", message(2, "Good", " morning", step=2)), (9, "completed"), name="bob")
    both = lane((0, "open", alice), (0, "open", bob), (9, "completed"))
    shows(
        both,
        """
       0 s      2 s      4 s      6 s      8 s
       ┴────────┴────────┴────────┴────────┴────
       ╭───────────────────────────────────────|
alice  ╰───┬───────────────────────────────|
       ┊   ╰────────Hello────there────✓
bob    ╰────────┬──────────────────────────────|
                ╰────────Good─────morning──✓
""",
    )


def test_tool_calls_are_spans_and_parallel_ones_are_stacked() -> None:
    shows(
        tools(),
        """
       0 s     2 s     4 s     6 s     8 s     10 s      12 s
       ┴───────┴───────┴───────┴───────┴───────┴─────────┴────
       ╭─────────────────────────────────────────────────────|
clerk  ├─────────────────────────────────────────────────────|
       ╰───Let─me──see─[get_id ═══════════ 214]────Order─214─✓
                       [get_date ══ Monday]
""",
        72,
    )


def test_what_was_interrupted_ends_in_a_cross() -> None:
    said = message(1, "Well", " let", step=2, ending="interrupted")
    bot = lane((1, "open", said), (7, "interrupted"), name="bot")
    cut = lane((0, "open", bot), (7, "completed"))
    shows(
        cut,
        """
     0 s   1 s  2 s   3 s   4 s   5 s  6 s   7 s
     ┴─────┴────┴─────┴─────┴─────┴────┴─────┴
     ╭───────────────────────────────────────|
bot  ╰─────┬─────────────────────────────────✕
           ╰──────────Well────────let────────✕
""",
    )


def test_an_error_is_marked_on_each_lane_and_told_once() -> None:
    shows(
        failed(ConnectionError("the line is dead")),
        """
     0 s   1 s  2 s   3 s   4 s   5 s  6 s   7 s
     ┴─────┴────┴─────┴─────┴─────┴────┴─────┴
     ╭───────────────────────────────────────✖
bot  ╰─────┬─────────────────────────────────✖
           ╰──────────Well────────let────────✖

✖ bot: ConnectionError: the line is dead (at 7 s)
""",
    )


def test_a_long_error_is_told_in_full_and_no_line_is_too_long() -> None:
    words = " ".join(f"word{number}" for number in range(40))
    text = draw(failed(ModelStatusError(words, status=429)), width=50).text
    _, _, told = text.partition("\n\n")
    assert " ".join(told.split()) == f"✖ bot: ModelStatusError: {words} (at 7 s)"
    assert max(map(cells, text.split("\n"))) <= 50


def test_a_recorded_error_is_called_what_it_was() -> None:
    assert (
        "✖ bot: BrokenPipeError: gone (at 7 s)" in draw(failed(RecordedError("gone", "BrokenPipeError"))).text
    )


def test_two_errors_are_told_each() -> None:
    first = message(0, "a", ending="error", error=ValueError("one"), role="assistant", name="ann")
    second = message(0, "b", ending="error", error=ValueError("two"), role="assistant", name="ben")
    both = lane((0, "open", first), (0, "open", second), (2, "error", ValueError("one")))
    assert draw(both).text.split("\n")[-2:] == [
        "✖ ann: ValueError: one (at 2 s)",
        "✖ ben: ValueError: two (at 2 s)",
    ]


def test_blocks_nest_and_the_choices_of_routers_name_who_was_chosen() -> None:
    shows(
        team(),
        """
            0 s      2 s       4 s      6 s       8 s
            ┴────────┴─────────┴────────┴─────────┴───
            ╭───────────────────────────────────────|
user        ╰•| Tell me a story.
team        ╰─┬▸desk────────────────────────────────◇|
  desk        ╰──┬▸writer───────────┬▸critic──────|
    writer       ├─────────────|    ┊
                 ╰───Once─upon─✓    ┊
    critic                          ├─────────────|
                                    ╰───Too──long─✓
""",
    )


def test_who_was_chosen_in_the_last_moment_is_named_too() -> None:
    bot = lane((1, "open", message(1, "Yes", name="bot")), (3, "completed"), name="bot")
    outer = lane(
        (1, "state", "choice:bot"),
        (1, "open", bot),
        (3, "state", "choice:user"),
        (3, "state", "result:agent-stop"),
        (3, "completed"),
        name="team",
    )
    shows(
        lane((0, "open", outer), (3, "completed")),
        """
       0 s       1 s       2 s       3 s
       ┴─────────┴─────────┴─────────┴────────
       ╭─────────────────────────────|
team   ╰─────────┬▸bot───────────────▸user──◇|
  bot            ├───────────────────|
                 ╰─────────Yes───────✓
""",
        50,
    )


def test_tokens_that_come_too_fast_share_a_marble() -> None:
    dense = lane(*[(0.05 * number, "next", f" t{number}") for number in range(100)], (6, "completed"))
    shows(
        dense,
        """
0 s      1 s        2 s       3 s        4 s       5 s
┴────────┴──────────┴─────────┴──────────┴─────────┴────
t0 t1 t2 t3 t4 t5 t6 t7 t8 t9 t10 t11 t12 t13 t14 t15…─|
""",
    )


def test_tokens_without_room_are_dots_and_their_text_stands_beside() -> None:
    text = "All of this is said within one second.".split()
    fast = lane(*[(3 + 0.1 * n, "next", f" {word}") for n, word in enumerate(text)], (4, "completed"))
    calm = lane(*[(n, "next", f" {n}th word") for n in range(9)], (9, "completed"))
    outer = lane((0, "open", calm), (3, "open", fast), (9, "completed"))
    shows(
        outer,
        """
0 s           2 s                     4 s    6 s    8 s
┴─────────────┴───────────────────────┴──────┴──────┴───
╭─────────────────┬────────────────────────────────────|
╰0th word──1th word 2th word 3th word─4th word 5th wo…─✓
                  ╰•────••─••─•──••───✓
                      All of this is said within one second.
""",
    )


def test_a_text_without_room_beside_stands_below() -> None:
    words = "This answer comes fast and at the end.".split()
    tokens = [(8 + 0.1 * number, "next", f" {word}") for number, word in enumerate(words)]
    call = (0, "call", Called("look_up")), (7, "result", Returned("found"))
    late = lane((0, "open", lane(*call, *tokens, (9, "completed"))), (9, "completed"))
    shows(
        late,
        """
0 s               7 s     8 s        8.5 s
┴─────╱ 7 s ╱─────┴╱ 1 s ╱┴──────────┴──────
╭╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌─╌╌╌╌╌╌╌─────────────────|
╰[look_up ══ fou…]─╌╌╌╌╌╌╌•─•──•─•─•─••─•──✓
          This answer comes fast and at the end.
""",
        48,
    )


def test_a_long_silence_is_cut_short_where_one_can_see_it() -> None:
    gap = lane(
        (0, "open", message(0, "One", " two")),
        (1200, "open", message(1200, "Three", " four")),
        (1203, "completed"),
    )
    shows(
        gap,
        """
0s   1s   2s    3s      20m  20m 1s     20m 3s
┴────┴────┴─────┴──╱╱───┴────┴──────────┴
╭────────────────╌╌╌╌╌╌╌┬───────────────|
╰────One──two───✓       ┊
                        ╰────Three─four─✓
""",
    )


def test_evenly_spaced_events_are_never_cut_apart() -> None:
    even = lane(*[(600.0 * number, "next", "tick") for number in range(5)])
    assert "╱" not in draw(even).text


def test_what_has_not_ended_stays_open() -> None:
    said = lane((1, "next", "Let me see"), (2, "call", Called("search", {"q": "order"})))
    waiting = lane((0, "open", lane((0, "open", said), name="bot")), (6, "next", "tick"))
    shows(
        waiting,
        """
     0 s   1 s        2 s  3 s   4 s   5 s   6 s
     ┴─────┴──────────┴────┴─────┴─────┴─────┴────
     ╭───────────────────────────────────────tick⋯
bot  ├───────────────────────────────────────────⋯
     ╰─────Let me see─[search ═══════════════════⋯
""",
    )


def test_a_call_without_a_result_beside_other_tokens_has_a_line_of_its_own() -> None:
    said = lane((1, "call", Called("search")), (3, "next", "Still"), (5, "next", " there"), (7, "completed"))
    shows(
        said,
        """
0 s   1 s  2 s   3 s   4 s   5 s  6 s   7 s
┴─────┴────┴─────┴─────┴─────┴────┴─────┴
─────────────────Still───────there──────|
      [search ═══════════════════════════════
""",
    )


def test_values_messages_states_and_results_have_marks_of_their_own() -> None:
    values = lane(
        (1, "next", 1),
        (2, "next", ("a", 3)),
        (3, "message", "Hello there"),
        (5, "state", "usage"),
        (6, "state", "choice:clerk"),
        (7, "result", Returned("lost")),
        (8, "completed"),
    )
    shows(
        values,
        """
0 s  1 s          3 s    4 s    5 s  6 s     7 s   8 s
┴────┴────────────┴──────┴──────┴────┴───────┴─────┴
─────1───('a', 3)─[Hello there]─◇────▸clerk──=lost─|
""",
    )


def test_what_a_tool_shows_and_a_new_beginning_have_marks_of_their_own() -> None:
    progress = {"id": "call_1", "name": "look", "content": "half way\n"}
    restarted = lane(
        (1, "next", {"progress": progress}),
        (3, "next", "No"),
        (4, "next", {"restart": "the answer is no number"}),
        (5, "next", "7"),
        (6, "completed"),
    )
    shows(
        restarted,
        """
0 s    1 s   2 s    3 s    4 s   5 s    6 s
┴──────┴─────┴──────┴──────┴─────┴──────┴
───────… half way ⏎─No─────↺─────7──────|
""",
    )
    titles = [item.title for item in scene_of(restarted).rows[0].items]
    assert titles == ["look … half way\n", "No", "↺ begins anew: the answer is no number", "7"]


def test_what_crowds_is_bundled() -> None:
    kinds: list[tuple[Kind, Any]] = [("next", "a"), ("state", "usage"), ("next", "b"), ("state", "plan")]
    crowd = lane(*[(0.01 * number, *kinds[number % 4]) for number in range(40)], (0.5, "completed"))
    shows(
        crowd,
        """
0 s        0.1 s     0.2 s      0.3 s    0.4 s
┴──────────┴─────────┴──────────┴────────┴────
⊕─⊕─⊕─⊕──⊕─⊕─⊕─⊕─⊕─⊕─⊕──⊕─⊕─⊕─⊕─⊕─⊕─⊕─⊕──•─◇─|
abababababababababab
""",
        50,
    )


def test_a_finished_message_that_repeats_its_tokens_is_the_mark_at_the_end() -> None:
    said = lane((1, "next", "Hi"), (2, "next", " you"), (3, "message", "Hi you"), (3, "completed"))
    shows(
        lane((0, "open", said), (3, "completed")),
        """
0 s          1 s           2 s          3 s
┴────────────┴─────────────┴────────────┴
╭───────────────────────────────────────|
╰────────────Hi────────────you──────────✓
""",
    )


def test_an_input_is_no_response() -> None:
    asked = lane((1, "message", "Hi"), (2, "completed"), role="user", speaker="ann")
    text = draw(lane((0, "open", asked), (3, "completed"))).text
    assert "✓" not in text
    assert text.split("\n")[-1].startswith("ann  ╰")


def test_a_speaker_is_named_unless_the_block_around_has_the_name() -> None:
    own = message(0, "a", role="assistant", name="bot")
    other = message(0, "b", role="assistant", name="guest")
    block = lane((0, "open", own), (0, "open", other), (2, "completed"), name="bot")
    heads = [
        line.split("╰")[0].split("├")[0].strip()
        for line in draw(lane((0, "open", block))).text.split("\n")[2:]
    ]
    assert [head for head in heads if head.isalpha()] == ["bot", "guest"]


def test_the_only_run_of_a_recording_stands_for_all_of_it() -> None:
    run = lane((0, "open", message(0, "Hi", role="assistant")), (2, "completed"), askable="bot")
    assert draw(lane((0, "open", run))) == draw(run)


def test_parallel_calls_without_ids_are_answered_by_name_and_in_order() -> None:
    said = lane(
        (1, "call", Called("a")),
        (2, "call", Called("b")),
        (3, "call", Called("a")),
        (4, "result", Returned("B", "b")),
        (5, "result", Returned("A1", "a")),
        (6, "result", Returned("A2", "a")),
        (7, "completed"),
    )
    shows(
        said,
        """
0 s   1 s  2 s   3 s   4 s   5 s  6 s   7 s
┴─────┴────┴─────┴─────┴─────┴────┴─────┴
──────[a ════════════════ A1]───────────|
           [b ══════ B]
                 [a ══════════ A2]
""",
    )


def test_time_may_stand_still() -> None:
    assert draw(lane((0, "next", "a"), (0, "completed"))).text == "0 s\n┴─\na|"
    assert draw(lane()).text == "0 s\n┴────\n────⋯"


# What holds of the text


@pytest.mark.parametrize("width", [40, 57, 80, 133, 200])
def test_the_text_is_as_wide_as_it_may_be_at_the_most(width: int) -> None:
    for recording in (tools(), team(), long_run(), failed(ValueError("a" * 300))):
        assert max(map(cells, draw(recording, width=width).text.split("\n"))) <= width


def test_the_columns_of_wide_characters_are_counted() -> None:
    wide = lane((1, "next", "你好"), (2, "next", "世界"), (3, "completed"))
    rows = draw(wide).text.split("\n")
    assert "你好" in rows[-1]
    assert "世界" in rows[-1]
    assert cells(rows[-1]) == cells(rows[-2])


def test_control_characters_do_not_reach_the_terminal() -> None:
    evil = lane(
        (1, "next", "\x1b[2Jgone"), (2, "next", "a\u202eb"), (3, "next", "\ud800\x85"), (9, "completed")
    )
    text = draw(evil).text
    assert "␛[2Jgone" in text
    assert "a\ufffdb" in text
    assert text.encode().decode() == text
    assert all(char.isprintable() or char == "\n" for char in text)


# What holds of every recording


def laid_out(recording: Lane) -> Layout:
    return lay_out(scene_of(recording), METRICS, 900, label=lambda text: 7.0 * len(text))


@settings(deadline=None, max_examples=100)
@given(lanes())
def test_everything_keeps_its_distance_and_stays_on_the_page(recording: Lane) -> None:
    layout = laid_out(recording)
    assert layout.width <= 900.001
    for line in layout.lines:
        for pieces in line.tracks:
            for left, right in pairwise(pieces):
                assert left.place + left.width <= right.place + 0.001
            assert all(
                piece.place >= 0 and piece.place + piece.width <= layout.width + 0.001 for piece in pieces
            )
        if line.tracks[0] and line.row.ending != "open":
            assert line.tracks[0][-1].place + line.tracks[0][-1].width <= line.end + 0.001
        assert line.start <= line.end <= layout.width


def test_a_note_that_is_too_long_by_one_cell_is_broken() -> None:
    drawing = draw(Lane((Event(0.0, "error", ValueError("a" * 60)),)), width=61)
    assert max(map(cells, drawing.text.split("\n"))) <= 61
    assert "a" * 60 in "".join(drawing.text.split())


@settings(deadline=None, max_examples=100)
@given(lanes(), st.integers(40, 160))
def test_every_recording_can_be_drawn_and_always_as_the_same(recording: Lane, width: int) -> None:
    drawing = draw(recording, width=width)
    assert max(map(cells, drawing.text.split("\n"))) <= width
    assert draw(recording, width=width) == drawing


# How it is called


def test_whatever_has_a_lane_can_be_drawn() -> None:
    assert draw(SimpleNamespace(lane=tools())) == draw(tools())  # type: ignore[arg-type]


def test_a_path_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(
        '{"rxagents": "recording", "version": 1}\n'
        '{"at": 0.0, "is": "run", "id": 1, "askable": "bot"}\n'
        '{"at": 0.0, "is": "block", "id": 2, "in": 1, "name": "bot", "entry": "append"}\n'
        '{"at": 0.0, "is": "message", "id": 3, "in": 2, "role": "assistant", "name": "bot"}\n'
        '{"at": 1.0, "is": "delta", "id": 3, "delta": {"content": "Hello"}}\n'
        '{"at": 2.0, "is": "end", "id": 3, "how": "completed"}\n'
        '{"at": 2.0, "is": "end", "id": 2, "how": "completed"}\n'
        '{"at": 2.0, "is": "end", "id": 1, "how": "completed", "result": "done"}\n'
    )
    said = lane((1, "next", "Hello"), (2, "completed"), role="assistant", speaker="bot")
    bot = lane((0, "open", said), (2, "completed"), name="bot")
    same = draw(lane((0, "open", bot), (2, "completed")))
    assert draw(path) == draw(str(path)) == same


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="draw takes a Lane, the path of a recording, or what has a lane, not int"
    ):
        draw(17)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"nothing\.jsonl cannot be read"):
        draw(tmp_path / "nothing.jsonl")


def test_a_terminal_has_forty_columns() -> None:
    with pytest.raises(ConfigurationError, match=r"draw\(width=39\): a drawing takes 40 columns or more"):
        draw(tools(), width=39)


def test_a_drawing_is_saved_by_its_suffix(tmp_path: Path) -> None:
    drawing = draw(tools())
    drawing.save(tmp_path / "run.svg")
    drawing.save(str(tmp_path / "run.TXT"))
    assert (tmp_path / "run.svg").read_bytes() == f"{drawing.svg}\n".encode()
    assert (tmp_path / "run.TXT").read_bytes() == f"{drawing.text}\n".encode()


def test_another_suffix_or_folder_is_refused(tmp_path: Path) -> None:
    drawing = draw(tools())
    with pytest.raises(
        ConfigurationError, match=r"run\.png: a drawing is saved as \.svg or as \.txt, not \.png"
    ):
        drawing.save(tmp_path / "run.png")
    with pytest.raises(
        ConfigurationError, match=r"run: a drawing is saved as \.svg or as \.txt, not neither"
    ):
        drawing.save(tmp_path / "run")
    with pytest.raises(ConfigurationError, match=r"run\.svg cannot be written: No such file or directory"):
        drawing.save(tmp_path / "missing" / "run.svg")
    assert not list(tmp_path.iterdir())


def test_a_drawing_prints_as_text_and_shows_as_svg() -> None:
    drawing = draw(tools())
    assert str(drawing) == drawing.text
    assert drawing._repr_svg_() == drawing.svg


def test_the_picture_in_the_docstring_is_what_is_drawn() -> None:
    said = lane(
        (1, "next", "Let"),
        (1.5, "next", " me"),
        (2, "next", " see"),
        (2.5, "call", Called("get_order")),
        (5, "result", Returned("214")),
        (6, "completed"),
    )
    clerk = lane((0, "open", said), (6, "completed"), name="clerk")
    doc = inspect.getdoc(draw) or ""
    assert draw(lane((0, "open", clerk), (6, "completed"))).text in doc.replace("```\n", "")
