"""Text without what looks like a key, and without the keys that are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["masked", "masked_all", "without"]

_MASKS = [
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=*-]{6,}", re.I), r"\1 …"),
    (re.compile(r"\b(sk|pk|rk|xai|gsk|hf|gh[opsur]|github_pat|glpat|xox[bp])([-_])[\w*-]{6,}"), r"\1\2…"),
    (re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"), r"\1…"),
    (re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|$)", re.S), r"\1…\2"),
    (
        re.compile(
            r"([?&](?:token|key|sig|signature|code|(?:api|access)[-_]?(?:key|token))=)[^&\s\"'#]+", re.I
        ),
        r"\1…",
    ),
    (re.compile(r"\bAIza[\w-]{20,}"), "AIza…"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(\.[\w-]*)?"), "eyJ…"),
    (re.compile(r"(?<=://)[^/\s\"'<>]+@"), "…@"),
    (
        re.compile(
            r"(api[-_ ]?key|authorization|(?:access|auth)[-_ ]?token|subscription-key)"
            r"((?:\s+provided)?[\"']?\s*[:=]\s*[\"']?)(?!bearer|basic)[^\s\"',;&)}…]{4,}",
            re.I,
        ),
        r"\1\2…",
    ),
]


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Text without what looks like a key, and without the secrets that are known."""
    for secret in secrets:
        text = text.replace(secret, "…")
    for pattern, shown in _MASKS:
        text = pattern.sub(shown, text)
    return text


def masked_all(value: Any, secrets: tuple[str, ...]) -> Any:
    """The same for all text within JSON data, the names of its dicts included."""
    if isinstance(value, str):
        return masked(value, secrets)
    if isinstance(value, dict):
        return {masked(str(name), secrets): masked_all(inner, secrets) for name, inner in value.items()}
    return [masked_all(inner, secrets) for inner in value] if isinstance(value, list) else value


def without(value: Any, secrets: tuple[str, ...]) -> Any:
    """JSON data without the keys that are known, and otherwise as it is."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "…")
        return value
    if isinstance(value, dict):
        return {name: without(inner, secrets) for name, inner in value.items()}
    return [without(inner, secrets) for inner in value] if isinstance(value, list) else value
