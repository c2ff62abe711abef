"""The commands of docs/howto/simulate-a-caller.md for other doors, with an API key, as a shell runs them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiortc", reason="the extra 'webrtc' is not installed")

from agent.api.keys import KeyFile
from agent.app import start_service
from agent.bench.doors_service import open_doors
from agent.errors import AgentError
from agent.simulator.service import check_access
from tests.peers.service_kit import ECHO_AGENT, assert_clean_log

pytestmark = [pytest.mark.peer, pytest.mark.slow]

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "simulate-a-caller.md").read_text(encoding="utf-8")
SCRIPT = "steps:\n  - wait: 1500\n  - hangup\n"


def commands() -> list[list[str]]:
    """The calls of the page through other doors than SIP."""
    found = re.findall(r"^crosstalk (call (?:webrtc|live)\+\S+ .*)$", PAGE, re.MULTILINE)
    assert len(found) == 2
    return [line.split() for line in found]


async def run(*arguments: str, key: str) -> tuple[int, str, str]:
    code = "from agent.cli import main; raise SystemExit(main())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", code, *arguments,
        env={**os.environ, "CROSSTALK_API_KEY": key}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def test_calls_by_other_doors_with_a_key(tmp_path: Path) -> None:
    script = tmp_path / "my.yaml"
    script.write_text(SCRIPT)
    _, key = KeyFile(tmp_path / "api").create(
        "caller", tenant="*", scopes=["calls:read", "calls:write"], now=time.time()
    )
    more = {**ECHO_AGENT, "engine.spare": 0, "api.folder": str(tmp_path / "api")}
    async with start_service(open_doors("live", browsers=True, more=more)) as service:

        def here(argument: str) -> str:
            there = {"8080": str(service.http_port), "8090": str(service.stream_port)}
            return re.sub(r"(?<=127\.0\.0\.1:)(8080|8090)", lambda found: there[found[0]], argument).replace(
                "my.yaml", str(script)
            )

        def call(line: list[str], at: int, key: str) -> Any:
            return run(*map(here, line), "--out", str(tmp_path / str(at)), "--json", key=key)

        lines = commands()
        answered = await asyncio.gather(*(call(line, at, key) for at, line in enumerate(lines)))
        with pytest.raises(AgentError, match=r"a key is needed.*CROSSTALK_API_KEY"):
            await check_access(service.http_url)
        assert_clean_log(service)
    for code, output, errors in answered:
        assert code == 0, errors
        told = json.loads(output)
        assert (told["status"], told["ended_by"]) == (200, "caller")
        assert told["service_call_id"]
    for at in range(len(lines)):
        assert json.loads((tmp_path / str(at) / "timeline.json").read_text())["lines"], "the service has told its side"
