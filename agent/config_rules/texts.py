"""Texts of a form: names, secrets, lines, JSON, what is said."""

from __future__ import annotations

import base64
import binascii
import json
import re

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[ \t]*[^\r\n\x00]*")
SECRET_BYTES = range(24, 65)  # Standard Webhooks specification, "Signature scheme"
MOST_ASIDE_WORDS = 4


def slug(value: object) -> str | None:
    return None if SLUG.fullmatch(str(value)) else "must be letters, digits, '.', '_' or '-', at most 63"


def short_texts(value: object) -> str | None:
    """Each is said within a pause of the caller."""
    texts = value if isinstance(value, tuple) else ()
    wrong = next((text for text in texts if not 0 < len(text.split()) <= MOST_ASIDE_WORDS), None)
    return None if wrong is None else f"must be texts of one to {MOST_ASIDE_WORDS} words, not {wrong!r}"


def json_object_or_empty(value: object) -> str | None:
    try:
        return None if not value or isinstance(json.loads(str(value)), dict) else "must be a JSON object"
    except (ValueError, RecursionError):
        return "is not valid JSON"


def header_lines(value: object) -> str | None:
    """``Name: value`` each; the reason never repeats one, it may be a password."""
    lines = value if isinstance(value, tuple) else ()
    return None if all(HEADER.fullmatch(line) for line in lines) else "must be lines of the form Name: value"


def environment_lines(value: object) -> str | None:
    lines = value if isinstance(value, tuple) else ()
    return None if all(line.partition("=")[1] and line[0] != "=" for line in lines) else "must be lines NAME=value"


def hex_or_empty(value: object) -> str | None:
    return None if re.fullmatch(r"([0-9a-f]{64})?", str(value)) else "must be 64 hex digits"


def secret_or_empty(value: object) -> str | None:
    """One secret, or two with a space between while they change; each ``whsec_`` and base64 of 24 to 64 bytes."""
    return next((reason for one in str(value).split() if (reason := _secret(one))), None)


def _secret(text: str) -> str | None:
    prefix, _, encoded = text.partition("_")
    if prefix != "whsec":
        return "must begin with whsec_"
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        return "is not valid base64 after whsec_"
    return None if size in SECRET_BYTES else f"must hold 24 to 64 bytes, not {size}"
