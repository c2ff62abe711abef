"""Directs one conversation: who speaks when, and what sounds over it. Gives clean tracks and a script of the truth."""

from __future__ import annotations

from typing import Final

import numpy as np

from agent.errors import VoiceFailed
from agent.training.chance import weighted
from agent.training.conversation import sounds
from agent.training.conversation.cast import SOUND_OF, Cast
from agent.training.conversation.labels import (
    Event,
    LabelledWord,
    Overlap,
    Script,
    Sound,
    Span,
    Truth,
    Turn,
    Waiting,
    bridged,
)
from agent.training.conversation.material import Material
from agent.training.conversation.overlaps import plan, stops_after
from agent.training.conversation.pauses import RATE_HZ, reaction, silence
from agent.training.conversation.performance import Performed
from agent.training.conversation.tracks import Tracks, place_sound
from agent.training.text.answer import Answer, State
from agent.training.text.spoken import digits
from agent.training.voices.spoken import Audio, active_runs

Rng = np.random.Generator
STATES: Final = (
    (State.YES_NO, 0.2), (State.DIGITS, 0.2), (State.INTENTS, 0.13), (State.OPENING, 0.09), (State.FREE, 0.13),
    (State.DATE, 0.07), (State.NAME, 0.05), (State.ADDRESS, 0.05), (State.CODE, 0.06), (State.AMOUNT, 0.02),
)  # fmt: skip
DETAILED: Final = frozenset({State.NAME, State.ADDRESS, State.CODE, State.AMOUNT})
"""States that today's brain calls free speech; in half of the calls the finer name is told."""
WRONG, UNKNOWN = 0.08, 0.12
"""Shares of expectations that are wrong or missing."""
ONLY_TAIL: Final = 0.75
"""Share of our questions of which only the end is heard: more turns for the time."""
NEVER_ANSWERED: Final = 0.07
KEYED: Final = 0.08
"""Share of numbers that are keyed in."""
OUR_BACKCHANNEL: Final = 0.25
FALSE_START: Final = 0.04
"""Share of turns into whose pause we speak, and are talked over."""
DUCK_GAIN: Final = 0.25
SIDE_DB: Final = (-26.0, -8.0)
NOISE_DB: Final = (-18.0, 2.0)
TV_DB: Final = (-34.0, -12.0)
HAS_TV: Final = 0.14


class Director:
    """One conversation in the making."""

    def __init__(self, material: Material, rng: Rng, frames: int, *, patient: bool = False) -> None:
        self._material, self._rng, self._patient = material, rng, patient
        self.tracks = Tracks.silent(frames)
        self.script = Script(samples=self.tracks.samples)
        self.cast = Cast(material, rng)
        self._ducks = rng.random() < 0.6
        self._ducked: list[Span] = []
        self._waited_for = False
        """A turn has ended and we have not spoken since."""
        self._at = round(rng.uniform(0, 0.8) * RATE_HZ)

    def direct(self) -> None:
        """Fill the tracks from the first to the last sample."""
        rng = self._rng
        self._television()
        state = self._state()
        first = self._material.text.answer(state, rng)
        self._wait_for(first, 0)
        if rng.random() < 0.15:
            self._caller(first)
        while self._at < self.tracks.samples - RATE_HZ // 2:
            draw = rng.random()
            # Behind a turn we speak when the pause is over: idling there would make our silences longer than pauses.
            if draw < 0.1 and not self._waited_for:
                self._idle()
            elif draw < 0.5:
                self._statement(self._material.text.statement(rng))
            else:
                self._exchange()
        self._apply_ducks()

    # --- scenes ---

    def _exchange(self) -> None:
        """We ask, the caller answers, we wait as long as a pause lasts."""
        state = self._state()
        answer = self._material.text.answer(state, self._rng)
        question = self.cast.own(self._material.text.prompt(state, self._rng) + "?")
        if self._rng.random() < ONLY_TAIL:
            keep = min(question.size, round(self._rng.uniform(0.5, 1.8) * RATE_HZ))
            question = question[-keep:]
        self._wait_for(answer, self._at)
        start = self._at
        self._we_say(question, start)
        self._at = max(start + question.size // 3, start + question.size + reaction(self._rng))
        if state is State.DIGITS and self._rng.random() < KEYED:
            self._keys(answer)
        else:
            self._caller(answer)

    def _caller(self, answer: Answer) -> None:
        """A turn of the caller at the cursor; leaves the cursor where we may speak."""
        try:
            performed, voice = self.cast.turn(answer)
        except VoiceFailed:
            return
        turn = self._place_turn(performed, voice, answer.state, self._at)
        if turn is None:
            return
        over = max((stop for _, stop in self.script.own_intended), default=0)
        if over - turn.start > 960:
            self.script.events.append(Event(kind=Overlap.TAKES, start=turn.start, end=turn.end, text=turn.text))
        self._inside(turn)
        self._at = turn.end + self._answer_gap()
        self._waited_for = True

    def _statement(self, text: str) -> None:
        """We speak at length, and things happen over it."""
        pcm = self.cast.own(_some_clauses(text, self._rng))
        told, wall = 0, self._at
        for planned in plan(pcm.size, self._rng):
            onset = wall + planned.offset - told
            if planned.offset < told or onset >= self.tracks.samples:
                continue
            stop = self._over(planned.kind, onset)
            if stop is None:
                continue
            end = told + stop - wall
            self._we_say(_faded(pcm[told : min(end, pcm.size)]), wall)
            if planned.kind is Overlap.TAKES:
                self._at = max(self._at, min(stop, wall + pcm.size - told)) + self._answer_gap()
                return
            told, wall = min(end, pcm.size), stop + round(self._rng.uniform(0.4, 1.4) * RATE_HZ)
        self._we_say(pcm[told:], wall)
        over = wall + pcm.size - told
        if self._at > over:  # somebody who was not let in has the last word, and is answered
            self._at += self._answer_gap()
        else:
            self._at = over + round(self._rng.uniform(0.15, 0.7) * RATE_HZ)

    def _idle(self) -> None:
        """Nobody speaks; things may sound."""
        length = round(self._rng.uniform(0.8, 3.2) * RATE_HZ)
        if self._rng.random() < 0.7:
            kind = (Overlap.TIC, Overlap.SIDE, Overlap.NOISE)[int(self._rng.integers(3))]
            self._sound(kind, self._at + round(self._rng.uniform(0.1, 0.8) * RATE_HZ))
        self._at += length

    # --- what happens over our voice ---

    def _over(self, kind: Overlap, onset: int) -> int | None:
        """Place an event; returns the sample at which we fall silent, or ``None``."""
        end = self._interruption(onset) if kind is Overlap.TAKES else self._sound(kind, onset)
        if end is None:
            return None
        if self._ducks:
            self._ducked.append((onset + round(self._rng.uniform(0.15, 0.32) * RATE_HZ), end + RATE_HZ // 4))
        after = stops_after(kind, self._rng, patient=self._patient)
        return None if after is None else onset + after

    def _interruption(self, onset: int) -> int | None:
        answer = self.cast.takes()
        try:
            performed, voice = self.cast.turn(answer)
        except VoiceFailed:
            return None
        turn = self._place_turn(performed, voice, answer.state, onset, takes=True)
        if turn is None:
            return None
        self.script.events.append(Event(kind=Overlap.TAKES, start=turn.start, end=turn.end, text=turn.text))
        self._at = turn.end
        return turn.end

    def _sound(self, kind: Overlap, onset: int) -> int | None:
        """A sound that takes nothing; returns its end."""
        rng, text = self._rng, ""
        track, gain_db = "caller", 0.0
        try:
            if kind is Overlap.BACKCHANNEL:
                pcm, text = self.cast.listening()
            elif kind is Overlap.TIC:
                pcm, text = self.cast.tic()
            elif kind is Overlap.SIDE:
                pcm, text = self.cast.side()
                track, gain_db = "side", float(rng.uniform(*SIDE_DB))
            else:
                pcm, track, gain_db = self.cast.noise(), "noise", float(rng.uniform(*NOISE_DB))
        except VoiceFailed:
            return None
        scaled = pcm * np.float32(10 ** (gain_db / 20))
        span = place_sound(self.tracks, self.script, track, scaled, onset, SOUND_OF[kind])
        if span is None:
            return None
        self.script.events.append(Event(kind=kind, start=span[0], end=span[1], text=text))
        return span[1]

    # --- placing ---

    def _place_turn(
        self, performed: Performed, voice: str, state: State, at: int, *, takes: bool = False
    ) -> Turn | None:
        """Put a turn on the caller's track; one that the end of the conversation cuts is not finished."""
        samples = self.tracks.samples
        speech = tuple((at + a, min(samples, at + b)) for a, b in performed.speech if 0 <= at + a < samples - 800)
        if not speech or at < 0:
            return None
        whole = at + performed.pcm.size <= samples
        self.tracks.place("caller", performed.pcm, at)
        self.script.sounds += [(Sound.SPEECH, span) for span in speech]
        turn = Turn(
            state=state,
            start=speech[0][0],
            end=speech[-1][1] if whole else samples,
            speech=speech,
            finished=whole and performed.finished,
            voice=voice,
            text=performed.text,
            takes=takes,
        )
        self.script.turns.append(turn)
        self.script.words += [
            LabelledWord(word.text, at + word.start, at + word.end, performed.exact)
            for word in performed.words
            if at + word.end <= samples
        ]
        return turn

    def _inside(self, turn: Turn) -> None:
        """What we do in the pauses of a turn: a backchannel that fits, or the mistake of speaking."""
        rng = self._rng
        for start, stop in turn.pauses:
            if stop - start > 2400 and start - turn.start > 2 * RATE_HZ and rng.random() < OUR_BACKCHANNEL:
                pcm = self.cast.own(self._material.text.our_backchannel(rng)) * np.float32(0.7)
                self._audible(pcm, start + round(rng.uniform(0.16, 0.3) * RATE_HZ))
                return
            if stop - start > 4800 and rng.random() < FALSE_START:
                onset = start + round(rng.uniform(0.3, 0.9) * (stop - start))
                silent = stop + round(rng.uniform(0.25, 1.0) * RATE_HZ)
                pcm = self.cast.own(self._material.text.statement(rng))[: silent - onset]
                self._we_say(_faded(pcm), onset)
                self.script.events.append(Event(kind=Overlap.TAKES, start=stop, end=turn.end, text=turn.text))
                return

    def _we_say(self, pcm: Audio, at: int) -> None:
        """Our voice, as a contribution that has the floor."""
        length = min(self.tracks.samples - at, pcm.size)
        self._waited_for = False
        if length > 0:
            self.script.own_intended.append((at, at + length))
            self._audible(pcm, at)

    def _audible(self, pcm: Audio, at: int) -> None:
        self.tracks.place("own", pcm, at)
        runs = bridged([(at + a, min(self.tracks.samples, at + b)) for a, b in active_runs(pcm)])
        self.script.own += [(a, b) for a, b in runs if a < b]

    def _keys(self, answer: Answer) -> None:
        figures = digits(answer.expect.digits or int(self._rng.integers(1, 9)), self._rng)
        span = place_sound(self.tracks, self.script, "keys", sounds.keys(figures, self._rng), self._at, Sound.KEYS)
        if span is not None:
            self.script.events.append(Event(kind=Overlap.NOISE, start=span[0], end=span[1], text=figures))
            self._at = span[1] + self._answer_gap()

    def _television(self) -> None:
        rng = self._rng
        if rng.random() >= HAS_TV:
            return
        start = 0 if rng.random() < 0.6 else int(rng.integers(0, self.tracks.samples // 2))
        try:
            pcm = self.cast.television(self.tracks.samples - start)
        except VoiceFailed:
            return
        pcm *= np.float32(10 ** (rng.uniform(*TV_DB) / 20))
        self.tracks.place("tv", pcm, start)
        self.script.sounds.append((Sound.TV, (start, self.tracks.samples)))

    def _wait_for(self, answer: Answer, at: int) -> None:
        """What the brain waits for from here on: right, wrong or nothing."""
        rng, draw = self._rng, self._rng.random()
        truth, expect, state = Truth.RIGHT, answer.expect, answer.state
        if draw < UNKNOWN:
            truth, expect, state = Truth.UNKNOWN, self._material.text.answer(State.OPENING, rng).expect, State.OPENING
        elif draw < UNKNOWN + WRONG:
            truth = Truth.WRONG
            state = next(s for s in (self._state() for _ in range(1000)) if s not in (answer.state, State.OPENING))
            expect = self._material.text.answer(state, rng).expect
        detail = state.value if state in DETAILED and rng.random() < 0.5 else ""
        self.script.waiting.append(Waiting(start=at, expect=expect, state=state, truth=truth, detail=detail))

    def _answer_gap(self) -> int:
        """How long we are silent after the caller: as long as a pause lasts, or for good."""
        if self._patient:
            return round(self._rng.uniform(1.6, 2.0) * RATE_HZ)
        if self._rng.random() < NEVER_ANSWERED:
            return round(self._rng.uniform(2.5, 4.0) * RATE_HZ)
        return silence(self._rng)

    def _state(self) -> State:
        return weighted(STATES, self._rng)

    def _apply_ducks(self) -> None:
        """Our voice turned down while something sounds over it, whatever it is."""
        gain = np.ones(self.tracks.samples, np.float32)
        for start, stop in self._ducked:
            gain[max(0, start) : max(0, stop)] = DUCK_GAIN
        if self._ducked:
            smooth = np.convolve(gain, np.full(160, 1 / 160, np.float32), "same")
            self.tracks.audio["own"] *= np.where(smooth > 0.999, 1.0, smooth)


def _some_clauses(text: str, rng: Rng) -> str:
    """One to three clauses of what we say: more happens in the same time."""
    clauses = text.split(",")
    first = int(rng.integers(0, len(clauses)))
    return ",".join(clauses[first : first + int(rng.integers(1, 4))])


def _faded(pcm: Audio) -> Audio:
    """Cut off within 10 ms, as a yield does."""
    out = pcm.copy()
    edge = min(80, out.size)
    if edge:
        out[out.size - edge :] *= np.linspace(1, 0, edge, dtype=np.float32)
    return out
