"""Telephone rate to the codec's and back, for all rows in one product on the device.

The filter is that of ``telephony.audio.resample``: 1.25 ms, state per row.
"""

from __future__ import annotations

import torch

from agent.model.moshi.mimi import State
from telephony.audio.resample import Resampler


class DeviceResampler:
    """``samples`` of input at a time for every row."""

    def __init__(self, rate_in_hz: int, rate_out_hz: int, *, rows: int, samples: int, device: str) -> None:
        matrix = Resampler(rate_in_hz, rate_out_hz, rows=1, samples=samples).matrix
        self._matrix = torch.from_numpy(matrix).to(device)
        self.state = State(rows, torch.float32, device)
        self._past = self.state.add("past", len(matrix) - samples)

    def step(self, audio: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        """``audio [rows, samples]`` float32 to ``[rows, samples_out]``; masked rows keep their past."""
        line = torch.cat((self._past, audio), dim=1)
        self._past.copy_(torch.where(active[:, None], line[:, line.shape[1] - self._past.shape[1] :], self._past))
        return line @ self._matrix
