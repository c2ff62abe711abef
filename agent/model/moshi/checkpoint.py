"""Tensors out of a checkpoint's folder, checked one by one before any is used. No pickled code is ever run.

Everything that is wrong is told at once and by name: missing files, missing or unknown tensors, shapes, types,
checksums.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import safetensors
import torch

from agent.errors import ModelError
from agent.model.moshi.config import MODEL_FILE, MoshiConfig, check_files
from agent.model.moshi.layout import Source, Wanted, lm_tensors, lm_unused, mimi_tensors, mimi_unused

Tensors = Mapping[str, torch.Tensor]

SUMS_FILE: Final = "SHA256SUMS"
"""Where it is there, the files that it lists are checked against it (the format of ``sha256sum``)."""
FLOATS: Final = frozenset({"F32", "F16", "BF16"})
NAMED_AT_MOST: Final = 8
_BLOCK: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that holds a whole model, its weights not yet read."""

    folder: Path
    config: MoshiConfig

    @property
    def text_model(self) -> Path:
        return self.folder / self.config.text_file


def open_checkpoint(folder: Path) -> Checkpoint:
    """Look at a folder. Raises ``ModelError`` that names every file that is missing or damaged."""
    config = check_files(folder, kind=_guess_kind(folder))
    _check_sums(folder, (config.model_file, config.mimi_file, config.text_file))
    return Checkpoint(folder, config)


def _guess_kind(folder: Path) -> str:
    """PersonaPlex brings voices, and weights for more depth steps than speak."""
    if (folder / "voices").is_dir() or (folder / "voices.tgz").is_file():
        return "personaplex"
    if (folder / MODEL_FILE).is_file():
        with _open(folder / MODEL_FILE) as opened:
            return "personaplex" if "linears.8.weight" in opened.keys() else "moshi"  # noqa: SIM118  not a mapping
    return "moshi"


def _check_sums(folder: Path, names: Iterable[str]) -> None:
    sums = folder / SUMS_FILE
    if not sums.is_file():
        return
    wanted = {}
    for number, line in enumerate(sums.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        digest, _, name = line.strip().partition(" ")
        if not line.strip():
            continue
        if len(digest) != 64 or not name.strip():
            raise ModelError(f"{SUMS_FILE}:{number}: expected a checksum and a file's name")
        wanted[name.strip().lstrip("*")] = digest.lower()
    for name in names:
        if name in wanted and _sha256(folder / name) != wanted[name]:
            raise ModelError(f"{folder / name}: checksum differs from {SUMS_FILE}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _open(path: Path, device: str = "cpu") -> Any:
    try:
        return safetensors.safe_open(path, framework="pt", device=device)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path}: {error}") from None


def load_lm(checkpoint: Checkpoint, *, dtype: torch.dtype, device: str) -> dict[str, torch.Tensor]:
    """Weights of the two transformers, in ``dtype`` on ``device``, by the names of ``layout.lm_tensors``."""
    lm = checkpoint.config.lm
    path = checkpoint.folder / checkpoint.config.model_file
    return load_tensors(path, list(lm_tensors(lm)), lm_unused(lm), dtype=dtype, device=device)


def load_mimi(checkpoint: Checkpoint, *, device: str, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Weights of the codec, by the names of ``layout.mimi_tensors``."""
    mimi, books = checkpoint.config.mimi, codebooks_of(checkpoint.config)
    path = checkpoint.folder / checkpoint.config.mimi_file
    return load_tensors(path, list(mimi_tensors(mimi, books)), mimi_unused(mimi, books), dtype=dtype, device=device)


def codebooks_of(config: MoshiConfig) -> int:
    """Codebooks of the codec that the model speaks and hears."""
    books = max(config.lm.spoken, config.lm.heard)
    if books > config.mimi.codebooks:
        raise ModelError(f"{config.model_file} needs {books} codebooks, {config.mimi_file} has {config.mimi.codebooks}")
    if config.lm.card != config.mimi.bins:
        raise ModelError(f"{config.model_file} has {config.lm.card} codes, {config.mimi_file} {config.mimi.bins}")
    return books


def load_tensors(
    path: Path, wanted: list[Wanted], unused: frozenset[str], *, dtype: torch.dtype, device: str
) -> dict[str, torch.Tensor]:
    """Read ``wanted`` from a safetensors file. Raises ``ModelError`` that lists whatever is wrong."""
    with _open(path, device) as opened:
        present = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  not a mapping
        shapes = {name: tuple(part.get_shape()) for name, part in present.items()}
        kinds = {name: str(part.get_dtype()) for name, part in present.items()}
        chosen, wrong = _choose(wanted, shapes, kinds)
        known = {source.name for one in wanted for source in one.sources} | unused
        if unknown := sorted(set(shapes) - known):
            wrong.append(f"unknown: {_some(unknown)}")
        if wrong:
            raise ModelError(f"{path}: {'; '.join(wrong)}")
        found = {name: _read(present[source.name], source).to(dtype) for name, source in chosen.items()}
    if damaged := [name for name, part in found.items() if not torch.isfinite(part).all()]:
        raise ModelError(f"{path}: not finite: {_some(damaged)}")
    return found


def _choose(
    wanted: list[Wanted], shapes: Mapping[str, tuple[int, ...]], kinds: Mapping[str, str]
) -> tuple[dict[str, Source], list[str]]:
    chosen, missing, misfits = {}, [], []
    for one in wanted:
        source = next((source for source in one.sources if source.name in shapes), None)
        if source is None:
            missing.append(one.name)
        elif not source.fits(shapes[source.name]):
            misfits.append(f"{source.name} is {list(shapes[source.name])}, expected {list(source.shape)}")
        elif kinds[source.name] not in FLOATS:
            misfits.append(f"{source.name} is {kinds[source.name]}, expected one of {', '.join(sorted(FLOATS))}")
        else:
            chosen[one.name] = source
    wrong = [f"missing: {_some(missing)}"] if missing else []
    return chosen, wrong + ([_some(misfits)] if misfits else [])


def _some(names: list[str]) -> str:
    rest = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _read(part: Any, source: Source) -> torch.Tensor:
    if source.rows is None:
        return part[:]
    return part[source.first : source.first + source.rows]


def random_tensors(
    wanted: Iterable[Wanted], *, dtype: torch.dtype, device: str, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Weights drawn at random, of a size that keeps activations in range: for tests and for measuring speed."""
    generator = torch.Generator(device=device).manual_seed(seed)
    found = {}
    for one in wanted:
        tensor = torch.empty(one.shape, dtype=dtype, device=device)
        last = one.name.rpartition(".")[2]
        if last == "alpha" or (last == "weight" and len(one.shape) == 1):
            tensor.fill_(1.0)
        elif last == "bias":
            tensor.zero_()
        elif last == "scale":
            tensor.fill_(0.2)
        elif last == "cluster_usage":
            tensor.fill_(1.0)
        else:
            tensor.normal_(0.0, prod(one.shape[1:]) ** -0.5, generator=generator)
        found[one.name] = tensor
    return found
