"""A shard: some dozens of conversations as features and labels in one file, small enough to read whole.

``mel_caller``, ``mel_own`` uint8 ``[n, 4 · frames, 40]`` (``agent.model.small.features``); labels uint8 ``[n, frames]``
(``conversation.labels``); ``expect`` float16 ``[n, frames, SIZE]``; words as flat arrays; ``meta`` JSON, one object
per conversation. An uncompressed ``.npz``: 31 MB an hour.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from agent.model.small.expectation import SIZE, vector
from agent.model.small.features import HOP, log_mel
from agent.training.conversation.labels import FRAME, Labels, Overlap, Script
from agent.training.conversation.maker import Conversation
from agent.training.errors import TrainingError
from telephony.audio.g711 import ulaw_encode
from telephony.audio.levels import to_int16

VERSION: Final = 1
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Shard:
    """Conversations read back."""

    arrays: Arrays
    meta: list[dict[str, Any]]
    vocabulary: list[str]
    """``arrays["word"]`` counts in this list."""

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def __len__(self) -> int:
        return len(self.meta)


def shard_of(conversations: Sequence[Conversation], *, audio: bool = False) -> Shard:
    """Features and labels of some conversations; ``audio`` keeps both channels as µ-law too."""
    arrays: Arrays = {
        "mel_caller": np.stack([log_mel(found.line.caller) for found in conversations]),
        "mel_own": np.stack([log_mel(found.line.own) for found in conversations]),
        "expect": np.stack([expectations(found.script) for found in conversations]),
    }
    for field in fields(Labels):
        arrays[field.name] = np.stack([getattr(found.labels, field.name) for found in conversations])
    if audio:
        for name in ("caller", "own"):
            pcm = np.stack([to_int16(getattr(found.line, name)) for found in conversations])
            arrays[f"audio_{name}"] = ulaw_encode(np.ascontiguousarray(pcm))
    vocabulary = sorted({word.text for found in conversations for word in found.script.words})
    arrays |= _words(conversations, {word: index for index, word in enumerate(vocabulary)})
    return Shard(arrays, [description(found) for found in conversations], vocabulary)


def expectations(script: Script) -> NDArray[np.float16]:
    """float16 ``[frames, SIZE]``: what the brain says it waits for, at each frame."""
    out = np.zeros((script.frames, SIZE), np.float16)
    for waiting in script.waiting:
        out[waiting.start // FRAME :] = vector(waiting.expect, waiting.detail)
    return out


def description(found: Conversation) -> dict[str, Any]:
    """What a person, or a report, wants to know of a conversation."""
    script = found.script
    return {
        "condition": found.condition.to_json(),
        "turns": [
            {
                "state": turn.state.value, "start": turn.start, "end": turn.end, "pauses": turn.pauses,
                "finished": turn.finished, "takes": turn.takes, "voice": turn.voice, "text": turn.text,
                "answered": min((start for start, _ in script.own_intended if start >= turn.end), default=None),
            }
            for turn in script.turns
        ],
        "events": [{**asdict(event), "kind": Overlap(event.kind).name.lower()} for event in script.events],
        "truth": [waiting.truth.name.lower() for waiting in script.waiting],
        "sounds": sorted({sound.name.lower() for sound, _ in script.sounds if sound.name}),
    }  # fmt: skip


def _words(conversations: Sequence[Conversation], index: dict[str, int]) -> Arrays:
    """Words as flat arrays; times in frames of 10 ms."""
    rows = [
        (item, index[word.text], word.start // HOP, -(-word.end // HOP), word.exact)
        for item, found in enumerate(conversations)
        for word in found.script.words
    ]
    table = np.array(rows, np.int32).reshape(-1, 5)
    return {
        "word_item": table[:, 0].astype(np.uint16),
        "word": table[:, 1].astype(np.uint16),
        "word_start": table[:, 2].astype(np.uint16),
        "word_end": table[:, 3].astype(np.uint16),
        "word_exact": table[:, 4].astype(np.bool_),
    }


def write(shard: Shard, path: Path) -> None:
    """Write whole or not at all."""
    text = json.dumps({"version": VERSION, "vocabulary": shard.vocabulary, "meta": shard.meta})
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    with unfinished.open("wb") as out:
        arrays: dict[str, Any] = {**shard.arrays, "meta": np.frombuffer(text.encode(), np.uint8)}
        np.savez(out, allow_pickle=False, **arrays)
    unfinished.replace(path)


def read(path: Path) -> Shard:
    """Raises ``TrainingError`` for what is no shard of this version."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        meta = json.loads(arrays.pop("meta").tobytes())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, AttributeError) as broken:
        raise TrainingError(f"{path}: not a shard: {broken}") from None
    if meta.get("version") != VERSION:
        raise TrainingError(f"{path}: shard of version {meta.get('version')}, this program reads {VERSION}")
    return Shard(arrays, meta["meta"], meta["vocabulary"])


def paths(folder: Path) -> list[Path]:
    """Shards of a folder in order. Raises ``TrainingError`` where there is none."""
    found = sorted(folder.glob("shard-*.npz"))
    if not found:
        raise TrainingError(f"{folder}: holds no shards; make some with python -m agent.training.make")
    return found
