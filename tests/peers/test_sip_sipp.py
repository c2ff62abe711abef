"""sipp calls us: the scenarios of ``tests/data/sipp`` against a real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from telephony.events import DtmfReceived, LegAnswered, LegEnded, LegHeld, LegResumed
from tests.peers.programs import require
from tests.peers.sip_service import run_sipp, service

pytestmark = pytest.mark.peer


async def test_basic_call_and_a_repeated_bye(tmp_path: Path) -> None:
    program = require("sipp")
    async with service() as ours:
        assert await run_sipp(program, "basic", ours.port, tmp_path) == ""
        assert len(ours.offers) == 1
        assert isinstance(ours.events[0], LegAnswered)
        ended = ours.events[-1]
        assert isinstance(ended, LegEnded)
        assert (ended.by, ended.reason) == ("caller", "bye")


async def test_invite_sent_three_times_is_one_call(tmp_path: Path) -> None:
    program = require("sipp")
    async with service(answers=False) as ours:
        assert (
            await run_sipp(program, "retransmission", ours.port, tmp_path, "-m", "1", "-default_behaviors", "none")
            == ""
        )
        assert len(ours.offers) == 1


async def test_cancel_while_it_rings(tmp_path: Path) -> None:
    program = require("sipp")
    async with service(answers=False) as ours:
        assert await run_sipp(program, "cancel", ours.port, tmp_path) == ""
        async with asyncio.timeout(5):
            await ours.ended.wait()
        (ended,) = ours.events
        assert isinstance(ended, LegEnded)
        assert (ended.by, ended.status, ended.reason) == ("caller", 487, "cancel")


async def test_hold_and_resume(tmp_path: Path) -> None:
    program = require("sipp")
    async with service() as ours:
        assert await run_sipp(program, "hold", ours.port, tmp_path) == ""
        kinds = [type(event) for event in ours.events]
        assert kinds.index(LegHeld) < kinds.index(LegResumed)
        assert kinds.count(LegHeld) == kinds.count(LegResumed) == 1


async def test_session_refresh_by_reinvite_and_update(tmp_path: Path) -> None:
    program = require("sipp")
    async with service() as ours:
        assert await run_sipp(program, "refresh", ours.port, tmp_path) == ""
        assert len(ours.offers) == 1


async def test_key_by_info(tmp_path: Path) -> None:
    program = require("sipp")
    async with service() as ours:
        assert await run_sipp(program, "info", ours.port, tmp_path) == ""
        keys = [(event.digit, event.duration_ms) for event in ours.events if isinstance(event, DtmfReceived)]
        assert keys == [("5", 160)]


async def test_a_hundred_calls_at_thirty_a_second(tmp_path: Path) -> None:
    program = require("sipp")
    async with service() as ours:
        assert await run_sipp(program, "basic", ours.port, tmp_path, "-m", "100", "-r", "30", "-l", "60") == ""
        assert len(ours.offers) == 100
