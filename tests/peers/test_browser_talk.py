"""The page ``/`` in a real browser: a whole call by ear and by eye, without a microphone, at phone width."""

from __future__ import annotations

import asyncio
import itertools
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

pytest.importorskip("aiortc", reason="the extra 'webrtc' is not installed")

from agent.app import Service, start_service
from telephony.audio.marker import decode_marker
from tests.peers.chromium import RAW_MICROPHONE, Page, browser, write_microphone
from tests.peers.programs import require
from tests.peers.service_kit import ECHO_AGENT, MARKER_AGENT, all_ended, assert_clean_log, events, rms

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SPEECH = Path(__file__).parents[1] / "data" / "speech" / "ears_digits_rms.wav"
GREETING_WORDS = 13
STATE = "document.body.dataset.state"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[Service]:
    async with start_service({**MARKER_AGENT, "webrtc.enabled": "on"}) as running:
        yield running


def speech_after(seconds: float) -> NDArray[np.int16]:
    """Silence, a sentence, and silence until the microphone's file begins again."""
    with wave.open(str(SPEECH)) as file:
        said = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return np.concatenate((np.zeros(int(seconds * 8000), np.int16), said, np.zeros(30 * 8000, np.int16)))


async def talk(page: Page) -> None:
    await page.run("document.getElementById('talk').click()")
    await page.until(f"{STATE} === 'live'")


async def test_a_call_is_heard_shown_and_answered(service: Service, tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", speech_after(4.0))
    async with browser(require("chromium"), tmp_path, microphone=microphone) as page:
        await page.open(service.http_url)
        await talk(page)
        await page.record()
        await page.until(f"document.querySelectorAll('.word.heard').length >= {GREETING_WORDS}")
        await page.until("document.querySelector('.took') !== null", 15.0)
        latency = int(str(await page.run("document.querySelector('.took').textContent")).split()[0])
        await page.until("document.querySelectorAll('#transcript .agent').length >= 2")
        await asyncio.sleep(1.5)
        heard = await page.recorded()
        await page.key("5", "5", "Digit5")
        await page.until("document.getElementById('transcript').innerText.includes('key 5')")
        await page.key("Escape")
        await page.until(f"{STATE} === 'idle'")
        assert not page.errors
    words = [k for k, _, _ in decode_marker(heard)]
    assert rms(heard) > 300
    assert len(words) >= 8
    runs = [later for earlier, later in itertools.pairwise(words) if later == earlier + 1]
    assert len(runs) >= 6, f"the marker voice counts its words: {words}"
    assert 0 < latency < 1500
    (call,) = await all_ended(service, 1)
    assert (call["transport"], call["reason"]) == ("webrtc", "caller_hangup")
    told = await events(service, call["call_id"])
    assert [event["data"]["digit"] for event in told if event["name"] == "call.dtmf"] == ["5"]
    assert call["data"]["media"]["lost"] == 0


async def test_the_keyboard_alone_makes_a_call(service: Service, tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", np.zeros(8000, np.int16))
    async with browser(require("chromium"), tmp_path, microphone=microphone) as page:
        await page.open(service.http_url)
        for _ in range(10):
            await page.key("Tab")
            if await page.run("document.activeElement.id") == "talk":
                break
        assert await page.run("document.activeElement.id") == "talk"
        await page.key("Enter", "\r")
        await page.until(f"{STATE} === 'live'")
        assert await page.run("document.getElementById('talk').textContent.trim()") == "Hang up"
        await page.key("Enter", "\r")
        await page.until(f"{STATE} === 'idle'")
        assert not page.errors


async def test_a_refused_microphone_is_explained_and_keys_still_work(service: Service, tmp_path: Path) -> None:
    async with browser(require("chromium"), tmp_path, microphone=None, allowed=False) as page:
        await page.open(service.http_url)
        await page.run(
            "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
        )
        await page.run("document.getElementById('talk').click()")
        await page.until(f"{STATE} === 'error'")
        help_text = await page.run("document.getElementById('help').innerText")
        assert "microphone is blocked" in help_text
        assert "Allow" in help_text
        assert await page.run("document.activeElement.id") == "retry"
        await page.run("document.getElementById('keys-only').click()")
        await page.until(f"{STATE} === 'live'")
        await page.run("document.querySelector('[data-key=\"7\"]').click()")
        await page.until("document.getElementById('transcript').innerText.includes('key 7')")
        await page.run("document.getElementById('talk').click()")
        await page.until(f"{STATE} === 'idle'")


async def test_no_width_and_no_theme_breaks_the_page(service: Service, tmp_path: Path) -> None:
    async with browser(require("chromium"), tmp_path, microphone=None) as page:
        await page.open(service.http_url)
        for width, dark in ((320, False), (375, True), (768, False), (1440, True)):
            await page.resize(width, 800, dark=dark)
            assert await page.run("document.documentElement.scrollWidth") <= width
            small = (
                "[...document.querySelectorAll('button')].filter((b) => b.offsetParent && b.offsetHeight < 40).length"
            )
            assert await page.run(small) == 0
        assert await page.run(
            "performance.getEntriesByType('resource').every((e) => e.name.startsWith(location.origin))"
        )
        assert not page.errors


@pytest.mark.timed
async def test_echo_is_heard_soon_after_it_was_said(tmp_path: Path) -> None:
    """Inside the browser, its own buffer included: 114 ms on a quiet machine, where a telephone's wire has 60 to 66."""
    loop = speech_after(0.5)[: 4 * 8000]
    microphone = write_microphone(tmp_path / "microphone.wav", loop)
    async with (
        start_service({**ECHO_AGENT, "webrtc.enabled": "on"}) as service,
        browser(require("chromium"), tmp_path, microphone=microphone) as page,
    ):
        await page.open(service.http_url)
        await page.run(RAW_MICROPHONE)
        await talk(page)
        await page.until("document.querySelectorAll('.word.heard').length >= 13")
        await page.record()
        await asyncio.sleep(5.5)
        said, heard = loudness(await page.recorded(microphone=True)), loudness(await page.recorded())
        await page.key("Escape")
    window = said[500:4500]  # the sentence comes back each four seconds
    alike = [float(np.corrcoef(window, heard[500 + lag : 4500 + lag])[0, 1]) for lag in range(600)]
    assert max(alike) > 0.7
    assert int(np.argmax(alike)) < 350, "ms; a shared machine makes a browser careful"


def loudness(pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    """Of each ms."""
    whole = pcm[: len(pcm) // 8 * 8].astype(np.float64).reshape(-1, 8)
    return np.asarray(np.sqrt((whole**2).mean(axis=1)))


async def test_nothing_went_wrong_inside(service: Service) -> None:
    """Last in the file."""
    assert_clean_log(service)
