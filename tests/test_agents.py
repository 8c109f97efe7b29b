"""Agent: what it asks, what it says, its tools and their failures, its interruption, and pipes of agents."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    AssistantMessage,
    ChatRequest,
    Completion,
    ConfigurationError,
    Conversation,
    InputError,
    MaxRoundsError,
    MessageStream,
    ScriptedLLM,
    StateUpdate,
    SystemMessage,
    Tool,
    Usage,
    UserMessage,
    Workflow,
    say,
)
from rxagents.engine.emitters import just
from rxagents.llm.replies import Call, Reply
from rxagents.operators import answer, markers, messages, responses, text, transcript, until
from rxagents.testing import Marbles, virtual
from rxagents.values import FunctionResult, delta
from tests.team_views import only

# -- the turn


def test_a_turn_is_one_block_with_one_message_as_the_diagram_draws_it(marbles: Marbles) -> None:
    agent = Agent("a", marbles.llm(lambda request: "Hi-|"))
    source = marbles.cold("                           -q-|", q=MessageStream.of(UserMessage("q")))
    marbles.expect(source.pipe(agent)).to_be(
        """
           ---(a|)
        a  ---m--|
        m  ---Hi-|
        """
    )
    marbles.expect(source.pipe(agent, text())).to_be("---Hi-|")
    speakers = source.pipe(agent, messages(), ops.map(lambda message: (message.name, message.role)))
    marbles.expect(speakers).to_be("                  ---s--|", s=("a", "assistant"))


def test_its_turn_comes_when_all_that_it_hears_has_ended(marbles: Marbles) -> None:
    b = marbles.message("                    -x-y---|", name="b")
    llm = marbles.llm("                             done|")
    turn = just(b).pipe(Agent("a", llm), text())
    marbles.expect(turn).to_be("             -------done|")
    marbles.expect_subscriptions(llm).to_be("-------^---!")
    marbles.flush()
    assert llm.requests[0].messages == ({"role": "user", "content": "xy", "name": "b"},)


def test_nothing_runs_before_somebody_subscribes_and_each_subscription_is_a_run(marbles: Marbles) -> None:
    llm = marbles.llm("                        -one|", "-two|")
    pipeline = say("q").pipe(Agent("a", llm), text())
    assert llm.requests == []
    marbles.expect(pipeline).to_be("         --^one|")
    marbles.expect(pipeline).to_be("         ---------^two|")
    marbles.expect_subscriptions(llm).to_be("--^---!", "---------^---!")


def test_the_request_holds_the_system_prompt_the_conversation_and_the_settings(marbles: Marbles) -> None:
    llm = marbles.llm("ok|")
    agent = Agent("a", llm, system_message="Be brief.", temperature=0, seed=1)
    source = say(SystemMessage("sys"), UserMessage("q", name="ann"), AssistantMessage("hi", name="b"))
    marbles.expect(source.pipe(agent, text())).to_be("ok|")
    marbles.flush()
    assert llm.requests == [
        ChatRequest(
            (
                {"role": "system", "content": "Be brief."},
                {"role": "system", "content": "sys"},
                {"role": "user", "content": "q", "name": "ann"},
                {"role": "assistant", "content": "hi", "name": "b"},
            ),
            params={"temperature": 0, "seed": 1},
            agent="a",
        )
    ]


def test_the_request_holds_the_schemas_of_the_tools(marbles: Marbles) -> None:
    llm = marbles.llm("ok|")
    agent = Agent("a", llm, tools=[Tool(look, description="Looks.")])
    marbles.expect(say("q").pipe(agent, text())).to_be("ok|")
    marbles.flush()
    (definition,) = llm.requests[0].tools
    assert definition["type"] == "function"
    assert definition["function"]["name"] == "look"
    assert definition["function"]["description"] == "Looks."
    assert definition["function"]["parameters"]["properties"]["what"] == {"type": "string"}


@pytest.mark.parametrize(
    ("others_as", "role"), [(None, "user"), ("assistant", "assistant"), ("user", "user")]
)
def test_another_agents_words_are_sent_as_told(marbles: Marbles, others_as: Any, role: str) -> None:
    llm = marbles.llm("ok|")
    agent = Agent("a", llm, others_as=others_as)
    marbles.expect(say(AssistantMessage("hi", name="b")).pipe(agent, text())).to_be("ok|")
    marbles.flush()
    assert llm.requests[0].messages == ({"role": role, "content": "hi", "name": "b"},)


def test_an_agent_reads_its_own_earlier_turn_with_its_tools(marbles: Marbles) -> None:
    llm = ScriptedLLM([Call("look", {"what": "x"}), "seen", "again"])
    workflow = Workflow(Agent("a", llm, tools=[look]))
    first, second = (workflow.observe(question).pipe(ops.last()) for question in ("q1", "q2"))
    marbles.expect(first).to_be(" (r|)", r=("result", "done"))
    marbles.expect(second).to_be("-(^r|)", r=("result", "done"))
    marbles.flush()
    assert [message["role"] for message in llm.requests[2].messages] == [
        *("user", "assistant", "tool", "assistant", "user"),
    ]
    call, result, said = llm.requests[2].messages[1:4]
    assert call["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"what":"x"}'}
    assert result == {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "saw x"}
    assert said["content"] == "seen"


@pytest.mark.parametrize("kind", ["sync", "async", "iterable"])
def test_a_reading_strategy_chooses_what_the_model_sees(marbles: Marbles, kind: str) -> None:
    async def later(transcript: Any) -> Any:
        await asyncio.sleep(3)
        return transcript[-1:]

    strategy = {"sync": lambda t: t[-1:], "async": later, "iterable": lambda t: (m for m in list(t)[-1:])}[
        kind
    ]
    llm = marbles.llm("ok|")
    agent = Agent("a", llm, reading_strategy=strategy)
    marbles.expect(say("one", "two").pipe(agent, text())).to_be("---ok|" if kind == "async" else "ok|")
    marbles.flush()
    assert llm.requests[0].messages == ({"role": "user", "content": "two"},)


def test_a_reading_strategy_that_raises_fails_the_turn_with_its_cause(marbles: Marbles) -> None:
    cause = KeyError("cause")

    def strategy(_: Any) -> Any:
        raise ValueError("no") from cause

    failed = marbles.probe()
    agent = Agent("a", marbles.llm(), reading_strategy=strategy)
    marbles.expect(say("q").pipe(agent, text(), failed)).to_be("#", error=ValueError("no"))
    marbles.flush()
    (error,) = failed.errors
    assert error.__notes__ == ["in a > reading_strategy"]
    assert error.__cause__ is cause


# -- models of all kinds


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (["Hel", "lo"], "Hello"),
        ([{"content": "Hello"}], "Hello"),
        ([delta("Hel"), "lo", {"content": None}, {}], "Hello"),
        (["Hello", Completion(finish_reason="length")], "Hello"),
        ([], ""),
    ],
)
def test_a_model_may_emit_strings_partial_deltas_and_no_completion(
    marbles: Marbles, items: list[Any], said: str
) -> None:
    agent = Agent("a", lambda request: rx.from_iterable(items))
    reason = "length" if items and isinstance(items[-1], Completion) else None
    answered = say("q").pipe(agent, answer(), ops.map(lambda m: (m.text, m.usage, m.finish_reason)))
    marbles.expect(answered).to_be("(x|)", x=(said, None, reason))


def test_what_the_wire_says_of_the_role_is_not_shown(marbles: Marbles) -> None:
    agent = Agent("a", lambda request: rx.of({"role": "assistant", "content": "Hi"}, {"content": " you"}))
    keys = ["content", "function_call", "refusal", "tool_calls"]
    deltas = say("q").pipe(agent, markers(), only("delta"), ops.map(lambda marker: list(marker[1])))
    marbles.expect(deltas).to_be("(k k|)", k=keys)


def raises_at_call(error: Exception) -> Callable[[Any], Observable[Any]]:
    def llm(request: Any) -> Observable[Any]:
        raise error

    return llm


@pytest.mark.parametrize(
    "llm",
    [raises_at_call, lambda error: lambda request: rx.throw(error)],
    ids=["at the call", "in the stream"],
)
def test_a_model_that_raises_fails_the_turn(marbles: Marbles, llm: Any) -> None:
    error = ValueError("no")
    error.__cause__ = KeyError("cause")
    failed = marbles.probe()
    marbles.expect(say("q").pipe(Agent("a", llm(error)), text(), failed)).to_be("#", error=error)
    marbles.flush()
    assert failed.errors == [error]
    assert error.__notes__ == ["in a"]
    assert isinstance(error.__cause__, KeyError)


def test_what_arrived_before_the_model_failed_stays(marbles: Marbles) -> None:
    conversation, ended = Conversation(), marbles.probe()
    agent = Agent("a", marbles.llm("Hel-lo-#", error=ValueError("lost")))
    marbles.expect_markers(Workflow(agent, conversation).observe("q").pipe(ended)).to_be(
        [
            (0, "start", "a"),
            (0, "delta", "Hel"),
            (4, "delta", "lo"),
            (7, "error", {"type": "ValueError", "message": "lost", "where": "a"}),
            (7, "end", "a"),
            (7, "result", "agent-error"),
        ]
    )
    marbles.flush()
    assert ended.completions == 1
    assert (conversation[-1].text, conversation[-1].finish_reason) == ("Hello", "error")


@pytest.mark.parametrize("given", ["Hello", None, ["Hello"]])
def test_a_model_that_gives_no_observable_is_named(marbles: Marbles, given: Any) -> None:
    failed = marbles.probe()
    asked = say("q").pipe(Agent("a", lambda request: given), text(), failed)
    marbles.expect(asked).to_be("#", error=ConfigurationError)
    marbles.flush()
    assert f"the model of a gave {type(given).__name__}" in str(failed.errors[0])


def test_a_model_that_emits_nonsense_fails_the_turn(marbles: Marbles) -> None:
    failed = marbles.probe()
    asked = say("q").pipe(Agent("a", lambda request: rx.of(3)), text(), failed)
    marbles.expect(asked).to_be("#", error=InputError)
    marbles.flush()
    assert "made of deltas and strings, but got int" in str(failed.errors[0])
    assert failed.errors[0].__notes__ == ["in a"]


# -- tools


def look(what: str) -> str:
    return f"saw {what}"


def test_the_calls_of_a_round_run_at_once_and_answer_in_call_order(marbles: Marbles) -> None:
    wait = marbles.tool(
        "w",
        "----------------------------------------(a|)",
        "------------------------------------(b|)",
        "--------------------------------------------------(c|)",
        arguments={"n": float},
    )
    llm = ScriptedLLM([[Call("w", {"n": 3}), Call("w", {"n": 1}), Call("w", {"n": 5})], "ok"])
    marbles.expect(say("q").pipe(Agent("a", llm, tools=[wait]))).to_be(
        """
           (a|)
        a  m-------------------------------------------------|
        m  (@w{"n":3} @w{"n":1} @w{"n":5})---------(=a =b)---(=c ok|)
        """
    )
    marbles.expect_subscriptions(wait).to_be(
        "^---------------------------------------!",
        "^-----------------------------------!",
        "^-------------------------------------------------!",
    )
    marbles.flush()
    assert [str(arguments["n"]) for arguments in wait.arguments] == ["3.0", "1.0", "5.0"]
    sent = llm.requests[1].messages
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool", "tool"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == [message["tool_call_id"] for message in sent[2:]]


def test_async_tools_run_on_the_loop_and_sync_ones_in_a_thread(marbles: Marbles) -> None:
    where: dict[str, Any] = {}

    def blocking() -> dict[str, int]:
        where["sync"] = threading.current_thread()
        return {"n": 1}

    async def quick() -> None:
        where["async"] = threading.current_thread()

    llm = marbles.llm("(@blocking @quick|)", "(ok|)")
    marbles.expect(say("q").pipe(Agent("a", llm, tools=[blocking, quick]))).to_be(
        """
           (a|)
        a  (m|)
        m  (@blocking @quick ='{"n":1}' =null ok|)
        """
    )
    marbles.flush()
    assert where["async"] is threading.main_thread()
    assert where["sync"] is not threading.main_thread()


def test_several_rounds_make_one_message_with_steps_and_the_sum_of_the_usage(marbles: Marbles) -> None:
    def reply(calls: list[Call], said: str, tokens: int) -> Reply:
        return Reply(
            said, calls, usage=Usage(completion_tokens=tokens, prompt_tokens=1, total_tokens=tokens + 1)
        )

    llm = ScriptedLLM(
        [
            reply([Call("look", {"what": "x"})], "First. ", 10),
            reply([Call("look", {"what": "y"})], "Then. ", 20),
            reply([], "Done.", 30),
        ]
    )
    said = marbles.probe()
    answered = say("q").pipe(Agent("a", llm, tools=[look]), answer(), said, ops.map(str))
    marbles.expect(answered).to_be("(t|)", t="First. Then. Done.")
    marbles.flush()
    (message,) = said.items
    assert message.text == "First. Then. Done."
    assert message.usage == Usage(completion_tokens=60, prompt_tokens=3, total_tokens=63)
    assert message.finish_reason == "stop"
    assert [(step.role, step.text) for step in message.steps] == [
        *(("assistant", "First. "), ("tool", "saw x"), ("assistant", "Then. "), ("tool", "saw y")),
    ]
    assert message.tool_calls == ()
    assert [sent["content"] for sent in llm.requests[2].messages] == [
        "q",
        "First. ",
        "saw x",
        "Then. ",
        "saw y",
    ]
    assert llm.requests[0].messages == llm.requests[2].messages[:1]


def test_the_deltas_of_all_rounds_come_with_the_results_between_them(marbles: Marbles) -> None:
    agent = Agent("a", marbles.llm('(@look{"what":"x"}|)', "(ok|)"), tools=[look])
    said = marbles.probe()
    marbles.expect(say("q").pipe(agent, messages(), said)).to_be(
        """
        turn  (m|)
        m     (@look{"what":"x"} =saw_x ok|)
        """
    )
    marbles.flush()
    (stream,) = said.items
    kinds = [type(item).__name__ if not isinstance(item, dict) else "delta" for item in stream.items]
    assert kinds.count("FunctionResult") == 1
    assert stream.items[kinds.index("FunctionResult")] == FunctionResult("look", "saw x", "call_1")
    assert kinds[0] == kinds[-1] == "delta"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (Call("nothing"), "there is no tool 'nothing'"),
        (Call("look", '{"what": '), "no valid JSON"),
        (Call("look", {"what": 3}), "do not fit"),
        (Call("fails"), "the tool 'fails' failed: ValueError: no"),
        (Call("slow"), "did not answer within 2 s"),
        (Call("leaves"), "the tool 'leaves' failed: SystemExit"),
    ],
)
def test_the_model_is_told_what_went_wrong_and_the_run_goes_on(
    marbles: Marbles, call: Call, told: str
) -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def slow() -> None:
        await asyncio.sleep(100)

    async def leaves() -> None:
        sys.exit(1)

    llm = ScriptedLLM([call, "sorry"])
    agent, turn = Agent("a", llm, tools=[look, fails, leaves]), marbles.probe()
    agent.register_tool(timeout=2)(slow)
    after = 2 if call.name == "slow" else 0
    without_deltas = ops.filter(lambda marker: marker[0] != "delta")
    marbles.expect_markers(say("q").pipe(agent, markers(), without_deltas, turn)).to_be(
        [
            (0, "start", "a"),
            (after, "function_result", ...),
            (after, "response", "sorry"),
            (after, "end", "a"),
            (after, "result", "done"),
        ]
    )
    marbles.flush()
    assert turn.completions == 1
    result = turn.items[1][1]["result"]
    assert told in result
    assert llm.requests[1].messages[-1]["content"] == result


def test_one_call_that_fails_leaves_the_others_alone(marbles: Marbles) -> None:
    agent = Agent("a", ScriptedLLM([[Call("gone"), Call("look", {"what": "x"})], "ok"]), tools=[look])
    results = say("q").pipe(agent, markers(), only("function_result"))
    marbles.expect(results.pipe(ops.map(lambda marker: marker[1]["result"]))).to_be(
        "(x y|)",
        x="Error: there is no tool 'gone'\nThe tools are: look. Call one of these, or answer without a tool.",
        y="saw x",
    )


def test_a_model_that_never_stops_calling_fails_the_turn(marbles: Marbles) -> None:
    llm = marbles.llm(*['-@look{"what":"x"}-|'] * 3)
    agent = Agent("a", llm, tools=[look], max_rounds=3)
    failed = marbles.probe()
    marbles.expect(say("q").pipe(agent, text(), failed)).to_be(
        "---------------------------------------------------------#",
        error=MaxRoundsError,
    )
    marbles.expect_subscriptions(llm).to_be(
        "^------------------!",
        "-------------------^------------------!",
        "--------------------------------------^------------------!",
    )
    marbles.flush()
    assert "in 3 rounds" in str(failed.errors[0])
    assert len(llm.requests) == 3


def test_a_tool_is_registered_by_a_decorator_that_leaves_the_function_as_it_is(marbles: Marbles) -> None:
    agent = Agent("a", marbles.llm('(@see{"what":"x"}|)', "(ok|)"))
    assert agent.register_tool(name="see", description="Sees.")(look) is look
    marbles.expect(say("q").pipe(agent)).to_be(
        """
           (a|)
        a  (m|)
        m  (@see{"what":"x"} =saw_x ok|)
        """
    )
    with pytest.raises(ConfigurationError, match="two tools have the name 'see'"):
        agent.register_tool(name="see")(look)


# -- interruption


def test_an_async_tool_is_cancelled_at_the_instant_of_the_interruption(marbles: Marbles) -> None:
    stop = marbles.hot("                      -------s")
    llm = marbles.llm("                       (@slow|)")
    slow = marbles.tool("slow", "             -----------|")
    ended = marbles.probe()
    turn = say("q").pipe(Agent("a", llm, tools=[slow]), until(stop), markers(), ended)
    marbles.expect_markers(turn).to_be(
        [
            (0, "start", "a"),
            (0, "delta", ...),
            (7, "interrupted", ""),
            (7, "end", "a"),
            (7, "result", "interrupted"),
        ]
    )
    marbles.expect_subscriptions(slow).to_be("^------!")
    marbles.expect_subscriptions(llm).to_be(" (^!)")
    marbles.flush()
    assert ended.completions == 1


def test_a_tool_of_ones_own_making_that_breaks_fails_the_turn_and_cancels_the_others(
    marbles: Marbles,
) -> None:
    class Broken(Tool):
        async def call(self, arguments: str, **options: Any) -> str:
            await asyncio.sleep(3)
            raise ValueError("no")

    llm = marbles.llm('(@look{"what":"x"} @slow|)')
    slow = marbles.tool("slow", "             ---------|")
    turn = say("q").pipe(Agent("a", llm, tools=[Broken(look), slow]), text())
    marbles.expect(turn).to_be("              ---#", error=ValueError("no"))
    marbles.expect_subscriptions(slow).to_be("^--!")


def test_disposing_cancels_the_tools_of_the_round(marbles: Marbles) -> None:
    llm = marbles.llm("                           (@slow @slow|)")
    slow = marbles.tool("slow", "                 ---------|")
    turn = say("q").pipe(Agent("a", llm, tools=[slow]), text())
    marbles.expect(turn, unsubscribe_at=3).to_be("---")
    marbles.expect_subscriptions(slow).to_be("    ^--!", "^--!")


@virtual
async def test_a_blocking_tool_is_abandoned_and_its_result_dropped() -> None:
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()
    stop: rx.Subject[Any] = rx.Subject()

    def blocking() -> str:
        entered.set()
        leave.wait(30)
        left.set()
        return "late"

    llm = ScriptedLLM([Call("blocking"), "never"])
    marks: list[Any] = []
    say("q").pipe(Agent("a", llm, tools=[blocking]), until(stop), markers()).subscribe(marks.append)
    await asyncio.to_thread(entered.wait, 30)
    stop.on_next("s")
    assert [str(mark) for mark, _ in marks[-3:]] == ["interrupted", "end", "result"]
    leave.set()
    await asyncio.to_thread(left.wait, 30)
    await asyncio.sleep(1)
    assert [str(mark) for mark, _ in marks if mark == "function_result"] == []
    assert len(llm.requests) == 1


def test_a_call_that_was_cut_is_not_sent_in_the_next_turn(marbles: Marbles) -> None:
    quick = marbles.tool("quick", "              (1|)")
    slow = marbles.tool("slow", "                ---------|")
    stop = marbles.hot("                         ---s")
    llm = marbles.llm("                          ('Let me look.' @quick @slow|)", "-fine|")
    agent = Agent("a", llm, tools=[quick, slow])
    conversation = Conversation()
    cut = Workflow(lambda source: source.pipe(agent, until(stop)), conversation).observe("q1")
    then = Workflow(agent, conversation).observe("q2")
    marbles.expect(cut.pipe(ops.last())).to_be(" ---(r|)", r=("result", "interrupted"))
    marbles.expect(then.pipe(ops.last())).to_be("----^----(r|)", r=("result", "done"))
    marbles.flush()
    (call,) = conversation[1].tool_calls
    assert call.function["name"] == "slow"
    sent = llm.requests[1].messages
    # the system's says that it was cut there
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "system", "user"]
    assert [each["function"]["name"] for each in sent[1]["tool_calls"]] == ["quick"]


# -- pipes


def test_in_a_pipe_the_second_hears_what_the_first_said_and_only_its_block_is_shown(
    marbles: Marbles,
) -> None:
    first = marbles.llm(" --one|")
    second = marbles.llm("     -two|")
    ended = marbles.probe()
    pipe = say("q").pipe(Agent("a", first), Agent("b", second), markers(), ended)
    marbles.expect_markers(pipe).to_be(
        [
            (5, "start", "b"),
            (6, "delta", "two"),
            (9, "response", "two"),
            (9, "end", "b"),
            (9, "result", "done"),
        ]
    )
    marbles.flush()
    assert ended.completions == 1
    assert second.requests[0].messages == ({"role": "user", "content": "one", "name": "a"},)


def test_in_a_pipe_no_cost_is_lost(marbles: Marbles) -> None:
    def agent(id: str, tokens: int) -> Agent:
        return Agent(id, ScriptedLLM(lambda request: Reply(id, usage=Usage(total_tokens=tokens))))

    three = say("q").pipe(agent("a", 1), agent("b", 10), agent("c", 100))
    total = three.pipe(transcript(), ops.map(lambda folded: folded.usage.total_tokens))
    marbles.expect(total).to_be("(n|)", n=111)
    updates = three.pipe(
        ops.filter(lambda item: isinstance(item, StateUpdate)),
        ops.map(lambda update: (update.kind, update.usage and update.usage.total_tokens)),
    )
    marbles.expect(updates).to_be("(a b|)", a=("usage", 1), b=("usage", 10))


def test_in_a_pipe_state_passes_on_at_once(marbles: Marbles) -> None:
    update, passed = StateUpdate("note", variables={"n": 1}), marbles.probe()
    b = marbles.message("-------x|")
    llm = marbles.llm("          ok|")
    pipe = rx.concat(just(update), just(b)).pipe(Agent("a", llm), passed)
    marbles.expect(pipe, state=True).to_be(
        """
           <note>--(a|)
        a  --------m-|
        m  --------ok|
        """
    )
    marbles.flush()
    assert passed.items[0] == update


def test_in_a_pipe_the_failure_of_the_first_fails_it_and_the_second_is_not_asked(marbles: Marbles) -> None:
    error, failed = ValueError("no"), marbles.probe()
    first = marbles.llm("       --#", error=error)
    second = marbles.llm()
    pipe = say("q").pipe(Agent("a", first), Agent("b", second), text(), failed)
    marbles.expect(pipe).to_be("--#", error=error)
    marbles.flush()
    assert failed.errors == [error]
    assert second.requests == []


def test_disposing_a_pipe_cancels_the_first(marbles: Marbles) -> None:
    llm = marbles.llm("                           -a-a-a|")
    pipe = say("q").pipe(Agent("a", llm), Agent("b", marbles.llm()), text())
    marbles.expect(pipe, unsubscribe_at=2).to_be("--")
    marbles.expect_subscriptions(llm).to_be("     ^-!")


def test_agents_are_operators_for_merge_concat_and_catch(marbles: Marbles) -> None:
    a = Agent("a", marbles.llm("        -a-a|", "-a-a|"))
    b = Agent("b", marbles.llm("        --b|", "--b|", "--b|"))
    side_by_side = say("q").pipe(lambda source: rx.merge(a(source), b(source)), text(order="arrival"))
    marbles.expect(side_by_side).to_be("-aba|", a="a", b="b")
    one_by_one = a(say("q")).pipe(ops.concat(b(say("q"))), text("/"))
    marbles.expect(one_by_one).to_be("  -a-a(/ b|)")
    failing = Agent("c", marbles.llm("  -#", error=ValueError("no")))
    instead = say("q").pipe(failing, responses(), ops.catch(lambda *_: say("q").pipe(b, responses())))
    names = instead.pipe(ops.map(lambda message: message.name))
    marbles.expect(names).to_be("       ----(b|)")


# -- construction


@pytest.mark.parametrize("id", ["", "a b", "ä", "x" * 65, "a\n", None, 3])
def test_an_id_that_does_not_fit_is_refused(id: Any) -> None:
    with pytest.raises(ConfigurationError, match="the id"):
        Agent(id, ScriptedLLM([]))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"llm": "gpt"}, "llm is a str; give a model"),
        ({"others_as": "system"}, "others_as is 'assistant', 'user' or None"),
        ({"max_rounds": 0}, "max_rounds is 0"),
        ({"max_rounds": "x"}, "max_rounds is 'x'; it must be a number"),
        ({"max_rounds": None}, "max_rounds is None; it must be a number"),
        ({"reading_strategy": 5}, "agent a: reading_strategy is a int; give a function"),
        ({"reading_strategy": 0}, "agent a: reading_strategy is a int; give a function"),
        ({"sytem_message": "x"}, "agent a has no argument 'sytem_message'; did you mean 'system_message'"),
        ({"tool": []}, "no argument 'tool'; did you mean 'tools'"),
        ({"temperature": 0, "max_round": 3}, "no argument 'max_round'; did you mean 'max_rounds'"),
        ({"max_threads": 0}, "at least one place"),
        ({"tools": [3]}, "a tool must be callable"),
    ],
)
def test_settings_that_do_not_do_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Agent(**{"id": "a", "llm": ScriptedLLM([])} | options)


def test_no_tools_may_be_said_as_none() -> None:
    assert len(Agent("a", ScriptedLLM([]), tools=None).toolbox) == 0


REQUEST = """
    audio best_of cache_control enable_thinking extra_body extra_headers extra_query frequency_penalty
    function_call functions guided_json id_token include_reasoning logit_bias logprobs max_completion_tokens
    max_tokens max_tool_calls messages metadata min_p min_tokens modalities model models moderation n
    parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_retention provider
    random_seed reasoning reasoning_effort reasoning_format repetition_penalty response_format
    safe_prompt safety_identifier seed service_tier stop stop_sequences store stream stream_options
    temperature thinking timeout tool_choice top_a top_k top_logprobs top_p transforms user verbosity
    web_search_options
"""


@pytest.mark.parametrize("name", REQUEST.split())
def test_parameters_of_requests_are_not_taken_for_misspelt(name: str) -> None:
    assert Agent("a", ScriptedLLM([]), **{name: 1}).params == {name: 1}  # type: ignore[arg-type]


def test_an_agent_shows_its_id() -> None:
    assert repr(Agent("a", ScriptedLLM([]))) == "<Agent a>"
