"""Conditions of trials: one thing is changed, by seed, and the comparison counts the same sayings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.brain.flow.load import load_dialogue
from agent.expectation import Expect, ExpectKind
from agent.model.parts.recogniser import Mode
from agent.scheduler.floor.profile import FloorProfile
from agent.simulator.energy import levels
from agent.training.errors import TrainingError
from agent.training.words_compare import Judged, compared, comparison, scores_of
from agent.training.words_conditions import Condition, echoed, noisy, own_lines, through_the_network, under
from agent.training.words_evaluate import some
from agent.training.words_trials import LEVEL_DB, Trial, load
from telephony.audio.g711 import ulaw_decode, ulaw_encode

PARCEL = Path(__file__).parents[4] / "deploy/examples/parcel/parcel.yaml"


def sound(seconds: float, level_db: float = LEVEL_DB, seed: int = 1) -> np.ndarray:
    """Noise as it left a telephone."""
    made = np.random.default_rng(seed).normal(0, 32768 * 10 ** (level_db / 20), round(seconds * 8000))
    return ulaw_decode(ulaw_encode(np.clip(made, -32768, 32767).astype(np.int16)))


def trial(group: str = "digit/fsdd_theo clean", truth: str = "5") -> Trial:
    expect = Expect(kind=ExpectKind.DIGITS, digits=1)
    return Trial(group=group, expect=expect, pcm=sound(1.0), truth=truth, said="five")


def level_db(pcm: np.ndarray) -> float:
    return float(np.mean(levels(pcm)))


def test_a_network_without_faults_changes_nothing_but_the_delay() -> None:
    pcm = sound(1.5)
    heard = through_the_network(pcm, 7, loss=0.0, jitter_ms=0.0)
    at = int(np.argmax(np.correlate(heard[:8000].astype(float), pcm[:2000].astype(float), "valid")))
    assert 0 <= at <= 8 * 160
    assert np.array_equal(heard[at : at + pcm.size], pcm)


def test_a_lossy_network_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    pcm = sound(3.0)
    one = through_the_network(pcm, 3, loss=0.1)
    assert np.array_equal(one, through_the_network(pcm, 3, loss=0.1))
    assert not np.array_equal(one, through_the_network(pcm, 4, loss=0.1))


def test_our_voice_comes_back_as_loud_as_was_said() -> None:
    own = sound(5.0, level_db=-20.0)
    back = echoed(np.zeros(8000, np.int16), own, -20.0, np.random.default_rng(1))
    assert level_db(back) == pytest.approx(-40.0, abs=0.5)


def test_our_voice_is_turned_down_in_the_middle_of_the_saying() -> None:
    own, quiet = sound(5.0, level_db=-20.0), np.zeros(16000, np.int16)
    back = echoed(quiet, own, -20.0, np.random.default_rng(1), is_ducked=True)
    assert level_db(back[:4800]) == pytest.approx(-40.0, abs=0.5)
    assert level_db(back[5600:]) == pytest.approx(-40.0 + FloorProfile().duck_db, abs=1.0)


def test_noise_lies_ten_decibels_under_the_caller() -> None:
    quiet = noisy(np.zeros(16000, np.int16), np.random.default_rng(1))
    assert level_db(quiet) == pytest.approx(LEVEL_DB - 10.0, abs=1.5)


def test_each_clean_trial_is_tried_under_each_condition_and_others_under_none() -> None:
    wanted = [Condition.CLEAN, Condition.NOISE, Condition.LOSS]
    made = list(under([trial(), trial("digit/fsdd_theo 10 dB")], wanted, PARCEL, seed=5))
    assert [one.group.rpartition(" ")[2] for one in made] == ["clean", "noise10", "loss2_jitter30"]
    assert {one.mode for one in made} == {Mode.ANSWER}
    again = list(under([trial(), trial("digit/fsdd_theo 10 dB")], wanted[::-1], PARCEL, seed=5))[::-1]
    assert all(np.array_equal(one.pcm, other.pcm) for one, other in zip(made, again, strict=True))


def test_what_is_said_over_our_voice_is_heard_as_such() -> None:
    (made,) = under([trial()], [Condition.OVER], PARCEL, seed=5)
    assert made.mode is Mode.OVERLAP
    assert np.array_equal(made.pcm, trial().pcm)


def test_own_lines_are_said_as_they_stand() -> None:
    lines = own_lines(load_dialogue(PARCEL))
    assert "How can I help you?" in lines
    assert not [line for line in lines if "{" in line]


def test_the_comparison_counts_the_same_sayings() -> None:
    clean = [Judged("digit/a clean", "1", "1"), Judged("digit/a clean", "2", ""), Judged("digit/b clean", "3", "3")]
    echo = [Judged("digit/a echo20", "1", ""), Judged("digit/a echo20", "2", "2"), Judged("digit/b echo20", "3", "4")]
    found = compared([*clean, *echo])["digit, people"]
    assert list(found) == ["clean", "echo20"]
    assert (found["echo20"]["errors"], found["echo20"]["ratio"]) == (2, 2.0)
    assert (found["echo20"]["worse"], found["echo20"]["better"]) == (2, 1)
    assert found["clean"]["ratio"] == 1.0
    assert "echo20" in comparison({"digit, people": found})


def test_other_sayings_are_not_compared() -> None:
    clean, noisy_ = [Judged("digit/synthetic clean", "1", "1")], [Judged("digit/synthetic 10 dB", "2", "2")]
    assert compared([*clean, *noisy_]) == {}
    assert compared(clean) == {}
    assert comparison({}) == ""


def test_scores_carry_intervals() -> None:
    score = scores_of([Judged("digit/a clean", "1", "2"), Judged("digit/a clean", "1", "")])["digit/a clean"]
    told = score.to_json()
    assert (told["n"], told["wrong"], told["again"]) == (2, 1, 1)
    assert told["wrong_interval"][0] < 0.5 < told["wrong_interval"][1]


def test_a_file_without_trials_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.npz").write_bytes(b"no trials")
    for name in ("absent.npz", "other.npz"):
        with pytest.raises(TrainingError, match=name):
            load(tmp_path / name)


def test_some_of_each_group_are_spread_over_it() -> None:
    trials = [trial(truth=str(number)) for number in range(10)]
    assert [one.truth for one in some(trials, 3)] == ["0", "4", "8"]
    assert len(some(trials, 0)) == 10
