"""What is in a folder of shards: ``python -m agent.training.report DIR [--json]``.

Numbers that must hold before anything is trained on it: pauses and our answers come from one distribution, one-word
answers and dictation have their share, each kind of event is there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.training.command import command
from agent.training.conversation.labels import NOT_ASKED, Overlap, Sound
from agent.training.shard import Shard, paths, read

RATE_HZ: Final = 8000
FRAME_S: Final = 0.04
EDGES_S: Final = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0, 2.6)
DICTATED: Final = frozenset({"digits", "code"})
SHORTEST_PAUSE_S: Final = 0.2
"""Shorter silences inside speech are the synthesiser's."""


class Tally:
    """Counts over shards."""

    def __init__(self) -> None:
        self.frames = 0
        self.counts: Counter[str] = Counter()
        self.ones: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.classes: Counter[str] = Counter()
        self.pauses: list[float] = []
        self.answers: list[float] = []
        self.turn_s: list[float] = []
        self.event_s: dict[str, list[float]] = {}
        self.conditions: list[dict[str, Any]] = []

    def add(self, shard: Shard) -> None:
        self.frames += shard["speech"].size
        for name in ("speech", "own", "end", "soon", "fits"):
            codes = shard[name]
            self.ones[name] += int(np.sum(codes == 1))
            self.asked[name] += int(np.sum(codes != NOT_ASKED))
        for kind in Overlap:
            self.classes[kind.name.lower()] += int(np.sum(shard["overlap"] == kind))
        for sound in Sound:
            if sound.name:
                self.counts[f"frames.{sound.name.lower()}"] += int(np.sum((shard["sound"] & sound) > 0))
        self.counts["words"] += len(shard["word"])
        self.counts["words.exact"] += int(np.sum(shard["word_exact"]))
        for meta in shard.meta:
            self._conversation(meta)

    def _conversation(self, meta: dict[str, Any]) -> None:
        self.counts["conversations"] += 1
        self.conditions.append(meta["condition"])
        self.counts.update(f"expectation.{truth}" for truth in meta["truth"])
        for event in meta["events"]:
            self.counts[f"event.{event['kind']}"] += 1
            self.event_s.setdefault(event["kind"], []).append((event["end"] - event["start"]) / RATE_HZ)
        for turn in meta["turns"]:
            self._turn(turn)

    def _turn(self, turn: dict[str, Any]) -> None:
        words = turn["text"].split()
        self.counts["turns"] += 1
        self.counts[f"state.{turn['state']}"] += 1
        self.counts["turns.one_word"] += len(words) == 1
        self.counts["turns.dictation"] += turn["state"] in DICTATED and len(words) >= 4
        self.counts["turns.human"] += turn["voice"].startswith("human:")
        self.counts["turns.takes"] += turn["takes"]
        self.counts["turns.finished"] += turn["finished"]
        self.counts[f"voice.{turn['voice'].partition(':')[0]}"] += 1
        pauses = [(b - a) / RATE_HZ for a, b in turn["pauses"]]
        long = [pause for pause in pauses if pause >= SHORTEST_PAUSE_S]
        self.counts["turns.with_pause"] += bool(long)
        self.pauses += long
        self.turn_s.append((turn["end"] - turn["start"]) / RATE_HZ)
        if turn["finished"] and not turn["takes"] and turn["answered"] is not None:
            self.answers.append((turn["answered"] - turn["end"]) / RATE_HZ)

    def to_json(self) -> dict[str, Any]:
        hours = self.frames * FRAME_S / 3600
        turns = max(1, self.counts["turns"])
        return {
            "hours": round(hours, 3),
            "conversations": self.counts["conversations"],
            "per_hour": _starting(self.counts, "event.", hours) | {"turns": round(turns / max(hours, 1e-9), 1)},
            "label_share": {name: round(self.ones[name] / max(1, self.frames), 4) for name in ("speech", "own")},
            "sound_share": _starting(self.counts, "frames.", max(1, self.frames), 4),
            "asked": {n: round(self.asked[n] / max(1, self.frames), 4) for n in ("end", "soon", "fits")},
            "positive_where_asked": {
                n: round(self.ones[n] / max(1, self.asked[n]), 4) for n in ("end", "soon", "fits")
            },
            "overlap_frames": {k: round(v / max(1, sum(self.classes.values())), 4) for k, v in self.classes.items()},
            "turn_share": {
                name: round(self.counts[f"turns.{name}"] / turns, 4)
                for name in ("one_word", "dictation", "human", "takes", "with_pause", "finished")
            },
            "state_share": _starting(self.counts, "state.", turns, 4),
            "voice_share": _starting(self.counts, "voice.", turns, 4),
            "expectation_share": _shares(self.counts, "expectation."),
            "words": {"all": self.counts["words"], "exact_times": self.counts["words.exact"]},
            "turn_s": _percentiles(self.turn_s),
            "event_s": {kind: _percentiles(found) for kind, found in sorted(self.event_s.items())},
            "silence_s": {
                "edges": EDGES_S,
                "pauses": _histogram(self.pauses),
                "answers": _histogram(self.answers),
                "distance": round(distance(_within(self.pauses), _within(self.answers)), 4),
            },
            "lines": _lines(self.conditions),
        }


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Kolmogorov and Smirnov's distance of two samples, 0 to 1."""
    if not len(one) or not len(other):
        return 1.0
    points = np.sort(np.concatenate((one, other)))
    below = [np.searchsorted(np.sort(found), points, side="right") / len(found) for found in (one, other)]
    return float(np.max(np.abs(below[0] - below[1])))


def _within(found: Iterable[float]) -> list[float]:
    """Silences of the range that both share; the few calls that we never answer are meant to be longer."""
    return [value for value in found if EDGES_S[0] <= value <= EDGES_S[-1]]


def _starting(counts: Counter[str], prefix: str, by: float, places: int = 1) -> dict[str, float]:
    return {k.removeprefix(prefix): round(v / by, places) for k, v in sorted(counts.items()) if k.startswith(prefix)}


def _shares(counts: Counter[str], prefix: str) -> dict[str, float]:
    return _starting(counts, prefix, max(1, sum(v for k, v in counts.items() if k.startswith(prefix))), 4)


def _percentiles(found: Sequence[float]) -> dict[str, float]:
    if not found:
        return {}
    values: NDArray[np.float64] = np.percentile(found, (10, 50, 90, 99))
    return {name: round(float(v), 2) for name, v in zip(("p10", "p50", "p90", "p99"), values, strict=True)}


def _histogram(found: Sequence[float]) -> list[float]:
    counts, _ = np.histogram(found, EDGES_S)
    return [round(float(count) / max(1, len(found)), 4) for count in counts]


def _lines(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    codecs = Counter(found["codec"] for found in conditions)
    count = max(1, len(conditions))
    return {
        "codec": {name: round(number / count, 3) for name, number in sorted(codecs.items())},
        "noisy": round(sum(found["snr_db"] is not None for found in conditions) / count, 3),
        "snr_db": _percentiles([found["snr_db"] for found in conditions if found["snr_db"] is not None]),
        "echo": round(sum(found["echo_db"] is not None for found in conditions) / count, 3),
        "room": round(sum(found["room_s"] > 0 for found in conditions) / count, 3),
        "lossy": round(sum(found["loss"] > 0 for found in conditions) / count, 3),
    }


def tally(folder: Path) -> Tally:
    """Counts of a folder of shards. Raises ``TrainingError``."""
    found = Tally()
    for path in paths(folder):
        found.add(read(path))
    return found


def table(report: dict[str, Any], indent: str = "") -> str:
    """The report as text."""
    lines = []
    for key, value in report.items():
        if isinstance(value, dict) and any(isinstance(inner, dict | list) for inner in value.values()):
            lines += [f"{indent}{key}:", table(value, indent + "  ")]
        elif isinstance(value, dict):
            lines.append(f"{indent}{key}: " + ", ".join(f"{name} {inner}" for name, inner in value.items()))
        else:
            lines.append(f"{indent}{key}: {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}")
    return "\n".join(lines)


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.report", description="Tell what shards hold.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    report = tally(asked.folder).to_json()
    sys.stdout.write((json.dumps(report) if asked.json else table(report)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
