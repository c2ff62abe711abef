"""The same trials under worse conditions: noise, a lossy network, our own voice coming back. By seed.

Each condition is made of the clean trial, as its packets left the caller's telephone: what differs between two
conditions of a saying is the condition alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.brain.flow.load import load_dialogue
from agent.brain.flow.spec import DialogueSpec, Lines
from agent.model.parts.recogniser import Mode
from agent.scheduler.floor.profile import FloorProfile
from agent.simulator.network import NetworkProfile, Wire
from agent.simulator.render import Renderer
from agent.training.channel.codec import g711
from agent.training.conversation import sounds
from agent.training.words_trials import LEAD_S, LEVEL_DB, NOISY_DB, Trial
from telephony.audio.g711 import ulaw_encode
from telephony.audio.levels import to_float, to_int16
from telephony.rtp.playout import FRAME, FRAME_MS, Arrivals, Playout, PlayoutLimits

CLEAN: Final = " clean"
"""End of the group of a trial that conditions are made of."""
ECHO_S: Final = 0.15
LOSS, JITTER_MS = 0.02, 30.0
WARM_FRAMES: Final = 60
"""The line before the saying: the playout buffer has found its delay."""
FLUSH_FRAMES: Final = 8
GAP_S: Final = 0.15
"""Between two lines of our voice."""
OWN_VOICE: Final = "flite:rms"
"""The product's default where libflite1 is; else the first that is there."""
Rng = np.random.Generator
Pcm = NDArray[np.int16]


class Condition(StrEnum):
    """What is done to a clean trial."""

    CLEAN = "clean"
    NOISE = "noise10"
    """Steady noise, 10 dB below the caller."""
    LOSS = "loss2_jitter30"
    """2 % of the packets lost, each up to 30 ms late, through the edge's own playout buffer and concealment."""
    OVER = "over"
    """We speak, and nothing of it comes back: heard for what takes the floor, too (``Mode.OVERLAP``)."""
    ECHO20 = "echo20"
    """We speak; our voice comes back 20 dB below how it was sent, after 150 ms, as loud to the end of the saying."""
    ECHO30 = "echo30"
    DUCK20 = "duck20"
    """As ``echo20``, but our voice is turned down as the floor does it, 0.2 s into the saying."""
    DUCK30 = "duck30"


ECHO_DB: Final = {
    Condition.ECHO20: -20.0,
    Condition.ECHO30: -30.0,
    Condition.DUCK20: -20.0,
    Condition.DUCK30: -30.0,
}
DUCKED: Final = (Condition.DUCK20, Condition.DUCK30)
DUCK_AFTER_S: Final = 0.2


def under(trials: Sequence[Trial], wanted: Sequence[Condition], dialogue: Path, *, seed: int) -> Iterator[Trial]:
    """Every clean trial of ``trials`` under each of ``wanted``. Raises ``VoiceFailed`` where we have no voice."""
    own = own_voice(dialogue) if set(wanted) & set(ECHO_DB) else np.zeros(0, np.int16)
    for number, trial in enumerate(trials):
        if not trial.group.endswith(CLEAN):
            continue
        for condition in wanted:
            rng = np.random.default_rng([seed, number, list(Condition).index(condition)])
            yield _made(trial, condition, own, rng)


def _made(trial: Trial, condition: Condition, own: Pcm, rng: Rng) -> Trial:
    group = trial.group.removesuffix(CLEAN) + f" {condition}"
    match condition:
        case Condition.CLEAN:
            return trial
        case Condition.NOISE:
            return replace(trial, group=group, pcm=noisy(trial.pcm, rng))
        case Condition.LOSS:
            return replace(trial, group=group, pcm=through_the_network(trial.pcm, int(rng.integers(1 << 31))))
        case Condition.OVER:
            return replace(trial, group=group, mode=Mode.OVERLAP)
        case _:
            pcm = echoed(trial.pcm, own, ECHO_DB[condition], rng, is_ducked=condition in DUCKED)
            return replace(trial, group=group, pcm=pcm, mode=Mode.OVERLAP)


def noisy(pcm: Pcm, rng: Rng, snr_db: float = NOISY_DB) -> Pcm:
    """Steady noise ``snr_db`` under the caller's speech."""
    gain = np.float32(10 ** ((LEVEL_DB - snr_db - sounds.LEVEL_DB) / 20))
    return _sent(to_float(pcm) + sounds.bed(pcm.size, rng) * gain)


def echoed(pcm: Pcm, own: Pcm, level_db: float, rng: Rng, *, is_ducked: bool = False) -> Pcm:
    """``own`` speaks from before the saying to its end; what was sent ``ECHO_S`` ago comes back."""
    first = int(rng.integers(own.size)) - round(ECHO_S * 8000)
    back_db = np.full(pcm.size, level_db, np.float32)
    if is_ducked:
        back_db[round((LEAD_S + DUCK_AFTER_S + ECHO_S) * 8000) :] += FloorProfile().duck_db
    back = np.take(own, np.arange(first, first + pcm.size), mode="wrap")
    return _sent(to_float(pcm) + to_float(back) * np.power(np.float32(10), back_db / np.float32(20)))


def _sent(mixed: NDArray[np.float32]) -> Pcm:
    return np.ascontiguousarray(to_int16(g711(mixed.astype(np.float32), alaw=False)))


def through_the_network(pcm: Pcm, seed: int, *, loss: float = LOSS, jitter_ms: float = JITTER_MS) -> Pcm:
    """What the edge plays of these packets: its playout buffer decides what comes too late, its concealer fills.

    Sent in packets of 20 ms after a second of the trial's own line noise; as long as what was sent, later by the
    buffer's delay.
    """
    noise = np.resize(pcm[: round(LEAD_S * 8000) // FRAME * FRAME], WARM_FRAMES * FRAME)
    count = -(-pcm.size // FRAME)
    padded = np.concatenate((noise, np.resize(pcm, count * FRAME), noise[: FLUSH_FRAMES * FRAME]))
    padded[noise.size + pcm.size : noise.size + count * FRAME] = 0
    codes = ulaw_encode(padded).reshape(-1, FRAME)
    wire = Wire(NetworkProfile(loss=loss, jitter_ms=jitter_ms, seed=seed), direction=0)
    arrivals = sorted(
        (at, number) for number in range(len(codes)) for at in wire.arrivals((number + 1) * FRAME_MS / 1000)
    )
    playout = Playout(1, PlayoutLimits())
    playout.open(0, alaw=False)
    out: list[Pcm] = []
    for tick in range(len(codes)):
        now_ms = (tick + 1.5) * FRAME_MS
        while arrivals and arrivals[0][0] * 1000 <= now_ms:
            at, number = arrivals.pop(0)
            playout.receive(_packet(number, codes[number], now_ms - at * 1000), now_ms)
        out.append(playout.select(1, now_ms)[0][0].copy())
    return np.concatenate(out[WARM_FRAMES:])


def _packet(number: int, code: NDArray[np.uint8], age_ms: float) -> Arrivals:
    return Arrivals(
        rows=np.zeros(1, np.intp),
        sequence=np.array([number & 0xFFFF]),
        timestamp=np.array([number * FRAME]),
        ssrc=np.array([1]),
        age_ms=np.array([age_ms]),
        size=np.array([FRAME]),
        payload=code.reshape(1, FRAME),
    )


# --- our own voice ---


def own_voice(dialogue: Path) -> Pcm:
    """The dialogue's lines, one after the other, as the service's voice sends them. Raises ``VoiceFailed``."""
    renderer = Renderer()
    gap = np.zeros(round(GAP_S * 8000), np.int16)
    pieces = [piece for text in own_lines(load_dialogue(dialogue)) for piece in (_said(renderer, text), gap)]
    return np.concatenate(pieces)


def _said(renderer: Renderer, text: str) -> Pcm:
    return renderer.speech(text, voice=OWN_VOICE)


def own_lines(spec: DialogueSpec) -> list[str]:
    """Texts of the dialogue that hold no values, in the order of the file."""
    groups: list[Lines] = [spec.disclosure]
    groups += [lines for slot in spec.slots.values() for lines in (slot.prompt, slot.again, slot.keys)]
    groups += [intent.say for intent in spec.intents.values()]
    groups += [lines for state in spec.states.values() for lines in (state.say, state.help)]
    return list(dict.fromkeys(line.source for lines in groups for line in lines if not line.holes))
