"""Voices of PersonaPlex: recorded beforehand as the model's own inputs, ``{embeddings, cache}`` per voice.

They lie as ``NAME.pt`` or ``NAME.safetensors`` in the folder ``voices``, or in ``voices.tgz`` as it is published. A
``.pt`` is read with weights-only rules: tensors, and no code.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch

from agent.errors import ModelError
from agent.model.moshi.config import NOT_GENERATED, LMConfig
from agent.model.moshi.voice_names import ARCHIVE, ENDINGS, FOLDER, voices_in

MOST_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Voice:
    """A spoken sample, as the model takes it in."""

    embeddings: torch.Tensor
    """``[frames - 1, dim]``: inputs at positions 0 to frames - 2."""
    codes: torch.Tensor
    """``[frames, spoken]``: codes of our side, known (not -2) only near the end."""

    @property
    def frames(self) -> int:
        return len(self.codes)


def load_voice(folder: Path, name: str, config: LMConfig) -> Voice:
    """Raises ``ModelError`` that names the voice or its file, and what is wrong."""
    for ending in ENDINGS:
        path = folder / FOLDER / f"{name}{ending}"
        if Path(name).name == name and path.is_file():
            return _voice(path.read_bytes(), path, config)
    if (folder / ARCHIVE).is_file():
        with _archive(folder) as archive:
            for member in archive.getmembers():
                path = Path(member.name)
                if path.stem == name and path.suffix in ENDINGS and member.isfile() and member.size <= MOST_BYTES:
                    opened = archive.extractfile(member)
                    assert opened is not None
                    return _voice(opened.read(), folder / ARCHIVE / path.name, config)
    known = ", ".join(voices_in(folder)) or "none"
    raise ModelError(f"voice {name!r} is not in {folder}; known: {known}")


def _archive(folder: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(folder / ARCHIVE, "r:gz")
    except (OSError, tarfile.TarError) as error:
        raise ModelError(f"{folder / ARCHIVE}: {error}") from None


def _voice(data: bytes, path: Path, config: LMConfig) -> Voice:
    try:
        if path.suffix == ".safetensors":
            raw: Any = safetensors.torch.load(data)
        else:
            raw = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        reason = (str(error).splitlines() or ["cannot be read"])[0]
        raise ModelError(f"{path}: {reason}") from None
    embeddings, cache = _tensor(raw, "embeddings", path), _tensor(raw, "cache", path)
    wanted = (1, 1 + config.streams, config.max_delay + 3)
    if tuple(cache.shape) != wanted or cache.is_floating_point():
        raise ModelError(f"{path}: cache is {list(cache.shape)} {cache.dtype}, expected {list(wanted)} of integers")
    if embeddings.dim() != 4 or tuple(embeddings.shape[1:]) != (1, 1, config.dim) or not len(embeddings):
        raise ModelError(f"{path}: embeddings are {list(embeddings.shape)}, expected [frames, 1, 1, {config.dim}]")
    return Voice(embeddings[:, 0, 0], _last_codes(cache[0], len(embeddings) + 1, config))


def _tensor(raw: Any, name: str, path: Path) -> torch.Tensor:
    found = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(found, torch.Tensor):
        raise ModelError(f"{path}: must hold the tensors embeddings and cache")
    return found


def _last_codes(cache: torch.Tensor, frames: int, config: LMConfig) -> torch.Tensor:
    """The ring of tokens as it stood after ``frames`` frames, back to codes per frame."""
    codes = torch.full((frames, config.spoken), NOT_GENERATED, dtype=torch.int64)
    for stream in range(config.spoken):
        delay = config.delays[1 + stream]
        for frame in range(max(0, frames - 1 - delay), frames):
            codes[frame, stream] = cache[1 + stream, (frame + delay) % cache.shape[1]]
    return codes
