"""All that conversations of one fold are made of, opened once per process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.training.fold import Fold
from agent.training.text.source import TextSource
from agent.training.voices.human import HumanBank
from agent.training.voices.roster import VoiceSpec, callers, own


@dataclass(frozen=True, slots=True)
class Material:
    """Text, voices and recordings."""

    text: TextSource
    voices: Sequence[VoiceSpec]
    """Of callers and of others in the room."""
    own_voices: Sequence[str]
    humans: HumanBank | None

    @classmethod
    def open(cls, fold: Fold, speech: Path | None, *, share_alike: bool = True, piper: str = "") -> Material:
        """Raises ``TrainingError`` where voices or the speech folder are missing."""
        humans = HumanBank(speech, fold, share_alike=share_alike) if speech else None
        return cls(TextSource(fold), callers(fold, piper), own(), humans)
