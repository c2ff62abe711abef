"""Keys as telephone events (RFC 4733): each key once on the way in, well-formed events on the way out.

Only packets of the negotiated payload type come here, a few per key, so this is plain code per leg.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from telephony.errors import LocalProtocolError

KEYS = "0123456789*#ABCD"
_PAYLOAD = struct.Struct(">BBH")
_FRAME = 160
_VOLUME = 10  # -10 dBm0
_TONE_FRAMES = 5  # 100 ms
_GAP_FRAMES = 5
_END_PACKETS = 3  # §2.5.1.4
_LONG_EVENT = 0xFFFF
_FORGET_S = 5.0
"""A key is told apart from its own late packets for this long."""
MAX_QUEUED_KEYS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key was pressed."""

    digit: str
    duration_ms: int
    """As far as it is known: of the packet that told of the key first."""


class DtmfReceiver:
    """Packets of one leg to keys. A key is told at its first packet, whichever that is, and never again."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, tuple[int, int, int]]] = deque(maxlen=32)
        self._long: tuple[int, int] | None = None  # event and timestamp at which its next segment begins

    def receive(self, *, ssrc: int, timestamp: int, payload: bytes, now: float) -> Key | None:
        """One packet. The key of a packet is (SSRC, timestamp, event): §2.5.1.2."""
        if len(payload) < _PAYLOAD.size:
            return None
        event, flags, duration = _PAYLOAD.unpack_from(payload)
        if event >= len(KEYS):
            return None
        while self._seen and now - self._seen[0][0] > _FORGET_S:
            self._seen.popleft()
        key = (ssrc, timestamp, event)
        continued = self._long == (event, timestamp)
        if duration == _LONG_EVENT:
            # §2.5.1.3: a longer event goes on under a new timestamp; that is no new key.
            self._long = (event, (timestamp + duration) & 0xFFFFFFFF)
        elif flags & 0x80:
            self._long = None
        if any(known == key for _, known in self._seen):
            return None
        self._seen.append((now, key))
        return None if continued else Key(digit=KEYS[event], duration_ms=duration // 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPacket:
    """What to send in this tick instead of audio."""

    payload: bytes
    timestamp: int
    """Of the event's start."""
    marker: bool


class DtmfSender:
    """Keys to send, one packet per 20 ms tick. Pure: the leg supplies its timestamp."""

    def __init__(self) -> None:
        self._keys: deque[int] = deque()
        self._step = 0
        self._start = 0

    @property
    def idle(self) -> bool:
        return not self._keys

    def push(self, digits: str) -> None:
        """Queue keys; raises ``LocalProtocolError`` on anything that is no key, or on too many."""
        events = [KEYS.find(digit) for digit in digits.upper()]
        if -1 in events:
            raise LocalProtocolError("only 0-9 * # A-D are keys")
        if len(self._keys) + len(events) > MAX_QUEUED_KEYS:
            raise LocalProtocolError(f"more than {MAX_QUEUED_KEYS} keys are waiting")
        self._keys.extend(events)

    def next_packet(self, timestamp: int) -> EventPacket | None:
        """The packet of this tick; ``None`` in the gap between keys (audio goes on)."""
        if not self._keys:
            return None
        if self._step == 0:
            self._start = timestamp
        step, self._step = self._step, self._step + 1
        if step >= _TONE_FRAMES + _END_PACKETS - 1:
            if step >= _TONE_FRAMES + _END_PACKETS - 2 + _GAP_FRAMES:
                self._keys.popleft()
                self._step = 0
            return None
        end = step >= _TONE_FRAMES - 1
        duration = _FRAME * min(step + 1, _TONE_FRAMES)
        payload = _PAYLOAD.pack(self._keys[0], (0x80 if end else 0) | _VOLUME, duration)
        return EventPacket(payload=payload, timestamp=self._start, marker=step == 0)
