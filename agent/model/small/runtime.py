"""The floor net on ONNX Runtime: state of all rows in arrays, one batched step of 40 ms. No torch.

A row can rest, be reset, be copied out and put back elsewhere: all its state is its line in three arrays and the past
of its two feature streams.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.small.features import Codes, LogMel

FRAME: Final = 320
"""Samples of one step of the net."""
VERSION: Final = 1
Floats = NDArray[np.float32]
_STATE: Final = ("first", "second", "hidden")


class FloorRuntime:
    """One net for ``rows`` rows; called from one thread."""

    def __init__(self, path: Path, rows: int) -> None:
        self._session = _open(path)
        known = self._session.get_modelmeta().custom_metadata_map
        try:
            names = known["head_names"].split(",")
            widths = [int(float(width)) for width in known["heads"].split(",")]
            shapes = {found.name: found.shape[1:] for found in self._session.get_inputs() if found.name in _STATE}
            self._start = {
                "first": _numbers(known["start_first"]).reshape(shapes["first"]),
                "second": _numbers(known["start_second"]).reshape(shapes["second"]),
                "hidden": np.zeros(shapes["hidden"], np.float32),
            }
        except (KeyError, ValueError, TypeError) as lacking:
            raise ModelError(f"{path}: not a floor net of ours: {lacking}") from None
        edges = np.cumsum([0, *widths])
        self.heads = {name: slice(int(edges[i]), int(edges[i + 1])) for i, name in enumerate(names)}
        self._state = {name: np.repeat(start[None], rows, axis=0) for name, start in self._start.items()}
        self._caller, self._own = LogMel(rows), LogMel(rows)

    @property
    def bytes_per_row(self) -> int:
        """Memory of one row's state."""
        return sum(int(array[0].nbytes) for array in self._state.values()) + 2 * int(self._caller.state(0).nbytes)

    def reset(self, rows: NDArray[np.intp]) -> None:
        """``rows`` have heard nothing."""
        for name, start in self._start.items():
            self._state[name][rows] = start
        self._caller.reset(rows)
        self._own.reset(rows)

    def step(self, caller: Floats, own: Floats, expect: Floats, rows: NDArray[np.intp]) -> dict[str, Floats]:
        """Advance ``rows`` ``[k]`` by 40 ms: audio ``[k, 320]``, ``expect`` ``[k, SIZE]``. Logits by head."""
        return self.step_codes(self._caller.push(caller, rows), self._own.push(own, rows), expect, rows)

    def step_codes(self, caller: Codes, own: Codes, expect: Floats, rows: NDArray[np.intp]) -> dict[str, Floats]:
        """As ``step``, from features ``[k, 4, 40]`` that were made before."""
        inputs = {
            "caller": caller,
            "own": own,
            "expect": expect,
            **{name: array[rows] for name, array in self._state.items()},
        }
        logits, *after = self._session.run(None, inputs)
        for name, value in zip(_STATE, after, strict=True):
            self._state[name][rows] = value
        return {name: logits[:, part] for name, part in self.heads.items()}

    def snapshot(self, row: int) -> bytes:
        """State of ``row`` as bytes that begin with a version."""
        parts = [self._state[name][row].reshape(-1) for name in _STATE]
        parts += [self._caller.state(row), self._own.state(row)]
        return bytes([VERSION]) + np.concatenate(parts).astype("<f4").tobytes()

    def restore(self, row: int, blob: bytes) -> None:
        """Inverse of ``snapshot``. Raises ``ModelError`` for another version or size."""
        if not blob or blob[0] != VERSION or len(blob) != 1 + self.bytes_per_row:
            raise ModelError("floor net: this snapshot is of another version or net")
        values = np.frombuffer(blob[1:], "<f4").astype(np.float32)
        at = 0
        for name in _STATE:
            target = self._state[name][row]
            self._state[name][row] = values[at : at + target.size].reshape(target.shape)
            at += target.size
        past = (values.size - at) // 2
        self._caller.restore(row, values[at : at + past])
        self._own.restore(row, values[at + past :])


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
