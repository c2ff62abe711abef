"""A SIP plane with a fake edge on loopback, for peers of other makes; and runs of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from telephony.events import LegAnswered, LegEvent
from telephony.plane import Leg
from telephony.sip_plane import SipPlane
from tests.unit.telephony.sip.fake_edge import SEAT, FakeEdge, plane

SCENARIOS = Path(__file__).parents[1] / "data" / "sipp"


class Service:
    """Answers every call (or only rings), and keeps what the legs say."""

    def __init__(self, sip: SipPlane, edge: FakeEdge, *, answers: bool) -> None:
        self.sip, self.edge, self._answers = sip, edge, answers
        self.offers: list[Leg] = []
        self.events: list[LegEvent] = []
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()

    @property
    def port(self) -> int:
        return self.sip.local_port

    async def handle(self, leg: Leg) -> None:
        self.offers.append(leg)
        await leg.ring()
        if self._answers:
            await leg.answer(SEAT)
        async for event in leg.events():
            self.events.append(event)
            if isinstance(event, LegAnswered):
                self.answered.set()
        self.ended.set()


@asynccontextmanager
async def service(*, answers: bool = True) -> AsyncIterator[Service]:
    edge = FakeEdge()
    running = Service(plane(edge), edge, answers=answers)
    await running.sip.start(running.handle)
    try:
        yield running
    finally:
        await running.sip.stop()


async def run_sipp(program: str, scenario: str, port: int, folder: Path, *more: str, limit_s: float = 20.0) -> str:
    """Run a scenario of ``tests/data/sipp`` once; returns its errors, empty when it passed."""
    process = await asyncio.create_subprocess_exec(
        program,
        f"127.0.0.1:{port}",
        "-sf",
        str(SCENARIOS / f"{scenario}.xml"),
        *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-trace_err", "-error_file", str(folder / "errors.log")),
        *(more or ("-m", "1", "-r", "1")),
        *("-timeout", f"{limit_s:.0f}s", "-timeout_error"),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"TERM": "dumb", "PATH": "/usr/bin:/bin"},
    )
    try:
        async with asyncio.timeout(limit_s + 5):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return ""
    errors = folder / "errors.log"
    told = errors.read_text() if errors.exists() else output.decode(errors="replace")[-3000:]
    return f"exit {process.returncode}\n{told}"
