"""``crosstalk bench doors``: what a door may cost, beside the telephone, measured in the same run.

Four parts, each with a service of its own and a bar that it can fail (docs/benchmarks.md, "Doors"):

- ``browser``: from said to heard inside Chromium, at most 60 ms more than between a telephone's wires;
- ``twilio``: from the caller's interruption to silence at the modelled caller, at most 120 ms more than by SIP; heard
  text within one word for 98 % of the cuts;
- ``neighbours``: calls that come and go through other doors move no packet of a telephone by more than 5 ms;
- ``script``: the same scripted caller through every door has the same conversation.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.bench import doors_browser, doors_neighbours, doors_twilio
from agent.bench.doors_script import script_figures
from agent.bench.doors_service import StartService
from agent.bench.load import show_figures
from agent.bench.machine import machine_facts
from agent.errors import AgentError


async def doors_command(
    *, parts: Sequence[str], rounds: int, legs: int, delay_ms: float, as_json: bool, start_service: StartService
) -> int:
    """Measure and show; exit code 1 where a bar was missed or a part could not be measured."""
    figures = await doors_bench(
        parts=parts, rounds=rounds, legs=legs, delay_ms=delay_ms, start_service=start_service,
        progress=Console(stderr=True),
    )  # fmt: skip
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        show_figures(figures, Console())
    return 1 if figures["missed"] else 0


async def doors_bench(
    *, parts: Sequence[str], rounds: int, legs: int, delay_ms: float, start_service: StartService, progress: Console
) -> dict[str, Any]:
    """The figures of the parts, and what missed its bar."""
    measured: dict[str, Callable[[Path], Coroutine[Any, Any, dict[str, Any]]]] = {
        "browser": lambda folder: doors_browser.browser_figures(start_service, rounds=rounds),
        "twilio": lambda folder: doors_twilio.twilio_figures(
            start_service, rounds=2 * rounds, count=6, delay_ms=delay_ms
        ),
        "neighbours": lambda folder: doors_neighbours.neighbours_figures(start_service, rounds=rounds, legs=legs),
        "script": lambda folder: script_figures(start_service, folder),
    }
    found: dict[str, Any] = {}
    for part in parts:
        progress.print(f"{part} …")
        try:
            with tempfile.TemporaryDirectory(prefix="ctb") as folder:
                found[part] = await measured[part](Path(folder))
        except AgentError as error:
            found[part] = {"not_measured": str(error)}
    return {**found, "missed": missed(found), "machine": machine_facts()}


def missed(figures: Mapping[str, Any]) -> list[str]:
    """Every bar that was not met, in words; a part without figures has not met its own."""
    found = []
    for part, judge in _JUDGES.items():
        if part in figures:
            told = figures[part]
            found += [f"{part}: {why}" for why in ([told["not_measured"]] if "not_measured" in told else judge(told))]
    return found


def _browser(figures: Mapping[str, Any]) -> list[str]:
    return _over("later_ms", figures["later_ms"], doors_browser.BAR_MS)


def _twilio(figures: Mapping[str, Any]) -> list[str]:
    found = _over("later_ms.of_means", figures["later_ms"]["of_means"], doors_twilio.BAR_STOP_MS)
    share = figures["twilio"]["heard"]["within_one"]
    if share is None or share < doors_twilio.BAR_HEARD:
        found.append(f"heard.within_one {share}, at least {doors_twilio.BAR_HEARD} wanted")
    return found


def _neighbours(figures: Mapping[str, Any]) -> list[str]:
    return [why for kind, moved in figures["moved_ms"].items() for why in _over(kind, moved, doors_neighbours.BAR_MS)]


def _script(figures: Mapping[str, Any]) -> list[str]:
    return [f"{door}: {one}" for door, apart in figures["differences"].items() for one in apart]


def _over(name: str, value: float | None, bar: float) -> list[str]:
    if value is None:
        return [f"{name} not measured"]
    return [f"{name} {value}, at most {bar:g} wanted"] if value > bar else []


_JUDGES: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "browser": _browser,
    "twilio": _twilio,
    "neighbours": _neighbours,
    "script": _script,
}
