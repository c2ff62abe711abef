"""Sayings of a customer's dialogue among the general ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.brain.examples import example_path
from agent.brain.flow.flow import build_flow
from agent.brain.flow.load import load_dialogue
from agent.errors import AgentError
from agent.expectation import ExpectKind
from agent.training.fold import PHRASES_HELD_OUT, Fold, held_out
from agent.training.text.answer import State
from agent.training.text.domain import DomainSource

PARCEL = example_path("parcel") / "parcel.yaml"


def test_callers_say_what_the_dialogue_knows_and_what_it_does_not() -> None:
    source, rng = DomainSource(Fold.TRAIN, PARCEL), np.random.default_rng(3)
    answers = [source.answer(State.INTENTS, rng) for _ in range(200)]
    known = set(build_flow(load_dialogue(PARCEL)).phrases.values())
    own = [one for one in answers if one.expect.phrases in known]
    assert 0.4 < len(own) / len(answers) < 0.8
    assert all(one.expect.kind is ExpectKind.PHRASES for one in own)
    assert any(len(breath.cuts) for one in own for breath in one.breaths), "pauses inside its phrases"
    assert not any(held_out(" ".join(one.words), PHRASES_HELD_OUT) for one in own)


def test_numbers_are_as_long_as_the_dialogue_asks_for() -> None:
    source, rng = DomainSource(Fold.TRAIN, PARCEL), np.random.default_rng(3)
    lengths = [source.answer(State.DIGITS, rng).expect.digits for _ in range(100)]
    assert lengths.count(8) > 45


def test_a_dialogue_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"none\.yaml"):
        DomainSource(Fold.TRAIN, tmp_path / "none.yaml")
