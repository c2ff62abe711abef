"""Voices: words where the audio says them, and ways to change a voice that leave the words in place."""

from __future__ import annotations

import numpy as np
import pytest

from agent.errors import VoiceFailed
from agent.training.fold import Fold
from agent.training.voices.align import aligned
from agent.training.voices.program import Program
from agent.training.voices.roster import callers, catalogue, own, present, reference, synth
from agent.training.voices.spoken import Spoken, Word, active_rms, active_runs, at_level, trimmed
from agent.training.voices.synth import Cached, with_estimate
from agent.training.voices.warp import Warp, resampled, reshaped, stretched, warped

RATE = 8000


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def tone(hz: float, seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def loudest_hz(pcm: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(pcm * np.hanning(pcm.size))))) * RATE / pcm.size


def bursts() -> Spoken:
    """Two words of noise with silence around and between."""
    pcm = np.zeros(2 * RATE, np.float32)
    noise = 0.1 * rng().standard_normal(RATE).astype(np.float32)
    pcm[1600:4000], pcm[8000:12000] = noise[:2400], noise[:4000]
    return Spoken(pcm, (Word("one", 1600, 4000), Word("two", 8000, 12000)))


def test_resampling_moves_the_pitch_and_the_length() -> None:
    out = resampled(tone(300, 1), RATE * 10 // 12)
    assert abs(loudest_hz(out) - 360) < 3


def test_reshaping_by_nothing_changes_nothing() -> None:
    pcm = tone(440, 0.7)
    assert np.abs(reshaped(pcm, 1.0, 0.0, 0.0, rng()) - pcm)[256:-256].max() < 1e-5


def test_reshaping_moves_formants_and_leaves_the_pitch() -> None:
    time = np.arange(2 * RATE) / RATE
    weights = [(k, np.exp(-(((150 * k - 900) / 300) ** 2))) for k in range(1, 25)]
    voice = sum(w * np.sin(2 * np.pi * 150 * k * time) for k, w in weights)
    out = reshaped(np.asarray(0.05 * voice, np.float32), 1.25, 0.0, 0.0, rng())
    size = np.abs(np.fft.rfft(out * np.hanning(out.size)))
    at = np.arange(size.size) * RATE / out.size
    harmonics = [150 * k for k in range(1, 20)]
    strength = [size[np.abs(at - hz) < 5].max() for hz in harmonics]
    assert abs(harmonics[int(np.argmax(strength))] - 1125) <= 150
    between = [size[np.abs(at - hz - 75) < 5].max() for hz in harmonics[3:10]]
    assert max(between) < 0.2 * max(strength)


@pytest.mark.parametrize("factor", [0.7, 0.9, 1.2, 1.5])
def test_stretching_keeps_the_pitch(factor: float) -> None:
    out = stretched(tone(220, 1.5), factor)
    assert out.size == round(1.5 * RATE * factor)
    assert abs(loudest_hz(out) - 220) < 3


def test_a_changed_voice_has_its_words_where_its_sound_is() -> None:
    spoken = trimmed(bursts())
    out = warped(spoken, Warp(pitch=1.15, formant=1.1, tempo=0.8, tilt_db=-3, breath=0.05), rng())
    runs = active_runs(out.pcm)
    assert len(runs) == 2
    for word, (start, end) in zip(out.words, runs, strict=True):
        assert abs(word.start - start) < 240
        assert abs(word.end - end) < 240


def test_trimming_cuts_silence_and_moves_words() -> None:
    out = trimmed(bursts())
    assert abs(out.pcm.size - 10_400) <= 160
    assert abs(out.words[0].start) <= 80
    assert abs(out.words[1].start - 6400) <= 80


def test_silence_trims_to_nothing() -> None:
    assert trimmed(Spoken(np.zeros(RATE, np.float32), (Word("a", 0, 10),))).pcm.size == 0


def test_levels_are_set_over_the_active_part() -> None:
    assert abs(20 * np.log10(active_rms(at_level(bursts().pcm, -30.0))) + 30) < 0.1


@pytest.mark.parametrize("family", ["flite", "pico", "espeak", "festival"])
def test_a_synthesiser_says_words_at_its_times(family: str) -> None:
    names = [spec.name for spec in present() if spec.family == family and not spec.digits_only]
    if not names:
        pytest.skip(f"{family} is not on this host")
    said = synth(names[0]).say("one two three four", pace=1.1, pitch=1.05)
    assert [word.text for word in said.words] == ["one", "two", "three", "four"]
    assert 0.7 < said.seconds < 2.5
    assert said.exact is (family != "pico")
    assert said.words[-1].end <= said.pcm.size
    assert all(a.start < a.end <= b.start + 1 for a, b in zip(said.words, said.words[1:], strict=False))
    for word in said.words:
        assert active_rms(said.pcm[word.start : word.end]) > 0.3 * active_rms(said.pcm)


def test_the_cache_gives_the_same_samples_and_stays_small() -> None:
    class Counts:
        said = 0

        def say(self, text: str, *, pace: float = 1.0, pitch: float = 1.0, mark: str = ".") -> Spoken:
            self.said += 1
            return Spoken(tone(200, 1))

    counts = Counts()
    cache = Cached(counts, seconds=2.5)
    for text in ("a", "b", "a", "c", "b"):
        cache.say(text)
    assert counts.said == 4


def test_folds_share_no_voice() -> None:
    names = {fold: {spec.name for spec in catalogue() if fold.allows(spec.held_out)} for fold in Fold}
    assert not names[Fold.TRAIN] & names[Fold.VALID]
    assert names[Fold.TRAIN] | names[Fold.VALID] == names[Fold.ALL]
    assert callers(Fold.TRAIN)
    assert own()


def test_a_program_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(VoiceFailed, match="cannot be started"):
        Program(("/no/such/program",)).ask({"text": "x"})


def test_a_program_that_ends_is_a_clear_error() -> None:
    with pytest.raises(VoiceFailed, match="it ended"):
        Program(("true",)).ask({})


@pytest.mark.parametrize("name", ["flite:slt", "festival:kal", "espeak:en-us"])
def test_times_laid_along_another_voice_are_nearer_than_a_guess(name: str) -> None:
    guide = reference()
    if guide is None or name not in {spec.name for spec in present()}:
        pytest.skip("these voices are not on this host")
    guessed, laid = [], []
    for text in (
        "i would like to change my delivery to friday",
        "it is four seven two nine",
        "where is the other parcel",
    ):
        true = synth(name).say(text)
        guess = with_estimate(true.pcm, text.split())
        found = aligned(guess, guide.say(text))
        guessed += [abs(a.end - b.end) for a, b in zip(guess.words, true.words, strict=True)]
        laid += [abs(a.end - b.end) for a, b in zip(found.words, true.words, strict=True)]
    assert np.median(laid) < 0.5 * np.median(guessed)
    assert np.median(laid) < 8 * 35


def test_words_that_differ_are_left_as_they_were() -> None:
    spoken = with_estimate(tone(200, 1), ["one", "two", "three"])
    assert aligned(spoken, Spoken(tone(200, 1), (Word("one", 0, 8000),))) is spoken
