"""The energy rule: where a channel is active. One definition for callers, timelines and benchmarks.

8 kHz PCM16 in frames of 10 ms, level L = 20·log10(rms / 32768). Onset: start of the first of at least three active
frames in a row. Offset: end of the last active frame before at least three inactive ones. The agent's channel is
active from −45 dBFS; the caller's clean stem from max(−55, P95 of the utterance's levels − 30).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000
FRAME_SAMPLES = 80
FRAME_S = FRAME_SAMPLES / RATE_HZ
HOLD_FRAMES = 3
AGENT_ACTIVE_DBFS = -45.0
STEM_FLOOR_DBFS = -55.0
STEM_RANGE_DB = 30.0
SILENCE_DBFS = -120.0
MERGE_GAP_S = 0.3
SHORTEST_SEGMENT_S = 0.06

Pcm = NDArray[np.int16]
Levels = NDArray[np.float64]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of time in seconds, from the start of the recording."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start

    def overlap(self, other: Span) -> float:
        """Seconds that both share."""
        return max(0.0, min(self.end, other.end) - max(self.start, other.start))


def levels(pcm: Pcm) -> Levels:
    """``pcm``: (samples,) int16 → (frames,) float64 in dBFS; a last, partial frame is padded with zeros."""
    frames = -(-len(pcm) // FRAME_SAMPLES)
    padded = np.zeros(frames * FRAME_SAMPLES, np.float64)
    padded[: len(pcm)] = pcm
    power = np.mean(np.square(padded.reshape(frames, FRAME_SAMPLES) / 32768.0), axis=1)
    return np.asarray(10.0 * np.log10(np.maximum(power, 10 ** (SILENCE_DBFS / 10))), np.float64)


def runs(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open index ranges of the true stretches of ``active``."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], active.astype(np.int8), [0]))))
    return list(zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True))


def active_frames(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Frame ranges [onset, offset) by the three-frame rule; ``active`` says which frames reach the threshold."""
    found: list[tuple[int, int]] = []
    closed: list[list[tuple[int, int]]] = []
    for run in runs(active):
        if closed and run[0] - closed[-1][-1][1] < HOLD_FRAMES:
            closed[-1].append(run)
        else:
            closed.append([run])
    for parts in closed:
        onset = next((start for start, end in parts if end - start >= HOLD_FRAMES), None)
        if onset is not None:
            found.append((onset, parts[-1][1]))
    return found


def stem_threshold(stem_levels: Levels) -> float:
    """The caller's threshold for one utterance, from the levels of its clean stem."""
    if not len(stem_levels):
        return STEM_FLOOR_DBFS
    return max(STEM_FLOOR_DBFS, float(np.percentile(stem_levels, 95)) - STEM_RANGE_DB)


def stem_spans(pcm: Pcm) -> list[Span]:
    """Active spans of one utterance's clean stem, from its first sample."""
    found = levels(pcm)
    return _spans(active_frames(found >= stem_threshold(found)))


def agent_spans(pcm: Pcm) -> list[Span]:
    """Active spans of the agent's channel before gaps are merged."""
    return _spans(active_frames(levels(pcm) >= AGENT_ACTIVE_DBFS))


def merged(spans: list[Span], gap_s: float) -> list[Span]:
    """Spans whose gaps are shorter than ``gap_s`` joined. ``spans`` are in order."""
    joined: list[Span] = []
    for span in spans:
        # A microsecond of slack: gaps are differences of floats, and the rule says "shorter than".
        if joined and span.start - joined[-1].end < gap_s - 1e-6:
            joined[-1] = Span(joined[-1].start, max(span.end, joined[-1].end))
        else:
            joined.append(span)
    return joined


def segments(spans: list[Span]) -> list[Span]:
    """Agent segments: gaps under 300 ms merged, then what is shorter than 60 ms dropped."""
    return [span for span in merged(spans, MERGE_GAP_S) if span.length >= SHORTEST_SEGMENT_S - 1e-6]


def agent_onsets(pcm: Pcm) -> list[float]:
    """Where the agent's segments begin, in seconds."""
    return [segment.start for segment in segments(agent_spans(pcm))]


def _spans(found: list[tuple[int, int]]) -> list[Span]:
    return [Span(start * FRAME_S, end * FRAME_S) for start, end in found]
