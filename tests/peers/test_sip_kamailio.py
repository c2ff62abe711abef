"""Kamailio in front of us puts itself on the record: every request of ours must go back through it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.events import LegEnded, LegHeld, LegResumed
from tests.peers.programs import require
from tests.peers.sip_service import run_sipp, service

pytestmark = pytest.mark.peer

CONFIG = Path(__file__).parents[1] / "data" / "kamailio" / "kamailio.cfg"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def proxy(agent_port: int, folder: Path) -> AsyncIterator[int]:
    """Kamailio on a free port, forwarding to ``agent_port``."""
    program, port = require("kamailio"), free_port()
    text = CONFIG.read_text().replace("PROXY_PORT", str(port)).replace("AGENT_PORT", str(agent_port))
    (folder / "kamailio.cfg").write_text(text)
    log = (folder / "kamailio.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        program,
        *("-f", str(folder / "kamailio.cfg"), "-DD", "-E", "-m", "64", "-M", "4", "-P", str(folder / "k.pid")),
        *("-Y", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        await _is_up(port, process, folder)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        log.close()


async def _is_up(port: int, process: asyncio.subprocess.Process, folder: Path) -> None:
    """Until the port is taken."""
    for _ in range(100):
        assert process.returncode is None, (folder / "kamailio.log").read_text()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return
        await asyncio.sleep(0.05)
    pytest.fail("kamailio did not open its port")


async def test_call_with_hold_through_a_record_routing_proxy(tmp_path: Path) -> None:
    sipp = require("sipp")
    async with service() as ours, proxy(ours.port, tmp_path) as port:
        assert await run_sipp(sipp, "hold", port, tmp_path) == ""
        kinds = [type(event) for event in ours.events]
        assert kinds.count(LegHeld) == kinds.count(LegResumed) == 1
        assert isinstance(ours.events[-1], LegEnded)


async def test_our_bye_goes_through_the_proxy(tmp_path: Path) -> None:
    sipp = require("sipp")
    async with service() as ours, proxy(ours.port, tmp_path) as port:

        async def hang_up_soon() -> None:
            await ours.answered.wait()
            await ours.offers[0].hangup("done")

        async with asyncio.TaskGroup() as group:
            group.create_task(hang_up_soon())
            assert await run_sipp(sipp, "bye_from_us", port, tmp_path) == ""
        ended = ours.events[-1]
        assert isinstance(ended, LegEnded)
        assert (ended.by, ended.reason) == ("us", "done")
