"""The WHIP client of docs/howto/browser.md, as it is printed there, against a whole service."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("aiortc", reason="the extra 'webrtc' is not installed")

from aioice import ice

from agent.app import start_service
from tests.peers.service_kit import MARKER_AGENT, all_ended, assert_clean_log

pytestmark = [pytest.mark.peer, pytest.mark.slow]
HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "browser.md"


async def test_the_printed_whip_client_hears_a_whole_greeting(tmp_path: Path) -> None:
    if not ice.get_host_addresses(use_ipv4=True, use_ipv6=False):
        pytest.skip("aiortc has no address but loopback here, and leaves that out")
    (script,) = re.findall(r"```python\n(.*?)```", HOWTO.read_text(), re.S)
    (tmp_path / "whip.py").write_text(script)
    async with start_service({**MARKER_AGENT, "webrtc.enabled": "on"}) as service:
        client = await asyncio.create_subprocess_exec(
            sys.executable,
            str(tmp_path / "whip.py"),
            service.http_url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(client.communicate(), 30.0)
        assert client.returncode == 0, err.decode()
        assert '"phase":"ended"' in out.decode()
        assert '"unheard":""' in out.decode()
        (call,) = await all_ended(service, 1)
        assert (call["transport"], call["reason"]) == ("webrtc", "caller_hangup")
        assert call["data"]["media"]["received"] > 200
        assert_clean_log(service)
