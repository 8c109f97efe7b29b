"""JSON schemas as OpenAI's strict mode takes them, and the answers that come of it.

Strict mode knows a part of JSON Schema: objects whose properties are all required and which take no
others, arrays, strings, numbers, booleans, null, `enum`, `const`, `anyOf`, `$ref` and `$defs`. What may be
left out is there required but nullable. Keywords that only narrow a value (`pattern`, `minimum`, …) are
taken by some models and services and refused by others, so they are put in words: the model reads them,
and the type validates them. Source: OpenAI, guide "Structured model outputs", supported schemas; Azure
OpenAI, "Structured outputs", unsupported type-specific keywords.
"""

from __future__ import annotations

from typing import Any

__all__ = ["resolved", "strict_schema", "without_gaps"]

Schema = dict[str, Any]

_TAKEN = {"type", "enum", "const", "description", "$ref"}
_NARROWING = """
    format pattern minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems
    maxItems uniqueItems contentEncoding contentMediaType
""".split()
_SILENT = """
    title default examples deprecated readOnly writeOnly discriminator $comment $schema $id $defs required
""".split()


class _NotStrict(Exception):
    """The schema says something that strict mode cannot."""


def resolved(schema: Schema, defs: Schema) -> Schema:
    """What a schema refers to, if it does."""
    seen: set[str] = set()
    while "$ref" in schema and schema["$ref"] not in seen:
        seen.add(schema["$ref"])
        schema = defs.get(schema["$ref"].removeprefix("#/$defs/"), {})
    return schema


def strict_schema(schema: Schema) -> Schema | None:
    """The schema of an object in strict form; None where strict mode cannot say the same.

    Objects with free keys (`dict[str, int]`, `extra="allow"`), fixed-length arrays and `Any` have no strict
    form. The service's limits of size (properties, depth, enum values) are not checked: they differ.
    """
    defs = schema.get("$defs", {})
    root = resolved(schema, defs)
    if root.get("type") != "object":
        return None
    try:
        strict = _strict(root)
        named = {name: _strict(definition) for name, definition in defs.items()}
    except _NotStrict:
        return None
    return strict | ({"$defs": named} if named else {})


def _strict(schema: Schema) -> Schema:
    strict: Schema = {}
    narrowed: list[str] = []
    for key, value in schema.items():
        if key in _TAKEN:
            strict[key] = value
        elif key in _NARROWING:
            narrowed.append(f"{key}: {value}")
        elif key == "items":
            strict[key] = _strict(value)
        elif key in ("anyOf", "oneOf"):
            strict["anyOf"] = [_strict(variant) for variant in value]
        elif key == "allOf" and len(value) == 1:
            strict |= _strict(value[0])
        elif key not in _SILENT and key not in ("properties", "additionalProperties"):
            raise _NotStrict(key)
    if schema.get("type") == "object":
        strict |= _strict_object(schema)
    elif not strict.keys() & {"type", "enum", "const", "anyOf", "$ref"}:
        raise _NotStrict("anything goes")
    if schema.get("type") == "array" and "items" not in schema:
        raise _NotStrict("items")
    if narrowed:
        strict["description"] = f"{schema.get('description', '')} ({'; '.join(narrowed)})".strip()
    if "$ref" in strict and len(strict) > 1:  # nothing may stand beside a reference
        strict["anyOf"] = [{"$ref": strict.pop("$ref")}]
    return strict


def _strict_object(schema: Schema) -> Schema:
    if "properties" not in schema or schema.get("additionalProperties", False) is not False:
        raise _NotStrict("free keys")
    properties = schema["properties"]
    required = schema.get("required", [])
    return {
        "properties": {
            name: _strict(property) if name in required else _nullable(_strict(property))
            for name, property in properties.items()
        },
        "required": list(properties),
        "additionalProperties": False,
    }


def _nullable(schema: Schema) -> Schema:
    if _takes_null(schema):
        return schema
    variants = schema.get("anyOf")
    if variants is not None:
        return schema | {"anyOf": [*variants, {"type": "null"}]}
    described = {"description": schema["description"]} if "description" in schema else {}
    bare = {key: value for key, value in schema.items() if key != "description"}
    return {"anyOf": [bare, {"type": "null"}]} | described


def _takes_null(schema: Schema) -> bool:
    kinds = schema.get("type", ())
    return (
        "null" in ([kinds] if isinstance(kinds, str) else kinds)
        or None in schema.get("enum", ())
        or any(map(_takes_null, _variants(schema)))
    )


def _variants(schema: Schema) -> list[Schema]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def without_gaps(data: Any, schema: Schema) -> Any:
    """The data without the nulls that strict mode put where a property may be left out, but is not nullable.

    Args:
        data: What the JSON text says.
        schema: The schema as the type has it, before it was made strict.
    """
    return _without_gaps(data, [schema], schema.get("$defs", {}))


def _without_gaps(data: Any, schemas: list[Schema], defs: Schema) -> Any:
    if isinstance(data, list):
        items = [each["items"] for each in _fitting(data, schemas, defs) if "items" in each]
        return [_without_gaps(item, items, defs) for item in data]
    if not isinstance(data, dict):
        return data
    objects = _fitting(data, schemas, defs)
    filled = {}
    for name, value in data.items():
        holders = [each for each in objects if name in each.get("properties", {})]
        inner = [holder["properties"][name] for holder in holders]
        if value is None and holders and all(_is_gap(name, holder, defs) for holder in holders):
            continue
        filled[name] = _without_gaps(value, inner, defs)
    return filled


def _is_gap(name: str, holder: Schema, defs: Schema) -> bool:
    property = resolved(holder["properties"][name], defs)
    if name in holder.get("required", ()) or not _says_something(property):
        return False
    return not any(_takes_null(resolved(variant, defs)) for variant in [property, *_variants(property)])


def _says_something(schema: Schema) -> bool:
    return bool(schema.keys() & {"type", "enum", "const", "anyOf", "oneOf", "allOf"})


def _fitting(data: Any, schemas: list[Schema], defs: Schema) -> list[Schema]:
    """The schemas among these and their variants that the data may be of."""
    fitting, queue = [], list(schemas)
    kind = "array" if isinstance(data, list) else "object"
    while queue:
        schema = resolved(queue.pop(), defs)
        queue.extend([*_variants(schema), *schema.get("allOf", ())])
        if schema.get("type") == kind and _constants_agree(data, schema):
            fitting.append(schema)
    return fitting


def _constants_agree(data: Any, schema: Schema) -> bool:
    """Whether the discriminators of an object are the data's; nothing can be said of an array's."""
    if not isinstance(data, dict):
        return True
    return all(
        data.get(name, property["const"]) == property["const"]
        for name, property in schema.get("properties", {}).items()
        if "const" in property
    )
