"""How fast the agent falls silent behind Twilio, and does it know what was heard there? Beside SIP, in the same run.

The same caller, with the same sounds at the same time, calls by SIP and through Twilio's double, asks for long answers
and interrupts each at a random word. "Silent" is what the modelled caller hears: what comes out of the double's
playback buffer. The marker voice renders a whole answer in a moment, so all of it waits in the worker when it is cut.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.bench.conversations import turn
from agent.bench.doors_service import ACCOUNT, MARKER_AGENT, Running, StartService, open_doors, twilio_uri
from agent.bench.duplex_scripts import LONG_ANSWERS, Sounds, sound
from agent.bench.duplex_words import true_count
from agent.bench.evidence import AgentChannel, CallEvidence, log_from_timeline
from agent.bench.statistics import number, percentile
from agent.simulator.caller import CallResult, run_call
from agent.simulator.energy import agent_onsets
from agent.simulator.media import MediaThread
from agent.simulator.render import Cue, Renderer
from agent.simulator.script import Script, Step, WaitReply
from agent.simulator.service import fetch_timeline, media_offset_s
from agent.simulator.truth import EventType
from agent.simulator.twilio_call import TwilioResult, run_twilio_call
from agent.simulator.twilio_double import StreamNetwork

BAR_STOP_MS = 120.0
BAR_HEARD = 0.98
STOPPED_S = 1.5
"""An agent that is silent later than this after the interruption's end had simply finished."""


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


async def evidence(http_url: str, result: CallResult) -> CallEvidence:
    """The call as its caller recorded it and as the service logged it."""
    entries = await fetch_timeline(http_url, result.book)
    log = log_from_timeline(entries, offset_s=media_offset_s(entries, agent_onsets(result.agent)))
    return CallEvidence(call=result.call, events=tuple(result.events), agent=AgentChannel(result.agent), log=log)


def stops_ms(calls: Iterable[CallEvidence]) -> dict[str, float]:
    """Interruption to the time from its onset until the caller heard nothing more."""
    found = {}
    for call in calls:
        for event in call.of(EventType.INTERRUPT):
            stop = call.agent.stop_after(event.start)
            if stop is not None and stop <= event.end + STOPPED_S:
                found[event.item] = (stop - event.start) * 1000
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One caller through both doors."""

    sip: CallEvidence
    twilio: CallEvidence
    trace: TwilioResult


async def both_doors(
    service: Running, *, count: int, seed: int, cues: dict[str, tuple[Cue, ...]], network: StreamNetwork | None = None
) -> Pair:
    """The same script through SIP and through Twilio's double, at the same time. ``cues`` keeps what was rendered."""
    script = interruptions(count, seed=seed)
    if script.name not in cues:
        cues[script.name] = await asyncio.to_thread(Renderer().cues, script)
    made = cues[script.name]
    with MediaThread() as media:
        sip, twilio = await asyncio.gather(
            run_call(service.sip_uri, script, media=media, cues=made, call=f"sip{seed}"),
            run_twilio_call(
                twilio_uri(service), replace(script), account=ACCOUNT, cues=made, call=f"twilio{seed}", network=network
            ),
        )
    return Pair(
        sip=await evidence(service.http_url, sip),
        twilio=await evidence(service.http_url, twilio.result),
        trace=twilio,
    )


async def twilio_figures(
    start_service: StartService, *, rounds: int, count: int, delay_ms: float = 0.0
) -> dict[str, Any]:
    """``rounds`` callers of ``count`` interruptions each, about 12 s per interruption."""
    cues: dict[str, tuple[Cue, ...]] = {}
    async with start_service(open_doors("twilio", more=MARKER_AGENT)) as service:
        pairs = [
            await both_doors(service, count=count, seed=seed, cues=cues, network=StreamNetwork(delay_ms=delay_ms))
            for seed in range(1, rounds + 1)
        ]
    return figures(pairs, delay_ms=delay_ms)


def figures(pairs: Sequence[Pair], *, delay_ms: float) -> dict[str, Any]:
    """Both doors, and how much later the caller behind Twilio hears the silence."""
    later: list[float] = []
    for pair in pairs:
        sip, twilio = stops_ms([pair.sip]), stops_ms([pair.twilio])
        later += [twilio[item] - sip[item] for item in sip if item in twilio]
    buffers = [buffer for pair in pairs for buffer in pair.trace.trace.buffers]
    sip_side, twilio_side = _side([pair.sip for pair in pairs]), _side([pair.twilio for pair in pairs])
    means = (sip_side["stop_ms"]["mean"], twilio_side["stop_ms"]["mean"])
    return {
        "delay_ms": delay_ms,
        "sip": sip_side,
        "twilio": twilio_side,
        "later_ms": {
            "pairs": len(later),
            "mean": number(statistics.fmean(later), 1) if later else None,
            "p50": number(percentile(later, 0.5), 1),
            "p95": number(percentile(later, 0.95), 1),
            "of_means": None if None in means else round(means[1] - means[0], 1),
        },
        "deepest_buffer_ms": round(max((buffer.deepest / 8 for buffer in buffers), default=0.0)),
        "clears": sum(buffer.clears for buffer in buffers),
    }


def _side(calls: Sequence[CallEvidence]) -> dict[str, Any]:
    stops, errors = [one for call in calls for one in stops_ms([call]).values()], word_errors(calls)
    return {
        "interruptions": sum(len(call.of(EventType.INTERRUPT)) for call in calls),
        "stop_ms": {
            "n": len(stops),
            "mean": number(statistics.fmean(stops), 1) if stops else None,
            "p50": number(percentile(stops, 0.5), 1),
            "p95": number(percentile(stops, 0.95), 1),
        },
        "heard": {
            "n": len(errors),
            "within_one": number(sum(abs(error) <= 1 for error in errors) / len(errors)) if errors else None,
            "errors": _counted(errors),
        },
    }


def _counted(errors: Sequence[int]) -> Mapping[str, int]:
    return {str(value): errors.count(value) for value in sorted(set(errors))}
