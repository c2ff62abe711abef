"""A whole service with its stream doors: the same conversation gives the same turns through every door."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.app import Service, start_service
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.recording import unwrap
from agent.simulator.script import Script, parse_script
from tests.peers.service_kit import ECHO_AGENT, all_ended, assert_clean_log, health, rms, timeline, until

pytestmark = [pytest.mark.peer, pytest.mark.slow]

FRAME = 160
TICK_S = 0.02
MOVED_S = 0.005
SCRIPT = """
name: doors
max_s: 40
steps:
  - wait_reply
  - say: "where is my parcel"
  - wait_reply
  - say: "one two three four five six"
  - wait: 4000
  - hangup
"""


def script() -> Script:
    return parse_script(SCRIPT)


async def replay(service: Service, caller: NDArray[np.int16]) -> tuple[list[dict[str, Any]], NDArray[np.int16]]:
    """The caller's audio of another call through the door ``pcm``, at its own pace; events and what was heard."""
    events: list[dict[str, Any]] = []
    heard = bytearray()
    url = f"ws://127.0.0.1:{service.stream_port}/v1/pcm?from=replay"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        assert json.loads(await socket.receive_str(timeout=5))["type"] == "hello"

        async def listen() -> None:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    heard.extend(message.data)
                else:
                    events.append(json.loads(message.data))

        listening = asyncio.create_task(listen())
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for n in range(len(caller) // FRAME):
            await socket.send_bytes(caller[n * FRAME : (n + 1) * FRAME].astype("<i2").tobytes())
            await asyncio.sleep(max(0.0, begin + (n + 1) * TICK_S - loop.time()))
        await socket.send_json({"type": "end"})
        await asyncio.wait_for(listening, 5)
    return events, np.frombuffer(bytes(heard), "<i2")


def turns(entries: list[dict[str, Any]]) -> list[str]:
    return [e["data"]["text"] for e in entries if e["kind"] == "turn" and e["data"].get("phase") == "ended"]


@pytest.mark.soak  # the other doors, in every run: test_same_script
async def test_the_same_caller_has_the_same_turns_through_sip_and_pcm() -> None:
    async with start_service({"stream.doors": '["pcm"]', "engine.spare": 0}) as service:
        with MediaThread() as media:
            by_phone = await run_call(service.sip_uri, script(), media=media, call="doors")
        await all_ended(service, 1)
        events, heard = await replay(service, by_phone.caller)
        records = {record["transport"]: record for record in await all_ended(service, 2)}
        assert set(records) == {"sip", "pcm"}
        assert records["pcm"]["reason"] == "caller_hangup"
        sip = await timeline(service, records["sip"]["call_id"])
        pcm = await timeline(service, records["pcm"]["call_id"])
        assert turns(sip)
        assert turns(pcm) == turns(sip)
        said = [event["text"] for event in events if event["type"] == "turn" and event.get("phase") == "ended"]
        assert said == turns(sip)
        assert {"words", "floor", "utterance", "heard", "response"} <= {event["type"] for event in events}
        assert rms(heard) > 100, "the agent is heard"
        assert_clean_log(service)


@pytest.mark.timed
async def test_streams_that_come_and_go_never_move_a_telephone_s_packets() -> None:
    options = {"stream.doors": '["pcm"]', "engine.spare": 0, **ECHO_AGENT}
    listen = parse_script("name: listen\nmax_s: 60\nsteps:\n  - wait: 13000\n  - hangup\n")
    async with start_service(options) as service:
        with MediaThread() as media:

            async def come_and_go() -> None:
                await asyncio.sleep(6.0)
                silence = np.zeros(2 * 8000, np.int16)
                for _ in range(2):
                    await asyncio.gather(*(replay(service, silence) for _ in range(4)))

            by_phone, _ = await asyncio.gather(run_call(service.sip_uri, listen, media=media, call="a"), come_and_go())
        await all_ended(service, 9)
    arrival = by_phone.track.arrival_s
    late = arrival - unwrap(by_phone.track.timestamp, 32) / 8000
    late = late - np.median(late)
    alone, together = late[(arrival > 1.0) & (arrival < 5.8)], late[(arrival > 6.2) & (arrival < 12.0)]
    assert min(len(alone), len(together)) > 200
    assert abs(float(np.median(together) - np.median(alone))) < MOVED_S / 5
    assert float(np.quantile(together, 0.98)) < float(np.quantile(alone, 0.98)) + MOVED_S
    assert np.all(np.diff(unwrap(by_phone.track.sequence, 16)) == 1)


async def test_death_of_the_stream_edge_ends_its_calls_and_the_next_one_takes_new_ones_on_the_same_port() -> None:
    import os
    import signal

    options = {"stream.doors": '["pcm"]', "engine.spare": 0, "ears.recogniser": "none", "engine.model": "echo"}
    async with start_service(options) as service:
        url = f"ws://127.0.0.1:{service.stream_port}/v1/pcm"
        async with aiohttp.ClientSession() as http:
            socket = await http.ws_connect(url)
            assert (await socket.receive_json())["type"] == "hello"
            pids = {item["name"]: item["pid"] for item in (await health(service))["processes"]}
            os.kill(pids["stream"], signal.SIGKILL)
            record = (await all_ended(service, 1))[0]
            assert record["reason"] == "edge_lost"

            async def answers_again() -> bool:
                try:
                    async with http.ws_connect(url) as again:
                        return bool((await again.receive_json(timeout=3))["type"] == "hello")
                except (aiohttp.ClientError, TimeoutError):
                    return False

            await until(answers_again)
            await socket.close()
        await all_ended(service, 2)
