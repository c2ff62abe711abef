"""A service with its Twilio door open, and the same interruptions through Twilio's double and through SIP.

``python -m tests.peers.twilio_kit --rounds 5`` measures more of them than the test does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from agent.app import Service, start_service
from agent.bench.conversations import turn
from agent.bench.duplex_scripts import LONG_ANSWERS, Sounds, sound
from agent.bench.duplex_words import true_count
from agent.bench.evidence import AgentChannel, CallEvidence, log_from_timeline
from agent.simulator.caller import CallResult, run_call
from agent.simulator.energy import agent_onsets
from agent.simulator.media import MediaThread
from agent.simulator.render import Cue, Renderer
from agent.simulator.script import Script, Step, WaitReply
from agent.simulator.service import fetch_timeline, media_offset_s
from agent.simulator.truth import EventType
from agent.simulator.twilio_call import TwilioAccount, TwilioResult, run_twilio_call
from agent.simulator.twilio_double import StreamNetwork
from tests.peers.servers import free_port

AUTH_TOKEN = "auth-token-of-the-test"
ACCOUNT = TwilioAccount(auth_token=AUTH_TOKEN)


@asynccontextmanager
async def twilio_service(more: Mapping[str, object] | None = None) -> AsyncIterator[Service]:
    """A service whose public URLs are its own loopback ports."""
    http, stream = free_port(), free_port()
    settings: dict[str, object] = {
        "http.port": http,
        "stream.port": stream,
        "stream.doors": ["twilio"],
        "twilio.public_url": f"http://127.0.0.1:{http}",
        "twilio.stream_url": f"ws://127.0.0.1:{stream}/twilio/stream",
        "twilio.auth_token": AUTH_TOKEN,
        "twilio.account_sid": ACCOUNT.account_sid,
        **(more or {}),
    }
    async with start_service(settings) as service:
        yield service


def voice_uri(service: Service) -> str:
    return f"twilio+ws://127.0.0.1:{service.http_port}/twilio/voice"


def interruptions(count: int, *, seed: int) -> Script:
    """A caller who asks for long answers and interrupts each at a random word."""
    rng = random.Random(seed)
    steps: list[Step] = [WaitReply(line=0, settle_ms=800, timeout_ms=15_000)]
    for _ in range(count):
        steps += [
            turn(rng.choice(LONG_ANSWERS)),
            sound(EventType.INTERRUPT, rng, Sounds(), rng.randrange(1200, 4000)),
            WaitReply(line=0, settle_ms=1000, timeout_ms=12_000),
        ]
    return Script(name=f"interruptions{seed}", steps=tuple(steps), voice="awb", seed=seed, max_s=count * 20.0 + 30.0)


async def evidence(service: Service, result: CallResult) -> CallEvidence:
    """The call as its caller recorded it and as the service logged it."""
    entries = await fetch_timeline(service.http_url, result.book)
    log = log_from_timeline(entries, offset_s=media_offset_s(entries, agent_onsets(result.agent)))
    return CallEvidence(call=result.call, events=tuple(result.events), agent=AgentChannel(result.agent), log=log)


def stops_ms(calls: Iterable[CallEvidence]) -> list[float]:
    """From the onset of each interruption until the caller heard nothing more."""
    found = []
    for call in calls:
        for event in call.of(EventType.INTERRUPT):
            stop = call.agent.stop_after(event.start)
            if stop is not None and stop <= event.end + 1.5:
                found.append((stop - event.start) * 1000)
    return found


def word_errors(calls: Iterable[CallEvidence]) -> list[int]:
    """Claimed minus true count of heard words at each yield; the marker voice says the truth."""
    found = []
    for call in calls:
        for utterance in call.log.utterances:
            true = true_count(call, utterance) if utterance.reason == "yielded" else None
            if true is not None:
                found.append(utterance.heard_words - true)
    return found


async def both_doors(
    service: Service, *, count: int, seed: int, cues: dict[str, tuple[Cue, ...]], network: StreamNetwork | None = None
) -> tuple[CallEvidence, CallEvidence, TwilioResult]:
    """The same script through SIP and through Twilio's double, at the same time."""
    script = interruptions(count, seed=seed)
    if script.name not in cues:
        cues[script.name] = await asyncio.to_thread(Renderer().cues, script)
    made = cues[script.name]
    with MediaThread() as media:
        sip, twilio = await asyncio.gather(
            run_call(service.sip_uri, script, media=media, cues=made, call=f"sip{seed}"),
            run_twilio_call(
                voice_uri(service), replace(script), account=ACCOUNT, cues=made, call=f"twilio{seed}", network=network
            ),
        )
    return await evidence(service, sip), await evidence(service, twilio.result), twilio


async def measure(rounds: int, count: int, delay_ms: float) -> dict[str, Any]:
    """Figures of both doors."""
    sips, twilios, deepest = [], [], 0.0
    async with twilio_service({"voice.engine": "marker"}) as service:
        for seed in range(rounds):
            sip, twilio, found = await both_doors(
                service, count=count, seed=seed, cues={}, network=StreamNetwork(delay_ms=delay_ms)
            )
            sips.append(sip)
            twilios.append(twilio)
            deepest = max([deepest, *(buffer.deepest / 8 for buffer in found.trace.buffers)])
    return {
        "delay_ms": delay_ms,
        "sip": _figures(sips),
        "twilio": _figures(twilios),
        "deepest_buffer_ms": deepest,
    }


def _figures(calls: list[CallEvidence]) -> dict[str, Any]:
    stops, errors = sorted(stops_ms(calls)), word_errors(calls)
    return {
        "stops": len(stops),
        "stop_p50_ms": round(statistics.median(stops)) if stops else None,
        "stop_p95_ms": round(stops[int(len(stops) * 0.95)]) if stops else None,
        "stop_mean_ms": round(statistics.fmean(stops)) if stops else None,
        "yields": len(errors),
        "heard_within_one": round(sum(abs(error) <= 1 for error in errors) / len(errors), 3) if errors else None,
        "errors": {str(value): errors.count(value) for value in sorted(set(errors))},
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    sys.stdout.write(json.dumps(asyncio.run(measure(arguments.rounds, arguments.count, arguments.delay_ms))) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
