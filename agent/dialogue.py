"""Between a conversation and a seat: turns in, utterances out, and what becomes of an answer that is cut.

The dialogue owns the conversation and what is known of the turn and of an answer that was cut. When the turn is over
it uses the answer that was prepared (``preparing``); it has performed what the brain says (``performing``), and picks
an interrupted answer up again after a false alarm. It decides nothing about the floor: that has happened when it hears
of it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Protocol

from agent.backchannels import only_backchannels
from agent.behaviour import Behaviour
from agent.brain.protocol import (
    Action,
    Conversation,
    DropFillers,
    FollowingConversation,
    Hangup,
    Note,
    RemoteConversation,
    Say,
    SendDtmf,
    SetExpect,
    SpokenConversation,
    Tool,
    ToolResult,
    Transfer,
    Turn,
    Weave,
)
from agent.expectation import NOTHING_KNOWN, Expect
from agent.facts import Interrupted, Overlapped, Responded, Spoke, Teller, Turned
from agent.interrupting import Interrupting
from agent.listening import Listening
from agent.mouth import Mouth, Seat, Utterance
from agent.performing import Performing, Spawn
from agent.pool.messages import (
    SAMPLES_PER_MS,
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
    WeaveText,
)
from agent.preparing import Preparing
from agent.scheduler.floor.table import FloorState
from agent.scheduler.own_speech import OWN

SHORT_ALARM_MS = 1500
"""A cut with no words behind it and no longer than this was a false alarm: the answer goes on."""


class Orders(Protocol):
    """What the dialogue asks of its session."""

    def ask_tool(self, tool: Tool) -> None: ...

    def transfer(self, target: str) -> None: ...

    def hang_up(self, reason: str) -> None: ...

    def fell_quiet(self) -> None:
        """Nothing is being said any more and nothing is about to be."""
        ...

    def send_dtmf(self, digits: str) -> None: ...


class Dialogue:
    """One call's conversation on its seat."""

    def __init__(
        self,
        conversation: Conversation,
        mouth: Mouth,
        orders: Orders,
        teller: Teller,
        *,
        call_id: str,
        spawn: Spawn,
        behaviour: Behaviour = Behaviour(),  # noqa: B008  frozen
    ) -> None:
        self._conversation = conversation
        self._remote = conversation if isinstance(conversation, RemoteConversation) else None
        self._spoken = conversation if isinstance(conversation, SpokenConversation) else None
        self._mouth = mouth
        self._orders = orders
        self._teller = teller
        self._call_id = call_id
        self._performing = Performing(self._do, mouth, spawn=spawn, on_done=self._check_final)
        self._behaviour = behaviour
        self._preparing = Preparing(conversation, mouth, teller, spawn=spawn, is_on=behaviour.prepares)
        self._listening = Listening(behaviour)
        self._interrupting: Interrupting | None = None
        if behaviour.interrupts and isinstance(conversation, FollowingConversation):
            self._interrupting = Interrupting(conversation, behaviour)
        self._seat: Seat | None = None
        self._expect: Expect = NOTHING_KNOWN
        self._expect_before: Expect = NOTHING_KNOWN
        """What was expected while the last turn was spoken: live again when that turn is reopened."""
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
        self._performing.perform(self._conversation.opening())
        if self._remote is not None:
            self._performing.listen(self._remote.unprompted())

    def close(self) -> None:
        """The call is over."""
        if self._remote is not None:
            self._remote.close()

    def seat_lost(self) -> None:
        """The worker died: what was being said is said again, from what nobody has told us was heard."""
        self._turn_base = self._last_turn
        self._preparing.forget()
        self._performing.cancel()
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
                self._paused(event)
            case TurnContinued():
                self._preparing.forget(at=event.at)
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
                self._teller.note("overlap", at=event.at, verdict=event.verdict, ms=event.duration_ms)
                cut = event.verdict == "barge_in" and self._left == (FloorState.OVERLAP, FloorState.YIELDING)
                self._teller.tell(Overlapped(verdict=event.verdict, stop_ms=event.duration_ms if cut else None))
            case CallerSilent():
                self._teller.note("silence", at=event.at, seconds=event.seconds)
                self._performing.perform(self._conversation.silence(event.seconds))
            case FloorMoved():
                self._left = (event.before, event.after)
                self._teller.note(
                    "floor", at=event.at, before=event.before, after=event.after, cause=event.cause, why=event.reason
                )
            case TurnStarted():
                self._listening.turn_started(event.at)
                self._teller.note("turn", at=event.at, phase="started", turn=event.turn + self._turn_base)
            case TurnWords():
                self._words(event)
            case _:
                pass

    def _paused(self, event: TurnPaused) -> None:
        word = self._listening.word_for(event, self._expect) if self._spoken is None else None
        if word is not None and self._mouth.idle:
            self._mouth.say(word)
        self._preparing.begin(event, self._turn(event))

    def _words(self, event: TurnWords) -> None:
        self._teller.note("words", at=event.at, text=" ".join(event.words), final=event.final)
        if not event.words:
            return
        turn = self._turn(event)
        if self._remote is not None:
            self._remote.partial(turn)
        if self._interrupting is not None and self._seat is not None:
            order = self._interrupting.hear(event, turn)
            if order is not None:
                self._seat.send(order)

    def _turn_ended(self, event: TurnEnded) -> None:
        prepared = self._mouth.take_prepared(event.released)
        self._preparing.ended(used=bool(prepared), at=event.at)
        turn = self._turn(event)
        self._last_turn = turn.turn
        self._speech_end = event.speech_end
        self._teller.note(
            "turn", at=event.at, phase="ended", turn=turn.turn, text=turn.text, why=event.reason, early=bool(prepared)
        )
        self._teller.tell(
            Turned(
                turn=turn.turn, text=turn.text, confidence=turn.confidence, reason=event.reason, early=bool(prepared)
            )
        )
        if event.reason == "interrupted" and self._interrupting is not None:
            self._teller.note("interruption", at=event.at, turn=turn.turn, why=self._interrupting.why)
        if event.reason == "key" or self._is_aside(turn):
            self._preparing.forget()
            self._performing.drop(prepared)
            return
        if self._rest_unheard and self._was_false_alarm(turn):
            self._preparing.forget()
            self._performing.drop(prepared)
            if self._behaviour.resumes:
                self._resume("false_alarm")
            return
        self._rest_unheard = ""
        self._expect_before = self._expect
        self._performing.stop_answering()
        self._performing.answer(self._conversation.turn(turn), prepared)

    def _is_aside(self, turn: Turn) -> bool:
        """No words, or a "mhm", while the caller waits for the rest of an answer: asks for no other one."""
        return self._performing.is_answering and (not turn.words or only_backchannels(turn.words))

    def _was_false_alarm(self, turn: Turn) -> bool:
        if turn.words:
            return only_backchannels(turn.words)
        return self._last_overlap_ms <= SHORT_ALARM_MS

    def _turn_reopened(self, event: TurnReopened) -> None:
        self._teller.note("turn", at=event.at, phase="reopened", turn=event.turn + self._turn_base)
        self._preparing.forget()
        self._performing.cancel()
        self._final = None
        self._conversation.reopened(event.turn + self._turn_base)
        self._set_expect(self._expect_before)

    def _own_started(self, event: UtteranceStarted) -> None:
        """A model that speaks has begun to."""
        self._teller.note("utterance", at=event.at, phase="started", number=OWN, text="")
        self._responded(event)

    def _own_ended(self, event: UtteranceEnded) -> None:
        """A stretch of what a model says by itself is over."""
        text = f"{event.heard} {event.unheard}".strip()
        self._note_ended(event)
        self._teller.tell(Spoke(text=text, heard=event.heard, complete=event.complete, interruptible=True))
        if event.complete:
            self._conversation.heard(event.heard, complete=True)
        elif event.reason == "yielded":
            self._teller.tell(Interrupted(heard=event.heard, unheard=event.unheard))
            self._conversation.interrupted(event.heard, event.unheard)
        elif event.heard:
            self._conversation.heard(event.heard, complete=False)
        if self._spoken is not None and event.reason != "closed":
            self._performing.perform(self._spoken.said(text, heard=event.heard))

    def _responded(self, event: UtteranceStarted) -> None:
        if self._speech_end is not None:
            self._teller.tell(Responded(latency_ms=(event.at - self._speech_end) / SAMPLES_PER_MS))
            self._speech_end = None

    def _note_ended(self, event: UtteranceEnded) -> None:
        self._teller.note(
            "utterance",
            at=event.at,
            phase="ended",
            number=event.utterance,
            heard=event.heard,
            unheard=event.unheard,
            why=event.reason,
        )

    def _utterance_started(self, event: UtteranceStarted) -> None:
        if event.utterance == OWN:
            self._own_started(event)
            return
        utterance = self._mouth.started(event.utterance)
        if utterance is None:
            return
        if utterance.say.aside:
            self._listening.said(event.at)
            self._teller.note("backchannel", at=event.at, text=utterance.say.text)
            return
        self._teller.note("utterance", at=event.at, phase="started", number=event.utterance, text=utterance.say.text)
        if self._remote is not None:
            self._remote.speaking(utterance.say.text)
        if not utterance.say.filler:
            self._responded(event)

    def _utterance_ended(self, event: UtteranceEnded) -> None:
        if event.utterance == OWN:
            self._own_ended(event)
            return
        utterance = self._mouth.ended(event)
        if utterance is None or (utterance.on_turn and event.reason == "dropped"):
            return
        if utterance.say.aside:
            self._check_final()
            return
        say, complete = utterance.say, event.complete and not utterance.failed
        self._note_ended(event)
        self._teller.tell(Spoke(text=say.text, heard=event.heard, complete=complete, interruptible=say.interruptible))
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
        self._performing.cancel(keep_answer=by_key)
        if not by_key:
            self._final = None
        self._preparing.forget()
        cut = self._mouth.cut(event, before=self._keyed_at if by_key else None)
        self._rest_unheard = "" if by_key else cut.unheard
        self._teller.tell(Interrupted(heard=cut.heard, unheard=cut.unheard))
        self._conversation.interrupted(cut.heard, cut.unheard)

    def _resume(self, why: str) -> None:
        self._rest_unheard = ""
        actions = _listed(self._conversation.resume()) if self._remote is None else self._remote.go_on()
        self._teller.note("resume", at=None, why=why)
        self._performing.answer(actions)

    # --- other inputs ---

    def key(self, digit: str) -> None:
        if self._seat is not None:
            self._seat.send(KeyPressed(call_id=self._call_id, digit=digit))
        self._rest_unheard = ""
        self._keyed_at = self._mouth.next_number
        self._performing.stop_answering()
        self._performing.answer(self._conversation.dtmf(digit))

    def tool_result(self, result: ToolResult) -> None:
        self._mouth.drop_fillers()
        self._performing.perform(self._conversation.tool_result(result))

    def transfer_failed(self, status: int, reason: str) -> None:
        self._performing.perform(self._conversation.transfer_failed(status, reason))

    def say(self, say: Say) -> None:
        """Say something that is not the brain's: a filler, an operator's text."""
        if self._spoken is None:
            self._mouth.say(say)
            return
        for action in self._spoken.asked_to_say(say):
            self._do(action, [])

    @property
    def quiet(self) -> bool:
        """Nothing is being said or about to be."""
        return self._mouth.idle and self._performing.is_idle

    # --- carrying actions out ---

    def _do(self, action: Action, prepared: list[Utterance]) -> None:
        match action:
            case Say():
                if prepared and prepared[0].say == action:
                    prepared.pop(0)
                else:
                    self._performing.drop(prepared)
                    self._mouth.say(action)
            case Weave():
                if self._seat is not None:
                    self._seat.send(WeaveText(call_id=self._call_id, text=action.text))
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
                self._teller.note("note", at=None, key=action.key, value=action.value)

    def _set_expect(self, expect: Expect) -> None:
        if expect.over and self._interrupting is None:
            expect = replace(expect, over=False)
        self._expect = expect
        if self._seat is not None:
            self._seat.send(Expecting(call_id=self._call_id, expect=expect.to_json()))

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
