"""A whole service whose brain is a ConversationRelay server, and one whose model asks an MCP program."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from agent.app import start_service
from agent.simulator.caller import CallResult, run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script
from telephony.audio.marker import decode_marker
from tests.peers.service_kit import SMALL, all_ended, assert_clean_log, events, log_text
from tests.unit.agent.remote.llm_server import asking, llm_server, saying
from tests.unit.agent.remote.test_relay import Server

pytestmark = [pytest.mark.peer, pytest.mark.slow]

PROGRAM = Path(__file__).parents[1] / "unit" / "agent" / "mcp" / "mcp_program.py"
DISCLOSURE = "Hello, you are speaking with a computer."
LONG = "Your parcel left the depot in Berlin this morning, and it is on the van of our driver now. " * 2
SHORT = "I connect you."
SPEECH = """
name: speech
max_s: 40
steps:
  - wait_reply
  - say: where is my parcel
  - interrupt: {text: no stop I want to speak to a person, after_ms: 2500}
  - wait_reply
  - wait: 4000
"""
KEYS = """
name: keys
max_s: 30
steps:
  - wait_reply
  - dtmf: "1#"
  - wait: 6000
"""


class Customer(Server):
    """Answers each prompt with the next text; ends the call behind the last one."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(self._talk)
        self._texts = texts

    async def _talk(self, _server: Server, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            self.got.append(message.json())
            if self.got[-1]["type"] == "prompt":
                words = self._texts.pop(0).split()
                for index, word in enumerate(words):
                    await self.text(word + " ", last=index == len(words) - 1)
                if not self._texts:
                    await self.send(type="end")


async def serve(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_get("/relay", handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"ws://127.0.0.1:{runner.addresses[0][1]}/relay"


async def call(uri: str, script: str) -> CallResult:
    with MediaThread() as media:
        return await run_call(uri, parse_script(script), media=media)


async def test_relay_server_is_told_what_was_in_the_callers_ear() -> None:
    customer = Customer([LONG, SHORT])
    runner, url = await serve(customer.handle)
    settings = {
        "agent.brain": "relay",
        "agent.disclosure": DISCLOSURE,
        "agent.relay.url": url,
        "agent.phrases": ["where is my parcel", "no stop i want to speak to a person"],
        "voice.engine": "marker",
        **SMALL,
    }
    async with start_service(settings) as service:
        result = await call(service.sip_uri, SPEECH)
        (record,) = await all_ended(service, 1)
        told = await events(service, record["call_id"])
        assert_clean_log(service)
    await runner.cleanup()
    assert record["reason"] == "agent_hangup"
    (interrupt,) = customer.of("interrupt")
    heard = interrupt["utteranceUntilInterrupt"].split()
    assert heard == LONG.split()[: len(heard)]
    assert 3 < len(heard) < len(LONG.split())
    words = [k for k, _, _ in decode_marker(result.agent)]
    in_the_ear = len(words) - len(DISCLOSURE.split()) - len(SHORT.split())
    assert abs(in_the_ear - len(heard)) <= 1, "the word in progress counts from its half on"
    assert abs(interrupt["durationUntilInterruptMs"] - len(heard) * 180) < 500
    assert [event["name"] for event in told if event["name"] == "disclosure.completed"]


async def test_model_asks_an_mcp_program_and_speaks_of_its_result() -> None:
    program = {"name": "program", "command": [sys.executable, str(PROGRAM)], "tools": ["echo"]}
    async with llm_server(asking("echo", '{"number": "7"}'), saying("It is here.")) as server:
        settings = {
            "agent.brain": "chat",
            "agent.disclosure": DISCLOSURE,
            "agent.chat.url": server.url,
            "agent.chat.model": "test",
            "agent.chat.greeting": "",
            "agent.mcp": [program],
            "ears.recogniser": "none",
            "voice.engine": "marker",
            **SMALL,
        }
        async with start_service(settings) as service:
            result = await call(service.sip_uri, KEYS)
            (record,) = await all_ended(service, 1)
            assert_clean_log(service)
            assert "mcp.listed" in log_text(service)
            assert "tool.called" in log_text(service)
    assert [tool["function"]["name"] for tool in server.requests[0]["tools"]] == ["echo", "end_call"]
    answer = next(message for message in server.histories[1] if message["role"] == "tool")
    assert f"{record['call_id']}:t1" in answer["content"]
    words = [k for k, _, _ in decode_marker(result.agent)]
    assert words[: len(DISCLOSURE.split()) + 3] == [*range(len(DISCLOSURE.split())), 0, 1, 2]
