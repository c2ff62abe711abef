"""The REST API over real HTTP: who may what, calls placed, watched and steered, agents, endpoints."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from agent.api.openapi import document
from agent.api.routes import ROUTES
from agent.config import OutboundConfig
from telephony.events import LegAnswered, LegEnded
from tests.unit.agent.api.rest_kit import PARCEL, Kit, rest

TARGET = "sip:bob@127.0.0.1:5099"


@pytest_asyncio.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with rest(tmp_path) as running:
        yield running
        assert running.bugs == []


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.005)


# --- who may what ---


async def test_without_keys_this_machine_may_do_everything(kit: Kit) -> None:
    status, who = await kit.ask("GET", "/v1/whoami")
    assert (status, who["name"], who["tenant"]) == (200, "anybody", "*")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": ""},
    ],
)
async def test_without_keys_no_page_of_another_origin_may(kit: Kit, headers: dict[str, str]) -> None:
    status, _ = await kit.ask("GET", "/v1/calls", headers=headers)
    assert status == 403


async def test_own_page_may(kit: Kit) -> None:
    assert (await kit.ask("GET", "/v1/calls", headers={"Origin": kit.url}))[0] == 200


async def test_first_key_shuts_the_open_door(kit: Kit) -> None:
    key = kit.key()
    status, said = await kit.ask("GET", "/v1/calls")
    assert (status, said["title"]) == (401, "Unauthorized")
    assert (await kit.ask("GET", "/v1/calls", key=key))[0] == 200
    assert (await kit.ask("GET", "/v1/calls", key=key, headers={"Origin": "https://console.example"}))[0] == 200


async def test_listener_that_is_not_loopback_is_never_open(tmp_path: Path) -> None:
    async with rest(tmp_path, host="0.0.0.0") as kit:
        assert (await kit.ask("GET", "/v1/calls"))[0] == 401


async def test_wrong_keys_are_stopped_after_ten(kit: Kit) -> None:
    key = kit.key()
    statuses = [(await kit.ask("GET", "/v1/calls", key="ct_live_wrong"))[0] for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    async with kit.http.get("/v1/calls", headers={"Authorization": f"Bearer {key}"}) as answer:
        assert answer.status == 429  # whoever shares the address waits as well
        assert int(answer.headers["Retry-After"]) > 0


async def test_every_operation_needs_its_own_scope(kit: Kit) -> None:
    """Each route, with a key that has every scope but the one that it names."""
    from agent.api.keys import SCOPES

    for route in ROUTES:
        if not route.scope:
            continue
        key = kit.key(*(scope for scope in SCOPES if scope != route.scope))
        path = route.path.format(call_id="c1", name="parcel", version=1)
        status, said = await kit.ask(route.method, path, key=key)
        assert status == 403, route.name
        assert route.scope in said["detail"]


async def test_no_operation_shows_or_changes_a_call_of_another_tenant(kit: Kit) -> None:
    """Each route with a call in its path, asked by another tenant: as if the call were not there."""
    await kit.call("c1", tenant="acme")
    other, own = kit.key(tenant="globex"), kit.key(tenant="acme")
    bodies: dict[str, Any] = {"say": {"text": "hi"}, "transfer": {"target": "sip:people@h"}}
    for route in ROUTES:
        if "{call_id}" not in route.path:
            continue
        path, body = route.path.format(call_id="c1"), bodies.get(route.name)
        status, said = await kit.ask(route.method, path, key=other, json=body)
        assert (status, said["detail"]) == (404, "there is no call c1"), route.name
        assert (await kit.ask(route.method, path, key=own, json=body))[0] in (200, 404, 409)
    assert (await kit.ask("GET", "/v1/calls", key=other))[1]["calls"] == []
    assert len((await kit.ask("GET", "/v1/calls", key=own))[1]["calls"]) == 1


async def test_what_all_tenants_share_is_the_operators(kit: Kit) -> None:
    key = kit.key(tenant="acme")
    for route in ROUTES:
        if route.operator:
            path = route.path.format(name="parcel", version=1)
            assert (await kit.ask(route.method, path, key=key))[0] == 403, route.name


# --- requests as described ---


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/v1/calls?limit=no", {}, 400),
        ("GET", "/v1/calls?limit=0", {}, 400),
        ("GET", "/v1/calls?limit=201", {}, 400),
        ("GET", "/v1/calls?state=dancing", {}, 400),
        ("GET", "/v1/calls?limit=5&limit=no", {}, 400),
        ("GET", "/v1/calls?colour=red", {}, 400),
        ("GET", "/v1/calls/%00", {}, 400),
        ("GET", "/v1/calls/none", {}, 404),
        ("GET", "/v1/nothing", {}, 404),
        ("PATCH", "/v1/calls", {}, 405),
        ("HEAD", "/v1/calls", {}, 405),
        ("POST", "/v1/calls", {"data": b"to=x"}, 415),
        ("POST", "/v1/calls", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", "/v1/calls", {"data": b'{"to":"\\ud800"}', "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", "/v1/calls", {"data": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", "/v1/calls", {"data": b"NaN", "headers": {"Content-Type": "application/json"}}, 400),
        (
            "POST",
            "/v1/calls",
            {"data": io.BytesIO(b" " * (1 << 20) + b"{}"), "headers": {"Content-Type": "application/json"}},
            413,
        ),
        ("POST", "/v1/calls", {"json": {"to": TARGET, "colour": "red"}}, 400),
        ("POST", "/v1/calls", {"json": {"to": TARGET, "variables": []}}, 400),
        ("POST", "/v1/calls", {"json": {}}, 400),
    ],
)
async def test_request_that_is_not_as_described_is_told_why(
    kit: Kit, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    async with kit.http.request(method, path, **more) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        if method != "HEAD":
            assert (await answer.json(content_type=None))["status"] == status


async def test_document_is_served(kit: Kit) -> None:
    assert (await kit.ask("GET", "/v1/openapi.json"))[1] == document()


# --- reading calls ---


async def test_pages_lead_through_all_calls_of_a_tenant(kit: Kit) -> None:
    for number in range(12):
        await kit.call(f"c{number}", tenant="acme" if number % 4 == 0 else "other", at=float(number))
    key, seen, before = kit.key(tenant="acme"), [], ""
    for _ in range(6):
        _, page = await kit.ask("GET", f"/v1/calls?limit=2{before}", key=key)
        seen += [call["call_id"] for call in page["calls"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == ["c8", "c4", "c0"]
    assert page["next"] is None


async def test_call_is_shown_with_timeline_events_and_transcript(kit: Kit) -> None:
    await kit.call("c1")
    assert (await kit.ask("GET", "/v1/calls/c1"))[1]["result"] == "success"
    assert len((await kit.ask("GET", "/v1/calls/c1/timeline"))[1]["entries"]) == 4
    assert [one["name"] for one in (await kit.ask("GET", "/v1/calls/c1/events"))[1]["events"]] == [
        "call.started",
        "call.ended",
    ]
    items = (await kit.ask("GET", "/v1/calls/c1/transcript"))[1]["items"]
    assert [(item["speaker"], item["text"], item["unheard"]) for item in items] == [
        ("agent", "hi", "there"),
        ("caller", "hello", ""),
    ]


async def test_recording_comes_whole_in_parts_and_as_peaks(kit: Kit) -> None:
    data = (await kit.recorded("c1")).read_bytes()
    async with kit.http.get("/v1/calls/c1/recording") as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, "audio/wav", data)
    async with kit.http.get("/v1/calls/c1/recording", headers={"Range": "bytes=44-99"}) as answer:
        assert (answer.status, await answer.read()) == (206, data[44:100])
        assert answer.headers["Content-Range"] == f"bytes 44-99/{len(data)}"
    async with kit.http.get("/v1/calls/c1/recording", headers={"Range": f"bytes={len(data)}-"}) as answer:
        assert answer.status == 416
    _, peaks = await kit.ask("GET", "/v1/calls/c1/waveform?points=10")
    assert peaks["caller"][:5] == [0.5] * 5


async def test_recording_outside_its_folder_is_not_sent(kit: Kit, tmp_path: Path) -> None:
    await kit.recorded("c1", path=tmp_path / "elsewhere.wav")
    assert (await kit.ask("GET", "/v1/calls/c1/recording"))[0] == 404
    assert (await kit.ask("GET", "/v1/calls/c1/waveform"))[0] == 404


# --- placing and steering ---


async def test_placed_call_is_watched_steered_and_ended(kit: Kit) -> None:
    status, call = await kit.ask("POST", "/v1/calls", json={"to": TARGET, "variables": {"name": "Anna"}})
    assert (status, call["direction"]) == (201, "outbound")
    assert call["state"] in ("offered", "ringing")  # the dial may be quicker than the answer
    path = f"/v1/calls/{call['call_id']}"
    assert (await kit.ask("POST", f"{path}/say", json={"text": "hi"}))[0] == 409  # it still rings
    await settle()
    kit.door.legs[0].emit(LegAnswered(leg_id="x"))
    await settle()
    assert (await kit.ask("GET", path))[1]["live"]["state"] == "active"
    assert (await kit.ask("POST", f"{path}/say", json={"text": "one moment"}))[0] == 202
    assert (await kit.ask("POST", f"{path}/transfer", json={"target": "sip:+1900@evil"}))[0] == 403
    assert (await kit.ask("POST", f"{path}/transfer", json={"target": "sip:people@h"}))[0] == 202
    await settle()
    assert ("transfer", "sip:people@h") in kit.door.legs[0].did
    assert (await kit.ask("POST", f"{path}/hangup"))[0] == 202
    await settle()
    ended = (await kit.ask("GET", path))[1]
    assert (ended["state"], ended["reason"], "live" in ended) == ("ended", "operator_hangup", False)
    assert (await kit.ask("POST", f"{path}/hangup"))[0] == 409


async def test_call_that_nobody_answers_says_why(kit: Kit) -> None:
    _, call = await kit.ask("POST", "/v1/calls", json={"to": TARGET})
    await settle()
    kit.door.legs[0].emit(LegEnded(leg_id="x", by="caller", status=486, reason="failed"))
    await settle()
    shown = (await kit.ask("GET", f"/v1/calls/{call['call_id']}"))[1]
    assert (shown["result"], shown["reason"]) == ("upstream_error", "dial_failed")
    assert shown["data"]["dial"] == {"status": 486, "reason": "failed"}


async def test_one_idempotency_key_is_one_call(kit: Kit) -> None:
    headers, body = {"Idempotency-Key": "order-7"}, {"to": TARGET}
    answers = await asyncio.gather(*(kit.ask("POST", "/v1/calls", headers=headers, json=body) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 200, 200, 200, 201]
    assert len({call["call_id"] for _, call in answers}) == 1
    await settle()
    assert len(kit.door.legs) == 1
    other = {"to": "sip:bob@127.0.0.1:5098"}
    assert (await kit.ask("POST", "/v1/calls", headers=headers, json=other))[0] == 409
    key = kit.key(tenant="acme")
    assert (await kit.ask("POST", "/v1/calls", key=key, headers=headers, json=other))[0] == 201  # a key of its own


async def test_target_agent_and_number_of_calls_are_limited(tmp_path: Path) -> None:
    outbound = OutboundConfig(allow=("sip:bob@*:*",), caller="sip:us@127.0.0.1", max_concurrent=1)
    async with rest(tmp_path, outbound=outbound) as kit:
        assert (await kit.ask("POST", "/v1/calls", json={"to": "sip:eve@127.0.0.1"}))[0] == 403
        assert (await kit.ask("POST", "/v1/calls", json={"to": TARGET, "agent": "nobody"}))[0] == 422
        assert (await kit.ask("POST", "/v1/calls", json={"to": TARGET}))[0] == 201
        status, said = await kit.ask("POST", "/v1/calls", json={"to": TARGET})
        assert status == 429, said


async def test_without_a_dial_plan_or_an_address_nothing_is_dialled(tmp_path: Path) -> None:
    async with rest(tmp_path, outbound=OutboundConfig()) as kit:
        assert (await kit.ask("POST", "/v1/calls", json={"to": TARGET}))[0] == 403
    async with rest(tmp_path / "b", outbound=OutboundConfig(allow=("sip:bob@*:*",))) as kit:
        assert (await kit.ask("POST", "/v1/calls", json={"to": TARGET}))[0] == 503
        assert (await kit.ask("POST", "/v1/calls", json={"to": TARGET, "from": "sip:us@127.0.0.1"}))[0] == 201


# --- live events ---


async def test_stream_tells_what_happens_and_resumes(kit: Kit) -> None:
    kit.hub.publish("c1", "default", "floor", 0, {"after": "agent"})
    async with kit.http.get("/v1/events?call_id=c1&kinds=floor,words") as answer:
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readline() == b"retry: 1000\n"
        await answer.content.readline()
        kit.hub.publish("c2", "default", "floor", 20, {})
        kit.hub.publish("c1", "default", "tool", 20, {})
        kit.hub.publish("c1", "default", "words", 20, {"text": "hi"})
        assert await answer.content.readline() == b"id: life-4\n"
        assert await answer.content.readline() == b"event: words\n"
        assert await answer.content.readline() == b'data: {"call_id":"c1","at_ms":20,"data":{"text":"hi"}}\n'
        await answer.content.readline()
        assert await answer.content.readline() == b": still here\n"
    async with kit.http.get("/v1/events", headers={"Last-Event-ID": "life-3"}) as answer:
        for _ in range(2):
            await answer.content.readline()
        assert await answer.content.readline() == b"id: life-4\n"


async def test_stream_of_a_tenant_has_its_own_calls_only(kit: Kit) -> None:
    key = kit.key(tenant="acme")
    async with kit.http.get("/v1/events", headers={"Authorization": f"Bearer {key}"}) as answer:
        for _ in range(2):
            await answer.content.readline()
        kit.hub.publish("c1", "globex", "words", 0, {})
        kit.hub.publish("c2", "acme", "words", 0, {})
        assert await answer.content.readline() == b"id: life-2\n"


async def test_stream_that_its_client_leaves_is_forgotten(kit: Kit) -> None:
    for _ in range(3):
        async with kit.http.get("/v1/events") as answer:
            await answer.content.readline()
            answer.close()
    for _ in range(60):
        if kit.hub.watchers == 0:
            break
        await asyncio.sleep(0.05)
    assert kit.hub.watchers == 0


# --- agents ---


async def test_agent_is_checked_stored_published_and_rolled_back(kit: Kit) -> None:
    fresh = PARCEL.replace("disclosure:", "# changed\ndisclosure:", 1)
    assert (await kit.ask("POST", "/v1/agents/parcel/validate", json={"yaml": PARCEL}))[1] == {
        "valid": True,
        "problems": [],
    }
    status, version = await kit.ask("PUT", "/v1/agents/parcel", json={"yaml": fresh, "note": "a test"})
    assert (status, version["version"], version["is_active"]) == (201, 1, False)
    assert (await kit.ask("GET", "/v1/agents/parcel/versions/1"))[1]["yaml"] == fresh
    assert (await kit.ask("GET", "/v1/agents/parcel/versions/0"))[1]["yaml"] == PARCEL
    assert (await kit.ask("POST", "/v1/agents/parcel/publish", json={"version": 1}))[1]["is_active"] is True
    detail = (await kit.ask("GET", "/v1/agents/parcel"))[1]
    assert (detail["active"], [one["version"] for one in detail["versions"]]) == (1, [1, 0])
    assert (await kit.ask("POST", "/v1/agents/parcel/rollback"))[1]["version"] == 0
    assert (await kit.ask("POST", "/v1/agents/parcel/rollback"))[0] == 409
    assert (await kit.ask("GET", "/v1/agents"))[1]["agents"][0]["active"] == 0


async def test_dialogue_that_is_wrong_is_told_with_its_line(kit: Kit) -> None:
    wrong = PARCEL + "\nnonsense: 1\n"
    _, verdict = await kit.ask("POST", "/v1/agents/parcel/validate", json={"yaml": wrong})
    assert verdict["valid"] is False
    assert verdict["problems"][0]["line"] == wrong.count("\n")
    status, said = await kit.ask("PUT", "/v1/agents/parcel", json={"yaml": wrong})
    assert status == 422
    assert "nonsense" in said["detail"]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "variables: &v {x: 1}\nstates: *v",
        "[" * 20_000,
        "- " * 20_000,
        "? " * 20_000,
        "{a: " * 10_000,
        "\t",
        "a: b: c",
        "- 1",
        "? [a]\n: b",
        "!!python/object:os.system x",
    ],
)
async def test_hostile_yaml_is_a_problem_and_nothing_else(kit: Kit, text: str) -> None:
    status, verdict = await kit.ask("POST", "/v1/agents/parcel/validate", json={"yaml": text})
    assert (status, verdict["valid"]) == (200, False)


async def test_other_agents_can_be_added_and_called(kit: Kit) -> None:
    assert (await kit.ask("PUT", "/v1/agents/sales", json={"yaml": PARCEL, "publish": True}))[0] == 201
    assert (await kit.ask("POST", "/v1/calls", json={"to": TARGET, "agent": "sales"}))[1]["agent"] == "sales"
    assert [one["name"] for one in (await kit.ask("GET", "/v1/agents"))[1]["agents"]] == ["parcel", "sales"]


# --- webhook endpoints ---


async def test_endpoint_is_added_tested_rotated_and_removed(kit: Kit) -> None:
    body = {"name": "mine", "url": "https://example.com/hook", "events": ["call.ended"]}
    status, made = await kit.ask("POST", "/v1/webhooks", json=body)
    assert (status, made["endpoint"]["source"]) == (201, "api")
    assert (await kit.ask("POST", "/v1/webhooks", json=body))[0] == 409
    _, attempt = await kit.ask("POST", "/v1/webhooks/mine/test")
    assert (attempt["status"], attempt["error"]) == (200, "")
    url, sent, headers = kit.poster.posted[-1]
    assert (url, sent["type"]) == (body["url"], "test.ping")
    _, rotated = await kit.ask("POST", "/v1/webhooks/mine/rotate", json={"overlap_s": 60})
    assert rotated["endpoint"]["rotates_until"] == 61.0
    await kit.ask("POST", "/v1/webhooks/mine/test")
    signatures = kit.poster.posted[-1][2]["webhook-signature"].split()
    assert len(signatures) == 2
    assert len(headers["webhook-signature"].split()) == 1
    assert Webhook(made["secret"])
    assert (await kit.ask("DELETE", "/v1/webhooks/mine")) == (204, None)
    assert (await kit.ask("DELETE", "/v1/webhooks/mine"))[0] == 404
    assert [one["name"] for one in (await kit.ask("GET", "/v1/webhooks"))[1]["endpoints"]] == ["crm"]


async def test_endpoint_gets_what_happens_after_it_was_added_and_nothing_after_it_was_removed(kit: Kit) -> None:
    await kit.call("before")
    await kit.ask("POST", "/v1/webhooks", json={"name": "mine", "url": "https://example.com/hook"})
    await kit.call("after")
    kit.deliverer.poke()
    await settle()
    await settle()
    got = [
        sent["data"]["call_id"]
        for url, sent, _ in kit.poster.posted
        if url.endswith("example.com/hook") and "crm" not in url
    ]
    assert set(got) == {"after"}
    await kit.ask("DELETE", "/v1/webhooks/mine")
    await kit.call("later")
    kit.deliverer.poke()
    await settle()
    assert "later" not in {
        sent["data"]["call_id"] for url, sent, _ in kit.poster.posted if url.startswith("https://example")
    }


async def test_what_waits_for_a_removed_endpoint_is_buried(kit: Kit) -> None:
    kit.poster.fails = True
    await kit.ask("POST", "/v1/webhooks", json={"name": "mine", "url": "https://example.com/hook"})
    await kit.call("c1")
    kit.deliverer.poke()
    await settle()
    before = await kit.store.backlog()
    await kit.ask("DELETE", "/v1/webhooks/mine")
    assert await kit.store.backlog() < before


async def test_replay_sends_again_under_the_same_id(kit: Kit) -> None:
    await kit.call("c1")
    status, said = await kit.ask("POST", "/v1/webhooks/crm/replay", json={"call_id": "c1"})
    assert (status, [one["name"] for one in said["attempts"]]) == (200, ["call.started", "call.ended"])
    assert kit.poster.posted[-1][2]["webhook-id"] == said["attempts"][-1]["event_id"]
    assert len((await kit.ask("POST", "/v1/webhooks/crm/replay", json={"call_id": "c1", "seq": 2}))[1]["attempts"]) == 1
    kit.poster.fails = True
    _, said = await kit.ask("POST", "/v1/webhooks/crm/replay", json={"call_id": "c1"})
    assert [one["error"] for one in said["attempts"]] == ["no answer"]
    assert (await kit.ask("POST", "/v1/webhooks/crm/replay", json={"call_id": "none"}))[0] == 404
    assert (await kit.ask("POST", "/v1/webhooks/none/replay", json={"call_id": "c1"}))[0] == 404


async def test_endpoint_of_the_configuration_is_read_only(kit: Kit) -> None:
    assert (await kit.ask("DELETE", "/v1/webhooks/crm"))[0] == 409
    assert (await kit.ask("POST", "/v1/webhooks/crm/rotate"))[0] == 409
    assert "secret" not in (await kit.ask("GET", "/v1/webhooks"))[1]["endpoints"][0]


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x", "ftp://example.com", "https://user@example.com", "https://0x7f.1/"]
)
async def test_endpoint_where_webhooks_may_not_go_is_refused(kit: Kit, url: str) -> None:
    assert (await kit.ask("POST", "/v1/webhooks", json={"name": "x", "url": url}))[0] == 422


async def test_health_and_workers_are_told(kit: Kit) -> None:
    assert (await kit.ask("GET", "/v1/health"))[1]["status"] == "ready"
    assert (await kit.ask("GET", "/v1/workers"))[1]["workers"][0]["name"] == "worker1"
