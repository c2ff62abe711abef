"""A simulated caller at the live door, on loopback: who ended the call, what was heard, and every way to be refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from agent.simulator.live_call import is_live_uri, run_live_call
from agent.simulator.phone import DialFailed
from agent.simulator.script import parse_script
from agent.simulator.webrtc_call import is_webrtc_uri, run_webrtc_call
from telephony.doors.live import LiveDoor
from tests.unit.telephony.doors.kit import Kit, kit, until

SHORT = parse_script("max_s: 5\nsteps:\n  - wait: 400\n  - dtmf: '5'\n  - hangup\n")


def uri(made: Kit) -> str:
    return f"live+{made.url}/v1/live/sessions"


async def test_the_caller_s_own_end(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        found = await run_live_call(uri(made), SHORT, cues=None)
        ended = await made.ended()
    book = found.result.book
    assert (book.status, book.ended_by, book.reason) == (200, "caller", "client_requested")
    assert book.service_call_id == made.legs[0].info.leg_id
    assert (ended.by, ended.reason) == ("caller", "bye")
    assert len(found.result.track) >= 15
    assert np.all(np.diff(found.result.track.timestamp) == 160)
    assert found.result.notes == ["key 5 not sent: the live protocol has no keys"]
    assert found.trace.close_code == 1000


async def test_the_agent_s_end(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor()) as made:
        calling = asyncio.create_task(run_live_call(uri(made), parse_script("steps:\n  - wait: 9000\n  - hangup\n")))
        await until(lambda: made.edge._calls and next(iter(made.edge._calls.values())).is_open)
        await asyncio.sleep(0.1)
        await made.legs[0].hangup("agent_hangup")
        found = await asyncio.wait_for(calling, 5.0)
    assert (found.result.book.ended_by, found.result.book.reason) == ("agent", "agent_hangup")


async def test_refusals_are_told(tmp_path: Path) -> None:
    async with kit(tmp_path, LiveDoor(token="k")) as made:
        assert (await run_live_call(uri(made), SHORT)).result.book.status == 401
        made.refuse_with = 486
        found = await run_live_call(uri(made), SHORT, token="k")
    assert not found.result.answered
    assert found.trace.errors[0]["code"] == "busy"
    assert found.trace.close_code == 4486


async def test_who_cannot_be_reached_is_told() -> None:
    with pytest.raises(DialFailed):
        await run_live_call("live+ws://127.0.0.1:9/v1/live/sessions", SHORT)
    pytest.importorskip("aiortc", reason="the extra 'webrtc' is not installed")
    with pytest.raises(DialFailed):
        await run_webrtc_call("webrtc+http://127.0.0.1:9", SHORT)


def test_addresses_tell_the_door() -> None:
    assert is_live_uri("live+wss://h/v1/live/sessions")
    assert is_webrtc_uri("webrtc+https://h")
    assert not is_live_uri("sip:live+ws@h")
    assert not is_webrtc_uri("http://h")
