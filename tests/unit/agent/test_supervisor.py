"""The supervisor: what dies is started again, what keeps dying ends the service."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import supervisor as supervisor_module
from agent.supervisor import Role, Supervisor
from tests.unit.agent.call_fakes import NoLog


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "PAUSES_S", (0.0,))


def with_body(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Processes run ``body`` instead of a role's main; the options are still on their standard input."""
    real = asyncio.create_subprocess_exec

    async def start(*command: str, **options: Any) -> asyncio.subprocess.Process:
        return await real(sys.executable, "-c", body, command[-1], **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)


async def test_process_that_dies_is_started_again(quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    with_body(
        monkeypatch,
        f"import sys, time; f = open({str(marks)!r}, 'a'); f.write('x'); f.close();"
        f" sys.exit(1) if len(open({str(marks)!r}).read()) < 3 else time.sleep(30)",
    )
    supervisor = Supervisor([Role(name="a", role="r")], log=NoLog(), drain_s=0.1)
    run = asyncio.ensure_future(supervisor.run())
    async with asyncio.timeout(20):
        while not marks.exists() or len(marks.read_text()) < 3:
            await asyncio.sleep(0.05)
    supervisor.stop()
    assert await asyncio.wait_for(run, 20) == 0


async def test_process_that_keeps_dying_ends_the_service(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with_body(monkeypatch, "raise SystemExit(1)")
    supervisor = Supervisor([Role(name="a", role="r")], log=NoLog(), drain_s=0.1)
    assert await asyncio.wait_for(supervisor.run(), 30) == 1


async def test_process_that_says_why_it_cannot_start_ends_the_service_at_once(
    quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    with_body(monkeypatch, f"open({str(marks)!r}, 'a').write('x'); raise SystemExit(78)")
    supervisor = Supervisor([Role(name="a", role="r")], log=NoLog(), drain_s=0.1)
    assert await asyncio.wait_for(supervisor.run(), 30) == 1
    assert marks.read_text() == "x"
