from __future__ import annotations

from datetime import date

import pytest

from agent.brain.flow.dates import read_date
from agent.brain.flow.words import normalise, spell_date

TODAY = date(2026, 11, 25)  # a Wednesday


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("today", "2026-11-25"),
        ("tomorrow please", "2026-11-26"),
        ("the day after tomorrow", "2026-11-27"),
        ("on friday", "2026-11-27"),
        ("wednesday", "2026-12-02"),
        ("next friday", "2026-12-04"),
        ("this coming friday", "2026-11-27"),
        ("a week from monday", "2026-12-07"),
        ("in three days", "2026-11-28"),
        ("in a week", "2026-12-02"),
        ("two weeks from now", "2026-12-09"),
        ("the fifth of may", "2027-05-05"),
        ("May 5th", "2027-05-05"),
        ("december the twenty-first", "2026-12-21"),
        ("the twenty first", "2026-12-21"),
        ("the thirty first", "2026-12-31"),
        ("the fifth", "2026-12-05"),
        ("25 november", "2026-11-25"),
        ("tomorrow no wednesday", "2026-12-02"),
        ("friday I mean saturday", "2026-11-28"),
        ("not friday saturday", "2026-11-28"),
        ("saturday not friday", "2026-11-28"),
        ("the twenty ninth of february", None),
        ("the thirtieth of february", None),
        ("may I ask something", None),
        ("hello", None),
    ],
)
def test_days_are_read_as_they_were_meant(said: str, day: str | None) -> None:
    found = read_date(normalise(said.split()), TODAY)
    assert (found.isoformat() if found else None) == day


def test_every_day_of_a_year_is_understood_as_it_is_spoken() -> None:
    for ordinal in range(TODAY.toordinal(), TODAY.toordinal() + 365):
        day = date.fromordinal(ordinal)
        assert read_date(normalise(spell_date(day).split()), TODAY) == day
