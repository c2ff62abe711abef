"""``crosstalk bench echo``: our own voice comes back, and nobody says anything.

The caller presses the key of a long answer again and again and makes no sound: all that its telephone sends is our
echo. Whatever the agent takes for a caller was itself. Definitions: docs/reference/duplex-metrics.md.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from rich.console import Console

from agent.bench.answering import must_answer
from agent.bench.load import StartService, show_figures
from agent.bench.machine import machine_facts
from agent.bench.statistics import Proportion, Rate
from agent.model.names import ModelName
from agent.simulator.caller import CallResult, run_call
from agent.simulator.energy import Pcm, agent_spans
from agent.simulator.media import MediaThread
from agent.simulator.phone import DialFailed
from agent.simulator.render import Cue
from agent.simulator.script import Echo, Keys, Script, Step, WaitReply
from agent.simulator.service import fetch_timeline

LEVEL_DB: Final = -20.0
DELAY_MS: Final = 150
BAR_PER_MINUTE: Final = 0.1
ANSWERS: Final = 4
"""In each call: some fifteen seconds of our speech each."""
KEY: Final = "4"
"""Of the example line's opening hours, its longest answer."""
SEED: Final = 20261126


@dataclass(frozen=True, slots=True)
class EchoCall:
    """What our echo did to one call."""

    spoken_s: float
    """Our speech, by the energy rule on the wire."""
    back_db: float
    """How loud the caller's channel was against ours: that there was an echo at all."""
    ducks: int
    """Our voice was turned down for it (floor: overlap)."""
    yields: int
    """Our voice was stopped for it (floor: yielding)."""
    turns: int
    """It was taken for a turn of the caller, over our voice or behind it."""
    utterances: int
    """Begun and over, by the log."""
    cut: int
    """Of these, not heard to their last word."""


def echo_call(timeline: Sequence[Mapping[str, Any]], spoken_s: float, back_db: float) -> EchoCall:
    """Counts from the service's own timeline of a call whose caller made no sound. Pure."""
    floor = [_data(entry) for entry in timeline if entry.get("kind") == "floor"]
    turns = [_data(entry) for entry in timeline if entry.get("kind") == "turn"]
    said = _utterances(timeline)
    return EchoCall(
        spoken_s=spoken_s,
        back_db=back_db,
        ducks=sum(one.get("after") == "overlap" != one.get("before") for one in floor),
        yields=sum(one.get("after") == "yielding" != one.get("before") for one in floor),
        turns=sum(one.get("phase") == "started" for one in turns),
        utterances=len(said),
        cut=sum(not whole for whole in said),
    )


def _utterances(timeline: Sequence[Mapping[str, Any]]) -> list[bool]:
    """For each utterance that was begun and is over: whether it was heard whole."""
    begun: set[Any] = set()
    found = []
    for entry in timeline:
        data = _data(entry)
        if entry.get("kind") != "utterance":
            continue
        if data.get("phase") == "started":
            begun.add(data.get("number"))
        elif data.get("number") in begun:
            found.append(not str(data.get("unheard", "")).strip())
    return found


def _data(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry.get("data") or {}


def echo_figures(calls: Sequence[EchoCall]) -> dict[str, Any]:
    """Rates per minute of our speech, with intervals. Pure."""
    minutes = sum(one.spoken_s for one in calls) / 60
    return {
        "counted_calls": len(calls),
        "spoken_minutes": round(minutes, 2),
        "came_back_db": round(statistics.median(one.back_db for one in calls), 1) if calls else None,
        "self_interruptions": Rate(sum(one.yields for one in calls), minutes).to_json(),
        "ducks": Rate(sum(one.ducks for one in calls), minutes).to_json(),
        "false_turns": Rate(sum(one.turns for one in calls), minutes).to_json(),
        "cut_utterances": Proportion(sum(one.cut for one in calls), sum(one.utterances for one in calls)).to_json(),
    }


def echo_script(number: int, *, level_db: float, delay_ms: int, answers: int = ANSWERS) -> Script:
    """A caller who makes no sound: keys, and what the telephone lets back."""
    steps: list[Step] = [
        Echo(line=0, level_db=level_db, delay_ms=delay_ms),
        WaitReply(line=0, settle_ms=1500, timeout_ms=20_000),
    ]
    for _ in range(answers):
        steps += [Keys(line=0, digits=KEY), WaitReply(line=0, settle_ms=1500, timeout_ms=40_000)]
    return Script(name=f"echo{number}", steps=tuple(steps), seed=SEED + number, max_s=60.0 + 45.0 * answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoOptions:
    """How many callers, what of our voice comes back, and who answers."""

    calls: int = 10
    at_once: int = 2
    level_db: float = LEVEL_DB
    """Of the echo, against our voice."""
    delay_ms: int = DELAY_MS
    """Of the echo."""
    system: str = ModelName.SMALL
    settings: Mapping[str, object] = field(default_factory=dict)
    """More of the service."""


async def echo_command(options: EchoOptions, *, as_json: bool = False, start_service: StartService) -> int:
    """Run the bench and show its figures; 0 where the bar is met. With ``as_json`` stdout gets one object only."""
    found = await run_echo(options, start_service=start_service)
    figures = {
        **found,
        "bar_per_minute": BAR_PER_MINUTE,
        "system": options.system,
        "settings": dict(options.settings),
        "seed": SEED,
        "concurrent_calls": options.at_once,
        "machine": machine_facts(),
    }
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        show_figures(figures, Console())
    return 0 if is_met(figures) else 1


async def echo_rows(
    systems: Sequence[str],
    *,
    calls: int,
    at_once: int,
    start_service: StartService,
    weights: str = "",
    as_json: bool = False,
) -> int:
    """A row for each system, in one object; 0 where all meet the bar."""
    rows = {}
    for name in systems:
        own = {"ears.weights": weights} if weights and name == ModelName.SMALL else {}
        options = EchoOptions(calls=calls, at_once=at_once, system=name, settings=own)
        rows[name] = await run_echo(options, start_service=start_service)
    figures = {"systems": rows, "bar_per_minute": BAR_PER_MINUTE, "seed": SEED, "machine": machine_facts()}
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        for name, row in rows.items():
            show_figures({"system": name, **row}, Console())
    return 0 if all(is_met(row) for row in rows.values()) else 1


def is_met(row: Mapping[str, Any]) -> bool:
    """At most one self-interruption in ten minutes of our speech; nothing said is nothing met."""
    rate = row["self_interruptions"]["per_minute"]
    return rate is not None and rate <= BAR_PER_MINUTE


async def run_echo(options: EchoOptions, *, start_service: StartService) -> dict[str, Any]:
    """One system's row. Raises ``AgentError`` where it cannot serve here."""
    level_db, delay_ms = options.level_db, options.delay_ms
    scripts = [echo_script(number, level_db=level_db, delay_ms=delay_ms) for number in range(options.calls)]
    own = {"engine.spare": 0, "engine.model": options.system, **options.settings}
    async with start_service(own) as service:
        await must_answer(service.http_url, options.system)
        with MediaThread() as media:
            results = await _place(scripts, media, service.sip_uri, options.at_once)
        told = [(one, await fetch_timeline(service.http_url, one.book)) for one in results]
    counted = [
        echo_call(timeline, _spoken_s(result), level_against(result.caller, result.agent))
        for result, timeline in told
        if timeline
    ]
    return {
        "echo": {"level_db": level_db, "delay_ms": delay_ms},
        "calls": options.calls,
        "answered": len(results),
        "void_calls": sum(not one.pacing.is_good for one in results),
        **echo_figures(counted),
    }


async def _place(scripts: Sequence[Script], media: MediaThread, uri: str, at_once: int) -> list[CallResult]:
    limit = asyncio.Semaphore(at_once)
    found: list[CallResult] = []

    async def one(script: Script) -> None:
        async with limit:
            try:
                result = await run_call(uri, script, media=media, cues=_cues(script), call=script.name)
            except DialFailed:
                return
        if result.answered:
            found.append(result)

    async with asyncio.TaskGroup() as group:
        for script in scripts:
            group.create_task(one(script))
    return found


def _cues(script: Script) -> tuple[Cue, ...]:
    """Nothing is rendered: no step has a sound."""
    return tuple(Cue(step=step, item=f"{index}") for index, step in enumerate(script.steps))


def level_against(back: Pcm, sent: Pcm) -> float:
    """Power of one channel over that of another, in dB; no lower than a thousandth of a sample."""
    powers = [float(np.mean(np.square(pcm, dtype=np.float64))) if len(pcm) else 0.0 for pcm in (back, sent)]
    low, high = (max(power, 1e-6) for power in powers)
    return 10 * math.log10(low / high)


def _spoken_s(result: CallResult) -> float:
    return sum(span.length for span in agent_spans(result.agent))
