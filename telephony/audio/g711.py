"""ITU-T G.711 by table: one byte per 8 kHz sample, both laws, any array shape.

``take`` on a table is twice as fast as fancy indexing; encoding has one entry for each of the 65536 samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ULAW_SILENCE = 0xFF
ALAW_SILENCE = 0xD5

_ULAW_BIAS = 33  # of a 14-bit sample, G.711 table 2a
_ULAW_CLIP = 8158


def _ulaw_decode_table() -> NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    segment, step = (code >> 4) & 7, code & 15
    magnitude = (((step << 1) + _ULAW_BIAS) << segment) - _ULAW_BIAS
    return np.asarray(np.where(code & 0x80, -magnitude, magnitude) << 2, np.int16)


def _alaw_decode_table() -> NDArray[np.int16]:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = (code >> 4) & 7, code & 15
    magnitude = np.where(segment == 0, (step << 1) + 1, ((step << 1) + 33) << np.maximum(segment - 1, 0))
    return np.asarray(np.where(code & 0x80, magnitude, -magnitude) << 3, np.int16)


def _all_samples() -> NDArray[np.int32]:
    """The 65536 samples in the order of their unsigned 16-bit pattern."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _ulaw_encode_table() -> NDArray[np.uint8]:
    sample = _all_samples() >> 2
    negative = sample < 0
    magnitude = np.minimum(np.abs(sample), _ULAW_CLIP) + _ULAW_BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 5
    step = (magnitude >> (segment + 1)) & 15
    return np.asarray(~((segment << 4) | step | np.where(negative, 0x80, 0)) & 0xFF, np.uint8)


def _alaw_encode_table() -> NDArray[np.uint8]:
    sample = _all_samples() >> 3
    positive = sample >= 0
    magnitude = np.where(positive, sample, -sample - 1)
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0)
    step = np.where(segment == 0, magnitude >> 1, magnitude >> np.maximum(segment, 1)) & 15
    return np.asarray(((segment << 4) | step) ^ np.where(positive, 0xD5, 0x55), np.uint8)


_ULAW_DECODE = _ulaw_decode_table()
_ALAW_DECODE = _alaw_decode_table()
_ULAW_ENCODE = _ulaw_encode_table()
_ALAW_ENCODE = _alaw_encode_table()


def ulaw_decode(code: NDArray[np.uint8]) -> NDArray[np.int16]:
    """µ-law bytes to PCM16, same shape."""
    return _ULAW_DECODE.take(code)


def alaw_decode(code: NDArray[np.uint8]) -> NDArray[np.int16]:
    """A-law bytes to PCM16, same shape."""
    return _ALAW_DECODE.take(code)


def ulaw_encode(pcm: NDArray[np.int16]) -> NDArray[np.uint8]:
    """PCM16 to µ-law bytes, same shape. ``pcm`` must be contiguous."""
    return _ULAW_ENCODE.take(pcm.view(np.uint16))


def alaw_encode(pcm: NDArray[np.int16]) -> NDArray[np.uint8]:
    """PCM16 to A-law bytes, same shape. ``pcm`` must be contiguous."""
    return _ALAW_ENCODE.take(pcm.view(np.uint16))


def decode(code: NDArray[np.uint8], alaw: NDArray[np.bool_]) -> NDArray[np.int16]:
    """``code`` [rows, samples] to PCM16; ``alaw`` [rows] picks the law of each row."""
    pcm = ulaw_decode(code)
    if alaw.any():
        pcm[alaw] = alaw_decode(code[alaw])
    return pcm


def encode(pcm: NDArray[np.int16], alaw: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """``pcm`` [rows, samples] contiguous to bytes; ``alaw`` [rows] picks the law of each row."""
    code = ulaw_encode(pcm)
    if alaw.any():
        code[alaw] = alaw_encode(pcm[alaw])
    return code
