"""A trained floor net as an ONNX graph of one step: ``python -m agent.training.export CHECKPOINT OUT.onnx [--int8]``.

The graph advances every row by 40 ms and has all state as inputs and outputs, rows first, so that a row can rest, move
or be copied. It is built node by node from matrix products (ONNX Runtime quantises those, and no recurrent node).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError
from agent.model.small.expectation import SIZE
from agent.model.small.features import BANDS, FLOOR_DB, STEP_DB
from agent.training.errors import TrainingError
from agent.training.net.floor import CENTRE_DB, HEADS, KERNEL, PAST, PER_FRAME, SPREAD_DB, STRIDE, FloorNet
from agent.training.train import net_of

OPSET: Final = 17
Array = NDArray[np.float32]


class Graph:
    """Nodes and weights in the making."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._numpy = helper, numpy_helper
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(kind, [*inputs], [name], **attributes))
        return name

    def rename(self, output: str, name: str) -> None:
        """Give an output the name it has outside."""
        self.nodes.append(self._helper.make_node("Identity", [output], [name]))

    def weight(self, value: NDArray[Any]) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(self._numpy.from_array(np.ascontiguousarray(value), name))
        return name

    def linear(self, value: str, matrix: Array, bias: Array) -> str:
        """``value @ matrix + bias``."""
        return self.node("Add", self.node("MatMul", value, self.weight(matrix)), self.weight(bias))

    def numbers(self, values: Sequence[int]) -> str:
        return self.weight(np.array(values, np.int64))

    def cut(self, value: str, axis: int, first: int, last: int) -> str:
        """``value[first:last]`` along ``axis``."""
        return self.node(
            "Slice", value, self.numbers([first]), self.numbers([last]), self.numbers([axis]), self.numbers([1])
        )

    def flat(self, value: str, width: int) -> str:
        return self.node("Reshape", value, self.numbers([-1, width]))

    def model(self, inputs: Mapping[str, tuple[int, list[int]]], outputs: Mapping[str, list[int]]) -> Any:
        """The finished model; rows are the free first dimension."""
        from onnx import TensorProto

        def info(name: str, kind: int, shape: list[int]) -> Any:
            return self._helper.make_tensor_value_info(name, kind, ["rows", *shape])

        graph = self._helper.make_graph(
            self.nodes,
            "floor",
            [info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            self.weights,
        )
        return self._helper.make_model(graph, opset_imports=[self._helper.make_opsetid("", OPSET)], ir_version=9)


def onnx_of(net: FloorNet) -> Any:
    """The step of ``net`` as an ONNX model."""
    from onnx import TensorProto

    sizes, weights = net.sizes, {name: value.detach().numpy() for name, value in net.state_dict().items()}
    graph = Graph()
    caller, own = (_scaled(graph, name) for name in ("caller", "own"))
    line = graph.node("Concat", "first", caller, axis=1)  # [rows, 3 + 4, 40]: time before bands
    once = _convolved(graph, line, weights, "first", PAST + PER_FRAME, BANDS)
    second_line = graph.node("Concat", "second", once, axis=1)
    frame = _convolved(graph, second_line, weights, "second", PAST + STRIDE, sizes.front)
    frame = graph.flat(frame, sizes.frame)
    ours = graph.node("Relu", _dense(graph, graph.flat(own, PER_FRAME * BANDS), weights, "own"))
    wanted = graph.node("Relu", _dense(graph, "expect", weights, "expect"))
    value = graph.node("Concat", frame, ours, wanted, axis=1)
    hidden = []
    for layer in range(sizes.layers):
        past = graph.cut("hidden", 1, layer * sizes.hidden, (layer + 1) * sizes.hidden)
        value = _gru(graph, value, past, weights, layer, sizes.hidden)
        hidden.append(value)
    graph.rename(_dense(graph, value, weights, "head"), "logits")
    graph.rename(graph.cut(line, 1, PER_FRAME, PER_FRAME + PAST), "first_after")
    graph.rename(graph.cut(second_line, 1, STRIDE, STRIDE + PAST), "second_after")
    graph.rename(graph.node("Concat", *hidden, axis=1), "hidden_after")
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
    for name, values in {
        "start_first": start.first[0].T.numpy(),
        "start_second": start.second[0].T.numpy(),
        "heads": np.array([*HEADS.values()], np.float32),
    }.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, ",".join(f"{value:.9g}" for value in np.asarray(values).reshape(-1))
    entry = model.metadata_props.add()
    entry.key, entry.value = "head_names", ",".join(HEADS)
    return model


def export(checkpoint: Path, out: Path, *, int8: bool) -> None:
    """Write the graph, quantised where asked. Raises ``TrainingError``."""
    import onnx

    net = net_of(checkpoint)
    if not isinstance(net, FloorNet):
        raise TrainingError(f"{checkpoint}: only the floor tower can be exported")
    model = onnx_of(net)
    onnx.checker.check_model(model)
    if not int8:
        onnx.save(model, str(out))
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = out.with_suffix(".float.onnx")
    onnx.save(model, str(whole))
    quantize_dynamic(whole, out, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"])
    whole.unlink()


def _scaled(graph: Graph, name: str) -> str:
    """Codes as numbers near zero."""
    from onnx import TensorProto

    value = graph.node("Cast", name, to=TensorProto.FLOAT)
    value = graph.node("Mul", value, graph.weight(np.array(STEP_DB / SPREAD_DB, np.float32)))
    return graph.node("Add", value, graph.weight(np.array((FLOOR_DB - CENTRE_DB) / SPREAD_DB, np.float32)))


def _convolved(graph: Graph, line: str, weights: dict[str, Array], name: str, length: int, width: int) -> str:
    """A strided convolution over time as matrix products: ``[rows, outputs, channels]``."""
    matrix = weights[f"{name}.weight"].transpose(2, 1, 0).reshape(KERNEL * width, -1)
    windows = [
        graph.node("Unsqueeze", graph.flat(graph.cut(line, 1, at, at + KERNEL), KERNEL * width), graph.numbers([1]))
        for at in range(0, length - KERNEL + 1, STRIDE)
    ]
    stacked = graph.node("Concat", *windows, axis=1) if len(windows) > 1 else windows[0]
    return graph.node("Relu", graph.linear(stacked, matrix, weights[f"{name}.bias"]))


def _dense(graph: Graph, value: str, weights: dict[str, Array], name: str) -> str:
    return graph.linear(value, weights[f"{name}.weight"].T, weights[f"{name}.bias"])


def _gru(graph: Graph, value: str, past: str, weights: dict[str, Array], layer: int, size: int) -> str:
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
    parser = argparse.ArgumentParser(prog="python -m agent.training.export", description="Export a floor net.")
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
