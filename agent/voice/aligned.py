"""Word times of a rendered clause, by our own ears: the phone net hears it, its words are laid along what it heard.

For voices that do not know their times. Runs in the voice process, on audio that has already been sent: nobody waits
for it. A word that the dictionary lacks is sounded out by its letters (``phonemes.by_rules``). Measured by
``crosstalk bench voice --word-times``; figures in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.model.small.words_align import Alignment, CannotAlign, align
from agent.model.small.words_phones import Sounds, labels, pronunciations
from agent.model.small.words_runtime import STEP, PhoneRuntime, located_words
from agent.voice.engine import ClauseJob, NotAligned, Times, spread
from agent.voice.phonemes import by_rules
from agent.voice.shape import RATE_HZ, Pcm
from agent.voice.timing import pauses
from telephony.audio.levels import to_float

LAG_MS: Final = 127.5
"""The net tells the joint of two words so much later than it is: ``crosstalk bench voice --word-times`` measures it."""
TAIL_STEPS: Final = 6
"""Silence behind a clause, in which the net tells its last sounds."""
POOREST_FIT: Final = -3.3
"""Nats a sound. Right words have -2.2 and more (flite), those of another clause -4.8 and less: ``--word-times`` tells
both."""
LONGEST_S: Final = 20.0
"""A longer clause keeps its estimate: it would hold the voice for half a second."""
PAUSE_REACH: Final = RATE_HZ * 60 // 1000
"""So far from a joint a quiet stretch is the pause at it."""

GoOn = Callable[[], bool]
"""Asked between steps of the net; false: leave it."""

_SOUNDS: Final = {
    "ʃ": "SH", "ᵊ": "AH", "n": "N", "ʒ": "ZH", "ʧ": "CH", "ə": "AH", "ɹ": "R", "O": "OW", "ɔ": "AO", "A": "EY",
    "I": "AY", "ʤ": "JH", "k": "K", "f": "F", "θ": "TH", "w": "W", "ŋ": "NG", "ɡ": "G", "i": "IY", "u": "UW",
    "W": "AW", "Y": "OY", "ɑ": "AA", "ɜ": "ER", "æ": "AE", "b": "B", "d": "D", "ɛ": "EH", "h": "HH", "ɪ": "IH",
    "l": "L", "m": "M", "p": "P", "s": "S", "t": "T", "ʌ": "AH", "v": "V", "z": "Z",
}  # fmt: skip
"""Signs of ``phonemes.RULES`` as the net's sounds."""


class WordAligner:
    """Finds word times. Called from one thread."""

    def __init__(self, net: PhoneRuntime) -> None:
        self._net = net
        self._row = np.zeros(1, np.intp)

    def times(self, job: ClauseJob, pcm: Pcm, go_on: GoOn = lambda: True) -> Times | None:
        """Times of the job's words in its whole audio; ``None`` when told not to go on. Raises ``NotAligned``."""
        if pcm.size > LONGEST_S * RATE_HZ:
            raise NotAligned(f"the clause is longer than {LONGEST_S:g} s")
        logp = self.hear(pcm, go_on)
        if logp is None:
            return None
        spoken = spoken_words(job)
        found = laid(spoken, logp)
        if found.fit < POOREST_FIT:
            raise NotAligned(f"the net hears something else ({found.fit:.1f} nats a sound)")
        return spread(job.words, placed(spoken, found, pcm))

    def hear(self, pcm: Pcm, go_on: GoOn = lambda: True) -> NDArray[np.float32] | None:
        """``[steps, 40]`` log-probabilities of the clause and the silence behind it; ``None`` as above."""
        steps = -(-pcm.size // STEP) + TAIL_STEPS
        line = np.zeros((1, steps * STEP), np.float32)
        line[0, : pcm.size] = to_float(pcm)
        self._net.reset(self._row)
        heard = []
        for at in range(0, line.shape[1], STEP):
            if not go_on():
                return None
            heard.append(self._net.step(line[:, at : at + STEP], self._row))
        return np.concatenate(heard)


def open_aligner() -> WordAligner:
    """With the net that ships, everything loaded. Raises ``ModelError``."""
    aligner = WordAligner(PhoneRuntime(located_words(), 1))
    ways("ready")  # reads the dictionary
    return aligner


def spoken_words(job: ClauseJob) -> list[str]:
    """One by one: a number of the dialogue is several."""
    return [word for group in job.words for word in group.split()]


def laid(spoken: Sequence[str], logp: NDArray[np.float32]) -> Alignment:
    """Words in what the net heard, in its frames and late by its lag, however well they fit. Raises ``NotAligned``."""
    sounds = [ways(word) for word in spoken]
    if not all(sounds):
        raise NotAligned("a word without letters")
    try:
        return align(logp, sounds)
    except CannotAlign as unfit:
        raise NotAligned(str(unfit)) from None


@lru_cache(maxsize=8192)
def ways(word: str) -> tuple[Sounds, ...]:
    """How a spoken word may sound, a comma behind it or not; empty where it has no letters."""
    plain = word.rstrip(",").lower()
    known = pronunciations(plain)
    if known:
        return known
    sounds = labels(" ".join(_SOUNDS[sign] for sign in by_rules(plain) if sign in _SOUNDS))
    return (sounds,) if sounds else ()


def placed(spoken: Sequence[str], found: Alignment, pcm: Pcm, lag_ms: float = LAG_MS) -> Times:
    """Samples of each word: joints less the lag, parted by the pause that is heard behind a comma.

    The clause is cut to its speech: its first word begins and its last one ends with it.
    """
    lag = lag_ms * RATE_HZ / 1000
    quiet = pauses(pcm)
    edges = [0.0]
    for index, joint in enumerate(found.joints):
        pause = None
        if spoken[index].endswith(","):
            pause = _pause(quiet, found.over[index] * STEP - lag, found.begun[index + 1] * STEP - lag)
        edges += pause or (joint * STEP - lag, joint * STEP - lag)
    ordered = np.clip(np.maximum.accumulate([*edges, pcm.size]), 0, pcm.size).round().astype(int).tolist()
    return tuple(pairwise(ordered))[::2]


def _pause(quiet: Sequence[tuple[int, int]], over: float, begun: float) -> tuple[float, float] | None:
    """The longest quiet stretch between two words, if any lies there."""
    near = [one for one in quiet if one[1] > over - PAUSE_REACH and one[0] < begun + PAUSE_REACH]
    return max(near, key=lambda one: one[1] - one[0], default=None)
