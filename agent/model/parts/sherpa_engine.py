"""sherpa-onnx with a streaming transducer that the operator supplies (a folder with tokens and three ONNX files)."""

from __future__ import annotations

import tempfile
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
from agent.model.parts.sherpa_files import Spelling, check_model, piece_vocabulary, read_tokens
from agent.model.parts.upsample import Upsampler

RATE_HZ = 16_000
"""What the models want. The library would resample by itself, and write three lines to the log for each utterance."""
TAIL_SAMPLES = RATE_HZ // 2
"""Silence behind the last audio: a streaming encoder still owes the words of its look-ahead."""
CONFIDENCE = 0.7
"""The library gives no probability for a transducer's words."""


def open_sherpa(folder: str) -> SherpaEngine:
    """Load the operator's model. Raises ``ModelError``."""
    paths = check_model(folder)
    try:
        import sherpa_onnx
    except ImportError as error:
        raise ModelError("sherpa-onnx is not installed: pip install 'crosstalk-voice[sherpa]'") from error
    tokens = read_tokens(Path(paths["tokens"]))
    with tempfile.NamedTemporaryFile("w", suffix=".vocab", encoding="utf-8") as vocabulary_file:
        vocabulary_file.write(piece_vocabulary(tokens))
        vocabulary_file.flush()
        try:
            online = sherpa_onnx.OnlineRecognizer.from_transducer(
                **paths,
                num_threads=1,
                sample_rate=RATE_HZ,
                decoding_method="modified_beam_search",
                modeling_unit="bpe",
                bpe_vocab=vocabulary_file.name,
            )
        except Exception as error:  # the library raises bare RuntimeError and ValueError of its own making
            raise ModelError(f"ears.sherpa_model: {folder} cannot be loaded: {error}") from error
    return SherpaEngine(online, Spelling(tokens))


def hot_words(expect: Expect, spelling: Spelling) -> str:
    """Words that the beam search is to favour, in the library's notation ("YES/NO": entries divided by slashes)."""
    words: set[str] = set()
    if expect.kind is ExpectKind.DIGITS or expect.digits is not None:
        words |= DIGITS.keys() - {"o", "nought"}
    words |= vocabulary(pattern for pattern in expect.phrases if is_readable(pattern))
    written = (spelling.of(word) for word in words)
    return "/".join(sorted(word for word in written if word is not None))


class SherpaEngine:
    """``online``: an ``OnlineRecognizer``, or what behaves like one."""

    def __init__(self, online: Any, spelling: Spelling) -> None:
        self._online = online
        self._spelling = spelling

    def open(self, expect: Expect, mode: Mode) -> _Utterance:
        words = hot_words(expect, self._spelling)
        stream = self._online.create_stream(hotwords=words) if words else self._online.create_stream()
        return _Utterance(self._online, stream)

    def foresee(self, expect: Expect, mode: Mode) -> None:
        """See ``prepare``."""

    def prepare(self) -> bool:
        """Streams are made in no time."""
        return False


class _Utterance:
    def __init__(self, online: Any, stream: Any) -> None:
        self._online = online
        self._stream = stream
        self._upsampler = Upsampler()

    def feed(self, pcm: NDArray[np.int16]) -> None:
        wide = self._upsampler.process(pcm)
        self._stream.accept_waveform(RATE_HZ, wide.astype(np.float32) / 32768.0)
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
