"""The WebRTC door as the front sees it: whether it is there, its process, tokens, and where requests are passed on."""

from __future__ import annotations

import importlib.util
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.config import Config
from agent.logging import Log
from agent.streams import Refused, Streams
from agent.tasks import Tasks
from telephony.plane import OfferHandler
from telephony.webrtc.servers import IceServer
from telephony.webrtc.token import OFFER, TOKEN_S, issue

PROCESS = "webrtc"
"""Name of the role, and of its control socket in the run folder."""
NICE = -5
"""A browser learns how late our packets come and adds that to its delay: they go before dialogue and voice."""
PACKAGE = "aiortc"
INSTALL = "pip install 'crosstalk-voice[webrtc]'"


def is_installed() -> bool:
    """The extra is there. Looks, and imports nothing."""
    return importlib.util.find_spec(PACKAGE) is not None


def settled(config: Config, *, installed: Callable[[], bool] = is_installed) -> Config:
    """``webrtc.enabled = auto`` made ``on`` or ``off``, and a secret that front and edge share."""
    webrtc = config.webrtc
    enabled = webrtc.enabled
    if enabled == "auto":
        enabled = "on" if installed() else "off"
    return replace(config, webrtc=replace(webrtc, enabled=enabled, secret=webrtc.secret or secrets.token_hex(32)))


def ice_servers(config: Config) -> tuple[IceServer, ...]:
    """STUN and TURN servers, for us and for browsers."""
    webrtc = config.webrtc
    stun = tuple(IceServer(url=url) for url in webrtc.stun)
    turn = tuple(
        IceServer(url=url, username=webrtc.turn_username, credential=webrtc.turn_password) for url in webrtc.turn
    )
    return (*stun, *turn)


def edge_options(config: Config, run_folder: str) -> dict[str, Any]:
    """Options of ``telephony.stream_edge.run_stream_edge``: on loopback, for the front alone."""
    webrtc = config.webrtc
    return {
        "control_path": f"{run_folder}/{PROCESS}.sock",
        "host": "127.0.0.1",
        "port": 0,
        "max_calls": webrtc.max_calls,
        "silence_timeout_s": max(6.0, 2 * webrtc.resume_s),
        "nice": NICE,
        "doors": {
            PROCESS: {
                "secret": webrtc.secret,
                "codecs": list(webrtc.codecs),
                "hosts": list(webrtc.hosts),
                "port_min": webrtc.port_min,
                "port_max": webrtc.port_max,
                "advertised": webrtc.advertised_address,
                "servers": [
                    {"url": one.url, "username": one.username, "credential": one.credential}
                    for one in ice_servers(config)
                ],
                "resume_s": webrtc.resume_s,
                "complexity": webrtc.opus_complexity,
            }
        },
    }


class WebRtc:
    """The front's half. Without the door it only knows why there is none."""

    def __init__(
        self,
        config: Config,
        run_folder: str,
        *,
        log: Log,
        wall: Callable[[], float] = time.time,
        refused: Refused = lambda door, rule, count: None,
    ) -> None:
        self._config = config
        self._wall = wall
        self._streams = None
        if config.webrtc.enabled == "on":
            self._streams = Streams(run_folder, log=log, process=PROCESS, refused=refused)

    @property
    def why_not(self) -> str:
        """Why browsers cannot call; empty: they can."""
        if self._streams is not None:
            return "" if self._streams.connected and self._streams.port else "the WebRTC process is starting"
        if is_installed():
            return "WebRTC is switched off: set webrtc.enabled to on"
        return f"WebRTC is not installed: {INSTALL}, then start the service again"

    @property
    def port(self) -> int:
        """Loopback port of the door's HTTP server; 0: there is none."""
        return self._streams.port if self._streams is not None else 0

    @property
    def stats(self) -> dict[str, Any]:
        """Latest counters of the process; empty without one."""
        return self._streams.stats if self._streams is not None else {}

    def token(self) -> dict[str, Any]:
        """A token for one offer, when it expires, and the servers that a browser should use."""
        expires_at = self._wall() + TOKEN_S
        token = issue(
            bytes.fromhex(self._config.webrtc.secret), kind=OFFER, expires_at=expires_at, nonce=secrets.token_hex(16)
        )
        servers = [server.to_browser() for server in ice_servers(self._config)]
        return {"token": token, "expires_at": int(expires_at), "ice_servers": servers}

    async def start(self, tasks: Tasks, on_offer: OfferHandler) -> None:
        """Take calls, where there is a door. Raises ``TimeoutError`` if its process never listens."""
        if self._streams is not None:
            await self._streams.start(tasks, on_offer)

    def drain(self) -> None:
        if self._streams is not None:
            self._streams.drain()

    async def stop(self) -> None:
        if self._streams is not None:
            await self._streams.stop()
