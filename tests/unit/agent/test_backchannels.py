from __future__ import annotations

import pytest

from agent.backchannels import HEARD_PHRASES, OVER_OUR_VOICE, only_backchannels
from agent.expectation import Expect
from agent.model.parts.grammar import Mode, grammar


@pytest.mark.parametrize("said", ["mhm", "uh-huh", "oh i see", "yeah okay right", "got it", "of course sure"])
def test_listening_words_in_a_row_ask_for_no_answer(said: str) -> None:
    assert only_backchannels(said.split())


@pytest.mark.parametrize("said", ["", "i", "see", "yeah but", "yeah yeah yeah yeah yeah", "mhm that is wrong"])
def test_anything_more_is_a_contribution(said: str) -> None:
    assert not only_backchannels(said.split())


def test_courtesies_take_no_floor_but_are_answered_as_turns() -> None:
    assert only_backchannels(["thank", "you"], OVER_OUR_VOICE)
    assert not only_backchannels(["thank", "you"])


def test_ears_listen_for_all_that_they_take_for_a_backchannel() -> None:
    built = grammar(Expect(), Mode.OVERLAP, lambda word: True)
    assert [phrase for phrase in HEARD_PHRASES if f"( {phrase} )" not in built] == []
