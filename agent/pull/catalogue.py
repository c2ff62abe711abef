"""What ``crosstalk pull`` knows by name: each file with its address, size and SHA-256, each model with its licence.

Where the checksums are from: LFS digests of the pinned revision, each found alike in several independent public
records; those of ``whisper-tiny.en`` and of Kokoro's ONNX file were hashed again from the bytes that packages carry.
A file that has another checksum is refused, so a wrong pin can only fail, never let something else in. Of two files
no public record tells the digest: the revision is pinned, and names their Git LFS pointers, which hold it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """Who loads a model; decides which files it must hold (``agent.pull.layout``)."""

    KOKORO = "kokoro"
    """A voice: ``voice.engine = kokoro``."""
    PIPER = "piper"
    """A voice for the program Piper: ``voice.engine = piper``."""
    SHERPA = "sherpa"
    """A streaming recogniser: ``ears.recogniser = sherpa``."""
    WHISPER = "whisper"
    """Transcripts after the call: ``crosstalk transcribe``."""
    MOSHI = "moshi"
    """A model that hears and speaks, for a GPU: ``engine.model``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    id: str
    """SPDX, or ``LicenseRef-…``."""
    holder: str
    url: str
    """Where its text stands."""
    note: str = ""
    """What somebody who accepts it should know besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile:
    name: str
    """In the model's folder."""
    url: str
    size: int
    sha256: str
    pointer: str = ""
    """Where no checksum is known here: address of the file's Git LFS pointer at the pinned revision, which holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedModel:
    name: str
    """With a slash for the models of a hub that are named so everywhere."""
    kind: Kind
    about: str
    """What it is for, one line."""
    licence: Licence
    files: tuple[PinnedFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


_HUB: Final = "https://huggingface.co"
_APACHE_URL: Final = "https://www.apache.org/licenses/LICENSE-2.0"
_VOICES_REVISION: Final = "c10ece1aade47bb51c153c893d14e5bf8e5b7117"
_EN_TOKENIZER: Final = (2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df")
_EN_VOCABULARY: Final = (422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf")
_TOKENIZER: Final = (2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab")
_VOCABULARY: Final = (459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913")
_BPE_TOKENS: Final = (5_048, "49e3c2646595fd907228b3c6787069658f67b17377c60aeb8619c4551b2316fb")

Pins = dict[str, tuple[int, str]]
"""File name to size and SHA-256."""


def _files(base: str, pins: Pins) -> tuple[PinnedFile, ...]:
    return tuple(
        PinnedFile(name=name, url=f"{base}/{name}", size=size, sha256=sha) for name, (size, sha) in pins.items()
    )


def _whisper(name: str, revision: str, about: str, pins: Pins) -> PinnedModel:
    repository = f"Systran/faster-{name}"
    licence = Licence(
        id="MIT",
        holder="OpenAI (weights); Systran (conversion)",
        url="https://github.com/openai/whisper/blob/main/LICENSE",
        note="A transcript is personal data of both sides of the call: keep it like the recording.",
    )
    files = _files(f"{_HUB}/{repository}/resolve/{revision}", pins)
    return PinnedModel(name=name, kind=Kind.WHISPER, about=about, licence=licence, files=files)


def _zipformer(name: str, repository: str, revision: str, about: str, pins: Pins) -> PinnedModel:
    licence = Licence(
        id="Apache-2.0",
        holder="The icefall and k2 authors",
        url=_APACHE_URL,
        note="Trained on LibriSpeech (CC BY 4.0): read aloud, wideband. Try it on your own callers first.",
    )
    files = _files(f"{_HUB}/{repository}/resolve/{revision}", pins)
    return PinnedModel(name=name, kind=Kind.SHERPA, about=about, licence=licence, files=files)


def _ljspeech(quality: str, about: str, pins: Pins) -> PinnedModel:
    licence = Licence(
        id="MIT",
        holder="Rhasspy contributors (voice); the data set LJ Speech is in the public domain",
        url=f"{_HUB}/rhasspy/piper-voices/blob/{_VOICES_REVISION}/en/en_US/ljspeech/{quality}/MODEL_CARD",
        note="The program Piper speaks it, which you install yourself: GPL-3.0-or-later, in a process of its own.",
    )
    base = f"{_HUB}/rhasspy/piper-voices/resolve/{_VOICES_REVISION}/en/en_US/ljspeech/{quality}"
    files = _files(base, pins)
    return PinnedModel(name=f"piper-ljspeech-{quality}", kind=Kind.PIPER, about=about, licence=licence, files=files)


_MIMI: Final = (
    "tokenizer-e351c8d8-checkpoint125.safetensors",
    384_644_900,
    "09b782f0629851a271227fb9d36db65c041790365f11bbe5d3d59369cf863f50",
)
_PIECES: Final = (
    "tokenizer_spm_32k_3.model",
    552_778,
    "78d4336533ddc26f9acf7250d7fb83492152196c6ea4212c841df76933f18d2d",
)


def _speech(
    name: str, revision: str, about: str, licence: Licence, pins: Pins, *, by_pointer: tuple[str, ...] = ()
) -> PinnedModel:
    """``by_pointer``: files whose checksum their pointer at ``revision`` tells."""
    base = f"{_HUB}/{name}"
    pointed = tuple(
        PinnedFile(
            name=file,
            url=f"{base}/resolve/{revision}/{file}",
            size=0,
            sha256="",
            pointer=f"{base}/raw/{revision}/{file}",
        )
        for file in by_pointer
    )
    shared = {file: (size, sha) for file, size, sha in (_MIMI, _PIECES)}
    files = pointed + _files(f"{base}/resolve/{revision}", pins | shared)
    return PinnedModel(name=name, kind=Kind.MOSHI, about=about, licence=licence, files=files)


_KYUTAI: Final = Licence(
    id="CC-BY-4.0",
    holder="Kyutai",
    url="https://creativecommons.org/licenses/by/4.0/",
    note="English. It speaks freely and knows no roles: nothing that it says is checked by anybody.",
)
_NVIDIA: Final = Licence(
    id="LicenseRef-NVIDIA-Open-Model",
    holder="NVIDIA (on Moshi by Kyutai, CC-BY-4.0)",
    url="https://huggingface.co/nvidia/personaplex-7b-v1",
    note="Accept it on that page with an account first, and put the account's token into HF_TOKEN.",
)

_KOKORO: Final = PinnedModel(
    name="kokoro-en",
    kind=Kind.KOKORO,
    about="voice: Kokoro 82M (int8), 54 speakers",
    licence=Licence(
        id="Apache-2.0",
        holder="hexgrad (weights); the kokoro-onnx project (ONNX export, MIT)",
        url=_APACHE_URL,
    ),
    files=_files(
        "https://github.com/thewh1teagle/kokoro-onnx/releases/download/model-files-v1.0",
        {
            "kokoro-v1.0.int8.onnx": (
                92_361_271,
                "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
            ),
            "voices-v1.0.bin": (28_214_398, "bca610b8308e8d99f32e6fe4197e7ec01679264efed0cac9140fe9c29f1fbf7d"),
        },
    ),
)

_MODELS: Final = (
    _KOKORO,
    _ljspeech(
        "medium",
        "voice: one American speaker, for the program Piper",
        {
            "en_US-ljspeech-medium.onnx": (
                63_531_379,
                "6f52a751e2349abe7a76735eb09dc1875298c77ea2342ffd2fef79ff81b87f22",
            ),
            "en_US-ljspeech-medium.onnx.json": (
                4_972,
                "141d612cc0a95ed7efc1ca936b845c2364967f2e9217c5dbfcf69fc4d6c65860",
            ),
        },
    ),
    _ljspeech(
        "high",
        "voice: the same speaker, larger and slower",
        {
            "en_US-ljspeech-high.onnx": (
                114_199_011,
                "5d4f08ba6a2a48c44592eed3ce56bf85e9de3dd4e20df90541ae68a8310c029a",
            ),
            "en_US-ljspeech-high.onnx.json": (
                4_970,
                "7e1f4634af596d83cca997fb7a931ba80b70f8a316a2655ee69c55365e0ace14",
            ),
        },
    ),
    _zipformer(
        "zipformer-en",
        "csukuangfj/sherpa-onnx-streaming-zipformer-en-2023-06-26",
        "672fbf1b30579d6585301139bb363f42a0ad4a24",
        "streaming recogniser, English, 66 M parameters (int8)",
        {
            "encoder-epoch-99-avg-1-chunk-16-left-128.int8.onnx": (
                71_083_163,
                "563fde436d16cf7607cf408cd6b30909819d03162652ef389c2450ced3f45ac1",
            ),
            "decoder-epoch-99-avg-1-chunk-16-left-128.int8.onnx": (
                1_307_236,
                "98da299f471e38bb4e1a8df579b8cc9122d6039576a77e357b3c60f17dd83b02",
            ),
            "joiner-epoch-99-avg-1-chunk-16-left-128.int8.onnx": (
                259_335,
                "d944208d660d67c8d72cd2acaeac971fa5ceb8c80e76c1968148846fedd6e297",
            ),
            "tokens.txt": _BPE_TOKENS,
        },
    ),
    _zipformer(
        "zipformer-en-20m",
        "csukuangfj/sherpa-onnx-streaming-zipformer-en-20M-2023-02-17",
        "d42f2d9f7ca24806fb667456a18a9f1b60f70d16",
        "streaming recogniser, English, 20 M parameters (int8): for small machines",
        {
            "encoder-epoch-99-avg-1.int8.onnx": (
                42_845_182,
                "3810755ce7c3ab26b42a8bcf39d191308fa27fb0f53358823ba46141d03b7eb3",
            ),
            "decoder-epoch-99-avg-1.onnx": (
                2_092_272,
                "45a7f940ecfb53d89fa270ad11b88b961e53a317203eb24b1c8e95ed208b0f30",
            ),
            "joiner-epoch-99-avg-1.int8.onnx": (
                259_572,
                "e085d73b593cf9b0707f370dbd656d58327d3fe36d80d849202ef81df02cb01e",
            ),
            "tokens.txt": _BPE_TOKENS,
        },
    ),
    _whisper(
        "whisper-tiny.en",
        "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
        "transcripts after the call, English, the smallest",
        {
            "config.json": (2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
            "model.bin": (75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
            "tokenizer.json": _EN_TOKENIZER,
            "vocabulary.txt": _EN_VOCABULARY,
        },
    ),
    _whisper(
        "whisper-base.en",
        "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
        "transcripts after the call, English",
        {
            "config.json": (2_227, "f3bc3821e9fc76a27bae538e11ae5b677dcdd352b4600429ce7951d398569aeb"),
            "model.bin": (145_216_508, "2a166925539a16005f14ff328359f9b9adb9dc4fb631bb3b227526862e93e2ef"),
            "tokenizer.json": _EN_TOKENIZER,
            "vocabulary.txt": _EN_VOCABULARY,
        },
    ),
    _whisper(
        "whisper-small.en",
        "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
        "transcripts after the call, English, three times the size of base",
        {
            "config.json": (2_657, "666a9605530ac1f61fa8177f3702b4dacec9966749e42610839fcc32661d5fae"),
            "model.bin": (483_545_366, "62b2a45b05ee59acb4a5341b33ee35e041395d378d418a18acfe4c9e768ee37a"),
            "tokenizer.json": _EN_TOKENIZER,
            "vocabulary.txt": _EN_VOCABULARY,
        },
    ),
    _whisper(
        "whisper-base",
        "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        "transcripts after the call, many languages",
        {
            "config.json": (2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            "model.bin": (145_217_532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"),
            "tokenizer.json": _TOKENIZER,
            "vocabulary.txt": _VOCABULARY,
        },
    ),
)

_SPEECH: Final = (
    _speech(
        "kyutai/moshiko-pytorch-bf16",
        "2bfc9ae6e89079a5cc7ed2a68436010d91a3d289",
        "hears and speaks by itself (7B, a GPU of 24 GB or more): a male voice",
        _KYUTAI,
        {},
        by_pointer=("model.safetensors",),
    ),
    _speech(
        "kyutai/moshika-pytorch-bf16",
        "a49141e28b3d9c947cf9aa5314431e1b11cbd2f5",
        "the same with a female voice",
        _KYUTAI,
        {},
        by_pointer=("model.safetensors",),
    ),
    _speech(
        "nvidia/personaplex-7b-v1",
        "fdaf4090a61cb315c138a1faee287ffd6c716309",
        "the same kind of model with roles and eighteen voices",
        _NVIDIA,
        {
            "model.safetensors": (
                16_742_874_000,
                "db1290db583cdaa6cb4de444ed279e0b586ca2a372b41434b07a7461c8c0e2f4",
            ),
            "voices.tgz": (6_095_521, "8564e9ca7a06ca723b07c3a77c623f0faa5937d04b2647b3a727b06c5ca0b7bb"),
        },
    ),
)

CATALOGUE: Final[dict[str, PinnedModel]] = {model.name: model for model in (*_MODELS, *_SPEECH)}
