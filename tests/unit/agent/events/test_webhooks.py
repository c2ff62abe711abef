"""Delivery in virtual time, over the model of a store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from standardwebhooks import Webhook

from agent.config import WebhookEndpoint
from agent.errors import StoreUnavailable
from agent.events.errors import WebhookFailed
from agent.events.http import Answer
from agent.events.retry import Verdict
from agent.events.webhooks import WebhookDeliverer
from tests.unit.agent.events.test_signing import NEW, OLD
from tests.unit.agent.store.contract import NOW, event, record
from tests.unit.agent.store.flaky import NoLog
from tests.unit.agent.store.model import ModelStore
from tests.virtual import run

Behaviour = Callable[[int], Awaitable[Answer]]
"""An endpoint: the number of the post (from 0) to its answer."""


@dataclass
class LoopClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()


def wall() -> float:
    return NOW + asyncio.get_running_loop().time()


@dataclass
class Posts:
    """Endpoints by name (the host of their URL)."""

    behaviours: dict[str, Behaviour]
    sent: list[tuple[str, float, str, int]] = field(default_factory=list)
    """Endpoint, time, call, seq."""
    messages: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    in_flight: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
        name = url.removeprefix("https://")
        number = sum(1 for one in self.sent if one[0] == name)
        data = json.loads(body)["data"]
        self.sent.append((name, asyncio.get_running_loop().time(), data["call_id"], data["seq"]))
        self.messages.append((headers, body))
        self.in_flight[name] = self.in_flight.get(name, 0) + 1
        self.most[name] = max(self.most.get(name, 0), self.in_flight[name])
        try:
            async with asyncio.timeout(timeout_s):
                return await self.behaviours[name](number)
        except TimeoutError as error:
            raise WebhookFailed("timeout", "no answer") from error
        finally:
            self.in_flight[name] -= 1

    def at(self, name: str) -> list[float]:
        return [time for endpoint, time, _, _ in self.sent if endpoint == name]

    def order(self, name: str) -> list[tuple[str, int]]:
        return [(call_id, seq) for endpoint, _, call_id, seq in self.sent if endpoint == name]


def answers(*statuses: int, took_s: float = 0.0, headers: dict[str, str] | None = None) -> Behaviour:
    """The given statuses in turn, the last one for ever."""

    async def behave(number: int) -> Answer:
        await asyncio.sleep(took_s)
        return Answer(status=statuses[min(number, len(statuses) - 1)], headers=headers or {})

    return behave


async def silent(number: int) -> Answer:
    await asyncio.sleep(1e6)
    raise AssertionError


def deliver(
    behaviours: dict[str, Behaviour],
    *,
    for_s: float,
    calls: int = 1,
    events: int = 1,
    store: ModelStore | None = None,
    secret: str = OLD,
    watched: list[Any] | None = None,
    poll_s: float = 0.25,
) -> tuple[Posts, ModelStore, WebhookDeliverer]:
    """Run a deliverer for so many virtual seconds over ``calls`` with ``events`` each."""

    async def main() -> tuple[Posts, ModelStore, WebhookDeliverer]:
        model, posts = store or ModelStore(), Posts(behaviours)
        deliverer = WebhookDeliverer(
            model,  # type: ignore[arg-type]  # the model is an Outbox and half a Store
            [WebhookEndpoint(name=name, url=f"https://{name}", secret=secret) for name in behaviours],
            http=posts,
            worker="w",
            wall=wall,
            clock=LoopClock(),
            rng=Random(1),
            log=NoLog(),
            poll_s=poll_s,
            watch=None if watched is None else lambda *told: watched.append(told),
        )
        task = asyncio.ensure_future(deliverer.run())
        await asyncio.sleep(0)
        for n in range(calls):
            await model.create_call(record(f"c{n}"), [event(n=m) for m in range(events)], lease_s=9, now=NOW)
        deliverer.poke()
        await asyncio.sleep(for_s)
        task.cancel()
        await asyncio.wait([task])
        return posts, model, deliverer

    return run(main())


def test_an_event_is_delivered_signed_by_every_secret() -> None:
    posts, model, _ = deliver({"a": answers(200)}, for_s=1, secret=f"{OLD} {NEW}")
    ((headers, _),) = posts.messages
    assert headers["webhook-id"] == "evt_c0_1"
    assert headers["webhook-timestamp"] == str(int(NOW))
    assert headers["webhook-signature"].count("v1,") == 2
    assert Webhook(NEW)._whsecret
    assert model.pending == {}
    assert model.tries["c0"][0]["status"] == 200


def test_events_of_one_call_arrive_in_order_one_at_a_time() -> None:
    posts, _, _ = deliver({"a": answers(200, took_s=0.3)}, for_s=5, calls=3, events=4)
    for call_id in ("c0", "c1", "c2"):
        assert [seq for call, seq in posts.order("a") if call == call_id] == [1, 2, 3, 4]
    assert posts.most["a"] == 3


def test_at_most_eight_attempts_of_an_endpoint_are_in_flight() -> None:
    posts, model, _ = deliver({"a": answers(200, took_s=1.0)}, for_s=10, calls=40)
    assert posts.most["a"] == 8
    assert model.pending == {}


def test_a_failing_event_follows_the_schedule_and_dies_with_the_same_id() -> None:
    watched: list[Any] = []
    posts, model, _ = deliver({"a": answers(500)}, for_s=150_000, watched=watched, poll_s=5.0)
    gaps = [later - earlier for earlier, later in zip(posts.at("a"), posts.at("a")[1:], strict=False)]
    wanted = [5, 30, 300, 1800, 7200, 18_000, 36_000, 36_000]
    assert len(gaps) == len(wanted)
    assert all(0.8 * want - 0.3 <= gap <= 1.2 * want + 5.1 for gap, want in zip(gaps, wanted, strict=True))
    assert {headers["webhook-id"] for headers, _ in posts.messages} == {"evt_c0_1"}
    assert len({headers["webhook-timestamp"] for headers, _ in posts.messages}) == 9
    assert model.pending == {}
    assert [one["error"] for one in model.tries["c0"]] == ["status 500"] * 9
    assert [told[1] for told in watched] == [*[Verdict.RETRY] * 8, Verdict.DEAD]


def test_a_stuck_event_holds_its_own_call_for_a_minute_and_no_other() -> None:
    async def behave(number: int) -> Answer:
        return Answer(status=500 if posts_of_c0_1() else 200)

    sent: list[tuple[str, float, str, int]] = []

    def posts_of_c0_1() -> bool:
        return sent[-1][2:] == ("c0", 1)

    async def main() -> None:
        model, posts = ModelStore(), Posts({"a": behave}, sent=sent)
        deliverer = WebhookDeliverer(
            model,  # type: ignore[arg-type]
            [WebhookEndpoint(name="a", url="https://a", secret=OLD)],
            http=posts,
            worker="w",
            wall=wall,
            clock=LoopClock(),
            rng=Random(1),
            log=NoLog(),
        )
        task = asyncio.ensure_future(deliverer.run())
        await asyncio.sleep(0)
        for n in range(2):
            await model.create_call(record(f"c{n}"), [event(), event()], lease_s=9, now=NOW)
        await asyncio.sleep(70)
        task.cancel()
        await asyncio.wait([task])

    run(main())
    times = {(call, seq): time for _, time, call, seq in reversed(sent)}
    assert times[("c1", 1)] < 1
    assert times[("c1", 2)] < 1
    assert 60 <= times[("c0", 2)] < 61


def test_an_endpoint_that_never_answers_costs_the_others_nothing_and_little_itself() -> None:
    posts, model, _ = deliver({"slow": silent, "quick": answers(200, took_s=0.01)}, for_s=300, calls=40)
    assert max(posts.at("quick")) < 2.0
    assert posts.most["slow"] == 8
    assert len(posts.at("slow")) < 8 + 300 / 30
    assert all(key.split("|")[1] == "slow" for key in model.pending)


def test_an_endpoint_that_comes_back_gets_everything() -> None:
    async def behave(number: int) -> Answer:
        if asyncio.get_running_loop().time() < 100:
            raise WebhookFailed("connection", "refused")
        return Answer(status=200)

    posts, model, _ = deliver({"a": behave}, for_s=1000, calls=20, events=2)
    assert model.pending == {}
    assert len(set(posts.order("a"))) == 40


def test_retry_after_is_honoured() -> None:
    posts, _, _ = deliver({"a": answers(503, 200, headers={"Retry-After": "100"})}, for_s=200)
    assert 100 <= posts.at("a")[1] < 101


def test_gone_disables_the_endpoint_for_good_and_the_other_goes_on() -> None:
    posts, model, deliverer = deliver({"gone": answers(410), "b": answers(200)}, for_s=100, events=3)
    assert posts.order("gone") == [("c0", 1)]
    assert posts.order("b") == [("c0", 1), ("c0", 2), ("c0", 3)]
    assert deliverer.disabled == ["gone"]
    assert list(model.endpoints) == ["b"]


def test_a_redirect_is_a_failure() -> None:
    posts, model, _ = deliver({"a": answers(302, 200)}, for_s=10)
    assert [one["status"] for one in model.tries["c0"]] == [302, 200]
    assert len(posts.sent) == 2


def test_a_bug_in_one_attempt_does_not_end_the_deliverer() -> None:
    async def behave(number: int) -> Answer:
        if number == 0:
            raise RuntimeError("bug")
        return Answer(status=200)

    _, model, _ = deliver({"a": behave}, for_s=10)
    assert model.pending == {}
    assert "internal" in model.tries["c0"][0]["error"]


def test_an_outcome_that_could_not_be_recorded_is_delivered_again() -> None:
    class Forgetful(ModelStore):
        lost = 0

        async def delivered(self, delivery_id: str, *, attempt: dict[str, Any], now: float) -> None:
            if not self.lost:
                self.lost = 1
                raise StoreUnavailable
            await super().delivered(delivery_id, attempt=attempt, now=now)

    posts, model, _ = deliver({"a": answers(200)}, for_s=40, store=Forgetful())
    assert posts.order("a") == [("c0", 1), ("c0", 1)]
    assert 30 <= posts.at("a")[1] < 31
    assert model.pending == {}


def test_flush_waits_for_what_is_due_and_not_for_a_silent_endpoint() -> None:
    async def main() -> None:
        model, posts = ModelStore(), Posts({"a": answers(200, took_s=0.5), "slow": silent})
        deliverer = WebhookDeliverer(
            model,  # type: ignore[arg-type]
            [WebhookEndpoint(name=name, url=f"https://{name}", secret=OLD) for name in posts.behaviours],
            http=posts,
            worker="w",
            wall=wall,
            clock=LoopClock(),
            rng=Random(1),
            log=NoLog(),
        )
        task = asyncio.ensure_future(deliverer.run())
        await asyncio.sleep(1)
        await model.create_call(record("c1"), [event(), event()], lease_s=9, now=wall())
        began = LoopClock().now()
        assert not await deliverer.flush(timeout_s=3.0)
        assert LoopClock().now() - began == 3.0
        assert len(posts.order("a")) == 2
        await asyncio.sleep(100)  # the silent one's breaker is open now, or its retry is far away
        assert await deliverer.flush(timeout_s=15.0)
        task.cancel()
        await asyncio.wait([task])

    run(main())
