"""What a worker serves: the model of a folder with ears beside it, and as many rows as the device holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from agent.model.duet import WithEars
from agent.model.moshi.checkpoint import open_checkpoint
from agent.model.moshi.config import MoshiConfig
from agent.model.moshi.model import Options, fitting_rows, load_model
from agent.model.protocol import DuplexModel


def open_served(
    folder: Path,
    most_rows: int,
    *,
    ears: Callable[[int], DuplexModel],
    device: str = "auto",
    window_s: float = 0.0,
    short_rows: int = 0,
    short_window_s: float = 0.0,
    fp8_kv: bool = False,
) -> WithEars:
    """At most ``most_rows`` rows. Raises ``ModelError`` that names what is wrong, or how much memory is missing.

    ``window_s``: how far back a call is remembered; 0: as far as the model was made for. ``short_rows`` of the rows
    remember ``short_window_s`` alone: they are given last. ``ears(rows)``: what hears beside it.
    """
    torch.set_num_threads(1)  # the worker's own: more would wait for each other beside media and voices
    config = open_checkpoint(folder).config
    options = Options(
        device=device,
        window=_frames(config, window_s),
        short_rows=min(short_rows, most_rows - 1),
        short_window=_frames(config, short_window_s) or config.lm.context,
        fp8_kv=fp8_kv,
    )
    rows = max(1 + options.short_rows, min(most_rows, fitting_rows(config, options)))
    return WithEars(load_model(folder, rows, options), ears(rows))


def _frames(config: MoshiConfig, seconds: float) -> int:
    """0 stays 0."""
    return max(1, min(config.lm.context, round(1000 * seconds / config.step_ms))) if seconds else 0
