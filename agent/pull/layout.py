"""Which files a model of each kind must hold. Looks at names and sizes only; loading is the adapters' work."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agent.pull.catalogue import Kind
from agent.pull.errors import PullFailed

WANTED: Final[dict[Kind, tuple[tuple[str, ...], ...]]] = {
    Kind.KOKORO: (("*.onnx",), ("voices*.bin", "voices*.npz")),
    Kind.PIPER: (("*.onnx",), ("*.onnx.json",)),
    Kind.SHERPA: (("tokens.txt",), ("encoder*.onnx",), ("decoder*.onnx",), ("joiner*.onnx",)),
    Kind.MOSHI: (("model.safetensors",), ("tokenizer*.safetensors",), ("tokenizer*.model",)),
    Kind.WHISPER: (("model.bin",), ("config.json",), ("tokenizer.json",), ("vocabulary.txt", "vocabulary.json")),
}
"""Patterns of names; of each group one file must be there."""


def absent(folder: Path, kind: Kind) -> list[str]:
    """What a folder lacks, each as ``a or b``; empty files count as missing."""
    return [" or ".join(group) for group in WANTED[kind] if not any(_found(folder, pattern) for pattern in group)]


def _found(folder: Path, pattern: str) -> bool:
    return any(path.is_file() and path.stat().st_size > 0 for path in folder.glob(pattern))


def kind_of(folder: Path) -> Kind:
    """The one kind whose files a folder holds. Raises ``PullFailed``."""
    fitting = [kind for kind in Kind if not absent(folder, kind)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise PullFailed(f"the files fit {' and '.join(fitting)}: say which with --kind")
    lacks = "; ".join(f"{kind} lacks {', '.join(absent(folder, kind))}" for kind in Kind)
    raise PullFailed(f"the files are no model that Crosstalk loads: {lacks}")
