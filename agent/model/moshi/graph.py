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
    """One tick at a time: ``start``, then ``finish``."""

    def start(self, packed: Ints, *, longest: int) -> None:
        """``[rows, width_in]``. On a card the tick goes on by itself."""
        ...

    def is_done(self) -> bool:
        """Whether ``finish`` would give its answer at once."""
        ...

    def finish(self) -> Ints:
        """``[rows, width_out]``; waits for it."""
        ...

    def capture(self) -> None:
        """Called once, after a few ticks."""
        ...


class EagerRunner:
    """One operation after another."""

    def __init__(self, tick: Tick, device: str) -> None:
        self._tick, self._device = tick, device
        self._out: torch.Tensor | None = None

    def start(self, packed: Ints, *, longest: int) -> None:
        assert self._out is None, "a tick is under way"
        with torch.inference_mode():
            self._out = self._tick.step(torch.from_numpy(packed).to(self._device), longest=longest)

    def is_done(self) -> bool:
        return self._out is not None

    def finish(self) -> Ints:
        assert self._out is not None, "no tick is under way"
        out, self._out = self._out, None
        found: Ints = out.cpu().numpy()
        return found

    def capture(self) -> None:
        """Nothing to do."""


class GraphRunner:
    """The tick as one CUDA graph, with pinned buffers on the host. Until ``capture`` it runs step by step."""

    def __init__(self, tick: Tick, device: str) -> None:
        self._tick, self._eager = tick, EagerRunner(tick, device)
        self._longest = int(tick.lm.ring.windows.max())
        self._in = torch.zeros(tick.rows, tick.width_in, dtype=torch.int32, device=device)
        self._host_in = torch.zeros_like(self._in, device="cpu").pin_memory()
        self._host_out = torch.zeros(tick.rows, tick.width_out, dtype=torch.int32).pin_memory()
        self._out = torch.zeros_like(self._host_out, device=device)
        self._done = torch.cuda.Event()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._under_way = False

    def start(self, packed: Ints, *, longest: int) -> None:
        assert not self._under_way, "a tick is under way"
        self._under_way = True
        if self._graph is None:
            self._eager.start(packed, longest=longest)
            return
        self._host_in.numpy()[:] = packed
        self._in.copy_(self._host_in, non_blocking=True)
        self._graph.replay()
        self._host_out.copy_(self._out, non_blocking=True)
        self._done.record()

    def is_done(self) -> bool:
        return self._eager.is_done() if self._graph is None else self._under_way and self._done.query()

    def finish(self) -> Ints:
        assert self._under_way, "no tick is under way"
        self._under_way = False
        if self._graph is None:
            return self._eager.finish()
        self._done.synchronize()
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
