"""Two calls at once: the second one never moves the first one's packets."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.app import start_service
from agent.simulator.caller import CallResult, run_call
from agent.simulator.media import MediaThread
from agent.simulator.recording import unwrap
from agent.simulator.script import Script, parse_script
from tests.peers.service_kit import ECHO_AGENT, all_ended

pytestmark = [pytest.mark.peer, pytest.mark.slow]

ALONE_S = 6.0
TOGETHER_S = 6.0
MOVED_S = 0.005


def listener(seconds: float) -> Script:
    return parse_script(f"name: listen\nmax_s: 60\nsteps:\n  - wait: {int(seconds * 1000)}\n  - hangup\n")


def lateness_s(result: CallResult) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``(arrival, lateness)`` of each packet: how far it is from a steady 20 ms beat, the median being 0."""
    track = result.track
    beat = unwrap(track.timestamp, 32) / 8000
    late = track.arrival_s - beat
    return track.arrival_s, late - np.median(late)


@pytest.mark.timed
async def test_second_call_does_not_move_the_first_ones_packets() -> None:
    with MediaThread() as media:
        async with start_service(ECHO_AGENT) as service:

            async def join_later() -> CallResult:
                await asyncio.sleep(ALONE_S)
                return await run_call(service.sip_uri, listener(TOGETHER_S - 1.0), media=media, call="second")

            first, second = await asyncio.gather(
                run_call(service.sip_uri, listener(ALONE_S + TOGETHER_S), media=media, call="first"), join_later()
            )
            await all_ended(service, 2)
    assert first.answered
    assert second.answered
    arrival, late = lateness_s(first)
    alone = late[(arrival > 1.0) & (arrival < ALONE_S - 0.2)]
    together = late[(arrival > ALONE_S + 0.2) & (arrival < ALONE_S + TOGETHER_S - 1.5)]
    assert len(alone) > 200
    assert len(together) > 200
    assert abs(float(np.median(together) - np.median(alone))) < MOVED_S / 5
    # A machine with other work makes single packets late, with and without a second call: compared, not bounded.
    assert float(np.quantile(together, 0.98)) < float(np.quantile(alone, 0.98)) + MOVED_S
    assert np.all(np.diff(unwrap(first.track.sequence, 16)) == 1)
