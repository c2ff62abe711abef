"""The instrument, on recordings whose answers are known by construction."""

from __future__ import annotations

import math

import pytest

from agent.bench.evidence import Control, LoggedUtterance, ServiceLog, controls_of
from agent.bench.metrics import (
    average_penalty_s,
    dead_air_per_call,
    false_starts_per_100_turns,
    headline_selectivity,
    pause_takeover,
    responses,
    selections,
    selectivity,
    self_interruptions,
    talk_over,
    yields,
)
from agent.bench.statistics import percentile
from agent.simulator.truth import EventType
from tests.unit.agent.bench.synthetic import babbled, call, event, shaped, spoken, turn

MS = 0.0051
"""Half a frame: the energy rule dates to 10 ms."""


def test_response_latency_is_from_the_end_of_the_turn_to_the_onset() -> None:
    (found,) = responses([call(spoken((3.5, 6.0)), turn(1.0, 3.0))])
    assert found.any_s == pytest.approx(0.5, abs=MS)
    assert found.content_s == pytest.approx(0.5, abs=MS)


def test_a_short_filler_is_a_response_but_not_content() -> None:
    (found,) = responses([call(spoken((3.3, 3.7), (4.5, 6.0)), turn(1.0, 3.0))])
    assert found.any_s == pytest.approx(0.3, abs=MS)
    assert found.content_s == pytest.approx(1.5, abs=MS)


def test_three_logged_words_are_content_however_short() -> None:
    log = ServiceLog(utterances=(LoggedUtterance(start=3.3, end=3.7, text="one two three", heard_words=3, reason="x"),))
    (found,) = responses([call(spoken((3.3, 3.7), (4.5, 6.0)), turn(1.0, 3.0), log=log)])
    assert found.content_s == pytest.approx(0.3, abs=MS)


def test_an_answer_in_the_last_quarter_second_has_a_negative_latency() -> None:
    (found,) = responses([call(spoken((2.8, 6.0)), turn(1.0, 3.0))])
    assert found.any_s == pytest.approx(-0.2, abs=MS)


def test_a_missing_answer_is_infinite_and_stays_in_the_percentiles() -> None:
    calls = [call(spoken((3.4, 5.0)), turn(1.0, 3.0)), call(spoken(), turn(1.0, 3.0))]
    latencies = [found.any_s for found in responses(calls)]
    assert percentile(latencies, 0.5) == pytest.approx(0.4, abs=MS)
    assert math.isinf(percentile(latencies, 0.95))


def test_an_answer_after_five_seconds_is_a_miss() -> None:
    (found,) = responses([call(spoken((8.1, 9.5)), turn(1.0, 3.0))])
    assert math.isinf(found.any_s)


def test_a_turn_that_was_talked_into_is_void_and_a_false_start() -> None:
    calls = [call(spoken((2.0, 4.0)), turn(1.0, 3.0)), call(spoken((3.4, 5.0)), turn(1.0, 3.0))]
    assert len(responses(calls)) == 1
    assert false_starts_per_100_turns(calls) == 50.0


def test_turns_that_expect_nothing_have_no_response_latency() -> None:
    assert responses([call(spoken((3.4, 5.0)), turn(1.0, 3.0, expect="none"))]) == []


@pytest.mark.parametrize(
    ("onset", "taken"), [(2.05, 1), (2.95, 1), (3.15, 1), (3.25, 0), (1.5, 0)], ids=lambda value: str(value)
)
def test_a_pause_is_taken_by_an_onset_inside_it_or_just_after(onset: float, taken: int) -> None:
    holding = call(spoken((onset, onset + 1.0)), turn(1.0, 5.0), event(EventType.HOLD, 2.0, 3.0))
    assert pause_takeover([holding]).hits == taken


def test_an_agents_backchannel_does_not_take_a_pause() -> None:
    log = ServiceLog(
        utterances=(LoggedUtterance(start=2.2, end=2.6, text="mhm", heard_words=1, reason="played"),),
        backchannels=frozenset({"mhm"}),
    )
    holding = call(spoken((2.2, 2.6)), turn(1.0, 5.0), event(EventType.HOLD, 2.0, 3.0), log=log)
    assert pause_takeover([holding]).hits == 0
    assert false_starts_per_100_turns([holding]) == 0


def test_pauses_fall_into_buckets_by_length() -> None:
    holding = call(spoken(), turn(0.5, 9.0), event(EventType.HOLD, 2.0, 2.6), event(EventType.HOLD, 4.0, 4.3))
    assert pause_takeover([holding], shortest_s=0.3, longest_s=0.6).n == 1
    assert pause_takeover([holding], shortest_s=0.6, longest_s=1.0).n == 1


def test_a_yield_is_dated_by_the_last_sound_before_half_a_second_of_silence() -> None:
    interrupt = event(EventType.INTERRUPT, 3.0, 4.5)
    (found,) = yields([call(spoken((1.0, 3.2), (3.6, 3.8), (6.0, 8.0)), interrupt, left=4.0)])
    assert found.yield_s == pytest.approx(0.8, abs=MS)


def test_talking_to_the_end_of_the_answer_is_no_yield() -> None:
    interrupt = event(EventType.INTERRUPT, 3.0, 4.5)
    (found,) = yields([call(spoken((1.0, 7.0)), interrupt, left=4.0)])
    assert math.isinf(found.yield_s)
    assert math.isinf(found.duck_s)


def test_an_interruption_near_the_end_of_the_answer_is_not_judged() -> None:
    assert yields([call(spoken((1.0, 3.5)), event(EventType.INTERRUPT, 3.0, 4.5), left=1.9)]) == []


def test_an_interruption_of_a_silent_agent_is_not_judged() -> None:
    assert yields([call(spoken((1.0, 2.0)), event(EventType.INTERRUPT, 3.0, 4.5), left=4.0)]) == []


def test_a_duck_is_reported_and_is_no_yield() -> None:
    interrupt = event(EventType.INTERRUPT, 3.0, 4.5)
    ducked = shaped([(1.0, 3.15, 8000.0), (3.15, 7.0, 1400.0)])  # −15 dB
    (found,) = yields([call(ducked, interrupt, left=4.0)])
    assert math.isinf(found.yield_s)
    assert found.duck_s == pytest.approx(0.15, abs=2 * MS)


def test_a_drop_of_ten_decibels_is_no_duck() -> None:
    ducked = shaped([(1.0, 3.15, 8000.0), (3.15, 7.0, 2530.0)])
    (found,) = yields([call(ducked, event(EventType.INTERRUPT, 3.0, 4.5), left=4.0)])
    assert math.isinf(found.duck_s)


def test_a_duck_is_dated_against_the_same_words_of_the_control_run() -> None:
    """Words with gaps of 200 ms: without the control run a gap could pass for a duck."""
    words = [(1.0 + 0.4 * k, 1.2 + 0.4 * k) for k in range(15)]
    heard = babbled([(a, b, 8000.0 if a < 3.2 else 1400.0) for a, b in words])
    meant = babbled([(a, b, 8000.0) for a, b in words])[800:]  # the control run is 100 ms early
    interrupt = event(EventType.INTERRUPT, 3.1, 4.5)
    control = call(meant, event(EventType.INTERRUPT, 3.02, 4.4, sent=False))
    found_control = controls_of(control)[control.events[0].item]
    (found,) = yields([call(heard, interrupt, controls={interrupt.item: found_control})])
    assert found_control.left_s == pytest.approx(6.7 - 3.02, abs=MS)
    assert found.duck_s == pytest.approx(0.3, abs=0.011)


def test_the_control_run_says_what_was_left_to_say() -> None:
    control = call(spoken((1.0, 7.0)), event(EventType.INTERRUPT, 3.0, 4.5, sent=False))
    (found,) = controls_of(control).values()
    assert found.left_s == pytest.approx(4.0, abs=MS)


@pytest.mark.parametrize("type_", [EventType.BACKCHANNEL, EventType.TIC, EventType.SIDE_TALK, EventType.NOISE])
def test_going_on_through_a_sound_is_right_and_stopping_is_wrong(type_: EventType) -> None:
    sound = event(type_, 3.0, 3.4)
    right = call(spoken((1.0, 8.0)), sound, left=5.0)
    wrong = call(spoken((1.0, 3.9)), sound, left=5.0)
    late = call(spoken((1.0, 4.6)), sound, left=5.0)
    share = selectivity(selections([right, wrong, late]), type_)
    assert (share.hits, share.n) == (2, 3)


def test_a_stumble_is_reported_and_still_wrong() -> None:
    (found,) = selections([call(spoken((1.0, 3.5), (4.2, 8.0)), event(EventType.TIC, 3.0, 3.4), left=5.0)])
    assert found.stumbled
    assert not found.correct


def test_a_silent_agent_must_stay_silent_for_two_seconds() -> None:
    sound = event(EventType.NOISE, 3.0, 3.4)
    stays = call(spoken((1.0, 2.0), (5.5, 7.0)), sound)
    starts = call(spoken((1.0, 2.0), (5.3, 7.0)), sound)
    assert [found.correct for found in selections([stays, starts])] == [True, False]


def test_a_sound_near_the_end_of_the_answer_is_not_judged() -> None:
    assert selections([call(spoken((1.0, 4.0)), event(EventType.TIC, 3.0, 3.4), left=1.0)]) == []


def test_headline_selectivity_needs_thirty_events_of_each_class() -> None:
    types = (EventType.BACKCHANNEL, EventType.TIC, EventType.SIDE_TALK, EventType.NOISE)
    calls = [call(spoken((1.0, 8.0)), event(type_, 3.0, 3.4), left=5.0) for type_ in types]
    assert headline_selectivity(selections(calls)) is None
    assert headline_selectivity(selections(calls) * 30) == 1.0


def test_a_false_alarm_costs_two_seconds() -> None:
    alarm = selections([call(spoken((1.0, 3.5)), event(EventType.TIC, 3.0, 3.4), left=5.0)])
    gave_way = yields([call(spoken((1.0, 3.5)), event(EventType.INTERRUPT, 3.0, 4.5), left=5.0)])
    assert average_penalty_s(gave_way, alarm) == pytest.approx((0.5 + 2.0) / 2, abs=MS)


def test_talk_over_counts_seconds_of_both_per_minute_of_caller_speech() -> None:
    talked_over = call(spoken((2.5, 6.5)), turn(1.0, 7.0), event(EventType.HOLD, 3.0, 4.0))
    # Caller speech: 1–3 and 4–7 (5 s); both: 2.5–3 and 4–6.5 (3 s).
    assert talk_over([talked_over]) == pytest.approx(3.0 / (5.0 / 60), rel=0.01)


def test_echo_that_cuts_an_utterance_is_a_self_interruption() -> None:
    control = call(spoken((1.0, 6.0), (8.0, 12.0)))
    echo = call(spoken((1.0, 2.5), (3.2, 6.7), (8.7, 12.7)))
    assert self_interruptions([(echo, control)]) == pytest.approx(1 / (9.0 / 60), rel=0.01)
    assert self_interruptions([(control, control)]) == 0.0


def test_two_seconds_without_an_expected_answer_are_dead_air() -> None:
    calls = [call(spoken((5.1, 6.0)), turn(1.0, 3.0)), call(spoken((4.5, 6.0)), turn(1.0, 3.0))]
    assert dead_air_per_call(calls) == 0.5


def test_pairing_needs_a_control() -> None:
    interrupt = event(EventType.INTERRUPT, 3.0, 4.5)
    assert yields([call(spoken((1.0, 7.0)), interrupt, controls={})]) == []
    assert len(yields([call(spoken((1.0, 7.0)), interrupt, controls={interrupt.item: Control(left_s=2.0)})])) == 1


def test_an_answer_right_after_giving_way_hides_the_yield_but_not_the_cut() -> None:
    """The agent stops after 0.9 s and says something else 0.3 s later: no silence of half a second in between."""
    said = [
        LoggedUtterance(start=1.0, end=3.9, text="a", heard_words=1, reason="yielded", whole="a b"),
        LoggedUtterance(start=4.2, end=7.0, text="c", heard_words=1, reason="played", whole="c"),
    ]
    interrupt = event(EventType.INTERRUPT, 3.0, 3.8)
    log = ServiceLog(utterances=tuple(said))
    (found,) = yields([call(spoken((1.0, 3.9), (4.2, 7.0)), interrupt, left=6.0, log=log)])
    assert found.yield_s == pytest.approx(4.0, abs=MS)
    assert found.cut_s == pytest.approx(0.9, abs=MS)
