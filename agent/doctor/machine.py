"""The machine: how punctual it is, and whether it has enough for the calls."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from typing import Final

from agent.config import Config
from agent.doctor.check import Check, fail, ok, warn

FILES_PER_CALL: Final = 2
"""RTP and RTCP socket."""
FILES_BESIDE_CALLS: Final = 256
OLDEST_WALL_TIME_S: Final = 1_735_689_600
"""2025-01-01: a clock before that was never set, and signatures and certificates fail."""
LATE_MS: Final = 5.0
"""A timer that is later than this on an idle machine will be heard."""


def check_scheduling(_config: Config) -> Iterator[Check]:
    """Whether the media process may run ahead of others. Tried on this process, and taken back at once."""
    if not hasattr(os, "sched_setscheduler"):
        yield warn("scheduling class", "not known on this system", "run on Linux for even media timing")
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        advice = "LimitRTPRIO=20 in the systemd unit, or --cap-add SYS_NICE for a container"
        yield warn("scheduling class", "realtime is not permitted: packets are late while the machine is busy", advice)
        return
    os.sched_setscheduler(0, policy, parameter)
    yield ok("scheduling class", "realtime is permitted for the media process")


def check_open_files(config: Config) -> Iterator[Check]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    calls = config.engine.rows * config.engine.workers
    needed = calls * FILES_PER_CALL + FILES_BESIDE_CALLS
    if soft != resource.RLIM_INFINITY and soft < needed:
        advice = f"ulimit -n {needed} (hard limit {hard}), or LimitNOFILE={needed} in the systemd unit"
        yield warn("open files", f"{soft} allowed, {needed} needed for {calls} calls", advice)
    else:
        yield ok("open files", f"{soft} allowed, {needed} needed for {calls} calls")


def check_cores(config: Config) -> Iterator[Check]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = config.engine.workers + 1
    if usable < busy:
        yield warn(
            "cores", f"{usable} for {config.engine.workers} workers and media", "fewer engine.workers, or more cores"
        )
    else:
        yield ok("cores", f"{usable}")


def check_clock(_config: Config) -> Iterator[Check]:
    if time.time() < OLDEST_WALL_TIME_S:
        yield fail("clock", "the wall clock was never set", "start a time service (chrony, systemd-timesyncd)")
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
    late_ms = max(_lateness_ms() for _ in range(5))
    if late_ms > LATE_MS:
        yield warn("timer", f"up to {late_ms:.1f} ms late", "a busy or throttled machine: packets will be late as well")
    else:
        yield ok("timer", f"up to {late_ms:.1f} ms late")


def _lateness_ms() -> float:
    begin = time.monotonic()
    time.sleep(0.002)
    return (time.monotonic() - begin - 0.002) * 1000
