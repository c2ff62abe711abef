"""One telephone line: draws its condition, and mixes clean tracks into what arrives at our end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from agent.training.channel.codec import g711, mobile
from agent.training.channel.network import concealed, losses, stalls
from agent.training.channel.room import band, filtered, handset, impulse
from agent.training.conversation import sounds
from agent.training.conversation.tracks import Tracks
from agent.training.voices.persona import LEVEL_DB
from agent.training.voices.spoken import Audio

Rng = np.random.Generator
RATE_HZ: Final = 8000
FRAME: Final = 160
CLEAN_DB: Final = -72.0
"""Noise floor of a quiet line."""
MIN_ECHO_DB, MAX_ECHO_DB = -45.0, -8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a line is. Levels in dB."""

    codec: str
    """``ulaw``, ``alaw``, ``mobile`` (then G.711 too)."""
    level_db: float
    """The caller's speech in dBFS."""
    snr_db: float | None
    """Steady noise below the caller's speech; ``None``: a quiet line."""
    room_s: float
    """Reverberation of the caller's room; 0: none."""
    echo_db: float | None
    """Our own voice coming back, against how it was sent; ``None``: no echo."""
    echo_ms: float
    loss: float
    burst: float
    stalls: float
    """Stretches of late packets per minute."""
    gain_swing_db: float
    """How far the level wanders."""
    clipped: bool

    def to_json(self) -> dict[str, Any]:
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


def draw_condition(rng: Rng) -> Condition:
    """A line as they are: half of them fair, the rest each bad in its own way."""
    lossy = rng.random() < 0.4
    return Condition(
        codec=("ulaw", "ulaw", "ulaw", "alaw", "mobile")[int(rng.integers(5))],
        level_db=float(rng.uniform(-36, -14)),
        snr_db=float(rng.triangular(0, 20, 30)) if rng.random() < 0.65 else None,
        room_s=float(rng.uniform(0.05, 0.45)) if rng.random() < 0.45 else 0.0,
        echo_db=float(rng.uniform(MIN_ECHO_DB, MAX_ECHO_DB)) if rng.random() < 0.6 else None,
        echo_ms=float(rng.uniform(20, 400)),
        loss=float(rng.uniform(0.003, 0.05)) if lossy else 0.0,
        burst=float(rng.uniform(1.0, 3.0)),
        stalls=float(rng.uniform(0, 8)) if lossy else 0.0,
        gain_swing_db=float(rng.uniform(0, 8)) if rng.random() < 0.3 else 0.0,
        clipped=bool(rng.random() < 0.05),
    )


@dataclass(frozen=True, slots=True)
class Line:
    """What came of it."""

    caller: Audio
    """What arrives from the caller, after the playout buffer."""
    own: Audio
    """Our voice as it was sent."""
    echo: Audio
    """The part of ``caller`` that is our own voice, before the codec."""
    floor_db: float
    """Level of the steady noise: an echo below it cannot be heard."""


def over_the_line(tracks: Tracks, condition: Condition, rng: Rng) -> Line:
    """Mix, and send through the line."""
    sound = in_the_room(tracks, condition, rng) * np.float32(10 ** ((condition.level_db - LEVEL_DB) / 20))
    if condition.gain_swing_db:
        sound *= _swing(sound.size, condition.gain_swing_db, rng)
    echo = _echo(tracks["own"], condition, rng)
    floor_db = CLEAN_DB if condition.snr_db is None else condition.level_db - condition.snr_db
    bed = sounds.bed(sound.size, rng) * np.float32(10 ** ((floor_db - sounds.LEVEL_DB) / 20))
    mixed = (
        filtered(sound + bed, handset(rng))
        if rng.random() < 0.5
        else band(sound + bed, rng.uniform(50, 300), rng.uniform(3200, 3900))
    )
    mixed = mixed + echo + tracks["keys"]
    if condition.clipped:
        ceiling = np.float32(10 ** ((condition.level_db + 8) / 20))
        mixed = np.clip(mixed, -ceiling, ceiling)
    if condition.codec == "mobile":
        mixed = mobile(mixed, rng)
    mixed = g711(mixed, alaw=condition.codec == "alaw")
    frames = mixed.size // FRAME
    lost = losses(frames, condition.loss, condition.burst, rng) | stalls(frames, condition.stalls, rng)
    own = g711(tracks["own"], alaw=condition.codec == "alaw")
    return Line(concealed(mixed, lost), own, echo, floor_db)


def in_the_room(tracks: Tracks, condition: Condition, rng: Rng) -> Audio:
    """What the caller's telephone hears before any line: the caller and others, as loud as they were said."""
    near = tracks["caller"]
    if condition.room_s:
        near = filtered(near, impulse(rng, seconds=max(0.02, condition.room_s), wet=float(rng.uniform(0.2, 0.9))))
    far = tracks["side"] + tracks["tv"] + tracks["noise"]
    if far.any():
        far = filtered(far, impulse(rng, seconds=float(rng.uniform(0.15, 0.6)), wet=float(rng.uniform(0.8, 2.0))))
    return near + far


def _echo(own: Audio, condition: Condition, rng: Rng) -> Audio:
    """Our voice back from the far end: late, through a loudspeaker, a room and a microphone; loud ones distort."""
    if condition.echo_db is None or not own.any():
        return np.zeros_like(own)
    delay = round(condition.echo_ms / 1000 * RATE_HZ)
    shifted = np.zeros_like(own)
    if delay < own.size:
        shifted[delay:] = own[: own.size - delay]
    if condition.echo_db > -22 and rng.random() < 0.5:
        drive = np.float32(rng.uniform(2, 8))
        shifted = np.tanh(shifted * drive) / drive
    path = filtered(
        filtered(shifted, handset(rng)),
        impulse(rng, seconds=float(rng.uniform(0.03, 0.25)), wet=float(rng.uniform(0.1, 0.8))),
    )
    size = float(np.sqrt(np.mean(path**2))) + 1e-9
    wanted = float(np.sqrt(np.mean(own**2))) * 10 ** (condition.echo_db / 20)
    return np.asarray(path * np.float32(wanted / size), np.float32)


def _swing(samples: int, depth_db: float, rng: Rng) -> Audio:
    """A level that wanders, as a bad automatic gain does."""
    points = max(2, samples // 6000)
    db = np.interp(np.arange(samples), np.linspace(0, samples, points), rng.uniform(-depth_db, 0, points))
    return (10 ** (db / 20)).astype(np.float32)
