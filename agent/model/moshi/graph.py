"""How a tick is run: step by step (everywhere), or as one CUDA graph.

The graph holds the whole tick, so a tick costs the host one copy in, one launch and one copy out. Its buffers never
move; rows come and go by writes into them between ticks.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from agent.model.moshi.tick import Ints, Tick


class Runner(Protocol):
    def run(self, packed: Ints, *, longest: int) -> Ints:
        """``[rows, width_in]`` to ``[rows, width_out]``."""
        ...

    def capture(self) -> None:
        """Called once, after a few runs."""
        ...


class EagerRunner:
    """One operation after another."""

    def __init__(self, tick: Tick, device: str) -> None:
        self._tick, self._device = tick, device

    def run(self, packed: Ints, *, longest: int) -> Ints:
        with torch.inference_mode():
            out = self._tick.step(torch.from_numpy(packed).to(self._device), longest=longest)
            found: Ints = out.cpu().numpy()
            return found

    def capture(self) -> None:
        """Nothing to do."""


class GraphRunner:
    """The tick as one CUDA graph, with pinned buffers on the host."""

    def __init__(self, tick: Tick, device: str) -> None:
        self._tick, self._eager = tick, EagerRunner(tick, device)
        self._longest = int(tick.lm.ring.windows.max())
        self._in = torch.zeros(tick.rows, tick.width_in, dtype=torch.int32, device=device)
        self._host_in = torch.zeros_like(self._in, device="cpu").pin_memory()
        self._host_out = torch.zeros(tick.rows, tick.width_out, dtype=torch.int32).pin_memory()
        self._out: torch.Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def run(self, packed: Ints, *, longest: int) -> Ints:
        if self._graph is None or self._out is None:
            return self._eager.run(packed, longest=longest)
        self._host_in.numpy()[:] = packed
        self._in.copy_(self._host_in, non_blocking=True)
        self._graph.replay()
        self._host_out.copy_(self._out, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return np.array(self._host_out.numpy())

    def capture(self) -> None:
        """Every row rests meanwhile: a masked tick changes nothing."""
        with torch.inference_mode():
            self._in.zero_()
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._tick.step(self._in, longest=self._longest)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._out = self._tick.step(self._in, longest=self._longest)
            self._graph = graph


def make_runner(tick: Tick, device: str, *, graphs: bool) -> Runner:
    """Graphs where they are wanted and the device has them."""
    return GraphRunner(tick, device) if graphs and device.startswith("cuda") else EagerRunner(tick, device)
