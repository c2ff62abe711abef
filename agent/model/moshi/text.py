"""Text tokens of the model: SentencePiece, and the tags of a role."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sentencepiece

from agent.errors import ModelError

SYSTEM_TAG: Final = "<system>"
WORD_START: Final = "▁"
FIRST_WORD_TOKEN: Final = 4
"""Below are end of padding, begin, end, padding."""


class Tokenizer:
    def __init__(self, path: Path, *, text_card: int) -> None:
        """Raises ``ModelError`` where the file is no model, or not this one's."""
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise ModelError(f"{path}: {error}") from None
        if (found := int(self._model.vocab_size())) != text_card:
            raise ModelError(f"{path}: {found} pieces, the model has {text_card}")

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(int(token) for token in self._model.encode(text))

    def piece(self, token: int) -> str:
        """What a token adds to the text; empty for padding and what is no token."""
        if not FIRST_WORD_TOKEN <= token < self._model.vocab_size():
            return ""
        return str(self._model.id_to_piece(token)).replace(WORD_START, " ")


def role_text(text: str) -> str:
    """A role as PersonaPlex wants it: between system tags; empty stays empty."""
    text = text.strip()
    if not text or (text.startswith(SYSTEM_TAG) and text.endswith(SYSTEM_TAG)):
        return text
    return f"{SYSTEM_TAG} {text} {SYSTEM_TAG}"
