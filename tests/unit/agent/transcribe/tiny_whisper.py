"""A Whisper of one layer for CTranslate2 whose decoder says what its position table holds: "yes it works"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 64
WORDS = (" yes", " it", " works")
SPECIALS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
TIMES = tuple(f"<|{step * 0.02:.2f}|>" for step in range(1501))
STRETCH = 25
"""Encoder frames (20 ms each) that one word is said to last."""
VOCABULARY = ("<unk>", *WORDS, *SPECIALS, *TIMES)
SAID = ("<|0.00|>", *WORDS, "<|1.00|>", "<|endoftext|>")
"""What each position of the decoder answers; the first one is that of the start token."""


def tiny_whisper(folder: Path) -> Path:
    """A folder as ``crosstalk pull whisper-tiny.en`` makes it."""
    from ctranslate2.specs.whisper_spec import WhisperSpec
    from tokenizers import Tokenizer, decoders, models

    folder.mkdir(parents=True, exist_ok=True)
    spec = WhisperSpec(1, 1, 1, 1)
    spec.register_vocabulary(list(VOCABULARY))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [VOCABULARY.index("<|endoftext|>")]
    spec.config.alignment_heads = [(0, 0)]
    _fill_encoder(spec.encoder)
    _fill_decoder(spec.decoder)
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    tokenizer = Tokenizer(models.WordLevel({token: n for n, token in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _zeros(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def _linear(spec: Any, outputs: int, inputs: int) -> None:
    spec.weight, spec.bias = _zeros(outputs, inputs), _zeros(outputs)


def _norm(spec: Any, gain: float = 1.0) -> None:
    spec.gamma, spec.beta = np.full(WIDTH, gain, np.float32), _zeros(WIDTH)


def _attention(spec: Any, sizes: tuple[int, ...]) -> None:
    """Attention that adds nothing."""
    _norm(spec.layer_norm)
    for linear, outputs in zip(spec.linear, sizes, strict=True):
        _linear(linear, outputs, WIDTH)


def _feed_forward(spec: Any) -> None:
    _norm(spec.layer_norm)
    _linear(spec.linear_0, WIDTH, WIDTH)
    _linear(spec.linear_1, WIDTH, WIDTH)


def _embeddings() -> NDArray[np.float32]:
    """A direction for each token."""
    return _directions(7, len(VOCABULARY))


def _directions(seed: int, count: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _stretches() -> NDArray[np.float32]:
    """A direction for each stretch of the sound: the answers look at them in turn, which gives words their times."""
    return _directions(8, 1500 // STRETCH)


def _fill_encoder(spec: Any) -> None:
    spec.conv1.weight, spec.conv1.bias = _zeros(WIDTH, 80, 3), _zeros(WIDTH)
    spec.conv2.weight, spec.conv2.bias = _zeros(WIDTH, WIDTH, 3), _zeros(WIDTH)
    spec.position_encodings.encodings = np.repeat(_stretches(), STRETCH, axis=0)
    _norm(spec.layer_norm)
    for layer in spec.layer:
        _attention(layer.self_attention, (3 * WIDTH, WIDTH))
        _feed_forward(layer.ffn)


def _fill_decoder(spec: Any) -> None:
    rows = _embeddings()
    positions = _zeros(448, WIDTH)
    for position in range(448):
        answer = SAID[min(position, len(SAID) - 1)]
        positions[position] = 20 * rows[VOCABULARY.index(answer)]
    spec.embeddings.weight = rows
    spec.position_encodings.encodings = positions
    spec.projection.weight = rows
    spec.projection.bias = _zeros(len(VOCABULARY))
    _norm(spec.layer_norm, gain=3.0)
    for layer in spec.layer:
        _attention(layer.self_attention, (3 * WIDTH, WIDTH))
        _attention(layer.attention, (WIDTH, 2 * WIDTH, WIDTH))
        looks = sum(np.outer(_stretches()[n], rows[VOCABULARY.index(token)]) for n, token in enumerate(SAID[1:-1]))
        layer.attention.linear[0].weight = (2 * looks).astype(np.float32)
        layer.attention.linear[1].weight[:WIDTH] = np.eye(WIDTH, dtype=np.float32)
        _feed_forward(layer.ffn)
