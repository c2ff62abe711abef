"""One edge on loopback, stepped by hand in virtual time: no waiting, no second process."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from telephony.audio import g711
from telephony.edge import TICK_S, Edge
from telephony.edge_messages import ControlReader, pack_message
from telephony.link import FrameReader, FrameType, InBatch, InFlag, OutBatch, OutFlag, decode_in, encode_out
from telephony.net.ports import PortPool
from telephony.rtp import rtcp
from telephony.rtp.playout import PlayoutLimits
from tests.ports import free_ports
from tests.unit.telephony.rtp.wire import Packet, build_packet, parse_packet

PHASES = 4
START_S = 1000.0
VOICE = b"\x10" * 160


class World:
    """An edge, its front, a worker and telephones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = random.Random(4)
        self.ports = PortPool("127.0.0.1", 36000, 39998, rest_s=5.0, rng=rng)
        self.count = 0
        self.edge = Edge(
            str(folder / "edge"), ports=self.ports, phases=PHASES, limits=PlayoutLimits(), name="e",
            first_packet_timeout_s=30.0, silence_timeout_s=15.0, rng=rng, now=START_S,
        )  # fmt: skip
        self.front = socket.socket(socket.AF_UNIX)
        self.front.connect(str(folder / "edge"))
        self.front.setblocking(False)
        self._control = ControlReader()
        self.messages: list[dict[str, Any]] = []
        self.worker_path = str(folder / "worker")
        self.listener: socket.socket | None = None
        self.link: socket.socket | None = None
        self.reader = FrameReader()
        self.batches: list[InBatch] = []
        self.echo = True
        self.frame_no = 0
        self.sockets: list[socket.socket] = []

    @property
    def now(self) -> float:
        return START_S + self.count * TICK_S / PHASES

    def step(self) -> None:
        self.edge.step(self.count, self.now, self.now)
        self.count += 1
        self._work()
        self._read_front()

    def ticks(self, n: int) -> None:
        for _ in range(n * PHASES):
            self.step()

    def listen(self) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.worker_path)
        self.listener.listen()
        self.listener.setblocking(False)

    def kill_worker(self) -> None:
        for sock in (self.link, self.listener):
            assert sock is not None
            sock.close()
        self.link = self.listener = None
        Path(self.worker_path).unlink()

    def ask(self, command: str, leg: str = "a", **more: Any) -> dict[str, Any]:
        self.front.send(pack_message({"id": 77, "cmd": command, "leg": leg, **more}))
        return self.answer()

    def answer(self) -> dict[str, Any]:
        for _ in range(40):
            self.step()
            for message in self.messages:
                if "event" not in message:
                    self.messages.remove(message)
                    return message
        raise AssertionError("no answer")

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message.get("event") == kind]

    def phone(self, ip: str = "127.0.0.1", port: int = 0) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((ip, port))
        sock.setblocking(False)
        self.sockets.append(sock)
        return sock

    def open(self, phone: socket.socket | None, leg: str = "a", *, seated: bool = True, **media: Any) -> int:
        port = int(self.ask("reserve", leg)["port"])
        seat = {"worker": self.worker_path, "row": 3, "seat": 9} if seated else None
        answer = self.ask("open", leg, media=sdp(phone, **media), seat=seat)
        assert answer["ok"], answer
        return port

    def close(self) -> None:
        self.edge.close()
        for sock in (self.front, self.link, self.listener, *self.sockets):
            if sock is not None:
                sock.close()

    def _work(self) -> None:
        if self.link is None and self.listener is not None:
            try:
                self.link, _ = self.listener.accept()
            except BlockingIOError:
                return
            self.link.setblocking(False)
            self.reader = FrameReader()
        for data in received(self.link):
            for kind, body in self.reader.feed(data):
                if kind is FrameType.IN:
                    self.batches.append(decode_in(body))
                    if self.echo and self.link is not None:
                        self.link.send(encode_out(self.answer_of(self.batches[-1])))

    def answer_of(self, batch: InBatch) -> OutBatch:
        n = len(batch.rows)
        self.frame_no += 1
        return OutBatch(
            tick=batch.tick, phase=batch.phase, sent_at=0.0, rows=batch.rows, seats=batch.seats,
            epochs=np.ones(n, np.uint32), frame_nos=np.full(n, self.frame_no - 1, np.uint32),
            flags=np.full(n, int(OutFlag.SPEECH), np.uint8), pcm=batch.pcm,
        )  # fmt: skip

    def _read_front(self) -> None:
        for data in received(self.front):
            self.messages += [json.loads(text) for text in self._control.feed(data)]


def received(sock: socket.socket | None) -> Iterator[bytes]:
    while sock is not None:
        try:
            data = sock.recv(65536)
        except OSError:  # nothing there, or the other end or our own is closed
            return
        if not data:
            return
        yield data


def packets(phone: socket.socket) -> list[Packet]:
    return [parse_packet(data) for data in received(phone)]


def sdp(phone: socket.socket | None, **change: Any) -> dict[str, Any]:
    remote = None if phone is None else list(phone.getsockname())
    base = {"codec": "PCMU", "payload_type": 0, "dtmf_payload_type": 101, "remote": remote, "signalling_ip": ""}
    return base | change


def talk(world: World, phone: socket.socket, port: int, ticks: int, *, first: int = 0) -> None:
    for n in range(first, first + ticks):
        packet = Packet(payload_type=0, sequence=n, timestamp=160 * n, ssrc=5, payload=VOICE)
        phone.sendto(build_packet(packet), ("127.0.0.1", port))
        world.ticks(1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path)
    yield one
    one.close()


def test_audio_goes_to_the_worker_and_back_with_continuous_numbers(world: World) -> None:
    world.listen()
    phone = world.phone()
    port = world.open(phone)
    talk(world, phone, port, 30)
    got = packets(phone)
    assert got[-1].payload == VOICE
    assert got[0].marker
    assert {(b.sequence - a.sequence) % 65536 for a, b in pairwise(got)} == {1}
    assert {(b.timestamp - a.timestamp) % 2**32 for a, b in pairwise(got)} == {160}
    assert len({packet.ssrc for packet in got}) == 1
    assert world.events("latched")[0]["address"] == f"127.0.0.1:{phone.getsockname()[1]}"
    assert [int(batch.flags[0]) & InFlag.FIRST for batch in world.batches[:3]] == [InFlag.FIRST, 0, 0]
    assert int(world.batches[-1].played[0]) == world.frame_no - 1, "all but the frame that waits for its slot"
    assert set(world.batches[-1].rows.tolist()) == {3}


def test_a_leg_without_a_seat_sends_the_code_of_silence(world: World) -> None:
    phone = world.phone()
    world.open(phone, seated=False, codec="PCMA", payload_type=8)
    world.ticks(5)
    got = packets(phone)
    assert len(got) >= 4
    assert {packet.payload for packet in got} == {bytes([g711.ALAW_SILENCE]) * 160}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b"{", "edge-message-json"),
        (b"[]", "edge-message-object"),
        (b'{"cmd":7}', "edge-command"),
        (b'{"cmd":"fly"}', "edge-command"),
        (b'{"cmd":"open","leg":"nobody"}', "edge-refused"),
        (b'{"cmd":"reserve","leg":""}', "edge-refused"),
        (b'{"cmd":"reserve","leg":"x","port":"y"}', "edge-field-number"),
        (b'{"cmd":"reserve","leg":"x","port":36001}', "edge-refused"),
        (b"\xff" * 40, "edge-message-json"),
        (b"[" * 100_000, "edge-message-json"),
    ],
)
def test_a_bad_message_is_answered_and_the_edge_lives(world: World, text: bytes, rule: str) -> None:
    world.front.setblocking(True)
    world.front.sendall(len(text).to_bytes(4, "little") + text)
    world.front.setblocking(False)
    answer = world.answer()
    assert (answer["ok"], answer["rule"]) == (False, rule)
    assert world.ask("stats")["ok"]


def test_bad_media_and_seats_are_refused_before_anything_changes(world: World) -> None:
    world.ask("reserve")
    assert not world.ask("open", media={"codec": "G729"})["ok"]
    assert not world.ask("open", media=sdp(None), seat={"worker": "w", "row": -1, "seat": 0})["ok"]
    assert world.ask("stats")["stats"]["legs"] == 0
    assert world.ask("open", media=sdp(None))["ok"]


def test_packets_of_a_stranger_are_dropped_and_counted(world: World) -> None:
    world.listen()
    phone, stranger = world.phone(), world.phone("127.0.0.2")
    port = world.open(phone)
    talk(world, stranger, port, 5)
    assert not world.events("latched")
    assert world.ask("close")["quality"]["foreign"] == 5
    assert not packets(stranger)


def test_a_lost_worker_is_told_its_legs_send_silence_and_it_is_found_again(world: World) -> None:
    world.listen()
    phone = world.phone()
    port = world.open(phone)
    talk(world, phone, port, 10)
    world.kill_worker()
    packets(phone)
    talk(world, phone, port, 5, first=10)
    assert world.events("worker_lost") == [{"event": "worker_lost", "worker": world.worker_path, "legs": ["a"]}]
    assert packets(phone)[-1].payload == bytes([g711.ULAW_SILENCE]) * 160
    world.listen()
    talk(world, phone, port, 30, first=15)
    assert packets(phone)[-1].payload == VOICE


def test_a_leg_is_routed_to_another_seat_at_once(world: World) -> None:
    world.listen()
    phone = world.phone()
    port = world.open(phone)
    talk(world, phone, port, 5)
    world.ask("route", seat={"worker": world.worker_path, "row": 8, "seat": 10})
    talk(world, phone, port, 5, first=5)
    last = world.batches[-1]
    assert (last.rows.tolist(), last.seats.tolist()) == ([8], [10])
    world.ask("route", seat=None)
    before = len(world.batches)
    talk(world, phone, port, 5, first=10)
    assert len(world.batches) - before <= 1


def test_a_held_leg_sends_nothing_hears_silence_and_does_not_time_out(world: World) -> None:
    world.listen()
    phone = world.phone()
    port = world.open(phone)
    talk(world, phone, port, 5)
    world.ask("update", media=sdp(phone, send=False, receive=False))
    packets(phone)
    talk(world, phone, port, 3, first=5)
    assert not packets(phone)
    assert int(world.batches[-1].flags[0]) & InFlag.HELD
    assert not world.batches[-1].pcm.any()
    world.count += 20 * 50 * PHASES
    world.ticks(15)
    assert not world.events("timeout")


def test_a_peer_that_falls_silent_times_out_once(world: World) -> None:
    phone = world.phone()
    port = world.open(phone, seated=False)
    talk(world, phone, port, 5)
    world.count += 16 * 50 * PHASES
    world.ticks(40)
    assert [round(event["silent_s"]) for event in world.events("timeout")] == [16]


def test_a_peer_that_never_sends_times_out_later(world: World) -> None:
    world.open(world.phone(), seated=False)
    world.count += 16 * 50 * PHASES
    world.ticks(15)
    assert not world.events("timeout")
    world.count += 15 * 50 * PHASES
    world.ticks(15)
    assert len(world.events("timeout")) == 1


def test_keys_are_told_once_and_sent_as_events(world: World) -> None:
    phone = world.phone()
    port = world.open(phone, seated=False)
    talk(world, phone, port, 5)
    for n in range(3):
        key = Packet(payload_type=101, sequence=5 + n, timestamp=800, ssrc=5, payload=b"\x07\x0a\x00\xa0")
        phone.sendto(build_packet(key), ("127.0.0.1", port))
        world.ticks(1)
    assert [event["digit"] for event in world.events("dtmf")] == ["7"]
    packets(phone)
    assert world.ask("send_dtmf", digits="4#")["ok"]
    world.ticks(30)
    sent = packets(phone)
    keys = [packet for packet in sent if packet.payload_type == 101]
    assert len(keys) == 14
    assert [packet.payload[0] for packet in keys if packet.marker] == [4, 11]
    assert {(b.sequence - a.sequence) % 65536 for a, b in pairwise(sent)} == {1}
    assert not world.ask("send_dtmf", digits="x")["ok"]


def test_packets_of_40_ms_are_sent_every_second_tick(world: World) -> None:
    phone = world.phone()
    world.open(phone, seated=False, ptime_ms=40)
    world.ticks(11)
    got = packets(phone)
    assert {len(packet.payload) for packet in got} == {320}
    assert {(b.timestamp - a.timestamp) % 2**32 for a, b in pairwise(got)} == {320}


def test_missed_ticks_move_media_time_but_not_the_sequence(world: World) -> None:
    phone = world.phone()
    world.open(phone, seated=False)
    world.ticks(2)
    last = packets(phone)[-1]
    world.edge._skip(15)
    world.count += 15 * PHASES
    world.ticks(1)
    following = packets(phone)[0]
    assert (following.sequence - last.sequence) % 65536 == 1
    assert (following.timestamp - last.timestamp) % 2**32 == 16 * 160


def test_the_end_of_a_leg_is_told_by_rtcp_and_its_port_rests(world: World) -> None:
    (port_of_phone,) = free_ports(1)
    phone, reports = (world.phone(port=port_of_phone + odd) for odd in (0, 1))
    port = world.open(phone, seated=False)
    talk(world, phone, port, 10)
    quality = world.ask("close")["quality"]
    assert quality["received"] == 10
    assert quality["sent"] >= 10
    said = [rtcp.parse_compound(data) for data in received(reports)]
    assert said[-1] is not None
    assert len(said[-1].byes) == 1
    assert world.ask("close")["quality"] is None
    assert not world.ask("reserve", "b", port=port)["ok"]
    world.count += 6 * 50 * PHASES
    world.ticks(1)
    assert world.ask("reserve", "b", port=port)["port"] == port


def test_the_edge_ends_when_no_front_comes_back_within_two_seconds(world: World) -> None:
    world.ticks(1)
    world.front.close()
    world.ticks(50)
    assert not world.edge.stopping
    world.ticks(60)
    assert world.edge.stopping


def test_a_front_that_comes_back_finds_its_legs(world: World) -> None:
    world.open(world.phone(), seated=False)
    world.front.close()
    world.ticks(20)
    world.front = socket.socket(socket.AF_UNIX)
    world.front.connect(str(world.folder / "edge"))
    world.front.setblocking(False)
    assert world.ask("stats")["stats"]["legs"] == 1
    world.ticks(150)
    assert not world.edge.stopping


def frames_left(batches: list[InBatch]) -> tuple[int, set[int]]:
    """The number behind the last agent frame that left, and all that have left, as the workers were told."""
    told = {int(batch.played[0]) - 1 - bit for batch in batches for bit in range(32) if int(batch.sent[0]) >> bit & 1}
    return int(batches[-1].played[0]), told


def test_a_frame_whose_place_a_key_took_has_not_left(world: World) -> None:
    world.listen()
    phone = world.phone()
    port = world.open(phone)
    talk(world, phone, port, 20)
    assert world.ask("send_dtmf", digits="4")["ok"]
    talk(world, phone, port, 20, first=20)
    keys = [packet for packet in packets(phone) if packet.payload_type == 101]
    end, left = frames_left(world.batches)
    missing = [number for number in range(min(left), end) if number not in left]
    assert len(missing) == len(keys) == 7
    assert missing == list(range(missing[0], missing[0] + 7))


def test_a_frame_that_the_kernel_refused_has_not_left(world: World) -> None:
    world.listen()
    phone = world.phone()
    port = world.open(phone)
    talk(world, phone, port, 20)
    bank = next(bank for bank in world.edge._banks if bank.count)
    send, refused = bank._send[0], world.frame_no

    def refuse(data: memoryview) -> int:
        raise BlockingIOError

    bank._send[0] = refuse
    talk(world, phone, port, 3, first=20)
    bank._send[0] = send
    talk(world, phone, port, 10, first=23)
    end, left = frames_left(world.batches)
    assert len([number for number in range(refused - 1, end) if number not in left]) == 3


def test_frames_of_a_longer_packet_leave_together(world: World) -> None:
    world.listen()
    phone = world.phone()
    port = world.open(phone, ptime_ms=60)
    talk(world, phone, port, 30)
    played = [int(batch.played[0]) for batch in world.batches]
    steps = {b - a for a, b in pairwise(played) if a}
    assert steps == {0, 3}
    end, left = frames_left(world.batches)
    assert left >= set(range(3, end))
    taken = [int(batch.taken[0]) for batch in world.batches]
    assert {b - a for a, b in pairwise(taken) if a} == {1}, "a worker need not wait for a packet to be full"


def test_a_worker_is_told_where_enough_waits_and_what_will_never_leave(world: World) -> None:
    world.listen()
    phone = world.phone()
    world.open(phone, send=False, remote=None)
    world.ticks(20)
    assert int(world.batches[-1].played[0]) == 0
    assert int(world.batches[-1].taken[0]) == world.frame_no - 1
    assert not int(world.batches[-1].flags[0]) & InFlag.ENOUGH
    world.echo = False
    batch = world.batches[-1]
    assert world.link is not None
    for _ in range(3):
        world.link.send(encode_out(world.answer_of(batch)))
    world.ticks(1)
    world.ticks(1)
    assert int(world.batches[-1].flags[0]) & InFlag.ENOUGH
