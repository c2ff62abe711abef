"""Train the floor net: ``python -m agent.training.train --data DIR --out DIR --steps N``.

Seeded and resumable to the bit: batch ``k`` is a function of the seed, and a checkpoint holds weights, optimiser and
step. Progress goes to ``OUT/log.jsonl`` and to stderr. ``--until`` stops at a time (Unix seconds) instead of after
steps, and lets the rate fall by then. ``--device cuda`` uses a GPU where torch has one; on a CPU ``--products`` says in
what numbers it multiplies (``net/products.py``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from agent.training.command import command
from agent.training.course import Course
from agent.training.dataset import INPUTS, Batch, Dataset
from agent.training.errors import TrainingError
from agent.training.mixing import Draw, forgotten, mixed, paced
from agent.training.net.floor import FloorNet, FloorSizes, parameters
from agent.training.net.loss import losses, total
from agent.training.net.memory import keep_pages
from agent.training.net.products import Asked, Choice, Products, chosen
from agent.training.shard import paths

WARM_UP: Final = 40
DROPOUT: Final = 0.15
RATE: Final = 2e-3
"""The highest learning rate."""
LOWEST: Final = 0.02
"""The learning rate at the end, against its highest."""
DECAY: Final = 0.02
CLIP: Final = 1.0
CHECKPOINT: Final = "checkpoint.pt"
TOLD_EVERY: Final = 20
KEPT: Final = 0.99
"""Share of the average that a step leaves."""
LOOK_S: Final = 1.0
"""Between two looks whether a pause is over."""
FLOOR: Final = "floor"
"""What checkpoints of before 2026-11-26 say of themselves: there was another net, for words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to train. Everything that decides the weights."""

    steps: int
    """0: until a time."""
    batch: int = 16
    rate: float = RATE
    decay: float = DECAY
    seed: int = 1
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes that differ from the net's own."""
    stems: bool = False
    """Half of each batch are calls before the line, sent over new lines at each pass; all change their pace and are
    told less (``mixing``)."""
    dropout: float = 0.0
    """Of what the layers of the GRU give."""
    start: str = ""
    """Checksum of the checkpoint whose weights it starts from; empty: from nothing."""
    products: str = Products.FLOAT32.value
    """What is multiplied (``Products``)."""


class Trainer:
    """Net, optimiser and how far they are."""

    def __init__(
        self,
        plan: Plan,
        data: Dataset,
        device: str = "cpu",
        start: Path | None = None,
        stems: Dataset | None = None,
        until: float = 0.0,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.data, self.stems, self.step = plan, data, stems, 0
        self.course = Course(steps=plan.steps, until=until, began=time.time())
        self.device = torch.device(device)
        self.net = build(plan.sizes)
        if start is not None:
            self.net.load_state_dict(weights_of(load(start)))
        self.net.to(self.device)
        self.net.gru.products = Products(plan.products)
        if plan.dropout > 0:
            drop_out(self.net.gru, plan.dropout)
        self.average = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        """Of the last hundred steps' weights or so: what is judged and served."""
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=plan.rate, weight_decay=plan.decay)

    @property
    def done(self) -> float:
        """Share of the run that is over."""
        return self.course.done(self.step, time.time())

    def one_step(self) -> dict[str, float]:
        """One batch; returns each head's loss. Raises ``TrainingError`` on a loss that is no number."""
        batch = self.data.batch(self.step)
        torch.manual_seed(self.plan.seed * 1_000_003 + self.step)  # dropout: a run that goes on draws the same
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate * schedule(self.step, self.done)
        found = self._losses(batch)
        loss = total(found)
        if not bool(torch.isfinite(loss)):
            raise TrainingError(f"step {self.step}: the loss is {loss.item()}; the last checkpoint is good")
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.optimiser.step()
        self.step += 1
        keep = min(KEPT, (self.step + 1) / (self.step + 20))
        for name, value in self.net.state_dict().items():
            self.average[name].mul_(keep).add_(value.detach(), alpha=1 - keep)
        return {"loss": loss.item(), **{name: value.item() for name, value in found.items()}}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        inputs, labels = tensors(self._varied(batch) if self.stems is not None else batch, self.device)
        start = self.net.start(len(inputs[0]))
        with self.net.gru.around():
            logits, _ = self.net(*inputs, start)
        return losses({name: value.float() for name, value in logits.items()}, labels)

    def _varied(self, batch: Batch) -> Batch:
        """``batch`` and as many stems over new lines, all at another pace."""
        assert self.stems is not None
        generator = torch.Generator(self.device).manual_seed(self.plan.seed * 1_000_003 + self.step)
        parts = []
        for calls, is_stem in ((batch, False), (self.stems.batch(self.step), True)):
            found = {name: torch.from_numpy(array).to(self.device) for name, array in calls.items()}
            found = paced(found, Draw(generator, len(found["speech"]), self.device))
            parts.append(mixed(found, generator) if is_stem else found)
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        whole["expect"] = forgotten(whole["expect"], Draw(generator, len(whole["expect"]), self.device))
        return {name: value.cpu().numpy() for name, value in whole.items()}

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "began": self.course.began,
            "net": self.net.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        unfinished = path.with_suffix(".part")
        torch.save(state, unfinished)
        os.replace(unfinished, path)

    def restore(self, path: Path) -> None:
        """Go on where ``path`` stopped. Raises ``TrainingError`` if it was trained by another plan."""
        state = load(path)
        if "optimiser" not in state or "average" not in state:
            raise TrainingError(f"{path}: weights alone, no training that could go on: begin with --start")
        had, wanted = {**asdict(Plan(steps=0)), **state["plan"]}, asdict(self.plan)
        if had != wanted:
            told = ", ".join(f"{name} {had.get(name)}" for name in sorted(had) if had.get(name) != wanted.get(name))
            raise TrainingError(f"{path}: was trained by another plan: {told}")
        self.net.load_state_dict(state["net"])
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        self.course = replace(self.course, began=float(state.get("began", self.course.began)))


def load(path: Path) -> dict[str, Any]:
    """A checkpoint. Raises ``TrainingError``."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as broken:
        raise TrainingError(f"{path}: not a checkpoint: {broken}") from None
    if state.get("plan", {}).pop("tower", FLOOR) != FLOOR:
        raise TrainingError(f"{path}: not a checkpoint of the floor net")
    return state


def checksum(path: Path) -> str:
    """SHA-256 of a file. Raises ``TrainingError``."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as lacking:
        raise TrainingError(f"{path}: {lacking.strerror}") from None


def build(sizes: dict[str, int]) -> FloorNet:
    """An untrained net."""
    return FloorNet(FloorSizes(**sizes))


def weights_of(state: dict[str, Any]) -> dict[str, Tensor]:
    """What a checkpoint is judged by."""
    found: dict[str, Tensor] = state.get("average") or state["net"]
    return found


def drop_out(gru: torch.nn.GRU, share: float) -> None:
    """Dropout behind each layer, in training only."""
    gru.dropout = share
    gru.register_forward_hook(
        lambda module, _, out: (torch.nn.functional.dropout(out[0], share, module.training), out[1])
    )


def net_of(path: Path) -> FloorNet:
    """The net of a checkpoint, ready to be asked."""
    state = load(path)
    net = build(state["plan"]["sizes"])
    net.load_state_dict(weights_of(state))
    net.eval()
    return net


def schedule(step: int, done: float) -> float:
    """Rises for ``WARM_UP`` steps, then falls with what is ``done`` as a cosine to ``LOWEST``."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return LOWEST + (1 - LOWEST) * 0.5 * (1 + float(np.cos(np.pi * done)))


def tensors(batch: Batch, device: torch.device) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Inputs in the net's order, and labels."""
    inputs = [torch.from_numpy(np.ascontiguousarray(batch[name])).to(device) for name in INPUTS]
    inputs[2] = inputs[2].float()
    labels = {
        name: torch.from_numpy(np.ascontiguousarray(array)).to(device)
        for name, array in batch.items()
        if name not in INPUTS
    }
    return inputs, labels


def products_of(asked: Asked, device: str, out: Path) -> Choice:
    """In what the run of the folder ``out`` multiplies: as it was begun, unless asked. Raises ``TrainingError``."""
    path = out / CHECKPOINT
    before = Products(load(path)["plan"].get("products", Products.FLOAT32)) if path.exists() else None
    return chosen(asked, device, before)


def train(
    trainer: Trainer, folder: Path, *, minutes: float, last: int = 0, save_every: int = 100, pause: str = ""
) -> None:
    """Train to the end of the plan, of ``minutes`` or of step ``last``; checkpoints and a log on the way.

    Waits while the file ``pause`` is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began, cpu = time.monotonic(), time.process_time()
    sums: dict[str, float] = {}
    count = 0
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        while trainer.done < 1 and time.monotonic() - began < 60 * minutes and (not last or trainer.step < last):
            while pause and os.path.exists(pause):
                time.sleep(LOOK_S)
            for name, value in trainer.one_step().items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            if trainer.step % TOLD_EVERY == 0:
                line = {
                    "step": trainer.step,
                    "done": round(trainer.done, 4),
                    **{name: round(value / count, 4) for name, value in sums.items()},
                    "cpu_s": round(time.process_time() - cpu, 1),
                }
                log.write(json.dumps(line) + "\n")
                log.flush()
                sys.stderr.write(json.dumps(line) + "\n")
                sums, count = {}, 0
            if trainer.step % save_every == 0:
                trainer.save(folder / CHECKPOINT)
    trainer.save(folder / CHECKPOINT)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.training.train", description="Train a net.")
    parser.add_argument("--data", type=Path, required=True, nargs="+", help="folders of shards")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log; an old one goes on")
    ends = parser.add_mutually_exclusive_group(required=True)
    ends.add_argument("--steps", type=int, default=0)
    ends.add_argument("--until", type=float, default=0.0, help="Unix time to stop at, instead of steps")
    parser.add_argument("--stop-after", type=int, default=0, help="stop behind this step; the rate falls as for all")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; run again to go on")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=0, help="size of the GRU; 0: the net's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--products", type=Asked, choices=[*Asked], default=Asked.AUTO, help="what is multiplied")
    parser.add_argument("--rate", type=float, default=RATE, help="highest learning rate")
    parser.add_argument("--decay", type=float, default=DECAY, help="of the weights (AdamW)")
    parser.add_argument("--stems", type=Path, nargs="+", help="folders of calls before the line: half of each batch")
    parser.add_argument("--dropout", type=float, default=DROPOUT, help="of the GRU")
    parser.add_argument("--start", type=Path, help="checkpoint to begin with")
    parser.add_argument("--pause", default="", help="wait while this file exists")
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str]) -> int:
    asked = arguments(argv)
    keep_pages()
    torch.set_num_threads(asked.threads)
    products = products_of(asked.products, asked.device, asked.out)
    plan = Plan(
        steps=asked.steps,
        batch=asked.batch,
        rate=asked.rate,
        decay=asked.decay,
        seed=asked.seed,
        sizes={"hidden": asked.hidden} if asked.hidden else {},
        stems=bool(asked.stems),
        dropout=asked.dropout,
        start=checksum(asked.start) if asked.start else "",
        products=products.products.value,
    )
    shards, stems = (
        [path for folder in folders or () for path in paths(folder)] for folders in (asked.data, asked.stems)
    )
    share = plan.batch // 2 if plan.stems else plan.batch
    data = Dataset(shards, batch=share, seed=plan.seed)
    before = Dataset(stems, batch=plan.batch - share, seed=plan.seed, augment=False) if stems else None
    trainer = Trainer(plan, data, asked.device, asked.start, before, asked.until)
    if (asked.out / CHECKPOINT).exists():
        trainer.restore(asked.out / CHECKPOINT)
    sys.stderr.write(f"{parameters(trainer.net)} parameters, from step {trainer.step}, {products}\n")
    train(trainer, asked.out, minutes=asked.minutes, last=asked.stop_after, pause=asked.pause)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
