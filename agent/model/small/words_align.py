"""Forced alignment: where known words lie in the phone net's log-probabilities. Pure.

The words in their order are one chain of states: their sounds (every way to say a word beside the others), a blank
between sounds that may be left out, a blank behind each word that may last as long as a pause does (the topology of
connectionist temporal classification). The net's peaks are sharp and its steps coarse, so times are not read off the
best path: they are expected values over all paths, with the probabilities flattened by ``FLATTEN``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError
from agent.model.small.words_phones import BLANK, Sounds

FLATTEN: Final = 0.5
"""Power of the probabilities. Flatter is not better: 0.3 and 1 have 10 to 20 % more error (flite, four voices)."""
NEVER: Final = -1e30
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class CannotAlign(AgentError):
    """The words do not fit the sound; the message says why, without the words."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Of ``w`` words, in frames of the net, late by its lag. ``begun[0] <= over[0] <= begun[1] <= …``."""

    begun: Floats
    """``[w]`` expected time at which each word's first sound is told."""
    over: Floats
    """``[w]`` … at which its last sound is not told any more."""
    fit: float
    """How far these words are below what fits best, in nats a sound; 0 is perfect."""

    @property
    def joints(self) -> Floats:
        """``[w - 1]`` between neighbours: both sides err by themselves, their middle errs least."""
        return np.asarray((self.over[:-1] + self.begun[1:]) / 2, np.float64)


@dataclass(frozen=True, slots=True)
class _Chain:
    """``S`` states; sources and targets index ``[states | one that is never reached]``."""

    label: Ints
    """``[S]`` column of a frame's scores."""
    word: Ints
    """``[S]`` index of the word; -1 before the first."""
    behind: NDArray[np.bool_]
    """``[S]`` the blank behind a word."""
    sources: Ints
    """``[S, n]`` what a state is reached from, itself among them."""
    targets: Ints
    """``[S, m]`` what is reached from a state."""
    ends: Ints
    """States in which everything has been said."""


def align(logp: NDArray[np.floating], words: Sequence[Sequence[Sounds]]) -> Alignment:
    """``logp`` ``[frames, labels]`` of a clause; for each of its words the ways to say it, each of a sound or more.

    Raises ``CannotAlign`` where there are fewer frames than sounds.
    """
    chain, frames = _laid_out(logp, words)
    best = _fit(frames, words, chain)
    share = _shares(frames[:, chain.label] * FLATTEN, chain)
    time_in = np.zeros((2, len(words) + 1))  # frames before and in each word, and of those behind its last sound
    np.add.at(time_in[0], chain.word + 1, share)
    np.add.at(time_in[1], chain.word[chain.behind] + 1, share[chain.behind])
    passed = np.cumsum(time_in[0])
    over = np.maximum(passed[1:] - time_in[1, 1:], passed[:-1])
    return Alignment(begun=passed[:-1], over=over, fit=best)


def fit_of(logp: NDArray[np.floating], words: Sequence[Sequence[Sounds]]) -> float:
    """``Alignment.fit`` alone, for those who need no times. Raises as ``align``."""
    chain, frames = _laid_out(logp, words)
    return _fit(frames, words, chain)


def fits_of(logp: NDArray[np.floating], words: Sequence[Sequence[Sounds]]) -> list[float]:
    """``Alignment.fit`` of each word by itself, along the best path through all of them. Raises as ``align``."""
    chain, frames = _laid_out(logp, words)
    below = (frames - frames.max(axis=1, keepdims=True))[:, chain.label]
    now = _start(below[0], chain)
    ways = []
    for scores in below[1:]:
        among = now[chain.sources]
        way = among.argmax(axis=1)
        ways.append(chain.sources[np.arange(len(way)), way])
        now[:-1] = np.maximum(among.max(axis=1) + scores, NEVER)
    at = int(chain.ends[now[chain.ends].argmax()])
    if now[at] <= NEVER / 2:
        raise CannotAlign("fewer frames than sounds")
    lost = np.zeros(len(words) + 1)
    for time in range(len(below) - 1, -1, -1):
        # What is lost in a pause is lost to the word before it.
        lost[chain.word[at] + 1] += below[time, at]
        at = at if time == 0 else int(ways[time - 1][at])
    return [float(lost[index + 1]) / len(spoken[0]) for index, spoken in enumerate(words)]


def _laid_out(logp: NDArray[np.floating], words: Sequence[Sequence[Sounds]]) -> tuple[_Chain, Floats]:
    if not words or not all(ways and all(ways) for ways in words):
        raise CannotAlign("a word without sounds")
    if not len(logp):
        raise CannotAlign("no sound")
    return _chain(words), np.asarray(logp, np.float64)


def _fit(frames: Floats, words: Sequence[Sequence[Sounds]], chain: _Chain) -> float:
    best = _best(frames - frames.max(axis=1, keepdims=True), chain)
    if best <= NEVER / 2:
        raise CannotAlign("fewer frames than sounds")
    return best / sum(len(ways[0]) for ways in words)


def _chain(words: Sequence[Sequence[Sounds]]) -> _Chain:
    label, word, behind = [BLANK], [-1], [False]
    sources: list[list[int]] = [[]]
    before = [0]
    """States from which the next word begins."""

    def state(sound: int, index: int, reached_from: list[int], *, is_behind: bool = False) -> int:
        label.append(sound)
        word.append(index)
        behind.append(is_behind)
        sources.append(reached_from)
        return len(label) - 1

    for index, ways in enumerate(words):
        lasts = []
        for sounds in ways:
            at = state(sounds[0], index, [source for source in before if label[source] != sounds[0]])
            for sound in sounds[1:]:
                gap = state(BLANK, index, [at])
                at = state(sound, index, [gap] if label[at] == sound else [gap, at])
            lasts.append(at)
        before = [*lasts, state(BLANK, index, list(lasts), is_behind=True)]
    own = [[at, *among] for at, among in enumerate(sources)]
    onward: list[list[int]] = [[] for _ in label]
    for at, among in enumerate(own):
        for source in among:
            onward[source].append(at)
    return _Chain(
        np.array(label), np.array(word), np.array(behind), _padded(own), _padded(onward), np.array(before, np.int64)
    )


def _padded(lists: list[list[int]]) -> Ints:
    """One row a list; what is left points behind the last state."""
    out = np.full((len(lists), max(map(len, lists))), len(lists), np.int64)
    for row, found in enumerate(lists):
        out[row, : len(found)] = found
    return out


def _start(scores: Floats, chain: _Chain) -> Floats:
    """``[S + 1]`` of the first frame: silence or a first sound."""
    out = np.full(len(chain.label) + 1, NEVER)
    first = (chain.sources == 0).any(axis=1).nonzero()[0]
    out[first] = scores[first]
    return out


def _best(below: Floats, chain: _Chain) -> float:
    """Score of the best path, of ``below`` ``[frames, labels]``."""
    now = _start(below[0, chain.label], chain)
    for frame in below[1:]:
        now[:-1] = np.maximum(now[chain.sources].max(axis=1) + frame[chain.label], NEVER)
    return float(now[chain.ends].max())


def _shares(scores: Floats, chain: _Chain) -> Floats:
    """``[S]`` expected frames in each state over all paths (forward and backward); ``scores`` ``[frames, S]``."""
    count, states = scores.shape
    ahead = np.full((count, states + 1), NEVER)
    ahead[0] = _start(scores[0], chain)
    for at in range(1, count):
        ahead[at, :-1] = _log_sum(ahead[at - 1][chain.sources]) + scores[at]
    left = np.full(states + 1, NEVER)
    left[chain.ends] = 0.0
    total = float(np.logaddexp.reduce(ahead[-1][chain.ends]))
    shares = np.exp(ahead[-1] + left - total)
    onward = np.full(states + 1, NEVER)
    for at in range(count - 2, -1, -1):
        onward[:-1] = left[:-1] + scores[at + 1]
        left[:-1] = _log_sum(onward[chain.targets])
        shares += np.exp(ahead[at] + left - total)
    return np.asarray(shares[:-1], np.float64)


def _log_sum(scores: Floats) -> Floats:
    """Logarithm of the sum of exponentials of each row, never below ``NEVER``."""
    top = scores.max(axis=1)
    return np.asarray(np.maximum(top + np.log(np.exp(scores - top[:, None]).sum(axis=1)), NEVER), np.float64)
