"""The front's start, without its neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import front
from agent.config import Config
from agent.errors import AgentError
from agent.logging import configure
from agent.tasks import Tasks


async def test_start_without_workers_says_who_did_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "START_S", 0.1)
    writer = configure("json", "error")
    try:
        started = front.Front(Config(), run_folder=str(tmp_path), writer=writer)
        async with Tasks() as tasks:
            with pytest.raises(AgentError, match=r"^no connection to edge, worker1, spare1 within 0\.1 s"):
                await started._connect_engine(tasks)
    finally:
        writer.close()
