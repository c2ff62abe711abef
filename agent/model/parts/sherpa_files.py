"""The files of a streaming transducer for sherpa-onnx: found, and checked before the library sees them.

The library ends its process (exit or segmentation fault, measured with 2.0.1) where a model lacks metadata or its
tokens are not a list; where tokens are too few it fails in the middle of a call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agent.errors import ModelError
from agent.model.onnx_file import read_metadata

PARTS: Final = ("encoder", "decoder", "joiner")
NEEDED: Final = {
    "encoder": ("model_type",),
    "decoder": ("vocab_size", "context_size"),
    "joiner": ("joiner_dim",),
}
"""What the library looks up in each part's metadata."""
TYPES: Final = ("zipformer2", "zipformer", "lstm", "conformer", "ebranchformer")
"""Of streaming transducers (sherpa-onnx, ``online-transducer-model.cc``)."""
BLANK: Final = "<blk>"
KEY: Final = "ears.sherpa_model"
"""Where the folder is named."""


def find_model(folder: str) -> dict[str, str]:
    """Paths of tokens, encoder, decoder and joiner. Raises ``ModelError`` that names what is missing."""
    if not folder:
        raise ModelError(f"{KEY}: no folder is given")
    root = Path(folder)
    if not root.is_dir():
        raise ModelError(f"{KEY}: {folder} is not a folder (crosstalk pull --list)")
    tokens = root / "tokens.txt"
    if not tokens.is_file():
        raise ModelError(f"{KEY}: {folder} holds no tokens.txt")
    found = {"tokens": str(tokens)}
    for part in PARTS:
        files = sorted(root.glob(f"{part}*.onnx"), key=lambda path: (".int8." not in path.name, path.name))
        if not files:
            raise ModelError(f"{KEY}: {folder} holds no {part}*.onnx")
        found[part] = str(files[0])
    return found


def check_model(folder: str) -> dict[str, str]:
    """``find_model``, with every file looked into. Raises ``ModelError`` that names the file and what is wrong."""
    try:
        return _checked(find_model(folder))
    except ModelError as wrong:
        if str(wrong).startswith(KEY):
            raise
        raise ModelError(f"{KEY}: {wrong}") from None


def _checked(paths: dict[str, str]) -> dict[str, str]:
    told = {part: read_metadata(Path(paths[part])) for part in PARTS}
    for part, keys in NEEDED.items():
        lacking = [key for key in keys if key not in told[part]]
        if lacking:
            raise ModelError(
                f"{paths[part]} is no {part} of a streaming transducer: its metadata lacks {', '.join(lacking)}"
            )
    kind = told["encoder"]["model_type"]
    if kind not in TYPES:
        raise ModelError(f"{paths['encoder']}: model_type {kind!r} is no streaming transducer ({', '.join(TYPES)})")
    tokens = read_tokens(Path(paths["tokens"]))
    wanted = told["decoder"]["vocab_size"]
    if not wanted.isdigit() or len(tokens) < int(wanted):
        raise ModelError(
            f"{paths['tokens']} holds {len(tokens)} tokens, the decoder has {wanted}: truncated, or of another model"
        )
    return paths


def read_tokens(path: Path) -> list[str]:
    """Tokens by their number. Raises ``ModelError`` with the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as wrong:
        raise ModelError(f"{path} is no list of tokens: {wrong}") from None
    found: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        token, _, index = line.rpartition(" ")
        if not index.isdigit() or int(index) in found:
            raise ModelError(f"{path}:{number}: must be a token and its number, each number once")
        found[int(index)] = token.strip() or " "
    if sorted(found) != list(range(len(found))):
        raise ModelError(f"{path}: the numbers of the tokens have gaps: truncated, or of another model")
    return [found[index] for index in range(len(found))]


class Spelling:
    """How the model writes words, for hot words: in its case, and only those that its pieces can make."""

    def __init__(self, tokens: list[str]) -> None:
        self._known = frozenset(tokens) - {BLANK}
        self._upper = sum(token.isupper() for token in tokens) > sum(token.islower() for token in tokens)

    def of(self, word: str) -> str | None:
        """The word, or ``None`` where the model has no pieces for it."""
        written = word.upper() if self._upper else word.lower()
        text = "▁" + written
        reached = [True, *[False] * len(text)]
        for end in range(1, len(text) + 1):
            reached[end] = any(reached[start] and text[start:end] in self._known for start in range(end))
        return written if reached[-1] else None


def piece_vocabulary(tokens: list[str]) -> str:
    """Text of a word-piece file for the library: every piece costs alike, so that a word is made of the fewest.

    Few models come with their own; without one the library takes no hot words (it logs a line for each).
    """
    return "".join(f"{token}\t-1\n" for token in tokens)
