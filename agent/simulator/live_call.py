"""``crosstalk call live+ws://host:port/v1/live/sessions``: a simulated caller as a client of the live session protocol.

Audio goes both ways as ``audio/pcmu``, so that the service hears what it would hear from a telephone, bit for bit. The
caller is heard from the first audio of the agent on, which is when the call is answered. The protocol has no keys.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from agent.simulator.caller import CallResult
from agent.simulator.clips import PACKET_SAMPLES
from agent.simulator.phone import DialFailed, PhoneBook
from agent.simulator.render import Cue, Renderer
from agent.simulator.script import Script
from agent.simulator.stream_line import StreamLine, keep_time, new_line, stream_result

SCHEMES = {"live+ws": "ws", "live+wss": "wss"}
START_S = 15.0
"""For the connection and for the first audio each."""
CLOSE_S = 3.0
MODEL = "crosstalk"


@dataclass(slots=True)
class LiveTrace:
    """What the service told besides audio."""

    said: list[str] = field(default_factory=list)
    """Of the caller, as it was understood: ``session.input_transcript.delta``."""
    heard: list[str] = field(default_factory=list)
    """Of the agent, as it was heard: ``session.output_transcript.delta``."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    close_code: int | None = None


def is_live_uri(uri: str) -> bool:
    return uri.partition("://")[0] in SCHEMES


class LiveCall:
    """One session."""

    def __init__(self, uri: str, line: StreamLine, *, token: str = "") -> None:
        scheme, _, rest = uri.partition("://")
        if scheme not in SCHEMES:
            raise DialFailed(f"{uri}: not a live+ws address")
        self._url, self._line, self._token = f"{SCHEMES[scheme]}://{rest}", line, token
        self.book = PhoneBook(user=f"live-{secrets.token_hex(6)}")
        self.trace = LiveTrace()
        self._answered = asyncio.Event()
        self._closed = asyncio.Event()
        self._out: asyncio.Queue[str] = asyncio.Queue(500)
        self._frames = 0
        self._dialled_at = time.monotonic()

    async def run(self) -> None:
        """The session to its end. Raises ``DialFailed`` where the service cannot be reached or turns us away."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = aiohttp.ClientTimeout(sock_connect=START_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                socket = await http.ws_connect(self._url, headers=headers, max_msg_size=1 << 20)
            except aiohttp.WSServerHandshakeError as error:
                self.book.status, self.book.reason = error.status, error.message
                return
            except (aiohttp.ClientError, TimeoutError) as error:
                raise DialFailed(f"{self._url}: {error}") from error
            async with socket:
                await self._converse(socket)
            self.trace.close_code = socket.close_code

    async def _converse(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        form = {"type": "audio/pcmu", "rate": 8000}
        self._tell("session.start", session={"model": MODEL, "audio": {"format": form}})
        self._line.on_audio, self._line.on_key = self._audio, self._key
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read(socket))
            writer = group.create_task(self._write(socket))
            talker = group.create_task(self._talk())
            await self._closed.wait()
            for task in (talker, writer):
                task.cancel()
            await asyncio.wait({reader}, timeout=CLOSE_S)
            reader.cancel()

    # --- to the service ---

    async def _talk(self) -> None:
        try:
            async with asyncio.timeout(START_S):
                await self._answered.wait()
        except TimeoutError:
            self.book.reason = self.book.reason or "no audio came"
            self._closed.set()
            return
        await keep_time(self._line)
        self.book.ended_by = self.book.ended_by or "caller"
        self._tell("session.close")
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._closed.wait()
        self._closed.set()

    def _audio(self, payload: bytes) -> None:
        self._tell("session.input_audio.append", audio=base64.b64encode(payload).decode())

    def _key(self, key: str) -> None:
        self._line.performer.notes.append(f"key {key} not sent: the live protocol has no keys")

    def _tell(self, kind: str, **fields: Any) -> None:
        try:
            self._out.put_nowait(json.dumps({"type": kind, **fields}))
        except asyncio.QueueFull:
            self._line.pacing.skipped += 1  # ten seconds behind: the run is void

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with suppress(ConnectionError):
            while True:
                await socket.send_str(await self._out.get())

    # --- from the service ---

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(json.loads(message.data))
        self.book.ended_by = self.book.ended_by or "agent"
        self._closed.set()

    def _take(self, body: dict[str, Any]) -> None:
        match body.get("type"):
            case "session.started":
                self.book.service_call_id = str(body["session"]["id"]).removeprefix("sess_")
            case "session.output_audio.delta":
                self._hear(base64.b64decode(body["delta"]))
            case "session.input_transcript.delta":
                self.trace.said.append(body["delta"].strip())
            case "session.output_transcript.delta":
                self.trace.heard.append(body["delta"].strip())
            case "session.closed":
                self.book.reason = str(body.get("reason", ""))
                self.book.ended_by = self.book.ended_by or "agent"
            case "error":
                self.trace.errors.append(body["error"])
                self.book.reason = str(body["error"].get("message", ""))
            case _:
                pass

    def _hear(self, audio: bytes) -> None:
        now = time.monotonic()
        if not self._answered.is_set():
            self.book.status, self.book.answered_after_s = 200, now - self._dialled_at
            self._line.begin(now)
            self._answered.set()
        self._line.hear(now, audio, timestamp=self._frames * PACKET_SAMPLES)
        self._frames += 1


@dataclass(slots=True, kw_only=True)
class LiveResult:
    """A call as its caller has it, and what the service told of it."""

    result: CallResult
    trace: LiveTrace


async def run_live_call(
    uri: str,
    script: Script,
    *,
    token: str = "",
    cues: tuple[Cue, ...] | None = None,
    renderer: Renderer | None = None,
    call: str = "call",
    control: bool = False,
    seed: int | None = None,
) -> LiveResult:
    """Open a session at ``uri`` and perform ``script``; see ``agent.simulator.caller.run_call``."""
    if cues is None:
        cues = await asyncio.to_thread((renderer or Renderer()).cues, script)
    seed = script.seed if seed is None else seed
    line = await new_line(script, cues, call=call, control=control, seed=seed)
    try:
        made = LiveCall(uri, line, token=token)
        with suppress(TimeoutError):
            async with asyncio.timeout(script.max_s + START_S):
                await made.run()
    finally:
        line.close()
    return LiveResult(result=stream_result(call, made.book, line, seed), trace=made.trace)
