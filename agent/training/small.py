"""Crosstalk-small from nothing to weights that serve, and what it is worth: ``crosstalk train small``, ``eval small``.

Each stage is a module of ``agent.training`` in a process of its own, seeded, and goes on where it was stopped; this
file only runs them in order, shows how far they are, and writes the sum of what came out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agent.model.small.rules import Answer
from agent.model.small.weights import NAME, RULES, SUMS, located
from agent.training.conversation.maker import FRAMES
from agent.training.curves import TurnScores, best, curve
from agent.training.errors import TrainingError
from agent.training.evaluate import ROWS, judge, scores
from agent.training.heard import turns_of
from agent.training.net.products import Asked, Choice
from agent.training.onnx_floor import OnnxFloor
from agent.training.recipe import CONVERSATIONS, FRAME_S
from agent.training.recipe import NAME as RECIPE
from agent.training.shard import paths, read
from agent.training.text.answer import State
from agent.training.train import CHECKPOINT, RATE, load, products_of

SHARD_HOURS: Final = CONVERSATIONS * FRAMES * FRAME_S / 3600
VALID_SEED: Final = 900
"""Calls to judge by are the same whatever the seed of training."""
CARD: Final = "card.json"
RUN: Final = "run"
"""Folder of the training's checkpoint and log."""
LOOK_S: Final = 0.3
MOST_EARLY: Final = 0.05
LEAST_TURNS: Final = 25
ANSWERS: Final = {
    State.YES_NO: Answer.YES_NO,
    State.DIGITS: Answer.DIGITS,
    State.CODE: Answer.DIGITS,
    State.DATE: Answer.DATE,
    State.NAME: Answer.NAME,
}
"""States of the simulated dialogues as the ears tell them apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallPlan:
    """Everything that decides the weights, and where they go."""

    out: Path
    hours: float
    valid_hours: float
    steps: int
    batch: int
    hidden: int
    seed: int
    device: str
    jobs: int
    products: Asked
    rate: float
    start: Path | None
    mix: tuple[Path, float] | None
    """Another net, and its share of the weights that are exported."""
    domain: Path | None
    recordings: Path | None
    share_alike: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One module's run."""

    what: str
    module: str
    arguments: tuple[str, ...]
    total: int
    done: Callable[[], int]
    log: Path


def train_small(plan: SmallPlan) -> dict[str, Any]:
    """Make calls, train, export, judge. Returns the figures, which also lie beside the weights.

    Raises ``AgentError`` with the last words of a stage that failed; run again to go on.
    """
    for given in (plan.start, plan.mix[0] if plan.mix else None):
        if given is not None:
            load(given)  # before hours of work
    plan.out.mkdir(parents=True, exist_ok=True)
    products = products_of(plan.products, plan.device, plan.out / RUN)
    if products.lacking:
        sys.stderr.write(f"{products}\n")
    _run(stages(plan, products))
    weights = plan.out / NAME
    (plan.out / SUMS).write_text(f"{sha256(weights.read_bytes()).hexdigest()}  {NAME}\n", "utf-8")
    rules = chosen_rules(weights, plan.out / "valid")
    (plan.out / RULES).write_text(json.dumps(rules, indent=1) + "\n", "utf-8")
    figures = {"weights": str(weights), **judge_file(weights, plan.out / "valid"), "rules": rules}
    (plan.out / CARD).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    return figures


def stages(plan: SmallPlan, products: Choice) -> list[Stage]:
    """What is run, in order."""
    calls, stems, valid, run = (plan.out / name for name in ("calls", "stems", "valid", RUN))
    last = run / CHECKPOINT
    mixed = plan.out / "mixed.pt" if plan.mix is not None else last
    domain = ("--domain", str(plan.domain)) if plan.domain is not None else ()
    making = (*domain, "--stems", str(stems))
    training = [
        *("--data", str(calls), "--stems", str(stems), "--out", str(run), "--steps", str(plan.steps)),
        *("--batch", str(plan.batch)),
        *("--seed", str(plan.seed), "--device", plan.device, "--rate", str(plan.rate)),
        *("--products", products.products),
    ]
    training += ["--hidden", str(plan.hidden)] if plan.hidden else []
    training += ["--start", str(plan.start)] if plan.start is not None else []
    return [
        _making(plan, calls, plan.hours, (*making, "--seed", str(plan.seed)), "calls to learn from"),
        _making(plan, valid, plan.valid_hours, (*domain, "--seed", str(VALID_SEED), *_JUDGING), "calls to judge by"),
        Stage(
            what=f"training, {products.products} products",
            module="agent.training.train",
            arguments=tuple(training),
            total=plan.steps,
            done=lambda: _last_step(run / "log.jsonl"),
            log=plan.out / "train.log",
        ),
        *_mixing(plan, last, mixed),
        Stage(
            what="export",
            module="agent.training.export",
            arguments=(str(mixed), str(plan.out / NAME), "--int8"),
            total=1,
            done=lambda: 0,
            log=plan.out / "export.log",
        ),
    ]


_JUDGING: Final = ("--fold", "valid", "--patient")


def _mixing(plan: SmallPlan, last: Path, mixed: Path) -> list[Stage]:
    if plan.mix is None:
        return []
    other, share = plan.mix
    return [
        Stage(
            what="mixing",
            module="agent.training.mix",
            arguments=(str(last), f"{other}:{share}", "--out", str(mixed)),
            total=1,
            done=lambda: 0,
            log=plan.out / "mix.log",
        )
    ]


def _making(plan: SmallPlan, folder: Path, hours: float, more: Sequence[str], what: str) -> Stage:
    people = ("--speech", str(plan.recordings)) if plan.recordings is not None else ()
    mine = () if plan.share_alike else ("--no-share-alike",)
    total = max(1, -(-round(hours * 3600) // round(SHARD_HOURS * 3600)))
    return Stage(
        what=what,
        module="agent.training.make",
        arguments=("--hours", f"{hours:g}", "--out", str(folder), "--jobs", str(plan.jobs), *people, *mine, *more),
        total=total,
        done=lambda: len(list(folder.glob("shard-*.npz"))),
        log=plan.out / f"{folder.name}.log",
    )


def _last_step(log: Path) -> int:
    """How many steps the trainer has told of."""
    try:
        lines = log.read_text("utf-8").splitlines()
        return int(json.loads(lines[-1])["step"]) if lines else 0
    except (OSError, ValueError, KeyError):
        return 0


def _run(todo: Sequence[Stage]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        for stage in todo:
            task = progress.add_task(stage.what, total=stage.total)
            _run_stage(stage, lambda done, task=task: progress.update(task, completed=done))  # type: ignore[misc]
            progress.update(task, completed=stage.total)


def _run_stage(stage: Stage, tell: Callable[[int], None]) -> None:
    """One module in a process of its own, ended with us. Raises ``TrainingError``."""
    command = [sys.executable, "-W", "ignore", "-m", stage.module, *stage.arguments]
    with stage.log.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while process.poll() is None:
                tell(stage.done())
                time.sleep(LOOK_S)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        said = [line for line in stage.log.read_text("utf-8").splitlines() if line.strip()]
        raise TrainingError(f"{stage.what}: {said[-1] if said else f'ended with {process.returncode}'} ({stage.log})")


def judge_file(weights: Path, folder: Path) -> dict[str, Any]:
    """The card's figures of a net as it serves. Raises ``AgentError``."""
    return judge(OnnxFloor(weights, ROWS), folder)


def chosen_rules(weights: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """For each dialogue state the quickest rule that cuts at most ``MOST_EARLY`` of its turns; too few tell nothing.

    Chosen on the calls that also judge it, so a little too good.
    """
    net = OnnxFloor(weights, ROWS)
    turns: dict[Answer, list[TurnScores]] = {}
    for path in paths(folder):
        shard = read(path)
        for turn in turns_of(shard, scores(net, shard)):
            turns.setdefault(ANSWERS.get(State(turn.state), Answer.OPEN), []).append(turn)
    found: dict[str, dict[str, Any]] = {}
    for answer, said in sorted(turns.items()):
        rule = best(curve(said), MOST_EARLY) if len(said) >= LEAST_TURNS else None
        if rule is not None:
            cut, left = f"{rule.early:.1%} of {len(said)} turns cut", f"{rule.missed:.0%} left to the timer"
            why = f"{cut}, p50 {rule.p50_ms:.0f} ms, {left}"
            found[answer.name] = {"threshold": rule.threshold, "agree_ms": rule.agreement_ms, "why": why}
    return found


def eval_small(weights: str, folder: Path, *, hours: float, seed: int, recordings: Path | None) -> dict[str, Any]:
    """Figures of ``weights`` (empty: the net that ships) on the calls of ``folder``, made first where it has none.

    Raises ``AgentError``.
    """
    path = located(weights)
    if not (folder / RECIPE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        plan = SmallPlan(
            out=folder, hours=hours, valid_hours=hours, steps=1, batch=1, hidden=0, seed=seed, device="cpu", jobs=1,
            products=Asked.FLOAT32, rate=RATE, start=None, mix=None, domain=None, recordings=recordings,
            share_alike=True,
        )  # fmt: skip
        _run([_making(plan, folder, hours, ("--seed", str(seed), *_JUDGING), "calls to judge by")])
    return {"weights": str(path), **judge_file(path, folder)}
