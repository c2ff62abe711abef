from __future__ import annotations

import numpy as np
import pytest

from telephony.errors import RemoteProtocolError
from telephony.link import (
    FrameReader,
    FrameType,
    InBatch,
    InFlag,
    OutBatch,
    OutFlag,
    decode_in,
    decode_out,
    encode_in,
    encode_out,
    pack,
)


def in_batch(n: int) -> InBatch:
    rng = np.random.default_rng(n)
    return InBatch(
        tick=2**40 + n,
        phase=3,
        sent_at=12.25,
        rows=np.arange(n, dtype=np.uint16) * 7,
        seats=np.arange(n, dtype=np.uint32) + 70_000,
        flags=np.full(n, int(InFlag.CONCEALED | InFlag.FIRST), np.uint8),
        played=np.arange(n, dtype=np.uint32) + 2**31,
        sent=np.arange(n, dtype=np.uint32) + 3 * 2**30,
        taken=np.arange(n, dtype=np.uint32) + 2**31 + 1,
        pcm=rng.integers(-32768, 32768, (n, 160)).astype(np.int16),
    )


def out_batch(n: int) -> OutBatch:
    rng = np.random.default_rng(n)
    return OutBatch(
        tick=5,
        phase=1,
        sent_at=0.5,
        rows=np.arange(n, dtype=np.uint16),
        seats=np.arange(n, dtype=np.uint32),
        epochs=np.full(n, 9, np.uint32),
        frame_nos=np.arange(n, dtype=np.uint32),
        flags=np.full(n, int(OutFlag.SPEECH), np.uint8),
        pcm=rng.integers(-32768, 32768, (n, 160)).astype(np.int16),
    )


def same(one: InBatch | OutBatch, other: InBatch | OutBatch) -> None:
    for name in one.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("n", [0, 1, 3, 500])
def test_batches_of_any_size_are_decoded_as_they_were(n: int) -> None:
    frames = list(FrameReader().feed(encode_in(in_batch(n)) + encode_out(out_batch(n))))
    assert [kind for kind, _ in frames] == [FrameType.IN, FrameType.OUT]
    same(decode_in(frames[0][1]), in_batch(n))
    same(decode_out(frames[1][1]), out_batch(n))


@pytest.mark.parametrize("piece", [1, 3, 100, 5000])
def test_frames_are_found_however_the_stream_is_cut(piece: int) -> None:
    stream = pack(FrameType.HELLO, b"{}") + encode_in(in_batch(4)) + pack(FrameType.BYE, b"")
    reader = FrameReader()
    found = [kind for at in range(0, len(stream), piece) for kind, _ in reader.feed(stream[at : at + piece])]
    assert found == [FrameType.HELLO, FrameType.IN, FrameType.BYE]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"\x00\x00\x00\x00", "link-frame-length"),
        (b"\xff\xff\xff\xff", "link-frame-length"),
        (b"\x01\x00\x00\x00\x63", "link-frame-type"),
    ],
)
def test_nonsense_is_refused_with_its_rule(data: bytes, rule: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        list(FrameReader().feed(data))
    assert caught.value.rule == rule


@pytest.mark.parametrize("cut", [-1, 10])
def test_a_batch_of_a_wrong_size_is_refused(cut: int) -> None:
    for frame, decode in ((encode_in(in_batch(2)), decode_in), (encode_out(out_batch(2)), decode_out)):
        with pytest.raises(RemoteProtocolError):
            decode(frame[5:][:cut])
