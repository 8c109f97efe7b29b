"""Custom message types: subclasses of Message keep their class and their fields, wherever they go."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import date
from typing import Any

import pytest
import reactivex as rx
from pydantic import BaseModel, Field, field_validator, model_validator

from rxagents import (
    Agent,
    ConfigurationError,
    Conversation,
    InputError,
    Message,
    MessageStream,
    OpenAILLM,
    ScriptedLLM,
    UserMessage,
    Workflow,
    agent,
    say,
    stream,
)
from rxagents.operators import map_tokens, messages
from rxagents.testing import Marbles, OpenAIServer
from rxagents.values import message_from

from .listening import heard


class Place(BaseModel):
    street: str
    number: int = 1


class Review(Message):
    stars: int = 0


class Order(UserMessage):
    place: Place
    due: date
    tags: frozenset[str] = frozenset()
    note: str | None = "none"
    shouted: bool = False

    @field_validator("due")
    @classmethod
    def _not_before(cls, due: date) -> date:
        if due.year < 2000:
            raise ValueError("too long ago")
        return due

    @model_validator(mode="before")
    @classmethod
    def _listen(cls, data: Any) -> Any:
        return {**data, "shouted": (data.get("content") or "").isupper()}


ORDER = Order("TEN", place=Place(street="Main", number=3), due=date(2024, 2, 29), tags={"a", "b"}, note=None)


def through_json(message: Message) -> Message:
    return message_from(json.loads(json.dumps(message.to_dict())))


@pytest.mark.parametrize("message", [Review(role="user", content="x", stars=5), Review(role="user"), ORDER])
def test_it_is_what_it_was_after_json(message: Message) -> None:
    again = through_json(message)
    assert (type(again), again, again.hash_key) == (type(message), message, message.hash_key)
    conversation = Conversation([message, UserMessage("y")])
    restored = Conversation.from_dict(json.loads(json.dumps(conversation.to_dict())))
    assert [type(message) for message in restored] == [type(message), Message]
    assert restored.transcript == conversation.transcript


def test_its_name_stands_in_its_dict_and_that_of_the_plain_ones_does_not() -> None:
    assert Review(role="user", content="x", stars=5).to_dict() == {
        "role": "user", "content": "x", "stars": 5, "type": "Review"
    }  # fmt: skip
    assert "type" not in UserMessage("x").to_dict()
    assert through_json(UserMessage("x")) == UserMessage("x")


def test_the_class_counts_where_it_has_fields_of_its_own() -> None:
    class Opinion(Message):
        stars: int = 0

    one, other = Review(role="user", stars=1), Opinion(role="user", stars=1)
    assert one != other
    assert one.hash_key != other.hash_key


def test_copies_and_pickle_keep_the_class() -> None:
    for again in (
        copy.deepcopy(ORDER),
        pickle.loads(pickle.dumps(ORDER)),
        ORDER.model_copy(update={"name": "x"}),
    ):
        assert (type(again), again["place"]) == (Order, Place(street="Main", number=3))


def test_one_among_the_steps_of_another_stays_too() -> None:
    whole = Message(role="assistant", steps=(Review(role="tool", stars=2), Message(role="tool")))
    again = through_json(whole)
    assert [type(step) for step in again.steps] == [Review, Message]
    assert (again, again.hash_key) == (whole, whole.hash_key)
    assert Message(**whole.to_dict()) == whole


def test_of_a_class_that_is_not_known_nothing_is_lost() -> None:
    again = message_from(
        {"role": "user", "content": "x", "type": "Unheard", "stars": 5, "metadata": {"a": 1}}
    )
    assert type(again) is Message
    assert again.metadata == {"a": 1, "type": "Unheard", "stars": 5}


def test_the_latest_class_of_a_name_is_taken() -> None:
    def define(default: int) -> type[Message]:
        class Latest(Message):
            size: int = default

        return Latest

    first, second = define(1), define(2)
    assert type(through_json(first(role="user", size=7))) is second


def test_a_field_with_an_alias_is_read_back() -> None:
    class Aliased(Message):
        stars: int = Field(alias="Stars")

    message = Aliased(role="user", Stars=4)
    assert through_json(message) == message


def test_data_that_the_class_refuses_is_named() -> None:
    with pytest.raises(InputError, match="the dict is no Order: due: Value error, too long ago"):
        message_from({**ORDER.to_dict(), "due": "1999-01-01"})
    with pytest.raises(InputError, match="the dict is no Order: place: Field required"):
        message_from({"type": "Order", "content": "x", "due": "2024-01-01"})


def test_a_field_cannot_be_named_as_the_name_of_the_class_is() -> None:
    with pytest.raises(ConfigurationError, match="Odd: `type` is where the name of the class stands"):

        class Odd(Message):
            type: str = ""


# -- streams


def test_a_finished_one_is_handed_on_as_it_is() -> None:
    assert MessageStream.of(ORDER).result is ORDER
    named = MessageStream.of(Review(role="user", stars=3))
    named.speak_as("critic")
    assert named.result == Review(role="user", stars=3, name="critic")


def test_a_stream_ends_as_one(marbles: Marbles) -> None:
    tokens = marbles.cold("             --Ve-ry-|")
    made = stream(tokens, type=Review, stars=5, name="critic", metadata={"a": 1})
    marbles.expect(made).to_be("         --Ve-ry-|")
    marbles.flush()
    assert made.result == Review(role="assistant", content="Very", stars=5, name="critic", metadata={"a": 1})
    assert type(made.result) is Review


def test_the_class_says_who_speaks() -> None:
    made = stream("TEN", type=Order, place={"street": "Main"}, due="2024-01-01")
    assert made.role == "user"
    (order,) = heard(made.message)
    assert (order.role, order.shouted, order.place) == ("user", True, Place(street="Main"))
    assert stream("x", type=Order, role="system").role == "system"


def test_one_that_the_class_refuses_fails_and_keeps_what_was_said() -> None:
    made = stream(["T", "EN"], type=Order, place={"street": "Main"}, due="1999-01-01")
    error = heard(made.message)[-1]
    assert (type(error), str(error)) == (
        InputError,
        "what came is no Order: due: Value error, too long ago, not '1999-01-01'",
    )
    assert made.result is not None
    assert (type(made.result), made.result.text, made.result.finish_reason) == (Message, "TEN", "error")
    assert made.result["place"] == {"street": "Main"}


def test_one_that_is_cut_is_one_if_it_can_be(marbles: Marbles) -> None:
    tokens = marbles.cold("         --a-b-|")
    made = stream(tokens, type=Review, stars=5)
    strict = stream(marbles.cold("   --a-b-|"), type=Order)
    marbles.expect(made).to_be("     --a~")
    marbles.expect(strict).to_be("   --a~")
    marbles.at(3, made.interrupt)
    marbles.at(3, strict.interrupt)
    marbles.flush()
    assert made.result == Review(role="assistant", content="a", finish_reason="interrupted", stars=5)
    assert strict.result == Message(role="user", content="a", finish_reason="interrupted")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"type": str}, "type is <class 'str'>; give Message or a subclass of it"),
        ({"stars": 5}, "Message has no field 'stars' of its own"),
        ({"type": Review, "size": 5}, "Review has no field 'size' of its own"),
        ({"type": Review, "content": "x"}, "Review has no field 'content' of its own"),
        ({"metadata": 5}, "metadata is 5; give a dict"),
    ],
)
def test_what_makes_no_message_is_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        stream("x", **options)


def test_a_token_transform_keeps_it() -> None:
    said = rx.of(MessageStream.of(Review(role="assistant", content="ab", stars=5)))
    (message,) = heard(said.pipe(map_tokens(str.upper), messages()))
    assert heard(message.message) == [Review(role="assistant", content="AB", stars=5)]


# -- agents, workflows, the wire


def test_an_agent_may_reply_with_one_and_be_asked_with_one() -> None:
    @agent
    def critic(transcript: Any) -> Any:
        return [
            Review(role="assistant", content=f"{transcript[-1]['place'].street}?", stars=2),
            stream(["Ve", "ry"], type=Review, stars=4),
        ]

    workflow = Workflow(critic)
    assert workflow.run(ORDER) == "done"
    first, *others = workflow.conversation
    assert first is ORDER
    assert others == [
        Review(role="assistant", content="Main?", stars=2, name="critic"),
        Review(role="assistant", content="Very", stars=4, name="critic"),
    ]
    assert {type(message) for message in others} == {Review}


def test_a_model_reads_its_words_and_not_its_fields() -> None:
    with OpenAIServer(["Hello"]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        assert Workflow(Agent("bot", llm)).run(ORDER).text == "Hello"
        assert server.requests[0].body["messages"] == [{"role": "user", "content": "TEN"}]


# -- parsed


def test_what_the_content_was_parsed_to_is_beside_the_message() -> None:
    message = UserMessage("3").with_parsed(3)
    assert (message.parsed, UserMessage("3").parsed) == (3, None)
    assert (message, hash(message)) == (UserMessage("3"), hash(UserMessage("3")))
    assert message.to_dict() == {"role": "user", "content": "3"}
    assert message.model_copy(update={"name": "x"}).parsed == 3
    assert pickle.loads(pickle.dumps(message)).parsed == 3
    assert MessageStream.of(message).parsed == 3


def test_a_stream_hands_on_what_it_was_parsed_to() -> None:
    said = stream(["1", "2"], type=Review, stars=1)
    said.parsed = 12
    (message,) = heard(said.message)
    assert (type(message), message.text, message.parsed) == (Review, "12", 12)
    (heard_again,) = [item.result for item in heard(say(message)) if isinstance(item, MessageStream)]
    assert heard_again is message


def test_a_scripted_agent_needs_none_of_it() -> None:
    workflow = Workflow(Agent("bot", ScriptedLLM(["a"])))
    workflow.run("x")
    assert [type(message) for message in workflow.conversation] == [Message, Message]
