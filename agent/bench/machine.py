"""Facts of the machine that a figure was taken on, and what processes cost there. Linux gives all; others less."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
_TICKS_HZ = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def machine_facts() -> dict[str, Any]:
    """What must stand beside every number: processor, cores, load, stolen time, revision."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
        "steal_s": steal_s(),
        "revision": _revision(),
    }


def _cpu_model() -> str:
    for line in _read(PROC / "cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def steal_s() -> float:
    """CPU seconds that the host took from this machine since its start."""
    fields = _read(PROC / "stat").splitlines()[:1]
    parts = fields[0].split() if fields else []
    return int(parts[8]) / _TICKS_HZ if len(parts) > 8 else 0.0


def _revision() -> str:
    """Of the checkout that this code runs from; empty for an installed package."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


# --- processes ---


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """CPU seconds so far and memory now."""

    cpu_s: float
    rss_mb: float


def process_cost(pid: int) -> ProcessCost | None:
    """Of one process; ``None`` where it is gone or not on this machine."""
    stat, memory = _read(PROC / str(pid) / "stat"), _read(PROC / str(pid) / "statm").split()
    if not stat or len(memory) < 2:
        return None
    fields = stat.rpartition(")")[2].split()  # a process name may contain anything, but no later ")"
    return ProcessCost((int(fields[11]) + int(fields[12])) / _TICKS_HZ, int(memory[1]) * _PAGE_BYTES / 2**20)


def children(pid: int) -> list[int]:
    """All descendants of a process."""
    found: list[int] = []
    for path in sorted((PROC / str(pid) / "task").glob("*/children")):
        for child in _read(path).split():
            found += [int(child), *children(int(child))]
    return found


@dataclass(frozen=True, slots=True)
class ServiceCost:
    """Cost of a service by part: ``gateway`` (front and edge), ``worker``, ``voice`` (helpers of the front)."""

    cpu_s: Mapping[str, float]
    rss_mb: float


def service_cost(processes: Iterable[Mapping[str, Any]]) -> ServiceCost:
    """``processes``: what ``/healthz`` lists, each with ``name`` and ``pid``."""
    named = {int(one["pid"]): part_of(str(one.get("name", ""))) for one in processes if "pid" in one}
    for pid, part in list(named.items()):
        for child in children(pid):
            named.setdefault(child, "voice" if part == "gateway" else part)
    cpu_s = {"gateway": 0.0, "worker": 0.0, "voice": 0.0}
    rss_mb = 0.0
    for pid, part in named.items():
        cost = process_cost(pid)
        if cost is not None:
            cpu_s[part] += cost.cpu_s
            rss_mb += cost.rss_mb
    return ServiceCost(cpu_s, rss_mb)


def part_of(name: str) -> str:
    """Which part of the bill a process belongs to."""
    if name.startswith(("worker", "spare")):
        return "worker"
    return "voice" if name.startswith(("voice", "recogniser")) else "gateway"
