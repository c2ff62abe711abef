"""Trials for a recogniser with a narrow vocabulary: what is said into which expectation, and what should come of it.

Recorded people of the split ``dev`` and synthetic voices that training never met, over G.711, as they are and in noise.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.brain.flow.load import load_dialogue
from agent.errors import VoiceFailed
from agent.expectation import Expect, ExpectKind
from agent.model.parts.completeness import NO_PATTERNS, YES_PATTERNS
from agent.model.parts.recogniser import Mode
from agent.simulator.clips import read_audio
from agent.training.chance import one_of
from agent.training.channel.codec import g711
from agent.training.conversation import sounds
from agent.training.errors import TrainingError
from agent.training.fold import Fold
from agent.training.text import spoken
from agent.training.text.answer import State
from agent.training.text.corpus import sentences
from agent.training.text.source import TextSource
from agent.training.voices.persona import draw_persona
from agent.training.voices.roster import callers
from agent.training.voices.spoken import Audio, Spoken, at_level, trimmed
from agent.training.words_unseen import UNSEEN
from agent.voice.normalise import tokens
from agent.voice.numbers import ONES
from telephony.audio.levels import to_float, to_int16

LEVEL_DB: Final = -24.0
LEAD_S, TAIL_S = 0.3, 0.5
QUIET_DB, NOISY_DB = 45.0, 10.0
STRING: Final = 8
STRINGS: Final = 60
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One utterance."""

    group: str
    """``digit/fsdd_theo``: what is tried, and on whom."""
    expect: Expect
    pcm: NDArray[np.int16]
    truth: str
    """Digits, ``yes``, ``no``, the intent's name; empty: nothing should come."""
    said: str
    mode: Mode = Mode.ANSWER
    """Not kept in files: a condition of a clean trial (``words_conditions.py``)."""


def over_the_phone(pcm: Audio, snr_db: float, rng: Rng) -> NDArray[np.int16]:
    """Speech with some noise before, under and behind it, through G.711."""
    line = np.pad(at_level(pcm, LEVEL_DB), (round(LEAD_S * 8000), round(TAIL_S * 8000)))
    noise = sounds.bed(line.size, rng) * np.float32(10 ** ((LEVEL_DB - snr_db - sounds.LEVEL_DB) / 20))
    return np.ascontiguousarray(to_int16(g711((line + noise).astype(np.float32), alaw=False)))


def human(speech: Path, dialogue: Path, seed: int, *, split: str = "dev") -> Iterator[Trial]:
    """Recorded people. Raises ``TrainingError`` without a manifest."""
    rng = np.random.default_rng([seed, 1])
    clips = list(_clips(speech, split))
    digits = [(name, text, pcm) for name, kind, text, pcm in clips if kind == "digit" and text in ONES[:10]]
    for name, text, pcm in digits:
        figure = str(ONES.index(text))
        yield from _conditions(f"digit/{name}", Expect(kind=ExpectKind.DIGITS, digits=1), pcm, figure, text, rng)
    yield from _strings(digits, rng)
    wishes = menu(dialogue)
    for name, kind, text, pcm in clips:
        if text in ("yes", "no"):
            yield from _conditions(f"yes-no/{name}", Expect(kind=ExpectKind.YES_NO), pcm, text, text, rng)
        elif kind in ("word", "phrase", "sentence") and text:
            source = "short" if kind == "word" else "speech"
            for what, expect in _EXPECTS.items():
                yield from _conditions(f"neither {what}/human {source}", expect, pcm, "", text, rng)
            yield from _conditions(f"neither intent/human {source}", wishes, pcm, "", text, rng)


_EXPECTS: Final = {
    "digits": Expect(kind=ExpectKind.DIGITS, digits=STRING),
    "yes-no": Expect(kind=ExpectKind.YES_NO),
}


def synthetic(dialogue: Path, seed: int, count: int, piper: str = "") -> Iterator[Trial]:
    """Voices that training never met, ``count`` sayings of each kind."""
    rng = np.random.default_rng([seed, 2])
    voices = callers(Fold.VALID, piper)
    wishes = menu(dialogue)
    known = _known_forms(dialogue)
    unseen = [(intent, text) for intent, texts in UNSEEN.items() for text in texts]
    source = TextSource(Fold.VALID)
    others = sentences(Fold.VALID)
    string = Expect(kind=ExpectKind.DIGITS, digits=STRING, check="luhn")
    date = Expect(kind=ExpectKind.DATE)
    makers: dict[str, Callable[[], tuple[Expect, str, str]]] = {
        "digit": lambda: _one_digit(rng),
        "string": lambda: _said_string(string, rng),
        "yes-no": lambda: _polar(rng),
        "intent known": lambda: (wishes, *known[int(rng.integers(len(known)))]),
        "intent unseen": lambda: (wishes, *unseen[int(rng.integers(len(unseen)))]),
        "date": lambda: (date, "date", _plain(source.answer(State.DATE, rng).text)),
        "neither digits": lambda: (_EXPECTS["digits"], "", one_of(others, rng)),
        "neither yes-no": lambda: (_EXPECTS["yes-no"], "", one_of(others, rng)),
        "neither intent": lambda: (wishes, "", one_of(others, rng)),
    }
    for number in range(count):
        persona = draw_persona([voice for voice in voices if not voice.digits_only], rng)
        for group, make in makers.items():
            expect, truth, said = make()
            try:
                pcm = persona.say(said, rng).pcm
            except VoiceFailed:
                continue
            snr_db = NOISY_DB if number % 4 == 3 else QUIET_DB
            heard = over_the_phone(pcm, snr_db, rng)
            name = f"{group}/synthetic {_noise_name(snr_db)}"
            yield Trial(group=name, expect=expect, pcm=heard, truth=truth, said=said)


def _one_digit(rng: Rng) -> tuple[Expect, str, str]:
    figure = int(rng.integers(10))
    return Expect(kind=ExpectKind.DIGITS, digits=1), str(figure), ONES[figure]


def _said_string(expect: Expect, rng: Rng) -> tuple[Expect, str, str]:
    figures = spoken.digits(STRING, rng, check=expect.check)
    return expect, figures, " ".join(ONES[int(figure)] for figure in figures)


def _polar(rng: Rng) -> tuple[Expect, str, str]:
    """A yes or a no in one of the forms that are understood."""
    truth, patterns = (("yes", YES_PATTERNS), ("no", NO_PATTERNS))[int(rng.integers(2))]
    return _EXPECTS["yes-no"], truth, _expanded(one_of(patterns, rng), rng)


def _expanded(pattern: str, rng: Rng) -> str:
    """One way to say a pattern."""
    from agent.brain.flow.patterns import parse_pattern

    return " ".join(one_of(parse_pattern(pattern).forms, rng))


def _known_forms(dialogue: Path) -> list[tuple[str, str]]:
    found = []
    for intent in load_dialogue(dialogue).intents.values():
        for pattern in intent.patterns:
            forms = [form for form in pattern.forms if not any(word.startswith("{") for word in form)]
            found += [(intent.name, " ".join(form)) for form in forms[:: max(1, len(forms) // 6)]]
    return found


def menu(dialogue: Path) -> Expect:
    """What the start of the dialogue waits for: all its intents."""
    intents = load_dialogue(dialogue).intents.values()
    phrases = tuple(dict.fromkeys(p.phrase for intent in intents for p in intent.patterns if p.phrase))
    return Expect(kind=ExpectKind.PHRASES, phrases=phrases)


def _strings(digits: Sequence[tuple[str, str, Audio]], rng: Rng) -> Iterator[Trial]:
    """Numbers of eight with a check digit, from one speaker's clips with gaps."""
    speakers: dict[str, dict[str, list[Audio]]] = {name: {text: [] for text in ONES[:10]} for name, _, _ in digits}
    for name, text, pcm in digits:
        speakers[name][text].append(pcm)
    expect = Expect(kind=ExpectKind.DIGITS, digits=STRING, check="luhn")
    for name, by_text in speakers.items():
        if not all(by_text.values()):
            continue
        for _ in range(STRINGS):
            figures = spoken.digits(STRING, rng, check="luhn")
            parts: list[Audio] = []
            for figure in figures:
                parts.append(at_level(one_of(by_text[ONES[int(figure)]], rng), LEVEL_DB))
                parts.append(np.zeros(int(rng.uniform(0.04, 0.35) * 8000), np.float32))
            pcm = np.concatenate(parts[:-1])
            yield from _conditions(f"string/{name}", expect, pcm, figures, " ".join(figures), rng)


def _conditions(group: str, expect: Expect, pcm: Audio, truth: str, said: str, rng: Rng) -> Iterator[Trial]:
    for snr_db in (QUIET_DB, NOISY_DB):
        heard = over_the_phone(pcm, snr_db, rng)
        yield Trial(group=f"{group} {_noise_name(snr_db)}", expect=expect, pcm=heard, truth=truth, said=said)


def _noise_name(snr_db: float) -> str:
    return "clean" if snr_db == QUIET_DB else f"{snr_db:.0f} dB"


def _clips(speech: Path, split: str) -> Iterator[tuple[str, str, str, Audio]]:
    """Speaker, kind, words and sound of every recording of a split."""
    try:
        with (speech / "manifest.csv").open(encoding="utf-8", newline="") as opened:
            rows = [row for row in csv.DictReader(opened) if row["split"] == split]
    except OSError as absent:
        raise TrainingError(f"{speech}: needs a manifest.csv: {absent}") from None
    for row in rows:
        text = " ".join(w for token in tokens(row["text"]) for w in token.spoken.replace(",", " ").lower().split())
        pcm = trimmed(Spoken(to_float(read_audio(speech / row["path"]))), noisy=True).pcm
        if pcm.size:
            yield row["speaker"], row["kind"], text, pcm


def _plain(text: str) -> str:
    return " ".join(word for word in text.replace(",", " ").split() if word not in ("/", "//"))


def save(path: Path, trials: Sequence[Trial]) -> None:
    """All trials in one file."""
    told = [
        {"group": t.group, "expect": t.expect.to_json(), "truth": t.truth, "said": t.said, "n": t.pcm.size}
        for t in trials
    ]
    np.savez(path, pcm=np.concatenate([t.pcm for t in trials]), told=np.frombuffer(json.dumps(told).encode(), np.uint8))


def load(path: Path) -> list[Trial]:
    """Inverse of ``save``. Raises ``TrainingError`` where there are none."""
    try:
        with np.load(path) as held:
            pcm, told = held["pcm"], json.loads(held["told"].tobytes())
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as wrong:
        raise TrainingError(f"{path}: holds no trials: {wrong}") from None
    found, at = [], 0
    for one in told:
        expect = Expect.from_json(one["expect"])
        heard = pcm[at : at + one["n"]]
        found.append(Trial(group=one["group"], expect=expect, pcm=heard, truth=one["truth"], said=one["said"]))
        at += one["n"]
    return found
