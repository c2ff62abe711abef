"""A whole service whose ears, brain and voice are Pipecat's services, each at a server that speaks OpenAI's protocol."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.app import start_service
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script
from tests.peers.service_kit import all_ended, assert_clean_log, log_text, timeline
from tests.peers.speech_servers import speech_server
from tests.unit.agent.remote.llm_server import Behaviour, Reply, llm_server, saying

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("pipecat") is None, reason="pipecat is not installed (extra pipecat)"),
]

KEY = "sk-service-very-secret"
DISCLOSURE = "Hello, a computer speaks."
GREETING = "How can I help?"
LONG = (
    "Your parcel left the depot in Berlin this morning, and it is on the van of our driver now. "
    "He will be at your door between two and four, if the traffic lets him. "
    "Somebody should be there to sign for it, for it is worth more than a hundred euros."
)
LAST = "All right, I will find somebody."
AGENT = """
recogniser:
  pipecat: pipecat.services.openai.stt.OpenAISTTService
  arguments: {{base_url: {speech}}}
  api_key_env: PART_KEY
brain:
  pipecat: pipecat.services.openai.llm.OpenAILLMService
  settings: {{model: test, temperature: 0.3}}
  arguments: {{base_url: {chat}}}
  api_key_env: PART_KEY
  prompt: You answer for the parcel line.
  greeting: {greeting}
voice:
  pipecat: pipecat.services.openai.tts.OpenAITTSService
  settings: {{voice: nova}}
  arguments: {{base_url: {speech}}}
  api_key_env: PART_KEY
"""
SCRIPT = """
name: parts
max_s: 60
steps:
  - wait_reply
  - say: where is my parcel
  - interrupt: {text: no stop I want to speak to a person, after_ms: 2500}
  - wait_reply
  - hangup
"""


def after(happens: Callable[[], None], behaviour: Behaviour) -> Behaviour:
    """The same answer, and something happens before its first word."""

    async def answer(reply: Reply) -> None:
        happens()
        await behaviour(reply)

    return answer


def words_heard(entries: list[dict[str, Any]]) -> str:
    ended = [e["data"] for e in entries if e["kind"] == "utterance" and e["data"]["phase"] == "ended"]
    return " ".join(data["heard"] for data in ended if data["heard"])


async def test_a_call_with_three_services_is_heard_answered_interrupted_and_survives_a_failing_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PART_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-named-for-anybody")
    transcripts = ["Where is my parcel?", "No, stop. I want to speak to a person."]
    async with (
        speech_server(transcripts=transcripts) as speech,
        llm_server(saying(LONG), after(lambda: setattr(speech, "voice", "refusing"), saying(LAST))) as chat,
    ):
        path = tmp_path / "agent.yaml"
        path.write_text(AGENT.format(speech=speech.url, chat=chat.url, greeting=GREETING))
        settings = {"agent.dialogue": str(path), "agent.disclosure": DISCLOSURE, "engine.spare": 0}
        async with start_service(settings) as service:
            with MediaThread() as media:
                result = await run_call(service.sip_uri, parse_script(SCRIPT), media=media)
            (call,) = await all_ended(service, 1)
            entries = await timeline(service, call["call_id"])
            assert_clean_log(service)
            log = log_text(service)
    assert result.answered
    assert call["reason"] == "caller_hangup"
    turns = [e["data"]["text"] for e in entries if e["kind"] == "turn" and e["data"].get("phase") == "ended"]
    assert [turn for turn in turns if turn] == [
        "where is my parcel", "no stop i want to speak to a person",
    ]  # fmt: skip
    second = chat.requests[1]["messages"]
    assert second[0]["content"].startswith("You answer for the parcel line.")
    assert second[1]["content"] == f"{DISCLOSURE} {GREETING}"
    assert LONG.startswith(second[3]["content"])
    assert 3 < len(second[3]["content"].split()) < len(LONG.split()), "the history is what was heard"
    heard = words_heard(entries)
    assert heard.endswith(LAST), "said in our own voice when the service refused"
    assert second[3]["content"] in heard
    assert "voice.failed" in log
    for secret in (KEY, "sk-not-named-for-anybody"):
        assert secret not in log
    assert speech.keys == {f"Bearer {KEY}"}
    assert "parcel left the depot" not in log, "what was said is in no log"
