"""Material for tests: real synthesisers where the host has them, one small conversation made once."""

from __future__ import annotations

from functools import lru_cache

import pytest

from agent.training.conversation.maker import Conversation, make_conversation
from agent.training.conversation.material import Material
from agent.training.fold import Fold
from agent.training.net.gates import NoGates, library


@lru_cache(maxsize=1)
def material() -> Material:
    """Synthetic voices only, those of them that are fast."""
    opened = Material.open(Fold.TRAIN, None)
    fast = [spec for spec in opened.voices if spec.name in {"flite:kal", "pico:en-US"} or spec.family == "espeak"]
    return Material(opened.text, fast or opened.voices, _own(opened), None)


@lru_cache(maxsize=32)
def conversation(index: int, seed: int = 11) -> Conversation:
    """A conversation of 20.48 s; the same each time."""
    return make_conversation(material(), seed, index)


def short(first: int, count: int) -> list[Conversation]:
    """Conversations of 5 s."""
    return [make_conversation(material(), 12, index, 128) for index in range(first, first + count)]


def conversations(count: int) -> list[Conversation]:
    return [conversation(index) for index in range(count)]


def _own(opened: Material) -> tuple[str, ...]:
    fast = tuple(name for name in opened.own_voices if name in {"flite:kal", "pico:en-US"})
    return fast or tuple(opened.own_voices)


def need_gates() -> None:
    """Skip a test where this machine cannot compile or run ``net/gates.c``."""
    try:
        library()
    except NoGates as lacking:
        pytest.skip(str(lacking))
