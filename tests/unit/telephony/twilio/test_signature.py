"""Signatures agree with Twilio's own helper, and with nothing else."""

from __future__ import annotations

import random

import pytest

from telephony.twilio.signature import is_signed, sign

TOKEN = "12345"
URL = "https://agent.example.com/twilio/voice"
FIELDS = {"CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "To": "+18005551212"}


def test_the_example_of_twilios_documents_is_signed_as_they_say() -> None:
    fields = {**FIELDS, "From": "+14158675309"}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert sign(TOKEN, url, fields.items()) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize("seed", range(20))
def test_signatures_are_those_of_the_official_package(seed: int) -> None:
    validator = pytest.importorskip("twilio.request_validator", reason="extra twilio is not installed")
    rng = random.Random(seed)
    letters = "abcXYZ019 +&=é漢"
    fields = {"".join(rng.choices("ABCabc", k=6)): "".join(rng.choices(letters, k=rng.randrange(20))) for _ in range(8)}
    url = rng.choice((URL, "wss://agent.example.com/twilio/stream", "https://agent.example.com:8443/x?y=1"))
    assert sign(TOKEN, url, fields.items()) == validator.RequestValidator(TOKEN).compute_signature(url, fields)


def test_a_repeated_field_is_signed_as_the_official_package_does() -> None:
    validator = pytest.importorskip("twilio.request_validator", reason="extra twilio is not installed")
    multidict = pytest.importorskip("multidict")
    pairs = [("b", "2"), ("a", "9"), ("b", "1"), ("b", "2")]
    expected = validator.RequestValidator(TOKEN).compute_signature(URL, multidict.MultiDict(pairs))
    assert sign(TOKEN, URL, pairs) == expected


def test_the_default_port_may_be_written_or_not() -> None:
    with_port = "wss://agent.example.com:443/twilio/stream"
    without = "wss://agent.example.com/twilio/stream"
    assert is_signed(TOKEN, without, sign(TOKEN, with_port))
    assert is_signed(TOKEN, with_port, sign(TOKEN, without))


@pytest.mark.parametrize(
    "signed",
    [
        "http://agent.example.com/twilio/voice",
        "https://agent.example.com/twilio/voice/",
        "https://evil.example.com/twilio/voice",
        "https://agent.example.com:8443/twilio/voice",
    ],
)
def test_another_url_is_another_signature(signed: str) -> None:
    assert not is_signed(TOKEN, URL, sign(TOKEN, signed, FIELDS.items()), FIELDS.items())


def test_a_wrong_key_a_changed_field_and_no_signature_are_refused() -> None:
    good = sign(TOKEN, URL, FIELDS.items())
    assert is_signed(TOKEN, URL, good, FIELDS.items())
    assert not is_signed("12346", URL, good, FIELDS.items())
    assert not is_signed(TOKEN, URL, good, {**FIELDS, "To": "+1900"}.items())
    assert not is_signed(TOKEN, URL, "", FIELDS.items())
    assert not is_signed(TOKEN, URL, "é" * 28, FIELDS.items())
    assert not is_signed("", URL, sign("", URL), ())
