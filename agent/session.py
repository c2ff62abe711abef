"""One call, from offer to end: a task group, a lifecycle table, one inbox.

Everything that happens to the call (its leg, its seat, its tools, orders from outside) comes into one inbox and is
handled in order by one loop. What the loop decides goes to the leg, the seat, the dialogue and the scribe. The call
ends in one place, with one result and one reason.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent import end_reasons
from agent.books import Books
from agent.brain.protocol import CallFacts, Say, Tool, ToolResult
from agent.dialogue import Dialogue
from agent.errors import AdmissionRefused, SeatLost
from agent.events.names import EndReason, LogEvent, WebhookEvent
from agent.lifecycle import LifeAction, LifeInput, step
from agent.mouth import Mouth
from agent.pool.messages import SAMPLES_PER_MS, SeatEvent, SetHold
from agent.ports import Decision, SeatLease
from agent.services import Services
from agent.store.interface import CallRecord, CallState
from agent.tasks import Tasks
from agent.tool_calls import run_tool
from agent.voice.protocol import WordSpan
from telephony.errors import TelephonyError
from telephony.events import (
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegHeld,
    LegInfo,
    LegResumed,
    LegRinging,
    MediaQuality,
    MediaTimeout,
    TextAppended,
    TransferNotified,
    TransferOutcome,
)
from telephony.plane import Leg

T = TypeVar("T")
INBOX_LIMIT = 1000
RING_AFTER_S = 0.05
"""A decision that comes sooner needs no ringing before it."""
PLAY_OUT_S = 10.0
TRANSFER_S = 30.0
LAST_WORDS_S = 1.0
"""How long a call that we ended waits for its last media figures."""
RESEAT_S = 10.0
"""How long a call whose worker died waits for another seat."""
MOST_SEAT_LOSSES = 2
"""A call that was on board of that many dead workers may be what kills them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A call that we place: what would otherwise be decided when it comes in."""

    decision: Decision
    tenant: str = "default"
    ring_limit_s: float = 45.0
    """How long the far end may ring."""
    data: dict[str, Any] = field(default_factory=dict)
    """Kept in the record from the start."""


@dataclass(frozen=True, slots=True)
class _SeatGone:
    pass


@dataclass(frozen=True, slots=True)
class _Order:
    """From outside or a timer: ``hangup`` with its reason, ``time_up``, ``played_out``."""

    what: LifeInput
    reason: EndReason


@dataclass(frozen=True, slots=True)
class _TransferOrder:
    """From an operator."""

    target: str


_Inbox = LegEvent | SeatEvent | ToolResult | _SeatGone | _Order | Say | _TransferOrder


class Session:
    """Runs one offered leg to its end."""

    def __init__(self, leg: Leg, services: Services, *, placed: Placed | None = None) -> None:
        """``placed``: the leg is one that ``answer`` dials."""
        self.call_id = leg.info.leg_id
        self.state = CallState.OFFERED
        self.tenant = placed.tenant if placed is not None else "default"
        self._leg = leg
        self._placed = placed
        self._services = services
        self._agent = (placed.decision.agent if placed is not None else "") or services.agent.name
        self._clock = services.clock
        self._books = Books(leg, services, tenant=self.tenant)
        self._inbox: asyncio.Queue[_Inbox] = asyncio.Queue(INBOX_LIMIT)
        self._reason = EndReason.INTERNAL_ERROR
        self._refusal: tuple[int, str, int | None] = (503, "Service Unavailable", None)
        self._seat: SeatLease | None = None
        self._dialogue: Dialogue | None = None
        self._tasks = Tasks()
        self.recorded = asyncio.Event()
        """The call is in the store, or will never be."""
        self._transfers = 0
        self._silent: EndReason | None = None
        """The caller's media stopped during a transfer, and has not come back."""
        self._recording = ""
        self._dial: dict[str, Any] = {}
        """Status and reason of a call that we placed and nobody answered."""

    # --- from outside ---

    @property
    def claim(self) -> tuple[str, int] | None:
        """``(call_id, fence)`` of the record, once there is one."""
        return self._books.claim

    @property
    def is_placed(self) -> bool:
        """We called."""
        return self._placed is not None

    @property
    def view(self) -> dict[str, Any]:
        """The call as it is now, for people who watch it."""
        seat = self._seat.address if self._seat is not None else None
        return {
            "state": self.state.value,
            "worker": seat.worker.rpartition("/")[2].removesuffix(".audio") if seat is not None else "",
            "row": seat.row if seat is not None else None,
            "is_recorded": bool(self._recording),
            **self._books.view,
        }

    def may_transfer(self, target: str) -> bool:
        """Whether the target is one that calls may be transferred to."""
        return any(target.startswith(prefix) for prefix in self._services.pool.transfer_targets)

    def order_say(self, text: str, *, interruptible: bool = True, by: str = "") -> None:
        """Say an operator's text after what is being said. ``by``: who ordered it, for the timeline."""
        self._books.note("order", at=None, what="say", text=text, by=by)
        self._put(Say(text=text, interruptible=interruptible))

    def order_transfer(self, target: str, *, by: str = "") -> None:
        """Blind transfer by an operator."""
        self._books.note("order", at=None, what="transfer", target=target, by=by)
        self._put(_TransferOrder(target))

    def order_hangup(self, reason: EndReason, *, by: str = "") -> None:
        """End the call from outside (operator, drain)."""
        self._books.note("order", at=None, what="hangup", by=by or reason.value)
        self._put(_Order(LifeInput.HANGUP_ASKED, reason))

    def fenced(self) -> None:
        """Somebody else owns this call's record: stop, and write nothing more."""
        self._books.scribe.fenced = True
        self._put(_Order(LifeInput.FAILED, EndReason.GATEWAY_LOST))

    # --- life ---

    async def run(self) -> None:
        """Run the call to its end. Raises nothing but cancellation."""
        try:
            async with self._tasks:
                self._start(self._books.scribe.run())
                self._start(self._read_leg())
                await self._set_up()
                while self.state is not CallState.ENDED:
                    await self._handle(await self._inbox.get())
        except* Exception as group_error:
            self._reason = EndReason.INTERNAL_ERROR
            self._books.log.info(LogEvent.CALL_FAILED, error=repr(group_error.exceptions[0]))
        finally:
            await self._finish()

    async def _set_up(self) -> None:
        info = self._leg.info
        await self._books.open(
            CallRecord(
                call_id=self.call_id,
                tenant=self.tenant,
                agent=self._agent,
                transport=info.transport,
                direction=info.direction.value,
                from_uri=info.from_uri,
                to_uri=info.to_uri,
                state=CallState.OFFERED,
                owner=self._services.gateway,
                fence=0,
                created_at=self._services.wall(),
                data=dict(self._placed.data) if self._placed is not None else {},
            )
        )
        self.recorded.set()
        decision = self._placed.decision if self._placed is not None else await self._decide(info)
        if decision is None:
            return
        if decision.action != "accept":
            self._refuse(EndReason.REFUSED_BY_POLICY, *_REFUSALS[decision.action])
            return
        try:
            seat = await self._services.pool.open_seat(
                self.call_id, self._services.agent.floor, self._record_path(decision)
            )
        except AdmissionRefused as refused:
            self._refuse(EndReason.NO_CAPACITY, 503, refused.reason, refused.retry_after_s)
            return
        self._take_seat(seat)
        self._dialogue = self._new_dialogue(decision)
        self._move(LifeInput.ADMITTED)
        await self._act_start_media()

    async def _decide(self, info: LegInfo) -> Decision | None:
        """What the customer's server says; ``None`` if the caller gave up meanwhile."""
        self._start(self._ring_soon())
        asked_at = self._clock.now()
        decision = await self._while_leg_lives(self._services.decisions.incoming(self.call_id, info))
        if decision is not None:
            self._books.measures.decision(decision.fallback, self._clock.now() - asked_at)
        return decision

    async def _ring_soon(self) -> None:
        """Say that it rings when nothing is decided soon: a caller without any answer gives up or calls twice."""
        await asyncio.sleep(RING_AFTER_S)
        if self.state is CallState.OFFERED:
            with contextlib.suppress(TelephonyError):  # a caller that is gone says so by its event
                await self._leg.ring()

    async def _while_leg_lives(self, asking: Awaitable[Decision]) -> Decision | None:
        """The decision, or ``None`` if the caller gave up before it came."""
        decided = self._start(_awaited(asking))
        gone = self._start(self._inbox.get())
        tasks: set[asyncio.Task[Any]] = {decided, gone}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if gone in done:
            happened = gone.result()
            if isinstance(happened, LegEnded):
                decided.cancel()
                await self._handle(happened)
                return None
            self._put(happened)
        gone.cancel()
        return await decided

    async def _act_start_media(self) -> None:
        assert self._seat is not None
        try:
            await self._leg.answer(self._seat.address)
        except TelephonyError as error:
            reason = EndReason.NOT_ACCEPTABLE
            if self._placed is not None:
                reason, self._dial = EndReason.DIAL_FAILED, {"status": 0, "reason": str(error)}
            self._end(LifeInput.FAILED, reason)
            self._books.log.info(LogEvent.CALL_FAILED, error=str(error))
            return
        if self._placed is not None:  # ringing tones and announcements are no caller: the ears rest until the answer
            self._seat.send(SetHold(call_id=self.call_id, held=True))
            self._start(self._ring_limit(self._placed.ring_limit_s))

    async def _handle(self, item: _Inbox) -> None:
        match item:
            case LegEvent():
                await self._on_leg(item)
            case SeatEvent():
                if self._dialogue is not None:
                    self._dialogue.on_seat_event(item)
            case ToolResult():
                if self._dialogue is not None:
                    self._dialogue.tool_result(item)
            case _SeatGone():
                await self._reseat()
            case _Order():
                self._end(item.what, item.reason)
            case Say():
                if self._dialogue is not None and self.state is CallState.ACTIVE:
                    self._dialogue.say(item)
            case _TransferOrder():
                self.transfer(item.target)

    async def _on_leg(self, event: LegEvent) -> None:
        match event:
            case LegAnswered():
                self._answered()
            case LegRinging():
                self._books.note("leg", at=None, phase="ringing", status=event.status)
            case LegHeld() | LegResumed():
                self._move(LifeInput.HELD if isinstance(event, LegHeld) else LifeInput.RESUMED)
            case DtmfReceived():
                self._books.event(WebhookEvent.CALL_DTMF, digit=event.digit)
                self._books.note("dtmf", at=None, digit=event.digit)
                if self._dialogue is not None:
                    self._dialogue.key(event.digit)
            case MediaTimeout():
                reason = end_reasons.of_silence(event.silent_s, self.state, is_placed=self._placed is not None)
                self._books.log.info(LogEvent.LEG_MEDIA_TIMEOUT, silent_s=event.silent_s)
                if self.state is CallState.TRANSFERRING:  # many telephones send nothing while they are transferred
                    self._silent = reason
                self._end(LifeInput.MEDIA_LOST, reason)
            case TextAppended():
                self._appended(event)
            case MediaQuality():
                self._quality(event)
            case TransferNotified():
                self._transfer_news(event)
            case LegEnded():
                self._leg_ended(event)
            case _:
                pass

    def _appended(self, event: TextAppended) -> None:
        """A client's text: said, or kept in the timeline for whoever reads it."""
        self._books.note("appended", at=None, channel=event.channel, text=event.text)
        if event.channel == "commentary" and self._dialogue is not None and self.state is CallState.ACTIVE:
            self._dialogue.say(Say(text=event.text))

    def _leg_ended(self, event: LegEnded) -> None:
        is_dialling = self._placed is not None and not self._books.was_answered
        if is_dialling and not self._dial:
            self._dial = {"status": event.status, "reason": event.reason}
        self._end(LifeInput.LEG_ENDED, end_reasons.of_leg(event, self.state, is_dialling=is_dialling))

    def _answered(self) -> None:
        if self.state is not CallState.RINGING:
            return
        self._books.answered()
        self._move(LifeInput.ANSWERED)
        if self._placed is not None and self._seat is not None:
            self._seat.send(SetHold(call_id=self.call_id, held=False))
        self._books.started(
            agent=self._agent, row=self._seat.row if self._seat else None, is_placed=self._placed is not None
        )
        self._start(self._time_limit())

    # --- lifecycle ---

    def _move(self, happened: LifeInput) -> None:
        after, actions = step(self.state, happened)
        if after is self.state and not actions:
            self._books.tally.late_news += 1
            return
        self.state = after
        self._books.moved(after, is_stored=after is not CallState.ENDED and happened is not LifeInput.ANSWERED)
        for action in actions:
            self._act(action)

    def _act(self, action: LifeAction) -> None:
        match action:
            case LifeAction.START_DIALOGUE:
                if self._dialogue is not None:
                    self._dialogue.open()
            case LifeAction.HOLD_ROW | LifeAction.RESUME_ROW:
                if self._seat is not None:
                    self._seat.send(SetHold(call_id=self.call_id, held=action is LifeAction.HOLD_ROW))
            case LifeAction.TELL_BRAIN_FAILED:
                pass  # told with its status in _transfer_news
            case LifeAction.PLAY_OUT:
                self._start(self._play_out())
            case _:
                pass  # media, refusal, hang-up and the end are carried out where they can be awaited

    def _end(self, happened: LifeInput, reason: EndReason) -> None:
        if step(self.state, happened) != (self.state, ()):
            if self.state is not CallState.DRAINING or happened is not LifeInput.DRAINED:
                self._reason = reason
            self._move(happened)

    def _refuse(self, reason: EndReason, status: int, text: str, retry_after_s: int | None = None) -> None:
        self._refusal = (status, text, retry_after_s)
        self._books.measures.refused(reason.value)
        self._books.log.info(LogEvent.CALL_REFUSED, reason=reason.value, status=status, why=text)
        self._end(LifeInput.REFUSED, reason)

    async def _finish(self) -> None:
        """The one place where a call ends."""
        self.recorded.set()
        if self._dialogue is not None:
            self._dialogue.close()
        was_answered, talked_s = self._books.was_answered, self._books.talked_s
        if self._seat is None and not was_answered:
            status, text, retry_after_s = self._refusal
            with contextlib.suppress(TelephonyError):
                await self._leg.refuse(status, text, retry_after_s=retry_after_s)
        else:
            with contextlib.suppress(TelephonyError):
                await self._leg.hangup(self._reason.value)
        if self._seat is not None:
            await self._seat.close()
        if was_answered:
            await self._last_words()
        if self._seat is not None and self._seat.recording_ready and was_answered:
            truncated = self._seat.recording_truncated or self._books.tally.reseated > 0
            begins = {"path": self._recording, "truncated": truncated, "starts_ms": self._books.base_ms}
            self._books.event(WebhookEvent.RECORDING_READY, **begins)
            self._books.log.info(LogEvent.RECORDING_READY, path=self._recording, truncated=truncated)
        elif self._recording and was_answered:
            self._books.log.warning(LogEvent.RECORDING_FAILED, path=self._recording)
        await self._books.ended(self._reason, talked_s=talked_s, dial=self._dial)

    async def _last_words(self) -> None:
        """What the edge counted comes when it has closed the leg: after our hang-up, when nobody reads any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                async for event in self._leg.events():
                    if isinstance(event, MediaQuality):
                        self._quality(event)

    # --- seat ---

    def _take_seat(self, seat: SeatLease) -> None:
        self._seat = seat
        self._start(self._read_seat(seat))

    async def _reseat(self) -> None:
        """The worker died: take another seat and go on, or end the call."""
        lost = self._seat
        if lost is None or self.state is CallState.ENDED:
            return
        self._books.tally.reseated += 1
        if self._dialogue is not None:
            self._dialogue.seat_lost()
        if self._books.tally.reseated > MOST_SEAT_LOSSES:
            self._end(LifeInput.FAILED, EndReason.WORKER_LOST)
            return
        self._books.reseated()
        if self._recording:  # what the dead worker's recorder has written stays beside it
            self._recording = f"{self._recording_base}-{self._books.tally.reseated + 1}.wav"
        try:
            async with asyncio.timeout(RESEAT_S):
                seat = await self._services.pool.reseat(lost, self._services.agent.floor, self._recording)
        except (AdmissionRefused, TimeoutError):
            self._end(LifeInput.FAILED, EndReason.WORKER_LOST)
            return
        self._take_seat(seat)
        await self._leg.reroute(seat.address)
        self._books.log.info(LogEvent.CALL_RESEATED, row=seat.row)
        self._books.note("seat", at=None, moved=True)
        if self._dialogue is not None:
            self._dialogue.seat_back(seat)

    def _record_path(self, decision: Decision) -> str:
        wanted = self._services.recording.enabled if decision.record is None else decision.record
        if wanted:
            self._recording = f"{self._recording_base}.wav"
        return self._recording

    @property
    def _recording_base(self) -> str:
        return f"{self._services.recording.folder}/{self.call_id}"

    # --- dialogue's orders ---

    def _new_dialogue(self, decision: Decision) -> Dialogue:
        info = self._leg.info
        facts = CallFacts(
            call_id=self.call_id, from_uri=info.from_uri, to_uri=info.to_uri, variables=decision.variables
        )
        mouth = Mouth(
            self._services.voice,
            call_id=self.call_id,
            on_failure=lambda error: self._books.log.info(LogEvent.VOICE_FAILED, error=error),
            on_words=self._show_words,
        )
        self._start(mouth.run())
        brain = self._services.brain_of(decision.agent) if decision.agent else None
        if brain is not None and self._agent != decision.agent:
            self._agent = decision.agent
            self._books.scribe.update({"agent": self._agent})
        conversation = (brain or self._services.brain).open(facts)
        dialogue = Dialogue(conversation, mouth, self, self._books, call_id=self.call_id, spawn=self._start)
        assert self._seat is not None
        dialogue.attach(self._seat)
        return dialogue

    def _show_words(self, number: int, words: Sequence[WordSpan]) -> None:
        """Words that are rendered, with their times in ms from the utterance's start: not for the record."""
        spans = [[word.text, word.start // SAMPLES_PER_MS, word.end // SAMPLES_PER_MS] for word in words]
        self._books.show("speech", {"number": number, "words": spans})

    def ask_tool(self, tool: Tool) -> None:
        self._start(self._run_tool(tool))

    def transfer(self, target: str) -> None:
        if not self.may_transfer(target):
            self._books.log.info(LogEvent.LEG_TRANSFER, outcome="refused", why="target not allowed")
            if self._dialogue is not None:
                self._dialogue.transfer_failed(403, "target not allowed")
            return
        self._move(LifeInput.TRANSFER_ASKED)
        if self.state is CallState.TRANSFERRING:
            self._transfers += 1
            self._start(self._send_transfer(target, self._transfers))
        elif self.state is CallState.HELD and self._dialogue is not None:
            self._dialogue.transfer_failed(491, "the call is on hold")

    def hang_up(self, reason: str) -> None:
        self._books.note("hangup", at=None, why=reason)
        self._put(_Order(LifeInput.HANGUP_ASKED, EndReason.AGENT_HANGUP))

    def fell_quiet(self) -> None:
        if self.state is CallState.DRAINING:
            self._put(_Order(LifeInput.DRAINED, self._reason))

    def send_dtmf(self, digits: str) -> None:
        self._start(self._send_dtmf(digits))

    # --- tasks ---

    async def _read_leg(self) -> None:
        async for event in self._leg.events():
            await self._inbox.put(event)

    async def _read_seat(self, seat: SeatLease) -> None:
        try:
            async for event in seat.events():
                await self._inbox.put(event)
        except SeatLost:
            await self._inbox.put(_SeatGone())

    async def _run_tool(self, tool: Tool) -> None:
        services = self._services
        await self._inbox.put(
            await run_tool(
                tool, services.decisions, self._books, clock=services.clock, fill=lambda: self._fill(tool.filler)
            )
        )

    def _fill(self, text: str) -> None:
        """Say that a tool takes its time, where the caller hears nothing else."""
        if text and self._dialogue is not None and self._dialogue.quiet:
            self._dialogue.say(Say(text=text, filler=True))

    async def _send_dtmf(self, digits: str) -> None:
        try:
            await self._leg.send_dtmf(digits)
        except TelephonyError as error:  # keys that did not go out are no reason to end a call
            self._books.note("dtmf_failed", at=None, why=str(error))

    async def _send_transfer(self, target: str, number: int) -> None:
        try:
            await self._leg.transfer(target)
        except TelephonyError as error:
            self._transfer_failed(500, str(error))
            return
        await asyncio.sleep(TRANSFER_S)
        if self._transfers == number:  # not a later one
            self._transfer_failed(408, "no outcome")

    def _transfer_news(self, event: TransferNotified) -> None:
        self._books.log.info(LogEvent.LEG_TRANSFER, outcome=event.outcome.value, status=event.status)
        self._books.note("transfer", at=None, outcome=event.outcome.value, status=event.status)
        match event.outcome:
            case TransferOutcome.SUCCEEDED:
                self._books.event(WebhookEvent.CALL_TRANSFERRED, status=event.status)
                self._end(LifeInput.TRANSFER_DONE, EndReason.TRANSFERRED)
            case TransferOutcome.FAILED:
                self._transfer_failed(event.status, event.reason)
            case _:
                pass

    def _transfer_failed(self, status: int, reason: str) -> None:
        if self.state is CallState.TRANSFERRING:
            self._move(LifeInput.TRANSFER_FAILED)
            if self._silent is not None:  # told once only: nobody would end this call any more
                self._end(LifeInput.MEDIA_LOST, self._silent)
            elif self._dialogue is not None:
                self._dialogue.transfer_failed(status, reason)

    async def _ring_limit(self, limit_s: float) -> None:
        await asyncio.sleep(limit_s)
        if self.state is CallState.RINGING:
            self._dial = {"status": 408, "reason": "no_answer"}
            await self._inbox.put(_Order(LifeInput.TIME_UP, EndReason.DIAL_FAILED))

    async def _time_limit(self) -> None:
        await asyncio.sleep(self._services.agent.max_duration_s)
        await self._inbox.put(_Order(LifeInput.TIME_UP, EndReason.MAX_DURATION))

    async def _play_out(self) -> None:
        """Give what is being said a while to be heard; ``fell_quiet`` comes first, mostly."""
        if self._dialogue is not None and not self._dialogue.quiet:
            await asyncio.sleep(PLAY_OUT_S)
        await self._inbox.put(_Order(LifeInput.DRAINED, self._reason))

    # --- small things ---

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of the call: it ends with the call."""
        return self._tasks.start(work)

    def _put(self, item: _Inbox) -> None:
        try:
            self._inbox.put_nowait(item)
        except asyncio.QueueFull:
            self._end(LifeInput.FAILED, EndReason.INTERNAL_ERROR)

    def _quality(self, event: MediaQuality) -> None:
        if self._books.quality(event):
            self._silent = None


async def _awaited(asking: Awaitable[Decision]) -> Decision:
    return await asking


_REFUSALS: dict[str, tuple[int, str]] = {"reject": (603, "Decline"), "busy": (486, "Busy Here")}
