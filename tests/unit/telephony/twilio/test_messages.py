"""Frames of media streams: what the carriers' documents show is read, what is wrong is named."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from telephony.errors import RemoteProtocolError
from telephony.twilio import messages
from telephony.twilio.dialect import DIALECTS, PLIVO, TELNYX, TWILIO
from telephony.twilio.messages import Connected, Dtmf, Mark, Media, Other, Start, Stop, parse

PAYLOAD = base64.b64encode(b"\xff" * 160).decode()

START = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"FirstName": "Jane", "RemoteParty": "Bob"},
    },
    "streamSid": "MZ1",
}
MEDIA = {
    "event": "media",
    "sequenceNumber": "3",
    "media": {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": PAYLOAD},
    "streamSid": "MZ1",
}


def broken(body: dict[str, Any], *path: str, value: Any) -> str:
    copy = json.loads(json.dumps(body))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(copy)


def test_twilios_own_examples_are_read() -> None:
    assert parse('{"event":"connected","protocol":"Call","version":"1.0.0"}') == Connected()
    assert parse(json.dumps(START)) == Start(
        sequence=1,
        stream_id="MZ1",
        call_id="CA1",
        account_id="AC1",
        parameters=(("FirstName", "Jane"), ("RemoteParty", "Bob")),
        alaw=False,
    )
    assert parse(json.dumps(MEDIA)) == Media(sequence=3, chunk=1, timestamp_ms=5, payload=b"\xff" * 160)
    mark = '{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"my label"}}'
    assert parse(mark) == Mark(sequence=4, name="my label")
    dtmf = '{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}'
    assert parse(dtmf) == Dtmf(sequence=5, digit="1")
    stop = '{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}'
    assert parse(stop) == Stop(sequence=5)


def test_telnyx_and_plivo_say_the_same_with_other_names() -> None:
    telnyx = {
        "event": "start",
        "sequence_number": "1",
        "stream_id": "32DE",
        "start": {
            "user_id": "3E6F",
            "call_control_id": "v2:T02",
            "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
            "custom_parameters": {"a": "b"},
        },
    }
    found = parse(json.dumps(telnyx), TELNYX)
    assert found == Start(
        sequence=1, stream_id="32DE", call_id="v2:T02", account_id="3E6F", parameters=(("a", "b"),), alaw=True
    )
    plivo = {
        "event": "start",
        "sequenceNumber": 1,
        "start": {
            "callId": "1234",
            "streamId": "8765",
            "accountId": "MA1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
        },
        "extra_headers": "userId=12345;sessionId=abc-xyz",
    }
    found = parse(json.dumps(plivo), PLIVO)
    assert isinstance(found, Start)
    assert found.parameters == (("userId", "12345"), ("sessionId", "abc-xyz"))
    assert parse('{"event":"playedStream","streamId":"8765","name":"0.800"}', PLIVO) == Mark(sequence=0, name="0.800")
    assert parse('{"event":"clearedAudio","streamId":"8765"}', PLIVO) == Other(event="clearedAudio")


def test_what_goes_out_is_what_each_carrier_asks_for() -> None:
    audio = b"\x00\x01"
    encoded = base64.b64encode(audio).decode()
    assert json.loads(messages.media(audio, "MZ1")) == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": encoded},
    }
    assert json.loads(messages.mark("1.160", "MZ1")) == {"event": "mark", "streamSid": "MZ1", "mark": {"name": "1.160"}}
    assert json.loads(messages.clear("MZ1")) == {"event": "clear", "streamSid": "MZ1"}
    assert json.loads(messages.media(audio, "x", TELNYX)) == {"event": "media", "media": {"payload": encoded}}
    assert json.loads(messages.clear("x", TELNYX)) == {"event": "clear"}
    assert json.loads(messages.media(audio, "x", PLIVO)) == {
        "event": "playAudio",
        "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": encoded},
    }
    assert json.loads(messages.mark("1.160", "x", PLIVO)) == {"event": "checkpoint", "streamId": "x", "name": "1.160"}
    assert json.loads(messages.clear("x", PLIVO)) == {"event": "clearAudio", "streamId": "x"}


@pytest.mark.parametrize(
    ("text", "rule", "named"),
    [
        ("x" * 65_537, "stream-message-size", "message"),
        ("not json", "stream-json", "message"),
        ("[" * 60_000, "stream-json", "message"),
        ("[1]", "stream-json", "message"),
        ("{}", "stream-field", "event"),
        (broken(START, "start", "callSid", value=None), "stream-field", "start.callSid"),
        (broken(START, "start", "callSid", value="CA 1\r\n"), "stream-field", "start.callSid"),
        (broken(START, "start", "mediaFormat", "encoding", value="audio/opus"), "stream-codec", "encoding"),
        (broken(START, "start", "mediaFormat", "sampleRate", value=16000), "stream-codec", "sampleRate"),
        (broken(START, "start", value="MZ1"), "stream-field", "start.mediaFormat.encoding"),
        (broken(START, "start", "customParameters", value=[1]), "stream-parameters", "customParameters"),
        (broken(START, "start", "customParameters", value={"a": "b\r\nEvil: 1"}), "stream-parameters", "a"),
        (broken(START, "start", "customParameters", value={"a b": "c"}), "stream-parameters", "name"),
        (broken(START, "start", "customParameters", value={str(n): "" for n in range(40)}), "stream-parameters", "32"),
        (broken(MEDIA, "media", "payload", value="%%%"), "stream-payload", "media.payload"),
        (broken(MEDIA, "media", "payload", value=7), "stream-field", "media.payload"),
        (broken(MEDIA, "media", "payload", value="A" * 12_000), "stream-payload-size", "media.payload"),
        (broken(MEDIA, "media", "chunk", value="-1"), "stream-field", "media.chunk"),
        (broken(MEDIA, "sequenceNumber", value=True), "stream-field", "sequenceNumber"),
        ('{"event":"dtmf","sequenceNumber":"1","dtmf":{"digit":"12"}}', "stream-field", "dtmf.digit"),
        ('{"event":"mark","sequenceNumber":"1","mark":{}}', "stream-field", "mark.name"),
    ],
)
def test_what_is_wrong_is_refused_by_rule_and_field(text: str, rule: str, named: str) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        parse(text)
    assert refused.value.rule == rule
    assert named in str(refused.value)


def test_events_and_tracks_of_later_versions_are_left_alone() -> None:
    assert parse('{"event":"speech","sequenceNumber":"9"}') == Other(event="speech")
    assert isinstance(parse(broken(MEDIA, "media", "track", value="outbound")), Other)


def test_every_carrier_has_its_own_name() -> None:
    assert DIALECTS == {"twilio": TWILIO, "telnyx": TELNYX, "plivo": PLIVO}
