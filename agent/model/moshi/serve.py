"""What a worker serves: the model of a folder with ears beside it, and as many rows as the device holds."""

from __future__ import annotations

from pathlib import Path

import torch

from agent.model.duet import WithEars
from agent.model.moshi.checkpoint import open_checkpoint
from agent.model.moshi.model import Options, fitting_rows, load_model
from agent.model.parts.ears import build


def open_served(
    folder: Path, most_rows: int, *, device: str = "auto", window_s: float = 0.0, fp8_kv: bool = False
) -> WithEars:
    """At most ``most_rows`` rows. Raises ``ModelError`` that names what is wrong, or how much memory is missing.

    ``window_s``: how far back a call is remembered; 0: as far as the model was made for. The ears hear voice activity
    alone: words that nobody expects are nothing that a recogniser with a grammar could find.
    """
    torch.set_num_threads(1)  # the worker's own: more would wait for each other beside media and voices
    config = open_checkpoint(folder).config
    frames = min(config.lm.context, round(1000 * window_s / config.step_ms)) if window_s else 0
    options = Options(device=device, window=max(frames, 1) if window_s else 0, fp8_kv=fp8_kv)
    rows = max(1, min(most_rows, fitting_rows(config, options)))
    return WithEars(load_model(folder, rows, options), build(rows, recogniser="none", processes=0))
