"""``crosstalk call webrtc+http://host:port``: a simulated caller as a browser would call, by aiortc (extra ``webrtc``).

Media is PCMU by default, so that the service hears what it would hear from a telephone, bit for bit. Arrival times are
those of the packets: aiortc's own jitter buffer, which would add its 80 ms, is passed by.
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from agent.errors import AgentError
from agent.simulator.caller import CallResult
from agent.simulator.clips import PACKET_SAMPLES
from agent.simulator.phone import DialFailed, PhoneBook
from agent.simulator.render import Cue, Renderer
from agent.simulator.script import Script
from agent.simulator.stream_line import StreamLine, keep_time, new_line, stream_result

SCHEMES = {"webrtc+http": "http", "webrtc+https": "https"}
CONNECT_S = 15.0
"""For the answer and for the first packet each."""
FAREWELL_S = 0.2
"""For the last message of the data channel to leave."""


@dataclass(slots=True)
class WebRtcTrace:
    """What the service told on the data channel."""

    events: list[dict[str, Any]] = field(default_factory=list)


def is_webrtc_uri(uri: str) -> bool:
    return uri.partition("://")[0] in SCHEMES


@contextlib.contextmanager
def reachable(url: str) -> Iterator[None]:
    """aiortc offers no loopback address: where the service is called by one, it offers that alone."""
    try:
        import aioice.ice
        import aiortc  # noqa: F401  # the extra is there or it is not
    except ImportError:
        raise AgentError("calls as a browser need the extra 'webrtc'") from None
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
        yield
        return
    known = aioice.ice.get_host_addresses
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    try:
        yield
    finally:
        aioice.ice.get_host_addresses = known


class WebRtcCall:
    """One call by peer connection."""

    def __init__(self, uri: str, line: StreamLine, *, key: str = "") -> None:
        scheme, _, rest = uri.partition("://")
        if scheme not in SCHEMES:
            raise DialFailed(f"{uri}: not a webrtc+http address")
        self.url = f"{SCHEMES[scheme]}://{rest}".rstrip("/")
        self._line, self._key = line, key
        self.book = PhoneBook(user=f"webrtc-{secrets.token_hex(6)}")
        self.trace = WebRtcTrace()
        self._frames: asyncio.Queue[bytes] = asyncio.Queue(500)
        self._answered = asyncio.Event()
        self._over = asyncio.Event()
        self._channel: Any = None
        self._first_timestamp = 0
        self._dialled_at = time.monotonic()

    async def run(self) -> None:
        """The call to its end. Raises ``DialFailed`` where the service cannot be reached."""
        from aiortc import RTCConfiguration, RTCPeerConnection

        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel = peer.createDataChannel("live")
        self._channel.on("message", self._told)
        peer.on("connectionstatechange", lambda: self._state(peer.connectionState))
        sender = peer.addTrack(_track(self._frames))
        _only_pcmu(peer)
        try:
            if await self._offered(peer):
                receiver = next(one.receiver for one in peer.getTransceivers() if one.sender is sender)
                receiver._handle_rtp_packet = self._packet  # type: ignore[method-assign]
                await self._talk()
        finally:
            await peer.close()

    async def _offered(self, peer: Any) -> bool:
        from aiortc import RTCSessionDescription

        await peer.setLocalDescription(await peer.createOffer())
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = aiohttp.ClientTimeout(total=CONNECT_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as http:
                async with http.get(f"{self.url}/v1/webrtc/token", headers=headers) as answer:
                    token = await self._read(answer)
                if token is None:
                    return False
                body = {"sdp": peer.localDescription.sdp, "token": token.get("token", "")}
                async with http.post(f"{self.url}/v1/webrtc/offer", json=body) as answer:
                    answered = await self._read(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DialFailed(f"{self.url}: {error}") from error
        if answered is None:
            return False
        self.book.service_call_id = str(answered.get("leg_id", ""))
        await peer.setRemoteDescription(RTCSessionDescription(sdp=answered["sdp"], type="answer"))
        return True

    async def _read(self, answer: aiohttp.ClientResponse) -> dict[str, Any] | None:
        """The JSON of an answer; a refusal is noted and none."""
        text = await answer.text()
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        found: dict[str, Any] = body if isinstance(body, dict) else {}
        if answer.status == 200:
            return found
        self.book.status, self.book.reason = answer.status, str(found.get("detail", text))[:200]
        return None

    async def _talk(self) -> None:
        self._line.on_audio, self._line.on_key = self._audio, self._press
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._answered.wait()
        except TimeoutError:
            self.book.reason = self.book.reason or "no packet came"
            return
        speaking = asyncio.ensure_future(keep_time(self._line))
        ended = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({speaking, ended}, return_when=asyncio.FIRST_COMPLETED)
            if speaking.done():
                speaking.result()
                self.book.ended_by = self.book.ended_by or "caller"
                self._say({"type": "bye"})
                await asyncio.sleep(FAREWELL_S)
        finally:
            speaking.cancel()
            ended.cancel()

    # --- media ---

    def _audio(self, payload: bytes) -> None:
        try:
            self._frames.put_nowait(payload)
        except asyncio.QueueFull:
            self._line.pacing.skipped += 1

    async def _packet(self, packet: Any, arrival_time_ms: int) -> None:
        """In the place of aiortc's receiver: a decrypted packet of the agent."""
        now = time.monotonic()
        if not self._answered.is_set():
            self.book.status, self.book.answered_after_s = 200, now - self._dialled_at
            self._first_timestamp = packet.timestamp
            self._line.begin(now)
            self._answered.set()
        place = (packet.timestamp - self._first_timestamp) & 0xFFFFFFFF
        self._line.hear(now, packet.payload[:PACKET_SAMPLES], timestamp=place)

    # --- data channel ---

    def _press(self, key: str) -> None:
        self._say({"type": "dtmf", "digit": key})

    def _say(self, body: dict[str, str]) -> None:
        if self._channel.readyState == "open":
            self._channel.send(json.dumps(body))

    def _told(self, text: str) -> None:
        event = json.loads(text)
        self.trace.events.append(event)
        if event.get("kind") == "ended":
            self.book.ended_by = self.book.ended_by or "agent"
            self.book.reason = str(event["data"].get("reason", ""))
            self._over.set()

    def _state(self, state: str) -> None:
        if state in ("closed", "failed"):
            self.book.ended_by = self.book.ended_by or "network"
            self._over.set()


def _track(frames: asyncio.Queue[bytes]) -> Any:
    """An aiortc track of G.711 frames that are coded already."""
    from aiortc import MediaStreamTrack
    from av import Packet

    class Track(MediaStreamTrack):
        kind = "audio"

        def __init__(self) -> None:
            super().__init__()
            self._sent = 0

        async def recv(self) -> Any:
            packet = Packet(await frames.get())
            packet.pts, packet.time_base = self._sent * PACKET_SAMPLES, fractions.Fraction(1, 8000)
            self._sent += 1
            return packet

    return Track()


def _only_pcmu(peer: Any) -> None:
    from aiortc import RTCRtpSender

    known = RTCRtpSender.getCapabilities("audio").codecs
    (transceiver,) = peer.getTransceivers()
    transceiver.setCodecPreferences([codec for codec in known if codec.mimeType.lower() == "audio/pcmu"])


@dataclass(slots=True, kw_only=True)
class WebRtcResult:
    """A call as its caller has it, and what the service told of it."""

    result: CallResult
    trace: WebRtcTrace


async def run_webrtc_call(
    uri: str,
    script: Script,
    *,
    key: str = "",
    cues: tuple[Cue, ...] | None = None,
    renderer: Renderer | None = None,
    call: str = "call",
    control: bool = False,
    seed: int | None = None,
) -> WebRtcResult:
    """Call ``uri`` as a browser and perform ``script``; see ``agent.simulator.caller.run_call``."""
    if cues is None:
        cues = await asyncio.to_thread((renderer or Renderer()).cues, script)
    seed = script.seed if seed is None else seed
    line = await new_line(script, cues, call=call, control=control, seed=seed)
    try:
        made = WebRtcCall(uri, line, key=key)
        with contextlib.suppress(TimeoutError), reachable(made.url):
            async with asyncio.timeout(script.max_s + 2 * CONNECT_S):
                await made.run()
    finally:
        line.close()
    return WebRtcResult(result=stream_result(call, made.book, line, seed), trace=made.trace)
