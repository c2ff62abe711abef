"""The contract over a real Redis and a real Valkey server, and what only a server can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.errors import StoreUnavailable
from agent.store.errors import StoreRefused
from agent.store.redis import RedisStore
from agent.store.writes import Create, End, Status, Timeline, Update
from tests.peers.servers import Server
from tests.unit.agent.store.contract import ENDED, NOW, StoreContract, event, record

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(request.param, tmp_path_factory.mktemp(request.param))
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def store(server: Server) -> AsyncIterator[RedisStore]:
    store = RedisStore(server.url)
    await store.open()
    await store._client.run([("FLUSHALL",)])
    yield store
    await store.close()


class TestServers(StoreContract):
    async def test_a_write_that_comes_twice_is_applied_once(self, store: RedisStore) -> None:
        create = Create(call_id="c1", number=1, record=record(), events=(event(),), lease_s=10, now=NOW)
        update = Update(call_id="c1", number=2, fence=1, events=(event(),), now=NOW)
        late = Update(call_id="c1", number=5, fence=1, events=(event(),), now=NOW)
        notes = Timeline(call_id="c1", number=3, fence=1, entries=())
        end = End(call_id="c1", number=4, fence=1, result="success", reason="x", events=(ENDED,), now=NOW)
        outcomes = await store.apply([create, create, update, update, late, notes, end, end])
        assert [outcome.status for outcome in outcomes] == [
            Status.DONE,
            Status.DUPLICATE,
            Status.DONE,
            Status.DUPLICATE,
            Status.GAP,
            Status.DONE,
            Status.DONE,
            Status.DUPLICATE,
        ]
        assert [one.name for one in await store.events_of("c1")] == ["call.turn", "call.turn", "call.ended"]

    async def test_forgotten_scripts_are_loaded_again(self, store: RedisStore) -> None:
        await store.create_call(record(), [], lease_s=10, now=NOW)
        await store._client.run([("SCRIPT", "FLUSH")])
        await asyncio.gather(*(store.update_call("c1", 1, {}, [event(n=n)], now=NOW) for n in range(5)))
        assert [one.seq for one in await store.events_of("c1")] == [1, 2, 3, 4, 5]

    async def test_a_policy_that_throws_keys_away_is_refused(self, store: RedisStore, server: Server) -> None:
        await store._client.run([("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")])
        try:
            with pytest.raises(StoreRefused, match="maxmemory-policy is allkeys-lru"):
                await RedisStore(server.url).open()
        finally:
            await store._client.run([("CONFIG", "SET", "maxmemory-policy", "noeviction")])

    async def test_a_full_server_is_unavailable_and_passes(self, store: RedisStore) -> None:
        await store._client.run([("CONFIG", "SET", "maxmemory", "1")])
        try:
            with pytest.raises(StoreUnavailable, match=r"redis://127\.0\.0\.1.*maxmemory"):
                await store.create_call(record(), [], lease_s=10, now=NOW)
        finally:
            await store._client.run([("CONFIG", "SET", "maxmemory", "0")])
        await store.create_call(record(), [], lease_s=10, now=NOW)

    async def test_ended_calls_leave_the_live_ones_and_expire(self, store: RedisStore) -> None:
        await store.create_call(record(), [event()], lease_s=10, now=NOW)
        await store.end_call("c1", 1, result="success", reason="x", data={}, event=ENDED, now=NOW)
        live, ttl = await store._client.run([("ZRANGE", "ct:live", 0, -1), ("TTL", "ct:{call:c1}:rec")])
        assert live == []
        assert 0 < ttl <= 7 * 86400

    async def test_a_hint_without_a_call_goes_away(self, store: RedisStore) -> None:
        await store.set_endpoints({"a": ["*"]})
        await store._client.run([("ZADD", "ct:{wh:a}:due", NOW, "gone")])
        assert await store.claim("w", limit=9, now=NOW + 100, claim_s=30) == []
        assert (await store._client.run([("ZCARD", "ct:{wh:a}:due")])) == [0]

    async def test_a_server_that_hangs_costs_a_quarter_second_and_names_itself(
        self, store: RedisStore, server: Server
    ) -> None:
        await store.create_call(record(), [], lease_s=10, now=NOW)
        server.stop()
        try:
            began = asyncio.get_running_loop().time()
            with pytest.raises(StoreUnavailable, match=r"redis://127\.0\.0\.1"):
                await store.get_call("c1")
            assert asyncio.get_running_loop().time() - began < 1.5
        finally:
            server.resume()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    store = RedisStore("redis://user:topsecret@127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable) as told:
        await store.open()
    assert "topsecret" not in str(told.value)
    await store.close()


async def test_a_server_that_wants_a_password_is_refused(tmp_path: Path) -> None:
    server = Server("redis", tmp_path, options=("--requirepass", "x"))
    server.start()
    store = RedisStore(server.url)
    try:
        with pytest.raises(StoreRefused, match=r"NOAUTH|uthentica"):
            await store.open()
    finally:
        await store.close()
        server.kill()
