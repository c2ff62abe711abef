"""The console's files, and what the REST API tells it: live calls, parts of a waveform, attempts, workers, orders."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web

from agent.api import page
from agent.api.console import add_console_routes
from agent.api.page import add_common
from agent.api.recordings import waveform
from agent.api.schema import violations
from agent.api.shapes import SHAPES
from telephony.events import LegAnswered, LegEnded
from tests.unit.agent.api.rest_kit import Kit, rest, write_wav
from tests.unit.agent.api.test_rest import TARGET, settle

FILES = sorted((page.FOLDER / "console").iterdir())


@pytest_asyncio.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with rest(tmp_path) as running:
        yield running
        assert running.bugs == []


@pytest_asyncio.fixture
async def front() -> AsyncIterator[ClientSession]:
    app = web.Application()
    add_common(app)
    add_console_routes(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as http:
        yield http
    await runner.cleanup()


# --- files ---


async def test_page_and_its_files_are_served_under_a_strict_policy(front: ClientSession) -> None:
    for file in FILES:
        path = "/console" if file.name == "index.html" else f"/console/{file.name}"
        async with front.get(path) as answer:
            assert answer.status == 200
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "unsafe" not in policy
            assert answer.headers["Permissions-Policy"].startswith("microphone=()")
            tag = answer.headers["ETag"]
        async with front.get(path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
    async with front.get("/console/") as answer:
        assert answer.status == 200


async def test_everything_that_a_page_loads_is_there(front: ClientSession) -> None:
    asked = {
        found
        for file in FILES
        for found in re.findall(
            r'(?:from|src=|href=)\s*"(/(?:console|common)/[^"#]+)"', file.read_text(encoding="utf-8")
        )
    }
    assert len(asked) > 8
    for path in asked:
        async with front.get(path) as answer:
            assert answer.status == 200, path


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_text_is_ever_parsed_as_markup(file: Path) -> None:
    """What callers say comes from outside: the page has no way to turn it into elements or code."""
    text = file.read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", text
    )
    assert not re.search(r"""(?:src|href)=["']?https?:|@import|url\(["']?http""", text)
    if file.suffix == ".html":
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", text)


def test_pages_name_the_same_colours() -> None:
    """Colours of voices and floor have one place."""
    for file in (*FILES, *(page.FOLDER / "talk").iterdir()):
        assert not re.search(r"^\s*--(agent|caller|stop|ink|ground|card)\s*:", file.read_text(encoding="utf-8"), re.M)


# --- what the API tells it ---


async def test_live_calls_are_listed_without_those_that_are_over(kit: Kit) -> None:
    await kit.call("over")
    await kit.call("elsewhere", ended=False)  # of another gateway
    _, first = await kit.ask("POST", "/v1/calls", json={"to": TARGET})
    _, second = await kit.ask("POST", "/v1/calls", json={"to": TARGET})
    await settle()
    kit.door.legs[0].emit(LegAnswered(leg_id="x"))
    await settle()
    _, found = await kit.ask("GET", "/v1/calls?live=true")
    assert [call["call_id"] for call in found["calls"]] == [second["call_id"], first["call_id"]]
    assert all("live" in call for call in found["calls"])
    assert found["next"] is None
    assert not violations(found, SHAPES["Calls"], SHAPES)
    _, active = await kit.ask("GET", "/v1/calls?live=true&state=active")
    assert [call["call_id"] for call in active["calls"]] == [first["call_id"]]
    assert len((await kit.ask("GET", "/v1/calls?live=true&limit=1"))[1]["calls"]) == 1
    assert (await kit.ask("GET", "/v1/calls?live=maybe"))[0] == 400
    assert (await kit.ask("GET", "/v1/calls?live=true", key=kit.key(tenant="other")))[1]["calls"] == []
    for leg in kit.door.legs:
        leg.emit(LegEnded(leg_id="x", by="caller", status=200, reason="bye"))
    await settle()
    assert (await kit.ask("GET", "/v1/calls?live=true", key=kit.key()))[1]["calls"] == []


async def test_orders_are_in_the_timeline_with_the_name_of_their_key(kit: Kit) -> None:
    key = kit.key()
    _, call = await kit.ask("POST", "/v1/calls", json={"to": TARGET}, key=key)
    path = f"/v1/calls/{call['call_id']}"
    await settle()
    kit.door.legs[0].emit(LegAnswered(leg_id="x"))
    await settle()
    await kit.ask("POST", f"{path}/say", json={"text": "one moment"}, key=key)
    await kit.ask("POST", f"{path}/transfer", json={"target": "sip:people@h"}, key=key)
    await kit.ask("POST", f"{path}/hangup", key=key)
    await settle()
    entries = (await kit.ask("GET", f"{path}/timeline", key=key))[1]["entries"]
    assert [entry["data"] for entry in entries if entry["kind"] == "order"] == [
        {"what": "say", "text": "one moment", "by": "test"},
        {"what": "transfer", "target": "sip:people@h", "by": "test"},
        {"what": "hangup", "by": "test"},
    ]


async def test_attempts_and_workers_are_as_described(kit: Kit) -> None:
    kit.poster.fails = True
    await kit.call("c1")
    kit.deliverer.poke()
    await settle()
    _, found = await kit.ask("GET", "/v1/calls/c1/events")
    assert {(one["endpoint"], one["name"]) for one in found["attempts"]} == {("crm", "call.started")}
    assert not violations(found, SHAPES["CallEvents"], SHAPES)
    assert not violations((await kit.ask("GET", "/v1/workers"))[1], SHAPES["Workers"], SHAPES)


async def test_a_part_of_a_waveform_can_be_asked_for(kit: Kit) -> None:
    await kit.recorded("c1")
    _, part = await kit.ask("GET", "/v1/calls/c1/waveform?points=10&from_ms=400&to_ms=600")
    assert (part["duration_ms"], part["from_ms"], part["length_ms"]) == (1000, 400, 200)
    assert part["caller"] == [0.5] * 5 + [0.0] * 5
    assert not violations(part, SHAPES["Waveform"], SHAPES)
    assert (await kit.ask("GET", "/v1/calls/c1/waveform?from_ms=600&to_ms=600"))[0] == 400
    _, none = await kit.ask("GET", "/v1/calls/c1/waveform?from_ms=5000")
    assert (none["from_ms"], none["length_ms"]) == (1000, 0)


def test_parts_of_a_waveform_are_those_of_the_whole(tmp_path: Path) -> None:
    write_wav(tmp_path / "c.wav")
    whole = waveform(tmp_path / "c.wav", 1000)
    for from_ms, to_ms in ((0, 1000), (0, 300), (499, 501), (700, 5000), (333, 334)):
        last = min(to_ms, 1000)
        part = waveform(tmp_path / "c.wav", last - from_ms, from_ms, to_ms)
        for side in ("caller", "agent"):
            assert part[side] == whole[side][from_ms:last]


def test_every_kind_of_the_timeline_is_described_and_shown() -> None:
    """Each kind that a session notes, in the reference and among the console's lines."""
    root = Path(__file__).parents[4]
    noted = {
        kind
        for file in sorted((root / "agent").glob("*.py"))
        for kind in re.findall(r'\bnote\(\s*"(\w+)"', file.read_text(encoding="utf-8"))
    }
    assert {"floor", "turn", "utterance", "tool", "order"} <= noted
    reference = (root / "docs/reference/events.md").read_text(encoding="utf-8")
    table = reference[reference.index("## The timeline") : reference.index("## The store")]
    assert noted <= set(re.findall(r"`(\w+)`", table))
    lines = (page.FOLDER / "console" / "happened.js").read_text(encoding="utf-8")
    assert noted - {"words"} <= set(re.findall(r"^  (\w+): \(", lines, re.MULTILINE)), (
        "words are shown as they come, and as turns"
    )
