"""The text source: what each side says next, drawn from grammars and free sentences by one random generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.expectation import Expect, ExpectKind
from agent.training.fold import PHRASES_HELD_OUT, Fold, held_out
from agent.training.text import spoken
from agent.training.text.answer import Answer, State, breaths_of
from agent.training.text.corpus import sentences
from agent.training.text.grammar import Draw, Grammar, Words, load
from agent.voice.numbers import cardinal, ordinal, year

Rng = np.random.Generator
RULE: Final = {
    State.FREE: "free",
    State.YES_NO: "yes_no",
    State.DIGITS: "number",
    State.DATE: "date_said",
    State.NAME: "name",
    State.ADDRESS: "address",
    State.CODE: "code",
    State.AMOUNT: "amount",
    State.INTENTS: "intent",
    State.OPENING: "intent",
}
PROMPT: Final = {
    State.FREE: "prompt_free",
    State.YES_NO: "prompt_yes_no",
    State.DIGITS: "prompt_digits",
    State.DATE: "prompt_date",
    State.NAME: "prompt_name",
    State.ADDRESS: "prompt_address",
    State.CODE: "prompt_code",
    State.AMOUNT: "prompt_amount",
    State.INTENTS: "prompt_intents",
    State.OPENING: "prompt_unknown",
}
DIGIT_LENGTHS: Final = (1, 2, 3, 4, 4, 5, 6, 6, 8, 8, 8, 10, 11, 12, 16)
COUNT_UNKNOWN: Final = 0.15
"""Share of digit questions whose brain does not know how many digits will come."""
CHECKED: Final = 0.3
STOPS_SHORT: Final = 0.08
"""Share of callers who give fewer digits than wanted and think they are done."""
OTHER_ANSWER: Final = 0.08
"""Share of callers who say something else than was asked."""
TRIES: Final = 30
POOL: Final = 160
"""Different sayings of our agent by rule."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What our agent asks, and what it then waits for."""

    text: str
    state: State


class TextSource:
    """All sayings of one fold. Deterministic: the same generator gives the same words."""

    def __init__(self, fold: Fold = Fold.TRAIN) -> None:
        self._fold = fold
        rules = load("lists") | load("answers") | load("agent") | load("overlaps")
        self.grammar = Grammar(rules, self._functions(sentences(fold)))

    # --- callers ---

    def answer(self, state: State, rng: Rng) -> Answer:
        """A turn that answers a question of ``state``; now and then one that does not."""
        expect = self._expect(state, rng)
        said = state if rng.random() >= OTHER_ANSWER else _other(state, rng)
        figures = _figures(expect, rng)
        number: dict[str, Draw] = {
            "digits": lambda again: spoken.read_out(figures, again),
            "digits_repaired": lambda again: spoken.repaired(figures, again),
        }
        text = self.grammar.draw(RULE[said], rng, number)
        return Answer(state=state, breaths=breaths_of(text), expect=expect)

    def listening(self, rng: Rng) -> str:
        """A backchannel of the caller."""
        return self._known("listening_core", rng)

    def takes(self, rng: Rng) -> Answer:
        """An interruption: a word, a number or a sentence."""
        rule = "takes_word" if rng.random() < 0.42 else "takes"
        text = self._known("takes_word", rng) if rule == "takes_word" else self.draw(rule, rng)
        return Answer(state=State.OPENING, breaths=breaths_of(text), expect=Expect())

    def tic(self, rng: Rng) -> str:
        """A vocal tic in words."""
        return self.draw("tic", rng)

    def side(self, rng: Rng) -> str:
        """Something said to somebody else in the room."""
        return _plain(self.draw("side", rng))

    def television(self, rng: Rng) -> str:
        return _plain(self.draw("tv", rng))

    # --- our agent ---

    def prompt(self, state: State, rng: Rng) -> str:
        return self._pooled(PROMPT[state], rng)

    def statement(self, rng: Rng) -> str:
        """Something of ours that is long enough to be talked over."""
        return self._pooled("agent_answer", rng)

    def short(self, rng: Rng) -> str:
        return _plain(self.draw("agent_short", rng))

    def our_backchannel(self, rng: Rng) -> str:
        return _plain(self.draw("backchannel", rng))

    # --- parts ---

    def draw(self, rule: str, rng: Rng) -> str:
        return self.grammar.draw(rule, rng)

    def _pooled(self, rule: str, rng: Rng) -> str:
        """One of ``POOL`` fixed sayings: ours are heard again and again, so that they need not be rendered again."""
        number = int(rng.integers(POOL))
        return _plain(self.draw(rule, np.random.default_rng([number, *rule.encode()])))

    def _known(self, rule: str, rng: Rng) -> str:
        """A saying of a closed list that this fold may use."""
        text = ""
        for _ in range(TRIES):
            text = self.draw(rule, rng)
            if self._fold.allows_phrase(held_out(text, PHRASES_HELD_OUT)):
                break
        return text

    def _expect(self, state: State, rng: Rng) -> Expect:
        if state is State.DIGITS:
            count = int(rng.choice(DIGIT_LENGTHS))
            check = "luhn" if count >= 6 and rng.random() < CHECKED else None
            unknown = rng.random() < COUNT_UNKNOWN
            return Expect(kind=ExpectKind.DIGITS, digits=None if unknown else count, check=None if unknown else check)
        if state is State.YES_NO:
            return Expect(kind=ExpectKind.YES_NO)
        if state is State.DATE:
            return Expect(kind=ExpectKind.DATE, also_yes_no=rng.random() < 0.1)
        if state is State.INTENTS:
            phrases = tuple(_plain(self.draw("intent_core", rng)) for _ in range(int(rng.integers(2, 9))))
            return Expect(kind=ExpectKind.PHRASES, phrases=phrases, also_yes_no=rng.random() < 0.15)
        if state is State.OPENING:
            return Expect()
        return Expect(kind=ExpectKind.FREE)

    def _functions(self, free: tuple[str, ...]) -> dict[str, Draw]:
        options = load("lists")["last_name"].options
        names = [part.text for option in options for part in option if isinstance(part, Words)]
        return {
            "digits": lambda rng: spoken.read_out(spoken.digits(int(rng.choice(DIGIT_LENGTHS)), rng), rng),
            "digits_repaired": lambda rng: spoken.repaired(spoken.digits(int(rng.choice(DIGIT_LENGTHS)), rng), rng),
            "digits_some": lambda rng: spoken.read_out(spoken.digits(int(rng.integers(3, 9)), rng), rng),
            "digit_count": lambda rng: ("four", "six", "eight", "ten")[int(rng.integers(4))],
            "small_number": lambda rng: cardinal(int(rng.integers(1, 31))),
            "ordinal": lambda rng: ordinal(int(rng.integers(1, 32))),
            "date": spoken.date,
            "year": lambda rng: year(int(rng.integers(1935, 2027))),
            "clock": spoken.clock,
            "money": spoken.money,
            "code_said": spoken.code,
            "letters_as": spoken.letters_as,
            "last_name_spelled": lambda rng: spoken.spelled(names[int(rng.integers(len(names)))], rng),
            "house": spoken.house,
            "postcode": spoken.postcode,
            "free_corpus": lambda rng: free[int(rng.integers(len(free)))],
        }


def _figures(expect: Expect, rng: Rng) -> str:
    """The number of this answer: as many digits as are wanted, mostly."""
    count = expect.digits or int(rng.choice(DIGIT_LENGTHS))
    if count > 2 and rng.random() < STOPS_SHORT:
        count -= int(rng.integers(1, max(2, count // 2)))
    return spoken.digits(count, rng, check=expect.check)


def _plain(text: str) -> str:
    """Without marks for pauses."""
    return " ".join(word for word in text.split() if word not in ("/", "//"))


def _other(state: State, rng: Rng) -> State:
    """Something else than was asked: often a sentence, sometimes another kind of answer."""
    if rng.random() < 0.6:
        return State.FREE
    states = [other for other in State if other is not state]
    return states[int(rng.integers(len(states)))]
