"""A trained floor net as an ONNX graph of one step: ``python -m agent.training.export CHECKPOINT OUT.onnx [--int8]``.

The graph advances every row by 40 ms.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.model.small.expectation import SIZE
from agent.model.small.features import BANDS
from agent.training.command import command
from agent.training.graph import Graph, Weights, listed, note, save
from agent.training.net.floor import HEADS, KERNEL, PAST, PER_FRAME, STRIDE, FloorNet
from agent.training.train import net_of


def onnx_of(net: FloorNet) -> Any:
    """The step of ``net`` as an ONNX model."""
    from onnx import TensorProto

    sizes, weights = net.sizes, {name: value.detach().numpy() for name, value in net.state_dict().items()}
    graph = Graph()
    caller, own = (graph.scaled(name) for name in ("caller", "own"))
    line = graph.node("Concat", "first", caller, axis=1)  # [rows, 3 + 4, 40]: time before bands
    once = _convolved(graph, line, weights, "first", PAST + PER_FRAME, BANDS)
    second_line = graph.node("Concat", "second", once, axis=1)
    frame = _convolved(graph, second_line, weights, "second", PAST + STRIDE, sizes.front)
    frame = graph.flat(frame, sizes.frame)
    ours = graph.node("Relu", _dense(graph, graph.flat(own, PER_FRAME * BANDS), weights, "own"))
    wanted = graph.node("Relu", _dense(graph, "expect", weights, "expect"))
    value = graph.node("Concat", frame, ours, wanted, axis=1)
    value = graph.recurrent(value, weights, layers=sizes.layers, size=sizes.hidden)
    graph.rename(_dense(graph, value, weights, "head"), "logits")
    graph.rename(graph.cut(line, 1, PER_FRAME, PER_FRAME + PAST), "first_after")
    graph.rename(graph.cut(second_line, 1, STRIDE, STRIDE + PAST), "second_after")
    state = {"first": [PAST, BANDS], "second": [PAST, sizes.front], "hidden": [sizes.layers * sizes.hidden]}
    inputs = {
        "caller": (TensorProto.UINT8, [PER_FRAME, BANDS]),
        "own": (TensorProto.UINT8, [PER_FRAME, BANDS]),
        "expect": (TensorProto.FLOAT, [SIZE]),
        **{name: (TensorProto.FLOAT, shape) for name, shape in state.items()},
    }
    outputs = {"logits": [sum(HEADS.values())], **{f"{name}_after": shape for name, shape in state.items()}}
    model = graph.model(inputs, outputs)
    # A row's start is not all zeros: it stands in the file, so that serving needs nothing else.
    start = net.start(1)
    note(
        model,
        start_first=listed(start.first[0].T.numpy()),
        start_second=listed(start.second[0].T.numpy()),
        heads=listed(np.array([*HEADS.values()], np.float32)),
        head_names=",".join(HEADS),
    )
    return model


def export(checkpoint: Path, out: Path, *, int8: bool) -> None:
    """Write the graph, quantised where asked. Raises ``TrainingError``."""
    net = net_of(checkpoint)
    save(onnx_of(net), out, int8=int8)


def _convolved(graph: Graph, line: str, weights: Weights, name: str, length: int, width: int) -> str:
    """A strided convolution over time as matrix products: ``[rows, outputs, channels]``."""
    matrix = weights[f"{name}.weight"].transpose(2, 1, 0).reshape(KERNEL * width, -1)
    windows = [
        graph.node("Unsqueeze", graph.flat(graph.cut(line, 1, at, at + KERNEL), KERNEL * width), graph.numbers([1]))
        for at in range(0, length - KERNEL + 1, STRIDE)
    ]
    stacked = graph.node("Concat", *windows, axis=1) if len(windows) > 1 else windows[0]
    return graph.node("Relu", graph.linear(stacked, matrix, weights[f"{name}.bias"]))


def _dense(graph: Graph, value: str, weights: Weights, name: str) -> str:
    return graph.linear(value, weights[f"{name}.weight"].T, weights[f"{name}.bias"])


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.export", description="Export a floor net.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--int8", action="store_true", help="weights of all matrix products in 8 bits")
    asked = parser.parse_args(argv)
    export(asked.checkpoint, asked.out, int8=asked.int8)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
