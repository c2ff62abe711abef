"""Signatures that the public library verifies."""

from __future__ import annotations

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from agent.events.bodies import body, event_body
from agent.events.signing import Signer
from agent.store.interface import StoredEvent

OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"x" * 24).decode()


def test_a_receiver_with_the_old_or_the_new_secret_verifies() -> None:
    text = body("call.turn", 1_800_000_000.25, {"text": "häß"})
    headers = Signer([OLD, NEW]).headers("evt_1", time.time(), text)
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(text, headers)["data"] == {"text": "häß"}
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(text, headers)


def test_a_changed_body_or_an_old_message_does_not_verify() -> None:
    text = body("call.turn", 0.0, {})
    headers = Signer([OLD]).headers("evt_1", time.time(), text)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(text + b" ", headers)
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(OLD).verify(text, Signer([OLD]).headers("evt_1", time.time() - 301, text))


def test_without_a_secret_there_is_no_signature() -> None:
    assert Signer([]).headers("evt_1", 5.9, b"{}") == {"webhook-id": "evt_1", "webhook-timestamp": "5"}


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!", "x"])
def test_a_secret_that_is_none_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and base64"):
        Signer([secret])


def test_an_event_body_has_type_timestamp_and_data_with_call_and_seq() -> None:
    event = StoredEvent(event_id="e", call_id="c1", seq=3, name="call.dtmf", at=1_800_000_000.25, data={"digit": "5"})
    assert event_body(event) == (
        b'{"type":"call.dtmf","timestamp":"2027-01-15T08:00:00.250Z","data":{"digit":"5","call_id":"c1","seq":3}}'
    )
