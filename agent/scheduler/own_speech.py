"""What a model that speaks has said on one row, and what of it was heard. Pure.

The model gives pieces of text beside its audio, each with the frame that it belongs to. Frames that sound are
remembered until the gateway says that they have left; from that follows which words were heard, as for every other
voice. A word lasts from its first piece to the next word's, or ``TAIL_FRAMES`` beyond its last piece: the model tells
no ends, so that is an estimate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from agent.model.protocol import TOLD_WORDS
from agent.scheduler.speech import Ended
from telephony.link import ALL_SENT, SENT_FRAMES

OWN: Final = 0
"""Number of all that a model says by itself, among utterances."""
TAIL_FRAMES: Final = 12
"""240 ms: a word sounds at most that long after its last piece of text."""
MOST_FRAMES: Final = 3000
"""A minute: a model that never pauses is told in parts."""
MOST_WORDS: Final = 512
"""Of a model that tells words and makes no sound, the oldest are forgotten."""
PHRASE_ENDS: Final = (".", ",", "?", "!", ";", ":")


@dataclass(slots=True)
class _Word:
    text: str
    start: int
    """Frames of the model's own audio."""
    last_piece: int


@dataclass(slots=True)
class _Stretch:
    """Speech without a longer pause."""

    words: list[_Word] = field(default_factory=list)
    sounded: set[int] = field(default_factory=set)
    """The model's frames that have left on the wire, as far as words may need them."""
    handed: int = 0
    left: int = 0
    """Frames handed out, and those of them that have left (or never will)."""
    last: int = -1
    """The model's last frame handed out."""
    begun: bool = False


class OwnSpeech:
    """Stretches of a model's speech on one row. Each is told once as begun and once as ended."""

    def __init__(self) -> None:
        self._words: list[_Word] = []
        """Told by the model, not yet part of a stretch that is over."""
        self._now: _Stretch | None = None
        self._out: deque[tuple[int, _Stretch, int]] = deque()
        """``(frame number, stretch, the model's frame)``"""
        self._leaving: list[_Stretch] = []
        self.latest: deque[str] = deque(maxlen=TOLD_WORDS)
        """The last words that were heard."""

    @property
    def is_speaking(self) -> bool:
        """It sounds, or what sounded is still on its way."""
        return self._now is not None or bool(self._out)

    @property
    def is_at_boundary(self) -> bool:
        """A phrase is over, as far as the model's text tells: something else may be said next."""
        return self._now is None or (bool(self._words) and self._words[-1].text.endswith(PHRASE_ENDS))

    def hear_text(self, at: int, piece: str) -> None:
        """A piece of text of the model's frame ``at``; one with a space in front begins a word."""
        if piece.startswith(" ") or not self._words:
            if text := piece.strip():
                self._words.append(_Word(text, at, at))
                del self._words[:-MOST_WORDS]
            return
        word = self._words[-1]
        word.text += piece.rstrip()
        word.last_piece = at

    def hand(self, frame_no: int, at: int) -> None:
        """The model's frame ``at`` is handed out as frame ``frame_no``, and sounds."""
        if self._now is not None and self._now.handed >= MOST_FRAMES:
            self._close()
        if self._now is None:
            self._now = _Stretch()
        self._now.handed += 1
        self._now.last = at
        self._out.append((frame_no, self._now, at))

    def stop(self) -> list[Ended]:
        """The model pauses, or another voice speaks: what it said is over when it has left."""
        if self._now is None:
            return []
        self._close()
        return self._drain()

    def cut(self, reason: str) -> list[Ended]:
        """What has left by now is all that is heard."""
        stretches, self._leaving = self._leaving, []
        if self._now is not None:
            self._now.words = self._words
            stretches.append(self._now)
        self._now, self._words = None, []
        self._out.clear()
        return [self._ended(stretch, reason) for stretch in stretches]

    def played_to(self, played: int, sent: int = ALL_SENT) -> tuple[bool, list[Ended]]:
        """Frames below ``played`` have left, those that ``sent`` tells of. Whether speech began; what is over."""
        begun = False
        while self._out and self._out[0][0] < played:
            number, stretch, at = self._out.popleft()
            stretch.left += 1
            before = played - 1 - number
            if before < SENT_FRAMES and sent >> before & 1:
                stretch.sounded.add(at)
                begun |= not stretch.begun
                stretch.begun = True
        return begun, self._drain()

    def abandon(self) -> list[Ended]:
        """Nothing more will be confirmed (the gateway is silent)."""
        self._out.clear()
        gone, self._leaving = self._leaving, []
        return [self._ended(stretch, "played") for stretch in gone]

    # --- what was heard ------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Nothing more belongs to this stretch; words that have not begun are the next one's."""
        assert self._now is not None
        stretch, self._now = self._now, None
        stretch.words = [word for word in self._words if word.start <= stretch.last]
        self._words = [word for word in self._words if word.start > stretch.last]
        self._leaving.append(stretch)

    def _drain(self) -> list[Ended]:
        over = [stretch for stretch in self._leaving if stretch.left >= stretch.handed]
        self._leaving = [stretch for stretch in self._leaving if stretch.left < stretch.handed]
        return [self._ended(stretch, "played") for stretch in over]

    def _ended(self, stretch: _Stretch, reason: str) -> Ended:
        words = stretch.words
        ends = [min(w.last_piece + TAIL_FRAMES, n.start) for w, n in pairwise(words)]
        ends += [min(w.last_piece + TAIL_FRAMES, max(stretch.last, w.start) + 1) for w in words[-1:]]
        heard = [w.text for w, end in zip(words, ends, strict=True) if self._was_heard(stretch, w.start, end)]
        self.latest += heard
        texts = [w.text for w in words]
        count = len(heard)
        unheard = texts[count:] if texts[:count] == heard else [text for text in texts if text not in heard]
        return Ended(OWN, count, " ".join(heard), " ".join(unheard), reason == "played" and not unheard, reason)

    @staticmethod
    def _was_heard(stretch: _Stretch, start: int, end: int) -> bool:
        """More than half of the word's frames have left."""
        return 2 * sum(at in stretch.sounded for at in range(start, max(end, start + 1))) > max(end - start, 1)
