"""The parcel line with its own back end, over real HTTP: it is asked for every call and told what happens."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.app import Service, start_service
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script
from tests.peers.service_kit import SMALL, all_ended, assert_clean_log, get_json, log_text, metric, until

pytestmark = [pytest.mark.peer, pytest.mark.slow]

PARCEL = {"ears.recogniser": "none", "voice.engine": "marker", **SMALL}
SCRIPT = """
name: listen
max_s: 20
steps:
  - wait: 3000
  - hangup
"""


def listening_ports(parent: int) -> set[int]:
    """TCP ports that the children of ``parent`` listen on (Linux: ``/proc``)."""
    inodes: set[str] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"PPid:\t{parent}\n" in (folder / "status").read_text():
                inodes |= {os.readlink(link) for link in (folder / "fd").iterdir()}
        except OSError:
            continue  # it ended while we looked
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


async def back_end_of(service: Service) -> str:
    """Address of the example that the service started beside itself."""
    for port in listening_ports(service.pid) - {service.http_port}:
        try:
            await get_json(f"http://127.0.0.1:{port}/parcels")
        except aiohttp.ClientError:
            continue
        return f"http://127.0.0.1:{port}"
    raise AssertionError(f"no back end; {log_text(service)[-2000:]}")


async def test_example_back_end_is_asked_and_told() -> None:
    with MediaThread() as media:
        async with start_service(PARCEL) as service:
            back_end = await back_end_of(service)
            result = await run_call(service.sip_uri, parse_script(SCRIPT), media=media)
            assert result.answered
            (call,) = await all_ended(service, 1)

            async def told() -> list[dict[str, Any]]:
                found = list(await get_json(f"{back_end}/events?call_id={call['call_id']}"))
                return found if any(event["type"] == "call.ended" for event in found) else []

            found = await until(told, 10.0)
            kinds = [event["type"] for event in found]
            assert kinds[0] == "call.started"
            assert kinds[-1] == "call.ended"
            assert [event["seq"] for event in found] == sorted({event["seq"] for event in found})
            assert found[-1]["data"]["reason"] == "caller_hangup"
            assert _decisions(service.folder / "parcel.db") == 1
            # The back end answers 401 to whatever is not signed with its secret, and says so.
            assert "refused: " not in log_text(service)
            delivered = await metric(service, "crosstalk_webhook_attempts_total", code_class="2xx")
            assert delivered == len(found)
            assert_clean_log(service)


def _decisions(database: Path) -> int:
    """How often ``call.incoming`` was asked (no tool is asked in a call that only listens)."""
    with sqlite3.connect(database) as opened:
        count: int = opened.execute("SELECT count(*) FROM answers").fetchone()[0]
    opened.close()
    return count
