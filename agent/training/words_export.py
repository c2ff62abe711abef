"""A trained phone net as ONNX: ``python -m agent.training.words_export CHECKPOINT OUT.onnx [--int8]``.

One step is 30 ms of every row; all state is outside, rows first (``agent.training.graph``: why it is built by hand).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.model.small.features import BANDS
from agent.model.small.words_phones import LABELS
from agent.training.command import command
from agent.training.graph import Graph, Weights, listed, note, save
from agent.training.net.phones import KERNEL, PAST, SECOND, SECOND_PAST, STRIDE, PhoneNet
from agent.training.words_train import load


def onnx_of(net: PhoneNet) -> Any:
    """The step of ``net`` as an ONNX model: log-probabilities and the state after it."""
    from onnx import TensorProto

    sizes = net.sizes
    weights: Weights = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    graph = Graph()
    value = graph.scaled("codes")
    line = graph.node("Concat", "first", value, axis=1)  # [rows, 6 + 3, 40]: exactly one window
    once = _window(graph, line, weights, "first", KERNEL * BANDS)
    line_two = graph.node("Concat", "second", graph.node("Unsqueeze", once, graph.numbers([1])), axis=1)
    value = _window(graph, line_two, weights, "second", SECOND * sizes.front)
    value = graph.recurrent(value, weights, layers=sizes.layers, size=sizes.hidden)
    logits = graph.linear(value, weights["head.weight"].T, weights["head.bias"])
    graph.rename(graph.node("LogSoftmax", logits, axis=1), "logp")
    graph.rename(graph.cut(line, 1, STRIDE, STRIDE + PAST), "first_after")
    graph.rename(graph.cut(line_two, 1, 1, 1 + SECOND_PAST), "second_after")
    state = {"first": [PAST, BANDS], "second": [SECOND_PAST, sizes.front], "hidden": [sizes.layers * sizes.hidden]}
    inputs = {
        "codes": (TensorProto.UINT8, [STRIDE, BANDS]),
        **{name: (TensorProto.FLOAT, shape) for name, shape in state.items()},
    }
    outputs = {"logp": [LABELS], **{f"{name}_after": shape for name, shape in state.items()}}
    model = graph.model(inputs, outputs)
    start = net.start(1)
    note(model, start_first=listed(start.first[0].T.numpy()), start_second=listed(start.second[0].T.numpy()))
    return model


def export(checkpoint: Path, out: Path, *, int8: bool) -> None:
    """Write the graph, quantised where asked. Raises ``TrainingError``."""
    save(onnx_of(load(checkpoint)[0].eval()), out, int8=int8)


def _window(graph: Graph, line: str, weights: Weights, name: str, width: int) -> str:
    """A convolution over exactly its window: a matrix product."""
    matrix = weights[f"{name}.weight"].transpose(2, 1, 0).reshape(width, -1)
    return graph.node("Relu", graph.linear(graph.flat(line, width), matrix, weights[f"{name}.bias"]))


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.words_export", description="Export a phone net.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--int8", action="store_true", help="weights of all matrix products in 8 bits")
    asked = parser.parse_args(argv)
    export(asked.checkpoint, asked.out, int8=asked.int8)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
