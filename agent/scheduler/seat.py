"""One call on one row: floor, turn, speech and gain, and the events that follow. Pure.

The scheduler calls, in this order and once per frame: ``played_to``, then (in a model step) ``hear_words`` and
``hear``, then ``fill`` unless we ``must_wait``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.expectation import NOTHING_KNOWN, Expect
from agent.model.protocol import HeardWords
from agent.pool.messages import (
    SAMPLES_PER_MS,
    BeginUtterance,
    CallerSilent,
    FloorMoved,
    InterruptTurn,
    OverlapEnded,
    SeatMessage,
    TurnContinued,
    TurnEnded,
    TurnPaused,
    TurnReopened,
    TurnStarted,
    TurnWords,
    UtteranceAudio,
    UtteranceEnded,
    UtteranceStarted,
)
from agent.scheduler.aside import Aside
from agent.scheduler.floor.complete import Completeness, completeness
from agent.scheduler.floor.machine import AgentSide, FloorMachine
from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.floor.table import FloorAction, FloorInput, FloorState
from agent.scheduler.own_speech import OWN, OwnSpeech
from agent.scheduler.speech import FADE_SAMPLES, Ended, Gain, SpeechBuffer
from agent.scheduler.turn import TurnText
from agent.voice.protocol import WordSpan
from telephony.link import AHEAD, ALL_SENT, FRAME_SAMPLES

ACTIVE_POWER: Final = float((32768 * 10 ** (-45 / 20)) ** 2)
"""Mean square of a frame at -45 dBFS: a speaking model's frame above it is speech (duplex.md 7.1)."""
MODEL_HANGOVER_FRAMES: Final = 15
"""A speaking model is done after 300 ms below that level."""
UNCONFIRMED_FRAMES: Final = 25
"""Audio handed out whose leaving is not confirmed within 500 ms is given up: the gateway does not send."""
NO_FRAME: Final = -1
"""Silence that is no frame of a model's own."""
MOST_WOVEN: Final = 8
"""Texts that may wait for a model's phrase to end; the oldest goes."""
PATIENCE_FRAMES: Final = 15
"""Audio handed out that the gateway has not taken within 300 ms is lost on its way: it is waited for no longer."""


class Seat:
    """State of one claim on one row. ``emit`` takes its events."""

    def __init__(
        self,
        call_id: str,
        *,
        row: int,
        number: int,
        profile: FloorProfile,
        delay: int,
        emit: Callable[[SeatMessage], None],
    ) -> None:
        self.call_id = call_id
        self.row = row
        self.number = number
        self.epoch = 0
        self.frame_no = 0
        """Number of the next frame that is handed out."""
        self.played = 0
        """Frames that have left on the wire."""
        self.on_hold = False
        """The front says so: timers rest, our voice waits."""
        self.held = False
        """``on_hold``, or the leg's own hold in this frame."""
        self.expect = NOTHING_KNOWN
        self.silenced = False
        """A speaking model was cut: its audio is dropped until the floor is free."""
        self.may_prepare = True
        self.floor = FloorMachine(profile, delay=delay)
        self.speech = SpeechBuffer()
        self.aside = Aside()
        self.own = OwnSpeech()
        """Of a model that speaks."""
        self._weave: deque[str] = deque(maxlen=MOST_WOVEN)
        self.turn = TurnText()
        self.gain = Gain(profile.duck_db)
        self._emit = emit
        self._us = AgentSide()
        self._complete = Completeness.UNKNOWN
        self._fade = np.zeros(FADE_SAMPLES, np.int16)
        self._fading = False
        self._cut_frame = 0
        self._taken = 0
        """Frames that the gateway has sent or will never send."""
        self._waited = 0
        self._rest_samples = profile.rest_after_yield_ms * SAMPLES_PER_MS
        self._rests_until = 0
        self._unconfirmed = 0
        self._model_active = 0
        self._overlap_open = False
        self._interrupt: InterruptTurn | None = None
        """The brain wants the floor, if the caller goes on with these words."""
        self._released: tuple[int, int] | None = None
        """Turn and revision whose held answer was let go: the rest of that answer may still come."""
        self._actions: dict[FloorAction, Callable[[FloorInput, str], None]] = {
            FloorAction.OPEN_TURN: self._open_turn,
            FloorAction.END_TURN: self._end_turn,
            FloorAction.REOPEN_TURN: self._reopen_turn,
            FloorAction.PREPARE: self._prepare,
            FloorAction.DROP_PREPARED: self._drop_prepared,
            FloorAction.DUCK: self._duck,
            FloorAction.RESTORE: self._restore,
            FloorAction.CUT: self._cut,
            FloorAction.CLOSE_OVERLAP: self._close_overlap,
            FloorAction.ASK_ABOUT_SILENCE: self._ask_about_silence,
        }

    def skip(self, samples: int) -> None:
        """Media time in which all timers rest: a hold, or a gateway that stood still."""
        self.floor.skip(samples)

    def judge_overlaps(self, judged: bool) -> None:
        """Whether the ears judge sounds over our voice by more than words."""
        self._us.judged = judged

    @property
    def at(self) -> int:
        """Media time in samples since the seat's first frame."""
        return self.floor.now

    # --- from the front ------------------------------------------------------------------------------------

    def begin_utterance(self, message: BeginUtterance) -> None:
        if message.aside:
            self._tell_ended(self.aside.begin(message.utterance))
            return
        self._tell_ended(
            self.speech.begin(
                message.utterance,
                interruptible=message.interruptible,
                on_turn=message.on_turn,
                on_revision=message.on_revision,
            )
        )
        if message.on_turn:
            self._place_held(message)

    def _place_held(self, message: BeginUtterance) -> None:
        """An answer to a turn that is over already: the rest of one that was released goes behind it, others drop."""
        answers, turn = (message.on_turn, message.on_revision), self.turn
        if self.floor.turn_open and answers == (turn.number, turn.revision):
            return
        if answers == self._released:
            self._tell_ended(self.speech.release(*answers)[1])
        else:
            self._tell_ended(self.speech.drop(message.utterance)[1])

    def add_audio(self, message: UtteranceAudio) -> None:
        words = [WordSpan(text=w[0], start=w[1], end=w[2], clause=w[3]) for w in message.words]
        pcm = np.frombuffer(message.pcm, "<i2")
        if message.utterance == self.aside.number:
            self._tell_ended(self.aside.append(pcm, words, last=message.last))
            return
        self._tell_ended(self.speech.append(message.utterance, pcm, words, last=message.last))

    def drop_utterance(self, number: int) -> None:
        if number == self.aside.number:
            self._tell_ended(self.aside.give_up())
            return
        under_way, ended = self.speech.drop(number)
        if under_way:
            self._bump_epoch()
        self._tell_ended(ended)

    def expects(self, expect: Expect) -> None:
        self.expect = expect
        self._judge_words()

    def interrupt(self, message: InterruptTurn) -> None:
        """See ``InterruptTurn``; the latest one counts."""
        self._interrupt = message

    def press_key(self, digit: str) -> None:
        floor = self.floor
        if floor.state in (FloorState.AGENT, FloorState.OVERLAP):
            if floor.turn_open:
                self._move(FloorInput.TURN_ENDED, "key")
            elif self.speech.is_interruptible:
                self._move(FloorInput.KEY_PRESSED, "key")
        elif floor.turn_open:
            self._move(FloorInput.KEY_PRESSED, "key")

    def close(self) -> None:
        """The call is over: every utterance gets its end."""
        self._tell_ended(self.speech.cut("closed") + self.aside.close("closed") + self.own.cut("closed"))

    # --- a model that speaks -------------------------------------------------------------------------------

    @property
    def is_hushed(self) -> bool:
        """The floor is not the model's, or another voice of ours has it: inside, too, the model is silent."""
        return self.silenced or self.speech.has_audio or self.speech.is_busy

    def weave(self, text: str) -> None:
        """Have the model say ``text`` when a phrase of its own is over and the caller is silent."""
        self._weave.append(text)

    def next_woven(self) -> str | None:
        """What the model is to say next, now that it may; ``None`` where it may not."""
        free = self.floor.state in (FloorState.OPEN, FloorState.AGENT) and not self.floor.turn_open
        return self._weave.popleft() if self._weave and free and self.own.is_at_boundary else None

    # --- once per frame ------------------------------------------------------------------------------------

    def played_to(self, played: int, sent: int = ALL_SENT, taken: int = 0) -> None:
        """Frames below ``played`` have left on the wire, but for holes, and none below ``taken`` still will.

        The numbers are those of ``InBatch``.
        """
        self._taken = max(self._taken, taken, played)
        if played <= self.played:
            return
        if self.floor.state is FloorState.AGENT:
            self._us.answer_heard += FRAME_SAMPLES * (played - self.played)
        self.played = played
        begun, ended = self.speech.played_to(played, sent)
        if begun:
            self._emit(UtteranceStarted(call_id=self.call_id, at=self.at, utterance=begun))
        if self.aside.number:
            self._aside_played_to(played, sent)
        own_begun, own_ended = self.own.played_to(played, sent)
        if own_begun:
            self._emit(UtteranceStarted(call_id=self.call_id, at=self.at, utterance=OWN))
        if ended or own_ended:
            self._tell_ended(ended + own_ended)

    def _aside_played_to(self, played: int, sent: int) -> None:
        begun, ended = self.aside.played_to(played, sent)
        if begun:
            self._emit(UtteranceStarted(call_id=self.call_id, at=self.at, utterance=begun))
        self._tell_ended(ended)

    def hear_words(self, heard: HeardWords) -> None:
        """What the ears understand. Without an open turn it belongs to the speech that is under way, if any."""
        floor = self.floor
        is_late = not floor.turn_open and not floor.speaking and floor.state is not FloorState.OVERLAP
        if floor.runs_on or is_late:
            self.turn.pass_over(heard)
            return
        if not self.turn.update(heard) or not floor.turn_open:
            return
        self._judge_words()
        self._tell_words()
        if floor.paused:
            self._tell_ended(self.speech.drop_held(self.turn.number, keep_revision=self.turn.revision))
            self._prepare(FloorInput.CALLER_PAUSED, "")

    def hear(self, step: int, p_speech: float, p_end: float, p_take: float, p_back: float) -> None:
        """One model step of ``step`` samples: scores to floor."""
        us = self._us
        us.interruptible = self.speech.is_interruptible
        us.clear = self.played > self._cut_frame
        found = self.floor.hear(step, p_speech, p_end, p_take, p_back, self._complete, us)
        if found is not None:
            self._move(*found)
        elif self._interrupt is not None:
            self._interrupt_turn(self._interrupt)

    def _interrupt_turn(self, wanted: InterruptTurn) -> None:
        """Take the floor while the caller speaks; one who pauses may be about to put it right."""
        floor, turn = self.floor, self.turn
        if not floor.turn_open or (turn.number, turn.revision) != (wanted.turn, wanted.revision):
            self._interrupt = None
        elif floor.state is FloorState.CALLER and not floor.paused and floor.now >= wanted.at:
            self._interrupt = None
            self._move(FloorInput.AGENT_INTERRUPTS, wanted.reason)

    def must_wait(self, *, enough: bool) -> bool:
        """One more frame would only be delay where ``enough`` wait, or push out another there. Once per frame."""
        on_its_way = self.frame_no - max(self._taken, self._cut_frame)
        if on_its_way < AHEAD:
            self._waited = 0
            return enough and on_its_way > 0
        self._waited += 1
        return self._waited <= PATIENCE_FRAMES

    def fill(
        self, out: NDArray[np.int16], model_pcm: NDArray[np.int16] | None = None, model_frame: int = NO_FRAME
    ) -> bool:
        """Hand out one frame into ``out`` ``(160,)``; true if our voice sounds in it.

        ``model_frame``: which frame of a model's own ``model_pcm`` is.
        """
        frame_no, self.frame_no = self.frame_no, self.frame_no + 1
        if self.held:
            out.fill(0)
            return False
        floor, speech = self.floor, self.speech
        sounds = False
        if self.aside.number and self._fill_from_aside(out, frame_no):
            return True
        if floor.state is FloorState.OPEN:
            if speech.has_audio and floor.now >= self._rests_until:
                self._move(FloorInput.AGENT_STARTED, "utterance")
            elif model_pcm is not None and self._model_sounds(model_pcm):
                self._move(FloorInput.AGENT_STARTED, "model speaks")
        if floor.state is FloorState.AGENT or floor.state is FloorState.OVERLAP:
            waits = floor.turn_open and not speech.is_busy  # nothing new begins inside a caller's turn
            sounds = not waits and speech.next_frame(out, frame_no)
            if sounds:
                self._unconfirmed, self._fading = 0, False
                self._tell_ended(self.own.stop())
                self.gain.apply(out)
                return True
            if not self._after_speech(model_pcm):
                out.fill(0)
                return False
        if model_pcm is not None:
            return self._fill_from_model(out, model_pcm, frame_no, model_frame)
        out.fill(0)
        if self._fading:
            self._fading = False
            out[:FADE_SAMPLES] = self._fade
        elif floor.state is FloorState.OPEN:
            self._starve()
        return False

    def _fill_from_aside(self, out: NDArray[np.int16], frame_no: int) -> bool:
        sounds, over = self.aside.next_frame(out, frame_no, self.floor)
        self._tell_ended(over)
        return sounds

    # --- speech --------------------------------------------------------------------------------------------

    def _after_speech(self, model_pcm: NDArray[np.int16] | None) -> bool:
        """Nothing to hand out while we have the floor. True: look further for something to fill the frame with."""
        speech, floor = self.speech, self.floor
        if model_pcm is not None and (self._model_sounds(model_pcm) or self._model_active):
            return True
        if speech.is_busy:
            self._unconfirmed += 1
            if self._unconfirmed >= UNCONFIRMED_FRAMES:
                self._tell_ended(speech.abandon_leaving() + self.own.abandon())
            self._starve()
            return False
        self.gain.reset()
        played_out = FloorInput.PLAYED_OUT_IN_TURN if floor.turn_open else FloorInput.PLAYED_OUT
        self._move(played_out, "all was played out")
        return True

    def _starve(self) -> None:
        if ended := self.speech.starve():
            self._tell_ended(ended)

    def _model_sounds(self, pcm: NDArray[np.int16]) -> bool:
        """A speaking model's frame is speech, or follows speech closely."""
        if self.silenced:
            if self.floor.state is not FloorState.OPEN:
                return False
            self.silenced = False
        samples = pcm.astype(np.float32)
        if float(samples @ samples) / len(pcm) >= ACTIVE_POWER:
            self._model_active = MODEL_HANGOVER_FRAMES
            return True
        self._model_active = max(0, self._model_active - 1)
        return False

    def _fill_from_model(self, out: NDArray[np.int16], pcm: NDArray[np.int16], frame_no: int, model_frame: int) -> bool:
        if self.silenced:
            out.fill(0)
            if self._fading:
                self._fading = False
                out[:FADE_SAMPLES] = pcm[:FADE_SAMPLES] * np.linspace(self.gain.now, 0.0, FADE_SAMPLES)
            return False
        out[:] = pcm
        self.gain.apply(out)
        sounds = self._model_active > 0
        if not sounds:
            self._tell_ended(self.own.stop())
        elif model_frame != NO_FRAME:
            self.own.hand(frame_no, model_frame)
        return sounds

    def _bump_epoch(self) -> None:
        self.epoch += 1
        self._cut_frame = self.frame_no
        self._unconfirmed = 0

    def _tell_ended(self, ended: list[Ended]) -> None:
        for e in ended:
            self._emit(
                UtteranceEnded(
                    call_id=self.call_id,
                    at=self.at,
                    utterance=e.utterance,
                    heard_words=e.heard_words,
                    heard=e.heard,
                    unheard=e.unheard,
                    complete=e.complete,
                    reason=e.reason,
                )
            )

    # --- floor ---------------------------------------------------------------------------------------------

    def _move(self, cause: FloorInput, reason: str) -> None:
        floor = self.floor
        before = floor.state
        actions = floor.apply(cause)
        if floor.state is not before or cause is FloorInput.FLOOR_CLAIMED:
            self._emit(
                FloorMoved(
                    call_id=self.call_id,
                    at=self.at,
                    before=before.value,
                    after=floor.state.value,
                    cause=cause.value,
                    reason=reason,
                )
            )
        for action in actions:
            self._actions[action](cause, reason)

    def _open_turn(self, cause: FloorInput, reason: str) -> None:
        if cause is FloorInput.FLOOR_CLAIMED:
            self._tell_ended(self.speech.cut_waiting("yielded"))
        self.floor.open_turn(reopened=False)
        self.turn.begin()
        self._emit(TurnStarted(call_id=self.call_id, at=self.at, turn=self.turn.number))
        self._judge_words()
        if self.turn.words:
            self._tell_words()

    def _end_turn(self, cause: FloorInput, reason: str) -> None:
        by_us = cause is FloorInput.AGENT_INTERRUPTS
        why = "interrupted" if by_us else {"max_turn": "backstop"}.get(reason, reason)
        self.floor.end_turn(may_reopen=reason not in ("max_turn", "key") and not by_us, runs_on=by_us)
        turn = self.turn
        turn.end(runs_on=by_us)
        self._complete = Completeness.UNKNOWN
        self._us.answer_heard = 0
        released, dropped = self.speech.release(turn.number, turn.revision)
        self._released = (turn.number, turn.revision) if released else None
        self._tell_ended(dropped)
        self._emit(
            TurnEnded(
                call_id=self.call_id,
                at=self.at,
                turn=turn.number,
                revision=turn.revision,
                words=turn.words,
                confidence=turn.confidence,
                reason=why,
                speech_end=self.floor.last_speech,
                released=released,
            )
        )

    def _reopen_turn(self, cause: FloorInput, reason: str) -> None:
        if cause is FloorInput.TURN_REOPENED and self.floor.state is FloorState.CALLER:
            self._tell_ended(self.speech.cut("reopened"))  # an answer that has not begun to sound
        self._released = None
        self.floor.open_turn(reopened=True)
        self.turn.reopen()
        self._judge_words()
        self._emit(TurnReopened(call_id=self.call_id, at=self.at, turn=self.turn.number))

    def _prepare(self, cause: FloorInput, reason: str) -> None:
        if not self.may_prepare:
            return
        turn = self.turn
        self._emit(
            TurnPaused(
                call_id=self.call_id,
                at=self.at,
                turn=turn.number,
                revision=turn.revision,
                words=turn.words,
                confidence=turn.confidence,
            )
        )

    def _drop_prepared(self, cause: FloorInput, reason: str) -> None:
        self._tell_ended(self.speech.drop_held(self.turn.number))
        self._emit(TurnContinued(call_id=self.call_id, at=self.at, turn=self.turn.number))

    def _duck(self, cause: FloorInput, reason: str) -> None:
        self.gain.duck()
        self._overlap_open = not self.floor.turn_open and cause is FloorInput.CALLER_STARTED

    def _restore(self, cause: FloorInput, reason: str) -> None:
        self.gain.restore()

    def _cut(self, cause: FloorInput, reason: str) -> None:
        """Silence from this very step on; what was heard is fixed now."""
        self._bump_epoch()
        self._released = None
        self._fade.fill(0)
        why = "reopened" if cause is FloorInput.TURN_REOPENED else "yielded"
        ended = self.speech.cut(why, fade=self._fade, gain=self.gain.now)
        self._fading, self.silenced, self._model_active = True, True, 0
        if cause is not FloorInput.KEY_PRESSED:  # a key is no voice to give way to
            self._rests_until = self.floor.now + self._rest_samples
        self.gain.reset()
        self._tell_ended(ended + self.own.cut(why))

    def _close_overlap(self, cause: FloorInput, reason: str) -> None:
        """Say what the overlap was; words of one that was no turn are forgotten."""
        floor, turn = self.floor, self.turn
        if cause in (FloorInput.FLOOR_TAKEN, FloorInput.FLOOR_CLAIMED, FloorInput.KEY_PRESSED):
            verdict = "barge_in"
        elif not self._overlap_open:
            return
        elif cause is FloorInput.BACKCHANNEL or turn.has_new_words:
            verdict = "backchannel"
        else:
            verdict = "false_alarm"
        self._overlap_open = False
        words = turn.words if turn.has_new_words else ()
        until = floor.now if floor.speaking else floor.last_speech
        duration_ms = max(0, until - floor.overlap_from) // SAMPLES_PER_MS
        self._emit(
            OverlapEnded(call_id=self.call_id, at=self.at, verdict=verdict, duration_ms=duration_ms, words=words)
        )
        if verdict != "barge_in":
            turn.clear()

    def _ask_about_silence(self, cause: FloorInput, reason: str) -> None:
        floor = self.floor
        silent = floor.now - max(floor.floor_free_at, floor.last_speech)
        self._emit(CallerSilent(call_id=self.call_id, at=self.at, seconds=silent / (1000 * SAMPLES_PER_MS)))

    def _judge_words(self) -> None:
        self._complete = completeness(self.expect, self.turn.words)

    def _tell_words(self) -> None:
        turn = self.turn
        self._emit(
            TurnWords(
                call_id=self.call_id,
                at=self.at,
                turn=turn.number,
                revision=turn.revision,
                words=turn.words,
                confidence=turn.confidence,
                final=turn.final,
            )
        )
