"""Judge a net on voices that it never met: ``python -m agent.training.evaluate NET DIR [--choose DIR] [--json]``.

``NET`` is a checkpoint or an exported ``.onnx``. With ``--choose`` thresholds are chosen on other calls than those that
they are judged on, and the expectation is also taken away and made wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from agent.expectation import NOTHING_KNOWN
from agent.model.small.expectation import vector
from agent.training.choose import Fires, applied, duration, either, grouped, head, rules, single, threshold_at
from agent.training.choose import told as told_apart
from agent.training.command import command
from agent.training.conversation.labels import NOT_ASKED
from agent.training.curves import (
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
from agent.training.heard import Scores, events_of, turns_of
from agent.training.onnx_floor import OnnxFloor
from agent.training.report import table
from agent.training.shard import Shard, paths, read
from agent.training.train import net_of

ROWS: Final = 16
AUC_AT_MS: Final = (200, 400, 600, 800, 1000)
FALSE_FIRES: Final = 0.08
TOLD_RIGHT, TOLD_NOTHING, TOLD_WRONG = "right", "missing", "wrong"
CUT_SHARES: Final = (0.05, 0.08)
FIXED_SHARES: Final = (0.8, 0.85, 0.9)
"""Probabilities of an interruption at which we might give way, the same for every set of calls."""
FEWEST: Final = 8
"""Voices with fewer turns get no row of their own."""
Judged = Any
"""A ``FloorNet``, or an ``OnnxFloor``, which is asked in the same way."""


def scores(net: Judged, shard: Shard, told: str = TOLD_RIGHT) -> Scores:
    """Probabilities ``[n, frames, outputs]`` by head; ``told``: what the net is told to expect."""
    parts: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    with torch.inference_mode():
        for start in range(0, len(shard), ROWS):
            rows = slice(start, start + ROWS)
            inputs = [torch.from_numpy(shard[name][rows]) for name in ("mel_caller", "mel_own")]
            inputs.append(_told(shard, told)[rows])
            logits, _ = net(inputs[0], inputs[1], inputs[2].float(), net.start(len(inputs[0])))
            for name, value in logits.items():
                shape = torch.softmax(value, -1) if name == "overlap" else torch.sigmoid(value)
                parts[name].append(shape.numpy())
    return {name: np.concatenate(found) for name, found in parts.items()}


def _told(shard: Shard, told: str) -> torch.Tensor:
    """Expectations ``[n, frames, SIZE]``: the brain's, none, or those of another call."""
    expect = torch.from_numpy(shard["expect"])
    if told == TOLD_NOTHING:
        return torch.from_numpy(vector(NOTHING_KNOWN)).expand(expect.shape)
    return expect.roll(1, dims=0) if told == TOLD_WRONG else expect


@dataclass(slots=True)
class Heard:
    """What a net makes of a folder of calls."""

    turns: list[TurnScores] = field(default_factory=list)
    events: list[EventScores] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)
    """Share of frames in which it mistakes silence for speech or speech for silence, by shard."""


def hear(net: Judged, folder: Path, told: str = TOLD_RIGHT) -> Heard:
    """Scores of all turns and events. Raises ``TrainingError``."""
    heard = Heard()
    for path in paths(folder):
        shard = read(path)
        found = scores(net, shard, told)
        heard.turns += turns_of(shard, found)
        heard.events += events_of(shard, found)
        asked = shard["speech"] != NOT_ASKED
        heard.wrong.append(float(np.mean((found["speech"][..., 0] >= 0.5)[asked] != (shard["speech"] == 1)[asked])))
    return heard


def judge(net: Judged, folder: Path, choose: Path | None = None) -> dict[str, Any]:
    """All figures; with ``choose`` those of rules that were chosen there. Raises ``TrainingError``."""
    heard = hear(net, folder)
    figures: dict[str, Any] = {
        "speaking_error": round(float(np.mean(heard.wrong)), 4),
        "turns": _turn_figures(heard.turns),
        "turns_by_state": {
            state: _turn_figures([turn for turn in heard.turns if turn.state == state])
            for state in sorted({turn.state for turn in heard.turns})
        },
        "turns_human": _turn_figures([turn for turn in heard.turns if turn.human]),
        "overlaps": _event_figures(heard.events),
    }
    if choose is not None:
        figures |= _held_out(net, folder, heard, hear(net, choose))
    return figures


def _held_out(net: Judged, folder: Path, heard: Heard, other: Heard) -> dict[str, Any]:
    """Rules chosen on ``other``, judged on ``heard``."""
    figures: dict[str, Any] = {}
    for early in CUT_SHARES:
        chosen = rules(other.turns, early)
        everybody = chosen | {kind: one for kind in chosen for one in [single(other.turns, early)]}
        told = {kind: applied(hear(net, folder, kind).turns, chosen) for kind in (TOLD_NOTHING, TOLD_WRONG)}
        figures[f"rules_for_{early:.0%}"] = {
            "rules": {kind: f"{rule.threshold:g} for {rule.agreement_ms} ms" for kind, rule in chosen.items()},
            "all": applied(heard.turns, chosen),
            "one rule for all": applied(heard.turns, everybody),
            **{kind: applied(found, chosen) for kind, found in sorted(grouped(heard.turns).items())},
            "people": applied([turn for turn in heard.turns if turn.human], chosen),
            "synthetic": applied([turn for turn in heard.turns if not turn.human], chosen),
            **{f"expectation {kind}": found for kind, found in told.items()},
        }
        voices = sorted({_family(turn.voice) for turn in heard.turns})
        by_voice = {name: [turn for turn in heard.turns if _family(turn.voice) == name] for name in voices}
        figures[f"voices_for_{early:.0%}"] = {
            name: applied(found, chosen) for name, found in by_voice.items() if len(found) >= FEWEST
        }
    figures["giving_way"] = {name: told_apart(heard.events, fires) for name, fires in _ways(other.events).items()}
    return figures


def _ways(events: Sequence[EventScores]) -> dict[str, Fires]:
    """Ways to tell an interruption from the rest; thresholds from ``events``."""
    sure = threshold_at(events, "backchannel", FALSE_FIRES)
    fixed: dict[str, Fires] = {}
    for share in FIXED_SHARES:
        fixed[f"head {share:.2f}"] = head(share)
        for clock_ms in (760, 1000):
            fixed[f"head {share:.2f} or {clock_ms} ms"] = either(head(share), duration(clock_ms))
    return fixed | {
        "700 ms": duration(700),
        "760 ms": duration(760),
        "900 ms": duration(900),
        f"head {sure:.2f}": head(sure),
        f"head {sure:.2f} or 760 ms": either(head(sure), duration(760)),
        f"head {sure:.2f} or 900 ms": either(head(sure), duration(900)),
        "760 ms, not if side, noise, echo .5": duration(760, veto=0.5),
        "760 ms, not if side, noise, echo .7": duration(760, veto=0.7),
        f"head {sure:.2f} or 900 ms, not if .5": either(head(sure), duration(900, veto=0.5)),
    }


def _family(voice: str) -> str:
    """The voice without its variant, the speaker of recordings."""
    return voice.split("+")[0]


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


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.training.evaluate", description="Judge a net.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="shards made with --fold valid --patient")
    parser.add_argument("--choose", type=Path, help="other shards of that kind: thresholds are chosen there")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(argv)
    torch.set_num_threads(asked.threads)
    net = OnnxFloor(asked.checkpoint, ROWS) if asked.checkpoint.suffix == ".onnx" else net_of(asked.checkpoint)
    judged = judge(net, asked.folder, asked.choose)
    sys.stdout.write((json.dumps(judged) if asked.json else table(judged)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
