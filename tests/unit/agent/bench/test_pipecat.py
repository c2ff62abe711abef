from __future__ import annotations

import numpy as np
import pytest

from agent.bench.pipecat import FRAME, RATE_HZ, Heard, burst_line, chirp, compare, judge, punctuality, response_ms


def heard(line: np.ndarray[tuple[int], np.dtype[np.int16]], delay_s: float) -> Heard:
    """``line`` frame by frame, each when its last sample has been spoken and ``delay_s`` later."""
    count = len(line) // FRAME
    return Heard(
        at=(np.arange(count) + 1) * FRAME / RATE_HZ + delay_s,
        size=np.full(count, FRAME, np.int64),
        pcm=line[: count * FRAME],
        context=[],
        sent_late=np.full(count, 0.002),
    )


def test_a_sound_is_found_with_the_time_at_which_it_was_handed_over() -> None:
    line, begins = burst_line(3)
    noise = np.random.default_rng(1).normal(0, 300, len(line)).astype(np.int16)
    for delay_s in (0.05, 0.4):
        echoed = heard(line + noise, delay_s)
        for begin in begins:
            assert echoed.found_at(chirp(), begin, begin + 0.9) == pytest.approx(
                begin + FRAME / RATE_HZ + delay_s, abs=1e-3
            )
    assert echoed.found_at(chirp(), begins[-1] + 1.5, begins[-1] + 2.0) is None


def test_a_response_is_the_first_sound_after_the_question_and_late_ones_are_misses() -> None:
    line = np.zeros(RATE_HZ * 8, np.int16)
    line[RATE_HZ * 3 : RATE_HZ * 4] = 5000
    assert response_ms(heard(line, 0.0), 2.5) == pytest.approx(520, abs=1)
    assert response_ms(heard(line, 0.0), 4.5) == float("inf")


def test_doors_are_compared_sound_by_sound_and_misses_are_counted() -> None:
    inf = float("inf")
    found = compare({"socket": [50.0, 60.0, inf, 70.0], "pipecat": [60.0, 80.0, 55.0, inf]})
    assert found["added_ms"] == {"n": 2, "misses": 0, "p5": 10.0, "p50": 10.0, "p95": 20.0}
    assert found["pipecat_ms"]["misses"] == 1


def test_frames_that_were_sent_late_are_told_apart_from_frames_that_came_late() -> None:
    call = heard(np.zeros(RATE_HZ, np.int16), 0.1)
    call.at[10:20] += 0.03
    told = punctuality([call])
    assert told["sent_late_ms"]["p95"] == pytest.approx(2.0)
    assert told["came_late_ms"]["p50"] == pytest.approx(0.0, abs=0.1)
    assert told["came_late_ms"]["p95"] == pytest.approx(30.0, abs=0.1)


def utterance(said: str, unheard: str = "") -> dict[str, str]:
    return {"heard": said, "unheard": unheard, "why": "yielded" if unheard else "played"}


def context(*texts: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text} for text in texts]


def test_a_context_is_judged_answer_by_answer() -> None:
    utterances = [utterance("hello there"), utterance("we are open", "from nine"), utterance("we are", "open from")]
    same = judge(context("hello there we are", "open we are"), utterances)
    assert (same["interrupted"], same["exact"], same["whole"]) == (2, 2, True)
    more = judge(context("hello there", "we are open from nine", "we are"), utterances)
    assert (more["exact"], more["whole"]) == (1, False)
    assert more["wrong"] == [{"heard": "we are open", "unheard": "from nine"}]
    less = judge(context("hello there", "we are open", "we"), utterances)
    assert less["exact"] == 1
