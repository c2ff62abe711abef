"""Calls that a whole service does not take, and who is told what; and the next call, which it takes."""

from __future__ import annotations

import pytest

from agent.app import start_service
from tests.peers.service_kit import MARKER_AGENT, SMALL, all_ended, assert_clean_log, calls, metric
from tests.peers.sip_client import OFFER, SipClient, sip_client, status_of, to_of

pytestmark = [pytest.mark.peer, pytest.mark.slow]

UNUSABLE = {
    "g729": OFFER.replace("RTP/AVP 0", "RTP/AVP 18"),
    "srtp": OFFER.replace("RTP/AVP", "RTP/SAVP") + f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}\r\n",
    "video": OFFER.replace("m=audio 4000 RTP/AVP 0", "m=video 4000 RTP/AVP 96"),
    "refused": OFFER.replace("m=audio 4000", "m=audio 0"),
}


async def call_and_hang_up(client: SipClient, name: str, offer: str = OFFER) -> bytes:
    """A whole call; the answer to its INVITE."""
    client.send(client.request("INVITE", 1, body=offer, call=name))
    answer = await client.final()
    client.ack(answer, call=name)
    if status_of(answer) == 200:
        client.send(client.request("BYE", 2, to=to_of(answer), call=name))
        assert status_of(await client.final()) == 200
    return answer


async def test_sessions_that_we_cannot_have_get_488_and_leave_nothing() -> None:
    async with start_service(MARKER_AGENT) as service, sip_client(service.sip_port) as client:
        for name, offer in UNUSABLE.items():
            assert status_of(await call_and_hang_up(client, name, offer)) == 488, name
        assert status_of(await call_and_hang_up(client, "usable")) == 200
        found = await all_ended(service, len(await calls(service)))
        assert found[0]["reason"] == "caller_hangup"
        assert {call["reason"] for call in found[1:]} <= {"not_acceptable"}
        assert_clean_log(service)


async def test_call_without_an_offer_is_offered_one() -> None:
    """A bridge that brings its SDP in the ACK."""
    async with start_service(MARKER_AGENT) as service, sip_client(service.sip_port) as client:
        client.send(client.request("INVITE", 1))
        answer = await client.final()
        assert status_of(answer) == 200
        assert b"m=audio" in answer
        client.ack(answer, body=OFFER)
        client.send(client.request("BYE", 2, to=to_of(answer)))
        assert status_of(await client.final()) == 200
        (call,) = await all_ended(service, 1)
        assert call["reason"] == "caller_hangup"
        assert_clean_log(service)


async def test_one_call_too_many_is_told_to_come_back() -> None:
    settings = {**MARKER_AGENT, "engine.rows": 1}
    async with start_service(settings) as service, sip_client(service.sip_port) as client:
        client.send(client.request("INVITE", 1, body=OFFER, call="first"))
        first = await client.final()
        assert status_of(first) == 200
        client.ack(first, call="first")
        second = await call_and_hang_up(client, "second")
        assert status_of(second) == 503
        assert b"\r\nRetry-After: " in second
        client.send(client.request("BYE", 2, to=to_of(first), call="first"))
        assert status_of(await client.final()) == 200
        await all_ended(service, 2)
        assert status_of(await call_and_hang_up(client, "third")) == 200
        reasons = [call["reason"] for call in await all_ended(service, 3)]
        assert reasons == ["caller_hangup", "no_capacity", "caller_hangup"]
        assert await metric(service, "crosstalk_calls_total", reason="no_capacity") == 1
        assert_clean_log(service)


async def test_caller_whom_the_back_end_does_not_want_is_declined() -> None:
    settings = {"voice.engine": "marker", "ears.recogniser": "none", **SMALL}
    async with start_service(settings) as service, sip_client(service.sip_port) as client:
        client.send(client.request("INVITE", 1, body=OFFER, user="blocked"))
        answer = await client.final()
        assert status_of(answer) == 603
        client.ack(answer)
        (call,) = await all_ended(service, 1)
        assert (call["result"], call["reason"]) == ("success", "refused_by_policy")
        assert_clean_log(service)
