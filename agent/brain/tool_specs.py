"""What a brain may ask for: names, purposes and arguments of tools. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from agent.errors import ConfigError

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What chat endpoints take as the name of a function."""
_KEYS: Final = {"name", "description", "parameters", "filler"}
_NO_ARGUMENTS: Final[dict[str, Any]] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """One tool as a model is told of it."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=lambda: dict(_NO_ARGUMENTS))
    """JSON schema of its arguments."""
    filler: str = ""
    """Said when its result takes longer than 700 ms; empty: the agent's own filler."""

    def to_chat(self) -> dict[str, Any]:
        """As an element of ``tools`` of a chat completion."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


def parse_tools(text: str, where: str) -> tuple[ToolSpec, ...]:
    """A YAML or JSON list of ``{name, description?, parameters?, filler?}``. Raises ``ConfigError``."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as wrong:
        raise ConfigError(where, f"is not valid YAML: {' '.join(str(wrong).split())}") from None
    if not isinstance(document, list):
        raise ConfigError(where, "must be a list of tools")
    found = [_tool(item, f"{where}[{index}]") for index, item in enumerate(document)]
    names = [tool.name for tool in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(where, f"names {twice} twice")
    return tuple(found)


def _tool(item: object, where: str) -> ToolSpec:
    if not isinstance(item, dict):
        raise ConfigError(where, "must be a table with name, description, parameters")
    unknown = sorted(str(key) for key in item.keys() - _KEYS)
    if unknown:
        raise ConfigError(where, f"unknown key {unknown[0]}; known: {', '.join(sorted(_KEYS))}")
    name, parameters = str(item.get("name", "")), item.get("parameters", _NO_ARGUMENTS)
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}.name", "must be 1 to 64 letters, digits, '_' or '-'")
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        raise ConfigError(f"{where}.parameters", "must be a JSON schema of type object")
    return ToolSpec(
        name=name,
        description=str(item.get("description", "")),
        parameters=parameters,
        filler=str(item.get("filler", "")),
    )


def parse_arguments(text: str) -> dict[str, Any]:
    """Arguments as a model wrote them. Raises ``ValueError`` with the reason."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ValueError("the arguments are not valid JSON") from None
    if not isinstance(found, dict):
        raise ValueError("the arguments are not a JSON object")
    return found
