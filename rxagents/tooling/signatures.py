"""A function's parameters as a model sees them: their JSON schema, and the check of what it sends.

Both come from one pydantic model made of the signature. Its fields have names of their own and the
parameters' names as aliases, so that `schema`, `copy`, `model_id` or `_hidden` are names like any other.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Awaitable, Callable
from types import UnionType
from typing import Annotated, Any, NoReturn, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python
from reactivex import Observable

from ..errors import ConfigurationError, ToolArgumentsError
from ..structured.plain_schemas import PlainSchema
from ..transcripts import Transcript
from .contexts import Context
from .docstrings import docstring_of, origin_of, texts_of

__all__ = ["Signature", "fits_as_name"]


def fits_as_name(name: str) -> bool:
    """Whether OpenAI's API takes the name for a function: 1 to 64 of `A-Z a-z 0-9 _ -`."""
    return re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) is not None


class Signature:
    """The parameters of a tool.

    Parameters that a `functools.partial` has bound are not shown, and cannot be set by a model.

    Args:
        function: Any callable whose parameters can be passed by name.
        tool: The tool's name, for the errors.

    Attributes:
        summary: The first paragraph of the docstring, or an empty text.
        schema: The JSON schema of an object with the parameters as its properties.
        given: The parameters that the model does not fill: those annotated as `Context` or
            `Transcript`, with which of the two.
        is_async: Whether calling gives an awaitable, as far as the signature tells.

    Raises:
        ConfigurationError: No schema can be made; it names the tool and the parameter.
    """

    def __init__(self, function: Callable[..., Any], *, tool: str) -> None:
        self._tool = tool
        origin = origin_of(function)
        self.summary, texts = texts_of(docstring_of(function))
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError, NameError) as error:
            raise ConfigurationError(f"the tool {tool!r} has no readable signature: {error}") from error
        resolve = functools.partial(_resolve, _namespace(origin))
        self.is_async = _gives_awaitable(function, signature.return_annotation, resolve)

        bound = function.keywords if isinstance(function, functools.partial) else {}
        fields: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._own_default: set[str] = set()
        self.given: dict[str, type[Context | Transcript]] = {}
        for parameter in signature.parameters.values():
            if parameter.name in bound:
                continue
            self._check(parameter)
            try:
                annotation = resolve(parameter.annotation)
            except Exception as error:
                self._refuse(parameter.name, f"its annotation cannot be resolved: {error}", error)
            if (kind := _given(annotation)) is not None:
                self.given[parameter.name] = kind
                continue
            field = f"p{len(fields)}"
            fields[field] = _field(parameter, annotation, texts.get(parameter.name))
            self._names[field] = parameter.name
            if not isinstance(parameter.default, FieldInfo) and parameter.default is not parameter.empty:
                self._own_default.add(field)
        self._model, self.schema = self._build(fields)

    def validate(self, arguments: str) -> dict[str, Any]:
        """The arguments by name, as the annotations want them; those left to their defaults are absent.

        Args:
            arguments: JSON text; an empty one counts as `{}`.

        Raises:
            ToolArgumentsError: It is no JSON, or does not fit; one line for each error.
        """
        model = self._validated(arguments)
        left = self._own_default - model.model_fields_set
        return {name: model.__dict__[field] for field, name in self._names.items() if field not in left}

    def shown(self, arguments: str) -> dict[str, Any]:
        """The arguments by name as JSON data, with their defaults, for a person to read.

        Raises:
            ToolArgumentsError: As `validate`.
        """
        fields = self._validated(arguments).__dict__
        values = {name: fields[field] for field, name in self._names.items()}
        return dict(to_jsonable_python(values, fallback=str, inf_nan_mode="strings"))

    def _validated(self, arguments: str) -> BaseModel:
        try:
            return self._model.model_validate_json(arguments if arguments.strip() else "{}")
        except ValidationError as error:
            raise ToolArgumentsError(self._explain(error)) from error

    def _explain(self, error: ValidationError) -> str:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        if details[0]["type"] == "json_invalid":
            why = details[0]["msg"].removeprefix("Invalid JSON: ")
            return f"the arguments of the tool {self._tool!r} are no valid JSON: {why}"
        lines = [f"{'.'.join(map(str, d['loc'])) or 'arguments'}: {d['msg']}" for d in details]
        return "\n".join([f"the arguments of the tool {self._tool!r} do not fit:", *lines])

    def _check(self, parameter: inspect.Parameter) -> None:
        match parameter.kind:
            case inspect.Parameter.VAR_POSITIONAL | inspect.Parameter.VAR_KEYWORD:
                self._refuse(str(parameter).split(":")[0], "a model can only fill parameters that have names")
            case inspect.Parameter.POSITIONAL_ONLY:
                self._refuse(parameter.name, "arguments are passed by name, and it is positional-only")
        if not fits_as_name(parameter.name):
            self._refuse(parameter.name, "its name does not fit [A-Za-z0-9_-]{1,64}")

    def _build(self, fields: dict[str, Any]) -> tuple[type[BaseModel], dict[str, Any]]:
        try:
            return _model_and_schema(fields)
        except Exception as error:
            for field, definition in fields.items():
                try:
                    _model_and_schema({field: definition})
                except Exception as culprit:
                    why = getattr(culprit, "message", None) or str(culprit)
                    self._refuse(self._names[field], f"no JSON schema: {why.splitlines()[0]}", culprit)
            raise ConfigurationError(f"the tool {self._tool!r} gives no JSON schema: {error}") from error

    def _refuse(self, parameter: str, why: str, cause: Exception | None = None) -> NoReturn:
        raise ConfigurationError(f"the tool {self._tool!r}, parameter {parameter!r}: {why}") from cause


def _model_and_schema(fields: dict[str, Any]) -> tuple[type[BaseModel], dict[str, Any]]:
    model: type[BaseModel] = create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)
    schema = model.model_json_schema(schema_generator=PlainSchema)
    schema.pop("title", None)
    return model, schema


def _field(parameter: inspect.Parameter, annotation: Any, text: str | None) -> tuple[Any, Any]:
    name, default = parameter.name, parameter.default
    options: dict[str, Any] = {"alias": name, "validation_alias": name, "serialization_alias": name}
    if isinstance(default, FieldInfo):
        annotation = Annotated[annotation, default]
    elif default is not parameter.empty:
        options["default"] = default
    metadata = getattr(annotation, "__metadata__", ())
    if not any(isinstance(data, FieldInfo) and data.description for data in metadata):
        options["description"] = _text_of(annotation) or text
    return annotation, Field(**options)


def _given(annotation: Any) -> type[Context | Transcript] | None:
    """Context or Transcript, also as `Annotated[Context, …]` or `Context | None`."""
    kinds = (annotation, *map(_plain, get_args(annotation)))
    return next((kind for kind in (Context, Transcript) if kind in kinds), None)


def _plain(annotation: Any) -> Any:
    return annotation.__origin__ if get_origin(annotation) is Annotated else annotation


def _text_of(annotation: Any) -> str | None:
    """The first string among the metadata, also of `Annotated[T, "text"] | None`."""
    if get_origin(annotation) is Annotated:
        return next((data for data in annotation.__metadata__ if isinstance(data, str)), None)
    if get_origin(annotation) in (Union, UnionType):
        return next(filter(None, map(_text_of, get_args(annotation))), None)
    return None


def _namespace(origin: Callable[..., Any]) -> dict[str, Any]:
    holder = inspect.unwrap(origin.__init__ if inspect.isclass(origin) else origin)
    module = sys.modules.get(getattr(origin, "__module__", None) or "")
    return getattr(holder, "__globals__", None) or vars(module or sys)


def _resolve(namespace: dict[str, Any], annotation: Any) -> Any:
    if annotation is inspect.Parameter.empty:
        return Any

    # One at a time, so that an annotation that cannot be resolved does not spoil the others.
    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    return get_type_hints(holder, globalns=namespace, include_extras=True)["it"]


def _gives_awaitable(function: Callable[..., Any], returns: Any, resolve: Callable[[Any], Any]) -> bool:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(origin_of(function)):
        return True
    try:
        annotation = resolve(returns)
    except Exception:
        return False  # a tool need not say what it returns, so it may say it badly
    kind = get_origin(annotation) or annotation
    # an observable can be awaited too, and yet the function that gives it may block
    return inspect.isclass(kind) and issubclass(kind, Awaitable) and not issubclass(kind, Observable)
