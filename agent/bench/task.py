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
from agent.simulator.media import MediaThread
from agent.simulator.render import Renderer
from agent.simulator.watch import watching

VOICES: Final = ("flite:rms", "pico:en-GB")
"""Callers that training never heard."""
BARS: Final = {"clean": 0.95, "noise": 0.85}
SEED: Final = 20261126


async def task_command(
    *,
    calls: int = 40,
    at_once: int = 2,
    noise_db: float | None = None,
    noise: str = "babble",
    system: str = "small",
    settings: Mapping[str, object] | None = None,
    voices: Sequence[str] = (),
    use_keys: bool = True,
    seed: int = SEED,
    as_json: bool = False,
    start_service: StartService,
) -> int:
    """Run the bench and show its figures; 0 where the bar is met. With ``as_json`` stdout gets one object only."""
    figures = await run_tasks(
        calls=calls,
        at_once=at_once,
        noise_db=noise_db,
        noise=noise,
        system=system,
        settings=settings,
        voices=voices,
        use_keys=use_keys,
        seed=seed,
        start_service=start_service,
    )
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        show_figures({name: value for name, value in figures.items() if name != "each"}, Console())
    return 0 if (figures["success"]["share"] or 0.0) >= figures["bar"] else 1


async def run_tasks(
    *,
    calls: int,
    at_once: int,
    start_service: StartService,
    noise_db: float | None = None,
    noise: str = "babble",
    system: str = "small",
    settings: Mapping[str, object] | None = None,
    voices: Sequence[str] = (),
    use_keys: bool = True,
    seed: int = SEED,
) -> dict[str, Any]:
    """The bench as one object. Raises ``AgentError`` where ``system`` cannot serve here or a voice is missing."""
    renderer = Renderer()
    names = callers_of(renderer, voices or VOICES)
    with tempfile.TemporaryDirectory(prefix="crosstalk-task-") as folder:
        dialogue = checked_dialogue(Path(folder))
        spec = load_dialogue(dialogue)
        goals = draw_goals(spec, calls, seed)
        lines = draw_lines(calls, names, seed, noise="" if noise_db is None else noise, noise_db=noise_db or 0.0)
        server = TaskServer(TaskStore(goals))
        async with server.open():
            own = {"engine.spare": 0, "engine.model": system, **server.settings(dialogue), **(settings or {})}
            async with start_service(own) as service, watching(service.http_url, "utterance") as watch:
                await must_answer(service.http_url, system)
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
                        use_keys=use_keys,
                    )
                    outcomes = await _place(bench, list(zip(goals, lines, strict=True)), at_once)
    return {
        **task_figures(outcomes, calls),
        "bar": BARS["clean" if noise_db is None else "noise"],
        "line": {"noise": None if noise_db is None else noise, "noise_db": noise_db},
        "system": system,
        "settings": dict(settings or {}),
        "use_keys": use_keys,
        "seed": seed,
        "caller_voices": names,
        "concurrent_calls": at_once,
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


def draw_lines(count: int, voices: Sequence[str], seed: int, *, noise: str, noise_db: float) -> list[TaskLine]:
    """Each caller a little quicker or slower, higher or lower than the next."""
    rng = random.Random(seed + 1)
    return [
        TaskLine(
            voice=voices[number % len(voices)],
            speed=round(rng.uniform(0.92, 1.1), 3),
            pitch=round(rng.uniform(0.95, 1.06), 3),
            noise=noise,
            noise_db=noise_db,
            seed=seed + number,
        )
        for number in range(count)
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
