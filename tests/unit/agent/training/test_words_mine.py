"""Utterances out of calls: parted by call and pause, as loud as others, only what can be sounded out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.training import words_mine
from agent.training.shard import shard_of, write
from agent.training.words_data import read
from agent.training.words_mine import LONGEST, PAUSE, Word, breaths, levelled
from tests.unit.agent.training.kit import short


def said(item: int, start: int, length: int = 20) -> Word:
    return Word(item, "one", start, start + length)


def test_breaths_end_with_the_call_with_a_pause_and_when_they_are_long() -> None:
    words = [said(0, 0), said(0, 20 + PAUSE), said(0, 40 + 2 * PAUSE + 1), said(1, 5)]
    assert [len(group) for group in breaths(words)] == [2, 1, 1]
    row = [said(0, at) for at in range(0, 2 * LONGEST, 25)]
    assert max(group[-1].end - group[0].start for group in breaths(row)) <= LONGEST
    assert sum(len(group) for group in breaths(row)) == len(row)
    assert not list(breaths([]))


def test_quiet_callers_are_made_as_loud_as_others() -> None:
    quiet = np.full((30, 40), 90, np.uint8)
    quiet[:, 3] = 120
    assert levelled(quiet)[:, 3].tolist() == [words_mine.LOUD] * 30
    assert levelled(levelled(quiet)).tolist() == levelled(quiet).tolist()


def test_calls_give_utterances_once(tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    write(shard_of(short(0, 4)), tmp_path / "calls" / "shard-00000.npz")
    asked = [str(tmp_path / "calls"), "--out", str(tmp_path / "words")]
    assert words_mine.main(asked) == 0
    path = tmp_path / "words" / "call-calls-00000.npz"
    found, made = read(path), path.stat().st_mtime_ns
    assert len(found) >= 1
    assert set(found.kinds) == {"call"}
    assert all(speaker.startswith("calls.00000.") for speaker in found.speakers)
    assert int(found.lengths.sum()) == len(found.codes)
    assert words_mine.main(asked) == 0
    assert path.stat().st_mtime_ns == made
    assert words_mine.main([str(tmp_path / "none"), "--out", str(tmp_path / "words")]) == 2
