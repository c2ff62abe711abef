"""Kamailio puts itself on the record in front of a whole service: requests of both sides find their way."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.app import start_service
from tests.peers.programs import require
from tests.peers.service_kit import MARKER_AGENT, all_ended, assert_clean_log
from tests.peers.sip_service import run_sipp
from tests.peers.test_sip_kamailio import proxy

pytestmark = [pytest.mark.peer, pytest.mark.slow]


async def test_call_through_a_record_routing_proxy_is_ended_by_its_caller(tmp_path: Path) -> None:
    sipp = require("sipp")
    async with start_service(MARKER_AGENT) as service, proxy(service.sip_port, tmp_path) as port:
        assert await run_sipp(sipp, "hold", port, tmp_path) == ""
        (call,) = await all_ended(service, 1)
        assert (call["result"], call["reason"]) == ("success", "caller_hangup")
        assert_clean_log(service)


async def test_our_bye_goes_back_through_the_proxy(tmp_path: Path) -> None:
    """The caller hears the greeting out, then the call has lasted as long as it may."""
    sipp = require("sipp")
    settings = {**MARKER_AGENT, "agent.max_duration_s": 1}
    async with start_service(settings) as service, proxy(service.sip_port, tmp_path) as port:
        assert await run_sipp(sipp, "bye_from_us", port, tmp_path) == ""
        (call,) = await all_ended(service, 1)
        assert call["reason"] == "max_duration"
        assert call["data"]["media"]["sent"] > 50
        assert_clean_log(service)
