"""RelayBrain against real WebSocket servers on loopback: fast, slow, dying, babbling, broken."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
from aiohttp import web

from agent.brain.protocol import (
    Action,
    CallFacts,
    DropFillers,
    Hangup,
    Note,
    RemoteConversation,
    Say,
    SendDtmf,
    Transfer,
    Turn,
)
from agent.config import RelayConfig
from agent.remote.relay import RelayBrain, RelayConversation
from agent.remote.relay_socket import signature
from telephony.clock import MonotonicClock
from tests.unit.agent.remote.test_chat import Log, turn, until

Behaviour = Callable[["Server", web.WebSocketResponse], Awaitable[None]]
CONFIG = RelayConfig(
    filler_after_ms=150, first_token_budget_s=0.4, connect_budget_s=0.5, headers=("X-Key: very-secret",)
)


class Server:
    """A customer's server: keeps what it was sent; the test sends what it likes."""

    def __init__(self, behaviour: Behaviour | None) -> None:
        self.behaviour = behaviour
        self.url = ""
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.sockets: list[web.WebSocketResponse] = []

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.headers.append(dict(request.headers))
        self.sockets.append(socket)
        if self.behaviour is not None:
            with contextlib.suppress(ConnectionError):
                await self.behaviour(self, socket)
        async for message in socket:
            self.got.append(json.loads(message.data))
        return socket

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.got if message["type"] == kind]

    async def send(self, **message: Any) -> None:
        await self.sockets[-1].send_str(json.dumps(message))

    async def text(self, token: str, *, last: bool = True, **more: Any) -> None:
        await self.send(type="text", token=token, last=last, **more)


class Rig:
    """A conversation whose unprompted actions are collected."""

    def __init__(self, server: Server, talk: RelayConversation, log: Log) -> None:
        self.server, self.talk, self.log = server, talk, log
        self.did: list[Action] = []

    async def collect(self) -> None:
        async for action in self.talk.unprompted():
            self.did.append(action)

    async def says(self, *texts: str) -> None:
        await until(lambda: [a.text for a in self.did if isinstance(a, Say)] == list(texts))

    async def got(self, kind: str, count: int = 1) -> dict[str, Any]:
        await until(lambda: len(self.server.of(kind)) >= count)
        return self.server.of(kind)[count - 1]

    def ask(self, words: str) -> Turn:
        asked = turn(words)
        self.talk.turn(asked)
        return asked


@asynccontextmanager
async def rig(
    behaviour: Behaviour | None = None, *, config: RelayConfig = CONFIG, up: bool = True
) -> AsyncIterator[Rig]:
    server, log = Server(behaviour), Log()
    app = web.Application()
    app.router.add_get("/relay", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/relay" if up else "ws://127.0.0.1:9/relay"
    brain = RelayBrain(
        replace(config, url=server.url), disclosure="A computer speaks.", clock=MonotonicClock(), log=cast(Any, log)
    )
    facts = CallFacts(call_id="call1", from_uri="sip:a@x", to_uri="sip:b@x", variables={"customer": "Anna", "n": 1})
    try:
        async with brain:
            made = Rig(server, cast("RelayConversation", brain.open(facts)), log)
            collecting = asyncio.ensure_future(made.collect())
            if up:
                await until(lambda: server.sockets)
            yield made
            made.talk.close()
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
    finally:
        await runner.cleanup()


async def test_setup_tells_who_calls_and_the_disclosure_is_ours_and_not_cut() -> None:
    async with rig(config=replace(CONFIG, signing_token="token")) as r:
        setup = await r.got("setup")
        assert (setup["callSid"], setup["from"], setup["to"]) == ("call1", "sip:a@x", "sip:b@x")
        assert setup["customParameters"] == {"customer": "Anna", "n": "1"}
        assert r.server.headers[0]["X-Key"] == "very-secret"
        assert r.server.headers[0]["X-Twilio-Signature"] == signature("token", r.server.url)
        says = [action async for action in r.talk.opening() if isinstance(action, Say)]
        assert says == [Say(text="A computer speaks.", interruptible=False)]
        assert isinstance(r.talk, RemoteConversation)


def test_signature_is_the_one_that_twilio_sends() -> None:
    # HMAC-SHA1 of the bare URL, base64: computed with openssl dgst -sha1 -hmac.
    assert signature("12345", "wss://example.com/relay") == "mbNFdPBlYbXhXfiw/E6CoJbYji0="


async def test_turn_is_a_prompt_and_text_is_said_clause_by_clause() -> None:
    async with rig() as r:
        r.ask("where is it")
        assert await r.got("prompt") == {"type": "prompt", "voicePrompt": "where is it", "lang": "en-US", "last": True}
        for token in ("Your parcel ", "is here, ", "in "):
            await r.server.text(token, last=False)
        await r.says("Your parcel is here,")
        await r.server.text("Berlin.", last=True)
        await r.says("Your parcel is here,", "in Berlin.")


async def test_text_that_nobody_asked_for_is_said_too() -> None:
    async with rig() as r:
        await r.server.text("One more thing.")
        await r.says("One more thing.")


async def test_text_keeps_its_rules() -> None:
    async with rig() as r:
        await r.server.text("Hear this.", interruptible=False)
        await r.server.text("Perhaps this.", preemptible=True)
        await r.server.text("Rather this.")
        await r.says("Hear this.", "Perhaps this.", "Rather this.")
        assert r.did == [
            Say(text="Hear this.", interruptible=False),
            Say(text="Perhaps this.", filler=True),
            DropFillers(),
            Say(text="Rather this."),
        ]


async def test_interruption_tells_what_was_heard_and_drops_the_rest_of_the_talk_cycle() -> None:
    async with rig() as r:
        r.ask("tell me")
        await r.server.text("One is heard. Two is cut. And ", last=False)
        await r.says("One is heard.", "Two is cut.")
        r.talk.speaking("One is heard.")
        r.talk.heard("One is heard.", complete=True)
        await asyncio.sleep(0.02)
        r.talk.interrupted("Two", "is cut.")
        r.talk.partial(turn("no stop"))
        told = await r.got("interrupt")
        assert told["utteranceUntilInterrupt"] == "One is heard. Two"
        assert 15 <= told["durationUntilInterruptMs"] < 1000
        await r.server.text("never said. Nor this. ", last=False)
        await r.server.text("", last=True)
        await r.server.text("A new one.")
        await r.says("One is heard.", "Two is cut.", "A new one.")


async def test_false_alarm_is_not_told_and_goes_on_with_what_came_meanwhile() -> None:
    async with rig() as r:
        await r.server.text("One is cut. ", last=False)
        await r.says("One is cut.")
        r.talk.interrupted("One", "is cut.")
        r.talk.partial(turn("mhm"))
        await r.server.text("Two came meanwhile.", last=True)
        await asyncio.sleep(0.05)
        assert [a async for a in r.talk.go_on()] == [Say(text="One is cut."), Say(text="Two came meanwhile.")]
        assert r.server.of("interrupt") == []


async def test_keys_and_partial_words_are_told() -> None:
    async with rig(config=replace(CONFIG, partial_prompts=True)) as r:
        await r.got("setup")
        r.talk.dtmf("5")
        assert await r.got("dtmf") == {"type": "dtmf", "digit": "5"}
        r.talk.partial(turn("i want"))
        assert (await r.got("prompt"))["last"] is False


async def test_digits_language_and_end_are_done() -> None:
    async with rig(config=replace(CONFIG, handoff_target="sip:200@127.0.0.1")) as r:
        await r.server.send(type="sendDigits", digits="12#")
        await r.server.send(type="language", ttsLanguage="en-GB")
        await r.server.text("Goodbye", last=False)
        await r.server.send(type="end", handoffData='{"why": "person"}')
        await until(lambda: any(isinstance(a, Transfer) for a in r.did))
        assert r.did == [
            SendDtmf(digits="12#"),
            Note(key="relay_language", value="en-GB"),
            Say(text="Goodbye"),
            Note(key="handoff", value='{"why": "person"}'),
            Transfer(target="sip:200@127.0.0.1"),
        ]


async def test_end_without_handoff_ends_the_call() -> None:
    async with rig() as r:
        await r.server.send(type="end")
        await until(lambda: r.did == [Hangup(reason="relay_end")])


async def test_play_is_refused_to_the_server_and_in_the_log() -> None:
    async with rig() as r:
        await r.server.send(type="play", source="https://example.com/a.mp3")
        assert "play is not supported" in (await r.got("error"))["description"]
        assert "relay_play_refused" in r.log.lines[0]


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "te',
        "[]",
        '{"type": "shout"}',
        '{"type": "text"}',
        '{"type": "sendDigits", "digits": "x"}',
        "[" * 9999,
    ],
)
async def test_broken_message_is_answered_with_an_error_and_changes_nothing(message: str) -> None:
    async with rig() as r:
        await r.server.sockets[0].send_str(message)
        assert (await r.got("error"))["description"].startswith("Invalid message: ")
        await r.server.text("All the same.")
        await r.says("All the same.")


async def test_server_that_speaks_something_else_is_given_up() -> None:
    async with rig() as r:
        for _ in range(25):
            await r.server.sockets[0].send_str("hello")
        await r.says(CONFIG.give_up)
        assert r.did[-1] == Hangup(reason="brain_failed")


async def test_slow_server_gets_a_filler_and_a_fallback_and_may_still_answer() -> None:
    async with rig() as r:
        r.ask("hello")
        await r.says(CONFIG.filler, CONFIG.fallback)
        await r.server.text("At last.")
        await r.says(CONFIG.filler, CONFIG.fallback, "At last.")


async def test_babbling_server_is_stopped_until_the_caller_speaks() -> None:
    async def babble(server: Server, socket: web.WebSocketResponse) -> None:
        for _ in range(300):
            await server.text("And on and on. ", last=False)
        await server.send(type="play", source="x")  # its refusal says that all of this was read

    async with rig(babble, config=replace(CONFIG, most_words=20)) as r:
        await r.says(*["And on and on."] * 5)
        assert any("relay_babbles" in line for line in r.log.lines)
        await r.got("error")
        r.ask("stop")
        await r.server.text("I am quiet.")
        await r.says(*["And on and on."] * 5, "I am quiet.")


async def test_server_that_dies_is_connected_again_and_asked_again() -> None:
    async with rig() as r:
        r.ask("hello")
        await r.got("prompt")
        transport = r.server.sockets[0]._req.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()
        await r.got("prompt", 2)
        assert r.server.of("setup")[1]["callStatus"] == "IN_PROGRESS"
        await r.server.text("Back again.")
        await r.says("Back again.")


async def test_server_that_stays_away_is_given_up_in_time() -> None:
    async with rig(up=False, config=replace(CONFIG, give_up_target="sip:200@127.0.0.1")) as r:
        await r.says(CONFIG.give_up)
        assert r.did[-1] == Transfer(target="sip:200@127.0.0.1")
        assert "very-secret" not in " ".join(r.log.lines)


async def test_turn_without_words_is_no_prompt() -> None:
    async with rig() as r:
        assert [a async for a in r.talk.turn(turn(""))] == [Say(text=CONFIG.fallback)]
        assert r.server.of("prompt") == []


async def test_end_of_the_call_closes_the_socket() -> None:
    async with rig() as r:
        r.talk.close()
        await until(lambda: r.server.sockets[0].closed)
