"""An unmodified Pipecat pipeline with its live service, pointed at us: its context holds turns and heard text."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.app import start_service
from agent.simulator.clips import at_level, silence
from agent.simulator.render import Renderer
from tests.peers.service_kit import all_ended, assert_clean_log, timeline

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("pipecat") is None, reason="pipecat is not installed (extra pipecat)"),
]

EXAMPLE = Path(__file__).parents[2] / "deploy/examples/pipecat/live_call.py"
SECONDS = 14.0
QUESTION_S, STOP_S = 5.0, 9.5
"""When the caller asks, behind the greeting, and when the caller talks over the answer."""
DIALOGUE = """
dialogue: hours
disclosure: This is a computer.
start: menu
intents:
  hours:
    phrases: [ "( what are | tell me ) your opening hours" ]
    say: >-
      Our parcel shops are open from Monday to Friday, from eight in the morning until seven in the evening.
      On Saturdays they are open from nine until two. On Sundays they are closed.
  enough:
    phrases: [ that is enough ]
    say: All right.
states:
  menu:
    say: How can I help you?
    intents: [ hours, enough ]
"""


def caller_wav(path: Path) -> None:
    renderer = Renderer()
    line = silence(SECONDS - 1.0).copy()
    for at_s, text in ((QUESTION_S, "what are your opening hours"), (STOP_S, "that is enough")):
        pcm = at_level(renderer.speech(text), -22.0)
        line[int(at_s * 8000) : int(at_s * 8000) + len(pcm)] = pcm
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(line.astype("<i2").tobytes())


async def talk(port: int, wav: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), f"ws://127.0.0.1:{port}/v1/live/sessions", str(wav), "--seconds", str(SECONDS),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, err.decode()[-3000:]
    assert b"ERROR" not in err, err.decode()[-3000:]
    return dict(json.loads(out.splitlines()[-1]))


def said(context: list[dict[str, Any]], role: str) -> str:
    return " ".join(" ".join(str(message["content"]).split()) for message in context if message["role"] == role)


async def test_pipecat_s_context_is_the_turns_and_what_was_heard(tmp_path: Path) -> None:
    wav = tmp_path / "caller.wav"
    caller_wav(wav)
    dialogue = tmp_path / "hours.yaml"
    dialogue.write_text(DIALOGUE)
    settings = {"stream.doors": '["live"]', "engine.spare": 0, "agent.dialogue": str(dialogue)}
    async with start_service(settings) as service:
        result = await talk(service.stream_port, wav)
        (record,) = await all_ended(service, 1)
        assert (record["transport"], record["reason"]) == ("live", "caller_hangup")
        entries = await timeline(service, record["call_id"])
        assert_clean_log(service)
    utterances = [e["data"] for e in entries if e["kind"] == "utterance" and e["data"]["phase"] == "ended"]
    heard = [data for data in utterances if data["why"] != "closed"]
    turns = [e["data"]["text"] for e in entries if e["kind"] == "turn" and e["data"].get("phase") == "ended"]
    assert any("hours" in turn for turn in turns)
    assert any(data["why"] == "yielded" and data["unheard"] for data in heard), "the answer was cut"
    assert said(result["context"], "user") == " ".join(turn for turn in turns if turn)
    assert said(result["context"], "assistant") == " ".join(
        " ".join(data["heard"].split()) for data in heard if data["heard"]
    )
    assert np.isclose(result["heard_s"], SECONDS, atol=2.0), "audio at real-time pace, silence included"
    assert result["loud_s"] > 4.0
