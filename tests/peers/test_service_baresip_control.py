"""What a real telephone does besides talking: keys, hold, being transferred, being hung up on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from agent.app import start_service
from agent.brain.chatter import GREETING
from agent.brain.examples import example_path
from telephony.audio.marker import decode_marker
from tests.peers.baresip import RATE_HZ, Pcm, baresip
from tests.peers.service_kit import MARKER_AGENT, SMALL, all_ended, assert_clean_log, calls, events, health, until

pytestmark = [pytest.mark.peer, pytest.mark.slow]

SILENCE: Pcm = np.zeros(RATE_HZ, np.int16)
PERSON_KEY = "0"


async def test_hold_of_a_telephone_is_silence_and_resume_is_not(tmp_path: Path) -> None:
    """Counted in our packets: baresip's recorder does not survive its own hold."""
    talk_s, hold_s = 2.0, 2.0
    async with start_service({**MARKER_AGENT, "engine.model": "talker"}) as service:

        async def is_in(state: str) -> bool:
            return [call["state"] for call in await calls(service)] == [state]

        async with baresip(tmp_path / "phone", SILENCE) as phone:
            await phone.dial(service.sip_uri)
            await asyncio.sleep(talk_s)
            await phone.command("hold")
            await until(lambda: is_in("held"), 3.0)
            await asyncio.sleep(hold_s)
            await phone.command("resume")
            await until(lambda: is_in("active"), 3.0)
            await asyncio.sleep(talk_s)
            await phone.hang_up()
        (call,) = await all_ended(service, 1)
        assert call["data"]["duration_s"] > 2 * talk_s + hold_s
        sent_s = call["data"]["media"]["sent"] * 0.02
        assert sent_s == pytest.approx(call["data"]["duration_s"] - hold_s, abs=0.4)
        assert_clean_log(service)


async def test_telephone_is_told_when_the_agent_hangs_up(tmp_path: Path) -> None:
    async with start_service({**MARKER_AGENT, "agent.max_duration_s": 1}) as service:
        async with baresip(tmp_path / "phone", SILENCE) as phone:
            await phone.dial(service.sip_uri)
            await phone.wait_for("CALL_CLOSED")
            heard = [k for k, _, _ in decode_marker(phone.heard())]
        (call,) = await all_ended(service, 1)
    assert call["reason"] == "max_duration"
    assert heard == list(range(len(GREETING.split()))), "the greeting is not cut by the hang-up"


async def test_keys_of_a_telephone_reach_the_brain(tmp_path: Path) -> None:
    async with start_service(MARKER_AGENT) as service:
        async with baresip(tmp_path / "phone", SILENCE) as phone:
            await phone.dial(service.sip_uri)
            await asyncio.sleep(0.5)
            for digit in "5#":
                await phone.press(digit)
                await asyncio.sleep(0.6)
            (call,) = await calls(service)

            async def two_keys() -> list[str]:
                told = await events(service, call["call_id"])
                found = [event["data"]["digit"] for event in told if event["name"] == "call.dtmf"]
                return found if len(found) == 2 else []

            assert await until(two_keys) == ["5", "#"]
            await phone.hang_up()
        await all_ended(service, 1)
        assert (await health(service))["calls"] == 0


async def test_key_for_a_person_connects_two_telephones(tmp_path: Path) -> None:
    async with baresip(tmp_path / "person", SILENCE) as person, baresip(tmp_path / "caller", SILENCE) as caller:
        dialogue = (example_path("parcel") / "parcel.yaml").read_text()
        target = "transfer_target: sip:100@127.0.0.1"
        assert target in dialogue
        (tmp_path / "parcel.yaml").write_text(dialogue.replace(target, f"transfer_target: {person.sip_uri}"))
        settings = {
            "agent.dialogue": str(tmp_path / "parcel.yaml"),
            "voice.engine": "marker",
            "ears.recogniser": "none",
            **SMALL,
        }
        async with start_service(settings) as service:
            await caller.dial(service.sip_uri)
            (call,) = await calls(service)

            async def is_disclosed() -> bool:
                told = await events(service, call["call_id"])
                return any(event["name"] == "disclosure.completed" for event in told)

            await until(is_disclosed, 15.0)
            await caller.press(PERSON_KEY)
            await person.wait_for("CALL_ESTABLISHED", 15.0)
            (call,) = await all_ended(service, 1)
            assert (call["result"], call["reason"]) == ("success", "transferred")
            names = [event["name"] for event in await events(service, call["call_id"])]
            assert names[-2:] == ["call.transferred", "call.ended"]
            assert_clean_log(service)
        await person.hang_up()
