"""Heard text over edge, link and worker in virtual time: whatever is late, lost or cut, no word is claimed in vain.

Each frame of an utterance says in its samples which it is, so that what left on the wire can be read from it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.model.fakes import EnergyEars
from agent.pool.messages import (
    BeginUtterance,
    DropUtterance,
    OpenSeat,
    SeatMessage,
    SeatOpened,
    UtteranceAudio,
    UtteranceEnded,
)
from agent.pool.worker import MAX_BEHIND
from agent.scheduler.admission import Admission
from agent.scheduler.tick import Scheduler
from telephony.edge_queue import AgentQueue
from telephony.link import FRAME_SAMPLES, InBatch, OutBatch
from tests.unit.agent.scheduler.engine import LOUD, PATIENCE, SILENCE, SPEECH

WORD_FRAMES = 10
WORDS = 30
FRAMES = WORD_FRAMES * WORDS
AUDIO = np.repeat(np.arange(1, FRAMES + 1, dtype="<i2"), FRAME_SAMPLES)
"""Frame ``k`` of an utterance holds nothing but the number ``k + 1``; a fade is no such frame."""
SPANS = [[f"w{k}", k * WORD_FRAMES * FRAME_SAMPLES, (k + 1) * WORD_FRAMES * FRAME_SAMPLES, 0] for k in range(WORDS)]
CALLER = {"silent": SILENCE, "speaks": SPEECH, "takes": LOUD}
PROFILE = replace(PATIENCE, duck_db=0.0)
"""A ducked frame says the same."""


class Line:
    """One call: an edge's queue and wire, a link that may be slow, and a worker that may be."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(EnergyEars(1), rows=1, admission=Admission(offered=1, step_ms=20))
        self.scheduler.control(OpenSeat(call_id="a", profile=PROFILE.to_json(), persona={}))
        opened = next(e for e in self.scheduler.take_events() if isinstance(e, SeatOpened))
        self.queue = AgentQueue(1)
        self.queue.seat_row(0, opened.seat)
        self.seat = opened.seat
        self.tick = 0
        self.begun = 0
        self.to_worker: list[InBatch] = []
        self.to_edge: list[OutBatch] = []
        self.wire: list[int] = []
        """What each packet that left says; 0: silence."""
        self.ended: list[tuple[int, UtteranceEnded]] = []
        """Packets that had left when the utterance was told to be over, and what was told."""

    def tell(self, message: SeatMessage) -> None:
        self.scheduler.control(message)
        self._take_events()

    def say(self, interruptible: bool) -> None:
        self.begun += 1
        number = self.begun
        self.tell(BeginUtterance(call_id="a", utterance=number, interruptible=interruptible))
        pcm = (AUDIO + np.int16(number * 400)).tobytes()
        self.tell(UtteranceAudio(call_id="a", utterance=number, words=SPANS, last=True, pcm=pcm))

    def step(self, caller: NDArray[np.int16], fault: str, *, stalled: bool = False) -> None:
        """20 ms: the caller's frame goes to the worker, its answer comes, half a tick later a packet leaves."""
        if fault == "edge stands":
            self.tick += 1
            return
        if fault != "in lost":
            self.to_worker.append(self._batch(caller))
        self.tick += 1
        if not stalled:
            self._work(lose=fault == "out lost")
        if fault != "out late":
            for batch in self.to_edge:
                self.queue.push(np.zeros(len(batch.rows), np.intp), batch, np.arange(len(batch.rows)))
            self.to_edge.clear()
        popped = self.queue.pop(1, np.array([fault != "leg stands"]))
        if fault in ("leg stands", "packet lost"):
            return
        if popped.has[0]:
            self.queue.note_sent(np.array([0]), popped.frame_no)
        told = popped.pcm[0]
        self.wire.append(int(told[0]) if (told == told[0]).all() else 0)

    def _batch(self, caller: NDArray[np.int16]) -> InBatch:
        queue, row = self.queue, np.array([0])
        return InBatch(
            tick=self.tick, phase=0, sent_at=0.0, rows=np.array([0], np.uint16), seats=np.array([self.seat], np.uint32),
            flags=queue.flags(row), played=queue.played.astype(np.uint32), sent=queue.sent.astype(np.uint32),
            taken=queue.taken.astype(np.uint32), pcm=caller[None],
        )  # fmt: skip

    def _work(self, *, lose: bool) -> None:
        for batch in self.to_worker[-MAX_BEHIND:]:
            out = self.scheduler.step(batch, link=0)
            self._take_events()
            if not lose:  # the scheduler's arrays are its own: a message is a copy
                self.to_edge.append(replace(out, pcm=out.pcm.copy()))
        self.to_worker.clear()

    def _take_events(self) -> None:
        self.ended += [(len(self.wire), e) for e in self.scheduler.take_events() if isinstance(e, UtteranceEnded)]

    # --- what the caller got ---

    def left(self, packets: int | None = None) -> dict[int, list[int]]:
        """Utterance → its frames that have left, in order; of the first ``packets``."""
        found = defaultdict(list)
        for told in self.wire[:packets]:
            if told:
                found[(told - 1) // 400].append((told - 1) % 400)
        return found

    def check(self) -> None:
        assert list(range(1, self.begun + 1)) == sorted(e.utterance for _, e in self.ended)
        everything = self.left()
        for packets, event in self.ended:
            then, later = self.left(packets)[event.utterance], everything[event.utterance]
            assert len(set(later)) == len(later), "nothing is said twice"
            claimed = [int(word[1:]) for word in event.heard.split()]
            assert event.heard_words == len(claimed)
            for word in claimed:
                assert sum(frame // WORD_FRAMES == word for frame in then) > WORD_FRAMES / 2, (word, then)
            truly = {word for word in range(WORDS) if sum(f // WORD_FRAMES == word for f in later) > WORD_FRAMES / 2}
            if event.reason in ("yielded", "played", "closed"):
                assert len(truly - set(claimed)) <= 1, (event, later)
            if event.complete:
                assert len(claimed) == WORDS
            behind = max(claimed, default=-1) + 1
            assert event.unheard.split() == [f"w{k}" for k in range(behind, WORDS)]


SETTINGS = settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
LOSSES = ["in lost", "out lost", "packet lost", "leg stands"]
DELAYS = ["out late", "edge stands", "worker stands"]
NOTHING = ["", "", ""]


def steps(faults: list[str]) -> st.SearchStrategy[Any]:
    return st.lists(
        st.tuples(
            st.integers(1, 30),
            st.sampled_from(faults),
            st.integers(1, 12),
            st.sampled_from(["silent", "silent", "silent", "speaks", "takes"]),
            st.sampled_from(["", "", "", "say", "say", "fixed", "drop"]),
        ),
        min_size=5,
        max_size=20,
    )


def walk(line: Line, script: list[tuple[int, str, int, str, str]]) -> None:
    line.say(True)
    for calm, fault, length, caller, order in script:
        if order in ("say", "fixed") and line.begun < 60:
            line.say(order == "say")
        elif order == "drop":
            line.tell(DropUtterance(call_id="a", utterance=line.begun))
        for _ in range(calm):
            line.step(CALLER[caller], "")
        for _ in range(length):
            line.step(CALLER[caller], fault, stalled=fault == "worker stands")
    line.step(SILENCE, "")
    line.scheduler.close(line.scheduler.table.calls()[0], "closed")
    line._take_events()


@given(steps(NOTHING + DELAYS + LOSSES))
@SETTINGS
def test_no_word_is_claimed_that_has_not_left_and_none_forgotten_that_has(script: Any) -> None:
    line = Line()
    walk(line, script)
    line.check()


@given(steps(NOTHING + DELAYS))
@SETTINGS
def test_what_is_only_late_is_never_lost(script: Any) -> None:
    line = Line()
    walk(line, script)
    line.check()
    for frames in line.left().values():
        assert frames == list(range(len(frames))), "speech is whole up to where it was cut"
