"""A speech-native model's tick, measured: joins and leaves, memory, bytes moved, and the reference beside it.

Weights may be random: speed does not depend on their values. Rows are set to the age that is asked for instead of being
talked to for minutes. Every tick is timed on the host, from the audio in to the audio out.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from agent.bench.engine_reference import measure_reference
from agent.bench.machine import machine_facts
from agent.bench.statistics import percentile
from agent.errors import ModelError
from agent.model.moshi.checkpoint import (
    Tensors,
    codebooks_of,
    load_lm,
    load_mimi,
    open_checkpoint,
    random_tensors,
)
from agent.model.moshi.config import MoshiConfig, builtin
from agent.model.moshi.kv import FP8
from agent.model.moshi.layout import lm_tensors, mimi_tensors
from agent.model.moshi.model import MoshiModel, Options, build_model, pick_device, plan_rows
from agent.model.moshi.planner import costs, tick_bytes
from agent.model.protocol import Persona, StepInput

JOIN_EVERY: Final = 10
"""Ticks between two calls of which one leaves and one joins."""
YOUNG_S: Final = 30.0
COPY_BYTES: Final = 2**30
COPIES: Final = 20
NOISE: Final = 3000
E4M3_BELOW_NAN: Final = 0x78
BUILTIN: Final = {"moshi-7b": "moshi", "personaplex-7b": "personaplex"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured."""

    model: str
    """``moshi-7b``, ``personaplex-7b``, or a checkpoint's folder."""
    rows: tuple[int, ...]
    window: int
    ticks: int = 200
    random_weights: bool = False
    reference: bool = True
    """Measure ``moshi``'s own generator too, where that package is installed."""
    options: Options


def engine_bench(plan: Plan) -> dict[str, Any]:
    """Everything as one JSON object. Raises ``ModelError`` where nothing can be measured."""
    config, lm, mimi = _weights(plan)
    device, dtype = pick_device(plan.options)
    window = min(plan.window, config.lm.context)
    options = replace(plan.options, window=window)
    bandwidth = copy_bandwidth(device)
    found: dict[str, Any] = {
        "machine": machine_facts(),
        "device": _device_name(device),
        "torch": torch.__version__,
        "model": plan.model,
        "random_weights": plan.random_weights,
        "dtype": str(dtype).removeprefix("torch."),
        "kv": "fp8" if options.fp8_kv else str(dtype).removeprefix("torch."),
        "graphs": options.graphs and device.startswith("cuda"),
        "window": window,
        "step_ms": config.step_ms,
        "copy_gb_s": round(bandwidth / 1e9, 1),
        "ticks": plan.ticks,
        "rows": [],
    }
    for rows in plan.rows:
        found["rows"].append(_measure(config, lm, mimi, rows, replace(plan, options=options), bandwidth))
        _free(device)
    if plan.reference:
        _beside(found, config, lm, mimi, plan, device)
    return found


def _weights(plan: Plan) -> tuple[MoshiConfig, Tensors, Tensors]:
    device, dtype = pick_device(plan.options)
    if plan.model in BUILTIN:
        if not plan.random_weights:
            raise ModelError(f"{plan.model}: give a checkpoint's folder, or --random-weights")
        config = builtin(kind=BUILTIN[plan.model])
    else:
        checkpoint = open_checkpoint(Path(plan.model))
        config = checkpoint.config
        if not plan.random_weights:
            return config, load_lm(checkpoint, dtype=dtype, device=device), load_mimi(checkpoint, device=device)
    lm = random_tensors(lm_tensors(config.lm), dtype=dtype, device=device)
    books = mimi_tensors(config.mimi, codebooks_of(config))
    return config, lm, random_tensors(books, dtype=torch.float32, device=device)


def _measure(
    config: MoshiConfig, lm: Tensors, mimi: Tensors, rows: int, plan: Plan, bandwidth: float
) -> dict[str, Any]:
    """One row count; a refusal is a result too."""
    device, dtype = pick_device(plan.options)
    loaded = costs(config, item_bytes=dtype.itemsize).weights
    try:
        windows = plan_rows(config, rows, plan.options, loaded_bytes=loaded)
    except ModelError as error:
        return {"rows": rows, "refused": str(error)}
    began = time.perf_counter()
    model = build_model(config, lm, mimi, windows=windows, options=plan.options, name=plan.model)
    model.self_test()
    model.warmup()
    started = time.perf_counter() - began
    _fill_memory(model)
    window = plan.options.window
    full = _ticks(model, age=window, ticks=plan.ticks)
    young_frames = min(window, round(1000 * YOUNG_S / config.step_ms))
    young = _ticks(model, age=young_frames, ticks=max(10, plan.ticks // 2))
    fp8 = plan.options.fp8_kv
    moved = tick_bytes(config, [window] * rows, item_bytes=dtype.itemsize, fp8_kv=fp8)
    p50 = percentile(full.steady, 0.5)
    return {
        "rows": rows,
        "start_s": round(started, 1),
        **full.as_json(),
        "young_s": round(young_frames * config.step_ms / 1000, 1),
        "young_tick_p50_ms": _ms(percentile(young.steady, 0.5)),
        "young_tick_p99_ms": _ms(percentile(young.steady, 0.99)),
        "memory_gib": round(_memory(device) / 2**30, 2),
        "moved_gb": round(moved / 1e9, 3),
        "share_of_copy": round(moved / p50 / bandwidth, 3) if p50 > 0 else None,
        "launches": _launches(model, device),
    }


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each tick."""

    steady: list[float]
    joining: list[float]

    def as_json(self) -> dict[str, Any]:
        every = self.steady + self.joining
        return {
            "tick_p50_ms": _ms(percentile(every, 0.5)),
            "tick_p99_ms": _ms(percentile(every, 0.99)),
            "tick_max_ms": _ms(max(every)),
            "join_tick_p50_ms": _ms(percentile(self.joining, 0.5)),
            "join_tick_max_ms": _ms(max(self.joining, default=0.0)),
        }


def _ticks(model: MoshiModel, *, age: int, ticks: int) -> Times:
    """Ticks with every row at ``age`` frames; every ``JOIN_EVERY`` of them a call leaves and one joins."""
    rows = model.spec.rows
    rng = np.random.default_rng(11)
    inputs = _inputs(model)
    for row in range(rows):
        model.admit(row, Persona(seed=row))
        model.pretend(row, frames=age)
    times = Times([], [])
    for tick in range(ticks + JOIN_EVERY):
        inputs.pcm[:] = rng.integers(-NOISE, NOISE, inputs.pcm.shape)
        joins = tick % JOIN_EVERY == JOIN_EVERY - 1
        row = tick // JOIN_EVERY % rows
        if joins:
            model.release(row)
        began = time.perf_counter()
        if joins:
            model.admit(row, Persona(seed=tick))
            inputs.reset[row] = True
        model.step(inputs)
        took = time.perf_counter() - began
        if tick >= JOIN_EVERY:  # the first ones warm the caches
            (times.joining if joins else times.steady).append(took)
        if joins:
            inputs.reset[row] = False
            model.pretend(row, frames=age)
    for row in range(rows):
        model.release(row)
    return times


def _inputs(model: MoshiModel) -> StepInput:
    shape = (model.spec.rows, model.spec.step_ms * model.spec.rate_in_hz // 1000)
    no, pcm = np.zeros(shape[0], np.bool_), np.zeros(shape, np.int16)
    return StepInput(pcm=pcm, own=np.zeros_like(pcm), mask=~no, reset=no.copy(), lost=no, speaking=no)


def _fill_memory(model: MoshiModel) -> None:
    """Random keys and values: zeros would be faster than a call is."""
    for store in model.memory():
        if store.dtype == FP8:
            store.view(torch.uint8).random_(0, E4M3_BELOW_NAN)
        elif store.is_floating_point():
            store.normal_()


def copy_bandwidth(device: str) -> float:
    """Bytes per second of a copy on the device, those read and those written counted."""
    size = COPY_BYTES if device.startswith("cuda") else COPY_BYTES // 8
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(COPIES if device.startswith("cuda") else 3):
        began = time.perf_counter()
        target.copy_(source)
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size / best


def _launches(model: MoshiModel, device: str) -> int | None:
    """Kernels, graphs and copies that the host starts in one tick."""
    if not device.startswith("cuda"):
        return None
    inputs = _inputs(model)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        model.step(inputs)
        _wait(device)
    started = ("cudaLaunchKernel", "cudaGraphLaunch", "cudaMemcpyAsync", "cuLaunchKernel", "cudaMemsetAsync")
    return sum(int(event.count) for event in profile.key_averages() if event.key.startswith(started))


def _beside(found: dict[str, Any], config: MoshiConfig, lm: Tensors, mimi: Tensors, plan: Plan, device: str) -> None:
    """The reference at the row counts that it can hold, and how many times faster we are."""
    counts = [entry["rows"] for entry in found["rows"] if "refused" not in entry]
    measured = measure_reference(config, lm, mimi, counts, device=device, window=found["window"], ticks=plan.ticks // 4)
    found["reference"] = measured
    by_rows = {entry["rows"]: entry for entry in measured.get("rows", []) if "tick_p50_ms" in entry}
    for entry in found["rows"]:
        theirs = by_rows.get(entry["rows"])
        if theirs is not None:
            entry["reference_tick_p50_ms"] = theirs["tick_p50_ms"]
            entry["times_faster"] = round(theirs["tick_p50_ms"] / entry["tick_p50_ms"], 2)


def _free(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _memory(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _device_name(device: str) -> str:
    return str(torch.cuda.get_device_name(device)) if device.startswith("cuda") else device


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)


COLUMNS: Final = (
    ("rows", "rows"),
    ("p50 ms", "tick_p50_ms"),
    ("p99 ms", "tick_p99_ms"),
    ("max ms", "tick_max_ms"),
    ("join ms", "join_tick_max_ms"),
    ("30 s ms", "young_tick_p50_ms"),
    ("GiB", "memory_gib"),
    ("moved GB", "moved_gb"),
    ("of copy", "share_of_copy"),
    ("launches", "launches"),
    ("moshi ms", "reference_tick_p50_ms"),
)


def table(found: dict[str, Any]) -> Sequence[str]:
    """The result as lines for a terminal."""
    about = f"{found['model']} on {found['device']}, {found['dtype']}, KV {found['kv']}"
    lines = [
        f"{about}, window {found['window']} frames, copy {found['copy_gb_s']} GB/s",
        " ".join(f"{title:>9}" for title, _ in COLUMNS),
    ]
    for entry in found["rows"]:
        if "refused" in entry:
            lines.append(f"{entry['rows']:>9} refused: {entry['refused']}")
        else:
            values = (entry.get(key) for _, key in COLUMNS)
            lines.append(" ".join(f"{'-' if value is None else value:>9}" for value in values))
    return lines
