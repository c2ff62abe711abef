"""Kokoro 82M by ONNX Runtime, from files that ``crosstalk pull`` brings: sounds human, costs most of a core.

The graph is run directly and its phonemes are made by ``agent.voice.phonemes``: the package ``kokoro-onnx`` would load
eSpeak NG (GPL-3.0) into this process. Form of the files: the ONNX export takes ``tokens`` [1, n], ``style`` [1, 256],
``speed`` [1] and gives 24 kHz audio; the voices are an ``npz`` of [510, 1, 256] each, one style per number of tokens.
Measured (2-core box, int8, one thread): 0.72-0.85 CPU-s per second of speech; "Yes." takes 0.9 CPU-s.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import VoiceFailed
from agent.voice.engine import ClauseJob, Emit, spread
from agent.voice.phonemes import Lexicon, data_folder
from agent.voice.timing import estimate
from agent.voice.whole import telephone

RATE_HZ: Final = 24_000
MOST_TOKENS: Final = 510
"""Of one clause; ours have a twelfth of that."""
STYLE: Final = 256
GAIN: Final = 1.0
"""Its clauses peak near -6 dBFS by themselves (0.46-0.51 measured)."""
INPUTS: Final = ("style", "speed")
TOKEN_INPUTS: Final = ("tokens", "input_ids")
"""Older and newer exports."""
BEST: Final = ("af_heart", "af_bella", "am_michael")
"""The first of them that the file holds is spoken where none is asked for."""

# Vocabulary of hexgrad/Kokoro-82M (config.json, "vocab"): sign to token.
_SIGNS: Final = {1: ";:,.!?", 9: '—…"()“”', 16: " ", 24: "A", 25: "I", 31: "O", 33: "Q", 39: "W", 41: "Y", 42: "ᵊ"}
_MORE: Final = {
    43: "abcdef",
    50: "hijklmnopqrstuvwxyz",
    69: "ɑɐɒæ",
    75: "β",
    76: "ɔ",
    81: "ð",
    82: "ʤ",
    83: "ə",
    86: "ɛ",
    87: "ɜ",
    92: "ɡ",
    102: "ɪ",
    112: "ŋ",
    119: "θ",
    123: "ɹ",
    125: "ɾ",
    131: "ʃ",
    133: "ʧ",
    135: "ʊ",
    138: "ʌ",
    147: "ʒ",
    148: "ʔ",
    156: "ˈˌː",
    177: "ᵻ",
}
VOCABULARY: Final[dict[str, int]] = {
    sign: first + index for first, signs in (_SIGNS | _MORE).items() for index, sign in enumerate(signs)
}


def files_of(folder: str) -> tuple[Path, Path]:
    """The graph and the voices. Raises ``VoiceFailed`` that names what is missing."""
    root = Path(folder)
    if not folder or not root.is_dir():
        raise VoiceFailed(f"voice.model: {folder or 'nothing'} is not a folder; crosstalk pull kokoro-en")
    graphs = sorted(root.glob("*.onnx"))
    voices = sorted([*root.glob("voices*.bin"), *root.glob("voices*.npz")])
    if not graphs:
        raise VoiceFailed(f"voice.model: {folder} holds no *.onnx")
    if not voices:
        raise VoiceFailed(f"voice.model: {folder} holds no voices*.bin")
    return graphs[0], voices[0]


def voice_names(folder: str) -> list[str]:
    """Voices of a model. Raises ``VoiceFailed``."""
    _, voices = files_of(folder)
    try:
        with zipfile.ZipFile(voices) as archive:
            return sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))
    except (OSError, zipfile.BadZipFile) as broken:
        raise VoiceFailed(f"{voices} is no file of voices (truncated?): {broken}") from None


def missing(folder: str) -> str | None:
    """Why Kokoro cannot be had, or ``None``. Loads nothing."""
    if data_folder() is None:
        return "its dictionary is not installed (package misaki)"
    try:
        return None if voice_names(folder) else f"{folder} holds no voice"
    except VoiceFailed as lacking:
        return str(lacking)


def best_name(folder: str) -> str:
    """The voice where none is asked for. Raises ``VoiceFailed``."""
    names = voice_names(folder)
    return next((name for name in BEST if name in names), names[0] if names else "")


class KokoroEngine:
    """One voice of one model. ``threads``: of one inference."""

    exact = False

    def __init__(self, name: str, folder: str, *, threads: int = 1, lexicon: Lexicon | None = None) -> None:
        graph, voices = files_of(folder)
        self._styles = _styles(voices, name)
        self._session, self._tokens = _session(graph, threads)
        self._lexicon = lexicon or _lexicon()

    def say(self, job: ClauseJob, emit: Emit) -> None:
        phonemes = self._lexicon.clause(job.words, job.mark)
        tokens = [VOCABULARY[sign] for sign in phonemes if sign in VOCABULARY][:MOST_TOKENS]
        if not tokens:
            raise VoiceFailed("kokoro found nothing to say")
        pcm = telephone(self._speak(tokens), RATE_HZ, GAIN)
        if not pcm.size:
            raise VoiceFailed("kokoro gave no audio")
        words = [word for group in job.words for word in group.split()]
        emit(pcm, spread(job.words, estimate(words, pcm)))

    def _speak(self, tokens: list[int]) -> NDArray[np.float64]:
        style = self._styles[min(len(tokens), len(self._styles)) - 1].reshape(1, STYLE)
        fed = {
            self._tokens: np.array([[0, *tokens, 0]], np.int64),
            "style": style,
            "speed": np.ones(1, np.float32),
        }
        try:
            audio = self._session.run(None, fed)[0]
        except Exception as broken:  # the library raises errors of its own making
            raise VoiceFailed(f"kokoro failed: {broken}") from None
        samples = np.asarray(audio, np.float64).ravel()
        if not np.isfinite(samples).all():
            raise VoiceFailed("kokoro gave numbers that are no audio")
        return samples


def _lexicon() -> Lexicon:
    folder = data_folder()
    if folder is None:
        raise VoiceFailed("kokoro: its dictionary is not installed: pip install 'crosstalk-voice[kokoro]'")
    try:
        return Lexicon.load(folder)
    except (OSError, ValueError) as broken:
        raise VoiceFailed(f"kokoro: the dictionary in {folder} cannot be read: {broken}") from None


def _styles(path: Path, name: str) -> NDArray[np.float32]:
    """[510, 256] of one voice. Raises ``VoiceFailed``."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as voices:
            if name not in voices:
                raise VoiceFailed(f"{path} has no voice {name!r}; known: {', '.join(sorted(voices.files))}")
            styles = np.asarray(voices[name], np.float32)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, AttributeError) as broken:
        raise VoiceFailed(f"{path} is no file of voices (truncated?): {broken}") from None
    if styles.size == 0 or styles.shape[-1] != STYLE or styles.size % STYLE:
        raise VoiceFailed(f"{path}: the voice {name!r} has the shape {styles.shape}, not [n, 1, {STYLE}]")
    return styles.reshape(-1, STYLE)


def _session(path: Path, threads: int) -> tuple[Any, str]:
    """The loaded graph and the name of its token input. Raises ``VoiceFailed``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as broken:  # the library raises errors of its own making
        raise VoiceFailed(f"{path} cannot be loaded (truncated or no ONNX model): {_short(broken)}") from None
    inputs = {item.name for item in session.get_inputs()}
    token = next((name for name in TOKEN_INPUTS if name in inputs), None)
    if token is None or not inputs >= set(INPUTS):
        raise VoiceFailed(f"{path} is no Kokoro model: it takes {', '.join(sorted(inputs))}")
    return session, token


def _short(broken: Exception) -> str:
    return str(broken).splitlines()[0][:200]
