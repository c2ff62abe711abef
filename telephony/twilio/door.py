"""The door for media streams of Twilio, Telnyx and Plivo on the stream edge.

A stream is let in by three checks: the signature of its upgrade request (where the carrier signs), before the
WebSocket is accepted; a ``start`` in time, in order and well-formed; and in it a one-time token that is good for this
very call. What fails is told with its rule, and costs its sender the socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from telephony.errors import MediaError, RemoteProtocolError
from telephony.stream_door import Call, Desk
from telephony.stream_guard import Allowance
from telephony.twilio.control import TwilioControl
from telephony.twilio.dialect import DIALECTS
from telephony.twilio.messages import MAX_MESSAGE_BYTES, Start
from telephony.twilio.peer import TwilioPeer
from telephony.twilio.signature import HEADER, is_signed
from telephony.twilio.stream import Bound, Ended, Fact, Heard, KeyPressed, MarkBack, Refused, Stream
from telephony.twilio.token import PARAMETER, TokenGate

FROM, TO = "crosstalkFrom", "crosstalkTo"
"""Parameters by which the voice webhook tells who calls whom: a stream's start does not."""
OWN_PARAMETERS = frozenset({PARAMETER, FROM, TO})
LEAD_MS = 60
MAX_UNBOUND = 64
"""Sockets that have not shown a token yet; more are turned away."""
MESSAGES_PER_S = 200.0
MESSAGES_BURST = 1000.0
"""At once: what twenty seconds of a stall have kept back."""
CLOSE_CODES = {"stream-message-size": WSCloseCode.MESSAGE_TOO_BIG, "stream-full": WSCloseCode.TRY_AGAIN_LATER}


class TwilioDoor:
    """Implements ``telephony.stream_door.Door`` for one carrier."""

    lead_ms = LEAD_MS
    confirms = True

    def __init__(
        self,
        *,
        carrier: str = "twilio",
        stream_url: str,
        auth_token: str = "",
        token_key: str,
        after_url: str = "",
        account_sid: str = "",
        rest_user: str = "",
        rest_password: str = "",
        rest_url: str = "",
    ) -> None:
        """``stream_url``: as the carrier was given it. ``after_url``: asked when a transfer has ended. Without REST
        credentials there are no transfers, and a call is hung up by closing its stream."""
        self._dialect = DIALECTS[carrier]
        self.name = carrier
        self._stream_url, self._auth_token, self._after_url = stream_url, auth_token, after_url
        self._gate = TokenGate(token_key)
        self._control: TwilioControl | None = None
        if rest_user and self._dialect.signs_upgrade:
            self._control = TwilioControl(
                account_sid=account_sid, user=rest_user, password=rest_password, api_url=rest_url
            )
        self._account_sid = account_sid
        self._unbound = 0

    def routes(self, desk: Desk) -> Iterable[web.AbstractRouteDef]:
        """One WebSocket: ``/<carrier>/stream``."""

        async def stream(request: web.Request) -> web.StreamResponse:
            return await self._stream(request, desk)

        return [web.get(f"/{self.name}/stream", stream)]

    async def close(self) -> None:
        if self._control is not None:
            await self._control.aclose()

    # --- a socket -------------------------------------------------------------------------------------------

    async def _stream(self, request: web.Request, desk: Desk) -> web.StreamResponse:
        source = request.remote or ""
        if self._dialect.signs_upgrade:
            given = request.headers.get(HEADER, "")
            if not is_signed(self._auth_token, self._stream_url, given):
                desk.refused(self.name, source, "stream-signature", f"{HEADER} is {'wrong' if given else 'missing'}")
                return web.Response(status=403, text="wrong signature\n")
        if (refusal := desk.refusal) is not None:
            return web.Response(status=refusal[0], text=f"{refusal[1]}\n", headers={"Retry-After": "5"})
        if self._unbound >= MAX_UNBOUND:
            desk.refused(self.name, source, "stream-unbound", f"{MAX_UNBOUND} sockets wait for their start")
            return web.Response(status=503, text="too many streams begin\n", headers={"Retry-After": "1"})
        protocols = (self._dialect.subprotocol,) if self._dialect.subprotocol else ()
        # Audio does not compress, and the peer's window of 64 KiB would be a buffer for what cannot be taken back.
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES, compress=False, protocols=protocols)
        await socket.prepare(request)
        await _Connection(self, desk, socket, source).run(request)
        return socket

    # --- what connections ask of the door ---

    def open_stream(self, now: float) -> Stream:
        return Stream(self._dialect, self._check, now=now)

    def bound(self, change: int) -> None:
        self._unbound += change

    def new_peer(self, socket: web.WebSocketResponse, request: web.Request, start: Start) -> TwilioPeer:
        return TwilioPeer(socket, request, start, self._dialect, control=self._control, after_url=self._after_url)

    def _check(self, start: Start) -> None:
        """Whether a start is to be trusted. Raises ``RemoteProtocolError``."""
        if self._account_sid and start.account_id != self._account_sid:
            raise RemoteProtocolError("start.accountSid is not our account", status_hint=403, rule="stream-account")
        self._gate.admit(dict(start.parameters).get(PARAMETER, ""), start.call_id, now=time.time())


class _Connection:
    """One WebSocket from its acceptance to its end. Everything of it runs in its request's task."""

    def __init__(self, door: TwilioDoor, desk: Desk, socket: web.WebSocketResponse, source: str) -> None:
        self._door, self._desk, self._socket, self._source = door, desk, socket, source
        self._stream = door.open_stream(time.monotonic())
        self._peer: TwilioPeer | None = None
        self._call: Call | None = None
        self._allowance = Allowance(per_s=MESSAGES_PER_S, burst=MESSAGES_BURST, now=time.monotonic())

    async def run(self, request: web.Request) -> None:
        self._door.bound(+1)
        async with asyncio.TaskGroup() as group:
            try:
                await self._read(request, group)
            finally:
                if self._peer is None:
                    self._door.bound(-1)
                else:
                    self._peer.stop()

    async def _read(self, request: web.Request, group: asyncio.TaskGroup) -> None:
        while not self._socket.closed:
            try:
                text = await self._next()
                self._limit()
            except RemoteProtocolError as error:
                await self._refuse(error.rule, str(error))
                return
            for fact in self._facts(text):
                if not await self._act(fact, request, group):
                    return
            if text is None:
                return

    def _limit(self) -> None:
        """A carrier sends fifty messages a second, and after a stall those of the stall. Raises for more."""
        if not self._allowance.take(1.0, time.monotonic()):
            raise RemoteProtocolError(f"more than {MESSAGES_PER_S:.0f} messages a second", rule="stream-flood")

    def _facts(self, text: str | None) -> list[Fact]:
        if text is None:
            return self._stream.closed()
        return self._stream.receive(text) if text else self._stream.start_due()

    async def _next(self) -> str | None:
        """The next text; empty when the time for ``start`` is over; ``None`` at the end of the socket."""
        left_s = None if self._peer is not None else max(0.0, self._stream.start_by - time.monotonic())
        try:
            async with asyncio.timeout(left_s):
                message = await self._socket.receive()
        except TimeoutError:
            return ""
        match message.type:
            case WSMsgType.TEXT:
                return message.data or " "  # an empty text is none that could be parsed either
            case WSMsgType.BINARY:
                raise RemoteProtocolError("binary messages are not spoken here", rule="stream-binary")
            case WSMsgType.ERROR:
                raise _socket_error(message.data)
            case _:
                return None

    async def _act(self, fact: Fact, request: web.Request, group: asyncio.TaskGroup) -> bool:
        """Whether to go on."""
        match fact:
            case Bound(start):
                return await self._bind(start, request, group)
            case Heard(payload):
                if self._peer is not None and self._call is not None:
                    self._call.hear(self._peer.decode(payload))
            case MarkBack(name):
                if self._peer is not None:
                    self._peer.mark_back(name)
            case KeyPressed(digit):
                if self._call is not None:
                    self._call.key(digit)
            case Ended(by_stop):
                self._end("stop" if by_stop else "closed")
                return False
            case Refused(rule, why):
                await self._refuse(rule, why)
                return False
        return True

    async def _bind(self, start: Start, request: web.Request, group: asyncio.TaskGroup) -> bool:
        peer = self._door.new_peer(self._socket, request, start)
        told = dict(start.parameters)
        try:
            self._call = self._desk.offer(
                peer,
                door=self._door,
                source=self._source,
                from_uri=told.get(FROM, ""),
                to_uri=told.get(TO, ""),
                signalling_id=start.call_id,
                headers=headers_of(start),
            )
        except MediaError as error:
            await self._refuse("stream-full", str(error))
            return False
        self._door.bound(-1)
        self._peer = peer
        peer.attach(self._call, lambda rule, why: self._desk.refused(self._door.name, self._source, rule, why))
        group.create_task(peer.run())
        return True

    async def _refuse(self, rule: str, why: str) -> None:
        self._desk.refused(self._door.name, self._source, rule, why)
        if self._call is not None and not self._call.is_over:
            self._call.end(by="network", reason="media_error")
        await _close(self._socket, CLOSE_CODES.get(rule, WSCloseCode.POLICY_VIOLATION), rule)

    def _end(self, why: str) -> None:
        """Both ends of a stream mean that the caller has gone, or that Twilio was told to do something else."""
        if self._call is not None and not self._call.is_over:
            self._call.end(by="caller", reason="bye" if why == "stop" else "gone")


def headers_of(start: Start) -> tuple[tuple[str, str], ...]:
    """What the integrator put into the stream, as ``X-`` headers of the leg."""
    return tuple(
        (name if name.lower().startswith("x-") else f"X-{name}", value)
        for name, value in start.parameters
        if name not in OWN_PARAMETERS
    )


def _socket_error(error: Any) -> RemoteProtocolError:
    if getattr(error, "code", None) == WSCloseCode.MESSAGE_TOO_BIG:
        return RemoteProtocolError(f"a message is longer than {MAX_MESSAGE_BYTES} bytes", rule="stream-message-size")
    return RemoteProtocolError(f"broken WebSocket frame: {error}", rule="stream-frame")


async def _close(socket: web.WebSocketResponse, code: int, reason: str) -> None:
    """Close without waiting long for a peer that may not answer."""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(1.0):
            await socket.close(code=code, message=reason.encode())
