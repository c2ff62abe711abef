"""A service that is told to stop: running calls finish, new ones and pings are told to go elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agent.app import start_service
from tests.peers.programs import require
from tests.peers.service_kit import MARKER_AGENT, calls, log_text, until
from tests.peers.sip_client import sip_client
from tests.peers.sip_service import run_sipp

pytestmark = [pytest.mark.peer, pytest.mark.slow]


async def test_options_tell_a_balancer_to_move_on_while_a_call_finishes(tmp_path: Path) -> None:
    program = require("sipp")
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with (
        start_service({**MARKER_AGENT, "service.drain_s": 20.0}) as service,
        sip_client(service.sip_port) as client,
        asyncio.TaskGroup() as group,
    ):
        assert await client.ping() == 200
        options = ("-m", "1", "-d", "5000")
        talking = group.create_task(run_sipp(program, "talk", service.sip_port, first, *options))

        async def is_up() -> bool:
            return [call["state"] for call in await calls(service)] == ["active"]

        await until(is_up)
        os.kill(service.pid, signal.SIGTERM)

        async def is_draining() -> bool:
            return await client.ping() == 503

        await until(is_draining, 3.0)
        assert "503" in await run_sipp(program, "talk", service.sip_port, second, "-m", "1")
        assert not talking.done()
        assert await talking == ""

        async def is_booked() -> bool:
            return '"reason": "caller_hangup"' in log_text(service)

        await until(is_booked, 5.0)
        assert "Traceback" not in log_text(service)
