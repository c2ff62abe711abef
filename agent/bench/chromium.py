"""A headless Chromium with a WAV as its microphone, driven by the DevTools protocol over one WebSocket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError

START_S = 20.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--remote-debugging-port=0",
)
RECORDER = """
(async () => {
  const context = new AudioContext({sampleRate: 48000}), merger = context.createChannelMerger(2);
  await context.resume();
  const heard = document.querySelector('audio').srcObject, said = window.microphone;
  context.createMediaStreamSource(heard).connect(merger, 0, 0);
  if (said) context.createMediaStreamSource(said).connect(merger, 0, 1);
  const node = context.createScriptProcessor(4096, 2, 2), pieces = [[], []];
  node.onaudioprocess = ({inputBuffer}) =>
    pieces.forEach((all, at) => all.push(inputBuffer.getChannelData(at).slice()));
  merger.connect(node).connect(context.destination);
  window.recorded = (at) => {
    const all = new Int16Array(pieces[at].length * 4096);
    pieces[at].forEach((piece, n) => piece.forEach((sample, k) => {
      all[n * 4096 + k] = Math.max(-1, Math.min(1, sample)) * 32767;
    }));
    let text = '';
    const bytes = new Uint8Array(all.buffer);
    for (let from = 0; from < bytes.length; from += 32768)
      text += String.fromCharCode(...bytes.subarray(from, from + 32768));
    return btoa(text);
  };
  return true;
})()
"""
RAW_MICROPHONE = """
(() => {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const raw = {echoCancellation: false, noiseSuppression: false, autoGainControl: false};
  navigator.mediaDevices.getUserMedia = async () => (window.microphone = await ask({audio: raw}));
})()
"""
"""Keeps the page's microphone for the recorder, and the browser from changing what it hears."""


class BrowserFailed(AgentError):
    """The browser, or the page in it, did not do what was asked."""


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        """Exceptions and console errors of the page."""

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its result. Only one is under way at a time."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(20.0):
            async for message in self._socket:
                found = json.loads(message.data)
                self._note(found)
                if found.get("id") == number:
                    if "error" in found:
                        raise BrowserFailed(f"{method}: {found['error']}")
                    return dict(found["result"])
        raise BrowserFailed("the browser is gone")

    def _note(self, found: dict[str, Any]) -> None:
        if found.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(found["params"]["exceptionDetails"])[:500])
        if found.get("method") == "Log.entryAdded" and found["params"]["entry"]["level"] == "error":
            self.errors.append(found["params"]["entry"]["text"])

    async def open(self, url: str) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def run(self, script: str) -> Any:
        """Value of an expression, awaited, with the rights of a user's gesture."""
        found = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in found:
            raise BrowserFailed(str(found["exceptionDetails"]))
        return found["result"].get("value")

    async def until(self, script: str, within_s: float = 10.0) -> Any:
        """Wait until an expression is true; its value."""
        found = None
        try:
            async with asyncio.timeout(within_s):
                while not (found := await self.run(script)):  # noqa: ASYNC110  # the page tells nobody
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = await self.run("document.body.innerText")
            raise BrowserFailed(f"never true: {script}\n{self.errors}\n{shown}") from None
        return found

    async def key(self, key: str, text: str = "", code: str = "") -> None:
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        more = {"key": key, "code": code or key, "windowsVirtualKeyCode": codes.get(key, 0)}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **more)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **more)

    async def screenshot(self, path: Path, *, width: int, height: int, dark: bool = False) -> None:
        await self.resize(width, height, dark=dark)
        shot = await self.send("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))

    async def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.send("Emulation.setEmulatedMedia", features=scheme)

    async def record(self) -> None:
        """Record from now on what the page's audio element plays, and its microphone after ``RAW_MICROPHONE``."""
        if not await self.run(RECORDER):
            raise BrowserFailed("the page cannot be recorded")

    async def recorded(self, *, microphone: bool = False) -> NDArray[np.int16]:
        """What was recorded, at 8 kHz; both on one clock."""
        text = await self.run(f"window.recorded({int(microphone)})")
        audio = np.frombuffer(base64.b64decode(text), np.int16)
        whole = audio[: len(audio) // 6 * 6].reshape(-1, 6)
        return np.asarray(whole.mean(axis=1), np.int16)


@contextlib.asynccontextmanager
async def browser(program: str, folder: Path, *, microphone: Path | None, allowed: bool = True) -> AsyncIterator[Page]:
    """A browser with one blank tab, gone afterwards. ``microphone``: what its microphone hears, over and over."""
    flags = [*FLAGS, f"--user-data-dir={folder / 'profile'}"]
    if microphone is not None:
        flags += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}"]
    if allowed:
        flags.append("--use-fake-ui-for-media-stream")
    process = await asyncio.create_subprocess_exec(
        program, *flags, "about:blank", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        port = await _port(folder / "profile" / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
            async with http.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5.0)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _port(path: Path, process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(START_S):
        while True:
            if process.returncode is not None:
                raise BrowserFailed("the browser did not start")
            with contextlib.suppress(OSError, ValueError, IndexError):
                return int((await asyncio.to_thread(path.read_text)).splitlines()[0])
            await asyncio.sleep(0.05)


def write_microphone(path: Path, pcm: NDArray[np.int16]) -> Path:
    """``pcm`` (8 kHz) as a 48 kHz WAV, which is what a microphone has."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        up = np.interp(np.arange(len(pcm) * 6) / 6, np.arange(len(pcm)), pcm.astype(np.float64))
        file.writeframes(up.astype("<i2").tobytes())
    return path
