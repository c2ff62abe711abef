"""What a dialogue is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from agent.brain.protocol import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Facts that the dialogue does not change."""

    call_id: str
    today: date
    variables: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The call was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    turn: int
    words: tuple[str, ...]
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    digit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDone:
    result: ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFailed:
    status: int
    reason: str


Input = Opened | Said | Key | Silent | ToolDone | TransferFailed
