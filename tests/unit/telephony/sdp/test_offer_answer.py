"""Offer and answer for one audio stream (RFC 3264)."""

from __future__ import annotations

import pytest

from telephony.errors import RemoteProtocolError
from telephony.sdp import session as sdp
from telephony.sdp.offer_answer import AudioSession
from telephony.sdp.session import Flow


def ours() -> AudioSession:
    return AudioSession(host="198.51.100.1", port=20000, session_id="7")


def offer(*media: str, host: str = "192.0.2.10", origin: str = "peer 1 1") -> sdp.SessionDescription:
    lines = ["v=0", f"o={origin} IN IP4 192.0.2.10", "s=-", f"c=IN IP4 {host}", "t=0 0", *media]
    return sdp.parse("\r\n".join(lines).encode() + b"\r\n")


def lines_of(body: bytes) -> list[str]:
    return body.decode().split("\r\n")


def test_static_payload_types_need_no_rtpmap() -> None:
    body, agreed = ours().answer(offer("m=audio 4000 RTP/AVP 8 0"))
    assert (agreed.codec, agreed.payload_type, agreed.dtmf_payload_type) == ("PCMA", 8, None)
    assert "m=audio 20000 RTP/AVP 8" in lines_of(body)
    assert agreed.remote == ("192.0.2.10", 4000)


def test_payload_numbers_come_from_the_offer() -> None:
    body, agreed = ours().answer(
        offer(
            "m=audio 4000 RTP/AVP 9 111 96 97",
            "a=rtpmap:111 opus/48000/2",
            "a=rtpmap:96 PCMU/8000",
            "a=rtpmap:97 telephone-event/8000",
        )
    )
    assert (agreed.codec, agreed.payload_type, agreed.dtmf_payload_type) == ("PCMU", 96, 97)
    assert "m=audio 20000 RTP/AVP 96 97" in lines_of(body)
    assert "a=rtpmap:97 telephone-event/8000" in lines_of(body)


def test_telephone_event_of_another_clock_is_not_taken() -> None:
    _, agreed = ours().answer(offer("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/48000"))
    assert agreed.dtmf_payload_type is None


def test_other_media_are_rejected_in_place() -> None:
    body, _ = ours().answer(
        offer("m=video 5000 RTP/AVP 31", "m=audio 4000 RTP/AVP 0", "m=audio 4002 RTP/AVP 0", "m=image 6000 udptl t38")
    )
    media = [line for line in lines_of(body) if line.startswith("m=")]
    assert media == ["m=video 0 RTP/AVP 31", "m=audio 20000 RTP/AVP 0", "m=audio 0 RTP/AVP 0", "m=image 0 udptl t38"]


@pytest.mark.parametrize(
    "media",
    [
        ("m=audio 4000 RTP/AVP 18",),
        ("m=audio 0 RTP/AVP 0",),
        ("m=audio 4000 RTP/SAVP 0",),
        ("m=video 4000 RTP/AVP 0",),
        (),
    ],
)
def test_offer_without_plain_g711_is_not_acceptable(media: tuple[str, ...]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        ours().answer(offer(*media))
    assert caught.value.status_hint == 488


@pytest.mark.parametrize(
    ("theirs", "answered", "send"),
    [
        ("sendrecv", "sendrecv", True),
        ("sendonly", "recvonly", False),
        ("recvonly", "sendonly", True),
        ("inactive", "inactive", False),
    ],
)
def test_direction_is_mirrored(theirs: str, answered: str, send: bool) -> None:
    body, agreed = ours().answer(offer("m=audio 4000 RTP/AVP 0", f"a={theirs}"))
    assert f"a={answered}" in lines_of(body)
    assert agreed.send is send
    assert agreed.held is not send


def test_direction_of_the_session_counts_where_the_stream_has_none() -> None:
    _, agreed = ours().answer(offer("a=inactive", "m=audio 4000 RTP/AVP 0"))
    assert agreed.held


def test_old_style_hold_has_nowhere_to_send() -> None:
    body, agreed = ours().answer(offer("m=audio 4000 RTP/AVP 0", host="0.0.0.0"))
    assert agreed.remote is None
    assert agreed.held
    assert "a=recvonly" in lines_of(body)


def test_version_grows_only_when_the_text_changes() -> None:
    session = ours()
    first, _ = session.answer(offer("m=audio 4000 RTP/AVP 0"))
    again, _ = session.answer(offer("m=audio 4000 RTP/AVP 0"))
    held, _ = session.answer(offer("m=audio 4000 RTP/AVP 0", "a=sendonly", origin="peer 1 2"))
    assert first == again
    assert "o=- 7 1 IN IP4 198.51.100.1" in lines_of(first)
    assert "o=- 7 2 IN IP4 198.51.100.1" in lines_of(held)


@pytest.mark.parametrize(
    ("attributes", "ptime_ms"),
    [
        ((), 20),
        (("a=ptime:30",), 20),
        (("a=ptime:40",), 40),
        (("a=ptime:200",), 60),
        (("a=maxptime:20", "a=ptime:60"), 20),
    ],
)
def test_packet_time_is_a_multiple_of_20_up_to_60(attributes: tuple[str, ...], ptime_ms: int) -> None:
    _, agreed = ours().answer(offer("m=audio 4000 RTP/AVP 0", *attributes))
    assert agreed.ptime_ms == ptime_ms


def test_hold_from_our_side_keeps_codec_and_says_sendonly() -> None:
    session = ours()
    session.offer()
    session.accept(offer("m=audio 4000 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000"))
    body = lines_of(session.offer(Flow.SENDONLY))
    assert "m=audio 20000 RTP/AVP 8 96" in body
    assert "a=sendonly" in body
    agreed = session.accept(offer("m=audio 4000 RTP/AVP 8", "a=recvonly"))
    assert agreed.send
    assert not agreed.receive
    assert not agreed.held


def test_bad_offer_changes_nothing() -> None:
    session = ours()
    first, agreed = session.answer(offer("m=audio 4000 RTP/AVP 0"))
    with pytest.raises(RemoteProtocolError):
        session.answer(offer("m=video 4000 RTP/AVP 31"))
    assert session.agreed == agreed
    assert session.answer(offer("m=audio 4000 RTP/AVP 0"))[0] == first


def test_ipv6_addresses_are_told_as_such() -> None:
    session = AudioSession(host="2001:db8::1", port=20000, session_id="7")
    assert "c=IN IP6 2001:db8::1" in lines_of(session.offer())
    _, agreed = session.answer(
        sdp.parse(
            b"v=0\r\no=- 1 1 IN IP6 2001:db8::2\r\ns=-\r\nc=IN IP6 2001:db8::2\r\nt=0 0\r\nm=audio 4 RTP/AVP 0\r\n"
        )
    )
    assert agreed.remote == ("2001:db8::2", 4)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "sdp-no-version"),
        (b"hello", "sdp-no-version"),
        (b"v=0\r\nm=audio\r\n", "sdp-bad-media"),
        (b"v=0\r\nc=IN IP4\r\nm=audio 4000 RTP/AVP 0\r\n", "sdp-bad-connection"),
        (b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n", "sdp-no-connection"),
        (b"v=0\r\nc=IN IP4 1.2.3.4\r\nm=vi\0deo 4 RTP/AVP 0\r\n", "sdp-bad-media"),
        (b"v=0\r\nm=audio 99999 RTP/AVP 0\r\n", "sdp-bad-media"),
        (b"v=0\r\n" + b"a=x\r\n" * 500, "sdp-too-many-lines"),
        (b"v=0\r\n" + b"a" * 20000, "sdp-too-large"),
        (b"v=0\r\nc=IN IP4 1.2.3.4\r\n" + b"m=audio 4 RTP/AVP 0\r\n" * 20, "sdp-too-many-media"),
    ],
)
def test_broken_sdp_names_its_rule(body: bytes, rule: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        sdp.parse(body)
    assert caught.value.rule == rule


def test_malformed_attribute_of_a_rejected_stream_harms_nobody() -> None:
    body, agreed = ours().answer(offer("m=audio 4000 RTP/AVP 0 12", "m=video 3227 RTP/AVP 31", "a=rtpmap:31 LPC"))
    assert agreed.codec == "PCMU"
    assert "m=video 0 RTP/AVP 31" in lines_of(body)
