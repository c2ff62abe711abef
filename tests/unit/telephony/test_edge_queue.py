from __future__ import annotations

import numpy as np

from telephony.edge_queue import AgentQueue, Popped
from telephony.link import InFlag, OutBatch, OutFlag

SENT = np.array([True])


def queue(seat: int = 5) -> AgentQueue:
    one = AgentQueue(2)
    one.seat_row(0, seat)
    return one


def push(one: AgentQueue, *frames: tuple[int, int], seat: int = 5, speech: bool = True) -> None:
    """Frames as (number, epoch), in one message."""
    n = len(frames)
    batch = OutBatch(
        tick=0, phase=0, sent_at=0.0, rows=np.zeros(n, np.uint16), seats=np.full(n, seat, np.uint32),
        epochs=np.array([epoch for _, epoch in frames], np.uint32),
        frame_nos=np.array([number for number, _ in frames], np.uint32),
        flags=np.full(n, int(OutFlag.SPEECH) if speech else 0, np.uint8),
        pcm=np.array([[number + 1] * 160 for number, _ in frames], np.int16),
    )  # fmt: skip
    one.push(np.zeros(n, np.intp), batch, np.arange(n))


def pop(one: AgentQueue) -> Popped:
    """The next frame, which leaves."""
    popped = one.pop(1, SENT)
    rows = np.flatnonzero(popped.has)
    one.note_sent(rows, popped.frame_no[rows])
    return popped


def numbers(one: AgentQueue, ticks: int) -> list[int]:
    """Frame numbers that come out, -1 where there is none."""
    return [int(pop(one).pcm[0, 0]) - 1 for _ in range(ticks)]


def test_frames_come_out_in_order_and_then_silence() -> None:
    one = queue()
    push(one, (0, 1), (1, 1))
    assert numbers(one, 3) == [0, 1, -1]
    assert (one.played[0], one.sent[0], one.taken[0]) == (2, 0b11, 2)


def test_a_fifth_frame_drops_the_oldest() -> None:
    one = queue()
    push(one, (0, 1), (1, 1), (2, 1), (3, 1), (4, 1))
    assert numbers(one, 5) == [1, 2, 3, 4, -1]
    assert one.dropped[0] == 1
    assert (one.played[0], one.sent[0]) == (5, 0b1111), "and the first is not among those that have left"


def test_two_frames_that_wait_are_enough() -> None:
    one = queue()
    row, told = np.array([0]), []
    for frames in ((0, 1), (1, 1)):
        told.append(int(one.flags(row)[0]))
        push(one, frames)
    assert [*told, int(one.flags(row)[0])] == [0, 0, InFlag.ENOUGH]


def test_a_newer_epoch_drops_what_waits_and_an_older_one_is_never_played() -> None:
    one = queue()
    push(one, (0, 1), (1, 1))
    push(one, (2, 2))
    push(one, (3, 1))
    assert numbers(one, 2) == [2, -1]


def test_audio_of_another_claim_is_not_taken() -> None:
    one = queue(seat=5)
    push(one, (0, 1), seat=4)
    assert numbers(one, 1) == [-1]


def test_a_new_claim_starts_from_nothing() -> None:
    one = queue()
    push(one, (7, 3))
    pop(one)
    one.seat_row(0, 6)
    assert one.played[0] == 0
    push(one, (0, 0), seat=6)
    assert numbers(one, 1) == [0]


def test_only_a_gap_in_speech_is_an_underrun() -> None:
    one = queue()
    push(one, (0, 1), speech=False)
    numbers(one, 2)
    assert one.underruns[0] == 0
    push(one, (1, 1))
    numbers(one, 3)
    assert one.underruns[0] == 1


def test_what_was_not_sent_was_not_played() -> None:
    one = queue()
    push(one, (0, 1))
    one.pop(1, np.array([False]))
    assert (one.played[0], one.sent[0], one.taken[0]) == (0, 0, 1)
    push(one, (1, 1))
    pop(one)
    assert (one.played[0], one.sent[0], one.taken[0]) == (2, 0b1, 2)


def test_frames_that_have_left_are_known_for_as_long_as_a_link_may_be_silent() -> None:
    one = queue()
    for number in (*range(40), 45, 100):
        push(one, (number, 1))
        pop(one)
        if number == 39:
            assert one.sent[0] == 2**32 - 1
        if number == 45:
            assert one.sent[0] == (2**32 - 1) << 6 & (2**32 - 1) | 1
    assert (one.played[0], one.sent[0]) == (101, 1)


def test_speech_is_never_dropped_to_get_a_delay_down() -> None:
    one = queue()
    push(one, (0, 1))
    out = []
    for number in range(1, 200):
        push(one, (number, 1))
        out += numbers(one, 1)
    assert out == list(range(199))
    assert one.dropped[0] == 0
    push(one, (200, 1), speech=False)
    assert numbers(one, 3) == [199, -1, -1], "silence is"


def test_a_frame_that_is_never_needed_is_dropped_in_silence_after_half_a_second() -> None:
    one = queue()
    push(one, (0, 1), speech=False)
    for number in range(1, 60):
        push(one, (number, 1), speech=False)
        pop(one)
    push(one, (60, 1), speech=False)
    assert numbers(one, 2) == [60, -1]
