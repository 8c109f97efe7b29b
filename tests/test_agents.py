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
    Block,
    ChatRequest,
    Completion,
    ConfigurationError,
    Conversation,
    MaxRoundsError,
    Message,
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
from rxagents.llm.replies import Call, Reply
from rxagents.operators import answer, markers, messages, responses, text, transcript, until
from rxagents.sinks import just
from rxagents.testing import virtual
from rxagents.testing.timelines import END, timeline
from rxagents.values import FunctionResult, delta


def marbles(diagram: str, **lookup: Any) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0, lookup=lookup)


def answered(source: Observable[Any]) -> Message:
    (_, message), end = timeline(source.pipe(answer()))
    assert end[1] == END
    assert isinstance(message, Message)
    return message


def values(source: Observable[Any]) -> list[Any]:
    return [item for _, item in timeline(source)]


# -- the turn


def test_a_turn_is_one_block_with_one_message_as_the_diagram_draws_it() -> None:
    agent = Agent("a", lambda request: marbles("Hi-|"))
    source = marbles("-q-|", q=MessageStream.of(UserMessage("q")))
    (at, block), end = timeline(source.pipe(agent))
    assert isinstance(block, Block)
    assert (at, block.name, end) == (3, "a", (3, END))
    entries = timeline(source.pipe(agent, messages()))
    ((began, message),) = entries[:-1]
    assert began == 3
    assert entries[-1] == (6, END)
    assert timeline(source.pipe(agent, text())) == [(3, "Hi"), (6, END)]
    assert (message.name, message.role) == ("a", "assistant")


def test_its_turn_comes_when_all_that_it_hears_has_ended() -> None:
    llm = ScriptedLLM(["done"])
    source = just(MessageStream(marbles("-x-y---|"), name="b"))
    assert timeline(source.pipe(Agent("a", llm), text()))[0] == (7, "done")
    assert llm.requests[0].messages == ({"role": "user", "content": "xy", "name": "b"},)


def test_nothing_runs_before_somebody_subscribes_and_each_subscription_is_a_run() -> None:
    llm = ScriptedLLM(["one", "two"])
    pipeline = say("q").pipe(Agent("a", llm), text())
    assert llm.requests == []
    assert values(pipeline) == ["one", END]
    assert values(pipeline) == ["two", END]


def test_the_request_holds_the_system_prompt_the_conversation_and_the_settings() -> None:
    llm = ScriptedLLM(["ok"])
    agent = Agent("a", llm, system_message="Be brief.", temperature=0, seed=1)
    source = say(SystemMessage("sys"), UserMessage("q", name="ann"), AssistantMessage("hi", name="b"))
    timeline(source.pipe(agent, text()))
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


def test_the_request_holds_the_schemas_of_the_tools() -> None:
    llm = ScriptedLLM(["ok"])
    agent = Agent("a", llm, tools=[Tool(look, description="Looks.")])
    timeline(say("q").pipe(agent, text()))
    (definition,) = llm.requests[0].tools
    assert definition["type"] == "function"
    assert definition["function"]["name"] == "look"
    assert definition["function"]["description"] == "Looks."
    assert definition["function"]["parameters"]["properties"]["what"] == {"type": "string"}


@pytest.mark.parametrize(
    ("others_as", "role"), [(None, "user"), ("assistant", "assistant"), ("user", "user")]
)
def test_another_agents_words_are_sent_as_told(others_as: Any, role: str) -> None:
    llm = ScriptedLLM(["ok"])
    timeline(say(AssistantMessage("hi", name="b")).pipe(Agent("a", llm, others_as=others_as), text()))
    assert llm.requests[0].messages == ({"role": role, "content": "hi", "name": "b"},)


def test_an_agent_reads_its_own_earlier_turn_with_its_tools() -> None:
    llm = ScriptedLLM([Call("look", {"what": "x"}), "seen", "again"])
    workflow = Workflow(Agent("a", llm, tools=[look]))
    for question in ("q1", "q2"):
        timeline(workflow.observe(question))
    assert [message["role"] for message in llm.requests[2].messages] == [
        *("user", "assistant", "tool", "assistant", "user"),
    ]
    call, result, said = llm.requests[2].messages[1:4]
    assert call["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"what":"x"}'}
    assert result == {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "saw x"}
    assert said["content"] == "seen"


@pytest.mark.parametrize("kind", ["sync", "async", "iterable"])
def test_a_reading_strategy_chooses_what_the_model_sees(kind: str) -> None:
    async def later(transcript: Any) -> Any:
        await asyncio.sleep(3)
        return transcript[-1:]

    strategy = {"sync": lambda t: t[-1:], "async": later, "iterable": lambda t: (m for m in list(t)[-1:])}[
        kind
    ]
    llm = ScriptedLLM(["ok"])
    entries = timeline(say("one", "two").pipe(Agent("a", llm, reading_strategy=strategy), text()))
    assert entries[0] == ((3 if kind == "async" else 0), "ok")
    assert llm.requests[0].messages == ({"role": "user", "content": "two"},)


def test_a_reading_strategy_that_raises_fails_the_turn_with_its_cause() -> None:
    cause = KeyError("cause")

    def strategy(_: Any) -> Any:
        raise ValueError("no") from cause

    agent = Agent("a", ScriptedLLM([]), reading_strategy=strategy)
    ((_, error),) = timeline(say("q").pipe(agent, text()))
    assert isinstance(error, ValueError)
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
def test_a_model_may_emit_strings_partial_deltas_and_no_completion(items: list[Any], said: str) -> None:
    message = answered(say("q").pipe(Agent("a", lambda request: rx.from_iterable(items))))
    assert message.text == said
    assert message.usage is None
    assert message.finish_reason == ("length" if items and isinstance(items[-1], Completion) else None)


def test_what_the_wire_says_of_the_role_is_not_shown() -> None:
    agent = Agent("a", lambda request: rx.of({"role": "assistant", "content": "Hi"}, {"content": " you"}))
    marks = values(say("q").pipe(agent, markers()))[:-1]
    keys = ["content", "function_call", "refusal", "tool_calls"]
    assert [list(content) for mark, content in marks if mark == "delta"] == [keys, keys]


def raises_at_call(error: Exception) -> Callable[[Any], Observable[Any]]:
    def llm(request: Any) -> Observable[Any]:
        raise error

    return llm


@pytest.mark.parametrize(
    "llm",
    [raises_at_call, lambda error: lambda request: rx.throw(error)],
    ids=["at the call", "in the stream"],
)
def test_a_model_that_raises_fails_the_turn(llm: Any) -> None:
    error = ValueError("no")
    error.__cause__ = KeyError("cause")
    assert values(say("q").pipe(Agent("a", llm(error)), text())) == [error]
    assert error.__notes__ == ["in a"]
    assert isinstance(error.__cause__, KeyError)


def test_what_arrived_before_the_model_failed_stays() -> None:
    conversation = Conversation()
    agent = Agent("a", lambda request: rx.concat(rx.of("Hel", "lo"), rx.throw(ValueError("lost"))))
    marks = values(Workflow(agent, conversation).observe("q"))[:-1]
    assert [str(mark) for mark, _ in marks] == ["start", "delta", "delta", "error", "end", "result"]
    assert marks[-1][1] == "agent-error"
    assert (conversation[-1].text, conversation[-1].finish_reason) == ("Hello", "error")


@pytest.mark.parametrize("given", ["Hello", None, ["Hello"]])
def test_a_model_that_gives_no_observable_is_named(given: Any) -> None:
    (error,) = values(say("q").pipe(Agent("a", lambda request: given), text()))
    assert isinstance(error, ConfigurationError)
    assert f"the model of a gave {type(given).__name__}" in str(error)


def test_a_model_that_emits_nonsense_fails_the_turn() -> None:
    (error,) = values(say("q").pipe(Agent("a", lambda request: rx.of(3)), text()))
    assert "made of deltas and strings, but got int" in str(error)
    assert error.__notes__ == ["in a"]


# -- tools


def look(what: str) -> str:
    return f"saw {what}"


def tools_marks(agent: Agent) -> list[tuple[float, str, Any]]:
    entries = timeline(say("q").pipe(agent, markers()))[:-1]
    return [(at, str(mark), content) for at, (mark, content) in entries if mark != "delta"]


def results(agent: Agent) -> list[str]:
    return [content["result"] for _, mark, content in tools_marks(agent) if mark == "function_result"]


def test_the_calls_of_a_round_run_at_once_and_answer_in_call_order() -> None:
    log: list[tuple[float, str]] = []

    async def wait(seconds: float) -> str:
        loop = asyncio.get_running_loop()
        log.append((loop.time(), f"begin {seconds}"))
        await asyncio.sleep(seconds)
        log.append((loop.time(), f"end {seconds}"))
        return str(seconds)

    llm = ScriptedLLM(
        [[Call("wait", {"seconds": 3}), Call("wait", {"seconds": 1}), Call("wait", {"seconds": 5})], "ok"]
    )
    marks = tools_marks(Agent("a", llm, tools=[wait]))
    assert [(at, content["result"]) for at, mark, content in marks if mark == "function_result"] == [
        *((3, "3.0"), (3, "1.0"), (5, "5.0")),
    ]
    assert log == [
        *((0, "begin 3.0"), (0, "begin 1.0"), (0, "begin 5.0")),
        *((1, "end 1.0"), (3, "end 3.0"), (5, "end 5.0")),
    ]
    sent = llm.requests[1].messages
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool", "tool"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == [message["tool_call_id"] for message in sent[2:]]


def test_async_tools_run_on_the_loop_and_sync_ones_in_a_thread() -> None:
    where: dict[str, Any] = {}

    def blocking() -> dict[str, int]:
        where["sync"] = threading.current_thread()
        return {"n": 1}

    async def quick() -> None:
        where["async"] = threading.current_thread()

    agent = Agent("a", ScriptedLLM([[Call("blocking"), Call("quick")], "ok"]), tools=[blocking, quick])
    assert results(agent) == ['{"n":1}', "null"]
    assert where["async"] is threading.main_thread()
    assert where["sync"] is not threading.main_thread()


def test_several_rounds_make_one_message_with_steps_and_the_sum_of_the_usage() -> None:
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
    message = answered(say("q").pipe(Agent("a", llm, tools=[look])))
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


def test_the_deltas_of_all_rounds_come_with_the_results_between_them() -> None:
    agent = Agent("a", ScriptedLLM([Call("look", {"what": "x"}), "ok"]), tools=[look])
    (stream,) = values(say("q").pipe(agent, messages()))[:-1]
    timeline(stream)
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
def test_the_model_is_told_what_went_wrong_and_the_run_goes_on(call: Call, told: str) -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def slow() -> None:
        await asyncio.sleep(100)

    async def leaves() -> None:
        sys.exit(1)

    llm = ScriptedLLM([call, "sorry"])
    agent = Agent("a", llm, tools=[look, fails, leaves])
    agent.register_tool(timeout=2)(slow)
    marks = tools_marks(agent)
    assert [mark for _, mark, _ in marks] == ["start", "function_result", "response", "end", "result"]
    assert told in marks[1][2]["result"]
    assert llm.requests[1].messages[-1]["content"] == marks[1][2]["result"]
    assert marks[-1][0] == (2 if call.name == "slow" else 0)
    assert marks[-1][2] == "done"


def test_one_call_that_fails_leaves_the_others_alone() -> None:
    agent = Agent("a", ScriptedLLM([[Call("gone"), Call("look", {"what": "x"})], "ok"]), tools=[look])
    first, second = results(agent)
    assert "there is no tool 'gone'" in first
    assert second == "saw x"


def test_a_model_that_never_stops_calling_fails_the_turn() -> None:
    llm = ScriptedLLM(lambda request: Call("look", {"what": "x"}))
    entries = values(say("q").pipe(Agent("a", llm, tools=[look], max_rounds=3), text()))
    (error,) = entries
    assert isinstance(error, MaxRoundsError)
    assert "in 3 rounds" in str(error)
    assert len(llm.requests) == 3


def test_a_tool_is_registered_by_a_decorator_that_leaves_the_function_as_it_is() -> None:
    agent = Agent("a", ScriptedLLM([Call("see", {"what": "x"}), "ok"]))
    assert agent.register_tool(name="see", description="Sees.")(look) is look
    assert results(agent) == ["saw x"]
    with pytest.raises(ConfigurationError, match="two tools have the name 'see'"):
        agent.register_tool(name="see")(look)


# -- interruption


def test_an_async_tool_is_cancelled_at_the_instant_of_the_interruption() -> None:
    log: list[tuple[float, str]] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            log.append((asyncio.get_running_loop().time(), "cancelled"))
            raise

    llm = ScriptedLLM([Call("slow"), "never"])
    entries = timeline(say("q").pipe(Agent("a", llm, tools=[slow]), until(rx.timer(7.0)), markers()))
    assert [(at, str(item[0])) for at, item in entries[-4:-1]] == [
        (7, "interrupted"),
        (7, "end"),
        (7, "result"),
    ]
    assert log == [(7, "cancelled")]
    assert len(llm.requests) == 1


def test_a_tool_of_ones_own_making_that_breaks_fails_the_turn_and_cancels_the_others() -> None:
    log: list[float] = []

    class Broken(Tool):
        async def call(self, arguments: str, **options: Any) -> str:
            await asyncio.sleep(3)
            raise ValueError("no")

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            log.append(asyncio.get_running_loop().time())

    llm = ScriptedLLM([[Call("look", {"what": "x"}), Call("slow")]])
    ((at, error),) = timeline(say("q").pipe(Agent("a", llm, tools=[Broken(look), slow]), text()))
    assert (at, str(error)) == (3, "no")
    assert log == [3]


def test_disposing_cancels_the_tools_of_the_round() -> None:
    log: list[float] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            log.append(asyncio.get_running_loop().time())

    agent = Agent("a", ScriptedLLM([[Call("slow"), Call("slow")]]), tools=[slow])
    timeline(say("q").pipe(agent, text()), dispose_at=3)
    assert log == [3, 3]


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


def test_a_call_that_was_cut_is_not_sent_in_the_next_turn() -> None:
    async def quick() -> str:
        return "1"

    async def slow() -> None:
        await asyncio.sleep(100)

    llm = ScriptedLLM([Reply("Let me look.", [Call("quick"), Call("slow")]), "fine"])
    agent = Agent("a", llm, tools=[quick, slow])
    conversation = Conversation()
    timeline(Workflow(lambda source: source.pipe(agent, until(rx.timer(3.0))), conversation).observe("q1"))
    (call,) = conversation[-1].tool_calls
    assert call.function["name"] == "slow"
    timeline(Workflow(agent, conversation).observe("q2"))
    sent = llm.requests[1].messages
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
    assert [each["function"]["name"] for each in sent[1]["tool_calls"]] == ["quick"]


# -- pipes


def test_in_a_pipe_the_second_hears_what_the_first_said_and_only_its_block_is_shown() -> None:
    llm = ScriptedLLM(["two"])
    marks = values(say("q").pipe(Agent("a", ScriptedLLM(["one"])), Agent("b", llm), markers()))[:-1]
    assert [content for mark, content in marks if mark == "start"] == ["b"]
    assert llm.requests[0].messages == ({"role": "user", "content": "one", "name": "a"},)


def test_in_a_pipe_no_cost_is_lost() -> None:
    def agent(id: str, tokens: int) -> Agent:
        return Agent(id, ScriptedLLM([Reply(id, usage=Usage(total_tokens=tokens))]))

    three = say("q").pipe(agent("a", 1), agent("b", 10), agent("c", 100))
    (folded, _) = values(three.pipe(transcript()))
    assert folded.usage.total_tokens == 111
    updates = [item for item in values(three_again(agent)) if isinstance(item, StateUpdate)]
    assert [(item.kind, item.usage and item.usage.total_tokens) for item in updates] == [
        ("usage", 1),
        ("usage", 10),
    ]


def three_again(agent: Any) -> Observable[Any]:
    return say("q").pipe(agent("a", 1), agent("b", 10), agent("c", 100))


def test_in_a_pipe_state_passes_on_at_once() -> None:
    update = StateUpdate("note", variables={"n": 1})
    source = rx.concat(just(update), just(MessageStream(marbles("--x|"))))
    entries = timeline(source.pipe(Agent("a", ScriptedLLM(["ok"]))))
    assert entries[0] == (0, update)
    assert entries[1][0] == 3


def test_in_a_pipe_the_failure_of_the_first_fails_it_and_the_second_is_not_asked() -> None:
    llm = ScriptedLLM(["never"])
    error = ValueError("no")
    assert values(say("q").pipe(Agent("a", ScriptedLLM([error])), Agent("b", llm), text())) == [error]
    assert llm.requests == []


def test_disposing_a_pipe_cancels_the_first() -> None:
    gone: list[str] = []
    source = marbles("-a-a-a|").pipe(ops.finally_action(lambda: gone.append("gone")))
    pipe = say("q").pipe(Agent("a", lambda request: source), Agent("b", ScriptedLLM(["x"])), text())
    assert timeline(pipe, dispose_at=2) == []
    assert gone == ["gone"]


def test_agents_are_operators_for_merge_concat_and_catch() -> None:
    def slow(id: str, diagram: str) -> Agent:
        return Agent(id, lambda request: marbles(diagram))

    a, b = slow("a", "-a-a|"), slow("b", "--b|")
    side_by_side = say("q").pipe(lambda source: rx.merge(a(source), b(source)), text(order="arrival"))
    assert timeline(side_by_side) == [(1, "a"), (2, "b"), (3, "a"), (4, END)]
    one_by_one = a(say("q")).pipe(ops.concat(b(say("q"))), text("/"))
    assert timeline(one_by_one) == [(1, "a"), (3, "a"), (4, "/"), (4, "b"), (4, END)]
    failing = Agent("c", ScriptedLLM([ValueError("no")]))
    instead = say("q").pipe(failing, responses(), ops.catch(lambda *_: say("q").pipe(b, responses())))
    assert [message.name for message in values(instead)[:-1]] == ["b"]


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
