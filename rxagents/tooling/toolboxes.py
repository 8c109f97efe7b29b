"""The tools of an agent, and the words for what went wrong with a call.

A `Tool` raises; a `Toolbox` answers. Whatever goes wrong with a call, the toolbox puts it into words
that let the model correct itself, and the run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..engine.limits import Limit
from ..errors import ConfigurationError, ToolArgumentsError, ToolError, ToolTimeoutError, UnknownToolError
from ..values import FunctionResult, ToolCall
from .attempts import OnDropped
from .call_limits import CallLimits, shortened
from .contexts import Context
from .tools import Tool

__all__ = ["Toolbox"]


class Toolbox:
    """The tools of an agent, by name, in the order in which they came.

    Args:
        tools: Tools, or functions to make Tools of.
        defaults: What counts for the calls of tools that say nothing of their own.

    Attributes:
        defaults: The same.

    Raises:
        ConfigurationError: Two have one name, or no Tool can be made of a function.
    """

    def __init__(
        self, tools: Iterable[Tool | Callable[..., Any]] = (), *, defaults: CallLimits | None = None
    ) -> None:
        self._tools: dict[str, Tool] = {}
        self.defaults = defaults or CallLimits()
        for tool in tools:
            self.add(tool)

    def add(self, tool: Tool | Callable[..., Any]) -> Tool:
        """Adds a tool, or makes one of a function, and gives it back.

        Raises:
            ConfigurationError: There is one of this name, or no Tool can be made of the function.
        """
        made = tool if isinstance(tool, Tool) else Tool(tool)
        if made.name in self._tools:
            raise ConfigurationError(f"two tools have the name {made.name!r}; pass another as name=…")
        self._tools[made.name] = made
        return made

    @property
    def definitions(self) -> tuple[dict[str, Any], ...]:
        """The wire form of all tools."""
        return tuple(tool.definition for tool in self)

    def get(self, name: str) -> Tool | None:
        """The tool of this name, or None."""
        return self._tools.get(name)

    def __iter__(self) -> Iterator[Tool]:
        return iter(tuple(self._tools.values()))

    def __len__(self) -> int:
        return len(self._tools)

    async def answer(
        self,
        call: ToolCall,
        *,
        context: Context | None = None,
        limit: Limit | None = None,
        on_dropped: OnDropped | None = None,
    ) -> FunctionResult:
        """Answers a model's call; what goes wrong is put into words for the model, never raised.

        Args:
            call: The call, as the model made it.
            context: The conversation that it is called in.
            limit: Bounds the threads that are out at once.
            on_dropped: Gets what the function raises after it was cancelled or its thread abandoned.
        """
        name = call.function.get("name", "")
        tool = self.get(name)
        try:
            if tool is None:
                raise UnknownToolError(f"there is no tool {name!r}")
            text = await tool.call(
                call.function.get("arguments", ""),
                context=context,
                limit=limit,
                on_dropped=on_dropped,
                defaults=self.defaults,
            )
        except ToolError as error:
            most = self.defaults.max_result if tool is None else tool.most(self.defaults)
            text = f"Error: {shortened(str(error), most)}\n{self._advice(error, tool)}"
        return FunctionResult(name=name, result=text, id=call.id)

    def _advice(self, error: ToolError, tool: Tool | None) -> str:
        if tool is None:
            if not self:
                return "There are no tools. Answer without one."
            return f"The tools are: {', '.join(self._tools)}. Call one of these, or answer without a tool."
        if isinstance(error, ToolArgumentsError):
            return f"Call it again with one JSON object of these parameters: {_brief(tool.parameters)}."
        if isinstance(error, ToolTimeoutError) and not error.began:
            return "It has done nothing. Call it again later, or go on without it."
        if isinstance(error, ToolTimeoutError):
            return "Its work may be half done. Call it again only if that does no harm, or go on without it."
        return "If the arguments were the cause, correct them and call it again; else go on without it."


def _brief(schema: dict[str, Any]) -> str:
    """The parameters in a line: a model that erred has the full schema before it already."""
    required = schema.get("required", ())
    texts = [
        f"{name} ({_type(of)}, {'required' if name in required else 'optional'})"
        for name, of in schema["properties"].items()
    ]
    return "; ".join(texts) or "none, that is {}"


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return "one of " + json.dumps(schema.get("enum", [schema.get("const")]), ensure_ascii=False)
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    return str(schema.get("type", "anything"))
