"""The weights that ship: the file that was meant, small, and not worse than their card on calls that are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent.errors import ModelError
from agent.model.small.runtime import FloorRuntime
from agent.model.small.weights import NAME, RULES, SUMS, located, rules_of
from agent.model.small.words_runtime import WEIGHTS as WORDS
from tests.unit.agent.model.small.held_set import FIGURES, figures, kept

MOST_BYTES = 40_000_000
SPEAKING, SLOWER_MS = 0.001, 20
"""How much worse another processor's rounding of what is not a product of integers may make it."""


def test_the_shipped_net_is_there_small_and_of_the_sum_that_lies_beside_it() -> None:
    path = located("")
    assert path.name == NAME
    assert sum(part.stat().st_size for part in path.parent.iterdir()) < MOST_BYTES
    assert NAME in (path.parent / SUMS).read_text("utf-8")
    assert FloorRuntime(path, 1).bytes_per_row < 64_000
    assert (path.parent / RULES).is_file()
    assert rules_of(path)


def test_weights_that_were_changed_are_refused_by_name(tmp_path: Path) -> None:
    folder = located("").parent
    for name in (NAME, SUMS):
        shutil.copy(folder / name, tmp_path / name)
    changed = tmp_path / NAME
    changed.write_bytes(changed.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ModelError, match=NAME):
        located(str(tmp_path))


def test_the_shipped_net_is_no_worse_than_its_card_on_the_kept_calls() -> None:
    wanted, found = json.loads(FIGURES.read_text(encoding="utf-8")), figures(kept())
    assert found["speaking_error"] <= wanted["speaking_error"] + SPEAKING
    turns, then = found["turns"], wanted["turns"]
    assert turns["turns"] == then["turns"]
    assert turns["early"] <= then["early"]
    assert turns["mean_ms"] <= then["mean_ms"] + SLOWER_MS
    assert turns["backstop"] <= then["backstop"]


@pytest.mark.parametrize("path", [located(""), WORDS], ids=lambda path: path.name)
def test_every_processor_multiplies_the_weights_exactly(path: Path) -> None:
    """One without VNNI adds products of signed weights in 16 bits: log-probabilities came out up to 7 nats wrong."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(path)).graph
    kinds = {one.name: one.data_type for one in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert products
    assert {kinds[node.input[1]] for node in products} == {onnx.TensorProto.UINT8}
