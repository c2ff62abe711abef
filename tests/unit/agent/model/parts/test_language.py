"""Language models: every share adds up, what is expected comes first, and rare talk is left out."""

from __future__ import annotations

import math

import pytest

from agent.expectation import Expect, ExpectKind
from agent.model.parts.language import MOST_FORMS, forms, is_open, model_of, talk
from agent.model.parts.ngram import BEGIN, END, added, arpa, count
from agent.model.parts.recogniser import Mode

Model = dict[tuple[str, ...], tuple[float, float]]


def read(text: str) -> Model:
    """Share and what is left to others, by words."""
    found: Model = {}
    order = 0
    for line in text.splitlines():
        if line.endswith("-grams:"):
            order = int(line[1])
        elif order and line and not line.startswith("\\"):
            share, *words = line.split()
            rest = words.pop() if len(words) > order else "-inf"
            found[tuple(words)] = (10 ** float(share), 10 ** float(rest))
    return found


def share(model: Model, history: tuple[str, ...], word: str) -> float:
    """As a recogniser reckons it."""
    if (*history, word) in model:
        return model[(*history, word)][0]
    return model[history][1] * share(model, history[1:], word) if history in model else share(model, history[1:], word)


SAID = [(("where", "is", "it"), 2.0), (("it", "is", "here"), 1.0), (("where",), 0.5)]


@pytest.mark.parametrize("history", [(), ("is",), (BEGIN,), (BEGIN, "where"), ("where", "is"), ("here", "where")])
def test_what_may_follow_adds_up_to_one(history: tuple[str, ...]) -> None:
    model = read(arpa(count(SAID)))
    words = [gram[0] for gram in model if len(gram) == 1 and gram[0] != BEGIN]
    assert sorted(words) == sorted({END, "where", "is", "it", "here"})
    assert math.isclose(sum(share(model, history, word) for word in words), 1.0, abs_tol=0.005)


def test_what_was_said_more_often_is_likelier() -> None:
    model = read(arpa(count(SAID)))
    assert share(model, (BEGIN,), "where") > share(model, (BEGIN,), "it") > share(model, (BEGIN,), "here")


def test_counts_add_up_and_stay_as_they_were() -> None:
    one, two = count(SAID), count([(("is", "it"), 1.0)])
    both = added(one, two)
    assert both[1][("is", "it")] == one[1][("is", "it")] + 1.0
    assert one[1][("is", "it")] == 2.0


def test_a_model_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs words"):
        arpa(count([]))


def test_the_forms_of_a_pattern_share_its_weight() -> None:
    assert [form for form, _ in forms("( track | find ) [ my ] parcel")] == [
        ("find", "parcel"),
        ("track", "parcel"),
        ("find", "my", "parcel"),
        ("track", "my", "parcel"),
    ]
    assert {weight for _, weight in forms("( track | find ) [ my ] parcel")} == {0.5}
    assert len(forms(" ".join(["( a | b | c )"] * 9))) == MOST_FORMS


def test_only_open_answers_into_silence_are_heard_so() -> None:
    assert is_open(Expect(kind=ExpectKind.PHRASES), Mode.ANSWER)
    assert not is_open(Expect(kind=ExpectKind.PHRASES), Mode.OVERLAP)
    assert not is_open(Expect(kind=ExpectKind.DIGITS, digits=4), Mode.ANSWER)


def test_a_dialogue_s_phrases_come_before_talk() -> None:
    expect = Expect(kind=ExpectKind.PHRASES, phrases=("where is my parcel",), digits=8, words=("smashed", "strange"))
    model = read(model_of(expect, lambda word: word != "strange"))
    assert share(model, ("is", "my"), "parcel") > 10 * share(model, ("is", "my"), "card")
    assert share(model, ("four",), "two") > share(model, ("four",), "card")
    assert model[("smashed",)][0] > model[("yes",)][0]
    assert ("strange",) not in model, "a word that nobody can say"


def test_free_speech_is_mostly_talk() -> None:
    phrases = ("where is my parcel",)
    asked, free = (
        read(model_of(Expect(kind=kind, phrases=phrases), lambda _: True))
        for kind in (ExpectKind.PHRASES, ExpectKind.FREE)
    )
    assert free[("parcel",)][0] < asked[("parcel",)][0]
    nothing = read(model_of(Expect(), lambda _: True))
    assert nothing[("yes",)][0] > model_of_talk("yes")


def model_of_talk(word: str) -> float:
    counts = talk()[0]
    return counts[(word,)] / sum(counts.values())
