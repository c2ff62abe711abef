"""A process of its own that uses a store: ``python -m tests.peers.store_child ROLE URL FOLDER NAME``.

``writer`` writes calls and events for ever and prints each one after it was acknowledged; ``fighter`` tries to get a
hundred calls that others want too, and to reap a hundred that nobody owns any more.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from agent.errors import Fenced
from agent.store.open import backing_store, open_store
from agent.store.spool import Limits
from telephony.clock import MonotonicClock
from tests.unit.agent.store.contract import end, event, record
from tests.unit.agent.store.flaky import NoLog

ENDPOINTS = {"all": ["*"]}


def opened(url: str, folder: str, owner: str) -> Any:
    store, _ = open_store(
        url,
        spill=f"{folder}/spill.jsonl",
        owner=owner,
        endpoints=ENDPOINTS,
        wall=time.time,
        clock=MonotonicClock(),
        log=NoLog(),
        limits=Limits(retry_min_s=0.02, retry_max_s=0.1),
    )
    return store


def say(*words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def writer(url: str, folder: str, name: str) -> None:
    store = opened(url, folder, name)
    await store.open()
    await asyncio.gather(*(_calls(store, f"{name}-{n}") for n in range(8)))


async def _calls(store: Any, prefix: str) -> None:
    for number in range(10_000):
        call_id = f"{prefix}-{number}"
        await store.create_call(record(call_id, owner="gw1"), [event("call.started", n=0)], lease_s=10, now=time.time())
        say(call_id, 0)
        for n in range(1, 6):
            await store.update_call(call_id, 1, {"state": "active"}, [event(n=n)], now=time.time())
            say(call_id, n)
            await asyncio.sleep(0.002)
        await end(store, call_id)
        say(call_id, "ended")


async def fighter(url: str, folder: str, name: str) -> None:
    store: Any = backing_store(url)
    await store.open()
    won, accepted = [], 0
    for n in range(100):
        try:
            fence = await store.create_call(record(f"c{n}", owner=name), [], lease_s=60, now=time.time())
        except Fenced:
            continue
        won.append(f"c{n}")
        await store.update_call(f"c{n}", fence, {"data": {"by": name}}, [event(by=name)], now=time.time())
    for n in range(100):
        try:
            await store.update_call(f"orphan{n}", 1, {}, [event(by="late")], now=time.time())
            accepted += 1
        except Fenced:
            pass
        if n % 10 == 0:
            await store.reap(now=time.time(), grace_s=20, event_name="call.ended")
    say(won, accepted)
    await store.close()


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    asyncio.run({"writer": writer, "fighter": fighter}[role](*arguments))
