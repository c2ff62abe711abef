"""Random walks through a real Redis, compared with the model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from agent.store.redis import RedisStore
from tests.peers.servers import Server
from tests.unit.agent.store.machine import StoreMachine

pytestmark = pytest.mark.peer


@pytest.fixture(params=["redis", "valkey"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(request.param, Path(folder))
        server.start()
        yield server
        server.kill()


def test_a_server_does_what_the_model_does(server: Server) -> None:
    class ServerMachine(StoreMachine):
        async def make(self) -> Any:
            store = RedisStore(server.url, timeout_s=2.0)
            await store.open()
            await store._client.run([("FLUSHALL",)])
            return store

    run_state_machine_as_test(
        ServerMachine,
        settings=settings(
            max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
