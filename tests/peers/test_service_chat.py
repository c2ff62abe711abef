"""A whole service whose brain is a chat endpoint, called by a simulated caller who interrupts it."""

from __future__ import annotations

import pytest

from agent.app import start_service
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script
from telephony.audio.marker import decode_marker
from tests.peers.service_kit import SMALL, all_ended, assert_clean_log, events, log_text, timeline
from tests.unit.agent.remote.llm_server import llm_server, saying

pytestmark = [pytest.mark.peer, pytest.mark.slow]

DISCLOSURE = "Hello, you are speaking with a computer."
GREETING = "What can I do for you today?"
LONG = (
    "Your parcel left the depot in Berlin this morning, and it is on the van of our driver now. "
    "He will be at your door between two and four, if the traffic lets him. "
    "Somebody should be there to sign for it, for it is worth more than a hundred euros."
)
SHORT = "All right."
SECRET = "sk-e2e-very-secret"


def settings(url: str) -> dict[str, object]:
    return {
        "agent.brain": "chat",
        "agent.disclosure": DISCLOSURE,
        "agent.chat.url": url,
        "agent.chat.model": "test",
        "agent.chat.api_key": SECRET,
        "agent.chat.greeting": GREETING,
        "agent.phrases": ["where is my parcel", "no stop i want to speak to a person"],
        "voice.engine": "marker",
        **SMALL,
    }


KEYS = """
name: keys
max_s: 40
steps:
  - wait_reply
  - dtmf: "1#"
  - wait: 4000
  - dtmf: "2#"
  - wait: 2500
  - hangup
"""
SPEECH = """
name: speech
max_s: 40
steps:
  - wait_reply
  - say: where is my parcel
  - interrupt: {text: no stop I want to speak to a person, after_ms: 3000}
  - wait_reply
  - hangup
"""


@pytest.mark.parametrize(("script", "ears"), [(KEYS, "none"), (SPEECH, "pocketsphinx")])
async def test_history_of_the_second_request_is_what_the_caller_has_heard(script: str, ears: str) -> None:
    async with (
        llm_server(saying(LONG), saying(SHORT)) as server,
        start_service({**settings(server.url), "ears.recogniser": ears}) as service,
    ):
        with MediaThread() as media:
            result = await run_call(service.sip_uri, parse_script(script), media=media)
        (call,) = await all_ended(service, 1)
        told = await events(service, call["call_id"])
        entries = await timeline(service, call["call_id"])
        assert_clean_log(service)
        assert SECRET not in log_text(service)
    assert result.answered
    history = server.histories[-1]
    assert [message["role"] for message in history] == ["assistant", "user", "assistant", "user"]
    opening, heard = history[0]["content"], history[2]["content"]
    assert opening == f"{DISCLOSURE} {GREETING}"
    assert LONG.startswith(heard)
    assert 3 < len(heard.split()) < len(LONG.split())
    # What was heard is in the caller's ear: count the words there, without those of the second answer.
    words = [k for k, _, _ in decode_marker(result.agent)]
    assert words[-len(SHORT.split()) :] == [0, 1]
    in_the_ear = len(words) - len(SHORT.split()) - len(opening.split())
    assert abs(in_the_ear - len(heard.split())) <= 1, "the word in progress counts from its half on"
    interrupted = next(event for event in told if event["name"] == "call.interrupted")
    assert heard.endswith(interrupted["data"]["heard"])
    assert next(event for event in told if event["name"] == "disclosure.completed")["data"]["heard"] == DISCLOSURE
    assert [entry for entry in entries if entry["data"].get("key") == "first_token_ms"]
