"""Who speaks now: Silero (or a net that is given) decides what is speech, frame levels when it begins and ends.

Silero alone opens 60 ms late and closes 100-200 ms late. So a frame counts as speech when its level is active *and*
the model has heard speech within the last windows. While our own voice plays, an active level alone opens speech for
``PROVISIONAL_MS`` (our voice is ducked in time); when the model has not confirmed it by then, it was noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.model.parts.levels import FRAME_MS, FRAME_SAMPLES, Floats, Levels, frame_levels
from agent.model.parts.rowstate import RowState, Saved
from agent.model.parts.silero import Silero

SPEECH_ON = 0.5
SPEECH_HELD = 0.35
"""Under this score a window is not speech; between the two it goes on if it had begun."""
SURE = 0.8
SURE_OVER_NOISE_DB = 4.0
"""Soft speech in noise: a sure model needs only that much level."""
CONFIRM_MS = 120
"""A speech window vouches for active frames of that long (Silero lags and dips inside words)."""
PROVISIONAL_MS = 200
HOLD_MS = 60
"""Inactive frames inside a word that do not end speech (closures of stops)."""
P_PROVISIONAL = 0.6
LONG_MS = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What one step found, ``[R]`` in the order of the rows given."""

    p_speech: Floats
    level_db: Floats
    """dBFS of the loudest frame."""
    speech: NDArray[np.bool_]
    """Speech that the model has confirmed, holds included."""
    noise: NDArray[np.bool_]
    """Active for longer than a provisional start, and still not speech by the model."""
    onset: NDArray[np.bool_]
    """``speech`` began in this step."""
    silence_ms: NDArray[np.int64]
    """Since the last speech frame; 0 in a step that holds one; ``LONG_MS`` before any."""
    speech_ms: NDArray[np.int64]
    """Speech frames of the running or last stretch (gaps not counted)."""


class SpeechDetector(RowState):
    """Batched over ``rows``; every array is indexed by row."""

    def __init__(self, rows: int, session: Any | None = None) -> None:
        super().__init__(rows)
        self.silero = Silero(rows, session)
        self.levels = Levels(rows)
        self._vouched_ms = self._column("vouched_ms", np.int64)
        """For how long the model still vouches for active frames."""
        self._burst_ms = self._column("burst_ms", np.int64)
        """Age of the active run that the model has not confirmed."""
        self._quiet_ms = self._column("quiet_ms", np.int64, LONG_MS)
        """Since the last active frame, confirmed or not."""
        self._silence_ms = self._column("silence_ms", np.int64, LONG_MS)
        self._speech_ms = self._column("speech_ms", np.int64)
        self._speech = self._column("speech", np.bool_)

    def reset(self, rows: NDArray[np.intp]) -> None:
        for part in (self.silero, self.levels):
            part.reset(rows)
        super().reset(rows)

    def save(self, row: int) -> Saved:
        return {**self.silero.save(row), **self.levels.save(row), **super().save(row)}

    def load(self, row: int, saved: Saved) -> None:
        for part in (self.silero, self.levels):
            part.load(row, saved)
        super().load(row, saved)

    def step(
        self,
        pcm: Floats,
        rows: NDArray[np.intp],
        speaking: NDArray[np.bool_],
        echo_db: Floats | None = None,
        score: Floats | None = None,
    ) -> Activity:
        """pcm: ``[R, n]`` float32 in [-1, 1]; ``speaking`` ``[R]``; ``echo_db`` ``[R]`` level our echo may have;
        ``score`` ``[R]`` probability of speech by another model, which spares us Silero's.
        """
        step_ms = pcm.shape[1] // FRAME_SAMPLES * FRAME_MS
        if score is None:
            self.silero.step(pcm, rows)
            score = self.silero.score[rows]
        levels = frame_levels(pcm)
        active = self._active(levels, rows, score, echo_db)
        hot = np.asarray(active.any(axis=1))
        confirmed = self._confirm(rows, score, hot, step_ms)
        speech_frame = hot & confirmed
        self._count(rows, active, hot, speech_frame, step_ms)
        self.levels.learn(levels, rows, (score >= SPEECH_HELD) | (hot & (self._burst_ms[rows] <= PROVISIONAL_MS)))
        return self._activity(rows, score, speaking, levels.max(axis=1))

    def _active(
        self, levels: Floats, rows: NDArray[np.intp], score: Floats, echo_db: Floats | None
    ) -> NDArray[np.bool_]:
        """``[R, F]`` frames loud enough to be somebody on the line."""
        threshold = self.levels.threshold_db(rows)
        soft = self.levels.noise_db[rows] + SURE_OVER_NOISE_DB
        threshold = np.where(score >= SURE, np.minimum(threshold, np.maximum(soft, -55.0)), threshold)
        if echo_db is not None:
            threshold = np.maximum(threshold, echo_db)
        result: NDArray[np.bool_] = levels >= threshold[:, None]
        return result

    def _confirm(
        self, rows: NDArray[np.intp], score: Floats, hot: NDArray[np.bool_], step_ms: int
    ) -> NDArray[np.bool_]:
        """Whether the model vouches for active frames of this step."""
        vouched = np.maximum(self._vouched_ms[rows] - step_ms, 0)
        heard = (score >= SPEECH_ON) | ((score >= SPEECH_HELD) & self._speech[rows])
        vouched = np.where(heard & hot, CONFIRM_MS, vouched)
        self._vouched_ms[rows] = vouched
        result: NDArray[np.bool_] = vouched > 0
        return result

    def _count(
        self,
        rows: NDArray[np.intp],
        active: NDArray[np.bool_],
        hot: NDArray[np.bool_],
        speech_frame: NDArray[np.bool_],
        step_ms: int,
    ) -> None:
        frames = active.shape[1]
        after_last_ms = np.argmax(active[:, ::-1], axis=1) * FRAME_MS
        quiet = np.where(hot, after_last_ms, np.minimum(self._quiet_ms[rows] + step_ms, LONG_MS))
        self._quiet_ms[rows] = quiet
        burst = np.where(quiet < HOLD_MS, self._burst_ms[rows] + step_ms, 0)
        self._burst_ms[rows] = np.where(speech_frame, 0, burst)
        was_over = self._silence_ms[rows] >= HOLD_MS
        # A burst that the model confirms late was speech from its first frame on.
        self._silence_ms[rows] = np.where(
            speech_frame, after_last_ms, np.minimum(self._silence_ms[rows] + step_ms, LONG_MS)
        )
        kept = np.where(was_over & speech_frame, 0, self._speech_ms[rows])
        self._speech_ms[rows] = kept + np.where(speech_frame, active.sum(axis=1) * (step_ms // frames), 0)

    def _activity(
        self, rows: NDArray[np.intp], score: Floats, speaking: NDArray[np.bool_], level_db: Floats
    ) -> Activity:
        silence = self._silence_ms[rows]
        speech = silence < HOLD_MS
        onset = speech & ~self._speech[rows]
        self._speech[rows] = speech
        burst = self._burst_ms[rows]
        provisional = speaking & (self._quiet_ms[rows] < HOLD_MS) & (burst > 0) & (burst <= PROVISIONAL_MS)
        p_speech = np.where(speech, np.maximum(score, P_PROVISIONAL), np.where(provisional, P_PROVISIONAL, 0.0))
        return Activity(
            p_speech=p_speech.astype(np.float32),
            level_db=level_db,
            speech=speech,
            noise=~speech & (burst > PROVISIONAL_MS),
            onset=onset,
            silence_ms=np.where(silence >= LONG_MS, LONG_MS, silence),
            speech_ms=self._speech_ms[rows].copy(),
        )
