"""Forced alignment on made-up log-probabilities: words lie where they were put, in order, inside the clause."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.model.small.words_align import CannotAlign, align
from agent.model.small.words_phones import LABELS, Sounds, pronunciations

WORDS = ("your", "parcel", "is", "six", "seven", "tomato", "here")
Frames = NDArray[np.float32]


def spikes(said: list[tuple[int, Sounds]], frames: int, sure: float = 0.9) -> Frames:
    """A net's output: for each word the frame of its first sound, its sounds two frames apart."""
    out = np.full((frames, LABELS), (1 - sure) / (LABELS - 1), np.float32)
    out[:, 0] = sure
    for first, sounds in said:
        for at, sound in enumerate(sounds):
            out[first + 2 * at, 0] = (1 - sure) / (LABELS - 1)
            out[first + 2 * at, sound] = sure
    return np.log(out)


def test_words_lie_at_their_sounds_and_a_pause_between_them() -> None:
    parcel, here = pronunciations("parcel")[0], pronunciations("here")[0]
    last = 5 + 2 * (len(parcel) - 1)
    found = align(spikes([(5, parcel), (40, here)], 60, sure=0.98), [(parcel,), (here,)])
    assert found.begun == pytest.approx([5, 40], abs=1)
    assert found.over[0] == pytest.approx(last + 1, abs=1)
    assert found.joints[0] == pytest.approx((last + 41) / 2, abs=1)
    assert found.fit > -0.1


def test_the_way_that_was_said_is_found_among_others() -> None:
    first, second = pronunciations("tomato")[:2]
    here = pronunciations("here")[0]
    logp = spikes([(3, second), (30, here)], 50)
    assert align(logp, [(first, second), (here,)]).fit > align(logp, [(first,), (here,)]).fit + 0.2


def test_other_words_fit_badly() -> None:
    parcel, here, tomato = (pronunciations(word)[:1] for word in ("parcel", "here", "tomato"))
    logp = spikes([(5, parcel[0]), (40, here[0])], 60)
    assert align(logp, [here, tomato]).fit < -2.5 < align(logp, [parcel, here]).fit


@pytest.mark.parametrize(
    ("frames", "words"),
    [(3, ["parcel"]), (0, ["is"]), (9, [])],
)
def test_what_cannot_be_aligned_is_refused(frames: int, words: list[str]) -> None:
    with pytest.raises(CannotAlign):
        align(np.zeros((frames, LABELS), np.float32), [pronunciations(word) for word in words])


def test_a_word_without_sounds_is_refused() -> None:
    with pytest.raises(CannotAlign, match="without sounds"):
        align(np.zeros((9, LABELS), np.float32), [((),)])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5), st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_whatever_is_heard_words_come_in_order_inside_the_clause(words: list[str], seed: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    ways = [pronunciations(word) for word in words]
    frames = 2 * sum(max(map(len, found)) for found in ways) + more
    logits = rng.normal(0, 4, (frames, LABELS))
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found = align(logp, ways)
    edges = np.stack((found.begun, found.over), axis=1).ravel()
    assert np.all(np.diff(edges) >= -1e-6)
    assert edges[0] >= 0
    assert edges[-1] <= frames + 1e-6
    assert np.isfinite(found.fit)
    assert found.fit <= 0
