"""sipp calls a whole service: signalling by the book, audio and keys from captures, many calls, hold."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from agent.app import Service, start_service
from tests.peers.pcap import audio_packets, key_packets, write_pcap
from tests.peers.programs import require
from tests.peers.rtp_peer import rtp_peer
from tests.peers.service_kit import MARKER_AGENT, all_ended, assert_clean_log, calls, events, metric, until
from tests.peers.sip_service import SCENARIOS, run_sipp
from tests.ports import free_ports

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

AUDIO_MS = 2000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[Service]:
    """One service for the file; a test looks at the calls that it made itself."""
    async with start_service(MARKER_AGENT) as running:
        yield running


async def new_calls(service: Service, before: int, count: int = 1) -> list[dict[str, Any]]:
    """The ``count`` newest records, all ended, once there are that many more than ``before``."""
    return (await all_ended(service, before + count))[:count]


async def test_basic_call_and_a_repeated_bye(service: Service, tmp_path: Path) -> None:
    before = len(await calls(service))
    assert await run_sipp(require("sipp"), "basic", service.sip_port, tmp_path) == ""
    (call,) = await new_calls(service, before)
    assert (call["result"], call["reason"]) == ("success", "caller_hangup")
    assert [event["name"] for event in await events(service, call["call_id"])].count("call.ended") == 1


async def test_session_refresh_by_reinvite_and_update(service: Service, tmp_path: Path) -> None:
    before = len(await calls(service))
    assert await run_sipp(require("sipp"), "refresh", service.sip_port, tmp_path) == ""
    (call,) = await new_calls(service, before)
    assert call["reason"] == "caller_hangup"


async def test_key_by_info_reaches_the_brain(service: Service, tmp_path: Path) -> None:
    before = len(await calls(service))
    assert await run_sipp(require("sipp"), "info", service.sip_port, tmp_path) == ""
    (call,) = await new_calls(service, before)
    assert await keys(service, call["call_id"]) == ["5"]


async def test_audio_and_a_key_from_captures_arrive_whole(service: Service, tmp_path: Path) -> None:
    """The key continues the audio's sequence and timestamps, as a telephone's does."""
    program = require("sipp")
    if os.geteuid() != 0:
        pytest.skip("play_pcap_audio needs a raw socket")
    tone = (3000 * np.sin(np.arange(AUDIO_MS * 8) / 8000 * 2 * np.pi * 300)).astype(np.int16)
    packets = AUDIO_MS // 20
    write_pcap(tmp_path / "audio.pcap", audio_packets(tone))
    write_pcap(tmp_path / "key.pcap", key_packets(7, sequence=packets + 26, timestamp=(packets + 25) * 160))
    before = len(await calls(service))
    await play(program, service, tmp_path, AUDIO_MS + 500)
    (call,) = await new_calls(service, before)
    assert await keys(service, call["call_id"]) == ["7"]
    media = call["data"]["media"]
    assert media["received"] >= packets
    assert media["sent"] > packets


@pytest.mark.parametrize(("name", "key"), [("5", "5"), ("pound", "#")])
async def test_key_that_jumps_in_sequence_and_time_is_heard_once(
    service: Service, tmp_path: Path, name: str, key: str
) -> None:
    """sipp's own captures of keys start their own numbering, as gateways that mix two sources do."""
    program = require("sipp")
    capture = Path(f"/usr/share/sip-tester/dtmf_2833_{name}.pcap")
    if os.geteuid() != 0 or not capture.exists():
        pytest.skip("play_pcap_audio needs a raw socket, and sipp's captures")
    write_pcap(tmp_path / "audio.pcap", audio_packets(np.zeros(400 * 8, np.int16)))
    (tmp_path / "key.pcap").write_bytes(capture.read_bytes())
    before = len(await calls(service))
    await play(program, service, tmp_path, 600)
    (call,) = await new_calls(service, before)
    assert await keys(service, call["call_id"]) == [key]


async def test_hold_stops_our_packets_and_resume_brings_them_back(service: Service, tmp_path: Path) -> None:
    before = len(await calls(service))
    async with rtp_peer() as peer:
        options = ("-m", "1", "-key", "rtp_port", str(peer.port))
        assert await run_sipp(require("sipp"), "hold_media", service.sip_port, tmp_path, *options) == ""
        arrivals, numbers = peer.arrivals_s(), peer.numbers()
    pauses = np.diff(arrivals)
    held = int(np.argmax(pauses))
    assert 1.0 < pauses[held] < 1.5
    assert np.sum(pauses > 0.2) == 1
    assert held + 1 > 40, "packets before the hold"
    assert len(arrivals) - held - 1 > 40, "packets after it"
    assert len(set(numbers[:, 2])) == 1
    steps = np.diff(numbers[:, :2], axis=0) % (1 << np.array([16, 32]))
    assert set(np.delete(steps[:, 0], held)) == {1}
    assert steps[held, 1] / 8000 == pytest.approx(pauses[held], abs=0.06)
    (call,) = await new_calls(service, before)
    assert call["reason"] == "caller_hangup"


async def test_twenty_calls_at_ten_a_second(service: Service, tmp_path: Path) -> None:
    before, counted = len(await calls(service)), await metric(service, "crosstalk_calls_total")
    options = ("-m", "20", "-r", "10", "-l", "20")
    assert await run_sipp(require("sipp"), "basic", service.sip_port, tmp_path, *options) == ""
    found = await new_calls(service, before, 20)
    assert {(call["result"], call["reason"]) for call in found} == {("success", "caller_hangup")}
    assert await metric(service, "crosstalk_calls_total") == counted + 20


async def test_nothing_went_wrong_inside(service: Service) -> None:
    """Last in the file."""
    assert_clean_log(service)


async def play(program: str, service: Service, folder: Path, audio_ms: int) -> None:
    """A call that plays ``audio.pcap`` and ``key.pcap`` of ``folder``."""
    template = (SCENARIOS / "play.xml").read_text()
    scenario = template.replace("FOLDER", str(folder)).replace("AUDIO_MS", str(audio_ms))
    (folder / "filled.xml").write_text(scenario)
    (port,) = free_ports(1)
    options = ("-m", "1", "-mp", str(port))
    assert await run_sipp(program, str(folder / "filled"), service.sip_port, folder, *options) == ""


async def keys(service: Service, call_id: str) -> list[str]:
    async def arrived() -> list[str]:
        told = await events(service, call_id)
        return [event["data"]["digit"] for event in told if event["name"] == "call.dtmf"]

    return await until(arrived, 5.0)
