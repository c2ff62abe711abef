"""Opus (RFC 6716) by libopus, through ctypes: one encoder or decoder per leg, at the link's rate of 8 kHz.

The library is the one that PyAV's wheel carries (the ``webrtc`` extra has it anyway), else the system's. PyAV's own
codecs always decode to 48 kHz and give no access to in-band FEC; libopus resamples inside, to any of its rates.

Cost per 20 ms frame on one core of the development machine: docs/benchmarks.md, "WebRTC".
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError

RATE_HZ = 8000
FRAME_SAMPLES = 160
MAX_PACKET_BYTES = 400
"""Ours: 20 ms at 24 kbit/s are 60 bytes."""
MAX_DECODED_SAMPLES = 960
"""120 ms, the longest Opus packet (RFC 6716 §3.1)."""
COMPLEXITY = 5
BITRATE = 24_000

_OK = 0
_APPLICATION_VOIP = 2048
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_PACKET_LOSS = 4002, 4010, 4012, 4014
_SET_SIGNAL, _SIGNAL_VOICE = 4024, 3001
_EXPECTED_LOSS_PERCENT = 10


@functools.cache
def library() -> ctypes.CDLL:
    """libopus with its signatures. Raises ``MediaError`` when there is none."""
    for path in _candidates():
        try:
            found = ctypes.CDLL(path)
        except OSError:
            continue
        return _declare(found)
    raise MediaError("libopus was not found: install the extra 'webrtc' or the system's libopus")


def _candidates() -> list[str]:
    paths: list[str] = []
    spec = importlib.util.find_spec("av")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for folder in (package.parent / "av.libs", package / ".dylibs", package):
            paths += [str(path) for path in sorted(folder.glob("*opus*")) if path.suffix != ".py"]
    system = ctypes.util.find_library("opus")
    return [*paths, *([system] if system else [])]


def _declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    lib.opus_encoder_create.argtypes = (ctypes.c_int32, integer, integer, ctypes.POINTER(integer))
    lib.opus_encoder_create.restype = pointer
    lib.opus_encoder_destroy.argtypes = (pointer,)
    lib.opus_encode.argtypes = (pointer, pointer, integer, pointer, ctypes.c_int32)
    lib.opus_encode.restype = ctypes.c_int32
    lib.opus_decoder_create.argtypes = (ctypes.c_int32, integer, ctypes.POINTER(integer))
    lib.opus_decoder_create.restype = pointer
    lib.opus_decoder_destroy.argtypes = (pointer,)
    lib.opus_decode.argtypes = (pointer, ctypes.c_char_p, ctypes.c_int32, pointer, integer, integer)
    lib.opus_decode.restype = integer
    return lib


class OpusEncoder:
    """Mono voice at 8 kHz to packets of 20 ms, with in-band FEC."""

    def __init__(self, *, rate_hz: int = RATE_HZ, complexity: int = COMPLEXITY, bitrate: int = BITRATE) -> None:
        self._lib = library()
        error = ctypes.c_int()
        self._state = self._lib.opus_encoder_create(rate_hz, 1, _APPLICATION_VOIP, ctypes.byref(error))
        if error.value != _OK:
            raise MediaError(f"opus encoder: error {error.value}")
        for request, value in (
            (_SET_BITRATE, bitrate),
            (_SET_COMPLEXITY, complexity),
            (_SET_INBAND_FEC, 1),
            (_SET_PACKET_LOSS, _EXPECTED_LOSS_PERCENT),
            (_SET_SIGNAL, _SIGNAL_VOICE),
        ):
            self._lib.opus_encoder_ctl(ctypes.c_void_p(self._state), request, ctypes.c_int32(value))
        self._samples = rate_hz // 50
        self._buffer = ctypes.create_string_buffer(MAX_PACKET_BYTES)

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        """20 ms of contiguous PCM16 to one packet. Raises ``MediaError``."""
        size = self._lib.opus_encode(self._state, pcm.ctypes.data, self._samples, self._buffer, MAX_PACKET_BYTES)
        if size < 0:
            raise MediaError(f"opus encode: error {size}")
        return self._buffer.raw[:size]

    def close(self) -> None:
        """Free the native state; idempotent."""
        state, self._state = self._state, None
        if state is not None:
            self._lib.opus_encoder_destroy(state)


class OpusDecoder:
    """Packets to mono PCM16 at 8 kHz."""

    def __init__(self, *, rate_hz: int = RATE_HZ) -> None:
        self._lib = library()
        error = ctypes.c_int()
        self._state = self._lib.opus_decoder_create(rate_hz, 1, ctypes.byref(error))
        if error.value != _OK:
            raise MediaError(f"opus decoder: error {error.value}")
        self._pcm = np.zeros(MAX_DECODED_SAMPLES * rate_hz // RATE_HZ, np.int16)
        self._address = self._pcm.ctypes.data

    def decode(self, packet: bytes) -> NDArray[np.int16] | None:
        """One packet's samples (a view that the next call overwrites), or ``None`` for what is no Opus."""
        return self._decode(packet, len(self._pcm), fec=0)

    def recover(self, next_packet: bytes, samples: int) -> NDArray[np.int16] | None:
        """``samples`` of the lost packet right before ``next_packet``, from its in-band FEC or by concealment."""
        return self._decode(next_packet, samples, fec=1)

    def conceal(self, samples: int) -> NDArray[np.int16] | None:
        """``samples`` in place of a lost packet whose successor is lost too."""
        return self._decode(None, samples, fec=0)

    def _decode(self, packet: bytes | None, room: int, *, fec: int) -> NDArray[np.int16] | None:
        size = 0 if packet is None else len(packet)
        count = self._lib.opus_decode(self._state, packet, size, self._address, room, fec)
        return self._pcm[:count] if count > 0 else None

    def close(self) -> None:
        """Free the native state; idempotent."""
        state, self._state = self._state, None
        if state is not None:
            self._lib.opus_decoder_destroy(state)
