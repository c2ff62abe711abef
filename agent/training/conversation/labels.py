"""What is true in each 40 ms of a conversation, and how the tracks say so. Pure.

Frame ``f`` holds samples ``[320 f, 320 (f + 1))``; its labels tell what is true at its *end*, when a model has heard
those samples. 255 = not asked (no loss).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect
from agent.training.text.answer import State

FRAME: Final = 320
RATE_HZ: Final = 8000
NOT_ASKED: Final = 255
Codes = NDArray[np.uint8]
Span = tuple[int, int]
"""Samples, end exclusive."""

UNSURE: Final = 640
"""80 ms after speech stops nobody can know anything yet: not asked."""
SOON: Final = 1920
"""240 ms: "the turn ends within"."""
AFTER_END: Final = 16_000
"""2 s after a turn's end nothing more is learned from silence."""
ONSET: Final = 960
"""120 ms after an onset all sounds are alike: the overlap's class is not asked."""
AFTER_EVENT: Final = 1600
"""200 ms: so long an event's class is still asked after it."""
BRIDGED: Final = 960
"""Silences up to 120 ms are inside words."""
FITS_AFTER, FITS_UNTIL = 1280, 6400
"""Our backchannel fits from 160 to 800 ms into a pause …"""
FITS_TURN: Final = 16_000
"""… of a turn that has run for 2 s."""


class Overlap(IntEnum):
    """What sounds on the caller's line while we speak."""

    NONE = 0
    TAKES = 1
    """The caller wants the floor."""
    BACKCHANNEL = 2
    TIC = 3
    """Cough, breath, laugh, "um"."""
    SIDE = 4
    """Talk to somebody else, or somebody else's talk."""
    NOISE = 5
    ECHO = 6
    """Nothing but our own voice coming back."""


class Sound(IntFlag):
    """All that sounds on the caller's line in a frame."""

    SPEECH = 1
    BACKCHANNEL = 2
    TIC = 4
    SIDE = 8
    TV = 16
    NOISE = 32
    ECHO = 64
    KEYS = 128


@dataclass(frozen=True, slots=True)
class LabelledWord:
    """A word of the caller."""

    text: str
    start: int
    end: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something on the caller's line that is no turn, or a turn that begins over our voice."""

    kind: Overlap
    start: int
    end: int
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One contribution of the caller."""

    state: State
    start: int
    end: int
    """Behind its last audible sample."""
    speech: tuple[Span, ...]
    """Audible stretches, silences of more than 120 ms between them."""
    finished: bool = True
    """It ends there; else nobody knows (a clip that was cut): its end is not asked."""
    voice: str = ""
    text: str = ""
    takes: bool = False
    """It begins over our voice."""

    @property
    def pauses(self) -> tuple[Span, ...]:
        return tuple((a[1], b[0]) for a, b in zip(self.speech[:-1], self.speech[1:], strict=True))

    @property
    def human(self) -> bool:
        return self.voice.startswith("human:")


class Truth(IntEnum):
    """How the expectation stands to what the caller says."""

    RIGHT = 0
    WRONG = 1
    UNKNOWN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """From ``start`` on the brain waits for this."""

    start: int
    expect: Expect
    state: State
    truth: Truth
    detail: str = ""
    """``name``, ``address``, ``code``, ``amount``: what kind of free speech, where the brain tells it."""


@dataclass(slots=True)
class Script:
    """All that happened, in samples."""

    samples: int
    turns: list[Turn] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    own: list[Span] = field(default_factory=list)
    """Where our voice is audible."""
    own_intended: list[Span] = field(default_factory=list)
    """Our utterances as wholes, their small pauses included: we have the floor."""
    waiting: list[Waiting] = field(default_factory=list)
    words: list[LabelledWord] = field(default_factory=list)
    sounds: list[tuple[Sound, Span]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return self.samples // FRAME


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of one conversation, ``[frames]`` each."""

    speech: Codes
    """The main caller speaks."""
    own: Codes
    """Our voice is audible on our channel."""
    end: Codes
    """The caller's turn is over."""
    soon: Codes
    """It is over, or will be within 240 ms."""
    overlap: Codes
    """``Overlap``, asked while we have the floor."""
    fits: Codes
    """A backchannel of ours fits now."""
    sound: Codes
    """``Sound`` flags."""
    truth: Codes
    """``Truth`` of the expectation."""


def labels(script: Script) -> Labels:
    """All labels of a script."""
    n = script.frames
    speech = np.zeros(n, np.uint8)
    for turn in script.turns:
        mark(speech, turn.speech, 1)
    for event in script.events:
        if event.kind is Overlap.BACKCHANNEL:
            mark(speech, [(event.start, event.end)], 1)
        elif event.kind is Overlap.TIC and event.text:
            mark(speech, [(event.start, event.end)], NOT_ASKED)  # an "um" is a voice, and may be the beginning of more
    own = mark(np.zeros(n, np.uint8), script.own, 1)
    sound = np.zeros(n, np.uint8)
    for kind, span in script.sounds:
        sound |= mark(np.zeros(n, np.uint8), [span], int(kind))
    end, soon = _ends(script)
    truth = np.full(n, Truth.UNKNOWN, np.uint8)
    for waiting in script.waiting:
        truth[min(n, waiting.start // FRAME) :] = waiting.truth
    return Labels(speech, own, end, soon, _overlaps(script, sound), _fits(script), sound, truth)


def mark(codes: Codes, spans: Iterable[Span], value: int) -> Codes:
    """Set the frames that lie in a span for at least a half; in place."""
    for start, end in spans:
        first, last = (start + FRAME // 2) // FRAME, (end + FRAME // 2) // FRAME
        codes[max(0, first) : max(0, last)] = value
    return codes


def _until(codes: Codes, start: int, end: int, value: int) -> None:
    """Set the frames whose *end* lies in ``(start, end]``."""
    first, last = start // FRAME, end // FRAME
    codes[max(0, first) : max(0, last)] = value


def _ends(script: Script) -> tuple[Codes, Codes]:
    """``end`` and ``soon``. Before a turn: no; in it, its pauses too: no; behind it: yes; while we speak: not asked."""
    samples = script.samples
    end, soon = np.zeros(script.frames, np.uint8), np.zeros(script.frames, np.uint8)
    for turn in sorted(script.turns, key=lambda turn: turn.start):
        reply = min((start for start, _ in script.own_intended if start >= turn.end), default=samples)
        following = min((other.start for other in script.turns if other.start >= turn.end), default=samples)
        rest = min(reply, following)
        upto = min(rest, turn.end + AFTER_END)
        certain = 1 if turn.finished else NOT_ASKED
        for codes in (end, soon):
            _until(codes, turn.start, turn.end, 0)
            for pause in turn.pauses:
                _until(codes, pause[0], min(pause[0] + UNSURE, pause[1]), NOT_ASKED)
            _until(codes, upto, rest, NOT_ASKED)
        _until(end, turn.end, upto, certain)
        _until(end, turn.end, min(turn.end + UNSURE, upto), NOT_ASKED)
        _until(soon, max(turn.end - SOON, turn.start), upto, certain)
    for start, stop in script.own_intended:
        _until(end, start, stop, NOT_ASKED)
        _until(soon, start, stop, NOT_ASKED)
    return end, soon


def _overlaps(script: Script, sound: Codes) -> Codes:
    """The class of what sounds while we have the floor."""
    found = np.full(script.frames, NOT_ASKED, np.uint8)
    floor = np.zeros(script.frames, np.bool_)
    for start, stop in script.own_intended:
        floor[start // FRAME : stop // FRAME] = True
    quiet = np.where(sound & Sound.ECHO, Overlap.ECHO, Overlap.NONE)
    quiet[(sound & Sound.TV) > 0] = Overlap.NOISE
    found[floor] = quiet[floor]
    for event in sorted(script.events, key=lambda event: (event.kind is Overlap.TAKES, event.start)):
        part = np.zeros(script.frames, np.bool_)
        part[event.start // FRAME : min(script.frames, (event.end + AFTER_EVENT) // FRAME)] = True
        found[part & floor] = event.kind
        onset = np.zeros(script.frames, np.bool_)
        onset[event.start // FRAME : (event.start + ONSET) // FRAME] = True
        found[onset & floor] = NOT_ASKED
    return found


def _fits(script: Script) -> Codes:
    """Where our backchannel fits: early in a pause of a long turn. Asked inside turns only."""
    found = np.full(script.frames, NOT_ASKED, np.uint8)
    for turn in script.turns:
        _until(found, turn.start, turn.end + AFTER_END // 4, 0)
        for start, stop in turn.pauses:
            if start - turn.start >= FITS_TURN and stop - start > FITS_AFTER:
                _until(found, start + FITS_AFTER, min(stop, start + FITS_UNTIL), 1)
    for start, stop in script.own_intended:
        _until(found, start, stop, NOT_ASKED)
    return found


def bridged(runs: list[Span], gap: int = BRIDGED) -> list[Span]:
    """Stretches whose silences are no longer than ``gap`` joined."""
    joined: list[Span] = []
    for start, end in runs:
        if joined and start - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
