"""A scheduler with one link and hand-made audio: what tests of the engine are built from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.model.fakes import EnergyEars
from agent.model.protocol import DuplexModel
from agent.pool.messages import (
    BeginUtterance,
    OpenSeat,
    SeatMessage,
    SeatOpened,
    UtteranceAudio,
)
from agent.scheduler.admission import Admission
from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.tick import Scheduler
from telephony.link import ALL_SENT, FRAME_SAMPLES, InBatch, OutBatch

PATIENCE = FloorProfile(duck_after_ms=100, yield_after_ms=900)
"""What the tests count with, whatever the defaults are."""
SPEECH = np.full(FRAME_SAMPLES, 3000, np.int16)  # -20.8 dBFS
LOUD = np.full(FRAME_SAMPLES, 20000, np.int16)  # -4.3 dBFS: takes the floor at once with EnergyEars
SILENCE = np.zeros(FRAME_SAMPLES, np.int16)


class Engine:
    """Rows of one link and phase. The gateway plays each frame out in the tick after it was handed out."""

    def __init__(self, model: DuplexModel | None = None, *, rows: int = 4, profile: FloorProfile | None = None) -> None:
        self.model = model if model is not None else EnergyEars(rows)
        step_ms = self.model.spec.step_ms
        self.scheduler = Scheduler(self.model, rows=rows, admission=Admission(offered=rows, step_ms=step_ms))
        self.profile = profile if profile is not None else PATIENCE
        self.seats: dict[str, tuple[int, int]] = {}
        self.played: dict[str, int] = {}
        self.tick = 0
        self.events: list[SeatMessage] = []
        self.out: dict[str, list[NDArray[np.int16]]] = {}
        self.epochs: dict[str, list[int]] = {}
        self.speech: dict[str, list[bool]] = {}

    def open(self, call_id: str = "a", *, persona: dict[str, Any] | None = None, **changes: Any) -> None:
        profile = replace(self.profile, **changes)
        self.send(OpenSeat(call_id=call_id, profile=profile.to_json(), persona=persona or {}))
        opened = [e for e in self.events if isinstance(e, SeatOpened) and e.call_id == call_id][-1]
        self.seats[call_id] = (opened.row, opened.seat)
        self.played[call_id] = 0
        self.out[call_id], self.epochs[call_id], self.speech[call_id] = [], [], []

    def send(self, message: SeatMessage) -> None:
        self.scheduler.control(message)
        self.events += self.scheduler.take_events()

    def say(
        self,
        number: int,
        *,
        words: int = 5,
        call_id: str = "a",
        interruptible: bool = True,
        on: tuple[int, int] = (0, 0),
    ) -> None:
        """An utterance of ``words`` words ``w0 w1 …`` of 200 ms each."""
        self.send(
            BeginUtterance(
                call_id=call_id, utterance=number, interruptible=interruptible, on_turn=on[0], on_revision=on[1]
            )
        )
        spans: list[list[Any]] = [[f"w{k}", k * 1600, (k + 1) * 1600, 0] for k in range(words)]
        pcm = np.full(1600 * words, 10000, "<i2").tobytes()
        self.send(UtteranceAudio(call_id=call_id, utterance=number, words=spans, last=True, pcm=pcm))

    def step(self, audio: dict[str, NDArray[np.int16]] | None = None, *, play: bool = True) -> OutBatch:
        """One tick: every seat sends its frame (silence where ``audio`` has none)."""
        calls = list(self.seats)
        batch = InBatch(
            tick=self.tick,
            phase=0,
            sent_at=0.0,
            rows=np.array([self.seats[c][0] for c in calls], np.uint16),
            seats=np.array([self.seats[c][1] for c in calls], np.uint32),
            flags=np.zeros(len(calls), np.uint8),
            played=np.array([self.played[c] for c in calls], np.uint32),
            sent=np.full(len(calls), ALL_SENT, np.uint32),
            taken=np.array([self.played[c] for c in calls], np.uint32),
            pcm=np.stack([(audio or {}).get(c, SILENCE) for c in calls]) if calls else np.zeros((0, 160), np.int16),
        )
        self.tick += 1
        out = self.scheduler.step(batch, link=0)
        self.scheduler.advance(0.02 * self.tick)
        self.events += self.scheduler.take_events()
        by_row = {int(row): i for i, row in enumerate(out.rows)}
        for call_id in calls:
            if (i := by_row.get(self.seats[call_id][0])) is not None:
                self.out[call_id].append(out.pcm[i].copy())
                self.epochs[call_id].append(int(out.epochs[i]))
                self.speech[call_id].append(bool(out.flags[i]))
                if play:
                    self.played[call_id] = int(out.frame_nos[i]) + 1
        return out

    def run(self, ms: int, frame: NDArray[np.int16] = SILENCE, *, call_id: str = "a") -> None:
        """``ms`` of ``frame`` on one call, silence on the others."""
        for _ in range(ms // 20):
            self.step({call_id: frame})

    def until(self, kind: type[SeatMessage], frame: NDArray[np.int16], *, limit_ms: int = 5000) -> int:
        """Step with ``frame`` on call ``a`` until an event of ``kind`` comes; how many milliseconds that took."""
        for k in range(limit_ms // 20):
            before = len(self.events)
            self.step({"a": frame})
            if any(isinstance(e, kind) for e in self.events[before:]):
                return (k + 1) * 20
        raise AssertionError(f"no {kind.__name__} in {limit_ms} ms; events: {self.events}")

    def all(self, *kinds: type[SeatMessage]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kinds)]

    def names(self, call_id: str = "a", *, leave_out: Iterable[str] = ("FloorMoved",)) -> list[str]:
        return [type(e).__name__ for e in self.events if e.call_id == call_id and type(e).__name__ not in leave_out]
