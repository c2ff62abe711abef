"""Silero VAD v6 at 8 kHz, batched over rows: one ONNX call for all rows whose window is full.

The model (MIT, ``data/silero_vad.LICENSE.txt``) wants windows of 256 new samples behind 32 samples of context, in
[-1, 1], and a state of [2, B, 128]. Without the context it runs and silently fails.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.parts.rowstate import RowState

RATE_HZ = 8000
WINDOW_SAMPLES = 256
CONTEXT_SAMPLES = 32
STATE_SIZE = 128
MODEL_SHA256 = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"

RESET_AFTER_WINDOWS = 63
"""About 2 s: an unreset state drifts over long silence …"""
RESET_QUIET_WINDOWS = 5
"""… but a reset inside speech would cost a few windows, so that many quiet ones must come first."""
RESET_QUIET_SCORE = 0.1

Floats = NDArray[np.float32]


def load_model() -> bytes:
    """The shipped ONNX file, checked against its hash."""
    blob = files("agent.model.parts").joinpath("data/silero_vad.onnx").read_bytes()
    found = sha256(blob).hexdigest()
    if found != MODEL_SHA256:
        raise ModelError(f"silero_vad.onnx: sha256 is {found}, expected {MODEL_SHA256}")
    return blob


def open_session() -> Any:
    """An ONNX Runtime session that uses the calling thread only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(load_model(), options, providers=["CPUExecutionProvider"])


class Silero(RowState):
    """Probability of speech for ``rows`` rows, each with its own fill phase."""

    def __init__(self, rows: int, session: Any | None = None) -> None:
        super().__init__(rows)
        self.session = session if session is not None else open_session()
        self._rate = np.array(RATE_HZ, np.int64)
        self._state = self._column("silero_state", np.float32, shape=(2, STATE_SIZE))
        self._samples = self._column("silero_samples", np.float32, shape=(CONTEXT_SAMPLES + 2 * WINDOW_SAMPLES,))
        """Context, then samples of the window that is filling."""
        self._fill = self._column("silero_fill", np.int64)
        self._windows = self._column("silero_windows", np.int64)
        """Windows since the last reset of the state."""
        self._quiet = self._column("silero_quiet", np.int64)
        """Windows under ``RESET_QUIET_SCORE`` in a row."""
        self.score: Floats = self._column("silero_score", np.float32)
        """``[rows]`` probability of the last full window, held until the next."""

    def step(self, pcm: Floats, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """pcm: ``[len(rows), n]`` float32 in [-1, 1], 8 kHz, n <= 256 → indices of the rows with a new score."""
        count = pcm.shape[1]
        if pcm.dtype != np.float32 or count > WINDOW_SAMPLES:
            raise ValueError(f"needs at most {WINDOW_SAMPLES} samples of float32, not {count} of {pcm.dtype}")
        at = (CONTEXT_SAMPLES + self._fill[rows])[:, None] + np.arange(count)
        self._samples[rows[:, None], at] = pcm
        self._fill[rows] += count
        full = rows[self._fill[rows] >= WINDOW_SAMPLES]
        if len(full):
            self._run(full)
        return full

    def _run(self, rows: NDArray[np.intp]) -> None:
        size = CONTEXT_SAMPLES + WINDOW_SAMPLES
        window = self._samples[rows, :size]
        scores, state = self.session.run(
            None, {"input": window, "state": self._state[rows].transpose(1, 0, 2), "sr": self._rate}
        )
        self._state[rows] = state.transpose(1, 0, 2)
        self.score[rows] = scores[:, 0]
        # The last 32 samples become the context; what is already there of the next window moves to the front.
        self._samples[rows, :size] = self._samples[rows, WINDOW_SAMPLES:]
        self._fill[rows] -= WINDOW_SAMPLES
        self._forget_after_long_silence(rows)

    def _forget_after_long_silence(self, rows: NDArray[np.intp]) -> None:
        self._windows[rows] += 1
        self._quiet[rows] = np.where(self.score[rows] < RESET_QUIET_SCORE, self._quiet[rows] + 1, 0)
        due = rows[(self._windows[rows] >= RESET_AFTER_WINDOWS) & (self._quiet[rows] >= RESET_QUIET_WINDOWS)]
        self._state[due] = 0.0
        self._windows[due] = 0
