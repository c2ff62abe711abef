"""A WebRTC door on a loopback port with a desk of its own, and aiortc as its caller."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.events import TransferOutcome
from telephony.webrtc.door import WebRtcDoor
from telephony.webrtc.peer import BrowserPeer
from telephony.webrtc.token import OFFER, issue

SECRET = "5e" * 32


class FakeCall:
    """The edge's side of a call, without an edge: what the door told."""

    def __init__(self, peer: BrowserPeer) -> None:
        self.peer = peer
        self.leg_id = secrets.token_hex(16)
        self.is_over = False
        self.told: list[tuple[Any, ...]] = []
        self.audio: list[NDArray[np.int16]] = []
        self.open = asyncio.Event()
        self.over = asyncio.Event()

    @property
    def media_ms(self) -> int:
        return 0

    def opened(self) -> None:
        self.open.set()

    def hear(self, pcm: NDArray[np.int16]) -> None:
        self.audio.append(pcm.copy())

    def key(self, digit: str, duration_ms: int = 100) -> None:
        self.told.append(("key", digit))

    def hold(self, held: bool) -> None:
        self.told.append(("hold", held))

    def mute(self, muted: bool) -> None:
        self.told.append(("mute", muted))

    def append(self, channel: str, text: str) -> None:
        self.told.append(("append", channel, text))

    def transfer(self, outcome: TransferOutcome, status: int, reason: str) -> None: ...

    def confirm(self, played: int) -> None: ...

    def end(self, *, by: str = "caller", status: int = 0, reason: str = "bye") -> None:
        if not self.is_over:
            self.is_over = True
            self.told.append(("end", by, reason))
            self.over.set()

    @property
    def heard(self) -> NDArray[np.int16]:
        return np.concatenate(self.audio) if self.audio else np.zeros(0, np.int16)


class FakeDesk:
    """Accepts every offer at once, unless told otherwise."""

    def __init__(self) -> None:
        self.refusal: tuple[int, str] | None = None
        self.refuse_with: tuple[int, str, int | None] | None = None
        self.calls: list[FakeCall] = []
        self.refusals: list[str] = []

    def refused(self, door: str, source: str, rule: str, why: str) -> None:
        assert door == "webrtc"
        assert source
        assert why
        self.refusals.append(rule)

    def offer(self, peer: BrowserPeer, **facts: Any) -> FakeCall:
        if self.refusal is not None:
            raise MediaError(self.refusal[1])
        call = FakeCall(peer)
        self.calls.append(call)
        if self.refuse_with is not None:
            asyncio.get_running_loop().call_soon(peer.refused, *self.refuse_with)
        else:
            asyncio.get_running_loop().call_soon(peer.answered)
        return call


class World:
    def __init__(self, door: WebRtcDoor, desk: FakeDesk, http: aiohttp.ClientSession, url: str) -> None:
        self.door, self.desk, self.http, self.url = door, desk, http, url

    def token(self, *, ttl_s: float = 60.0) -> str:
        return token(ttl_s=ttl_s)

    async def post_offer(self, **body: Any) -> tuple[int, dict[str, Any]]:
        async with self.http.post(f"{self.url}/v1/webrtc/offer", json=body) as answer:
            return answer.status, await answer.json()


def token(*, ttl_s: float = 60.0, kind: str = OFFER, subject: str = "", secret: str = SECRET) -> str:
    return issue(
        bytes.fromhex(secret),
        kind=kind,
        expires_at=time.time() + ttl_s,
        nonce=secrets.token_hex(16),
        subject=subject,
    )


@contextlib.asynccontextmanager
async def world(**options: Any) -> AsyncIterator[World]:
    door, desk = WebRtcDoor(secret=SECRET, hosts=("127.0.0.1",), **options), FakeDesk()
    app = web.Application(client_max_size=64 * 1024)
    app.add_routes(door.routes(desk))  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        try:
            yield World(door, desk, http, f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await door.close()
            await runner.cleanup()


def speaking_track(pcm: NDArray[np.int16], rate_hz: int = 8000) -> Any:
    """An aiortc track that plays ``pcm`` once, then silence, in real time."""
    from aiortc import MediaStreamTrack
    from av import AudioFrame

    class Track(MediaStreamTrack):
        kind = "audio"

        def __init__(self) -> None:
            super().__init__()
            self._at, self._start = 0, 0.0

        async def recv(self) -> AudioFrame:
            samples = rate_hz // 50
            loop = asyncio.get_running_loop()
            self._start = self._start or loop.time()
            await asyncio.sleep(max(0.0, self._start + self._at / rate_hz - loop.time()))
            piece = np.zeros(samples, np.int16)
            found = pcm[self._at : self._at + samples]
            piece[: len(found)] = found
            frame = AudioFrame.from_ndarray(piece[None, :], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate_hz, self._at
            frame.time_base = fractions.Fraction(1, rate_hz)
            self._at += samples
            return frame

    return Track()


class Caller:
    """An aiortc peer connection with one audio track each way and a data channel."""

    def __init__(self, pcm: NDArray[np.int16], *, codecs: Iterable[str] = ()) -> None:
        import aiortc
        from aiortc import RTCConfiguration, RTCPeerConnection

        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel = self.pc.createDataChannel("live")
        self.messages: list[str] = []
        self.channel.on("message", self.messages.append)
        self.pc.addTrack(speaking_track(pcm))
        if codecs:
            wanted = {f"audio/{name}".lower() for name in codecs}
            known = aiortc.RTCRtpSender.getCapabilities("audio").codecs
            chosen = [codec for codec in known if codec.mimeType.lower() in wanted]
            self.pc.getTransceivers()[0].setCodecPreferences(chosen)
        self.frames: list[NDArray[np.int16]] = []
        self.rate_hz = 0
        self._reader: asyncio.Task[None] | None = None
        self.pc.on("track", self._new_track)

    def _new_track(self, track: Any) -> None:
        self._reader = asyncio.ensure_future(self._read(track))

    async def _read(self, track: Any) -> None:
        from aiortc.mediastreams import MediaStreamError

        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                self.rate_hz = frame.sample_rate
                samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
                self.frames.append(samples.copy())

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def accept(self, sdp: str) -> None:
        from aiortc import RTCSessionDescription

        await self.pc.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))

    @property
    def heard(self) -> NDArray[np.int16]:
        """What came, at 8 kHz."""
        if not self.frames:
            return np.zeros(0, np.int16)
        step = self.rate_hz // 8000
        return np.concatenate(self.frames)[::step]

    async def close(self) -> None:
        await self.pc.close()
        if self._reader is not None:
            await self._reader


async def until(claim: Any, within_s: float = 5.0) -> None:
    """Wait until ``claim()`` is true."""
    async with asyncio.timeout(within_s):
        while not claim():
            await asyncio.sleep(0.02)
