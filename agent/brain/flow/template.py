"""Texts with values in them: ``{number}``, ``{result.expected:date}``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from agent.brain.flow.words import spell_date, spell_digits

FORMATS = ("plain", "digits", "date")
_HOLE = re.compile(r"\{(?P<path>[a-z][a-z0-9_.]*)(?::(?P<format>[a-z]+))?\}")


class TemplateError(ValueError):
    """A text cannot be read; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A value in a text."""

    path: tuple[str, ...]
    format: str
    """One of ``FORMATS``, or empty: as the slot's kind is spoken."""

    @property
    def root(self) -> str:
        return self.path[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    source: str
    parts: tuple[str | Hole, ...]

    @property
    def holes(self) -> tuple[Hole, ...]:
        return tuple(part for part in self.parts if isinstance(part, Hole))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    text: str
    value_words: int = 0
    """How many words of the text must be heard for its last value to be heard; 0 without values."""
    missing: bool = False
    """A value was absent: the text must not be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What holes are filled from."""

    slots: Mapping[str, str]
    formats: Mapping[str, tuple[str, tuple[int, ...]]]
    """Slot name to its format and digit groups."""
    variables: Mapping[str, Any]
    result: Any = None


def parse_template(source: str) -> Template:
    """Read ``source``; raises ``TemplateError``."""
    parts: list[str | Hole] = []
    at = 0
    for match in _HOLE.finditer(source):
        if match["format"] and match["format"] not in FORMATS:
            raise TemplateError(f"unknown format '{match['format']}' in '{match[0]}'; known: {', '.join(FORMATS)}")
        parts += [source[at : match.start()], Hole(path=tuple(match["path"].split(".")), format=match["format"] or "")]
        at = match.end()
    parts.append(source[at:])
    stray = next((part for part in parts if isinstance(part, str) and ("{" in part or "}" in part)), None)
    if stray is not None:
        raise TemplateError(f"'{stray.strip()}' has a brace that is no {{value}}")
    return Template(source=source, parts=tuple(part for part in parts if part != ""))


def render(template: Template, values: Values) -> Rendered:
    """The text, with its values as they are spoken."""
    text = ""
    value_words = 0
    missing = False
    for part in template.parts:
        if isinstance(part, str):
            text += part
            continue
        spoken = _spoken(part, values)
        missing = missing or spoken is None
        text += spoken or ""
        value_words = len(text.split())
    return Rendered(text=" ".join(text.split()), value_words=value_words, missing=missing)


def lookup(value: Any, path: tuple[str, ...]) -> Any:
    """``value.a.b``; ``None`` where there is none."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _spoken(hole: Hole, values: Values) -> str | None:
    how = hole.format
    groups: tuple[int, ...] = ()
    value: Any
    if hole.root == "result":
        value = lookup(values.result, hole.path[1:])
    elif hole.root in values.formats:
        value = values.slots.get(hole.root)
        slot_format, groups = values.formats[hole.root]
        how = how or slot_format
    else:
        value = lookup(values.variables, hole.path)
    if value is None or isinstance(value, dict | list):
        return None
    return _format(str(value), how, groups)


def _format(value: str, how: str, groups: tuple[int, ...]) -> str:
    if how == "digits" and value.isascii() and value.isdigit():
        return spell_digits(value, groups)
    if how == "date":
        try:
            return spell_date(date.fromisoformat(value))
        except ValueError:
            return value  # a tool that answers with words instead of an ISO date
    return value
