"""The transcript says what was heard, once."""

from __future__ import annotations

from typing import Any

from agent.api.transcript import transcript
from agent.store.interface import TimelineEntry


def entry(at_ms: int, kind: str, **data: Any) -> TimelineEntry:
    return TimelineEntry(at_ms=at_ms, kind=kind, data=data)


def test_both_sides_come_by_when_they_began_with_what_was_heard() -> None:
    found = transcript(
        [
            entry(20, "utterance", phase="started", number=1, text="hello there"),
            entry(900, "utterance", phase="ended", number=1, heard="hello", unheard="there"),
            entry(700, "turn", phase="started", turn=1),
            entry(1500, "turn", phase="ended", turn=1, text="my parcel"),
            entry(1600, "floor", before="caller", after="open"),
        ]
    )
    assert found == [
        {"at_ms": 20, "speaker": "agent", "text": "hello", "unheard": "there", "complete": False},
        {"at_ms": 700, "speaker": "caller", "text": "my parcel", "unheard": "", "complete": True},
    ]


def test_word_of_ours_that_we_listen_is_told_among_the_callers_turns() -> None:
    found = transcript([entry(700, "turn", phase="started", turn=1), entry(6000, "backchannel", text="I see.")])
    assert found == [{"at_ms": 6000, "speaker": "agent", "text": "I see.", "unheard": "", "complete": True}]


def test_reopened_turn_counts_once_with_its_last_words() -> None:
    found = transcript(
        [
            entry(100, "turn", phase="started", turn=1),
            entry(500, "turn", phase="ended", turn=1, text="one two"),
            entry(600, "turn", phase="reopened", turn=1),
            entry(900, "turn", phase="ended", turn=1, text="one two three"),
        ]
    )
    assert [item["text"] for item in found] == ["one two three"]


def test_utterance_of_which_nothing_is_known_is_left_out() -> None:
    assert transcript([entry(1, "utterance", phase="ended", number=1, heard="", unheard="")]) == []
