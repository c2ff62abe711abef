"""One call, from offer to end: a task group, a lifecycle table, one inbox.

Everything that happens to the call (its leg, its seat, its tools, orders from outside) comes into one inbox and is
handled in order by one loop. What the loop decides goes to the leg, the seat, the dialogue and the scribe. The call
ends in one place, with one result and one reason.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent import end_reasons, reception
from agent.books import Books
from agent.brain.protocol import CallFacts, Say, Tool, ToolResult
from agent.dialogue import Dialogue
from agent.errors import AdmissionRefused, traced
from agent.events.names import EndReason, LogEvent, WebhookEvent
from agent.inbox import Admitted, Inbox, Item, Moved, Order, Refused, SeatGone, TransferFailed, TransferOrder
from agent.lifecycle import LifeAction, LifeInput, step
from agent.mouth import Mouth
from agent.pool.messages import EarsChanged, SeatEvent, SetHold
from agent.ports import Decision, SeatLease
from agent.seating import Seating
from agent.services import Services
from agent.store.interface import CallRecord, CallState
from agent.tasks import Tasks
from agent.tool_calls import run_tool
from agent.transfers import Transfers
from telephony.errors import TelephonyError
from telephony.events import (
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegHeld,
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
PLAY_OUT_S = 10.0
LAST_WORDS_S = 1.0
"""How long a call that we ended waits for its last media figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A call that we place: what would otherwise be decided when it comes in."""

    decision: Decision
    tenant: str = "default"
    ring_limit_s: float = 45.0
    """How long the far end may ring."""
    data: dict[str, Any] = field(default_factory=dict)
    """Kept in the record from the start."""


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
        self._inbox = Inbox(lambda: self._end(LifeInput.FAILED, EndReason.INTERNAL_ERROR))
        self._reason = EndReason.INTERNAL_ERROR
        self._refusal = Refused(EndReason.INTERNAL_ERROR, 503, "Service Unavailable")
        self._seating = Seating(self.call_id, services, media_ms=lambda: self._books.media_ms)
        self._dialogue: Dialogue | None = None
        self._untold: list[Callable[[Dialogue], None]] | None = None
        """While the call moves: what the dialogue is told when that is over, in order."""
        self._is_taken = False
        """The leg was answered (or dialled): from then on it is hung up, not refused."""
        self._tasks = Tasks()
        self.recorded = asyncio.Event()
        """The call is in the store, or will never be."""
        self._transfers = Transfers(leg, self._inbox, allowed=services.pool.transfer_targets, spawn=self._start)
        self._silent: EndReason | None = None
        """The caller's media stopped during a transfer, and has not come back."""
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
        return {"state": self.state.value, **self._seating.view, **self._books.view}

    def may_transfer(self, target: str) -> bool:
        """Whether the target is one that calls may be transferred to."""
        return self._transfers.may_go_to(target)

    def order_say(self, text: str, *, interruptible: bool = True, by: str = "") -> None:
        """Say an operator's text after what is being said. ``by``: who ordered it, for the timeline."""
        self._books.note("order", at=None, what="say", text=text, by=by)
        self._inbox.put(Say(text=text, interruptible=interruptible))

    def order_transfer(self, target: str, *, by: str = "") -> None:
        """Blind transfer by an operator."""
        self._books.note("order", at=None, what="transfer", target=target, by=by)
        self._inbox.put(TransferOrder(target))

    def order_hangup(self, reason: EndReason, *, by: str = "") -> None:
        """End the call from outside (operator, drain)."""
        self._books.note("order", at=None, what="hangup", by=by or reason.value)
        self._inbox.put(Order(LifeInput.HANGUP_ASKED, reason))

    def fenced(self) -> None:
        """Somebody else owns this call's record: stop, and write nothing more."""
        self._books.scribe.fenced = True
        self._inbox.put(Order(LifeInput.FAILED, EndReason.GATEWAY_LOST))

    # --- life ---

    async def run(self) -> None:
        """Run the call to its end. Raises nothing but cancellation."""
        try:
            async with self._tasks:
                self._start(self._books.scribe.run())
                self._start(self._inbox.follow_leg(self._leg))
                await self._record()
                self._start(self._receive())
                while self.state is not CallState.ENDED:
                    await self._handle(await self._inbox.get())
        except* Exception as group_error:
            self._reason = EndReason.INTERNAL_ERROR
            found = traced(group_error)
            self._books.log.error(LogEvent.CALL_FAILED, error=found[0], trace=found[1:])
        finally:
            await self._finish()

    async def _record(self) -> None:
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

    def _receive(self) -> Coroutine[Any, Any, None]:
        if self._placed is not None:
            return reception.seat(self._placed.decision, self._inbox, self._seating)
        decisions, clock = self._services.decisions, self._clock
        return reception.receive(self._leg, self._inbox, self._seating, self._books, decisions=decisions, clock=clock)

    async def _admitted(self, decision: Decision) -> None:
        seat = self._seating.seat
        assert seat is not None
        self._start(self._inbox.follow_seat(seat))
        self._dialogue = self._new_dialogue(decision, seat)
        self._move(LifeInput.ADMITTED)
        self._is_taken = True
        try:
            await self._leg.answer(seat.address)
        except TelephonyError as error:
            reason = EndReason.NOT_ACCEPTABLE
            if self._placed is not None:
                reason, self._dial = EndReason.DIAL_FAILED, {"status": 0, "reason": str(error)}
            self._end(LifeInput.FAILED, reason)
            self._books.log.warning(LogEvent.CALL_FAILED, error=str(error))
            return
        if self._placed is not None:  # ringing tones and announcements are no caller: the ears rest until the answer
            self._hold(True)
            self._start(self._ring_limit(self._placed.ring_limit_s))

    async def _handle(self, item: Item) -> None:
        match item:
            case LegEvent():
                await self._on_leg(item)
            case SeatEvent() | ToolResult() | Say():
                self._on_talk(item)
            case Admitted():
                await self._admitted(item.decision)
            case Refused():
                self._refuse(item)
            case SeatGone():
                self._seat_gone()
            case Moved():
                await self._moved()
            case Order():
                self._end(item.what, item.reason)
            case TransferOrder():
                self.transfer(item.target)
            case TransferFailed():
                self._transfer_failed(item.status, item.reason)

    def _on_talk(self, item: SeatEvent | ToolResult | Say) -> None:
        match item:
            case EarsChanged():
                self._books.note("ears", at=item.at, is_fallback=bool(item.why), why=item.why)
            case SeatEvent():
                if self._dialogue is not None:
                    self._dialogue.on_seat_event(item)
            case ToolResult():
                self._tell(lambda dialogue: dialogue.tool_result(item))
            case Say():
                self._say(item)

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
                self._tell(lambda dialogue: dialogue.key(event.digit))
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
        if event.channel == "commentary":
            self._say(Say(text=event.text))

    def _say(self, say: Say) -> None:
        """Say what is not the brain's, in a call that can hear it."""
        if self.state is CallState.ACTIVE:
            self._tell(lambda dialogue: dialogue.say(say))

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
        if self._placed is not None:
            self._hold(False)
        seat = self._seating.seat
        self._books.started(agent=self._agent, row=seat.row if seat else None, is_placed=self._placed is not None)
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
                self._tell(lambda dialogue: dialogue.open())
            case LifeAction.HOLD_ROW | LifeAction.RESUME_ROW:
                self._hold(action is LifeAction.HOLD_ROW)
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

    def _refuse(self, refused: Refused) -> None:
        self._refusal = refused
        self._books.measures.refused(refused.reason.value)
        self._books.log.info(
            LogEvent.CALL_REFUSED, reason=refused.reason.value, status=refused.status, why=refused.text
        )
        self._end(LifeInput.REFUSED, refused.reason)

    async def _finish(self) -> None:
        """The one place where a call ends."""
        self.recorded.set()
        if self._dialogue is not None:
            self._dialogue.close()
        was_answered, talked_s = self._books.was_answered, self._books.talked_s
        with contextlib.suppress(TelephonyError):
            if self._is_taken:
                await self._leg.hangup(self._reason.value)
            else:
                refusal = self._refusal
                await self._leg.refuse(refusal.status, refusal.text, retry_after_s=refusal.retry_after_s)
        await self._seating.close()
        if was_answered:
            await self._last_words()
            for part in await self._seating.recorded():
                self._books.recorded(part)
        await self._books.ended(self._reason, talked_s=talked_s, dial=self._dial)

    async def _last_words(self) -> None:
        """What the edge counted comes when it has closed the leg: after our hang-up, when nobody reads any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                async for event in self._leg.events():
                    if isinstance(event, MediaQuality):
                        self._quality(event)

    # --- seat ---

    def _seat_gone(self) -> None:
        """The worker died: look for another seat, or end the call."""
        self._books.tally.reseated += 1
        self._untold = []
        if self._dialogue is not None:
            self._dialogue.seat_lost()
        if self._seating.lose():
            self._start(self._find_seat())
        else:
            self._end(LifeInput.FAILED, EndReason.WORKER_LOST)

    async def _find_seat(self) -> None:
        try:
            await self._seating.move()
        except (AdmissionRefused, TimeoutError):
            self._inbox.put(Order(LifeInput.FAILED, EndReason.WORKER_LOST))
        else:
            self._inbox.put(Moved())

    async def _moved(self) -> None:
        """Go on where the call was, and make up for what could not be told to a seat."""
        seat = self._seating.seat
        assert seat is not None
        self._books.reseated()
        self._start(self._inbox.follow_seat(seat))
        await self._leg.reroute(seat.address)
        self._books.log.info(LogEvent.CALL_RESEATED, row=seat.row)
        self._books.note("seat", at=None, moved=True)
        if self.state is CallState.HELD or (self.state is CallState.RINGING and self._placed is not None):
            self._hold(True)
        if self._dialogue is not None:
            self._dialogue.seat_back(seat)
        untold, self._untold = self._untold, None
        for tell in untold or ():
            self._tell(tell)

    def _hold(self, held: bool) -> None:
        """Rest the row, or wake it."""
        self._seating.send(SetHold(call_id=self.call_id, held=held))

    def _tell(self, tell: Callable[[Dialogue], None]) -> None:
        """Tell the dialogue now, or when the call has a seat again."""
        if self._untold is not None:
            self._untold.append(tell)
        elif self._dialogue is not None:
            tell(self._dialogue)

    # --- dialogue's orders ---

    def _new_dialogue(self, decision: Decision, seat: SeatLease) -> Dialogue:
        info = self._leg.info
        facts = CallFacts(
            call_id=self.call_id, from_uri=info.from_uri, to_uri=info.to_uri, variables=decision.variables
        )
        mouth = Mouth(
            self._services.voice,
            call_id=self.call_id,
            on_failure=self._books.voice_failed,
            on_words=self._books.words_rendered,
            on_voice=self._books.voice_changed,
        )
        self._start(mouth.run())
        brain = self._services.brain_of(decision.agent) if decision.agent else None
        if brain is not None and self._agent != decision.agent:
            self._agent = decision.agent
            self._books.scribe.update({"agent": self._agent})
        conversation = (brain or self._services.brain).open(facts)
        dialogue = Dialogue(
            conversation,
            mouth,
            self,
            self._books,
            call_id=self.call_id,
            spawn=self._start,
            behaviour=self._services.agent.behaviour,
        )
        dialogue.attach(seat)
        return dialogue

    def ask_tool(self, tool: Tool) -> None:
        self._start(self._run_tool(tool))

    def transfer(self, target: str) -> None:
        if not self.may_transfer(target):
            self._transfer_refused(403, "target not allowed")
            return
        self._move(LifeInput.TRANSFER_ASKED)
        if self.state is CallState.TRANSFERRING:
            self._transfers.begin(target)
        elif self.state is CallState.HELD:
            self._transfer_refused(491, "the call is on hold")

    def hang_up(self, reason: str) -> None:
        self._books.note("hangup", at=None, why=reason)
        self._inbox.put(Order(LifeInput.HANGUP_ASKED, EndReason.AGENT_HANGUP))

    def fell_quiet(self) -> None:
        if self.state is CallState.DRAINING:
            self._inbox.put(Order(LifeInput.DRAINED, self._reason))

    def send_dtmf(self, digits: str) -> None:
        self._start(self._send_dtmf(digits))

    # --- tasks ---

    async def _run_tool(self, tool: Tool) -> None:
        services = self._services
        result = await run_tool(
            tool, services.decisions, self._books, clock=services.clock, fill=lambda: self._fill(tool.filler)
        )
        self._inbox.put(result)

    def _fill(self, text: str) -> None:
        """Say that a tool takes its time, where the caller hears nothing else."""
        if text and self._dialogue is not None and self._dialogue.quiet:
            self._dialogue.say(Say(text=text, filler=True))

    async def _send_dtmf(self, digits: str) -> None:
        try:
            await self._leg.send_dtmf(digits)
        except TelephonyError as error:  # keys that did not go out are no reason to end a call
            self._books.note("dtmf_failed", at=None, why=str(error))

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
            self._books.event(WebhookEvent.CALL_TRANSFER_FAILED, status=status, reason=reason)
            if self._silent is not None:  # told once only: nobody would end this call any more
                self._end(LifeInput.MEDIA_LOST, self._silent)
            else:
                self._tell(lambda dialogue: dialogue.transfer_failed(status, reason))

    def _transfer_refused(self, status: int, reason: str) -> None:
        """We do not even ask for it."""
        self._books.log.info(LogEvent.LEG_TRANSFER, outcome="refused", status=status, why=reason)
        self._books.event(WebhookEvent.CALL_TRANSFER_FAILED, status=status, reason=reason)
        self._tell(lambda dialogue: dialogue.transfer_failed(status, reason))

    async def _ring_limit(self, limit_s: float) -> None:
        await asyncio.sleep(limit_s)
        if self.state is CallState.RINGING:
            self._dial = {"status": 408, "reason": "no_answer"}
            self._inbox.put(Order(LifeInput.TIME_UP, EndReason.DIAL_FAILED))

    async def _time_limit(self) -> None:
        await asyncio.sleep(self._services.agent.max_duration_s)
        self._inbox.put(Order(LifeInput.TIME_UP, EndReason.MAX_DURATION))

    async def _play_out(self) -> None:
        """Give what is being said a while to be heard; ``fell_quiet`` comes first, mostly."""
        if self._dialogue is not None and not self._dialogue.quiet:
            await asyncio.sleep(PLAY_OUT_S)
        self._inbox.put(Order(LifeInput.DRAINED, self._reason))

    # --- small things ---

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of the call: it ends with the call."""
        return self._tasks.start(work)

    def _quality(self, event: MediaQuality) -> None:
        if self._books.quality(event):
            self._silent = None
