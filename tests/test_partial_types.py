"""All-optional twins, and JSON read while it is still coming: laws over random types and random cuts."""

from __future__ import annotations

import gc
import sys
import typing
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, TypeVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic_core import to_jsonable_python
from typing_extensions import TypeAliasType, TypedDict

from rxagents import ConfigurationError, partial_model
from rxagents.structured.json_progress import JsonProgress
from rxagents.structured.partial_shapes import ABSENT
from rxagents.structured.partial_types import shape_of

T = TypeVar("T")


def steps(type: Any, *pieces: str, wrapper: str | None = None) -> list[Any]:
    """The values that the pieces lead to."""
    progress = JsonProgress(shape_of(type), wrapper)
    return [progress.value for piece in pieces if progress.feed(piece)]


def last(type: Any, text: str, wrapper: str | None = None) -> Any:
    progress = JsonProgress(shape_of(type), wrapper)
    progress.feed(text)
    return progress.value


# -- the laws


class Shade(Enum):
    RED = "red"
    GREEN = "green"


def leaves() -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    return st.sampled_from(
        [
            (int, st.integers()),
            (float, st.floats(allow_nan=False, allow_infinity=False)),
            (bool, st.booleans()),
            (str, st.text()),
            (date, st.dates()),
            (Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=2)),
            (Shade, st.sampled_from(Shade)),
            (Literal["a", "ab", "abc"], st.sampled_from(["a", "ab", "abc"])),
            (int | None, st.none() | st.integers()),
            (Any, st.recursive(st.text() | st.booleans() | st.none(), st.lists)),
        ]
    )


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def listed(kind: tuple[Any, Any]) -> tuple[Any, Any]:
        return list[kind[0]], st.lists(kind[1], max_size=3)  # type: ignore[index]

    def keyed(kind: tuple[Any, Any]) -> tuple[Any, Any]:
        return dict[str, kind[0]], st.dictionaries(st.text(), kind[1], max_size=3)  # type: ignore[index]

    def optional(kind: tuple[Any, Any]) -> tuple[Any, Any]:
        return typing.Optional[kind[0]], st.none() | kind[1]  # noqa: UP045

    def model(kinds: dict[str, tuple[Any, Any]]) -> tuple[Any, Any]:
        made = create_model("Made", **{name: (kind, ...) for name, (kind, _) in kinds.items()})  # type: ignore[call-overload]
        return made, st.builds(made.model_construct, **{name: values for name, (_, values) in kinds.items()})

    names = st.sampled_from(["first", "second", "third"])
    models = st.dictionaries(names, inner, max_size=3).map(model)
    return inner.map(listed) | inner.map(keyed) | inner.map(optional) | models


KINDS = st.recursive(leaves(), grown, max_leaves=6)


def at_most(one: Any, other: Any) -> bool:
    """Whether all that one says, the other says too: nothing is taken back."""
    if one is None:
        return True
    if isinstance(one, dict):
        return isinstance(other, dict) and all(
            key in other and at_most(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, list):
        longer = isinstance(other, list) and len(one) <= len(other)
        return longer and all(map(at_most, one, other))
    if isinstance(one, str):
        return isinstance(other, str) and other.startswith(one)
    return bool(one == other)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_partials_only_grow_and_end_with_the_whole(data: st.DataObject) -> None:
    kind, values = data.draw(KINDS)
    whole = data.draw(values)
    adapter = TypeAdapter(kind)
    text = adapter.dump_json(whole, indent=data.draw(st.sampled_from([None, 1]))).decode()
    wrapper = None
    if not text.startswith("{"):
        text, wrapper = f'{{"value": {text}}}', "value"
    cuts = [*sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=30))), len(text)]
    progress = JsonProgress(shape_of(kind), wrapper)
    before: Any = None
    for begin, end in zip([0, *cuts], cuts, strict=False):
        shown = progress.value
        changed = progress.feed(text[begin:end])
        now = None if progress.value is ABSENT else to_jsonable_python(progress.value)
        assert at_most(before, now), "nothing is taken back"
        assert changed or progress.value is shown or progress.is_whole, "what is another is said to be"
        before = now
    assert progress.is_whole
    assert before == to_jsonable_python(adapter.dump_python(whole, mode="json"))


@settings(deadline=None)
@given(st.text(alphabet='{}[]",:\\u0123abdtrue \n') | st.text(), st.lists(st.integers(0, 50), max_size=8))
def test_no_text_makes_it_fail(text: str, cuts: list[int]) -> None:
    class Node(BaseModel):
        a: int | list[Any]
        b: dict[str, str] | None

    for kind, wrapper in ((Node, None), (list[Node], "value"), (str, "value")):
        progress = JsonProgress(shape_of(kind), wrapper)
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(text)], strict=True):
            progress.feed(text[begin:end])


@settings(deadline=None)
@given(st.text(), st.data())
def test_strings_come_as_they_are_wherever_their_escapes_are_cut(said: str, data: st.DataObject) -> None:
    class Word(BaseModel):
        it: str

    text = Word(it=said).model_dump_json()
    ascii_text = text.encode("ascii", "backslashreplace").decode()
    assume("\\U" not in ascii_text and "\\x" not in ascii_text)
    for written in (text, ascii_text):
        cut = data.draw(st.integers(0, len(written)))
        progress = JsonProgress(shape_of(Word))
        progress.feed(written[:cut])
        progress.feed(written[cut:])
        assert progress.value.it == said


def test_a_pair_of_escapes_is_one_character() -> None:
    class Word(BaseModel):
        it: str

    assert last(Word, r'{"it": "\ud83d\ude00\n"}').it == "😀\n"
    shown = steps(Word, '{"it": "a\\ud8', "3d\\u", 'de00b"}')
    assert [word.it for word in shown] == ["a", "a😀b"]
    assert steps(Word, r'{"it": "a\ud83d b"}')[-1].it == "a", "half a pair is no character, and no JSON"


# -- what is shown when


class Line(BaseModel):
    what: str
    price: float
    when: date | None = None
    kind: Literal["new", "old"] = "new"


LineTwin = partial_model(Line)


def test_numbers_and_literals_are_shown_when_they_are_complete() -> None:
    shown = steps(Line, '{"price": 1', "2.5", ', "kind": "o', 'ld"', ', "when": "2024-', '01-02"', "}")
    assert shown == [
        LineTwin(price=12.5),
        LineTwin(price=12.5, kind="old"),
        LineTwin(price=12.5, kind="old", when=date(2024, 1, 2)),
    ]


def test_what_is_not_of_the_type_is_left_out() -> None:
    assert last(Line, '{"what": 7, "price": "x", "kind": "other", "when": {"a": 1}}') == LineTwin()
    assert last(list[int], '[1, "x", 3]', "value") == [1, None, 3], "each item stays at its place"
    assert last(dict[str, int], '{"a": 1, "b": "x"}') == {"a": 1, "b": None}


def test_what_becomes_no_other_is_not_shown_again() -> None:
    progress = JsonProgress(shape_of(Line))
    changed = [
        progress.feed(piece) for piece in ('{"what": "', "tea", '"', ', "price": 1', "0,", ' "when": null}')
    ]
    assert changed == [False, True, False, False, True, False]


def test_after_a_mistake_nothing_more_is_shown() -> None:
    progress = JsonProgress(shape_of(Line))
    assert progress.feed('{"what": "tea" oops, "price": 1}')
    assert progress.value == LineTwin(what="tea")
    assert not progress.feed('{"what": "coffee"}')


def test_what_was_shown_before_a_mistake_stays() -> None:
    progress = JsonProgress(shape_of(Line))
    assert progress.feed('{"what": "tea"')
    assert not progress.feed(" oops, ")
    assert not progress.feed('{"what": "coffee"}')
    assert progress.value == LineTwin(what="tea")


def test_before_anything_is_shown_it_is_looked_for_again() -> None:
    assert last(Line, 'Like {this} or {"": : [1]: {"what": "tea"}') == LineTwin(what="tea")


def test_what_follows_the_whole_is_passed_by() -> None:
    progress = JsonProgress(shape_of(Line))
    progress.feed('{"what": "tea"} {"what": "coffee"}')
    assert progress.is_whole
    assert progress.value == LineTwin(what="tea")


def test_what_has_been_closed_is_shared() -> None:
    first, second = steps(list[Line], '[{"what": "a"}, {"what": "b', 'c"}]', wrapper="value")
    assert first[0] is second[0]
    assert (first[1].what, second[1].what) == ("b", "bc")


@pytest.mark.parametrize("text", ["[" * 5000, '{"what": ' * 5000, '{"price": ' + "1" * 100_000])
def test_what_no_parser_takes_is_no_danger(text: str) -> None:
    assert last(list[Any] if text[0] == "[" else Line, text, "value" if text[0] == "[" else None) is not None


# -- unions


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


CatTwin, DogTwin = partial_model(Cat), partial_model(Dog)


def test_a_union_of_models_shows_when_a_literal_tells_them_apart() -> None:
    class Owner(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")]

    twin = partial_model(Owner)
    shown = steps(Owner, '{"pet": {"name": "R', 'ex", "kind": "do', 'g"', "}}")
    assert shown == [twin(pet=DogTwin(kind="dog", name="Rex"))]
    shown = steps(Owner, '{"pet": {"kind": "dog", ', '"name": "R', 'ex"}}')
    assert [owner.pet for owner in shown] == [
        DogTwin(kind="dog"),
        DogTwin(kind="dog", name="R"),
        DogTwin(kind="dog", name="Rex"),
    ]


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        (int | str, '{"value": "12"}', "12"),
        (int | str, '{"value": 12}', 12),
        (float | int, '{"value": 3}', 3),
        (str | list[int], '{"value": [1, 2]}', [1, 2]),
        (str | None, '{"value": null}', None),
        (Cat | int, '{"value": {"kind": "cat"}}', CatTwin(kind="cat")),
        (Cat | Dog, '{"kind": "cat", "lives": 3}', CatTwin(kind="cat", lives=3)),
        (list[int] | list[str], '{"value": [1]}', ABSENT),
        (Literal["a"] | int, '{"value": "a"}', "a"),
    ],
    ids=str,
)
def test_other_unions(type: Any, text: str, value: Any) -> None:
    assert last(type, text, "value") == value


def test_tags_of_an_enum_and_tags_that_are_none() -> None:
    class Tint(StrEnum):
        RED = "red"
        GREEN = "green"

    class Red(BaseModel):
        shade: Literal[Tint.RED]

    class Green(BaseModel):
        shade: Literal[Tint.GREEN]
        deep: int = 0

    assert last(Red | Green, '{"value": {"shade": "green", "deep": 1}}', "value") == partial_model(Green)(
        shade=Tint.GREEN, deep=1
    )
    assert last(Red | Green, '{"value": {"shade": ["green"]}}', "value") is ABSENT


def test_a_union_within_a_union() -> None:
    class Owner(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")] | list[int] | None = None

    twin = partial_model(Owner)
    assert last(Owner, '{"pet": {"kind": "cat"') == twin(pet=CatTwin(kind="cat"))
    assert last(Owner, '{"pet": [1, 2') == twin(pet=[1])


Json = TypeAliasType("Json", typing.Union[dict[str, "Json"], list["Json"], str, int, None])  # noqa: UP007


class Nested(RootModel["list[Nested] | int"]):
    pass


def test_an_alias_and_a_root_model_may_lead_to_themselves() -> None:
    assert last(Json, '{"a": {"b": [1, "c', "value") == {"a": {"b": [1, "c"]}}  # type: ignore[arg-type]
    assert last(Nested, "[1, [2, [3, ", "value") == [1, [2, [3]]]


# -- the twins


def test_a_twin_has_all_fields_and_none_is_required() -> None:
    assert LineTwin.__name__ == "PartialLine"
    assert LineTwin.__doc__ == "What has come so far of a Line."
    assert LineTwin() == LineTwin(what=None, price=None, when=None, kind=None)
    assert list(LineTwin.model_fields) == ["what", "price", "when", "kind"]
    assert LineTwin.model_fields["what"].annotation == (str | None)
    assert partial_model(Line) is LineTwin
    with pytest.raises(ValidationError, match="frozen"):
        LineTwin().what = "x"  # type: ignore[attr-defined]


def test_what_is_in_a_twin_is_a_twin() -> None:
    class Order(BaseModel):
        lines: list[Line]
        by_name: dict[str, Line]

    twin = partial_model(Order)
    assert twin.model_fields["lines"].annotation == (list[LineTwin | None] | None)  # type: ignore[valid-type]
    assert twin.model_fields["by_name"].annotation == (dict[str, LineTwin | None] | None)  # type: ignore[valid-type]


class Tree(BaseModel):
    name: str
    left: Tree | None = None
    others: list[Tree] = []


def test_a_model_may_lead_to_itself() -> None:
    twin = partial_model(Tree)
    assert twin.model_fields["left"].annotation == (twin | None)
    shown = last(Tree, '{"name": "a", "left": {"name": "b"}, "others": [{"name": "c", "others": [{"na')
    assert shown == twin(name="a", left=twin(name="b"), others=[twin(name="c", others=[twin()])])
    assert twin.model_validate({"name": "a", "left": {"name": "b"}}).left == twin(name="b")  # type: ignore[attr-defined]


@dataclass
class Point:
    x: int
    y: int = 0


@checked_dataclass
class Checked:
    x: int = Field(alias="X")


class Options(TypedDict):
    deep: list[Line]
    name: NotRequired[str]


class Page(BaseModel, Generic[T]):
    items: list[T]


Row = TypeAliasType("Row", list[int])
UserId = NewType("UserId", str)


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        (Point, '{"x": 1, "y": 2', partial_model(Point)(x=1)),
        (Checked, '{"X": 1}', partial_model(Checked)(x=1)),
        (Options, '{"deep": [{"what": "a"}], "name": "b', {"deep": [LineTwin(what="a")], "name": "b"}),
        (Page[Line], '{"items": [{"what": "a', partial_model(Page[Line])(items=[LineTwin(what="a")])),
        (RootModel[list[Line]], '[{"what": "a', [LineTwin(what="a")]),
        (Row, "[1, 2", [1]),
        (UserId, '{"value": "ab', "ab"),
        (tuple[int, str], '[1, "ab', [1, "ab"]),
        (tuple[int, ...], "[1, 2,", [1, 2]),
        (set[str], '["a", "b', ["a", "b"]),
        (Sequence[int], "[1, 2,", [1, 2]),
        (Mapping[int, str], '{"1": "a', {1: "a"}),
        (dict[str, dict[str, list[int]]], '{"a": {"b": [1, 2', {"a": {"b": [1]}}),
        (dict, '{"a": {"b": [1, "c', {"a": {"b": [1, "c"]}}),
        (Annotated[str, AfterValidator(str.upper)], '{"value": "ab"}', "ab"),
    ],
    ids=str,
)
def test_other_types(type: Any, text: str, value: Any) -> None:
    wrapped = not (text.startswith("{") and "value" not in text)
    assert last(type, text, "value" if wrapped else None) == value


def test_fields_are_found_by_their_aliases() -> None:
    class Named(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        one: int = Field(alias="One")
        two: int = Field(0, validation_alias=AliasChoices("2", "II", AliasPath("deep", 0)))
        three: int = Field(0, validation_alias=AliasPath("deep", 1))

    twin = partial_model(Named)
    assert last(Named, '{"One": 1, "II": 2, "three": 3, "deep": [4, 5]}') == twin(one=1, two=2, three=3)
    assert last(Named, '{"one": 1, "2": 2}') == twin(one=1, two=2)
    assert twin(one=1).model_dump(by_alias=True, exclude_none=True) == {"One": 1}


def test_a_dataclass_may_have_fields_with_any_name() -> None:
    @dataclass
    class Odd:
        copy: int
        json: str
        _own: int = 0
        model_id: int = 0

    assert last(Odd, '{"copy": 1, "json": "a", "_own": 2, "model_id": 3}') == partial_model(Odd)(
        copy=1, json="a", model_id=3
    )


def test_a_model_is_not_kept_for_its_twin() -> None:
    made = create_model("Short", a=(int, ...))
    partial_model(made)
    seen = weakref.ref(made)
    del made
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize("type", [int, list[Line], Options, Literal["a"]], ids=str)
def test_only_models_and_dataclasses_have_twins(type: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no pydantic model or dataclass"):
        partial_model(type)


def test_what_a_token_costs_does_not_grow_with_what_is_closed() -> None:
    class Order(BaseModel):
        lines: list[Line]

    def calls_for_each(size: int) -> float:
        order = Order(lines=[Line(what=f"tea {number}", price=number) for number in range(size)])
        text = order.model_dump_json()
        pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
        progress = JsonProgress(shape_of(Order))
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        sys.setprofile(count)
        try:
            for piece in pieces:
                progress.feed(piece)
        finally:
            sys.setprofile(None)
        return calls / len(pieces)

    assert calls_for_each(1000) < 1.1 * calls_for_each(100)
