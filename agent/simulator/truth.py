"""What the caller really did, and when: the lines of ``truth.jsonl``.

Times are seconds on the caller's clock from the start of the recording. The caller time of sample i of a sent packet
of N samples is t_send − (N − i) / rate: a packet leaves when its last sample has been spoken. Start and end are those
of the first and last active frame of the clean stem, before noise and codec.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class EventType(StrEnum):
    """Kinds of caller events."""

    TURN = "turn"
    HOLD = "hold"
    """Silence inside a turn."""
    INTERRUPT = "interrupt"
    BACKCHANNEL = "backchannel"
    TIC = "tic"
    """Cough, throat, "um", breath, laugh."""
    SIDE_TALK = "side_talk"
    NOISE = "noise"
    SILENCE = "silence"
    DTMF = "dtmf"


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthEvent:
    """One thing that the caller did."""

    call: str
    id: str
    type: EventType
    start: float
    end: float
    text: str = ""
    expect: str = "none"
    """``reply`` or ``none``."""
    resume: bool = False
    """The agent is expected to go on where it was ("go on", or a false alarm)."""
    sent: bool = True
    """False in a control run: the event would have started here, and nothing was sent."""
    item: str = ""
    """Label of the step, the same in a paired control run."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TruthEvent:
        return cls(**{**data, "type": EventType(data["type"])})


def write_truth(path: Path, events: Iterable[TruthEvent]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(event.to_json()) + "\n" for event in events), encoding="utf-8")


def read_truth(path: Path) -> list[TruthEvent]:
    """Inverse of ``write_truth``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [TruthEvent.from_json(json.loads(line)) for line in lines if line.strip()]
