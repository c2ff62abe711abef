"""Starts the processes of one service, restarts what dies, and takes all down together.

The supervisor does nothing else: no call, no packet and no log of a call passes through it. A process that dies is
started again after a pause that grows; one that dies more than ``MOST_RESTARTS`` times in ``WITHIN_S`` seconds ends
the service, since a crash loop hides from nobody.

What a death does to calls (tests/peers/test_processes.py):

- a **worker**: its calls take a seat on the spare worker and go on (agent/session.py);
- the **edge**: its legs are opened again on the same ports by the front (telephony/sip_plane.py);
- the **front**: its calls end; the edge closes their legs, and the next front books them as ``gateway_lost``;
- **voices and recognisers** belong to the process that uses them, which starts them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from agent.events.names import LogEvent
from agent.logging import Log

MOST_RESTARTS = 5
WITHIN_S = 60.0
PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0)
KILL_AFTER_S = 5.0
CANNOT_START = 78
"""Exit code of a process that has said why it cannot run (EX_CONFIG of sysexits): on its first start, that is final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One process to keep running."""

    name: str
    role: str
    """Which main of ``agent.process`` it runs."""
    options: dict[str, Any] = field(default_factory=dict)
    """JSON that the process reads from its standard input."""


class Supervisor:
    """Owner of the service's processes."""

    def __init__(self, roles: list[Role], *, log: Log, drain_s: float) -> None:
        self._roles = roles
        self._log = log
        self._drain_s = drain_s
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._failed = False

    async def run(self) -> int:
        """Run until told to stop (SIGTERM, SIGINT) or until something keeps dying. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with asyncio.TaskGroup() as group:
            for role in self._roles:
                group.create_task(self._keep(role))
            group.create_task(self._take_down())
        return 1 if self._failed else 0

    def stop(self) -> None:
        """First call: drain. Second: at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def _keep(self, role: Role) -> None:
        deaths: deque[float] = deque(maxlen=MOST_RESTARTS)
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            process = await self._start(role)
            code = await process.wait()
            self._running.pop(role.name, None)
            if self._stopping.is_set():
                return
            self._log.warning(LogEvent.PROCESS_EXITED, process=role.name, pid=process.pid, code=code)
            now = clock()
            cannot_start = code == CANNOT_START and not deaths
            if cannot_start or (len(deaths) == MOST_RESTARTS and now - deaths[0] < WITHIN_S):
                self._log.error(LogEvent.PROCESS_GAVE_UP, process=role.name, restarts=len(deaths))
                self._failed = True
                self.stop()
                return
            recent = sum(1 for death in deaths if now - death < WITHIN_S)
            deaths.append(now)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), PAUSES_S[min(recent, len(PAUSES_S) - 1)])

    async def _start(self, role: Role) -> asyncio.subprocess.Process:
        code = "from agent.process import main; main()"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", code, role.role, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        self._running[role.name] = process
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(role.options).encode())
            await process.stdin.drain()
        process.stdin.close()
        self._log.info(LogEvent.PROCESS_STARTED, process=role.name, pid=process.pid)
        return process

    async def _take_down(self) -> None:
        """The front first, so that calls can end well; then everything else."""
        await self._stopping.wait()
        front = self._running.get("front")
        if front is not None and not self._failed:
            self._signal(front, signal.SIGTERM)
            await self._gone(front, self._drain_s + 20.0)
        others = list(self._running.values())
        for process in others:
            self._signal(process, signal.SIGTERM)
        for process in others:
            if not await self._gone(process, KILL_AFTER_S):
                self._signal(process, signal.SIGKILL)

    async def _gone(self, process: asyncio.subprocess.Process, timeout_s: float) -> bool:
        """Whether the process ended in time; a second stop order ends the wait."""
        ended = asyncio.ensure_future(process.wait())
        hurry = asyncio.ensure_future(self._hurry.wait())
        done, _ = await asyncio.wait({ended, hurry}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if ended not in done:
            ended.cancel()
        return ended in done

    @staticmethod
    def _signal(process: asyncio.subprocess.Process, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
