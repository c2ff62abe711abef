"""What lies at the carrier: little, counted by marks, and never counted after a clear."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from telephony.twilio.pacing import AHEAD_MS, MAX_WAITING, OVERDUE_S, STALLED_S, Audio, FarEnd, MarkDue, mark_generation

LOUD, SILENT = b"\x10" * 160, b"\xff" * 160
LEAD_MS = 60


@dataclass
class Carrier:
    """A playback buffer at real time behind a wire, in virtual time, from Twilio's documents."""

    delay_s: float = 0.0
    far: FarEnd = field(default_factory=lambda: FarEnd(lead_ms=LEAD_MS))
    now: float = 0.0
    wire: list[tuple[float, int, object]] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    taken: int = 0
    played: float = 0.0
    back: list[tuple[float, str]] = field(default_factory=list)
    frozen_until: float = 0.0
    order: int = 0
    deepest: float = 0.0
    heard: int = 0
    """Speech bytes played."""
    frames: list[tuple[int, bytes]] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Advance by steps of 1 ms."""
        for _ in range(round(seconds * 1000)):
            self.now += 0.001
            if self.now >= self.frozen_until:
                while self.wire and self.wire[0][0] <= self.now:
                    self._take(heapq.heappop(self.wire)[2])
            self.played = min(self.taken, self.played + 8.0)
            while self.marks and self.marks[0][0] <= self.played + 1e-6:
                self._return(self.marks.pop(0)[1])
            if self.now >= self.frozen_until:
                while self.back and self.back[0][0] <= self.now:
                    self.far.mark_back(self.back.pop(0)[1], self.now)
                    self.send()

    def tick(self, frame_no: int, payload: bytes = LOUD) -> None:
        """20 ms: one frame to the far end."""
        self.far.push(payload, frame_no, is_silent=payload is SILENT)
        self.send()
        self.run(0.02)

    def send(self) -> None:
        for item in self.far.due(self.now):
            self.order += 1
            heapq.heappush(self.wire, (self.now + self.delay_s, self.order, item))

    def probe(self) -> None:
        self.order += 1
        heapq.heappush(self.wire, (self.now + self.delay_s, self.order, self.far.probe(self.now)))

    def clear(self) -> None:
        self.far.clear(self.now)
        self.order += 1
        heapq.heappush(self.wire, (self.now + self.delay_s, self.order, "clear"))

    def lead(self) -> None:
        for _ in range(LEAD_MS // 20):
            self.far.push(SILENT, -1, is_silent=True)

    def _take(self, item: object) -> None:
        match item:
            case Audio(payload):
                self.taken += len(payload)
                self.deepest = max(self.deepest, self.taken - self.played)
            case MarkDue(name):
                self.marks.append((self.taken, name))
            case _:
                self.taken = round(self.played)
                for _, name in self.marks:
                    self._return(name)
                self.marks.clear()

    def _return(self, name: str) -> None:
        self.back.append((self.now + self.delay_s, name))


def test_no_more_than_a_tenth_of_a_second_ever_lies_there() -> None:
    carrier = Carrier(delay_s=0.04)
    carrier.probe()
    carrier.run(0.2)
    carrier.lead()
    for number in range(200):
        carrier.tick(number)
    carrier.run(0.1)
    assert abs(carrier.far.rtt_s - 0.08) < 0.003
    assert carrier.deepest <= (AHEAD_MS + 1) * 8
    assert carrier.taken == 200 * 160 + LEAD_MS * 8, "nothing was held back on a quiet line"


def test_an_answer_that_comes_all_at_once_goes_out_in_time() -> None:
    carrier = Carrier(delay_s=0.03)
    carrier.probe()
    carrier.run(0.1)
    for number in range(50):
        carrier.far.push(LOUD, number, is_silent=False)
    carrier.send()
    for _ in range(60):
        carrier.run(0.02)
        carrier.send()
    assert carrier.deepest <= (AHEAD_MS + 1) * 8
    assert carrier.taken == 50 * 160


def test_played_follows_the_marks_within_a_frame() -> None:
    carrier = Carrier(delay_s=0.02)
    carrier.probe()
    carrier.run(0.1)
    carrier.lead()
    for number in range(100):
        carrier.tick(number)
        truly = max(0.0, (carrier.played - LEAD_MS * 8) / 160)
        counted = carrier.far.played(carrier.now)
        assert counted <= truly + 1e-6, "never more than was played"
        assert counted >= truly - 3.1, "and never much less: half a round trip and a frame"


def test_marks_that_a_clear_returns_do_not_count() -> None:
    carrier = Carrier(delay_s=0.05)
    carrier.probe()
    carrier.run(0.2)
    carrier.lead()
    for number in range(20):
        carrier.tick(number)
    before = carrier.far.played(carrier.now)
    carrier.clear()
    carrier.run(0.3)
    assert carrier.far.stale_marks >= 1
    assert carrier.far.played(carrier.now) == before
    assert abs(carrier.far.rtt_s - 0.10) < 0.003, "and they tell how far away the carrier is"
    assert carrier.far.generation == 1


def test_what_is_said_after_a_clear_counts_again() -> None:
    carrier = Carrier(delay_s=0.02)
    for number in range(20):
        carrier.tick(number)
    carrier.clear()
    carrier.lead()
    for number in range(20, 60):
        carrier.tick(number)
    carrier.run(0.2)
    assert carrier.far.played(carrier.now) == 60


def test_after_a_stall_speech_waits_here_where_it_can_be_dropped() -> None:
    carrier = Carrier(delay_s=0.01)
    carrier.probe()
    carrier.run(0.1)
    carrier.lead()
    for number in range(25):
        carrier.tick(number)
    carrier.frozen_until = carrier.now + 0.6
    for number in range(25, 55):
        carrier.tick(number)
    assert carrier.far.waiting > 15, "the carrier has gone quiet: the answer is not poured into the wire"
    carrier.clear()
    assert carrier.far.waiting == 0


def test_silence_pays_back_what_a_stall_has_cost() -> None:
    carrier = Carrier(delay_s=0.01)
    carrier.probe()
    carrier.run(0.1)
    carrier.lead()
    for number in range(25):
        carrier.tick(number)
    carrier.frozen_until = carrier.now + 0.3
    for number in range(25, 75):
        carrier.tick(number)
    for number in range(75, 150):
        carrier.tick(number, SILENT)
    assert carrier.far.skipped > 0
    assert carrier.taken - carrier.played <= (LEAD_MS + 20) * 8
    assert carrier.far.waiting == 0


def test_a_carrier_from_which_no_mark_comes_has_stalled() -> None:
    carrier = Carrier()
    for number in range(50):
        carrier.tick(number)
    carrier.frozen_until = 1e9
    stopped = carrier.now
    while not carrier.far.has_stalled(carrier.now):
        carrier.tick(number := number + 1)
    assert STALLED_S < carrier.now - stopped < STALLED_S + 0.3


def test_a_carrier_that_is_silent_because_nothing_is_out_has_not_stalled() -> None:
    carrier = Carrier()
    for number in range(10):
        carrier.tick(number)
    carrier.run(10.0)
    assert not carrier.far.has_stalled(carrier.now)
    for number in range(MAX_WAITING + 10):
        carrier.far.push(LOUD, number, is_silent=False)
    assert carrier.far.has_stalled(carrier.now)


def test_a_carrier_without_marks_is_paced_by_the_clock() -> None:
    carrier = Carrier(delay_s=0.01)
    for number in range(200):
        carrier.far.push(LOUD, number, is_silent=False)
        carrier.send()
        carrier.marks.clear()
        carrier.run(0.02)
        carrier.marks.clear()
    carrier.run(OVERDUE_S)
    assert carrier.far.overdue_marks > 0


def test_marks_made_up_by_the_far_side_count_for_nothing() -> None:
    far = FarEnd(lead_ms=LEAD_MS)
    far.push(LOUD, 0, is_silent=False)
    far.due(0.0)
    for name in ("0.99999", "", "9.160", "x"):
        far.mark_back(name, 0.0)
    assert far.played(0.0) == 0
    assert far.stale_marks == 4
    assert mark_generation("3.160") == 3
    assert mark_generation("my label") is None


def test_another_claim_counts_from_its_own_beginning() -> None:
    carrier = Carrier()
    for number in range(30):
        carrier.tick(number)
    carrier.far.restart(carrier.now)
    assert carrier.far.played(carrier.now) == 0


def test_a_frame_that_is_late_leaves_no_gap_in_a_word() -> None:
    carrier = Carrier(delay_s=0.01)
    carrier.probe()
    carrier.run(0.1)
    carrier.lead()
    for number in range(20):
        carrier.tick(number)
    before = carrier.taken
    carrier.tick(-1, SILENT)  # the worker's frame is not there
    carrier.far.push(LOUD, 20, is_silent=False)
    carrier.tick(21)
    carrier.run(0.02)
    assert carrier.taken - before == 2 * 160, "the two frames and no silence"
    assert carrier.taken > carrier.played, "and the buffer did not run dry meanwhile"
