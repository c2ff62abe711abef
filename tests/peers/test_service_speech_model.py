"""A speech-native model in a whole service: a SIP call hears it, interrupts it, and its worker dies under the call."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

pytest.importorskip("torch", reason="the extra 'gpu' is not installed")

from agent.app import Service, start_service
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script
from tests.peers.service_kit import all_ended, events, health, timeline, until
from tests.unit.agent.model.moshi.tiny import write_checkpoint

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

SCRIPT = """
name: talks with a model
max_s: 30
steps:
  - wait: 3500
  - interrupt: {text: please stop talking now because I would like to ask you something, after_ms: 500}
  - wait: 1500
  - hangup
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The one of ``make serve MODEL=…``, with few rows: a CPU runs this model for tests only."""
    folder = tmp_path_factory.mktemp("tiny-moshi")
    write_checkpoint(folder)
    settings = {
        "engine.model": str(folder),
        "engine.device": "cpu",
        "engine.rows": 2,
        "engine.spare": 0,
        "agent.disclosure": "A machine speaks.",
        "recording.enabled": True,
    }
    async with start_service(settings, within_s=300) as running:
        yield running


async def test_call_is_answered_with_the_models_audio_and_takes_the_floor_from_it(service: Service) -> None:
    with MediaThread() as media:
        call = await run_call(service.sip_uri, parse_script(SCRIPT), media=media)
    assert call.answered
    (record,) = await all_ended(service, 1)
    told = await timeline(service, record["call_id"])
    utterances = [entry["data"] for entry in told if entry["kind"] == "utterance"]
    disclosed = next(one for one in utterances if one["number"] and one["phase"] == "ended")
    assert (disclosed["heard"], disclosed["unheard"]) == ("A machine speaks.", "")
    own = [one for one in utterances if not one["number"]]
    assert [one["phase"] for one in own][:2] == ["started", "ended"]
    assert any(one.get("heard") for one in own), "real tokens, as text"
    names = [event["name"] for event in await events(service, record["call_id"])]
    assert names.count("call.ended") == 1
    assert "disclosure.completed" in names
    floors = [(entry["data"]["before"], entry["data"]["after"]) for entry in told if entry["kind"] == "floor"]
    assert ("overlap", "yielding") in floors or ("agent", "yielding") in floors, floors


async def test_worker_that_dies_under_a_call_loads_the_model_again_and_the_call_ends_once(service: Service) -> None:
    """No spare: a tiny model is there again before the call is given up, one of 7B is not."""
    with MediaThread() as media:
        call = asyncio.ensure_future(run_call(service.sip_uri, parse_script(SCRIPT), media=media))

        async def is_up() -> bool:
            return (await health(service))["calls"] == 1

        await until(is_up)
        await asyncio.sleep(1.0)
        found = await health(service)
        worker = next(process["pid"] for process in found["processes"] if process["name"] == "worker1")
        os.kill(worker, signal.SIGKILL)
        await call
    record = (await all_ended(service, 2, 60.0))[0]
    assert record["reason"] in ("caller_hangup", "worker_lost")
    names = [event["name"] for event in await events(service, record["call_id"])]
    assert names.count("call.ended") == 1
    assert names.count("call.started") == 1

    async def is_back() -> bool:
        return (await health(service))["status"] == "ready"

    await until(is_back, 120.0)
