"""The messages of RFC 4475 against a whole service: it lives, logs no traceback, and no call of theirs stays."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.app import start_service
from tests.peers.service_kit import MARKER_AGENT, assert_clean_log, calls, health, until
from tests.peers.sip_client import sip_client

pytestmark = [pytest.mark.peer, pytest.mark.slow]

FOLDER = Path(__file__).parents[1] / "data" / "sip_torture"
NO_ACK_S = 32.0
"""A call that is answered and never acknowledged ends then (64 * T1, RFC 3261 §13.3.1.4)."""


async def test_torture_leaves_nothing_behind() -> None:
    names = sorted(json.loads((FOLDER / "verdicts.json").read_text()))
    async with start_service(MARKER_AGENT) as service, sip_client(service.sip_port) as client:
        for name in names:
            client.send((FOLDER / f"{name}.dat").read_bytes())
            assert await client.ping() == 200, name
        await asyncio.sleep(1.0)

        async def is_empty() -> bool:
            found = await health(service)
            return found["calls"] == 0 and found["workers"][0]["seats"] == 0

        await until(is_empty, NO_ACK_S + 8.0)
        assert await client.ping() == 200
        records = await calls(service)
        assert all(call["state"] == "ended" for call in records)
        assert {call["reason"] for call in records} <= {"no_ack", "not_acceptable"}
        assert (await health(service))["status"] == "ready"
        assert_clean_log(service)
