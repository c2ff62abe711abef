"""The marker voice as an engine: every word of the dialogue becomes its number in tones, at exact times."""

from __future__ import annotations

import numpy as np

from agent.voice.engine import ClauseJob, Emit
from telephony.audio.marker import TONE_SAMPLES, WORD_SAMPLES, marker_word


class MarkerEngine:
    """Word ``k`` of an utterance says ``k`` modulo 64 (``telephony.audio.marker``)."""

    exact = True

    def say(self, job: ClauseJob, emit: Emit) -> None:
        pcm = np.concatenate([marker_word(job.first_word + index) for index in range(len(job.words))])
        starts = range(0, pcm.size, WORD_SAMPLES)
        emit(pcm, tuple((start, start + TONE_SAMPLES) for start in starts))
