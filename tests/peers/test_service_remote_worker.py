"""A worker of another host, as far as TCP on loopback is one: ``crosstalk worker`` and ``engine.remote``."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from agent.app import start_service
from agent.cli import main
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script
from telephony.loopback import free_port
from tests.peers.service_kit import MARKER_AGENT, all_ended, health

pytestmark = [pytest.mark.peer, pytest.mark.slow]

SCRIPT = """
name: short
max_s: 10
steps:
  - wait: 1500
  - hangup
"""
COMMAND = "from agent.cli import main; raise SystemExit(main())"


async def test_call_is_served_by_a_worker_that_others_run() -> None:
    control, audio = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    arguments = ["worker", "--model", "talker", "--name", "gpu1", "--control", control, "--audio", audio]
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", COMMAND, *arguments, "--set=engine.rows=4", stderr=asyncio.subprocess.PIPE
    )
    assert worker.stderr is not None
    try:
        line = await asyncio.wait_for(worker.stderr.readline(), 60.0)
        assert line.decode().startswith("worker gpu1: talker, 4 rows, audio 127.0.0.1:")
        settings = {**MARKER_AGENT, "engine.workers": 0, "engine.spare": 0, "engine.remote": [control]}
        with MediaThread() as media:
            async with start_service(settings) as service:
                call = await run_call(service.sip_uri, parse_script(SCRIPT), media=media)
                assert call.answered
                (record,) = await all_ended(service, 1)
                assert record["reason"] == "caller_hangup"
                assert control in [process["name"] for process in (await health(service))["processes"]]
        assert call.agent.any()
    finally:
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 10.0) == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--control", "10.0.0.7:x", "--audio", "127.0.0.1:1"], "--control: address '10.0.0.7:x' has no valid port"),
        (
            ["--control", "127.0.0.1:7", "--audio", "127.0.0.1:8", "--model", "nothing/here"],
            "engine.model: nothing/here",
        ),
    ],
)
def test_worker_that_cannot_start_says_why(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", *arguments]) == 2
    assert told in capsys.readouterr().err
