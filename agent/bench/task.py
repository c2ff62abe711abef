"""``crosstalk bench task``: callers who want something of the parcel line, and whether they got it.

Each has a goal drawn by seed, says it in the dialogue's own forms, answers what it is asked, and gives up at last.
Success is judged by the service's books and by what the customer's server was asked (``task_judge.py``). Definitions:
docs/reference/duplex-metrics.md.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from agent.bench.answering import must_answer
from agent.bench.load import StartService, show_figures
from agent.bench.machine import machine_facts
from agent.bench.task_call import Bench, TaskLine, run_task_call
from agent.bench.task_goals import draw_goals
from agent.bench.task_judge import Outcome, task_figures
from agent.bench.task_lines import LineBook
from agent.bench.task_server import TaskServer, TaskStore, checked_dialogue
from agent.brain.flow.load import load_dialogue
from agent.errors import AgentError
from agent.model.names import ModelName
from agent.simulator.media import MediaThread
from agent.simulator.render import Renderer
from agent.simulator.watch import watching

VOICES: Final = ("flite:rms", "pico:en-GB")
"""Callers that training never heard."""
BARS: Final = {"clean": 0.95, "noise": 0.85}
SEED: Final = 20261126


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """Who calls, over which line, and who answers."""

    calls: int = 40
    at_once: int = 2
    noise_db: float | None = None
    """How loud the background is against the callers; ``None``: there is none."""
    noise: str = "babble"
    """What the background is."""
    system: str = ModelName.SMALL
    settings: Mapping[str, object] = field(default_factory=dict)
    """More of the service."""
    voices: Sequence[str] = VOICES
    """Of the callers; those that this host lacks are left out."""
    use_keys: bool = True
    """Callers press keys where they are asked to."""
    seed: int = SEED


async def task_command(options: TaskOptions, *, as_json: bool = False, start_service: StartService) -> int:
    """Run the bench and show its figures; 0 where the bar is met. With ``as_json`` stdout gets one object only."""
    figures = await run_tasks(options, start_service=start_service)
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        show_figures({name: value for name, value in figures.items() if name != "each"}, Console())
    return 0 if (figures["success"]["share"] or 0.0) >= figures["bar"] else 1


async def run_tasks(options: TaskOptions, *, start_service: StartService) -> dict[str, Any]:
    """The bench as one object. Raises ``AgentError`` where the system cannot serve here or a voice is missing."""
    renderer = Renderer()
    names = callers_of(renderer, options.voices)
    with tempfile.TemporaryDirectory(prefix="crosstalk-task-") as folder:
        dialogue = checked_dialogue(Path(folder))
        spec = load_dialogue(dialogue)
        goals = draw_goals(spec, options.calls, options.seed)
        lines = draw_lines(options, names)
        server = TaskServer(TaskStore(goals))
        async with server.open():
            own: dict[str, object] = {"engine.spare": 0, "engine.model": options.system}
            own |= {**server.settings(dialogue), **options.settings}
            async with start_service(own) as service, watching(service.http_url, "utterance") as watch:
                await must_answer(service.http_url, options.system)
                with MediaThread() as media:
                    bench = Bench(
                        uri=service.sip_uri,
                        http_url=service.http_url,
                        media=media,
                        watch=watch,
                        store=server.store,
                        book=LineBook(spec),
                        renderer=renderer,
                        lock=asyncio.Lock(),
                        use_keys=options.use_keys,
                    )
                    outcomes = await _place(bench, list(zip(goals, lines, strict=True)), options.at_once)
    return {
        **task_figures(outcomes, options.calls),
        "bar": BARS["clean" if options.noise_db is None else "noise"],
        "line": {"noise": None if options.noise_db is None else options.noise, "noise_db": options.noise_db},
        "system": options.system,
        "settings": dict(options.settings),
        "use_keys": options.use_keys,
        "seed": options.seed,
        "caller_voices": names,
        "concurrent_calls": options.at_once,
        "each": [_told(one) for one in outcomes],
        "machine": machine_facts(),
    }


async def _place(bench: Bench, callers: Sequence[tuple[Any, TaskLine]], at_once: int) -> list[Outcome]:
    """All calls, a few at a time."""
    limit = asyncio.Semaphore(at_once)
    console = Console(stderr=True)
    found: list[Outcome] = []

    async def one(goal: Any, line: TaskLine) -> None:
        async with limit:
            outcome = await run_task_call(bench, goal, line)
        if outcome is not None:
            found.append(outcome)
            verdict = "reached" if outcome.reached else f"not reached: {outcome.why}"
            console.print(f"{len(found)}/{len(callers)} {outcome.kind}: {verdict}", highlight=False, soft_wrap=True)

    async with asyncio.TaskGroup() as group:
        for goal, line in callers:
            group.create_task(one(goal, line))
    return found


def callers_of(renderer: Renderer, wanted: Sequence[str]) -> list[str]:
    """Those of ``wanted`` that this host has. Raises ``AgentError`` for none: others would be those of training."""
    has = renderer.voices()
    found = [name for name in wanted if name in has]
    if not found:
        raise AgentError(
            f"this host has none of the callers' voices {', '.join(wanted)} (--voice; there are: {', '.join(has)})"
        )
    return found


def draw_lines(options: TaskOptions, voices: Sequence[str]) -> list[TaskLine]:
    """Each caller a little quicker or slower, higher or lower than the next."""
    rng = random.Random(options.seed + 1)
    return [
        TaskLine(
            voice=voices[number % len(voices)],
            speed=round(rng.uniform(0.92, 1.1), 3),
            pitch=round(rng.uniform(0.95, 1.06), 3),
            noise="" if options.noise_db is None else options.noise,
            noise_db=options.noise_db or 0.0,
            seed=options.seed + number,
        )
        for number in range(options.calls)
    ]


def _told(one: Outcome) -> dict[str, Any]:
    return {
        "goal": str(one.kind),
        "reached": one.reached,
        "why": one.why,
        "wrong": list(one.wrong),
        "turns": one.turns,
        "again": one.again,
        "seconds": one.seconds,
        "keyed": one.keyed,
        "void": one.is_void,
        "said": list(one.said),
    }
