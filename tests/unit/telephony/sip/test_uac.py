"""The caller: INVITE to answer, failure and CANCEL, over an in-memory wire and against hand-made responses."""

from __future__ import annotations

import pytest

from telephony.errors import LocalProtocolError, RemoteProtocolError
from telephony.events import TransferOutcome
from telephony.sip.actions import (
    ByeAnswered,
    Ended,
    Established,
    InfoDigit,
    MediaChanged,
    Offered,
    OfferFailed,
    Progressed,
    ReferAsked,
    TransferNews,
)
from telephony.sip.message import Request, Response
from tests.unit.telephony.sip.wire import OFFER, PEER, RTP, US, Peer, Wire, endpoint

CALLER_RTP = ("192.0.2.10", 40000)
CALLEE_RTP = ("198.51.100.1", 20000)


def dialled(**settings: object) -> tuple[Wire, str]:
    """A call that the callee was offered as ``sip-1``."""
    settings = {"refer": "report", **settings}
    wire = Wire(endpoint(("192.0.2.10", 5062), prefix="caller", **settings), endpoint())
    key = wire.caller.dial("sip:agent@198.51.100.1", US, rtp=CALLER_RTP, now=wire.now, headers=(("X-Test", "1"),))
    wire.run()
    return wire, key


def established(**settings: object) -> tuple[Wire, str]:
    wire, key = dialled(**settings)
    wire.callee.ring("sip-1", wire.now)
    wire.callee.prepare("sip-1", CALLEE_RTP)
    wire.callee.accept("sip-1", wire.now)
    wire.run()
    return wire, key


def answer_to(invite: Request, status: int, *, tag: str = "them", body: str = "", extra: str = "") -> bytes:
    """A response by hand."""
    if body:
        extra += "Content-Type: application/sdp\r\n"
    lines = [f"{name}: {invite.headers.get(name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
    head = "\r\n".join([f"SIP/2.0 {status} X", *lines, f"To: {invite.headers.get('to')};tag={tag}"])
    return f"{head}\r\nContact: <sip:them@192.0.2.10:5062>\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def dialling(**settings: object) -> tuple[Peer, str, Request]:
    """A dial towards a hand-driven peer."""
    peer = Peer(endpoint(**settings))
    key = peer.sip.dial("sip:them@192.0.2.10:5062", PEER, rtp=RTP, now=peer.now)
    (invite,) = peer.collect()
    assert isinstance(invite, Request)
    return peer, key, invite


def methods(messages: list[Request | Response]) -> list[str]:
    return [one.method for one in messages if isinstance(one, Request)]


def test_call_is_answered_and_both_sides_agree() -> None:
    wire, key = established()
    assert wire.trace == ["INVITE", "100/INVITE", "180/INVITE", "200/INVITE", "ACK"]
    assert [event.status for event in wire.of(wire.caller, Progressed)] == [180]
    assert wire.of(wire.caller, Established)[0].media.remote == CALLEE_RTP
    assert wire.of(wire.callee, Established)[0].media.remote == CALLER_RTP
    assert wire.of(wire.callee, Offered)[0].headers == (("X-Test", "1"),)
    wire.caller.hang_up(key, "done", wire.now)
    wire.run()
    assert wire.of(wire.caller, ByeAnswered)[0].status == 200
    assert wire.of(wire.callee, Ended)[0].reason == "bye"


@pytest.mark.parametrize("lost", ["INVITE", "100/INVITE", "180/INVITE", "200/INVITE", "ACK"])
def test_any_lost_message_is_made_up_for(lost: str) -> None:
    wire = Wire(endpoint(("192.0.2.10", 5062), prefix="caller"), endpoint())
    wire.lose = {lost}
    wire.caller.dial("sip:agent@198.51.100.1", US, rtp=CALLER_RTP, now=wire.now)
    wire.run(0.4)
    if lost == "INVITE":
        wire.lose = set()
    wire.run(0.6)
    wire.callee.ring("sip-1", wire.now)
    wire.callee.prepare("sip-1", CALLEE_RTP)
    wire.callee.accept("sip-1", wire.now)
    wire.run(0.4)
    wire.lose = set()
    wire.run(10.0)
    assert len(wire.of(wire.caller, Established)) == len(wire.of(wire.callee, Established)) == 1
    assert len(wire.of(wire.callee, Offered)) == 1
    assert wire.of(wire.callee, Ended) == []


def test_lost_bye_is_repeated_and_answered_once() -> None:
    wire, key = established()
    wire.lose = {"200/BYE"}
    wire.caller.hang_up(key, "done", wire.now)
    wire.run(3.0)
    wire.lose = set()
    wire.run(40.0)
    assert wire.trace.count("BYE") > 1
    assert len(wire.of(wire.callee, Ended)) == 1
    assert wire.of(wire.caller, ByeAnswered)[0].status == 200


def test_every_2xx_gets_the_same_ack() -> None:
    peer, _, invite = dialling()
    ok = answer_to(invite, 200, body=OFFER)
    acks = [peer.send(ok)[0] for _ in range(3)]
    assert methods(acks) == ["ACK"] * 3
    assert len({one.vias[0].branch for one in acks}) == 1
    assert acks[0].vias[0].branch != invite.vias[0].branch
    assert len(peer.of(Established)) == 1


def test_failure_is_acknowledged_by_the_transaction() -> None:
    peer, _, invite = dialling()
    busy = answer_to(invite, 486)
    (ack,) = peer.send(busy)
    assert isinstance(ack, Request)
    assert (ack.method, ack.vias[0].branch, ack.to.tag) == ("ACK", invite.vias[0].branch, "them")
    assert methods(peer.send(busy)) == ["ACK"]
    assert [(event.by, event.status, event.reason) for event in peer.of(Ended)] == [("caller", 486, "failed")]


def test_unanswered_invite_times_out() -> None:
    peer, _, _ = dialling()
    assert len(methods(peer.advance(33.0))) == 6  # timer A: 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s
    assert [(event.by, event.status, event.reason) for event in peer.of(Ended)] == [("network", 408, "timeout")]


def test_cancel_waits_for_a_provisional_response() -> None:
    peer, key, invite = dialling()
    peer.sip.hang_up(key, "enough", peer.now)
    assert peer.collect() == []
    (cancel,) = peer.send(answer_to(invite, 180))
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.vias[0].branch) == ("CANCEL", invite.vias[0].branch)
    assert methods(peer.send(answer_to(cancel, 200))) == []
    assert methods(peer.send(answer_to(invite, 487))) == ["ACK"]
    assert [(event.by, event.status, event.reason) for event in peer.of(Ended)] == [("us", 487, "enough")]


def test_2xx_that_crosses_our_cancel_is_acknowledged_and_ended() -> None:
    peer, key, invite = dialling()
    peer.send(answer_to(invite, 180))
    peer.sip.hang_up(key, "enough", peer.now)
    assert methods(peer.collect()) == ["CANCEL"]
    assert methods(peer.send(answer_to(invite, 200, body=OFFER))) == ["ACK", "BYE"]
    assert len(peer.of(Ended)) == 1
    assert peer.of(Established) == []


def test_phone_that_rings_for_ever_is_cancelled() -> None:
    peer, _, invite = dialling(ring_limit_s=20.0)
    peer.send(answer_to(invite, 180))
    assert methods(peer.advance(20.0)) == ["CANCEL"]
    peer.advance(33.0)
    assert [(event.status, event.reason) for event in peer.of(Ended)] == [(487, "dial_timeout")]


def test_second_fork_is_acknowledged_and_released() -> None:
    peer, _, invite = dialling()
    peer.send(answer_to(invite, 200, tag="one", body=OFFER))
    messages = peer.send(answer_to(invite, 200, tag="two", body=OFFER))
    assert methods(messages) == ["ACK", "BYE"]
    assert {one.to.tag for one in messages} == {"two"}
    assert peer.of(Ended) == []


def test_early_media_is_reported() -> None:
    peer, _, invite = dialling()
    peer.send(answer_to(invite, 183, body=OFFER))
    media = peer.of(Progressed)[0].media
    assert media is not None
    assert media.remote == ("192.0.2.10", 40000)
    peer.send(answer_to(invite, 200, extra=""))  # the answer may stay unsaid in the 200 (RFC 3261 §13.2.1)
    assert peer.of(Established)[0].media == media


def test_answer_without_sdp_ends_the_call() -> None:
    peer, _, invite = dialling()
    assert methods(peer.send(answer_to(invite, 200))) == ["ACK", "BYE"]
    assert peer.of(Ended)[0].reason == "no_answer_sdp"


def test_422_is_tried_again_with_the_longer_interval() -> None:
    peer, _, invite = dialling(ask_session_timer=True, session_expires_s=90)
    messages = peer.send(answer_to(invite, 422, extra="Min-SE: 120\r\n"))
    again = messages[-1]
    assert isinstance(again, Request)
    assert (again.headers.get("session-expires"), again.headers.get("min-se")) == ("120", "120")
    assert (again.cseq.number, again.call_id) == (2, invite.call_id)
    assert peer.of(Ended) == []


def test_hold_and_resume_from_the_caller() -> None:
    wire, key = established()
    wire.caller.hold(key, wire.now)
    wire.run()
    assert [event.held for event in wire.of(wire.callee, MediaChanged)] == [True]
    wire.caller.resume(key, wire.now)
    wire.run()
    assert [event.held for event in wire.of(wire.callee, MediaChanged)] == [True, False]
    assert wire.of(wire.caller, MediaChanged)[-1].media.receive


def test_refused_reinvite_leaves_the_call() -> None:
    peer, key, invite = dialling()
    peer.send(answer_to(invite, 200, body=OFFER))
    peer.sip.hold(key, peer.now)
    (hold,) = [one for one in peer.collect() if isinstance(one, Request)]
    peer.send(answer_to(hold, 488).replace(b";tag=them;tag=them", b";tag=them"))
    assert [event.status for event in peer.of(OfferFailed)] == [488]
    assert peer.of(Ended) == []


def test_reinvite_that_finds_nobody_ends_the_call() -> None:
    peer, key, invite = dialling()
    peer.send(answer_to(invite, 200, body=OFFER))
    peer.sip.hold(key, peer.now)
    (hold,) = [one for one in peer.collect() if isinstance(one, Request)]
    peer.send(answer_to(hold, 481).replace(b";tag=them;tag=them", b";tag=them"))
    assert [(event.by, event.reason) for event in peer.of(Ended)] == [("network", "gone")]


def test_session_timer_runs_for_hours() -> None:
    wire, _ = established(ask_session_timer=True, session_expires_s=90)
    wire.run(4 * 3600.0)
    assert wire.of(wire.caller, Ended) == wire.of(wire.callee, Ended) == []
    assert wire.trace.count("UPDATE") == wire.trace.count("200/UPDATE") == 320


def test_lost_refreshes_end_the_call_on_both_sides() -> None:
    wire, _ = established(ask_session_timer=True, session_expires_s=90)
    wire.lose = {"UPDATE", "BYE"}
    wire.run(200.0)
    assert wire.of(wire.callee, Ended)[0].reason == "session_expired"
    assert len(wire.of(wire.caller, Ended)) == 1


def test_blind_transfer_reports_its_way_and_hangs_up() -> None:
    wire, key = established()
    wire.callee.transfer("sip-1", "sip:bob@192.0.2.77", wire.now)
    wire.run()
    assert [event.target for event in wire.of(wire.caller, ReferAsked)] == ["sip:bob@192.0.2.77"]
    wire.caller.notify_refer(key, 180, "Ringing", wire.now)
    wire.run(5.0)
    wire.caller.notify_refer(key, 200, "OK", wire.now)
    wire.run()
    assert [event.outcome for event in wire.of(wire.callee, TransferNews)] == [
        TransferOutcome.ACCEPTED,
        TransferOutcome.PROGRESS,
        TransferOutcome.PROGRESS,
        TransferOutcome.SUCCEEDED,
    ]
    assert wire.of(wire.callee, Ended)[0].reason == "transferred"
    assert wire.of(wire.caller, Ended)[0].reason == "bye"


def test_failed_transfer_keeps_the_call() -> None:
    wire, key = established()
    wire.callee.transfer("sip-1", "sip:bob@192.0.2.77", wire.now)
    wire.run()
    wire.caller.notify_refer(key, 486, "Busy Here", wire.now)
    wire.run(60.0)
    last = wire.of(wire.callee, TransferNews)[-1]
    assert (last.outcome, last.status, last.reason) == (TransferOutcome.FAILED, 486, "Busy Here")
    assert wire.of(wire.callee, Ended) == []


def test_transfer_without_news_ends_after_its_wait() -> None:
    wire, _ = established()
    wire.callee.transfer("sip-1", "sip:bob@192.0.2.77", wire.now)
    wire.run(31.0)
    assert wire.of(wire.callee, TransferNews)[-1].outcome is TransferOutcome.SUCCEEDED
    assert wire.of(wire.callee, Ended)[0].reason == "transferred"


@pytest.mark.parametrize("target", ["nonsense", "sip:a@b\r\nX: 1", "sip:a b@c", ""])
def test_bad_transfer_target_is_our_error_and_sends_nothing(target: str) -> None:
    wire, _ = established()
    with pytest.raises(LocalProtocolError):
        wire.callee.transfer("sip-1", target, wire.now)
    assert wire.callee.poll() == []


def test_header_injection_through_dial_is_rejected() -> None:
    sip = endpoint()
    with pytest.raises(RemoteProtocolError):
        sip.dial("sip:a@b", US, rtp=RTP, now=0.0, caller="sip:x@y\r\nEvil: 1")
    with pytest.raises(LocalProtocolError):
        sip.dial("sip:a@b", US, rtp=RTP, now=0.0, headers=(("X-A", "1\r\nEvil: 1"),))


def test_info_digit_reaches_the_other_side() -> None:
    wire, key = established()
    wire.caller.send_info_digit(key, "7", 120, wire.now)
    wire.run()
    assert [(event.digit, event.duration_ms) for event in wire.of(wire.callee, InfoDigit)] == [("7", 120)]


def test_bye_that_nobody_answers_is_reported() -> None:
    wire, key = established()
    wire.lose = {"BYE"}
    wire.caller.hang_up(key, "done", wire.now)
    wire.run(33.0)
    assert [event.status for event in wire.of(wire.caller, ByeAnswered)] == [408]
    assert len(wire.of(wire.caller, Ended)) == 1


def test_response_to_nothing_of_ours_is_dropped() -> None:
    peer, _, invite = dialling()
    forged = answer_to(invite, 200, body=OFFER).replace(b"z9hG4bK", b"z9hG4bKx")
    assert peer.send(forged) == []
    assert peer.of(Established) == []
