"""Audio of a stream to frames: bursts, stalls, gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from telephony.stream_playout import FRAME_MS, MAX_MS, START_MS, StreamPlayout

FRAME = 160


def tone(frames: int, level: int = 4000) -> NDArray[np.int16]:
    return np.full(frames * FRAME, level, np.int16)


def numbered(first: int, frames: int) -> NDArray[np.int16]:
    return np.repeat(np.arange(first, first + frames, dtype=np.int16) + 1000, FRAME)


def test_even_stream_comes_out_whole_and_in_order_after_the_start_delay() -> None:
    playout, heard = StreamPlayout(), []
    for n in range(50):
        playout.push(numbered(n, 1))
        frame, made_up = playout.pop()
        assert not made_up
        heard.append(int(frame[0]))
    wait = START_MS // FRAME_MS - 1
    assert heard[wait:] == [1000 + n for n in range(50 - wait)]


def test_bursts_of_140_ms_settle_without_gaps() -> None:
    playout, made_up_late = StreamPlayout(), 0
    for tick in range(700):
        if tick % 7 == 0:
            playout.push(tone(7))
        _, made_up = playout.pop()
        made_up_late += made_up and tick > 70
    assert made_up_late == 0
    assert playout.dropped == 0


def test_gap_is_concealed_and_falls_silent() -> None:
    playout = StreamPlayout()
    playout.push(tone(3))
    for _ in range(3):
        playout.pop()
    frames = [playout.pop() for _ in range(60)]
    assert frames[0][1]
    assert 0 < frames[0][0][0] < 4000
    assert not frames[5][0].any()
    assert not frames[-1][1], "a source that stopped long ago is no loss"


def test_what_piles_up_in_a_stall_is_dropped_down_to_the_usual() -> None:
    playout = StreamPlayout()
    for n in range(20):
        playout.push(numbered(n, 1))
        playout.pop()
    for _ in range(25):
        playout.pop()
    for n in range(20, 46):  # half a second at once
        playout.push(numbered(n, 1))
    assert int(playout.pop()[0][0]) >= 1000 + 40, "the newest is kept"
    assert playout.level_ms <= START_MS + 20


def test_delay_that_is_not_needed_goes_in_silence() -> None:
    playout = StreamPlayout()
    playout.push(tone(8, level=0))
    for _ in range(400):
        playout.push(tone(1, level=0))
        playout.pop()
    assert playout.level_ms <= 60


def test_level_never_exceeds_the_limit() -> None:
    playout, rng = StreamPlayout(), np.random.default_rng(3)
    for _ in range(3000):
        if rng.random() < 0.3:
            playout.push(np.zeros(int(rng.integers(0, 9000)), np.int16))
        if rng.random() < 0.6:
            playout.pop()
        assert 0 <= playout.level_ms <= 1000
    playout.pop()
    assert playout.level_ms <= MAX_MS
