"""The stream edge's process: its HTTP server with the routes of all doors, its loop, its start and end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import signal
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from telephony.errors import MediaError
from telephony.net.http_log import http_logger
from telephony.priority import set_nice
from telephony.stream_door import Door
from telephony.stream_edge import StreamEdge

DOORS: dict[str, str] = {
    "webrtc": "telephony.webrtc.door:WebRtcDoor",
    "pcm": "telephony.doors.pcm:PcmDoor",
    "live": "telephony.doors.live:LiveDoor",
    "twilio": "telephony.twilio.door:TwilioDoor",
    "telnyx": "telephony.twilio.door:TwilioDoor",
    "plivo": "telephony.twilio.door:TwilioDoor",
}
"""Name to ``module:class``; each is imported when it is enabled only."""
HEAD_S = 10.0
"""For a request's head, and between two requests: who connects and says nothing holds a file for no longer."""
_MAX_HEADER_BYTES = 8 * 1024


def open_doors(options: Mapping[str, dict[str, Any]]) -> list[Door]:
    """The enabled doors, each with its options."""
    doors: list[Door] = []
    for name, settings in options.items():
        module, _, cls = DOORS[name].partition(":")
        doors.append(getattr(importlib.import_module(module), cls)(**settings))
    return doors


def new_app(edge: StreamEdge, doors: list[Door]) -> web.Application:
    """The edge's HTTP server: the routes of all its doors."""
    app = web.Application(client_max_size=64 * 1024)
    for door in doors:
        app.add_routes(door.routes(edge))
    return app


@contextlib.asynccontextmanager
async def listening(edge: StreamEdge, doors: list[Door], host: str, port: int) -> AsyncIterator[int]:
    """Serve the doors; yields the port."""
    runner = web.AppRunner(
        new_app(edge, doors), access_log=None, logger=http_logger("telephony.http"), max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES, shutdown_timeout=1.0, keepalive_timeout=HEAD_S,
    )  # fmt: skip
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        for door in doors:
            await door.close()
        await runner.cleanup()


async def _serve(options: dict[str, Any]) -> None:
    edge = StreamEdge(
        options["control_path"], max_calls=options["max_calls"], silence_timeout_s=options["silence_timeout_s"],
        now=time.monotonic(),
    )  # fmt: skip
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: setattr(edge, "stopping", True))
    doors = open_doors(options["doors"])
    former = Path(f"{options['control_path']}.port")
    try:
        async with listening(edge, doors, options["host"], options["port"] or _former_port(former)) as port:
            edge.port = port
            _remember_port(former, port)
            gc.collect()
            gc.freeze()
            try:
                await edge.run()
            finally:
                edge.close()
                await asyncio.sleep(0.1)  # the peers' last words
    except OSError as error:
        raise MediaError(f"cannot listen on {options['host']}:{options['port']}: {error.strerror}") from None


def _former_port(path: Path) -> int:
    """Where the edge that ran before in this service listened: one that is restarted listens there too."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _remember_port(path: Path, port: int) -> None:
    path.write_text(str(port))


def run_stream_edge(**options: Any) -> None:
    """Be a stream edge until SIGTERM, or until no front is connected for 2 s. Blocks; owns the process.

    Options: ``control_path host port max_calls silence_timeout_s doors`` (door name to its options), and ``nice``: a
    better priority to ask for, below that of the RTP edge. Doors that pace packets need it.
    """
    import uvloop

    if nice := int(options.get("nice", 0)):
        set_nice(nice)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options))
