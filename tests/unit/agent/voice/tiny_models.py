"""Models of a few nodes, made here and run by the real libraries: a tone instead of speech."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper


def _tone_graph(
    path: Path,
    inputs: list[onnx.ValueInfoProto],
    tokens: str,
    *,
    per_token: int,
    rate_hz: int,
    loudness: str,
    shape: list[int],
) -> None:
    """A graph whose output is ``per_token`` samples of 300 Hz for each token, times the first number of ``loudness``."""
    number = {
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "step": np.array(per_token, np.int64),
        "turn": np.array(2 * np.pi * 300 / rate_hz, np.float32),
        "shape": np.array(shape, np.int64),
        "flat": np.array([-1], np.int64),
    }
    nodes = [
        helper.make_node("Size", [tokens], ["count"]),
        helper.make_node("Mul", ["count", "step"], ["length"]),
        helper.make_node("Range", ["zero", "length", "one"], ["at"]),
        helper.make_node("Cast", ["at"], ["time"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["time", "turn"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["tone"]),
        helper.make_node("Reshape", [loudness, "flat"], ["numbers"]),
        helper.make_node("Gather", ["numbers", "zero"], ["gain"]),
        helper.make_node("Mul", ["tone", "gain"], ["loud"]),
        helper.make_node("Reshape", ["loud", "shape"], ["audio"]),
    ]
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in number.items()]
    output = helper.make_tensor_value_info("audio", TensorProto.FLOAT, [f"d{n}" for n in range(len(shape))])
    graph = helper.make_graph(nodes, "tone", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _input(name: str, kind: int, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def tiny_kokoro(folder: Path, *, tokens: str = "tokens", loudness: float = 0.5) -> Path:
    """A folder as ``crosstalk pull kokoro-en`` makes it: 100 ms of tone per token."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [
        _input(tokens, TensorProto.INT64, [1, "n"]),
        _input("style", TensorProto.FLOAT, [1, 256]),
        _input("speed", TensorProto.FLOAT, [1]),
    ]
    _tone_graph(
        folder / "kokoro-v1.0.int8.onnx", inputs, tokens, per_token=2400, rate_hz=24_000, loudness="style", shape=[-1]
    )
    voices = {name: np.full((510, 1, 256), loudness, np.float32) for name in ("af_heart", "am_michael")}
    with (folder / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, **voices)  # type: ignore[arg-type]
    return folder


def tiny_piper(folder: Path) -> Path:
    """A voice for the program Piper: 50 ms of tone per phoneme sign."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [
        _input("input", TensorProto.INT64, [1, "n"]),
        _input("input_lengths", TensorProto.INT64, [1]),
        _input("scales", TensorProto.FLOAT, [3]),
    ]
    path = folder / "en_US-tone-low.onnx"
    _tone_graph(path, inputs, "input", per_token=1102, rate_hz=22_050, loudness="scales", shape=[1, 1, 1, -1])
    signs = ["_", "^", "$", *"abdefhijklmnopstuvwzæðŋɐɑɔəɚɛɜɡɪɹʃʊʌʒθᵻ ˈˌː,.!?"]
    config = {
        "audio": {"sample_rate": 22_050, "quality": "low"},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "espeak",
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "num_symbols": len(signs),
        "num_speakers": 1,
        "speaker_id_map": {},
        "phoneme_id_map": {sign: [number] for number, sign in enumerate(signs)},
    }
    Path(f"{path}.json").write_text(json.dumps(config))
    return folder
