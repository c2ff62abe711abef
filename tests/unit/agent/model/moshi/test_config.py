"""Shapes from ``config.json`` or built in; what cannot be served is refused by its key."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ModelError
from agent.model.moshi.config import builtin, read_config
from agent.model.moshi.layout import lm_tensors, mimi_tensors
from tests.unit.agent.model.moshi.shapes import LM, mimi_shape, tiny_config, write_shapes


def test_builtin_shape_has_the_parameters_of_the_published_model() -> None:
    config = builtin()
    total = sum(prod(one.shape) for one in lm_tensors(config.lm))
    assert total == pytest.approx(7.688e9, rel=0.001)
    assert len(list(lm_tensors(config.lm))) == 439
    learned = [one for one in mimi_tensors(config.mimi, 32) if "_codebook" not in one.name]
    assert sum(prod(one.shape) for one in learned) == pytest.approx(79.3e6, rel=0.001)
    assert config.step_ms == 80
    assert config.mimi.stride == 2


def test_personaplex_stores_sixteen_depth_steps_and_speaks_eight() -> None:
    lm = builtin(kind="personaplex").lm
    assert (lm.stored_depth_steps, lm.spoken, lm.heard) == (16, 8, 8)


def test_folder_without_a_config_holds_the_7b_model(tmp_path: Path) -> None:
    assert read_config(tmp_path) == builtin()
    assert read_config(tmp_path, kind="personaplex") == builtin(kind="personaplex")


def test_config_without_shapes_names_a_kind_only(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "personaplex", "version": "1"}))
    assert read_config(tmp_path) == builtin(kind="personaplex")


def test_shapes_sampling_and_file_names_are_read(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, moshi_name="lm.safetensors", lm_gen_config={"temp": 0.5, "top_k_text": 3})
    assert (config.lm.dim, config.lm.hidden, config.lm.depth_hidden) == (64, 176, 88)
    assert (config.mimi.dimension, config.mimi.hop, config.mimi.frame_samples) == (32, 960, 1920)
    assert (config.sampling.audio_temperature, config.sampling.text_top_k) == (0.5, 3)
    assert config.model_file == "lm.safetensors"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("dim", "big", "dim: must be a whole number"),
        ("dim", 66, "num_heads: 4 heads do not divide"),
        ("num_layers", 0, "num_layers: must be"),
        ("num_layers", True, "num_layers: must be"),
        ("delays", [0, 1], "delays: 2 for 16 audio streams"),
        ("delays", [0] * 16 + [-1], "delays: must be a list"),
        ("dep_q", 17, "dep_q: 17 of 16"),
        ("conditioners", {"speaker": {}}, "conditioners: "),
        ("extra_heads_num_heads", 4, "extra_heads_num_heads: 4 cannot be served"),
        ("norm", "layer_norm", "norm: 'layer_norm' cannot be served"),
        ("quantize", True, "quantize: True cannot be served"),
        ("typo", 1, "typo: is unknown"),
        ("model_type", "tts", "model_type: 'tts' cannot be served"),
        ("moshi_name", "../x.safetensors", "moshi_name: '../x.safetensors' is not the name of a file"),
        ("lm_gen_config", {"cfg_coef": 2.0}, "lm_gen_config: cfg_coef: 2.0 cannot be served"),
    ],
)
def test_what_cannot_be_served_is_refused_by_its_key(tmp_path: Path, key: str, value: Any, told: str) -> None:
    write_shapes(tmp_path, **{key: value})
    with pytest.raises(ModelError, match=r"config\.json") as error:
        read_config(tmp_path)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("part", "key", "value", "told"),
    [
        ("seanet", "norm", "weight_norm", "seanet.norm"),
        ("seanet", "ratios", [], "ratios: must be a list"),
        ("transformer", "d_model", 64, "d_model: widths (64, 32, 32)"),
        ("quantizer", "bins", None, "bins: must be a whole number"),
        ("quantizer", "surprise", 1, "quantizer.surprise: is unknown"),
    ],
)
def test_codecs_that_cannot_be_served_are_refused_by_their_key(
    tmp_path: Path, part: str, key: str, value: Any, told: str
) -> None:
    write_shapes(tmp_path)
    shape = mimi_shape()
    shape[part][key] = value
    (tmp_path / "mimi.json").write_text(json.dumps(shape))
    with pytest.raises(ModelError, match=r"mimi\.json") as error:
        read_config(tmp_path)
    assert told in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_damaged_json_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json"):
        read_config(tmp_path)


def test_every_key_of_the_builtin_shape_is_known(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LM))
    assert read_config(tmp_path).lm.dim == LM["dim"]
