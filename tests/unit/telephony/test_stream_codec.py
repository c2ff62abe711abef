"""Formats of a stream: any split of the bytes gives the same audio, and what goes out can be read back."""

from __future__ import annotations

import numpy as np
import pytest

from telephony.stream_codec import StreamCodec


def wave(rate_hz: int, seconds: float = 0.5) -> bytes:
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    return (8000 * np.sin(2 * np.pi * 400 * at)).astype("<i2").tobytes()


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000])
def test_any_split_of_the_bytes_gives_the_same_audio(rate_hz: int) -> None:
    data, rng = wave(rate_hz), np.random.default_rng(1)
    whole, codec = StreamCodec("pcm16", rate_hz).decode(data), StreamCodec("pcm16", rate_hz)
    pieces, at = [], 0
    while at < len(data):
        size = int(rng.integers(1, 1500))
        pieces.append(codec.decode(data[at : at + size]))
        at += size
    assert np.array_equal(np.concatenate(pieces), whole)
    assert len(whole) == 4000


@pytest.mark.parametrize(("kind", "rate_hz"), [("pcm16", 8000), ("pcm16", 16000), ("pcm16", 24000), ("pcmu", 8000), ("pcma", 8000)])  # fmt: skip
def test_there_and_back_keeps_a_tone(kind: str, rate_hz: int) -> None:
    codec = StreamCodec(kind, rate_hz)
    tone = np.frombuffer(wave(8000), "<i2").astype(np.int16)
    sent = [codec.encode(tone[n : n + 160].copy()) for n in range(0, 4000, 160)]
    assert {len(piece) for piece in sent} == {codec.bytes_per_s // 50}
    back = codec.decode(b"".join(sent))[400:]
    assert np.std(back) == pytest.approx(np.std(tone), rel=0.03)
    spectrum = np.abs(np.fft.rfft(back[:3200]))
    assert int(np.argmax(spectrum)) == 400 * 3200 // 8000
    assert np.delete(spectrum, range(150, 171)).max() < spectrum.max() / 50


@pytest.mark.parametrize(("kind", "rate_hz"), [("opus", 8000), ("pcm16", 44100), ("pcmu", 16000), ("", 0)])
def test_other_formats_are_refused(kind: str, rate_hz: int) -> None:
    with pytest.raises(ValueError, match="no format"):
        StreamCodec(kind, rate_hz)
