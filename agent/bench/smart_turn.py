"""What Pipecat's own turn taking (Silero, then smart-turn v3.2) says of recorded callers, offline.

A live Pipecat agent on our wire would need a SIP door of its own; its turn taking can be asked without one. Its
classes run unchanged in a process of their own: voice activity with Pipecat's defaults (0.2 s to start and to stop),
and its turn model at each stop. A turn that the model does not call over ends after 3 s of silence, as there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.errors import AgentError
from agent.simulator.energy import Pcm

STOP_SECS: Final = 3.0
"""``SmartTurnParams.stop_secs``."""
VAD_STOP_S: Final = 0.2
"""``VADParams.stop_secs``."""
THRESHOLDS: Final = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Of the turn model; Pipecat's is 0.5."""
_BOOT: Final = "from agent.bench.smart_turn_process import main; main()"


@dataclass(frozen=True, slots=True)
class Stop:
    """The caller stopped speaking, by voice activity."""

    at: float
    """Seconds: when that was known."""
    over: float
    """The model's probability that the turn is over."""
    resumed: float | None
    """When speech began again."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One call as Pipecat hears it."""

    starts: tuple[float, ...]
    """When speech was known to have begun."""
    stops: tuple[Stop, ...]

    def ends(self, threshold: float) -> tuple[float, ...]:
        """When turns would have ended."""
        found = []
        for stop in self.stops:
            at = stop.at if stop.over > threshold else stop.at - VAD_STOP_S + STOP_SECS
            if stop.resumed is None or at <= stop.resumed:
                found.append(at)
        return tuple(found)


def why_not() -> str:
    """Why Pipecat cannot be asked here; empty: it can."""
    return "" if find_spec("pipecat") is not None else "needs the extra pipecat"


def hear(callers: Mapping[str, Pcm]) -> dict[str, Heard]:
    """Name of a call to what Pipecat hears in it. Raises ``AgentError``."""
    with tempfile.TemporaryDirectory(prefix="crosstalk-bench-") as folder:
        path = Path(folder) / "callers.npz"
        names = list(callers)
        arrays: dict[str, Any] = {str(number): callers[name] for number, name in enumerate(names)}
        np.savez(path, **arrays)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _BOOT, str(path)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise AgentError(f"Pipecat's turn taking ended with {done.returncode}: {done.stderr[-400:]}")
    told: Sequence[Mapping[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return {name: _heard(one) for name, one in zip(names, told, strict=True)}


def _heard(told: Mapping[str, Any]) -> Heard:
    stops = tuple(Stop(one["at"], one["over"], one["resumed"]) for one in told["stops"])
    return Heard(tuple(told["starts"]), stops)
