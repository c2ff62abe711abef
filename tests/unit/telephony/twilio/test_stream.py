"""A stream's life: its table, its order, its refusals."""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Any

from telephony.errors import RemoteProtocolError
from telephony.twilio.dialect import PLIVO, TELNYX, TWILIO, Dialect
from telephony.twilio.messages import Start
from telephony.twilio.stream import (
    START_S,
    TABLE,
    Bound,
    Ended,
    Fact,
    Heard,
    Input,
    KeyPressed,
    MarkBack,
    Refused,
    State,
    Stream,
)

CONNECTED: dict[str, Any] = {"event": "connected", "protocol": "Call", "version": "1.0.0"}


def start(sequence: int = 1) -> dict[str, Any]:
    inner = {
        "accountSid": "AC1",
        "callSid": "CA1",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
    }
    return {"event": "start", "sequenceNumber": str(sequence), "streamSid": "MZ1", "start": inner}


def media(sequence: int, chunk: int) -> dict[str, Any]:
    payload = base64.b64encode(bytes([chunk]) * 160).decode()
    inner = {"track": "inbound", "chunk": str(chunk), "timestamp": str(20 * chunk), "payload": payload}
    return {"event": "media", "sequenceNumber": str(sequence), "streamSid": "MZ1", "media": inner}


def stream(dialect: Dialect = TWILIO, *, refuse: str = "") -> Stream:
    def check(_: Start) -> None:
        if refuse:
            raise RemoteProtocolError("no", rule=refuse)

    return Stream(dialect, check, now=0.0)


def say(one: Stream, *bodies: dict[str, Any]) -> list[Fact]:
    return [fact for body in bodies for fact in one.receive(json.dumps(body))]


def test_a_whole_stream_gives_its_facts_in_order() -> None:
    one = stream()
    dtmf = {"event": "dtmf", "sequenceNumber": "4", "streamSid": "MZ1", "dtmf": {"digit": "5"}}
    mark = {"event": "mark", "sequenceNumber": "5", "streamSid": "MZ1", "mark": {"name": "0.800"}}
    stop = {"event": "stop", "sequenceNumber": "6", "streamSid": "MZ1", "stop": {}}
    bound, *facts = say(one, CONNECTED, start(), media(2, 1), media(3, 2), dtmf, mark, stop)
    assert isinstance(bound, Bound)
    assert bound.start.call_id == "CA1"
    assert facts == [
        Heard(b"\x01" * 160),
        Heard(b"\x02" * 160),
        KeyPressed("5"),
        MarkBack("0.800"),
        Ended(by_stop=True),
    ]
    assert one.state is State.STOPPED


def test_media_before_start_is_refused() -> None:
    (fact,) = say(stream(), CONNECTED, media(1, 1))
    assert isinstance(fact, Refused)
    assert fact.rule == "stream-order"
    assert "media in state connected" in fact.why


def test_a_second_start_is_refused() -> None:
    one = stream()
    *_, fact = say(one, CONNECTED, start(), start(2))
    assert isinstance(fact, Refused)
    assert fact.rule == "stream-order"
    assert say(one, media(3, 1)) == []


def test_numbers_that_do_not_grow_are_refused() -> None:
    for bad in (media(2, 2), media(1, 2), media(3, 1)):
        one = stream()
        *_, fact = say(one, CONNECTED, start(), media(2, 1), bad)
        assert isinstance(fact, Refused)
        assert fact.rule == "stream-sequence"


def test_where_the_carrier_lets_media_overtake_a_late_one_is_left_out() -> None:
    one = stream(TELNYX)
    body = {
        "event": "start",
        "sequence_number": "1",
        "stream_id": "s",
        "start": {
            "user_id": "u",
            "call_control_id": "c",
            "media_format": {"encoding": "PCMU", "sample_rate": 8000},
        },
    }
    say(one, CONNECTED, body)

    def telnyx(chunk: int) -> dict[str, Any]:
        return {**media(0, chunk), "sequence_number": "9", "stream_id": "s"}

    assert [type(fact) for fact in say(one, telnyx(1), telnyx(3), telnyx(2), telnyx(4))] == [Heard] * 3
    assert one.overtaken == 1


def test_plivo_begins_without_a_greeting() -> None:
    body = {
        "event": "start",
        "sequenceNumber": 0,
        "start": {
            "callId": "c",
            "streamId": "s",
            "accountId": "a",
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
        },
    }
    assert isinstance(say(stream(PLIVO), body)[0], Bound)


def test_a_start_that_cannot_be_trusted_is_refused_with_its_rule() -> None:
    one = stream(refuse="stream-token-replayed")
    assert say(one, CONNECTED, start()) == [Refused("stream-token-replayed", "no")]


def test_a_stream_without_start_ends_when_it_is_due() -> None:
    one = stream()
    assert one.start_by == START_S
    (fact,) = one.start_due()
    assert isinstance(fact, Refused)
    assert fact.rule == "stream-start-timeout"
    late = stream()
    say(late, CONNECTED, start())
    assert late.start_due() == []


def test_a_socket_that_closes_ends_a_started_stream_once() -> None:
    one = stream()
    say(one, CONNECTED, start())
    assert one.closed() == [Ended(by_stop=False)]
    assert one.closed() == []
    assert stream().closed() == []


def test_every_state_is_reached_and_can_end() -> None:
    seen, todo = {State.OPEN}, deque([State.OPEN])
    while todo:
        state = todo.popleft()
        for (before, _), (after, _actions) in TABLE.items():
            if before is state and after not in seen:
                seen.add(after)
                todo.append(after)
    assert seen == set(State)
    for state in State:
        assert TABLE[state, Input.CLOSED][0] is State.STOPPED
        assert (state, Input.START_DUE) in TABLE
