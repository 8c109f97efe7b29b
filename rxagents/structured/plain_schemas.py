"""The generator of JSON schemas for models to read."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

__all__ = ["PlainSchema"]


class PlainSchema(GenerateJsonSchema):
    """Without the titles that repeat the names, and silent about defaults that JSON cannot show."""

    ignored_warning_kinds: ClassVar[set[JsonSchemaWarningKind]] = {  # type: ignore[misc]  # pydantic's is no ClassVar
        "skipped-choice",
        "non-serializable-default",
    }

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False
