"""The client speaks every operation of the API, over real HTTP, and its types are those of the document."""

from __future__ import annotations

import asyncio
import typing
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent.api.routes import ROUTES
from agent.api.shapes import SHAPES
from agent.client import ApiError, Crosstalk, shapes
from telephony.events import LegAnswered
from tests.unit.agent.api.rest_kit import PARCEL, Kit, rest


@pytest_asyncio.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with rest(tmp_path) as running:
        yield running


async def test_client_speaks_every_operation(kit: Kit) -> None:
    key = kit.key()
    await kit.recorded("c1")
    used = asyncio.create_task(asyncio.to_thread(use_everything, Crosstalk(kit.url, key)))
    while not used.done():
        await asyncio.sleep(0.01)
        for leg in kit.door.legs:
            if not leg.did:
                leg.did.append(("answered",))
                leg.emit(LegAnswered(leg_id="x"))
        kit.hub.publish("c9", "default", "words", 20, {"text": "hi"})
    await used
    assert {operation for operation, _ in kit.counted} == {route.name for route in ROUTES}
    assert [one for one in kit.counted if one[1] >= 400] == []
    assert kit.bugs == []


def use_everything(client: Crosstalk) -> None:
    assert client.whoami()["scopes"]
    assert client.health()["status"] == "ready"
    assert client.workers()[0]["rows"] == 8
    placed = client.place_call("sip:bob@127.0.0.1:5099", variables={"a": 1}, idempotency_key="k")
    call_id = placed["call_id"]
    while client.call(call_id)["state"] != "active":
        pass
    client.say(call_id, "one moment")
    client.transfer(call_id, "sip:people@h")
    client.hang_up(call_id)
    assert {call["call_id"] for call in client.all_calls()} == {"c1", call_id}
    assert client.timeline("c1")[0]["kind"] == "utterance"
    assert client.events("c1")["events"][0]["name"] == "call.started"
    assert client.transcript("c1")[0]["text"] == "hi"
    assert client.waveform("c1", points=10)["points"] == 10
    whole = client.recording("c1")
    assert client.recording("c1", start=4, end=9) == whole[4:10]
    event = next(client.watch(call_id="c9", kinds=["words"]))
    assert (event.kind, event.call_id, event.at_ms, event.data) == ("words", "c9", 20, {"text": "hi"})
    assert client.agents()[0]["name"] == "parcel"
    assert client.validate_agent("parcel", "x: [")["problems"][0]["line"] == 1
    version = client.put_agent("parcel", PARCEL, note="n")
    assert client.agent_yaml("parcel", version["version"]) == PARCEL
    assert client.publish_agent("parcel", 1)["is_active"]
    assert client.agent("parcel")["active"] == 1
    assert client.roll_back_agent("parcel")["version"] == 0
    assert client.create_webhook("mine", "https://example.com/x")["secret"].startswith("whsec_")
    assert client.rotate_webhook("mine")["endpoint"]["rotates_until"]
    assert client.test_webhook("mine")["status"] == 200
    assert client.replay_webhook("mine", "c1")[0]["name"] == "call.started"
    client.delete_webhook("mine")
    assert [one["name"] for one in client.webhooks()] == ["crm"]


async def test_problem_is_an_error_that_says_what(kit: Kit) -> None:
    client = Crosstalk(kit.url)
    with pytest.raises(ApiError, match="404: there is no call nobody") as error:
        await asyncio.to_thread(client.call, "nobody")
    assert error.value.status == 404
    with pytest.raises(ApiError, match="must match") as error:
        await asyncio.to_thread(client.call, "a/../b c")
    assert error.value.problems


async def test_nothing_is_followed_and_nothing_but_http_is_opened() -> None:
    with pytest.raises(ValueError, match="http"):
        Crosstalk("file:///etc/passwd")


@pytest.mark.parametrize(
    "name",
    [
        "Live",
        "Call",
        "Calls",
        "TimelineEntry",
        "StoredEvent",
        "CallEvents",
        "Said",
        "Waveform",
        "Agent",
        "AgentVersion",
        "AgentDetail",
        "Verdict",
        "Endpoint",
        "EndpointSecret",
        "Attempt",
        "DeliveryAttempt",
        "Worker",
        "Whoami",
    ],
)
def test_type_has_the_members_of_the_shape(name: str) -> None:
    typed: Any = getattr(shapes, name)
    assert set(typing.get_type_hints(typed)) == set(SHAPES[name]["properties"])
