"""Every diagram in a docstring is run: what it draws goes in, and what comes out is what it shows."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from pydantic import BaseModel
from reactivex import operators as ops

import rxagents
from rxagents import (
    Agent,
    AllMessagesStrategy,
    Chain,
    ChatRequest,
    Handoff,
    LocalCodingAgent,
    Loop,
    MessageStream,
    ModelConnectionError,
    ModelTimeoutError,
    Parallel,
    PlannedTeam,
    Race,
    ScriptedLLM,
    Sequence,
    Switch,
    Team,
    Transcript,
    User,
    UserMessage,
    Workflow,
    agent,
    as_agent,
    guard_input,
    guard_output,
    partial_model,
    say,
    unordered,
)
from rxagents.engine.bridges import forward, from_async
from rxagents.llm import best_of, cached, fallback, fan_out, hedge, rate_limited, retry, timeouts
from rxagents.operators import (
    answer,
    checkpoint,
    coalesced,
    deltas,
    errors_as_messages,
    gate,
    last_n,
    latest,
    limit,
    map_tokens,
    markers,
    messages,
    partials,
    reading,
    responses,
    sampled,
    shared,
    summarize,
    text,
    token_budget,
    top_k_last_n,
    transcript,
    transform,
    turns,
    until,
)
from rxagents.replays import Replay
from rxagents.saying.arrivals import Later, as_they_come
from rxagents.saying.ordering import concat_eager
from rxagents.testing import Marbles

PACKAGE = Path(rxagents.__file__).parent
WORD = re.compile(r"[^-|()#~!^\s]+")


class Diagram:
    """The lanes of one docstring. What is drawn is asked for by label; what is left is compared."""

    def __init__(self, block: str, marbles: Marbles) -> None:
        self.lanes = dict(line.split(None, 1) for line in block.strip().splitlines())
        self.marbles = marbles
        self.sources = frozenset("ab") & set(self.lanes)
        self.used: set[str] = set()

    def whole(self, label: str) -> str:
        """A lane, and those of the labels that stand on it, with all that stands on them."""
        found = [label]
        for at in found:
            # `m` of a lane, and not the `a` of its tokens that another lane happens to be called
            words = WORD.findall(self.lanes[at])
            # the second block of a name has the label `name.2`
            opened = [label for label in self.lanes if re.sub(r"\.\d+$", "", label) in words]
            found += [word for word in opened if word not in (*found, *self.sources)]
        self.used.update(found)
        first, *others = found
        return "\n".join([self.lanes[first], *(f"{other}  {self.lanes[other]}" for other in others)])

    def llm(self, label: str = "llm") -> Any:
        self.used.add(label)
        return self.marbles.llm(self.lanes[label])

    def cold(self, label: str = "source", **values: Any) -> rx.Observable[Any]:
        return self.marbles.cold(self.whole(label), **values)

    def hot(self, label: str) -> rx.Observable[Any]:
        return self.marbles.hot(self.whole(label))

    def message(self, label: str = "m") -> MessageStream:
        return self.marbles.message(self.whole(label))

    def question(self) -> rx.Observable[Any]:
        return self.cold("source", q=MessageStream.of(UserMessage("q")))

    def shows(self, label: str, source: Any, *, words: bool | None = True, **values: Any) -> None:
        self.marbles.expect(source, words=words).to_be(self.whole(label), **values)


RUNS: dict[str, Callable[[Diagram], None]] = {}


def of(name: str) -> Callable[[Callable[[Diagram], None]], Callable[[Diagram], None]]:
    def register(run: Callable[[Diagram], None]) -> Callable[[Diagram], None]:
        RUNS[name] = run
        return run

    return register


@of("agents.Agent")
def _(drawn: Diagram) -> None:
    drawn.shows("out", drawn.question().pipe(Agent("bot", drawn.llm())))


@of("coding.coding_agents.LocalCodingAgent")
def _(drawn: Diagram) -> None:
    drawn.shows("out", drawn.question().pipe(LocalCodingAgent("coder", drawn.llm())))


@of("handing.handoffs.Handoff")
def _(drawn: Diagram) -> None:
    other = Agent("help", drawn.llm("other"))
    bot = Agent("bot", drawn.llm(), handoffs=[Handoff(other, name="to_help")])
    drawn.shows("out", drawn.question().pipe(bot))


@of("handing.agent_tools.AgentTool")
def _(drawn: Diagram) -> None:
    models = iter((drawn.llm(), drawn.llm("then")))
    tool = Agent("help", drawn.llm("other")).as_tool()
    drawn.shows("out", drawn.question().pipe(Agent("bot", lambda asked: next(models)(asked), tools=[tool])))


@of("participants.Participant")
def _(drawn: Diagram) -> None:
    drawn.shows("out", drawn.question().pipe(Agent("bot", drawn.marbles.llm("Hello|"))))


@of("functions.FunctionAgent")
def _(drawn: Diagram) -> None:
    @agent
    async def choir(heard: Transcript) -> AsyncIterator[str]:
        yield "la"
        await asyncio.sleep(3)
        yield "le"
        await asyncio.sleep(3)

    drawn.shows("out", drawn.question().pipe(choir))


@of("functions.LiveAgent")
def _(drawn: Diagram) -> None:
    @agent.live
    async def echo(heard: Replay[MessageStream]) -> AsyncIterator[str]:
        async for message in heard:
            yield (await message).text.upper()

    said = {name: MessageStream.of(UserMessage(name)) for name in "ab"}
    drawn.shows("out", drawn.cold(**said).pipe(echo))


@of("named_operators.as_agent")
def _(drawn: Diagram) -> None:
    quiet = Agent("quiet", drawn.marbles.llm("Hi-|"))
    loud = as_agent("loud", lambda source: source.pipe(quiet, messages(), map_tokens(str.upper)))
    drawn.shows("out", drawn.question().pipe(loud))


@of("saying.flatten.say")
def _(drawn: Diagram) -> None:
    drawn.shows("out", say("a", ["b", drawn.cold("later")]))


@of("saying.flatten.unordered")
def _(drawn: Diagram) -> None:
    drawn.shows("out", say(unordered(drawn.cold("a"), drawn.cold("b")), "z"))


@of("saying.arrivals.as_they_come")
def _(drawn: Diagram) -> None:
    def parts(thing: Any) -> list[Any]:
        return [thing] if isinstance(thing, MessageStream) else [Later(thing)]

    drawn.shows("out", as_they_come([drawn.cold("a"), drawn.cold("b")], parts))


@of("asking.asked.Asked")
def _(drawn: Diagram) -> None:
    asked = Agent("bot", drawn.llm()).ask("q")
    drawn.shows("asked", asked)
    drawn.shows("answer", asked.pipe(answer()))


@of("saying.flatten.stream")
@of("streams.MessageStream")
def _(drawn: Diagram) -> None:
    message = drawn.message("source")
    drawn.shows("stream", message)
    if "message" in drawn.lanes:
        drawn.shows("message", message.message)


@of("operators._markers.markers")
def _(drawn: Diagram) -> None:
    drawn.shows("markers", drawn.cold("items").pipe(markers(), ops.map(_mark)))


@of("runs.Run")
def _(drawn: Diagram) -> None:
    workflow = Workflow(Agent("bot", drawn.llm()))
    run: list[rxagents.Run] = []
    drawn.shows("run", lambda: run.append(workflow.start("q")) or run[0])
    drawn.shows("markers", lambda: run[0].markers().pipe(ops.map(_mark)))


@of("workflows.Workflow")
def _(drawn: Diagram) -> None:
    drawn.shows("observe", Workflow(Agent("bot", drawn.llm())).observe("q").pipe(ops.map(_mark)))


@of("llm.scripted.ScriptedLLM")
def _(drawn: Diagram) -> None:
    request = ChatRequest(())
    drawn.shows("at_once", ScriptedLLM(["Hello."])(request))
    drawn.shows("paced", ScriptedLLM(["Hello."], delay=6.0)(request))


@of("llm.fallbacks.fallback")
def _(drawn: Diagram) -> None:
    drawn.shows("out", fallback(drawn.llm("a"), drawn.llm("b"))(ChatRequest(())))


@of("llm.hedges.hedge")
def _(drawn: Diagram) -> None:
    drawn.shows("out", hedge(drawn.llm("a"), drawn.llm("b"), after=3)(ChatRequest(())))


@of("llm.retries.retry")
def _(drawn: Diagram) -> None:
    drawn.used.update(("first", "second"))
    lost = ModelConnectionError("lost")
    llm = drawn.marbles.llm(drawn.lanes["first"], drawn.lanes["second"], error=lost)
    drawn.shows("out", retry(llm, delay=1, jitter=None)(ChatRequest(())))


@of("llm.time_limits.timeouts")
def _(drawn: Diagram) -> None:
    drawn.shows("out", timeouts(drawn.llm(), between_tokens=3)(ChatRequest(())), error=ModelTimeoutError)


@of("llm.rate_limits.rate_limited")
def _(drawn: Diagram) -> None:
    drawn.used.update(("first", "second"))
    shared = rate_limited(drawn.marbles.llm(drawn.lanes["first"], drawn.lanes["second"]), concurrent=1)
    drawn.shows("out", shared(ChatRequest(())))
    drawn.shows("later", shared(ChatRequest(())))


@of("llm.caches.cached")
def _(drawn: Diagram) -> None:
    llm = cached(drawn.llm("first"), {})
    drawn.shows("out", llm(ChatRequest(())))
    drawn.shows("again", rx.timer(9.0).pipe(ops.flat_map(lambda _: llm(ChatRequest(())))))


@of("llm.choices.fan_out")
def _(drawn: Diagram) -> None:
    drawn.shows("out", fan_out(drawn.llm("a"), drawn.llm("b"), combine=lambda _: "both")(ChatRequest(())))


@of("llm.choices.best_of")
def _(drawn: Diagram) -> None:
    drawn.used.update(("first", "second"))
    llm = drawn.marbles.llm(drawn.lanes["first"], drawn.lanes["second"])
    drawn.shows("out", best_of(llm, 2, lambda answers: 1)(ChatRequest(())))


@of("operators._messages.messages")
def _(drawn: Diagram) -> None:
    drawn.shows("messages", drawn.cold("items").pipe(messages()))


@of("operators._messages.responses")
def _(drawn: Diagram) -> None:
    drawn.shows("responses", drawn.cold("items").pipe(responses()))


@of("operators._error_messages.errors_as_messages")
def _(drawn: Diagram) -> None:
    drawn.used.add("llm")
    llm = drawn.marbles.llm(drawn.lanes["llm"], error=ValueError("no"))
    drawn.shows("out", say("q").pipe(Agent("bot", llm), errors_as_messages()))


@of("operators._messages.answer")
def _(drawn: Diagram) -> None:
    drawn.shows("answer", drawn.cold("items").pipe(answer()))


@of("operators._partials.partials")
def _(drawn: Diagram) -> None:
    class Word(BaseModel):
        a: str

    twin = partial_model(Word)
    seen = rx.of(drawn.message()).pipe(partials(Word))
    drawn.shows("partials", seen, h=twin(a="H"), hi=twin(a="Hi"), w=Word(a="Hi"))


@of("operators._shared.shared")
def _(drawn: Diagram) -> None:
    run = drawn.cold().pipe(shared())
    drawn.shows("first", run)
    drawn.shows("late", run)


@of("operators._text.deltas")
def _(drawn: Diagram) -> None:
    drawn.shows("deltas", drawn.cold("items").pipe(deltas()))
    drawn.shows("arrival", drawn.cold("items").pipe(deltas(order="arrival")))


@of("operators._text.text")
def _(drawn: Diagram) -> None:
    drawn.shows("text", drawn.cold("items").pipe(text()))


@of("operators._tokens.map_tokens")
def _(drawn: Diagram) -> None:
    drawn.shows("upper", rx.of(drawn.message()).pipe(map_tokens(str.upper), text()))


@of("operators._tokens.transform")
def _(drawn: Diagram) -> None:
    async def pairs(tokens: AsyncIterator[str]) -> AsyncIterator[str]:
        waiting = ""
        async for token in tokens:
            waiting += token
            if len(waiting) == 2:
                yield waiting
                waiting = ""
        yield waiting

    drawn.shows("pairs", rx.of(drawn.message()).pipe(transform(pairs), text()))


def slowly(source: Any) -> Any:
    """What a reader gets that is busy for five frames with each item."""

    async def run(emit: Callable[[Any], None]) -> None:
        async for item in source:
            emit(item)
            await asyncio.sleep(5)

    return from_async(run)


@of("operators._live.latest")
def _(drawn: Diagram) -> None:
    drawn.shows("latest", slowly(drawn.cold("source").pipe(latest())))


@of("operators._live.sampled")
def _(drawn: Diagram) -> None:
    drawn.shows("sampled", drawn.cold("source").pipe(sampled(5)))


@of("operators._coalesced.coalesced")
def _(drawn: Diagram) -> None:
    drawn.shows("joined", slowly(drawn.cold("tokens").pipe(coalesced())))


@of("operators._transcript.transcript")
def _(drawn: Diagram) -> None:
    class Says:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Transcript) and [str(message) for message in other] == ["Hi"]

    drawn.shows("transcript", drawn.cold("items").pipe(transcript()), t=Says())


class _Said:
    """Equal to a transcript of these messages."""

    def __init__(self, *texts: str) -> None:
        self._texts = [*texts]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transcript) and [str(message) for message in other] == self._texts


def _read(drawn: Diagram, operator: Any, *texts: str) -> None:
    said = {name: MessageStream.of(UserMessage(name)) for name in "abc"}
    source = drawn.cold("items", **said)
    drawn.shows("read", source.pipe(operator), **{"".join(texts): _Said(*texts)})


@of("operators._reading.reading")
def _(drawn: Diagram) -> None:
    drawn.shows("read", drawn.cold("items").pipe(reading(AllMessagesStrategy())), t=_Said("Hi"))


@of("operators._reading.last_n")
def _(drawn: Diagram) -> None:
    _read(drawn, last_n(2), "b", "c")


@of("operators._reading.top_k_last_n")
def _(drawn: Diagram) -> None:
    _read(drawn, top_k_last_n(1, 1), "a", "c")


@of("operators._reading.token_budget")
def _(drawn: Diagram) -> None:
    _read(drawn, token_budget(2, lambda _: 1), "b", "c")


@of("operators._reading.summarize")
def _(drawn: Diagram) -> None:
    _read(drawn, summarize(drawn.llm()), "s", "b")


@of("operators._checkpoint.checkpoint")
def _(drawn: Diagram) -> None:
    drawn.shows("checked", rx.of(drawn.message()).pipe(checkpoint("draft"), text()))


@of("operators._until.until")
def _(drawn: Diagram) -> None:
    drawn.shows("cut", rx.of(drawn.message()).pipe(until(drawn.hot("signal")), text()))


@of("operators._turns.turns")
def _(drawn: Diagram) -> None:
    drawn.used.update(("first", "second"))
    llm = drawn.marbles.llm(drawn.lanes["first"], drawn.lanes["second"])
    drawn.shows("out", drawn.hot("source").pipe(turns(Agent("bot", llm))))


@of("operators._gate.gate")
def _(drawn: Diagram) -> None:
    safe = rx.of(drawn.message()).pipe(gate(lambda text: "damn" not in text), text())
    drawn.shows("safe", safe)


@of("operators._limit.limit")
def _(drawn: Diagram) -> None:
    drawn.shows("cut", rx.of(drawn.message()).pipe(limit(tokens=1), text()))


@of("gates.guarded.guard_input")
def _(drawn: Diagram) -> None:
    says_no = drawn.cold("check")

    async def check(heard: Transcript) -> bool:
        await forward(says_no, lambda _: None)
        return False

    guarded = guard_input(Agent("bot", drawn.llm()), check, refusal="No.")
    drawn.shows("out", drawn.question().pipe(guarded))


@of("gates.guarded.guard_output")
def _(drawn: Diagram) -> None:
    guarded = guard_output(Agent("bot", drawn.llm()), lambda text: "Damn" not in text, refusal="No.")
    void = {"restart": "the check did not pass"}
    drawn.shows("out", drawn.question().pipe(guarded), restart=void)


@of("teams._team.Team")
def _(drawn: Diagram) -> None:
    ann, bob = Agent("ann", drawn.marbles.llm("Hi--|")), Agent("bob", drawn.marbles.llm("Yes-|"))
    order = {"ann": ["bob"]}
    choice = drawn.marbles.llm('(\'{"agent_id": "ann"}\'|)', name="router")
    drawn.shows("out", drawn.question().pipe(Team(choice, [ann, bob], "team", allowed_transitions=order)))


@of("teams._loop.Loop")
def _(drawn: Diagram) -> None:
    bot = Agent("bot", drawn.marbles.llm("Hi--|", "Yes--|"))
    drawn.shows("out", drawn.question().pipe(Loop("again", bot, max_turns=2)))


@of("teams._sequence.Sequence")
def _(drawn: Diagram) -> None:
    ann, bob = Agent("ann", drawn.marbles.llm("Hi--|")), Agent("bob", drawn.marbles.llm("Yes-|"))
    drawn.shows("out", drawn.question().pipe(Sequence("both", [ann, bob])))


@of("teams._chain.Chain")
def _(drawn: Diagram) -> None:
    up = as_agent("up", lambda source: source.pipe(messages(), map_tokens(str.upper)))
    both = Chain("both", [Agent("it", drawn.marbles.llm("Hi--you-|")), up])
    drawn.shows("out", drawn.question().pipe(both))


@of("teams._planned_team.PlannedTeam")
def _(drawn: Diagram) -> None:
    ann, bob = Agent("ann", drawn.marbles.llm("Hi----------|")), Agent("bob", drawn.marbles.llm("Yes-|"))
    plan = {"plan": [{"agent_id": id, "instructions": "do"} for id in ("ann", "bob")]}
    planner = drawn.marbles.llm("--(plan|)", plan=json.dumps(plan), name="planner")
    drawn.shows("out", drawn.question().pipe(PlannedTeam("team", [ann, bob], planner)))


@of("teams._parallel.Parallel")
def _(drawn: Diagram) -> None:
    ann, bob = Agent("ann", drawn.marbles.llm("Hi----all|")), Agent("bob", drawn.marbles.llm("--Yes|"))
    drawn.shows("out", drawn.question().pipe(Parallel("both", [ann, bob])))


@of("teams._switch.Switch")
def _(drawn: Diagram) -> None:
    ann, bob = Agent("ann", drawn.marbles.llm("-Once-u-p-on|")), Agent("bob", drawn.marbles.llm("-No|"))
    selector = drawn.marbles.hot(drawn.whole("selector"), a="ann", b="bob")
    drawn.shows("out", drawn.question().pipe(Switch("talk", [ann, bob], selector)))


@of("teams._race.Race")
def _(drawn: Diagram) -> None:
    slow, quick = Agent("slow", drawn.llm("slow")), Agent("quick", drawn.llm("fast"))
    drawn.shows("out", drawn.question().pipe(Race("both", [slow, quick])))


@of("dialogs.dialog")
def _(drawn: Diagram) -> None:
    from rxagents.dialogs import dialog

    typed = iter([(4, "Hi"), (6, None)])

    async def types(prompt: str) -> str:
        seconds, line = next(typed)
        await asyncio.sleep(seconds)
        if line is None:
            raise EOFError
        return line

    talk = dialog(User("ann", interaction_function=types), Agent("bot", drawn.llm()))
    drawn.shows("run", lambda: talk.start())


@of("users.User")
def _(drawn: Diagram) -> None:
    async def types(prompt: str) -> str:
        await asyncio.sleep(3)
        return "Yes"

    drawn.shows("interactive", drawn.question().pipe(User(interaction_function=types)))
    nobody = drawn.question().pipe(User(mode="unattended"))
    drawn.marbles.expect(nobody, state=True, words=True).to_be(drawn.whole("unattended"))


@of("saying.ordering.concat_eager")
def _(drawn: Diagram) -> None:
    drawn.shows("together", concat_eager(rx.of(drawn.cold("a"), drawn.cold("b"))), words=None)


@of("replays.Replay")
def _(drawn: Diagram) -> None:
    replay: Replay[Any] = Replay(drawn.cold())
    drawn.shows("first", replay, words=None)
    drawn.shows("late", replay, words=None)


def _mark(marker: rxagents.Marker) -> str:
    return str(marker[0])


def diagrams() -> Iterator[tuple[str, str]]:
    """Each block of lanes in the docstrings of the package, by where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module.startswith("testing"):
            continue  # the language itself, and the server; their own tests read them
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                for block in re.findall(r"```\n(.*?)```", ast.get_docstring(node) or "", re.DOTALL):
                    if any(re.fullmatch(r" *\w+ +\S*-.*\|\)?", line) for line in block.splitlines()):
                        yield f"{module}.{node.name}", block


DIAGRAMS = dict(diagrams())


def test_every_diagram_is_run() -> None:
    assert sorted(DIAGRAMS) == sorted(RUNS)


@pytest.mark.parametrize("name", sorted(DIAGRAMS))
def test_what_the_docstring_draws_is_what_happens(name: str, marbles: Marbles) -> None:
    drawn = Diagram(DIAGRAMS[name], marbles)
    RUNS[name](drawn)
    assert drawn.used == set(drawn.lanes), "each lane is drawn or compared"
