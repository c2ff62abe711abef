"""Nets as ONNX graphs of one step, built node by node from matrix products (ONNX Runtime quantises those, and no
recurrent node). All state is inputs and outputs, rows first, so that a row can rest, move or be copied
(``agent.model.small.stepnet`` serves them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.model.small.features import FLOOR_DB, STEP_DB
from agent.training.net.floor import CENTRE_DB, SPREAD_DB

OPSET: Final = 17
UNSIGNED_ZERO: Final = 128
"""What stands for nothing in unsigned weights."""
Array = NDArray[np.float32]
Weights = Mapping[str, Array]


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

    def scaled(self, codes: str) -> str:
        """Codes of features as numbers near zero."""
        from onnx import TensorProto

        value = self.node("Cast", codes, to=TensorProto.FLOAT)
        value = self.node("Mul", value, self.weight(np.array(STEP_DB / SPREAD_DB, np.float32)))
        return self.node("Add", value, self.weight(np.array((FLOOR_DB - CENTRE_DB) / SPREAD_DB, np.float32)))

    def recurrent(self, value: str, weights: Weights, *, layers: int, size: int) -> str:
        """All layers of torch's GRU for one frame, state in ``hidden``, ``hidden_after``: the last one's output."""
        hidden = []
        for layer in range(layers):
            past = self.cut("hidden", 1, layer * size, (layer + 1) * size)
            value = self._gru(value, past, weights, layer, size)
            hidden.append(value)
        self.rename(self.node("Concat", *hidden, axis=1), "hidden_after")
        return value

    def _gru(self, value: str, past: str, weights: Weights, layer: int, size: int) -> str:
        """One layer: gates in the order reset, update, new."""
        suffix = f"_l{layer}"
        given = self.linear(value, weights[f"gru.weight_ih{suffix}"].T, weights[f"gru.bias_ih{suffix}"])
        kept = self.linear(past, weights[f"gru.weight_hh{suffix}"].T, weights[f"gru.bias_hh{suffix}"])
        parts = [[self.cut(side, 1, k * size, (k + 1) * size) for k in range(3)] for side in (given, kept)]
        reset = self.node("Sigmoid", self.node("Add", parts[0][0], parts[1][0]))
        update = self.node("Sigmoid", self.node("Add", parts[0][1], parts[1][1]))
        new = self.node("Tanh", self.node("Add", parts[0][2], self.node("Mul", reset, parts[1][2])))
        return self.node("Add", new, self.node("Mul", update, self.node("Sub", past, new)))


def note(model: Any, **texts: str) -> None:
    """Write metadata into the file."""
    for name, text in texts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, text


def listed(values: NDArray[Any]) -> str:
    """Numbers as metadata."""
    return ",".join(f"{value:.9g}" for value in np.asarray(values).reshape(-1))


def save(model: Any, out: Path, *, int8: bool) -> None:
    """Check and write a model, its matrix products quantised where asked."""
    import onnx

    onnx.checker.check_model(model)
    if not int8:
        onnx.save(model, str(out))
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = out.with_suffix(".float.onnx")
    onnx.save(model, str(whole))
    quantize_dynamic(whole, out, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"])
    whole.unlink()
    onnx.save(unsigned(onnx.load(str(out))), str(out))


def unsigned(model: Any) -> Any:
    """The same model with weights of 0..255 around 128 in place of -127..127 around 0.

    A processor without VNNI adds two products of signed weights in 16 bits and cuts off what is more (ONNX Runtime,
    "Quantize ONNX models": saturation of U8S8): our nets' log-probabilities came out up to 7 nats wrong. Unsigned ones
    are multiplied exactly everywhere, and with VNNI by the same kernel.
    """
    from onnx import numpy_helper

    known = {one.name: one for one in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    for name in {node.input[at] for node in products for at in (1, 3)}:  # weights and their zero points
        values = numpy_helper.to_array(known[name])
        if values.dtype == np.int8:
            moved = (values.astype(np.int16) + UNSIGNED_ZERO).astype(np.uint8)
            known[name].CopyFrom(numpy_helper.from_array(moved, name))
    return model
