"""The WebRTC door of the stream edge: WHIP (RFC 9725) and one JSON endpoint; calls are ``BrowserPeer``s.

====================================  ==============================================================================
``POST   /v1/webrtc/offer``           JSON ``{sdp, token}`` or ``{sdp, resume_token}`` → ``{sdp, leg_id, resume_token,
                                      resource}``
``POST   /v1/webrtc/whip``            WHIP: ``application/sdp``, ``Authorization: Bearer`` → 201, Location
``PATCH  /v1/webrtc/whip/{session}``  trickled candidates (204) or an ICE restart (200)
``DELETE /v1/webrtc/whip/{session}``  hang up; 200 for a session that has just ended, too
====================================  ==============================================================================

Refusals are problem+json with a ``rule`` (docs/reference/webrtc.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from aiohttp import web

from telephony.errors import MediaError, RemoteProtocolError
from telephony.stream_door import Desk
from telephony.webrtc.connection import Connection, new_certificate
from telephony.webrtc.door_names import SOURCE_HEADER
from telephony.webrtc.ice import IceSettings
from telephony.webrtc.peer import BrowserPeer, Decision
from telephony.webrtc.sdp import MAX_OFFER_BYTES, Fragment, choose, parse_fragment, parse_offer
from telephony.webrtc.servers import IceServer, ice_settings
from telephony.webrtc.token import OFFER, RESUME, Refusal, Tokens, issue

DECIDE_S = 10.0
"""Longest that an offer waits for the front."""
BODY_S = 5.0
CLOSE_S = 2.0
RESUME_TOKEN_S = 24 * 3600
"""A resume token is good while its call lives."""
_REMEMBERED = 1000
_HTTP_OF_SIP = {486: 503, 603: 403}
_SDP, _FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"


class Refused(Exception):
    """An HTTP request is refused."""

    def __init__(self, status: int, rule: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.rule, self.detail, self.retry_after_s = status, rule, detail, retry_after_s


class WebRtcDoor:
    """Implements ``telephony.stream_door.Door``."""

    name = "webrtc"
    lead_ms = 0
    confirms = False

    def __init__(
        self, *, secret: str, codecs: Iterable[str] = ("opus", "PCMU", "PCMA"), hosts: Iterable[str] = (),
        port_min: int = 0, port_max: int = 0, advertised: str = "", servers: Iterable[dict[str, str]] = (),
        resume_s: float = 10.0, complexity: int = 5,
    ) -> None:  # fmt: skip
        self._secret = bytes.fromhex(secret)
        self._tokens = Tokens(self._secret)
        self._codecs = tuple(codecs)
        self._servers = tuple(IceServer(**server) for server in servers)
        base = IceSettings(hosts=tuple(hosts), port_min=port_min, port_max=port_max, advertised=advertised)
        self._ice = ice_settings(base, self._servers)
        self._resume_s = resume_s
        self._complexity = complexity
        self._certificate = new_certificate()
        self._peers: dict[str, BrowserPeer] = {}
        """By session."""
        self._by_leg: dict[str, BrowserPeer] = {}
        self._over: deque[str] = deque(maxlen=_REMEMBERED)
        """Sessions that ended last: a client that closes its connection and then deletes it has done nothing wrong."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._desk: Desk

    def routes(self, desk: Desk) -> Iterable[web.AbstractRouteDef]:
        self._desk = desk
        return [
            web.post("/v1/webrtc/offer", _guarded(self._offer, self._note)),
            web.post("/v1/webrtc/whip", _guarded(self._whip_post, self._note)),
            web.patch("/v1/webrtc/whip/{session}", _guarded(self._whip_patch, self._note)),
            web.delete("/v1/webrtc/whip/{session}", _guarded(self._whip_delete, self._note)),
            web.options("/v1/webrtc/whip", _whip_options),
        ]

    def _note(self, request: web.Request, rule: str, why: str) -> None:
        self._desk.refused(self.name, _source(request), rule, why)

    async def close(self) -> None:
        for peer in list(self._peers.values()):
            peer.ended("shutdown")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        for task in self._tasks:
            task.cancel()

    # --- endpoints ---

    async def _offer(self, request: web.Request) -> web.Response:
        body = await _json_body(request)
        sdp, resume = body.get("sdp"), body.get("resume_token")
        if not isinstance(sdp, str):
            raise Refused(400, "malformed", "sdp must be a text")
        if resume is not None:
            peer = self._resumed(str(resume))
            answer = await self._connect(peer, sdp)
        else:
            self._check(str(body.get("token") or ""), OFFER)
            peer, answer = await self._new_call(request, sdp)
        assert peer.call is not None
        return web.json_response(
            {
                "sdp": answer,
                "leg_id": peer.call.leg_id,
                "resume_token": self._resume_token(peer.call.leg_id),
                "resource": f"/v1/webrtc/whip/{peer.session_id}",
            }
        )

    async def _whip_post(self, request: web.Request) -> web.Response:
        if request.content_type != _SDP:
            raise Refused(415, "content-type", f"the body must be {_SDP}")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        self._check(token.strip() if scheme.lower() == "bearer" else "", OFFER)
        peer, answer = await self._new_call(request, await _text_body(request))
        headers = [("Location", f"/v1/webrtc/whip/{peer.session_id}"), ("ETag", f'"{_etag(peer)}"')]
        headers += [("Link", link) for server in self._servers for link in server.links()]
        response = web.Response(status=201, text=answer, content_type=_SDP)
        for name, value in headers:
            response.headers.add(name, value)
        return response

    async def _whip_patch(self, request: web.Request) -> web.Response:
        peer = self._session(request)
        if request.content_type != _FRAGMENT:
            raise Refused(415, "content-type", f"the body must be {_FRAGMENT}")
        fragment = parse_fragment(await _text_body(request))
        connection = peer.pending or peer.connection
        if connection is None:
            raise Refused(409, "no-connection", "there is no connection to change")
        if connection.is_restart(fragment):
            return await self._restart(peer, connection, fragment)
        matched = request.headers.get("If-Match", "*").strip('"')
        if matched not in ("*", _etag(peer)):
            raise Refused(412, "ice-session", "these candidates are for another ICE session")
        await connection.trickle(fragment)
        return web.Response(status=204)

    async def _restart(self, peer: BrowserPeer, connection: Connection, fragment: Fragment) -> web.Response:
        if connection is not peer.connection:
            raise Refused(409, "offer-pending", "the connection is not established yet")
        text = await connection.restart(fragment)
        self._start(_finish_restart(connection))
        return web.Response(
            status=200, text=text, content_type=_FRAGMENT, headers={"ETag": f'"{secrets.token_hex(8)}"'}
        )

    async def _whip_delete(self, request: web.Request) -> web.Response:
        if request.match_info["session"] not in self._over:
            self._session(request).hang_up()
        return web.Response(status=200)

    # --- calls ---

    async def _new_call(self, request: web.Request, sdp: str) -> tuple[BrowserPeer, str]:
        connection_for = self._parsed(sdp)
        if (refusal := self._desk.refusal) is not None:
            raise Refused(refusal[0], "no-capacity", refusal[1], retry_after_s=5)
        peer = BrowserPeer(
            secrets.token_hex(16), resume_s=self._resume_s, complexity=self._complexity, close=self._close_soon
        )
        peer.pending = connection = connection_for(peer)
        try:
            await connection.prepare()
            peer.call = self._desk.offer(
                peer, door=self, source=_source(request), from_uri="webrtc:browser", to_uri="webrtc:agent",
                signalling_id=peer.session_id[:8],
            )  # fmt: skip
            decision = await self._decision(peer)
            if decision.status:
                status = _HTTP_OF_SIP.get(decision.status, decision.status)
                raise Refused(status, "refused", decision.reason or "refused", retry_after_s=decision.retry_after_s)
            answer = connection.answer()
        except BaseException:  # whatever it was, the sockets are ours to close
            peer.pending = None
            await connection.close()
            raise
        self._peers[peer.session_id] = self._by_leg[peer.call.leg_id] = peer
        self._start(self._run(peer, connection))
        return peer, answer

    async def _decision(self, peer: BrowserPeer) -> Decision:
        assert peer.call is not None
        try:
            async with asyncio.timeout(DECIDE_S):
                return await asyncio.shield(peer.decided)
        except TimeoutError:
            peer.call.end(by="us", reason="timeout")
            return Decision(status=504, reason="nobody answered the offer in time")
        except asyncio.CancelledError:  # the client has hung up before the answer
            peer.call.end(by="caller", reason="cancel")
            raise

    def _resumed(self, token: str) -> BrowserPeer:
        """The call that a resume token is for."""
        leg_id = self._check(token, RESUME)
        peer = self._by_leg.get(leg_id)
        if peer is None or peer.is_over:
            raise Refused(410, "call-over", "the call is over")
        if peer.pending is not None:
            raise Refused(409, "offer-pending", "another offer for this call is being answered")
        return peer

    async def _connect(self, peer: BrowserPeer, sdp: str) -> str:
        """Another connection for a call that lives."""
        peer.pending = connection = self._parsed(sdp)(peer)
        try:
            await connection.prepare()
        except MediaError:
            peer.pending = None
            raise
        self._start(self._run(peer, connection))
        return connection.answer()

    def _parsed(self, sdp: str) -> Callable[[BrowserPeer], Connection]:
        offer = parse_offer(sdp)
        audio = choose(offer, self._codecs)
        return lambda peer: Connection(offer, audio, settings=self._ice, certificate=self._certificate, to=peer)

    def _check(self, token: str, kind: str) -> str:
        checked = self._tokens.check(token, kind=kind, now=time.time())
        if isinstance(checked, Refusal):
            raise Refused(checked.status, checked.rule, checked.text)
        return checked

    def _session(self, request: web.Request) -> BrowserPeer:
        peer = self._peers.get(request.match_info["session"])
        if peer is None:
            raise Refused(404, "no-session", "there is no such session")
        return peer

    def _resume_token(self, leg_id: str) -> str:
        expires_at = time.time() + RESUME_TOKEN_S
        return issue(self._secret, kind=RESUME, expires_at=expires_at, nonce=secrets.token_hex(16), subject=leg_id)

    # --- tasks ---

    async def _run(self, peer: BrowserPeer, connection: Connection) -> None:
        """One connection's life; the last one of a call that is over takes the peer with it."""
        try:
            await connection.run()
        finally:
            if peer.is_over and peer.connection is None and peer.pending is None:
                self._peers.pop(peer.session_id, None)
                self._over.append(peer.session_id)
                if peer.call is not None:
                    self._by_leg.pop(peer.call.leg_id, None)
                peer.free()

    def _close_soon(self, connection: Connection) -> None:
        self._start(connection.close())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # Not in a TaskGroup: a connection lives longer than the request that began it; ``close`` ends them all.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _finish_restart(connection: Connection) -> None:
    await connection.finish_restart()


def _source(request: web.Request) -> str:
    """Who asks: as the front says, which passes requests on."""
    return request.headers.get(SOURCE_HEADER) or request.remote or ""


def _etag(peer: BrowserPeer) -> str:
    return peer.session_id[:16]


async def _whip_options(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers={"Accept-Post": _SDP})


async def _text_body(request: web.Request) -> str:
    if (request.content_length or 0) > MAX_OFFER_BYTES:
        raise Refused(413, "too-large", f"more than {MAX_OFFER_BYTES} bytes")
    try:
        async with asyncio.timeout(BODY_S):
            return (await request.read()).decode()
    except UnicodeDecodeError:
        raise Refused(400, "malformed", "the body is not UTF-8") from None
    except TimeoutError:
        raise Refused(408, "too-slow", f"the body did not come within {BODY_S:.0f} s") from None


async def _json_body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await _text_body(request))
    except (ValueError, RecursionError):
        raise Refused(400, "malformed", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "malformed", "the body is not a JSON object")
    return body


def _guarded(handler: Any, note: Callable[[web.Request, str, str], None]) -> Any:
    """The one place where a refusal becomes an HTTP answer, and a line in the log."""

    def refuse(
        request: web.Request, status: int, rule: str, detail: str, retry_after_s: int | None = None
    ) -> web.Response:
        note(request, rule, detail)
        return problem(status, rule, detail, retry_after_s=retry_after_s)

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            with contextlib.suppress(ConnectionResetError):
                return await handler(request)  # type: ignore[no-any-return]
        except Refused as refused:
            return refuse(request, refused.status, refused.rule, refused.detail, refused.retry_after_s)
        except RemoteProtocolError as error:
            return refuse(request, error.status_hint, error.rule, str(error))
        except MediaError as error:
            return refuse(request, 503, "no-media", str(error), 5)
        except web.HTTPRequestEntityTooLarge:
            return refuse(request, 413, "too-large", f"more than {MAX_OFFER_BYTES} bytes")
        return problem(499, "gone", "the client is gone")

    return guarded


def problem(status: int, rule: str, detail: str, *, retry_after_s: int | None = None) -> web.Response:
    """A refusal as problem+json (RFC 9457), with the name of the rule."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    body = {"type": "about:blank", "title": rule, "status": status, "detail": detail, "rule": rule}
    return web.json_response(body, status=status, headers=headers, content_type="application/problem+json")
