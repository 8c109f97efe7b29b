"""OutputType: from a type to the wire's response format, and from an answer back to a value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter, field_validator
from typing_extensions import TypedDict

from rxagents import AgentError, ConfigurationError, OutputError
from rxagents.structured.output_types import OutputType


class Line(BaseModel):
    """What was sold."""

    what: str = Field(min_length=1, description="The thing.")
    price: float = Field(gt=0)
    tags: list[str] = []


class Invoice(BaseModel):
    number: int
    lines: list[Line]
    currency: str = "EUR"
    note: str | None = None
    due: date | None = None


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    lives: int | None = 1


class Pets(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


@dataclass
class Point:
    x: int
    y: int = 2


class Options(TypedDict):
    a: int
    b: NotRequired[str]


class Color(Enum):
    RED = "red"
    GREEN = "green"


TAKEN = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const"}
TAKEN |= {"description", "$ref", "$defs"}


def check_strict(schema: dict[str, Any]) -> None:
    """What OpenAI's strict mode asks of every part of a schema."""
    assert set(schema) <= TAKEN
    if "$ref" in schema:
        assert set(schema) == {"$ref"}
    if schema.get("type") == "object":
        assert schema["required"] == list(schema["properties"])
        assert schema["additionalProperties"] is False
    for inner in schema.get("properties", {}).values():
        check_strict(inner)
    for inner in [*schema.get("anyOf", ()), *schema.get("$defs", {}).values()]:
        check_strict(inner)
    if "items" in schema:
        check_strict(schema["items"])


STRICT = [Invoice, Node, Pets, Point, Options, list[Line], Literal["a", "b"], int, int | str, Color, set[int]]
STRICT += [RootModel[list[int]], Cat | Dog, list[list[Cat]]]


@pytest.mark.parametrize("type", STRICT, ids=str)
def test_what_strict_mode_can_say_is_strict(type: Any) -> None:
    wire = OutputType(type).response_format
    assert wire["type"] == "json_schema"
    assert wire["json_schema"]["strict"] is True
    assert wire["json_schema"]["schema"]["type"] == "object"
    check_strict(wire["json_schema"]["schema"])
    json.dumps(wire)


@pytest.mark.parametrize("type", [dict[str, int], Open, tuple[int, str], Any, list[dict[str, int]], dict])
def test_what_strict_mode_cannot_say_is_not(type: Any) -> None:
    wire = OutputType(type).response_format["json_schema"]
    assert wire["strict"] is False
    assert wire["schema"]["type"] == "object", "the root is an object all the same"


def test_a_model_on_the_wire() -> None:
    class Plain(BaseModel):
        a: int
        b: list[str]

    assert OutputType(Plain).response_format == {
        "type": "json_schema",
        "json_schema": {
            "name": "Plain",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {
                    "a": {"type": "integer"},
                    "b": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["a", "b"],
                "additionalProperties": False,
            },
        },
    }


def test_the_client_library_makes_the_same_of_a_model_without_defaults() -> None:
    class Inner(BaseModel):
        x: float
        kind: Literal["a", "b"]

    class Outer(BaseModel):
        inner: Inner
        more: list[Inner]
        maybe: Inner | None

    theirs = to_strict_json_schema(Outer)
    ours = OutputType(Outer).response_format["json_schema"]["schema"]
    assert ours == json.loads(json.dumps(theirs), object_hook=without_title)


def without_title(made: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in made.items() if key != "title" or not isinstance(value, str)}


def test_what_may_be_left_out_is_nullable_and_its_default_is_gone() -> None:
    properties = OutputType(Invoice).response_format["json_schema"]["schema"]["properties"]
    assert properties["currency"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert properties["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_what_narrows_a_value_is_put_in_words() -> None:
    line = OutputType(Line).response_format["json_schema"]["schema"]
    assert line["properties"]["what"] == {"type": "string", "description": "The thing. (minLength: 1)"}
    assert line["properties"]["price"] == {"type": "number", "description": "(exclusiveMinimum: 0)"}
    assert line["description"] == "What was sold."


def test_nothing_stands_beside_a_reference() -> None:
    class Sale(BaseModel):
        line: Line = Field(description="The only one.")

    line = OutputType(Sale).response_format["json_schema"]["schema"]["properties"]["line"]
    assert line == {"description": "The only one.", "anyOf": [{"$ref": "#/$defs/Line"}]}


@pytest.mark.parametrize(
    ("type", "name"),
    [
        (Invoice, "Invoice"),
        (list[Line], "list_Line"),
        (Literal["a", "b"], "Literal_a_b"),
        (int, "int"),
        (dict[str, int], "dict_str_int"),
        (RootModel[list[int]], "RootModel_list_int"),
        (tuple[int, ...], "tuple_int"),
        (list[Annotated[int, Field(gt=0, description="x" * 100)]], None),
    ],
)
def test_the_name_fits_the_wire(type: Any, name: str | None) -> None:
    found = OutputType(type).response_format["json_schema"]["name"]
    assert 0 < len(found) <= 64
    assert name is None or found == name


def test_the_schema_is_made_once() -> None:
    output = OutputType(Invoice)
    assert output.response_format is output.response_format
    assert output.instructions is output.instructions


def test_the_instructions_hold_the_schema_of_the_type() -> None:
    words, schema = OutputType(list[int]).instructions.split("\n", 1)
    assert words == "Answer with JSON that fits this JSON schema, and with nothing else:"
    assert json.loads(schema) == {"type": "array", "items": {"type": "integer"}}


INVOICE = Invoice(number=1, lines=[Line(what="tea", price=2)])
WRITTEN = '{"number": 1, "lines": [{"what": "tea", "price": 2}]}'


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN,
        f"\n  {WRITTEN}\n",
        f"```json\n{WRITTEN}\n```",
        f"```\n{WRITTEN}\n```",
        f"Here it is:\n```json\n{WRITTEN}\n```\nAnything else?",
        f"```json\n{WRITTEN}",
        f"Here it is: {WRITTEN} That is all.",
        f"As in [1]: {WRITTEN}",
        f"```json\n{WRITTEN}\n```\nor, for short,\n```json\n{{}}\n```",
    ],
    ids=[
        "bare",
        "spaces",
        "fence",
        "plain fence",
        "fence in words",
        "open fence",
        "in words",
        "after a bracket",
        "two fences",
    ],
)
def test_the_json_may_stand_in_a_fence_or_among_words(text: str) -> None:
    assert OutputType(Invoice).parse(text) == INVOICE


def test_a_fence_in_a_string_is_no_fence() -> None:
    class Page(BaseModel):
        code: str

    assert OutputType(Page).parse('{"code": "```py\\n1\\n```"}').code == "```py\n1\n```"
    assert OutputType(Page).parse('```json\n{"code": "```py\\n1\\n```"}\n```').code == "```py\n1\n```"


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], "These: [1, 2].", [1, 2]),
        (Literal["a", "b"], '{"value": "b"}', "b"),
        (Literal["a", "b"], '"b"', "b"),
        (int, '{"value": 3}', 3),
        (int, "3", 3),
        (set[int], '{"value": [1, 1]}', {1}),
        (Point, '{"x": 1}', Point(1)),
        (Options, '{"a": 1}', {"a": 1}),
        (dict[str, int], '{"value": 1}', {"value": 1}),
        (Color, '{"value": "red"}', Color.RED),
        (int | dict[str, int], '{"value": 3}', 3),
        (int | dict[str, int], '{"value": 3, "x": 4}', {"value": 3, "x": 4}),
        (int | dict[str, str], '{"value": "x"}', {"value": "x"}),
        (Decimal, '{"value": "1.10000000000000000000001"}', Decimal("1.10000000000000000000001")),
    ],
    ids=str,
)
def test_other_types_than_models(type: Any, text: str, value: Any) -> None:
    assert OutputType(type).parse(text) == value


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        (Invoice, '{"number": 1, "lines": [], "currency": null, "note": null}', Invoice(number=1, lines=[])),
        (Point, '{"x": 1, "y": null}', Point(1, 2)),
        (Options, '{"a": 1, "b": null}', {"a": 1}),
        (Node, '{"name": "a", "children": [{"name": "b", "children": null}]}', None),
        (Pets, '{"pet": {"kind": "cat", "lives": null}}', Pets(pet=Cat(kind="cat"))),
        (Pets, '{"pet": {"kind": "dog", "lives": null}}', Pets(pet=Dog(kind="dog", lives=None))),
        (list[Cat], '{"value": [{"kind": "cat", "lives": null}]}', [Cat(kind="cat")]),
    ],
    ids=str,
)
def test_null_for_what_may_be_left_out_counts_as_left_out(type: Any, text: str, value: Any) -> None:
    value = value or Node(name="a", children=[Node(name="b")])
    assert OutputType(type).parse(text) == value


def test_null_for_what_may_not_be_left_out_is_an_error() -> None:
    with pytest.raises(OutputError, match=r"number: Input should be a valid integer"):
        OutputType(Invoice).parse('{"number": null, "lines": []}')


def test_each_error_has_a_line_with_its_path() -> None:
    with pytest.raises(OutputError) as caught:
        OutputType(Invoice).parse('{"lines": [{"what": "", "price": 1}, {"what": "x", "price": "no"}]}')
    assert str(caught.value).splitlines() == [
        "the answer is not of the output type Invoice:",
        "number: Field required",
        "lines.0.what: String should have at least 1 character",
        "lines.1.price: Input should be a valid number, unable to parse string as a number",
    ]
    assert isinstance(caught.value, AgentError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("We do not know.", "expected value at line 1 column 1"),
        ("", "EOF while parsing a value at line 1 column 0"),
        ('{"number": 1', "EOF while parsing an object at line 1 column 12"),
    ],
)
def test_what_is_no_json_says_so(text: str, why: str) -> None:
    with pytest.raises(OutputError) as caught:
        OutputType(Invoice).parse(text)
    assert str(caught.value) == f"the answer is no valid JSON, and Invoice is wanted: {why}"


def test_of_many_errors_the_first_are_told() -> None:
    with pytest.raises(OutputError) as caught:
        OutputType(list[int]).parse(json.dumps({"value": ["x"] * 50}))
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "… and 30 more"


def test_what_a_validator_says_stands_in_one_line() -> None:
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def is_even(cls, n: int) -> int:
            if n % 2:
                raise ValueError(f"{n} is odd,\nand must be even")
            return n

    with pytest.raises(OutputError, match="n: Value error, 3 is odd, and must be even"):
        OutputType(Even).parse('{"n": 3}')


def test_what_else_a_validator_raises_passes_through() -> None:
    class Broken(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def divide(cls, n: int) -> int:
            return 1 // n

    with pytest.raises(ZeroDivisionError):
        OutputType(Broken).parse('{"n": 0}')


def some_function() -> None: ...


@pytest.mark.parametrize(
    ("type", "message"),
    [
        (None, "output_type: None is no type; give a pydantic model, list[int], …"),
        ("Invoice", "output_type: 'Invoice' is no type; give a pydantic model, list[int], …"),
        (some_function, "is no type"),
        (3, "output_type: 3 has no JSON schema: Unable to generate pydantic-core schema for 3"),
        (INVOICE, "has no JSON schema"),
        (object(), "has no JSON schema"),
        (list["Nope"], "output_type: list_Nope has no JSON schema: .* is not fully defined"),  # type: ignore[name-defined]  # noqa: F821
        (type("Own", (), {}), "output_type: Own has no JSON schema"),
    ],
)
def test_what_is_no_type_is_refused_at_once(type: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("[", r"\[").replace("…", ".")):
        OutputType(type)


def test_a_long_answer_that_is_no_json_costs_little() -> None:
    with pytest.raises(OutputError):
        OutputType(Invoice).parse("[" * 200_000)
    with pytest.raises(OutputError):
        OutputType(Invoice).parse('{"a":' * 100_000)


lines = st.builds(Line, what=st.text(min_size=1), price=st.floats(0.1, 1e9), tags=st.lists(st.text()))
invoices = st.builds(
    Invoice,
    number=st.integers(),
    lines=st.lists(lines, max_size=3),
    currency=st.text(),
    note=st.none() | st.text(),
    due=st.none() | st.dates(),
)


@settings(deadline=None)
@given(invoices, st.sampled_from(["{}", "```json\n{}\n```", "\n{}\n"]))
def test_what_is_written_is_read_back(invoice: Invoice, around: str) -> None:
    assert OutputType(Invoice).parse(around.replace("{}", invoice.model_dump_json())) == invoice


@settings(deadline=None)
@given(st.lists(st.lists(st.integers()) | st.text() | st.none()))
def test_what_is_no_object_is_wrapped_and_unwrapped(value: list[Any]) -> None:
    kind = list[list[int] | str | None]
    written = TypeAdapter(Any).dump_json(value).decode()
    assert OutputType(kind).parse(f'{{"value": {written}}}') == value
    assert OutputType(kind).parse(written) == value
