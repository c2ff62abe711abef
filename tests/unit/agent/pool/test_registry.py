from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from agent.errors import AdmissionRefused
from agent.model.protocol import Persona
from agent.pool.registry import WorkerRegistry
from agent.scheduler.floor.profile import FloorProfile


class Client:
    """A worker that seats everybody."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.room = 4

    async def open_seat(self, call_id: str, **_: Any) -> Any:
        return Handle(self)


class Handle:
    call_id = "c"

    def __init__(self, client: Client) -> None:
        self.client = client


def registry(workers: list[Client], spares: list[Client]) -> WorkerRegistry:
    made = WorkerRegistry()
    for client in workers:
        made.add(cast(Any, client))
    for client in spares:
        made.add(cast(Any, client), spare=True)
    return made


async def reseated(made: WorkerRegistry, lost: Client) -> Any:
    handle = await made.reseat(cast(Any, Handle(lost)), profile=FloorProfile(), persona=Persona())
    return handle.client


async def test_call_of_a_dead_worker_goes_to_the_spare() -> None:
    dead, spare = Client(), Client()
    made = registry([dead], [spare])
    dead.lost.set()
    assert await reseated(made, dead) is spare


async def test_row_that_failed_alone_is_seated_elsewhere_or_again() -> None:
    one, other, spare = Client(), Client(), Client()
    assert await reseated(registry([one, other], [spare]), one) is other
    assert await reseated(registry([one], [spare]), one) is one  # the spare stays: no worker is gone


async def test_nobody_left_is_a_refusal() -> None:
    dead = Client()
    made = registry([dead], [])
    dead.lost.set()
    with pytest.raises(AdmissionRefused, match="no_worker"):
        await reseated(made, dead)
