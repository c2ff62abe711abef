from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from telephony.errors import MediaError
from telephony.net.ports import PortPair, PortPool

LOW, HIGH = 19000, 19007


@pytest.fixture
def pool() -> Iterator[PortPool]:
    one = PortPool("127.0.0.1", LOW, HIGH, rest_s=5.0, rng=random.Random(1))
    yield one
    one.close()


def take_all(pool: PortPool) -> list[PortPair]:
    return [pool.take() for _ in range(4)]


def test_ports_are_even_with_rtcp_on_the_next_and_run_out(pool: PortPool) -> None:
    pairs = take_all(pool)
    assert sorted(pair.port for pair in pairs) == [19000, 19002, 19004, 19006]
    assert all(pair.rtcp.getsockname()[1] == pair.port + 1 for pair in pairs)
    with pytest.raises(MediaError, match="no RTP port is free"):
        pool.take()
    for pair in pairs:
        pair.close()


@pytest.mark.parametrize("port", [19001, 18998, 19008])
def test_odd_ports_and_ports_out_of_range_are_refused(pool: PortPool, port: int) -> None:
    with pytest.raises(MediaError, match="odd or out of range"):
        pool.take(port)


def test_a_port_that_somebody_else_has_is_passed_over(pool: PortPool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 19003))
        pairs = [pool.take() for _ in range(3)]
        assert 19002 not in {pair.port for pair in pairs}
        for pair in pairs:
            pair.close()


def test_a_closed_port_rests_until_its_packets_stop(pool: PortPool) -> None:
    pair = pool.take(19000)
    pool.release(pair, 100.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"late", ("127.0.0.1", 19000))
        pool.sweep(104.0)
    pool.sweep(106.0)
    assert pool.resting == 1
    with pytest.raises(MediaError, match="taken"):
        pool.take(19000)
    pool.sweep(109.5)
    assert pool.resting == 0
    pool.take(19000).close()
