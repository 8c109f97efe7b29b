"""What a type has: its fields, and what it is under its annotations."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typing_extensions
from pydantic import AliasChoices, BaseModel, RootModel

__all__ = ["TypeField", "bare_type", "fields_of", "inner_type", "tags_of"]

_QUALIFIERS = (
    *(typing.Required, typing.NotRequired, typing.Final),
    *(typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly),
)
# typing has its own from Python 3.12 on
_ALIASES: tuple[Any, ...] = (typing_extensions.TypeAliasType, getattr(typing, "TypeAliasType", ()))


@dataclasses.dataclass
class TypeField:
    """A field of a type, and the keys that it may have in JSON."""

    annotation: Any
    keys: list[str]


def fields_of(annotation: Any) -> dict[str, TypeField] | None:
    """The fields of a model, a dataclass or a TypedDict, with their keys in the JSON."""
    bare: Any = get_origin(annotation) or annotation
    config: Any
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        config, infos = annotation.model_config, annotation.model_fields
    elif dataclasses.is_dataclass(bare) and hasattr(bare, "__pydantic_fields__"):
        config, infos = getattr(bare, "__pydantic_config__", {}), getattr(bare, "__pydantic_fields__", {})
    elif bare is not annotation:
        return None  # a generic dataclass or TypedDict: its parameters are not worked out
    else:
        return _plain_fields(annotation)
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    return {name: TypeField(info.annotation, _keys(name, info, by_name)) for name, info in infos.items()}


def _plain_fields(annotation: Any) -> dict[str, TypeField] | None:
    if not (dataclasses.is_dataclass(annotation) or typing_extensions.is_typeddict(annotation)):
        return None
    try:
        hints = typing_extensions.get_type_hints(annotation, include_extras=True)
    except Exception:
        return None  # names that cannot be resolved from outside: it is shown when it is complete
    if dataclasses.is_dataclass(annotation):
        hints = {
            field.name: hints[field.name] for field in dataclasses.fields(annotation) if _is_public(field)
        }
    return {name: TypeField(hint, [name]) for name, hint in hints.items()}


def _is_public(field: dataclasses.Field[Any]) -> bool:
    return field.init and not field.name.startswith("_") and field.name != "model_config"


def _keys(name: str, info: Any, by_name: Any) -> list[str]:
    alias = info.validation_alias or info.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    keys = [choice for choice in choices if isinstance(choice, str)]
    return [*keys, name] if by_name or not keys else keys


def tags_of(annotation: Any) -> frozenset[Any]:
    annotation = bare_type(annotation)
    if get_origin(annotation) is not Literal:
        return frozenset()
    return frozenset(arg.value if isinstance(arg, Enum) else arg for arg in get_args(annotation))


def bare_type(annotation: Any) -> Any:
    """The type itself, without what qualifies it or validates it further."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated or origin in _QUALIFIERS:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeVar):
            annotation = annotation.__bound__ or Any
        else:
            return annotation


def inner_type(annotation: Any) -> Any:
    """What an alias or a RootModel stands for; None: it is neither."""
    if inspect.isclass(annotation) and issubclass(annotation, RootModel):
        return annotation.model_fields["root"].annotation
    if isinstance(annotation, _ALIASES):
        return annotation.__value__
    if isinstance(get_origin(annotation), _ALIASES):
        return get_origin(annotation).__value__[get_args(annotation)]
    return None
