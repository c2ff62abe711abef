"""Between a conversation and a seat: turns in, utterances out, and what becomes of an answer that is cut.

The dialogue owns the conversation, the mouth and the response that is being performed. It prepares an answer while
a turn may be over, uses it when the turn is, throws it away when the turn goes on, and picks an interrupted answer
up again after a false alarm. It decides nothing about the floor: that has happened when it hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from agent.backchannels import only_backchannels
from agent.brain.protocol import (
    Action,
    Conversation,
    DropFillers,
    Hangup,
    Note,
    RemoteConversation,
    Say,
    SendDtmf,
    SetExpect,
    Tool,
    ToolResult,
    Transfer,
    Turn,
)
from agent.expectation import NOTHING_KNOWN, Expect
from agent.mouth import Mouth, Seat, Utterance
from agent.pool.messages import (
    CallerSilent,
    Expecting,
    FloorMoved,
    KeyPressed,
    OverlapEnded,
    SeatEvent,
    TurnContinued,
    TurnEnded,
    TurnPaused,
    TurnReopened,
    TurnStarted,
    TurnWords,
    UtteranceEnded,
    UtteranceStarted,
)
from agent.scheduler.floor.table import FloorState

SAMPLES_PER_MS = 8
SHORT_ALARM_MS = 1500
"""A cut with no words behind it and no longer than this was a false alarm: the answer goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A turn was committed: for the record."""

    turn: int
    text: str
    confidence: float
    reason: str
    early: bool
    """The answer had been prepared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    heard: str
    unheard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoke:
    """An utterance is over: what was heard of it is what is known to have been said."""

    text: str
    heard: str
    complete: bool
    interruptible: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Responded:
    """The first sample of an answer was played out ``latency_ms`` after the caller's last speech."""

    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlapped:
    """An overlap is over: ``barge_in``, ``backchannel`` or ``false_alarm``."""

    verdict: str
    stop_ms: int | None = None
    """From the caller's onset until our voice was cut, where that is what ended the overlap."""


Fact = Turned | Interrupted | Spoke | Responded | Overlapped


class Orders(Protocol):
    """What the dialogue asks of its session."""

    def ask_tool(self, tool: Tool) -> None: ...

    def transfer(self, target: str) -> None: ...

    def hang_up(self, reason: str) -> None: ...

    def fell_quiet(self) -> None:
        """Nothing is being said any more and nothing is about to be."""
        ...

    def send_dtmf(self, digits: str) -> None: ...

    def tell(self, fact: Fact) -> None: ...

    def note(self, kind: str, *, at: int | None, **data: Any) -> None: ...


class Dialogue:
    """One call's conversation on its seat."""

    def __init__(
        self,
        conversation: Conversation,
        mouth: Mouth,
        orders: Orders,
        *,
        call_id: str,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._conversation = conversation
        self._remote = conversation if isinstance(conversation, RemoteConversation) else None
        self._mouth = mouth
        self._orders = orders
        self._call_id = call_id
        self._spawn = spawn
        self._seat: Seat | None = None
        self._expect: Expect = NOTHING_KNOWN
        self._expect_before: Expect = NOTHING_KNOWN
        """What was expected while the last turn was spoken: live again when that turn is reopened."""
        self._order = asyncio.Lock()
        self._performing: set[asyncio.Task[None]] = set()
        self._answering: asyncio.Task[None] | None = None
        """Performs the answer to the last turn or key."""
        self._answers_from = 0
        """Number of the first utterance of that answer."""
        self._preparing: asyncio.Task[None] | None = None
        self._keyed_at = 0
        """Number of the first utterance behind the last key: what is cut by the key ends before it."""
        self._final: Hangup | Transfer | None = None
        self._rest_unheard = ""
        self._last_overlap_ms = 0
        self._left: tuple[str, str] = ("", "")
        """The floor's last move: state before, state after."""
        self._speech_end: int | None = None
        self._turn_base = 0
        self._last_turn = 0

    # --- seat ---

    def attach(self, seat: Seat) -> None:
        """Speak and listen on this seat from now on."""
        self._seat = seat
        self._mouth.attach(seat)
        seat.send(Expecting(call_id=self._call_id, expect=self._expect.to_json()))

    def open(self) -> None:
        """The call is answered: begin."""
        self._perform(self._conversation.opening())
        if self._remote is not None:
            self._spawn(self._listen(self._remote.unprompted()))

    def close(self) -> None:
        """The call is over."""
        if self._remote is not None:
            self._remote.close()

    def seat_lost(self) -> None:
        """The worker died: what was being said is said again, from what nobody has told us was heard."""
        self._turn_base = self._last_turn
        self._forget_prepared()
        self._cancel_response()
        rest = self._mouth.detach()
        if rest:
            self._conversation.interrupted("", rest)

    def seat_back(self, seat: Seat) -> None:
        """A new seat after ``seat_lost``: go on where we were."""
        self.attach(seat)
        self._resume("seat")

    # --- what the floor tells ---

    def on_seat_event(self, event: SeatEvent) -> None:
        """One event of the seat, in order."""
        match event:
            case TurnPaused():
                self._prepare(event)
            case TurnContinued():
                self._forget_prepared()
                self._mouth.forget_prepared()
            case TurnEnded():
                self._turn_ended(event)
            case TurnReopened():
                self._turn_reopened(event)
            case UtteranceStarted():
                self._utterance_started(event)
            case UtteranceEnded():
                self._utterance_ended(event)
            case OverlapEnded():
                self._last_overlap_ms = event.duration_ms
                self._orders.note("overlap", at=event.at, verdict=event.verdict, ms=event.duration_ms)
                cut = event.verdict == "barge_in" and self._left == (FloorState.OVERLAP, FloorState.YIELDING)
                self._orders.tell(Overlapped(verdict=event.verdict, stop_ms=event.duration_ms if cut else None))
            case CallerSilent():
                self._orders.note("silence", at=event.at, seconds=event.seconds)
                self._perform(self._conversation.silence(event.seconds))
            case FloorMoved():
                self._left = (event.before, event.after)
                self._orders.note(
                    "floor", at=event.at, before=event.before, after=event.after, cause=event.cause, why=event.reason
                )
            case TurnStarted():
                self._orders.note("turn", at=event.at, phase="started", turn=event.turn + self._turn_base)
            case TurnWords():
                self._words(event)
            case _:
                pass

    def _words(self, event: TurnWords) -> None:
        self._orders.note("words", at=event.at, text=" ".join(event.words), final=event.final)
        if self._remote is not None and event.words:
            self._remote.partial(self._turn(event))

    def _prepare(self, event: TurnPaused) -> None:
        if self._remote is not None:
            self._stop_preparing()
            self._mouth.forget_prepared()
            self._preparing = self._spawn(self._run_prepared(event, self._remote.prepare(self._turn(event))))
            return
        actions = self._conversation.preview(self._turn(event))
        says: list[Say] = []
        for action in actions or ():
            if isinstance(action, Tool | Transfer | Hangup):
                break
            if isinstance(action, Say) and not action.filler:
                says.append(action)
        if says:
            self._mouth.prepare(event.turn, event.revision, says)

    async def _run_prepared(self, event: TurnPaused, actions: AsyncIterator[Action]) -> None:
        """Render an answer as it comes, up to its first action that can be seen from outside."""
        stream = cast("AsyncGenerator[Action, None]", actions)
        try:
            async for action in stream:
                if isinstance(action, Tool | Transfer | Hangup):
                    return
                if isinstance(action, Say) and not action.filler:
                    self._mouth.prepare_more(event.turn, event.revision, action)
        finally:
            await stream.aclose()

    def _stop_preparing(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None

    def _forget_prepared(self) -> None:
        self._stop_preparing()
        if self._remote is not None:
            self._remote.forget_prepared()

    def _turn_ended(self, event: TurnEnded) -> None:
        self._stop_preparing()
        prepared = self._mouth.take_prepared(event.released)
        turn = self._turn(event)
        self._last_turn = turn.turn
        self._speech_end = event.speech_end
        self._orders.note(
            "turn", at=event.at, phase="ended", turn=turn.turn, text=turn.text, why=event.reason, early=bool(prepared)
        )
        self._orders.tell(
            Turned(
                turn=turn.turn, text=turn.text, confidence=turn.confidence, reason=event.reason, early=bool(prepared)
            )
        )
        if event.reason == "key" or (self._is_answering and not turn.words) or self._is_aside(turn):
            self._forget_prepared()
            self._drop_all(prepared)
            return
        if self._rest_unheard and self._was_false_alarm(turn):
            self._forget_prepared()
            self._drop_all(prepared)
            self._resume("false_alarm")
            return
        self._rest_unheard = ""
        self._expect_before = self._expect
        self._stop_answering()
        self._answering = self._perform(self._conversation.turn(turn), prepared)

    @property
    def _is_answering(self) -> bool:
        """The answer to an earlier turn is still being made."""
        return self._answering is not None and not self._answering.done()

    def _is_aside(self, turn: Turn) -> bool:
        """A "mhm" while the caller waits for the rest of an answer asks for no other one."""
        return self._is_answering and only_backchannels(turn.words)

    def _stop_answering(self) -> None:
        """The caller spoke on: an answer still being made is for words that are not the last."""
        if self._answering is not None and not self._answering.done():
            self._answering.cancel()
            self._mouth.take_back(self._answers_from)
        self._answering = None
        self._answers_from = self._mouth.next_number

    def _was_false_alarm(self, turn: Turn) -> bool:
        if turn.words:
            return only_backchannels(turn.words)
        return self._last_overlap_ms <= SHORT_ALARM_MS

    def _turn_reopened(self, event: TurnReopened) -> None:
        self._orders.note("turn", at=event.at, phase="reopened", turn=event.turn + self._turn_base)
        self._forget_prepared()
        self._cancel_response()
        self._final = None
        self._conversation.reopened(event.turn + self._turn_base)
        self._set_expect(self._expect_before)

    def _utterance_started(self, event: UtteranceStarted) -> None:
        utterance = self._mouth.started(event.utterance)
        if utterance is None:
            return
        self._orders.note("utterance", at=event.at, phase="started", number=event.utterance, text=utterance.say.text)
        if self._remote is not None:
            self._remote.speaking(utterance.say.text)
        if self._speech_end is not None and not utterance.say.filler:
            self._orders.tell(Responded(latency_ms=(event.at - self._speech_end) / SAMPLES_PER_MS))
            self._speech_end = None

    def _utterance_ended(self, event: UtteranceEnded) -> None:
        utterance = self._mouth.ended(event)
        if utterance is None or (utterance.on_turn and event.reason == "dropped"):
            return
        say, complete = utterance.say, event.complete and not utterance.failed
        self._orders.note(
            "utterance",
            at=event.at,
            phase="ended",
            number=event.utterance,
            heard=event.heard,
            unheard=event.unheard,
            why=event.reason,
        )
        self._orders.tell(Spoke(text=say.text, heard=event.heard, complete=complete, interruptible=say.interruptible))
        if complete:
            self._conversation.heard(event.heard, complete=True)
        elif event.reason == "yielded":
            self._cut(event)
        elif event.heard:
            self._conversation.heard(event.heard, complete=False)
        if not event.complete and not say.interruptible and event.reason != "closed":
            self._mouth.say(say)
        self._check_final()

    def _cut(self, event: UtteranceEnded) -> None:
        by_key = event.utterance < self._keyed_at
        # What a key was answered with is begun before we are told what the key has cut.
        self._cancel_response(keep=self._answering if by_key else None)
        if not by_key:
            self._final = None
        self._forget_prepared()
        cut = self._mouth.cut(event, before=self._keyed_at if by_key else None)
        self._rest_unheard = "" if by_key else cut.unheard
        self._orders.tell(Interrupted(heard=cut.heard, unheard=cut.unheard))
        self._conversation.interrupted(cut.heard, cut.unheard)

    def _resume(self, why: str) -> None:
        self._rest_unheard = ""
        actions = _listed(self._conversation.resume()) if self._remote is None else self._remote.go_on()
        self._orders.note("resume", at=None, why=why)
        self._answering = self._perform(actions)

    # --- other inputs ---

    def key(self, digit: str) -> None:
        if self._seat is not None:
            self._seat.send(KeyPressed(call_id=self._call_id, digit=digit))
        self._rest_unheard = ""
        self._keyed_at = self._mouth.next_number
        self._stop_answering()
        self._answering = self._perform(self._conversation.dtmf(digit))

    def tool_result(self, result: ToolResult) -> None:
        self._mouth.drop_fillers()
        self._perform(self._conversation.tool_result(result))

    def transfer_failed(self, status: int, reason: str) -> None:
        self._perform(self._conversation.transfer_failed(status, reason))

    def say(self, say: Say) -> None:
        """Say something that is not the brain's: a filler, an operator's text."""
        self._mouth.say(say)

    @property
    def quiet(self) -> bool:
        """Nothing is being said or about to be."""
        return self._mouth.idle and not self._performing

    # --- performing ---

    def _perform(self, actions: AsyncIterator[Action], prepared: list[Utterance] | None = None) -> asyncio.Task[None]:
        task = self._spawn(self._run(actions, prepared or []))
        self._performing.add(task)
        task.add_done_callback(self._performed)
        return task

    def _performed(self, task: asyncio.Task[None]) -> None:
        self._performing.discard(task)
        if not task.cancelled() and task.exception() is None:
            self._check_final()

    async def _run(self, actions: AsyncIterator[Action], prepared: list[Utterance]) -> None:
        stream = cast("AsyncGenerator[Action, None]", actions)
        try:
            async with self._order:
                async for action in stream:
                    self._do(action, prepared)
                self._drop_all(prepared)
        finally:
            await stream.aclose()

    async def _listen(self, actions: AsyncIterator[Action]) -> None:
        """Do what comes unasked, between the answers."""
        stream = cast("AsyncGenerator[Action, None]", actions)
        try:
            async for action in stream:
                async with self._order:
                    self._do(action, [])
                self._check_final()
        finally:
            await stream.aclose()

    def _do(self, action: Action, prepared: list[Utterance]) -> None:
        match action:
            case Say():
                if prepared and prepared[0].say == action:
                    prepared.pop(0)
                else:
                    self._drop_all(prepared)
                    self._mouth.say(action)
            case DropFillers():
                self._mouth.drop_fillers()
            case SetExpect():
                self._set_expect(action.expect)
            case Tool():
                self._orders.ask_tool(action)
            case Hangup() | Transfer():
                self._final = action
            case SendDtmf():
                self._orders.send_dtmf(action.digits)
            case Note():
                self._orders.note("note", at=None, key=action.key, value=action.value)

    def _set_expect(self, expect: Expect) -> None:
        self._expect = expect
        if self._seat is not None:
            self._seat.send(Expecting(call_id=self._call_id, expect=expect.to_json()))

    def _drop_all(self, prepared: list[Utterance]) -> None:
        for utterance in prepared:
            self._mouth.drop_said(utterance)
        prepared.clear()

    def _cancel_response(self, *, keep: asyncio.Task[None] | None = None) -> None:
        for task in self._performing:
            if task is not keep:
                task.cancel()

    def _check_final(self) -> None:
        if not self.quiet:
            return
        final, self._final = self._final, None
        match final:
            case Hangup():
                self._orders.hang_up(final.reason)
            case Transfer():
                self._orders.transfer(final.target)
            case None:
                self._orders.fell_quiet()

    def _turn(self, event: TurnPaused | TurnEnded | TurnWords) -> Turn:
        return Turn(turn=event.turn + self._turn_base, words=event.words, confidence=event.confidence)


async def _listed(actions: Sequence[Action]) -> AsyncGenerator[Action, None]:
    for action in actions:
        yield action
