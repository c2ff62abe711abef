"""The signalling socket, and the address that peers are told."""

from __future__ import annotations

import asyncio

import pytest

from telephony.errors import TelephonyError
from telephony.net.advertised import Advertised
from telephony.net.udp import UdpSocket, address_facing, is_private, public_sample, resolve


async def test_datagrams_arrive_with_their_source() -> None:
    got: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()
    one = await UdpSocket.bind("127.0.0.1", 0, lambda data, source: got.put_nowait((data, source)))
    two = await UdpSocket.bind("127.0.0.1", 0, lambda data, source: None)
    two.send(b"hello", ("127.0.0.1", one.port))
    assert await asyncio.wait_for(got.get(), 5) == (b"hello", ("127.0.0.1", two.port))
    await one.aclose()
    await two.aclose()
    two.send(b"late", ("127.0.0.1", 9))  # nothing happens after the end


def test_loopback_faces_loopback() -> None:
    assert address_facing("127.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("10.1.2.3", True),
        ("127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("9.9.9.9", False),
        ("sip.example", False),
    ],
)
def test_private_addresses_are_known(address: str, private: bool) -> None:
    assert is_private(address) is private


def test_public_sample_is_found_where_there_is_one() -> None:
    assert public_sample(("10.0.0.0/8", "127.0.0.0/8")) is None
    assert public_sample(("10.0.0.0/8", "54.172.60.0/30")) == "54.172.60.0"
    assert public_sample(("0.0.0.0/0",)) is not None


def test_the_operators_word_comes_first_then_the_listening_address() -> None:
    assert Advertised(configured="198.51.100.7", listening="10.0.0.1").towards("10.0.0.2") == "198.51.100.7"
    assert Advertised(configured="", listening="10.0.0.1").towards("10.0.0.2") == "10.0.0.1"
    assert Advertised(configured="", listening="0.0.0.0").towards("127.0.0.1") == "127.0.0.1"


def test_private_peer_raises_no_doubt() -> None:
    advertised = Advertised(configured="", listening="10.0.0.1")
    assert advertised.doubt_about("192.168.1.1") is None
    assert "10.0.0.1" in (advertised.doubt_about("9.9.9.9") or "")


async def test_literals_resolve_to_themselves_and_nonsense_to_an_error() -> None:
    assert await resolve("192.0.2.1") == "192.0.2.1"
    with pytest.raises(TelephonyError):
        await resolve("no such host.invalid")


async def test_taken_address_is_named() -> None:
    first = await UdpSocket.bind("127.0.0.1", 0, lambda data, source: None)
    with pytest.raises(OSError, match=rf"cannot listen on UDP 127\.0\.0\.1:{first.port}: Address already in use"):
        await UdpSocket.bind("127.0.0.1", first.port, lambda data, source: None)
    await first.aclose()
