"""The example receivers, run as their READMEs say, get webhooks from our own signer and client over real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.events.bodies import body
from agent.events.http import HttpClient
from agent.events.signing import Signer, new_secret
from agent.events.ssrf import Guard

EXAMPLES = Path(__file__).parents[3] / "deploy/examples/webhooks"
KINDS = [
    "python",
    pytest.param("node", marks=pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")),
]
SECRET = new_secret()


@asynccontextmanager
async def receiver(kind: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Its URL and its process."""
    command = (
        [sys.executable, str(EXAMPLES / "python/receiver.py"), "--port", "0"]
        if kind == "python"
        else ["node", str(EXAMPLES / "node/receiver.mjs"), "0"]
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env={**os.environ, "WEBHOOK_SECRET": SECRET}
    )
    assert process.stderr is not None
    try:
        said = (await asyncio.wait_for(process.stderr.readline(), 20.0)).decode()
        found = re.search(r"http://\S+", said)
        assert found is not None, said
        yield found[0], process
    finally:
        process.kill()
        await process.communicate()


async def post(url: str, raw: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    async with HttpClient(Guard(allow_http=True, networks=["127.0.0.0/8"])) as http:
        answer = await http.post(url, raw, headers, timeout_s=5.0)
        return answer.status, answer.body


@pytest.mark.parametrize("kind", KINDS)
async def test_receiver_takes_what_we_sign_once_and_nothing_else(kind: str) -> None:
    event = body("call.ended", 1.0, {"call_id": "c1", "seq": 3, "text": "Grüße"})
    now = time.time()
    signed = Signer([SECRET]).headers("evt_1", now, event)
    async with receiver(kind) as (url, process):
        assert (await post(url, event, signed))[0] == 204
        assert (await post(url, event, signed))[0] == 204  # again, as after a lost answer
        rotating = Signer([new_secret(), SECRET]).headers("evt_2", now, event)
        assert (await post(url, event, rotating))[0] == 204
        refused = [
            Signer([new_secret()]).headers("evt_3", now, event),
            Signer([SECRET]).headers("evt_4", now - 400, event),
            Signer([SECRET]).headers("evt_5", now + 400, event),
            {**signed, "webhook-id": "evt_6"},
            {**signed, "webhook-timestamp": "soon"},
            {**signed, "webhook-signature": ""},
            {},
        ]
        assert [(await post(url, event, headers))[0] for headers in refused] == [401] * len(refused)
        assert (await post(url, event + b" ", signed))[0] == 401
        assert process.stdout is not None
        lines = [json.loads(await asyncio.wait_for(process.stdout.readline(), 5.0)) for _ in range(2)]
        assert [line["data"]["call_id"] for line in lines] == ["c1", "c1"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.stdout.readline(), 0.2)


@pytest.mark.parametrize("kind", KINDS)
async def test_receiver_answers_the_question_about_a_call(kind: str) -> None:
    question = body("call.incoming", 1.0, {"call_id": "c1"})
    async with receiver(kind) as (url, _):
        status, said = await post(url, question, Signer([SECRET]).headers("in_c1", time.time(), question))
    assert (status, json.loads(said)["action"]) == (200, "accept")
