"""markers: the serializer. Balanced whatever happens, each mark in its place, the same live and late."""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    Block,
    Message,
    MessageStream,
    ScriptedLLM,
    StateUpdate,
    SystemMessage,
    Team,
    Transcript,
    Usage,
    User,
    UserMessage,
    agent,
    as_agent,
    say,
)
from rxagents.engine.emitters import just
from rxagents.llm.replies import Call, Reply
from rxagents.operators import markers, shared, until
from rxagents.saying.ordering import in_turn
from rxagents.testing import Marbles, order_scenario
from rxagents.values import delta


def written(source: Observable[Any], **options: Any) -> list[Any]:
    """The markers of a conversation that ends by itself."""

    async def marks() -> list[Any]:
        return await source.pipe(markers(**options), ops.to_list())

    with Marbles() as marbles:
        return marbles.run(marks())


def brief(marks: list[Any]) -> list[str]:
    """Each marker in a word or two: `start a`, `delta Hi`, `response Hi`, `end a`, `result done`."""
    words = []
    for mark, content in marks:
        if mark == "delta":
            content = content["content"]
        elif mark in ("response", "interrupted"):
            content = content[0]["content"]
        elif mark == "error":
            content = f"{content['type']} at {content['where']}"
        words.append(f"{mark} {content}")
    return words


def briefly(source: Observable[Any], **options: Any) -> list[str]:
    return brief(written(source, **options))


# -- the format


def order_team() -> Team:
    llm = ScriptedLLM(order_scenario())
    agent1 = Agent("agent1", llm, "Call this agent for general purpose questions", "You are an AI assistant")

    @agent1.register_tool(description="Get the order ID for a customer's order.")
    def get_order_id() -> str:
        return "214"

    @agent1.register_tool(description="Get the delivery date for a customer's order.")
    def get_delivery_date(order_id: str) -> str:
        return "2022-01-01"

    user = User("user", mode="unattended")
    return Team(llm, [agent1, user], "team", stop_callback=lambda messages: len(messages) > 4)


def test_the_order_team_writes_the_markers_of_the_issue() -> None:
    marks = written(say("Which is expected delivery date for my order?").pipe(order_team()))
    kinds = [str(mark) for mark, _ in marks]
    assert [(str(mark), content) for mark, content in marks[:2]] == [("start", "team"), ("start", "agent1")]
    calls = [content["tool_calls"][0] for mark, content in marks if mark == "delta" and content["tool_calls"]]
    assert [call["function"]["name"] for call in calls if call["id"]] == ["get_order_id", "get_delivery_date"]
    second = [call["id"] for call in calls].index(calls[-1]["id"] or "call_2")
    fragments = [call["function"]["arguments"] for call in calls[second + 1 :]]
    assert fragments == ['{"', "order", "_id", '":"', "214", '"}']
    assert [content for mark, content in marks if mark == "function_result"] == [
        {"name": "get_order_id", "result": "214", "id": "call_1"},
        {"name": "get_delivery_date", "result": "2022-01-01", "id": "call_2"},
    ]
    assert kinds[-4:] == ["response", "end", "end", "result"]
    assert [content for _, content in marks[-3:]] == ["agent1", "team", "agent-stop"]
    message, usage = marks[-4][1]
    assert list(message) == ["content", "role", "name"]
    assert message["role"] == "assistant"
    assert message["name"] == "agent1"
    assert message["content"] == "".join(
        content["content"] or "" for mark, content in marks if mark == "delta"
    )
    assert sorted(usage) == ["completion_tokens", "prompt_tokens", "total_tokens"]


def test_a_delta_has_its_four_keys_in_order_and_what_the_provider_adds() -> None:
    reply = Reply(deltas=[delta("a"), delta(None), delta(None, reasoning="hm")])
    marks = written(say("q").pipe(Agent("a", ScriptedLLM([reply]))))
    increments = [content for mark, content in marks if mark == "delta"]
    keys = ["content", "function_call", "refusal", "tool_calls"]
    assert [list(increment) for increment in increments] == [keys, keys, [*keys, "reasoning"]]
    assert [increment["content"] for increment in increments] == ["a", None, None]


def test_a_tool_call_has_its_keys_in_order() -> None:
    llm = ScriptedLLM([Call("nothing"), "done"])
    marks = written(say("q").pipe(Agent("a", llm)))
    entry = next(
        content["tool_calls"][0]
        for _, content in marks
        if content and type(content) is dict and content.get("tool_calls")
    )
    assert list(entry) == ["id", "function", "type", "index"]
    assert list(entry["function"]) == ["arguments", "name"]


def test_a_marker_is_a_two_tuple_whose_mark_knows_its_path_and_id() -> None:
    stream = MessageStream(just("a"), name="s")
    inner = Block("inner", just(stream))
    outer = Block("outer", just(inner))
    marks = written(just(outer))
    assert all(type(marker) is tuple and len(marker) == 2 for marker in marks)
    assert [(str(mark), mark.path, mark.id) for mark, _ in marks] == [
        ("start", ("outer",), outer.id),
        ("start", ("outer", "inner"), inner.id),
        ("delta", ("outer", "inner"), stream.id),
        ("response", ("outer", "inner"), stream.id),
        ("end", ("outer", "inner"), inner.id),
        ("end", ("outer",), outer.id),
        ("result", (), ""),
    ]


def test_a_message_makes_one_mark_for_all_its_tokens() -> None:
    marks = [mark for mark, _ in written(just(MessageStream(just(*"abcdef")))) if mark == "delta"]
    assert len(marks) == 6
    assert len(set(map(id, marks))) == 1


def test_the_markers_come_when_the_diagram_draws_them(marbles: Marbles) -> None:
    items = marbles.cold("""
        --B|
    B   --m---|
    m   --H-i-|
    """)
    probe = marbles.probe()
    marbles.expect_markers(items.pipe(markers(), probe)).to_be(
        [
            *((2, "start", "B"), (2, "delta", "H"), (4, "delta", "i")),
            *((6, "response", "Hi"), (6, "end", "B"), (6, "result", "done")),
        ]
    )
    marbles.expect_subscriptions(probe).to_be("^-----!")


# -- what is shown


def test_inputs_outside_blocks_are_shown_only_when_asked() -> None:
    def items() -> Observable[Any]:
        said = MessageStream.of(UserMessage("q"))
        inside = Block("user", just(MessageStream.of(UserMessage("more"))))
        return just(MessageStream.of(SystemMessage("s")), said, inside)

    shown = ["start user", "delta more", "response more", "end user", "result done"]
    assert briefly(items()) == shown
    assert briefly(items(), inputs=True) == ["delta s", "response s", "delta q", "response q", *shown]


def test_state_is_shown_when_made_to_be_shown_or_asked_for() -> None:
    def items() -> Observable[Any]:
        hidden = StateUpdate("choice", {"agent_id": "a"}, usage=Usage(total_tokens=1))
        return just(Block("team", just(hidden, StateUpdate("plan", {"steps": 2}, shown=True))))

    assert briefly(items()) == ["start team", "state {'kind': 'plan', 'steps': 2}", "end team", "result done"]
    marks = [marker for marker in written(items(), state=True) if marker[0] == "state"]
    usage = {"completion_tokens": 0, "prompt_tokens": 0, "total_tokens": 1}
    assert [content for _, content in marks] == [
        {"kind": "choice", "agent_id": "a", "usage": usage},
        {"kind": "plan", "steps": 2},
    ]
    assert marks[0][0].path == ("team",)


def test_the_state_is_json_whatever_the_variables_are() -> None:
    update = StateUpdate(
        "variables", variables={"it": object(), "set": {1}, "usage": Usage(), "nan": float("nan")}
    )
    (_, content), *_ = written(just(update), state=True)
    assert json.loads(json.dumps(content))["variables"]["set"] == [1]


def test_aside_blocks_are_shown() -> None:
    items = just(Block("note", just(MessageStream(just("a"))), entry="aside"))
    assert briefly(items) == ["start note", "delta a", "response a", "end note", "result done"]


def test_transcripts_are_not_shown() -> None:
    assert briefly(say(UserMessage("q")).pipe(ops.take(0))) == ["result done"]


# -- errors


def failing_with(error: Exception) -> Any:
    return lambda request: rx.concat(rx.of("Hel"), rx.throw(error))


def raising(error: Exception) -> Any:
    def function(*_: Any) -> Any:
        raise error

    return function


def test_an_error_is_written_once_at_the_innermost_block_then_the_ends() -> None:
    team = Team(ScriptedLLM([]), [Agent("agent1", failing_with(ValueError("lost")))], "team")
    marks = written(say("q").pipe(team))
    assert brief(marks) == [
        *("start team", "start agent1", "delta Hel", "error ValueError at team > agent1"),
        *("end agent1", "end team", "result agent-error"),
    ]
    mark, content = marks[3]
    assert content == {"type": "ValueError", "message": "lost", "where": "team > agent1"}
    assert mark.path == ("team", "agent1")
    assert mark.id == marks[2][0].id


def where_of(source: Observable[Any]) -> str:
    (content,) = [content for mark, content in written(source) if mark == "error"]
    return str(content["where"])


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"stop_callback": raising(ValueError("no"))}, "team > stop_callback"),
        ({"reading_strategy": raising(ValueError("no"))}, "team > reading_strategy"),
        ({"llm": raising(ValueError("no"))}, "team > router"),
        ({"llm": failing_with(ValueError("no"))}, "team > router"),
        ({"llm": ScriptedLLM(["x"] * 3)}, "team > router"),
    ],
)
def test_an_error_within_a_team_names_the_place(options: dict[str, Any], place: str) -> None:
    a = Agent("a", ScriptedLLM(["one"]))
    members: list[Any] = [a] if "stop_callback" in options else [a, Agent("b", ScriptedLLM(["two"]))]
    assert (
        where_of(say("q").pipe(Team(**{"llm": ScriptedLLM([]), "members": members, "id": "team"} | options)))
        == place
    )


def test_an_error_in_an_agents_reading_strategy_names_it() -> None:
    a = Agent("a", ScriptedLLM([]), reading_strategy=raising(ValueError("no")))
    assert where_of(say("q").pipe(Team(ScriptedLLM([]), [a], "team"))) == "team > a > reading_strategy"


def test_an_error_of_a_block_that_stands_for_no_message_is_written_in_the_block() -> None:
    items = just(Block("b", rx.throw(ValueError("no"))))
    assert briefly(items) == ["start b", "error ValueError at b", "end b", "result agent-error"]


def test_an_error_of_the_conversation_itself_is_written_after_what_it_cuts(marbles: Marbles) -> None:
    error = ValueError("no")
    block = Block("b", just(marbles.message("    a--a|")))
    items = rx.concat(just(block), marbles.cold("-#", error=error))
    marbles.expect_markers(items.pipe(markers())).to_be(
        [
            *((0, "start", "b"), (0, "delta", "a"), (1, "interrupted", "a"), (1, "end", "b")),
            (1, "error", {"type": "ValueError", "message": "no", "where": ""}),
            (1, "result", "agent-error"),
        ]
    )


def test_an_error_upstream_of_a_pipe_says_whose_it_was() -> None:
    a = Agent("a", failing_with(ValueError("lost")))
    b = Agent("b", ScriptedLLM(["never"]))
    assert briefly(say("q").pipe(a, b)) == ["error ValueError at a", "result agent-error"]


def test_a_failing_agent_cuts_those_beside_it(marbles: Marbles) -> None:
    one = marbles.message("                    -a-#", error=ValueError("no"))
    other = marbles.message("                  -b-b-b|")
    a, b = as_agent("a", lambda source: just(one)), as_agent("b", lambda source: just(other))
    both = say("q").pipe(lambda source: rx.merge(a(source), b(source)))
    probe = marbles.probe()
    marbles.expect_markers(both.pipe(markers(), probe)).to_be(
        [
            *((0, "start", "a"), (0, "start", "b"), (1, "delta", "a"), (1, "delta", "b")),
            (3, "error", {"type": "ValueError", "message": "no", "where": "a"}),
            *((3, "end", "a"), (3, "interrupted", "b"), (3, "end", "b")),
            (3, "result", "agent-error"),
        ]
    )
    marbles.expect_subscriptions(probe).to_be("^--!")


def test_two_that_fail_at_once_make_one_error(marbles: Marbles) -> None:
    source: rx.Subject[Any] = rx.Subject()
    items = just(Block("a", just(MessageStream(source))), Block("b", just(MessageStream(source))))
    marbles.at(1, source.on_error, ValueError("no"))
    marbles.expect_markers(items.pipe(markers())).to_be(
        [
            *((0, "start", "a"), (0, "start", "b")),
            (1, "error", {"type": "ValueError", "message": "no", "where": "a"}),
            *((1, "end", "a"), (1, "interrupted", ""), (1, "end", "b")),
            (1, "result", "agent-error"),
        ]
    )


def test_a_retried_error_is_located_anew_each_time() -> None:
    team = Team(ScriptedLLM([]), [Agent("a", lambda request: rx.throw(error))], "team")
    error = ValueError("no")
    for _ in range(3):
        assert where_of(say("q").pipe(team)) == "team > a"
    assert error.__notes__ == ["in team > a"]


# -- merged, late, deep


def test_merged_agents_keep_their_blocks_apart(marbles: Marbles) -> None:
    one = marbles.message("  -a--a|")
    other = marbles.message("--b-b-|")
    a, b = as_agent("a", lambda source: just(one)), as_agent("b", lambda source: just(other))
    probe = marbles.probe()
    both = say("q").pipe(lambda source: rx.merge(a(source), b(source)))
    marbles.expect_markers(both.pipe(markers(), probe)).to_be(
        [
            *((0, "start", "a"), (0, "start", "b")),
            *((1, "delta", "a"), (2, "delta", "b"), (4, "delta", "a"), (4, "delta", "b")),
            *((5, "response", "aa"), (5, "end", "a"), (6, "response", "bb"), (6, "end", "b")),
            (6, "result", "done"),
        ]
    )
    marbles.flush()
    assert [mark.path for mark, _ in probe.items[2:6]] == [("a",), ("b",), ("a",), ("b",)]


def test_a_late_reader_gets_what_was_written_and_goes_on() -> None:
    run = say("q").pipe(order_team(), shared())
    live = written(run)
    assert written(run) == live


def test_a_reader_that_comes_in_mid_message_hears_it_from_its_beginning(marbles: Marbles) -> None:
    run = just(Block("bot", just(marbles.message("-a-b-c|")))).pipe(shared())
    marbles.expect_markers(run.pipe(markers())).to_be(
        [
            *((0, "start", "bot"), (1, "delta", "a"), (3, "delta", "b"), (5, "delta", "c")),
            *((6, "response", "abc"), (6, "end", "bot"), (6, "result", "done")),
        ]
    )
    marbles.expect_markers(run.pipe(markers(), ops.delay_subscription(4.0))).to_be(
        [
            *((4, "start", "bot"), (4, "delta", "a"), (4, "delta", "b"), (5, "delta", "c")),
            *((6, "response", "abc"), (6, "end", "bot"), (6, "result", "done")),
        ]
    )


def nested(depth: int, item: Any) -> Block:
    for level in range(depth, 0, -1):
        item = Block(f"b{level}", just(item))
    return item  # type: ignore[no-any-return]


def test_a_thousand_nested_blocks_are_written_live_and_late(marbles: Marbles) -> None:
    run = just(nested(1_000, marbles.message("-a|"))).pipe(shared())
    names = [f"b{level}" for level in range(1, 1_001)]
    marks = [
        *(("start", name) for name in names),
        *(("delta", "a"), ("response", "a")),
        *(("end", name) for name in reversed(names)),
        ("result", "done"),
    ]
    marbles.expect_markers(run.pipe(markers())).to_be(marks)
    marbles.expect_markers(run.pipe(markers(), ops.delay_subscription(9.0))).to_be(marks)


def test_a_thousand_nested_blocks_fail_and_are_interrupted_in_good_order(marbles: Marbles) -> None:
    names = [f"b{level}" for level in range(1, 1_001)]
    failing = marbles.message("-#", error=ValueError("no"))
    where = {"type": "ValueError", "message": "no", "where": " > ".join(names)}
    failed = just(nested(1_000, failing))
    marbles.expect_markers(failed.pipe(markers())).to_be(
        [
            *((0, "start", name) for name in names),
            (1, "error", where),
            *((1, "end", name) for name in reversed(names)),
            (1, "result", "agent-error"),
        ]
    )
    said = marbles.message("   -a------|")
    stop = marbles.hot("       --s")
    cut = just(nested(1_000, said)).pipe(until(stop))
    marbles.expect_markers(cut.pipe(markers())).to_be(
        [
            *((0, "start", name) for name in names),
            *((1, "delta", "a"), (2, "interrupted", "a")),
            *((2, "end", name) for name in reversed(names)),
            (2, "result", "interrupted"),
        ]
    )


def test_no_level_adds_work_to_a_token() -> None:
    def calls_per_token(depth: int) -> int:
        counted = 0

        def profile(frame: Any, event: str, _: Any) -> None:
            nonlocal counted
            counted += event in ("call", "c_call")

        def run(tokens: int) -> int:
            nonlocal counted
            source: rx.Subject[Any] = rx.Subject()
            team: Any = Agent("agent", lambda request: source)
            for level in range(depth):
                team = Team(ScriptedLLM([]), [team], f"t{level}", max_turns=1)
            counted = 0

            def feed() -> None:
                gc.disable()  # its callbacks would be counted
                sys.setprofile(profile)
                for _ in range(tokens):
                    source.on_next(increment)
                sys.setprofile(None)
                gc.enable()
                source.on_completed()

            increment = delta("x")
            with Marbles() as marbles:
                marbles.at(1, feed)
                marks = say("q").pipe(team, markers(), ops.count())
                marbles.expect(marks).to_be("-(n|)", n=2 * depth + tokens + 4)
            return counted

        few, many = run(100), run(300)
        assert (many - few) % 200 == 0
        return (many - few) // 200

    assert calls_per_token(1) == calls_per_token(20)


# -- the law: balanced whatever happens


@dataclass
class Said:
    tokens: int
    pause: float
    fails: bool


@dataclass
class Nested:
    parts: list[Any]
    mode: str
    fails: bool


MESSAGES = st.builds(
    Said, st.integers(0, 3), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([False] * 5 + [True])
)
TREES = st.recursive(
    MESSAGES,
    lambda parts: st.builds(
        Nested,
        st.lists(parts, max_size=4),
        st.sampled_from(["at once", "in turn", "function", "team"]),
        st.sampled_from([False] * 6 + [True]),
    ),
    max_leaves=12,
)


def build(tree: Any, names: Any) -> Any:
    """A tree as an item: a message, or a block of one of several kinds."""
    if isinstance(tree, Said):
        parts: list[Observable[Any]] = []
        for _ in range(tree.tokens):
            parts += [rx.timer(tree.pause).pipe(ops.map(lambda _: "x")) if tree.pause else rx.of("x")]
        if tree.fails:
            parts.append(rx.throw(ValueError("said")))
        return MessageStream(rx.concat(*parts) if parts else rx.empty())
    name = f"n{next(names)}"
    items = [build(part, names) for part in tree.parts]
    if tree.mode == "function":

        async def reply(_: Any) -> Any:
            for item in items:
                yield item
            if tree.fails:
                raise ValueError("function")

        return Block(name, agent(reply, id=name).turn(Transcript()))
    if tree.mode == "team":
        members = [as_agent(f"{name}m{i}", lambda _, item=item: just(item)) for i, item in enumerate(items)]
        order = [member.id for member in members]
        if not members:
            return Block(name, rx.empty())
        transitions = dict(zip(order, ([n] for n in order[1:]), strict=False))
        choose = ScriptedLLM(lambda _: {"agent_id": order[0], "reason": ""})
        callback = raising(ValueError("callback")) if tree.fails else None
        team = Team(choose, members, name, allowed_transitions=transitions, stop_callback=callback)
        return Block(name, team.turn(Transcript()), catches_stops=True)
    source = rx.concat(just(*items), rx.throw(ValueError("block"))) if tree.fails else just(*items)
    return Block(name, in_turn(source) if tree.mode == "in turn" else source)


def check(marks: list[Any], *, whole: bool) -> None:
    """Balanced blocks, each delta in its block, each message with one end, one error, one result."""
    blocks: dict[str, tuple[str, ...]] = {}
    messages: dict[str, tuple[str, ...]] = {}
    over: set[str] = set()
    errors = 0
    for position, (mark, content) in enumerate(marks):
        json.dumps(content)
        around = mark.path[:-1] if mark in ("start", "end") else mark.path
        assert not around or around in blocks.values(), (mark, mark.path)
        assert mark.id not in over
        if mark == "start":
            assert mark.path not in blocks.values()
            assert mark.path[-1] == content
            blocks[mark.id] = mark.path
        elif mark == "end":
            assert blocks.pop(mark.id) == mark.path
            assert not [
                path for path in (*blocks.values(), *messages.values()) if path[: len(mark.path)] == mark.path
            ]
            over.add(mark.id)
        elif mark == "delta":
            assert messages.setdefault(mark.id, mark.path) == mark.path
        elif mark in ("response", "interrupted"):
            messages.pop(mark.id, None)
            over.add(mark.id)
        elif mark == "error":
            errors += 1
            if mark.id not in blocks:
                messages.pop(mark.id, None)
                over |= {mark.id} - {""}
        else:
            assert mark == "result"
            assert position == len(marks) - 1
            assert not blocks
            assert not messages
    assert errors <= 1
    if whole:
        assert marks[-1][0] == "result"
        assert (marks[-1][1] == "agent-error") == (errors == 1)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(TREES, max_size=3),
    st.sampled_from([None, None, 0.0, 1.0, 2.0, 3.0]),
    st.sampled_from([None, None, None, 0.0, 1.0, 2.5]),
)
def test_whatever_happens_the_markers_are_balanced(
    trees: list[Any], cut_at: float | None, dispose_at: float | None
) -> None:
    names = count()
    source = just(*[build(tree, names) for tree in trees])
    if cut_at is not None:
        source = source.pipe(until(rx.timer(cut_at)))  # type: ignore[assignment]
    with Marbles() as marbles:
        probe = marbles.probe()
        marbles.expect_markers(source.pipe(markers(), probe), unsubscribe_at=dispose_at)
        marbles.allow("unread")
    check(probe.items, whole=probe.completions == 1)
    if dispose_at is None:
        assert probe.completions == 1


@settings(max_examples=150, deadline=None)
@given(st.lists(TREES, max_size=3), st.sampled_from([None, 1.0, 3.0]))
def test_the_markers_of_an_ended_run_are_balanced_too(trees: list[Any], cut_at: float | None) -> None:
    names = count()
    run = just(*[build(tree, names) for tree in trees]).pipe(shared())
    source = run if cut_at is None else run.pipe(until(rx.timer(cut_at)))
    live = written(source)
    late = written(run)
    check(live, whole=True)
    check(late, whole=True)
    assert live[-1][1] == late[-1][1]


def sequential(tree: Any) -> Any:
    if isinstance(tree, Said):
        return tree
    mode = {"at once": "in turn"}.get(tree.mode, tree.mode)
    return Nested([sequential(part) for part in tree.parts], mode, tree.fails)


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_a_run_that_spoke_in_turn_is_replayed_in_the_order_in_which_it_was_live(tree: Any) -> None:
    run = just(build(sequential(tree), count())).pipe(shared())
    live = written(run)
    assert written(run) == live


def test_a_message_that_was_finished_before_is_written_whole() -> None:
    said = MessageStream.of(Message(role="assistant", content="Hi", name="a", usage=Usage(total_tokens=2)))
    marks = written(just(said))
    assert marks[1][1] == [
        {"content": "Hi", "role": "assistant", "name": "a"},
        {"completion_tokens": 0, "prompt_tokens": 0, "total_tokens": 2},
    ]
