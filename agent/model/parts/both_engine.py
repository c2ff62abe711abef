"""Two recognisers in one process: our own net hears numbers, yes and no; all else PocketSphinx hears, and it checks.

PocketSphinx knows sentences better, but hears words in any noise; the net is the other way round. So what PocketSphinx
understands must fit the sounds that the net has heard; where it does not, or nothing was understood, the net's own
words count if it is sure of them. Of an open answer that fits in parts only, those words are told that do, as unsure:
they are worth a question. Figures: docs/reference/model_card_small_words.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect, ExpectKind
from agent.model.parts.engine import NOTHING, Engine, Guess, Stream
from agent.model.parts.language import is_open
from agent.model.parts.numbers import DIGITS
from agent.model.parts.recogniser import Mode

SHORT: Final = frozenset({ExpectKind.DIGITS, ExpectKind.YES_NO})
"""What the net hears alone, while our voice is silent."""
LEAST_FIT: Final = -2.5
"""Nats a sound: words that fit worse are not what was said."""
SENTENCE_FIT: Final = -1.7
"""The same for a sentence in the caller's own words."""
WORD_FIT: Final = -2.0
"""The same for a word that is told by itself."""
UNSURE: Final = 0.3
"""Confidence of words that are told because they fit by themselves: the brain may ask about them, not take them."""
SURE_SOON: Final = 0.6
"""Confidence from which the net's words end a turn before PocketSphinx has said its own."""
SURE_OVER: Final = 0.75
"""Confidence from which the net's words count while they are said over our voice, with no further hypothesis to confirm
them, beginnings of phrases among them (``overlap.BEGINNINGS``). They take the floor in 66 of 72 interruptions by six
voices, 43 by 0.5 s; of 36 backchannels, 80 tics and noises none; of 31 people's backchannels one ("be right").
"""
WORTH_ASKING: Final = 0.2
"""Confidence from which the net's words are told as unsure where they fit better than PocketSphinx's. Of wishes in
other words 29 -> 18 % were asked for again (at 10 dB of noise 76 -> 53), the rest asked "is that right?"; of talk that
is none 29 % were, instead of 21."""
SURE_ALONE: Final = 0.5
"""Confidence from which the net's words count without PocketSphinx's."""


class CheckingStream(Stream, Protocol):
    """A stream that can tell how well any words fit what it has heard."""

    def fit_of(self, words: Sequence[str]) -> float:
        """Nats a sound; 0 is perfect. Asked when finished: the last sounds are told late."""
        ...

    def fits_of(self, words: Sequence[str]) -> Sequence[float]:
        """The same for each word; empty where they cannot be laid along what was heard."""
        ...

    def finish_unsure(self) -> Guess:
        """As ``finish``, with words however unsure."""
        ...


class CheckingEngine(Engine, Protocol):
    """See ``agent.model.parts.words_engine``."""

    def open(self, expect: Expect, mode: Mode) -> CheckingStream | None: ...


class BothEngine:
    """See ``agent.model.parts.engine.Engine``."""

    def __init__(self, net: CheckingEngine, phrases: Engine) -> None:
        self._net, self._phrases = net, phrases

    def open(self, expect: Expect, mode: Mode) -> Stream | None:
        net = self._net.open(expect, mode)
        if net is not None and _is_the_nets(expect, mode):
            return net
        phrases = self._phrases.open(expect, mode)
        if net is None or phrases is None:
            return net or phrases
        return BothStream(net, phrases, is_open=is_open(expect, mode), is_over=mode is Mode.OVERLAP)

    def foresee(self, expect: Expect, mode: Mode) -> None:
        self._net.foresee(expect, mode)
        if not _is_the_nets(expect, mode):
            self._phrases.foresee(expect, mode)

    def prepare(self) -> bool:
        more = self._net.prepare()
        return self._phrases.prepare() or more


def _is_the_nets(expect: Expect, mode: Mode) -> bool:
    return mode is Mode.ANSWER and expect.kind in SHORT


def _is_one_digit(words: Sequence[str]) -> bool:
    """ "Mm" is heard as "one", "uh-huh" as "six"."""
    return len(words) == 1 and words[0] in DIGITS


class BothStream:
    """One utterance before both."""

    def __init__(self, net: CheckingStream, phrases: Stream, *, is_open: bool, is_over: bool) -> None:
        """``is_open``: an answer in the caller's own words; ``is_over``: said over our voice."""
        self._net, self._phrases = net, phrases
        self._is_open, self._is_over = is_open, is_over

    def feed(self, pcm: NDArray[np.int16]) -> None:
        self._net.feed(pcm)
        self._phrases.feed(pcm)

    def partial(self) -> Guess:
        """Unchecked: the end of a word is still to come. What the net is sure of comes first."""
        if not (self._is_open or self._is_over):
            return self._phrases.partial()
        ours = self._net.partial()
        if self._is_open and ours.confidence >= SURE_SOON:
            return ours
        if self._are_sure(ours):
            return ours._replace(sure=True)
        return self._phrases.partial()

    def finish(self) -> Guess:
        theirs, ours = self._phrases.finish(), self._net.finish_unsure()
        fit = self._net.fit_of(theirs.words) if theirs.words else -np.inf
        if ours.confidence >= SURE_ALONE and fit < self._least(ours):
            return ours._replace(sure=self._are_sure(ours))
        if not self._is_open:
            return theirs if fit >= LEAST_FIT else NOTHING
        if fit >= SENTENCE_FIT:
            return theirs
        if ours.confidence >= WORTH_ASKING and fit < self._least(ours):
            return Guess(ours.words, UNSURE)
        return self._said_for_sure(theirs)

    def _are_sure(self, ours: Guess) -> bool:
        """Words over our voice that count whatever another judge says."""
        return self._is_over and ours.confidence >= SURE_OVER and not _is_one_digit(ours.words)

    def _least(self, ours: Guess) -> float:
        """What PocketSphinx understands must fit better than that to count before the net's words."""
        return self._net.fit_of(ours.words) if self._is_open else LEAST_FIT

    def _said_for_sure(self, theirs: Guess) -> Guess:
        """Of a sentence that does not fit, the words that do."""
        fits = zip(theirs.words, self._net.fits_of(theirs.words), strict=False)
        words = tuple(word for word, fit in fits if fit >= WORD_FIT)
        return Guess(words, UNSURE) if words else NOTHING

    def drop(self) -> None:
        self._net.drop()
        self._phrases.drop()
