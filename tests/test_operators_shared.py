"""shared: one run of a pipeline for all its readers."""

from __future__ import annotations

from reactivex import operators as ops

from rxagents import Agent, say
from rxagents.operators import markers, shared, text
from rxagents.testing import Marbles


def test_a_late_reader_replays_and_goes_on_as_the_diagram_draws_it(marbles: Marbles) -> None:
    m, m2 = marbles.message("(x|)"), marbles.message("(y|)")
    early, late = marbles.probe("early"), marbles.probe("late")
    source = marbles.cold("                           --m--n--------|", m=m, n=m2)
    run = source.pipe(shared())
    marbles.expect(run.pipe(early)).to_be("""
                           --m--m2-------|
                      m    --(x|)
                      m2   -----(y|)
    """)
    marbles.expect(run.pipe(late)).to_be("""
                           ------(^m m2)-|
                      m    ------(x|)
                      m2   ------(y|)
    """)
    marbles.expect_subscriptions(source).to_be("      ^-------------!")
    marbles.flush()
    assert early.items == late.items == [m, m2]


def test_it_runs_once_however_many_read_it_at_once_and_after_the_end(marbles: Marbles) -> None:
    llm = marbles.llm("                      -a-b|")
    run = say("q").pipe(Agent("a", llm), shared())
    marbles.expect(run.pipe(text())).to_be(" -a-b|")
    marbles.expect(run.pipe(text())).to_be(" -a-b|")
    marbles.expect(run.pipe(text())).to_be(" ------(^a b|)")
    marbles.expect_subscriptions(llm).to_be("^---!")


def test_nothing_runs_before_the_first_reader(marbles: Marbles) -> None:
    llm = marbles.llm("-a|")
    say("q").pipe(Agent("a", llm), shared())
    marbles.expect_subscriptions(llm).to_be()
    marbles.allow("unused")


def test_the_last_reader_that_leaves_does_not_cancel_it(marbles: Marbles) -> None:
    llm = marbles.llm("                      -a-b-c---------|")
    run = say("q").pipe(Agent("a", llm), shared())
    leaving = run.pipe(text(), ops.take(1))
    marbles.expect(leaving).to_be("          -(a|)")
    marbles.expect(run.pipe(text())).to_be(" -----(^a b c)--|")
    marbles.expect_subscriptions(llm).to_be("^--------------!")


def test_dispose_cancels_it_for_all_and_keeps_what_had_come(marbles: Marbles) -> None:
    llm = marbles.llm("                        -a-b--c|")
    run = say("q").pipe(Agent("a", llm), shared())
    marbles.at(5, run.dispose)
    marbles.expect(run.pipe(text())).to_be("   -a-b-|")
    marbles.expect(run.pipe(text())).to_be("   ------(^a b|)")
    marbles.expect_subscriptions(llm).to_be("  ^----!")
    probe = marbles.probe()
    marbles.expect_subscriptions(probe).to_be("^----!")
    marbles.expect_markers(run.pipe(markers(), probe)).to_be(
        [
            *((0, "start", "a"), (1, "delta", "a"), (3, "delta", "b")),
            *((5, "interrupted", "ab"), (5, "end", "a"), (5, "result", "interrupted")),
        ]
    )


def test_a_shared_that_was_disposed_before_it_began_never_runs(marbles: Marbles) -> None:
    llm = marbles.llm("                     -a|")
    run = say("q").pipe(Agent("a", llm), shared())
    marbles.at(1, run.dispose)
    marbles.expect(run.pipe(text())).to_be("--(^|)")
    marbles.expect_subscriptions(llm).to_be()
    marbles.allow("unused")


def test_begin_runs_it_without_a_reader(marbles: Marbles) -> None:
    llm = marbles.llm("                      -a-b|")
    run = say("q").pipe(Agent("a", llm), shared())
    marbles.at(1, run.begin)
    marbles.expect_subscriptions(llm).to_be("-^---!")
    marbles.flush()
    assert run.ended
    assert not run.interrupted


def test_an_error_comes_to_all_readers(marbles: Marbles) -> None:
    error = ValueError("no")
    probe = marbles.probe()
    run = say("q").pipe(Agent("a", marbles.llm("   --#", error=error)), shared())
    marbles.expect(run.pipe(text(), probe)).to_be("--#", error=error)
    marbles.expect(run.pipe(text(), probe)).to_be("---(^#)", error=error)
    marbles.flush()
    assert probe.errors == [error, error]
    assert error.__notes__ == ["in a"]
