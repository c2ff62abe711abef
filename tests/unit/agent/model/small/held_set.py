"""A few calls by voices that training never met, kept small: ``python -m tests.unit.agent.model.small.held_set SHARD``.

Writes ``tests/data/small/calls.npz`` from a shard that was made with ``--fold valid --patient``, and beside it what the
shipped weights make of them. Run it again after a wanted change of the weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from agent.model.small.expectation import SIZE
from agent.model.small.runtime import FloorRuntime
from agent.model.small.weights import located, rules_of
from agent.training.choose import ANSWERS, Rule, applied, duration
from agent.training.choose import told as told_apart
from agent.training.conversation.labels import NOT_ASKED
from agent.training.heard import Scores, events_of, turns_of
from agent.training.shard import Shard, read

FOLDER = Path(__file__).parents[4] / "data" / "small"
CALLS, FIGURES = FOLDER / "calls.npz", FOLDER / "figures.json"
COUNT = 12
KEPT = ("mel_caller", "mel_own", "expect", "speech", "overlap")
PER_FRAME = 4


def kept() -> Shard:
    """The calls."""
    with np.load(CALLS, allow_pickle=False) as found:
        arrays = {name: found[name] for name in KEPT}
        return Shard(arrays, json.loads(found["meta"].tobytes()), [])


def scores(shard: Shard, net: FloorRuntime) -> Scores:
    """What the net as it serves says of every frame, all calls in one batch."""
    count = len(shard)
    rows = np.arange(count)
    net.reset(rows)
    caller, own = (shard[name].reshape(count, -1, PER_FRAME, 40) for name in ("mel_caller", "mel_own"))
    expect = shard["expect"].astype(np.float32)
    assert expect.shape[2] == SIZE
    frames = [net.step_codes(caller[:, at], own[:, at], expect[:, at], rows) for at in range(caller.shape[1])]
    logits = {name: np.stack([frame[name] for frame in frames], axis=1) for name in frames[0]}
    shares = np.exp(logits.pop("overlap"))
    found = {name: 1 / (1 + np.exp(-value)) for name, value in logits.items()}
    return found | {"overlap": shares / shares.sum(axis=2, keepdims=True)}


def figures(shard: Shard) -> dict[str, Any]:
    """What the shipped weights, with the rules they ship with, make of the calls."""
    path = located("")
    found = scores(shard, FloorRuntime(path, len(shard)))
    rules = {answer.name.lower(): rule for answer, rule in rules_of(path).items()}
    chosen = {
        kind: Rule(threshold=rules[kind].threshold, agreement_ms=rules[kind].agree_ms) for kind in {*ANSWERS.values()}
    }
    asked = shard["speech"] != NOT_ASKED
    wrong = (found["speech"][..., 0] >= 0.5)[asked] != (shard["speech"] == 1)[asked]
    return {
        "speaking_error": round(float(wrong.mean()), 4),
        "turns": applied(list(turns_of(shard, found)), chosen),
        "760 ms of speech": told_apart(list(events_of(shard, found)), duration(760)),
    }


def write(source: Path) -> None:
    """Calls and figures."""
    whole = read(source)
    meta = [{"turns": call["turns"], "events": call["events"]} for call in whole.meta[:COUNT]]
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        CALLS,
        **{name: whole[name][:COUNT] for name in KEPT},  # type: ignore[arg-type]
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
    )
    FIGURES.write_text(json.dumps(figures(kept()), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
