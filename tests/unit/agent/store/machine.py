"""A walk of random steps through a store, compared with the model after each one. The caller gives the store."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.errors import Fenced
from agent.store.interface import CallState
from tests.unit.agent.store.contract import ENDED, NOW, event, record
from tests.unit.agent.store.model import ModelStore

CALLS = st.sampled_from(["c1", "c2", "c3"])
FENCES = st.sampled_from([1, 1, 1, 2])
LONG_S = 1e6
"""Leases are either long or long over: a store with a clock of its own then agrees with the model's."""


class StoreMachine(RuleBasedStateMachine):
    """Subclasses give ``make`` (an open, empty store)."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = ModelStore()
        self.store: Any = None
        self.now = NOW
        self.claimed: dict[str, float] = {}

    async def make(self) -> Any:
        raise NotImplementedError

    def teardown(self) -> None:
        if self.store is not None:
            self.runner.run(self.store.close())
        self.runner.close()

    def both(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call both; the answers (or refusals) must be the same."""
        return self.runner.run(self._both(name, args, kwargs))

    async def _both(self, name: str, args: Any, kwargs: Any) -> Any:
        real = await self._outcome(getattr(self.store, name)(*args, **kwargs))
        wanted = await self._outcome(getattr(self.model, name)(*args, **kwargs))
        if name == "claim":
            assert sorted(one.delivery_id for one in real) == sorted(one.delivery_id for one in wanted)
            assert {one.delivery_id: (one.event, one.attempt) for one in real} == {
                one.delivery_id: (one.event, one.attempt) for one in wanted
            }
        else:
            assert real == wanted, name
        return wanted

    @staticmethod
    async def _outcome(call: Coroutine[Any, Any, Any]) -> Any:
        try:
            found = await call
        except Fenced:
            return "fenced"
        return sorted(found) if isinstance(found, list) and found and isinstance(found[0], str) else found

    @initialize()
    def begin(self) -> None:
        self.store = self.runner.run(self.make())
        self.both("set_endpoints", {"all": ["*"], "ends": ["call.ended"]})

    @rule(call_id=CALLS, lease_s=st.sampled_from([LONG_S, -LONG_S]), events=st.integers(0, 2))
    def create(self, call_id: str, lease_s: float, events: int) -> None:
        owner = "gw2" if call_id == "c3" else "gw1"
        self.both(
            "create_call",
            record(call_id, owner=owner),
            [event(n=n) for n in range(events)],
            lease_s=lease_s,
            now=self.now,
        )

    @rule(
        call_id=CALLS, fence=FENCES, events=st.integers(0, 2), data=st.dictionaries(st.text(max_size=3), st.integers())
    )
    def update(self, call_id: str, fence: int, events: int, data: dict[str, int]) -> None:
        changes = {"state": "active", "answered_at": self.now, "data": data}
        self.both("update_call", call_id, fence, changes, [event(n=n) for n in range(events)], now=self.now)

    @rule(call_id=CALLS, fence=FENCES)
    def end(self, call_id: str, fence: int) -> None:
        self.both("end_call", call_id, fence, result="success", reason="x", data={"e": 1}, event=ENDED, now=self.now)

    @rule(call_id=CALLS, fence=FENCES)
    def renew(self, call_id: str, fence: int) -> None:
        self.both("renew_leases", "gw1", [(call_id, fence)], lease_s=LONG_S, now=self.now)

    @rule(skip=st.sampled_from([(), ("gw1",)]))
    def reap(self, skip: tuple[str, ...]) -> None:
        self.both("reap", now=self.now, grace_s=20, event_name="call.ended", skip_owners=skip)

    @rule(owner=st.sampled_from(["gw1", "gw2"]), keep=st.lists(CALLS, max_size=1))
    def restart(self, owner: str, keep: list[str]) -> None:
        self.both("reap_owner", owner, now=self.now, event_name="call.ended", keep=keep)

    @rule(endpoint=st.sampled_from([None, "all", "ends"]))
    def claim(self, endpoint: str | None) -> None:
        for one in self.both("claim", "w", limit=100, now=self.now, claim_s=30, endpoint=endpoint):
            self.claimed[one.delivery_id] = self.now

    @rule(ok=st.booleans(), pause_s=st.sampled_from([None, 5.0, 300.0]), data=st.data())
    def settle(self, ok: bool, pause_s: float | None, data: st.DataObject) -> None:
        held = sorted(one for one, at in self.claimed.items() if at + 30 > self.now and one in self.model.pending)
        if not held:
            return
        chosen = data.draw(st.sampled_from(held))
        del self.claimed[chosen]
        if ok:
            self.both("delivered", chosen, attempt={"status": 200}, now=self.now)
        else:
            retry_at = None if pause_s is None else self.now + pause_s
            self.both("failed", chosen, attempt={"status": 500}, retry_at=retry_at, now=self.now)

    @rule(by_s=st.sampled_from([1.0, 7.0, 31.0, 61.0]))
    def wait(self, by_s: float) -> None:
        self.now += by_s

    @invariant()
    def both_tell_the_same(self) -> None:
        if self.store is None:
            return
        for call_id in ("c1", "c2", "c3"):
            found = self.both("get_call", call_id)
            events = self.both("events_of", call_id)
            self.both("attempts", call_id)
            ends = sum(one.name == "call.ended" for one in events)
            assert ends == (found is not None and found.state is CallState.ENDED)
        self.both("backlog")
