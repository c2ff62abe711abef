"""Properties of the SIP core: no input raises, what is written is read back, every call ends once, timers move."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.errors import RemoteProtocolError
from telephony.sdp import session as sdp
from telephony.sdp.offer_answer import AudioSession
from telephony.sip.actions import CallEvent, Ended, Established, Offered
from telephony.sip.headers.name_addr import NameAddr
from telephony.sip.headers.uri import Uri
from telephony.sip.message import Headers, Request, parse_message, serialise
from tests.unit.telephony.sip.wire import OFFER, PEER, RTP, US, Peer, Wire, endpoint, request

FOLDER = Path(__file__).parents[1] / "data" / "sip_torture"
CORPUS = [(FOLDER / f"{name}.dat").read_bytes() for name in json.loads((FOLDER / "verdicts.json").read_text())]
CORPUS += [request(body=OFFER), request("OPTIONS"), request("BYE", to_tag="x")]

PIECES = [b"\r\n", b";", b",", b'"', b"<", b":", b"%", b"\0", b"\\"]

text = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",)), max_size=30)


@given(st.binary(max_size=400))
@settings(max_examples=80, deadline=None)
def test_random_bytes_never_raise(data: bytes) -> None:
    sip = endpoint()
    sip.receive(data, PEER, 0.0)
    sip.poll()


@given(st.sampled_from(CORPUS), st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_messages_never_raise_and_the_endpoint_lives(message: bytes, data: st.DataObject) -> None:
    sip, mutated = endpoint(), bytearray(message)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, max(0, len(mutated) - 1)))
        piece = data.draw(
            st.one_of(
                st.binary(max_size=3), st.sampled_from([b"\r\n", b";", b",", b'"', b"<", b":", b"%", b"\0", b"\\"])
            )
        )
        mutated[at : at + data.draw(st.integers(0, 4))] = piece
    sip.receive(bytes(mutated), PEER, 0.0)
    sip.receive(request("OPTIONS", call_id="ping"), PEER, 0.0)
    assert any(getattr(output, "data", b"").startswith(b"SIP/2.0 200") for output in sip.poll())


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_random_sdp_is_answered_or_refused(body: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        AudioSession(host="192.0.2.1", port=2, session_id="1").answer(sdp.parse(b"v=0\r\n" + body))


@given(
    st.lists(st.tuples(st.from_regex(r"X-[A-Za-z0-9]{1,8}", fullmatch=True), text), max_size=5), st.binary(max_size=60)
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(headers: list[tuple[str, str]], body: bytes) -> None:
    base = parse_message(request())
    assert isinstance(base, Request)
    written = Request(method="INVITE", uri=base.uri, headers=Headers([*base.headers, *headers]), body=body)
    read = parse_message(serialise(written))
    for name, value in headers:
        assert value.strip(" \t") in read.headers.get_all(name)
    assert read.body == body


@given(text, text.filter(bool))
@settings(max_examples=60, deadline=None)
def test_any_name_and_user_survive(display: str, user: str) -> None:
    user = user.replace(":", "")
    address = NameAddr(uri=Uri(scheme="sip", user=user, host="example.com"), display=display)
    assert NameAddr.parse(str(address), where="From") == address


STEPS = st.lists(
    st.sampled_from(
        [
            "ring",
            "accept",
            "refuse",
            "caller-hangup",
            "callee-hangup",
            "hold",
            "resume",
            "transfer",
            "wait",
            "lose",
            "find",
        ]
    ),
    max_size=14,
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_any_walk_ends_each_call_once_and_leaves_nothing(steps: list[str]) -> None:
    wire = Wire(
        endpoint(("192.0.2.10", 5062), prefix="caller", refer="report", ring_limit_s=60.0), endpoint(ring_limit_s=60.0)
    )
    key = wire.caller.dial("sip:agent@198.51.100.1", US, rtp=("192.0.2.10", 40000), now=wire.now)
    wire.run()
    for step in steps:
        _take(wire, key, step)
        wire.run(0.1)
    wire.lose = set()
    for sip, name in ((wire.caller, key), (wire.callee, "sip-1")):
        sip.hang_up(name, "over", wire.now)
    wire.run(400.0)
    for sip in (wire.caller, wire.callee):
        kinds = [type(event) for event in wire.events[sip] if isinstance(event, CallEvent)]
        assert kinds.count(Ended) == 1
        assert kinds.count(Established) <= 1
        assert kinds.count(Offered) <= 1
        assert not sip._calls
        assert not sip._by_tag
        assert len(sip._layer) == 0
        assert sip.next_deadline() is None


def _take(wire: Wire, key: str, step: str) -> None:
    now = wire.now
    match step:
        case "ring":
            wire.callee.ring("sip-1", now)
        case "accept":
            if wire.callee.prepare("sip-1", RTP) is not None:
                wire.callee.accept("sip-1", now)
        case "refuse":
            wire.callee.refuse("sip-1", 486, "", now)
        case "caller-hangup":
            wire.caller.hang_up(key, "enough", now)
        case "callee-hangup":
            wire.callee.hang_up("sip-1", "enough", now)
        case "hold":
            wire.caller.hold(key, now)
            wire.callee.hold("sip-1", now)
        case "resume":
            wire.callee.resume("sip-1", now)
        case "transfer":
            wire.caller.notify_refer(key, 200, "OK", now)
        case "wait":
            wire.run(5.0)
        case "lose":
            wire.lose = {"200/INVITE", "BYE", "487/INVITE"}
        case _:
            wire.lose = set()


@given(st.lists(st.floats(0.0, 10.0), max_size=10))
@settings(max_examples=40, deadline=None)
def test_timers_always_move(waits: list[float]) -> None:
    peer = Peer()
    peer.send(request(body=OFFER, extra=["Session-Expires: 90;refresher=uas", "Supported: timer"]))
    peer.sip.prepare("sip-1", RTP)
    peer.sip.accept("sip-1", peer.now)
    for wait in waits:
        peer.advance(wait)  # asserts that each deadline lies after the one before
