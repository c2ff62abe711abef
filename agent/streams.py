"""The stream edge as the front sees it: which doors are open, the channel to its process, its loss and return."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.config import Config, TwilioConfig
from agent.events.names import LogEvent
from agent.logging import Log
from agent.tasks import Tasks
from telephony.errors import TelephonyError
from telephony.plane import OfferHandler
from telephony.stream_client import StreamClient
from telephony.stream_plane import StreamPlane

RECONNECT_S = 0.05
STATS_S = 1.0
START_S = 30.0
PROCESS = "stream"
"""Name of the role, and of its control socket in the run folder."""

Refused = Callable[[str, str, int], None]
"""Door, rule, how many."""


def door_options(config: Config) -> dict[str, dict[str, Any]]:
    """Options of each enabled door, as its class takes them."""
    stream = config.stream
    guard = {"token": stream.token, "allow_origins": list(stream.allow_origins)}
    known = {"pcm": guard, "live": guard, **_carriers(config.twilio)}
    return {name: dict(known[name]) for name in stream.doors}


def _carriers(twilio: TwilioConfig) -> dict[str, dict[str, Any]]:
    shared = {"token_key": twilio.token_key}
    by_key = (twilio.api_key, twilio.api_secret)
    user, password = by_key if twilio.api_key else (twilio.account_sid, twilio.auth_token)
    ours = {
        "stream_url": twilio.stream_url,
        "auth_token": twilio.auth_token,
        "after_url": twilio.public_url.rstrip("/") + "/twilio/dialled",
        "account_sid": twilio.account_sid,
        "rest_user": user if twilio.account_sid else "",
        "rest_password": password,
        "rest_url": twilio.rest_url,
    }
    others = {name: {"carrier": name, "stream_url": "", **shared} for name in ("telnyx", "plivo")}
    return {"twilio": {**ours, **shared}, **others}


def keyed(config: Config) -> Config:
    """With a key for one-time tokens, which the front and the stream edge share, where none is configured."""
    if config.twilio.token_key or "twilio" not in config.stream.doors:
        return config
    return replace(config, twilio=replace(config.twilio, token_key=secrets.token_urlsafe(32)))


def edge_options(config: Config, run_folder: str, *, port: int | None = None) -> dict[str, Any]:
    """Options of ``telephony.stream_process.run_stream_edge``."""
    stream = config.stream
    return {
        "control_path": f"{run_folder}/{PROCESS}.sock",
        "host": stream.host,
        "port": stream.port if port is None else port,
        "max_calls": stream.max_calls,
        "silence_timeout_s": stream.silence_timeout_s,
        "doors": door_options(config),
    }


class Streams:
    """Owner of the plane of all doors of one process."""

    def __init__(
        self, run_folder: str, *, log: Log, process: str = PROCESS, refused: Refused = lambda door, rule, count: None
    ) -> None:
        """``refused`` counts what doors turn away or cut off."""
        self._path = f"{run_folder}/{process}.sock"
        self._log = log
        self._refused = refused
        self._client = StreamClient()
        self._plane = StreamPlane(self._client, log=self._told)
        self._lost = asyncio.Event()
        self._stopping = False
        self.stats: dict[str, Any] = {}
        """Latest counters of the process; empty before it is connected."""

    @property
    def connected(self) -> bool:
        return self._client.connected

    @property
    def port(self) -> int:
        """Port that the doors listen on."""
        return int(self.stats.get("port", 0))

    async def start(self, tasks: Tasks, on_offer: OfferHandler) -> None:
        """Take calls; returns when the process listens. Raises ``TimeoutError`` if it never does."""
        await self._plane.start(on_offer)
        listens = asyncio.Event()
        tasks.start(self._keep(listens))
        async with asyncio.timeout(START_S):
            await listens.wait()
        self._log.info(LogEvent.STREAM_LISTENING, port=self.port)

    def _told(self, event: str, **fields: Any) -> None:
        self._log.info(LogEvent(event), **fields)
        if event == LogEvent.STREAM_REFUSED:
            self._refused(str(fields["door"]), str(fields["rule"]), 1 + int(fields["missed"]))

    def drain(self) -> None:
        self._stopping = True
        self._plane.drain()

    async def stop(self) -> None:
        await self._plane.stop()

    async def _keep(self, listens: asyncio.Event) -> None:
        self._client.on_lost = self._lose
        while True:
            try:
                await self._client.connect(self._path)
            except OSError:
                await asyncio.sleep(RECONNECT_S)
                continue
            self._lost.clear()
            self._plane.edge_restored()
            while not self._lost.is_set():
                with contextlib.suppress(TelephonyError):
                    self.stats = await self._client.stats()
                    if self.port:
                        listens.set()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._lost.wait(), STATS_S if listens.is_set() else RECONNECT_S)
            if not self._stopping:
                self._log.warning(LogEvent.STREAM_LOST)

    def _lose(self) -> None:
        self._lost.set()
        self._plane.edge_lost()
