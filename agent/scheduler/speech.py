"""What the agent has to say on one row, what of it was handed out, and what of it was played out. Pure.

Utterances wait in the order of their begin; held ones wait for the end of exactly the turn they answer. What was
handed out is remembered by frame number until the gateway says that the frame left on the wire, or that it never
will: from that, and from nothing else, follows which words were heard.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.voice.protocol import WordSpan
from telephony.link import ALL_SENT, FRAME_SAMPLES, SENT_FRAMES

MAX_UTTERANCES: Final = 64
"""Utterances that may wait on a row; more are dropped at once (and say so)."""
MAX_SAMPLES: Final = 8000 * 240
"""Voice audio that may wait on a row; audio beyond is cut off."""
STARVED_FRAMES: Final = 500
"""An utterance whose audio does not come for 10 s is over: a voice has died, the call has not."""
FADE_SAMPLES: Final = 40
"""5 ms: a cut does not click."""
_FADE: Final = np.linspace(1.0, 0.0, FADE_SAMPLES, dtype=np.float32)


@dataclass(slots=True)
class Utterance:
    """One thing to say."""

    number: int
    interruptible: bool
    on_turn: int = 0
    on_revision: int = 0
    pieces: deque[NDArray[np.int16]] = field(default_factory=deque)
    words: list[WordSpan] = field(default_factory=list)
    total: int = 0
    """Samples that have come."""
    handed: int = 0
    """Samples that were handed out."""
    played: int = 0
    """Samples that were played out, but for those that were lost before."""
    lost: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of samples ``(start, end)`` that were handed out and never left."""
    last: bool = False
    """No more audio will come."""
    started: bool = False
    starved: int = 0
    """Frames in which audio was due and had not come."""
    broken: bool = False
    """Its voice has died: what came is all there will be."""

    @property
    def is_handed_out(self) -> bool:
        return self.last and self.handed >= self.total

    def is_heard(self, word: WordSpan) -> bool:
        """More than half of it was played out."""
        if word.end <= word.start:
            return self.played >= word.end
        return 2 * (min(self.played, word.end) - word.start - self._lost_of(word)) > word.end - word.start

    def is_whole(self) -> bool:
        """Nothing was lost that a word needs to be heard."""
        return not self.lost or all(2 * self._lost_of(word) < max(1, word.end - word.start) for word in self.words)

    def lose(self, start: int, end: int) -> None:
        """What was handed out from ``start`` to ``end`` will never leave."""
        if self.lost and self.lost[-1][1] == start:
            start = self.lost.pop()[0]
        self.lost.append((start, end))

    def _lost_of(self, word: WordSpan) -> int:
        return sum(max(0, min(end, word.end) - max(start, word.start)) for start, end in self.lost)


@dataclass(frozen=True, slots=True)
class Ended:
    """An utterance is over: what of it was heard. A word that was lost on its way before others is in neither text."""

    utterance: int
    heard_words: int
    heard: str
    unheard: str
    """From behind the last word that was heard."""
    complete: bool
    reason: str


def _ended(utterance: Utterance, reason: str) -> Ended:
    words = utterance.words
    heard = [at for at, word in enumerate(words) if utterance.is_heard(word)]
    unheard = words[heard[-1] + 1 :] if heard else words
    if utterance.broken:
        reason = "dropped"
    complete = utterance.last and utterance.played >= utterance.total and utterance.is_whole() and reason != "dropped"
    return Ended(
        utterance.number,
        len(heard),
        " ".join(words[at].text for at in heard),
        " ".join(word.text for word in unheard),
        complete,
        reason,
    )


class SpeechBuffer:
    """Utterances of one row. Every ``begin`` is answered by exactly one ``Ended``."""

    def __init__(self) -> None:
        self._queue: deque[Utterance] = deque()
        """Spoken next, in order; the first may be under way."""
        self._held: list[Utterance] = []
        self._leaving: deque[Utterance] = deque()
        """Handed out whole, not yet played out."""
        self._out: deque[tuple[int, Utterance, int]] = deque()
        """``(frame number, utterance, samples of it played when that frame was)``; not known yet whether it left."""
        self._by_number: dict[int, Utterance] = {}

    @property
    def has_audio(self) -> bool:
        """There is a sample to hand out now."""
        return bool(self._queue) and bool(self._queue[0].pieces)

    @property
    def is_busy(self) -> bool:
        """Something is under way: being handed out, or on its way to the caller's ear."""
        return bool(self._out) or bool(self._leaving) or (bool(self._queue) and self._queue[0].handed > 0)

    @property
    def is_interruptible(self) -> bool:
        """What the caller hears now may be cut. True when nothing plays."""
        if self._out:
            return self._out[0][1].interruptible
        if self._leaving:
            return self._leaving[0].interruptible
        return not self._queue or self._queue[0].handed == 0 or self._queue[0].interruptible

    def begin(self, number: int, *, interruptible: bool, on_turn: int = 0, on_revision: int = 0) -> list[Ended]:
        """Take an utterance. A number that is known already is ignored; one too many is dropped."""
        if number in self._by_number:
            return []
        utterance = Utterance(number, interruptible, on_turn, on_revision)
        if len(self._by_number) >= MAX_UTTERANCES:
            return [_ended(utterance, "dropped")]
        self._by_number[number] = utterance
        if on_turn:
            self._held.append(utterance)
        else:
            self._queue.append(utterance)
        return []

    def append(self, number: int, pcm: NDArray[np.int16], words: list[WordSpan], *, last: bool) -> list[Ended]:
        """Audio and words of an utterance; ignored where it is over already. Words replace those of their clause."""
        utterance = self._by_number.get(number)
        if utterance is None or utterance.last:
            return []
        room = MAX_SAMPLES - sum(u.total - u.handed for u in self._by_number.values())
        if len(pcm) > room:
            pcm, last = pcm[: max(0, room)], True
        if len(pcm):
            utterance.pieces.append(pcm)
            utterance.total += len(pcm)
        if words:
            again = {word.clause for word in words}  # a voice that has learnt better tells a clause's words once more
            utterance.words = [word for word in utterance.words if word.clause not in again] + words
        utterance.last = last
        utterance.starved = 0
        return self._retire() + self._drain_played()

    def release(self, turn: int, revision: int) -> tuple[int, list[Ended]]:
        """A turn has ended with these words: let go what answers them, drop what answers others.

        Returns the number of the first one released (0: none) and what was dropped.
        """
        first, dropped = 0, []
        for utterance in self._held:
            if (utterance.on_turn, utterance.on_revision) == (turn, revision):
                self._queue.append(utterance)
                first = first or utterance.number
            elif utterance.on_turn <= turn:
                dropped.append(self._forget(utterance, "dropped"))
        self._held = [utterance for utterance in self._held if utterance.on_turn > turn]
        return first, dropped

    def drop_held(self, turn: int, *, keep_revision: int = -1) -> list[Ended]:
        """The turn goes on, or its words have changed: drop what was prepared for other words."""
        dropped = [u for u in self._held if u.on_turn <= turn and u.on_revision != keep_revision]
        if not dropped:
            return []
        self._held = [u for u in self._held if u not in dropped]
        return [self._forget(u, "dropped") for u in dropped]

    def drop(self, number: int) -> tuple[bool, list[Ended]]:
        """Forget one utterance. Returns whether it was under way (its audio is cut, the epoch must move)."""
        utterance = self._by_number.get(number)
        if utterance is None:
            return False, []
        under_way = utterance.handed > 0
        self._held = [u for u in self._held if u is not utterance]
        for line in (self._queue, self._leaving):
            if utterance in line:
                line.remove(utterance)
        if under_way:
            self._out = deque(item for item in self._out if item[1] is not utterance)
        return under_way, [self._forget(utterance, "dropped")]

    def cut(self, reason: str, *, fade: NDArray[np.int16] | None = None, gain: float = 1.0) -> list[Ended]:
        """Empty the buffer, held ones too, and fix what was heard. ``fade`` gets the next 5 ms, fading out."""
        if fade is not None and self.has_audio:
            piece = self._queue[0].pieces[0][:FADE_SAMPLES]
            if self._queue[0].handed:  # something not yet begun needs no fade
                fade[: len(piece)] = piece * _FADE[: len(piece)] * gain
        ended = [self._forget(u, reason) for u in list(self._by_number.values())]
        self._queue.clear()
        self._held.clear()
        self._leaving.clear()
        self._out.clear()
        return ended

    def cut_waiting(self, reason: str) -> list[Ended]:
        """Drop what was not begun, except what is under way (the floor is claimed under what may not be cut)."""
        waiting = [u for u in self._by_number.values() if u.handed == 0]
        for utterance in waiting:
            if utterance in self._queue:
                self._queue.remove(utterance)
        self._held = [u for u in self._held if u not in waiting]
        return [self._forget(u, reason) for u in waiting]

    def next_frame(self, out: NDArray[np.int16], frame_no: int) -> bool:
        """Hand out the next 20 ms into ``out`` ``(160,)``; false (and zeros) where there is nothing.

        A frame never holds samples of two utterances: a new one begins with a frame.
        """
        queue = self._queue
        if not queue or not queue[0].pieces:
            out.fill(0)
            return False
        utterance = queue[0]
        pieces, filled = utterance.pieces, 0
        while pieces and filled < FRAME_SAMPLES:
            piece = pieces[0]
            take = min(len(piece), FRAME_SAMPLES - filled)
            out[filled : filled + take] = piece[:take]
            filled += take
            if take == len(piece):
                pieces.popleft()
            else:
                pieces[0] = piece[take:]
        if filled < FRAME_SAMPLES:
            out[filled:] = 0
        utterance.handed += filled
        self._out.append((frame_no, utterance, utterance.handed))
        if utterance.last and not pieces:
            queue.popleft()
            self._leaving.append(utterance)
        return True

    def starve(self) -> list[Ended]:
        """Count a frame in which the first utterance had nothing to hand out; one that starves is over."""
        if not self._queue:
            return []
        utterance = self._queue[0]
        utterance.starved += 1
        if utterance.starved < STARVED_FRAMES:
            return []
        self._queue.popleft()
        utterance.broken = True
        if self._out and self._out[-1][1] is utterance:  # what was handed out is still on its way
            self._leaving.append(utterance)
            return []
        return [self._forget(utterance, "dropped")]

    def played_to(self, played: int, sent: int = ALL_SENT) -> tuple[int, list[Ended]]:
        """Frames below ``played`` have left on the wire, those that ``sent`` tells of (``InBatch.sent``).

        Returns the utterance that began to sound (0: none), and those that are over.
        """
        out, begun = self._out, 0
        while out and out[0][0] < played:
            number, utterance, position = out.popleft()
            before = played - 1 - number
            if before >= SENT_FRAMES or not sent >> before & 1:
                utterance.lose(utterance.played, position)
            elif not utterance.started:
                utterance.started = True
                begun = utterance.number
            utterance.played = position
        return begun, self._drain_played() if self._leaving else []

    def abandon_leaving(self) -> list[Ended]:
        """Nothing more will be confirmed as played (the gateway is silent): end what was handed out as it is."""
        self._out.clear()
        gone = [self._forget(u, "played") for u in self._leaving]
        self._leaving.clear()
        return gone

    def _retire(self) -> list[Ended]:
        """The first utterance may turn out to be handed out whole (its last piece was empty)."""
        queue, ended = self._queue, []
        while queue and queue[0].is_handed_out:
            utterance = queue.popleft()
            if utterance.total == 0:
                ended.append(self._forget(utterance, "played"))
            else:
                self._leaving.append(utterance)
        return ended

    def _drain_played(self) -> list[Ended]:
        ended = []
        while self._leaving and self._leaving[0].played >= self._leaving[0].handed:
            ended.append(self._forget(self._leaving.popleft(), "played"))
        return ended

    def _forget(self, utterance: Utterance, reason: str) -> Ended:
        self._by_number.pop(utterance.number, None)
        return _ended(utterance, reason)


class Gain:
    """Our voice's level: full, or ducked; changes run over one frame, so that nothing clicks."""

    __slots__ = ("_ramp", "ducked", "now", "target")

    def __init__(self, duck_db: float) -> None:
        self.ducked = float(10.0 ** (duck_db / 20.0))
        self.now = 1.0
        self.target = 1.0
        self._ramp = np.linspace(1.0 / FRAME_SAMPLES, 1.0, FRAME_SAMPLES, dtype=np.float32)

    def duck(self) -> None:
        self.target = self.ducked

    def restore(self) -> None:
        self.target = 1.0

    def reset(self) -> None:
        """After a cut: the next utterance begins at full level."""
        self.now = self.target = 1.0

    def apply(self, frame: NDArray[np.int16]) -> None:
        """Scale ``frame`` ``(160,)`` in place."""
        if self.now == self.target:
            if self.now != 1.0:
                np.multiply(frame, self.now, out=frame, casting="unsafe")
            return
        np.multiply(frame, self.now + (self.target - self.now) * self._ramp, out=frame, casting="unsafe")
        self.now = self.target
