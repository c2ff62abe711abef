"""What we have given to a carrier's playback buffer, and what of it was played. Pure: ``now`` in float seconds.

The buffer is deep and plays at real time: what lies in it can only be taken back by ``clear``, so little is put in.
Positions are samples sent since the last clear (a *generation*). Marks say what was played: each carries its
generation in its name, because a clear returns those that were waiting at once, and they must not count as played.
Between two marks elapsed time counts, never past a mark that has not come back, and never past what was sent.

Silence is what the depth is governed with: a silent frame too many is left out, one too few is added. Speech that
would lie too far ahead waits here, where it can be dropped.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

FRAME_SAMPLES = 160
RATE_HZ = 8000
AHEAD_MS = 100
"""No frame goes out while this much lies unplayed at the carrier."""
MARK_FRAMES = 5
"""A mark after every 100 ms."""
OVERDUE_S = 1.0
"""A mark that is so late will not come: some carriers drop them. Elapsed time counts instead."""
STALLED_S = 5.0
"""Without any mark for so long, though some are due, the socket has stalled."""
MAX_RTT_S = 1.0
MAX_WAITING = 300
"""Frames (6 s) that may wait for a carrier that takes none: more than a stall that is not yet told as one."""
_GRACE_S = 0.02
_NAME = re.compile(r"([0-9]{1,9})\.([0-9]{1,12})\Z")


@dataclass(frozen=True, slots=True)
class Audio:
    """Send these bytes of G.711 now."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class MarkDue:
    """Send a mark of this name now."""

    name: str


Order = Audio | MarkDue


@dataclass(frozen=True, slots=True)
class _Waiting:
    payload: bytes
    frame_no: int
    is_silent: bool


@dataclass(frozen=True, slots=True)
class _Pending:
    position: int
    sent_at: float


class FarEnd:
    """The playback buffer of one stream, as far as we know it."""

    def __init__(self, *, lead_ms: int) -> None:
        """``lead_ms``: what should lie in the buffer, so that a late packet is not heard."""
        self._lead = lead_ms * RATE_HZ // 1000
        self._most = AHEAD_MS * RATE_HZ // 1000
        self._waiting: deque[_Waiting] = deque()
        self._frames: deque[tuple[int, int]] = deque()
        """``(position of its end, frame number)`` of frames sent and not known to be played."""
        self._marks: dict[str, _Pending] = {}
        self._generation = 0
        self._sent = 0
        self._since_mark = 0
        self._acked = 0
        self._acked_at: float | None = None
        """When the position ``_acked`` was heard of; ``None``: nothing was sent in this generation."""
        self._clear_mark = ""
        self._cleared_at = 0.0
        self._silent_since: float | None = None
        """Since when marks are out and none came; ``None``: none is out."""
        self._played = 0
        self._is_speaking = False
        self.rtt_s = 0.0
        self.stale_marks = 0
        """Came back for a clear, or twice, or were never sent."""
        self.overdue_marks = 0
        self.skipped = 0
        """Silent frames left out, because the carrier had enough in hand."""

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def waiting(self) -> int:
        """Frames that are held back here."""
        return len(self._waiting)

    def has_stalled(self, now: float) -> bool:
        """Too much waits here, or no mark comes any more."""
        silent_s = 0.0 if self._silent_since is None else now - self._silent_since
        return len(self._waiting) > MAX_WAITING or silent_s > STALLED_S

    def probe(self, now: float) -> MarkDue:
        """A mark behind nothing, which comes back at once: how far away the carrier is."""
        return self._mark(now)

    def push(self, payload: bytes, frame_no: int, *, is_silent: bool) -> None:
        """Take one frame of 20 ms; ``frame_no`` -1 for filling that stands for nothing.

        Filling inside speech means that a frame is late: it will follow, and the buffer has something in hand for just
        that, so silence would only tear the word.
        """
        if frame_no < 0 and self._is_speaking:
            return
        self._is_speaking = not is_silent
        self._waiting.append(_Waiting(payload, frame_no, is_silent))

    def due(self, now: float) -> list[Order]:
        """What to send now."""
        self._forget_overdue(now)
        orders: list[Order] = []
        while self._waiting:
            ahead = self._ahead(now)
            frame = self._waiting[0]
            if frame.is_silent and ahead > self._lead:
                self._waiting.popleft()
                self._frames.append((self._sent, frame.frame_no))
                self.skipped += 1
                continue
            if ahead + FRAME_SAMPLES > self._most:
                break
            self._waiting.popleft()
            if frame.is_silent and frame.frame_no >= 0 and ahead + 2 * FRAME_SAMPLES <= self._lead:
                orders.append(self._send(_Waiting(frame.payload, -1, True), now))
            orders.append(self._send(frame, now))
            if self._since_mark >= MARK_FRAMES:
                orders.append(self._mark(now))
        return orders

    def clear(self, now: float) -> None:
        """The carrier is told to empty its buffer: what it has not played by now never counts as played."""
        self.played(now)
        self._clear_mark = next(reversed(self._marks), "")
        self._cleared_at = now
        self._generation += 1
        self._is_speaking = False
        self._waiting.clear()
        self._frames.clear()
        self._marks.clear()
        self._sent = self._acked = self._since_mark = 0
        self._acked_at = None

    def restart(self, now: float) -> None:
        """Another claim, whose frames are counted from 0."""
        self.clear(now)
        self._played = 0

    def mark_back(self, name: str, now: float) -> None:
        """A mark has come."""
        pending = self._marks.get(name)
        self._silent_since = now if self._marks else None
        if pending is None:
            self.stale_marks += 1
            if name and name == self._clear_mark:  # the clear has sent it back
                self._clear_mark = ""
                self.rtt_s = min(MAX_RTT_S, now - self._cleared_at)
            return
        for known in list(self._marks):  # marks come in order: what is before it is played too
            del self._marks[known]
            if known == name:
                break
        if not self._marks:
            self._silent_since = None
        if pending.position == 0:
            self.rtt_s = min(MAX_RTT_S, now - pending.sent_at)
            return
        self._acked, self._acked_at = pending.position, now

    def played(self, now: float) -> int:
        """Frames below this number were played at the carrier."""
        reached = self._reached(now)
        while self._frames and self._frames[0][0] <= reached:
            _, frame_no = self._frames.popleft()
            if frame_no >= 0:
                self._played = frame_no + 1
        return self._played

    # --- positions ---

    def _send(self, frame: _Waiting, now: float) -> Audio:
        if self._acked_at is None:
            self._acked_at = now + self.rtt_s
        elif self._ahead(now) <= 0:
            self._acked, self._acked_at = self._sent, now + self.rtt_s  # it ran dry: playing begins anew
        self._sent += len(frame.payload)
        self._since_mark += 1
        self._frames.append((self._sent, frame.frame_no))
        return Audio(frame.payload)

    def _mark(self, now: float) -> MarkDue:
        self._since_mark = 0
        name = f"{self._generation}.{self._sent}"
        self._marks[name] = _Pending(self._sent, now)
        if self._silent_since is None:
            self._silent_since = now
        return MarkDue(name)

    def _reached(self, now: float) -> int:
        """Position that was played, as we can know it now: half a round trip old, like all that we hear."""
        if self._acked_at is None:
            return 0
        elapsed = max(0.0, self._trusted(now) - self._acked_at)
        return min(self._sent, self._acked + int(elapsed * RATE_HZ + 0.5))

    def _ahead(self, now: float) -> int:
        """Samples that will lie unplayed before what is sent now, when it arrives."""
        if self._acked_at is None:
            return 0
        elapsed = max(0.0, self._trusted(now) + self.rtt_s - self._acked_at)
        return max(0, self._sent - self._acked - int(elapsed * RATE_HZ + 0.5))

    def _trusted(self, now: float) -> float:
        """Elapsed time counts until the next mark is due, and stands still until it comes."""
        assert self._acked_at is not None
        for pending in self._marks.values():
            if pending.position:
                return min(now, self._due_back(pending) + _GRACE_S)
        return now

    def _due_back(self, pending: _Pending) -> float:
        assert self._acked_at is not None
        return self._acked_at + (pending.position - self._acked) / RATE_HZ

    def _forget_overdue(self, now: float) -> None:
        for name, pending in list(self._marks.items()):
            due = pending.sent_at if self._acked_at is None or not pending.position else self._due_back(pending)
            if now - due < OVERDUE_S:
                return
            del self._marks[name]
            self.overdue_marks += 1


def mark_generation(name: str) -> int | None:
    """The generation in a mark's name, or ``None`` if it is no mark of ours."""
    found = _NAME.match(name)
    return int(found[1]) if found else None
