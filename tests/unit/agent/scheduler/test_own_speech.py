"""What a model said of itself and what was heard: from frames that have left, never from what it meant to say."""

from __future__ import annotations

from agent.scheduler.own_speech import OWN, OwnSpeech
from agent.scheduler.speech import Ended

WORDS = ((0, " I"), (4, " can"), (8, " help"), (12, "ful"), (20, " you."))


def speech(frames: int, *, skip: int = 0) -> OwnSpeech:
    """``frames`` frames of a sentence, handed out from frame number 100 on."""
    own = OwnSpeech()
    for at in range(frames):
        for start, piece in WORDS:
            if start == at:
                own.hear_text(at, piece)
        own.hand(100 + at, at)
    return own


def test_all_of_it_is_heard_when_all_has_left() -> None:
    own = speech(30)
    assert own.played_to(101) == (True, [])
    assert own.stop() == []
    assert own.played_to(129) == (False, [])
    begun, ended = own.played_to(130)
    assert not begun
    assert ended == [Ended(OWN, 4, "I can helpful you.", "", True, "played")]


def test_cut_fixes_what_has_left_by_then() -> None:
    own = speech(30)
    own.played_to(100 + 9)
    assert own.cut("yielded") == [Ended(OWN, 2, "I can", "helpful you.", False, "yielded")]
    assert own.cut("yielded") == []
    assert own.played_to(140) == (False, []), "what comes after belongs to nothing"


def test_word_in_progress_counts_from_half_of_it() -> None:
    for left, heard in ((13, "I can"), (15, "I can helpful")):
        own = speech(30)
        own.played_to(100 + left)
        assert own.cut("yielded")[0].heard == heard


def test_words_that_have_not_begun_belong_to_the_next_stretch() -> None:
    own = OwnSpeech()
    own.hear_text(0, " first")
    own.hear_text(40, " second")
    for at in range(10):
        own.hand(at, at)
    own.stop()
    assert own.played_to(10)[1] == [Ended(OWN, 1, "first", "", True, "played")]
    for at in range(40, 50):
        own.hand(at, at)
    own.stop()
    assert own.played_to(60) == (True, [Ended(OWN, 1, "second", "", True, "played")])


def test_frames_that_never_left_are_not_heard() -> None:
    own = speech(30)
    own.stop()
    assert own.played_to(108)[0]
    _, ended = own.played_to(130, sent=0b1)
    assert [(e.heard, e.unheard, e.complete) for e in ended] == [("I can", "helpful you.", False)]


def test_speech_without_words_has_a_beginning_and_an_end() -> None:
    own = OwnSpeech()
    own.hand(0, 0)
    assert own.played_to(1) == (True, [])
    assert own.stop() == [Ended(OWN, 0, "", "", True, "played")]
    assert own.stop() == []


def test_phrase_ends_where_the_text_says_so_or_nothing_sounds() -> None:
    own = OwnSpeech()
    assert own.is_at_boundary
    own.hear_text(0, " well")
    own.hand(0, 0)
    assert not own.is_at_boundary
    own.hear_text(1, ",")
    assert own.is_at_boundary


def test_gateway_that_goes_silent_ends_what_was_handed_out() -> None:
    own = speech(10)
    own.played_to(102)
    own.stop()
    assert [e.reason for e in own.abandon()] == ["played"]
    assert own.abandon() == []
