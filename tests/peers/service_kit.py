"""What peer tests ask a whole service: its health, its calls, its numbers, its log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
import numpy as np
from numpy.typing import NDArray

from agent.app import Service

T = TypeVar("T")
SMALL: dict[str, object] = {"engine.spare": 0, "engine.rows": 64}
"""For tests in which no worker dies and few call: a spare costs 1.5 s of CPU to start, a worker that measures itself up
to 256 rows half a second more than this one."""
MARKER_AGENT: dict[str, object] = {
    "agent.brain": "chatter",
    "voice.engine": "marker",
    "ears.recogniser": "none",
    **SMALL,
}
"""Says sentences whose words are tones with numbers: what is missing shows."""
ECHO_AGENT: dict[str, object] = {"engine.model": "echo", **MARKER_AGENT}
"""Says what it hears, in the same step."""


async def get_json(url: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        answer.raise_for_status()
        return await answer.json()


async def health(service: Service) -> dict[str, Any]:
    return dict(await get_json(f"{service.http_url}/healthz"))


async def calls(service: Service) -> list[dict[str, Any]]:
    """Records, newest first."""
    return list((await get_json(f"{service.http_url}/v1/calls?limit=200"))["calls"])


async def events(service: Service, call_id: str) -> list[dict[str, Any]]:
    return list((await get_json(f"{service.http_url}/v1/calls/{call_id}/events"))["events"])


async def timeline(service: Service, call_id: str) -> list[dict[str, Any]]:
    return list((await get_json(f"{service.http_url}/v1/calls/{call_id}/timeline"))["entries"])


async def metric(service: Service, name: str, **labels: str) -> float:
    """Sum over the samples of ``name`` that have these labels."""
    async with aiohttp.ClientSession() as http, http.get(f"{service.http_url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name]
    return sum(float(line.rpartition(" ")[2]) for line in found if all(label in line for label in wanted))


async def until(claim: Callable[[], Awaitable[T]], within_s: float = 10.0) -> T:
    """Wait until an awaitable claim is true; its value. Fails the test when it never is."""
    async with asyncio.timeout(within_s):
        while True:
            if found := await claim():
                return found
            await asyncio.sleep(0.05)


async def all_ended(service: Service, count: int, within_s: float = 10.0) -> list[dict[str, Any]]:
    """The records once there are ``count`` and all have ended, and nothing is left in the service."""

    async def are_ended() -> list[dict[str, Any]]:
        found = await calls(service)
        over = len(found) == count and all(call["state"] == "ended" for call in found)
        return found if over and (await health(service))["calls"] == 0 else []

    try:
        return await until(are_ended, within_s)
    except TimeoutError:
        shown = [(call["call_id"], call["state"], call["reason"]) for call in await calls(service)]
        raise AssertionError(f"{count} ended calls expected, {shown} found; {log_text(service)[-3000:]}") from None


def log_text(service: Service) -> str:
    return (service.folder / "service.log").read_text(errors="replace")


def assert_clean_log(service: Service) -> None:
    """No traceback, no call that failed, in any process of the service."""
    log = log_text(service)
    bad = [line for line in log.splitlines() if "Traceback" in line or "call.failed" in line]
    assert not bad, log[log.index(bad[0]) :][:4000]


def rms(pcm: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2))) if len(pcm) else 0.0


def best_lag(said: NDArray[np.int16], heard: NDArray[np.int16]) -> tuple[int, float]:
    """``(lag, correlation)``: by how many samples ``heard`` repeats ``said`` later, and how well (1 = the same)."""
    size = 1 << int(np.ceil(np.log2(len(said) + len(heard))))
    first, second = said.astype(np.float64), heard.astype(np.float64)
    cross = np.fft.irfft(np.conj(np.fft.rfft(first, size)) * np.fft.rfft(second, size), size)
    lag = int(np.argmax(cross[: len(heard)]))
    overlap = min(len(first), len(second) - lag)
    left, right = first[:overlap], second[lag : lag + overlap]
    norm = float(np.linalg.norm(left) * np.linalg.norm(right))
    return lag, float(left @ right) / norm if norm else 0.0
