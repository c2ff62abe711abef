"""Calls that Twilio places for us: asked for by REST, told of by status webhooks, taken when their stream opens.

Each has webhooks of its own (``/twilio/voice?call=…``), so that they find it even before the answer to REST has come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Final

from agent.config import Config
from agent.outbound import CALL_ID_HEADER
from telephony.errors import MediaError, TelephonyError
from telephony.events import Direction, LegEnded, LegEvent, LegInfo, LegRinging
from telephony.plane import Leg, SeatAddress
from telephony.twilio.control import TwilioControl

_NOT_ANSWERED: Final = {
    "busy": (486, "refused"),
    "no-answer": (480, "timeout"),
    "canceled": (487, "cancel"),
    "failed": (500, "failed"),
    "completed": (200, "failed"),
}
"""Twilio's word for the end of a call that never became a stream, as SIP status and reason of a leg."""


class PlacedLeg:
    """Implements ``telephony.plane.Leg``: a call at Twilio, then the stream that it became."""

    def __init__(self, info: LegInfo, seat: SeatAddress, control: TwilioControl, *, over: Callable[[], None]) -> None:
        """``over`` is called once, when nothing more can come of the call."""
        self._info, self._seat, self._control = info, seat, control
        self._tell_over = over
        self.call_sid = ""
        self._stream: Leg | None = None
        self._waiting: deque[LegEvent] = deque()
        self._changed, self._over = asyncio.Event(), asyncio.Event()

    @property
    def info(self) -> LegInfo:
        return self._info

    async def ring(self) -> None:
        """The far end rings, not we."""

    async def answer(self, seat: SeatAddress) -> None:
        """The far end answers."""

    async def refuse(self, status: int, reason: str, *, retry_after_s: int | None = None) -> None:
        """It was we who called."""

    async def reroute(self, seat: SeatAddress) -> None:
        self._seat = seat
        if self._stream is not None:
            await self._stream.reroute(seat)

    async def hangup(self, reason: str) -> None:
        if self._over.is_set():
            return
        if self._stream is not None:
            await self._stream.hangup(reason)  # its last event is the end of this leg
            return
        if self.call_sid:
            with contextlib.suppress(MediaError):  # Twilio ends a call that nobody answers by itself
                await self._control.hang_up(self.call_sid)
        self._end(LegEnded(leg_id=self._info.leg_id, by="us", status=487, reason="cancel"))

    async def transfer(self, target: str) -> None:
        await self._opened().transfer(target)

    async def send_dtmf(self, digits: str) -> None:
        await self._opened().send_dtmf(digits)

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        if self._stream is not None:
            self._stream.notify(at_ms, kind, data)

    async def events(self) -> AsyncIterator[LegEvent]:
        while self._stream is None:
            while self._waiting:
                yield (event := self._waiting.popleft())
                if isinstance(event, LegEnded):
                    return
            self._changed.clear()
            if self._stream is None and not self._waiting:
                await self._changed.wait()
        try:
            async for event in self._stream.events():
                yield replace(event, leg_id=self._info.leg_id)
        finally:
            self._finish()

    # --- Twilio ---

    async def connect(self, stream: Leg) -> None:
        """The call was answered and this is its stream; returns when it is over. Raises ``TelephonyError``."""
        if self._over.is_set():
            await stream.hangup("cancelled")
            return
        try:
            await stream.answer(self._seat)
        except TelephonyError:
            self._end(LegEnded(leg_id=self._info.leg_id, by="network", status=0, reason="failed"))
            raise
        self._stream = stream
        self._changed.set()
        await self._over.wait()

    def told(self, status: str, sip_status: str) -> None:
        """``CallStatus`` and ``SipResponseCode`` of a status webhook."""
        if self._stream is not None or self._over.is_set():
            return
        if status == "ringing":
            self._tell(LegRinging(leg_id=self._info.leg_id, status=180))
        elif (known := _NOT_ANSWERED.get(status)) is not None:
            code = int(sip_status) if status == "failed" and sip_status.isdigit() else known[0]
            self._end(LegEnded(leg_id=self._info.leg_id, by="caller", status=code, reason=known[1]))

    # --- inside ---

    def _opened(self) -> Leg:
        if self._stream is None:
            raise MediaError("nobody has answered yet")
        return self._stream

    def _tell(self, event: LegEvent) -> None:
        self._waiting.append(event)
        self._changed.set()

    def _end(self, event: LegEnded) -> None:
        self._tell(event)
        self._finish()

    def _finish(self) -> None:
        if not self._over.is_set():
            self._over.set()
            self._tell_over()


class TwilioDialler:
    """Implements ``agent.outbound.NumberDoor``, and knows the calls that are under way."""

    name = "twilio"

    def __init__(self, control: TwilioControl, *, public_url: str, caller: str) -> None:
        """``public_url``: where Twilio reaches our webhooks. ``caller``: ``tel:`` number of ours, or empty."""
        self._control, self._url, self.caller = control, public_url.rstrip("/"), caller
        self._placed: dict[str, PlacedLeg] = {}
        self._by_sid: dict[str, PlacedLeg] = {}

    async def dial(
        self, target: str, *, seat: SeatAddress, caller: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> PlacedLeg:
        """Raises ``MediaError`` with Twilio's own words."""
        call_id = dict(headers)[CALL_ID_HEADER]
        info = LegInfo(
            leg_id=call_id,
            transport=self.name,
            direction=Direction.OUTBOUND,
            from_uri=caller,
            to_uri=target,
            source="",
        )
        leg = self._placed[call_id] = PlacedLeg(info, seat, self._control, over=lambda: self._forget(call_id))
        try:
            sid = await self._control.call(
                target.removeprefix("tel:"),
                caller=caller.removeprefix("tel:"),
                voice_url=f"{self._url}/twilio/voice?call={call_id}",
                status_url=f"{self._url}/twilio/status?call={call_id}",
            )
        except BaseException:
            self._forget(call_id)
            raise
        leg.call_sid = leg.call_sid or sid
        return leg

    def answered(self, call_id: str, call_sid: str) -> bool:
        """The far end has answered; false for a call that is over by now, or never was ours."""
        leg = self._placed.get(call_id)
        if leg is None:
            return False
        leg.call_sid = call_sid
        self._by_sid[call_sid] = leg
        return True

    def told(self, call_id: str, status: str, sip_status: str) -> None:
        """News of a call by a status webhook."""
        if (leg := self._placed.get(call_id)) is not None:
            leg.told(status, sip_status)

    def take(self, call_sid: str) -> PlacedLeg | None:
        """The call that waits for this stream."""
        return self._by_sid.pop(call_sid, None)

    async def aclose(self) -> None:
        await self._control.aclose()

    def _forget(self, call_id: str) -> None:
        if (leg := self._placed.pop(call_id, None)) is not None:
            self._by_sid.pop(leg.call_sid, None)


def open_dialler(config: Config) -> TwilioDialler | None:
    """``None`` where Twilio is no door of ours, or no account is named."""
    twilio = config.twilio
    if "twilio" not in config.stream.doors or not twilio.account_sid:
        return None
    user, password = (twilio.api_key, twilio.api_secret) if twilio.api_key else (twilio.account_sid, twilio.auth_token)
    control = TwilioControl(account_sid=twilio.account_sid, user=user, password=password, api_url=twilio.rest_url)
    caller = f"tel:{twilio.caller}" if twilio.caller else ""
    return TwilioDialler(control, public_url=twilio.public_url, caller=caller)
