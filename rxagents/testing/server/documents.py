"""The JSON that both APIs share: errors and the list of models.

Source: OpenAI API reference, "Error codes" and "List models".
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from .faults import HTTPFault, Step

__all__ = ["CREATED", "error_document", "json_bytes", "model_list"]

# A fixed time: what the server sends depends on nothing but the script.
CREATED = 1_700_000_000


def error_document(fault: HTTPFault) -> list[Step]:
    """The body of an HTTP error."""
    kind = "server_error" if fault.status >= 500 else "invalid_request_error"
    error = {"message": fault.message, "type": kind, "param": fault.param, "code": fault.code}
    return [json_bytes({"error": error})]


def model_list(models: Sequence[str]) -> list[Step]:
    """The answer to `GET /v1/models`."""
    entries = [
        {"id": model, "object": "model", "created": CREATED, "owned_by": "rxagents"} for model in models
    ]
    return [json_bytes({"object": "list", "data": entries})]


def json_bytes(document: object) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
