"""A recorded call, from the wire to the file: both voices, told in events, fetched by REST, also after a move."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import wave

import aiohttp
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.app import Service, start_service
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script
from tests.peers.service_kit import MARKER_AGENT, all_ended, calls, events, health, until

pytestmark = [pytest.mark.peer, pytest.mark.slow]

RECORDED = {**MARKER_AGENT, "engine.model": "talker", "engine.spare": 1, "recording.enabled": True}
"""An agent that talks for a second and is silent for a second, without end."""
SCRIPT = """
name: recorded
max_s: 30
steps:
  - wait: 500
  - noise: {kind: white, snr_db: 0, ms: 1000}
  - wait: 4500
  - noise: {kind: white, snr_db: 0, ms: 1000}
  - wait: 500
  - hangup
"""
LOUD = 300.0
"""RMS of the caller's noise, at -20 dBFS active level, is ten times that."""


async def recording(service: Service, call_id: str, part: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Caller and agent at 8 kHz."""
    url = f"{service.http_url}/v1/calls/{call_id}/recording?part={part}"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        answer.raise_for_status()
        assert answer.content_type == "audio/wav"
        data = await answer.read()
    with wave.open(io.BytesIO(data)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (2, 2, 8000)
        stereo = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").reshape(-1, 2)
    return stereo[:, 0], stereo[:, 1]


def loud_s(pcm: NDArray[np.int16]) -> float:
    """Seconds in which somebody is heard."""
    frames = pcm[: len(pcm) // 160 * 160].reshape(-1, 160).astype(np.float64)
    return float(np.sum(np.sqrt(np.mean(frames**2, axis=1)) > LOUD)) * 0.02


async def test_recording_of_a_call_that_moves_has_both_voices_in_both_parts() -> None:
    with MediaThread() as media:
        async with start_service(RECORDED) as service:
            call = asyncio.ensure_future(run_call(service.sip_uri, parse_script(SCRIPT), media=media))

            async def is_up() -> bool:
                return (await health(service))["calls"] == 1

            await until(is_up)
            await asyncio.sleep(3.0)
            found = await health(service)
            worker = next(process["pid"] for process in found["processes"] if process["name"] == "worker1")
            os.kill(worker, signal.SIGKILL)
            await call
            await all_ended(service, 1)
            (record,) = await calls(service)
            told = [event for event in await events(service, record["call_id"]) if event["name"] == "recording.ready"]
            parts = [await recording(service, record["call_id"], part) for part in (1, 2)]
    assert [event["data"]["truncated"] for event in told] == [True, False]
    assert told[0]["data"]["starts_ms"] == 0
    assert 2000 < told[1]["data"]["starts_ms"] < 6000
    for caller, agent in parts:
        assert 0.8 < loud_s(caller) < 1.4
        assert loud_s(agent) > 0.8
