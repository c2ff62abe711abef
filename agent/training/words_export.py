"""A trained phone net as ONNX: ``python -m agent.training.words_export CHECKPOINT OUT.onnx [--int8]``.

One step is 30 ms of every row; all state is outside, rows first (``agent.training.export``: why it is built by hand).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError
from agent.model.small.features import BANDS, FLOOR_DB, STEP_DB
from agent.model.small.words_phones import LABELS
from agent.training.export import Graph
from agent.training.net.floor import CENTRE_DB, SPREAD_DB
from agent.training.net.phones import KERNEL, PAST, SECOND, SECOND_PAST, STRIDE, PhoneNet
from agent.training.words_train import load

Weights = dict[str, NDArray[np.float32]]


def onnx_of(net: PhoneNet) -> Any:
    """The step of ``net`` as an ONNX model: log-probabilities and the state after it."""
    from onnx import TensorProto

    sizes = net.sizes
    weights: Weights = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    graph = Graph()
    value = graph.node("Cast", "codes", to=TensorProto.FLOAT)
    value = graph.node("Mul", value, graph.weight(np.array(STEP_DB / SPREAD_DB, np.float32)))
    value = graph.node("Add", value, graph.weight(np.array((FLOOR_DB - CENTRE_DB) / SPREAD_DB, np.float32)))
    line = graph.node("Concat", "first", value, axis=1)  # [rows, 6 + 3, 40]: exactly one window
    once = _window(graph, line, weights, "first", KERNEL * BANDS)
    line_two = graph.node("Concat", "second", graph.node("Unsqueeze", once, graph.numbers([1])), axis=1)
    value = _window(graph, line_two, weights, "second", SECOND * sizes.front)
    hidden = []
    for layer in range(sizes.layers):
        past = graph.cut("hidden", 1, layer * sizes.hidden, (layer + 1) * sizes.hidden)
        value = _gru(graph, value, past, weights, layer, sizes.hidden)
        hidden.append(value)
    logits = graph.linear(value, weights["head.weight"].T, weights["head.bias"])
    graph.rename(graph.node("LogSoftmax", logits, axis=1), "logp")
    graph.rename(graph.cut(line, 1, STRIDE, STRIDE + PAST), "first_after")
    graph.rename(graph.cut(line_two, 1, 1, 1 + SECOND_PAST), "second_after")
    graph.rename(graph.node("Concat", *hidden, axis=1), "hidden_after")
    state = {"first": [PAST, BANDS], "second": [SECOND_PAST, sizes.front], "hidden": [sizes.layers * sizes.hidden]}
    inputs = {
        "codes": (TensorProto.UINT8, [STRIDE, BANDS]),
        **{name: (TensorProto.FLOAT, shape) for name, shape in state.items()},
    }
    outputs = {"logp": [LABELS], **{f"{name}_after": shape for name, shape in state.items()}}
    model = graph.model(inputs, outputs)
    start = net.start(1)
    for name, values in {"start_first": start.first[0].T, "start_second": start.second[0].T}.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, ",".join(f"{value:.9g}" for value in values.numpy().reshape(-1))
    return model


def export(checkpoint: Path, out: Path, *, int8: bool) -> None:
    """Write the graph, quantised where asked. Raises ``TrainingError``."""
    import onnx

    model = onnx_of(load(checkpoint)[0].eval())
    onnx.checker.check_model(model)
    if not int8:
        onnx.save(model, str(out))
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = out.with_suffix(".float.onnx")
    onnx.save(model, str(whole))
    quantize_dynamic(whole, out, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"])
    whole.unlink()


def _window(graph: Graph, line: str, weights: Weights, name: str, width: int) -> str:
    """A convolution over exactly its window: a matrix product."""
    matrix = weights[f"{name}.weight"].transpose(2, 1, 0).reshape(width, -1)
    return graph.node("Relu", graph.linear(graph.flat(line, width), matrix, weights[f"{name}.bias"]))


def _gru(graph: Graph, value: str, past: str, weights: Weights, layer: int, size: int) -> str:
    """One layer of torch's GRU for one frame: gates in the order reset, update, new."""
    suffix = f"_l{layer}"
    given = graph.linear(value, weights[f"gru.weight_ih{suffix}"].T, weights[f"gru.bias_ih{suffix}"])
    kept = graph.linear(past, weights[f"gru.weight_hh{suffix}"].T, weights[f"gru.bias_hh{suffix}"])
    parts = [[graph.cut(side, 1, k * size, (k + 1) * size) for k in range(3)] for side in (given, kept)]
    reset = graph.node("Sigmoid", graph.node("Add", parts[0][0], parts[1][0]))
    update = graph.node("Sigmoid", graph.node("Add", parts[0][1], parts[1][1]))
    new = graph.node("Tanh", graph.node("Add", parts[0][2], graph.node("Mul", reset, parts[1][2])))
    return graph.node("Add", new, graph.node("Mul", update, graph.node("Sub", past, new)))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.words_export", description="Export a phone net.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--int8", action="store_true", help="weights of all matrix products in 8 bits")
    asked = parser.parse_args(argv)
    try:
        export(asked.checkpoint, asked.out, int8=asked.int8)
    except AgentError as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
