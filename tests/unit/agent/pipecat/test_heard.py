from __future__ import annotations

from agent.pipecat.heard import FINAL_S, SETTLE_S, Listening, Utterance, words_of


def told(listening: Listening, now: float) -> tuple[tuple[str, ...], bool]:
    news = listening.news(now)
    assert news is not None
    return news[0].words, news[1]


def test_a_transcript_becomes_plain_words() -> None:
    assert words_of("No — that’s WRONG, Mr. O'Neil: 24 pounds!") == (
        "no",
        "that's",
        "wrong",
        "mr",
        "o'neil",
        "24",
        "pounds",
    )


def test_a_streaming_service_is_done_a_moment_after_its_last_final_words() -> None:
    listening = Listening(segmented=False)
    listening.start(1)
    listening.text("where is", final=False, done=False, now=0.0)
    assert told(listening, 0.0) == (("where", "is"), False)
    listening.stop(1.0)
    listening.text("Where is my parcel?", final=True, done=False, now=1.2)
    assert told(listening, 1.2) == (("where", "is", "my", "parcel"), False)
    assert listening.due_at() == 1.2 + SETTLE_S
    assert told(listening, 1.2 + SETTLE_S) == (("where", "is", "my", "parcel"), True)


def test_a_service_that_says_it_is_done_is_not_waited_for() -> None:
    listening = Listening(segmented=False)
    listening.start(1)
    listening.stop(1.0)
    listening.text("yes", final=True, done=True, now=1.1)
    assert told(listening, 1.1) == (("yes",), True)


def test_a_segment_without_words_ends_the_utterance_at_once() -> None:
    listening = Listening(segmented=True)
    listening.start(1)
    listening.stop(1.0)
    assert listening.news(1.1) is None
    listening.segment_done()
    assert told(listening, 1.1) == ((), True)


def test_words_that_are_owed_come_before_those_of_the_next_utterance() -> None:
    listening = Listening(segmented=True)
    listening.start(1)
    listening.stop(1.0)
    listening.start(2)
    listening.text("my parcel number is", final=True, done=False, now=1.5)
    listening.segment_done()
    assert told(listening, 1.5) == (("my", "parcel", "number", "is"), False)
    listening.stop(2.0)
    listening.text("one two three", final=True, done=False, now=2.3)
    listening.segment_done()
    assert told(listening, 2.3) == (("my", "parcel", "number", "is", "one", "two", "three"), True)


def test_words_that_were_told_are_not_told_again_by_the_next_utterance() -> None:
    listening = Listening(segmented=False)
    listening.start(1)
    listening.text("my number", final=False, done=False, now=0.5)
    assert told(listening, 0.5) == (("my", "number"), False)
    listening.stop(1.0)
    listening.start(2)
    listening.text("one two", final=True, done=False, now=1.5)
    assert told(listening, 1.5) == (("one", "two"), False)


def test_a_late_utterance_ends_with_what_is_there() -> None:
    listening = Listening(segmented=True)
    listening.start(1)
    listening.stop(1.0)
    assert listening.due_at() == 1.0 + FINAL_S
    assert told(listening, 1.0 + FINAL_S) == ((), True)
    listening.text("too late", final=True, done=False, now=4.0)
    assert listening.news(4.0) is None


def test_a_segment_that_nobody_waits_for_any_more_is_told() -> None:
    listening = Listening(segmented=True)
    listening.start(1)
    listening.stop(1.0)
    listening.start(2)
    assert listening.due_at() == 1.0 + FINAL_S
    assert not listening.is_stuck(1.5)
    assert listening.is_stuck(1.0 + FINAL_S)
    listening.give_up()
    assert not listening.is_stuck(9.0)
    assert listening.due_at() is None


def test_a_dead_service_leaves_the_words_it_gave() -> None:
    listening = Listening(segmented=False)
    listening.start(7)
    listening.text("half of", final=True, done=False, now=0.2)
    utterance = listening.give_up()
    assert isinstance(utterance, Utterance)
    assert (utterance.number, utterance.words) == (7, ("half", "of"))
    assert listening.give_up() is None
