from __future__ import annotations

import pytest

from telephony.webrtc import token
from telephony.webrtc.token import EXPIRED, INVALID, MISSING, OFFER, RESUME, USED, Refusal, Tokens, issue

SECRET, OTHER = b"s" * 32, b"o" * 32


def made(
    *, kind: str = OFFER, expires_at: float = 100.0, nonce: int = 1, subject: str = "", secret: bytes = SECRET
) -> str:
    return issue(secret, kind=kind, expires_at=expires_at, nonce=f"{nonce:032x}", subject=subject)


def test_a_token_tells_what_it_is_for() -> None:
    assert Tokens(SECRET).check(made(kind=RESUME, subject="ab12"), kind=RESUME, now=10.0) == "ab12"


def test_a_token_is_good_once() -> None:
    tokens, text = Tokens(SECRET), made()
    assert tokens.check(text, kind=OFFER, now=10.0) == ""
    assert tokens.check(text, kind=OFFER, now=11.0) is USED


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", MISSING),
        ("nonsense", INVALID),
        (made(kind=RESUME), INVALID),
        (made(secret=OTHER), INVALID),
        (made()[:-1] + "!", INVALID),
        (made()[:-1] + "é", INVALID),
        (made().replace("o.100.", "o.١٠٠."), INVALID),
        ("\ud800", INVALID),
        (made().replace("o.100.", "o.999."), INVALID),
        (made(expires_at=10.0), EXPIRED),
    ],
)
def test_a_bad_token_is_refused_by_rule(text: str, refusal: Refusal) -> None:
    assert Tokens(SECRET).check(text, kind=OFFER, now=10.0) is refusal


def test_used_tokens_are_forgotten_when_they_have_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token, "MAX_REMEMBERED", 3)
    tokens = Tokens(SECRET)
    for nonce in range(10):
        assert tokens.check(made(nonce=nonce, expires_at=100.0 + nonce), kind=OFFER, now=99.0 + nonce) == ""
        assert len(tokens._used) <= 3
