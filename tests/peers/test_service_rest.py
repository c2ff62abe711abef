"""REST on whole services: one calls the other, and the how-to page does what it says."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agent.app import Service, start_service
from agent.client import ApiError, Crosstalk
from tests.peers.programs import require
from tests.peers.service_kit import MARKER_AGENT, SMALL, all_ended, assert_clean_log, calls

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs/howto/rest.md"
CALLING = {"outbound.allow": ["sip:agent@127.0.0.1:*"], "outbound.caller": "sip:line@127.0.0.1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answering() -> AsyncIterator[Service]:
    async with start_service(MARKER_AGENT) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calling() -> AsyncIterator[Service]:
    """The default agent's dialogue with a voice of tones: there is YAML to publish, and nobody to understand."""
    async with start_service({"voice.engine": "marker", "ears.recogniser": "none", **SMALL, **CALLING}) as running:
        yield running


async def test_placed_call_is_heard_by_both_sides_and_told_by_the_stream(calling: Service, answering: Service) -> None:
    client = Crosstalk(calling.http_url)
    before = len(await calls(answering))

    def call() -> tuple[str, set[str]]:
        placed = client.place_call(answering.sip_uri, record=True)
        kinds = set()
        for event in client.watch(call_id=placed["call_id"], last_event_id="0"):
            kinds.add(event.kind)
            if event.kind == "utterance" and event.data["phase"] == "ended":
                client.hang_up(placed["call_id"])
            if event.kind == "call.ended":
                return placed["call_id"], kinds
        raise AssertionError(f"the stream ended: {kinds}")

    call_id, kinds = await asyncio.wait_for(asyncio.to_thread(call), 30.0)
    assert {"state", "call.started", "floor", "utterance", "call.ended"} <= kinds
    (heard,) = (await all_ended(answering, before + 1))[:1]
    assert heard["data"]["media"]["received"] > 20  # 0.4 s and more was heard
    record = await asyncio.to_thread(client.call, call_id)
    assert (record["direction"], record["reason"]) == ("outbound", "operator_hangup")
    assert record["data"]["media"]["received"] > 20  # 0.4 s and more was heard
    peaks = await asyncio.to_thread(client.waveform, call_id, points=50)
    assert max(peaks["agent"]) > 0.05
    assert max(peaks["caller"]) > 0.05
    assert_clean_log(calling)


async def test_target_that_no_rule_names_is_not_dialled(calling: Service) -> None:
    with pytest.raises(ApiError) as error:
        await asyncio.to_thread(Crosstalk(calling.http_url).place_call, "sip:eve@127.0.0.1")
    assert error.value.status == 403


async def test_number_that_does_not_take_calls_is_a_failed_dial(calling: Service) -> None:
    """A service whose pool takes nobody answers 503."""
    client = Crosstalk(calling.http_url)
    refusing = {
        **MARKER_AGENT,
        "agent.decision_url": "http://127.0.0.1:9/",
        "agent.on_decision_failure": "busy",
        "webhooks.allow_http": True,
        "webhooks.secret": "whsec_" + "c2VjcmV0" * 6,
    }
    async with start_service(refusing) as other:
        placed = await asyncio.to_thread(client.place_call, other.sip_uri)
        async with asyncio.timeout(10):
            while (record := await asyncio.to_thread(client.call, placed["call_id"]))["state"] != "ended":
                await asyncio.sleep(0.1)
    assert (record["result"], record["reason"]) == ("upstream_error", "dial_failed")
    assert record["data"]["dial"]["status"] == 486


async def test_howto_does_what_it_says(calling: Service, answering: Service, tmp_path: Path) -> None:
    """All its shell and Python blocks, in order, in one shell that stops at the first error. It creates keys: the last test."""
    require("curl")
    text = HOWTO.read_text(encoding="utf-8")
    blocks = re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL)
    (tmp_path / "crosstalk").write_text(
        f'#!/bin/sh\nexec {sys.executable} -P -c "from agent.cli import main; raise SystemExit(main())" "$@"\n'
    )
    (tmp_path / "crosstalk").chmod(0o755)
    script = ["set -e"]
    for number, (kind, block) in enumerate(blocks):
        if kind == "python":
            (tmp_path / f"{number}.py").write_text(block)
            script.append(f"{sys.executable} {number}.py")
        else:
            script.append(block.replace("reminder-4711", f"reminder-{tmp_path.name}"))  # tried again: another call
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CROSSTALK": calling.http_url,
        "CROSSTALK_API__FOLDER": str(calling.folder / "api"),
        "TARGET": answering.sip_uri,
    }
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", "\n".join(script), cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )  # fmt: skip
    out = (await asyncio.wait_for(process.communicate(), 60.0))[0].decode()
    assert process.returncode == 0, out
    assert '"auth":"open"' in out
    assert "event: utterance" in out or "event: floor" in out
    assert "agent " in out.splitlines()[-1] or "caller " in out.splitlines()[-1]
    assert (tmp_path / "call.wav").read_bytes()[:4] == b"RIFF"
    assert_clean_log(calling)
