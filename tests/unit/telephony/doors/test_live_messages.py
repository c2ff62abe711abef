"""The live protocol's messages: what is understood, and which rule names what is not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from telephony.doors.live_messages import LiveError, estimated_tokens, parse


def start(**session: Any) -> str:
    return json.dumps({"type": "session.start", "event_id": "e1", "session": {"model": "m", **session}})


def test_pipecat_s_start_is_understood() -> None:
    text = start(
        instructions="Be brief.",
        delegation={"type": "client"},
        input=[
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
        ],
        store=False,
    )
    found = parse(text).start
    assert found is not None
    assert (found.codec, found.rate_hz) == ("pcm16", 24000)
    assert found.texts == (("instructions", "Be brief."), ("thinking", "hi"), ("thinking", "hello"))


@pytest.mark.parametrize(
    ("format_", "codec", "rate"),
    [({"type": "audio/pcmu"}, "pcmu", 8000), ({"type": "audio/pcma", "rate": 8000}, "pcma", 8000),
     ({"type": "audio/pcm", "rate": 16000}, "pcm16", 16000), ({}, "pcm16", 24000)],
)  # fmt: skip
def test_formats(format_: dict[str, Any], codec: str, rate: int) -> None:
    found = parse(start(audio={"format": format_, "output": {"voice": "marin"}})).start
    assert found is not None
    assert (found.codec, found.rate_hz) == (codec, rate)


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("{", "invalid_json", ""),
        ("[" * 90000, "invalid_json", ""),
        ("[]", "invalid_message", "type"),
        (b"\x00", "invalid_message", ""),
        ('{"type": 7}', "invalid_message", "type"),
        ('{"type": "session.truncate"}', "unknown_event", "type"),
        ('{"type": "response.create"}', "invalid_delegation_mode", "type"),
        ('{"type": "session.close", "why": 1}', "unknown_parameter", "why"),
        ('{"type": "session.close", "event_id": 5}', "invalid_value", "event_id"),
        ('{"type": "session.start"}', "missing_parameter", "session"),
        ('{"type": "session.start", "session": {}}', "missing_parameter", "session.model"),
        (start(temperature=1), "unknown_parameter", "session.temperature"),
        (start(type="x"), "unknown_parameter", "session.type"),
        (start(instructions="é" * 20000), "too_long", "session.instructions"),
        (start(audio={"format": {"type": "audio/opus"}}), "unsupported_format", "session.audio.format.type"),
        (start(audio={"format": {"type": ["audio/pcm"]}}), "unsupported_format", "session.audio.format.type"),
        (start(audio={"format": {"rate": 48000}}), "unsupported_format", "session.audio.format.rate"),
        (start(audio={"speed": 2}), "unknown_parameter", "session.audio.speed"),
        (start(delegation={"type": "responses", "responses": {}}), "unsupported_delegation", "session.delegation.type"),
        (start(delegation=None), "invalid_value", "session.delegation"),
        (start(input=[{}] * 129), "invalid_value", "session.input"),
        (start(input=[{"type": "message", "role": "system", "content": []}]), "invalid_value", "session.input[0].role"),
        (start(store="yes"), "invalid_value", "session.store"),
        ('{"type": "session.input_audio.append", "audio": "%%%"}', "invalid_value", "audio"),
        ('{"type": "session.input_audio.append"}', "invalid_value", "audio"),
        ('{"type": "session.thinking.append", "content": "x"}', "missing_parameter", "delegation_id"),
        ('{"type": "session.commentary.append", "delegation_id": null}', "missing_parameter", "content"),
        (json.dumps({"type": "session.commentary.append", "delegation_id": None, "content": "x" * 2100}), "too_long",
         "content"),
        ('{"type": "session.update", "session": {"model": "m"}}', "unknown_parameter", "session.model"),
    ],
)  # fmt: skip
def test_every_bad_message_has_a_code_and_names_its_field(text: str | bytes, code: str, param: str) -> None:
    with pytest.raises(LiveError) as refused:
        parse(text)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_error_carries_the_event_that_it_answers() -> None:
    with pytest.raises(LiveError) as refused:
        parse(start(colour=1))
    assert refused.value.client_event_id == "e1"


def test_audio_is_decoded() -> None:
    body = {"type": "session.input_audio.append", "audio": base64.b64encode(b"abcd").decode()}
    assert parse(json.dumps(body)).audio == b"abcd"


def test_tokens_are_counted_as_the_clients_count_them() -> None:
    assert [estimated_tokens(text) for text in ("", "abcd", "abcde", "éé")] == [0, 1, 2, 2]
