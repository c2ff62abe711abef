"""Labels against audio: what is labelled as speech sounds, what is not is silent; and the mix is what was asked for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from agent.training.conversation.labels import FRAME, NOT_ASKED, Overlap, Sound
from agent.training.conversation.maker import make_conversation
from agent.training.conversation.overlaps import KINDS, plan
from agent.training.conversation.pauses import silence
from agent.training.report import distance
from tests.unit.agent.training.kit import conversation, conversations, material

COUNT = 6


def frame_rms(pcm: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(np.square(pcm.reshape(-1, FRAME).astype(np.float64)), axis=1))


@pytest.mark.parametrize("index", range(COUNT))
def test_speech_is_labelled_where_the_caller_s_clean_track_sounds(index: int) -> None:
    found = conversation(index)
    rms = frame_rms(found.tracks["caller"])
    tics = (found.labels.sound & Sound.TIC) > 0
    spoken = found.labels.speech == 1
    if spoken.any():
        assert np.mean(rms[spoken] > 10 ** (-58 / 20)) > 0.93
    silent = ~spoken & ~tics
    edge = np.convolve(spoken | tics, np.ones(3), "same") > 0
    # The energy rule leaves out a lone burst, such as the p behind the closure of "stop".
    assert np.mean(rms[silent & ~edge] < 10 ** (-52 / 20)) > 0.99


@pytest.mark.parametrize("index", range(COUNT))
def test_own_is_labelled_where_our_voice_sounds(index: int) -> None:
    found = conversation(index)
    rms = frame_rms(found.tracks["own"])
    own = found.labels.own == 1
    edge = np.convolve(own, np.ones(3), "same") > 0
    assert np.all(rms[~edge] < 10 ** (-50 / 20))
    assert not own.any() or np.mean(rms[own] > 10 ** (-62 / 20)) > 0.9


@pytest.mark.parametrize("index", range(COUNT))
def test_a_turn_is_over_where_nothing_of_the_caller_follows_before_we_speak(index: int) -> None:
    found = conversation(index)
    for turn in found.script.turns:
        if not turn.finished:
            continue
        reply = min((start for start, _ in found.script.own_intended if start >= turn.end), default=len(found.line.own))
        others = [t.start for t in found.script.turns if t.start >= turn.end]
        over = found.labels.end[turn.end // FRAME + 3 : min([reply, *others, turn.end + 16_000]) // FRAME]
        covered = any(start < turn.end + 960 and stop > turn.end for start, stop in found.script.own_intended)
        assert covered or set(over.tolist()) <= {1}
        inside = found.labels.end[turn.start // FRAME + 1 : turn.end // FRAME]
        assert 1 not in inside.tolist()


def test_words_lie_in_turns_and_sound() -> None:
    for found in conversations(COUNT):
        rms = frame_rms(found.tracks["caller"])
        for word in found.script.words:
            assert any(turn.start - 720 <= word.start < word.end <= turn.end + 720 for turn in found.script.turns)
            if word.exact and word.end - word.start > 3 * FRAME:
                assert rms[word.start // FRAME : -(-word.end // FRAME)].max() > 10 ** (-45 / 20)


def test_the_echo_on_the_line_is_our_voice_at_its_delay() -> None:
    checked = 0
    for found in conversations(COUNT):
        condition = found.condition
        if condition.echo_db is None or condition.room_s > 0.3 or not found.line.echo.any():
            continue
        own, echo = found.tracks["own"].astype(np.float64), found.line.echo.astype(np.float64)
        size = 1 << (2 * own.size - 1).bit_length()
        match = np.fft.irfft(np.conj(np.fft.rfft(own, size)) * np.fft.rfft(echo, size))
        lag = int(np.argmax(np.abs(match[: FRAME * 16])))
        assert abs(lag - condition.echo_ms * 8 - 32) < 60  # the handset's filter is 64 taps long
        level = 20 * np.log10(np.sqrt(np.mean(echo**2)) / np.sqrt(np.mean(own**2)))
        assert abs(level - condition.echo_db) < 1
        checked += 1
    assert checked


def test_noise_is_as_strong_as_the_condition_says() -> None:
    checked = 0
    for found in conversations(COUNT):
        condition, sound = found.condition, found.labels.sound
        quiet = sound == 0
        spoken = sound == Sound.SPEECH
        if (
            condition.snr_db is None
            or condition.gain_swing_db
            or condition.clipped
            or quiet.sum() < 20
            or spoken.sum() < 20
        ):
            continue
        rms = frame_rms(found.line.caller)
        ratio = 20 * np.log10(np.percentile(rms[spoken], 70) / (np.sqrt(np.mean(rms[quiet] ** 2)) + 1e-9))
        assert condition.snr_db - 9 < ratio < condition.snr_db + 14
        checked += 1
    assert checked


def test_pauses_and_answers_come_from_one_distribution() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([silence(rng) for _ in range(4000)]) / 8000
    assert drawn.min() >= 0.2
    assert 0.5 < np.median(drawn) < 0.65
    assert distance(drawn[:2000].tolist(), drawn[2000:].tolist()) < 0.05


def test_events_fall_at_all_points_of_what_we_say() -> None:
    rng = np.random.default_rng(0)
    planned = [event for _ in range(600) for event in plan(64_000, rng)]
    counts = Counter(event.kind for event in planned)
    assert all(counts[kind] > 60 for kind, _ in KINDS)
    takes = np.array([event.offset for event in planned if event.kind is Overlap.TAKES]) / 64_000
    assert takes.min() < 0.15
    assert takes.max() > 0.85


def test_everything_happens_in_a_few_minutes() -> None:
    kinds = {event.kind for found in conversations(COUNT) for event in found.script.events}
    assert len(kinds) >= 4
    ends = np.concatenate([found.labels.end for found in conversations(COUNT)])
    assert {0, 1, NOT_ASKED} == {*ends.tolist()}
    asked = np.concatenate([found.labels.overlap for found in conversations(COUNT)])
    assert Overlap.NONE in asked
    assert NOT_ASKED in asked


def test_the_same_seed_and_number_give_the_same_conversation() -> None:
    first, again = conversation(3), make_conversation(material(), 11, 3)
    assert first.condition == again.condition
    for name, code in (("end", first.labels.end), ("overlap", first.labels.overlap), ("speech", first.labels.speech)):
        assert np.array_equal(code, getattr(again.labels, name))
    assert [turn.text for turn in first.script.turns] == [turn.text for turn in again.script.turns]
    assert conversation(4).condition != first.condition


def test_neither_channel_is_out_of_range_or_dead() -> None:
    for found in conversations(COUNT):
        for pcm in (found.line.caller, found.line.own):
            assert np.isfinite(pcm).all()
            assert np.abs(pcm).max() <= 1.0
        assert found.line.caller.any()


def test_an_echo_is_labelled_where_it_can_be_heard() -> None:
    for found in conversations(COUNT):
        rms = frame_rms(found.line.echo)
        marked = (found.labels.sound & Sound.ECHO) > 0
        edge = np.convolve(marked, np.ones(3), "same") > 0
        assert np.mean(rms[~edge] < 10 ** ((found.line.floor_db + 6) / 20)) > 0.99
        assert not marked.any() or np.mean(rms[marked] > 10 ** ((found.line.floor_db - 10) / 20)) > 0.9
