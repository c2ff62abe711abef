"""Tokens are good for one call, once, for a minute."""

from __future__ import annotations

import pytest

from telephony.errors import RemoteProtocolError
from telephony.twilio.token import LIFE_S, TokenGate, mint

KEY, NOW = "k" * 32, 1_000_000.0
TOKEN = mint(KEY, "CA1", now=NOW, nonce="0123456789abcdef")


def refused(token: str, call_id: str = "CA1", *, gate: TokenGate | None = None, now: float = NOW) -> str:
    with pytest.raises(RemoteProtocolError) as error:
        (gate or TokenGate(KEY)).admit(token, call_id, now=now)
    return error.value.rule


def test_a_token_is_good_once() -> None:
    gate = TokenGate(KEY)
    gate.admit(TOKEN, "CA1", now=NOW)
    assert refused(TOKEN, gate=gate) == "stream-token-replayed"


def test_a_token_of_another_call_or_key_is_forged() -> None:
    assert refused(TOKEN, "CA2") == "stream-token-forged"
    assert refused(mint("other", "CA1", now=NOW, nonce="0123456789abcdef")) == "stream-token-forged"
    longer = TOKEN.replace(str(int(NOW) + LIFE_S), str(int(NOW) + 10 * LIFE_S), 1)
    assert refused(longer) == "stream-token-forged"


def test_a_token_expires() -> None:
    TokenGate(KEY).admit(TOKEN, "CA1", now=NOW + LIFE_S)
    assert refused(TOKEN, now=NOW + LIFE_S + 1) == "stream-token-expired"


@pytest.mark.parametrize("token", ["", "x", "1x2x3", "١x" + "a" * 8 + "x" + "b" * 64, TOKEN + "\n"])
def test_what_has_not_the_form_of_a_token_is_none(token: str) -> None:
    assert refused(token) == "stream-token"
