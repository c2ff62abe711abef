"""G.711 tables against the segment formula of the ITU, sample by sample."""

from __future__ import annotations

import numpy as np

from telephony.audio import g711

ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)
ALL_CODES = np.arange(256).astype(np.uint8)


def ulaw_of(sample: int) -> int:
    """One sample by G.711 table 2a: 14 bits, bias 33, eight segments."""
    magnitude, sign = sample >> 2, 0x80
    if magnitude < 0:
        magnitude, sign = -magnitude, 0x00
    magnitude = min(magnitude, 8158) + 33
    segment = 0
    while magnitude >> (segment + 6):
        segment += 1
    code = segment << 4 | (magnitude >> (segment + 1)) & 15
    return (code ^ 0x7F) | sign if sign else code ^ 0x7F


def alaw_of(sample: int) -> int:
    """One sample by G.711 table 1a: 13 bits, eight segments, even bits inverted."""
    magnitude, sign = sample >> 3, 0x80
    if magnitude < 0:
        magnitude, sign = -magnitude - 1, 0x00
    segment = 0
    while magnitude >> (segment + 5):
        segment += 1
    step = magnitude >> 1 if segment == 0 else magnitude >> segment
    return (segment << 4 | step & 15 | sign) ^ 0x55


def test_every_sample_is_encoded_as_the_formula_says() -> None:
    assert g711.ulaw_encode(ALL_SAMPLES).tolist() == [ulaw_of(int(sample)) for sample in ALL_SAMPLES]
    assert g711.alaw_encode(ALL_SAMPLES).tolist() == [alaw_of(int(sample)) for sample in ALL_SAMPLES]


def test_every_code_survives_decoding_and_encoding() -> None:
    alaw = g711.alaw_encode(g711.alaw_decode(ALL_CODES))
    ulaw = g711.ulaw_encode(g711.ulaw_decode(ALL_CODES))
    assert (alaw == ALL_CODES).all()
    assert np.flatnonzero(ulaw != ALL_CODES).tolist() == [0x7F], "only minus zero has no sample of its own"


def test_known_values_of_the_decoder() -> None:
    assert g711.ulaw_decode(np.array([0x00, 0x80, 0xFF, 0x7F], np.uint8)).tolist() == [-32124, 32124, 0, 0]
    assert g711.alaw_decode(np.array([0x2A, 0xAA, 0xD5, 0x55], np.uint8)).tolist() == [-32256, 32256, 8, -8]


def test_silence_is_sent_as_the_code_of_silence_and_not_as_zeros() -> None:
    zeros = np.zeros((2, 160), np.int16)
    code = g711.encode(zeros, np.array([False, True]))
    assert set(code[0].tolist()) == {g711.ULAW_SILENCE}
    assert set(code[1].tolist()) == {g711.ALAW_SILENCE}


def test_each_row_has_its_own_law() -> None:
    code = np.tile(ALL_CODES, (3, 1))
    pcm = g711.decode(code, np.array([False, True, False]))
    assert (pcm[0] == pcm[2]).all()
    assert (pcm[1] == g711.alaw_decode(ALL_CODES)).all()
