"""The floor net on ONNX Runtime: state of all rows in arrays, one batched step of 40 ms. No torch.

A row can rest, be reset, be copied out and put back elsewhere: all its state is its line in three arrays and the past
of its two feature streams.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.small.features import Codes, LogMel
from agent.model.small.stepnet import Floats, StepNet, metadata, open_session, read_as

FRAME: Final = 320
"""Samples of one step of the net."""
VERSION: Final = 1


class FloorRuntime:
    """One net for ``rows`` rows; called from one thread."""

    def __init__(self, path: Path, rows: int) -> None:
        session = open_session(path)
        with read_as(path, "floor net"):
            known = metadata(session)
            names = known["head_names"].split(",")
            widths = [int(float(width)) for width in known["heads"].split(",")]
            self._net = StepNet(session, rows)
        edges = np.cumsum([0, *widths])
        self.heads = {name: slice(int(edges[i]), int(edges[i + 1])) for i, name in enumerate(names)}
        self._caller, self._own = LogMel(rows), LogMel(rows)

    @property
    def bytes_per_row(self) -> int:
        """Memory of one row's state."""
        return self._net.bytes_per_row + 2 * int(self._caller.state(0).nbytes)

    def reset(self, rows: NDArray[np.intp]) -> None:
        """``rows`` have heard nothing."""
        self._net.reset(rows)
        self._caller.reset(rows)
        self._own.reset(rows)

    def step(self, caller: Floats, own: Floats, expect: Floats, rows: NDArray[np.intp]) -> dict[str, Floats]:
        """Advance ``rows`` ``[k]`` by 40 ms: audio ``[k, 320]``, ``expect`` ``[k, SIZE]``. Logits by head."""
        return self.step_codes(self._caller.push(caller, rows), self._own.push(own, rows), expect, rows)

    def step_codes(self, caller: Codes, own: Codes, expect: Floats, rows: NDArray[np.intp]) -> dict[str, Floats]:
        """As ``step``, from features ``[k, 4, 40]`` that were made before."""
        logits = self._net.step({"caller": caller, "own": own, "expect": expect}, rows)
        return {name: logits[:, part] for name, part in self.heads.items()}

    def snapshot(self, row: int) -> bytes:
        """State of ``row`` as bytes that begin with a version."""
        parts = [self._net.state(row), self._caller.state(row), self._own.state(row)]
        return bytes([VERSION]) + np.concatenate(parts).astype("<f4").tobytes()

    def restore(self, row: int, blob: bytes) -> None:
        """Inverse of ``snapshot``. Raises ``ModelError`` for another version or size."""
        if not blob or blob[0] != VERSION or len(blob) != 1 + self.bytes_per_row:
            raise ModelError("floor net: this snapshot is of another version or net")
        values = np.frombuffer(blob[1:], "<f4").astype(np.float32)
        at = self._net.bytes_per_row // values.itemsize
        past = (values.size - at) // 2
        self._net.restore(row, values[:at])
        self._caller.restore(row, values[at : at + past])
        self._own.restore(row, values[at + past :])
