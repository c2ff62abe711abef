"""Make training data: ``python -m agent.training.make --hours 50 --seed 1 --out DIR [--speech DIR]``.

Shard ``k`` of a seed is always the same. Finished shards are kept, so a run that was stopped goes on, and several runs
may fill one folder at once: each claims a shard before it makes it. Runs at low priority.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from typing import Final

from agent.training.command import command
from agent.training.conversation.maker import FRAMES, make_conversation
from agent.training.conversation.material import Material
from agent.training.errors import TrainingError
from agent.training.fold import Fold
from agent.training.recipe import CONVERSATIONS, FRAME_S, Recipe, families, settle
from agent.training.shard import shard_of, write

NICE: Final = 10
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def shard_path(folder: Path, index: int) -> Path:
    return folder / f"shard-{index:05d}.npz"


def make_shard(wanted: Recipe, folder: Path, index: int, stems: Path | None = None) -> float:
    """Make one shard, unless it is there or another run makes it; returns the CPU seconds it took.

    ``stems``: where the same calls go as they were before the line.
    """
    path = shard_path(folder, index)
    if path.exists() or not _claim(path):
        return 0.0
    began = _cpu_s()
    try:
        material = _material(wanted)
        first = index * wanted.conversations
        found = [
            make_conversation(material, wanted.seed, number, wanted.frames, patient=wanted.patient)
            for number in range(first, first + wanted.conversations)
        ]
        if stems is not None:
            write(shard_of([call.before_the_line for call in found]), shard_path(stems, index))
        write(shard_of(found, audio=wanted.audio), path)
    finally:
        _claim_file(path).unlink(missing_ok=True)
    return _cpu_s() - began


def make(wanted: Recipe, folder: Path, hours: float, jobs: int, stems: Path | None = None) -> float:
    """All shards of ``hours``; returns the CPU seconds spent. Raises ``AgentError``."""
    for each in filter(None, (folder, stems)):
        settle(wanted, each)
    todo = [index for index in range(wanted.shards_for(hours)) if not shard_path(folder, index).exists()]
    spent, began = 0.0, time.monotonic()
    if jobs <= 1:
        for done, index in enumerate(todo, 1):
            spent += make_shard(wanted, folder, index, stems)
            _tell(done, len(todo), wanted, spent, began)
        return spent
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_bound_to_us) as pool:
        waiting = [pool.submit(make_shard, wanted, folder, index, stems) for index in todo]
        for done, finished in enumerate(as_completed(waiting), 1):
            spent += finished.result()
            _tell(done, len(todo), wanted, spent, began)
    return spent


@lru_cache(maxsize=1)
def _material(wanted: Recipe) -> Material:
    """Opened once per process."""
    speech = Path(wanted.speech) if wanted.speech else None
    return Material.open(
        Fold(wanted.fold), speech, share_alike=wanted.share_alike, piper=wanted.piper, domain=wanted.domain
    )


def _claim_file(path: Path) -> Path:
    return path.with_suffix(".claim")


def _claim(path: Path) -> bool:
    """Whether this run may make the shard; a claim of a process that is gone does not count."""
    claim = _claim_file(path)
    try:
        with claim.open("x", encoding="utf-8") as mine:
            mine.write(str(os.getpid()))
    except FileExistsError:
        try:
            os.kill(int(claim.read_text(encoding="utf-8") or "0") or os.getpid(), 0)
        except (ProcessLookupError, ValueError):
            claim.unlink(missing_ok=True)
            return _claim(path)
        except FileNotFoundError:
            return _claim(path)
        return False
    return True


def _cpu_s() -> float:
    """CPU seconds of this process and of the synthesisers that it has waited for."""
    return time.process_time()


def _quietly() -> None:
    os.nice(NICE)


def _bound_to_us() -> None:
    """A worker, quiet as we are; Linux ends it when we are killed, which would otherwise leave it waiting for ever."""
    _quietly()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _tell(done: int, total: int, wanted: Recipe, spent: float, began: float) -> None:
    hours = done * wanted.shard_hours
    wall = time.monotonic() - began
    sys.stderr.write(
        f"{done}/{total} shards, {hours:.2f} h of calls, {hours * 3600 / max(spent, 1e-3):.0f} h per CPU hour,"
        f" {wall:.0f} s passed, {wall / done * (total - done):.0f} s to go\n"
    )
    sys.stderr.flush()


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agent.training.make", description="Make training data.")
    parser.add_argument("--hours", type=float, required=True, help="hours of conversation in the folder when done")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--speech", type=Path, help="folder with manifest.csv of recorded people (split train is used)")
    parser.add_argument("--piper", type=Path, help="folder of a Piper voice, for validation (needs the program)")
    parser.add_argument("--domain", type=Path, help="a dialogue (YAML) whose sayings are wanted among the others")
    parser.add_argument("--fold", choices=[fold.value for fold in Fold], default=Fold.TRAIN.value)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--no-share-alike", action="store_true", help="leave out recordings under CC BY-SA")
    parser.add_argument("--audio", action="store_true", help="keep both channels as u-law beside the features")
    parser.add_argument("--stems", type=Path, help="folder for the same calls before the line (agent.training.mixing)")
    parser.add_argument(
        "--patient",
        action="store_true",
        help="we wait 1.6 s after each turn and never stop for anybody: for judging only",
    )
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str]) -> int:
    asked = arguments(argv)
    if asked.hours <= 0 or asked.jobs < 1:
        raise TrainingError("--hours must be above 0 and --jobs at least 1")
    wanted = Recipe(
        seed=asked.seed,
        fold=asked.fold,
        speech=str(asked.speech or ""),
        share_alike=not asked.no_share_alike,
        audio=asked.audio,
        piper=str(asked.piper or ""),
        domain=str(asked.domain or ""),
        patient=asked.patient,
        voices=families(),
        conversations=min(CONVERSATIONS, max(1, math.ceil(asked.hours * 3600 / FRAME_S / FRAMES))),
    )
    _quietly()
    spent = make(wanted, asked.out, asked.hours, asked.jobs, asked.stems)
    sys.stderr.write(f"done: {wanted.fold} in {asked.out}, {spent:.0f} CPU s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
