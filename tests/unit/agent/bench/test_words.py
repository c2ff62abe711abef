from __future__ import annotations

import pytest

from agent.bench.words import MarkerWord, Resumption, heard_text, received, resumes, unwrapped


def words(count: int, *, start: float = 1.0, first: int = 0) -> list[MarkerWord]:
    return [MarkerWord(start + 0.18 * k, start + 0.18 * k + 0.12, first + k) for k in range(count)]


def test_marker_numbers_count_on_past_sixty_four() -> None:
    decoded = [(k % 64, float(k), k + 0.5) for k in range(60, 70)]
    assert [word.index for word in unwrapped(decoded, first=60)] == list(range(60, 70))


def test_marker_numbers_may_go_back() -> None:
    assert [word.index for word in unwrapped([(62, 0, 1), (1, 1, 2), (62, 2, 3)], first=60)] == [62, 65, 62]


def test_a_word_counts_as_received_when_its_last_sample_came() -> None:
    assert received(words(10)) == 10
    assert received([*words(9), MarkerWord(2.62, 2.72, 9)]) == 9, "the last was cut after 100 ms"
    assert received([]) == 0


def test_a_word_inside_may_lack_a_packet_or_come_in_pieces_but_must_be_heard() -> None:
    shorter, torn = MarkerWord(1.36, 1.44, 2), [MarkerWord(1.36, 1.40, 2), MarkerWord(1.60, 1.66, 2)]
    behind = words(3, start=1.8, first=3)
    assert received([*words(2), shorter, *behind]) == 6
    assert received([*words(2), *torn, *behind]) == 6
    assert received([*words(2), MarkerWord(1.36, 1.40, 2), *behind]) == 5
    assert received([*words(2), *behind]) == 5


def test_heard_text_tells_within_one_and_over_claim() -> None:
    found = heard_text([(5, 5), (5, 6), (5, 4), (5, 7), (5, 2)])
    assert found.within_one.share == pytest.approx(0.6)
    assert found.over_claim.share == pytest.approx(0.2)
    assert found.mean_error == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("heard", "following", "verdict"),
    [
        (5, 5, "correct"),
        (5, 4, "correct"),
        (5, 3, "repeated"),
        (5, 0, "repeated"),
        (5, 6, "skipped"),
        (2, 0, "correct"),
        (4, 4, "correct"),
        (5, None, "skipped"),
    ],
)
def test_a_resume_may_repeat_its_clause_and_skip_nothing(heard: int, following: int | None, verdict: str) -> None:
    assert Resumption(heard, following, (0, 4, 8)).verdict == verdict


def test_resume_shares_add_up() -> None:
    found = resumes([Resumption(5, 5, (0, 4)), Resumption(5, 0, (0, 4)), Resumption(5, 7, (0, 4))])
    assert found.correct.share + found.skipped.share + found.repeated.share == pytest.approx(1.0)
