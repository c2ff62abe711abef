"""The phone net on ONNX Runtime: audio of some rows in, log-probabilities of phones out, every 30 ms. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.model.small.features import HOP, LogMel
from agent.model.small.stepnet import Floats, StepNet, open_session, read_as
from agent.model.small.weights import located

STEP: Final = 3 * HOP
"""Samples of one step of the net: 30 ms."""
WEIGHTS: Final = Path(__file__).parent / "weights" / "words.onnx"


def located_words() -> Path:
    """The file that ships, checked against its sum. Raises ``ModelError``."""
    return located(str(WEIGHTS))


class PhoneRuntime:
    """One net for ``rows`` rows; called from one thread. A row's result depends on that row alone."""

    def __init__(self, path: Path, rows: int) -> None:
        session = open_session(path)
        with read_as(path, "phone net"):
            self._net = StepNet(session, rows)
        self._features = LogMel(rows)

    @property
    def bytes_per_row(self) -> int:
        """Memory of one row's state."""
        return self._net.bytes_per_row + int(self._features.state(0).nbytes)

    def reset(self, rows: NDArray[np.intp]) -> None:
        """``rows`` have heard silence only."""
        self._net.reset(rows)
        self._features.reset(rows)

    def step(self, pcm: Floats, rows: NDArray[np.intp]) -> Floats:
        """Advance ``rows`` ``[k]`` by ``pcm`` ``[k, 240]``, full scale 1: log-probabilities ``[k, 40]``."""
        return self._net.step({"codes": self._features.push(pcm, rows)}, rows)
