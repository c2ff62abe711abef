from __future__ import annotations

import numpy as np
import pytest

from agent.scheduler.speech import MAX_UTTERANCES, STARVED_FRAMES, Gain, SpeechBuffer
from agent.voice.protocol import WordSpan

FRAME = np.zeros(160, np.int16)


def words(count: int, samples: int = 1600) -> list[WordSpan]:
    return [WordSpan(text=f"w{k}", start=k * samples, end=(k + 1) * samples) for k in range(count)]


def pcm(samples: int, value: int = 1000) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.full(samples, value, np.int16)


def hand_out(speech: SpeechBuffer, frames: int, *, first: int = 0) -> int:
    return sum(speech.next_frame(FRAME, first + k) for k in range(frames))


def test_a_word_counts_when_its_last_sample_or_more_than_half_of_it_was_played() -> None:
    for played, heard in ((0, 0), (5, 0), (6, 1), (10, 1), (15, 1), (16, 2), (20, 2)):
        speech = SpeechBuffer()
        speech.begin(1, interruptible=True)
        speech.append(1, pcm(3200), words(2), last=True)
        hand_out(speech, 20)
        speech.played_to(played)
        ended = speech.cut("yielded")[0] if played < 20 else None
        if ended is not None:
            assert (played, ended.heard_words) == (played, heard)
            assert ended.heard == " ".join(f"w{k}" for k in range(heard))
            assert ended.unheard == " ".join(f"w{k}" for k in range(heard, 2))
            assert not ended.complete


def test_an_utterance_ends_when_its_last_frame_was_played_not_when_it_was_handed_out() -> None:
    speech = SpeechBuffer()
    speech.begin(7, interruptible=True)
    speech.append(7, pcm(400), words(1, 400), last=True)
    assert hand_out(speech, 5) == 3
    assert speech.played_to(2) == (7, [])
    begun, ended = speech.played_to(3)
    assert begun == 0
    assert [(e.utterance, e.heard, e.complete, e.reason) for e in ended] == [(7, "w0", True, "played")]
    assert not speech.is_busy


def test_the_end_is_known_late_when_the_last_piece_is_empty() -> None:
    speech = SpeechBuffer()
    speech.begin(1, interruptible=True)
    speech.append(1, pcm(160), words(1, 160), last=False)
    hand_out(speech, 1)
    assert speech.played_to(1) == (1, [])
    assert speech.is_busy
    assert [e.reason for e in speech.append(1, pcm(0), [], last=True)] == ["played"]
    assert not speech.is_busy


def test_an_utterance_without_audio_ends_as_played() -> None:
    speech = SpeechBuffer()
    speech.begin(1, interruptible=True)
    assert [(e.complete, e.reason) for e in speech.append(1, pcm(0), [], last=True)] == [(True, "played")]


def test_utterances_follow_each_other_at_frame_boundaries() -> None:
    speech = SpeechBuffer()
    for number in (1, 2):
        speech.begin(number, interruptible=number == 1)
        speech.append(number, pcm(200, number), [], last=True)
    frames = []
    for k in range(4):
        out = np.empty(160, np.int16)
        assert speech.next_frame(out, k)
        frames.append(out)
    assert [int(f.max()) for f in frames] == [1, 1, 2, 2]
    assert frames[1][40:].max() == 0
    assert speech.is_interruptible
    speech.played_to(2)
    assert not speech.is_interruptible  # what sounds now is the second


def test_held_utterances_go_with_exactly_their_turn_and_words() -> None:
    speech = SpeechBuffer()
    for number, turn, revision in ((1, 3, 1), (2, 3, 2), (3, 3, 2), (4, 4, 0)):
        speech.begin(number, interruptible=True, on_turn=turn, on_revision=revision)
    assert not speech.has_audio
    first, dropped = speech.release(3, 2)
    assert first == 2
    assert [(e.utterance, e.reason) for e in dropped] == [(1, "dropped")]
    speech.append(2, pcm(160), [], last=True)
    assert speech.has_audio
    assert [e.utterance for e in speech.drop_held(4)] == [4]


def test_a_cut_ends_everything_once_and_fades_what_was_sounding() -> None:
    speech = SpeechBuffer()
    speech.begin(1, interruptible=True)
    speech.append(1, pcm(1600, 10000), words(1), last=True)
    speech.begin(2, interruptible=True)
    speech.begin(3, interruptible=True, on_turn=9)
    hand_out(speech, 3)
    fade = np.zeros(40, np.int16)
    assert [(e.utterance, e.reason) for e in speech.cut("yielded", fade=fade)] == [
        (1, "yielded"),
        (2, "yielded"),
        (3, "yielded"),
    ]
    assert fade[0] == 10000
    assert fade[-1] == 0
    assert speech.cut("closed") == []
    assert hand_out(speech, 3) == 0


def test_a_voice_that_dies_ends_its_utterance_with_what_was_heard() -> None:
    speech = SpeechBuffer()
    speech.begin(1, interruptible=True)
    speech.append(1, pcm(160), words(2, 160), last=False)
    hand_out(speech, 1)
    speech.played_to(1)
    ended = [e for _ in range(STARVED_FRAMES) for e in speech.starve()]
    assert [(e.utterance, e.heard, e.complete, e.reason) for e in ended] == [(1, "w0", False, "dropped")]


def test_one_utterance_too_many_is_dropped_and_says_so() -> None:
    speech = SpeechBuffer()
    for number in range(MAX_UTTERANCES):
        assert speech.begin(number + 1, interruptible=True) == []
    assert [e.reason for e in speech.begin(999, interruptible=True)] == ["dropped"]


def test_the_gain_moves_within_one_frame_and_stays() -> None:
    gain = Gain(-20.0)
    frame = np.full(160, 10000, np.int16)
    gain.apply(frame)
    assert (frame == 10000).all()
    gain.duck()
    gain.apply(frame)
    assert frame[0] > 9900
    assert frame[-1] == pytest.approx(1000, abs=1)
    frame.fill(10000)
    gain.apply(frame)
    assert (frame == 1000).all()
    gain.restore()
    frame.fill(10000)
    gain.apply(frame)
    assert frame[-1] == 10000


def test_a_voice_that_has_learnt_better_tells_the_words_of_a_clause_again() -> None:
    speech = SpeechBuffer()
    speech.begin(1, interruptible=True)
    first = [WordSpan(text=f"a{k}", start=k * 800, end=(k + 1) * 800, clause=0) for k in range(2)]
    guessed = [WordSpan(text=f"b{k}", start=1600 + k * 160, end=1760 + k * 160, clause=1) for k in range(3)]
    right = [WordSpan(text=f"b{k}", start=1600 + k * 1600, end=3200 + k * 1600, clause=1) for k in range(3)]
    speech.append(1, pcm(1600), first, last=False)
    speech.append(1, pcm(2400), guessed, last=False)
    speech.append(1, pcm(2400), right, last=True)
    hand_out(speech, 21)
    speech.played_to(21)  # 3360 samples: by the guess all would have been heard
    ended = speech.cut("yielded")[0]
    assert (ended.heard, ended.unheard) == ("a0 a1 b0", "b1 b2")
