"""Pipecat's voice activity and turn model on recorded callers: the process behind ``agent.bench.smart_turn``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADState

RATE_HZ: Final = 8000
FRAME: Final = 160
BEFORE_S: Final = 0.7
"""Audio before the known start that the turn model gets: ``pre_speech_ms`` and the voice activity's own 0.2 s."""
LONGEST_S: Final = 8.0
COMPLETE: Final = 0.5


def follow(pcm: NDArray[np.int16], vad: Any, turns: Any) -> dict[str, Any]:
    """Starts and stops of one call, with the turn model's word on each stop."""
    starts: list[float] = []
    stops: list[dict[str, Any]] = []
    speaking, begun = False, 0.0
    for at in range(0, len(pcm) - FRAME + 1, FRAME):
        state = vad._run_analyzer(pcm[at : at + FRAME].tobytes())
        now = (at + FRAME) / RATE_HZ
        if state == VADState.SPEAKING and not speaking:
            speaking = True
            starts.append(now)
            if stops and stops[-1]["resumed"] is None:
                stops[-1]["resumed"] = now
            if not stops or stops[-1]["over"] > COMPLETE or now - stops[-1]["at"] > 3.0:
                begun = now  # the last turn is over: this begins another
        elif state == VADState.QUIET and speaking:
            speaking = False
            first = max(0.0, begun - BEFORE_S, now - LONGEST_S)
            audio = pcm[round(first * RATE_HZ) : at + FRAME].astype(np.float32) / 32768.0
            over = float(turns._predict_endpoint(audio)["probability"])
            stops.append({"at": now, "over": over, "resumed": None})
    return {"starts": starts, "stops": stops}


def main() -> None:
    from loguru import logger

    logger.remove()
    turns = LocalSmartTurnAnalyzerV3()
    turns.set_sample_rate(RATE_HZ)
    found = []
    with np.load(Path(sys.argv[1])) as kept:
        for number in range(len(kept.files)):
            vad = SileroVADAnalyzer()
            vad.set_sample_rate(RATE_HZ)
            found.append(follow(kept[str(number)], vad, turns))
    sys.stdout.write(json.dumps(found) + "\n")
