"""The how-to for WebSocket audio: its program is run, its configuration starts a service, its tables are true."""

from __future__ import annotations

import asyncio
import re
import sys
import tomllib
import wave
from pathlib import Path

import numpy as np
import pytest

from agent.app import start_service
from telephony.doors.base import MAX_ERRORS
from telephony.doors.live import START_S
from telephony.doors.pcm import FIELDS
from telephony.stream_plane import SHOWN
from telephony.stream_socket import MAX_MESSAGE_BYTES, MESSAGES_PER_S, SECONDS_AHEAD, STALL_S
from tests.peers.service_kit import ECHO_AGENT, all_ended, rms

PAGE = (Path(__file__).parents[2] / "docs/howto/websocket-audio.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.peer
@pytest.mark.slow
async def test_the_program_of_the_page_hears_the_agent(tmp_path: Path) -> None:
    settings = tomllib.loads(blocks("toml")[0])["stream"]
    assert settings["doors"] == ["pcm", "live"]
    (tmp_path / "call.py").write_text(blocks("python")[0])
    rate = 16000
    tone = (8000 * np.sin(2 * np.pi * 500 * np.arange(2 * rate) / rate)).astype("<i2")
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(tone.tobytes())
    async with start_service({"stream.doors": '["pcm","live"]', "engine.spare": 0, **ECHO_AGENT}) as service:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "call.py", f"ws://127.0.0.1:{service.stream_port}", "question.wav", "answer.wav", "3",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0
        await all_ended(service, 1)
    with wave.open(str(tmp_path / "answer.wav"), "rb") as file:
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert rms(heard) > 1000
    assert b"'type': 'hello'" in out
    assert b"'type': 'end'" in out


def test_limits_and_names_of_the_page_are_those_of_the_code() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert told == (SHOWN | {"hello", "heard", "clear", "dtmf", "error", "end"}) - UNTOLD
    assert set(re.findall(r'"type": "(\w+)"', PAGE.split("From you:")[1].split("##")[0])) == set(FIELDS)
    for text in (f"{MAX_MESSAGE_BYTES // 1024} KiB", f"more than {MAX_ERRORS} messages", f"within {START_S:.0f} s",
                 f"{MESSAGES_PER_S:.0f} messages a second", f"{SECONDS_AHEAD:.0f} s ahead", f"for {STALL_S:.0f} s"):  # fmt: skip
        assert text in PAGE, text


UNTOLD = {"speech"}
"""Kinds that only the browser's page has a use for."""
