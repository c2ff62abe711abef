"""Tools of a model that speaks: what it must have said for one to be asked, and what it says of the result. Pure.

Such a model calls no functions. It has learnt to say that it looks something up; whoever reads its words can ask then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from agent.brain.tool_specs import NAME
from agent.errors import ConfigError

_KEYS: Final = {"tool", "when", "say", "failed"}
_FIELD: Final = re.compile(r"\{(\w+)\}")
MOST_CHARACTERS: Final = 300
"""Of a text that a model is made to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Ask ``tool`` when the model has said ``when``; named groups are the tool's arguments."""

    tool: str
    when: re.Pattern[str]
    say: str
    """With ``{field}`` of the result."""
    failed: str = ""

    def arguments(self, heard: str) -> dict[str, Any] | None:
        """Of a text that was heard; ``None`` where it asks for nothing."""
        found = self.when.search(heard)
        return None if found is None else {key: value for key, value in found.groupdict().items() if value is not None}

    def answer(self, value: Any, *, ok: bool) -> str:
        """What is to be said of a result."""
        if not ok:
            return self.failed
        fields: Mapping[str, Any] = value if isinstance(value, dict) else {"result": value}
        filled = _FIELD.sub(lambda found: str(fields.get(found[1], "")), self.say)
        return " ".join(filled.split())[:MOST_CHARACTERS]


def parse_triggers(text: str, where: str) -> tuple[Trigger, ...]:
    """A YAML list of ``{tool, when, say, failed?}``. Raises ``ConfigError``."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as wrong:
        raise ConfigError(where, f"is not valid YAML: {' '.join(str(wrong).split())}") from None
    if not isinstance(document, list):
        raise ConfigError(where, "must be a list of tools with what asks for them")
    return tuple(_trigger(item, f"{where}[{index}]") for index, item in enumerate(document))


def _trigger(item: object, where: str) -> Trigger:
    if not isinstance(item, dict):
        raise ConfigError(where, "must be a table with tool, when, say")
    if unknown := sorted(str(key) for key in item.keys() - _KEYS):
        raise ConfigError(where, f"unknown key {unknown[0]}; known: {', '.join(sorted(_KEYS))}")
    tool, when, say = (str(item.get(key, "")) for key in ("tool", "when", "say"))
    if not NAME.fullmatch(tool):
        raise ConfigError(f"{where}.tool", "must be 1 to 64 letters, digits, '_' or '-'")
    if not say.strip():
        raise ConfigError(f"{where}.say", "is needed: what the model says of the result")
    try:
        pattern = re.compile(when, re.IGNORECASE)
    except re.error as wrong:
        raise ConfigError(f"{where}.when", f"is no regular expression: {wrong}") from None
    if not when or pattern.search(""):
        raise ConfigError(f"{where}.when", "must not fit an empty text")
    return Trigger(tool=tool, when=pattern, say=say, failed=str(item.get("failed", "")))
