"""The same recorded callers before several kinds of ears: what each would have ended, and when.

All calls are rows of one instance, in the time of their audio: the machine's load changes nothing. The agent's voice
is what the caller got.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.bench.baselines import HeardCall
from agent.bench.decisions import STEP_S, Trace
from agent.expectation import Expect
from agent.model.parts.ears import STEP_SAMPLES, Ears, silent_input

SCORES: Final = (0.3, 0.4, 0.5, 0.6, 0.75, 0.99)
"""End scores of a curve: 0.5 is how the ears are served, the others are 0.6 to 2 times as patient."""


def replay(calls: Sequence[HeardCall], ears: Ears, expects: Sequence[Expect]) -> list[Trace]:
    """One trace for each call. ``ears`` have a row for each; ``expects`` is what the agent waits for all the time."""
    lines = [_padded(heard.caller) for heard in calls]
    own = [_padded(heard.call.agent.pcm) for heard in calls]
    speaks = [_speaking(heard, len(line)) for heard, line in zip(calls, lines, strict=True)]
    steps = max(len(line) for line in lines)
    found = np.zeros((2, len(calls), steps), np.float32)
    for step in range(steps):
        inputs = silent_input(ears.spec.rows)
        inputs.mask[:] = False
        for row, line in enumerate(lines):
            if step < len(line):
                inputs.mask[row] = True
                inputs.pcm[row] = line[step]
                inputs.own[row] = own[row][step] if step < len(own[row]) else 0
                inputs.speaking[row] = speaks[row][step]
        if not step:
            inputs.expects = dict(enumerate(expects))
        out = ears.step(inputs)
        found[0, :, step], found[1, :, step] = out.p_end[: len(calls)], out.p_speech[: len(calls)]
    return [Trace(found[0, row, : len(line)], found[1, row, : len(line)]) for row, line in enumerate(lines)]


def _padded(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """``[steps, 160]``."""
    count = -(-len(pcm) // STEP_SAMPLES)
    return np.pad(pcm, (0, count * STEP_SAMPLES - len(pcm))).reshape(count, STEP_SAMPLES)


def _speaking(heard: HeardCall, steps: int) -> NDArray[np.bool_]:
    flags = np.zeros(steps, np.bool_)
    for segment in heard.call.agent.segments:
        flags[int(segment.start / STEP_S) : int(segment.end / STEP_S) + 1] = True
    return flags
