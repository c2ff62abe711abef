"""When an event is tried again."""

from __future__ import annotations

from random import Random

import pytest

from agent.events.retry import SCHEDULE_S, Breaker, Verdict, decide, retry_after_s

NOW = 1_800_000_000.0


def after(
    attempt: int, status: int | None, headers: dict[str, str] | None = None, seed: int = 0
) -> tuple[Verdict, float]:
    found = decide(attempt=attempt, status=status, headers=headers or {}, now=NOW, rng=Random(seed))
    return found.verdict, (found.retry_at or NOW) - NOW


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_a_success_is_delivered(status: int) -> None:
    assert after(0, status) == (Verdict.DELIVERED, 0.0)


@pytest.mark.parametrize("status", [None, 100, 301, 302, 400, 404, 429, 500, 503])
def test_anything_else_is_tried_again_after_the_schedule_with_jitter(status: int | None) -> None:
    for attempt, pause_s in enumerate(SCHEDULE_S[1:]):
        waits = [after(attempt, status, seed=seed)[1] for seed in range(50)]
        assert {after(attempt, status)[0]} == {Verdict.RETRY}
        assert all(0.8 * pause_s - 1e-6 <= wait <= 1.2 * pause_s + 1e-6 for wait in waits)
        assert max(waits) - min(waits) > 0.2 * pause_s


def test_after_the_last_attempt_it_is_dead() -> None:
    assert after(len(SCHEDULE_S) - 1, 500)[0] is Verdict.DEAD
    assert len(SCHEDULE_S) == 9


def test_gone_disables_the_endpoint() -> None:
    assert after(0, 410)[0] is Verdict.DISABLED


def test_retry_after_lengthens_a_pause_and_never_shortens_it() -> None:
    assert after(0, 503, {"Retry-After": "120"}) == (Verdict.RETRY, 120.0)
    assert after(0, 429, {"Retry-After": "1"})[1] >= 4.0
    assert after(0, 500, {"Retry-After": "120"})[1] < 7.0
    assert after(0, 503, {"Retry-After": "999999"})[1] == 3600.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        (" 30 ", 30.0),
        ("99999999999999999999", 3600.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("٣", 0.0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 99 Jan 2027 07:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_trouble(text: str, seconds: float) -> None:
    assert retry_after_s(text, now=NOW) == seconds


def test_the_breaker_opens_after_five_silences_and_probes_each_half_minute() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.unanswered(now=0.0)
    assert breaker.room(limit=8, in_flight=3, now=0.0) == 5
    breaker.unanswered(now=0.0)
    assert breaker.room(limit=8, in_flight=0, now=29.9) == 0
    assert breaker.room(limit=8, in_flight=0, now=30.0) == 1
    assert breaker.room(limit=8, in_flight=1, now=30.0) == 0
    breaker.unanswered(now=40.0)
    assert breaker.room(limit=8, in_flight=0, now=69.9) == 0
    breaker.answered()
    assert breaker.room(limit=8, in_flight=0, now=69.9) == 8
