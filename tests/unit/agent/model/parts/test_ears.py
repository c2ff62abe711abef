"""The whole model with a scripted recogniser: turns, words, masks, resets, snapshots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import Expect, ExpectKind
from agent.model.parts.ears import LATE_MS, LATE_WAIT_MS, REOPEN_MS, STEP_SAMPLES, Ears, build, silent_input
from agent.model.parts.recogniser import Hypothesis, Mode, NoRecogniser
from agent.model.parts.silero import open_session
from agent.model.protocol import Persona, StepOutput
from agent.scheduler.floor.profile import FloorProfile
from tests.unit.agent.model.parts.test_vad import padded

SESSION = open_session()


class Scripted:
    """Gives the words put into ``next`` at the next poll, and how far it has heard; records what it was asked."""

    gives_words = True
    is_late = False

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.modes: list[Mode] = []
        self.expected: list[tuple[int, Expect]] = []
        self.fed = 0
        self.next: list[Hypothesis] = []
        self.number = 0
        self.row = 0
        self.samples = 0
        """Of the utterance."""
        self.words: tuple[str, ...] = ()
        self.sure = False
        self.is_stuck = False
        """It hears nothing more."""

    def expect(self, row: int, expect: Expect) -> None:
        self.expected.append((row, expect))

    def start(self, row: int, expect: Expect, mode: Mode) -> int:
        self.number += 1
        self.row, self.samples, self.words = row, 0, ()
        self.calls.append(("start", row))
        self.modes.append(mode)
        return self.number

    def feed(self, row: int, pcm: NDArray[np.int16]) -> None:
        self.fed += len(pcm)
        if not self.is_stuck:
            self.samples += len(pcm)

    def stop(self, row: int) -> None:
        self.calls.append(("stop", row))

    def cancel(self, row: int) -> None:
        return

    def release(self, row: int) -> None:
        self.calls.append(("release", row))

    def poll(self) -> Sequence[Hypothesis]:
        found, self.next = self.next, []
        if self.number and not any(one.final for one in found):
            found.append(self._hypothesis(self.row, final=False))
        return found

    def _hypothesis(self, row: int, *, final: bool) -> Hypothesis:
        return Hypothesis(
            row=row,
            utterance=self.number,
            words=self.words,
            final=final,
            confidence=0.9,
            samples=self.samples,
            sure=self.sure and not final,
        )

    def close(self) -> None:
        return

    def say(self, text: str, *, row: int = 0, final: bool = False, sure: bool = False) -> None:
        self.words, self.sure = tuple(text.split()), sure
        self.next.append(self._hypothesis(row, final=final))


def pcm_of(name: str) -> NDArray[np.int16]:
    return (padded(name) * 32768).round().astype(np.int16)


def play(
    ears: Ears, line: NDArray[np.int16], *, expect: Expect | None = None, speaking: bool = False
) -> list[StepOutput]:
    """Feed row 0; the other rows hear silence."""
    outputs = []
    for at in range(0, len(line) // STEP_SAMPLES * STEP_SAMPLES, STEP_SAMPLES):
        inputs = silent_input(ears.spec.rows)
        inputs.pcm[0] = line[at : at + STEP_SAMPLES]
        inputs.speaking[0] = speaking
        if expect is not None:
            inputs.expects = {0: expect}
            expect = None
        outputs.append(ears.step(inputs))
    return outputs


def test_a_turn_ends_after_the_silence_that_its_words_need() -> None:
    recogniser = Scripted()
    ears = Ears(2, recogniser, SESSION)
    line = pcm_of("ears_parcel_awb.wav")
    expect = Expect(kind=ExpectKind.PHRASES, phrases=("where is my parcel",))
    before = play(ears, line[: len(line) - 4000], expect=expect)
    assert max(float(out.p_end[0]) for out in before) < 0.5
    recogniser.say("where is my parcel")
    after = play(ears, line[len(line) - 4000 :])
    ended = next(at for at, out in enumerate(after) if out.p_end[0] >= 0.5)
    assert 200 <= ended * 20 <= 320
    [heard] = after[0].words
    assert (heard.words, heard.final) == (("where", "is", "my", "parcel"), False)
    assert ("stop", 0) in recogniser.calls
    assert recogniser.fed > 8000


def test_what_the_brain_waits_for_is_told_to_the_recogniser_before_anybody_speaks() -> None:
    recogniser = Scripted()
    expect = Expect(kind=ExpectKind.DIGITS, digits=8)
    play(Ears(2, recogniser, SESSION), np.zeros(8 * STEP_SAMPLES, np.int16), expect=expect)
    assert recogniser.expected == [(0, expect)]
    assert recogniser.calls == []


def test_a_recogniser_that_lags_behind_the_speech_holds_the_turn_open_for_its_words() -> None:
    """Eight callers at once on two cores were told "I did not catch that" 0.6 s into a pause: their words came later."""
    recogniser = Scripted()
    ears = Ears(1, recogniser, SESSION)
    line = pcm_of("ears_parcel_awb.wav")
    expect = Expect(kind=ExpectKind.PHRASES, phrases=("where is my parcel",))
    play(ears, line[:8000], expect=expect)
    recogniser.is_stuck = True
    silence = np.zeros(1600 * 8, np.int16)
    waiting = play(ears, np.concatenate((line[8000:], silence)))
    assert max(float(out.p_end[0]) for out in waiting) < 0.5
    recogniser.say("where is my parcel", final=True)
    [after] = play(ears, silence[:STEP_SAMPLES])
    assert float(after.p_end[0]) >= 0.5
    recogniser = Scripted()
    ears = Ears(1, recogniser, SESSION)
    play(ears, line[:8000], expect=expect)
    recogniser.is_stuck = True
    for_ever = play(ears, np.concatenate((line[8000:], silence, silence)))
    assert float(for_ever[-1].p_end[0]) >= 0.5, "it does not hang"


def test_a_taking_word_under_our_voice_takes_the_floor() -> None:
    recogniser = Scripted()
    ears = Ears(1, recogniser, SESSION)
    line = pcm_of("ears_stop_rms.wav")
    first = play(ears, line[:6400], speaking=True)
    assert recogniser.modes == [Mode.OVERLAP]
    assert max(float(out.p_take[0]) for out in first) == 0
    recogniser.say("stop")
    later = play(ears, line[6400:], speaking=True)
    assert max(float(out.p_take[0]) for out in later) == 1
    assert max(float(out.p_backchannel[0]) for out in later) == 0


def test_an_okay_under_our_voice_is_a_backchannel() -> None:
    recogniser = Scripted()
    ears = Ears(1, recogniser, SESSION)
    line = pcm_of("ears_okay_rms.wav")
    play(ears, line[:6400], speaking=True)
    recogniser.say("okay")
    later = play(ears, line[6400:], speaking=True)
    assert max(float(out.p_backchannel[0]) for out in later) == 1
    assert max(float(out.p_take[0]) for out in later) == 0


def test_words_of_an_overlap_are_asked_for_soon_and_count_for_a_while_after_it() -> None:
    """ "stop it" of 0.35 s: its words came 0.4 s later, when nobody waited for them, and were gone with more silence."""
    recogniser = Scripted()
    ears = Ears(1, recogniser, SESSION)
    line = pcm_of("ears_stop_rms.wav")
    play(ears, line[:6400], speaking=True)
    played = play(ears, np.zeros(300 * 8, np.int16), speaking=True)
    assert ("stop", 0) in recogniser.calls
    assert max(float(out.p_take[0]) for out in played) == 0
    recogniser.say("stop it", final=True)
    late = play(ears, np.zeros(100 * 8, np.int16), speaking=True)
    assert max(float(out.p_take[0]) for out in late) == 1
    after = play(ears, np.zeros(800 * 8, np.int16), speaking=True)
    assert float(after[-1].p_take[0]) == 0


@pytest.mark.parametrize(("sure", "after_ms"), [(True, 0), (False, 160)])
def test_words_that_need_no_confirming_take_the_floor_at_once(sure: bool, after_ms: int) -> None:
    recogniser = Scripted()
    ears = Ears(1, recogniser, SESSION)
    line = pcm_of("ears_parcel_awb.wav")
    play(ears, line[:6400], speaking=True)
    recogniser.say("stop it", sure=sure)
    played = play(ears, line[6400:12_800], speaking=True)
    assert next(at * 20 for at, out in enumerate(played) if out.p_take[0] == 1) == after_ms


def test_words_that_need_no_confirming_say_nothing_of_the_next_turn() -> None:
    recogniser = Scripted()
    ears = Ears(1, recogniser, SESSION)
    line = pcm_of("ears_parcel_awb.wav")
    play(ears, line[:6400], speaking=True)
    recogniser.say("okay", sure=True)
    play(ears, line[6400:9600], speaking=True)
    play(ears, np.zeros(24_000, np.int16), speaking=True)  # left alone: we go on
    play(ears, line[:6400], speaking=True)
    recogniser.say("stop it")
    first, *_ = play(ears, line[6400:9600], speaking=True)
    assert first.p_take[0] == 0


def test_words_of_an_overlap_that_is_over_do_not_decide_about_the_next_sound() -> None:
    recogniser = Scripted()
    ears = Ears(1, recogniser, SESSION)
    line = pcm_of("ears_stop_rms.wav")
    play(ears, line[:6400], speaking=True)
    recogniser.say("where is my")  # words that wait for more: the turn is not over for a long time
    play(ears, line[6400:], speaking=True)
    play(ears, np.zeros(8000, np.int16), speaking=True)
    recogniser.say("stop", final=True)  # too late: we went on, and nobody speaks
    play(ears, np.zeros(4000, np.int16), speaking=True)
    again = play(ears, pcm_of("ears_okay_rms.wav")[:6400], speaking=True)
    assert max(float(out.p_take[0]) for out in again) == 0


def test_words_of_an_answered_turn_do_not_decide_about_the_next_sound() -> None:
    recogniser = Scripted()
    ears = Ears(1, recogniser, SESSION)
    line = pcm_of("ears_stop_rms.wav")
    play(ears, line[:6400], speaking=True)
    recogniser.say("stop", final=True)
    taken = play(ears, line[6400:], speaking=True)
    assert max(float(out.p_take[0]) for out in taken) == 1
    play(ears, np.zeros(6400, np.int16))
    play(ears, np.zeros(12_000, np.int16), speaking=True)  # we answer
    again = play(ears, pcm_of("ears_okay_rms.wav")[:6400], speaking=True)
    assert max(float(out.p_take[0]) for out in again) == 0


def test_ears_without_a_recogniser_end_turns_by_silence() -> None:
    ears = build(1, recogniser="none", processes=0)
    line = np.concatenate([pcm_of("ears_parcel_awb.wav"), np.zeros(4000, np.int16)])
    outputs = play(ears, line)
    assert outputs[-1].p_end[0] >= 0.5
    assert not any(out.words for out in outputs)


def test_a_turn_waits_for_the_words_that_a_server_still_owes_but_not_for_ever() -> None:
    for comes in (True, False):
        recogniser = Scripted()
        recogniser.is_late = True
        ears = Ears(1, recogniser, SESSION)
        line = np.concatenate((pcm_of("ears_parcel_awb.wav"), np.zeros(4000, np.int16)))
        before = play(ears, line, expect=Expect(kind=ExpectKind.FREE))
        assert ("stop", 0) in recogniser.calls, "asked for before the turn may end"
        assert max(float(out.p_end[0]) for out in before) < 0.5, "words are owed"
        if comes:
            recogniser.say("where is my parcel", final=True)
        after = play(ears, np.zeros(24000, np.int16))
        ended = next(at for at, out in enumerate(after) if out.p_end[0] >= 0.5) * 20
        assert ended < 300 if comes else 1000 < ended < 2300
        ears.release(0)
        assert recogniser.calls[-1] == ("release", 0)


def test_a_masked_row_does_not_move_and_neighbours_do_not_matter() -> None:
    line = pcm_of("ears_parcel_awb.wav")
    alone, batch = Ears(1, NoRecogniser(), SESSION), Ears(3, NoRecogniser(), SESSION)
    rng = np.random.default_rng(2)
    for at in range(0, 12000, STEP_SAMPLES):
        single = silent_input(1)
        single.pcm[0] = line[at : at + STEP_SAMPLES]
        expected = alone.step(single)
        inputs = silent_input(3)
        inputs.pcm[:] = rng.normal(0, 1000, inputs.pcm.shape)
        inputs.pcm[2] = single.pcm[0]
        found = batch.step(inputs)
        still = silent_input(3)
        still.mask[2] = False
        still.pcm[:] = 9999
        frozen = batch.snapshot(2)
        assert not batch.step(still).valid[2]
        assert batch.snapshot(2) == frozen
        assert found.p_speech[2] == pytest.approx(expected.p_speech[0], abs=1e-4)
        assert found.p_end[2] == pytest.approx(expected.p_end[0], abs=1e-4)


def test_a_reset_row_remembers_nothing() -> None:
    ears = Ears(1, NoRecogniser(), SESSION)
    fresh = ears.snapshot(0)
    play(ears, pcm_of("ears_stop_rms.wav"), expect=Expect(kind=ExpectKind.YES_NO))
    assert ears.snapshot(0) != fresh
    ears.admit(0, Persona())
    assert ears.snapshot(0) == fresh


def test_a_restored_row_goes_on_as_if_it_had_stayed() -> None:
    line = pcm_of("ears_parcel_awb.wav")
    here, there = Ears(2, NoRecogniser(), SESSION), Ears(4, NoRecogniser(), SESSION)
    play(here, line[:8000], expect=Expect(kind=ExpectKind.YES_NO))
    there.restore(0, here.snapshot(0))
    stayed, moved = play(here, line[8000:]), play(there, line[8000:])
    for one, other in zip(stayed, moved, strict=True):
        assert one.p_speech[0] == pytest.approx(other.p_speech[0], abs=1e-4)
        assert one.p_end[0] == pytest.approx(other.p_end[0], abs=1e-4)


@pytest.mark.parametrize("blob", [b"", b"other-1\nxx", b"parts-ears-1\nnot an archive"])
def test_a_foreign_snapshot_is_refused(blob: bytes) -> None:
    with pytest.raises(ModelError, match="snapshot"):
        Ears(1, NoRecogniser(), SESSION).restore(0, blob)


def test_the_self_test_passes_on_the_shipped_model() -> None:
    ears = build(4, recogniser="none", processes=0)
    ears.warmup()
    assert ears.self_test() == 4
    ears.close()


def test_ears_and_floor_hold_the_same_times() -> None:
    """A model may not import the scheduler, and so repeats them."""
    floor = FloorProfile()
    assert (floor.take_late_ms, floor.reopen_ms) == (LATE_MS, REOPEN_MS)
    assert floor.backstop_ms > LATE_WAIT_MS, "words that are owed must not be cut off by the floor"
