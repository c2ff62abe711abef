"""``crosstalk bench overlaps``: sounds over our voice by the hundred, on the whole engine in virtual time.

The duplex bench asks a service the same on the wire, a few dozen times an hour. What this one leaves out, and by how
much a yield on the wire is later: docs/reference/duplex-metrics.md.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from agent.bench.duplex import VOICES
from agent.bench.duplex_scripts import PROFILES, Profile
from agent.bench.evidence import STOP_SILENCE_S, AgentChannel, CallEvidence
from agent.bench.load import show_figures
from agent.bench.machine import machine_facts
from agent.bench.overlaps_answer import Answer, opening_hours
from agent.bench.overlaps_ears import ears
from agent.bench.overlaps_engine import Caller, Stage
from agent.bench.overlaps_events import Overlap, Recorded, draw
from agent.bench.overlaps_figures import evidence, overlap_figures, table
from agent.bench.progress import progress_bar
from agent.config import AgentConfig
from agent.model.protocol import DuplexModel
from agent.scheduler.floor.profile import FloorProfile
from agent.simulator.clips import PACKET_SAMPLES
from agent.simulator.energy import RATE_HZ, Pcm
from agent.simulator.performer import FRAME_S
from agent.simulator.render import Renderer, background
from agent.simulator.script import Background, Echo, Script

QUESTION_PACKET: Final = 25
"""Of the line on which the caller asks; our answer follows (``overlaps_engine.LEAD_FRAMES``)."""
ROWS: Final = 32
"""Calls at once."""
WATCHED_S: Final = 3.0
"""Behind the end of its sound a call is run for so long; what would stop the agent later is not of the sound."""
SEED: Final = 20261126
MakeEars = Callable[[str, int, str], DuplexModel]
Advance = Callable[[int], None]


def overlaps_command(
    *,
    events: int = 200,
    systems: Sequence[str] = ("small",),
    only: Sequence[str] = (),
    speech: Path | None = None,
    weights: str = "",
    seed: int = SEED,
    as_json: bool = False,
) -> int:
    """Run the bench and show its figures. Exit code 0 where every event could be judged.

    Raises ``AgentError``.
    """
    lines = [line for line in PROFILES if not only or line.name in only]
    recorded = None if speech is None else Recorded.of(speech)
    answer = asyncio.run(opening_hours())
    with progress_bar(TimeRemainingColumn()) as progress:
        figures = run_overlaps(
            answer, events=events, systems=systems, lines=lines, recorded=recorded, weights=weights, seed=seed,
            progress=progress,
        )  # fmt: skip
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        sys.stdout.write(table(figures["rows"]) + "\n\n")
        show_figures({name: value for name, value in figures.items() if name != "rows"}, Console())
    return 0 if all(row["judged"] + row["silent_before"] == row["events"] for row in figures["rows"]) else 1


def run_overlaps(
    answer: Answer,
    *,
    events: int,
    systems: Sequence[str],
    lines: Sequence[Profile],
    recorded: Recorded | None = None,
    weights: str = "",
    seed: int = SEED,
    rows: int = ROWS,
    make_ears: MakeEars = ears,
    profile: FloorProfile | None = None,
    renderer: Renderer | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every system on every line: the same sounds at the same words. Raises ``AgentError``.

    A ``renderer`` that is new to its process makes the same sounds in each.
    """
    renderer = renderer or Renderer()
    voices = renderer.voices()[:VOICES]
    floor = profile if profile is not None else AgentConfig().floor
    found: list[dict[str, Any]] = []
    for system in systems:
        stage = Stage(make_ears(system, rows, weights), rows=rows, profile=floor, answer=answer)
        control = undisturbed(stage)
        overlaps = draw(control, events=events, voices=voices, recorded=recorded, renderer=renderer, seed=seed)
        for line in lines:
            begun, cpu = time.perf_counter(), time.process_time()
            calls = heard(stage, overlaps, line, control, _advance(progress, f"{system}, {line.name}", len(overlaps)))
            found.append(
                {
                    "system": system,
                    "line": line.name,
                    "callers": "synthetic" if recorded is None else "people",
                    **overlap_figures(calls),
                    "cpu_s": round(time.process_time() - cpu, 1),
                    "wall_s": round(time.perf_counter() - begun, 1),
                }
            )
    return {
        "rows": found,
        "events_of_each_kind": events,
        "answer_s": round(answer.length_s, 1),
        "answer_voice": answer.voice,
        "caller_voices": voices if recorded is None else [],
        "people": {} if recorded is None else recorded.said(),
        "seed": seed,
        "rows_at_once": rows,
        "machine": machine_facts(),
    }


def undisturbed(stage: Stage) -> AgentChannel:
    """The agent's channel of a call on a quiet line with nobody speaking."""
    (agent,) = stage.run([Caller(np.zeros(0, np.int16))])
    return AgentChannel(agent)


def heard(
    stage: Stage, overlaps: Sequence[Overlap], line: Profile, control: AgentChannel, advance: Advance
) -> list[CallEvidence]:
    """What the agent did with each sound on this line."""
    calls: dict[str, CallEvidence] = {}
    by_end = sorted(overlaps, key=lambda one: one.event.end)
    for first in range(0, len(by_end), stage.rows):
        some = by_end[first : first + stage.rows]
        frames = math.ceil((some[-1].event.end + WATCHED_S) / FRAME_S)
        agents = stage.run([caller_of(one, line, stage.frames) for one in some], frames)
        for one, agent in zip(some, agents, strict=True):
            calls[one.name] = evidence(one.event, AgentChannel(gone_on(agent, control)), control)
        advance(len(some))
    return [calls[one.name] for one in overlaps]


def gone_on(agent: Pcm, control: AgentChannel) -> Pcm:
    """A call that was watched long enough, to the end of the answer: who still speaks goes on as undisturbed."""
    last = AgentChannel(agent[-round(STOP_SILENCE_S * RATE_HZ) :])
    rest = control.pcm[len(agent) :]
    return np.concatenate([agent, rest if last.spans else np.zeros_like(rest)])


def caller_of(overlap: Overlap, line: Profile, frames: int) -> Caller:
    """The caller with this sound, in the room and on the network of ``line``."""
    echo = next((step for step in line.room if isinstance(step, Echo)), None)
    noises = [step for step in line.room if isinstance(step, Background)]
    return Caller(
        _line_of(overlap, noises, overlap.script, frames),
        echo_db=None if echo is None else echo.level_db,
        echo_delay_ms=0 if echo is None else echo.delay_ms,
        network=replace(line.network, seed=overlap.script.seed),
    )


def _line_of(overlap: Overlap, noises: Sequence[Background], script: Script, frames: int) -> Pcm:
    """The caller's sound and what else is in the room, ``frames`` packets long."""
    mixed = np.zeros(frames * PACKET_SAMPLES, np.int32)
    for step in noises:
        mixed += np.resize(background(step.kind, step.snr_db, script), mixed.size)
    for packet, clip in ((QUESTION_PACKET, overlap.asked), (overlap.packet, overlap.clip)):
        begin = packet * PACKET_SAMPLES
        if clip is not None:
            mixed[begin : begin + len(clip.pcm)] += clip.pcm[: mixed.size - begin]
    return np.clip(mixed, -32768, 32767).astype(np.int16)


def _advance(progress: Progress | None, what: str, total: int) -> Advance:
    if progress is None:
        return lambda _: None
    task = progress.add_task(what, total=total)
    return lambda count: progress.advance(task, count)
