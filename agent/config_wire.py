"""A frozen configuration as JSON and back: how the supervisor hands it to its processes (by pipe, never by file)."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def to_wire(value: Any) -> Any:
    """Dataclasses and tuples as JSON values, secrets included."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_wire(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_wire(item) for item in value]
    return value


def from_wire(cls: type[T], data: dict[str, Any]) -> T:
    """Inverse of ``to_wire`` for a dataclass of our own (trusted input: both ends are ours)."""
    hints = typing.get_type_hints(cls)
    return cls(**{name: _value(hints[name], value) for name, value in data.items()})


def _value(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_wire(hint, value)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_value(inner, item) for item in value)
    if isinstance(hint, types.UnionType) and value is not None:
        return _value(next(arg for arg in typing.get_args(hint) if arg is not type(None)), value)
    return value
