"""What a folder of shards was made from. Written beside them, so that a run that goes on makes the same."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from agent.training.conversation.maker import FRAMES
from agent.training.errors import TrainingError
from agent.training.voices.roster import present

NAME: Final = "recipe.json"
FRAME_S: Final = 0.04
CONVERSATIONS: Final = 48
"""In one shard: a quarter of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what comes out, but for how much of it."""

    seed: int
    fold: str
    speech: str
    """Folder of recordings; empty: synthetic voices only."""
    share_alike: bool
    audio: bool
    piper: str = ""
    """Folder of a Piper voice, for validation."""
    domain: str = ""
    """A dialogue (YAML) whose sayings are wanted."""
    patient: bool = False
    """We wait longer than 1.6 s after each turn: for judging, never for training."""
    frames: int = FRAMES
    conversations: int = CONVERSATIONS
    voices: tuple[str, ...] = ()
    """Families of voices that the host had."""

    @property
    def shard_hours(self) -> float:
        return self.conversations * self.frames * FRAME_S / 3600

    def shards_for(self, hours: float) -> int:
        """How many shards hold ``hours``."""
        return max(1, -(-round(hours * 3600 / FRAME_S) // (self.conversations * self.frames)))


def families() -> tuple[str, ...]:
    """Voices of this host, espeak-ng's hundreds as one."""
    return tuple(sorted({"espeak" if spec.family == "espeak" else spec.name for spec in present()}))


def settle(wanted: Recipe, folder: Path) -> None:
    """Write the recipe, or compare it with what is there. Raises ``TrainingError`` where they differ."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    text = json.dumps(asdict(wanted), indent=1)
    if not path.exists():
        unfinished = folder / f"{NAME}.{os.getpid()}.part"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
        return
    kept = json.loads(path.read_text(encoding="utf-8"))
    kept.setdefault("domain", "")  # older folders
    now = json.loads(text)
    different = sorted(key for key in {*kept, *now} if kept.get(key) != now.get(key))
    if different:
        raise TrainingError(f"{path}: the shards there were made with other settings: {', '.join(different)}")
