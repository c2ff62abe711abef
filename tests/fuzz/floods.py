"""Random messages for each endpoint of the doors, made from good ones, over real sockets.

A flood is given where the endpoint is, a random generator and a number of messages; it returns when they have been sent.
It does not judge: whoever runs it looks at the log, at what was answered with 5xx, and at what is left behind.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from telephony.twilio.signature import HEADER, sign
from telephony.twilio.token import PARAMETER, mint
from tests.unit.telephony.webrtc.offers import chrome

PER_SOCKET = 50
ODD_TEXTS = ["", "\x00", "a" * 5000, "é", "💥", "\u2028", "\ud800", "../../etc", "null", "-1", "1e999", "%s%n", "'--"]
ODD: list[Any] = [None, True, -1, 0, 1e308, 10**30, [], {}, [[]], {"": ""}, *ODD_TEXTS]


@dataclass(slots=True)
class Target:
    """Where the endpoints are, and with what they can be opened."""

    http: aiohttp.ClientSession
    http_url: str = ""
    stream_url: str = ""
    """``ws://…`` of the stream edge."""
    twilio_public: tuple[str, str] = ("", "")
    """Public URL of the webhooks, and of the stream."""
    twilio_auth: str = ""
    token_key: str = ""
    webrtc_token: Callable[[], Awaitable[str]] | None = None
    server_errors: list[str] = field(default_factory=list)
    """Answers of 5xx that promise no way on."""

    def note(self, what: str, status: int, headers: Any) -> None:
        """503 with ``Retry-After`` is a full house; every other 5xx is a bug."""
        if status >= 500 and not (status == 503 and "Retry-After" in headers):
            self.server_errors.append(f"{what}: {status}")


Flood = Callable[[Target, random.Random, int], Awaitable[None]]
PATIENCE = 4
LANES = 4
"""Senders at one endpoint: while one waits for an answer, or for a time-out, the others go on."""


# --- damage ---


def damaged(rng: random.Random, value: Any) -> Any:
    """``value`` with something wrong in it, mostly one thing."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        changed = dict(value)
        name = rng.choice(list(changed))
        roll = rng.random()
        if roll < 0.2:
            del changed[name]
        elif roll < 0.3:
            changed[rng.choice(["x", "", "__proto__", "é"])] = rng.choice(ODD)
        else:
            changed[name] = damaged(rng, changed[name])
        return changed
    if isinstance(value, str) and value and rng.random() < 0.4:
        at = rng.randrange(len(value))
        return value[:at] + rng.choice(["", "\x00", "é", "\ud800", "=", " "]) + value[at + 1 :]
    return rng.choice(ODD)


def as_text(rng: random.Random, body: Any) -> str:
    """JSON, sometimes cut or torn."""
    text = json.dumps(body)
    roll = rng.random()
    if roll < 0.05:
        return text[: rng.randrange(len(text) + 1)]
    if roll < 0.1:
        at = rng.randrange(len(text) + 1)
        return text[:at] + chr(rng.randrange(32, 0x2000)) + text[at:]
    if roll < 0.11:
        return "[" * 50_000
    return text


def message(rng: random.Random, good: list[dict[str, Any]]) -> str:
    body: Any = rng.choice(good)
    return as_text(rng, body if rng.random() < 0.3 else damaged(rng, body))


def audio(rng: random.Random) -> str:
    return base64.b64encode(rng.randbytes(rng.choice([0, 1, 159, 160, 161, 320, 5000]))).decode()


# --- sockets ---


async def sockets(
    target: Target,
    url: Callable[[], str],
    count: int,
    *,
    messages: Callable[[], Iterator[str | bytes]],
    headers: Callable[[], dict[str, str]] = dict,
    protocols: tuple[str, ...] = (),
) -> None:
    """Sockets one after the other, each with the messages of one iterator, until ``count`` messages have been sent."""
    sent = 0
    while sent < count:
        where = url()
        try:
            socket = await target.http.ws_connect(where, headers=headers(), protocols=protocols, max_msg_size=1 << 22)
        except aiohttp.WSServerHandshakeError as refused:
            target.note(where, refused.status, refused.headers or {})
            sent += 1
            if refused.status == 503:
                await asyncio.sleep(0.02)  # the calls of before are still ending
            continue
        async with socket:
            reading = asyncio.ensure_future(_read(socket))
            for one in messages():
                sent += 1
                try:
                    await (socket.send_bytes(one) if isinstance(one, bytes) else socket.send_str(_wire(one)))
                except (ConnectionError, RuntimeError):
                    break
            if sent % 3 == 0:
                await asyncio.sleep(0.005)
            if sent % 5 == 0:
                socket._response.close()  # gone without a word
            reading.cancel()


def _wire(text: str) -> str:
    """Lone surrogates cannot be sent as UTF-8; as an escape they can."""
    return text.encode("utf-8", "backslashreplace").decode()


async def _read(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def pcm(target: Target, rng: random.Random, count: int) -> None:
    good: list[dict[str, Any]] = [
        {"type": "dtmf", "digit": "1"},
        {"type": "mute"},
        {"type": "unmute"},
        {"type": "say", "text": "good morning"},
    ]
    queries = [
        "",
        "?rate=16000",
        "?format=pcmu",
        "?rate=24000&from=a&to=b",
        "?rate=1",
        "?format=mp3",
        "?x=1",
        "?from=%00",
    ]

    def messages() -> Iterator[str | bytes]:
        for _ in range(PER_SOCKET):
            yield rng.randbytes(rng.randrange(700)) if rng.random() < 0.5 else message(rng, good)
        yield '{"type":"end"}'

    await sockets(target, lambda: f"{target.stream_url}/v1/pcm{rng.choice(queries)}", count, messages=messages)


async def live(target: Target, rng: random.Random, count: int) -> None:
    form = {"format": {"type": "audio/pcmu"}, "output": {"voice": "x"}}
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    session = {"model": "m", "instructions": "brief", "audio": form, "delegation": {"type": "client"}, "input": [said]}
    start = {"type": "session.start", "event_id": "s", "session": session}
    good: list[dict[str, Any]] = [
        start,
        {"type": "session.update", "session": {"delegation": {"type": "client"}}},
        {"type": "session.input_audio.append", "audio": audio(rng)},
        {"type": "session.input_audio.mute"},
        {"type": "session.input_audio.unmute"},
        {"type": "session.commentary.append", "delegation_id": None, "content": "Good morning."},
        {"type": "session.thinking.append", "delegation_id": "d", "content": "Be careful."},
        {"type": "response.create"},
    ]

    def messages() -> Iterator[str | bytes]:
        yield json.dumps(start if rng.random() < 0.7 else damaged(rng, start))
        for _ in range(PER_SOCKET):
            yield rng.randbytes(20) if rng.random() < 0.02 else message(rng, good)
        yield '{"type":"session.close"}'

    await sockets(target, lambda: f"{target.stream_url}/v1/live/sessions", count, messages=messages)


def carrier(name: str) -> Flood:
    """Media streams in the words of one carrier."""
    paths: dict[str, Any] = {
        "twilio": ("customParameters", "callSid", "mediaFormat", "sampleRate", "accountSid"),
        "telnyx": ("custom_parameters", "call_control_id", "media_format", "sample_rate", "user_id"),
        "plivo": ("", "callId", "mediaFormat", "sampleRate", "accountId"),
    }

    async def flood(target: Target, rng: random.Random, count: int) -> None:
        parameters, call_key, format_key, rate_key, account_key = paths[name]

        def start() -> dict[str, Any]:
            call = f"CA{rng.getrandbits(128):032x}"
            token = mint(target.token_key, call, now=time.time(), nonce=f"{rng.getrandbits(128):032x}")
            inner: dict[str, Any] = {
                call_key: call,
                account_key: "AC1",
                "streamId": "MZ1",
                format_key: {"encoding": rng.choice(["audio/x-mulaw", "PCMA", "audio/x-alaw"]), rate_key: 8000},
            }
            body: dict[str, Any] = {"event": "start", "streamSid": "MZ1", "stream_id": "MZ1", "start": inner}
            body |= {"sequenceNumber": "1", "sequence_number": "1"}
            if parameters:
                inner[parameters] = {PARAMETER: token, "crosstalkFrom": "tel:+1555", "Tenant": "acme"}
            else:
                body["extra_headers"] = json.dumps({PARAMETER: token})
            return body

        def numbered(number: int) -> dict[str, Any]:
            body = rng.choice(
                [
                    {
                        "event": "media",
                        "media": {"track": "inbound", "payload": audio(rng), "timestamp": str(20 * number)},
                    },
                    {"event": "dtmf", "dtmf": {"digit": "5"}},
                    {"event": "mark", "mark": {"name": rng.choice(["0.0", "0.800", "1.5", "x", "0." + "9" * 12])}},
                    {"event": "playedStream", "name": "0.0"},
                    {"event": "clearedAudio"},
                ]
            )
            found: dict[str, Any] = {**body, "sequenceNumber": str(number), "sequence_number": str(number)}
            if "media" in found:
                found["media"]["chunk"] = str(number)
            return found

        def messages() -> Iterator[str | bytes]:
            first = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
            if name != "plivo" or rng.random() < 0.1:
                yield json.dumps(first if rng.random() < 0.9 else damaged(rng, first))
            yield json.dumps(start() if rng.random() < 0.7 else damaged(rng, start()))
            for number in range(2, PER_SOCKET):
                body = numbered(number)
                yield (
                    rng.randbytes(9)
                    if rng.random() < 0.01
                    else as_text(rng, body if rng.random() < 0.9 else damaged(rng, body))
                )
            yield json.dumps({"event": "stop", "sequenceNumber": "99", "sequence_number": "99", "stop": {}})

        def headers() -> dict[str, str]:
            signed = sign(target.twilio_auth, target.twilio_public[1])
            return (
                {HEADER: signed if rng.random() < 0.95 else rng.choice(["", "x", signed[:-2]])}
                if name == "twilio"
                else {}
            )

        await sockets(
            target,
            lambda: f"{target.stream_url}/{name}/stream",
            count,
            messages=messages,
            headers=headers,
            protocols=("audio.plivo.com",) if name == "plivo" else (),
        )

    return flood


# --- HTTP ---


@contextlib.asynccontextmanager
async def asked(target: Target, method: str, path: str, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer. A connection that the server closed while it was idle is taken for another, as browsers do."""
    for _ in range(PATIENCE):
        try:
            answer = await target.http.request(method, target.http_url + path, **more)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            continue
        async with answer:
            yield answer
        return
    raise AssertionError(f"{method} {path} {more}: cut off {PATIENCE} times")


async def webrtc(target: Target, rng: random.Random, count: int) -> None:
    """Offers by JSON and by WHIP, candidates, ends."""
    lines = chrome().split("\r\n")
    locations = ["/v1/webrtc/whip/" + "0" * 32]
    fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345\r\nm=audio 9 X 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.7 5 typ host\r\n"

    def offer() -> str:
        made = list(lines)
        for _ in range(rng.choice([0, 1, 1, 3])):
            at = rng.randrange(len(made))
            made[at] = rng.choice([made[at][:-1], made[at] * 3, "", "m=audio 9 X 0", "a=" + "x" * 200, "\x00"])
        return rng.choice(["\r\n", "\r\n", "\n"]).join(made)

    for _ in range(count):
        token = await target.webrtc_token() if target.webrtc_token is not None and rng.random() < 0.3 else "nonsense"
        headers: dict[str, str] = {}
        method, path, data = "POST", "/v1/webrtc/offer", b""
        roll = rng.random()
        if roll < 0.5:
            body = {"sdp": offer(), "token": token}
            if rng.random() < 0.1:
                body["resume_token"] = rng.choice(ODD_TEXTS)
            made: Any = body if rng.random() < 0.5 else damaged(rng, body)
            data = as_text(rng, made).encode("utf-8", "surrogatepass")
        elif roll < 0.75:
            path, data = "/v1/webrtc/whip", offer().encode()
            headers = {"Content-Type": rng.choice(["application/sdp"] * 4 + ["text/plain", "x"])}
            headers |= {"Authorization": rng.choice([f"Bearer {token}", token, "Basic x", "Bearer "])}
        else:
            method, path = rng.choice(["PATCH", "PATCH", "DELETE", "OPTIONS", "GET"]), rng.choice(locations)
            data = (fragment if rng.random() < 0.5 else damaged_text(rng, fragment)).encode("utf-8", "surrogatepass")
            headers = {"Content-Type": rng.choice(["application/trickle-ice-sdpfrag"] * 4 + ["text/plain"])}
            headers |= {"If-Match": rng.choice(['"x"', "*", ""])}
        async with asked(target, method, path, data=data, headers=headers) as answer:
            target.note(f"{method} {path} {data[:60]!r}", answer.status, answer.headers)
            text = await answer.text()
            if answer.status in (200, 201) and (found := answer.headers.get("Location", "")):
                locations = [*locations[-20:], found]
            elif answer.status == 200 and answer.content_type == "application/json" and "resource" in text:
                locations = [*locations[-20:], json.loads(text)["resource"]]


def damaged_text(rng: random.Random, text: str) -> str:
    found = damaged(rng, text)
    return found if isinstance(found, str) else text[::-1]


async def twilio_webhooks(target: Target, rng: random.Random, count: int) -> None:
    form = {
        "CallSid": "CA" + "1" * 32,
        "AccountSid": "AC1",
        "From": "+15551234567",
        "To": "+1555",
        "CallerName": "J & J",
    }
    for number in range(count):
        path = rng.choice(["/twilio/voice", "/twilio/after", "/twilio/dialled", "/twilio/status"])
        fields = {**form, "CallSid": f"CA{number:032x}"}
        if rng.random() < 0.5:
            changed = damaged(rng, fields)
            fields = {str(k): str(v) for k, v in changed.items()} if isinstance(changed, dict) else {}
        fields = {_wire(k): _wire(v) for k, v in fields.items()}
        headers = {HEADER: sign(target.twilio_auth, target.twilio_public[0] + path, fields.items())}
        if rng.random() < 0.1:
            headers[HEADER] = rng.choice(["", "x", "é"])
        data: Any = fields
        if rng.random() < 0.2:
            data = rng.randbytes(rng.randrange(200))
            headers["Content-Type"] = rng.choice(
                [
                    "application/x-www-form-urlencoded",
                    "application/x-www-form-urlencoded; charset=nonsense",
                    "multipart/form-data",
                    "multipart/form-data; boundary=x",
                    "text/plain",
                ]
            )
        async with asked(target, "POST", path, data=data, headers=headers) as answer:
            target.note(f"{path} {headers}", answer.status, answer.headers)
            await answer.read()


async def pages(target: Target, rng: random.Random, count: int) -> None:
    """Everything of the front that is no API: pages, health, tokens, and names that are not there."""
    paths = [
        "/",
        "/talk/talk.js",
        "/livez",
        "/readyz",
        "/healthz",
        "/metrics",
        "/v1/webrtc/token",
        "/v1/webrtc/x",
        "/x",
    ]
    for _ in range(count):
        path = rng.choice(paths)
        if rng.random() < 0.3:
            path += rng.choice(["/", "?x=1", "%00", "/../x", "%ff", "//", ";", "#", "?" + "a" * 3000])
        headers = {}
        if rng.random() < 0.5:
            name = rng.choice(["Host", "Origin", "Range", "If-None-Match", "X-Forwarded-For", "Accept", "Cookie"])
            headers[name] = rng.choice(["x", "null", "127.0.0.1", "http://[", "bytes=9-1", "é", "a" * 2000])
        method = rng.choice(["GET"] * 6 + ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"])
        async with asked(target, method, path, headers=headers) as answer:
            if not path.startswith(("/readyz", "/v1/webrtc/token")):  # these two say 503 when they are not ready
                target.note(f"{method} {path} {headers}", answer.status, answer.headers)
            await answer.read()


# --- bytes ---

STARTS = (
    b"GET /v1/pcm HTTP/1.1\r\nHost: x\r\n",
    b"GET /v1/pcm HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"GET /v1/live/sessions HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"GET /v1/pcm HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\n"
    b"Sec-WebSocket-Key: x\r\n\r\n",
    b"POST /v1/webrtc/offer HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{",
    b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00",
    b"SIP/2.0 200 OK\r\n",
    b"",
)


def raw(where: str) -> Flood:
    """Bytes that are no HTTP, or no WebSocket after a good upgrade, at ``stream`` or ``front``."""

    async def flood(target: Target, rng: random.Random, count: int) -> None:
        url = target.stream_url if where == "stream" else target.http_url
        host, _, port = url.partition("://")[2].partition(":")
        for _ in range(count):
            reader, writer = await asyncio.open_connection(host, int(port))
            with contextlib.suppress(ConnectionError):
                writer.write(rng.choice(STARTS) + frame(rng) + rng.randbytes(rng.randrange(200)) + b"\r\n\r\n")
                if rng.random() < 0.8:
                    writer.write_eof()
                    with contextlib.suppress(TimeoutError):
                        answer = await asyncio.wait_for(reader.read(4096), 0.5)
                        if answer.startswith(b"HTTP/1.1 5") and not answer.startswith(b"HTTP/1.1 503"):
                            target.server_errors.append(repr(answer[:80]))
                else:
                    writer.transport.abort()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    return flood


def frame(rng: random.Random) -> bytes:
    """One WebSocket frame (RFC 6455 §5.2) with whatever is wrong with it."""
    first = rng.choice([0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0x8A, 0xF1, 0x83, 0x8F, rng.randrange(256)])
    length = rng.choice([0, 5, 125, 126, 127])
    head = bytes([first, length | (0x80 if rng.random() < 0.9 else 0)])
    if length == 126:
        head += rng.choice([b"\x00\x05", b"\xff\xff"])
    elif length == 127:
        head += rng.choice([b"\x00" * 7 + b"\x05", b"\xff" * 8, b"\x7f" + b"\xff" * 7])
    return head + rng.randbytes(4) + rng.randbytes(min(length, 125))


FLOODS: dict[str, Flood] = {
    "pcm": pcm,
    "live": live,
    "twilio": carrier("twilio"),
    "telnyx": carrier("telnyx"),
    "plivo": carrier("plivo"),
    "webrtc": webrtc,
    "twilio_webhooks": twilio_webhooks,
    "pages": pages,
    "raw_stream": raw("stream"),
    "raw_front": raw("front"),
}


async def in_lanes(endpoint: str, target: Target, seed: str, count: int) -> None:
    """``count`` messages in all."""
    async with asyncio.TaskGroup() as lanes:
        for lane in range(LANES):
            lanes.create_task(FLOODS[endpoint](target, random.Random(f"{seed}-{endpoint}-{lane}"), count // LANES))
