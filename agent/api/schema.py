"""The part of JSON Schema (2020-12) that our OpenAPI document uses, and values held against it. Pure.

Keywords: ``type`` (one or several), ``enum``, ``const``, ``minLength maxLength pattern``, ``minimum maximum``, ``items
minItems maxItems``, ``properties required additionalProperties maxProperties``, ``$ref`` into ``components.schemas``.
``format``, ``description``, ``examples`` and ``default`` say something to readers and nothing to this validator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

Schema = Mapping[str, Any]
REF: Final = "#/components/schemas/"
MOST_PROBLEMS: Final = 10

_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def violations(value: Any, schema: Schema, shapes: Mapping[str, Schema], where: str = "") -> list[str]:
    """What is wrong with ``value``, at most ``MOST_PROBLEMS``: each names the place (``variables.name``) and rule."""
    found: list[str] = []
    for one in _check(value, schema, shapes, where):
        found.append(one)
        if len(found) >= MOST_PROBLEMS:
            break
    return found


def _check(value: Any, schema: Schema, shapes: Mapping[str, Schema], where: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _check(value, shapes[str(schema["$ref"]).removeprefix(REF)], shapes, where)
        return
    at = where or "value"
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if kinds and not any(_TYPES[kind](value) for kind in kinds):
        yield f"{at}: must be {' or '.join(kinds)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: must be one of {', '.join(map(str, schema['enum']))}"
    if "const" in schema and value != schema["const"]:
        yield f"{at}: must be {schema['const']}"
    if isinstance(value, str):
        yield from _text(value, schema, at)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, at)
    elif isinstance(value, list):
        yield from _array(value, schema, shapes, at)
    elif isinstance(value, dict):
        yield from _object(value, schema, shapes, where)


def _text(value: str, schema: Schema, at: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"{at}: must have {schema['minLength']} characters or more"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{at}: must have at most {schema['maxLength']} characters"
    elif "pattern" in schema and _regex(schema["pattern"]).search(value) is None:
        yield f"{at}: must match {schema['pattern']}"


@lru_cache
def _regex(pattern: str) -> re.Pattern[str]:
    """Python's ``$`` also stands before a last line feed; JSON Schema's does not."""
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _number(value: float, schema: Schema, at: str) -> Iterator[str]:
    if value < schema.get("minimum", value):
        yield f"{at}: must be {schema['minimum']} or more"
    if value > schema.get("maximum", value):
        yield f"{at}: must be at most {schema['maximum']}"


def _array(value: list[Any], schema: Schema, shapes: Mapping[str, Schema], at: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{at}: must have {schema['minItems']} items or more"
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{at}: must have at most {schema['maxItems']} items"
    elif "items" in schema:
        for number, item in enumerate(value):
            yield from _check(item, schema["items"], shapes, f"{at}[{number}]")


def _object(value: dict[str, Any], schema: Schema, shapes: Mapping[str, Schema], where: str) -> Iterator[str]:
    at, known, rest = where or "value", schema.get("properties", {}), schema.get("additionalProperties", True)
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{at}: must have at most {schema['maxProperties']} members"
        return
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at}: {name} is missing"
    for name, item in value.items():
        inner = f"{where}.{name}" if where else name
        if name in known:
            yield from _check(item, known[name], shapes, inner)
        elif rest is False:
            yield f"{inner[:80]}: unknown; known here: {', '.join(known)}"
        elif rest is not True:
            yield from _check(item, rest, shapes, inner)


def from_text(text: str, schema: Schema) -> Any:
    """A parameter's text as its type. Raises ``ValueError``."""
    kind = schema.get("type")
    if kind == "integer":
        if re.fullmatch(r"-?[0-9]{1,15}", text) is None:
            raise ValueError("must be integer")
        return int(text)
    if kind == "boolean":
        if text not in ("true", "false"):
            raise ValueError("must be true or false")
        return text == "true"
    return text
