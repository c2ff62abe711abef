"""aiortc as it comes: callers for the bench, and the answering side that it is compared with (a process of its own)."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import sys
from typing import Any

import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from numpy.typing import NDArray

RATE_HZ = 8000
FRAME = 160


def half_speech() -> NDArray[np.int16]:
    """A second of a voiced sound, a second of silence: what the talker model says."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    tone = (8000 * np.sin(2 * np.pi * 200 * time_s)).astype(np.int16)
    return np.concatenate((tone, np.zeros_like(tone)))


class SpeakingTrack(MediaStreamTrack):
    """``half_speech`` for ever, paced by absolute deadlines."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pcm = half_speech()
        self._frames = 0
        self._start = 0.0

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        self._start = self._start or loop.time()
        await asyncio.sleep(max(0.0, self._start + self._frames * FRAME / RATE_HZ - loop.time()))
        at = self._frames * FRAME % len(self._pcm)
        frame = AudioFrame.from_ndarray(self._pcm[None, at : at + FRAME], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, self._frames * FRAME
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._frames += 1
        return frame


class PeerConnection:
    """Speaks, and takes what it hears."""

    def __init__(self, codec: str = "") -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.frames = 0
        self._codec = codec
        self._reader: asyncio.Task[None] | None = None
        self.pc.on("track", self._new_track)

    def speak(self) -> None:
        self.pc.addTrack(SpeakingTrack())
        if self._codec:
            known = RTCRtpSender.getCapabilities("audio").codecs
            chosen = [one for one in known if one.mimeType.lower() == f"audio/{self._codec}".lower()]
            self.pc.getTransceivers()[0].setCodecPreferences(chosen)

    async def offer(self) -> str:
        self.speak()
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def accept(self, sdp: str) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))

    async def answer(self, sdp: str) -> str:
        self.speak()
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return str(self.pc.localDescription.sdp)

    async def close(self) -> None:
        await self.pc.close()
        if self._reader is not None:
            await self._reader

    def _new_track(self, track: MediaStreamTrack) -> None:
        self._reader = asyncio.ensure_future(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.frames += 1


def main() -> None:
    """Answer offers on a free loopback port until the parent closes our input; the port is the first line."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


async def _serve() -> None:
    peers: list[PeerConnection] = []

    async def offered(request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        peers.append(peer := PeerConnection())
        return web.json_response({"sdp": await peer.answer(body["sdp"])})

    app = web.Application()
    app.add_routes([web.post("/v1/webrtc/offer", offered)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for peer in peers:
        await peer.close()
    await runner.cleanup()
