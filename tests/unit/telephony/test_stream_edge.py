"""The stream edge in virtual time: offers, audio both ways, what counts as played, ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from telephony.errors import MediaError
from tests.unit.telephony.stream_world import FakeDoor, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_offer_answer_and_audio_both_ways(world: World) -> None:
    peer, call = world.answered()
    assert world.events("offered")[0]["info"]["transport"] == "fake"
    assert world.events("answered")
    for n in range(10):
        call.hear(np.full(160, 1000 + n, np.int16))
        world.tick()
    heard = [int(pcm[0]) for _, pcm in peer.frames if pcm.any()]
    assert heard == [1000 + n for n in range(len(heard))]
    assert len(heard) >= 8


def test_one_frame_goes_to_the_peer_in_every_tick(world: World) -> None:
    peer, _ = world.answered()
    before = len(peer.frames)
    world.tick(25)
    assert len(peer.frames) == before + 25


def test_played_is_what_was_handed_out(world: World) -> None:
    peer, _ = world.answered()
    world.tick(10)
    last = max(number for number, _ in peer.frames[:-1])
    assert int(world.batches[-1].played[0]) == last + 1


def test_lead_is_played_first_and_counted_as_played_later(world: World) -> None:
    peer, _ = world.answered(FakeDoor(lead_ms=60))
    assert [number for number, _ in peer.frames[:3]] == [-1, -1, -1]
    world.tick(10)
    handed = peer.frames[-2][0] + 1
    assert int(world.batches[-1].played[0]) == handed - 3


def test_slow_socket_is_not_played(world: World) -> None:
    peer, _ = world.answered()
    world.tick(5)
    for n in range(1, 80):
        peer.unsent = n
        world.tick()
    stuck = int(world.batches[-1].played[0])
    world.tick(20)
    assert int(world.batches[-1].played[0]) <= stuck + 20
    assert stuck < 12


def test_newer_epoch_clears_the_peer_and_its_unplayed_frames_never_count(world: World) -> None:
    peer, _ = world.answered(FakeDoor(lead_ms=60))
    world.tick(10)
    before = int(world.batches[-1].played[0])
    world.epoch = 2
    world.tick(1)
    assert [told[0] for told in peer.told] == ["clear"]
    assert [number for number, _ in peer.frames[-4:-1]] == [-1, -1, -1]
    cut_at = peer.frames[-1][0]
    world.tick(2)
    assert int(world.batches[-1].played[0]) <= before + 1
    world.tick(3)
    assert int(world.batches[-1].played[0]) > cut_at


def test_frames_that_a_clear_took_back_are_not_among_those_that_were_played(world: World) -> None:
    peer, _ = world.answered(FakeDoor(lead_ms=60))
    world.tick(10)
    world.epoch = 2
    world.tick(1)
    kept = int(world.batches[-1].played[0])
    cut_at = peer.frames[-1][0]
    world.tick(10)
    told = {int(b.played[0]) - 1 - bit for b in world.batches for bit in range(32) if int(b.sent[0]) >> bit & 1}
    assert cut_at - kept == 3
    assert told == set(range(int(world.batches[-1].played[0]))) - set(range(kept, cut_at))


def test_confirming_door_waits_for_its_marks_but_not_for_ever(world: World) -> None:
    _, call = world.answered(FakeDoor(confirms=True))
    world.tick(5)
    assert int(world.batches[-1].played[0]) == 0
    call.confirm(3)
    world.tick()
    assert int(world.batches[-1].played[0]) == 3
    world.tick(30)
    assert int(world.batches[-1].played[0]) > 20


def test_refused_call_is_told_with_status_and_ends(world: World) -> None:
    peer, call = world.offer()
    world.ask("refuse", call, status=486, reason="Busy Here", retry_after_s=None)
    assert peer.told == [("refused", 486, "Busy Here", None)]
    assert call.is_over
    assert world.events("ended")[0]["by"] == "us"


def test_end_of_the_far_end_is_told_once_after_its_last_counters(world: World) -> None:
    _, call = world.answered()
    call.end()
    call.end()
    world.tick()
    kinds = [message["event"] for message in world.messages if message.get("event") in ("quality", "ended")]
    assert kinds == ["quality", "ended"]
    world.tick(3)
    assert world.ask("hangup", call)["ok"]


def test_answering_a_caller_who_has_just_left_is_no_failure(world: World) -> None:
    """The news of its end is on the way: that is what the call ended by."""
    _, call = world.offer()
    world.tick()
    call.end(by="caller", reason="bye")
    for command in ("answer", "route"):
        assert world.ask(command, call, seat={"worker": world.worker_path, "row": 3, "seat": 9})["ok"]
    (ended,) = world.events("ended")
    assert (ended["by"], ended["reason"]) == ("caller", "bye")


def test_keys_and_texts_reach_the_front(world: World) -> None:
    _, call = world.answered()
    call.key("5")
    call.key("x")
    call.append("commentary", "hello")
    world.tick()
    assert [event["digit"] for event in world.events("dtmf")] == ["5"]
    assert world.events("append")[0]["text"] == "hello"


def test_door_that_cannot_refuses_the_command(world: World) -> None:
    _, call = world.answered()
    answer = world.ask("dtmf", call, digits="1")
    assert (answer["ok"], answer["error"]) == (False, "no keys here")


def test_muted_caller_is_silence_and_held_caller_is_told(world: World) -> None:
    _, call = world.answered()
    call.mute(True)
    call.hear(np.full(1600, 5000, np.int16))
    world.tick(3)
    assert not world.batches[-1].pcm.any()
    call.hold(True)
    world.tick()
    assert world.events("held")
    assert world.batches[-1].flags[0] & 2


def test_full_edge_and_draining_edge_take_no_call(world: World) -> None:
    for _ in range(4):
        world.offer()
    with pytest.raises(MediaError, match="in use"):
        world.offer()
    _, call = next(iter(world.edge._calls.items()))
    call.end()
    world.ask("drain", call)
    with pytest.raises(MediaError, match="draining"):
        world.offer()


def test_edge_without_a_front_stops_after_its_grace(world: World) -> None:
    world.front.close()
    world.tick(60)
    assert not world.edge.stopping
    world.tick(60)
    assert world.edge.stopping


def test_silent_client_is_told_as_timeout_unless_muted(world: World) -> None:
    world.answered()
    _, muted = world.answered(row=4)
    muted.mute(True)
    world.tick(600)
    legs = {event["leg"] for event in world.events("timeout")}
    assert legs
    assert muted.leg_id not in legs


def test_rerouted_call_counts_from_the_start_again(world: World) -> None:
    _, call = world.answered()
    world.tick(10)
    world.ask("route", call, seat={"worker": world.worker_path, "row": 7, "seat": 1})
    world.tick(5)
    assert world.batches[-1].rows.tolist() == [7]
    assert int(world.batches[-1].played[0]) <= 7


def test_late_frame_goes_behind_the_one_in_time_where_the_far_end_has_a_buffer(world: World) -> None:
    for confirms in (True, False):
        peer, call = world.answered(FakeDoor(confirms=confirms), row=3 + confirms)
        world.tick(5)
        worker, world._work = world._work, lambda: None  # type: ignore[method-assign]  # a worker that is late once
        world.tick()
        world._work = worker  # type: ignore[method-assign]
        before = len(peer.frames)
        world.tick(3)
        numbers = [number for number, _ in peer.frames if number >= 0]
        assert numbers == list(range(len(numbers)))
        assert len(peer.frames) - before == 3 + confirms
        call.end()
        world.frame_nos.clear()
