"""Heard text and resume on audio made of marker words, with a service log that is right or wrong on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.bench.duplex_words import true_count, word_figures
from agent.bench.evidence import CallEvidence, LoggedUtterance, ServiceLog
from agent.simulator.truth import EventType
from telephony.audio.marker import marker_word
from tests.unit.agent.bench.synthetic import call, event, turn

TEXT = "One two three, four five six, seven eight nine. Ten eleven twelve."
WORD_S = 0.18


def marker(at_s: float, words: int, *, length_s: float = 12.0, into: np.ndarray | None = None) -> np.ndarray:
    pcm = np.zeros(round(length_s * 8000), np.int16) if into is None else into
    speech = np.concatenate([marker_word(k) for k in range(words)])
    start = round(at_s * 8000)
    pcm[start : start + len(speech)] = speech
    return pcm


def logged(start: float, words: int, claimed: int, *, whole: str = TEXT, reason: str = "yielded") -> LoggedUtterance:
    return LoggedUtterance(
        start=start,
        end=start + words * WORD_S,
        text=" ".join(whole.split()[:claimed]),
        heard_words=claimed,
        reason=reason,
        unheard=" ".join(whole.split()[claimed:]),
        whole=whole,
    )


def evidence(pcm: np.ndarray, *said: LoggedUtterance) -> CallEvidence:
    go_on = replace(event(EventType.TURN, 4.0, 4.5), resume=True)
    return call(pcm, turn(0.2, 0.8), go_on, turn(9.0, 9.5), log=ServiceLog(utterances=said))


def test_words_that_were_received_whole_are_counted() -> None:
    assert true_count(evidence(marker(1.0, 5)), logged(1.0, 5, 5)) == 5


def test_a_word_cut_in_its_middle_was_not_received() -> None:
    pcm = marker(1.0, 5)
    pcm[round((1.0 + 4 * WORD_S + 0.06) * 8000) :] = 0
    assert true_count(evidence(pcm), logged(1.0, 5, 5)) == 4


@pytest.mark.parametrize(("claimed", "within", "over"), [(5, 1.0, 0.0), (6, 1.0, 0.0), (4, 1.0, 0.0), (7, 0.0, 1.0)])
def test_claims_are_compared_with_the_audio(claimed: int, within: float, over: float) -> None:
    figures = word_figures([evidence(marker(1.0, 5), logged(1.0, 5, claimed))])["heard_text"]
    assert (figures["within_one"], figures["over_claim"], figures["n"]) == (within, over, 1)


@pytest.mark.parametrize(
    ("first", "verdict"),
    [(5, "correct"), (3, "correct"), (0, "repeated"), (6, "skipped")],
)
def test_a_resumed_answer_is_judged_by_where_it_goes_on(first: int, verdict: str) -> None:
    rest = " ".join(TEXT.split()[first:])
    pcm = marker(5.0, 12 - first, into=marker(1.0, 5))
    again = logged(5.0, 12 - first, 12 - first, whole=rest, reason="played")
    figures = word_figures([evidence(pcm, logged(1.0, 5, 5), again)])["resume"]
    assert figures[verdict] == 1.0
    assert figures["n"] == 1


def test_the_same_answer_to_a_new_question_is_no_resume() -> None:
    pcm = marker(9.6, 12, into=marker(1.0, 5))
    again = logged(9.7, 12, 12, reason="played")
    assert word_figures([evidence(pcm, logged(1.0, 5, 5), again)])["resume"]["n"] == 0


def test_the_next_utterance_does_not_count_as_heard_of_this_one() -> None:
    """The agent gives way after five words and says two words of something else 0.2 s later."""
    pcm = marker(1.0 + 5 * WORD_S + 0.2, 2, into=marker(1.0, 5))
    assert true_count(evidence(pcm), logged(1.0, 5, 5)) == 5


def test_a_pause_inside_the_utterance_ends_nothing() -> None:
    """A worker that stood for 0.7 s: three words, the pause, two more; the caller heard five."""
    pcm = marker(1.0, 5)
    cut, at = round((1.0 + 3 * WORD_S) * 8000), round(0.7 * 8000)
    pcm = np.concatenate((pcm[:cut], np.zeros(at, np.int16), pcm[cut:-at]))
    assert true_count(evidence(pcm), replace(logged(1.0, 5, 5), end=1.0 + 5 * WORD_S + 0.7)) == 5


def test_one_word_and_the_next_utterance_are_two() -> None:
    pcm = marker(1.0 + WORD_S + 0.4, 3, into=marker(1.0, 1))
    assert true_count(evidence(pcm), logged(1.0, 1, 1)) == 1


def test_words_that_lack_a_packet_were_received() -> None:
    """20 ms are missing in each of four words: the fifth is whole, and so five were heard."""
    spans = [marker_word(k)[160:] if k < 4 else marker_word(k) for k in range(5)]
    pcm = np.zeros(8000 * 12, np.int16)
    speech = np.concatenate(spans)
    pcm[8000 : 8000 + len(speech)] = speech
    assert true_count(evidence(pcm), logged(1.0, 5, 5)) == 5


def test_an_answer_of_more_than_half_the_numbers_ends_where_the_next_begins() -> None:
    pcm = marker(1.0 + 34 * WORD_S + 0.6, 2, into=marker(1.0, 34, length_s=20.0))
    assert true_count(evidence(pcm), logged(1.0, 34, 34)) == 34


@pytest.mark.parametrize(("inside", "received"), [(range(1, 7), 8), ((1, 2, 4, 5, 6), 7), ((), 2)])
def test_words_that_were_torn_to_packets_were_received(inside: Sequence[int], received: int) -> None:
    """Every second packet is silence, as where a worker gets half of the time it needs; the first and last can be told."""
    packets = [marker_word(k).reshape(-1, 160) for k in inside]
    torn = [np.stack((word, np.zeros_like(word)), axis=1).ravel() for word in packets]
    speech = np.concatenate((marker_word(0), *torn, marker_word(7)))
    pcm = np.zeros(8000 * 12, np.int16)
    pcm[8000 : 8000 + len(speech)] = speech
    assert true_count(evidence(pcm), replace(logged(1.0, 8, 8), end=1.0 + len(speech) / 8000)) == received
