"""Thresholds of the floor, per agent. Frozen; travels to the worker with the seat."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from agent.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorProfile:
    """How patient an agent is. Times are milliseconds of media time."""

    speech_on: float = 0.5
    """``p_speech`` from which the caller speaks …"""
    speech_off: float = 0.35
    """… and under which the caller is silent (hysteresis)."""
    start_after_ms: int = 60
    """Speech that long opens a caller's turn when we are silent."""
    duck_after_ms: int = 80
    """Speech that long while we talk turns our voice down (stage one of barge-in)."""
    yield_after_ms: int = 760
    """Speech that long while we talk takes the floor (stage two, by duration)."""
    yield_judged_ms: int = 760
    """The same with ears that judge sounds over our voice (``engine.model = small``); more spares side talk."""
    take_score: float = 0.8
    """``p_take`` from which an overlap takes the floor at once (stage two, by words)."""
    take_late_ms: int = 700
    """Silence up to which ``p_take`` still counts when the caller has stopped: words come behind the speech."""
    backchannel_score: float = 0.8
    """``p_backchannel`` from which an overlap ends as a backchannel without waiting."""
    restore_after_ms: int = 240
    """Silence that long after an overlap turns our voice up again."""
    gap_ms: int = 300
    """Pauses shorter than this do not end an overlap's speech clock."""
    rest_after_yield_ms: int = 540
    """Silence that we keep after a yield before we speak again, so that giving way is heard as giving way."""
    duck_db: float = -15.0
    end_score: float = 0.5
    """``p_end`` from which a turn is over."""
    agree_ms: int = 40
    """The score must hold that long."""
    pause_after_ms: int = 100
    """Silence after which an answer is prepared early."""
    backstop_ms: int = 2500
    """Silence that ends a turn whatever the ears say, so that no turn hangs."""
    reopen_ms: int = 700
    """Speech this soon after the end of a turn, before our answer has been heard for as long, reopens the turn."""
    run_on_ms: int = 600
    """When we have interrupted the caller: silence up to which what they still say is of the turn that we ended."""
    silence_limits_ms: tuple[int, ...] = field(default=(7000, 14000))
    """Silences at which the brain is asked what to do."""
    max_turn_ms: int = 60_000
    """A turn longer than this is ended (hold music, a television)."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any], *, path: str = "floor") -> FloorProfile:
        """Profile from a mapping; an unknown key or wrong type is a ``ConfigError`` with its path."""
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in data.items():
            if key not in known:
                raise ConfigError(f"{path}.{key}", f"unknown key; known: {', '.join(sorted(known))}")
            if key == "silence_limits_ms":
                if not isinstance(value, list | tuple) or not all(isinstance(v, int) and v > 0 for v in value):
                    raise ConfigError(f"{path}.{key}", "must be a list of positive milliseconds")
                values[key] = tuple(value)
            elif isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"{path}.{key}", f"must be a number, not {value!r}")
            elif key.endswith("_ms"):
                if value < 0 or int(value) != value:
                    raise ConfigError(f"{path}.{key}", f"must be whole milliseconds, not {value!r}")
                values[key] = int(value)
            else:
                values[key] = float(value)
        return cls(**values)
