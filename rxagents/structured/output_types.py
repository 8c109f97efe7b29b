"""What an agent's answer must be: a type, its schema on the wire, and the way back from text."""

from __future__ import annotations

import inspect
import json
import re
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model
from pydantic_core import from_json, to_json

from ..errors import ConfigurationError, OutputError
from .json_texts import json_candidates
from .plain_schemas import PlainSchema
from .strict_schemas import resolved, strict_schema, without_gaps

__all__ = ["WRAPPED", "OutputType"]

T = TypeVar("T")

WRAPPED = "value"  # the key that a value stands at which is no object
_MOST_ERRORS = 20


class OutputType(Generic[T]):
    """A type that an answer has to be of, as JSON.

    Args:
        type: Anything that pydantic's TypeAdapter takes: a model, a dataclass, a TypedDict, `list[Model]`,
            a `Literal`, a union, `int`, …

    Attributes:
        type: The type itself.
        name: Its name, fit for the wire.
        schema: Its JSON schema.
        is_wrapped: Whether the wire asks for an object with the one key `value`, since the type is no
            object and OpenAI takes only those as the root of a schema.

    Raises:
        ConfigurationError: It is no type, or has no JSON schema.
    """

    def __init__(self, type: Any, *, argument: str = "output_type") -> None:
        if type is None or isinstance(type, str) or inspect.isroutine(type):
            raise ConfigurationError(f"{argument}: {type!r} is no type; give a pydantic model, list[int], …")
        self.type = type
        self.name = _name_of(type)
        try:
            self._adapter: TypeAdapter[T] = TypeAdapter(type)
            self.schema = self._adapter.json_schema(schema_generator=PlainSchema)
        except Exception as error:  # pydantic has many, and an annotation may raise anything
            why = str(getattr(error, "message", None) or error or error.__class__.__name__).splitlines()[0]
            raise ConfigurationError(
                f"{argument}: {self.name} has no JSON schema: {why.partition('. Set ')[0].rstrip('.')}"
            ) from error
        defs = self.schema.get("$defs", {})
        self.is_wrapped = resolved(self.schema, defs).get("type") != "object"

    def __repr__(self) -> str:
        return f"OutputType({self.name})"

    @cached_property
    def response_format(self) -> dict[str, Any]:
        """The response format of a request, in OpenAI's wire form. Not to be changed.

        Strict where strict mode can say what the type says; see `rxagents.structured.strict_schemas`.
        """
        asked = self._wrapped() if self.is_wrapped else self.schema
        strict = strict_schema(asked)
        described = {"name": self.name, "schema": strict or asked, "strict": strict is not None}
        return {"type": "json_schema", "json_schema": described}

    @cached_property
    def instructions(self) -> str:
        """The same in words, for a model that knows no response format."""
        schema = json.dumps(self.schema, ensure_ascii=False)
        return f"Answer with JSON that fits this JSON schema, and with nothing else:\n{schema}"

    def parse(self, text: str) -> T:
        """The value that an answer is.

        The JSON may stand in a fence or among other words. What a validator of the type raises beside
        ValueError and AssertionError passes through.

        Raises:
            OutputError: It is none; a line for each error, with its path, fit to be sent to the model.
        """
        first: ValidationError | None = None
        for candidate in json_candidates(text):
            try:
                return self._validated(candidate)
            except ValidationError as error:
                if first is None or _is_no_json(first) > _is_no_json(error):
                    first = error
        assert first is not None, "the whole text is a candidate"
        raise OutputError(self._complaint(first)) from first

    def _wrapped(self) -> dict[str, Any]:
        own = {key: value for key, value in self.schema.items() if key != "$defs"}
        outer = {"type": "object", "properties": {WRAPPED: own}, "required": [WRAPPED]}
        return outer | {"additionalProperties": False} | _defs_of(self.schema)

    def _validated(self, text: str) -> T:
        try:
            data = from_json(text)
        except ValueError:
            return self._adapter.validate_json(text)  # says what is wrong with it
        if not (self.is_wrapped and isinstance(data, dict) and data.keys() == {WRAPPED}):
            return self._adapter.validate_json(_filled(data, text, self.schema))
        try:
            wrapper = self._wrapper.model_validate_json(_filled(data, text, self._wrapped()))
        except ValidationError:
            try:
                return self._adapter.validate_json(text)  # it may have such a key itself
            except ValidationError:
                pass
            raise
        value: T = getattr(wrapper, WRAPPED)
        return value

    @cached_property
    def _wrapper(self) -> type[BaseModel]:
        fields: dict[str, Any] = {WRAPPED: (self.type, ...)}
        return create_model("Wrapper", **fields)

    def _complaint(self, error: ValidationError) -> str:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        if _is_no_json(error):
            why = details[0]["msg"].removeprefix("Invalid JSON: ")
            return f"the answer is no valid JSON, and {self.name} is wanted: {why}"
        lines = [f"{'.'.join(map(str, d['loc'])) or 'answer'}: {_one_line(d['msg'])}" for d in details]
        if len(lines) > _MOST_ERRORS:
            lines[_MOST_ERRORS:] = [f"… and {len(lines) - _MOST_ERRORS} more"]
        return "\n".join([f"the answer is not of the output type {self.name}:", *lines])


def _filled(data: Any, text: str, schema: dict[str, Any]) -> str | bytes:
    """The JSON without what strict mode put where nothing was to be said."""
    filled = without_gaps(data, schema)
    return text if filled == data else to_json(filled)


def _defs_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$defs": schema["$defs"]} if "$defs" in schema else {}


def _is_no_json(error: ValidationError) -> bool:
    return error.errors(include_url=False)[0]["type"] == "json_invalid"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _name_of(type: Any) -> str:
    """A name as OpenAI takes it: 1 to 64 of `A-Z a-z 0-9 _ -`."""
    written = type.__name__ if inspect.isclass(type) else None
    words = re.findall(r"[A-Za-z0-9_-]+", written or re.sub(r"\b\w+\.|<locals>", "", repr(type)))
    return "_".join(words)[:64] or "answer"
