"""A streaming transducer of a few nodes for sherpa-onnx: where a stream gets loud it hears "YES" once, or almost "NO"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
TOKENS = ("<blk>", "▁YES", "▁N", "O", "<unk>")
NEVER = -100.0
NEARLY = -0.7
"""So much less likely "NO" is: little enough for a hot word."""
CHUNK = {"T": 9, "decode_chunk_len": 4}
"""Frames of a step and how far it moves (icefall's LSTM form)."""
LOUD = -4.0
"""Mean log mel energy above which there is speech; silence lies near -16."""


def tiny_sherpa(folder: Path, *, metadata: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.txt").write_text("".join(f"{token} {number}\n" for number, token in enumerate(TOKENS)))
    meta = {
        "encoder": {
            "model_type": "lstm",
            "num_encoder_layers": 1,
            "rnn_hidden_size": 2,
            "d_model": 2,
            **CHUNK,
        },
        "decoder": {"context_size": 2, "vocab_size": len(TOKENS)},
        "joiner": {"joiner_dim": len(TOKENS)},
    }
    for name, model in (("encoder", _encoder()), ("decoder", _decoder()), ("joiner", _joiner())):
        if metadata:
            helper.set_model_props(model, {key: str(value) for key, value in meta[name].items()})
        onnx.checker.check_model(model)
        (folder / f"{name}-tiny.onnx").write_bytes(model.SerializeToString())
    return folder


def _model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[str | int]]],
    outputs: dict[str, list[str | int]],
    constants: dict[str, np.ndarray],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _encoder() -> onnx.ModelProto:
    """x [N, T, 80] → encoder_out [N, 1, 5]: how loud it is, for each token that a sound can begin."""
    return _model(
        [
            helper.make_node("ReduceMean", ["x"], ["level"], axes=[1, 2], keepdims=1),
            helper.make_node("Sub", ["level", "loud"], ["above"]),
            helper.make_node("Mul", ["above", "pick"], ["scores"]),
            helper.make_node("Add", ["scores", "bias"], ["encoder_out"]),
            helper.make_node("Identity", ["h"], ["next_h"]),
            helper.make_node("Identity", ["c"], ["next_c"]),
        ],
        {"x": (FLOAT, ["N", 9, 80]), "h": (FLOAT, [1, "N", 2]), "c": (FLOAT, [1, "N", 2])},
        {"encoder_out": ["N", 1, len(TOKENS)], "next_h": [1, "N", 2], "next_c": [1, "N", 2]},
        {
            "loud": np.array(LOUD, np.float32),
            "pick": np.array([0, 1, 1, 0, 0], np.float32),
            "bias": np.array([0, 0, NEARLY, NEVER, NEVER], np.float32),
        },
    )


def _decoder() -> onnx.ModelProto:
    """y [N, 2] → decoder_out [N, 5]: behind a word nothing but silence; behind "N" an "O"."""
    after = np.zeros((len(TOKENS), len(TOKENS)), np.float32)
    after[1] = after[3] = [0, NEVER, NEVER, 0, 0]
    after[2] = [0, NEVER, NEVER, 2 * -NEVER, 0]
    return _model(
        [
            helper.make_node("Gather", ["y", "last"], ["token"], axis=1),
            helper.make_node("Gather", ["after", "token"], ["decoder_out"]),
        ],
        {"y": (INT64, ["N", 2])},
        {"decoder_out": ["N", len(TOKENS)]},
        {"last": np.array(1, np.int64), "after": after},
    )


def _joiner() -> onnx.ModelProto:
    return _model(
        [helper.make_node("Add", ["encoder_out", "decoder_out"], ["logit"])],
        {"encoder_out": (FLOAT, ["N", len(TOKENS)]), "decoder_out": (FLOAT, ["N", len(TOKENS)])},
        {"logit": ["N", len(TOKENS)]},
        {},
    )
