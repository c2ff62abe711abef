"""Crosstalk-small as the service's ears: the parts' ears with our floor net beside them, or without it.

The net says when the caller speaks (no other voice activity is asked), is done, or speaks to somebody else; words still
say what is complete. What each
decides stands in ``rules``. Where the net cannot serve (no weights, damaged, too slow for this machine) the parts'
ears serve alone and say why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from agent.errors import ModelError
from agent.model.names import ModelName
from agent.model.parts.ears import STEP_MS, Ears, silent_input
from agent.model.parts.recogniser import Recogniser
from agent.model.small.expectation import SIZE
from agent.model.small.opinion import FRAME_MS, NetOpinion
from agent.model.small.rules import ENDS, Answer, EndRule
from agent.model.small.runtime import FRAME, FloorRuntime
from agent.model.small.weights import located, rules_of

BUDGET: Final = 0.3
"""Share of an ears' step that the net may take for one row alone: half of what a step may take in all."""
TRIES: Final = 8


class SmallEars(Ears):
    """See ``agent.model.protocol.DuplexModel``."""

    def __init__(
        self,
        rows: int,
        recogniser: Recogniser,
        net: FloorRuntime,
        session: Any | None = None,
        ends: Mapping[Answer, EndRule] = ENDS,
    ) -> None:
        self._net_opinion = NetOpinion(net, rows, ends)
        super().__init__(
            rows,
            recogniser,
            session,
            opinion=self._net_opinion,
            name=ModelName.SMALL,
            more_bytes=self._net_opinion.bytes_per_row,
        )

    @property
    def fallback(self) -> str:
        """Why the net is not asked now; empty: it is."""
        return self._net_opinion.failed

    def warmup(self) -> None:
        """Beside the parts' own: the net's first steps, with one row and with all."""
        super().warmup()
        for _ in range(2 * FRAME_MS // STEP_MS):
            self.step(silent_input(self._rows))
        self._forget(np.arange(self._rows))


def build(rows: int, *, recogniser: Callable[[], Recogniser], weights: str = "", session: Any | None = None) -> Ears:
    """Ears for ``rows`` calls: with the net of ``weights`` (empty: the one that ships), or the parts' with a reason.

    Raises ``ModelError`` where the parts cannot be loaded either.
    """
    try:
        net, ends = open_net(weights, rows)
    except ModelError as lacking:
        ears = Ears(rows, recogniser(), session)
        ears.why_not = str(lacking)
        return ears
    return SmallEars(rows, recogniser(), net, session, ends)


def open_net(weights: str, rows: int = 1) -> tuple[FloorRuntime, Mapping[Answer, EndRule]]:
    """The net and its rules, tried. Raises ``ModelError`` saying why it cannot serve here."""
    path = located(weights)
    net, ends = FloorRuntime(path, rows), rules_of(path)
    _try(net)
    return net, ends


def _try(net: FloorRuntime) -> None:
    """A few steps of silence. Raises ``ModelError``: they fail, mean nothing, or last too long."""
    one, silence = np.arange(1), np.zeros((1, FRAME), np.float32)
    spent = []
    for _ in range(TRIES):
        began = time.perf_counter()
        try:
            heads = net.step(silence, silence, np.zeros((1, SIZE), np.float32), one)
        except Exception as broken:  # ONNX Runtime's errors have no common class but Exception
            raise ModelError(f"the floor net cannot be run: {broken}") from None
        spent.append(time.perf_counter() - began)
        if not all(np.isfinite(values).all() for values in heads.values()):
            raise ModelError("the floor net gives numbers that are not finite")
    net.reset(one)
    if min(spent) > BUDGET * STEP_MS / 1000:
        raise ModelError(
            f"a step of the floor net takes {1000 * min(spent):.1f} ms here, at most {BUDGET * STEP_MS:g} fit"
        )
