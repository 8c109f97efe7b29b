"""Tools: the schema from the signature, the check of arguments, the call, and the words for failures."""

import asyncio
import contextvars
import dataclasses
import datetime
import enum
import functools
import inspect
import json
import keyword
import threading
import typing
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter

from rxagents.engine.limits import Limit
from rxagents.errors import (
    ConfigurationError,
    ToolArgumentsError,
    ToolError,
    ToolFailedError,
    ToolTimeoutError,
)
from rxagents.state_updates import StateUpdate
from rxagents.tooling.contexts import Context, TurnState
from rxagents.tooling.toolboxes import Toolbox
from rxagents.tooling.tools import Tool
from rxagents.transcripts import Transcript
from rxagents.values import FunctionResult, ToolCall


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    """Where someone lives."""

    street: str
    number: int = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


def call(function: Callable[..., Any] | Tool, arguments: str = "", **options: Any) -> str:
    tool = function if isinstance(function, Tool) else Tool(function, **options)
    return typing.cast(str, run(tool.call(arguments)))


def properties(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.cast(dict[str, Any], Tool(function).parameters["properties"])


# --- the definition -------------------------------------------------------------------------------


def test_the_definition_is_the_wire_form() -> None:
    def get_delivery_date(order_id: Annotated[str, "The customer's order ID."]) -> str:
        """Get the delivery date."""
        return order_id

    tool = Tool(get_delivery_date)
    assert tool.name == "get_delivery_date"
    assert tool.description == "Get the delivery date."
    assert tool.definition == {
        "type": "function",
        "function": {
            "name": "get_delivery_date",
            "description": "Get the delivery date.",
            "parameters": {
                "type": "object",
                "properties": {"order_id": {"type": "string", "description": "The customer's order ID."}},
                "required": ["order_id"],
                "additionalProperties": False,
            },
        },
    }
    assert tool.definition["function"]["parameters"] is tool.parameters


def test_a_function_without_parameters_has_an_empty_object() -> None:
    def now() -> str:
        return "noon"

    assert Tool(now).parameters == {"type": "object", "properties": {}, "additionalProperties": False}


def test_name_and_description_can_be_given() -> None:
    tool = Tool(lambda: 1, name="one-1", description="Gives one.")
    assert (tool.name, tool.description) == ("one-1", "Gives one.")
    assert repr(tool) == "Tool('one-1')"


def test_defaults_are_shown_and_not_required() -> None:
    def f(a: int, b: int = 3, *, c: str = "x") -> None: ...

    schema = Tool(f).parameters
    assert schema["required"] == ["a"]
    assert schema["properties"]["b"] == {"type": "integer", "default": 3}
    assert schema["properties"]["c"] == {"type": "string", "default": "x"}


def test_the_types_of_the_language_have_their_schemas() -> None:
    def f(  # type: ignore[no-untyped-def]
        optional: Optional[int],  # noqa: UP045
        choice: Literal["a", "b"],
        color: Color,
        address: Address,
        point: Point,
        items: list[int],
        table: dict[str, float],
        anything,
    ) -> None: ...

    schema = Tool(f).parameters
    of = schema["properties"]
    assert of["optional"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert of["choice"] == {"type": "string", "enum": ["a", "b"]}
    assert of["color"] == {"$ref": "#/$defs/Color"}
    assert of["address"] == {"$ref": "#/$defs/Address"}
    assert of["point"] == {"$ref": "#/$defs/Point"}
    assert of["items"] == {"type": "array", "items": {"type": "integer"}}
    assert of["table"] == {"type": "object", "additionalProperties": {"type": "number"}}
    assert of["anything"] == {}
    assert schema["$defs"]["Color"]["enum"] == ["red", "blue"]
    assert schema["$defs"]["Address"]["properties"]["number"] == {"type": "integer", "default": 1}
    assert schema["$defs"]["Point"]["required"] == ["x", "y"]


def test_field_metadata_gives_description_and_constraints() -> None:
    def f(
        a: Annotated[int, Field(description="The a.", ge=1)],
        b: Annotated[int, Field(ge=2), "The b."],
        c: int = Field(5, description="The c."),
        d: Annotated[int, Field(alias="other")] = 0,
        e: Annotated[str, "The e."] | None = None,
    ) -> list[Any]:
        return [a, b, c, d, e]

    schema = Tool(f).parameters
    of = schema["properties"]
    assert of["a"] == {"type": "integer", "description": "The a.", "minimum": 1}
    assert of["b"] == {"type": "integer", "description": "The b.", "minimum": 2}
    assert of["c"] == {"type": "integer", "description": "The c.", "default": 5}
    assert of["e"]["description"] == "The e."
    assert list(of) == ["a", "b", "c", "d", "e"], "a parameter is called by its own name"
    assert schema["required"] == ["a", "b"]
    assert call(f, '{"a": 1, "b": 2, "d": 4}') == "[1,2,5,4,null]"


def test_a_default_within_the_annotation_makes_a_parameter_optional() -> None:
    def f(a: Annotated[int, Field(default=7)]) -> int:
        return a

    assert "required" not in Tool(f).parameters
    assert call(f, "{}") == "7"


def test_a_title_that_the_user_gave_stays_and_a_parameter_may_be_called_title() -> None:
    def f(title: str, b: Annotated[int, Field(title="Bee")]) -> None: ...

    assert properties(f) == {"title": {"type": "string"}, "b": {"type": "integer", "title": "Bee"}}


def test_a_default_that_json_cannot_show_is_left_out_and_reaches_the_function_as_it_is() -> None:
    marker = object()

    def f(a: Annotated[Any, "text"] = marker) -> bool:
        return a is marker

    assert properties(f) == {"a": {"description": "text"}}
    assert call(f) == "true"


def test_the_description_is_the_first_paragraph_of_the_docstring() -> None:
    def f(a: int, b: int, c: Annotated[int, "own"], d: int = 0) -> None:
        """Adds numbers
        together.

        And much more.

        Args:
            a: The first
                of them.
            b (int, optional): The second: really.
            c: Not this.

        Returns:
            d: Not a parameter.
        """

    tool = Tool(f)
    assert tool.description == "Adds numbers together."
    of = tool.parameters["properties"]
    assert of["a"]["description"] == "The first of them."
    assert of["b"]["description"] == "The second: really."
    assert of["c"]["description"] == "own"
    assert "description" not in of["d"]


def test_a_docstring_of_sections_only_gives_no_description() -> None:
    def f(a: int) -> None:
        """
        Args:
            a: The a.
        """

    assert Tool(f).description == ""
    assert properties(f)["a"]["description"] == "The a."


def test_string_annotations_are_resolved() -> None:
    def f(a: "Annotated[Color, 'A color.']", b: "list[Address]", c: list["Point"]) -> "NotThere":  # type: ignore[name-defined] # noqa: F821
        return [a, b[0].street, c[0].x]

    assert properties(f)["a"] == {"$ref": "#/$defs/Color", "description": "A color."}
    assert call(f, '{"a": "red", "b": [{"street": "x"}], "c": [{"x": 1, "y": 2}]}') == '["red","x",1]'


def test_postponed_annotations_are_resolved_where_the_function_is() -> None:
    source = """
from __future__ import annotations
from typing import Annotated, Literal

def f(a: Annotated[Literal["x"], "An x."], b: int | None = None) -> str:
    return a
"""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    function = namespace["f"]

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs) + "!"

    assert properties(wrapper)["a"] == {"const": "x", "type": "string", "description": "An x."}
    assert call(wrapper, '{"a": "x"}') == "x!"


# --- what is refused at construction --------------------------------------------------------------


def varargs(*numbers: int) -> None: ...
def keywords(**options: int) -> None: ...
def positional(a: int, /) -> None: ...
def unknown(x: int, a: threading.Thread) -> None: ...
def schemaless(x: int, a: Callable[[int], int]) -> None: ...
def unresolved(x: int, a: "NotThere") -> None: ...  # type: ignore[name-defined] # noqa: F821
def foreign(größe: int) -> None: ...
def wrong_constraint(x: int, a: Annotated[str, Field(pattern="(")]) -> None: ...


@pytest.mark.parametrize(
    ("function", "parameter", "why"),
    [
        (varargs, "*numbers", "parameters that have names"),
        (keywords, "**options", "parameters that have names"),
        (positional, "a", "positional-only"),
        (unknown, "a", "no JSON schema"),
        (schemaless, "a", "no JSON schema"),
        (unresolved, "a", "NotThere"),
        (foreign, "größe", "does not fit"),
        (wrong_constraint, "a", "no JSON schema"),
    ],
)
def test_what_has_no_schema_is_refused_naming_tool_and_parameter(
    function: Callable[..., Any], parameter: str, why: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Tool(function)
    text = str(caught.value)
    assert f"'{function.__name__}'" in text
    assert f"'{parameter}'" in text
    assert why in text
    assert "errors.pydantic.dev" not in text


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 65, "a\n", "<lambda>"])
def test_a_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="does not fit"):
        Tool(lambda: 1, name=name)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match=r"<lambda>.*name="):
        Tool(lambda: 1)
    assert call(lambda a: a, '{"a": [1]}', name="same") == "[1]"


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "5"])
def test_a_timeout_that_is_no_duration_is_refused(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        Tool(varargs, name="f", timeout=timeout)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="callable"):
        Tool("f")  # type: ignore[arg-type]


def test_what_has_no_signature_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'iter' has no readable signature"):
        Tool(iter)


def test_what_an_async_generator_yields_is_its_progress_and_the_last_its_result() -> None:
    async def count(to: int) -> Any:
        for number in range(to):
            yield number

    shown: list[str] = []
    tool = Tool(count)
    assert (tool.streams, tool.is_async) == (True, True)
    context = Context(TurnState(Transcript()), shown.append)
    assert asyncio.run(tool.call('{"to": 3}', context=context)) == "2"
    assert shown == ["0", "1", "2"]
    assert asyncio.run(tool.call('{"to": 0}', context=context)) == "null"


def test_a_generator_that_raises_or_takes_too_long_is_closed() -> None:
    ended: list[str] = []

    async def work(how: str) -> Any:
        try:
            yield "begun"
            if how == "raise":
                raise KeyError("lost")
            await asyncio.Event().wait()
        finally:
            ended.append(how)

    with pytest.raises(ToolFailedError, match="the tool 'work' failed: KeyError: 'lost'"):
        asyncio.run(Tool(work).call('{"how": "raise"}'))
    with pytest.raises(ToolTimeoutError, match="the tool 'work' did not answer within 0 s"):
        asyncio.run(Tool(work, timeout=0.0).call('{"how": "wait"}'))
    assert ended[0] == "raise"
    assert ended[1:] in ([], ["wait"])


def test_a_generator_is_closed_before_the_error_of_what_it_yielded_is_told() -> None:
    told: list[str] = []
    loop: list[Any] = []
    loop.append(loop)

    async def work() -> Any:
        try:
            yield loop
        finally:
            told.append("closed")

    async def main() -> None:
        with pytest.raises(ToolFailedError, match=r"the tool .work. failed: .*Circular reference"):
            await Tool(work).call("")
        told.append("failed")

    asyncio.run(main())
    assert told == ["closed", "failed"]


def test_changes_that_a_generator_yields_are_neither_progress_nor_result() -> None:
    async def work() -> Any:
        yield StateUpdate("variables", variables={"a": 1})
        yield "half"
        yield "whole", StateUpdate("variables", variables={"b": 2})
        yield StateUpdate("variables", variables={"c": 3})

    shown: list[str] = []
    turn = TurnState(Transcript())
    assert asyncio.run(Tool(work).call("", context=Context(turn, shown.append))) == "whole"
    assert shown == ["half", "whole"]
    assert dict(turn.transcript.variables) == {"a": 1, "b": 2, "c": 3}


# --- any name, any callable -----------------------------------------------------------------------


def test_parameters_may_be_called_like_the_attributes_of_a_model() -> None:
    def f(
        schema: int,
        copy: int,
        json: int,
        model_config: int,
        model_fields: int,
        _hidden: int,
        self: int,
        p0: int,
    ) -> list[int]:
        return [schema, copy, json, model_config, model_fields, _hidden, self, p0]

    names = list(inspect.signature(f).parameters)
    assert list(properties(f)) == names
    assert Tool(f).parameters["required"] == names
    assert call(f, json.dumps({name: i for i, name in enumerate(names)})) == "[0,1,2,3,4,5,6,7]"


def test_the_internal_names_of_parameters_are_no_way_in() -> None:
    with pytest.raises(ToolArgumentsError):
        call(lambda a=0: a, '{"p0": 1}', name="f")


class Shop:
    """A shop."""

    def __init__(self, stock: int) -> None:
        self.stock = stock

    def left(self, sold: "int") -> int:
        """What is left."""
        return self.stock - sold

    @staticmethod
    def double(n: int) -> int:
        return 2 * n

    @classmethod
    def title(cls, mark: str = "!") -> str:
        return cls.__name__ + mark

    def __call__(self, sold: int) -> int:
        return self.left(sold)


class AsyncShop:
    async def __call__(self, sold: int) -> int:
        """What is left."""
        return 10 - sold


def test_methods_work() -> None:
    tool = Tool(Shop(10).left)
    assert (tool.name, tool.description) == ("left", "What is left.")
    assert list(tool.parameters["properties"]) == ["sold"]
    assert call(tool, '{"sold": 3}') == "7"
    assert call(Shop.double, '{"n": 4}') == "8"
    assert call(Shop.title) == "Shop!"


def test_callable_objects_work_and_bear_the_name_of_their_class() -> None:
    tool = Tool(Shop(10))
    assert (tool.name, tool.description, tool.is_async) == ("Shop", "A shop.", False)
    assert call(tool, '{"sold": 3}') == "7"
    other = Tool(AsyncShop())
    assert (other.name, other.description, other.is_async) == ("AsyncShop", "What is left.", True)
    assert call(other, '{"sold": 3}') == "7"


def test_a_class_works() -> None:
    assert call(Point, '{"x": 1, "y": 2}') == '{"x":1,"y":2}'
    assert call(Address, '{"street": "a"}') == '{"street":"a","number":1}'


def test_partials_work_and_hide_what_they_bind() -> None:
    def f(secret: str, a: "int", b: int = 2, c: int = 3) -> list[Any]:
        """Does f."""
        return [secret, a, b, c]

    tool = Tool(functools.partial(functools.partial(f, "s"), b=5))
    assert (tool.name, tool.description) == ("f", "Does f.")
    assert list(tool.parameters["properties"]) == ["a", "c"]
    assert call(tool, '{"a": 1}') == '["s",1,5,3]'
    with pytest.raises(ToolArgumentsError):
        call(tool, '{"a": 1, "b": 6}')


# --- calling --------------------------------------------------------------------------------------


def test_a_plain_function_is_called_in_a_daemon_thread_with_the_callers_context() -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    def f() -> list[Any]:
        thread = threading.current_thread()
        return [thread.daemon, thread is threading.main_thread(), variable.get()]

    async def main() -> str:
        variable.set("set")
        return await Tool(f).call("")

    assert not Tool(f).is_async
    assert run(main()) == '[true,false,"set"]'


def test_an_async_function_is_called_on_the_loop() -> None:
    async def f(a: int) -> bool:
        assert a == 1
        return threading.current_thread() is threading.main_thread()

    assert Tool(f).is_async
    assert Tool(functools.partial(f, a=1)).is_async
    assert call(f, '{"a": 1}') == "true"


def test_a_function_that_says_it_returns_an_awaitable_is_called_on_the_loop() -> None:
    def f() -> Awaitable[bool]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(threading.current_thread() is threading.main_thread())
        return future

    assert Tool(f).is_async
    assert call(f) == "true"


def test_an_awaitable_that_a_plain_function_returns_is_awaited_on_the_loop() -> None:
    async def inner() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert call(lambda: inner(), name="f") == "true"


@pytest.mark.parametrize("arguments", ["", "  \n", "{}"])
def test_no_arguments_at_all_count_as_an_empty_object(arguments: str) -> None:
    assert call(lambda a=1: a, arguments, name="f") == "1"


def test_arguments_are_converted_to_what_the_annotations_say() -> None:
    def f(when: datetime.date, color: Color, address: Address, point: Point, some: set[int]) -> bool:
        return (when, color, address, point, some) == (
            datetime.date(2022, 1, 1), Color.RED, Address(street="s"), Point(1, 2), {1, 2},
        )  # fmt: skip

    arguments = {
        "when": "2022-01-01",
        "color": "red",
        "address": {"street": "s"},
        "point": {"x": 1, "y": 2},
        "some": [1, 2, 2],
    }
    assert call(f, json.dumps(arguments)) == "true"


def test_what_is_not_sent_keeps_the_functions_own_default() -> None:
    seen: list[Any] = []

    def f(a: list[int] = seen) -> bool:
        return a is seen

    assert call(f) == "true"


class Title(str, enum.Enum):  # noqa: UP042
    MR = "mr"


class Odd:
    def __str__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("plain \" text", "plain \" text"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (214, "214"),
        (1.5, "1.5"),
        (float("nan"), '"NaN"'),
        ("ü" * 2, "üü"),
        (["ü", None], '["ü",null]'),
        ({"a": (1, 2)}, '{"a":[1,2]}'),
        ({1}, "[1]"),
        (Color.RED, "red"),
        ([Color.RED], '["red"]'),
        (Title.MR, "mr"),
        (Address(street="s"), '{"street":"s","number":1}'),
        (Point(1, 2), '{"x":1,"y":2}'),
        ([Point(1, 2)], '[{"x":1,"y":2}]'),
        (datetime.date(2022, 1, 1), '"2022-01-01"'),
        (datetime.datetime(2022, 1, 1, tzinfo=datetime.timezone.utc), '"2022-01-01T00:00:00Z"'),  # noqa: UP017
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.10"), '"1.10"'),
        (Odd(), '"odd"'),
        ({"a": Odd()}, '{"a":"odd"}'),
    ],
)  # fmt: skip
def test_a_text_stays_as_it_is_and_anything_else_is_json(result: Any, text: str) -> None:
    async def asynchronous() -> Any:
        return result

    assert call(lambda: result, name="f") == text
    assert type(call(asynchronous)) is str
    assert call(asynchronous) == text


def test_the_items_of_an_iterator_are_the_result() -> None:
    assert call(lambda: (n for n in (1, 2)), name="f") == "[1,2]"
    assert call(lambda: map(abs, (-1, -2)), name="f") == "[1,2]"


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ['{"a": ', "nonsense", "{'a': 1}", '{"a": 1}}', '{"a": "\\ud800"}'])
def test_invalid_json_is_told_with_its_position(arguments: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        call(lambda a: a, arguments, name="f")
    text = str(caught.value)
    assert "'f'" in text
    assert "no valid JSON" in text
    assert "line 1 column" in text or "position" in text


def test_arguments_that_do_not_fit_are_listed_one_a_line() -> None:
    def f(order_id: str, n: int, address: Address, items: list[int]) -> None: ...

    with pytest.raises(ToolArgumentsError) as caught:
        call(f, '{"n": "x", "address": {}, "items": [1, "y"], "more": 1}')
    assert str(caught.value).splitlines() == [
        "the arguments of the tool 'f' do not fit:",
        "order_id: Field required",
        "n: Input should be a valid integer, unable to parse string as an integer",
        "address.street: Field required",
        "items.1: Input should be a valid integer, unable to parse string as an integer",
        "more: Extra inputs are not permitted",
    ]


def test_a_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ToolArgumentsError, match="unicode"):
        call(lambda a: a, '{"a": "\ud800"}', name="f")


@pytest.mark.parametrize("arguments", ["[]", "1", "null", '"{}"'])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    with pytest.raises(ToolArgumentsError, match="\narguments: Input should be an object"):
        call(lambda: 1, arguments, name="f")


def test_the_functions_own_error_is_the_cause_and_is_told_with_its_type() -> None:
    error = LookupError("no such order")

    def f() -> None:
        raise error

    async def g() -> None:
        raise error

    for function in (f, g):
        with pytest.raises(
            ToolFailedError, match=f"'{function.__name__}'.*LookupError: no such order"
        ) as caught:
            call(function)
        assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [SystemExit(1), StopIteration(), ToolArgumentsError("of another tool")])
def test_whatever_a_tool_raises_is_its_failure(error: BaseException) -> None:
    def f() -> None:
        raise error

    async def g() -> None:
        raise error

    for function in (f, g):
        with pytest.raises(ToolFailedError):
            call(function)


def test_a_validator_that_raises_what_it_should_not_is_a_failure_of_the_tool() -> None:
    def refuse(value: int) -> int:
        raise LookupError("broken")

    def f(a: Annotated[int, AfterValidator(refuse)]) -> None: ...

    with pytest.raises(ToolFailedError, match="broken"):
        call(f, '{"a": 1}')


def test_a_result_that_cannot_be_encoded_is_a_failure_of_the_tool() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ToolFailedError, match="Circular"):
        call(lambda: circle, name="f")


def test_an_async_tool_that_takes_too_long_is_cancelled() -> None:
    ended: list[str] = []

    async def f() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("f")

    for timeout in (0, 0.001):
        with pytest.raises(ToolTimeoutError, match=f"'f' did not answer within {timeout} s"):
            call(f, timeout=timeout)
    assert ended[-1] == "f"


def test_a_plain_tool_that_takes_too_long_is_abandoned_and_its_error_dropped() -> None:
    opened = threading.Event()

    def f() -> None:
        opened.wait()
        raise ValueError("late")

    async def main() -> None:
        dropped: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        with pytest.raises(ToolTimeoutError):
            await Tool(f, timeout=0.001).call("", on_dropped=dropped.set_result)
        opened.set()
        assert str(await dropped) == "late"

    run(main())


def test_waiting_for_a_place_counts_for_the_timeout() -> None:
    async def main() -> None:
        limit = Limit(1)
        await limit.acquire()
        with pytest.raises(ToolTimeoutError):
            await Tool(lambda: 1, name="f", timeout=0).call("", limit=limit)
        limit.release()
        assert await Tool(lambda: 1, name="f").call("", limit=limit) == "1"

    run(main())


def test_a_timeout_error_of_the_tools_own_is_a_failure() -> None:
    async def f() -> None:
        raise TimeoutError("the database")

    def g() -> None:
        raise TimeoutError("the database")

    for function in (f, g):
        with pytest.raises(ToolFailedError, match="TimeoutError: the database"):
            call(function, timeout=60)


@pytest.mark.parametrize("answering", [True, False])
def test_cancelling_passes_through(answering: bool) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def f() -> None:
            begun.set()
            await asyncio.Event().wait()

        tool = Tool(f, timeout=60)
        work = Toolbox([tool]).answer(asked("f")) if answering else tool.call("")
        task: asyncio.Task[Any] = asyncio.create_task(work)
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


@pytest.mark.parametrize("failing", [True, False])
def test_a_tool_cannot_swallow_its_cancellation(failing: bool) -> None:
    error = ValueError("in the cleanup")

    async def main() -> None:
        begun = asyncio.Event()
        dropped: list[BaseException] = []

        async def f() -> str:
            try:
                begun.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if failing:
                    raise error from None
            return "all the same"

        task = asyncio.create_task(Toolbox([f]).answer(asked("f"), on_dropped=dropped.append))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert dropped == ([error] if failing else [])
        with pytest.raises(ToolTimeoutError):
            await Tool(f, timeout=0).call("")

    run(main())


def test_a_cancellation_of_the_tools_own_making_is_a_failure() -> None:
    async def f() -> None:
        other = asyncio.get_running_loop().create_future()
        other.cancel()
        await other

    with pytest.raises(ToolFailedError, match="CancelledError"):
        call(f)


# --- the toolbox ----------------------------------------------------------------------------------


def asked(name: str, arguments: str = "") -> ToolCall:
    return ToolCall(id="call_1", function={"name": name, "arguments": arguments})


def answered(box: Toolbox, name: str, arguments: str = "") -> str:
    result = run(box.answer(asked(name, arguments)))
    assert (result.name, result.id) == (name, "call_1")
    return typing.cast(str, result.result)


def get_order_id() -> str:
    return "214"


async def get_delivery_date(order_id: str, style: Literal["iso", "us"] = "iso", n: int | None = None) -> str:
    if order_id != "214":
        raise LookupError(f"no order {order_id}")
    return "2022-01-01"


def test_a_toolbox_keeps_its_tools_in_order_and_makes_tools_of_functions() -> None:
    second = Tool(get_delivery_date)
    box = Toolbox([get_order_id, second])
    assert [tool.name for tool in box] == ["get_order_id", "get_delivery_date"]
    assert box.get("get_delivery_date") is second
    assert box.get("nothing") is None
    assert box.definitions == tuple(tool.definition for tool in box)
    assert len(box) == 2
    assert box
    assert not Toolbox()


def test_add_gives_the_tool_back() -> None:
    box = Toolbox()
    tool = Tool(get_order_id)
    assert box.add(tool) is tool
    assert box.add(get_delivery_date) is box.get("get_delivery_date")


def test_two_tools_with_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'get_order_id'"):
        Toolbox([get_order_id, Tool(get_order_id)])


def test_a_call_is_answered() -> None:
    box = Toolbox([get_order_id, get_delivery_date])
    result = run(box.answer(asked("get_delivery_date", '{"order_id": "214"}'), limit=Limit(1)))
    assert result == FunctionResult(name="get_delivery_date", result="2022-01-01", id="call_1")
    assert answered(box, "get_order_id") == "214"


def test_an_unknown_tool_is_answered_with_the_names_of_those_there_are() -> None:
    text = answered(Toolbox([get_order_id, get_delivery_date]), "get_order")
    assert text == (
        "Error: there is no tool 'get_order'\n"
        "The tools are: get_order_id, get_delivery_date. Call one of these, or answer without a tool."
    )
    assert "There are no tools" in answered(Toolbox(), "get_order")


def test_arguments_that_do_not_fit_are_answered_with_the_errors_and_the_parameters() -> None:
    text = answered(Toolbox([get_delivery_date]), "get_delivery_date", '{"order": 1}')
    assert text == (
        "Error: the arguments of the tool 'get_delivery_date' do not fit:\n"
        "order_id: Field required\n"
        "order: Extra inputs are not permitted\n"
        "Call it again with one JSON object of these parameters: order_id (string, required); "
        'style (one of ["iso", "us"], optional); n (integer or null, optional).'
    )


def test_invalid_json_is_answered_with_the_parameters() -> None:
    def f(point: Point, one: Literal[1], anything: Any) -> None: ...

    text = answered(Toolbox([f]), "f", "{")
    assert "no valid JSON" in text
    assert "point (Point, required); one (one of [1], required); anything (anything, required)." in text
    assert "parameters: none, that is {}." in answered(Toolbox([get_order_id]), "get_order_id", "{")


def test_a_raising_tool_and_a_timeout_are_answered() -> None:
    async def slow() -> None:
        await asyncio.Event().wait()

    box = Toolbox([get_delivery_date, Tool(slow, timeout=0)])
    failed = answered(box, "get_delivery_date", '{"order_id": "1"}')
    assert failed.startswith("Error: the tool 'get_delivery_date' failed: LookupError: no order 1\n")
    late = answered(box, "slow")
    assert late.startswith("Error: the tool 'slow' did not answer within 0 s\n")


def test_a_call_without_a_name_is_answered_too() -> None:
    call = ToolCall(id="c", function={})
    assert "there is no tool ''" in run(Toolbox([get_order_id]).answer(call)).result


@given(arguments=st.text(), name=st.sampled_from(["get_order_id", "get_delivery_date", "other", ""]))
def test_no_call_makes_a_toolbox_raise(arguments: str, name: str) -> None:
    result = run(Toolbox([get_order_id, get_delivery_date]).answer(asked(name, arguments)))
    assert isinstance(result, FunctionResult)


def test_a_tool_that_raises_a_tool_error_is_answered() -> None:
    async def f() -> None:
        raise ToolError("mine")

    assert "ToolError: mine" in answered(Toolbox([f]), "f")


# --- the law: schema -> JSON -> call --------------------------------------------------------------

numbers = st.integers(-(2**70), 2**70)
floats = st.floats(allow_nan=False, allow_infinity=False)
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, numbers),
    (float, floats),
    (bool, st.booleans()),
    (str, st.text()),
    (int | None, st.none() | numbers),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (Color, st.sampled_from(["red", "blue"])),
    (Address, st.fixed_dictionaries({"street": st.text()}, optional={"number": numbers})),
    (Point, st.fixed_dictionaries({"x": numbers, "y": numbers})),
    (list[Point], st.lists(st.fixed_dictionaries({"x": numbers, "y": numbers}), max_size=3)),
    (dict[str, list[float]], st.dictionaries(st.text(), st.lists(floats, max_size=2), max_size=3)),
    (tuple[int, str], st.tuples(numbers, st.text()).map(list)),
    (datetime.date, st.dates().map(str)),
    (Annotated[int, Field(ge=0, lt=10)], st.integers(0, 9)),
]
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True) | st.sampled_from(
    ["schema", "copy", "json", "model_dump", "model_config", "_x", "__init__", "p0", "p1", "self", "cls"]
)
EMPTY = inspect.Parameter.empty


@st.composite
def calls(draw: st.DrawFn) -> tuple[list[inspect.Parameter], dict[str, Any]]:
    """Some parameters, and JSON-able arguments that fit them."""
    parameters, arguments = [], {}
    for name in draw(st.lists(names.filter(lambda n: n not in KEYWORDS), unique=True, max_size=6)):
        annotation, values = draw(st.sampled_from(KINDS))
        default = draw(st.just(EMPTY) | st.sampled_from([None, 7]))
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=Annotated[annotation, "text"],
            )
        )
        if default is EMPTY or draw(st.booleans()):
            arguments[name] = draw(values)
    return parameters, arguments


KEYWORDS = set(keyword.kwlist)


@given(made=calls())
def test_valid_arguments_survive_from_the_schema_through_json_to_the_call(
    made: tuple[list[inspect.Parameter], dict[str, Any]],
) -> None:
    parameters, arguments = made
    received: dict[str, Any] = {}

    async def f(**values: Any) -> dict[str, Any]:
        received.update(values)
        return values

    f.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    tool = Tool(f)
    schema = tool.parameters
    assert json.loads(json.dumps(tool.definition)) == tool.definition
    assert list(schema["properties"]) == [p.name for p in parameters]
    assert schema.get("required", []) == [p.name for p in parameters if p.default is EMPTY]
    assert all(of["description"] == "text" for of in schema["properties"].values())

    text = call(tool, json.dumps(arguments))
    kinds = {p.name: TypeAdapter(p.annotation) for p in parameters}
    assert received == {n: kinds[n].validate_json(json.dumps(value)) for n, value in arguments.items()}
    again = {n: kinds[n].validate_python(value) for n, value in json.loads(text).items()}
    assert again == received
