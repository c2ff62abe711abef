"""baresip as a caller: speaks from a WAV, records what it hears, is told what to do over its control port."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.peers.programs import require
from tests.ports import free_ports

Pcm = NDArray[np.int16]
TEMPLATES = Path(__file__).parents[1] / "data" / "baresip"
RATE_HZ = 8000
LONGER_THAN_ANY_CALL_S = 60.0
"""baresip hangs up when its microphone's file ends."""


def write_wav(path: Path, pcm: Pcm) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(pcm.astype("<i2").tobytes())


def read_wav(path: Path) -> Pcm:
    """(samples,) int16. The header is not believed: baresip writes its length only when it closes the file."""
    raw = path.read_bytes()
    start = raw.index(b"data") + 8
    return np.frombuffer(raw[start : len(raw) - (len(raw) - start) % 2], "<i2").astype(np.int16)


class Baresip:
    """One running baresip. ``happened`` collects its events in order."""

    def __init__(self, folder: Path, sip_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._folder, self.sip_port, self._reader, self._writer = folder, sip_port, reader, writer
        self.happened: list[dict[str, Any]] = []
        self._news = asyncio.Condition()

    @property
    def sip_uri(self) -> str:
        return f"sip:baresip@127.0.0.1:{self.sip_port}"

    async def dial(self, uri: str) -> None:
        """Call, and wait until the call is up."""
        await self.command("dial", uri)
        await self.wait_for("CALL_ESTABLISHED")

    async def hang_up(self) -> None:
        await self.command("hangup")
        await self.wait_for("CALL_CLOSED")

    async def press(self, digit: str) -> None:
        """A key of the telephone: RFC 4733 while it is down."""
        await self.command("sndcode", digit)

    async def command(self, name: str, params: str = "") -> None:
        body = json.dumps({"command": name, "params": params, "token": name})
        self._writer.write(f"{len(body)}:{body},".encode())
        await self._writer.drain()

    async def wait_for(self, event: str, within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(lambda: any(found.get("type") == event for found in self.happened))

    async def listen(self) -> None:
        """Read netstrings until the control connection closes."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int((await self._reader.readuntil(b":"))[:-1])
                body = await self._reader.readexactly(size + 1)
                async with self._news:
                    self.happened.append(json.loads(body[:-1]))
                    self._news.notify_all()

    def heard(self) -> Pcm:
        """What came out of its loudspeaker."""
        return read_wav(next(self._folder.glob("dump-*-dec.wav")))

    def said(self) -> Pcm:
        """What went into its microphone, as sent."""
        return read_wav(next(self._folder.glob("dump-*-enc.wav")))


@asynccontextmanager
async def baresip(folder: Path, microphone: Pcm, *, codec: str = "PCMU") -> AsyncIterator[Baresip]:
    """A baresip of its own in ``folder``; ended by its pid."""
    program = require("baresip")
    sip_port, control = _write_settings(folder, microphone, codec)
    log = (folder / "baresip.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        program, "-f", str(folder), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
    )
    try:
        reader, writer = await _connected(control, process, folder)
        phone = Baresip(folder, sip_port, reader, writer)
        listening = asyncio.ensure_future(phone.listen())
        try:
            yield phone
        finally:
            listening.cancel()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
    finally:
        await _stop(process)
        log.close()


def _write_settings(folder: Path, microphone: Pcm, codec: str) -> tuple[int, int]:
    """Fill the templates; returns the SIP and the control port."""
    folder.mkdir(parents=True, exist_ok=True)
    padded = np.zeros(len(microphone) + int(LONGER_THAN_ANY_CALL_S * RATE_HZ), np.int16)
    padded[: len(microphone)] = microphone
    write_wav(folder / "microphone.wav", padded)
    sip, rtp, control = free_ports(3)
    config = (TEMPLATES / "config").read_text().replace("FOLDER", str(folder))
    for name, port in (("SIP_PORT", sip), ("RTP_FIRST", rtp), ("RTP_LAST", rtp + 20), ("CONTROL_PORT", control)):
        config = config.replace(name, str(port))
    (folder / "config").write_text(config)
    (folder / "accounts").write_text((TEMPLATES / "accounts").read_text().replace("CODEC", codec))
    (folder / "contacts").write_text("")
    return sip, control


async def _connected(
    port: int, process: asyncio.subprocess.Process, folder: Path
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(100):
        assert process.returncode is None, (folder / "baresip.log").read_text(errors="replace")
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
    raise AssertionError((folder / "baresip.log").read_text(errors="replace"))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5.0)
        except TimeoutError:
            process.kill()
            await process.wait()
