from __future__ import annotations

from agent.brain.flow.speech import Line, Speech, clause_start

TEXT = "We are open on Monday, from eight to seven. On Sunday we are closed; come back later."


def heard(speech: Speech, text: str, unheard: str = "") -> Speech:
    after = speech.hear(text, unheard)
    assert after is not None
    return after


def test_the_rest_begins_at_the_clause_that_was_cut() -> None:
    words = TEXT.split()
    speech = heard(Speech(lines=(Line(text=TEXT),)), " ".join(words[:7]), " ".join(words[7:]))
    assert [line.text for line in speech.rest()] == ["from eight to seven. On Sunday we are closed; come back later."]


def test_a_cut_between_clauses_repeats_nothing() -> None:
    words = TEXT.split()
    assert clause_start(words, 5) == 5
    speech = heard(Speech(lines=(Line(text=TEXT),)), " ".join(words[:9]), " ".join(words[9:]))
    assert speech.rest()[0].text.startswith("On Sunday")


def test_lines_that_were_not_begun_are_in_the_rest() -> None:
    speech = heard(Speech(lines=(Line(text="One, two."), Line(text="Three."))), "One,", "two. Three.")
    assert [line.text for line in speech.rest()] == ["two.", "Three."]


def test_heard_words_are_found_whatever_the_voice_does_to_punctuation() -> None:
    speech = heard(Speech(lines=(Line(text=TEXT),)), "we are open on monday", "from eight to seven")
    assert speech.heard_words == 5


def test_a_voice_that_writes_numbers_its_own_way_is_followed_roughly() -> None:
    speech = Speech(lines=(Line(text="We open at 8 and close at 7 in the evening."), Line(text="Anything else?")))
    assert heard(speech, "We open at eight and close at seven in the evening.").heard_words == 11


def test_a_text_that_was_not_asked_for_changes_nothing() -> None:
    assert Speech(lines=(Line(text=TEXT),)).hear("One moment please.") is None


def test_hearing_the_same_part_twice_is_hearing_it_once() -> None:
    words = TEXT.split()
    once = heard(Speech(lines=(Line(text=TEXT),)), " ".join(words[:7]))
    assert heard(once, " ".join(words[:7]), " ".join(words[7:])).heard_words == 7


def test_a_value_counts_as_heard_at_its_last_word() -> None:
    line = Line(text="I have one two, three four. Is that right?", value_words=6)
    speech = Speech(lines=(Line(text="Well."), line))
    assert not heard(speech, "Well. I have one two, three").value_is_heard
    assert heard(speech, "Well. I have one two, three four.").value_is_heard
    assert not heard(Speech(lines=(Line(text="Well."),)), "Well.").value_is_heard
