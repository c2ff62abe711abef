"""Train the phone net: ``python -m agent.training.words_train --data DIR --out DIR --steps 3000``.

``DIR`` holds what ``words_make`` makes. Seeded; a run that was stopped goes on from its checkpoint, batch by batch the
same. ``--until`` stops at a time (Unix seconds) and lets the rate fall to nothing by then. On a CPU ``--products`` says
in what numbers it multiplies (``net/products.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from agent.model.small.words_phones import BLANK
from agent.training.command import command
from agent.training.course import Course
from agent.training.errors import TrainingError
from agent.training.net.memory import keep_pages
from agent.training.net.phones import STRIDE, PhoneNet, PhoneSizes
from agent.training.net.products import Asked, Choice, Products, chosen
from agent.training.words_data import joined, read
from agent.training.words_mix import LENGTHS, NOT_ASKED, Line, Store, Strung

WARM_UP: Final = 60
GUIDED, FREE = 0.06, 0.35
"""Shares of the run: until the first only the guide is followed, then it fades out until the second. CTC that starts
from nothing says blank for long (measured: 300 steps); from rough alignments it does not.
"""
CLIP: Final = 1.0
AHEAD: Final = 6
"""Batches strung in advance."""
MOST_SKIPPED: Final = 50
"""Batches whose gradient was no number, in all."""
TELL_EVERY: Final = 25


def rate_at(step: int, progress: float, peak: float) -> float:
    """Warm-up, then a cosine to nothing."""
    return peak * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress))))


def losses(net: PhoneNet, codes: Tensor, strung: Strung) -> tuple[Tensor, Tensor]:
    """CTC loss per item, and how far the guide is from what is said about then."""
    start = net.start(len(codes))
    with net.gru.around():
        logits, _ = net(codes, start)
    logits, device = logits.float(), codes.device
    log = logits.log_softmax(-1).transpose(0, 1)
    sizes = torch.tensor([len(target) for target in strung.targets])
    flat = torch.tensor([label for target in strung.targets for label in target], dtype=torch.long)
    heard = torch.full((len(codes),), log.shape[0], dtype=torch.long)
    ctc = nn.functional.ctc_loss(
        log, flat.to(device), heard.to(device), sizes.to(device), blank=BLANK, reduction="none", zero_infinity=True
    )
    guide = torch.from_numpy(strung.guide).to(device)
    aside = nn.functional.cross_entropy(
        logits.flatten(0, 1), guide.flatten(), ignore_index=NOT_ASKED, label_smoothing=0.05
    )
    return ctc, aside


class Strings:
    """Batches before the line, made ahead: by other processes where some are given (then before any use of a GPU)."""

    def __init__(self, store: Store, seed: int, room: int, workers: int) -> None:
        self._store, self._seed, self._room = store, seed, room
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("fork")) if workers else ThreadPoolExecutor(1)
        self._ahead = AHEAD + workers
        _SHARED["strings"] = self if workers else None
        if workers:
            self._pool.submit(_string, 0).result()  # all processes are there from now on: none is forked later

    def __call__(self, number: int) -> Strung:
        rng = np.random.default_rng([self._seed, number])
        length = int(rng.choice([length for length, _ in LENGTHS], p=[share for _, share in LENGTHS]))
        return self._store.string(max(2, self._room // length), length // STRIDE * STRIDE, rng)

    def after(self, first: int) -> Iterator[tuple[int, Strung]]:
        """Batch ``first`` and all that follow."""
        make = _string if _SHARED["strings"] else self
        waiting: deque[Future[Strung]] = deque()
        for number in count(first):
            while len(waiting) < self._ahead:
                waiting.append(self._pool.submit(make, number + len(waiting)))
            yield number, waiting.popleft().result()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


_SHARED: dict[str, Strings | None] = {}
"""What the other processes inherit."""


def _string(number: int) -> Strung:
    made = _SHARED["strings"]
    if made is None:
        raise TrainingError("a worker without a store")
    return made(number)


def save(
    path: Path,
    net: PhoneNet,
    optimiser: torch.optim.Optimizer | None,
    step: int,
    told: dict[str, Any],
    began: float = 0.0,
) -> None:
    """Whole or not at all. ``began``: Unix time, of the first run."""
    held = {"sizes": asdict(net.sizes), "net": net.state_dict(), "step": step, "told": told}
    held |= {"products": net.gru.products.value, "began": began}
    if optimiser is not None:
        held["optimiser"] = optimiser.state_dict()
    passing = path.with_suffix(".part")
    torch.save(held, passing)
    os.replace(passing, path)


def load(path: Path) -> tuple[PhoneNet, dict[str, Any]]:
    """A net and all that was kept with it. Raises ``TrainingError``."""
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
        net = PhoneNet(PhoneSizes(**held["sizes"]))
        net.load_state_dict(held["net"])
    except (OSError, KeyError, TypeError, RuntimeError) as broken:
        raise TrainingError(f"{path}: no phone net of ours: {broken}") from None
    return net, held


def train(asked: argparse.Namespace, store: Store) -> PhoneNet:
    """Train until the steps or the time are over. Raises ``TrainingError`` when the loss is no number."""
    torch.manual_seed(asked.seed)
    torch.set_num_threads(asked.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    strings = Strings(store, asked.seed, asked.room, asked.workers)
    path = asked.out / "phones.pt"
    asked.out.mkdir(parents=True, exist_ok=True)
    held: dict[str, Any] = {}
    if path.exists():
        net, held = load(path)
    elif asked.start:
        net, _ = load(asked.start)
    else:
        net = PhoneNet(PhoneSizes(front=asked.front, hidden=asked.hidden, layers=asked.layers))
    products = products_of(asked.products, asked.device, held)
    net.gru.products = products.products
    sys.stderr.write(f"from step {held.get('step', 0)}, {products}\n")
    net.to(asked.device).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=asked.rate, weight_decay=0.01, betas=(0.9, 0.98))
    if "optimiser" in held:
        optimiser.load_state_dict(held["optimiser"])
    course = Course(steps=asked.steps, until=asked.until, began=float(held.get("began") or time.time()))
    line = Line(store, asked.device, asked.noisy)
    told: dict[str, float] = {}
    began = saved = time.monotonic()
    first, skipped = int(held.get("step", 0)), 0
    for number, strung in strings.after(first):
        done = course.done(number, time.time())
        if done >= 1 or (asked.stop_after and number - first >= asked.stop_after):
            save(path, net, optimiser if asked.keep_optimiser else None, number, told, course.began)
            break
        for group in optimiser.param_groups:
            group["lr"] = rate_at(number if not asked.start else number + WARM_UP, done, asked.rate)
        torch.manual_seed(asked.seed * 1_000_003 + number)  # dropout: a run that goes on draws what the whole one draws
        codes = line.send(strung, np.random.default_rng([asked.seed, number, 1]))
        ctc, aside = losses(net, codes, strung)
        per_frame = ctc.sum() / (codes.shape[0] * codes.shape[1] / STRIDE)
        guided = 0.0 if asked.start else min(1.0, max(0.0, (FREE - done) / (FREE - GUIDED)))
        loss = guided * aside + (per_frame if guided < 1 else 0.0)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(nn.utils.clip_grad_norm_(net.parameters(), CLIP)):
            optimiser.step()
        else:
            skipped += 1
            if skipped > MOST_SKIPPED:
                raise TrainingError(f"step {number}: the loss is no number")
        if number % TELL_EVERY == 0 or number == first + 3:
            phones = sum(len(target) for target in strung.targets)
            told = {
                "step": number,
                "done": round(done, 4),
                "per_phone": round(float(ctc.detach().sum()) / max(1, phones), 4),
                "guide": round(float(aside.detach()), 3),
                "seconds": round(time.monotonic() - began, 1),
            }
            with (asked.out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(told) + "\n")
            if time.monotonic() - saved > asked.save_every:
                save(path, net, optimiser if asked.keep_optimiser else None, number + 1, told, course.began)
                saved = time.monotonic()
        while os.path.exists(asked.pause) if asked.pause else False:
            time.sleep(3)
    strings.close()
    return net


def products_of(asked: Asked, device: str, held: dict[str, Any]) -> Choice:
    """In what a run multiplies: as it was begun (``held``: its checkpoint), unless asked. Raises ``TrainingError``."""
    return chosen(asked, device, Products(held.get("products", Products.FLOAT32)) if held else None)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.training.words_train", description="Train the phone net.")
    parser.add_argument("--data", type=Path, required=True, help="folder with utterances (words_make)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--stop-after", type=int, default=0, help="steps of this run; the rate falls as for all")
    parser.add_argument("--until", type=float, default=0.0, help="Unix time to stop at, instead of steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from with other data or a lower rate")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--room", type=int, default=6000, help="frames of 10 ms in a batch")
    parser.add_argument("--front", type=int, default=PhoneSizes().front)
    parser.add_argument("--hidden", type=int, default=PhoneSizes().hidden)
    parser.add_argument("--layers", type=int, default=PhoneSizes().layers)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--products", type=Asked, choices=[*Asked], default=Asked.AUTO, help="what is multiplied")
    parser.add_argument("--workers", type=int, default=0, help="processes that string batches together")
    parser.add_argument("--save-every", type=float, default=60.0, help="seconds")
    parser.add_argument("--no-optimiser", dest="keep_optimiser", action="store_false", help="smaller checkpoints")
    parser.add_argument("--shares", type=json.loads, help="of what batches are made, JSON (words_mix.SHARES)")
    parser.add_argument("--noisy", type=float, default=0.0, help="share of the items with a loud background besides")
    parser.add_argument("--pause", default="", help="wait while this file exists")
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str]) -> int:
    asked = arguments(argv)
    keep_pages()
    store = Store(joined(read(path) for path in sorted(asked.data.glob("*.npz"))), asked.shares)
    train(asked, store)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
