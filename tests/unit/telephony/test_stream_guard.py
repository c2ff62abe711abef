"""Who may open a stream, and how much may come."""

from __future__ import annotations

import pytest

from telephony.stream_guard import Allowance, unwelcome


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        ({}, "stream-token"),
        ({"Authorization": "Bearer"}, "stream-token"),
        ({"Authorization": "Basic k"}, "stream-token"),
        ({"Authorization": "Bearer kk"}, "stream-token"),
        ({"Authorization": "Bearer é"}, "stream-token"),
        ({"Authorization": "Bearer k", "Origin": "null"}, "stream-origin"),
        ({"Authorization": "Bearer k", "Origin": "https://a.example.evil"}, "stream-origin"),
        ({"Authorization": "Bearer k", "Origin": "https://a.example"}, ""),
        ({"Authorization": "bearer k"}, ""),
    ],
)
def test_token_and_origin(headers: dict[str, str], rule: str) -> None:
    found = unwelcome(headers, token="k", allow_origins=("https://a.example",))
    assert (found.rule if found is not None else "") == rule


def test_without_a_token_programs_come_in_and_pages_do_not() -> None:
    assert unwelcome({}, token="", allow_origins=()) is None
    assert unwelcome({"Origin": "https://a.example"}, token="", allow_origins=()) is not None


def test_allowance_is_a_burst_and_a_rate() -> None:
    allowance = Allowance(per_s=10.0, burst=5.0, now=0.0)
    assert all(allowance.take(1.0, 0.0) for _ in range(5))
    assert not allowance.take(1.0, 0.05)
    assert allowance.take(1.0, 0.15)
    assert not allowance.take(6.0, 100.0), "more than the burst never fits"
