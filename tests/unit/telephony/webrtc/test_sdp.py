from __future__ import annotations

import re

import pytest

from telephony.errors import RemoteProtocolError
from telephony.webrtc.sdp import (
    MAX_CANDIDATES,
    MAX_OFFER_BYTES,
    IceCandidate,
    IceCredentials,
    Local,
    build_answer,
    build_fragment,
    choose,
    our_setup,
    parse_fragment,
    parse_offer,
)
from tests.unit.telephony.webrtc.offers import ICE, chrome

LOCAL = Local(
    session_id=7,
    ice=IceCredentials(ufrag="wxyz", password="p" * 22),
    candidates=(IceCandidate(foundation="f", priority=1, host="192.0.2.1", port=4000, kind="host"),),
    fingerprint="CD",
    ssrc=99,
    cname="us",
)


def test_a_browsers_offer_is_read() -> None:
    offer = parse_offer(chrome())
    assert [line.kind for line in offer.lines] == ["audio", "application"]
    assert (offer.audio_at, offer.data_at, offer.sctp_port, offer.setup) == (0, 1, 5000, "actpass")
    assert offer.ice == IceCredentials(ufrag="abcd", password="0123456789abcdef012345")
    assert [(found.codec, found.payload_type, found.dtmf_payload_type) for found in offer.formats] == [
        ("opus", 111, 110),
        ("PCMU", 0, 126),
        ("PCMA", 8, 126),
    ]
    assert [(one.host, one.port) for one in offer.candidates] == [("192.0.2.7", 50000)]


def test_the_answer_mirrors_the_offers_lines() -> None:
    offer = parse_offer(chrome())
    answer = build_answer(offer, choose(offer, ("opus",)), LOCAL)
    assert re.findall(r"^m=(\S+) (\d+)", answer, re.M) == [("audio", "9"), ("application", "9")]
    assert "a=group:BUNDLE 0 1\r\n" in answer
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 111 110\r\n" in answer
    assert "useinbandfec=1;maxplaybackrate=16000" in answer
    assert answer.count("a=setup:active") == 2
    assert answer.count("a=candidate:") == 1
    assert answer.endswith("\r\n")


def test_other_lines_are_refused_one_by_one() -> None:
    video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=rtpmap:96 VP8/90000\r\n"
    offer = parse_offer(chrome(extra=video, bundle="BUNDLE 0 v 1"))
    answer = build_answer(offer, choose(offer, ("PCMU",)), LOCAL)
    assert re.findall(r"^m=(\S+) (\d+)", answer, re.M) == [("audio", "9"), ("video", "0"), ("application", "9")]
    assert "a=group:BUNDLE 0 1\r\n" in answer


def test_a_data_channel_outside_the_bundle_is_refused() -> None:
    offer = parse_offer(chrome(bundle="BUNDLE 0"))
    assert offer.data_at is None
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel" in build_answer(offer, offer.formats[0], LOCAL)


def test_our_preference_picks_the_codec() -> None:
    offer = parse_offer(chrome())
    assert choose(offer, ("PCMU", "opus")).codec == "PCMU"
    assert choose(offer, ("opus", "PCMU")).codec == "opus"


def test_the_peer_that_insists_on_its_dtls_role_gets_it() -> None:
    assert our_setup(parse_offer(chrome(setup="active"))) == "passive"
    assert our_setup(parse_offer(chrome(setup="passive"))) == "active"


@pytest.mark.parametrize(
    ("offer", "rule", "status"),
    [
        ("", "malformed", 400),
        ("hello", "malformed", 400),
        ("v=0\r\nm=audio what\r\n", "malformed", 400),
        ("v=0\r\nx\x00y=1\r\n", "malformed", 400),
        ("v=0\r\ns=-\r\n", "no-audio", 422),
        (chrome().replace("m=audio", "m=video"), "no-audio", 422),
        (chrome(audio="63 9"), "no-codec", 422),
        (chrome(ice=""), "no-ice", 422),
        (chrome(ice="a=ice-ufrag:a\r\na=ice-pwd:b\r\n"), "malformed", 400),
        (chrome(fingerprint=""), "no-fingerprint", 422),
        (chrome(fingerprint="a=fingerprint:md5 AA\r\n"), "no-fingerprint", 422),
        (chrome(setup="holdconn"), "malformed", 400),
        (chrome(setup="\ud800"), "malformed", 400),
        (chrome(audio="²").replace("a=rtpmap:111 opus", "a=rtpmap:² opus"), "no-codec", 422),
        (chrome().replace("m=audio 9", "m=audio ٣"), "malformed", 400),
        (chrome(extra="a=x:" + "y" * MAX_OFFER_BYTES + "\r\n"), "too-large", 413),
    ],
)
def test_a_bad_offer_is_refused_by_rule(offer: str, rule: str, status: int) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        parse_offer(offer)
    assert (refused.value.rule, refused.value.status_hint) == (rule, status)


def test_no_codec_that_is_allowed_here_is_refused() -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        choose(parse_offer(chrome(audio="0")), ("opus",))
    assert refused.value.rule == "no-codec"


def test_only_addresses_that_we_can_send_to_are_taken() -> None:
    lines = (
        "a=candidate:1 1 udp 1 7f0b.local 50000 typ host\r\n"
        "a=candidate:2 1 tcp 1 192.0.2.1 9 typ host tcptype active\r\n"
        "a=candidate:3 2 udp 1 192.0.2.2 50000 typ host\r\n"
        "a=candidate:4 1 udp 1 192.0.2.3 0 typ host\r\n"
        "a=candidate:5 1 UDP 1 192.0.2.4 5000 typ srflx raddr 0.0.0.0 rport 9\r\n"
        "a=candidate:nonsense\r\n"
    )
    assert [one.host for one in parse_offer(chrome(candidates=lines)).candidates] == ["192.0.2.4"]


def test_more_addresses_than_anybody_has_are_ignored() -> None:
    lines = "".join(f"a=candidate:{n} 1 udp 1 192.0.2.1 {n + 1} typ host\r\n" for n in range(MAX_CANDIDATES + 5))
    assert len(parse_offer(chrome(candidates=lines)).candidates) == MAX_CANDIDATES


def test_a_fragment_brings_candidates_or_new_credentials() -> None:
    trickled = parse_fragment("m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 5 192.0.2.7 50 typ host\r\n")
    assert (trickled.ice, len(trickled.candidates)) == (None, 1)
    restarted = parse_fragment(ICE)
    assert restarted.ice is not None
    assert restarted.ice.ufrag == "abcd"


def test_our_fragment_can_be_read_back() -> None:
    text = build_fragment("0", LOCAL.ice, LOCAL.candidates)
    assert parse_fragment(text).ice == LOCAL.ice
    assert parse_fragment(text).candidates == LOCAL.candidates
