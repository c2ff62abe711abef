"""Messages between the ears and a recogniser process: one packet each on a sequenced packet socket."""

from __future__ import annotations

import json
import struct
from enum import IntEnum
from typing import Any, NamedTuple

from agent.expectation import Expect
from agent.model.parts.recogniser import Hypothesis, Mode

HEADER = struct.Struct("<BII")
MOST_BYTES = 64 * 1024


class Kind(IntEnum):
    START = 1
    """Payload: JSON with ``expect`` and ``mode``."""
    FEED = 2
    """Payload: int16 samples, 8 kHz."""
    STOP = 3
    CANCEL = 4
    FOUND = 5
    """Payload: JSON with ``words``, ``final``, ``confidence``, ``samples`` and ``sure``."""
    RELEASE = 6
    """The row's call is over. To processes that keep something for each call."""
    EXPECT = 7
    """What the row's next utterances will be heard for. Payload: JSON with ``expect``."""


class Message(NamedTuple):
    kind: Kind
    row: int
    utterance: int
    payload: bytes = b""

    def pack(self) -> bytes:
        return HEADER.pack(self.kind, self.row, self.utterance) + self.payload

    def json(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.payload)
        return data


def unpack(packet: bytes) -> Message:
    kind, row, utterance = HEADER.unpack_from(packet)
    return Message(Kind(kind), row, utterance, packet[HEADER.size :])


def with_json(kind: Kind, row: int, utterance: int, data: dict[str, Any]) -> Message:
    return Message(kind, row, utterance, json.dumps(data, separators=(",", ":")).encode())


def start_message(row: int, utterance: int, expect: Expect, mode: Mode) -> Message:
    return with_json(Kind.START, row, utterance, {"expect": expect.to_json(), "mode": mode.value})


def expect_message(row: int, expect: Expect) -> Message:
    return with_json(Kind.EXPECT, row, 0, {"expect": expect.to_json()})


def hypothesis_of(message: Message) -> Hypothesis:
    """What a message of kind ``FOUND`` tells."""
    data = message.json()
    return Hypothesis(
        row=message.row,
        utterance=message.utterance,
        words=tuple(data["words"]),
        final=bool(data["final"]),
        confidence=float(data["confidence"]),
        samples=int(data["samples"]),
        sure=bool(data.get("sure", False)),
    )
