"""Judge a net on voices that it never met: ``python -m agent.training.evaluate CHECKPOINT DIR [--json]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from agent.errors import AgentError
from agent.training.conversation.labels import FRAME, NOT_ASKED, Overlap
from agent.training.curves import (
    BACKSTOP_MS,
    FRAME_MS,
    EventScores,
    TurnScores,
    auc,
    best,
    curve,
    fired,
    lasts,
    timer,
)
from agent.training.net.floor import FloorNet
from agent.training.net.words import WordNet, hits
from agent.training.report import table
from agent.training.shard import Shard, paths, read
from agent.training.text.vocabulary import NONE
from agent.training.train import net_of
from agent.training.word_classes import word_classes

ROWS: Final = 16
AFTER: Final = BACKSTOP_MS // FRAME_MS
EVENT_AFTER: Final = 8
AUC_AT_MS: Final = (200, 400, 600, 800, 1000)
FALSE_FIRES: Final = 0.08
PAUSE_FRAMES: Final = 5
Scores = dict[str, NDArray[np.float32]]


def scores(net: FloorNet, shard: Shard) -> Scores:
    """Probabilities ``[n, frames, outputs]`` by head."""
    parts: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    with torch.inference_mode():
        for start in range(0, len(shard), ROWS):
            rows = slice(start, start + ROWS)
            inputs = [torch.from_numpy(shard[name][rows]) for name in ("mel_caller", "mel_own", "expect")]
            logits, _ = net(inputs[0], inputs[1], inputs[2].float(), net.start(len(inputs[0])))
            for name, value in logits.items():
                shape = torch.softmax(value, -1) if name == "overlap" else torch.sigmoid(value)
                parts[name].append(shape.numpy())
    return {name: np.concatenate(found) for name, found in parts.items()}


def turns_of(shard: Shard, found: Scores) -> Iterator[TurnScores]:
    """Finished turns after which there is time to see their end."""
    for item, meta in enumerate(shard.meta):
        for turn in meta["turns"]:
            start, end = turn["start"] // FRAME, -(-turn["end"] // FRAME)
            until = min(end + AFTER, (turn["answered"] or 1 << 30) // FRAME, shard["speech"].shape[1])
            if not turn["finished"] or turn["takes"] or until < end + AFTER:
                continue
            pauses = tuple((b - a) // FRAME for a, b in turn["pauses"])
            yield TurnScores(
                found["end"][item, start:until, 0],
                found["speech"][item, start:until, 0],
                end - start,
                turn["state"],
                tuple(pause for pause in pauses if pause >= PAUSE_FRAMES),
                turn["voice"].startswith("human:"),
            )


def events_of(shard: Shard, found: Scores) -> Iterator[EventScores]:
    """Sounds that begin while we have the floor."""
    for item, meta in enumerate(shard.meta):
        floor = shard["overlap"][item] != NOT_ASKED
        for event in meta["events"]:
            start = event["start"] // FRAME
            stop = min(event["end"] // FRAME + EVENT_AFTER, floor.size)
            if start + 6 >= floor.size or not floor[max(0, start - 2)] or not floor[start + 4]:
                continue
            kept = floor[start:stop].copy()
            kept[:4] = True
            length = int(np.argmin(kept)) if not kept.all() else kept.size
            takes = found["overlap"][item, start : start + length, Overlap.TAKES]
            yield EventScores(takes, found["speech"][item, start : start + length, 0], event["kind"])


def judge(net: FloorNet, folder: Path) -> dict[str, Any]:
    """All figures. Raises ``TrainingError``."""
    turns: list[TurnScores] = []
    events: list[EventScores] = []
    wrong: list[float] = []
    for path in paths(folder):
        shard = read(path)
        found = scores(net, shard)
        turns += turns_of(shard, found)
        events += events_of(shard, found)
        asked = shard["speech"] != NOT_ASKED
        wrong.append(float(np.mean((found["speech"][..., 0] >= 0.5)[asked] != (shard["speech"] == 1)[asked])))
    return {
        "speaking_error": round(float(np.mean(wrong)), 4),
        "turns": _turn_figures(turns),
        "turns_by_state": {
            state: _turn_figures([turn for turn in turns if turn.state == state])
            for state in sorted({turn.state for turn in turns})
        },
        "turns_human": _turn_figures([turn for turn in turns if turn.human]),
        "overlaps": _event_figures(events),
    }


def judge_words(net: WordNet, folder: Path) -> dict[str, Any]:
    """Share of word frames that are named right. Raises ``TrainingError``."""
    right = asked = false = quiet = 0
    for path in paths(folder):
        shard = read(path)
        labels = torch.from_numpy(word_classes(shard).astype(np.int64))
        with torch.inference_mode():
            for start in range(0, len(shard), ROWS):
                rows = slice(start, start + ROWS)
                logits, _ = net(torch.from_numpy(shard["mel_caller"][rows]), net.start(len(labels[rows])))
                named, known = hits(logits, labels[rows])
                right, asked = right + named, asked + known
                silent = labels[rows] == NONE
                false += int(((logits.argmax(-1) != NONE) & silent).sum())
                quiet += int(silent.sum())
    return {
        "word_frames": asked,
        "named_right": round(right / max(1, asked), 4),
        "words_where_none_is": round(false / max(1, quiet), 4),
    }


def _turn_figures(turns: Sequence[TurnScores]) -> dict[str, Any]:
    if not turns:
        return {"turns": 0}
    points = curve(turns)
    figures: dict[str, Any] = {
        "turns": len(turns),
        "with_pause": round(float(np.mean([bool(turn.pauses) for turn in turns])), 3),
        "timer_early": {f"{ms} ms": round(timer(turns, ms), 3) for ms in (500, 700, 1000)},
    }
    for early in (0.05, 0.1):
        found = best(points, early)
        figures[f"at_{early:.0%}_early"] = (
            {name: round(float(value), 3) for name, value in asdict(found).items()} if found else {}
        )
    return figures


def _event_figures(events: Sequence[EventScores]) -> dict[str, Any]:
    kinds: dict[str, list[EventScores]] = defaultdict(list)
    for event in events:
        kinds[event.kind].append(event)
    takes = kinds["takes"]
    others = [event for kind, found in kinds.items() if kind != "takes" for event in found]
    threshold = _threshold(others)
    caught = [fired(event, threshold) for event in takes]
    times = [ms for ms in caught if ms is not None]
    return {
        "events": {kind: len(found) for kind, found in sorted(kinds.items())},
        "auc_against_backchannel": {f"{ms} ms": _auc(takes, kinds["backchannel"], ms) for ms in AUC_AT_MS},
        "head": {
            "threshold": round(threshold, 4),
            "caught": _share(caught),
            "p50_ms": round(float(np.median(times)), 0) if times else None,
            **{f"fired_{kind}": _share([fired(event, threshold) for event in kinds[kind]]) for kind in sorted(kinds)},
        },
        "duration_900_ms": {f"fired_{kind}": _share([lasts(e, 900) for e in kinds[kind]]) for kind in sorted(kinds)},
    }


def _threshold(others: Sequence[EventScores]) -> float:
    """The lowest threshold at which at most ``FALSE_FIRES`` of the other events fire."""
    tops = [float(np.max(np.minimum(event.takes[:-1], event.takes[1:]), initial=0.0)) for event in others]
    return float(np.quantile(tops, 1 - FALSE_FIRES)) if tops else 0.5


def _auc(takes: Sequence[EventScores], others: Sequence[EventScores], ms: int) -> float:
    at = ms // FRAME_MS - 1
    both = [[float(e.takes[min(at, e.takes.size - 1)]) for e in found] for found in (takes, others)]
    return round(auc(*both), 3)


def _share(found: Sequence[float | None]) -> float:
    return round(sum(ms is not None for ms in found) / max(1, len(found)), 3)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.evaluate", description="Judge a net.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="shards made with --fold valid --patient")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(argv)
    torch.set_num_threads(asked.threads)
    try:
        net = net_of(asked.checkpoint)
        figures = judge_words(net, asked.folder) if isinstance(net, WordNet) else judge(net, asked.folder)
    except AgentError as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 2
    sys.stdout.write((json.dumps(figures) if asked.json else table(figures)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
