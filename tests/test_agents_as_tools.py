"""An agent as a tool of another: a block beside the caller's message, whose answer is the call's result."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from pydantic import BaseModel
from reactivex import operators as ops

from rxagents import (
    Agent,
    AgentError,
    ConfigurationError,
    Context,
    Conversation,
    MessageStream,
    OpenAILLM,
    ScriptedLLM,
    Sequence,
    SQLiteHistory,
    StateUpdate,
    Tool,
    ToolRetry,
    Transcript,
    Usage,
    User,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.consoles.printers import Pen, Printer
from rxagents.engine.emitters import just
from rxagents.llm import Call, Reply
from rxagents.llm.replies import as_reply
from rxagents.operators import answer, markers, messages, shared, text
from rxagents.recorders import _models_of
from rxagents.testing import Marbles, OpenAIServer, Paused, draw, replay
from rxagents.testing.laws import check_laws
from rxagents.values import delta
from tests.team_views import QUITTER, STOPPER

WAIT = 10.0
ASKS = Call("helper", {"input": "What is it?"})


def scripted(id: str, *replies: Any, **options: Any) -> Agent:
    return Agent(id, ScriptedLLM(list(replies)), **options)


def talker(id: str, said: str) -> Agent:
    return Agent(id, lambda request: rx.of(said))


def asked(agent: Agent, number: int = 0) -> list[dict[str, Any]]:
    assert isinstance(agent.llm, ScriptedLLM)
    return list(agent.llm.requests[number].messages)


def caller(helper: Any, *replies: Any, **options: Any) -> Agent:
    """An agent that asks the helper, and then says that it is done."""
    return scripted("caller", *(replies or (ASKS, "Done")), tools=[helper.as_tool(**options)])


def results(workflow: Workflow) -> list[str]:
    return [step.text for message in workflow.conversation for step in message.steps if step.role == "tool"]


# -- its block


def test_its_tokens_come_while_the_caller_waits(marbles: Marbles) -> None:
    helper = Agent("helper", marbles.llm("              --It-is-42--|"))
    llm = marbles.llm('@helper{"input":"what?"}|', "                        --------Yes|")
    bot = Agent("caller", llm, tools=[helper.as_tool()])
    marbles.expect(say("q").pipe(bot)).to_be(
        """
                (caller|)
        caller  m1----------------------helper-----------------|
        m1      @helper{"input":"what?"}------------=Itis42-Yes|
        helper  ------------------------m2----------|
        m2      --------------------------It-is-42--|
        """
    )


def test_in_the_markers_it_is_nested_in_the_block_of_the_caller() -> None:
    workflow = Workflow(caller(talker("helper", "It is 42.")))
    assert [(*mark.path, str(mark)) for mark, _ in workflow.run_stream("q") if mark != "delta"] == [
        *(("caller", "start"), ("caller", "helper", "start"), ("caller", "helper", "response")),
        *(("caller", "helper", "end"), ("caller", "function_result"), ("caller", "response")),
        *(("caller", "end"), ("result",)),
    ]


def test_its_tool_calls_are_shown_too() -> None:
    async def look() -> str:
        return "seen"

    helper = scripted("helper", Call("look"), "It is 42.", tools=[look])
    shown = [
        (mark.path, content["name"], content["result"])
        for mark, content in Workflow(caller(helper)).run_stream("q")
        if mark == "function_result"
    ]
    assert shown == [(("caller", "helper"), "look", "seen"), (("caller",), "helper", "It is 42.")]


def test_only_its_answer_enters_the_conversation() -> None:
    @agent
    def helper(heard: Transcript) -> list[Any]:
        return [StateUpdate("v", variables={"seen": True}), "thinking", "It is 42."]

    bot = caller(helper)
    workflow = Workflow(bot)
    assert workflow.run("q").text == "Done"
    assert [message.text for message in workflow.conversation] == ["q", "Done"]
    assert results(workflow) == ["It is 42."]
    assert workflow.conversation.variables == {}
    assert asked(bot, 1)[-1] == {"role": "tool", "tool_call_id": "call_1", "content": "It is 42."}


def test_views_of_the_conversation_leave_it_out(marbles: Marbles) -> None:
    def bot() -> Agent:
        return caller(talker("helper", "It is 42."))

    marbles.expect(say("q").pipe(bot(), text(""))).to_be("(Done|)")
    marbles.expect(say("q").pipe(bot(), answer())).to_be("([Done]|)")


def test_those_called_in_one_round_work_side_by_side(marbles: Marbles) -> None:
    one = Agent("one", marbles.llm("---a|"))
    two = Agent("two", marbles.llm("-b|"))
    llm = marbles.llm('(@one{"input":"x"} @two{"input":"y"}|)', "ok|")
    bot = Agent("caller", llm, tools=[one.as_tool(), two.as_tool()])
    marbles.expect_markers(say("q").pipe(bot, markers()), only=["start", "response", "end"]).to_be(
        [
            *((0, "start", "caller"), (0, "start", "one"), (0, "start", "two")),
            *((2, "response", "b"), (2, "end", "two"), (4, "response", "a"), (4, "end", "one")),
            *((6, "response", "ok"), (6, "end", "caller")),
        ]
    )


# -- what it hears


def test_it_hears_the_input_alone() -> None:
    helper = scripted("helper", "42", system_message="Known: __context__")
    Workflow(caller(helper), Conversation(variables={"seat": "4a", "__plan:x": "long"})).run("q")
    assert asked(helper) == [
        {"role": "system", "content": 'Known: {"seat": "4a"}'},
        {"role": "user", "content": "What is it?", "name": "caller"},
    ]


def test_who_spoke_for_another_in_the_conversation_is_nothing_to_it() -> None:
    heard: list[Transcript] = []

    @agent
    def helper(transcript: Transcript) -> str:
        heard.append(transcript)
        return "42"

    kept = {"seat": "4a", "__handoff:helper": ["b"], "__plan:helper": "long"}
    Workflow(caller(helper), Conversation(variables=kept)).run("q")
    assert heard[0].variables == {"seat": "4a"}


def test_what_it_refuses_is_its_answer() -> None:
    refuse = Agent("helper", lambda request: rx.of(delta(refusal="I may not.")))
    workflow = Workflow(caller(refuse))
    workflow.run("q")
    assert results(workflow) == ["I may not."]


def test_or_the_conversation_too() -> None:
    helper = scripted("helper", "42")
    workflow = Workflow(caller(helper, hears="conversation"), system_prompt="Be kind.")
    workflow.run("q")
    assert [message["content"] for message in asked(helper)] == ["Be kind.", "q", "What is it?"]
    assert [message.text for message in workflow.conversation] == ["Be kind.", "q", "Done"]


class Order(BaseModel):
    number: int


def test_the_input_may_have_a_type_and_so_may_the_answer() -> None:
    helper = scripted("helper", '{"number": 8}', output_type=Order)
    calls = (Call("helper", {"input": {"number": "x"}}), Call("helper", {"input": {"number": 7}}), "Done")
    workflow = Workflow(caller(helper, *calls, input_type=Order))
    assert workflow.run("q").text == "Done"
    first, second = results(workflow)
    assert first.startswith("Error: the arguments of the tool 'helper' do not fit:\ninput.number: ")
    assert second == '{"number":8}'
    assert asked(helper)[0]["content"] == '{"number":7}'


def test_the_tool_says_who_it_is() -> None:
    tool = Agent("helper", ScriptedLLM([]), "Knows numbers.").as_tool()
    assert tool.definition["function"] == {
        "name": "helper",
        "description": "Knows numbers.",
        "parameters": {
            "additionalProperties": False,
            "properties": {
                "input": {
                    "description": "What it is to do, with all that it needs to know for it: it hears "
                    "nothing else.",
                    "type": "string",
                }
            },
            "required": ["input"],
            "type": "object",
        },
    }
    other = talker("helper", "x").as_tool(name="ask", description="Ask it.", hears="conversation", timeout=3)
    assert (other.name, other.description, other.timeout) == ("ask", "Ask it.", 3)
    assert "has heard" in other.parameters["properties"]["input"]["description"]
    assert talker("helper", "x").as_tool().description == "Asks helper."


def test_it_may_ask_itself() -> None:
    me = scripted("me", Call("me", {"input": "x"}), "deep", "Done")
    me.register_tool(me.as_tool())
    workflow = Workflow(me)
    assert [mark.path for mark, _ in workflow.run_stream("q") if mark == "start"] == [("me",), ("me", "me")]
    assert results(workflow) == ["deep"]


def test_a_call_of_it_may_wait_for_approval_and_so_may_one_in_it() -> None:
    def pay() -> str:
        return "paid"

    helper = scripted("helper", Call("pay"), "It is 42.", tools=[Tool(pay, approval=True)])
    asked: list[str] = []
    workflow = Workflow(caller(helper, approval=True), approvals=lambda call: not asked.append(call.tool))
    assert workflow.run("q").text == "Done"
    assert (asked, results(workflow)) == (["helper", "pay"], ["It is 42."])


def test_one_that_is_cut_in_it_leaves_a_conversation_that_can_go_on() -> None:
    llm = ScriptedLLM([ASKS, "Second."])
    bot = Agent("caller", llm, tools=[Agent("helper", lambda request: rx.never()).as_tool()])

    async def main() -> list[Any]:
        workflow = Workflow(bot)
        run = workflow.start("q")
        async for mark, content in run.pipe(markers()):
            if (mark, content) == ("start", "helper"):
                break
        run.dispose()
        await workflow.arun("more")
        return [message["content"] for message in llm.requests[1].messages]

    assert asyncio.run(main()) == ["q", "more"]


def test_a_tool_may_know_who_called() -> None:
    def who(context: Context) -> str:
        return context.agent

    workflow = Workflow(scripted("caller", Call("who"), "Done", tools=[who]))
    workflow.run("q")
    assert results(workflow) == ["caller"]


# -- who


def test_teams_users_functions_and_operators_are_tools_too() -> None:
    team = Sequence("helper", [talker("x", "first"), talker("y", "last")])
    user = User("helper", interaction_function=lambda prompt: "typed")
    function = agent(lambda heard: f"heard {heard[-1].text}", id="helper")
    live = agent.live(lambda heard: "at once", id="helper")
    piped = talker("helper", "as it is").pipe(lambda source: source)
    named = as_agent("helper", lambda source: just(MessageStream(just("bare"), name="x")))
    for helper, told in (
        *((team, "last"), (user, "typed"), (function, "heard What is it?"), (live, "at once")),
        *((piped, "as it is"), (named, "bare")),
    ):
        workflow = Workflow(caller(helper))
        assert workflow.run("q").text == "Done"
        assert results(workflow) == [told]


def test_what_an_operator_behind_it_emits_outside_blocks_has_one_all_the_same() -> None:
    helper = talker("helper", "It is 42.").pipe(messages())
    shown = [(*mark.path, str(mark)) for mark, _ in Workflow(caller(helper)).run_stream("q")]
    assert ("caller", "helper", "response") in shown


def test_it_may_hand_over() -> None:
    helper = scripted("helper", Call("transfer_to_b"), handoffs=[talker("b", "From b.")])
    workflow = Workflow(caller(helper))
    workflow.run("q")
    assert results(workflow) == ["From b."]
    assert workflow.conversation.variables == {}


def test_its_handoffs_are_counted_by_themselves() -> None:
    over = scripted("helper", Call("transfer_to_c"), handoffs=[talker("c", "From c.")], max_handoffs=1)
    b = scripted("b", ASKS, "Done", tools=[over.as_tool()])
    workflow = Workflow(scripted("a", Call("transfer_to_b"), handoffs=[b]))
    assert workflow.run("q").text == "Done"
    assert results(workflow)[1:] == ["From c."]


def test_in_the_turn_of_a_function_agent(marbles: Marbles) -> None:
    helper = agent(lambda heard: [talker("deep", "42").ask("deeper?")], id="helper")
    bot = caller(helper)

    @agent
    async def host(heard: Transcript) -> str:
        return f"{(await bot.ask(heard)).text} {len(bot.llm.requests)}"  # type: ignore[attr-defined]

    marbles.expect(say("q").pipe(host, text(""))).to_be("('Done 2'|)")


def test_fifty_deep() -> None:
    helper: Any = talker("a0", "42")
    for level in range(1, 51):
        llm = ScriptedLLM([Call(helper.id, {"input": "x"}), f"{level}"])
        helper = Agent(f"a{level}", llm, tools=[helper.as_tool()])
    workflow = Workflow(helper)
    depth = max(len(mark.path) for mark, _ in workflow.run_stream("q"))
    assert (depth, results(workflow), workflow.conversation[-1].text) == (51, ["49"], "50")


# -- its ends


def failing(error: Exception) -> Agent:
    return Agent("helper", lambda request: rx.throw(error))


def test_its_failure_is_told_to_the_model_of_the_caller() -> None:
    workflow = Workflow(caller(Sequence("helper", [Agent("x", lambda request: rx.throw(ValueError("no")))])))
    result = workflow.run("q")
    assert (result, result.text) == ("done", "Done")
    assert results(workflow) == [
        "Error: the tool 'helper' failed: ValueError: no (in helper > x)\n"
        "If the arguments were the cause, correct them and call it again; else go on without it."
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no"), "ValueError: no"),
        (AgentError("agent helper: nobody is in"), "agent helper: nobody is in"),  # it says all by itself
        (RuntimeError("bad key sk-abcdefghijklmnopqrstuvwxyz123456"), "RuntimeError: bad key sk-…"),
        (StopIteration(), "RuntimeError: the model of helper raised StopIteration, which means the end"),
    ],
)
def test_a_failure_of_its_own_is_told_in_few_words(error: Exception, words: str) -> None:
    def fail(request: Any) -> Any:
        raise error

    workflow = Workflow(caller(Agent("helper", fail)))
    assert workflow.run("q").text == "Done"
    assert results(workflow)[0].startswith(f"Error: the tool 'helper' failed: {words}")
    assert "(in " not in results(workflow)[0]


def test_an_end_of_an_iteration_that_is_its_failure_is_told_too() -> None:
    workflow = Workflow(caller(as_agent("helper", lambda source: rx.throw(StopIteration()))))
    assert workflow.run("q").text == "Done"
    assert "RuntimeError: helper raised StopIteration, which means" in results(workflow)[0]


def test_it_is_asked_again_where_it_failed_as_it_may() -> None:
    answers = iter([rx.throw(ConnectionError("lost")), rx.of("It is 42.")])
    helper = Sequence("helper", [Agent("x", lambda request: next(answers))])
    workflow = Workflow(caller(helper, retry=ToolRetry(1, on=ConnectionError)))
    progress = [
        content["progress"]["content"]
        for mark, content in workflow.run_stream("q")
        if mark == "delta" and content.get("progress")
    ]
    assert results(workflow) == ["It is 42."]
    assert progress == ["attempt 1 failed: ConnectionError: lost (in helper > x); again now"]


def test_what_had_come_before_it_failed_is_shown_and_so_is_the_error(marbles: Marbles) -> None:
    helper = Agent("helper", marbles.llm("-It-#", error=ValueError("no")))
    bot = Agent("caller", marbles.llm('(@helper{"input":"x"}|)', "ok|"), tools=[helper.as_tool()])
    marbles.expect_markers(say("q").pipe(bot, markers()), only=["response", "error", "result"]).to_be(
        [
            *((4, "response", "It"), (4, "response", "Error: no")),
            *((6, "response", "ok"), (6, "result", "done")),
        ]
    )


def test_its_stop_does_not_end_the_caller(marbles: Marbles) -> None:
    stopped = Sequence("helper", [talker("x", "42"), STOPPER])
    marbles.expect(say("q").pipe(Sequence("s", [caller(stopped), talker("b", "Heard")]), text("/"))).to_be(
        "(Done / Heard|)"
    )
    gone = Workflow(caller(User("helper", mode="unattended")))
    assert gone.run("q") == "done"
    assert "helper gave no answer: it asked for a stop (user)" in results(gone)[0]
    silent = Workflow(caller(agent(lambda heard: None, id="helper")))
    silent.run("q")
    assert "helper gave no answer: its turn brought no message" in results(silent)[0]


def test_a_stop_of_the_run_ends_the_run(marbles: Marbles) -> None:
    quits = Sequence("helper", [talker("x", "42"), QUITTER])
    marbles.expect(say("q").pipe(Sequence("s", [caller(quits), talker("b", "never")]), text("/"))).to_be(
        "(Done|)"
    )


def test_a_timeout_cancels_it(marbles: Marbles) -> None:
    llm = marbles.llm("--a-----b|")
    bot = caller(Agent("helper", llm), timeout=4)
    marbles.expect(say("q").pipe(bot, text(""))).to_be("----(Done|)")
    marbles.expect_subscriptions(llm).to_be("^---!")


def test_leaving_the_caller_cancels_it(marbles: Marbles) -> None:
    llm = marbles.llm("--a-----b|")
    marbles.expect(say("q").pipe(caller(Agent("helper", llm)), text("")), unsubscribe_at=4).to_be("---")
    marbles.expect_subscriptions(llm).to_be("^---!")
    marbles.allow("unused")


def test_one_that_is_cut_by_another_has_not_answered(marbles: Marbles) -> None:
    helper = as_agent("helper", lambda source: just(cut))
    cut = MessageStream(rx.never(), name="x")
    marbles.at(2, cut.interrupt)
    workflow = Workflow(caller(helper))
    assert marbles.run(workflow.arun("q")).text == "Done"
    assert "helper was interrupted before it had answered" in results(workflow)[0]


def test_called_by_hand_it_answers_too() -> None:
    tool = talker("helper", "42").as_tool()
    assert asyncio.run(tool.call('{"input": "x"}')) == "42"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: talker("helper", "x").as_tool(hears="all"),  # type: ignore[arg-type]
            "<Agent helper>: as_tool hears 'input' or 'conversation', not 'all'",
        ),
        (
            lambda: talker("helper", "x").as_tool(name="no name"),
            "the tool name 'no name' does not fit [A-Za-z0-9_-]{1,64}; pass another as name=…",
        ),
    ],
)
def test_what_does_not_do_is_refused(make: Callable[[], Tool], words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make()
    assert str(raised.value) == words


# -- what it costs, and where it is kept


def paid(answer: Any, total: int) -> Reply:
    return replace(as_reply(answer), usage=Usage(total_tokens=total))


def test_each_model_call_is_paid_for_once() -> None:
    deep = scripted("deep", paid("42", 1))
    helper = scripted(
        "helper", paid(Call("deep", {"input": "x"}), 10), paid("43", 100), tools=[deep.as_tool()]
    )
    bot = caller(helper, paid(ASKS, 1000), paid("Done", 10000))
    workflow = Workflow(bot)
    assert workflow.run("q").usage.total_tokens == 11111
    assert workflow.conversation.metrics["total_tokens"] == 11111


def test_a_history_keeps_the_caller_and_the_cost(tmp_path: Path) -> None:
    helper = scripted("helper", paid("42", 10))
    with SQLiteHistory(tmp_path / "h.db") as history:
        Workflow(caller(helper, paid(ASKS, 100), paid("Done", 1000)), history=history).run("q")
    with SQLiteHistory(tmp_path / "h.db") as history:
        kept = Workflow(talker("x", "y"), history=history).conversation
        assert [message.text for message in kept] == ["q", "Done"]
        assert [step.text for step in kept[1].steps] == ["", "42"]
        assert kept.metrics["total_tokens"] == 1110


def test_a_recording_plays_again(tmp_path: Path) -> None:
    helper = scripted("helper", "It is 42.")
    workflow = Workflow(caller(helper))
    with workflow.record(tmp_path / "run.jsonl"):
        workflow.run("q")
    picture = draw(tmp_path / "run.jsonl").text
    assert picture.index("caller") < picture.index("helper")
    llm = replay(tmp_path / "run.jsonl", speed=None)
    again = Workflow(Agent("caller", llm, tools=[Agent("helper", llm).as_tool()]))
    assert again.run("q").text == "Done"
    assert results(again) == ["It is 42."]


def test_the_keys_of_whom_it_may_ask_are_masked_in_a_recording() -> None:
    deep = Agent("deep", ScriptedLLM([]))
    helper = Agent("helper", ScriptedLLM([]), handoffs=[deep])
    deep.register_handoff(helper)
    bot = caller(helper)
    assert list(_models_of(Sequence("s", [bot]))) == [bot.llm, helper.llm, deep.llm]


def test_at_a_console_only_its_answer_is_printed() -> None:
    shown = io.StringIO()

    async def main() -> None:
        printer = Printer(Pen())
        await say("q").pipe(caller(talker("helper", "It is 42.")), shared()).pipe(ops.do_action(printer.show))
        await asyncio.sleep(0)

    with contextlib.redirect_stdout(shown):
        asyncio.run(main())
    assert shown.getvalue() == "  · helper …\n  · helper: It is 42.\ncaller: Done\n"


def test_the_laws_hold() -> None:
    def make() -> Agent:
        one, two = talker("one", "first"), caller(talker("helper", "42"))
        calls = [Call("one", {"input": "x"}), Call("caller", {"input": "y"})]
        return scripted("bot", Reply("So.", calls), "Done", tools=[one.as_tool(), two.as_tool()])

    check_laws(make, max_examples=5)


# -- over HTTP


def test_over_http() -> None:
    def reply(body: dict[str, Any]) -> Any:
        if "tools" not in body:
            return "It is 42."
        return "Done" if body["messages"][-1]["role"] == "tool" else ASKS

    with OpenAIServer(reply) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        helper = Agent("helper", llm, system_message="You know.")
        assert Workflow(Agent("caller", llm, tools=[helper.as_tool()])).run("q").text == "Done"
        first, second, third = (request.body for request in server.requests)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["helper"]
    assert second["messages"] == [
        {"role": "system", "content": "You know."},
        {"role": "user", "content": "What is it?", "name": "caller"},
    ]
    assert third["messages"] == [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": None,
            "name": "caller",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "helper", "arguments": '{"input":"What is it?"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "It is 42."},
    ]


def test_over_http_leaving_closes_its_connection() -> None:
    def reply(body: dict[str, Any]) -> Any:
        return ASKS if "tools" in body else Paused(2, "one two three")

    with OpenAIServer(reply) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        workflow = Workflow(Agent("caller", llm, tools=[Agent("helper", llm).as_tool()]))
        for mark, content in workflow.run_stream("q"):
            if mark == "delta" and mark.path == ("caller", "helper") and content["content"]:
                break
        assert server.requests[1].wait_closed(WAIT)
        assert not server.requests[1].completed
        assert workflow.conversation[-1].finish_reason == "interrupted"
