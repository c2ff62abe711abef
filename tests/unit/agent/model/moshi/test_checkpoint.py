"""Wrong files of every kind stop the start and are named."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402

from agent.errors import ModelError  # noqa: E402
from agent.model.moshi.checkpoint import load_lm, load_mimi, open_checkpoint  # noqa: E402
from agent.model.moshi.config import MIMI_FILE, MODEL_FILE, TEXT_FILE, MoshiConfig  # noqa: E402
from agent.model.moshi.model import Options, load_model  # noqa: E402
from tests.unit.agent.model.moshi.tiny import fused, write_checkpoint  # noqa: E402

CPU = Options(device="cpu")


def load(folder: Path) -> dict[str, Any]:
    return load_lm(open_checkpoint(folder), dtype=torch.float32, device="cpu")


def change(path: Path, **tensors: Any) -> None:
    """Rewrite a file with some tensors replaced; ``None`` takes one away."""
    weights: dict[str, Any] = load_file(path) | {name.replace("/", "."): part for name, part in tensors.items()}
    save_file({name: part for name, part in weights.items() if part is not None}, path)


def test_both_layouts_of_attention_hold_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_checkpoint(tmp_path / "a", layout="fused")
    write_checkpoint(tmp_path / "b", layout="split")
    fused, split = load(tmp_path / "a"), load(tmp_path / "b")
    assert set(fused) == set(split)
    assert all(torch.equal(fused[name], split[name]) for name in fused)


def later_steps(config: MoshiConfig, eight: dict[str, Any]) -> dict[str, Any]:
    """Steps 8 to 15, all zeros."""
    found = {f"depformer_emb.{step - 1}.weight": eight["depformer_emb.0.weight"] * 0 for step in range(8, 16)}
    layers = [f"depformer.layers.{layer}." for layer in range(config.lm.depth_layers)]
    names = ["depformer_in.{}.weight", "linears.{}.weight"]
    for kind in ("gating.{}.linear_in", "gating.{}.linear_out", "self_attn.in_projs.{}", "self_attn.out_projs.{}"):
        names += [f"{layer}{kind}.weight" for layer in layers]
    return found | {name.format(step): eight[name.format(0)] * 0 for name in names for step in range(8, 16)}


@pytest.mark.parametrize("layout", ["fused", "split"])
def test_sixteen_depth_steps_are_sliced_to_those_that_speak(tmp_path: Path, layout: str) -> None:
    """PersonaPlex stores twice the steps; the later ones only guess the caller."""
    config = write_checkpoint(tmp_path, layout="split", dep_q=16)
    eight = load(tmp_path)
    full = {name: part.clone() for name, part in eight.items()} | later_steps(config, eight)
    if layout == "fused":
        full = fused(full, steps=16)
    save_file(full, tmp_path / MODEL_FILE)
    sliced = load(tmp_path)
    assert set(sliced) == set(eight)
    assert all(torch.equal(sliced[name], eight[name]) for name in eight)


def test_every_missing_file_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / MIMI_FILE).unlink()
    (tmp_path / TEXT_FILE).unlink()
    with pytest.raises(ModelError, match=rf"missing {MIMI_FILE}, {TEXT_FILE}"):
        open_checkpoint(tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        open_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"emb/0/weight": None, "out_norm/alpha": None}, "missing: emb.0.weight, out_norm.alpha"),
        ({"text_emb/weight": lambda: torch.zeros(3, 4)}, r"text_emb.weight is \[3, 4\], expected \[49, 64\]"),
        ({"text_emb/weight": lambda: torch.zeros(49, 64, dtype=torch.int8)}, "text_emb.weight is I8, expected one of"),
        ({"surprise": lambda: torch.zeros(1)}, "unknown: surprise"),
        ({"text_emb/weight": lambda: torch.full((49, 64), float("nan"))}, "not finite: text_emb.weight"),
        ({"linears/2/weight": lambda: torch.full((24, 32), float("inf"))}, "not finite: linears.2.weight"),
        (
            {"depformer/layers/0/self_attn/in_proj_weight": lambda: torch.zeros(7 * 96, 32)},
            r"in_proj_weight is \[672, 32\], expected \[768, 32\]",
        ),
    ],
)
def test_damaged_weights_are_named(tmp_path: Path, tensors: dict[str, Any], told: str) -> None:
    write_checkpoint(tmp_path)
    change(tmp_path / MODEL_FILE, **{name: make and make() for name, make in tensors.items()})
    with pytest.raises(ModelError, match=told) as error:
        load(tmp_path)
    assert MODEL_FILE in str(error.value)


@pytest.mark.parametrize("name", [MODEL_FILE, MIMI_FILE])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 64, b"{}", pickle.dumps({"model": 1})],
    ids=["empty", "zeros", "json", "pickle"],
)
def test_files_that_are_no_safetensors_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        load_model(tmp_path, 1, CPU)


def test_cut_file_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    data = (tmp_path / MODEL_FILE).read_bytes()
    (tmp_path / MODEL_FILE).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=MODEL_FILE):
        open_checkpoint(tmp_path)


def test_text_model_of_another_size_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, text_card=49)
    with pytest.raises(ModelError, match="48 pieces, the model has 49"):
        load_model(tmp_path, 1, CPU)
    (tmp_path / TEXT_FILE).write_bytes(b"no model")
    with pytest.raises(ModelError, match=TEXT_FILE):
        load_model(tmp_path, 1, CPU)


def test_codec_of_another_size_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    raw = json.loads((tmp_path / "mimi.json").read_text())
    raw["quantizer"]["bins"] = 12
    (tmp_path / "mimi.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match="24 codes"):
        load_mimi(open_checkpoint(tmp_path), device="cpu")


def test_checksums_are_checked_where_they_are(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    sums = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in (MODEL_FILE, TEXT_FILE)}
    (tmp_path / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    open_checkpoint(tmp_path)
    with (tmp_path / TEXT_FILE).open("ab") as file:
        file.write(b"\x00")
    with pytest.raises(ModelError, match=rf"{TEXT_FILE}: checksum differs"):
        open_checkpoint(tmp_path)
    (tmp_path / "SHA256SUMS").write_text("nonsense\n")
    with pytest.raises(ModelError, match="SHA256SUMS:1"):
        open_checkpoint(tmp_path)


def test_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="sees no CUDA device"):
            load_model(tmp_path, 1, Options(device="cuda"))
    with pytest.raises(ModelError, match="dtype 'int4' is unknown"):
        load_model(tmp_path, 1, Options(device="cpu", dtype="int4"))
