"""Team: who speaks next, how it ends, how it nests, what it counts, and what it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    ConfigurationError,
    Conversation,
    LLMConstraints,
    MessageStream,
    RoutingError,
    ScriptedLLM,
    StateUpdate,
    SystemMessage,
    Team,
    Transcript,
    Usage,
    User,
    UserMessage,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.llm.replies import Reply
from rxagents.llm.requests import ChatRequest
from rxagents.operators import markers, messages, responses, text, transcript, until
from rxagents.sinks import just
from rxagents.testing.timelines import END, timeline


def marbles(diagram: str, **lookup: Any) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0, lookup=lookup)


def values(source: Observable[Any]) -> list[Any]:
    return [item for _, item in timeline(source)]


def marks_of(source: Observable[Any], **options: Any) -> list[Any]:
    *marks, end = values(source.pipe(markers(**options)))
    assert end == END
    return marks


def result_of(source: Observable[Any]) -> str:
    return str(marks_of(source)[-1][1])


def speakers(source: Observable[Any]) -> list[str]:
    return [content[0]["name"] for mark, content in marks_of(source) if mark == "response"]


def chosen(agent_id: str, reason: str = "why") -> dict[str, str]:
    return {"agent_id": agent_id, "reason": reason}


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


def router(*ids: str) -> ScriptedLLM:
    return ScriptedLLM([chosen(id) for id in ids])


def team(llm: Any, *members: Any, id: str = "team", **options: Any) -> Team:
    return Team(llm, members or [talker("a"), talker("b")], id, **options)


STOPPER = as_agent("stopper", lambda source: just(StateUpdate("stop", stop="enough")))


# -- turns


def test_members_take_turns_in_one_block_as_the_diagram_draws_it() -> None:
    a = as_agent("A", lambda source: just(MessageStream(marbles("a--|"))))
    b = as_agent("B", lambda source: just(MessageStream(marbles("b-|"))))
    both = team(router("A", "B"), a, b, max_turns=2)
    source = marbles("-q-|", q=MessageStream.of(UserMessage("q")))
    (at, block), end = timeline(source.pipe(both))
    assert (at, block.name, end) == (3, "team", (3, END))
    both.llm = router("A", "B")
    entries = timeline(source.pipe(both, markers()))
    shown = [
        (at, str(mark), content) for at, (mark, content) in entries[:-1] if mark in ("start", "end", "result")
    ]
    assert shown == [
        *((3, "start", "team"), (3, "start", "A"), (6, "end", "A"), (6, "start", "B"), (8, "end", "B")),
        *((8, "end", "team"), (8, "result", "max-turns")),
    ]


def test_a_member_hears_the_conversation_so_far() -> None:
    llm = ScriptedLLM(["one", "two"])
    a, b = Agent("a", llm), Agent("b", llm)
    values(say(SystemMessage("s"), "q").pipe(team(router("a", "b"), a, b, max_turns=2), text()))
    assert [message["content"] for message in llm.requests[1].messages] == ["s", "q", "one"]
    assert llm.requests[1].messages[2] == {"role": "assistant", "content": "one", "name": "a"}


def test_the_model_chooses_who_is_next_with_structured_output() -> None:
    llm = router("b", "a", "b")
    assert speakers(say("q").pipe(team(llm, max_turns=3))) == ["b", "a", "b"]
    schema = llm.requests[0].response_format["json_schema"]["schema"]  # type: ignore[index]
    assert schema["properties"]["agent_id"]["enum"] == ["a", "b"]
    assert [request.agent for request in llm.requests] == ["team"] * 3
    assert "user: q\nb: b\na: a" in llm.requests[2].messages[0]["content"]


@pytest.mark.parametrize("how", ["option", "constraint"])
def test_without_structured_output_the_model_answers_in_words(how: str) -> None:
    options = {"use_structured_output": False} if how == "option" else {}
    constraints = LLMConstraints(structured_output=how == "option")
    llm = ScriptedLLM(["Let b speak.", "a"], constraints=constraints)
    assert speakers(say("q").pipe(team(llm, max_turns=2, **options))) == ["b", "a"]
    assert llm.requests[0].response_format is None


def test_a_model_that_answers_in_words_all_the_same_is_understood() -> None:
    assert speakers(say("q").pipe(team(ScriptedLLM(["b"]), max_turns=1))) == ["b"]


def test_where_there_is_only_one_to_choose_the_model_is_not_asked() -> None:
    llm = ScriptedLLM([])
    assert speakers(say("q").pipe(team(llm, talker("a"), max_turns=3))) == ["a"] * 3
    assert llm.requests == []


def test_a_wrong_choice_is_asked_again_with_the_error_told() -> None:
    llm = ScriptedLLM([chosen("bob"), "nobody", chosen("b")])
    assert speakers(say("q").pipe(team(llm, max_turns=1))) == ["b"]
    told = [message["content"] for message in llm.requests[2].messages if message["role"] == "user"][1:]
    assert told == [
        "'bob' is no member; the choice is between: a, b. Choose again.",
        "'nobody' is no member; the choice is between: a, b. Choose again.",
    ]


def test_after_three_wrong_choices_the_team_fails() -> None:
    llm = ScriptedLLM([chosen("bob")] * 4)
    (*_, error) = values(say("q").pipe(team(llm), text()))
    assert isinstance(error, RoutingError)
    assert "'bob' is no member" in str(error)
    assert error.__notes__ == ["in team > router"]
    assert len(llm.requests) == 3


def test_the_tries_are_counted_for_each_choice_anew() -> None:
    wrong = [chosen("bob")] * 2
    llm = ScriptedLLM([*wrong, chosen("a"), *wrong, chosen("b")])
    assert speakers(say("q").pipe(team(llm, max_turns=2))) == ["a", "b"]
    assert [len(request.messages) for request in llm.requests] == [2, 4, 6, 2, 4, 6]


def test_the_prompt_may_be_replaced_and_holds_the_members_and_the_history() -> None:
    llm = router("a")
    prompted = team(llm, system_prompt="Who? {agents} / {history} / {x}", max_turns=1)
    values(say('{"a": "{agents}"}').pipe(prompted, text()))
    assert llm.requests[0].messages[0]["content"] == (
        'Who? - agent_id: a\n- agent_id: b / user: {"a": "{agents}"} / {x}'
    )


def test_the_tools_of_the_members_are_shown_when_asked() -> None:
    def look() -> None:
        """Looks."""

    members = [Agent("a", lambda request: rx.of("x"), "Knows", tools=[look]), talker("b")]
    for shown in (False, True):
        llm = router("a")
        values(say("q").pipe(team(llm, *members, include_tools_descriptions=shown, max_turns=1), text()))
        assert ("tool look: Looks." in llm.requests[0].messages[0]["content"]) == shown


@pytest.mark.parametrize("is_async", [False, True])
def test_a_reading_strategy_chooses_what_the_model_sees(is_async: bool) -> None:
    async def later(heard: Transcript) -> Any:
        await asyncio.sleep(1)
        return heard[-1:]

    llm = router("a")
    strategy = later if is_async else lambda heard: heard[-1:]
    values(say("first", "two").pipe(team(llm, reading_strategy=strategy, max_turns=1), text()))
    assert "user: first" not in llm.requests[0].messages[0]["content"]
    assert "user: two" in llm.requests[0].messages[0]["content"]


# -- transitions


def test_transitions_go_by_member_or_by_id_and_narrow_the_choice() -> None:
    a, b, c = map(talker, "abc")
    llm = router("a", "c")
    transitions = {a: ["b", c], "b": [a], c: ["b"]}
    entries = speakers(say("q").pipe(team(llm, a, b, c, allowed_transitions=transitions, max_turns=4)))
    assert entries == ["a", "c", "b", "a"]
    schemas = [request.response_format["json_schema"]["schema"] for request in llm.requests]  # type: ignore[index]
    assert [schema["properties"]["agent_id"]["enum"] for schema in schemas] == [["a", "b", "c"], ["b", "c"]]


def test_who_is_no_key_has_no_follower_and_the_team_is_done() -> None:
    for transitions in ({"a": ["b"]}, {"a": ["b"], "b": []}):
        both = team(router("a"), allowed_transitions=transitions)
        assert [mark for mark in marks_of(say("q").pipe(both)) if mark[0] == "result"] == [("result", "done")]
        both.llm = router("a")
        assert speakers(say("q").pipe(both)) == ["a", "b"]


def test_a_choice_that_is_not_allowed_is_told_so() -> None:
    a, b, c = map(talker, "abc")
    llm = router("a", "a", "c")
    assert speakers(say("q").pipe(team(llm, a, b, c, allowed_transitions={a: [b, c]}))) == ["a", "c"]
    assert "a may not speak now; the choice is between: b, c." in llm.requests[2].messages[-1]["content"]


def test_nothing_is_kept_between_two_runs() -> None:
    llm = router("a", "b", "b", "a")
    both = team(llm, allowed_transitions={"a": ["b", "a"], "b": ["a", "b"]}, max_turns=2)
    assert speakers(say("q").pipe(both)) == ["a", "b"]
    assert speakers(say("q").pipe(both)) == ["b", "a"]
    assert "b: b" not in llm.requests[2].messages[0]["content"]


def test_two_runs_of_one_team_at_once_do_not_meet() -> None:
    def model(request: ChatRequest) -> Observable[Any]:
        system = request.messages[0]["content"]
        first, second = ("a", "b") if "user: one" in system else ("b", "a")
        return rx.of(second if f"{first}: " in system else first)

    def slow(id: str) -> Agent:
        return Agent(id, lambda request: marbles("-x|"))

    both = team(
        model, slow("a"), slow("b"), max_turns=2, allowed_transitions={"a": ["b", "a"], "b": ["a", "b"]}
    )
    runs = [
        say(word).pipe(both, responses(), ops.map(lambda m, word=word: (word, m.name)))
        for word in ("one", "two")
    ]
    heard = values(rx.merge(*runs))[:-1]
    assert [name for word, name in heard if word == "one"] == ["a", "b"]
    assert [name for word, name in heard if word == "two"] == ["b", "a"]


# -- the ends


def test_a_members_stop_ends_the_team() -> None:
    marks = marks_of(say("q").pipe(team(router("a", "stopper"), talker("a"), STOPPER)), state=True)
    assert marks[-1] == ("result", "agent-stop")


def test_the_unattended_user_ends_the_team() -> None:
    llm = router("a", "user")
    marks = marks_of(say("q").pipe(team(llm, talker("a"), User(mode="unattended"))))
    assert [content for mark, content in marks if mark == "start"] == ["team", "a"]
    assert marks[-1] == ("result", "agent-stop")


@pytest.mark.parametrize("is_async", [False, True])
def test_the_stop_callback_ends_the_team_after_a_turn(is_async: bool) -> None:
    async def later(heard: Transcript) -> bool:
        await asyncio.sleep(1)
        return len(heard) > 4

    callback = later if is_async else lambda heard: len(heard) > 4
    stopped = team(ScriptedLLM([]), talker("a"), stop_callback=callback)
    marks = marks_of(say(SystemMessage("s"), "q").pipe(stopped))
    assert [str(mark) for mark, _ in marks].count("response") == 3
    assert marks[-1] == ("result", "callback-stop")


def test_the_stop_callback_gets_the_conversation() -> None:
    seen: list[Any] = []

    def callback(heard: Transcript) -> bool:
        said = [message.text for message in heard]
        seen.append((len(heard), said, heard[0].text, heard[-1].name, len(heard.messages), heard[1:][0].role))
        assert heard.variables["n"] == 1
        assert heard.metrics["total_tokens"] == 3 + 7
        assert heard.log[-1] == ("info", "note")
        return True

    @agent
    def a(heard: Transcript) -> Any:
        return [
            StateUpdate("note", variables={"n": 1}, usage=Usage(total_tokens=3), log=(("info", "note"),)),
            "x",
        ]

    llm = ScriptedLLM([Reply('{"agent_id": "a", "reason": ""}', usage=Usage(total_tokens=7))])
    source = say(SystemMessage("s"), "q")
    assert result_of(source.pipe(team(llm, a, talker("b"), stop_callback=callback))) == "callback-stop"
    assert seen == [(3, ["s", "q", "x"], "s", "a", 3, "user")]


def test_tool_messages_are_not_counted() -> None:
    from rxagents.llm.replies import Call

    async def look() -> str:
        return "x"

    counted: list[int] = []
    member = Agent("a", ScriptedLLM([Call("look"), "ok"]), tools=[look])
    values(
        say("q").pipe(
            team(ScriptedLLM([]), member, stop_callback=lambda heard: counted.append(len(heard)) or True),
            text(),
        )
    )  # type: ignore[func-returns-value]
    assert counted == [2]


def test_it_ends_after_so_many_turns() -> None:
    entries = marks_of(say("q").pipe(team(ScriptedLLM([]), talker("a"), max_turns=7)))
    assert [str(mark) for mark, _ in entries].count("response") == 7
    assert entries[-1] == ("result", "max-turns")
    assert team(ScriptedLLM([]), talker("a")).max_turns == 50


def test_a_member_that_fails_fails_the_team() -> None:
    llm = router("a", "b")
    failing = Agent("b", lambda request: rx.throw(ValueError("no")))
    marks = marks_of(say("q").pipe(team(llm, talker("a"), failing)))
    assert [(str(mark), content) for mark, content in marks[-4:]] == [
        ("error", {"type": "ValueError", "message": "no", "where": "team > b"}),
        *(("end", "b"), ("end", "team"), ("result", "agent-error")),
    ]


def test_a_router_that_fails_keeps_its_cause() -> None:
    error = ValueError("no")
    error.__cause__ = KeyError("cause")
    (raised,) = values(say("q").pipe(team(lambda request: rx.throw(error)), text()))
    assert raised is error
    assert error.__notes__ == ["in team > router"]
    assert isinstance(error.__cause__, KeyError)


def test_a_router_that_gives_no_observable_is_named() -> None:
    (error,) = values(say("q").pipe(team(lambda request: "a"), text()))
    assert isinstance(error, ConfigurationError)
    assert "the model of team gave str" in str(error)
    assert error.__notes__ == ["in team > router"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stop_callback_that_raises_fails_the_team(is_async: bool) -> None:
    async def later(heard: Transcript) -> bool:
        raise ValueError("no")

    def callback(heard: Transcript) -> bool:
        raise ValueError("no")

    (*_, error) = values(
        say("q").pipe(
            team(ScriptedLLM([]), talker("a"), stop_callback=later if is_async else callback), text()
        )
    )
    assert error.__notes__ == ["in team > stop_callback"]


# -- what it counts and logs


def test_the_usage_of_the_router_counts_and_its_choices_are_logged() -> None:
    wrong = Reply("bob", usage=Usage(total_tokens=100))
    right = Reply('{"agent_id": "b", "reason": "best"}', usage=Usage(total_tokens=10))
    speaker = Agent("b", ScriptedLLM([Reply("x", usage=Usage(total_tokens=1))]))
    conversation = Conversation()
    routed = team(ScriptedLLM([wrong, right]), talker("a"), speaker, max_turns=1)
    marks = values(Workflow(routed, conversation).observe("q", state=True))[:-1]
    assert conversation.metrics["total_tokens"] == 111
    assert conversation.log == (
        ("error", "team/choice", "team", "bob"),
        ("info", "team/choice", "team", "b", "best"),
        ("info", "team/max-turns", "team"),
    )
    states = [content for mark, content in marks if mark == "state"]
    assert [(state["kind"], state.get("agent_id"), state.get("error")) for state in states[:2]] == [
        ("choice", None, "'bob' is no member; the choice is between: a, b."),
        ("choice", "b", None),
    ]
    assert [
        content
        for mark, content in marks_of(say("q").pipe(team(router("a"), max_turns=1)))
        if mark == "state"
    ] == []


def test_how_it_ended_is_logged() -> None:
    def log_of(**options: Any) -> Any:
        members = options.pop("members", [talker("a")])
        (folded, _) = values(say("q").pipe(team(ScriptedLLM([]), *members, **options), transcript()))
        return folded.log[-1]

    assert log_of(members=[STOPPER]) == ("info", "team/stop", "team")
    assert log_of(stop_callback=lambda heard: True) == ("info", "team/callback-stop", "team")
    assert log_of(max_turns=1) == ("info", "team/max-turns", "team")


# -- nesting


def test_a_stop_in_a_nested_team_ends_only_that_team() -> None:
    inner = team(router("a", "stopper"), talker("a"), STOPPER, id="inner")
    outer = team(router("inner", "b"), inner, talker("b"), id="outer", max_turns=2)
    marks = marks_of(say("q").pipe(outer))
    shown = [(str(mark), content) for mark, content in marks if mark in ("start", "end")]
    assert shown == [
        *(
            ("start", "outer"),
            ("start", "inner"),
            ("start", "a"),
            ("end", "a"),
            ("start", "stopper"),
            ("end", "stopper"),
        ),
        *(("end", "inner"), ("start", "b"), ("end", "b"), ("end", "outer")),
    ]
    assert marks[-1] == ("result", "max-turns")


@pytest.mark.parametrize("wrap", [False, True])
def test_a_stop_of_the_run_ends_all_teams(wrap: bool) -> None:
    stopper: Any = as_agent("stopper", lambda source: just(StateUpdate("stop", stop="all", scope="run")))
    if wrap:
        stopper = as_agent("wrapped", stopper)
    inner = team(router("a", stopper.id), talker("a"), stopper, id="inner")
    outer = team(router("inner"), inner, talker("b"), id="outer")
    around = team(ScriptedLLM([]), outer, id="around")
    marks = marks_of(say("q").pipe(around))
    assert [str(mark) for mark, _ in marks].count("response") == 1
    assert marks[-1] == ("result", "agent-stop")


def test_a_stop_of_the_run_that_stands_in_no_block_ends_all_teams_too() -> None:
    class Stopping(User):
        def _block(self, transcript: Transcript) -> StateUpdate:
            return StateUpdate("stop", stop="all", scope="run")

    inner = team(ScriptedLLM([]), Stopping("stopper"), id="inner")
    marks = marks_of(say("q").pipe(team(router("inner"), inner, talker("b"), id="outer")))
    assert [str(mark) for mark, _ in marks].count("response") == 0
    assert marks[-1] == ("result", "agent-stop")


def test_a_stop_within_the_blocks_of_a_member_ends_its_team() -> None:
    deep = as_agent(
        "one", as_agent("two", as_agent("three", lambda source: just(StateUpdate("s", stop="x"))))
    )
    assert result_of(say("q").pipe(team(ScriptedLLM([]), deep))) == "agent-stop"


def test_what_a_stop_brings_beside_it_stays() -> None:
    stopping = StateUpdate("stop", variables={"n": 1}, stop="enough", usage=Usage(total_tokens=5))
    plain = agent(lambda heard: stopping, id="f")
    (folded, _) = values(say("q").pipe(team(ScriptedLLM([]), plain), transcript()))
    assert folded.variables["n"] == 1
    assert folded.usage.total_tokens == 5


def nested(depth: int, innermost: Any, **options: Any) -> Any:
    for level in range(depth):
        innermost = team(ScriptedLLM([]), innermost, id=f"t{level}", max_turns=1, **options)
    return innermost


def test_a_thousand_nested_teams_run() -> None:
    entries = timeline(say("q").pipe(nested(1_000, Agent("a", ScriptedLLM(["Hello there"]))), markers()))
    marks = [item for _, item in entries[:-1]]
    assert [str(mark) for mark, _ in marks].count("start") == 1_001
    assert [content for mark, content in marks if mark == "end"] == [
        "a",
        *(f"t{level}" for level in range(1_000)),
    ]
    assert marks[-1] == ("result", "max-turns")


def test_a_thousand_nested_teams_are_interrupted_and_the_model_is_cancelled() -> None:
    gone: list[str] = []
    source = marbles("-x-x-x-x|").pipe(ops.finally_action(lambda: gone.append("gone")))
    deep = nested(1_000, Agent("a", lambda request: source))
    entries = timeline(say("q").pipe(deep, until(rx.timer(4.0)), markers()))
    marks = [item for _, item in entries[:-1]]
    assert [str(mark) for mark, _ in marks].count("end") == 1_001
    assert marks[-1] == ("result", "interrupted")
    assert gone == ["gone"]


def test_a_thousand_nested_teams_fail_and_say_where() -> None:
    deep = nested(1_000, Agent("a", lambda request: rx.throw(ValueError("no"))))
    marks = marks_of(say("q").pipe(deep))
    (content,) = [content for mark, content in marks if mark == "error"]
    assert content["where"].startswith("t999 > t998 > ")
    assert content["where"].endswith(" > t0 > a")
    assert marks[-1] == ("result", "agent-error")


def test_disposing_a_team_cancels_the_member_and_the_router() -> None:
    gone: list[str] = []

    def model(name: str) -> Any:
        source = marbles("----x----|").pipe(ops.finally_action(lambda: gone.append(name)))
        return lambda request: source

    assert timeline(say("q").pipe(team(model("router")), text()), dispose_at=2) == []
    members = [Agent("a", model("a")), talker("b")]
    assert timeline(say("q").pipe(team(router("a"), *members), text()), dispose_at=2) == []
    assert gone == ["router", "a"]


def test_a_member_that_was_cut_is_heard_and_the_team_goes_on() -> None:
    cut = as_agent(
        "cut",
        lambda source: source.pipe(Agent("x", lambda request: marbles("-a-b-c|")), until(rx.timer(2.0))),
    )
    llm = ScriptedLLM(["ok"])
    entries = timeline(say("q").pipe(team(router("cut", "b"), cut, Agent("b", llm), max_turns=2), markers()))
    marks = [item for _, item in entries[:-1]]
    assert [str(mark) for mark, _ in marks if mark in ("interrupted", "response")] == [
        "interrupted",
        "response",
    ]
    assert marks[-1] == ("result", "max-turns")
    assert llm.requests[0].messages[-1] == {"role": "assistant", "content": "a", "name": "x"}


# -- construction


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([], "team team has no members"),
        ([talker("a"), talker("b"), talker("a")], "two members have the id 'a'"),
        ([talker("a"), "b"], "str is no member"),
        ([talker("a"), lambda source: source], "function is no member"),
    ],
)
def test_members_that_do_not_do_are_refused(members: list[Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Team(ScriptedLLM([]), members, "team")


def test_a_member_of_ones_own_making_needs_an_id_that_fits() -> None:
    class Own:
        id = "a b"

        def __call__(self, source: Any) -> Any:
            return source

    with pytest.raises(ConfigurationError, match="the id 'a b'"):
        Team(ScriptedLLM([]), [Own()], "team")  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"id": "a b"}, "the id 'a b'"),
        ({"id": ""}, "the id ''"),
        ({"allowed_transitions": {"a": ["bob"]}}, "names 'bob', who is no member"),
        ({"allowed_transitions": {"bob": ["a"]}}, "names 'bob', who is no member"),
        ({"allowed_transitions": {talker("c"): ["a"]}}, "names <Agent c>, who is no member"),
        ({"allowed_transitions": {talker("a"): ["a"]}}, "names <Agent a>, who is no member"),
        ({"allowed_transitions": {"a": "b"}}, "a list"),
        ({"allowed_transitions": {"a": 3}}, "a list"),
        ({"allowed_transitions": {"a": [3]}}, "names 3, who is no member"),
        ({"allowed_transitions": [1]}, "allowed_transitions is a list; give a dict"),
        ({"max_turns": 0}, "max_turns is 0"),
        ({"max_turns": "5"}, "max_turns is '5'; it must be a number"),
        ({"members": None}, "members is a NoneType; give a list"),
        ({"members": "ab"}, "members is a str; give a list"),
        ({"members": talker("a")}, "members is a Agent; give a list"),
        ({"reading_strategy": 5}, "team team: reading_strategy is a int; give a function"),
        ({"llm": "gpt"}, "llm is a str"),
        ({"stop_callback": 3}, "stop_callback is a int"),
    ],
)
def test_settings_that_do_not_do_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Team(**({"llm": ScriptedLLM([]), "members": [talker("a"), talker("b")], "id": "team"} | options))


def test_what_it_was_given_may_change_without_changing_it() -> None:
    members = [talker("a")]
    transitions: dict[str, list[str]] = {"a": ["a"]}
    made = team(ScriptedLLM([]), *members, allowed_transitions=transitions, max_turns=2)
    members.append(talker("b"))
    transitions["a"].clear()
    assert speakers(say("q").pipe(made)) == ["a", "a"]


def test_messages_of_the_members_stand_in_their_blocks() -> None:
    entries = values(say("q").pipe(team(router("a", "b"), max_turns=2), messages()))[:-1]
    assert [message.name for message in entries] == ["a", "b"]
