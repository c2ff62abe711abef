from __future__ import annotations

import pytest

from agent.pool.messages import Drain, MessageReader, SeatClosed, TurnWords, UtteranceAudio, encode
from telephony.errors import RemoteProtocolError

MESSAGES = [
    Drain(),
    SeatClosed(call_id="a", reason="closed"),
    TurnWords(call_id="a", at=5, turn=1, revision=2, words=("één", "two"), confidence=0.5, final=False),
    UtteranceAudio(call_id="a", utterance=1, words=[["hi", 0, 80, 0]], last=True, pcm=b"\1\2" * 80),
]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_messages_survive_any_cutting_of_the_stream(size: int) -> None:
    data = b"".join(encode(m) for m in MESSAGES)
    reader = MessageReader()
    found = [m for at in range(0, len(data), size) for m in reader.feed(data[at : at + size])]
    assert found == MESSAGES


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"\xff\xff\xff\x7f\0\0\0\0", "control-length"),
        (b"\x04\0\0\0\x09\0\0\0", "control-length"),
        (b"\x08\0\0\0\x04\0\0\0nope", "control-message"),
        (b'\x16\0\0\0\x12\0\0\0{"type":"Unknown"}', "control-message"),
        (b'\x19\0\0\0\x15\0\0\0{"type":"Drain","x":1}', "control-message"),
    ],
)
def test_nonsense_is_refused_with_its_rule(data: bytes, rule: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        list(MessageReader().feed(data))
    assert caught.value.rule == rule


def test_unknown_fields_are_refused() -> None:
    text = b'{"type":"Drain","x":1}'
    data = (len(text) + 4).to_bytes(4, "little") + len(text).to_bytes(4, "little") + text
    with pytest.raises(RemoteProtocolError) as caught:
        list(MessageReader().feed(data))
    assert caught.value.rule == "control-fields"
