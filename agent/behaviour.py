"""What an agent does of its own accord in a conversation, per agent. The floor's patience is in its profile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Policies of a dialogue; each can be turned off. What they do: docs/explanation/behaviour.md."""

    backchannels: bool = True
    """Say a word that we listen ("I see.") in a pause of a caller who speaks long and freely."""
    backchannel_after_ms: int = 5000
    """Of the caller's turn, and between two such words."""
    backchannel_phrases: tuple[str, ...] = ("Okay.", "I see.", "Right.")
    """In turn. Choose what your voice says well: "mhm" is hard for most."""
    interrupts: bool = True
    """Tell callers at once, while they speak, that what they say cannot be right (a ninth digit of eight)."""
    interrupt_confidence: float = 0.5
    """Confidence of the recogniser from which its words are reason enough …"""
    interrupt_after_ms: int = 240
    """… once they have stood that long: a recogniser takes back some of what it hears."""
    prepares: bool = True
    """Prepare the answer on partial words, and throw it away when the sentence goes on."""
    resumes: bool = True
    """Go on at the clause that was cut when the interruption was none; else the caller has to ask for it."""

    @property
    def asides(self) -> tuple[str, ...]:
        """What may be said to show that we listen; empty where that is off."""
        return self.backchannel_phrases if self.backchannels else ()
