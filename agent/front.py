"""The front process: SIP signalling, sessions, HTTP, webhooks. It picks the adapters and wires them together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from agent import VERSION, logging
from agent.api.console import add_console_routes
from agent.api.health import add_health_routes
from agent.api.problems import problems
from agent.api.talk import add_talk_routes
from agent.api.twilio import TwilioCalls, TwilioWebhooks
from agent.api.webrtc import add_webrtc_routes
from agent.app import READY_FILE, worker_names
from agent.config import Config
from agent.config_load import process_environment
from agent.customer import CustomerServer
from agent.errors import AgentError, StoreUnavailable, VoiceFailed
from agent.events.names import LogEvent
from agent.leases import Leases
from agent.mcp.tools import McpTools
from agent.measures import CallMeasures
from agent.metrics import Metrics
from agent.model.names import ModelName, RecogniserName
from agent.model.protocol import Persona
from agent.model.registry import is_folder, listens
from agent.parts import mcp_decisions, open_brain, open_voice
from agent.placement import Placement
from agent.pool.client import WorkerClient
from agent.pool.registry import WorkerRegistry
from agent.pool.watch import WorkerWatch
from agent.rest import Rest
from agent.scribe import Scribe
from agent.services import Services
from agent.streams import Streams
from agent.switchboard import Switchboard
from agent.tasks import Tasks
from agent.twilio_calls import TwilioDialler, open_dialler
from agent.voice.fallback import FallbackVoice
from agent.voice.protocol import VoiceInfo
from agent.webrtc import PROCESS as WEBRTC
from agent.webrtc import WebRtc
from telephony.clock import MonotonicClock
from telephony.edge_client import EdgeClient
from telephony.errors import TelephonyError
from telephony.net.http_log import http_logger
from telephony.sip.settings import SipSettings
from telephony.sip_plane import SipPlane

RECONNECT_S = 0.05
START_S = 30.0
LOAD_S = 600.0
"""For a speech-native model, whose weights may be checked and read for minutes."""
LAG_PERIOD_S = 0.5
KEEP_S = 30.0
"""For a request's head, and between two requests of one connection."""
WATCH_WORKERS_S = 5.0


class Front:
    """Everything the front process owns."""

    def __init__(self, config: Config, *, run_folder: str, writer: logging.LogWriter) -> None:
        self._config = config
        self._folder = run_folder
        self._log = logging.get_log(process="front")
        self._clock = MonotonicClock()
        self._writer = writer
        self._metrics = Metrics()
        self._rest = Rest(config, log=self._log, metrics=self._metrics, clock=self._clock, wall=time.time)
        self._registry = WorkerRegistry()
        self._workers: dict[str, WorkerClient] = {}
        self._edge = EdgeClient()
        self._edge_stats: dict[str, Any] = {}
        self._edge_lost = asyncio.Event()
        refused = self._metrics.stream_refused
        self._streams = Streams(run_folder, log=self._log, refused=refused) if config.stream.doors else None
        self._webrtc = WebRtc(config, run_folder, log=self._log, refused=refused)
        self._stop = asyncio.Event()
        self._ready = False
        self._switchboard: Switchboard
        self._voice: FallbackVoice
        self._plane: SipPlane
        self._twilio: TwilioCalls
        self._dialler: TwilioDialler | None = None
        self._http_port = 0
        self._former = _former_life(Path(run_folder) / READY_FILE)

    async def run(self) -> int:
        """Start, serve until told to stop, drain, stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        async with contextlib.AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(Tasks())
            await self._start(stack, tasks)
            await self._stop.wait()
            self._ready = False
            self._plane.drain()
            if self._streams is not None:
                self._streams.drain()
            self._webrtc.drain()
            self._registry.drain()
            await self._switchboard.drain(self._config.service.drain_s)
            await self._plane.stop()
            if self._streams is not None:
                await self._streams.stop()
            await self._webrtc.stop()
        self._log.info(LogEvent.SERVICE_STOPPED)
        return 0

    async def _start(self, stack: contextlib.AsyncExitStack, tasks: Tasks) -> None:
        config = self._config
        customer = CustomerServer(
            config, log=self._log, metrics=self._metrics, clock=self._clock, wall=time.time, rng=random.Random()
        )
        store = await stack.enter_async_context(customer.opened(tasks))
        mcp = await stack.enter_async_context(
            McpTools(config.agent.mcp, environment=process_environment(), log=self._log)
        )
        brain = open_brain(config, more_tools=mcp.specs)
        if isinstance(brain, contextlib.AbstractAsyncContextManager):
            await stack.enter_async_context(brain)
        self._voice = open_voice(config, self._voice_died, self._voice_changed, self._words_estimated)
        await self._voice.start()
        stack.push_async_callback(self._voice.stop)
        self._log.info(LogEvent.VOICE_LIVE, voice=self._voice.info.name, why=self._voice.info.why)
        library = self._rest.open_library(brain)
        tasks.start(self._preload([*library.fixed_phrases(), *config.agent.behaviour.asides]))
        await self._connect_engine(tasks)
        recogniser = config.ears.recogniser if listens(config.engine.model) else RecogniserName.NONE
        self._log.info(LogEvent.EARS_LIVE, recogniser=recogniser, **self._ears())
        native = config.agent.native
        placement = Placement(
            self._registry,
            persona=Persona(text=native.role, voice=native.voice, seed=native.seed),
            transfer_targets=tuple(config.sip.transfer_targets),
        )
        services = Services(
            pool=placement,
            voice=self._voice,
            brain=library,
            brain_of=library.brain_of,
            watch=self._rest.hub.publish,
            decisions=mcp_decisions(customer.decisions, mcp, config),
            new_scribe=lambda: Scribe(store, lease_s=config.store.lease_s, wall=time.time),
            new_measures=lambda leg: CallMeasures(
                self._metrics, leg, agent=config.agent.name, model=config.engine.model
            ),
            log=self._log,
            agent=config.agent,
            recording=config.recording,
            gateway=config.service.gateway,
            clock=self._clock,
            wall=time.time,
        )
        self._switchboard = Switchboard(services)
        leases = Leases(store, self._switchboard, config, log=self._log, wall=time.time, clock=self._clock)
        tasks.start(leases.run())
        tasks.start(self._watch_lag())
        tasks.start(self._watch_workers())
        self._plane = self._new_plane()
        await self._plane.start(self._switchboard.offer)
        self._log.info(LogEvent.SIP_LISTENING, host=config.sip.host, port=self._plane.local_port)
        if self._streams is not None:
            self._dialler = open_dialler(config)
            if self._dialler is not None:
                stack.push_async_callback(self._dialler.aclose)
            self._twilio = TwilioCalls(store, self._dialler)
            await self._streams.start(tasks, self._twilio.around(self._switchboard.offer))
        await self._webrtc.start(tasks, self._switchboard.offer)
        await self._serve_http(stack, customer, tasks)
        self._ready = True
        self._announce()

    def _voice_died(self, pid: int) -> None:
        self._metrics.voice_deaths_total.inc()
        self._log.warning(LogEvent.VOICE_FAILED, pid=pid)

    def _voice_changed(self, before: VoiceInfo, now: VoiceInfo | None, why: str) -> None:
        speaks = now.name if now is not None else "none"
        self._log.warning(LogEvent.VOICE_CHANGED, before=before.name, speaks=speaks, why=why)

    def _words_estimated(self, voice: str, why: str) -> None:
        self._log.warning(LogEvent.VOICE_WORDS_ESTIMATED, voice=voice, why=why)

    async def _preload(self, phrases: list[str]) -> None:
        try:
            await self._voice.preload(phrases)
        except VoiceFailed as error:  # the cache stays emptier; calls render what they need
            self._log.warning(LogEvent.VOICE_FAILED, error=str(error))

    # --- engine and edge ---

    async def _connect_engine(self, tasks: Tasks) -> None:
        addresses = {name: f"{self._folder}/{name}.sock" for name in worker_names(self._config)}
        addresses |= {address: address for address in self._config.engine.remote}
        connected = {name: asyncio.Event() for name in addresses}
        for name, address in addresses.items():
            tasks.start(self._keep_worker(name, address, connected[name]))
        edge_up = asyncio.Event()
        tasks.start(self._keep_edge(edge_up))
        limit_s = LOAD_S if is_folder(self._config.engine.model) else START_S
        try:
            async with asyncio.timeout(limit_s):
                for event in (edge_up, *connected.values()):
                    await event.wait()
        except TimeoutError:
            late = [name for name, event in {"edge": edge_up, **connected}.items() if not event.is_set()]
            raise AgentError(f"no connection to {', '.join(late)} within {limit_s:g} s after the start") from None

    async def _keep_worker(self, name: str, address: str, connected: asyncio.Event) -> None:
        while True:
            try:
                client = await WorkerClient.connect(address)
            except (OSError, TimeoutError):
                await asyncio.sleep(RECONNECT_S)
                continue
            self._workers[name] = client
            self._registry.add(client, spare=name.startswith("spare") and connected.is_set() is False)
            connected.set()
            hello = client.hello
            self._log.info(
                LogEvent.WORKER_CONNECTED,
                worker=name,
                model=hello.model,
                rows=hello.rows,
                pid=hello.pid,
                step_ms=hello.step_ms,
                measured_p99_ms=hello.step_p99_ms,
                measured_worst_ms=hello.step_worst_ms,
                speaker_p99_ms=hello.speaker_p99_ms,
            )
            await client.lost.wait()
            del self._workers[name]
            if not self._stop.is_set():
                self._log.warning(LogEvent.WORKER_LOST, worker=name)

    async def _keep_edge(self, up: asyncio.Event) -> None:
        self._edge.on_lost = self._lose_edge
        while True:
            try:
                await self._edge.connect(f"{self._folder}/edge.sock")
            except OSError:
                await asyncio.sleep(RECONNECT_S)
                continue
            self._edge_lost.clear()
            self._log.info(LogEvent.EDGE_CONNECTED)
            if up.is_set():
                await self._plane.edge_restored()
            up.set()
            await self._poll_edge()
            if not self._stop.is_set():
                self._log.warning(LogEvent.EDGE_LOST)

    def _lose_edge(self) -> None:
        self._edge_lost.set()
        if self._ready:
            self._plane.edge_lost()

    async def _poll_edge(self) -> None:
        """Keep the edge's numbers fresh for ``/healthz`` until it is lost."""
        while not self._edge_lost.is_set():
            with contextlib.suppress(TelephonyError):
                self._edge_stats = await self._edge.stats()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._edge_lost.wait(), 1.0)

    def _new_plane(self) -> SipPlane:
        sip = self._config.sip
        return SipPlane(
            edge=self._edge,
            clock=self._clock,
            token=lambda: secrets.token_hex(16),
            random=random.random,
            log=lambda event, **fields: self._log.info(LogEvent(event), **fields),
            host=sip.host,
            port=sip.port or self._former.get("sip_port", 0),
            advertised_address=sip.advertised_address,
            transfer_targets=tuple(sip.transfer_targets),
            settings=SipSettings(
                allow=tuple(sip.allow), session_expires_s=sip.session_expires_s, max_half_open=sip.max_half_open
            ),
            watch=self._count_sip,
        )

    # --- http ---

    async def _serve_http(self, stack: contextlib.AsyncExitStack, customer: CustomerServer, tasks: Tasks) -> None:
        app = web.Application(middlewares=[problems])
        add_health_routes(app, self._health, self._metrics, refresh=lambda: self._refresh(customer))
        self._rest.add(
            app,
            customer=customer,
            switchboard=self._switchboard,
            door=self._plane,
            numbers=self._dialler,
            health=self._health,
            spawn=tasks.start,
            preload=self._preload,
        )
        if "twilio" in self._config.stream.doors:
            hooks = TwilioWebhooks(
                self._config.twilio, self._twilio, may_take=self._takes_streams, log=self._log, wall=time.time
            )
            app.add_routes(hooks.routes())
        add_webrtc_routes(app, self._webrtc, admit=self._rest.admit_browser)
        add_talk_routes(app)
        add_console_routes(app)
        runner = web.AppRunner(app, access_log=None, logger=http_logger("agent.http"), keepalive_timeout=KEEP_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.callback(self._rest.hub.close)  # before it: streams of live events have no end of their own
        port = self._config.http.port or self._former.get("http_port", 0)
        site = web.TCPSite(runner, self._config.http.host, port)
        await site.start()
        self._http_port = runner.addresses[0][1]
        self._log.info(LogEvent.HTTP_LISTENING, host=self._config.http.host, port=self._http_port, auth=self._rest.auth)

    def _takes_streams(self) -> bool:
        return self._streams is not None and self._streams.connected and not self._stop.is_set()

    def _health(self) -> dict[str, Any]:
        workers = [self._worker_health(name, client) for name, client in self._workers.items()]
        up = bool(self._workers) and self._edge.connected
        status = "draining" if self._stop.is_set() else "ready" if self._ready and up else "degraded"
        return {
            "status": status,
            "version": VERSION,
            "calls": len(self._switchboard.live),
            "voice": self._voice.state,
            "ears": {**self._ears(), "recogniser": self._config.ears.recogniser},
            "workers": workers,
            "edge": self._edge_stats,
            "sip": {"port": self._plane.local_port},
            "api": {"auth": self._rest.auth},
            **({"stream": self._streams.stats} if self._streams is not None else {}),
            "webrtc": self._webrtc.stats or {"why_not": self._webrtc.why_not},
            "processes": self._processes(),
        }

    def _ears(self) -> dict[str, Any]:
        """Which ears listen, and why where they are not those that were asked for."""
        wanted = self._config.engine.model
        why = {reason for client in self._workers.values() if (reason := client.fallback)}
        if not why:
            return {"model": wanted}
        return {"model": ModelName.PARTS, "instead_of": wanted, "why": "; ".join(sorted(why))}

    def _worker_health(self, name: str, client: WorkerClient) -> dict[str, Any]:
        stats, hello = client.stats, client.hello
        shown: dict[str, Any] = {
            "name": name,
            "pid": hello.pid,
            "rows": hello.rows,
            "seats": client.seats,
            "model": hello.model,
            "step_ms": hello.step_ms,
        }
        shown["measured_p99_ms"] = hello.step_p99_ms
        if stats is not None:
            shown |= {
                "step_p50_ms": stats.step_p50_ms,
                "step_p99_ms": stats.step_p99_ms,
                "late_rows": stats.late_rows,
                "overruns": stats.overruns,
                "failed_rows": stats.failed_rows,
                "degradation": stats.degradation,
                "recognisers": {
                    "wanted": stats.recognisers_wanted,
                    "live": stats.recognisers_live,
                    "restarts": stats.recogniser_restarts,
                    "given_up": stats.recogniser_given_up,
                },
            }
        return shown

    async def _refresh(self, customer: CustomerServer) -> None:
        """Gauges as they are at this scrape."""
        metrics = self._metrics
        metrics.forget_workers()
        for name, client in self._workers.items():
            metrics.seats_total.labels(name).set(client.hello.rows)
            metrics.seats_used.labels(name).set(client.seats)
            if (stats := client.stats) is not None:
                metrics.step_times(name, p50_s=stats.step_p50_ms / 1000, p99_s=stats.step_p99_ms / 1000)
                metrics.recognisers_live.labels(name).set(stats.recognisers_live)
                metrics.recogniser_restarts.labels(name).set(stats.recogniser_restarts)
        for name, punctuality in self._media_stats():
            metrics.media_process(name, **punctuality)
        levels = [client.stats.degradation for client in self._workers.values() if client.stats is not None]
        metrics.degradation_level.set(max(levels, default=0))
        metrics.voice_fallback.set("instead_of" in self._voice.state)
        metrics.log_dropped.set(self._writer.dropped)
        metrics.store_away.set(customer.store.is_away)
        metrics.store_timeline_dropped.set(customer.store.dropped_timeline)
        metrics.store_backlog_bytes.set(customer.store.backlog_bytes)
        with contextlib.suppress(StoreUnavailable):
            metrics.webhook_backlog.set(await customer.outbox.backlog())

    def _media_stats(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Punctuality of each media process that is there."""
        edge = self._edge_stats
        if edge:
            yield "edge", {"late_p99_ms": edge["tick_late_ms"]["p99"], "skipped": edge["skipped_ticks"]}
        for name, stats in (
            ("stream", self._streams.stats if self._streams is not None else {}),
            (WEBRTC, self._webrtc.stats),
        ):
            if stats:
                yield name, {"late_p99_ms": stats["tick_late_p99_ms"], "skipped": stats["skipped_ticks"]}

    def _count_sip(self, method: str, status: int | None) -> None:
        if status is None:
            self._metrics.sip_request(method)
        else:
            self._metrics.sip_response(method, status)

    def _processes(self) -> list[dict[str, Any]]:
        found = [{"name": "front", "pid": os.getpid()}]
        found += [{"name": name, "pid": client.hello.pid} for name, client in self._workers.items()]
        if "pid" in self._edge_stats:
            found.append({"name": "edge", "pid": self._edge_stats["pid"]})
        if self._streams is not None and self._streams.stats:
            found.append({"name": "stream", "pid": self._streams.stats["pid"]})
        if self._webrtc.stats:
            found.append({"name": WEBRTC, "pid": self._webrtc.stats["pid"]})
        return found

    def _announce(self) -> None:
        """Tell programs by a file, people by a line."""
        ready = {"sip_port": self._plane.local_port, "http_port": self._http_port, "pid": os.getpid()}
        if self._streams is not None:
            ready["stream_port"] = self._streams.port
        path = Path(self._folder) / READY_FILE
        path.with_suffix(".new").write_text(json.dumps(ready))
        path.with_suffix(".new").replace(path)
        self._metrics.build_info.labels(VERSION, "", self._config.engine.model).set(1)
        self._log.info(
            LogEvent.SERVICE_READY,
            sip=f"sip:agent@{self._shown_host()}:{self._plane.local_port}",
            http=f"http://{self._config.http.host}:{self._http_port}",
            voice=self._voice.info.name,
            model=self._config.engine.model,
            recogniser=self._config.ears.recogniser,
        )

    def _shown_host(self) -> str:
        sip = self._config.sip
        return sip.advertised_address or ("127.0.0.1" if sip.host == "0.0.0.0" else sip.host)

    async def _watch_lag(self) -> None:
        lag = self._metrics.event_loop_lag_seconds.labels("front")
        while True:
            due = self._clock.now() + LAG_PERIOD_S
            await asyncio.sleep(LAG_PERIOD_S)
            lag.observe(max(0.0, self._clock.now() - due))

    async def _watch_workers(self) -> None:
        """Tell the log what the workers, who have none, count: steps that took too long, rows that failed."""
        watches: dict[int, WorkerWatch] = {}
        while True:
            await asyncio.sleep(WATCH_WORKERS_S)
            for name, client in self._workers.items():
                if client.stats is not None:
                    watch = watches.setdefault(client.hello.pid, WorkerWatch(name, self._log))
                    watch.see(client.stats)


def _former_life(path: Path) -> dict[str, int]:
    """Ports of the front that ran before in this service: one that is restarted listens where it did."""
    try:
        found: dict[str, int] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


async def run_front(config: Config, *, run_folder: str) -> int:
    """Main of the front process."""
    writer = logging.configure(config.log.format, config.log.level, config.log.mask_numbers)
    try:
        return await Front(config, run_folder=run_folder, writer=writer).run()
    finally:
        writer.close()
