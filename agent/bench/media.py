"""``crosstalk bench media``: what the edge costs per call, how punctual it is and what delay it adds.

A real edge process, a worker that echoes over ``telephony.link``, and a generator of calls: three processes, each
with its own CPU account. Definitions: docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from telephony.edge_client import EdgeClient
from telephony.errors import RemoteProtocolError
from telephony.link import FrameReader, FrameType, InBatch, OutBatch, OutFlag, decode_in, encode_out, pack
from telephony.media import LegMedia
from telephony.plane import SeatAddress

SETTLE_S = 1.0
_SLOT_MS = 10.0
"""Half a tick between taking a phase's packets and sending its own."""
_RECOVERED_MS = 40.0
_STALL_AT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run."""

    calls: int
    seconds: float
    loss: float = 0.0
    jitter_ms: float = 0.0
    stall_ms: int = 0
    """Stop the edge for that long, 2 s after the start."""
    late_calls: int = 0
    """Calls of these that are opened only in mid-run."""


def run_media_bench(
    calls: int = 500, seconds: float = 8.0, *, steps: Sequence[int] = (), stall_ms: int = 300, phases: int = 4
) -> dict[str, Any]:
    """All of it: a ramp up to ``calls``, one call's delay, a stall, a bad network, a second call."""
    return asyncio.run(_bench(calls, seconds, tuple(steps) or _ramp(calls), stall_ms, phases))


def _ramp(calls: int) -> tuple[int, ...]:
    return tuple(sorted({max(1, calls // 5), max(1, calls * 3 // 5), calls}))


async def _bench(calls: int, seconds: float, ramp: tuple[int, ...], stall_ms: int, phases: int) -> dict[str, Any]:
    steps = [await _measure(Load(calls=n, seconds=seconds), phases) for n in ramp]
    one = await _measure(Load(calls=1, seconds=max(6.0, seconds / 2)), phases)
    stall = await _measure(Load(calls=20, seconds=_STALL_AT_S + 5.0, stall_ms=stall_ms), phases)
    network = await _measure(Load(calls=20, seconds=max(8.0, seconds), loss=0.05, jitter_ms=40.0), phases)
    second = await _measure(Load(calls=2, seconds=6.0, late_calls=1), phases)
    top = steps[-1]
    names = ("cpu_percent_per_call", "send_lateness_ms", "lost", "rss_mb_per_call", "scheduling")
    return {
        "calls": top["calls"],
        **{name: top[name] for name in names},
        "added_delay_ms": _added(one),
        "stall": _stall_figures(stall, stall_ms),
        "bad_network": {"loss": 0.05, "jitter_ms": 40, **_growth(network)},
        "second_call": _second_figures(second),
        "steps": [_public(step) for step in steps],
        "machine": machine_facts(),
    }


def _public(step: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in step.items() if not name.endswith("_by_100ms")}


def _added(one: dict[str, Any]) -> dict[str, float]:
    """Delay of one call's samples, in to out, and how it is made up."""
    # Of the last second, when the playout delay was read: it moves by 10 ms at a time.
    through, playout = float(np.median(one["through_by_100ms"][-15:-5])), one["playout_delay_ms"]
    return {
        "through": round(through, 2),
        "through_p50": one["through_ms"]["p50"],
        "through_p99": one["through_ms"]["p99"],
        "playout": playout,
        "beyond_playout": round(through - playout, 2),
        "beyond_ticks": round(through - playout - _SLOT_MS, 2),
        # An answer of the worker that came too late for its slot leaves a frame waiting for up to 1.2 s.
        "underruns": one["underruns"],
    }


def _stall_figures(run: dict[str, Any], stall_ms: int) -> dict[str, Any]:
    """How long after the stall the playout delay (p90 over calls) is under 40 ms for good."""
    series = run["through_p90_by_100ms"]
    end = round((_STALL_AT_S + stall_ms / 1000.0) * 10)
    slot = _SLOT_MS
    playout = [value - slot for value in series]
    above = [at for at in range(end, len(playout) - 3) if playout[at] >= _RECOVERED_MS]
    return {
        "stall_ms": stall_ms,
        "delay_before_ms": round(max(playout[end - 15 : end - 5]), 1),
        "delay_after_2s_ms": round(max(playout[end + 20 : end + 30]), 1),
        "under_40_ms_after_ms": (above[-1] + 1 - end) * 100 if above else 0,
        "skipped_ticks": run["skipped_ticks"],
    }


def _growth(run: dict[str, Any]) -> dict[str, float]:
    """Delay on a bad network, and whether it grows."""
    series = np.array(run["through_by_100ms"][20:-4])
    half = len(series) // 2
    return {
        "through_p50_ms": run["through_ms"]["p50"],
        "through_p99_ms": run["through_ms"]["p99"],
        "growth_ms": round(float(np.median(series[half:]) - np.median(series[:half])), 1),
        "playout_delay_ms": run["playout_delay_ms"],
    }


def _second_figures(run: dict[str, Any]) -> dict[str, float]:
    """How late the first call's packets were before and after the second was opened."""
    series = run["first_call_late_by_100ms"]
    middle = len(series) // 2
    before, after = series[10 : middle - 2], series[middle - 2 : -4]
    return {"before_max_ms": max(before, default=0.0), "after_max_ms": max(after, default=0.0)}


# --- one run ---------------------------------------------------------------------------------------------------


async def _measure(load: Load, phases: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ctb") as folder:
        async with _processes(Path(folder), phases) as (edge, client, generator, port):
            rss_empty = _rss_mb(edge.pid)
            ports = [await client.reserve(f"call-{n}") for n in range(load.calls)]
            seats = str(Path(folder) / "worker")
            early = load.calls - load.late_calls
            for n in range(early):
                await _open(client, n, port, seats)
            plan = {"ports": ports, "seconds": load.seconds, "start_at": time.monotonic() + 0.5, "loss": load.loss,
                    "jitter_ms": load.jitter_ms}  # fmt: skip
            _write(generator, plan)
            await asyncio.sleep(0.5 + SETTLE_S)
            before, began, steal_s = await client.stats(), time.monotonic(), _steal_s()
            if load.stall_ms:
                await asyncio.sleep(_STALL_AT_S - SETTLE_S)
                await _stall(edge.pid, load.stall_ms)
            if load.late_calls:
                await asyncio.sleep(load.seconds / 2 - SETTLE_S)
                for n in range(early, load.calls):
                    await _open(client, n, port, seats)
            await asyncio.sleep(max(0.0, load.seconds - SETTLE_S - 0.2 - (time.monotonic() - began)))
            after, took_s = await client.stats(), time.monotonic() - began
            steal_s = _steal_s() - steal_s
            rss = _rss_mb(edge.pid)
            figures = await _read(generator)
            totals = (await client.stats())["totals"]
    return _result(load, figures, before, after, took_s, totals) | {
        "steal_ms": round(steal_s * 1000.0),
        "rss_mb": round(rss, 1),
        "rss_mb_per_call": round((rss - rss_empty) / load.calls, 3),
    }


def _result(
    load: Load, figures: dict[str, Any], before: dict[str, Any], after: dict[str, Any], took_s: float,
    totals: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    cpu = (after["cpu_s"] - before["cpu_s"]) / took_s * 100.0
    return {
        "calls": load.calls,
        "seconds": load.seconds,
        "cpu_percent": round(cpu, 2),
        "cpu_percent_per_call": round(cpu / load.calls, 4),
        "send_lateness_ms": figures["send_lateness_ms"],
        # Both ways: what the edge did not get of what we sent, and gaps in the sequence of what it sent to us.
        "lost": int(figures["sent"] - totals["received"]) + figures["lost"],
        "sent": figures["sent"],
        "received": figures["received"],
        "through_ms": figures["through_ms"],
        "through_by_100ms": figures["through_by_100ms"],
        "through_p90_by_100ms": figures["through_p90_by_100ms"],
        "first_call_late_by_100ms": figures["first_call_late_by_100ms"],
        "playout_delay_ms": after["playout_delay_ms"],
        "concealed": int(after["totals"]["concealed"] - before["totals"]["concealed"]),
        "underruns": after["underruns"],
        "skipped_ticks": after["skipped_ticks"],
        "tick_late_ms": after["tick_late_ms"],
        "work_cpu_ms": after["work_cpu_ms"],
        "scheduling": after["scheduling"],
        "involuntary_switches": after["involuntary_switches"] - before["involuntary_switches"],
        "generator_late_ms": figures["own_late_ms"],
        "generator_cpu_percent": round(figures["cpu_s"] / load.seconds * 100.0, 1),
    }


async def _open(client: EdgeClient, n: int, port: int, worker: str) -> None:
    media = LegMedia(
        codec="PCMU", payload_type=0, dtmf_payload_type=101, remote=("127.0.0.1", port), signalling_ip="127.0.0.1"
    )
    await client.open(f"call-{n}", media, SeatAddress(worker=worker, row=n, seat=n + 1))


async def _stall(pid: int, stall_ms: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(stall_ms / 1000.0)
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def _processes(
    folder: Path, phases: int
) -> AsyncIterator[tuple[asyncio.subprocess.Process, EdgeClient, asyncio.subprocess.Process, int]]:
    control, audio = str(folder / "edge"), str(folder / "worker")
    edge_code = f"from telephony.edge import run_edge; run_edge({control!r}, host='127.0.0.1', phases={phases})"
    worker = await _python(f"from agent.bench.media import echo_worker; echo_worker({audio!r})")
    edge = await _python(edge_code)
    generator = await _python("from agent.bench.rtp_generator import main; main()", piped=True)
    client = EdgeClient(answer_timeout_s=15.0)
    try:
        port = int((await _read(generator))["port"])
        await _connect(client, control)
        yield edge, client, generator, port
    finally:
        await client.aclose()
        for process in (generator, edge, worker):
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _python(code: str, *, piped: bool = False) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL
    # One line of the generator's figures can be long: a number for each 100 ms.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=pipe, stdout=pipe, limit=4 * 1024 * 1024
    )


async def _connect(client: EdgeClient, path: str) -> None:
    for _ in range(100):
        try:
            await client.connect(path)
            return
        except OSError:
            await asyncio.sleep(0.05)
    raise RuntimeError("the edge did not start")


def _write(process: asyncio.subprocess.Process, body: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(body).encode() + b"\n")


async def _read(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the generator ended early")
    return dict(json.loads(line))


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024.0
    return 0.0


def machine_facts() -> dict[str, Any]:
    """What a reader must know to compare figures."""
    model = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.machine(),
    )  # fmt: skip
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "steal_s": _steal_s(),
    }


def _steal_s() -> float:
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK") if len(fields) > 8 else 0.0


# --- the worker ------------------------------------------------------------------------------------------------


def echo_worker(path: str) -> None:
    """Process entry: answer each IN message of one edge with its own audio, at once."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    edge, _ = listener.accept()
    edge.sendall(pack(FrameType.HELLO, b"{}"))
    reader = FrameReader()
    try:
        while data := edge.recv(1 << 18):
            for kind, body in reader.feed(data):
                if kind is FrameType.IN:
                    edge.sendall(encode_out(_echo(decode_in(body))))
    except (RemoteProtocolError, OSError):
        return  # the edge is gone; so is the bench


def _echo(batch: InBatch) -> OutBatch:
    n = len(batch.rows)
    return OutBatch(
        tick=batch.tick,
        phase=batch.phase,
        sent_at=time.monotonic(),
        rows=batch.rows,
        seats=batch.seats,
        epochs=np.zeros(n, np.uint32),
        frame_nos=np.full(n, batch.tick & 0xFFFFFFFF, np.uint32),
        flags=np.full(n, int(OutFlag.SPEECH), np.uint8),
        pcm=batch.pcm,
    )
