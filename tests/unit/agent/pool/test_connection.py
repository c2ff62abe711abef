from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.pool.address import parse_address
from agent.pool.connection import ConnectionOver, Outgoing, address_of, listen, read

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def drain(out: Outgoing, theirs: socket.socket) -> bytes:
    data = b""
    while True:
        out.flush()
        piece = read(theirs)
        if not piece:
            return data
        data += piece


def test_audio_that_is_not_read_loses_its_oldest_and_never_a_part(pair: Pair) -> None:
    ours, theirs = pair
    out = Outgoing(ours, drop_oldest=True, limit=5)
    for k in range(200):
        out.send(bytes([k]) * 1000)
    data = drain(out, theirs)
    assert len(data) == (200 - out.dropped) * 1000
    messages = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    assert all(len(set(message)) == 1 for message in messages)
    assert [m[0] for m in messages] == sorted(m[0] for m in messages)
    assert messages[-1][0] == 199


def test_control_that_is_not_read_ends_the_connection(pair: Pair) -> None:
    out = Outgoing(pair[0], drop_oldest=False, limit=100_000)

    def send_all() -> None:
        for _ in range(1000):
            out.send(b"x" * 1000)

    with pytest.raises(ConnectionOver):
        send_all()
    assert out.dropped == 0


def test_a_closed_peer_is_told(pair: Pair) -> None:
    assert read(pair[0]) == b""
    pair[1].close()
    with pytest.raises(ConnectionOver):
        read(pair[0])
    with pytest.raises(ConnectionOver):
        Outgoing(pair[0], drop_oldest=True, limit=5).send(b"x")


def test_a_dead_workers_socket_file_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listen(path).close()
    listener = listen(path)
    assert address_of(listener, path) == path
    listener.close()


def test_a_free_port_is_told() -> None:
    listener = listen("127.0.0.1:0")
    host, port = address_of(listener, "127.0.0.1:0").split(":")
    assert (host, int(port) > 0) == ("127.0.0.1", True)
    listener.close()


def test_addresses_are_paths_or_host_and_port() -> None:
    assert parse_address("/run/x:1.sock") == "/run/x:1.sock"
    assert parse_address("10.0.0.1:99") == ("10.0.0.1", 99)
    assert parse_address("[::1]:99") == ("::1", 99)
    for wrong in ("", "host:port", "host:70000"):
        with pytest.raises(ValueError, match="address"):
            parse_address(wrong)
