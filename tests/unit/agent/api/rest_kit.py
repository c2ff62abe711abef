"""The whole REST API over real HTTP on loopback: real store, library and endpoint book; calls whose far end is played."""

from __future__ import annotations

import asyncio
import json
import random
import wave
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import aiohttp
import numpy as np
from aiohttp import web

from agent.agents import AgentLibrary, Configured
from agent.api.agent_handlers import AgentHandlers
from agent.api.calls import CallHandlers, CallsDeps
from agent.api.gate import Gate
from agent.api.keys import KeyFile
from agent.api.live import LiveHub
from agent.api.problems import problems
from agent.api.server import add_rest
from agent.api.service_handlers import ServiceHandlers
from agent.api.webhook_handlers import WebhookHandlers, WebhooksDeps
from agent.brain.examples import example_path
from agent.brain.flow.brain import FlowBrain
from agent.brain.flow.load import parse_dialogue
from agent.config import OutboundConfig, WebhookEndpoint
from agent.events.endpoints import EndpointBook
from agent.events.errors import WebhookFailed
from agent.events.http import Answer
from agent.events.ssrf import Guard
from agent.events.webhooks import WebhookDeliverer
from agent.scribe import Scribe
from agent.services import Services
from agent.store.interface import CallRecord, CallState, Event, TimelineEntry
from agent.store.sqlite import SqliteStore
from agent.switchboard import Switchboard
from agent.tasks import Tasks
from telephony.clock import MonotonicClock
from telephony.net.http_log import http_logger
from tests.unit.agent import call_fakes as fakes
from tests.unit.agent.test_session import Rig

PARCEL = (example_path("parcel") / "parcel.yaml").read_text(encoding="utf-8")
SECRET = "whsec_" + "c2VjcmV0" * 6
CONFIGURED = WebhookEndpoint(name="crm", url="https://crm.example.com/hook", secret=SECRET)


class Poster:
    """Endpoints of the world: keeps what is posted, answers as told."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any], Mapping[str, str]]] = []
        self.status = 200
        self.fails = False

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
        self.posted.append((url, json.loads(body), headers))
        if self.fails:
            raise WebhookFailed("timeout", "no answer")
        return Answer(status=self.status)


class Door:
    """Dials legs that the test plays."""

    name = "sip"

    def __init__(self) -> None:
        self.legs: list[fakes.FakeLeg] = []

    async def dial(self, target: str, *, seat: Any, caller: str = "", headers: Any = ()) -> Any:
        self.legs.append(fakes.FakeLeg())
        return self.legs[-1]


class ManySeats:
    """As many seats as are asked for."""

    transfer_targets = ("sip:people@",)

    async def open_seat(self, call_id: str, profile: Any, record: str) -> Any:
        return fakes.FakeSeat()


@dataclass(slots=True, kw_only=True)
class Kit:
    url: str
    http: aiohttp.ClientSession
    store: SqliteStore
    keys: KeyFile
    hub: LiveHub
    library: AgentLibrary
    poster: Poster
    door: Door
    switchboard: Switchboard
    deliverer: WebhookDeliverer
    recordings: Path
    bugs: list[str] = field(default_factory=list)
    counted: list[tuple[str, int]] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, *, key: str = "", headers: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[int, Any]:
        """Status and JSON (``None`` where there is no body)."""
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {key}"} if key else {})
        async with self.http.request(method, path, headers=sent, **more) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    def key(self, *scopes: str, tenant: str = "*") -> str:
        from agent.api.keys import SCOPES

        return self.keys.create("test", tenant=tenant, scopes=scopes or SCOPES, now=1.0)[1]

    async def call(
        self, call_id: str, *, tenant: str = "default", ended: bool = True, at: float = 1.0, from_uri: str = "sip:a@b"
    ) -> None:
        """A stored call that is not live here."""
        record = CallRecord(
            call_id=call_id,
            tenant=tenant,
            agent="parcel",
            transport="sip",
            direction="inbound",
            from_uri=from_uri,
            to_uri="sip:c@d",
            state=CallState.OFFERED,
            owner="gw2",
            fence=0,
            created_at=at,
        )
        started = Event(name="call.started", at=at, data={})
        fence = await self.store.create_call(record, [started], lease_s=10, now=at)
        await self.store.append_timeline(
            call_id,
            [
                TimelineEntry(at_ms=20, kind="utterance", data={"phase": "started", "number": 1, "text": "hi there"}),
                TimelineEntry(
                    at_ms=900, kind="utterance", data={"phase": "ended", "number": 1, "heard": "hi", "unheard": "there"}
                ),
                TimelineEntry(at_ms=700, kind="turn", data={"phase": "started", "turn": 1}),
                TimelineEntry(at_ms=1500, kind="turn", data={"phase": "ended", "turn": 1, "text": "hello"}),
            ],
        )
        if ended:
            event = Event(name="call.ended", at=at, data={})
            await self.store.end_call(
                call_id, fence, result="success", reason="caller_hangup", data={}, event=event, now=at
            )

    async def recorded(self, call_id: str, *, path: Path | None = None) -> Path:
        """A call with one second of recording: caller loud in the first half, agent in the second."""
        path = path or self.recordings / f"{call_id}.wav"
        write_wav(path)
        await self.call(call_id, ended=False)
        ready = Event(name="recording.ready", at=2.0, data={"path": str(path)})
        await self.store.update_call(call_id, 1, {}, [ready], now=2.0)
        return path


def write_wav(path: Path) -> None:
    stereo = np.zeros((8000, 2), "<i2")
    stereo[:4000, 0] = 16384
    stereo[4000:, 1] = -8192
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(stereo.tobytes())


@lru_cache(maxsize=1)
def parcel_brain() -> FlowBrain:
    """Read once: it keeps nothing of a call, and takes two thirds of the time that a ``Kit`` takes to make."""
    return FlowBrain(parse_dialogue(PARCEL), today=lambda: date(2026, 11, 25))


@asynccontextmanager
async def rest(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    outbound: OutboundConfig | None = None,
    more: Callable[[web.Application], None] = lambda app: None,
) -> AsyncIterator[Kit]:
    """``host``: what the gate takes the listener for; it listens on loopback in any case. ``more``: routes beside it."""
    store = SqliteStore(str(folder / "calls.db"))
    await store.open()
    poster, door, hub, keys = Poster(), Door(), LiveHub(life="life"), KeyFile(folder / "api")
    book = EndpointBook(folder / "api", [CONFIGURED])
    clock = MonotonicClock()
    deliverer = WebhookDeliverer(
        store, book.effective(1.0), http=poster, worker="w", wall=lambda: 1.0, clock=clock, rng=random.Random(1), log=cast(Any, fakes.NoLog())
    )  # fmt: skip
    configured = Configured(name="parcel", brain=parcel_brain(), kind="flow", text=PARCEL)
    library = AgentLibrary(folder / "api", configured, today=lambda: date(2026, 11, 25))
    services = replace(
        Rig().services,
        pool=cast(Any, ManySeats()),
        brain=library,
        watch=hub.publish,
        new_scribe=lambda: Scribe(store, lease_s=10.0, wall=lambda: 1.0),
    )
    switchboard = Switchboard(cast(Services, services))
    async with Tasks() as tasks, aiohttp.ClientSession() as http:
        tasks.start(deliverer.run())
        kit = Kit(
            url="",
            http=http,
            store=store,
            keys=keys,
            hub=hub,
            library=library,
            poster=poster,
            door=door,
            switchboard=switchboard,
            deliverer=deliverer,
            recordings=folder / "recordings",
        )
        app = web.Application(middlewares=[problems])
        calls = CallsDeps(
            store=store,
            outbox=store,
            switchboard=switchboard,
            door=door,
            outbound=outbound or OutboundConfig(allow=("sip:bob@127.0.0.1:*",), caller="sip:us@127.0.0.1"),
            recordings=kit.recordings,
            has_agent=lambda name: library.brain_of(name) is not None,
            spawn=tasks.start,
        )

        async def use() -> None:
            await deliverer.use(book.effective(1.0))

        webhooks = WebhooksDeps(
            book=book, deliverer=deliverer, use=use, guard=Guard(allow_http=True, networks=["127.0.0.0/8"]), store=store, wall=lambda: 1.0
        )  # fmt: skip

        async def health() -> dict[str, Any]:
            worker = {
                "name": "worker1",
                "pid": 1,
                "rows": 8,
                "seats": 0,
                "model": "parts",
                "step_ms": 40,
                "measured_p99_ms": {},
            }
            return {
                "status": "ready",
                "version": "0",
                "calls": 0,
                "workers": [worker],
                "store": {"is_away": False, "backlog_bytes": 0},
                "webhooks": {"backlog": 0, "disabled": []},
                "api": {"auth": "open"},
            }

        add_rest(
            app,
            gate=Gate(keys, host=host, clock=clock, wall=lambda: 2.0),
            calls=CallHandlers(calls),
            agents=AgentHandlers(library, wall=lambda: 1.0),
            webhooks=WebhookHandlers(webhooks),
            service=ServiceHandlers(hub, health=health, keep_alive_s=0.2),
            counted=lambda operation, status: kit.counted.append((operation, status)),
            on_bug=lambda operation, error: kit.bugs.append(f"{operation}: {error!r}"),
        )
        more(app)
        runner = web.AppRunner(app, access_log=None, logger=http_logger("agent.http"))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        kit.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        kit.http = aiohttp.ClientSession(kit.url)
        try:
            yield kit
        finally:
            for leg in door.legs:
                await leg.hangup("over")
            await asyncio.sleep(0)
            hub.close()
            await kit.http.close()
            await runner.cleanup()
            await store.close()
