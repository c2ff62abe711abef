from __future__ import annotations

import numpy as np
import pytest

from agent.simulator.energy import Span, active_frames, agent_spans, levels, merged, segments, stem_spans


def tone(seconds: float, amplitude: float) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 8000)) / 8000)).astype(np.int16)


def test_level_of_a_full_scale_sine_is_minus_three_decibels() -> None:
    assert levels(tone(0.1, 32767))[3] == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("..##..", []),
        ("..###...", [(2, 5)]),
        ("..###..##...", [(2, 9)]),
        ("..##.###....", [(5, 8)]),
        ("###...###", [(0, 3), (6, 9)]),
    ],
)
def test_three_frames_make_an_onset_and_three_an_offset(pattern: str, found: list[tuple[int, int]]) -> None:
    assert active_frames(np.array([mark == "#" for mark in pattern])) == found


def test_the_agents_threshold_is_fixed() -> None:
    quiet, loud = tone(0.2, 32768 * 10 ** (-46 / 20) * 2**0.5), tone(0.2, 32768 * 10 ** (-44 / 20) * 2**0.5)
    assert agent_spans(quiet) == []
    assert len(agent_spans(loud)) == 1


def test_the_callers_threshold_follows_the_utterance() -> None:
    """A sound 35 dB under the utterance is not its speech, however audible it would be alone."""
    stem = np.concatenate([tone(1.0, 16000), np.zeros(4000, np.int16), tone(0.02 * 10, 16000 * 10 ** (-35 / 20))])
    assert stem_spans(stem) == [Span(0.0, 1.0)]


def test_gaps_under_300_ms_are_merged_and_short_segments_dropped() -> None:
    spans = [Span(0.0, 0.5), Span(0.79, 1.0), Span(1.3, 1.5), Span(3.0, 3.05)]
    assert segments(spans) == [Span(0.0, 1.0), Span(1.3, 1.5)]
    assert merged(spans, 0.5) == [Span(0.0, 1.5), Span(3.0, 3.05)]
