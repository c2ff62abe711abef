"""sherpa-onnx with a streaming transducer that the operator supplies (a folder with tokens and three ONNX files)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import Expect, ExpectKind
from agent.model.parts.completeness import is_readable
from agent.model.parts.engine import NOTHING, Guess
from agent.model.parts.numbers import DIGITS
from agent.model.parts.patterns import vocabulary
from agent.model.parts.recogniser import Mode

RATE_HZ = 8000
PARTS = ("encoder", "decoder", "joiner")
TAIL_SAMPLES = RATE_HZ // 2
"""Silence behind the last audio: a streaming encoder still owes the words of its look-ahead."""
CONFIDENCE = 0.7
"""The library gives no probability for a transducer's words."""


def find_model(folder: str) -> dict[str, str]:
    """Paths of tokens, encoder, decoder and joiner. Raises ``ModelError`` that names what is missing."""
    if not folder:
        raise ModelError("ears.sherpa_model: no folder is given")
    root = Path(folder)
    if not root.is_dir():
        raise ModelError(f"ears.sherpa_model: {folder} is not a folder")
    tokens = root / "tokens.txt"
    if not tokens.is_file():
        raise ModelError(f"ears.sherpa_model: {folder} holds no tokens.txt")
    found = {"tokens": str(tokens)}
    for part in PARTS:
        files = sorted(root.glob(f"{part}*.onnx"), key=lambda path: (".int8." not in path.name, path.name))
        if not files:
            raise ModelError(f"ears.sherpa_model: {folder} holds no {part}*.onnx")
        found[part] = str(files[0])
    return found


def open_sherpa(folder: str) -> SherpaEngine:
    """Load the operator's model. Raises ``ModelError``."""
    paths = find_model(folder)
    try:
        import sherpa_onnx
    except ImportError as error:
        raise ModelError("sherpa-onnx is not installed: pip install 'crosstalk-voice[sherpa]'") from error
    try:
        online = sherpa_onnx.OnlineRecognizer.from_transducer(
            **paths, num_threads=1, sample_rate=16000, decoding_method="modified_beam_search"
        )
    except Exception as error:  # the library raises bare RuntimeError and ValueError of its own making
        raise ModelError(f"ears.sherpa_model: {folder} cannot be loaded: {error}") from error
    return SherpaEngine(online)


def hot_words(expect: Expect) -> str:
    """Words that the beam search is to favour, in the library's notation ("A B/C": entries divided by slashes)."""
    words: set[str] = set()
    if expect.kind is ExpectKind.DIGITS or expect.digits is not None:
        words |= DIGITS.keys() - {"o", "nought"}
    words |= vocabulary(pattern for pattern in expect.phrases if is_readable(pattern))
    return "/".join(sorted(word.upper() for word in words))


class SherpaEngine:
    """``online``: an ``OnlineRecognizer``, or what behaves like one."""

    def __init__(self, online: Any) -> None:
        self._online = online
        self._biases = True

    def open(self, expect: Expect, mode: Mode) -> _Utterance:
        return _Utterance(self._online, self._stream(hot_words(expect)))

    def _stream(self, words: str) -> Any:
        if words and self._biases:
            try:
                return self._online.create_stream(hotwords=words)
            except Exception:  # a model without a word-piece list cannot be biased; it works without
                self._biases = False
        return self._online.create_stream()


class _Utterance:
    def __init__(self, online: Any, stream: Any) -> None:
        self._online = online
        self._stream = stream

    def feed(self, pcm: NDArray[np.int16]) -> None:
        self._stream.accept_waveform(RATE_HZ, pcm.astype(np.float32) / 32768.0)
        self._decode()

    def partial(self) -> Guess:
        said = tuple(str(self._online.get_result(self._stream)).lower().split())
        return Guess(said, CONFIDENCE) if said else NOTHING

    def finish(self) -> Guess:
        self._stream.accept_waveform(RATE_HZ, np.zeros(TAIL_SAMPLES, np.float32))
        self._stream.input_finished()
        self._decode()
        return self.partial()

    def drop(self) -> None:
        """The stream is freed with this object."""

    def _decode(self) -> None:
        while self._online.is_ready(self._stream):
            self._online.decode_stream(self._stream)
