"""Lost and late packets, concealed by the product's own code (``telephony.audio.plc``)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.training.voices.spoken import Audio
from telephony.audio.levels import to_float, to_int16
from telephony.audio.plc import FRAME, Concealer

Rng = np.random.Generator


def losses(frames: int, share: float, burst: float, rng: Rng) -> NDArray[np.bool_]:
    """Which frames are lost: runs of mean length ``burst``, ``share`` of all (Gilbert's model)."""
    if share <= 0:
        return np.zeros(frames, np.bool_)
    leave = 1 / burst
    enter = min(1.0, share * leave / (1 - share))
    lost, state, draws = np.zeros(frames, np.bool_), False, rng.random(frames)
    for index in range(frames):
        state = draws[index] >= leave if state else draws[index] < enter
        lost[index] = state
    return lost


def stalls(frames: int, per_minute: float, rng: Rng) -> NDArray[np.bool_]:
    """Frames that came too late to be played: now and then 40 to 160 ms in a row."""
    late = np.zeros(frames, np.bool_)
    for at in rng.integers(0, frames, int(rng.poisson(per_minute * frames / 3000))):
        late[at : at + int(rng.integers(2, 9))] = True
    return late


def concealed(pcm: Audio, lost: NDArray[np.bool_]) -> Audio:
    """``pcm`` with its lost frames of 20 ms replaced as the edge replaces them."""
    if not lost.any():
        return pcm
    count = lost.size
    frames = to_int16(pcm[: count * FRAME]).reshape(count, 1, FRAME)
    concealer = Concealer(1)
    row = np.zeros(1, np.intp)
    for index in range(count):
        frame = frames[index]
        if lost[index]:
            frame[:] = concealer.conceal(row)
        elif index and lost[index - 1]:
            concealer.recover(frame, np.ones(1, np.bool_))
        if lost[max(0, index - 1) : index + 4].any():  # history is needed just before a loss only
            concealer.accept(frame)
    return to_float(frames.reshape(-1))
