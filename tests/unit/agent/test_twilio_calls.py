"""Calls that Twilio places for us: from the REST command to the stream, and every way in which no stream comes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agent.api.twilio import TwilioCalls
from agent.outbound import DialledLeg
from agent.twilio_calls import TwilioDialler
from telephony.errors import MediaError
from telephony.events import DtmfReceived, LegAnswered, LegEnded, LegEvent, LegRinging
from telephony.plane import SeatAddress
from tests.unit.agent.call_fakes import FakeLeg

SEAT = SeatAddress(worker="w", row=1, seat=1)
SID = "CA" + "1" * 32


class Control:
    """Twilio's REST API: notes commands, answers as told."""

    def __init__(self) -> None:
        self.placed: list[tuple[str, dict[str, str]]] = []
        self.ended: list[str] = []
        self.refuses = False
        self.before_answer = lambda: None

    async def call(self, to: str, **more: str) -> str:
        self.placed.append((to, more))
        self.before_answer()
        if self.refuses:
            raise MediaError("Twilio refused: 21211 Invalid 'To' Phone Number")
        return SID

    async def hang_up(self, call_sid: str) -> bool:
        self.ended.append(call_sid)
        return True


class Stream(FakeLeg):
    """The leg that the stream edge offers."""

    def __init__(self, call_sid: str = SID) -> None:
        super().__init__()
        self.info: Any = SimpleNamespace(transport="twilio", signalling_id=call_sid, leg_id="stream-1")


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def dialler(control: Control) -> TwilioDialler:
    made: Any = control
    return TwilioDialler(made, public_url="https://agent.example.com/", caller="tel:+15550001000")


def placed(dialler: TwilioDialler) -> DialledLeg:
    return DialledLeg(dialler, call_id="c1", target="tel:+15551234567", caller=dialler.caller)


async def collect(leg: DialledLeg) -> list[LegEvent]:
    async with asyncio.timeout(2.0):
        return [event async for event in leg.events()]


async def offer(dialler: TwilioDialler, stream: Stream, offered: list[Any]) -> None:
    async def on_offer(leg: Any) -> None:
        offered.append(leg)

    store: Any = None
    await TwilioCalls(store, dialler).around(on_offer)(stream)


async def test_an_answered_call_goes_on_over_its_stream(control: Control, dialler: TwilioDialler) -> None:
    leg = placed(dialler)
    await leg.answer(SEAT)
    ((to, more),) = control.placed
    assert (to, more["caller"]) == ("+15551234567", "+15550001000")
    assert more["voice_url"] == "https://agent.example.com/twilio/voice?call=c1"
    dialler.told("c1", "ringing", "")
    assert dialler.answered("c1", SID)
    stream, offered = Stream(), []  # type: ignore[var-annotated]
    serving = asyncio.create_task(offer(dialler, stream, offered))
    stream.emit(LegAnswered(leg_id="stream-1"))
    stream.emit(DtmfReceived(leg_id="stream-1", digit="5", duration_ms=100))
    stream.emit(LegEnded(leg_id="stream-1", by="caller", status=200, reason="bye"))
    events = await collect(leg)
    await asyncio.wait_for(serving, 2.0)
    assert [type(event) for event in events] == [LegRinging, LegAnswered, DtmfReceived, LegEnded]
    assert {event.leg_id for event in events} == {"c1"}
    assert not offered, "it is no call that comes in"
    assert not dialler._placed
    assert not dialler._by_sid


@pytest.mark.parametrize(
    ("status", "sip", "code", "reason"),
    [
        ("busy", "", 486, "refused"),
        ("no-answer", "", 480, "timeout"),
        ("canceled", "", 487, "cancel"),
        ("failed", "404", 404, "failed"),
        ("failed", "", 500, "failed"),
        ("completed", "", 200, "failed"),
    ],
)
async def test_a_call_that_nobody_answers_tells_why(
    dialler: TwilioDialler, status: str, sip: str, code: int, reason: str
) -> None:
    leg = placed(dialler)
    await leg.answer(SEAT)
    dialler.told("c1", "initiated", "")
    dialler.told("c1", status, sip)
    (ended,) = await collect(leg)
    assert isinstance(ended, LegEnded)
    assert (ended.status, ended.reason) == (code, reason)
    assert not dialler.answered("c1", SID), "too late"


async def test_what_twilio_refuses_is_not_placed(control: Control, dialler: TwilioDialler) -> None:
    control.refuses = True
    with pytest.raises(MediaError, match="21211"):
        await placed(dialler).answer(SEAT)
    assert not dialler._placed


async def test_webhooks_that_are_faster_than_the_answer_to_rest_find_their_call(
    control: Control, dialler: TwilioDialler
) -> None:
    other = "CA" + "2" * 32
    control.before_answer = lambda: None if dialler.answered("c1", other) else pytest.fail("not known")
    leg = placed(dialler)
    await leg.answer(SEAT)
    stream = Stream(other)
    serving = asyncio.create_task(offer(dialler, stream, []))
    stream.emit(LegEnded(leg_id="stream-1", by="caller", status=200, reason="bye"))
    assert [type(event) for event in await collect(leg)] == [LegEnded]
    await asyncio.wait_for(serving, 2.0)


async def test_we_hang_up_while_it_rings_and_after_the_answer(control: Control, dialler: TwilioDialler) -> None:
    leg = placed(dialler)
    await leg.answer(SEAT)
    await leg.hangup("cancelled")
    assert control.ended == [SID]
    assert [type(event) for event in await collect(leg)] == [LegEnded]
    assert not dialler.answered("c1", SID)

    leg = placed(dialler)
    await leg.answer(SEAT)
    dialler.answered("c1", SID)
    stream = Stream()
    serving = asyncio.create_task(offer(dialler, stream, []))
    await asyncio.sleep(0)
    await leg.hangup("hangup")
    assert not serving.done(), "what the stream still tells is waited for"
    assert [type(event) for event in await collect(leg)] == [LegEnded]
    await asyncio.wait_for(serving, 2.0)
    assert control.ended == [SID], "a stream is closed, not its call"


async def test_a_stream_that_no_call_waits_for_is_an_offer(dialler: TwilioDialler) -> None:
    offered: list[Any] = []
    stream = Stream()
    await offer(dialler, stream, offered)
    assert offered == [stream]
