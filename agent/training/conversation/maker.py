"""Conversation number ``index`` of seed ``seed``: script, tracks, line, labels. The same every time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from agent.training.channel.line import CLEAN_DB, Condition, Line, draw_condition, in_the_room, over_the_line
from agent.training.conversation.director import Director
from agent.training.conversation.labels import Labels, Script, Sound, bridged, labels
from agent.training.conversation.material import Material
from agent.training.conversation.tracks import Tracks
from agent.training.voices.spoken import runs_above

FRAMES: Final = 512
"""20.48 s of labels in frames of 40 ms."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything about one conversation."""

    tracks: Tracks
    script: Script
    condition: Condition
    line: Line
    labels: Labels
    room: Line
    """The same before the line: nothing but the caller's room, and our voice as it was sent."""
    room_labels: Labels

    @property
    def before_the_line(self) -> Conversation:
        """For mixing it over many lines (``agent.training.mixing``)."""
        return replace(self, line=self.room, labels=self.room_labels)


def make_conversation(
    material: Material, seed: int, index: int, frames: int = FRAMES, *, patient: bool = False
) -> Conversation:
    """One conversation. Voices, text, line and noise have generators of their own: one does not move the others."""
    director = Director(material, np.random.default_rng([seed, index, 0]), frames, patient=patient)
    director.direct()
    line_rng = np.random.default_rng([seed, index, 1])
    condition = draw_condition(line_rng)
    line = over_the_line(director.tracks, condition, line_rng)
    room, room_labels = _before(director, condition, np.random.default_rng([seed, index, 2])), labels(director.script)
    if line.echo.any():
        _mark_echo(director, line)
    return Conversation(director.tracks, director.script, condition, line, labels(director.script), room, room_labels)


def _before(director: Director, condition: Condition, rng: np.random.Generator) -> Line:
    """The conversation as no line has touched it."""
    tracks = director.tracks
    caller = in_the_room(tracks, condition, rng) + tracks["keys"]
    return Line(caller, tracks["own"], np.zeros_like(caller), CLEAN_DB)


def _mark_echo(director: Director, line: Line) -> None:
    """Where our voice comes back above the noise."""
    director.script.sounds += [(Sound.ECHO, span) for span in bridged(runs_above(line.echo, line.floor_db))]
