"""From said to heard: inside a browser, and between a telephone's wires. Same service, same run, in turns.

The service says what it hears in the same step, so that what is left is the way: the browser's own buffers, WebRTC, the
edge, the worker, and back. Both sides are recorded on one clock, in the browser by one audio context; the lag is where
their loudness is most alike.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.bench.chromium import RAW_MICROPHONE, Page, browser, write_microphone
from agent.bench.doors_service import ECHO_AGENT, Running, StartService, open_doors
from agent.bench.statistics import number, percentile
from agent.errors import AgentError
from agent.simulator.caller import run_call
from agent.simulator.energy import RATE_HZ, Pcm
from agent.simulator.media import MediaThread
from agent.simulator.render import Renderer
from agent.simulator.script import HangUp, Part, Script, Sound, Step, Wait, WaitReply
from agent.simulator.truth import EventType

PROGRAM = "chromium"
BAR_MS = 60.0
SAID = "one two three four five six seven eight nine"
PER_MS = RATE_HZ // 1000
WINDOW_MS = 2500
MOST_LAG_MS = 600
ALIKE = 0.7
"""Correlation below which a window tells no lag."""
RECORD_S = 20.0
REPEATS = 4
"""Of the sentence in one telephone call."""
LOOP_S = 4.0
GREETING_WORDS = 13


async def browser_figures(start_service: StartService, *, rounds: int) -> dict[str, Any]:
    """About 70 s per round. Raises ``AgentError`` without Chromium."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise AgentError(f"{PROGRAM} is not installed")
    said = await asyncio.to_thread(_sentence)
    by_phone: list[float] = []
    by_browser: list[float] = []
    settings = open_doors(browsers=True, more={**ECHO_AGENT, "engine.spare": 0, "stream.doors": []})
    async with start_service(settings) as service:
        for _ in range(rounds):
            by_phone += await _telephone(service)
            with tempfile.TemporaryDirectory(prefix="ctb", ignore_cleanup_errors=True) as folder:
                by_browser += await _browser(service, program, Path(folder), said)
            by_phone += await _telephone(service)
    return figures(by_phone, by_browser)


def figures(by_phone: Sequence[float], by_browser: Sequence[float]) -> dict[str, Any]:
    """Lags in milliseconds of all windows; ``later_ms`` is of the medians."""
    later = None
    if by_phone and by_browser:
        later = round(statistics.median(by_browser) - statistics.median(by_phone), 1)
    return {"sip_ms": _spread(by_phone), "browser_ms": _spread(by_browser), "later_ms": later}


def _spread(lags_ms: Sequence[float]) -> dict[str, Any]:
    return {
        "windows": len(lags_ms),
        "p50": number(percentile(lags_ms, 0.5), 1),
        "p95": number(percentile(lags_ms, 0.95), 1),
        "least": min(lags_ms, default=None),
        "most": max(lags_ms, default=None),
    }


def _sentence() -> Pcm:
    """The caller's sentence as it is rendered for a telephone call."""
    (cue, *_) = Renderer().cues(_script())[1:]
    assert cue.clip is not None
    return cue.clip.pcm


def _script() -> Script:
    say = Sound(line=0, type=EventType.TURN, parts=(Part(text=SAID),))
    repeated: tuple[Step, ...] = (say, Wait(line=0, ms=800)) * REPEATS
    steps = (WaitReply(line=0, settle_ms=900, timeout_ms=20_000), *repeated, HangUp(line=0))
    return Script(name="echo", steps=steps, seed=1, max_s=60.0)


async def _telephone(service: Running) -> list[float]:
    with MediaThread() as media:
        result = await run_call(service.sip_uri, _script(), media=media)
    turns = [event for event in result.events if event.type is EventType.TURN]
    said, heard = loudness(result.caller), loudness(result.agent)
    found = [lag_ms(said, heard, at_ms=round(event.start * 1000)) for event in turns]
    return [lag for lag in found if lag is not None]


async def _browser(service: Running, program: str, folder: Path, said: Pcm) -> list[float]:
    silence = np.zeros(max(0, int(LOOP_S * RATE_HZ) - len(said)), np.int16)
    microphone = write_microphone(folder / "microphone.wav", np.concatenate((silence, said)))
    async with browser(program, folder, microphone=microphone) as page:
        await page.open(service.http_url)
        await page.run(RAW_MICROPHONE)
        await page.run("document.getElementById('talk').click()")
        await page.until("document.body.dataset.state === 'live'")
        await page.until(f"document.querySelectorAll('.word.heard').length >= {GREETING_WORDS}", 20.0)
        await page.record()
        await asyncio.sleep(RECORD_S)
        mine, theirs = await _recorded(page)
        await page.key("Escape")
    starts = range(1000, len(mine) - WINDOW_MS - MOST_LAG_MS, WINDOW_MS)
    found = [lag_ms(mine, theirs, at_ms=at) for at in starts]
    return [lag for lag in found if lag is not None]


async def _recorded(page: Page) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return loudness(await page.recorded(microphone=True)), loudness(await page.recorded())


def loudness(pcm: Pcm) -> NDArray[np.float64]:
    """(ms,) root mean square of each millisecond."""
    whole = pcm[: len(pcm) // PER_MS * PER_MS].astype(np.float64).reshape(-1, PER_MS)
    return np.asarray(np.sqrt((whole**2).mean(axis=1)))


def lag_ms(said: NDArray[np.float64], heard: NDArray[np.float64], *, at_ms: int) -> float | None:
    """By how much ``heard`` repeats the window of ``said`` at ``at_ms`` later; ``None`` where nothing is alike."""
    window = said[at_ms : at_ms + WINDOW_MS]
    if len(window) < WINDOW_MS or len(heard) < at_ms + WINDOW_MS + MOST_LAG_MS or window.std() == 0:
        return None
    pieces = np.lib.stride_tricks.sliding_window_view(heard[at_ms : at_ms + WINDOW_MS + MOST_LAG_MS], WINDOW_MS)
    centred = pieces - pieces.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1) * np.linalg.norm(window - window.mean())
    alike = centred @ (window - window.mean()) / np.maximum(norms, 1e-9)
    best = int(np.argmax(alike))
    return float(best) if alike[best] >= ALIKE else None
