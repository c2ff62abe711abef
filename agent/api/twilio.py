"""Twilio's webhooks: ``/twilio/voice`` (a call comes), ``/twilio/after`` (its stream is over), ``/twilio/dialled`` (a
transfer is over), ``/twilio/status`` (news). Every request must be signed for its public URL.

A call that we cannot take (draining, no stream edge) or could not keep goes to the configured fallback: another
gateway's URL, or a number or SIP address that is dialled.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from agent.config import TwilioConfig
from agent.events.names import LogEvent, Result
from agent.logging import Log
from agent.store.interface import Store
from agent.twilio_calls import TwilioDialler
from telephony.plane import Leg, OfferHandler
from telephony.twilio import twiml
from telephony.twilio.door import FROM, TO
from telephony.twilio.messages import MAX_VALUE_CHARS
from telephony.twilio.signature import HEADER, is_signed
from telephony.twilio.token import PARAMETER, mint

MAX_FORM_BYTES = 64 * 1024
FORM_S = 5.0
END_WAIT_S = 3.0
"""How long ``/twilio/after`` waits for the session of the stream to write its end."""
MAX_KNOWN = 10_000
CALL_SID = re.compile(r"CA[0-9a-f]{32}\Z")
FORWARDED = ("CallerName", "ForwardedFrom", "CallToken", "StirVerstat")
"""Fields of the voice webhook that go on as parameters, for ``call.incoming`` and the dialogue."""


class TwilioCalls:
    """Which leg each call of Twilio became, and how that ended: what comes after a stream depends on it."""

    def __init__(self, store: Store, dialler: TwilioDialler | None = None) -> None:
        """``dialler``: knows the calls that were placed, whose streams are no offers."""
        self._store = store
        self.dialler = dialler
        self._legs: dict[str, tuple[str, asyncio.Event]] = {}

    def around(self, on_offer: OfferHandler) -> OfferHandler:
        """``on_offer``, noting the calls that come by a stream."""

        async def offered(leg: Leg) -> None:
            if leg.info.transport != "twilio":
                await on_offer(leg)
                return
            placed = self.dialler.take(leg.info.signalling_id) if self.dialler is not None else None
            over = self._note(leg.info.signalling_id, (placed or leg).info.leg_id)
            try:
                await (on_offer(leg) if placed is None else placed.connect(leg))
            finally:
                over.set()

        return offered

    def _note(self, call_sid: str, leg_id: str) -> asyncio.Event:
        while len(self._legs) >= MAX_KNOWN:
            del self._legs[next(iter(self._legs))]
        over = asyncio.Event()
        self._legs[call_sid] = (leg_id, over)
        return over

    async def ended_well(self, call_sid: str) -> bool:
        """False for a call that was lost on our side, or that we know nothing of (we may be the ones that died)."""
        known = self._legs.pop(call_sid, None)
        if known is None:
            return False
        leg_id, over = known
        try:
            async with asyncio.timeout(END_WAIT_S):
                await over.wait()
        except TimeoutError:
            return False
        call = await self._store.get_call(leg_id)
        return call is not None and call.result != Result.SERVER_ERROR.value


class TwilioWebhooks:
    """The four webhooks."""

    def __init__(
        self,
        config: TwilioConfig,
        calls: TwilioCalls,
        *,
        may_take: Callable[[], bool],
        log: Log,
        wall: Callable[[], float],
    ) -> None:
        """``may_take``: whether a stream that is opened now would be taken."""
        self._config, self._calls = config, calls
        self._may_take = may_take
        self._log, self._wall = log, wall

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/twilio/voice", self._signed(self._voice)),
            web.post("/twilio/after", self._signed(self._after)),
            web.post("/twilio/dialled", self._signed(self._dialled)),
            web.post("/twilio/status", self._signed(self._status)),
        ]

    # --- webhooks ---

    async def _voice(self, form: dict[str, str], call_id: str) -> web.Response:
        if call_id and not self._is_ours(call_id, form["CallSid"]):
            return _xml(twiml.hang_up())  # given up meanwhile: it must not become a call that came in
        if not self._may_take():
            return self._fall_back(form["CallSid"], "voice", twiml.reject_busy())
        return self._connect(form)

    def _is_ours(self, call_id: str, call_sid: str) -> bool:
        dialler = self._calls.dialler
        return dialler is not None and dialler.answered(call_id, call_sid)

    async def _after(self, form: dict[str, str], _: str) -> web.Response:
        """The stream is over: for most calls that is the end."""
        if await self._calls.ended_well(form["CallSid"]):
            return _xml(twiml.hang_up())
        return self._fall_back(form["CallSid"], "after", twiml.hang_up())

    async def _dialled(self, form: dict[str, str], _: str) -> web.Response:
        """A transfer is over. Where nobody answered, the caller comes back to us instead of hearing silence."""
        if form.get("DialCallStatus") in ("completed", "answered"):
            return _xml(twiml.hang_up())
        return await self._voice(form, "")

    async def _status(self, form: dict[str, str], call_id: str) -> web.Response:
        if call_id and self._calls.dialler is not None:
            self._calls.dialler.told(call_id, form.get("CallStatus", ""), form.get("SipResponseCode", ""))
        shown = {name: form[key] for key, name in _SHOWN.items() if form.get(key)}
        self._log.info(LogEvent.TWILIO_STATUS, signalling_id=form["CallSid"], **shown)
        return web.Response(status=204)

    def _connect(self, form: dict[str, str]) -> web.Response:
        config, call_sid = self._config, form["CallSid"]
        token = mint(config.token_key, call_sid, now=self._wall(), nonce=secrets.token_hex(16))
        told = [(PARAMETER, token), (FROM, address(form.get("From", ""))), (TO, address(form.get("To", "")))]
        told += [(name, form[name]) for name in FORWARDED if form.get(name)]
        text = twiml.connect_stream(
            config.stream_url,
            [(name, _one_line(value)) for name, value in told],
            action=self._url("/twilio/after"),
            status_callback=self._url("/twilio/status"),
        )
        return _xml(text)

    def _fall_back(self, call_sid: str, where: str, otherwise: str) -> web.Response:
        target = self._config.fallback
        self._log.warning(LogEvent.TWILIO_FALLBACK, signalling_id=call_sid, webhook=where, is_configured=bool(target))
        if not target:
            return _xml(otherwise)
        return _xml(twiml.redirect(target) if target.startswith("http") else twiml.dial(target))

    # --- trust ---

    def _signed(self, handler: Callable[[dict[str, str], str], Awaitable[web.Response]]) -> Any:
        """``handler`` gets the form, and the call that the URL names (one that we place)."""

        async def checked(request: web.Request) -> web.Response:
            if (request.content_length or 0) > MAX_FORM_BYTES:
                return self._refuse(request, 413, "webhook-size", f"a form is longer than {MAX_FORM_BYTES} bytes")
            try:
                async with asyncio.timeout(FORM_S):
                    pairs = [(name, value) for name, value in (await request.post()).items() if isinstance(value, str)]
            except TimeoutError:
                return self._refuse(request, 408, "webhook-slow", f"the form did not come within {FORM_S:.0f} s")
            except (ValueError, LookupError):  # a body that is no form, or in no encoding
                return self._refuse(request, 400, "webhook-form", "the body is not a form")
            url = self._config.public_url.rstrip("/") + request.path_qs
            if not is_signed(self._config.auth_token, url, request.headers.get(HEADER, ""), pairs):
                return self._refuse(request, 403, "webhook-signature", f"{HEADER} does not fit {url}")
            form = dict(pairs)
            if not CALL_SID.match(form.get("CallSid", "")):
                return self._refuse(request, 400, "webhook-field", "CallSid is missing or malformed")
            if self._config.account_sid and form.get("AccountSid") != self._config.account_sid:
                return self._refuse(request, 403, "webhook-account", "AccountSid is not our account")
            return await handler(form, request.query.get("call", ""))

        return checked

    def _refuse(self, request: web.Request, status: int, rule: str, why: str) -> web.Response:
        self._log.info(
            LogEvent.STREAM_REFUSED, door="twilio", source=request.remote or "", rule=rule, why=why, missed=0
        )
        return web.Response(status=status, text=f"{rule}\n")

    def _url(self, path: str) -> str:
        return self._config.public_url.rstrip("/") + path


_SHOWN = {
    "CallStatus": "status",
    "StreamEvent": "stream",
    "StreamError": "error",
    "CallDuration": "duration_s",
    "SipResponseCode": "sip_status",
    "ErrorCode": "code",
}


def address(text: str) -> str:
    """A number as ``tel:``; SIP addresses and clients as they are."""
    return f"tel:{text}" if text.startswith("+") or text.isdigit() else text


def _one_line(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:MAX_VALUE_CHARS]


def _xml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")
