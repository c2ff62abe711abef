"""A whole call on the loopback wire against an agent whose speech is known."""

from __future__ import annotations

import asyncio
import itertools
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.bench.evidence import AgentChannel, CallEvidence
from agent.bench.metrics import responses
from agent.bench.transport import punctuality
from agent.simulator import render
from agent.simulator.caller import CallResult, run_call, save_call
from agent.simulator.clips import clip_of
from agent.simulator.media import MediaThread
from agent.simulator.phone import DialFailed, Phone
from agent.simulator.render import Cue
from agent.simulator.script import Script, Sound, parse_script
from agent.simulator.truth import EventType, read_truth
from tests.ports import free_ports
from tests.unit.agent.simulator.fake_agent import FakeAgent, fake_agent


def tone(seconds: float) -> np.ndarray:
    return (6000 * np.sin(2 * np.pi * 600 * np.arange(round(seconds * 8000)) / 8000)).astype(np.int16)


def rendered(script: Script) -> tuple[Cue, ...]:
    """Cues with tones for voices: no synthesiser in a unit test."""
    return tuple(
        Cue(step=step, item=str(index), clip=clip_of(tone(0.4)) if isinstance(step, Sound) else None, text="words")
        for index, step in enumerate(script.steps)
    )


async def place(agent: FakeAgent, text: str) -> CallResult:
    uri = await agent.start()
    script = parse_script(text)
    with MediaThread() as media:
        return await run_call(uri, script, media=media, cues=rendered(script), call="c")


async def test_a_background_is_made_before_the_call_and_not_between_its_packets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A babble takes half a second: made when it began, it stood in the way of all packets, and every call was void."""
    made_by: list[str] = []
    background = render.background

    def watched(*asked: Any) -> np.ndarray:
        made_by.append(threading.current_thread().name)
        return background(*asked)

    monkeypatch.setattr(render, "background", watched)
    steps = "steps: [{noise: babble, snr_db: 10}, {say: hello}, {noise: off}, {wait: 200}]"
    with fake_agent((0.9, 1.9)) as agent:
        result = await place(agent, steps)
        await asyncio.wait_for(agent.ended.wait(), 2)
    assert len(made_by) == 1
    assert made_by[0] != "callers", "the thread of the packets"
    loud = np.sqrt(np.mean(np.square(result.caller[:8000].astype(np.float64))))
    assert loud > 30, "it is heard"


async def test_a_call_is_recorded_with_its_true_times(tmp_path: Path) -> None:
    with fake_agent((0.9, 1.9)) as agent:
        result = await place(agent, "steps: [{say: hello}, {wait_reply: {settle_ms: 300, timeout_ms: 4000}}]")
        await asyncio.wait_for(agent.ended.wait(), 2)
    assert result.answered
    assert result.book.ended_by == "caller"
    assert result.book.bye_status == 200
    (turn,) = [event for event in result.events if event.type is EventType.TURN]
    assert turn.start == pytest.approx(0.0, abs=0.03)
    assert turn.end - turn.start == pytest.approx(0.4, abs=0.03)
    # The agent's tone begins 0.9 s into its own stream, which began when it saw the ACK.
    (response,) = responses([CallEvidence(call="c", events=tuple(result.events), agent=AgentChannel(result.agent))])
    assert response.any_s == pytest.approx(0.5, abs=0.06)
    save_call(result, tmp_path)
    assert read_truth(tmp_path / "truth.jsonl") == result.events
    assert (tmp_path / "call.wav").stat().st_size > 16_000


async def test_every_packet_of_the_agent_is_kept_with_its_arrival() -> None:
    with fake_agent() as agent:
        result = await place(agent, "steps: [{wait: 600}]")
    assert len(result.track) >= 28
    assert np.all(np.diff(result.track.arrival_s) > 0)
    assert punctuality(result.track).lost == 0


async def test_keys_leave_as_telephone_events() -> None:
    with fake_agent() as agent:
        await place(agent, 'steps: [{dtmf: "5"}, {wait: 100}]')
        events = [data for data in agent.received if data[1] & 0x7F == 101]
    codes = [struct.unpack("!BBH", data[12:16]) for data in events]
    assert {code for code, _, _ in codes} == {5}
    assert len({data[4:8] for data in events}) == 1  # one timestamp for the whole key
    assert [bool(data[1] & 0x80) for data in events].count(True) == 1
    assert sum(bool(flags & 0x80) for _, flags, _ in codes) == 3
    durations = [duration for _, _, duration in codes]
    assert durations == sorted(durations)
    assert durations[-1] == 800  # 100 ms


async def test_packets_leave_in_sequence_at_their_pace() -> None:
    with fake_agent() as agent:
        result = await place(agent, "steps: [{wait: 500}]")
        heads = [struct.unpack("!BBHI", data[:8]) for data in agent.received]
    assert result.pacing.packets >= len(heads) >= 20
    sequence = [head[2] for head in heads]
    assert [(b - a) % 65536 for a, b in itertools.pairwise(sequence)] == [1] * (len(sequence) - 1)
    assert heads[0][1] & 0x80  # the marker of the first packet


async def test_a_lossy_wire_loses_on_both_ways() -> None:
    with fake_agent() as agent:
        result = await place(agent, "seed: 3\nnetwork: {loss: 0.3}\nsteps: [{wait: 800}]")
        assert len(agent.received) < 0.9 * result.pacing.packets
    assert punctuality(result.track).lost > 3


async def test_the_agent_may_hang_up_first() -> None:
    with fake_agent() as agent:
        uri = await agent.start()
        script = parse_script("steps: [{wait: 5000}]")
        with MediaThread() as media:
            call = asyncio.ensure_future(run_call(uri, script, media=media, cues=rendered(script)))
            await asyncio.sleep(0.4)
            agent.endpoint.hang_up(next(iter(agent.endpoint._calls)), "bye", asyncio.get_running_loop().time())
            agent.act()
            result = await asyncio.wait_for(call, 2)
    assert result.book.ended_by == "agent"


async def test_a_port_where_nobody_listens_ends_the_call_at_once() -> None:
    (port,) = free_ports(1)
    script = parse_script("steps: [{wait: 5000}]")
    with MediaThread() as media:
        call = run_call(f"sip:agent@127.0.0.1:{port}", script, media=media, cues=rendered(script))
        result = await asyncio.wait_for(call, 2)
    told = result.to_json()
    assert (told["status"], told["ended_by"]) == (0, "network")
    assert told["reason"].startswith(f"nobody listens on UDP 127.0.0.1:{port} (")


async def test_a_target_that_is_no_sip_uri_is_a_dial_failure() -> None:
    with pytest.raises(DialFailed):
        Phone("http://example.org", rtp_port=4000, on_media=lambda media: None, accept_transfer=True)
