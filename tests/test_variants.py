"""with_: a variant without a subclass."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from typing import Any
from unittest.mock import MagicMock, create_autospec

import pytest
from reactivex import Observable

from rxagents import (
    Agent,
    ConfigurationError,
    OpenAILLM,
    ScriptedLLM,
    Team,
    Transcript,
    User,
    agent,
    as_agent,
    say,
)
from rxagents.engine.emitters import just
from rxagents.functions import FunctionAgent
from rxagents.operators import text
from rxagents.participants import Participant
from rxagents.streams import MessageStream
from rxagents.testing import Marbles, OpenAIServer
from rxagents.transcripts import Item


def lookup(key: str) -> str:
    """Looks a key up."""
    return key


LLM = ScriptedLLM(["x"])


class Parrot(Participant):
    """Repeats what it heard; a constructor of its own."""

    def __init__(self, times: int, *, mark: str = "!") -> None:
        super().__init__("parrot")
        self.times = times
        self.mark = mark

    def turn(self, transcript: Transcript) -> Observable[Item]:
        said = transcript[-1].text * self.times + self.mark
        return just(MessageStream(just(said), name=self.id))


class Careful(Agent):
    """Passes on what it does not know itself."""

    def __init__(self, *args: Any, care: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.care = care


class Panel(Participant):
    """Takes any number of voices, and nothing by name but its id."""

    def __init__(self, *voices: str, id: str = "panel") -> None:
        super().__init__(id)
        self.voices = voices

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return just(*(MessageStream(just(voice), name=self.id) for voice in self.voices))


class Named(Agent):
    """Decides its id itself, and passes all else on."""

    def __init__(self, llm: Any, **kwargs: Any) -> None:
        super().__init__("named", llm, **kwargs)


class Loose(Participant):
    """Passes on by name to one that takes no such name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return just()


def test_an_agent_is_varied_and_stays_as_it_is() -> None:
    bot = Agent("bot", LLM, "Helps.", "Be kind.", tools=[lookup], max_rounds=3, temperature=1, seed=7)
    cool = bot.with_(temperature=0, system_message="Be brief.")
    assert (cool.id, cool.llm, cool.description, cool.system_message) == ("bot", LLM, "Helps.", "Be brief.")
    assert (cool.params, cool.max_rounds) == ({"temperature": 0, "seed": 7}, 3)
    assert [tool.name for tool in cool.toolbox] == ["lookup"]
    assert (bot.params, bot.system_message) == ({"temperature": 1, "seed": 7}, "Be kind.")
    assert type(cool) is Agent
    assert cool.with_(id="other").params == {"temperature": 0, "seed": 7}


def test_what_was_given_by_place_is_changed_by_name() -> None:
    other = ScriptedLLM(["y"])
    assert Agent("bot", LLM, "d").with_(llm=other, id="b").llm is other
    assert Parrot(2).with_(times=3).times == 3
    assert Parrot(2, mark="?").with_(times=3).mark == "?"
    assert Parrot(times=2).with_(mark="").times == 2


def test_a_subclass_that_passes_its_arguments_on() -> None:
    bot = Careful("bot", LLM, "d", care=2, temperature=1)
    made = bot.with_(id="b", description="e", care=3, temperature=0)
    assert (made.id, made.description, made.care, made.params) == ("b", "e", 3, {"temperature": 0})
    assert made.llm is LLM
    assert bot.with_(max_rounds=2).max_rounds == 2
    assert (bot.id, bot.care) == ("bot", 2)


def test_what_a_class_takes_in_any_number_stays() -> None:
    panel = Panel("a", "b").with_(id="other")
    assert (panel.id, panel.voices) == ("other", ("a", "b"))
    with pytest.raises(ConfigurationError, match="'voices'"):
        panel.with_(voices=())


def test_functions_operators_teams_and_users_are_varied() -> None:
    @agent
    def critic(transcript: Transcript) -> str:
        """Criticises."""
        return "no"

    other = critic.with_(id="other")
    assert isinstance(other, FunctionAgent)
    assert (other.id, other.description) == ("other", "Criticises.")
    live = agent.live(lambda heard: heard, id="l").with_(description="Live.")
    assert (live.id, live.description) == ("l", "Live.")
    named = as_agent("n", lambda source: source, "Names.").with_(id="m")
    assert (named.id, named.description) == ("m", "Names.")
    team = Team(LLM, [critic], "team", max_turns=3).with_(members=[critic, other])
    assert (list(team.members), team.max_turns, team.id) == (["critic", "other"], 3, "team")
    assert User("ann").with_(mode="unattended").mode == "unattended"


@pytest.mark.parametrize(
    ("participant", "changes", "said"),
    [
        (Parrot(2), {"tmies": 1}, "<Parrot parrot>: with_ got 'tmies', .* did you mean 'times'?"),
        (
            Parrot(2),
            {"llm": LLM},
            "'llm', which is no argument of its constructor; it is made of times, mark",
        ),
        (User(), {"temperature": 0}, "<User user>: with_ got 'temperature'"),
        (Team(LLM, [Parrot(1)], "t"), {"member": ()}, "did you mean 'members'"),
        (Loose(id="l"), {"mood": 1}, "<Loose l>: with_ got 'mood'.* made of id, description"),
        (Named(LLM), {"id": "other"}, "<Named named>: with_ got 'id', .* made of llm, description"),
        (Agent("bot", LLM), {"max_round": 1}, "no argument 'max_round'; did you mean 'max_rounds'"),
        (Agent("bot", LLM), {"max_rounds": 0}, "max_rounds is 0"),
        (Agent("bot", LLM), {"id": "a b"}, "the id 'a b'"),
    ],
)
def test_what_it_does_not_take_is_refused(participant: Participant, changes: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        participant.with_(**changes)


def test_a_constructor_that_raises_type_errors_of_its_own_is_heard() -> None:
    class Fussy(Parrot):
        def __init__(self, times: int) -> None:
            if not isinstance(times, int):
                raise TypeError("times is a number")
            super().__init__(times)

    with pytest.raises(TypeError, match="times is a number"):
        Fussy(1).with_(times="x")


def test_one_whose_making_is_not_known_says_so() -> None:
    class Odd(Parrot):
        def __new__(cls, *_: Any, **__: Any) -> Any:
            return super().__new__(cls)

    with pytest.raises(
        ConfigurationError, match="what it was made of is not known: missing a required argument"
    ):
        Odd(2).with_(mark="")


def test_copies_and_pickles_know_what_they_are_made_of() -> None:
    parrot = Parrot(2, mark="?")
    for twin in (copy.copy(parrot), copy.deepcopy(parrot), pickle.loads(pickle.dumps(parrot))):
        assert (twin.times, twin.mark) == (2, "?")
        assert twin.with_(times=5).mark == "?"


def test_mocks_and_signatures_are_as_before() -> None:
    mock = MagicMock(spec=Parrot(1))
    assert isinstance(mock, Participant)
    mock.with_.return_value = "v"
    assert mock.with_(times=2) == "v"
    assert isinstance(create_autospec(Parrot)(3), Parrot)
    with pytest.raises(TypeError, match="times"):
        create_autospec(Parrot)()
    assert list(inspect.signature(Agent).parameters)[:2] == ["id", "llm"]
    assert list(inspect.signature(Parrot).parameters) == ["times", "mark"]
    with pytest.raises(TypeError, match="abstract"):
        Participant("x")  # type: ignore[abstract]
    with pytest.raises(TypeError, match="times"):
        Parrot()  # type: ignore[call-arg]


def test_a_variant_takes_turns_of_its_own(marbles: Marbles) -> None:
    parrot = Parrot(1)
    marbles.expect(say("a").pipe(parrot.with_(times=3), text())).to_be("(aaa!|)", words=True)
    marbles.expect(say("a").pipe(parrot, text())).to_be("               (a!|)", words=True)


async def sent_by(bot: Agent) -> None:
    assert (await bot.ask("Hi.")).text == "Hello."


def test_a_variant_sends_its_own_parameters_over_the_wire() -> None:
    with OpenAIServer(["Hello.", "Hello."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="k")
        bot = Agent("bot", llm, temperature=1, seed=7)
        asyncio.run(sent_by(bot))
        asyncio.run(sent_by(bot.with_(temperature=0)))
        sent = [(request.body["temperature"], request.body["seed"]) for request in server.requests]
    assert sent == [(1, 7), (0, 7)]
