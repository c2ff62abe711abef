"""The net that serves, judged as the one that was trained: its ONNX file behind the trained net's interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agent.model.small.runtime import FloorRuntime
from agent.training.net.floor import PER_FRAME


class OnnxFloor:
    """Logits of all heads for whole conversations, frame by frame; see ``agent.training.net.floor.FloorNet``."""

    def __init__(self, path: Path, rows: int) -> None:
        """``rows``: most conversations at once. Raises ``ModelError``."""
        self._net = FloorRuntime(path, rows)

    def start(self, rows: int) -> None:
        """The state of rows that have heard silence lies in the runtime."""
        self._net.reset(np.arange(rows))

    def __call__(self, caller: Tensor, own: Tensor, expect: Tensor, state: None) -> tuple[dict[str, Tensor], None]:
        """``caller``, ``own`` uint8 ``[B, 4 T, 40]``, ``expect`` ``[B, T, SIZE]`` → logits ``[B, T, n]`` by head."""
        sides = [side.numpy().reshape(len(caller), -1, PER_FRAME, side.shape[2]) for side in (caller, own)]
        rows, wanted = np.arange(len(caller)), expect.numpy().astype(np.float32)
        frames = [
            self._net.step_codes(sides[0][:, at], sides[1][:, at], wanted[:, at], rows)
            for at in range(sides[0].shape[1])
        ]
        return {name: torch.from_numpy(np.stack([frame[name] for frame in frames], 1)) for name in frames[0]}, None
