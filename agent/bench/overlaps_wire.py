"""The edge between callers and the engine, in virtual time: its own playout buffers and queues, no sockets.

Packets of 20 ms leave the callers' telephones on the frame; the edge's tick comes half a frame later (the mean of
where it may lie), and our packet leaves half a frame behind that. All rows tick together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.simulator.energy import RATE_HZ
from agent.simulator.network import NetworkProfile, Wire
from telephony.audio.g711 import ulaw_decode, ulaw_encode
from telephony.edge_queue import AgentQueue
from telephony.link import FRAME_SAMPLES, InBatch, InFlag, OutBatch
from telephony.rtp.playout import Arrivals, Playout, PlayoutLimits

FRAME_MS: Final = 1000 * FRAME_SAMPLES // RATE_HZ
AGENT_FRAMES: Final = 2
"""What the engine makes of the tick of caller frame ``k`` is frame ``k + AGENT_FRAMES`` of the agent's channel."""

Frames = NDArray[np.int16]


def _tick_ms(frame: int) -> float:
    return (frame + 1.5) * FRAME_MS


class Edge:
    """One edge's legs, one per row. ``network``: one for each leg."""

    def __init__(self, networks: Sequence[NetworkProfile]) -> None:
        n = len(networks)
        self._to_us = [Wire(network, direction=0) for network in networks]
        self._to_them = [Wire(network, direction=1) for network in networks]
        self._mail: list[deque[tuple[float, int, NDArray[np.uint8]]]] = [deque() for _ in networks]
        """Packets on their way: arrival in ms, number, payload."""
        self._playout = Playout(n, PlayoutLimits())
        self._queue = AgentQueue(n)
        self._legs = np.arange(n)
        for row in range(n):
            self._playout.open(row, alaw=False)

    def seat(self, row: int, number: int) -> None:
        """A leg has its claim on a row of the engine."""
        self._queue.seat_row(row, number)

    def receive(self, frame: int, pcm: Frames) -> tuple[Frames, NDArray[np.bool_]]:
        """Callers send ``pcm`` ``[n, 160]``; what the engine gets in this tick, and where it was concealed ``[n]``."""
        for row, code in enumerate(ulaw_encode(pcm)):
            for at in self._to_us[row].arrivals((frame + 1) * FRAME_MS / 1000):
                self._mail[row].append((at * 1000, frame, code))
        now_ms = _tick_ms(frame)
        while rows := [row for row, mail in enumerate(self._mail) if mail and mail[0][0] <= now_ms]:
            self._playout.receive(_arrivals(rows, [self._mail[row].popleft() for row in rows], now_ms), now_ms)
        return self._playout.select(len(self._mail), now_ms)

    def batch(self, tick: int, rows: NDArray[np.uint16], pcm: Frames, concealed: NDArray[np.bool_]) -> InBatch:
        """The message to the engine, as ``telephony.edge_bank`` makes it."""
        flags = np.where(concealed, int(InFlag.CONCEALED), 0).astype(np.uint8) | self._queue.flags(self._legs)
        return InBatch(
            tick=tick,
            phase=0,
            sent_at=0.0,
            rows=rows,
            seats=self._queue.seat.astype(np.uint32),
            flags=flags,
            played=self._queue.played.astype(np.uint32),
            sent=self._queue.sent.astype(np.uint32),
            taken=self._queue.taken.astype(np.uint32),
            pcm=pcm,
        )

    def send(self, frame: int, batch: OutBatch, picks: NDArray[np.intp]) -> Frames:
        """Our packets of this tick as they reach the callers ``[n, 160]``; zeros where one is lost.

        ``picks``: the leg of each row of ``batch``.
        """
        n = len(self._mail)
        self._queue.push(picks, batch, np.arange(len(picks)))
        popped = self._queue.pop(n, np.ones(n, np.bool_))
        rows = np.flatnonzero(popped.has)
        self._queue.note_sent(rows, popped.frame_no[rows])
        heard = ulaw_decode(ulaw_encode(popped.pcm))
        for row, wire in enumerate(self._to_them):
            if not wire.arrivals((frame + AGENT_FRAMES) * FRAME_MS / 1000):
                heard[row] = 0
        return heard


def _arrivals(rows: Sequence[int], packets: Sequence[tuple[float, int, NDArray[np.uint8]]], now_ms: float) -> Arrivals:
    count = np.array([number for _, number, _ in packets], np.int64)
    return Arrivals(
        rows=np.array(rows, np.intp),
        sequence=count & 0xFFFF,
        timestamp=count * FRAME_SAMPLES,
        ssrc=np.ones(len(rows), np.int64),
        age_ms=now_ms - np.array([at for at, _, _ in packets]),
        size=np.full(len(rows), FRAME_SAMPLES, np.int64),
        payload=np.stack([code for _, _, code in packets]),
    )
