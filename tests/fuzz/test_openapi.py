"""Schemathesis, which knows nothing of us but the OpenAPI document, against the API: no 5xx, nothing undocumented."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import sys
from pathlib import Path

import pytest

from tests.props.test_api_props import CALLING, KEPT, OPERATIONS, Operation, flood
from tests.unit.agent.api.rest_kit import rest

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"
EXAMPLES = 60
"""Of each operation and phase; ``EXAMPLES=…`` for more."""
GROUPS: dict[str, list[Operation]] = {}
for one in OPERATIONS:
    GROUPS.setdefault(one[1].split("/")[2], []).append(one)
pytestmark = pytest.mark.fuzz


@pytest.mark.timeout(1800)
async def test_schemathesis_finds_no_undocumented_answer(tmp_path: Path) -> None:
    if importlib.util.find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed (make fuzz installs it)")
    seed = os.environ.get("SEED", "") or str(random.randrange(1 << 30))
    async with rest(tmp_path, outbound=CALLING) as kit:
        await kit.recorded("c1")
        await kit.call("c2")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", f"{kit.url}/v1/openapi.json",
            "--checks", CHECKS, "--max-examples", os.environ.get("EXAMPLES", str(EXAMPLES)), "--seed", seed,
            "--exclude-path-regex", "/events$", "--request-timeout", "10", "--no-color", "--phases", "examples,coverage,fuzzing",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode(errors="replace")[-8000:]
        assert kit.bugs == []


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("group", sorted(GROUPS))
async def test_ten_thousand_random_requests_to_each_operation_leave_nothing_behind(group: str, tmp_path: Path) -> None:
    count = int(os.environ.get("MESSAGES", "10000"))
    seed = int(os.environ.get("SEED", "") or random.randrange(1 << 30))
    grown: dict[str, int] = {}
    async with rest(tmp_path, outbound=CALLING) as kit:
        await flood(kit, count, seed, operations=GROUPS[group], after=grown.__setitem__)
    over = {name: more for name, more in grown.items() if more > KEPT.get(name, max(1000, count))}
    assert not over, f"SEED={seed}"
