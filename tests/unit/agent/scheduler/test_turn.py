from __future__ import annotations

from agent.model.protocol import HeardWords
from agent.scheduler.turn import TurnText


def heard(text: str, *, final: bool = False, end: int | None = None) -> HeardWords:
    return HeardWords(row=0, words=tuple(text.split()), final=final, confidence=0.5, end_samples=end)


def test_words_replace_each_other_until_a_segment_is_final_and_then_add_up() -> None:
    turn = TurnText()
    turn.begin()
    assert turn.update(heard("my"))
    assert turn.update(heard("my number", final=True, end=10))
    assert turn.update(heard("one"))
    assert turn.update(heard("one two"))
    assert turn.words == ("my", "number", "one", "two")
    assert turn.revision == 4


def test_the_same_words_again_change_nothing() -> None:
    turn = TurnText()
    turn.begin()
    turn.update(heard("yes"))
    assert not turn.update(heard("yes"))
    assert turn.revision == 1
    assert turn.update(heard("yes", final=True))
    assert turn.revision == 1


def test_ears_that_tell_the_whole_turn_again_are_not_doubled() -> None:
    turn = TurnText()
    turn.begin()
    turn.update(heard("my number", final=True))
    turn.update(heard("my number is one"))
    assert turn.words == ("my", "number", "is", "one")


def test_a_final_that_is_corrected_is_replaced() -> None:
    turn = TurnText()
    turn.begin()
    turn.update(heard("for", final=True, end=8))
    turn.update(heard("four", final=True, end=8))
    assert turn.words == ("four",)


def test_a_new_turn_begins_with_words_that_came_before_it_was_known() -> None:
    turn = TurnText()
    turn.begin()
    turn.update(heard("old"))
    turn.end()
    turn.update(heard("new"))
    turn.begin()
    assert (turn.number, turn.revision, turn.words) == (2, 1, ("new",))


def test_a_reopened_turn_keeps_its_words_wherever_the_rest_comes() -> None:
    for early in (True, False):
        turn = TurnText()
        turn.begin()
        turn.update(heard("my number is", final=True))
        turn.end()
        if early:
            turn.update(heard("one"))
        turn.reopen()
        turn.update(heard("one two"))
        assert turn.words == ("my", "number", "is", "one", "two")
        assert turn.number == 1


def test_a_reopened_turn_whose_words_were_not_final_is_told_again_whole() -> None:
    for early in (True, False):
        turn = TurnText()
        turn.begin()
        turn.update(heard("my numbers"))
        turn.end()
        if early:
            turn.update(heard("my number is"))
        turn.reopen()
        turn.update(heard("my number is one"))
        assert turn.words == ("my", "number", "is", "one")


def test_words_that_were_passed_over_are_left_out_of_the_next_turn() -> None:
    turn = TurnText()
    turn.begin()
    turn.update(heard("one two"))
    turn.end(runs_on=True)
    turn.pass_over(heard("one two three"))
    turn.begin()
    assert turn.update(heard("one two three four"))
    assert turn.words == ("four",)


def test_ears_that_begin_anew_after_words_were_passed_over_are_taken_whole() -> None:
    turn = TurnText()
    turn.begin()
    turn.update(heard("one two three"))
    turn.end(runs_on=True)
    turn.begin()
    assert turn.update(heard("one"))
    assert turn.update(heard("one two three four"))
    assert turn.words == ("one", "two", "three", "four")


def test_late_words_of_an_ordinary_turn_are_not_held_against_the_next() -> None:
    turn = TurnText()
    turn.begin()
    turn.update(heard("yes"))
    turn.end()
    turn.pass_over(heard("yes please", final=True))
    turn.begin()
    assert turn.update(heard("yes please no"))
    assert turn.words == ("yes", "please", "no")
