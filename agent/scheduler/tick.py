"""The scheduler: plan -> step -> commit, for all rows of one worker. Pure: arrays and messages in and out.

``step`` is called when the audio of one phase has come and answers it in the same call; ``conceal`` when it has
not come in time. Nothing here waits, locks, logs or does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ConfigError, ModelError, traced
from agent.expectation import Expect
from agent.model.baseline import fallback_of
from agent.model.protocol import DuplexModel, HasSpeaker, ModelSpec, Persona, StepInput, StepOutput
from agent.pool.messages import (
    SAMPLES_PER_MS,
    AgentText,
    BeginUtterance,
    CloseSeat,
    DropUtterance,
    EarsChanged,
    Expecting,
    InterruptTurn,
    KeyPressed,
    OpenSeat,
    SeatClosed,
    SeatMessage,
    SeatOpened,
    SeatRefused,
    SetHold,
    UtteranceAudio,
    WeaveText,
)
from agent.scheduler.admission import Admission, Degradation
from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.lockstep import CONCEAL_FADE
from agent.scheduler.played import PlayedAudio
from agent.scheduler.rows import RowTable
from agent.scheduler.seat import NO_FRAME, Seat
from agent.scheduler.speaker_rows import SpeakerRows
from telephony.link import FRAME_SAMPLES, RESTARTED, InBatch, InFlag, OutBatch, OutFlag

MAX_CONCEALED: Final = 10
"""Frames in a row (200 ms) for which a row that sends nothing is stepped on concealed audio."""

Bools = NDArray[np.bool_]
Samples = NDArray[np.int16]


@dataclass(slots=True)
class Group:
    """Rows whose audio comes in one message: one phase of one link."""

    next_tick: int
    rows: NDArray[np.intp]
    concealed: int = 0
    """Messages in a row that did not come in time."""


@dataclass(slots=True)
class Counters:
    """What has happened since the start."""

    late_batches: int = 0
    concealed_rows: int = 0
    """Row-steps on concealed audio."""
    dropped_rows: int = 0
    """Frames whose time had been stepped already when they came."""
    stale_rows: int = 0
    """Frames of claims that are over."""
    failed_rows: int = 0
    """Seats given up because their own code raised."""
    floor_ignored: int = 0
    errors: list[str] = field(default_factory=list)
    """The last few failures, for the log."""


class Scheduler:
    """All rows of one model. One owner: the worker's thread."""

    def __init__(self, model: DuplexModel, *, rows: int, admission: Admission) -> None:
        spec = model.spec
        _check(spec)
        self.model = model
        self.admission = admission
        self.table = RowTable(rows)
        self.counters = Counters()
        self._fallback = fallback_of(model)
        self.events: list[SeatMessage] = []
        """Answers and events since they were last taken."""
        self.frames = spec.step_ms // 20
        """Frames of one model step."""
        self._delay = spec.algorithmic_delay_ms * SAMPLES_PER_MS
        self._groups: dict[tuple[int, int], Group] = {}
        n = self.frames * FRAME_SAMPLES
        self._in = StepInput(
            pcm=np.zeros((rows, n), np.int16),
            own=np.zeros((rows, n), np.int16),
            mask=np.zeros(rows, np.bool_),
            reset=np.zeros(rows, np.bool_),
            lost=np.zeros(rows, np.bool_),
            speaking=np.zeros(rows, np.bool_),
        )
        self._pending_reset = np.zeros(rows, np.bool_)
        self._pending_expects: dict[int, Expect] = {}
        self._ours = PlayedAudio(rows)
        self.speaker: SpeakerRows | None = None
        """A speaker beside the ears, where there is one."""
        if isinstance(model, HasSpeaker):
            _check(model.speaker.spec)
            self.speaker = SpeakerRows(model.speaker, self.table, rows=rows, fail=self._fail)
        self._model_pcm = np.zeros((rows, n), np.int16) if spec.emits_pcm and self.speaker is None else None
        self._out_pcm = np.zeros((rows, FRAME_SAMPLES), np.int16)
        self._out_rows = list(self._out_pcm)

    @property
    def last_own(self) -> Samples:
        """``[rows, 160]`` our own audio as played in each row's last frame (for recordings)."""
        return self._ours.last

    # --- control -------------------------------------------------------------------------------------------

    def open(self, message: OpenSeat) -> None:
        """Seat a call, or refuse it; the answer is among ``events``."""
        self.settle()
        row = self.table.free_row()
        reason = self.admission.refusal(len(self.table))
        if self.table.find(message.call_id) is not None:
            reason = "call_has_seat"
        if reason is None and row is None:
            reason = "pool_full"
        if reason is None:
            try:
                profile, persona = FloorProfile.from_json(message.profile), _persona(message.persona)
            except ConfigError:
                reason = "bad_profile"
        if reason is not None or row is None:
            self.events.append(SeatRefused(call_id=message.call_id, reason=reason or "pool_full"))
            return
        try:
            self.model.admit(row, persona)
        except Exception as error:  # one call's fault must not touch the other rows
            self._note(error)
            self.events.append(SeatRefused(call_id=message.call_id, reason="model_failed"))
            return
        number = self.table.take_number()
        seat = Seat(
            message.call_id, row=row, number=number, profile=profile, delay=self._delay, emit=self.events.append
        )
        seat.may_prepare = self.admission.level < Degradation.NO_PREPARATION
        seat.judge_overlaps(self._judges)
        self.table.seat(seat)
        self._pending_reset[row] = True
        self._ours.forget(row)
        self._in.pcm[row] = 0
        self._in.own[row] = 0
        if self._model_pcm is not None:
            self._model_pcm[row] = 0
        if self.speaker is not None:
            self.speaker.join(row, persona)
        self.events.append(SeatOpened(call_id=message.call_id, row=row, seat=number))
        if self._fallback:
            self.events.append(EarsChanged(call_id=message.call_id, at=0, why=self._fallback))

    def control(self, message: SeatMessage) -> None:
        """One message for a seat; ignored where the seat is gone. A message that makes its row fail ends that row."""
        if isinstance(message, OpenSeat):
            self.open(message)
            return
        seat = self.table.find(message.call_id)
        if seat is None:
            return
        try:
            self._control(seat, message)
        except Exception as error:  # one call's fault must not touch the other rows
            self._fail(seat, error)

    def _control(self, seat: Seat, message: SeatMessage) -> None:
        match message:
            case UtteranceAudio():
                seat.add_audio(message)
            case BeginUtterance():
                seat.begin_utterance(message)
            case DropUtterance():
                seat.drop_utterance(message.utterance)
            case Expecting():
                expect = Expect.from_json(message.expect)
                seat.expects(expect)
                self._pending_expects[seat.row] = expect
            case WeaveText():
                seat.weave(message.text)
            case KeyPressed():
                seat.press_key(message.digit)
            case InterruptTurn():
                seat.interrupt(message)
            case SetHold():
                seat.on_hold = message.held
            case CloseSeat():
                self.close(seat, "closed")
            case _:
                pass

    def close(self, seat: Seat, reason: str) -> None:
        """End a seat: its utterances are told as ended, its row is free at the next edge."""
        seat.close()
        self.counters.floor_ignored += seat.floor.ignored
        self.table.evict(seat)
        self._pending_expects.pop(seat.row, None)
        self.events.append(SeatClosed(call_id=seat.call_id, reason=reason))

    def settle(self) -> None:
        """Edge of a tick: evicted rows are let go."""
        for row in self.table.settle():
            if self.speaker is not None:
                self.speaker.lockstep.leave(row)
            self.model.release(row)

    def take_events(self) -> list[SeatMessage]:
        """Everything since the last call."""
        events = self.events.copy()
        self.events.clear()  # the seats hold on to this very list
        return events

    # --- one phase -----------------------------------------------------------------------------------------

    def step(self, batch: InBatch, *, link: int) -> OutBatch:
        """Audio of one phase in, our audio for the same rows out, but for rows whose gateway holds enough of it."""
        self.settle()
        batch = self._seated(batch)
        group, fresh = self._group(batch, link)
        rows, slot = group.rows, batch.tick % self.frames
        own, speaking = self._ours.since(rows, batch.played)
        held = (batch.flags & InFlag.HELD) != 0
        stepped = fresh and slot == self.frames - 1
        scores: list[tuple[float, float, float, float]] | None = None
        if fresh:
            part = slice(slot * FRAME_SAMPLES, (slot + 1) * FRAME_SAMPLES)
            self._in.pcm[rows, part] = batch.pcm
            self._in.own[rows, part] = own
            self._in.speaking[rows] = speaking
            self._in.lost[rows] = (batch.flags & InFlag.CONCEALED) != 0
            if self.speaker is not None:
                self.speaker.lockstep.hear(rows[~held], batch.pcm[~held], own[~held])
        if stepped:
            scores = self._run(rows, held)
        return self._commit(batch, rows, held.tolist(), slot, scores)

    def conceal(self, link: int, phase: int) -> bool:
        """The audio of a phase did not come in time: step its rows on concealed audio. False: they rest by now."""
        group = self._groups.get((link, phase))
        if group is None or not len(group.rows):
            return False
        group.rows = group.rows[self.table.numbers[group.rows] != 0]
        group.concealed += 1
        if group.concealed > MAX_CONCEALED:
            return False
        rows, slot = group.rows, group.next_tick % self.frames
        group.next_tick += 1
        self.counters.late_batches += 1
        self.counters.concealed_rows += len(rows)
        part = slice(slot * FRAME_SAMPLES, (slot + 1) * FRAME_SAMPLES)
        before = slice((slot - 1) % self.frames * FRAME_SAMPLES, ((slot - 1) % self.frames + 1) * FRAME_SAMPLES)
        self._in.pcm[rows, part] = self._in.pcm[rows, before] * CONCEAL_FADE
        self._in.own[rows, part] = 0
        self._in.lost[rows] = True
        held = self._are_held(rows)
        if self.speaker is not None:
            self.speaker.lockstep.conceal(rows[~held])
        if slot == self.frames - 1:
            scores = self._run(rows, held)
            for i, row in enumerate(rows.tolist()):
                seat = self.table.seats[row]
                if seat is not None and not held[i]:
                    self._hear(seat, scores[i])
        return True

    def forget_link(self, link: int) -> None:
        """A link is gone; its groups with it. The seats stay: another link may bring their audio."""
        self._groups = {key: group for key, group in self._groups.items() if key[0] != link}

    # --- a speaker beside the ears -------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Take the speaker's answer, where it is there; begin its next step, where the audio of that is."""
        if self.speaker is None:
            return
        output = self.speaker.finish(now)
        if output is not None:
            self._tell_words(output)
        self.speaker.begin(now)

    @property
    def is_speaking(self) -> bool:
        """A step of the speaker is under way: ``advance`` has something to take soon."""
        return self.speaker is not None and self.speaker.lockstep.is_under_way

    @property
    def speaker_overruns(self) -> int:
        """Steps of the speaker that were not over when the audio of the next was there, since the start."""
        return 0 if self.speaker is None else self.speaker.lockstep.counters.waited

    def speaker_took(self) -> list[float]:
        """Seconds from begin to answer of the speaker's steps since the last call."""
        return [] if self.speaker is None else self.speaker.lockstep.take_took()

    def _are_held(self, rows: NDArray[np.intp]) -> Bools:
        """``[n]`` on hold, or nobody's any more."""
        seats = [self.table.seats[row] for row in rows.tolist()]
        return np.array([seat is None or seat.held for seat in seats], np.bool_)

    # --- plan ----------------------------------------------------------------------------------------------

    def _seated(self, batch: InBatch) -> InBatch:
        """The rows of ``batch`` whose claim is the present one."""
        rows = batch.rows.astype(np.intp)
        known = rows < len(self.table.numbers)
        if known.all():
            known = (self.table.numbers[rows] == batch.seats) & (batch.seats != 0)
            if known.all():
                return batch
        else:
            known[known] = self.table.numbers[rows[known]] == batch.seats[known]
            known &= batch.seats != 0
        self.counters.stale_rows += int(len(rows) - known.sum())
        return batch.of(known)

    def _group(self, batch: InBatch, link: int) -> tuple[Group, bool]:
        """The group of this batch, its rows now, and whether its time is still to be stepped."""
        key, rows = (link, batch.phase), batch.rows.astype(np.intp)
        group = self._groups.get(key)
        if group is None or abs(batch.tick - group.next_tick) > RESTARTED:
            self._groups[key] = group = Group(batch.tick + 1, rows)
            return group, True
        group.rows, group.concealed = rows, 0
        gap = batch.tick - group.next_tick
        if gap < 0:  # its time was stepped on concealed audio: catch up by dropping, never by lagging
            self.counters.dropped_rows += len(rows)
            return group, False
        if gap > 0:
            for row in rows.tolist():
                seat = self.table.seats[row]
                if seat is not None and seat.at:  # before its first frame no time of its own has passed
                    seat.skip(gap * FRAME_SAMPLES)
            if self.speaker is not None:
                self.speaker.lockstep.skip(rows[~self._are_held(rows)], gap)
        group.next_tick = batch.tick + 1
        return group, True

    # --- step ----------------------------------------------------------------------------------------------

    def _run(self, rows: NDArray[np.intp], held: Bools) -> list[tuple[float, float, float, float]]:
        """One model step for ``rows`` that are not held: four scores per row, in the order of ``rows``."""
        inputs = self._in
        active = rows[~held]
        if self._model_pcm is not None:
            self._hush(active)
        inputs.mask[active] = True
        inputs.reset[active] = self._pending_reset[active]
        self._pending_reset[active] = False
        inputs.expects = self._pending_expects
        if self._pending_expects:
            inputs.expects = {r: e for r, e in self._pending_expects.items() if inputs.mask[r]}
            self._pending_expects = {r: e for r, e in self._pending_expects.items() if not inputs.mask[r]}
        output = self.model.step(inputs)
        inputs.mask[active] = False
        inputs.reset[active] = False
        if self._model_pcm is not None and output.pcm is not None:
            self._model_pcm[active] = output.pcm[active]
        self._tell_words(output)
        return list(
            zip(
                output.p_speech[rows].tolist(),
                output.p_end[rows].tolist(),
                output.p_take[rows].tolist(),
                output.p_backchannel[rows].tolist(),
                strict=True,
            )
        )

    def _hush(self, rows: NDArray[np.intp]) -> None:
        """A speaking model that was cut is silent inside too: it remembers what was heard, not what it meant to say."""
        for row in rows.tolist():
            if self.table.is_hushed(row):
                self.model.force(row, text=None)

    def _tell_words(self, output: StepOutput) -> None:
        for heard in output.words:
            seat = self.table.seats[heard.row]
            if seat is not None:
                try:
                    seat.hear_words(heard)
                except Exception as error:  # one call's fault must not touch the other rows
                    self._fail(seat, error)
        for row, text in output.agent_text:
            seat = self.table.seats[row]
            if seat is not None:
                self.events.append(AgentText(call_id=seat.call_id, at=seat.at, text=text))

    # --- commit --------------------------------------------------------------------------------------------

    def _commit(
        self,
        batch: InBatch,
        rows: NDArray[np.intp],
        held: list[bool],
        slot: int,
        scores: list[tuple[float, float, float, float]] | None,
    ) -> OutBatch:
        n = len(rows)
        numbers, played, sent, taken = rows.tolist(), batch.played.tolist(), batch.sent.tolist(), batch.taken.tolist()
        epochs, frame_nos, flags = [0] * n, [0] * n, [0] * n
        handed, enough = [True] * n, ((batch.flags & InFlag.ENOUGH) != 0).tolist()
        part = (slot + 1) % self.frames * FRAME_SAMPLES
        for i, row in enumerate(numbers):
            seat, out = self.table.seats[row], self._out_rows[i]
            if seat is None:  # its words made it fail in this very step
                out.fill(0)
                continue
            try:
                seat.held = held[i] or seat.on_hold
                seat.played_to(played[i], sent[i], taken[i])
                if seat.held:
                    seat.skip(FRAME_SAMPLES)
                elif scores is not None:
                    self._hear(seat, scores[i])
                frame_nos[i] = seat.frame_no
                if seat.must_wait(enough=enough[i]):
                    out.fill(0)
                    handed[i] = False
                    continue
                model_pcm, model_frame = (None, NO_FRAME) if seat.held else self._model_frame(row, part)
                flags[i] = seat.fill(out, model_pcm, model_frame)
                epochs[i] = seat.epoch
            except Exception as error:  # one call's fault must not touch the other rows
                out.fill(0)
                self._fail(seat, error)
        pcm = self._out_pcm[:n]
        frame_numbers = np.array(frame_nos, np.uint32)
        speech = np.array(flags, np.uint8)
        self._ours.keep(rows, frame_numbers, pcm, speech != 0)
        out_batch = OutBatch(
            batch.tick,
            batch.phase,
            batch.sent_at,
            batch.rows,
            batch.seats,
            np.array(epochs, np.uint32),
            frame_numbers,
            speech * np.uint8(OutFlag.SPEECH),
            pcm,
        )
        return out_batch if all(handed) else out_batch.of(np.array(handed, np.bool_))

    def _model_frame(self, row: int, part: int) -> tuple[Samples | None, int]:
        """The next 20 ms of a model that speaks, and their number; ``None`` where none does."""
        if self.speaker is not None:
            return self.speaker.lockstep.next_frame(row)
        if self._model_pcm is None:
            return None, NO_FRAME
        return self._model_pcm[row, part : part + FRAME_SAMPLES], NO_FRAME

    def _hear(self, seat: Seat, scores: tuple[float, float, float, float]) -> None:
        seat.hear(self.frames * FRAME_SAMPLES, *scores)

    def _fail(self, seat: Seat, error: Exception) -> None:
        """A row whose own code raised is given up; the others never notice."""
        self.counters.failed_rows += 1
        self._note(error)
        self.table.evict(seat)
        self._pending_expects.pop(seat.row, None)
        self.events.append(SeatClosed(call_id=seat.call_id, reason="failed"))

    def _note(self, error: Exception) -> None:
        self.counters.errors = [*self.counters.errors[-4:], " < ".join(reversed(traced(error)))]

    def tell_fallback(self) -> None:
        """Tell every call where other ears listen than a moment ago."""
        now = fallback_of(self.model)
        if now != self._fallback:
            self._fallback = now
            for seat in self.table.calls():
                seat.judge_overlaps(self._judges)
            self.events += [EarsChanged(call_id=seat.call_id, at=seat.at, why=now) for seat in self.table.calls()]

    @property
    def _judges(self) -> bool:
        return self.model.spec.judges_overlaps and not self._fallback

    def set_level(self, level: Degradation) -> None:
        """Carry a degradation level out on the running calls."""
        for seat in self.table.calls():
            seat.may_prepare = level < Degradation.NO_PREPARATION


def _check(spec: ModelSpec) -> None:
    if spec.step_ms % 20 or spec.rate_in_hz != 8000 or spec.rate_out_hz != 8000:
        raise ModelError(f"model {spec.name}: steps of {spec.step_ms} ms, rates {spec.rate_in_hz}/{spec.rate_out_hz}")


def _persona(data: dict[str, Any]) -> Persona:
    try:
        return Persona(text=str(data.get("text", "")), voice=str(data.get("voice", "")), seed=int(data.get("seed", 0)))
    except (TypeError, ValueError) as error:
        raise ConfigError("persona", str(error)) from None
