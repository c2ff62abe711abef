"""RTP packets (RFC 3550 §5.1): headers of many received packets at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 12
COMFORT_NOISE = 13
"""Static payload type of RFC 3389."""

_PLAIN = 0x80  # version 2, no padding, no extension, no CSRC


@dataclass(slots=True)
class Headers:
    """Headers of ``k`` packets; all arrays are [k] int64 (``ok`` and ``marker``: bool)."""

    ok: NDArray[np.bool_]
    """The packet is well formed; the other fields mean nothing where it is not."""
    payload_type: NDArray[np.int64]
    marker: NDArray[np.bool_]
    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    ssrc: NDArray[np.int64]
    offset: NDArray[np.int64]
    """Where the payload begins."""
    size: NDArray[np.int64]
    """Bytes of payload, padding removed."""


def parse_headers(buffer: NDArray[np.uint8], index: NDArray[np.intp], length: NDArray[np.int64]) -> Headers:
    """Headers of the packets in lines ``index`` [k] of ``buffer`` [slots, width], ``length`` [k] bytes each.

    Checks of RFC 3550 App. A.1: version, and that CSRCs, extension and padding fit. ``width`` is a multiple of 4.
    """
    words = buffer.view(">u4")
    first = words[index, 0].astype(np.int64)
    lead = first >> 24
    plain = bool((lead == _PLAIN).all())
    offset = np.full(len(index), HEADER_BYTES, np.int64)
    size = length - HEADER_BYTES
    if not plain:
        offset, size = _odd_layout(buffer, index, length, lead)
    return Headers(
        ok=(size >= 0) & (length >= HEADER_BYTES) & ((lead >> 6) == 2),
        payload_type=(first >> 16) & 0x7F,
        marker=(first & 0x800000) != 0,
        sequence=first & 0xFFFF,
        timestamp=words[index, 1].astype(np.int64),
        ssrc=words[index, 2].astype(np.int64),
        offset=offset,
        size=size,
    )


def _odd_layout(
    buffer: NDArray[np.uint8], index: NDArray[np.intp], length: NDArray[np.int64], lead: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Payload offset and size [k] with CSRCs, extension and padding; a size below 0 where they do not fit."""
    last = buffer.shape[1] - 1
    offset = HEADER_BYTES + 4 * (lead & 0x0F)
    extended = (lead & 0x10) != 0
    at = np.minimum(offset + 2, last - 1)
    extension = 4 + 4 * ((buffer[index, at].astype(np.int64) << 8) | buffer[index, at + 1])
    offset = offset + np.where(extended, extension, 0)
    padded = (lead & 0x20) != 0
    padding = np.where(padded, buffer[index, np.clip(length - 1, 0, last)], 0).astype(np.int64)
    size = length - offset - padding
    return offset, np.where(padded & (padding == 0), -1, size)
