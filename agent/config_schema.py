"""The configuration tree as a table of dotted keys, and how a value from a file or a text becomes a field's value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from agent.config import Config, McpServer, WebhookEndpoint

ENDPOINTS = "webhooks.endpoints"
TABLES: dict[str, type] = {ENDPOINTS: WebhookEndpoint, "agent.mcp": McpServer}
"""The keys that hold lists of tables, and what a table is."""

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One leaf of the tree."""

    path: str
    """Dotted: ``agent.floor.duck_after_ms``."""
    type: Any
    default: Any
    """``MISSING`` where a value must be given."""
    secret: bool


def keys_of(cls: type, prefix: str = "") -> Iterator[Key]:
    """Every leaf of a dataclass tree, in the order of its fields."""
    hints = get_type_hints(cls)
    for item in fields(cls):
        path = f"{prefix}.{item.name}" if prefix else item.name
        kind = hints[item.name]
        if is_dataclass(kind) and isinstance(kind, type):
            yield from keys_of(kind, path)
        else:
            yield Key(path=path, type=kind, default=_default(item), secret=bool(item.metadata.get("secret")))


def _default(item: Field[Any]) -> Any:
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


KEYS: dict[str, Key] = {key.path: key for key in keys_of(Config)}
TABLE_KEYS: dict[str, dict[str, Key]] = {path: {key.path: key for key in keys_of(cls)} for path, cls in TABLES.items()}
SECTIONS: frozenset[str] = frozenset(path.rpartition(".")[0] for path in KEYS)


def build(cls: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    """Dataclass of type ``cls`` from dotted values; what is missing keeps its default."""
    hints = get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for item in fields(cls):
        path = f"{prefix}.{item.name}" if prefix else item.name
        kind = hints[item.name]
        if is_dataclass(kind) and isinstance(kind, type):
            arguments[item.name] = build(kind, values, path)
        elif path in values:
            arguments[item.name] = values[path]
    return cls(**arguments)


def describe(kind: Any) -> str:
    """What a person must write for this type."""
    if get_origin(kind) is tuple:
        return "a list of " + {str: "texts", int: "whole numbers"}.get(get_args(kind)[0], "tables")
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]


def convert(kind: Any, value: object) -> Any:
    """``value`` of a TOML file or a flag as ``kind``. Raises ``ValueError`` with the reason; never names the value."""
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"must be {describe(kind)}")
        return tuple(convert(get_args(kind)[0], item) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:  # exact: True is an int for Python and a mistake for us
        raise ValueError(f"must be {describe(kind)}, not {_kind_name(value)}")
    return value


def _kind_name(value: object) -> str:
    names = {bool: "true/false", int: "a whole number", float: "a fraction", str: "a text", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, dict) else type(value).__name__)


def convert_text(kind: Any, text: str) -> Any:
    """The text of an environment variable as ``kind``: lists by commas or as JSON. Raises ``ValueError``."""
    if get_origin(kind) is tuple:
        return convert(kind, _list_of(get_args(kind)[0], text.strip()))
    if kind is str:
        return text
    text = text.strip()
    if kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError("must be true or false")
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"must be {describe(kind)}, not {text!r}") from None


def _list_of(kind: Any, text: str) -> list[Any]:
    if text.startswith("["):
        try:
            loaded = json.loads(text)
        except ValueError as broken:
            raise ValueError(f"is not valid JSON: {broken}") from None
        return list(loaded)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [convert_text(kind, part) for part in parts]
