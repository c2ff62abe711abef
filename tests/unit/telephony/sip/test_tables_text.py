"""The printed tables are the code's."""

from __future__ import annotations

from pathlib import Path

from telephony.sip.tables_text import page

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "sip.md"


def test_page_of_the_state_tables_is_fresh() -> None:
    assert PAGE.read_text() == page()
