"""Random requests, made from the OpenAPI document, over real HTTP: no 5xx, no status or shape that is not documented,
no traceback, no growth. A run that fails shows its seed; ``SEED=… pytest`` repeats it."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientResponse, ClientSession
from yarl import URL

from agent.api.openapi import document
from agent.api.schema import violations
from agent.config import OutboundConfig
from tests.heap import objects, only_new_objects
from tests.unit.agent.api.rest_kit import PARCEL, Kit, rest

DOCUMENT = document()
SHAPES = DOCUMENT["components"]["schemas"]
Operation = tuple[str, str, dict[str, Any]]
"""Method, path, and what the document says of it."""
OPERATIONS: list[Operation] = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
GOOD: dict[str, list[Any]] = {
    "call_id": ["c1", "c2", "live"],
    "name": ["parcel", "crm", "mine"],
    "version": [0, 1],
    "to": ["sip:bob@127.0.0.1:5099", "sip:eve@127.0.0.1"],
    "from": ["sip:us@127.0.0.1"],
    "yaml": [
        *4 * ["dialogue: mine\nstart: bye\nstates: {bye: {say: Bye., hangup: done}}"],
        PARCEL,
        "states: [",
        "a: *b",
    ],
    "url": ["https://example.com/hook", "http://10.0.0.1/", "http://127.0.0.1:9/"],
    "target": ["sip:people@h", "sip:eve@h"],
    "agent": ["parcel", "nobody"],
    "Range": ["bytes=0-9", "bytes=-5", "bytes=99999999-", "bytes=0-1,5-6"],
    "Last-Event-ID": ["life-1", "x"],
    "kinds": ["floor,words"],
}
ODD_TEXTS = [
    "",
    "\x00",
    "a" * 5000,
    "é",
    "../../etc/passwd",
    "' OR 1=1 --",
    "%s%n",
    "💥",
    "0",
    "-1",
    "1e9",
    "null",
    "\u2028",
]
LONGEST_LINE = 8000
ODD: list[Any] = [None, True, -1, 0, 1e308, 10**30, [], {}, [[]], {"": ""}, *ODD_TEXTS]


class Maker:
    """Values that mostly fit a schema, and sometimes do not at all."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def value(self, schema: dict[str, Any], name: str = "") -> Any:
        rng = self.rng
        if rng.random() < 0.06:
            return rng.choice(ODD)
        if "$ref" in schema:
            return self.value(SHAPES[schema["$ref"].rpartition("/")[2]], name)
        if name in GOOD and rng.random() < 0.85:
            return rng.choice(GOOD[name])
        if "enum" in schema:
            return rng.choice(schema["enum"])
        kind = schema.get("type", "object")
        return self._of_kind(kind if isinstance(kind, str) else rng.choice(kind), schema)

    def _of_kind(self, kind: str, schema: dict[str, Any]) -> Any:
        rng = self.rng
        if kind == "integer":
            low, high = schema.get("minimum", -5), schema.get("maximum", 10**6)
            return rng.choice([low, high, low - 1, high + 1, rng.randint(low, high)])
        if kind == "boolean":
            return rng.random() < 0.5
        if kind == "array":
            return [self.value(schema.get("items", {})) for _ in range(rng.randint(0, 3))]
        if kind == "object":
            known = schema.get("properties", {})
            made = {
                name: self.value(inner, name)
                for name, inner in known.items()
                if name in schema.get("required", ()) or rng.random() < 0.5
            }
            if rng.random() < 0.1:
                made[rng.choice(["colour", "", "__proto__", "é"])] = rng.choice(ODD)
            return made
        length = rng.choice([schema.get("minLength", 0), min(schema.get("maxLength", 40), 40), rng.randint(0, 12)])
        return "".join(rng.choice("abcXYZ019._-: é\t{}*&<") for _ in range(length))


async def send(http: ClientSession, make: Maker, method: str, path: str, operation: dict[str, Any]) -> None:
    """One request, and what its answer must be."""
    rng, query, headers = make.rng, [], {}
    for param in operation.get("parameters", ()):
        if param["in"] != "path" and rng.random() < 0.4:
            continue
        made = make.value(param["schema"], param["name"])
        text = made if isinstance(made, str) else json.dumps(made)
        if param["in"] == "path":
            path = path.replace("{" + param["name"] + "}", quote(text or "-", safe=""))
        elif param["in"] == "query":
            query.append(f"{param['name']}={quote(text, safe='')}")
        elif text and text.isprintable() and text.isascii():
            headers[param["name"]] = text
    if rng.random() < 0.05:
        query.append("colour=red")
    body: bytes | None = None
    if "requestBody" in operation or rng.random() < 0.05:
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        body = json.dumps(make.value(schema)).encode()
        if rng.random() < 0.05:
            at = rng.randrange(len(body) + 1)
            body = body[:at] + rng.randbytes(3) + body[at + 1 :]
        headers["Content-Type"] = rng.choice(["application/json"] * 9 + ["text/plain"])
    url = URL(str(http._base_url).rstrip("/") + path + ("?" + "&".join(query) if query else ""), encoded=True)
    async with http.request(method, url, data=body, headers=headers) as answer:
        said = f"{method} {url} {headers} {body!r} -> {answer.status}"
        if len(str(url)) > LONGEST_LINE:  # the server's own limit: refused before there is a route
            assert answer.status == 400, said
        else:
            await check(answer, operation, said)


async def check(answer: ClientResponse, operation: dict[str, Any], said: str) -> None:
    """The answer is a documented one, in status, type and shape."""
    assert answer.status < 500, said
    described = operation["responses"].get(str(answer.status))
    assert described is not None, said
    content = described.get("content", {})
    if not content:
        assert await answer.read() == b"", said
        return
    assert answer.content_type in content, said
    if answer.content_type == "text/event-stream":
        answer.close()
    elif "schema" in content[answer.content_type]:
        wrong = wrong_in(operation["operationId"], answer.status, answer.content_type, await answer.read())
        assert not wrong, f"{said}: {wrong}"
    else:
        await answer.read()


@lru_cache(maxsize=512)
def wrong_in(name: str, status: int, content_type: str, body: bytes) -> tuple[str, ...]:
    """What is wrong with the shape of a documented answer. Most answers have been seen before."""
    (operation,) = [one for _, _, one in OPERATIONS if one["operationId"] == name]
    schema = operation["responses"][str(status)]["content"][content_type]["schema"]
    return tuple(violations(json.loads(body), schema, SHAPES))


async def flood(
    kit: Kit,
    count: int,
    seed: int,
    *,
    operations: Sequence[Operation] = tuple(OPERATIONS),
    after: Callable[[str, int], None] = lambda name, growth: None,
) -> None:
    await kit.recorded("c1")
    await kit.call("c2")
    with only_new_objects():
        for method, path, operation in operations:
            make = Maker(random.Random(f"{seed}-{operation['operationId']}"))
            warm = max(1, count // 4)
            for _ in range(warm):
                await send(kit.http, make, method, path, operation)
            before = objects()
            for _ in range(count - warm):
                await send(kit.http, make, method, path, operation)
            after(operation["operationId"], objects() - before)
    assert kit.bugs == []


@pytest.fixture
def seed() -> int:
    """An argument of the test, so that pytest shows it with a failure."""
    return int(os.environ.get("SEED", "") or random.randrange(1 << 30))


CALLING = OutboundConfig(allow=("sip:bob@127.0.0.1:*",), caller="sip:us@127.0.0.1", max_concurrent=2)

KEPT = {"putAgent": 10_000, "publishAgent": 10_000, "rollBackAgent": 10_000}
"""Objects kept by design: the index of agents, and a dialogue (about 3,100) for each agent that is published."""


async def test_random_requests_get_documented_answers(tmp_path: Path, seed: int) -> None:
    async with rest(tmp_path, outbound=CALLING) as kit:
        await flood(kit, 40, seed)


async def test_random_requests_with_keys_get_documented_answers(tmp_path: Path, seed: int) -> None:
    """As a tenant with two scopes: most answers are refusals, and documented as well."""
    async with rest(tmp_path, outbound=CALLING) as kit:
        kit.http.headers["Authorization"] = f"Bearer {kit.key('calls:read', 'agents:read', tenant='acme')}"
        await flood(kit, 10, seed)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_many_random_requests_on_each_endpoint_leave_nothing_behind(tmp_path: Path, seed: int) -> None:
    """``REQUESTS=2000`` takes two minutes and a half."""
    count = int(os.environ.get("REQUESTS", "300"))
    grown: dict[str, int] = {}
    async with rest(tmp_path, outbound=CALLING) as kit:
        await flood(kit, count, seed, after=grown.__setitem__)
    over = {name: more for name, more in grown.items() if more > KEPT.get(name, max(1000, count))}
    assert not over  # fewer than one object per request: nothing is kept of any


async def test_bytes_that_are_no_http_are_answered_or_dropped(
    tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(seed)
    starts = [
        b"GET /v1/calls HTTP/1.1\r\n",
        b"POST /v1/calls HTTP/1.1\r\nContent-Length: 99999\r\n",
        b"\x16\x03\x01",
        b"SIP/2.0 200 OK\r\n",
        b"POST /v1/calls HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\nHost: 127.0.0.1\r\n\r\nzz\r\n",
    ]
    async with rest(tmp_path) as kit:
        host, port = kit.url.removeprefix("http://").split(":")
        for _ in range(60):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(rng.choice(starts) + rng.randbytes(rng.randint(0, 300)) + b"\r\n\r\n")
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 5.0)
            writer.close()
            assert not answer.startswith(b"HTTP/1.1 5"), answer
            assert b"Traceback" not in answer
        assert kit.bugs == []
        assert (await kit.ask("GET", "/v1/calls"))[0] == 200
    assert "Traceback" not in caplog.text
