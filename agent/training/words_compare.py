"""What a recogniser makes of trials: scores by group, and conditions of the same sayings beside each other. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent.wilson import wilson

CLEAN: Final = "clean"
_GROUP: Final = re.compile(r"(?P<what>.+?) (?P<condition>\d+ dB|\S+)")
"""``digit/fsdd_theo 10 dB``."""


@dataclass(slots=True)
class Score:
    """One group."""

    count: int = 0
    wrong: int = 0
    again: int = 0
    asked: int = 0
    """Asked whether that is meant, rightly: one yes away from being right."""
    vain: int = 0
    """Asked whether something is meant that was not."""
    digits_wrong: int = 0
    """Single digits that differ, place by place, in strings of the right length."""

    def add(self, truth: str, taken: str, is_question: bool = False) -> None:
        self.count += 1
        if is_question:
            self.asked += taken == truth
            self.vain += taken != truth
            self.again += bool(truth) and taken != truth
            return
        self.wrong += bool(taken) and taken != truth
        self.again += bool(truth) and not taken
        if truth.isdigit() and len(taken) == len(truth):
            self.digits_wrong += sum(a != b for a, b in zip(truth, taken, strict=True))

    @property
    def errors(self) -> int:
        """Wrong or asked again; a trial that nothing should come of counts where something came."""
        return self.wrong + self.again

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.count,
            "wrong": self.wrong,
            "wrong_interval": _interval(self.wrong, self.count),
            "again": self.again,
            "again_interval": _interval(self.again, self.count),
            "asked": self.asked,
            "vain": self.vain,
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """One trial and what came of it."""

    group: str
    truth: str
    taken: str
    is_question: bool = False
    """Not taken: asked whether it is meant."""

    @property
    def is_right(self) -> bool:
        return self.truth == self.taken

    @property
    def condition(self) -> str:
        return self._parts[1]

    @property
    def who(self) -> str:
        """``digit, people``: all recorded speakers of a kind together."""
        kind, _, rest = self._parts[0].partition("/")
        return f"{kind}, {rest if rest.startswith(('synthetic', 'human')) else 'people'}"

    @property
    def _parts(self) -> tuple[str, str]:
        found = _GROUP.fullmatch(self.group)
        return (found["what"], found["condition"]) if found else (self.group, "")


def scores_of(judged: Sequence[Judged]) -> dict[str, Score]:
    """By group."""
    scores: dict[str, Score] = defaultdict(Score)
    for one in judged:
        scores[one.group].add(one.truth, one.taken, one.is_question)
    return dict(scores)


def compared(judged: Sequence[Judged]) -> dict[str, dict[str, dict[str, Any]]]:
    """Kind of trial → condition → its errors, and their ratio to those of the same sayings over a clean line.

    ``worse``: right when clean, an error here; ``better``: the other way round. Trials of a kind stand in the same
    order in every condition.
    """
    by_kind: dict[str, dict[str, list[Judged]]] = defaultdict(lambda: defaultdict(list))
    for one in judged:
        by_kind[one.who][one.condition].append(one)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for who, conditions in by_kind.items():
        clean = conditions.get(CLEAN, [])
        paired = {name: others for name, others in conditions.items() if _are_paired(others, clean)}
        if len(paired) > 1:
            found[who] = {name: _against(others, clean) for name, others in paired.items()}
    return found


def _are_paired(found: Sequence[Judged], clean: Sequence[Judged]) -> bool:
    return [one.truth for one in found] == [one.truth for one in clean]


def _against(found: Sequence[Judged], clean: Sequence[Judged]) -> dict[str, Any]:
    score, base = Score(), Score()
    for one, other in zip(found, clean, strict=True):
        score.add(one.truth, one.taken, one.is_question)
        base.add(other.truth, other.taken, other.is_question)
    pairs = list(zip(found, clean, strict=True))
    return {
        **score.to_json(),
        "errors": score.errors,
        "errors_interval": _interval(score.errors, score.count),
        "ratio": round(score.errors / base.errors, 3) if base.errors else None,
        "worse": sum(other.is_right and not one.is_right for one, other in pairs),
        "better": sum(one.is_right and not other.is_right for one, other in pairs),
    }


def _interval(hits: int, count: int) -> tuple[float, float]:
    low, high = wilson(hits, count)
    return round(low, 4), round(high, 4)


def report(scores: Mapping[str, Score]) -> str:
    """One line a group."""
    lines = [f"{'group':<44}{'n':>6}{'wrong %':>9}{'again %':>9}{'asked %':>9}{'in vain %':>11}"]
    for group, score in sorted(scores.items()):
        share = 100 / score.count
        shares = f"{score.wrong * share:>9.1f}{score.again * share:>9.1f}{score.asked * share:>9.1f}"
        lines.append(f"{group:<44}{score.count:>6}{shares}{score.vain * share:>11.1f}")
    return "\n".join(lines) + "\n"


def comparison(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """One line a kind and condition; empty where there is one condition only."""
    if not found:
        return ""
    lines = ["", f"{'kind':<32}{'condition':<18}{'n':>6}{'errors % [95 %]':>22}{'x clean':>9}{'worse':>7}{'better':>8}"]
    for who, conditions in sorted(found.items()):
        for name, one in conditions.items():
            low, high = one["errors_interval"]
            share = f"{100 * one['errors'] / one['n']:.1f} [{100 * low:.1f}-{100 * high:.1f}]"
            ratio = "-" if one["ratio"] is None else f"{one['ratio']:.2f}"
            lines.append(f"{who:<32}{name:<18}{one['n']:>6}{share:>22}{ratio:>9}{one['worse']:>7}{one['better']:>8}")
    return "\n".join(lines) + "\n"
