"""The default ears: a ``DuplexModel`` that hears and does not speak, made of kept parts.

Silero VAD and levels say who speaks, a recogniser (in processes of its own) gives words, tables say when a turn is
over and what an overlap is. All arithmetic over rows is batched; words move a row only when they change.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.names import EXPECTING, ModelName, RecogniserName
from agent.model.parts.echo import EchoGuard
from agent.model.parts.endpoint import NOT_HEARD_MS, p_end
from agent.model.parts.levels import Floats
from agent.model.parts.nearness import APART_MS, CERTAIN_MS, Nearness
from agent.model.parts.opinion import Opinion
from agent.model.parts.overlap import Verdict
from agent.model.parts.recogniser import NoRecogniser, Recogniser
from agent.model.parts.recogniser_pool import RecogniserPool, spawner
from agent.model.parts.rowstate import RowState, pack, unpack
from agent.model.parts.sense import Sense
from agent.model.parts.sherpa_files import check_model
from agent.model.parts.silero import open_session
from agent.model.parts.turns import Turn
from agent.model.parts.vad import Activity, SpeechDetector
from agent.model.protocol import HeardWords, HelperStats, ModelSpec, Persona, StepInput, StepOutput, neutral_output
from agent.pipecat.spawn import spawner as host_spawner
from agent.pipecat.spec import PartSpec

STEP_MS = 20
RATE_HZ = 8000
STEP_SAMPLES = RATE_HZ * STEP_MS // 1000
PREROLL_SAMPLES = RATE_HZ * 300 // 1000
"""Audio before the onset that a recogniser gets: the onset is known 60 ms late, and soft beginnings later."""
UTTERANCE_GAP_MS = 2500
"""Silence that ends an utterance of the recogniser whatever it holds: a phrase is one utterance across its pauses."""
FINAL_AHEAD_MS = 60
"""The final words are asked for that long before the turn may end; partial words serve until then."""
SHORTEST_GAP_MS = 80
LATE_MS = 700
"""Silence from which the words of an overlap decide nothing any more (the floor's ``take_late_ms``)."""
OVERLAP_STOP_MS = 200
"""Silence under our voice after which the words of an overlap are asked for: more of it makes the decoder forget."""
LATE_STOP_MS = 240
"""Silence after which a late recogniser is stopped, so that its final words are under way while the turn may end."""
LATE_WAIT_MS = 2300
"""A turn waits that long for words that a late recogniser owes; the floor's backstop comes at 2500."""
STEADY_SAMPLES = RATE_HZ * 160 // 1000
"""Words of an overlap count when they have stood that long: one more hypothesis has confirmed them."""
REOPEN_MS = 700
"""Speech this soon after a called end goes on with the same turn (the floor's ``reopen_ms``)."""
BEHIND_SAMPLES = RATE_HZ * 150 // 1000
"""A recogniser that has not heard the last speech up to that owes words: silence alone must not end the turn."""
VERSION = b"parts-ears-8\n"


class _EarState(RowState):
    """What the ears keep of every row beside VAD and words."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.position = self._column("position", np.int64)
        """Media time: samples since the reset."""
        self.open = self._column("turn_open", np.bool_)
        self.needed_ms = self._column("needed_ms", np.int64, NOT_HEARD_MS)
        self.sense = self._column("sense", np.int64)
        """What the words say about the end of the turn (``sense.Sense``)."""
        self.speech = self._column("in_speech", np.bool_)
        self.spoke_at = self._column("spoke_at", np.int64)
        """Media time of the last speech."""
        self.listening = self._column("listening", np.bool_)
        """The recogniser takes this row's audio."""
        self.awaited = self._column("awaited", np.bool_)
        """The recogniser still works on this row's turn."""
        self.heard_to = self._column("heard_to", np.int64)
        """Media time up to which the recogniser has heard."""
        self.preroll = self._column("preroll", np.int16, shape=(PREROLL_SAMPLES,))
        self.preroll_from = self._column("preroll_from", np.int64)
        """Media time before which audio belongs to an utterance that is over."""


def silent_input(rows: int) -> StepInput:
    """A step in which every row advances and nobody makes a sound."""

    def flags() -> NDArray[np.bool_]:
        return np.zeros(rows, np.bool_)

    def quiet() -> NDArray[np.int16]:
        return np.zeros((rows, STEP_SAMPLES), np.int16)

    return StepInput(pcm=quiet(), own=quiet(), mask=~flags(), reset=flags(), lost=flags(), speaking=flags())


def build(rows: int, *, recogniser: str, processes: int, sherpa_model: str = "", service: str = "") -> Ears:
    """Ears for ``rows`` calls. ``recogniser``: a ``RecogniserName``; ``sherpa_model``: folder of the model of
    ``sherpa``; ``service``: the spec of ``pipecat`` as JSON.

    Raises ``ModelError`` where a part cannot be loaded.
    """
    return Ears(rows, open_recogniser(recogniser, processes, sherpa_model, service))


def open_recogniser(name: str, processes: int, sherpa_model: str, service: str) -> Recogniser:
    """See ``build``. Raises ``ModelError``."""
    if name == RecogniserName.NONE:
        return NoRecogniser()
    if name == RecogniserName.PIPECAT:
        spec = PartSpec.from_json(service)
        spawn = host_spawner("recogniser", spec)
        return RecogniserPool(spawn, processes=spec.processes, is_late=True, per_call=True)
    if name == RecogniserName.SHERPA:
        check_model(sherpa_model)  # here and not in the process: a wrong folder must stop the start
        _needs("sherpa_onnx", "sherpa-onnx is not installed: pip install 'crosstalk-voice[sherpa]'")
    elif name in EXPECTING:
        if name != RecogniserName.WORDS:
            _needs("pocketsphinx", "pocketsphinx is not installed")
        if name != RecogniserName.POCKETSPHINX:
            from agent.model.small.words_runtime import located_words  # heavy: only where it is used

            located_words()  # here and not in the process, as above
    else:
        raise ModelError(f"recogniser {name!r} is unknown; known: {', '.join(RecogniserName)}")
    return RecogniserPool(spawner(name, sherpa_model), processes=processes)


def _needs(module: str, message: str) -> None:
    if find_spec(module) is None:
        raise ModelError(message)


class Ears:
    """See ``agent.model.protocol.DuplexModel``."""

    def __init__(
        self,
        rows: int,
        recogniser: Recogniser,
        session: Any | None = None,
        *,
        opinion: Opinion | None = None,
        name: str = ModelName.PARTS,
        more_bytes: int = 0,
    ) -> None:
        """``opinion`` judges beside them, under another ``name``, with so many bytes a row of its own."""
        session = session if session is not None else open_session()
        self._rows = rows
        self.why_not = ""
        """Why these ears judge and not those that were asked for; empty: they were."""
        self._recogniser = recogniser
        self._vad = SpeechDetector(rows, session)
        self._echo = EchoGuard(rows)
        self._near = Nearness(rows)
        self._own = _EarState(rows)
        self._opinion = opinion
        self._parts: tuple[RowState | Opinion, ...] = (self._vad, self._echo, self._near, self._own)
        if opinion is not None:
            self._parts += (opinion,)
        self._turns = [Turn() for _ in range(rows)]
        self._changed: set[int] = set()
        """Rows with words to tell."""
        self._spec = ModelSpec(
            name=name,
            step_ms=STEP_MS,
            rate_in_hz=RATE_HZ,
            emits_words=recogniser.gives_words,
            emits_scores=True,
            judges_overlaps=opinion is not None,
            wants_own_audio=True,
            rows=rows,
            bytes_per_row=32 * 1024 + more_bytes,
        )
        for row in range(rows):
            self._refresh(row)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def warmup(self) -> None:
        """Run steps on a throw-away instance of the same session: arenas and code paths are warm afterwards."""
        probe = Ears(self._rows, NoRecogniser(), self._vad.silero.session)
        for _ in range(16):
            probe.step(silent_input(self._rows))

    def self_test(self) -> int:
        """Silence must score low and a voice-like tone complex must run through; rows that fit."""
        probe = Ears(min(self._rows, 2), NoRecogniser(), self._vad.silero.session)
        for _ in range(16):
            out = probe.step(silent_input(probe.spec.rows))
        if not bool((out.p_speech < 0.1).all() and out.valid.all()):
            raise ModelError("silero_vad.onnx: hears speech in silence")
        return self._rows

    def admit(self, row: int, persona: Persona) -> None:
        self._forget(np.array([row]))

    @property
    def fallback(self) -> str:
        """See ``HasBaseline``."""
        return self.why_not

    @property
    def helpers(self) -> HelperStats:
        """Recogniser processes."""
        return self._recogniser.stats if isinstance(self._recogniser, RecogniserPool) else HelperStats()

    def release(self, row: int) -> None:
        self._forget(np.array([row]))
        self._recogniser.release(row)

    def force(self, row: int, *, text: str | None) -> None:
        """Ears do not speak."""

    def close(self) -> None:
        self._recogniser.close()

    def step(self, inputs: StepInput) -> StepOutput:
        """One step of 160 samples for the rows of the mask; see ``StepInput`` and ``StepOutput`` for shapes."""
        if inputs.reset.any():
            self._forget(np.flatnonzero(inputs.reset))
        for row, expect in inputs.expects.items():
            self._turns[row].expect = expect
            self._recogniser.expect(row, expect)
            if self._opinion is not None:
                self._opinion.expect(row, expect)
            self._refresh(row)
        out = neutral_output(self._rows, inputs.mask)
        rows = np.flatnonzero(inputs.mask)
        if not len(rows):
            return out
        pcm = inputs.pcm[rows]
        speaking = inputs.speaking[rows]
        self._own.position[rows] += STEP_SAMPLES
        echo_db = self._echo.step(pcm, inputs.own[rows], rows)
        voice = None
        if self._opinion is not None:
            self._opinion.hear(pcm, inputs.own[rows], rows)
            voice = self._opinion.voice(rows)
        activity = self._vad.step(pcm.astype(np.float32) / 32768.0, rows, speaking, echo_db, voice)
        self._open_turns(rows, activity, speaking)
        self._close_stretches(rows, activity)
        self._listen(rows, pcm, activity, speaking)
        out.words = self._collect(inputs.mask)
        soft = self._near.step(activity.level_db, activity.speech, speaking, activity.silence_ms, rows, STEP_MS)
        self._score(out, rows, activity, speaking)
        self._leave_the_soft(out, rows[soft & speaking])
        return out

    def _open_turns(self, rows: NDArray[np.intp], activity: Activity, speaking: NDArray[np.bool_]) -> None:
        """New speech opens a turn, or goes on with one that has not ended for good."""
        for at in np.flatnonzero(activity.onset):
            row = int(rows[at])
            turn = self._turns[row]
            if not turn.open or self._is_over(turn, row) or (speaking[at] and self._was_left(turn, row)):
                turn.begin(overlap=bool(speaking[at]))
                self._own.open[row] = True
            self._refresh(row)

    def _close_stretches(self, rows: NDArray[np.intp], activity: Activity) -> None:
        """Speech has stopped: the turn is that much longer."""
        for at in np.flatnonzero(self._own.speech[rows] & ~activity.speech):
            row = int(rows[at])
            self._turns[row].spoken_ms += int(activity.speech_ms[at])
            self._refresh(row)
        self._own.speech[rows] = activity.speech
        spoke = rows[activity.speech]
        self._own.spoke_at[spoke] = self._own.position[spoke]

    def _is_over(self, turn: Turn, row: int) -> bool:
        """The end was called and either long ago or answered: what comes now is a new turn."""
        if turn.ended_at is None:
            return False
        since_ms = (int(self._own.position[row]) - turn.ended_at) * 1000 // RATE_HZ
        return since_ms >= REOPEN_MS or turn.spoken_over_ms >= REOPEN_MS

    def _was_left(self, turn: Turn, row: int) -> bool:
        """An overlap that was silent for a while and whose words did not stop us: what comes now is another one.

        Without this its words would decide about a sound that has nothing to do with them.
        """
        quiet_ms = (int(self._own.position[row]) - int(self._own.spoke_at[row])) * 1000 // RATE_HZ
        return turn.overlap and quiet_ms >= APART_MS

    def _listen(
        self, rows: NDArray[np.intp], pcm: NDArray[np.int16], activity: Activity, speaking: NDArray[np.bool_]
    ) -> None:
        """Feed the recogniser from the onset (and before) to a gap behind the last speech."""
        if not self._recogniser.gives_words:
            return
        own = self._own
        for at in np.flatnonzero(activity.onset & ~own.listening[rows]):
            self._start_utterance(int(rows[at]))
        soon = np.zeros(len(rows), np.bool_)
        if self._opinion is not None:
            soon = self._opinion.ends_soon(rows, own.sense[rows])
        for at in np.flatnonzero(own.listening[rows]):
            row = int(rows[at])
            self._recogniser.feed(row, pcm[at])
            enough = SHORTEST_GAP_MS if soon[at] else max(int(own.needed_ms[row]) - FINAL_AHEAD_MS, SHORTEST_GAP_MS)
            if self._recogniser.is_late:
                enough = min(enough, LATE_STOP_MS)
            if speaking[at] and self._turns[row].overlap:
                enough = min(enough, OVERLAP_STOP_MS)
            if activity.silence_ms[at] >= min(enough, UTTERANCE_GAP_MS):
                self._recogniser.stop(row)
                own.listening[row] = False
                own.preroll_from[row] = own.position[row]
        own.preroll[rows] = np.concatenate([own.preroll[rows, STEP_SAMPLES:], pcm], axis=1)

    def _start_utterance(self, row: int) -> None:
        own, turn = self._own, self._turns[row]
        turn.close_utterance()
        turn.utterance = self._recogniser.start(row, turn.expect, turn.mode)
        before = int(own.position[row]) - STEP_SAMPLES
        count = min(PREROLL_SAMPLES, before - int(own.preroll_from[row]))
        turn.utterance_began = before - count
        own.listening[row] = True
        own.heard_to[row] = turn.utterance_began
        self._refresh(row)
        if count > 0:
            self._recogniser.feed(row, own.preroll[row, PREROLL_SAMPLES - count :])

    def _collect(self, mask: NDArray[np.bool_]) -> list[HeardWords]:
        """Take in what the recogniser has found; the words of rows whose words or finality have changed."""
        for found in self._recogniser.poll():
            turn = self._turns[found.row]
            if found.utterance != turn.utterance:
                continue
            changed = turn.take(found)
            self._own.heard_to[found.row] = turn.heard_to
            if changed:
                turn.changed_at = int(self._own.position[found.row])
            if changed or found.final:
                self._refresh(found.row)
                self._changed.add(found.row)
        if not self._changed:
            return []
        told = sorted(row for row in self._changed if mask[row])
        self._changed.difference_update(told)
        return [heard for row in told if (heard := self._heard(row)) is not None]

    def _heard(self, row: int) -> HeardWords | None:
        turn = self._turns[row]
        now = (turn.words, not turn.awaits_words)
        if now == turn.said or (not now[0] and not turn.said[0]):
            return None
        turn.said = now
        return HeardWords(
            row=row, words=now[0], final=now[1], confidence=turn.mean_confidence(), end_samples=turn.heard_to
        )

    def _forget(self, rows: NDArray[np.intp]) -> None:
        for part in self._parts:
            part.reset(rows)
        for row in rows.tolist():
            self._recogniser.cancel(row)
            self._turns[row] = Turn()
            self._changed.discard(row)
            self._refresh(row)

    def snapshot(self, row: int) -> bytes:
        """Everything but the recogniser's own state: words of an utterance in progress are kept as they stand."""
        saved = {name: value for part in self._parts for name, value in part.save(row).items()}
        saved["turn"] = np.frombuffer(json.dumps(self._turns[row].to_json()).encode(), np.uint8)
        return pack(VERSION, saved)

    def restore(self, row: int, blob: bytes) -> None:
        saved = unpack(VERSION, blob)
        if "turn" not in saved:
            raise ModelError("snapshot: column turn is missing")
        turn = Turn.from_json(json.loads(saved["turn"].tobytes()))
        self._forget(np.array([row]))
        for part in self._parts:
            part.load(row, saved)
        self._own.listening[row] = False
        self._turns[row] = turn
        self._refresh(row)

    def _refresh(self, row: int) -> None:
        """Work out again what the row's words and expectation mean."""
        turn = self._turns[row]
        needed_ms = turn.needed_silence_ms(gives_words=self._recogniser.gives_words)
        if self._recogniser.is_late and turn.awaits_words:
            needed_ms = max(needed_ms, LATE_WAIT_MS)
        self._own.needed_ms[row] = needed_ms
        if self._opinion is not None:
            self._own.sense[row] = turn.sense if self._recogniser.gives_words else Sense.NOTHING
        self._own.awaited[row] = turn.awaits_words

    def _score(self, out: StepOutput, rows: NDArray[np.intp], activity: Activity, speaking: NDArray[np.bool_]) -> None:
        opinion = self._opinion
        out.p_speech[rows] = activity.p_speech if opinion is None else opinion.speech(rows, activity.p_speech)
        ends = out.p_end[rows] = np.where(self._own.open[rows], self._ends(rows, activity), 0.0)
        self._note_ends(rows, ends >= 0.5, speaking)
        sure = self._judge_words(out, rows, activity)
        out.p_backchannel[rows[activity.noise & speaking]] = 1.0
        if opinion is not None:
            judged = opinion.overlap(rows, out.p_take[rows], out.p_backchannel[rows], self._near.over_ms[rows])
            out.p_take[rows], out.p_backchannel[rows] = judged
            out.p_take[rows[sure]], out.p_backchannel[rows[sure]] = 1.0, 0.0

    def _ends(self, rows: NDArray[np.intp], activity: Activity) -> Floats:
        """``[R]`` score of the turn's end. Words that are still to come are waited for, within bounds."""
        behind, needed_ms = self._behind(rows), self._own.needed_ms[rows]
        ends = p_end(activity.silence_ms, np.where(behind, np.maximum(needed_ms, LATE_WAIT_MS), needed_ms))
        if self._opinion is None:
            return ends
        told = self._opinion.ends(rows, ends, self._own.sense[rows], activity.silence_ms)
        return np.where(behind, ends, told)

    def _judge_words(self, out: StepOutput, rows: NDArray[np.intp], activity: Activity) -> NDArray[np.bool_]:
        """What is said over our voice, by its words; ``[R]`` whether they need no other judge."""
        sure = np.zeros(len(rows), np.bool_)
        for at in np.flatnonzero(self._own.open[rows]):
            row = int(rows[at])
            turn = self._turns[row]
            if turn.overlap and not self._is_over(turn, row) and activity.silence_ms[at] < LATE_MS:
                if self._words_hold(turn, row, int(activity.silence_ms[at])):
                    turn.judge_overlap(int(activity.speech_ms[at]))
                out.p_take[row] = turn.verdict is Verdict.TAKES
                out.p_backchannel[row] = turn.verdict is Verdict.BACKCHANNEL
                sure[at] = turn.takes_surely
        return sure

    def _leave_the_soft(self, out: StepOutput, rows: NDArray[np.intp]) -> None:
        """What is too soft to be meant for us does not stop us, whatever it says."""
        out.p_take[rows] = 0.0
        out.p_backchannel[rows] = self._near.over_ms[rows] >= CERTAIN_MS

    def _behind(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """``[R]`` the recogniser owes words of the last speech."""
        own = self._own
        found: NDArray[np.bool_] = own.awaited[rows] & (own.spoke_at[rows] - own.heard_to[rows] > BEHIND_SAMPLES)
        return found

    def _words_hold(self, turn: Turn, row: int, silence_ms: int) -> bool:
        """A word that the next hypothesis takes back must not cut our voice."""
        if turn.sure or not turn.awaits_words or silence_ms >= SHORTEST_GAP_MS:
            return True
        return int(self._own.position[row]) - turn.changed_at >= STEADY_SAMPLES

    def _note_ends(self, rows: NDArray[np.intp], over: NDArray[np.bool_], speaking: NDArray[np.bool_]) -> None:
        """Remember where ends were called and how much of our voice followed."""
        own = self._own
        for at in np.flatnonzero(own.open[rows]):
            turn = self._turns[int(rows[at])]
            if not over[at]:
                if not self._is_over(turn, int(rows[at])):  # speech can show before its onset is sure
                    turn.ended_at = None
                    turn.spoken_over_ms = 0
            elif turn.ended_at is None:
                turn.ended_at = int(own.position[rows[at]])
            elif speaking[at]:
                turn.spoken_over_ms += STEP_MS
