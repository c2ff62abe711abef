"""All that conversations of one fold are made of, opened once per process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.training.fold import Fold
from agent.training.text.domain import DomainSource
from agent.training.text.source import TextSource
from agent.training.voices.human import HumanBank
from agent.training.voices.roster import VoiceSpec, callers, own

HUMAN: Final = 0.45


@dataclass(frozen=True, slots=True)
class Material:
    """Text, voices and recordings."""

    text: TextSource
    voices: Sequence[VoiceSpec]
    """Of callers and of others in the room."""
    own_voices: Sequence[str]
    humans: HumanBank | None
    human_share: float = HUMAN
    """Share of calls whose caller is made of recordings, as far as they go."""

    @classmethod
    def open(
        cls, fold: Fold, speech: Path | None, *, share_alike: bool = True, piper: str = "", domain: str = ""
    ) -> Material:
        """``domain``: a dialogue whose sayings are wanted. Raises ``AgentError`` where something is missing."""
        humans = HumanBank(speech, fold, share_alike=share_alike) if speech else None
        text = DomainSource(fold, Path(domain)) if domain else TextSource(fold)
        share = 1.0 if fold is Fold.DEV else HUMAN
        return cls(text, callers(fold, piper), own(), humans, share)
