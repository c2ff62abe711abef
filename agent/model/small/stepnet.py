"""An exported net of one step on ONNX Runtime, the state of all rows in arrays outside it. No torch.

``agent.training.graph`` writes such files: inputs and outputs of state are called alike, and a row's start stands in
the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError

Floats = NDArray[np.float32]
STATE: Final = ("first", "second", "hidden")


def open_session(path: Path) -> Any:
    """One thread. Raises ``ModelError``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as broken:  # ONNX Runtime's errors have no common class but Exception
        raise ModelError(f"{path}: cannot be loaded: {broken}") from None


def metadata(session: Any) -> Mapping[str, str]:
    found: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    return found


@contextmanager
def read_as(path: Path, kind: str) -> Iterator[None]:
    """What is missing or odd in the file inside makes it none of ours: ``ModelError``."""
    try:
        yield
    except (KeyError, ValueError, TypeError) as lacking:
        raise ModelError(f"{path}: not a {kind} of ours: {lacking}") from None


class StepNet:
    """A net for ``rows`` rows; called from one thread. Raises as ``read_as`` expects."""

    def __init__(self, session: Any, rows: int) -> None:
        self._session = session
        known = metadata(session)
        shapes = {found.name: found.shape[1:] for found in session.get_inputs() if found.name in STATE}
        self._start = {
            "first": _numbers(known["start_first"]).reshape(shapes["first"]),
            "second": _numbers(known["start_second"]).reshape(shapes["second"]),
            "hidden": np.zeros(shapes["hidden"], np.float32),
        }
        self._state = {name: np.repeat(start[None], rows, axis=0) for name, start in self._start.items()}

    @property
    def bytes_per_row(self) -> int:
        """Memory of one row's state."""
        return sum(int(array[0].nbytes) for array in self._state.values())

    def reset(self, rows: NDArray[np.intp]) -> None:
        """``rows`` begin anew."""
        for name, start in self._start.items():
            self._state[name][rows] = start

    def step(self, inputs: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> Floats:
        """Advance ``rows`` ``[k]`` by one step: the net's first output for ``inputs`` ``[k, …]``."""
        found, *after = self._session.run(None, {**inputs, **{name: self._state[name][rows] for name in STATE}})
        for name, value in zip(STATE, after, strict=True):
            self._state[name][rows] = value
        return np.asarray(found, np.float32)

    def state(self, row: int) -> Floats:
        """All of ``row``'s state in one line."""
        return np.concatenate([self._state[name][row].reshape(-1) for name in STATE])

    def restore(self, row: int, values: Floats) -> None:
        """Inverse of ``state``."""
        at = 0
        for name in STATE:
            target = self._state[name][row]
            self._state[name][row] = values[at : at + target.size].reshape(target.shape)
            at += target.size


def _numbers(text: str) -> Floats:
    return np.array([float(part) for part in text.split(",")], np.float32)
