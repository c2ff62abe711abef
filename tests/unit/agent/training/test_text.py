"""What simulated callers say: grammars, numbers as spoken, expectations that fit."""

from __future__ import annotations

import numpy as np
import pytest

from agent.brain.flow.digits import luhn, read_digits
from agent.expectation import ExpectKind
from agent.training.errors import TrainingError
from agent.training.fold import PHRASES_HELD_OUT, Fold, held_out
from agent.training.text import spoken
from agent.training.text.answer import Answer, State, breaths_of
from agent.training.text.corpus import sentences
from agent.training.text.grammar import Grammar, load, parse
from agent.training.text.prepare import chosen
from agent.training.text.source import PROMPT, RULE, TextSource


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_grammar_draws_choices_options_references_and_functions() -> None:
    grammar = Grammar(
        parse("hail = ( good day | hello ) [ there ] {who}\nwho = {name}\n| sir"), {"name": lambda _: "ann"}
    )
    said = {grammar.draw("hail", rng(seed)) for seed in range(60)}
    assert said == {f"{a}{b} {c}" for a in ("good day", "hello") for b in ("", " there") for c in ("ann", "sir")}
    assert grammar.forms("hail") == 8


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a = {b}", "names b"),
        ("a = ( x", "grammar:1: ')' is missing"),
        ("a = x )", "grammar:1: ')' was never opened"),
        ("a = x\na = y", "grammar:2: rule 'a' is defined twice"),
        ("| x", "grammar:1: an alternative without a rule"),
        ("just words", "grammar:1: wanted `name = words`"),
        ("a = {B}", "grammar:1: cannot read"),
    ],
)
def test_a_grammar_that_cannot_be_read_says_where(text: str, fault: str) -> None:
    with pytest.raises(TrainingError, match=r".*") as caught:
        Grammar(parse(text))
    assert fault in str(caught.value)


def test_there_are_thousands_of_forms_of_intents() -> None:
    assert TextSource().grammar.forms("intent_core") > 100_000
    assert len(sentences(Fold.TRAIN)) > 7000


@pytest.mark.parametrize("seed", range(40))
def test_digits_read_aloud_are_understood_as_the_same_digits(seed: int) -> None:
    figures = spoken.digits(8, rng(seed), check="luhn")
    assert luhn(figures)
    said = spoken.read_out(figures, rng(seed)).replace("/", " ").split()
    assert read_digits(said).digits == figures


@pytest.mark.parametrize("seed", range(40))
def test_a_repaired_number_ends_in_the_right_one(seed: int) -> None:
    figures = spoken.digits(8, rng(seed))
    said = spoken.repaired(figures, rng(seed)).replace("/", " ").replace("uh no", "no").split()
    assert read_digits(said, length=8).digits == figures


def test_pause_marks_become_breaths_and_cuts() -> None:
    first, second = breaths_of("well / it's my // parcel number / one")
    assert (first.text, first.cuts) == ("well it's my", (1,))
    assert (second.text, second.cuts) == ("parcel number one", (2,))


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_answers_prompts_and_an_expectation(state: State) -> None:
    source, draws = TextSource(), rng()
    answers = [source.answer(state, draws) for _ in range(60)]
    assert all(answer.words and answer.breaths for answer in answers)
    assert all(word.replace("'", "").isalpha() for answer in answers for word in answer.words)
    assert all(source.prompt(state, draws) for _ in range(20))
    kinds = {answer.expect.kind for answer in answers}
    assert len(kinds) == 1
    assert (kinds == {ExpectKind.UNKNOWN}) == (state is State.OPENING)
    assert {RULE[state], PROMPT[state]} <= {*source.grammar.names}


def test_most_digit_answers_have_as_many_digits_as_the_brain_expects() -> None:
    source, draws = TextSource(), rng()
    answers = [source.answer(State.DIGITS, draws) for _ in range(300)]
    known = [answer for answer in answers if answer.expect.digits is not None]

    def right(answer: Answer) -> bool:
        return len(read_digits(answer.words, length=answer.expect.digits).digits) == answer.expect.digits

    assert 0.75 < len(known) / len(answers) < 0.95
    assert 0.7 < np.mean([right(answer) for answer in known]) < 0.97


def test_pauses_fall_inside_breaths_and_between_them() -> None:
    source, draws = TextSource(), rng()
    answers = [source.answer(state, draws) for state in State for _ in range(60)]
    assert 0.25 < np.mean([len(answer.breaths) > 1 for answer in answers]) < 0.6
    assert 0.25 < np.mean([any(breath.cuts for breath in answer.breaths) for answer in answers]) < 0.7


def test_training_never_hears_the_phrases_that_are_kept_for_validation() -> None:
    source, draws = TextSource(Fold.TRAIN), rng()
    said = {source.listening(draws) for _ in range(600)}
    assert len(said) > 50
    assert not any(held_out(phrase, PHRASES_HELD_OUT) for phrase in said)
    kept = {source.listening(draws) for source in (TextSource(Fold.VALID),) for _ in range(600)}
    assert any(held_out(phrase, PHRASES_HELD_OUT) for phrase in kept)
    assert not {*sentences(Fold.TRAIN)} & ({*sentences(Fold.ALL)} - {*sentences(Fold.TRAIN)})


def test_the_same_seed_says_the_same() -> None:
    def conversation() -> list[str]:
        source, draws = TextSource(), rng(3)
        return [source.answer(state, draws).text for state in State] + [source.takes(draws).text, source.side(draws)]

    assert conversation() == conversation()


def test_the_corpora_s_own_evaluation_parts_stay_out() -> None:
    lines = [
        "where is my card\tcard\tbanking77/test",
        "I've waited 3 days\tcard\tbanking77/train",
        "x\ty\tclinc150/val",
    ]
    assert list(chosen(lines)) == [("i've waited three days", "card", "banking77/train")]


def test_lists_are_loaded_whole() -> None:
    rules = load("lists")
    assert {"first_name", "last_name", "weekday", "month"} <= {*rules}
    assert len(rules["weekday"].options) == 7
