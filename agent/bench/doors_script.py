"""The same scripted caller through every door at the same time, and whether it was the same conversation.

A telephone is the reference. All callers send the same mu-law, bit for bit; they call one service at once, whose agent
has a short dialogue with a tool and hangs up at its end.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from agent.bench.doors_compare import Conversation, Tolerance, conversation, differences
from agent.bench.doors_service import ACCOUNT, Running, StartService, live_uri, open_doors, twilio_uri, webrtc_uri
from agent.simulator.caller import CallResult, run_call
from agent.simulator.energy import agent_onsets
from agent.simulator.live_call import run_live_call
from agent.simulator.media import MediaThread
from agent.simulator.render import Renderer
from agent.simulator.script import Script, parse_script
from agent.simulator.service import fetch_timeline, media_offset_s
from agent.simulator.timeline import build_timeline
from agent.simulator.twilio_call import run_twilio_call
from agent.simulator.webrtc_call import run_webrtc_call

REFERENCE = "sip"
DOORS = ("sip", "webrtc", "twilio", "live")
APART_S = 0.8
"""Between the callers, so that they do not all speak to the recogniser in the same moment."""
ANSWER_S = 0.2
"""How long the tool takes."""
DIALOGUE = """
dialogue: doors
disclosure: This is a computer.
start: menu
intents:
  hours:
    phrases: [ "( what are | tell me ) your opening hours" ]
    say: >-
      Our parcel shops are open from Monday to Friday, from eight in the morning until seven in the evening.
      On Saturdays they are open from nine until two. On Sundays they are closed.
  enough:
    phrases: [ thank you that is enough for me now ]
    say: All right.
  track:
    phrases: [ where is my parcel ]
    go: look
everywhere: [ hours, enough ]
states:
  menu:
    say: How can I help you?
    intents: [ track ]
  look:
    tool:
      name: parcel_status
      arguments: {}
      filler: One moment please.
      answers:
        - when: { status: out_for_delivery }
          say: Your parcel is on the van.
      empty: { say: I have no news. }
      failed: { say: I can not look that up. }
    then: bye
  bye:
    say: Goodbye.
    hangup: done
"""
SCRIPT = """
name: doors
seed: 7
voice: rms
max_s: 45
steps:
  - wait_reply: {settle_ms: 700}
  - say: what are your opening hours
  - backchannel: mhm
    after_ms: 1500
  - interrupt: {after_ms: 4500, text: thank you that is enough for me now}
  - wait_reply: {settle_ms: 700}
  - say: where is my parcel
  - wait: 9000
  - hangup
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorCall:
    """The script's caller through one door."""

    door: str
    result: CallResult
    conversation: Conversation
    transport: str
    """Door in the call's record, as the service has it."""


def settings(folder: Path, *, tool_port: int) -> dict[str, object]:
    """A service with every door open and the script's agent; its dialogue is written into ``folder``."""
    dialogue = folder / "doors.yaml"
    dialogue.write_text(DIALOGUE)
    more = {
        "agent.dialogue": str(dialogue),
        "agent.tool_url": f"http://127.0.0.1:{tool_port}/tool",
        "webhooks.secret": "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        "webhooks.allow_http": True,
        "webhooks.allow_networks": ["127.0.0.0/8"],
        "engine.spare": 0,
        "engine.step_budget": 0.95,  # it is about four calls, not about how many a busy machine would take
        "ears.recogniser_processes": 4,  # two people who talk at the same time can fill one
    }
    return open_doors("twilio", "live", browsers=True, more=more)


@contextlib.asynccontextmanager
async def tool_server(asked: list[dict[str, Any]]) -> AsyncIterator[int]:
    """The customer's server on loopback; yields its port. ``asked`` gets what came."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body["data"])
        await asyncio.sleep(ANSWER_S)
        return web.json_response({"result": {"status": "out_for_delivery"}})

    app = web.Application()
    app.add_routes([web.post("/tool", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def call_every_door(service: Running) -> list[DoorCall]:
    """All callers, one soon after the other; the reference first."""
    script = parse_script(SCRIPT)
    cues = await asyncio.to_thread(Renderer().cues, script)
    with MediaThread() as media:
        callers: dict[str, Awaitable[CallResult]] = {
            "sip": run_call(service.sip_uri, script, media=media, cues=cues, call="sip"),
            "webrtc": _result(run_webrtc_call(webrtc_uri(service), script, cues=cues, call="webrtc")),
            "twilio": _result(run_twilio_call(twilio_uri(service), script, account=ACCOUNT, cues=cues, call="twilio")),
            "live": _result(run_live_call(live_uri(service), script, cues=cues, call="live")),
        }
        results = await asyncio.gather(*(_after(at * APART_S, callers[door]) for at, door in enumerate(DOORS)))
    return [await _logged(service, script, door, result) for door, result in zip(DOORS, results, strict=True)]


async def _after(seconds: float, calling: Awaitable[CallResult]) -> CallResult:
    await asyncio.sleep(seconds)
    return await calling


async def _result(calling: Awaitable[Any]) -> CallResult:
    made = await calling
    result: CallResult = made.result
    return result


async def _logged(service: Running, script: Script, door: str, result: CallResult) -> DoorCall:
    entries = await fetch_timeline(service.http_url, result.book)
    shown = build_timeline(
        script.name,
        result.events,
        result.agent,
        caller_samples=len(result.caller),
        entries=entries,
        offset_s=media_offset_s(entries, agent_onsets(result.agent)),
    )
    answered = [one["data"] for one in entries if one["kind"] == "leg" and one["data"].get("phase") == "answered"]
    return DoorCall(
        door=door,
        result=result,
        conversation=conversation(entries, shown.caller),
        transport=str(answered[0].get("transport", "")) if answered else "",
    )


async def script_figures(start_service: StartService, folder: Path) -> dict[str, Any]:
    """One conversation through every door, about 30 s."""
    asked: list[dict[str, Any]] = []
    async with tool_server(asked) as port, start_service(settings(folder, tool_port=port)) as service:
        calls = await call_every_door(service)
    return figures(calls, Tolerance())


def figures(calls: list[DoorCall], tolerance: Tolerance) -> dict[str, Any]:
    """What each door's caller saw, and what differs from the reference."""
    (reference,) = [call.conversation for call in calls if call.door == REFERENCE]
    return {call.door: _shown(call) for call in calls} | {
        "differences": {
            call.door: differences(reference, call.conversation, tolerance) for call in calls if call.door != REFERENCE
        }
    }


def _shown(call: DoorCall) -> Mapping[str, Any]:
    found = call.conversation
    return {
        "turns": list(found.turns),
        "floor": " ".join(found.floor),
        "heard": [one.heard for one in found.said],
        "tools": list(found.tools),
        "response_ms": list(found.response_ms),
        "stop_ms": list(found.stop_ms),
        "ended_by": call.result.book.ended_by,
        "pacing_is_good": call.result.pacing.is_good,
    }
