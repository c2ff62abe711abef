"""The engine in virtual time: the real scheduler, floor and ears on many rows, each saying the same answer.

The machine's load changes nothing: a tick follows when the one before is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.bench.overlaps_answer import Answer
from agent.bench.overlaps_wire import AGENT_FRAMES, Edge
from agent.errors import AgentError
from agent.model.baseline import fallback_of
from agent.model.protocol import DuplexModel
from agent.pool.messages import BeginUtterance, CloseSeat, Expecting, OpenSeat, SeatOpened, UtteranceAudio
from agent.scheduler.admission import Admission
from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.tick import Scheduler
from agent.simulator.clips import scaled
from agent.simulator.energy import RATE_HZ, Pcm
from agent.simulator.network import CLEAN, NetworkProfile
from telephony.link import FRAME_SAMPLES

LEAD_FRAMES: Final = 200
"""The line before we speak: the caller asks."""
TAIL_FRAMES: Final = 40
"""Silence behind the answer: longer than what counts as a stop."""
UTTERANCE: Final = 1


@dataclass(frozen=True, slots=True)
class Caller:
    """What one caller's microphone picks up, but for our own voice."""

    pcm: Pcm
    """From the start of the line; shorter than the call: silence follows."""
    echo_db: float | None = None
    """Our own voice comes back that much louder (below zero: softer) than it was received …"""
    echo_delay_ms: int = 0
    """… so long after it was."""
    network: NetworkProfile = CLEAN


class Stage:
    """``rows`` seats of one model, all with the same floor."""

    def __init__(self, model: DuplexModel, *, rows: int, profile: FloorProfile, answer: Answer) -> None:
        self.rows = rows
        self._model = model
        self._profile = profile
        self._answer = answer
        self._scheduler = Scheduler(model, rows=rows, admission=Admission(offered=rows, step_ms=model.spec.step_ms))
        self._tick = 0

    @property
    def frames(self) -> int:
        """Of 20 ms, of each call."""
        return LEAD_FRAMES + int(self._answer.length_s * RATE_HZ / FRAME_SAMPLES) + TAIL_FRAMES

    def run(self, callers: Sequence[Caller], frames: int | None = None) -> list[Pcm]:
        """The agent's channel of each call, on the caller's clock: to the answer's end, or ``frames`` long.

        At most ``rows`` callers. Raises ``AgentError``.
        """
        frames = self.frames if frames is None else min(frames, self.frames)
        calls = [f"row{number}" for number in range(len(callers))]
        edge = Edge([caller.network for caller in callers])
        rows = np.array([self._open(call, number, edge) for number, call in enumerate(calls)], np.uint16)
        legs = {int(row): number for number, row in enumerate(rows)}
        said = np.stack([_fitted(caller.pcm, frames * FRAME_SAMPLES) for caller in callers]).astype(np.int32)
        agent = np.zeros((len(callers), (frames + AGENT_FRAMES) * FRAME_SAMPLES), np.int16)
        for frame in range(frames):
            if frame == LEAD_FRAMES:
                self._speak(calls)
            begin = frame * FRAME_SAMPLES
            mixed = said[:, begin : begin + FRAME_SAMPLES] + _echoes(callers, agent, begin)
            pcm, concealed = edge.receive(frame, np.clip(mixed, -32768, 32767).astype(np.int16))
            out = self._scheduler.step(edge.batch(self._tick, rows, pcm, concealed), link=0)
            self._tick += 1
            picks = np.array([legs[int(row)] for row in out.rows], np.intp)
            leaves = begin + AGENT_FRAMES * FRAME_SAMPLES
            agent[:, leaves : leaves + FRAME_SAMPLES] = edge.send(frame, out, picks)
        self._close(calls)
        return list(agent)

    def _open(self, call: str, number: int, edge: Edge) -> int:
        scheduler = self._scheduler
        scheduler.control(OpenSeat(call_id=call, profile=self._profile.to_json(), persona={}))
        opened = next((one for one in scheduler.take_events() if isinstance(one, SeatOpened)), None)
        if opened is None:
            raise AgentError(f"the engine refused {call} of {self.rows}: {'; '.join(scheduler.counters.errors)}")
        scheduler.control(Expecting(call_id=call, expect=self._answer.expect.to_json()))
        edge.seat(number, opened.seat)
        return opened.row

    def _speak(self, calls: Sequence[str]) -> None:
        for call in calls:
            self._scheduler.control(BeginUtterance(call_id=call, utterance=UTTERANCE, interruptible=True))
            for chunk in self._answer.chunks:
                words = [[word.text, word.start, word.end, word.clause] for word in chunk.words]
                pcm = chunk.pcm.astype("<i2").tobytes()
                self._scheduler.control(
                    UtteranceAudio(call_id=call, utterance=UTTERANCE, words=words, last=chunk.last, pcm=pcm)
                )

    def _close(self, calls: Sequence[str]) -> None:
        """Let the rows go. Raises ``AgentError`` where one was given up, or other ears stood in."""
        for call in calls:
            self._scheduler.control(CloseSeat(call_id=call))
        self._scheduler.settle()
        self._scheduler.take_events()
        if self._scheduler.counters.failed_rows:
            raise AgentError(f"rows of the engine failed: {'; '.join(self._scheduler.counters.errors)}")
        if why := fallback_of(self._model):
            raise AgentError(f"the ears gave up on the way: {why}")


def _fitted(pcm: Pcm, samples: int) -> Pcm:
    return np.pad(pcm[:samples], (0, max(0, samples - len(pcm))))


def _echoes(callers: Sequence[Caller], agent: NDArray[np.int16], begin: int) -> NDArray[np.int32]:
    """``[n, 160]`` what the callers' microphones pick up of what they have received, from sample ``begin`` on."""
    found = np.zeros((len(callers), FRAME_SAMPLES), np.int32)
    for row, caller in enumerate(callers):
        source = begin - caller.echo_delay_ms * RATE_HZ // 1000
        if caller.echo_db is not None and source > -FRAME_SAMPLES:
            heard = agent[row, max(0, source) : source + FRAME_SAMPLES]
            found[row, FRAME_SAMPLES - len(heard) :] = scaled(heard, caller.echo_db)
    return found
