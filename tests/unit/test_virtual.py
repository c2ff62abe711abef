from __future__ import annotations

import asyncio
import time

import pytest

from tests.virtual import Deadlock, run


def test_a_minute_passes_at_once() -> None:
    async def wait() -> float:
        await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    began = time.perf_counter()
    assert run(wait()) == pytest.approx(60, abs=1e-6)
    assert time.perf_counter() - began < 1


def test_timers_fire_in_their_order() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def tick(after_s: float, name: int) -> None:
            await asyncio.sleep(after_s)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for name, after_s in ((3, 3.0), (1, 1.0), (2, 2.0)):
                group.create_task(tick(after_s, name))
        return order

    assert run(main()) == [1, 2, 3]


def test_waiting_for_nothing_is_told_as_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main())
