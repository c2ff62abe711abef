from __future__ import annotations

import pytest

from agent.brain.flow.digits import correct_digits, luhn, read_digits, unbroken_digits
from agent.brain.flow.words import normalise


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("one two three four five six seven eight", "12345678"),
        ("12 34-56 78", "12345678"),
        ("it's one two three", "123"),
        ("double seven", "77"),
        ("triple oh one", "0001"),
        ("double oh seven", "007"),
        ("oh two oh three", "0203"),
        ("twenty one thirty four", "2134"),
        ("twelve thirty", "1230"),
        ("one for two", "142"),
        ("it is for you", ""),
        ("oh I see", ""),
        ("hello", ""),
        ("one two three four no sorry three five six seven eight", "12335678"),
        ("one two three I mean two two three four five six seven eight", "22345678"),
        ("one two three four five six seven eight no nine", "12345679"),
        ("one two three four five six seven eight no sorry five six seven nine", "12345679"),
        ("one two start again three four five six seven eight nine zero", "34567890"),
        ("four oh no sorry three four five six seven eight nine two", "34567892"),
        ("no it is one two three four five six seven nine", "12345679"),
        ("one two wait three no four five six seven eight nine one", "14567891"),
    ],
)
def test_digits_are_read_as_they_were_meant(said: str, digits: str) -> None:
    assert read_digits(normalise(said.split()), length=8).digits == digits


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("it is one two three", "123"),
        ("double seven and one", "771"),
        ("one two three twenty", "12320"),
        ("no one two", "12"),
        ("one two three for", ""),
        ("one two three oh", ""),
        ("one two three I", ""),
        ("one two three no", ""),
        ("one two no three", ""),
        ("one two start again three", ""),
        ("hello", ""),
        ("", ""),
    ],
)
def test_digits_of_a_turn_that_goes_on_count_only_where_they_can_mean_no_others(said: str, digits: str) -> None:
    assert unbroken_digits(normalise(said.split())) == digits


def test_without_a_known_length_a_correction_replaces_as_many_digits_as_are_new() -> None:
    heard = read_digits(normalise(["one", "two", "three", "I", "mean", "two", "two", "three"]))
    assert heard.digits == "223"
    assert heard.corrected


def test_a_check_digit_decides_between_readings_of_a_correction() -> None:
    tokens = normalise(["0466", "no", "1099", "no", "0695"])
    assert read_digits(tokens, length=8).digits == "04610695"
    assert read_digits(tokens, length=8, check="luhn").digits == "01090695"
    assert luhn("01090695")
    assert not luhn("04610695")


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("no the last one is nine", "12345679"),
        ("the last digit should be a nine", "12345679"),
        ("no the last one is nine not eight", "12345679"),
        ("the last one is not eight but nine", "12345679"),
        ("the first one is two", "22345678"),
        ("the third digit is nine", "12945678"),
        ("the second to last is one", "12345618"),
        ("the last two are nine nine", "12345699"),
        ("the first one is two and the last one is nine", "22345679"),
        ("it ends in five nine", "12345659"),
        ("it starts with nine", "92345678"),
        ("nine not eight", "12345679"),
        ("no not eight but nine", "12345679"),
        ("no it's 1 2 3 4 5 6 7 9", "12345679"),
        ("no five six seven nine", "12345679"),
        ("yes five six seven eight", "12345678"),
    ],
)
def test_corrections_after_a_readback(reply: str, value: str) -> None:
    assert correct_digits("12345678", normalise(reply.split())).value == value


@pytest.mark.parametrize("reply", ["no nine", "one two nine nine nine", "the last one is nine nine", "zero not nine"])
def test_a_correction_that_could_mean_several_things_is_unclear(reply: str) -> None:
    assert correct_digits("12345678", normalise(reply.split())).unclear


@pytest.mark.parametrize("reply", ["yes", "no", "no that is wrong", "what did you say"])
def test_no_digits_are_no_correction(reply: str) -> None:
    found = correct_digits("12345678", normalise(reply.split()))
    assert found.value is None
    assert not found.unclear
