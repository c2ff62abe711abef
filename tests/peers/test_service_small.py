"""Real calls to the small ears: with the net that ships, and where it cannot serve and everybody is told why."""

from __future__ import annotations

import pytest

from agent.app import start_service
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script
from tests.peers.service_kit import MARKER_AGENT, all_ended, health, log_text, timeline

pytestmark = [pytest.mark.peer, pytest.mark.slow]

SCRIPT = """
name: short
max_s: 10
steps:
  - wait: 800
  - hangup
"""


async def test_a_call_is_served_without_weights_and_the_reason_is_told() -> None:
    wanted = {**MARKER_AGENT, "engine.model": "small", "ears.weights": "/nowhere/floor.onnx", "engine.spare": 0}
    with MediaThread() as media:
        async with start_service(wanted) as service:
            told = (await health(service))["ears"]
            result = await run_call(service.sip_uri, parse_script(SCRIPT), media=media)
            (record,) = await all_ended(service, 1)
            entries = await timeline(service, record["call_id"])
            log = log_text(service)
    assert result.answered
    assert (told["model"], told["instead_of"]) == ("parts", "small")
    assert told["why"] == "/nowhere/floor.onnx: there are no weights"
    (ears,) = [entry["data"] for entry in entries if entry["kind"] == "ears"]
    assert ears == {"is_fallback": True, "why": told["why"]}
    (live,) = [line for line in log.splitlines() if '"ears.live"' in line or "ears.live" in line]
    assert told["why"] in live


async def test_the_net_that_ships_listens_to_a_call() -> None:
    with MediaThread() as media:
        async with start_service({**MARKER_AGENT, "engine.model": "small", "engine.spare": 0}) as service:
            told = await health(service)
            result = await run_call(service.sip_uri, parse_script(SCRIPT), media=media)
            (record,) = await all_ended(service, 1)
            entries = await timeline(service, record["call_id"])
    assert result.answered
    assert (told["ears"]["model"], told["workers"][0]["model"]) == ("small", "small")
    assert not [entry for entry in entries if entry["kind"] == "ears"]
