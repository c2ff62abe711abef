"""``crosstalk load``: many simulated callers at once, cheap enough to leave the machine to the service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agent.bench.conversations import QUESTIONS, STATEMENTS, chat_script
from agent.bench.evidence import AgentChannel, CallEvidence, Control, ServiceLog, log_from_timeline
from agent.bench.figures import conversation_figures, transport_figures
from agent.bench.machine import ServiceCost, machine_facts, service_cost, steal_s
from agent.bench.statistics import number, percentile
from agent.bench.transport import punctuality, together
from agent.simulator.caller import CallResult, run_call
from agent.simulator.energy import agent_onsets
from agent.simulator.media import MediaThread
from agent.simulator.phone import DialFailed, PhoneBook
from agent.simulator.render import Cue, Renderer
from agent.simulator.script import Script
from agent.simulator.service import check_access, fetch_json, fetch_timeline, media_offset_s

SCRIPTS = 8
"""Different scripts among the callers; each is rendered once."""
SAMPLE_S = 1.0
FETCHES_AT_ONCE = 8


class RunningService(Protocol):
    """What a bench needs of a service that it started."""

    @property
    def sip_uri(self) -> str: ...
    @property
    def http_url(self) -> str: ...


StartService = Callable[[Mapping[str, object] | None], AbstractAsyncContextManager[RunningService]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    calls: int
    rate: float
    """New calls per second."""
    seconds: float
    """Length of each call."""
    model: str = "vad"


async def load_command(
    uri: str | None,
    *,
    http_url: str = "",
    key: str = "",
    calls: int = 40,
    rate: float = 5.0,
    seconds: float = 60.0,
    model: str = "vad",
    as_json: bool = False,
    start_service: Callable[..., Any],
) -> int:
    """Run the load and show its figures; exit code 0 if every call was answered and none was lost.

    ``key``: API key for ``http_url``. Raises ``AgentError`` where the service does not take it.
    """
    plan = LoadPlan(calls=calls, rate=rate, seconds=seconds, model=model)
    figures = await run_load(uri, plan, http_url=http_url, key=key, start_service=start_service)
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        show_figures(figures, Console())
    return 0 if figures["answered"] == calls and not figures["lost"] else 1


async def run_load(
    uri: str | None, plan: LoadPlan, *, http_url: str = "", key: str = "", start_service: StartService
) -> dict[str, Any]:
    """The figures of one load. Without ``uri`` a service of its own is started for it."""
    async with contextlib.AsyncExitStack() as stack:
        if uri is None:
            service = await stack.enter_async_context(start_service(service_settings(plan)))
            uri, http_url = service.sip_uri, service.http_url
        elif http_url:
            await check_access(http_url.rstrip("/"), key)
        return await _run(uri, http_url.rstrip("/"), plan, key)


def service_settings(plan: LoadPlan) -> dict[str, object]:
    """A brain that answers without understanding, for models that do not understand."""
    settings: dict[str, object] = {"engine.model": plan.model, "engine.spare": 0}
    if plan.model != "parts":
        settings["agent.brain"] = "chatter"
    return settings


async def _run(uri: str, http_url: str, plan: LoadPlan, key: str) -> dict[str, Any]:
    scripts = await asyncio.to_thread(_render, plan)
    meter = Meter(http_url)
    steal_before = steal_s()
    with MediaThread() as media, _progress() as progress:
        task = progress.add_task("calls", total=plan.calls, live=0)
        meter.show = lambda live, done: progress.update(task, completed=done, live=live)
        async with meter.running():
            results = await _place(uri, scripts, media, plan, meter)
    logs = await _logs(http_url, results, key)
    return {
        **load_figures(results, logs, plan.calls),
        **meter.figures(),
        "seconds": plan.seconds,
        "rate": plan.rate,
        "model": plan.model,
        "machine": {**machine_facts(), "steal_during_s": round(steal_s() - steal_before, 2)},
    }


def _render(plan: LoadPlan) -> list[tuple[Script, tuple[Cue, ...]]]:
    renderer = Renderer()
    voices = renderer.voices()
    texts = QUESTIONS if plan.model == "parts" else STATEMENTS
    found = []
    for number_ in range(min(SCRIPTS, plan.calls)):
        voice = voices[number_ % len(voices)]
        script = chat_script(f"load{number_}", seed=100 + number_, seconds=plan.seconds, texts=texts, voice=voice)
        found.append((script, renderer.cues(script)))
    return found


async def _place(
    uri: str,
    scripts: Sequence[tuple[Script, tuple[Cue, ...]]],
    media: MediaThread,
    plan: LoadPlan,
    meter: Meter,
) -> list[CallResult | None]:
    """All calls, ``rate`` new ones a second; ``None`` where one could not even be dialled."""
    results: list[CallResult | None] = [None] * plan.calls
    rng = random.Random(1)

    async def one(index: int) -> None:
        await asyncio.sleep(index / plan.rate + rng.uniform(0, 0.5 / plan.rate))
        script, cues = scripts[index % len(scripts)]
        try:
            results[index] = await run_call(
                uri, script, media=media, cues=cues, call=f"load{index}", seed=index, on_answer=meter.answered
            )
        except DialFailed:
            return
        finally:
            meter.finished()

    async with asyncio.TaskGroup() as group:
        for index in range(plan.calls):
            group.create_task(one(index))
    return results


@contextlib.contextmanager
def _progress() -> Any:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} done, {task.fields[live]} live"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        yield progress


async def _logs(http_url: str, results: Sequence[CallResult | None], key: str) -> dict[str, ServiceLog]:
    """The service's log of each call, where it can be had."""
    found: dict[str, ServiceLog] = {}
    limit = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def one(result: CallResult) -> None:
        async with limit:
            entries = await fetch_timeline(http_url, result.book, key)
        offset_s = media_offset_s(entries, agent_onsets(result.agent))
        found[result.call] = log_from_timeline(entries, offset_s=offset_s)

    async with asyncio.TaskGroup() as group:
        for result in results:
            if result is not None and http_url and result.answered:
                group.create_task(one(result))
    return found


# --- figures ---


def load_figures(results: Sequence[CallResult | None], logs: Mapping[str, ServiceLog], calls: int) -> dict[str, Any]:
    """What the callers saw. ``lost``: answered calls that ended other than by the caller's own answered BYE."""
    answered = [result for result in results if result is not None and result.answered]
    lost = [result for result in answered if result.book.ended_by != "caller" or result.book.bye_status != 200]
    parts = [punctuality(result.track) for result in answered]
    wire = together(parts)
    return {
        "calls": calls,
        "answered": len(answered),
        "failed": calls - len(answered),
        "lost": len(lost),
        "lost_reasons": sorted({f"{one.book.ended_by}/{one.book.reason}/{one.book.bye_status}" for one in lost}),
        **transport_figures(wire),
        "answer_ms": {
            "p50": number(1000 * percentile([one.book.answered_after_s for one in answered], 0.5), 1),
            "p95": number(1000 * percentile([one.book.answered_after_s for one in answered], 0.95), 1),
        },
        **conversation_figures(evidence(answered, logs)),
        "rtp": {
            "sent": sum(result.pacing.packets for result in answered),
            "received": wire.received,
            "lost": wire.lost,
        },
        "callers": {
            "void_pacing": sum(not result.pacing.is_good for result in answered),
            "worst_send_ms": number(1000 * max((one.pacing.worst_s for one in answered), default=0.0), 1),
        },
    }


def evidence(results: Sequence[CallResult], logs: Mapping[str, ServiceLog]) -> list[CallEvidence]:
    """Evidence with controls from the same run: a text that was once said to its end tells how long it takes."""
    calls = [
        CallEvidence(
            call=result.call,
            events=tuple(result.events),
            agent=AgentChannel(result.agent),
            log=logs.get(result.call, ServiceLog()),
        )
        for result in results
    ]
    lengths = spoken_lengths(calls)
    return [replace(call, controls=_controls(call, lengths)) for call in calls]


def spoken_lengths(calls: Sequence[CallEvidence]) -> dict[str, float]:
    """Text → seconds on the wire, from utterances that were played to their end."""
    found: dict[str, list[float]] = {}
    for call in calls:
        for utterance in call.log.utterances:
            if utterance.reason == "played":
                found.setdefault(utterance.whole, []).append(utterance.end - utterance.start)
    return {text: percentile(lengths, 0.5) for text, lengths in found.items()}


def _controls(call: CallEvidence, lengths: Mapping[str, float]) -> dict[str, Control]:
    """What was left of the utterance that was being said at each event, had nothing happened."""
    found: dict[str, Control] = {}
    for event in call.events:
        said = [one for one in call.log.utterances if one.start <= event.start]
        if not said or said[-1].whole not in lengths:
            continue
        left = said[-1].start + lengths[said[-1].whole] - event.start
        if left > 0:
            found[event.item] = Control(left_s=left)
    return found


class Meter:
    """Counts live calls and reads what the service costs while they last."""

    def __init__(self, http_url: str) -> None:
        self.show: Callable[[int, int], None] = lambda live, done: None
        self._http_url = http_url
        self._live = self._done = self._peak = 0
        self._call_seconds = 0.0
        self._first: tuple[float, ServiceCost] | None = None
        self._last: tuple[float, ServiceCost] | None = None
        self._rss_mb = 0.0

    def answered(self, _book: PhoneBook) -> None:
        self._live += 1
        self._peak = max(self._peak, self._live)
        self.show(self._live, self._done)

    def finished(self) -> None:
        self._live, self._done = max(0, self._live - 1), self._done + 1
        self.show(self._live, self._done)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sample while the calls run."""
        task = asyncio.ensure_future(self._sample())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _sample(self) -> None:
        at = time.monotonic()
        while True:
            await asyncio.sleep(SAMPLE_S)
            now = time.monotonic()
            health = await fetch_json(f"{self._http_url}/healthz") if self._http_url else None
            if health is None:
                at = now
                continue
            cost = service_cost([one for one in health.get("processes", []) if isinstance(one, dict)])
            self._rss_mb = max(self._rss_mb, cost.rss_mb)
            if self._first is None:
                self._first = (now, cost)
            else:
                self._call_seconds += self._live * (now - at)
            self._last, at = (now, cost), now

    def figures(self) -> dict[str, Any]:
        """Percent of a core per live call, by part; ``None`` where the service is not on this machine."""
        spent: dict[str, float | None] = dict.fromkeys(("gateway", "worker", "voice"))
        if self._first is not None and self._last is not None and self._call_seconds > 0:
            before, after = self._first[1].cpu_s, self._last[1].cpu_s
            spent = {part: number(100 * (after[part] - before[part]) / self._call_seconds, 3) for part in before}
        return {
            "peak_calls": self._peak,
            "gateway_cpu_percent_per_call": spent["gateway"],
            "worker_cpu_percent_per_call": spent["worker"],
            "voice_cpu_percent_per_call": spent["voice"],
            "rss_mb": round(self._rss_mb, 1) if self._rss_mb else None,
        }


def show_figures(figures: Mapping[str, Any], console: Console) -> None:
    """The object as a table, nested names joined by dots."""
    table = Table(box=None, show_header=False)
    for name, value in _flat(figures):
        table.add_row(name, "—" if value is None else str(value))
    console.print(table)


def _flat(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found
