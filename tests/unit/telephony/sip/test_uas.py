"""The callee: one call however often the INVITE comes, and every answer that a peer may ask for."""

from __future__ import annotations

import pytest

from telephony.sip.actions import (
    Dropped,
    Ended,
    Established,
    InfoDigit,
    MediaChanged,
    Offered,
    Refused,
    TransferNews,
)
from telephony.sip.message import Request, Response
from tests.unit.telephony.sip.wire import OFFER, PEER, RTP, Peer, endpoint, request

HOLD = OFFER + "a=sendonly\r\n"


def only(messages: list[Request | Response]) -> Response:
    (message,) = messages
    assert isinstance(message, Response)
    return message


def sent_request(messages: list[Request | Response], method: str) -> Request:
    (message,) = [one for one in messages if isinstance(one, Request) and one.method == method]
    return message


def test_three_invites_are_one_call_and_repeat_the_last_provisional() -> None:
    peer = Peer()
    for _ in range(3):
        peer.send(request(body=OFFER))
    peer.sip.ring("sip-1", peer.now)
    peer.send(request(body=OFFER))
    assert len(peer.of(Offered)) == 1
    assert peer.statuses() == [100, 100, 100, 180, 180]
    assert peer.sent[-1].to.tag == peer.sent[-2].to.tag != ""


def test_200_is_repeated_until_the_ack() -> None:
    peer = Peer()
    peer.send(request(body=OFFER))
    peer.sip.prepare("sip-1", RTP)
    peer.sip.accept("sip-1", peer.now)
    tag = peer.collect()[-1].to.tag
    assert [message.status for message in peer.advance(4.0) if isinstance(message, Response)] == [200, 200, 200]
    peer.send(request("ACK", to_tag=tag, branch="z9hG4bKother"))
    assert peer.advance(20.0) == []
    assert [type(event) for event in peer.events] == [Offered, Established]


def test_call_without_ack_gets_bye_after_64_t1() -> None:
    peer = Peer()
    peer.send(request(body=OFFER))
    peer.sip.prepare("sip-1", RTP)
    peer.sip.accept("sip-1", peer.now)
    peer.collect()
    bye = sent_request(peer.advance(32.1), "BYE")
    assert bye.to.tag == "peer"
    assert [(event.by, event.status, event.reason) for event in peer.of(Ended)] == [("network", 408, "no_ack")]


def test_retransmitted_invite_after_the_200_is_absorbed() -> None:
    peer = Peer()
    peer.answered()
    assert peer.send(request(body=OFFER)) == []
    assert len(peer.of(Offered)) == 1


def test_cancel_gets_200_and_the_invite_487() -> None:
    peer = Peer()
    peer.send(request(body=OFFER))
    answers = peer.send(request("CANCEL", branch="z9hG4bKINVITE1call-1"))
    assert [(one.status, one.cseq.method) for one in answers if isinstance(one, Response)] == [
        (200, "CANCEL"),
        (487, "INVITE"),
    ]
    assert [(event.by, event.reason) for event in peer.of(Ended)] == [("caller", "cancel")]
    assert len(peer.advance(1.0)) == 1  # the 487 is repeated until its ACK
    peer.send(request("ACK", to_tag=answers[1].to.tag, branch="z9hG4bKINVITE1call-1"))
    assert peer.advance(30.0) == []


def test_cancel_after_the_200_changes_nothing() -> None:
    peer = Peer()
    peer.answered()
    assert only(peer.send(request("CANCEL", branch="z9hG4bKINVITE1call-1"))).status == 200
    assert peer.of(Ended) == []


def test_cancel_from_elsewhere_cancels_nothing() -> None:
    peer = Peer()
    peer.send(request(body=OFFER))
    answers = peer.send(request("CANCEL", branch="z9hG4bKINVITE1call-1"), ("192.0.2.99", 5062))
    assert only(answers).status == 481
    assert peer.of(Ended) == []


def test_bye_ends_the_call_and_a_repeated_one_is_answered_again() -> None:
    peer = Peer()
    _, tag = peer.answered()
    bye = request("BYE", cseq=2, to_tag=tag)
    assert [only(peer.send(bye)).status for _ in range(3)] == [200, 200, 200]
    assert only(peer.send(request("BYE", cseq=3, to_tag=tag, branch="z9hG4bKnew"))).status == 200
    assert [(event.by, event.status, event.reason) for event in peer.of(Ended)] == [("caller", 200, "bye")]


def test_everything_is_forgotten_in_the_end() -> None:
    peer = Peer()
    _, tag = peer.answered()
    peer.send(request("BYE", cseq=2, to_tag=tag))
    peer.advance(70.0)
    assert peer.sip.next_deadline() is None
    assert len(peer.sip._layer) == 0
    assert peer.sip._calls == peer.sip._by_tag == peer.sip._invites == peer.sip._merges == {}
    assert only(peer.send(request("BYE", cseq=4, to_tag=tag, branch="z9hG4bKlate"))).status == 481


def test_bye_before_an_answer_ends_the_invite_too() -> None:
    peer = Peer()
    peer.send(request(body=OFFER))
    peer.sip.ring("sip-1", peer.now)
    tag = peer.collect()[-1].to.tag
    answers = peer.send(request("BYE", cseq=2, to_tag=tag))
    assert [one.status for one in answers if isinstance(one, Response)] == [200, 487]
    assert len(peer.of(Ended)) == 1


def test_our_bye_waits_for_the_ack() -> None:
    peer = Peer()
    peer.send(request(body=OFFER))
    peer.sip.prepare("sip-1", RTP)
    peer.sip.accept("sip-1", peer.now)
    tag = peer.collect()[-1].to.tag
    peer.sip.hang_up("sip-1", "done", peer.now)
    assert peer.collect() == []
    sent_request(peer.send(request("ACK", to_tag=tag, branch="z9hG4bKack")), "BYE")
    assert [(event.by, event.reason) for event in peer.of(Ended)] == [("us", "done")]


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (HOLD, "a=recvonly"),
        (OFFER + "a=inactive\r\n", "a=inactive"),
        (OFFER.replace("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0"), "a=recvonly"),
    ],
)
def test_hold_is_answered_and_reported(body: str, answered: str) -> None:
    peer = Peer()
    _, tag = peer.answered()
    answer = only(peer.send(request(cseq=2, to_tag=tag, body=body)))
    assert answer.status == 200
    assert answered in answer.body.decode()
    peer.send(request("ACK", cseq=2, to_tag=tag, branch="z9hG4bKack2"))
    answer = only(peer.send(request(cseq=3, to_tag=tag, body=OFFER)))
    assert "a=sendrecv" in answer.body.decode()
    assert [event.held for event in peer.of(MediaChanged)] == [True, False]
    assert not peer.of(MediaChanged)[0].media.send


def test_200_to_a_reinvite_is_repeated_and_unacknowledged_ends_the_call() -> None:
    peer = Peer()
    _, tag = peer.answered()
    peer.send(request(cseq=2, to_tag=tag, body=HOLD))
    repeated = [one for one in peer.advance(31.9) if isinstance(one, Response)]
    assert {one.status for one in repeated} == {200}
    sent_request(peer.advance(0.2), "BYE")
    assert peer.of(Ended)[0].reason == "no_ack"


def test_reinvite_without_sdp_gets_an_offer_and_its_ack_the_answer() -> None:
    peer = Peer()
    _, tag = peer.answered()
    answer = only(peer.send(request(cseq=2, to_tag=tag)))
    assert b"m=audio 20000" in answer.body
    peer.send(request("ACK", cseq=2, to_tag=tag, branch="z9hG4bKack2", body=HOLD))
    assert [event.held for event in peer.of(MediaChanged)] == [True]


def test_late_offer_is_made_in_the_200_and_answered_in_the_ack() -> None:
    peer = Peer()
    peer.send(request())
    media = peer.sip.prepare("sip-1", RTP)
    assert media is not None
    assert media.remote is None
    peer.sip.accept("sip-1", peer.now)
    answer = only(peer.collect())
    assert b"m=audio 20000 RTP/AVP 0 8 101" in answer.body
    peer.send(request("ACK", to_tag=answer.to.tag, branch="z9hG4bKack", body=OFFER))
    assert peer.of(Established)[0].media.remote == ("192.0.2.10", 40000)


def test_late_offer_without_an_answer_ends_the_call() -> None:
    peer = Peer()
    peer.send(request())
    peer.sip.prepare("sip-1", RTP)
    peer.sip.accept("sip-1", peer.now)
    tag = only(peer.collect()).to.tag
    sent_request(peer.send(request("ACK", to_tag=tag, branch="z9hG4bKack")), "BYE")
    assert [event.reason for event in peer.of(Ended)] == ["no_answer_sdp"]
    assert peer.of(Established) == []


def test_lower_cseq_is_answered_500_and_changes_nothing() -> None:
    peer = Peer()
    _, tag = peer.answered()
    peer.send(request("INFO", cseq=9, to_tag=tag))
    assert only(peer.send(request("BYE", cseq=5, to_tag=tag))).status == 500
    assert peer.of(Ended) == []
    assert peer.of(Refused)[0].rule == "cseq-too-low"


def test_second_invite_before_our_answer_gets_500_with_retry_after() -> None:
    peer = Peer()
    peer.send(request(body=OFFER))
    peer.sip.ring("sip-1", peer.now)
    tag = peer.collect()[-1].to.tag
    answer = only(peer.send(request(cseq=2, to_tag=tag, body=OFFER)))
    assert answer.status == 500
    assert 0 <= int(answer.headers.get("retry-after") or "") <= 10


def test_crossing_reinvites_get_491_and_ours_is_tried_again() -> None:
    peer = Peer()
    key, tag = peer.answered()
    peer.sip.hold(key, peer.now)
    ours = sent_request(peer.collect(), "INVITE")
    assert only(peer.send(request(cseq=2, to_tag=tag, body=OFFER))).status == 491
    via = ours.headers.get("via")
    pending = (
        f"SIP/2.0 491 Request Pending\r\nVia: {via}\r\nFrom: {ours.headers.get('from')}\r\n"
        f"To: {ours.headers.get('to')}\r\nCall-ID: call-1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
    assert sent_request(peer.send(pending.encode()), "ACK").cseq.number == 1
    again = [one for one in peer.advance(2.01) if isinstance(one, Request) and one.method == "INVITE"]
    assert again[0].cseq.number == 2


def test_merged_invite_gets_482() -> None:
    peer = Peer()
    peer.send(request(body=OFFER))
    assert only(peer.send(request(body=OFFER, branch="z9hG4bKotherpath"))).status == 482
    assert len(peer.of(Offered)) == 1


@pytest.mark.parametrize(
    ("data", "status", "header", "rule"),
    [
        (request("REGISTER"), 405, "allow", "method-not-allowed"),
        (request("MESSAGE"), 405, "allow", "method-not-allowed"),
        (request("DANCE"), 501, "allow", "unknown-method"),
        (request("BYE"), 481, "", "unknown-dialog"),
        (request("BYE", to_tag="nobody"), 481, "", "unknown-dialog"),
        (request("INVITE", to_tag="nobody", body=OFFER), 481, "", "unknown-dialog"),
        (request("PRACK"), 481, "", "unknown-dialog"),
        (request("CANCEL"), 481, "", "unknown-transaction"),
        (request("REFER"), 603, "", "refer-refused"),
        (request(body=OFFER.replace("0 8 101", "18")), 488, "", "sdp-no-codec"),
        (request(body="m=what"), 400, "", "sdp-no-version"),
        (request(body="hello", extra=["Content-Type: text/plain"]), 415, "accept", "unsupported-body"),
        (request(body=OFFER, extra=["Content-Encoding: gzip"]), 415, "accept", "unsupported-body"),
        (request(body=OFFER, extra=["Require: 100rel, timer"]), 420, "unsupported", "unsupported-extension"),
        (request(body=OFFER, extra=["Replaces: x;to-tag=1;from-tag=2"]), 603, "", "replaces-refused"),
        (
            request(body=OFFER, extra=["Session-Expires: 60", "Supported: timer"]),
            422,
            "min-se",
            "session-interval-too-small",
        ),
        (request().replace(b"INVITE sip:", b"INVITE tel:"), 416, "", "unknown-uri-scheme"),
        (request().replace(b" SIP/2.0\r\nVia", b" SIP/3.0\r\nVia"), 505, "", "bad-version"),
        (request().replace(b"Call-ID", b"Call-Id-No"), 400, "", "missing-header"),
    ],
)
def test_refusal_has_its_status_header_and_rule(data: bytes, status: int, header: str, rule: str) -> None:
    peer = Peer()
    peer.sip.receive(data, PEER, peer.now)
    outputs = peer.sip.poll()
    (transmit,) = [one.data for one in outputs if hasattr(one, "data")]
    assert transmit.startswith(f"SIP/2.0 {status} ".encode())
    assert not header or f"\r\n{header}:".encode() in transmit.lower()
    assert [(one.status, one.rule) for one in outputs if isinstance(one, Refused)] == [(status, rule)]
    assert not [one for one in outputs if isinstance(one, Offered)]


def test_400_names_the_header() -> None:
    peer = Peer()
    peer.sip.receive(request().replace(b"CSeq: 1 INVITE", b"CSeq: x INVITE"), PEER, peer.now)
    (transmit,) = [one.data for one in peer.sip.poll() if hasattr(one, "data")]
    assert b"CSeq" in transmit.split(b"\r\n")[0]


def test_420_lists_what_is_not_supported() -> None:
    peer = Peer()
    answer = only(peer.send(request(body=OFFER, extra=["Require: 100rel, timer, Fancy"])))
    assert answer.headers.get("unsupported") == "100rel, Fancy"


def test_options_are_answered_and_503_when_draining() -> None:
    peer = Peer()
    answer = only(peer.send(request("OPTIONS")))
    assert (answer.status, answer.headers.get("accept")) == (200, "application/sdp")
    assert "INVITE" in (answer.headers.get("allow") or "")
    peer.sip.is_draining = True
    answer = only(peer.send(request("OPTIONS", cseq=2)))
    assert answer.status == 503
    assert answer.headers.get("retry-after")


def test_draining_refuses_new_calls_and_keeps_the_running_one() -> None:
    peer = Peer()
    _, tag = peer.answered()
    peer.sip.is_draining = True
    assert only(peer.send(request(call_id="call-2", body=OFFER))).status == 503
    assert only(peer.send(request(cseq=2, to_tag=tag, body=HOLD))).status == 200


def test_above_the_limit_an_invite_gets_503_and_no_state() -> None:
    peer = Peer(endpoint(max_half_open=2))
    for number in range(5):
        peer.send(request(call_id=f"call-{number}", body=OFFER))
    assert peer.statuses() == [100, 100, 503, 503, 503]
    assert len(peer.sip._layer) == 2
    assert len(peer.of(Offered)) == 2


def test_stateless_refusal_is_the_same_each_time() -> None:
    peer = Peer(endpoint(max_half_open=0))
    first, second = only(peer.send(request(body=OFFER))), only(peer.send(request(body=OFFER)))
    assert first.to.tag == second.to.tag != ""


def test_flood_of_options_is_answered_and_kept_up_to_its_limit() -> None:
    peer = Peer(endpoint(max_kept_options=3))
    for number in range(1, 11):
        peer.send(request("OPTIONS", cseq=number))
    assert peer.statuses("OPTIONS") == [200] * 10
    assert len(peer.sip._layer) == 3
    first, second = (only(peer.send(request("OPTIONS", cseq=11))) for _ in range(2))
    assert first.to.tag == second.to.tag != ""
    peer.advance(33.0)
    assert (len(peer.sip._layer), peer.sip._layer.kept_requests) == (0, 0)
    peer.send(request("OPTIONS", cseq=12))
    assert len(peer.sip._layer) == 1


def test_options_without_state_is_judged_like_any_other() -> None:
    peer = Peer(endpoint(max_kept_options=0))
    assert only(peer.send(request("OPTIONS", extra=["Require: Fancy"]))).status == 420
    peer.sip.is_draining = True
    assert only(peer.send(request("OPTIONS", cseq=2))).status == 503
    assert len(peer.sip._layer) == 0


def test_above_the_limit_of_kept_requests_only_calls_are_heard() -> None:
    peer = Peer(endpoint(max_kept_requests=2))
    _, tag = peer.answered()
    ringing = request(call_id="call-2", body=OFFER)
    peer.send(ringing)
    for number in range(1, 6):
        peer.send(request("BYE", cseq=number, call_id="nobody", to_tag="x"))
    assert peer.statuses("BYE") == [481, 481, 503, 503, 503]
    assert peer.sip._layer.kept_requests == 2
    assert [event.rule for event in peer.of(Refused)][-1] == "too-many-requests"
    assert only(peer.send(request("INFO", cseq=2, to_tag=tag))).status == 503
    assert only(peer.send(request("CANCEL", call_id="nobody"))).status == 503
    answers = peer.send(request("CANCEL", call_id="call-2", branch="z9hG4bKINVITE1call-2"))
    assert [one.status for one in answers if isinstance(one, Response)] == [200, 487]
    assert only(peer.send(request("BYE", cseq=3, to_tag=tag))).status == 200
    assert [event.reason for event in peer.of(Ended)] == ["cancel", "bye"]


def test_foreign_source_is_dropped_in_silence() -> None:
    peer = Peer(endpoint(allow=("10.0.0.0/8",)))
    assert peer.send(request(body=OFFER)) == []
    assert peer.send(b"\xff" * 100) == []
    assert [event.rule for event in peer.of(Dropped)] == ["source-not-allowed"] * 2


def test_noise_is_dropped() -> None:
    peer = Peer()
    for data in (b"", b"\r\n\r\n", b"\0\0", b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", b"ACK x\r\n\r\n"):
        assert peer.send(data) == []
    assert peer.events
    assert {type(event) for event in peer.events} == {Dropped}


def test_response_goes_to_the_source_port_only_with_rport() -> None:
    peer = Peer()
    peer.send(request("OPTIONS"), ("192.0.2.77", 7777))
    peer.send(request("OPTIONS", cseq=2, rport=False), ("192.0.2.77", 7777))
    assert peer.destinations == [("192.0.2.77", 7777), ("192.0.2.77", 5062)]
    params = dict(peer.sent[0].vias[0].params)
    assert (params["received"], params["rport"]) == ("192.0.2.77", "7777")


def test_record_route_is_copied_and_followed() -> None:
    peer = Peer()
    routes = ["Record-Route: <sip:192.0.2.50;lr>, <sip:192.0.2.51:5070;lr>"]
    key, _ = peer.answered(extra=routes)
    answer = next(one for one in peer.sent if isinstance(one, Response) and one.status == 200)
    assert [str(route.uri) for route in answer.record_routes] == ["sip:192.0.2.50;lr", "sip:192.0.2.51:5070;lr"]
    peer.sip.hang_up(key, "done", peer.now)
    bye = sent_request(peer.collect(), "BYE")
    assert bye.headers.get_all("route") == ["<sip:192.0.2.50;lr>", "<sip:192.0.2.51:5070;lr>"]
    assert bye.uri == "sip:alice@192.0.2.10:5062"
    assert peer.destinations[-1] == ("192.0.2.50", 5060)


def test_strict_router_gets_the_request_uri() -> None:
    peer = Peer()
    key, _ = peer.answered(extra=["Record-Route: <sip:192.0.2.50>"])
    peer.sip.hang_up(key, "done", peer.now)
    bye = sent_request(peer.collect(), "BYE")
    assert bye.uri == "sip:192.0.2.50"
    assert bye.headers.get_all("route") == ["<sip:alice@192.0.2.10:5062>"]


@pytest.mark.parametrize(
    ("body", "digit", "duration_ms"),
    [("Signal=5\r\nDuration=160\r\n", "5", 160), ("Signal= *\r\n", "*", 100), ("Signal=11", "#", 100)],
)
def test_info_gives_a_key(body: str, digit: str, duration_ms: int) -> None:
    peer = Peer()
    _, tag = peer.answered()
    info = request("INFO", cseq=2, to_tag=tag, body=body, extra=["Content-Type: application/dtmf-relay"])
    assert only(peer.send(info)).status == 200
    peer.send(info)
    assert [(event.digit, event.duration_ms) for event in peer.of(InfoDigit)] == [(digit, duration_ms)]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [("", "", 200), ("x", "text/plain", 415), ("Signal=99", "application/dtmf-relay", 400)],
)
def test_other_info_gives_none(body: str, kind: str, status: int) -> None:
    peer = Peer()
    _, tag = peer.answered()
    extra = [f"Content-Type: {kind}"] if kind else []
    assert only(peer.send(request("INFO", cseq=2, to_tag=tag, body=body, extra=extra))).status == status
    assert peer.of(InfoDigit) == []


def test_refer_of_the_peer_is_refused_as_configured() -> None:
    for status in (603, 405):
        peer = Peer(endpoint(refer_status=status))
        _, tag = peer.answered()
        refer = request("REFER", cseq=2, to_tag=tag, extra=["Refer-To: <sip:x@192.0.2.1>"])
        assert only(peer.send(refer)).status == status


def test_notify_that_nobody_asked_for_is_refused() -> None:
    peer = Peer()
    _, tag = peer.answered()
    notify = request("NOTIFY", cseq=2, to_tag=tag, body="SIP/2.0 200 OK", extra=["Event: refer"])
    assert only(peer.send(notify)).status == 481
    other = request("NOTIFY", cseq=3, to_tag=tag, extra=["Event: presence"])
    assert only(peer.send(other)).status == 489


def test_in_dialog_request_of_another_tag_is_481() -> None:
    peer = Peer()
    _, tag = peer.answered()
    assert only(peer.send(request("BYE", cseq=2, to_tag=tag, from_tag="stranger"))).status == 481
    assert peer.of(Ended) == []


def test_offer_that_nobody_decides_about_is_refused_in_the_end() -> None:
    peer = Peer(endpoint(ring_limit_s=30.0))
    peer.send(request(body=OFFER))
    assert [one.status for one in peer.advance(30.0) if isinstance(one, Response)] == [480]
    assert len(peer.of(Ended)) == 1


def test_session_refresh_is_answered_by_invite_and_update() -> None:
    peer = Peer()
    timer = ["Session-Expires: 90;refresher=uac", "Supported: timer"]
    _, tag = peer.answered(extra=timer)
    first = next(one for one in peer.sent if isinstance(one, Response) and one.status == 200)
    assert first.headers.get("session-expires") == "90;refresher=uac"
    for number, (method, body) in enumerate([("INVITE", OFFER), ("UPDATE", ""), ("UPDATE", OFFER)], start=2):
        assert peer.advance(45.0) == []
        answer = only(peer.send(request(method, cseq=number, to_tag=tag, body=body, extra=timer)))
        assert answer.status == 200
        assert answer.headers.get("session-expires") == "90;refresher=uac"
        assert bool(answer.body) is bool(body)
        if method == "INVITE":
            peer.send(request("ACK", cseq=number, to_tag=tag, branch=f"z9hG4bKack{number}"))
    assert peer.of(MediaChanged) == []
    assert peer.of(Ended) == []


def test_missing_refresh_ends_the_call_before_expiry() -> None:
    peer = Peer()
    peer.answered(extra=["Session-Expires: 90;refresher=uac", "Supported: timer"])
    assert peer.advance(59.9) == []
    sent_request(peer.advance(0.2), "BYE")  # min(32 s, 90/3) before 90 s
    assert [event.reason for event in peer.of(Ended)] == ["session_expired"]


def test_we_refresh_when_told_to() -> None:
    peer = Peer()
    peer.answered(extra=["Session-Expires: 90;refresher=uas", "Supported: timer"])
    refresh = sent_request(peer.advance(45.1), "INVITE")
    assert refresh.headers.get("session-expires") == "90;refresher=uac"
    assert b" 1 IN IP4" in refresh.body.split(b"\r\n")[1]  # version unchanged


def test_transfer_refused_by_the_peer_leaves_the_call() -> None:
    peer = Peer()
    key, _ = peer.answered()
    peer.sip.transfer(key, "sip:bob@192.0.2.1", peer.now)
    refer = sent_request(peer.collect(), "REFER")
    assert refer.headers.get("refer-to") == "<sip:bob@192.0.2.1>"
    via, sender, to = (refer.headers.get(name) for name in ("via", "from", "to"))
    peer.send(
        f"SIP/2.0 603 Decline\r\nVia: {via}\r\nFrom: {sender}\r\nTo: {to}\r\nCall-ID: call-1\r\n"
        f"CSeq: {refer.cseq}\r\n\r\n".encode()
    )
    assert [(event.outcome, event.status) for event in peer.of(TransferNews)] == [("failed", 603)]
    assert peer.of(Ended) == []
    peer.sip.transfer(key, "sip:carol@192.0.2.1", peer.now)
    sent_request(peer.collect(), "REFER")


def test_peer_that_hangs_up_after_accepting_a_transfer_has_been_transferred() -> None:
    peer = Peer()
    key, tag = peer.answered()
    peer.sip.transfer(key, "sip:bob@192.0.2.1", peer.now)
    peer.send(request("BYE", cseq=2, to_tag=tag))
    assert [event.outcome for event in peer.of(TransferNews)] == ["succeeded"]
    assert [(event.by, event.reason) for event in peer.of(Ended)] == [("caller", "transferred")]


def test_caller_with_escaped_control_bytes_in_its_name_can_be_hung_up() -> None:
    peer = Peer()
    peer.send(request(body=OFFER).replace(b"From: <", b'From: "N\\\x00L" <'))
    peer.sip.prepare("sip-1", RTP)
    peer.sip.accept("sip-1", peer.now)
    tag = peer.collect()[-1].to.tag
    peer.send(request("ACK", to_tag=tag, branch="z9hG4bKack"))
    peer.sip.hang_up("sip-1", "done", peer.now)
    assert sent_request(peer.collect(), "BYE").to.tag == "peer"
