"""Synthetic callers before the systems: turns rendered by the bench's voices, half of them with a pause. By seed.

Phrases that the shipped dialogue waits for, and sentences that it does not: the words decide about the first, about
the second they say nothing. The agent is silent and waits for its menu's phrases; a live run has few turns, here are
enough to compare systems by.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from agent.bench.conversations import PAUSES_MS, STATEMENTS
from agent.bench.duplex_people import LEVEL_DBFS, Person, person
from agent.bench.duplex_scripts import LONG_ANSWERS
from agent.expectation import Expect
from agent.simulator.clips import at_level, silence, trimmed
from agent.simulator.energy import Pcm
from agent.simulator.render import Renderer

KNOWN: Final = (
    *LONG_ANSWERS,
    "where is my parcel",
    "I want to complain",
    "I would like to speak to a person",
    "change my delivery day",
    "when will my parcel arrive",
    "are you open on saturday",
    "something is missing from my parcel",
    "customer service please",
)
"""What the shipped dialogue's menu takes."""
LINE_NOISE: Final = 8.0
"""Standard deviation of samples: -72 dBFS."""


def callers(voices: Sequence[str], expect: Expect, *, seed: int, known: bool) -> list[Person]:
    """Every text once whole and once with a pause after half of its words, by every voice."""
    rng = random.Random(seed)
    renderer = Renderer()
    found: list[Person] = []
    for voice in voices:
        for text in KNOWN if known else STATEMENTS:
            for pause_ms in (0, rng.choice(PAUSES_MS)):
                one = person(f"{voice}: {text}, {pause_ms} ms", _said(renderer, text, voice, pause_ms), expect)
                found.append(replace(one, heard=replace(one.heard, caller=_noisy(one.heard.caller, len(found)))))
    return found


def _said(renderer: Renderer, text: str, voice: str, pause_ms: int) -> list[Pcm]:
    words = text.split()
    halves = (words[: len(words) // 2], words[len(words) // 2 :]) if pause_ms else (words,)
    parts = [at_level(trimmed(renderer.speech(" ".join(half), voice=voice)), LEVEL_DBFS) for half in halves]
    return [parts[0], silence(pause_ms / 1000), parts[1]] if pause_ms else parts


def _noisy(pcm: Pcm, number: int) -> Pcm:
    noise = np.random.default_rng(number).normal(0, LINE_NOISE, len(pcm))
    return np.asarray(np.clip(pcm + noise, -32768, 32767), np.int16)
