"""Heard text and resume, from calls in the marker voice and the service's own log of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from agent.bench.evidence import CallEvidence, LoggedUtterance
from agent.bench.statistics import number
from agent.bench.words import MarkerWord, Resumption, heard_text, received, received_by_length, resumes, unwrapped
from agent.simulator.energy import RATE_HZ, Pcm
from agent.simulator.truth import EventType
from agent.voice.clauses import split
from telephony.audio.marker import decode_marker

TORN_WORD_S = 0.3
"""A word that a late packet tears goes on within that time; later it is said again."""
CROSSING_SAMPLES = 8
"""A tone may be zero for that long where it crosses it."""
MOST_LOST_WORDS = 8
"""Numbers are known modulo 64: a 0 that follows word 33 is nearer to word 64 than to word 0, and yet begins anew."""
MOST_LEAD_WORDS = 4
"""A resumed answer may begin with "as I was saying"."""
NEAR_S = 1.0
"""The service's start and end of an utterance and the caller's lie that near, or the pair is not one."""


def word_figures(calls: Sequence[CallEvidence]) -> dict[str, Any]:
    """``heard_text`` and ``resume`` over all yields."""
    pairs: list[tuple[int, int]] = []
    found: list[Resumption] = []
    for call in calls:
        logged = call.log.utterances
        for index, utterance in enumerate(logged):
            if utterance.reason != "yielded":
                continue
            true = true_count(call, utterance)
            if true is None:
                continue
            pairs.append((true, utterance.heard_words))
            resumed = _resumption(call, utterance, logged[index + 1 :], true)
            if resumed is not None:
                found.append(resumed)
    heard, resumed_all = heard_text(pairs), resumes(found)
    return {
        "heard_text": {
            "n": len(pairs),
            "within_one": number(heard.within_one.share),
            "over_claim": number(heard.over_claim.share),
            "mean_error": number(heard.mean_error, 3),
        },
        "resume": {
            "n": len(found),
            "correct": number(resumed_all.correct.share),
            "skipped": number(resumed_all.skipped.share),
            "repeated": number(resumed_all.repeated.share),
        },
    }


def true_count(call: CallEvidence, utterance: LoggedUtterance) -> int | None:
    """Words of ``utterance`` whose last sample the caller received; ``None`` if none can be found.

    Words that count anew from 0 belong to the next utterance, however soon it follows; a pause inside this one, however
    long, ends nothing.
    """
    words = marker_words(call.agent.pcm, utterance.start - 0.3, utterance.end + NEAR_S)
    begin = next((k for k, word in enumerate(words) if word[0] == 0 and word[1] <= utterance.start + NEAR_S), None)
    if begin is None:
        return None
    mine = _counting_up(unwrapped(words[begin:]))
    if abs(mine[-1].end - utterance.end) > NEAR_S:
        return None
    # A worker that hardly gets to run hands out a packet here and there: no word can be told, but nothing is missing.
    first, last = round(mine[0].start * RATE_HZ), round(mine[-1].end * RATE_HZ)
    return max(received(mine), min(received_by_length(sounding_s(call.agent.pcm[first:last])), mine[-1].index + 1))


def _counting_up(words: Sequence[MarkerWord]) -> list[MarkerWord]:
    for k, (before, word) in enumerate(pairwise(words), 1):
        again = word.index == before.index and word.start - before.end > TORN_WORD_S
        if again or not 0 <= word.index - before.index <= MOST_LOST_WORDS:
            return list(words[:k])
    return list(words)


def sounding_s(pcm: Pcm) -> float:
    """Seconds of ``pcm`` that are not digital silence."""
    sounding = np.flatnonzero(pcm)
    steps = np.diff(sounding)
    return float(len(sounding) + (steps - 1)[steps <= CROSSING_SAMPLES].sum()) / RATE_HZ


def marker_words(pcm: Pcm, start: float, end: float) -> list[tuple[int, float, float]]:
    """(k, start, end) of the marker words in a stretch, in seconds of the recording."""
    first = max(0, round(start * RATE_HZ))
    return [
        (k, (first + a) / RATE_HZ, (first + b) / RATE_HZ)
        for k, a, b in decode_marker(pcm[first : max(first, round(end * RATE_HZ))])
    ]


def _resumption(
    call: CallEvidence, cut: LoggedUtterance, later: Sequence[LoggedUtterance], heard: int
) -> Resumption | None:
    """Where the answer went on before the caller asked for something else; ``None`` if it did not go on."""
    asked = [event.start for event in call.of(EventType.TURN) if not event.resume and event.start > cut.end]
    until = min(asked, default=float("inf"))
    for utterance in later:
        going_on = _goes_on_at(cut.whole.split(), utterance.whole.split())
        if utterance.start >= until or going_on is None:
            continue
        first, lead = going_on
        words = marker_words(call.agent.pcm, utterance.start - 0.2, utterance.start + 1.0)
        if not words:
            return None
        # The marker voice counts from the start of what it is given: the rest of the text behind a few lead words.
        return Resumption(heard, first + max(0, words[0][0] - lead), clause_starts(cut.whole))
    return None


def _goes_on_at(whole: Sequence[str], said: Sequence[str]) -> tuple[int, int] | None:
    """(index in ``whole`` of the first word said again, words in front of it), if ``said`` ends as ``whole`` does."""
    for lead in range(min(MOST_LEAD_WORDS, len(said)) + 1):
        rest = list(said[lead:])
        if 0 < len(rest) <= len(whole) and list(whole[-len(rest) :]) == rest:
            return len(whole) - len(rest), lead
    return None


def clause_starts(text: str) -> tuple[int, ...]:
    """Index of the first word of each clause."""
    return tuple(clause.first_word for clause in split(text))
