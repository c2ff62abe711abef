"""PocketSphinx 5 with the model of its wheel: a language model for open answers, a grammar for all others.

It understands synthetic callers and hardly any human on a phone. Measured settings: upsampled without filling the
upper band, cepstral mean fixed to that of telephone speech (the model's own start value is for wideband), word
insertion penalty 1e-3 (a third of the work at the same errors).
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import Expect
from agent.model.parts.engine import NOTHING, Guess
from agent.model.parts.grammar import garbage_words, grammar, is_garbage, plain_word
from agent.model.parts.language import is_open, model_of, talk
from agent.model.parts.recogniser import Mode
from agent.model.parts.upsample import Upsampler

TELEPHONE_CMN = "41.79,26.70,-24.13,46.62,-25.96,7.21,6.18,-17.97,15.25,-19.29,11.14,-4.16,-1.55"
"""Mean cepstrum of five synthetic voices through 8 kHz mu-law, peak 0.35."""
WORD_INSERTION = 1e-3
MOST_DECODERS = 8
"""Per process: one per utterance in progress, 27 MB each."""
SPARE_DECODERS = 2
"""Made ahead while nobody speaks: making one takes 0.3-0.7 s, for which every caller's words would wait."""
MOST_FORESEEN = 8
"""Questions asked last (each in two modes), which all spare decoders are made ready for: 0.3 s each that a second
caller to answer at the same time would wait, and everybody else with them."""
MOST_GRAMMARS = 16
"""Compiled ones kept per decoder: compiling a dialogue's takes 0.1-0.2 s at the start of each utterance."""
WORD_BEAM: Final = 1e-24
"""Share of the best score below which a word's end is given up. With PocketSphinx's own (7e-29) days take 85 % of a
core (here 41), and the last look over an utterance in noise takes up to 5 s (here 2.8). At 1e-9 it is 0.2 s, but words
over our voice are lost: "no, stop, I want to speak to a person" was none."""
LANGUAGE_WEIGHT: Final = 6.5
LANGUAGE_INSERTION: Final = 0.65
"""Of language models: PocketSphinx's own settings."""
EXTRA_WORDS = {
    "mm-hmm": "M HH M",
    "mhm(2)": "M HH M",
    "mhm(3)": "AH M HH M",
    "uh-huh(2)": "AH HH AH N",
}
"""Words and pronunciations that the dictionary lacks."""
LEVEL_PEAK = 11_500.0
"""Peak that the mean cepstrum belongs to: quieter and louder callers are brought there."""
MOST_GAIN = 8.0


class PocketSphinxEngine:
    """Decoders are made when needed and used again."""

    def __init__(self) -> None:
        talk()  # 0.3 s that the first utterance would wait for
        self._models = _Models()
        self._free: list[_Decoder] = [_Decoder(self._models)]
        self._made = 1
        self._foreseen: deque[tuple[Expect, Mode]] = deque(maxlen=MOST_FORESEEN)

    def open(self, expect: Expect, mode: Mode) -> _Utterance | None:
        if not self._free:
            if self._made >= MOST_DECODERS:
                return None
            self._make()
        # Of the free decoders the one that knows the grammar; used last is used first.
        at = next((at for at in reversed(range(len(self._free))) if self._free[at].has(expect, mode)), -1)
        decoder = self._free.pop(at)
        decoder.listen_for(expect, mode)
        return _Utterance(decoder, self._free)

    def foresee(self, expect: Expect, mode: Mode) -> None:
        """0.1 to 0.4 s that the first utterance of a question would wait for."""
        if (expect, mode) in self._foreseen:
            self._foreseen.remove((expect, mode))
        self._foreseen.append((expect, mode))
        if self._free and not any(decoder.has(expect, mode) for decoder in self._free):
            self._free[-1].learn(expect, mode)

    def prepare(self) -> bool:
        """Make a spare decoder, or make one ready for a question."""
        if len(self._free) < SPARE_DECODERS and self._made < MOST_DECODERS:
            self._make()
            return True
        for question in reversed(self._foreseen):
            unready = [decoder for decoder in self._free[-SPARE_DECODERS:] if not decoder.has(*question)]
            if unready:
                unready[-1].learn(*question)
                return True
        return False

    def _make(self) -> None:
        self._free.insert(0, _Decoder(self._models))
        self._made += 1


class _Models:
    """Language models of the expectations that were met, for all decoders."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Expect, Any] = OrderedDict()

    def of(self, expect: Expect, sphinx: Any) -> Any:
        """PocketSphinx's own object."""
        if expect not in self._kept:
            self._kept[expect] = _read_model(model_of(expect, lambda word: _knows(sphinx, word)), sphinx)
            if len(self._kept) > MOST_GRAMMARS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(expect)
        return self._kept[expect]


class _Decoder:
    """A PocketSphinx decoder with the grammars that it has compiled."""

    def __init__(self, models: _Models) -> None:
        self.sphinx = _make_decoder()
        self._models = models
        self._grammars: OrderedDict[tuple[Expect, Mode], str] = OrderedDict()
        """To the name of its search; used last at the end."""
        self._named = 0

    def has(self, expect: Expect, mode: Mode) -> bool:
        return (expect, mode) in self._grammars

    def learn(self, expect: Expect, mode: Mode) -> None:
        """Compile its search, where there is none."""
        key = (expect, mode)
        if key not in self._grammars:
            self._compile(key)
        self._grammars.move_to_end(key)

    def listen_for(self, expect: Expect, mode: Mode) -> None:
        """Begin an utterance."""
        self.learn(expect, mode)
        self.sphinx.activate_search(self._grammars[expect, mode])
        self.sphinx.set_cmn(TELEPHONE_CMN)
        self.sphinx.start_utt()

    def _compile(self, key: tuple[Expect, Mode]) -> None:
        self._named += 1
        name = f"utterance{self._named}"
        if is_open(*key):
            self.sphinx.add_lm(name, self._models.of(key[0], self.sphinx))
        else:
            self.sphinx.add_jsgf_string(name, grammar(*key, lambda word: _knows(self.sphinx, word)))
        self._grammars[key] = name
        if len(self._grammars) > MOST_GRAMMARS:
            self.sphinx.activate_search(name)  # the active search cannot be removed
            self.sphinx.remove_search(self._grammars.popitem(last=False)[1])


class _Utterance:
    """One utterance on a decoder that goes back to ``free`` afterwards."""

    def __init__(self, decoder: _Decoder, free: list[_Decoder]) -> None:
        self._owner = decoder
        self._decoder = decoder.sphinx
        self._free = free
        self._upsampler = Upsampler()
        self._peak = 0.0

    def feed(self, pcm: NDArray[np.int16]) -> None:
        wide = self._upsampler.process(self._level(pcm))
        self._decoder.process_raw(wide.tobytes(), False, False)

    def _level(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """Amplify a quiet caller; the gain only falls inside an utterance."""
        self._peak = max(self._peak, float(np.abs(pcm.astype(np.int32)).max(initial=0)), LEVEL_PEAK / MOST_GAIN)
        if self._peak >= LEVEL_PEAK:
            return pcm
        louder: NDArray[np.int16] = np.rint(pcm * (LEVEL_PEAK / self._peak)).astype(np.int16)
        return louder

    def partial(self) -> Guess:
        return _guess(self._decoder)

    def finish(self) -> Guess:
        so_far = _guess(self._decoder)
        self._decoder.end_utt()
        guess = _guess(self._decoder)
        self._free.append(self._owner)
        # No final state was reached (an unfinished phrase): what was heard of it counts.
        return guess if guess.words or not so_far.words else so_far

    def drop(self) -> None:
        self._decoder.end_utt()
        self._free.append(self._owner)


def _make_decoder() -> Any:
    try:
        import pocketsphinx
    except ImportError as error:
        raise ModelError(f"pocketsphinx cannot be imported: {error}") from error
    config = pocketsphinx.Config(lm=None, loglevel="FATAL", wip=WORD_INSERTION, fwdflat=False, wbeam=WORD_BEAM)
    decoder = pocketsphinx.Decoder(config)
    extra = [*garbage_words(), *EXTRA_WORDS.items()]
    for at, (word, phones) in enumerate(extra):
        decoder.add_word(word, phones, at == len(extra) - 1)
    return decoder


def _read_model(text: str, decoder: Any) -> Any:
    """PocketSphinx reads models from files only."""
    import pocketsphinx

    config = pocketsphinx.Config(loglevel="FATAL", lw=LANGUAGE_WEIGHT, wip=LANGUAGE_INSERTION)
    with tempfile.TemporaryDirectory(prefix="crosstalk-words-") as folder:
        path = Path(folder) / "model.arpa"
        path.write_text(text, encoding="ascii")
        return pocketsphinx.NGramModel(config, decoder.get_logmath(), str(path))


def _knows(decoder: Any, word: str) -> bool:
    return decoder.lookup_word(word) is not None


def _guess(decoder: Any) -> Guess:
    """Words and confidence: the share of the words' frames that are not garbage."""
    hypothesis = decoder.hyp()
    if hypothesis is None or not hypothesis.hypstr:
        return NOTHING
    words = tuple(plain_word(word) for word in hypothesis.hypstr.split() if not is_garbage(word))
    if not words:
        return NOTHING
    spoken = [(s.word, s.end_frame - s.start_frame + 1) for s in decoder.seg() if not s.word.startswith(("<", "["))]
    frames = sum(count for _, count in spoken)
    known = sum(count for word, count in spoken if not is_garbage(word))
    return Guess(words, round(known / frames, 3) if frames else 0.0)
