"""A real telephone, baresip, calls a whole service: both hear each other, keys and hang-ups arrive."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from agent.app import start_service
from agent.brain.chatter import GREETING, SENTENCES
from agent.simulator.render import Renderer
from telephony.audio.marker import decode_marker
from tests.peers.baresip import RATE_HZ, Pcm, baresip
from tests.peers.service_kit import (
    ECHO_AGENT,
    MARKER_AGENT,
    all_ended,
    assert_clean_log,
    best_lag,
    events,
    metric,
    rms,
    timeline,
)

pytestmark = [pytest.mark.peer, pytest.mark.slow]

SILENCE: Pcm = np.zeros(RATE_HZ, np.int16)
WORD_S = 0.18


def babble(seconds: float, seed: int = 3) -> Pcm:
    """Noise in syllables: loud, unlike itself at any other moment, so that a lag has one best answer."""
    rng = np.random.default_rng(seed)
    size = int(seconds * RATE_HZ)
    noise = np.convolve(rng.standard_normal(size), np.ones(6) / 6, "same")
    syllables = np.repeat(rng.uniform(0.2, 1.0, size // 1200 + 1), 1200)[:size]
    return (6000 * noise * syllables).astype(np.int16)


async def test_every_word_of_the_greeting_is_heard_in_order_in_both_laws(tmp_path: Path) -> None:
    words = len(GREETING.split())

    async def heard_in(codec: str) -> Pcm:
        async with baresip(tmp_path / codec, SILENCE, codec=codec) as phone:
            await phone.dial(service.sip_uri)
            await asyncio.sleep(words * WORD_S + 1.0)
            await phone.hang_up()
            return phone.heard()

    async with start_service(MARKER_AGENT) as service:
        both = await asyncio.gather(heard_in("PCMU"), heard_in("PCMA"))
        for heard in both:
            assert [k for k, _, _ in decode_marker(heard)][:words] == list(range(words))
            assert rms(heard) > 500
        ended = await all_ended(service, 2)
        for call in ended:
            assert (call["result"], call["reason"]) == ("success", "caller_hangup")
            names = [event["name"] for event in await events(service, call["call_id"])]
            assert names[0] == "call.started"
            assert names.count("call.ended") == 1
            assert "utterance" in {entry["kind"] for entry in await timeline(service, call["call_id"])}
        assert await metric(service, "crosstalk_calls_total") == 2
        assert_clean_log(service)


@pytest.mark.timed
async def test_echo_comes_back_soon_and_undamaged(tmp_path: Path) -> None:
    greeting_s = len(GREETING.split()) * WORD_S
    async with start_service(ECHO_AGENT) as service:
        async with baresip(tmp_path / "phone", babble(greeting_s + 4.0)) as phone:
            await phone.dial(service.sip_uri)
            await asyncio.sleep(greeting_s + 4.5)
            await phone.hang_up()
            said, heard = phone.said(), phone.heard()
        await all_ended(service, 1)
    after = int((greeting_s + 0.5) * RATE_HZ)  # the greeting is said over the echo
    # Half seconds, since playout may move by a frame between them when the line's jitter changes; inside one it may not.
    starts = range(after, after + 3 * RATE_HZ, RATE_HZ // 2)
    found = [best_lag(said[at : at + RATE_HZ // 2], heard[at:]) for at in starts]
    assert sum(likeness > 0.95 for _, likeness in found) >= len(found) - 1
    assert max(lag for lag, likeness in found if likeness > 0.95) / RATE_HZ < 0.3


@pytest.mark.timed
async def test_answer_to_a_spoken_turn_is_whole_and_soon(tmp_path: Path) -> None:
    greeting = len(GREETING.split())
    asked_at_s = greeting * WORD_S + 0.8
    question = Renderer().speech("Could you tell me when my parcel arrives?")
    microphone = np.concatenate((np.zeros(int(asked_at_s * RATE_HZ), np.int16), question))
    async with start_service(MARKER_AGENT) as service:
        async with baresip(tmp_path / "phone", microphone) as phone:
            await phone.dial(service.sip_uri)
            await asyncio.sleep(len(microphone) / RATE_HZ + 2.0 + max(len(text.split()) for text in SENTENCES) * WORD_S)
            await phone.hang_up()
            words = decode_marker(phone.heard())
        (call,) = await all_ended(service, 1)
    answer = words[greeting:]
    assert [k for k, _, _ in words[:greeting]] == list(range(greeting))
    assert [k for k, _, _ in answer] == list(range(len(answer)))
    assert len(answer) in {len(text.split()) for text in SENTENCES}
    assert answer[0][1] / RATE_HZ < len(microphone) / RATE_HZ + 1.5
    assert call["data"]["turns"] == 1
    assert call["data"]["response_p50_ms"] < 1500
