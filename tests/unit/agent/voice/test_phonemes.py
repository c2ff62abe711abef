"""Words to Kokoro's phonemes."""

from __future__ import annotations

import pytest

from agent.voice.kokoro import VOCABULARY
from agent.voice.phonemes import Lexicon, data_folder

SMALL = Lexicon(
    {
        "parcel": "pˈɑɹsᵊl",
        "the": "ði",
        "to": "tu",
        "apple": "ˈæpᵊl",
        "A": "ˈA",
        "B": "bˈi",
        "stop": "stˈɑp",
        "make": "mˈAk",
        "wish": "wˈɪʃ",
        "try": "tɹˈI",
        "wait": "wˈAt",
        "have": {"DEFAULT": "hæv", "None": "hˈæv"},
    }
)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("parcel", "pˈɑɹsᵊl"),
        ("parcel's", "pˈɑɹsᵊlz"),
        ("stops", "stˈɑps"),
        ("wishes", "wˈɪʃᵻz"),
        ("tries", "tɹˈIz"),
        ("stopped", "stˈɑpt"),
        ("waited", "wˈAtᵻd"),
        ("making", "mˈAkɪŋ"),
        ("stopping", "stˈɑpɪŋ"),
    ],
)
def test_known_stems_take_english_endings(word: str, said: str) -> None:
    assert SMALL.say(word) == said


@pytest.mark.parametrize("word", ["kowalczyk", "o'neill", "xyzzy", "brr", "pneumonia", "q", "zürich"])
def test_unknown_words_are_read_by_their_letters(word: str) -> None:
    said = SMALL.say(word)
    assert said
    assert set(said) <= set(VOCABULARY)


def test_clause_keeps_its_pauses_and_its_mark() -> None:
    assert SMALL.clause(("parcel,", "parcel"), "?") == "pˈɑɹsᵊl, pˈɑɹsᵊl?"
    assert SMALL.clause(("parcel",), "-") == "pˈɑɹsᵊl,"
    assert SMALL.clause(("parcel",), "") == "pˈɑɹsᵊl"


def test_little_words_lean_on_what_follows() -> None:
    assert SMALL.clause(("the", "apple", "the parcel"), "") == "ði ˈæpᵊl ðə pˈɑɹsᵊl"
    assert SMALL.clause(("to", "apple", "to parcel"), "") == "tʊ ˈæpᵊl tə pˈɑɹsᵊl"
    assert SMALL.clause(("have", "have"), "") == "hæv hˈæv"


def test_article_and_letter_are_told_apart() -> None:
    assert SMALL.clause(("A", "parcel"), "") == "ɐ pˈɑɹsᵊl"
    assert SMALL.clause(("A B",), "") == "ˈA bˈi"


@pytest.mark.skipif(data_folder() is None, reason="misaki is not installed")
def test_dictionary_of_the_package_fits_the_vocabulary() -> None:
    folder = data_folder()
    assert folder is not None
    lexicon = Lexicon.load(folder)
    said = lexicon.clause(("Your", "parcel", "A P four one seven,", "is", "at", "Smith's", "depot"), ".")
    assert said == "jʊɹ pˈɑɹsᵊl ˈA pˈi fˈɔɹ wˈʌn sˈɛvən, ɪz æt smˈɪθs dˈipˌO."
    assert set(said) <= set(VOCABULARY)
