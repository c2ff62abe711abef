"""Playout in virtual time: a wire that delays, loses and reorders, and ticks of 20 ms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest

from telephony.audio import g711
from telephony.rtp.playout import Arrivals, Playout, PlayoutLimits

START_MS = 1000.0
SILENCE = np.full(160, 0xFF, np.uint8)


@dataclass(frozen=True)
class Sent:
    arrives_ms: float
    number: int
    """Of its 20 ms."""
    sequence: int = -1
    timestamp: int = -1
    ssrc: int = 9
    size: int = 160


@dataclass
class Heard:
    delays_ms: list[float] = field(default_factory=list)
    missing: list[bool] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)

    def delay_at(self, seconds: float) -> float:
        return self.delays_ms[int(seconds * 50)]


def voice(number: int) -> np.ndarray:
    """Loud audio that tells its number."""
    return np.full(160, 20 + number % 60, np.uint8)


def play(
    sent: Iterable[Sent],
    seconds: float,
    *,
    audio: Callable[[int], np.ndarray] = voice,
    stopped_ms: tuple[float, float] = (0.0, 0.0),
) -> tuple[Playout, Heard]:
    """Run one leg. ``stopped_ms``: our process does not run between these times."""
    playout, heard = Playout(1, PlayoutLimits()), Heard()
    playout.open(0, alaw=False)
    waiting = sorted(sent, key=lambda one: one.arrives_ms)
    for tick in range(int(seconds * 50)):
        now = START_MS + tick * 20
        if stopped_ms[0] <= tick * 20 < stopped_ms[1]:
            playout.advance(1, 1)
        else:
            while waiting and START_MS + waiting[0].arrives_ms <= now:
                receive(playout, waiting.pop(0), now, audio)
            pcm, missing = playout.select(1, now)
            heard.frames.append(pcm[0].copy())
            heard.missing.append(bool(missing[0]))
        heard.delays_ms.append(float(playout.delay_ms[0]))
    return playout, heard


def receive(playout: Playout, one: Sent, now: float, audio: Callable[[int], np.ndarray]) -> None:
    sequence = one.number if one.sequence < 0 else one.sequence
    timestamp = one.number * 160 if one.timestamp < 0 else one.timestamp
    payload = np.resize(audio(one.number), one.size)[None]
    arrivals = Arrivals(
        rows=np.array([0]),
        sequence=np.array([sequence % 65536]),
        timestamp=np.array([timestamp % 2**32]),
        ssrc=np.array([one.ssrc]),
        age_ms=np.array([now - START_MS - one.arrives_ms]),
        size=np.array([one.size]),
        payload=payload,
    )
    playout.receive(arrivals, now)


def steady(count: int, *, offset_ms: float = 7.0) -> list[Sent]:
    return [Sent(offset_ms + 20 * n, n) for n in range(count)]


def test_a_steady_peer_is_played_whole_at_the_smallest_delay() -> None:
    playout, heard = play(steady(500), 10.0)
    assert heard.delay_at(2.0) <= 30.0
    assert heard.delays_ms[-1] == pytest.approx(heard.delay_at(2.0))
    assert playout.concealed[0] == playout.late[0] == playout.lost(0) == 0


def test_frames_come_out_as_they_were_sent() -> None:
    _, heard = play(steady(200), 3.0)
    numbers = [g711.ulaw_encode(frame)[79] for frame in heard.frames[60:120]]
    steps = np.diff([(int(number) - 20) % 60 for number in numbers]) % 60
    assert set(steps.tolist()) == {1}


def test_after_a_stop_of_our_process_the_delay_is_what_it_was() -> None:
    playout, heard = play(steady(500), 10.0, stopped_ms=(4000, 4300))
    assert heard.delay_at(4.4) <= 30.0
    assert playout.late[0] == 0, "packets that waited for us were not late"


@pytest.mark.parametrize("has_silence", [True, False])
def test_after_a_stall_of_the_network_the_delay_is_under_40_ms_within_2_s(has_silence: bool) -> None:
    sent = [Sent(max(one.arrives_ms, 4300.0) if one.arrives_ms > 4000 else one.arrives_ms, one.number)
            for one in steady(500)]  # fmt: skip
    talk = (lambda number: SILENCE if number % 100 < 40 else voice(number)) if has_silence else voice
    _, heard = play(sent, 10.0, audio=talk)
    assert max(heard.delays_ms[215:]) > 40.0, "the stall has made itself felt"
    assert max(heard.delays_ms[315:]) < 40.0


def test_five_percent_loss_and_40_ms_jitter_stay_under_150_ms_and_do_not_grow() -> None:
    rng = np.random.default_rng(5)
    sent = [Sent(one.arrives_ms + rng.uniform(0, 40), one.number) for one in steady(3000) if rng.random() > 0.05]
    playout, heard = play(sent, 59.0)
    delays = np.array(heard.delays_ms[100:])
    assert delays.max() < 150.0
    assert abs(np.median(delays[:900]) - np.median(delays[-900:])) < 10.0
    assert playout.late[0] < 15, "the delay covers the jitter"
    assert playout.lost(0) == pytest.approx(150, abs=40)


def test_after_a_burst_of_jitter_the_delay_is_back_within_2_s() -> None:
    rng = np.random.default_rng(6)
    sent = [Sent(one.arrives_ms + (rng.uniform(0, 60) if 4000 < one.arrives_ms < 8000 else 0), one.number)
            for one in steady(700)]  # fmt: skip
    _, heard = play(sent, 13.0)
    assert max(heard.delays_ms[250:400]) > 40.0
    assert max(heard.delays_ms[505:]) < 40.0


@pytest.mark.parametrize("ppm", [-1000, 1000])
def test_clock_drift_is_taken_up_a_frame_at_a_time(ppm: int) -> None:
    """100 s at 1000 ppm: as much as 17 minutes at the 100 ppm of a bad clock."""
    sent = [Sent(7 + 20 * n * (1 + ppm * 1e-6), n) for n in range(5010)]
    playout, heard = play(sent, 99.0)
    assert min(heard.delays_ms[100:]) >= 0.0
    assert max(heard.delays_ms[100:]) <= 42.0
    assert playout.concealed[0] + playout.skipped[0] + playout.late[0] < 20


def test_reordered_packets_are_put_in_order_and_nothing_is_concealed() -> None:
    order = steady(300)
    for n in range(50, 290, 10):
        order[n], order[n + 1] = (Sent(order[n + 1].arrives_ms, n), Sent(order[n].arrives_ms, n + 1))
    playout, heard = play(order, 6.0)
    assert playout.lost(0) == 0
    assert sum(heard.missing[60:]) <= 1, "at most the first one came as a surprise"


def test_duplicates_are_counted_and_change_nothing() -> None:
    sent = steady(200)
    doubled = sent + [Sent(one.arrives_ms + 1, one.number) for one in sent]
    playout, heard = play(doubled, 4.2)
    plain, expected = play(sent, 4.2)
    assert playout.duplicate[0] == 200
    np.testing.assert_array_equal(heard.frames[50:], expected.frames[50:])
    assert plain.duplicate[0] == 0


def test_a_lost_packet_is_concealed_once() -> None:
    playout, heard = play([one for one in steady(200) if one.number != 100], 4.0)
    assert 1 <= playout.concealed[0] <= 2, "its 20 ms may lie across two of our frames"
    assert 1 <= sum(heard.missing[10:190]) <= 2
    assert playout.lost(0) == 1


def test_a_new_ssrc_is_a_new_source_and_playing_goes_on() -> None:
    sent = steady(100) + [
        Sent(7 + 20 * n, n, sequence=5 + n, timestamp=999_000 + 160 * n, ssrc=77) for n in range(100, 200)
    ]
    playout, heard = play(sent, 4.0)
    assert playout.lost(0) == 0
    assert sum(heard.missing[60:190]) <= 2
    assert heard.delays_ms[-5] <= 40.0


def test_a_jump_of_the_timestamp_does_not_silence_the_leg() -> None:
    sent = steady(100) + [Sent(7 + 20 * n, n, timestamp=160 * n + 12_345_678) for n in range(100, 200)]
    _, heard = play(sent, 4.0)
    assert sum(heard.missing[60:190]) <= 2


@pytest.mark.parametrize("ptime_ms", [10, 30, 40, 60])
def test_other_packet_times_are_reframed_to_20_ms(ptime_ms: int) -> None:
    samples = ptime_ms * 8
    count = 6000 // ptime_ms
    sent = [Sent(7 + ptime_ms * n, n, timestamp=samples * n, size=samples) for n in range(count)]
    playout, heard = play(sent, 5.5)
    assert playout.lost(0) == playout.late[0] == 0 or ptime_ms > 20
    assert sum(heard.missing[100:270]) == 0
    assert heard.delays_ms[-1] <= 100.0


def test_silence_that_the_peer_has_announced_is_not_loss() -> None:
    playout = Playout(1, PlayoutLimits())
    playout.open(0, alaw=False)
    for n in range(50):
        now = START_MS + 20 * n
        if n < 25:
            receive(playout, Sent(20.0 * n - 5, n), now, voice)
        playout.quiet[0] |= n == 25
        pcm, missing = playout.select(1, now)
    assert not missing[0]
    assert not pcm[0].any()
    assert playout.concealed[0] == 0


def test_rows_do_not_touch_each_other() -> None:
    both = Playout(2, PlayoutLimits())
    alone = Playout(1, PlayoutLimits())
    for playout in (both, alone):
        for row in range(len(playout.alaw)):
            playout.open(row, alaw=False)
    rng = np.random.default_rng(8)
    for n in range(100):
        now = START_MS + 20 * n
        receive(both, Sent(20.0 * n - 3, n), now, voice)
        receive(alone, Sent(20.0 * n - 3, n), now, voice)
        for _ in range(rng.integers(0, 3)):
            noise = Arrivals(
                rows=np.array([1]), sequence=rng.integers(0, 65536, 1), timestamp=rng.integers(0, 2**32, 1),
                ssrc=rng.integers(1, 4, 1), age_ms=rng.uniform(0, 50, 1), size=np.array([160]),
                payload=rng.integers(0, 256, (1, 160)).astype(np.uint8),
            )  # fmt: skip
            both.receive(noise, now)
        pcm_both, _ = both.select(2, now)
        pcm_alone, _ = alone.select(1, now)
        np.testing.assert_array_equal(pcm_both[0], pcm_alone[0])
