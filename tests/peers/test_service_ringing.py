"""What happens before the answer: the customer's server takes its time, and the caller has other plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from agent.app import Service, start_service
from agent.events.signing import new_secret
from tests.peers.programs import require
from tests.peers.service_kit import MARKER_AGENT, all_ended, assert_clean_log, events
from tests.peers.sip_client import OFFER, sip_client, status_of, to_of
from tests.peers.sip_service import run_sipp

pytestmark = [pytest.mark.peer, pytest.mark.slow]

DECISION_S = 2.5


@asynccontextmanager
async def slow_customer() -> AsyncIterator[str]:
    """Answers ``call.incoming`` after ``DECISION_S``; its address."""

    async def decide(_request: web.Request) -> web.Response:
        await asyncio.sleep(DECISION_S)
        return web.json_response({"action": "accept"})

    app = web.Application()
    app.add_routes([web.post("/", decide)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def ringing_service(*, budget_s: float = 4.0) -> AsyncIterator[Service]:
    async with slow_customer() as url:
        settings = {
            "agent.decision_url": url,
            "agent.decision_budget_s": budget_s,
            "webhooks.secret": new_secret(),
            "webhooks.allow_http": True,
            "webhooks.allow_networks": ["127.0.0.0/8"],
        }
        async with start_service({**MARKER_AGENT, **settings}) as service:
            yield service


async def test_cancel_and_repeated_invites_while_it_rings(tmp_path: Path) -> None:
    program = require("sipp")
    async with ringing_service() as service:
        assert await run_sipp(program, "cancel", service.sip_port, tmp_path) == ""
        (call,) = await all_ended(service, 1)
        assert (call["result"], call["reason"]) == ("success", "cancelled")
        assert [event["name"] for event in await events(service, call["call_id"])] == ["call.ended"]
        options = ("-m", "1", "-default_behaviors", "none")
        assert await run_sipp(program, "retransmission", service.sip_port, tmp_path, *options) == ""
        found = await all_ended(service, 2)
        assert found[0]["reason"] == "cancelled"
        assert_clean_log(service)


async def test_slow_decision_is_waited_for(tmp_path: Path) -> None:
    program = require("sipp")
    async with ringing_service() as service:
        assert await run_sipp(program, "basic", service.sip_port, tmp_path) == ""
        (call,) = await all_ended(service, 1)
        assert call["reason"] == "caller_hangup"


async def test_decision_that_never_comes_in_time_is_an_accepted_call() -> None:
    """The caller hears it ring meanwhile; ``agent.on_decision_failure`` says what then."""
    async with ringing_service(budget_s=1.0) as service, sip_client(service.sip_port) as client:
        client.send(client.request("INVITE", 1, body=OFFER))
        rung = [status_of(answer) for answer in await client.answers(0.8)]
        assert rung == [100, 180]
        answer = await client.final(1.0)
        assert status_of(answer) == 200
        client.ack(answer)
        client.send(client.request("BYE", 2, to=to_of(answer)))
        assert status_of(await client.final()) == 200
        await all_ended(service, 1)
        assert_clean_log(service)


async def test_burst_of_the_same_invite_and_a_late_ack_is_one_call() -> None:
    async with start_service(MARKER_AGENT) as service, sip_client(service.sip_port) as client:
        for _ in range(3):
            client.send(client.request("INVITE", 1, body=OFFER))
        answers = [answer for answer in await client.answers(1.3) if answer.startswith(b"SIP/2.0 200")]
        assert len(answers) >= 2, "an answer that nobody acknowledges is sent again"
        assert len(set(answers)) == 1
        to = to_of(answers[0])
        client.send(client.request("ACK", 1, to=to))
        assert not [answer for answer in await client.answers(1.2) if answer.startswith(b"SIP/2.0 200")]
        for _ in range(2):
            client.send(client.request("BYE", 2, to=to))
        assert len([answer for answer in await client.answers(0.5) if answer.startswith(b"SIP/2.0 200")]) == 2
        (call,) = await all_ended(service, 1)
        assert call["reason"] == "caller_hangup"
        assert_clean_log(service)
