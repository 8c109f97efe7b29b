"""All-optional twins: from a type to the shape of its partial values."""

from __future__ import annotations

import collections.abc
import inspect
import warnings
from enum import Enum
from threading import RLock
from types import NoneType, UnionType
from typing import Any, ForwardRef, Optional, Union, get_args, get_origin
from weakref import WeakKeyDictionary

import typing_extensions
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from ..errors import ConfigurationError
from .partial_choices import Choice
from .partial_shapes import RAW, Entries, Fields, Items, Kind, Leaf, Shape, Text
from .type_fields import TypeField, bare_type, fields_of, inner_type, tags_of

__all__ = ["partial_model", "shape_of"]

_LISTS = (list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Set)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_KINDS: dict[Any, Kind] = {"object": "object", "array": "array", "string": "string"}

# a class's fields belong to the class, and go with it
_known: WeakKeyDictionary[type, Fields] = WeakKeyDictionary()
_lock = RLock()


def partial_model(model: type[Any]) -> type[BaseModel]:
    """The all-optional twin of a model: what `partials` emits while the JSON of the model streams.

    `Invoice` has the twin `PartialInvoice`: every field is there as `T | None` and None by default, models
    in it are twins too, tuples and sets are lists, and no validator of the original runs. It is frozen. The
    same class comes back each time.

    Args:
        model: A pydantic model or a dataclass.

    Raises:
        ConfigurationError: It is neither.
    """
    shape = shape_of(model)
    if not isinstance(shape, Fields) or shape.twin is None:
        raise ConfigurationError(f"partial_model: {model!r} is no pydantic model or dataclass")
    twin: type[BaseModel] = shape.twin
    return twin


def shape_of(annotation: Any) -> Shape:
    """The shape of a type's partial values."""
    with _lock:  # two threads must not make two twins of one model
        building = _Building()
        shape = building.shape(annotation)
        building.make_twins()
        return shape


class _Building:
    """One building of shapes: models may lead to themselves, so their twins are made when all are known."""

    def __init__(self) -> None:
        self._new: dict[type, Fields] = {}
        self._around: list[Any] = []

    def shape(self, annotation: Any) -> Shape:
        annotation = bare_type(annotation)
        if isinstance(annotation, str | ForwardRef):
            return RAW  # in an alias; whoever uses it knows what it means
        inner = inner_type(annotation)
        if inner is not None:
            if annotation in self._around:
                return RAW  # it leads to itself, and has no fields at which to stop
            self._around.append(annotation)
            try:
                return self.shape(inner)
            finally:
                self._around.pop()
        origin, args = get_origin(annotation), get_args(annotation)
        if annotation in (Any, object) or annotation in (*_DICTS, list):
            return RAW
        if annotation is str:
            return Text(TypeAdapter(str), str, frozenset[Kind](("string",)))
        if origin in (Union, UnionType):
            return self._choice(annotation, args)
        if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
            return _annotated(Items([self.shape(arg) for arg in args]), list[Any])
        if origin in (*_LISTS, tuple) and args:
            return self._items(args[0])
        if origin in _DICTS and len(args) == 2:
            key, value = _leaf(bare_type(args[0])), self.shape(args[1])
            return _annotated(Entries(key, value), _alias(dict, key.annotation, _or_none(value.annotation)))
        fields = fields_of(annotation)
        return _leaf(annotation) if fields is None else self._fields(annotation, fields)

    def _items(self, annotation: Any) -> Shape:
        item = self.shape(annotation)
        return _annotated(Items(item), _alias(list, _or_none(item.annotation)))

    def _choice(self, annotation: Any, args: tuple[Any, ...]) -> Shape:
        variants: list[Shape] = []
        for arg in args:
            shape = _leaf(NoneType) if arg is NoneType else self.shape(arg)
            variants += shape.variants if isinstance(shape, Choice) else [shape]
        # `|` takes no list of types
        return Choice(variants, Union[tuple(variant.annotation for variant in variants)])  # noqa: UP007

    def _fields(self, type: type, fields: dict[str, TypeField]) -> Shape:
        known = _known.get(type) or self._new.get(type)
        if known is not None:
            return known
        made = self._new[type] = Fields()
        made.annotation = ForwardRef(f"_{len(self._new)}_{type.__name__}")
        for name, field in fields.items():
            shape = self.shape(field.annotation)
            tags = tags_of(field.annotation)
            for key in field.keys:
                made.keys[key] = (name, shape)
                if tags:
                    made.tags[key] = tags
        return made

    def make_twins(self) -> None:
        """Makes the twins of all models that were met for the first time."""
        names: dict[str, Any] = {}
        for type, shape in self._new.items():
            forward = shape.annotation.__forward_arg__
            if typing_extensions.is_typeddict(type):
                names[forward] = shape.annotation = dict[str, Any]
                continue
            shape.twin = _twin(type, shape)
            names[forward] = shape.twin
            shape.make = shape.twin.model_construct
        for type, shape in self._new.items():
            if shape.twin is not None:
                shape.annotation = shape.twin
                shape.twin.model_rebuild(force=True, _types_namespace=names)
            _known.setdefault(type, shape)


def _twin(type: type, shape: Fields) -> type[BaseModel]:
    keys = {name: key for key, (name, _) in reversed(shape.keys.items())}
    definitions: dict[str, Any] = {
        name: (_or_none(each.annotation), Field(None, serialization_alias=keys[name]))
        for name, each in dict(shape.keys.values()).items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a dataclass may have a field `copy`
        return create_model(
            f"Partial{type.__name__}",
            __config__=ConfigDict(frozen=True, arbitrary_types_allowed=True, protected_namespaces=()),
            __module__=type.__module__,
            __doc__=f"What has come so far of a {type.__name__}.",
            **definitions,
        )


def _leaf(annotation: Any) -> Leaf:
    try:
        adapter = TypeAdapter[Any](annotation)
        kinds = _kinds(annotation, adapter)
    except Exception:  # of no use by itself: the model that it stands in says how it is read
        return Leaf(TypeAdapter(Any), Any, frozenset())
    return Leaf(adapter, annotation, kinds)


def _kinds(annotation: Any, adapter: TypeAdapter[Any]) -> frozenset[Kind]:
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return frozenset[Kind](("string", "other"))
    schema = adapter.json_schema()
    if "type" in schema:
        return frozenset({_KINDS.get(schema["type"], "other")})
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is None:
        return frozenset[Kind](("object", "array", "string", "other"))
    return frozenset("string" if isinstance(value, str) else "other" for value in values)


def _or_none(annotation: Any) -> Any:
    return Optional[annotation]  # noqa: UP045 — a forward reference knows no `|`


def _alias(origin: Any, *args: Any) -> Any:
    return origin[args]


def _annotated(shape: Shape, annotation: Any) -> Shape:
    shape.annotation = annotation
    return shape
