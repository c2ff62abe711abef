"""The phone net on ONNX Runtime: audio of some rows in, log-probabilities of phones out, every 30 ms. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.small.features import HOP, LogMel

STEP: Final = 3 * HOP
"""Samples of one step of the net: 30 ms."""
Floats = NDArray[np.float32]
_STATE: Final = ("first", "second", "hidden")


class PhoneRuntime:
    """One net for ``rows`` rows; called from one thread. A row's result depends on that row alone."""

    def __init__(self, path: Path, rows: int) -> None:
        self._session = _open(path)
        known = self._session.get_modelmeta().custom_metadata_map
        try:
            shapes = {found.name: found.shape[1:] for found in self._session.get_inputs() if found.name in _STATE}
            self._start = {
                "first": _numbers(known["start_first"]).reshape(shapes["first"]),
                "second": _numbers(known["start_second"]).reshape(shapes["second"]),
                "hidden": np.zeros(shapes["hidden"], np.float32),
            }
        except (KeyError, ValueError, TypeError) as lacking:
            raise ModelError(f"{path}: not a phone net of ours: {lacking}") from None
        self._state = {name: np.repeat(start[None], rows, axis=0) for name, start in self._start.items()}
        self._features = LogMel(rows)

    @property
    def bytes_per_row(self) -> int:
        """Memory of one row's state."""
        return sum(int(array[0].nbytes) for array in self._state.values()) + int(self._features.state(0).nbytes)

    def reset(self, rows: NDArray[np.intp]) -> None:
        """``rows`` have heard silence only."""
        for name, start in self._start.items():
            self._state[name][rows] = start
        self._features.reset(rows)

    def step(self, pcm: Floats, rows: NDArray[np.intp]) -> Floats:
        """Advance ``rows`` ``[k]`` by ``pcm`` ``[k, 240]``, full scale 1: log-probabilities ``[k, 40]``."""
        inputs = {"codes": self._features.push(pcm, rows), **{name: self._state[name][rows] for name in _STATE}}
        logp, *after = self._session.run(None, inputs)
        for name, value in zip(_STATE, after, strict=True):
            self._state[name][rows] = value
        return np.asarray(logp, np.float32)


def _open(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as broken:  # ONNX Runtime's errors have no common class but Exception
        raise ModelError(f"{path}: cannot be loaded: {broken}") from None


def _numbers(text: str) -> Floats:
    return np.array([float(part) for part in text.split(",")], np.float32)
