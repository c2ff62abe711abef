"""A session from offer to end, with everything around it played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from agent import transfers
from agent.brain.protocol import Hangup, Say, SendDtmf, SetExpect, Tool, Transfer
from agent.config import AgentConfig, RecordingConfig
from agent.errors import AdmissionRefused, StoreUnavailable, VoiceFailed
from agent.events.names import EndReason
from agent.expectation import Expect, ExpectKind
from agent.pool.messages import (
    BeginUtterance,
    DropUtterance,
    Expecting,
    FloorMoved,
    KeyPressed,
    OverlapEnded,
    SetHold,
    TurnContinued,
    TurnEnded,
    TurnPaused,
    TurnReopened,
    UtteranceEnded,
    UtteranceStarted,
)
from agent.ports import Decision
from agent.scribe import Scribe
from agent.services import Services
from agent.session import Session
from agent.store.interface import CallState
from telephony.clock import MonotonicClock
from telephony.errors import MediaError
from telephony.events import (
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegHeld,
    LegResumed,
    MediaTimeout,
    TransferNotified,
    TransferOutcome,
)
from tests.unit.agent import call_fakes as fakes

CALL = fakes.CALL


class Pool:
    """Gives prepared seats, one after the other; refuses when there is none left."""

    transfer_targets = ("sip:",)

    def __init__(self, seats: list[Any]) -> None:
        self.seats = seats
        self.recordings: list[str] = []
        self.may_move = asyncio.Event()
        """Set: another seat is found at once."""
        self.may_move.set()

    async def open_seat(self, call_id: str, profile: Any, record: str) -> Any:
        self.recordings.append(record)
        if not self.seats:
            raise AdmissionRefused("pool_full", retry_after_s=5)
        return self.seats.pop(0)

    async def reseat(self, lost: Any, profile: Any, record: str) -> Any:
        await self.may_move.wait()
        return await self.open_seat(CALL, profile, record)


class Rig:
    """A session and its surroundings."""

    def __init__(
        self,
        answers: dict[str, list[Any]] | None = None,
        *,
        opening: list[Any] | None = None,
        measures: fakes.NoMeasures | None = None,
        record: bool = False,
        folder: str = "/rec",
        log: Any = None,
    ) -> None:
        self.leg = fakes.FakeLeg()
        self.seat = fakes.FakeSeat()
        self.spare = fakes.FakeSeat(row=7)
        self.pool = Pool([self.seat, self.spare])
        self.store = fakes.RecordingStore()
        self.decisions = fakes.FakeDecisions()
        self.conversation = fakes.ListedConversation(
            answers or {}, [Say(text="hello there")] if opening is None else opening
        )
        self.services = Services(
            pool=cast(Any, self.pool),
            voice=fakes.FakeVoice(),
            brain=fakes.FakeBrain(self.conversation),
            decisions=self.decisions,
            new_scribe=lambda: Scribe(cast(Any, self.store), lease_s=10.0, wall=lambda: 1.0),
            new_measures=lambda leg: measures or fakes.NoMeasures(),
            log=log or fakes.NoLog(),
            agent=AgentConfig(),
            recording=RecordingConfig(enabled=record, folder=folder),
            gateway="gw",
            clock=MonotonicClock(),
            wall=lambda: 1.0,
        )
        self.session = Session(self.leg, self.services)

    async def settle(self) -> None:
        for _ in range(60):
            await asyncio.sleep(0)

    async def answered(self) -> None:
        await self.settle()
        self.leg.emit(LegAnswered(leg_id=CALL))
        await self.settle()

    async def turn(self, text: str, number: int = 1, *, released: int = 0, at: int = 10_000) -> None:
        self.seat.emit(turn_ended(text, number, released=released, at=at))
        await self.settle()

    def said(self) -> list[str]:
        texts = self.seat.texts()
        dropped = {message.utterance for message in self.seat.of(DropUtterance)}
        return [texts[number] for number in sorted(texts) if number not in dropped]


def turn_ended(text: str, number: int = 1, *, released: int = 0, at: int = 10_000) -> TurnEnded:
    return TurnEnded(
        call_id=CALL,
        at=at,
        turn=number,
        revision=1,
        words=tuple(text.split()),
        confidence=0.9,
        reason="score",
        speech_end=at - 800,
        released=released,
    )


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    task = asyncio.ensure_future(rig.session.run())
    try:
        await rig.answered()
        yield rig
    finally:
        rig.leg.emit(LegEnded(leg_id=CALL, by="caller", status=200, reason="bye"))
        await asyncio.wait_for(task, 5)


async def test_call_is_answered_greeted_and_ended_once() -> None:
    rig = Rig()
    async with running(rig):
        assert ("answer", 0) in rig.leg.did
        assert rig.said() == ["hello there"]
    assert rig.store.ended == [("success", "caller_hangup")]
    assert rig.store.names() == ["call.started", "call.ended"]
    assert rig.seat.closed


async def test_refused_call_is_booked_and_gets_its_status() -> None:
    rig = Rig()
    rig.pool.seats.clear()
    await asyncio.wait_for(rig.session.run(), 5)
    assert rig.leg.did == [("refuse", 503)]
    assert rig.store.ended == [("server_error", "no_capacity")]


async def test_decision_to_reject_declines_the_call() -> None:
    rig = Rig()
    rig.decisions.decision = Decision(action="reject")
    await asyncio.wait_for(rig.session.run(), 5)
    assert rig.leg.did == [("refuse", 603)]
    assert rig.store.ended == [("success", "refused_by_policy")]


async def test_caller_who_gives_up_before_the_decision_ends_the_call() -> None:
    rig = Rig()
    rig.decisions.never = True
    task = asyncio.ensure_future(rig.session.run())
    await rig.settle()
    rig.leg.emit(LegEnded(leg_id=CALL, by="caller", status=487, reason="cancel"))
    await asyncio.wait_for(task, 5)
    assert rig.store.ended == [("success", "cancelled")]
    assert not any(step[0] == "answer" for step in rig.leg.did)


async def test_caller_who_gives_up_is_heard_behind_other_news_of_the_leg() -> None:
    rig = Rig()
    rig.decisions.never = True
    task = asyncio.ensure_future(rig.session.run())
    await rig.settle()
    rig.leg.emit(fakes.quality(sent=0, received=0))
    await rig.settle()
    rig.leg.emit(LegEnded(leg_id=CALL, by="caller", status=487, reason="cancel"))
    await asyncio.wait_for(task, 5)
    assert rig.store.ended == [("success", "cancelled")]


async def test_order_to_hang_up_is_obeyed_while_the_decision_takes_its_time() -> None:
    rig = Rig()
    rig.decisions.never = True
    task = asyncio.ensure_future(rig.session.run())
    await rig.settle()
    rig.session.order_hangup(EndReason.DRAINED)
    await asyncio.wait_for(task, 5)
    assert rig.leg.did[-1] == ("refuse", 503)
    assert rig.store.ended == [("success", "drained")]


async def test_seat_that_comes_as_the_caller_gives_up_is_given_back() -> None:
    rig = Rig()
    rig.leg.emit(LegEnded(leg_id=CALL, by="caller", status=487, reason="cancel"))
    await asyncio.wait_for(rig.session.run(), 5)
    assert rig.store.ended == [("success", "cancelled")]
    assert rig.seat.closed or rig.seat in rig.pool.seats


async def test_caller_hears_that_it_rings_while_the_decision_takes_its_time() -> None:
    rig = Rig()
    rig.decisions.never = True
    task = asyncio.ensure_future(rig.session.run())
    async with asyncio.timeout(5):
        while ("ring",) not in rig.leg.did:
            await asyncio.sleep(0.01)
    rig.leg.emit(LegEnded(leg_id=CALL, by="caller", status=487, reason="cancel"))
    await asyncio.wait_for(task, 5)
    assert rig.leg.did.count(("ring",)) == 1


async def test_turn_gets_its_answer_and_the_expectation_reaches_the_ears() -> None:
    expect = Expect(kind=ExpectKind.YES_NO)
    rig = Rig({"where is it": [Say(text="is it blue"), SetExpect(expect=expect)]})
    async with running(rig):
        await rig.turn("where is it")
        assert rig.said() == ["hello there", "is it blue"]
        assert rig.seat.of(Expecting)[-1].expect["kind"] == "yes_no"
    assert "call.turn" in rig.store.names()


async def test_answer_prepared_for_exactly_these_words_is_not_rendered_twice() -> None:
    rig = Rig({"where is it": [Say(text="over there")]})
    async with running(rig):
        paused = TurnPaused(call_id=CALL, at=9000, turn=1, revision=1, words=("where", "is", "it"), confidence=0.9)
        rig.seat.emit(paused)
        await rig.settle()
        held = rig.seat.of(BeginUtterance)[-1]
        assert (held.on_turn, held.on_revision) == (1, 1)
        await rig.turn("where is it", released=held.utterance)
        assert rig.said() == ["hello there", "over there"]
        assert ("turn", "where is it") in rig.conversation.told


async def test_preparation_is_dropped_when_the_turn_goes_on() -> None:
    rig = Rig({"where": [Say(text="where what")]})
    async with running(rig):
        rig.seat.emit(TurnPaused(call_id=CALL, at=9000, turn=1, revision=1, words=("where",), confidence=0.9))
        await rig.settle()
        held = rig.seat.of(BeginUtterance)[-1].utterance
        rig.seat.emit(TurnContinued(call_id=CALL, at=9100, turn=1))
        await rig.settle()
        assert rig.seat.of(DropUtterance)[-1].utterance == held
        assert ("turn", "where") not in rig.conversation.told


async def test_barge_in_tells_the_brain_exactly_what_was_heard() -> None:
    answers = {"tell me": [Say(text="one two three"), Say(text="four five")], "stop": [Say(text="fine")]}
    rig = Rig(answers, opening=[])
    async with running(rig):
        await rig.turn("tell me")
        number = next(n for n, text in rig.seat.texts().items() if text == "one two three")
        rig.seat.emit(UtteranceStarted(call_id=CALL, at=11_000, utterance=number))
        rig.seat.emit(fakes.yielded(number, "one", "two three"))
        await rig.settle()
        assert ("interrupted", "one", "two three four five") in rig.conversation.told
        await rig.turn("stop", 2)
        assert rig.said()[-1] == "fine"
    assert "call.interrupted" in rig.store.names()


async def test_time_to_stop_is_measured_where_an_overlap_ended_by_our_silence() -> None:
    stops: list[float | None] = []

    class Measured(fakes.NoMeasures):
        def overlap(self, verdict: str, stop_s: float | None) -> None:
            stops.append(stop_s)

    rig = Rig(measures=Measured())
    async with running(rig):
        for after, verdict in (("yielding", "barge_in"), ("agent", "backchannel")):
            rig.seat.emit(FloorMoved(call_id=CALL, at=1, before="overlap", after=after, cause="", reason=""))
            rig.seat.emit(OverlapEnded(call_id=CALL, at=1, verdict=verdict, duration_ms=640, words=()))
        await rig.settle()
    assert stops == [0.64, None]


async def test_backchannel_behind_a_cut_resumes_the_answer() -> None:
    rig = Rig({"tell me": [Say(text="one two three")]}, opening=[])
    async with running(rig):
        await rig.turn("tell me")
        number = max(rig.seat.texts())
        rig.seat.emit(fakes.yielded(number, "one", "two three"))
        rig.seat.emit(OverlapEnded(call_id=CALL, at=12_000, verdict="barge_in", duration_ms=950, words=()))
        await rig.turn("uh huh", 2)
        assert rig.said()[-1] == "two three"
        assert ("turn", "uh huh") not in rig.conversation.told


async def test_reopened_turn_takes_the_answer_and_its_expectation_back() -> None:
    yes_no = SetExpect(expect=Expect(kind=ExpectKind.YES_NO))
    rig = Rig({"my number is": [Say(text="what number"), yes_no]})
    async with running(rig):
        await rig.turn("my number is")
        rig.seat.emit(TurnReopened(call_id=CALL, at=10_400, turn=1))
        await rig.settle()
        assert ("reopened", 1) in rig.conversation.told
        assert [message.expect["kind"] for message in rig.seat.of(Expecting)][-2:] == ["yes_no", "unknown"]


async def test_key_reaches_worker_brain_and_outbox() -> None:
    rig = Rig({"1": [Say(text="one pressed")]})
    async with running(rig):
        rig.leg.emit(DtmfReceived(leg_id=CALL, digit="1", duration_ms=80))
        await rig.settle()
        assert rig.seat.of(KeyPressed)[0].digit == "1"
        assert rig.said()[-1] == "one pressed"
    assert "call.dtmf" in rig.store.names()


async def test_tool_result_comes_back_to_the_brain() -> None:
    rig = Rig({"look": [Tool(name="find", arguments={"n": 1}, request_id="r1")]})
    async with running(rig):
        await rig.turn("look")
        assert rig.decisions.tools == [("find", {"n": 1}, "r1")]
        assert ("tool", True, {"ok": True}) in rig.conversation.told
        assert rig.said()[-1] == "result is in"


async def test_hangup_waits_until_the_goodbye_was_heard() -> None:
    rig = Rig({"bye": [Say(text="good bye"), Hangup(reason="done")]})
    task = asyncio.ensure_future(rig.session.run())
    await rig.answered()
    rig.seat.play_all()
    await rig.settle()
    await rig.turn("bye")
    assert ("hangup", "agent_hangup") not in rig.leg.did
    rig.seat.emit(fakes.played(max(rig.seat.texts()), "good bye"))
    await asyncio.wait_for(task, 5)
    assert ("hangup", "agent_hangup") in rig.leg.did
    assert rig.store.ended == [("success", "agent_hangup")]


async def test_call_that_we_end_has_its_last_media_figures() -> None:
    rig = Rig({"bye": [Say(text="good bye"), Hangup(reason="done")]})
    rig.leg.quality = fakes.quality(sent=250, received=240)
    task = asyncio.ensure_future(rig.session.run())
    await rig.answered()
    rig.seat.play_all()
    await rig.settle()
    await rig.turn("bye")
    rig.seat.emit(fakes.played(max(rig.seat.texts()), "good bye"))
    await asyncio.wait_for(task, 5)
    (ended,) = [event for event in rig.store.events if event.name == "call.ended"]
    assert (ended.data["media"]["sent"], ended.data["media"]["received"]) == (250, 240)


async def test_failed_transfer_goes_back_to_the_brain() -> None:
    rig = Rig({"person": [Transfer(target="sip:person@example.org")]}, opening=[])
    async with running(rig):
        await rig.turn("person")
        assert ("transfer", "sip:person@example.org") in rig.leg.did
        rig.leg.emit(TransferNotified(leg_id=CALL, outcome=TransferOutcome.FAILED, status=486, reason="busy"))
        await rig.settle()
        assert ("transfer_failed", 486) in rig.conversation.told
        assert rig.said()[-1] == "nobody answers"
        rig.seat.emit(fakes.played(max(rig.seat.texts()), "nobody answers"))
        await rig.turn("person", 2)  # the call goes on: it may be tried again
        assert rig.leg.did.count(("transfer", "sip:person@example.org")) == 2
    (told,) = [event.data for event in rig.store.events if event.name == "call.transfer_failed"]
    assert told == {"status": 486, "reason": "busy"}
    assert "call.transferred" not in rig.store.names()


@pytest.mark.parametrize("is_sent", [False, True])
async def test_transfer_without_an_outcome_is_told_as_failed(is_sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(target: str) -> None:
        raise MediaError("this door cannot transfer")

    rig = Rig({"person": [Transfer(target="sip:person@example.org")]}, opening=[])
    monkeypatch.setattr(transfers, "OUTCOME_WITHIN_S", 0.0)
    if not is_sent:
        monkeypatch.setattr(rig.leg, "transfer", refuse)
    async with running(rig):
        await rig.turn("person")
        await rig.settle()
        status = 408 if is_sent else 500
        assert ("transfer_failed", status) in rig.conversation.told
        assert rig.session.state is CallState.ACTIVE
    (told,) = [event.data for event in rig.store.events if event.name == "call.transfer_failed"]
    assert told["status"] == status


async def test_transfer_to_where_nobody_may_be_sent_is_told_as_failed() -> None:
    rig = Rig({"person": [Transfer(target="tel:+1900")]}, opening=[])
    async with running(rig):
        await rig.turn("person")
        assert ("transfer_failed", 403) in rig.conversation.told
    assert "call.transfer_failed" in rig.store.names()


@pytest.mark.parametrize("is_back", [False, True])
async def test_failed_transfer_of_a_caller_who_has_fallen_silent_ends_the_call(is_back: bool) -> None:
    rig = Rig({"person": [Transfer(target="sip:person@example.org")]}, opening=[])
    async with running(rig):
        await rig.turn("person")
        rig.leg.emit(fakes.quality(sent=10, received=10))
        rig.leg.emit(MediaTimeout(leg_id=CALL, silent_s=15.0))
        rig.leg.emit(fakes.quality(sent=20, received=15 if is_back else 10))
        rig.leg.emit(TransferNotified(leg_id=CALL, outcome=TransferOutcome.FAILED, status=486, reason="busy"))
        await rig.settle()
    assert rig.store.ended == [("success", "caller_hangup") if is_back else ("client_error", "media_timeout")]
    assert "call.transfer_failed" in rig.store.names()


async def test_transfer_that_succeeds_ends_the_call_as_transferred() -> None:
    rig = Rig({"person": [Transfer(target="sip:person@example.org")]}, opening=[])
    async with running(rig):
        await rig.turn("person")
        rig.leg.emit(TransferNotified(leg_id=CALL, outcome=TransferOutcome.SUCCEEDED, status=200, reason="ok"))
        await rig.settle()
    assert rig.store.ended == [("success", "transferred")]
    assert "call.transferred" in rig.store.names()


async def test_hold_rests_the_row() -> None:
    rig = Rig()
    async with running(rig):
        rig.leg.emit(LegHeld(leg_id=CALL))
        rig.leg.emit(LegResumed(leg_id=CALL))
        await rig.settle()
        assert [message.held for message in rig.seat.of(SetHold)] == [True, False]


async def test_sentence_that_ends_as_the_hold_begins_is_not_awaited_forever() -> None:
    rig = Rig({"bye": [Say(text="good bye"), Hangup(reason="done")]}, opening=[])
    task = asyncio.ensure_future(rig.session.run())
    await rig.answered()
    await rig.turn("bye")
    rig.leg.emit(LegHeld(leg_id=CALL))
    await rig.settle()
    rig.seat.emit(fakes.played(max(rig.seat.texts()), "good bye"))
    await asyncio.wait_for(task, 5)
    assert rig.store.ended == [("success", "agent_hangup")]


async def test_transfer_of_a_held_call_is_told_as_failed() -> None:
    rig = Rig({"person": [Transfer(target="sip:person@example.org")]}, opening=[])
    async with running(rig):
        rig.leg.emit(LegHeld(leg_id=CALL))
        await rig.settle()
        await rig.turn("person")
        assert ("transfer", "sip:person@example.org") not in rig.leg.did
        assert ("transfer_failed", 491) in rig.conversation.told


async def test_keys_that_cannot_be_sent_do_not_end_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(digits: str) -> None:
        raise MediaError("no such leg")

    rig = Rig({"press": [SendDtmf(digits="12")]}, opening=[])
    monkeypatch.setattr(rig.leg, "send_dtmf", refuse)
    async with running(rig):
        await rig.turn("press")
        await rig.turn("press", 2)
    assert rig.store.ended == [("success", "caller_hangup")]


async def test_media_timeout_ends_the_call_with_its_reason() -> None:
    rig = Rig()
    task = asyncio.ensure_future(rig.session.run())
    await rig.answered()
    rig.leg.emit(MediaTimeout(leg_id=CALL, silent_s=15.0))
    await asyncio.wait_for(task, 5)
    assert rig.store.ended == [("client_error", "media_timeout")]


async def test_silence_before_the_ack_is_told_as_the_missing_ack() -> None:
    rig = Rig()
    task = asyncio.ensure_future(rig.session.run())
    await rig.settle()
    rig.leg.emit(MediaTimeout(leg_id=CALL, silent_s=30.0))
    await asyncio.wait_for(task, 5)
    assert rig.store.ended == [("client_error", "no_ack")]


async def test_call_moves_to_the_spare_when_its_worker_dies_and_says_the_rest() -> None:
    rig = Rig()
    async with running(rig):
        rig.seat.die()
        await rig.settle()
        assert ("reroute", 7) in rig.leg.did
        assert list(rig.spare.texts().values()) == ["hello there"]


async def test_call_that_waits_for_another_seat_hears_the_hangup() -> None:
    rig = Rig()
    rig.pool.may_move.clear()
    async with running(rig):
        rig.seat.die()
        await rig.settle()
    assert rig.store.ended == [("success", "caller_hangup")]
    assert not any(step[0] == "reroute" for step in rig.leg.did)


async def test_key_and_hold_that_come_while_the_call_moves_reach_the_new_seat() -> None:
    rig = Rig({"5": [Say(text="five")]})
    rig.pool.may_move.clear()
    async with running(rig):
        rig.seat.die()
        await rig.settle()
        rig.leg.emit(DtmfReceived(leg_id=CALL, digit="5", duration_ms=100))
        rig.leg.emit(LegHeld(leg_id=CALL))
        await rig.settle()
        assert ("dtmf", "5") not in rig.conversation.told
        assert rig.session.state is CallState.HELD
        rig.pool.may_move.set()
        await rig.settle()
        assert ("dtmf", "5") in rig.conversation.told
        assert [message.digit for message in rig.spare.of(KeyPressed)] == ["5"]
        assert [message.held for message in rig.spare.of(SetHold)] == [True]
        assert list(rig.spare.texts().values())[-1] == "five"


async def test_keys_that_come_while_the_call_moves_are_told_in_their_order() -> None:
    rig = Rig()
    rig.pool.may_move.clear()
    async with running(rig):
        rig.seat.die()
        rig.leg.emit(DtmfReceived(leg_id=CALL, digit="1", duration_ms=100))
        await rig.settle()
        rig.leg.emit(DtmfReceived(leg_id=CALL, digit="2", duration_ms=100))  # in the inbox before the news of the seat
        rig.pool.may_move.set()
        await rig.settle()
        rig.leg.emit(DtmfReceived(leg_id=CALL, digit="3", duration_ms=100))
        await rig.settle()
    assert [told[1] for told in rig.conversation.told if told[0] == "dtmf"] == ["1", "2", "3"]


@pytest.mark.parametrize("is_there", [True, False])
async def test_recording_is_told_as_ready_only_when_its_file_is_there(is_there: bool) -> None:
    rig = Rig(record=True)
    rig.seat.recording_ready = is_there
    async with running(rig):
        pass
    told = [event.data for event in rig.store.events if event.name == "recording.ready"]
    assert told == ([{"path": "/rec/call-1.wav", "truncated": False, "starts_ms": 0}] if is_there else [])


async def test_call_that_moves_tells_of_what_each_worker_has_recorded(tmp_path: Path) -> None:
    rig = Rig(record=True, folder=str(tmp_path))
    rig.spare.recording_ready = True
    first, second = f"{tmp_path}/call-1.wav", f"{tmp_path}/call-1-2.wav"
    async with running(rig):
        rig.seat.die()
        Path(first).touch()  # a recorder ends its files when its worker dies
        await rig.settle()
    assert rig.pool.recordings == [first, second]
    told = [event.data for event in rig.store.events if event.name == "recording.ready"]
    assert [(data["path"], data["truncated"]) for data in told] == [(first, True), (second, False)]
    assert told[0]["starts_ms"] == 0 <= told[1]["starts_ms"]


async def test_call_ends_as_worker_lost_when_no_seat_is_left() -> None:
    rig = Rig()
    rig.pool.seats.pop()
    task = asyncio.ensure_future(rig.session.run())
    await rig.answered()
    rig.seat.die()
    await asyncio.wait_for(task, 5)
    assert rig.store.ended == [("server_error", "worker_lost")]


async def test_uninterruptible_sentence_that_was_lost_is_said_again() -> None:
    rig = Rig(opening=[Say(text="this is a machine", interruptible=False)])
    async with running(rig):
        rig.seat.emit(
            UtteranceEnded(
                call_id=CALL, at=1, utterance=1, heard_words=0, heard="", unheard="this is a machine",
                complete=False, reason="dropped",
            )
        )  # fmt: skip
        await rig.settle()
        assert rig.said() == ["this is a machine", "this is a machine"]


async def test_disclosure_that_the_voice_could_not_say_is_not_told_as_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: Any, text: str) -> AsyncIterator[Any]:
        raise VoiceFailed("dead")
        yield

    monkeypatch.setattr(fakes.FakeVoice, "speak", fail)
    rig = Rig(opening=[Say(text="this is an assistant", interruptible=False)])
    async with running(rig):
        (begin,) = rig.seat.of(BeginUtterance)
        rig.seat.emit(fakes.played(begin.utterance, ""))
        await rig.settle()
        assert len(rig.seat.of(BeginUtterance)) == 1  # and a dead voice is not asked for ever
    assert "disclosure.completed" not in rig.store.names()


async def test_change_of_the_voice_is_told_in_the_timeline(monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["", "second", "second", ""])
    speak = fakes.FakeVoice.speak

    async def by_turns(self: fakes.FakeVoice, text: str) -> AsyncIterator[Any]:
        name = next(names)
        async for chunk in speak(self, text):
            yield replace(chunk, voice=name)

    monkeypatch.setattr(fakes.FakeVoice, "speak", by_turns)
    rig = Rig()
    async with running(rig):
        for number in range(1, 4):
            await rig.turn("anything", number)
    told = [entry.data for entry in rig.store.timeline if entry.kind == "voice"]
    assert told == [{"name": "second", "is_fallback": True}, {"name": "fake", "is_fallback": False}]


async def test_disclosure_is_told_when_it_was_heard_whole() -> None:
    rig = Rig(opening=[Say(text="this is a machine", interruptible=False)])
    async with running(rig):
        rig.seat.play_all()
        await rig.settle()
    assert "disclosure.completed" in rig.store.names()


async def test_bug_in_the_brain_ends_only_this_call_and_books_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(log=(log := fakes.KeptLog()))

    def broken(turn: Any) -> Any:
        raise RuntimeError(f"bug in {turn.text}")

    monkeypatch.setattr(rig.conversation, "turn", broken)
    task = asyncio.ensure_future(rig.session.run())
    await rig.answered()
    rig.seat.emit(turn_ended("my secret"))
    await asyncio.wait_for(task, 5)
    assert rig.store.ended == [("server_error", "internal_error")]
    assert ("hangup", "internal_error") in rig.leg.did
    ((level, fields),) = log.of("call.failed")
    assert (level, fields["error"]) == ("error", "RuntimeError")
    trace = cast(list[str], fields["trace"])
    assert trace[-1].endswith(" broken")
    assert any(line.startswith("agent/dialogue.py:") for line in trace)
    assert "secret" not in str(log.lines)


async def test_what_the_store_does_not_take_is_told_once_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[tuple[str, int]] = []

    class Counting(fakes.NoMeasures):
        def not_written(self, kind: str, count: int) -> None:
            lost.append((kind, count))

    async def away(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailable

    rig = Rig(log=(log := fakes.KeptLog()), measures=Counting())
    monkeypatch.setattr(rig.store, "update_call", away)
    monkeypatch.setattr(rig.store, "append_timeline", away)
    async with running(rig):
        await rig.turn("one")
        await rig.turn("two", 2)
    assert {fields["kind"] for _, fields in log.of("call.not_written")} == {"update", "timeline"}
    assert len(log.of("call.not_written")) == 2
    ((_, ended),) = log.of("call.ended")
    counted = {kind: sum(count for what, count in lost if what == kind) for kind in ("update", "timeline")}
    assert ended["not_written"] == counted
    assert min(counted.values()) >= 2
