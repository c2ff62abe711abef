"""A caller whose audio goes over a socket of its door: media streams, sessions, browsers."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from agent.simulator.caller import CallResult
from agent.simulator.clips import PACKET_SAMPLES
from agent.simulator.line import Deliver, Line
from agent.simulator.network import CLEAN
from agent.simulator.performer import Frame, Performer
from agent.simulator.phone import PhoneBook
from agent.simulator.recording import wire_channel
from agent.simulator.render import Cue, backgrounds
from agent.simulator.script import Script
from telephony.audio.g711 import ulaw_decode
from telephony.media import LegMedia

SILENT_BYTE = b"\xff"
HEADER_BYTES = 12
_HEADER = struct.Struct("!BBHII")


class StreamLine(Line):
    """What the caller says leaves by ``on_audio`` (mu-law, 20 ms) and ``on_key``; what is heard comes by ``hear``."""

    def __init__(self, *args: Any, on_audio: Callable[[bytes], None], on_key: Callable[[str], None], **more: Any):
        super().__init__(*args, **more)
        self.on_audio, self.on_key = on_audio, on_key
        self._heard_packets = 0

    def begin(self, now: float) -> None:
        """The stream has begun."""
        media = LegMedia(codec="PCMU", payload_type=0, dtmf_payload_type=None, remote=("stream", 0), signalling_ip="")
        self.start(media, now)

    def hear(self, at: float, audio: bytes, *, timestamp: int | None = None) -> None:
        """What comes at ``at`` (monotonic), or is played then: up to one packet of mu-law.

        ``timestamp``: its place in the peer's audio, in samples, where the peer sends without gaps; without one it lies
        where it comes.
        """
        self._heard_packets += 1
        place = round((at - self.started_at) * 8000) if timestamp is None else timestamp
        head = _HEADER.pack(0x80, 0, self._heard_packets & 0xFFFF, place & 0xFFFFFFFF, 1)
        self._take(at, head + audio.ljust(PACKET_SAMPLES, SILENT_BYTE))

    def _send(self, frame: Frame, now: float, deliver: Deliver) -> None:
        super()._send(frame, now, deliver)
        if frame.key:  # told, not sounded
            self._pressed = None
            self.on_key(frame.key)

    def _transmit(self, packet: bytes, now: float, deliver: Deliver, remote: tuple[str, int]) -> None:
        self.on_audio(packet[HEADER_BYTES:])


async def new_line(script: Script, cues: tuple[Cue, ...], *, call: str, control: bool, seed: int) -> StreamLine:
    """A line that performs ``script``; whoever opens the stream sets where its audio and keys go."""
    return StreamLine(
        Performer(call, cues, control=control, max_s=script.max_s),
        noises=await asyncio.to_thread(backgrounds, script),
        rng=np.random.default_rng(seed),
        on_audio=unheard,
        on_key=unheard,
    )


async def keep_time(line: Line, before: Callable[[float], None] = lambda due: None) -> None:
    """Every 20 ms at absolute deadlines: ``before`` with the deadline, then one frame, until the script is over."""
    while not line.finished:
        due = line.due()
        if (left := due - time.monotonic()) > 0:
            await asyncio.sleep(left)
        before(due)
        line.tick(time.monotonic(), nowhere)


def stream_result(call: str, book: PhoneBook, line: StreamLine, seed: int) -> CallResult:
    """The call as its caller has it."""
    track, caller = line.track(), line.sent_pcm()
    return CallResult(
        call=call,
        book=book,
        events=sorted(line.performer.events, key=lambda event: event.start),
        notes=line.performer.notes,
        caller=caller,
        agent=wire_channel(track, ulaw_decode, length_s=len(caller) / 8000),
        track=track,
        pacing=line.pacing,
        seed=seed,
        network=CLEAN,
        exact_arrivals=True,
        started_at=line.started_at,
    )


def unheard(_: Any) -> None:
    """Before the stream there is nobody to tell."""


def nowhere(at: float, packet: bytes, remote: tuple[str, int]) -> None:
    """A stream sends no datagrams."""
