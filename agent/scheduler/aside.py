"""A backchannel of ours: a word said in a pause of the caller's turn, which takes no floor and changes no turn. Pure.

It is said early in a pause or not at all: later the pause is the end of the turn, or the caller speaks again. Begun, it
is said to its end, under whatever comes; an answer that is due waits for these few hundred milliseconds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.pool.messages import SAMPLES_PER_MS
from agent.scheduler.floor.machine import FloorMachine
from agent.scheduler.floor.table import FloorState
from agent.scheduler.speech import Ended, SpeechBuffer
from agent.voice.protocol import WordSpan

FROM: Final = 160 * SAMPLES_PER_MS
UNTIL: Final = 800 * SAMPLES_PER_MS
"""Where listeners put theirs, from the caller's last sound (as in training: agent/training/conversation/labels.py)."""
LONGEST_LEAVING: Final = 25
"""Frames after which one that was handed out and is not confirmed as played is given up."""


class Aside:
    """At most one backchannel that waits or sounds."""

    def __init__(self) -> None:
        self.number = 0
        """Of its utterance; 0: there is none."""
        self._speech = SpeechBuffer()
        self._is_whole = False
        self._leaving = 0

    def begin(self, number: int) -> list[Ended]:
        """The next one; dropped where one sounds, and in place of one that waits."""
        if self._speech.is_busy:
            return [Ended(number, 0, "", "", False, "dropped")]
        ended = self.close("dropped")
        self.number, self._is_whole, self._leaving = number, False, 0
        return ended + self._speech.begin(number, interruptible=True)

    def append(self, pcm: NDArray[np.int16], words: list[WordSpan], *, last: bool) -> list[Ended]:
        self._is_whole = last
        return self._over(self._speech.append(self.number, pcm, words, last=last))

    def give_up(self) -> list[Ended]:
        """Say nothing after all; one that sounds goes on."""
        return [] if self._speech.is_busy else self.close("dropped")

    def close(self, reason: str) -> list[Ended]:
        return self._over(self._speech.cut(reason))

    def next_frame(self, out: NDArray[np.int16], frame_no: int, floor: FloorMachine) -> tuple[bool, list[Ended]]:
        """Whether ``out`` ``(160,)`` holds 20 ms of it now, and what is over."""
        speech = self._speech
        if speech.is_busy:
            if speech.has_audio:
                return speech.next_frame(out, frame_no), []
            self._leaving += 1
            return False, [] if self._leaving < LONGEST_LEAVING else self._over(speech.abandon_leaving())
        if floor.state is not FloorState.CALLER or not floor.paused or floor.silence > UNTIL:
            return False, self.close("dropped")
        if floor.silence < FROM or not self._is_whole:
            return False, []
        return speech.next_frame(out, frame_no), []

    def played_to(self, played: int, sent: int) -> tuple[int, list[Ended]]:
        """As ``SpeechBuffer.played_to``."""
        begun, ended = self._speech.played_to(played, sent)
        return begun, self._over(ended)

    def _over(self, ended: list[Ended]) -> list[Ended]:
        if ended:
            self.number = 0
        return ended
