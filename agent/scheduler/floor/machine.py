"""The detectors of one row: scores, words and media time in, inputs of the floor table out. Pure.

Time is media time in samples at 8 kHz; nothing here reads a clock. One input per step at most: the next step
comes 20 ms later, and every state stays right for that long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from agent.pool.messages import SAMPLES_PER_MS
from agent.scheduler.floor.complete import Completeness
from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.floor.table import TABLE, FloorAction, FloorInput, FloorState

INCOMPLETE_WAIT: Final = 1200 * SAMPLES_PER_MS
"""Silence after which a number that lacks digits may end by score: people look the rest up, recognisers drop one."""
LONGEST_RUN_ON: Final = 10_000 * SAMPLES_PER_MS
"""Whoever speaks on for that long after we have interrupted says something that should be heard."""
CLEAR_DEADLINE: Final = 200 * SAMPLES_PER_MS
NEVER: Final = -(1 << 60)


class Verdict(NamedTuple):
    """One input for the table and why, for a reader."""

    cause: FloorInput
    reason: str


@dataclass(slots=True)
class AgentSide:
    """What the machine must know of our own voice, now."""

    interruptible: bool = True
    """What is being said may be cut."""
    answer_heard: int = 0
    """Samples of our voice that were played out since the last turn ended."""
    clear: bool = True
    """The first frame after the last cut was played out."""
    judged: bool = False
    """The ears judge sounds over our voice by more than words: the clock may wait longer."""


class _Limits:
    """A profile's milliseconds as samples: read in every step."""

    __slots__ = (
        "agree", "backstop", "duck_after", "gap", "max_turn", "pause_after", "reopen", "restore_after", "run_on",
        "silence", "start_after", "take_late", "yield_after", "yield_judged",
    )  # fmt: skip

    def __init__(self, profile: FloorProfile) -> None:
        self.start_after = profile.start_after_ms * SAMPLES_PER_MS
        self.duck_after = profile.duck_after_ms * SAMPLES_PER_MS
        self.yield_after = profile.yield_after_ms * SAMPLES_PER_MS
        self.yield_judged = max(profile.yield_after_ms, profile.yield_judged_ms) * SAMPLES_PER_MS
        self.take_late = profile.take_late_ms * SAMPLES_PER_MS
        self.restore_after = profile.restore_after_ms * SAMPLES_PER_MS
        self.gap = profile.gap_ms * SAMPLES_PER_MS
        self.agree = profile.agree_ms * SAMPLES_PER_MS
        self.pause_after = profile.pause_after_ms * SAMPLES_PER_MS
        self.backstop = profile.backstop_ms * SAMPLES_PER_MS
        self.reopen = profile.reopen_ms * SAMPLES_PER_MS
        self.max_turn = profile.max_turn_ms * SAMPLES_PER_MS
        self.run_on = profile.run_on_ms * SAMPLES_PER_MS
        self.silence = tuple(ms * SAMPLES_PER_MS for ms in profile.silence_limits_ms)


class FloorMachine:
    """State and detectors of one row.

    ``hear`` looks at one step and returns the input that follows from it, ``apply`` moves the state by the table.
    """

    __slots__ = (
        "_limits", "_profile", "_silences_told", "_voiced_in_pause", "delay", "end_run", "ended_at", "floor_free_at",
        "ignored", "last_speech", "now", "onset", "overlap_from", "paused", "ran_on_from", "runs_on", "silence",
        "speaking", "state", "suppressed", "turn_from", "turn_open", "voiced", "yielded_at",
    )  # fmt: skip

    def __init__(self, profile: FloorProfile, *, delay: int = 0) -> None:
        self._profile = profile
        self._limits = _Limits(profile)
        self.delay = delay
        """The model's algorithmic delay in samples: an onset was that much earlier than its score."""
        self.state = FloorState.OPEN
        self.now = 0
        self.ignored = 0
        """Inputs without a row in the table."""
        self.speaking = False
        self.onset = NEVER
        """Where the caller's present speech began; pauses under ``gap_ms`` do not end it."""
        self.voiced = 0
        """Speech since ``onset``, pauses not counted."""
        self.silence = 0
        self.last_speech = 0
        self.end_run = 0
        self.paused = False
        self._voiced_in_pause = 0
        self.turn_open = False
        self.turn_from = 0
        self.ended_at = NEVER
        self.overlap_from = 0
        self.suppressed = False
        """The ears have called the running speech a backchannel or noise."""
        self.runs_on = False
        """We have interrupted, and what the caller still says belongs to the turn that we ended."""
        self.ran_on_from = 0
        self.yielded_at = NEVER
        self.floor_free_at = 0
        self._silences_told = 0

    def apply(self, cause: FloorInput) -> tuple[FloorAction, ...]:
        """Move by the table; the actions to carry out, or none for a pair that the table does not have."""
        row = TABLE.get((self.state, cause))
        if row is None:
            self.ignored += 1
            return ()
        before, self.state = self.state, row.then
        if row.then is FloorState.OPEN and before is not FloorState.OPEN:
            self.rest()
        elif before is FloorState.AGENT and row.then in (FloorState.OVERLAP, FloorState.YIELDING):
            self.overlap_from = self.onset if self.onset != NEVER else self.now
        if row.then is FloorState.YIELDING and before is not FloorState.YIELDING:
            self.yielded_at = self.now
        return row.actions

    def rest(self) -> None:
        """Nobody speaks from now on: the silence clock starts."""
        self.floor_free_at = self.now
        self._silences_told = 0

    def skip(self, samples: int) -> None:
        """Media time goes on and all timers rest."""
        self.now += samples
        self.last_speech += samples
        self.floor_free_at += samples
        self.turn_from += samples
        self.overlap_from += samples
        self.yielded_at += samples
        self.ran_on_from += samples
        if self.onset != NEVER:
            self.onset += samples
        if self.ended_at != NEVER:
            self.ended_at += samples

    def open_turn(self, *, reopened: bool) -> None:
        """The caller's turn runs from here."""
        self.turn_open = True
        if not reopened:
            self.turn_from = self.onset if self.onset != NEVER else self.now
        self.end_run, self.paused, self._voiced_in_pause = 0, False, 0
        self.ended_at = NEVER

    def end_turn(self, *, may_reopen: bool, runs_on: bool = False) -> None:
        """The caller's turn is over; the next speech is a new onset, but for what runs on from this one."""
        self.runs_on, self.ran_on_from = runs_on, self.now
        self.turn_open, self.paused = False, False
        self.ended_at = self.now if may_reopen else NEVER
        self.onset, self.voiced, self.end_run = NEVER, 0, 0
        self.suppressed = False

    def hear(
        self, step: int, p_speech: float, p_end: float, p_take: float, p_back: float, words: Completeness, us: AgentSide
    ) -> Verdict | None:
        """One step of ``step`` samples: the input that follows, if any."""
        self.now += step
        self._track(step, p_speech)
        if self.runs_on and self._still_runs_on():
            return None
        state = self.state
        if state is FloorState.OPEN:
            return self._in_open()
        if state is FloorState.CALLER:
            return self._in_turn(step, p_end, words)
        if state is FloorState.YIELDING:
            if us.clear or self.now - self.yielded_at >= CLEAR_DEADLINE:
                return Verdict(FloorInput.CLEARED, "cut played out" if us.clear else "deadline")
            return self._in_turn(step, p_end, words)
        if self.turn_open and (found := self._in_turn(step, p_end, words)) is not None:
            return found
        if state is FloorState.AGENT:
            return self._in_agent(p_take, p_back, us)
        return self._in_overlap(p_take, p_back, us)

    def _track(self, step: int, p_speech: float) -> None:
        """Hysteresis over ``p_speech``; onset, voiced time and silence."""
        profile = self._profile
        if p_speech >= profile.speech_on or (self.speaking and p_speech >= profile.speech_off):
            if self.onset == NEVER:
                self.onset = self.now - step - self.delay
            self.speaking = True
            self.voiced += step
            self.silence = 0
            self.last_speech = self.now
        else:
            self.speaking = False
            self.silence += step
            if self.silence >= self._limits.gap:
                self.onset, self.voiced, self.suppressed = NEVER, 0, False

    def _still_runs_on(self) -> bool:
        """The caller has not stopped for long enough since we have interrupted."""
        self.runs_on = self.silence < self._limits.run_on and self.now - self.ran_on_from < LONGEST_RUN_ON
        self.onset, self.voiced = NEVER, 0
        return self.runs_on

    def _in_open(self) -> Verdict | None:
        limits = self._limits
        if self.speaking and self.voiced >= limits.start_after:
            if self.onset - self.ended_at < limits.reopen:
                return Verdict(FloorInput.TURN_REOPENED, f"speech {self._ms(self.onset - self.ended_at)} after the end")
            return Verdict(FloorInput.CALLER_STARTED, f"speech {self._ms(self.voiced)}")
        told = self._silences_told
        if self.speaking or told == len(limits.silence):
            return None
        if self.now - max(self.floor_free_at, self.last_speech) < limits.silence[told]:
            return None
        self._silences_told += 1
        return Verdict(FloorInput.SILENCE_LIMIT, f"silence {self._ms(limits.silence[told])}")

    def _in_turn(self, step: int, p_end: float, words: Completeness) -> Verdict | None:
        limits = self._limits
        if self.now - self.turn_from >= limits.max_turn:
            return Verdict(FloorInput.TURN_ENDED, "max_turn")
        if self.speaking:
            self.end_run = 0
            if not self.paused:
                return None
            self._voiced_in_pause += step
            if self._voiced_in_pause < limits.start_after:
                return None
            self.paused = False
            return Verdict(FloorInput.CALLER_WENT_ON, f"speech {self._ms(self._voiced_in_pause)} after a pause")
        self.end_run = self.end_run + step if p_end >= self._profile.end_score else 0
        if words is Completeness.COMPLETE and self.silence >= limits.agree:
            return Verdict(FloorInput.TURN_ENDED, "complete")
        waits = words is Completeness.INCOMPLETE and self.silence < INCOMPLETE_WAIT
        if self.end_run > 0 and self.end_run >= limits.agree and not waits:
            return Verdict(FloorInput.TURN_ENDED, "score")
        if self.silence >= limits.backstop:
            return Verdict(FloorInput.TURN_ENDED, "backstop")
        if not self.paused and self.silence >= limits.pause_after:
            self.paused, self._voiced_in_pause = True, 0
            return Verdict(FloorInput.CALLER_PAUSED, f"silence {self._ms(self.silence)}")
        return None

    def _in_agent(self, p_take: float, p_back: float, us: AgentSide) -> Verdict | None:
        if not self.speaking:
            return self._taken_late(p_take, us)
        if self.turn_open:  # claimed already: what we say goes on, but turned down while they speak
            started = self.voiced >= self._limits.duck_after
            return Verdict(FloorInput.CALLER_STARTED, f"speech {self._ms(self.voiced)}") if started else None
        if p_take >= self._profile.take_score:
            return self._taken(f"score {p_take:.2f}", us)
        if p_back >= self._profile.backchannel_score:
            self._suppress()
            return None
        if self.suppressed:  # the score has dropped while the caller speaks on: a new overlap begins here
            self.suppressed, self.onset, self.voiced = False, self.now, 0
            return None
        if self.voiced < self._limits.duck_after:
            return None
        reopens = self.onset - self.ended_at < self._limits.reopen and us.answer_heard < self._limits.reopen
        if reopens and us.interruptible:
            return Verdict(FloorInput.TURN_REOPENED, f"speech {self._ms(self.onset - self.ended_at)} after the end")
        return Verdict(FloorInput.CALLER_STARTED, f"speech {self._ms(self.voiced)}")

    def _in_overlap(self, p_take: float, p_back: float, us: AgentSide) -> Verdict | None:
        limits = self._limits
        if not self.speaking and self.silence >= limits.restore_after:
            return Verdict(FloorInput.CALLER_STOPPED, f"silence {self._ms(self.silence)}")
        if self.turn_open:
            return None  # claimed: it ends as a turn does
        if p_take >= self._profile.take_score:
            return self._taken(f"score {p_take:.2f}", us)
        if p_back >= self._profile.backchannel_score:
            self._suppress()
            return Verdict(FloorInput.BACKCHANNEL, f"score {p_back:.2f}")
        if self.speaking and self.now - self.onset >= (limits.yield_judged if us.judged else limits.yield_after):
            return self._taken(f"speech {self._ms(self.now - self.onset)}", us)
        return None

    def _taken_late(self, p_take: float, us: AgentSide) -> Verdict | None:
        """The words of a short overlap came when it was over: they take the floor all the same."""
        is_of_overlap = self.last_speech > self.ended_at and not self.turn_open
        if p_take < self._profile.take_score or self.silence >= self._limits.take_late or not is_of_overlap:
            return None
        return self._taken(f"score {p_take:.2f}, {self._ms(self.silence)} after the speech", us)

    def _taken(self, reason: str, us: AgentSide) -> Verdict:
        return Verdict(FloorInput.FLOOR_TAKEN if us.interruptible else FloorInput.FLOOR_CLAIMED, reason)

    def _suppress(self) -> None:
        self.suppressed, self.onset, self.voiced = True, self.now, 0

    @staticmethod
    def _ms(samples: int) -> str:
        return f"{samples // SAMPLES_PER_MS} ms"
