from __future__ import annotations

import pytest

from agent.brain.flow.words import normalise
from agent.brain.flow.yes_no import read_yes_no


@pytest.mark.parametrize(
    ("said", "answer", "alone"),
    [
        ("yes", True, True),
        ("yeah that's right", True, True),
        ("yes please do", True, True),
        ("that is correct thank you", True, True),
        ("okay", True, True),
        ("go ahead", True, True),
        ("no", False, True),
        ("no thanks", False, True),
        ("that's not right", False, True),
        ("nope wrong", False, True),
        ("please don't", False, True),
        ("yes but the last one is nine", True, False),
        ("no I want to complain", False, False),
        ("no that's right", None, False),
        ("friday", None, False),
        ("", None, False),
    ],
)
def test_yes_and_no_in_their_forms(said: str, answer: bool | None, alone: bool) -> None:
    found = read_yes_no(normalise(said.split()))
    assert (found.answer, found.alone) == (answer, alone)
