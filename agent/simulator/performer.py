"""A script in performance: one frame of 20 ms after the other, reacting to the agent. Pure: time comes as ``now``.

``now`` is the caller time at which the frame has been spoken, which is when its packet leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.simulator.clips import PACKET_SAMPLES, Clip
from agent.simulator.ear import Ear
from agent.simulator.energy import RATE_HZ
from agent.simulator.render import Cue
from agent.simulator.script import Background, Echo, HangUp, Keys, Sound, Trigger, Wait, WaitReply, When
from agent.simulator.truth import EventType, TruthEvent

FRAME_S = PACKET_SAMPLES / RATE_HZ
ANSWER_HALVES = 20
"""A reply is at least 200 ms of agent speech."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one packet carries."""

    clip: Clip | None = None
    index: int = 0
    """Packet of the clip; a ``None`` clip is silence."""
    key: str = ""
    """A key is pressed now …"""
    key_ms: int = 0
    """… for so long."""
    change: Background | Echo | None = None
    """The room changes from this frame on."""
    hang_up: bool = False


SILENT = Frame()
HANG_UP = Frame(hang_up=True)


class Performer:
    """Plays cues. ``frame`` is called once per 20 ms and never blocks."""

    def __init__(self, call: str, cues: Sequence[Cue], *, control: bool = False, max_s: float = 300.0) -> None:
        """``control``: a paired control run; what would be said over the agent's voice is noted, not sent."""
        self.events: list[TruthEvent] = []
        self.notes: list[str] = []
        """What did not go as the script says (a reply that never came …)."""
        self._call, self._cues, self._control, self._max_s = call, list(cues), control, max_s
        self._at = 0
        self._since: float | None = None
        """When the current cue began to wait."""
        self._mark, self._mark_halves = 0.0, 0
        """End of our last words, and the agent's speech until then: a reply comes after both."""
        self._playing: Cue | None = None
        self._index = 0
        self._starts: list[float] = []
        """Caller time of the first sample of each packet of the clip that plays."""
        self._keys = ""
        self._keys_free = 0.0

    @property
    def done(self) -> bool:
        return self._at >= len(self._cues)

    def frame(self, now: float, ear: Ear) -> Frame:
        """The frame that has been spoken at ``now``."""
        if now >= self._max_s:
            return HANG_UP
        # Steps that take no time follow each other within one frame.
        for _ in range(8):
            if self._playing is not None:
                return self._next_packet(now, ear)
            if self.done:
                return HANG_UP
            frame = self._cue(self._cues[self._at], now, ear)
            if frame is not None:
                return frame
        return SILENT

    # --- cues ---

    def _cue(self, cue: Cue, now: float, ear: Ear) -> Frame | None:
        """A frame, or ``None`` if the next cue is due in this very frame."""
        if self._since is None:
            self._since = now
        step = cue.step
        if isinstance(step, Sound):
            return self._sound(cue, step, now, ear)
        if isinstance(step, Keys):
            return self._press(step, now, ear)
        if isinstance(step, WaitReply):
            return self._wait_reply(step, now, ear)
        if isinstance(step, Wait):
            return self._next() if now - self._since >= step.ms / 1000 - 1e-9 else SILENT
        if isinstance(step, HangUp):
            return HANG_UP
        self._next()
        return Frame(change=step)

    def _next(self) -> Frame | None:
        """On to the next cue; its frame is this very frame."""
        self._at, self._since = self._at + 1, None
        return None

    def _sound(self, cue: Cue, step: Sound, now: float, ear: Ear) -> Frame | None:
        due = self._due(step.when, now, ear)
        if due is None:
            return SILENT
        if not due:
            self.notes.append(f"line {step.line}: {step.type} skipped: the agent did not speak")
            return self._next()
        if self._control and step.type is not EventType.TURN:
            self._note_unsent(cue, step, now)
            return self._next()
        self._playing, self._index, self._starts = cue, 0, []
        return None

    def _due(self, when: When, now: float, ear: Ear) -> bool | None:
        """Whether to begin; ``None`` to go on waiting, false to give up."""
        assert self._since is not None
        after_s, waited = when.after_ms / 1000, now - self._since
        if when.trigger is Trigger.NOW:
            return True if waited >= after_s - 1e-9 else None
        if when.trigger is Trigger.AGENT_SPEAKS and ear.spoken_for(now) >= max(after_s, 0.02):
            return True
        if when.trigger is Trigger.AGENT_SILENT and ear.silent_for(now) >= after_s:
            return True
        if waited < when.timeout_ms / 1000:
            return None
        return when.trigger is Trigger.AGENT_SILENT

    def _wait_reply(self, step: WaitReply, now: float, ear: Ear) -> Frame | None:
        assert self._since is not None
        replied = ear.loud_halves - self._mark_halves >= ANSWER_HALVES
        if replied and ear.silent_for(now) >= step.settle_ms / 1000:
            return self._next()
        if now - self._since >= step.timeout_ms / 1000:
            self.notes.append(f"line {step.line}: {'the agent went on talking' if replied else 'no reply'}")
            return self._next()
        return SILENT

    def _press(self, step: Keys, now: float, ear: Ear) -> Frame | None:
        if not self._keys:
            if self._keys_free > now:
                return SILENT
            if self._keys_free:
                self._keys_free = 0.0
                self._set_mark(now, ear)
                return self._next()
            due = self._due(step.when, now, ear)
            if due is None:
                return SILENT
            if not due:
                return self._next()
            self._keys = step.digits
        if self._keys_free > now:
            return SILENT
        key, self._keys = self._keys[0], self._keys[1:]
        self._keys_free = now + (step.tone_ms + step.gap_ms) / 1000
        start = now - FRAME_S
        self._add(EventType.DTMF, f"{self._at}:dtmf", start, start + step.tone_ms / 1000, text=key)
        return Frame(key=key, key_ms=step.tone_ms)

    # --- sounds ---

    def _next_packet(self, now: float, ear: Ear) -> Frame:
        cue = self._playing
        assert cue is not None
        assert cue.clip is not None
        self._starts.append(now - FRAME_S)
        frame = Frame(clip=cue.clip, index=self._index)
        self._index += 1
        if self._index >= cue.clip.packets:
            self._finish(cue, cue.clip, now, ear)
        return frame

    def _finish(self, cue: Cue, clip: Clip, now: float, ear: Ear) -> None:
        """The clip's events, dated by the packets that really carried them."""
        step = cue.step
        assert isinstance(step, Sound)
        self._add(
            step.type,
            cue.item,
            self._time_of(clip.span.start),
            self._time_of(clip.span.end),
            text=cue.text,
            expect=step.expect,
            resume=step.resume,
        )
        if step.type is EventType.TURN:
            for number, hold in enumerate(clip.holds):
                label = f"{cue.item}:hold{number}"
                self._add(EventType.HOLD, label, self._time_of(hold.start), self._time_of(hold.end))
        if step.type in (EventType.TURN, EventType.INTERRUPT):
            self._set_mark(now, ear)
        self._playing = None
        self._next()

    def _time_of(self, at_s: float) -> float:
        """Caller time of a place in the clip: its packet's first sample plus the rest."""
        packet = min(int(at_s / FRAME_S + 1e-9), len(self._starts) - 1)
        return self._starts[packet] + at_s - packet * FRAME_S

    def _note_unsent(self, cue: Cue, step: Sound, now: float) -> None:
        assert cue.clip is not None
        start = now - FRAME_S + cue.clip.span.start
        self._add(step.type, cue.item, start, start + cue.clip.span.length, text=cue.text, resume=step.resume)
        self.events[-1] = replace(self.events[-1], sent=False)

    def _add(self, type_: EventType, item: str, start: float, end: float, **rest: str | bool) -> None:
        number = f"{self._call}/{len(self.events)}"
        event = TruthEvent(call=self._call, id=number, type=type_, start=start, end=end, item=item)
        self.events.append(replace(event, **rest))  # type: ignore[arg-type]  # only text, expect and resume come

    def _set_mark(self, now: float, ear: Ear) -> None:
        self._mark, self._mark_halves = now, ear.loud_halves


def spoken(frame: Frame) -> NDArray[np.int16] | None:
    """(160,) int16 of a frame, or ``None`` for silence."""
    if frame.clip is None:
        return None
    return frame.clip.pcm[frame.index * PACKET_SAMPLES : (frame.index + 1) * PACKET_SAMPLES]
