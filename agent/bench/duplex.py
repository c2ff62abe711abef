"""``crosstalk bench duplex``: turn taking measured on the wire, several systems and baselines in the same run.

Each system that answers calls gets the same scripts, four profiles with the normal voice; then the marker voice for
what was heard, and the recorded callers of the first system before all of them. Definitions:
docs/reference/duplex-metrics.md.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from agent.backchannels import BACKCHANNEL_PHRASES
from agent.bench import metrics
from agent.bench.answering import must_answer
from agent.bench.baselines import HeardCall, baseline_figures
from agent.bench.duplex_picture import TITLES, picture
from agent.bench.duplex_scripts import (
    PROFILES,
    Profile,
    Sounds,
    control_script,
    marker_scripts,
    profile_scripts,
)
from agent.bench.duplex_systems import SYSTEMS, curve_sets, live_of, pipecat_figures, write_picture
from agent.bench.duplex_table import table
from agent.bench.duplex_words import word_figures
from agent.bench.echo import echo_rows
from agent.bench.evidence import AgentChannel, CallEvidence, Control, ServiceLog, log_from_timeline
from agent.bench.figures import conversation_figures, transport_figures
from agent.bench.load import StartService, show_figures
from agent.bench.machine import machine_facts
from agent.bench.progress import progress_bar
from agent.bench.statistics import ms, number, percentile
from agent.bench.transport import punctuality, together
from agent.simulator.caller import CallResult, run_call
from agent.simulator.energy import Span, agent_onsets
from agent.simulator.media import MediaThread
from agent.simulator.phone import DialFailed
from agent.simulator.recording import ear_channel
from agent.simulator.render import Renderer
from agent.simulator.script import Script
from agent.simulator.service import fetch_timeline, media_offset_s
from agent.simulator.truth import EventType
from telephony.audio.g711 import ulaw_decode

AT_ONCE = 2
"""Calls at a time: the figures are those of one. Eight who speak as one wait for two cores' recogniser."""
QUICK_EVENTS = 8
VOICES = 3
SEED = 20260511
BACKCHANNELS = tuple(" ".join(phrase) for phrase in BACKCHANNEL_PHRASES)
Advance = Callable[[], None]


async def duplex_command(
    *,
    speech: Path | None = None,
    events: int = 24,
    quick: bool = False,
    systems: Sequence[str] = SYSTEMS,
    only: Sequence[str] = (),
    weights: str = "",
    at_once: int = AT_ONCE,
    echo: int = 0,
    picture_at: Path | None = None,
    as_json: bool = False,
    start_service: Callable[..., Any],
) -> int:
    """Run the bench and show its figures. With ``as_json`` stdout gets one object and nothing else.

    ``echo``: only so many silent callers for each system, who echo our voice (``agent.bench.echo``).
    """
    if echo:
        return await echo_rows(
            live_of(systems), calls=echo, at_once=at_once, as_json=as_json, start_service=start_service, weights=weights
        )
    figures = await run_duplex(
        speech=speech,
        events=events,
        quick=quick,
        systems=systems,
        only=only,
        weights=weights,
        at_once=at_once,
        start_service=start_service,
    )
    if picture_at is not None:
        for name, found in figures["curves"].items():
            svg = picture(found["curves"], title=f"{found['turns']} turns: {TITLES[name]}")
            write_picture(picture_at.with_stem(f"{picture_at.stem}-{name}"), svg)
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        sys.stdout.write(table(figures) + "\n\n")
        show_figures({name: value for name, value in figures.items() if name not in ("systems", "curves")}, Console())
    return 0 if figures["answered"] == figures["calls"] else 1


async def run_duplex(
    *,
    speech: Path | None,
    events: int,
    quick: bool,
    start_service: StartService,
    systems: Sequence[str] = ("parts", "timer"),
    only: Sequence[str] = (),
    weights: str = "",
    at_once: int = AT_ONCE,
) -> dict[str, Any]:
    """The whole bench as one object: the first profile's figures of the first system at the top, all under ``systems``.

    ``only``: these profiles, without the marker voice and the callers who echo.

    Raises ``AgentError`` where a system cannot serve here.
    """
    sounds = Sounds.of(speech)
    count = min(events, QUICK_EVENTS) if quick else events
    profiles = [one for one in PROFILES if one.name in only] or (PROFILES[:1] if quick else PROFILES)
    renderer = Renderer()
    voices = renderer.voices()[:VOICES]
    live = live_of(systems)
    with MediaThread() as media, progress_bar() as progress:
        runner = Runner(media, renderer, progress, at_once=at_once)
        served = [
            await _served(runner, start_service, name, weights, profiles, count, voices, sounds, echo=not only)
            for name in live
        ]
        marked = Run([], placed=0) if only else await _marked(runner, start_service, live[0], weights, count, voices)
        first = served[0]
        heard = first.runs[0].heard()
        progress.add_task("the same callers before every system", total=None)
        drawn: dict[str, Any] = {}
        if not quick:
            drawn = await asyncio.to_thread(curve_sets, systems, voices, speech, weights=weights, seed=SEED)
    others = {"pipecat": pipecat_figures(heard)} if "pipecat" in systems else {}
    for found in others.values():
        del found["curve"]
    everything = [result for one in served for run in one.runs for result in run.results] + marked.results
    placed = sum(run.placed for one in served for run in one.runs) + marked.placed
    return {
        "calls": placed,
        "answered": sum(result.answered for result in everything),
        "failed": placed - sum(one.answered for one in everything),
        "lost": sum(result.answered and result.book.ended_by == "network" for result in everything),
        **first.figures(),
        **({} if only else word_figures(marked.evidence())),
        "systems": {**{one.name: {"how": "live", **one.figures()} for one in served}, **others},
        "baselines": baseline_figures(heard),
        "curves": drawn,
        "callers": {
            "void_pacing": sum(not one.pacing.is_good for one in everything if one.answered),
            "turns": sum(len(one.call.of(EventType.TURN)) for one in heard),
        },
        "seed": SEED,
        "codec": "PCMU",
        "caller_voices": voices,
        "clips": sounds.hashes(),
        "networks": {profile.name: asdict(profile.network) for profile in profiles},
        "concurrent_calls": at_once,
        "machine": machine_facts(),
    }


async def _marked(
    runner: Runner, start_service: StartService, system: str, weights: str, events: int, voices: Sequence[str]
) -> Run:
    async with start_service(_settings(system, weights, {"voice.engine": "marker"})) as service:
        scripts = marker_scripts(events=events, voices=voices, seed=SEED)
        return await runner.calls("marker voice", scripts, service.sip_uri, service.http_url)


def _settings(system: str, weights: str, more: Mapping[str, object] | None = None) -> dict[str, object]:
    own: dict[str, object] = {"engine.spare": 0, "engine.model": system, **(more or {})}
    return {**own, "ears.weights": weights} if weights and system == "small" else own


@dataclass(frozen=True, slots=True)
class Served:
    """One system's calls: a run for each profile, and its callers who only echo."""

    name: str
    profiles: tuple[Profile, ...]
    runs: tuple[Run, ...]
    echo: list[tuple[CallEvidence, CallEvidence]]

    def figures(self) -> dict[str, Any]:
        first = self.runs[0]
        return {
            **first.figures(),
            "ear60": _ear_figures(first),
            "self_interruptions_per_minute": number(metrics.self_interruptions(self.echo), 3),
            "profiles": {profile.name: run.figures() for profile, run in zip(self.profiles, self.runs, strict=True)},
        }


async def _served(
    runner: Runner,
    start_service: StartService,
    system: str,
    weights: str,
    profiles: Sequence[Profile],
    events: int,
    voices: Sequence[str],
    sounds: Sounds,
    *,
    echo: bool,
) -> Served:
    """All profiles' calls, answered by ``system``. Raises ``AgentError`` where another one answers in its place."""
    async with start_service(_settings(system, weights)) as service:
        await must_answer(service.http_url, system)
        runs = [
            await _profile(runner, system, profile, service.sip_uri, service.http_url, events, voices, sounds)
            for profile in profiles
        ]
        echoes = await _echo_runs(runner, service.sip_uri, service.http_url, voices) if echo else []
    return Served(system, tuple(profiles), tuple(runs), echoes)


# --- running ---


class Runner:
    """Places the calls of one bench."""

    def __init__(self, media: MediaThread, renderer: Renderer, progress: Progress, *, at_once: int = AT_ONCE) -> None:
        self._media, self._renderer, self._progress, self._at_once = media, renderer, progress, at_once

    async def calls(self, what: str, scripts: Sequence[Script], uri: str, http_url: str) -> Run:
        """All scripts, a few at a time, with the service's log of each call."""
        task = self._progress.add_task(what, total=len(scripts))
        limit = asyncio.Semaphore(self._at_once)
        found: list[tuple[CallResult, ServiceLog]] = []
        rendered = [await asyncio.to_thread(self._renderer.cues, script) for script in scripts]

        async def one(index: int) -> None:
            script = scripts[index]
            async with limit:
                try:
                    result = await run_call(
                        uri, script, media=self._media, cues=rendered[index], call=script.name, seed=script.network.seed
                    )
                except DialFailed:
                    return
                finally:
                    self._progress.advance(task)
                found.append((result, await service_log(http_url, result)))

        async with asyncio.TaskGroup() as group:
            for index in range(len(scripts)):
                group.create_task(one(index))
        return Run(found, placed=len(scripts))


async def service_log(http_url: str, result: CallResult) -> ServiceLog:
    """The service's own account of a call, on the caller's clock."""
    entries = await fetch_timeline(http_url, result.book)
    offset_s = media_offset_s(entries, agent_onsets(result.agent))
    return log_from_timeline(entries, offset_s=offset_s, backchannels=BACKCHANNELS)


class Run:
    """Calls of one profile with their controls."""

    def __init__(self, found: Sequence[tuple[CallResult, ServiceLog]], *, placed: int) -> None:
        self.placed = placed
        self._found = list(found)
        self._controls: list[CallEvidence] = []

    @property
    def results(self) -> list[CallResult]:
        return [result for result, _ in self._found]

    def evidence(self, *, ear: bool = False) -> list[CallEvidence]:
        """Evidence with controls; ``ear``: behind a 60 ms playout buffer instead of on the wire."""
        calls = []
        for result, log in self._found:
            if not result.answered:
                continue
            pcm = ear_channel(result.track, ulaw_decode, length_s=result.length_s) if ear else result.agent
            call = CallEvidence(call=result.call, events=tuple(result.events), agent=AgentChannel(pcm), log=log)
            calls.append(replace(call, controls=match_controls(call, self._controls)))
        return calls

    def control_by(self, controls: Run) -> Run:
        """The same calls, paired with control runs."""
        self._controls = controls.evidence()
        return self

    def heard(self) -> list[HeardCall]:
        callers = {result.call: result.caller for result, _ in self._found}
        return [HeardCall(call, callers[call.call]) for call in self.evidence()]

    def figures(self) -> dict[str, Any]:
        wire = together([punctuality(result.track) for result in self.results if result.answered])
        return {
            **transport_figures(wire),
            **conversation_figures(self.evidence()),
            "rtp": {
                "sent": sum(result.pacing.packets for result in self.results),
                "received": wire.received,
                "lost": wire.lost,
            },
            "void_calls": sum(not result.pacing.is_good for result in self.results if result.answered),
        }


def match_controls(call: CallEvidence, controls: Sequence[CallEvidence]) -> dict[str, Control]:
    """For each event over the agent's voice: the same words, said to their end, in a control run.

    The service's log says which text was being said at the event and since when; the control run's log where the
    same text was played whole. What was left is the control's end minus the same place in it.
    """
    whole = {
        said.whole: (control, said)
        for control in controls
        for said in control.log.utterances
        if said.reason == "played"
    }
    found: dict[str, Control] = {}
    for event in call.events:
        said = [one for one in call.log.utterances if one.start <= event.start]
        if not said or said[-1].whole not in whole:
            continue
        control, played = whole[said[-1].whole]
        begun, meant = onset_near(call.agent, said[-1].start), onset_near(control.agent, played.start)
        if begun is None or meant is None or event.start < begun.start:
            continue
        at = meant.start + event.start - begun.start
        stop = control.agent.stop_after(at)
        if stop is not None:
            found[event.item] = Control(left_s=stop - at, at=at, agent=control.agent)
    return found


def onset_near(agent: AgentChannel, at: float) -> Span | None:
    """The active span that begins nearest to ``at``, within half a second."""
    near = [span for span in agent.spans if abs(span.start - at) <= 0.5]
    return min(near, key=lambda span: abs(span.start - at), default=None)


async def _profile(
    runner: Runner,
    system: str,
    profile: Profile,
    uri: str,
    http_url: str,
    events: int,
    voices: Sequence[str],
    sounds: Sounds,
) -> Run:
    control = [control_script(profile, voices=voices, seed=SEED)]
    scripts = profile_scripts(profile, events=events, voices=voices, sounds=sounds, seed=SEED)
    controls, run = await asyncio.gather(
        runner.calls(f"{system}, {profile.name}: control", control, uri, http_url),
        runner.calls(f"{system}, {profile.name}", scripts, uri, http_url),
    )
    return run.control_by(controls)


async def _echo_runs(
    runner: Runner, uri: str, http_url: str, voices: Sequence[str]
) -> list[tuple[CallEvidence, CallEvidence]]:
    """Silent callers with and without echo of the agent's own voice: the same questions, the same answers."""
    clean, echo = PROFILES[0], PROFILES[-1]
    scripts = [control_script(profile, voices=voices, seed=SEED + 1) for profile in (clean, echo)]
    runs = await asyncio.gather(*(runner.calls(f"echo: {script.name}", [script], uri, http_url) for script in scripts))
    without, with_ = (run.evidence() for run in runs)
    return list(zip(with_, without, strict=False))


def _ear_figures(run: Run) -> Mapping[str, Any]:
    """Headline rows behind a fixed 60 ms playout buffer."""
    calls = run.evidence(ear=True)
    latencies = [one.content_s for one in metrics.responses(calls)]
    yields = [one.yield_s for one in metrics.yields(calls)]
    return {
        "response_ms": {"p50": ms(percentile(latencies, 0.5)), "p95": ms(percentile(latencies, 0.95))},
        "pause_takeover": number(metrics.pause_takeover(calls).share),
        "yield_ms": {"p50": ms(percentile(yields, 0.5)), "p95": ms(percentile(yields, 0.95))},
        "interruptions": sum(len(call.of(EventType.INTERRUPT)) for call in calls),
    }
