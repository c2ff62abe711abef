"""A whole service behind a double of Twilio: the conversation, its ends, its refusals, and how fast it falls silent."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from agent.app import Service
from agent.bench.conversations import turn
from agent.bench.doors_twilio import both_doors, stops_ms, word_errors
from agent.bench.duplex_scripts import LONG_ANSWERS
from agent.simulator.script import HangUp, Keys, Script, Step, Wait, WaitReply
from agent.simulator.service import fetch_json, fetch_timeline, find_call
from agent.simulator.twilio_call import TwilioCall, TwilioResult, run_twilio_call, sign_request
from agent.simulator.twilio_double import StreamNetwork
from tests.peers.service_kit import all_ended, assert_clean_log
from tests.peers.twilio_kit import ACCOUNT, AUTH_TOKEN, twilio_service, voice_uri
from tests.unit.telephony.twilio.rest import rest_double

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]
GREETING = WaitReply(line=0, settle_ms=800, timeout_ms=15_000)
PRESSES_KEYS: dict[str, object] = {"voice.engine": "marker", "ears.recogniser": "none"}
"""For callers who say nothing: no recogniser is started, and the voice of tones needs half the time of a real one."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[Service]:
    """One service for the file; a test looks at the calls and the lines of the log that it brought about itself."""
    async with twilio_service({"voice.engine": "marker"}) as running:
        yield running


def script(*steps: Step) -> Script:
    return Script(name="test", steps=steps, voice="awb", seed=3, max_s=60.0)


async def called(
    service: Service,
    *steps: Step,
    network: StreamNetwork | None = None,
    on_call: Callable[[TwilioCall], None] = lambda call: None,
) -> TwilioResult:
    return await run_twilio_call(voice_uri(service), script(*steps), account=ACCOUNT, network=network, on_call=on_call)


async def record(service: Service, found: TwilioResult) -> dict[str, Any]:
    """The stored call, once it has ended."""
    for _ in range(40):
        call_id = await find_call(service.http_url, found.result.book.user)
        call = await fetch_json(f"{service.http_url}/v1/calls/{call_id}") if call_id else None
        if call is not None and call.get("state") == "ended":
            return call
        await asyncio.sleep(0.1)
    raise AssertionError("no such call, or it has not ended")


def log_lines(service: Service, event: str) -> list[dict[str, Any]]:
    lines = (service.folder / "service.log").read_text(errors="replace").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if line.get("event") == event]


async def test_a_caller_who_hangs_up_ends_the_call_once(service: Service) -> None:
    found = await called(service, GREETING, Keys(line=0, digits="2"), Wait(line=0, ms=400), HangUp(line=0))
    call = await record(service, found)
    assert (call["transport"], call["reason"], call["result"]) == ("twilio", "caller_hangup", "success")
    assert call["from_uri"].startswith("tel:+1555")
    entries = await fetch_timeline(service.http_url, found.result.book)
    assert [entry["data"]["digit"] for entry in entries if entry["kind"] == "dtmf"] == ["2"]
    assert found.trace.streams[0].stop_sent
    assert not found.trace.streams[0].unknown, "Twilio understands all that we send"
    assert not log_lines(service, "stream.refused")


async def test_a_transfer_and_a_hangup_go_by_the_rest_api() -> None:
    pytest.importorskip("twilio", reason="extra twilio is not installed")
    calls: dict[str, TwilioCall] = {}
    async with rest_double() as rest:

        def updated(sid: str, fields: dict[str, str]) -> None:
            if "Twiml" in fields:
                calls[sid].give(fields["Twiml"])
            elif fields.get("Status") == "completed":
                calls[sid].complete()

        def started(call: TwilioCall) -> None:
            calls[call.call_sid] = call
            rest.calls.add(call.call_sid)

        rest.on_update = updated
        more = {**PRESSES_KEYS, "twilio.rest_url": rest.url, "sip.transfer_targets": ["sip:", "tel:", "+"]}
        async with twilio_service(more) as service:
            person = Keys(line=0, digits="0")
            found = await called(service, GREETING, person, Wait(line=0, ms=12_000), on_call=started)
            call = await record(service, found)
    assert found.result.book.transferred_to, rest.asked
    assert call["reason"] == "transferred"


async def test_a_call_that_we_place_is_answered_and_is_ours() -> None:
    pytest.importorskip("twilio", reason="extra twilio is not installed")
    answering: list[asyncio.Task[TwilioResult]] = []
    async with rest_double() as rest:

        def created(sid: str, fields: dict[str, str]) -> None:
            def named(call: TwilioCall) -> None:
                call.call_sid = sid

            uri = fields["Url"].replace("http://", "twilio+ws://")
            answers = run_twilio_call(uri, script(GREETING, HangUp(line=0)), account=ACCOUNT, on_call=named)
            answering.append(asyncio.ensure_future(answers))

        rest.on_create = created
        allowed = {**PRESSES_KEYS, "outbound.allow": ["tel:+1555*"], "twilio.caller": "+15550001000"}
        async with twilio_service({"twilio.rest_url": rest.url, **allowed}) as service, aiohttp.ClientSession() as http:
            async with http.post(f"{service.http_url}/v1/calls", json={"to": "tel:+1900123456"}) as answer:
                assert answer.status == 403
            async with http.post(f"{service.http_url}/v1/calls", json={"to": "tel:+15551234567"}) as answer:
                assert answer.status == 201, await answer.text()
            (call,) = await all_ended(service, 1, within_s=40.0)
            (found,) = await asyncio.gather(*answering)
            assert_clean_log(service)
    ((_, fields), *_) = rest.asked
    assert (fields["To"], fields["From"]) == ("+15551234567", "+15550001000")
    assert (call["direction"], call["transport"], call["reason"]) == ("outbound", "twilio", "caller_hangup")
    assert (call["to_uri"], call["from_uri"]) == ("tel:+15551234567", "tel:+15550001000")
    assert found.result.answered


async def test_a_gateway_that_drains_hands_calls_to_its_fallback() -> None:
    fallback = "https://other.example.com/twilio/voice"
    async with twilio_service({**PRESSES_KEYS, "twilio.fallback": fallback, "service.drain_s": 20.0}) as service:

        async def second(_: Any) -> TwilioResult:
            import os
            import signal

            await asyncio.sleep(3.0)
            front = json.loads((service.folder / "ready.json").read_text())["pid"]
            os.kill(front, signal.SIGTERM)
            await asyncio.sleep(0.5)
            return await called(service, HangUp(line=0))

        first, redirected = await asyncio.gather(
            called(service, GREETING, Wait(line=0, ms=3000), HangUp(line=0)), second(None)
        )
    assert redirected.trace.redirected_to == fallback
    assert first.result.book.ended_by == "caller", "the call that runs is not cut off"


async def test_what_is_wrong_is_refused_and_named_in_the_log(service: Service) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{service.http_url}/twilio/voice", data={"CallSid": "CA"}) as answer:
            assert answer.status == 403
        stream = f"http://127.0.0.1:{service.stream_port}/twilio/stream"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(stream)
        public = f"ws://127.0.0.1:{service.stream_port}/twilio/stream"
        signed = {"X-Twilio-Signature": sign_request(AUTH_TOKEN, public, {})}
        for text in ("x" * 70_000, '{"event":"media","sequenceNumber":"1","media":{}}', "{"):
            async with http.ws_connect(stream, headers=signed) as socket:
                await socket.send_str(text)
                async with asyncio.timeout(3):
                    await socket.receive()
        async with http.ws_connect(stream, headers=signed) as socket, asyncio.timeout(8):
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE, "no start within five seconds"
    expected = {
        "webhook-signature",
        "stream-signature",
        "stream-message-size",
        "stream-field",
        "stream-json",
        "stream-start-timeout",
    }
    async with asyncio.timeout(3):  # the line is written a moment after the socket is closed
        while expected != {line["rule"] for line in log_lines(service, "stream.refused")}:
            await asyncio.sleep(0.05)


async def test_after_a_stall_the_caller_hears_no_old_audio(service: Service) -> None:
    network = StreamNetwork(stalls=((9.0, 0.8),))
    found = await called(
        service, GREETING, turn(LONG_ANSWERS[0]), Wait(line=0, ms=6000), HangUp(line=0), network=network
    )
    call = await record(service, found)
    assert call["reason"] == "caller_hangup"
    assert found.trace.buffers[0].deepest <= 300 * 8, "the stall has not become a queue at Twilio"


@pytest.mark.timed
@pytest.mark.slow
async def test_silence_comes_as_fast_as_by_sip_and_the_heard_text_is_right(service: Service) -> None:
    """Same script, same time, same service; whole answers lie ready in the worker when they are interrupted."""
    pair = await both_doors(service, count=3, seed=7, cues={})
    by_sip, by_twilio = stops_ms([pair.sip]), stops_ms([pair.twilio])
    later = [by_twilio[item] - by_sip[item] for item in by_sip.keys() & by_twilio.keys()]
    assert len(later) >= 2, (by_sip, by_twilio)
    assert statistics.median(later) <= 200, (by_sip, by_twilio)
    errors = word_errors([pair.twilio])
    assert len(errors) >= 2
    assert sum(abs(error) <= 1 for error in errors) >= len(errors) - 1, errors
    buffer = pair.trace.trace.buffers[0]
    assert buffer.deepest <= 140 * 8, "100 ms by our clock; two ticks of it are not the double's"
    assert buffer.clears >= len(errors)
