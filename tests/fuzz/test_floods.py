"""Random messages to each endpoint of the doors: no traceback, no 5xx, nothing left behind.

Some hundred to each in every run, inside this process; ten thousand to each of a whole service by ``make fuzz``. A run
that fails shows its seed; ``SEED=… pytest`` repeats it, ``ENDPOINTS="pcm live"`` floods these alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

pytest.importorskip("aiortc", reason="the extra 'webrtc' is not installed")

from agent.api.problems import problems
from agent.api.talk import add_talk_routes
from agent.api.twilio import TwilioCalls, TwilioWebhooks
from agent.api.webrtc import add_webrtc_routes
from agent.app import Service, start_service
from agent.bench.doors_service import AUTH_TOKEN, open_doors
from agent.bench.machine import process_cost
from agent.config import TwilioConfig
from telephony.doors.live import LiveDoor
from telephony.doors.pcm import PcmDoor
from telephony.net.http_log import http_logger
from telephony.twilio.door import TwilioDoor
from telephony.webrtc.door import WebRtcDoor
from tests.fuzz.floods import FLOODS, Target, in_lanes
from tests.heap import objects, only_new_objects
from tests.peers.service_kit import assert_clean_log, health, log_text, until
from tests.unit.telephony.doors.kit import Kit, kit
from tests.unit.telephony.webrtc.world import SECRET, token

KEY = "k" * 32
PUBLIC, STREAM = "https://agent.example.com", "wss://agent.example.com/twilio/stream"
SHORT = 160
MOST_MB = 24.0
"""More memory of a process after a flood than before: what an allocator may keep, not what ten thousand calls would."""


@pytest.fixture
def seed() -> int:
    """An argument of the test, so that pytest shows it with a failure."""
    return int(os.environ.get("SEED", "") or random.randrange(1 << 30))


# --- in this process ---


class Desk:
    """The front's half of the WebRTC door, with the door's process in this one."""

    why_not = ""

    def __init__(self, port: int) -> None:
        self.port = port

    def token(self) -> dict[str, Any]:
        return {"token": token(), "expires_at": 1, "ice_servers": []}


@contextlib.asynccontextmanager
async def front(made: Kit) -> AsyncIterator[str]:
    """Webhooks, pages and what is passed on to the WebRTC door; the URL."""
    config = TwilioConfig(public_url=PUBLIC, stream_url=STREAM, auth_token=AUTH_TOKEN, token_key=KEY)
    log: Any = SimpleNamespace(info=lambda event, **fields: None, warning=lambda event, **fields: None)

    async def no_call(call_id: str) -> None:
        return None

    store: Any = SimpleNamespace(get_call=no_call)
    hooks = TwilioWebhooks(config, TwilioCalls(store), may_take=lambda: True, log=log, wall=time.time)
    app = web.Application(middlewares=[problems])
    app.add_routes(hooks.routes())
    add_webrtc_routes(app, Desk(made.port), admit=lambda request: None)
    add_talk_routes(app)
    runner = web.AppRunner(app, access_log=None, logger=http_logger("agent.http"))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def all_doors(folder: Path) -> AsyncIterator[tuple[Target, Kit]]:
    carriers = [TwilioDoor(carrier=name, stream_url=STREAM, auth_token=AUTH_TOKEN, token_key=KEY) for name in CARRIERS]
    webrtc = WebRtcDoor(secret=SECRET, hosts=("127.0.0.1",))
    async with kit(folder, PcmDoor(), LiveDoor(), *carriers, webrtc) as made, front(made) as url:

        async def fresh() -> str:
            return token(ttl_s=60)

        yield (
            Target(
                http=made.session,
                http_url=url,
                stream_url=made.url,
                twilio_public=(PUBLIC, STREAM),
                twilio_auth=AUTH_TOKEN,
                token_key=KEY,
                webrtc_token=fresh,
            ),
            made,
        )


CARRIERS = ("twilio", "telnyx", "plivo")


@pytest.mark.parametrize("endpoint", FLOODS)
async def test_random_messages_leave_nothing_behind(
    endpoint: str, tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.webrtc.connection.CONNECT_S", 0.2)
    rng = random.Random(f"{seed}-{endpoint}")
    async with all_doors(tmp_path) as (target, made):
        with only_new_objects():
            await FLOODS[endpoint](target, rng, SHORT // 4)
            await until(lambda: nobody(made))
            before = objects()
            await FLOODS[endpoint](target, rng, SHORT)
            await until(lambda: nobody(made))
            grown = objects() - before
        assert made.edge._rows == [None] * 4
        assert not any(link.legs for link in made.edge._links)
    assert not target.server_errors
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR or one.exc_info], caplog.text
    assert grown < max(1500, SHORT * 4), f"{grown} objects more"


async def nobody(made: Kit) -> bool:
    made.legs.clear()
    made.events.clear()
    made.refused.clear()
    return not made.edge._calls


# --- a whole service ---


@contextlib.asynccontextmanager
async def service_of_all_doors() -> AsyncIterator[tuple[Service, Target]]:
    settings = open_doors(
        "pcm", "live", *CARRIERS, browsers=True,
        more={"twilio.token_key": KEY, "voice.engine": "marker", "ears.recogniser": "none", "agent.brain": "chatter",
              "engine.spare": 0, "stream.max_calls": 32},
    )  # fmt: skip
    async with start_service(settings) as service, aiohttp.ClientSession() as http:

        async def fresh() -> str:
            async with http.get(f"{service.http_url}/v1/webrtc/token") as answer:
                return str((await answer.json())["token"])

        yield (
            service,
            Target(
                http=http,
                http_url=service.http_url,
                stream_url=f"ws://127.0.0.1:{service.stream_port}",
                twilio_public=(str(settings["twilio.public_url"]), str(settings["twilio.stream_url"])),
                twilio_auth=AUTH_TOKEN,
                token_key=KEY,
                webrtc_token=fresh,
            ),
        )


async def footprint(service: Service) -> dict[str, tuple[float, int]]:
    """Memory (MB) and open files of each process."""
    found = {}
    for process in (await health(service))["processes"]:
        cost = process_cost(int(process["pid"]))
        files = len(list(Path(f"/proc/{process['pid']}/fd").iterdir()))
        found[process["name"]] = (cost.rss_mb if cost is not None else 0.0, files)
    return found


async def no_calls(service: Service) -> bool:
    return bool((await health(service))["calls"] == 0)


@pytest.mark.fuzz
@pytest.mark.timeout(3000)
async def test_ten_thousand_random_messages_to_each_endpoint_of_a_service(seed: int) -> None:
    """One service takes all of them, one endpoint after the other; what each leaves behind is measured by itself."""
    count = int(os.environ.get("MESSAGES", "10000"))
    endpoints = os.environ.get("ENDPOINTS", "").split() or list(FLOODS)
    grown: list[str] = []
    async with service_of_all_doors() as (service, target):
        for endpoint in endpoints:  # what a process keeps once: caches, pools, an allocator's arenas
            await in_lanes(endpoint, target, f"{seed}-warm", count // 4)
        for endpoint in endpoints:
            before = await settled(service)
            await in_lanes(endpoint, target, str(seed), count - count // 4)
            after = await settled(service)
            grown += [f"{endpoint}: {one}" for one in growth(before, after)]
            assert_clean_log(service)
            assert not target.server_errors, f"{endpoint}: {target.server_errors[:5]}"
        assert "Task exception" not in log_text(service)
    assert not grown


async def settled(service: Service) -> dict[str, tuple[float, int]]:
    """What the processes take once no call is left."""
    await until(lambda: no_calls(service), 60.0)
    await asyncio.sleep(1.0)
    return await footprint(service)


def growth(before: dict[str, tuple[float, int]], after: dict[str, tuple[float, int]]) -> list[str]:
    """Processes that take more than they may keep, and those that are not what they were."""
    if before.keys() != after.keys():
        return [f"processes: {sorted(before)} -> {sorted(after)}"]
    return [
        f"{name}: {before[name]} -> {(memory, files)} (MB, files)"
        for name, (memory, files) in after.items()
        if memory - before[name][0] >= MOST_MB or files > before[name][1] + 4
    ]


async def test_a_data_channel_takes_any_text(seed: int) -> None:
    """Ten thousand of them cost a second: no socket is between us and the door here."""
    from telephony.webrtc.peer import BrowserPeer
    from tests.fuzz.floods import message
    from tests.unit.telephony.webrtc.world import FakeCall

    rng = random.Random(seed)
    peer = BrowserPeer(secrets.token_hex(16), resume_s=1.0, complexity=0, close=lambda connection: None)
    peer.call = call = FakeCall(peer)
    peer.connection = channel = SimpleNamespace()  # type: ignore[assignment]
    good = [{"type": "dtmf", "digit": "5"}, {"type": "hello"}]
    with only_new_objects():
        before = objects()
        for _ in range(10_000):
            peer.on_message(channel, message(rng, good))  # type: ignore[arg-type]
        assert objects() - before < 1000
    assert {told[0] for told in call.told} <= {"key"}
    peer.connection = None
