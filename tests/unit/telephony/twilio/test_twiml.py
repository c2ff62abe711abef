"""TwiML is well-formed whatever is put into it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from telephony.errors import RemoteProtocolError
from telephony.twilio import twiml


def test_a_stream_carries_its_parameters_and_its_way_on() -> None:
    text = twiml.connect_stream(
        "wss://a.example/twilio/stream",
        [("name", 'Jane "<&> Doe')],
        action="https://a.example/twilio/after",
        status_callback="https://a.example/twilio/status",
    )
    connect = ET.fromstring(text).find("Connect")
    assert connect is not None
    assert connect.get("action") == "https://a.example/twilio/after"
    stream = connect.find("Stream")
    assert stream is not None
    assert stream.get("url") == "wss://a.example/twilio/stream"
    parameter = stream.find("Parameter")
    assert parameter is not None
    assert parameter.get("value") == 'Jane "<&> Doe'


@pytest.mark.parametrize(
    ("target", "noun", "text"),
    [
        ("+15551234567", "Number", "+15551234567"),
        ("tel:+15551234567", "Number", "+15551234567"),
        ("sip:desk@pbx.example:5060", "Sip", "sip:desk@pbx.example:5060"),
    ],
)
def test_a_transfer_dials_numbers_and_sip_addresses(target: str, noun: str, text: str) -> None:
    found = ET.fromstring(twiml.dial(target)).find(f"Dial/{noun}")
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize("target", ["", "5551234", "+1555<Evil/>", "sip:a@b\r\nc", "https://a", "sip:a@b?X=y"])
def test_other_targets_are_refused(target: str) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        twiml.dial(target)
    assert error.value.rule == "bad-target"


def test_the_small_answers() -> None:
    assert "<Hangup" in twiml.hang_up()
    assert 'reason="busy"' in twiml.reject_busy()
    assert "https://b.example/x?a=1&amp;b=2</Redirect>" in twiml.redirect("https://b.example/x?a=1&b=2")
