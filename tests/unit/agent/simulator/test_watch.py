"""The event stream of a service: each call's events in a queue of its own, from before anybody asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from agent.simulator.watch import QUEUE_LIMIT, EventWatch, Seen


async def lines(text: str) -> AsyncIterator[bytes]:
    for line in text.splitlines(keepends=True):
        yield line.encode()


def event(kind: str, call: str, data: str = "{}") -> str:
    return f'id: a-1\nevent: {kind}\ndata: {{"call_id":"{call}","at_ms":5,"data":{data}}}\n\n'


def read(text: str) -> EventWatch:
    watch = EventWatch()
    asyncio.run(watch.read(lines(text)))
    return watch


def test_events_go_to_their_call() -> None:
    watch = read("retry: 1000\n\n" + event("turn", "a") + ": still here\n\n" + event("floor", "b", '{"after":"agent"}'))
    assert watch.of("a").get_nowait() == Seen("turn", {})
    assert watch.of("b").get_nowait() == Seen("floor", {"after": "agent"})
    assert watch.of("a").empty()


def test_a_call_that_nobody_reads_keeps_no_more_than_its_queue() -> None:
    watch = read(event("turn", "a") * (QUEUE_LIMIT + 5))
    assert watch.of("a").qsize() == QUEUE_LIMIT
    watch.forget("a")
    assert watch.of("a").empty()
