"""The shipped example as a conversation: words and keys in, actions out."""

from __future__ import annotations

from typing import Any

import pytest

from agent.brain.protocol import Hangup, Say, Transfer
from agent.expectation import ExpectKind
from tests.unit.agent.brain.talk import Reply, Talk, parcel

ON_ITS_WAY = {"found": True, "status": "in_transit", "day": "2026-11-27"}


def at_readback() -> Talk:
    talk = parcel()
    talk.say("where is my parcel")
    reply = talk.say("one two three four five six seven eight")
    assert reply.text == "I have one two three four, five six seven eight. Is that right?"
    return talk


def looked_up(talk: Talk, value: Any, *, ok: bool = True) -> Reply:
    asked = talk.say("yes")
    assert len(asked.tools) == 1, asked
    return talk.result(asked.tools[0], value, ok=ok)


# --- the straight way ---


def test_the_call_begins_with_a_disclosure_that_can_not_be_cut() -> None:
    opening = parcel().opening
    assert opening is not None
    says = [action for action in opening.actions if isinstance(action, Say)]
    assert "computer" in says[0].text
    assert [say.interruptible for say in says] == [False, True]
    assert opening.expect is not None
    assert opening.expect.kind is ExpectKind.PHRASES
    assert "are you a ( robot | machine | computer | bot | person | human | real person )" in opening.expect.phrases


def test_where_is_my_parcel() -> None:
    talk = parcel()
    asked = talk.say("um hello I would like to know where my parcel is please")
    assert "eight digits" in asked.text
    assert asked.expect is not None
    assert (asked.expect.kind, asked.expect.digits) == (ExpectKind.DIGITS, 8)
    read_back = talk.say("one two three four five six seven eight")
    assert read_back.expect is not None
    assert read_back.expect.also_yes_no
    tool = talk.say("yes that's right").tools[0]
    assert (tool.name, tool.arguments) == ("parcel_status", {"number": "12345678"})
    assert tool.filler == "One moment please, I am looking that up."
    answer = talk.result(tool, {"found": True, "status": "delivered", "day": "2026-11-23", "place": "with Mr Li"})
    assert "delivered on Monday the twenty third of November. It was left with Mr Li." in answer.text
    assert "anything else" in answer.text
    assert isinstance(talk.say("no thank you").ending, Hangup)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (ON_ITS_WAY, "on Friday the twenty seventh of November"),
        ({"status": "out_for_delivery", "window": "before noon"}, "with you today, before noon"),
        ({"status": "at_shop", "place": "at the station"}, "waits for you at the station"),
        ({"status": "lost at sea"}, "Your parcel is lost at sea"),
        ({"status": "out_for_delivery", "window": None}, "Your parcel is out_for_delivery"),
        ({"unknown": 1}, "no news about parcel one two three four, five six seven eight"),
    ],
)
def test_results_are_told_by_their_conditions(result: dict[str, Any], said: str) -> None:
    assert said in looked_up(at_readback(), result).text


@pytest.mark.parametrize("nothing", [{}, None, [], "", 0, False])
def test_a_result_that_says_nothing_is_answered_aloud(nothing: object) -> None:
    reply = looked_up(at_readback(), nothing)
    assert "no news" in reply.text
    assert "anything else" in reply.text


def test_a_tool_that_fails_is_told_and_the_call_goes_on() -> None:
    reply = looked_up(at_readback(), "timeout", ok=False)
    assert "can not look that up right now" in reply.text
    assert "anything else" in reply.text


def test_an_unknown_number_is_asked_for_again() -> None:
    talk = at_readback()
    reply = looked_up(talk, {"found": False})
    assert "can not find a parcel with the number one two three four" in reply.text
    assert "What is your parcel number?" in reply.text
    assert "Is that right?" in talk.say("one two three four five six seven nine").text


def test_a_number_in_the_first_sentence_is_not_asked_for() -> None:
    talk = parcel()
    reply = talk.say("where is my parcel one two three four five six seven eight")
    assert reply.text == "I have one two three four, five six seven eight. Is that right?"


def test_changing_the_delivery_day() -> None:
    talk = at_readback()
    looked_up(talk, ON_ITS_WAY)
    asked = talk.say("I would like another delivery day")
    assert asked.text == "On which day shall we bring it?", "the number was agreed to before"
    assert asked.expect is not None
    assert asked.expect.kind is ExpectKind.DATE
    confirm = talk.say("tomorrow no friday")
    assert "on Friday the twenty seventh of November" in confirm.text
    tool = talk.say("yes please").tools[0]
    assert (tool.name, tool.arguments) == ("change_delivery", {"number": "12345678", "day": "2026-11-27"})
    assert "Done. Your parcel will come on Friday" in talk.result(tool, {"ok": True}).text


@pytest.mark.parametrize(("said", "day"), [("sunday", "2026-11-29"), ("today", ""), ("the fifth of may", "")])
def test_a_day_that_is_not_possible_is_refused_with_the_rule(said: str, day: str) -> None:
    talk = at_readback()
    looked_up(talk, ON_ITS_WAY)
    talk.say("change the delivery day")
    assert "not on a Sunday" in talk.say(said).text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("no saturday", "on Saturday the twenty eighth"),
        ("no the last one is nine", "five six seven nine on Friday"),
        ("no", "On which day"),
    ],
)
def test_a_confirmation_takes_corrections_of_either_value(answer: str, said: str) -> None:
    talk = at_readback()
    looked_up(talk, ON_ITS_WAY)
    talk.say("change the delivery day")
    talk.say("friday")
    assert said in talk.say(answer).text


@pytest.mark.parametrize("without", ["no", "no number", "I don't have it"])
def test_a_complaint_needs_no_number(without: str) -> None:
    talk = parcel()
    assert "what is its number" in talk.say("I want to complain").text
    assert "what happened" in talk.say(without).text
    tool = talk.say("your driver threw my parcel over the fence and then he talked to a person").tools[0]
    assert tool.arguments["number"] is None
    assert tool.arguments["text"].startswith("your driver threw")
    assert "four seven one one" in talk.result(tool, {"ok": True, "ticket": "4711"}).text


def test_a_complaint_with_a_number() -> None:
    talk = parcel()
    talk.say("I want to complain")
    talk.say("one two three four five six seven eight")
    talk.say("yes")
    assert talk.say("the box was wet").tools[0].arguments == {"number": "12345678", "text": "the box was wet"}


# --- corrections ---


def test_a_number_corrected_in_mid_sentence_is_read_back_corrected() -> None:
    talk = parcel()
    talk.say("where is my parcel")
    reply = talk.say("one two three four no sorry three five six seven eight")
    assert reply.text == "I have one two three three, five six seven eight. Is that right?"


@pytest.mark.parametrize(
    "said", ["no the last one is nine", "no it's 1 2 3 4 5 6 7 9", "yes but it ends in seven nine"]
)
def test_a_correction_inside_the_answer_is_taken_and_read_back(said: str) -> None:
    talk = at_readback()
    reply = talk.say(said)
    assert reply.text == "I have one two three four, five six seven nine. Is that right?"
    assert talk.say("yes").tools[0].arguments == {"number": "12345679"}


def test_a_plain_no_asks_for_the_number_again() -> None:
    talk = at_readback()
    assert talk.say("no").text == "Please tell me the eight digits of your parcel number."
    assert "two two three four" in talk.say("two two three four five six seven eight").text


def test_repeating_the_number_is_agreeing_to_it() -> None:
    assert at_readback().say("one two three four five six seven eight").tools


def test_an_unclear_correction_is_asked_about() -> None:
    reply = at_readback().say("no nine")
    assert "not sure which digit" in reply.text
    assert "Is that right?" in reply.text


def test_half_a_number_is_kept_until_the_rest_comes() -> None:
    talk = parcel()
    talk.say("where is my parcel")
    assert talk.say("one two three four").text == "Yes, go on."
    assert "one two three four, five six seven eight" in talk.say("five six seven eight").text


def test_a_correction_reaches_back_into_the_half_that_was_said_before() -> None:
    talk = parcel()
    talk.say("where is my parcel")
    talk.say("one two three four")
    assert "one two three three, five six seven eight" in talk.say("no sorry three five six seven eight").text


def test_too_many_digits_are_refused() -> None:
    talk = parcel()
    talk.say("where is my parcel")
    assert "too many" in talk.say("one two three four five six seven eight nine").text


# --- what was heard ---


@pytest.mark.parametrize(("cut", "agreed"), [(0, False), (5, False), (9, False), (10, True), (12, True)])
def test_a_yes_counts_only_for_a_number_that_was_heard_whole(cut: int, agreed: bool) -> None:
    talk = parcel()
    talk.say("where is my parcel")
    talk.say("one two three four five six seven eight", cut=cut)
    reply = talk.say("yes")
    assert bool(reply.tools) is agreed
    if not agreed:
        assert reply.text.startswith("Let me read that to you once more. I have one two three four, five")
        assert talk.say("yes").tools


def test_an_interrupted_readback_that_was_resumed_counts() -> None:
    talk = parcel()
    talk.say("where is my parcel")
    talk.say("one two three four five six seven eight", cut=8)
    rest = Reply(tuple(talk.conversation.resume()))
    assert rest.text == "five six seven eight. Is that right?"
    talk.hear(rest)
    assert talk.say("yes").tools


def test_go_on_says_the_rest_from_the_clause_that_was_cut() -> None:
    talk = parcel()
    talk.say("what are your opening hours", cut=25)
    reply = talk.say("go on")
    assert reply.text.startswith("On Saturdays they are open from nine until two.")
    assert reply.text.endswith("What can I do for you?")


def test_an_answer_cut_by_another_question_can_be_gone_on_with() -> None:
    talk = parcel()
    talk.say("what are your opening hours", cut=5)
    talk.say("are you a robot")
    assert talk.say("please go on").text.startswith("Our parcel shops are open from Monday to Friday,")


def test_an_old_question_is_not_gone_on_with() -> None:
    talk = parcel()
    talk.say("where is my parcel", cut=4)
    talk.say("one two three four five six seven eight")
    assert talk.say("go on").text == "I have one two three four, five six seven eight. Is that right?"


def test_say_that_again_repeats_the_last_answer_whole() -> None:
    talk = parcel()
    first = talk.say("what are your opening hours", cut=12)
    assert talk.say("what did you say").text == first.text


# --- everywhere ---


@pytest.mark.parametrize("question", ["are you a robot", "am I talking to a machine", "are you a real person"])
def test_it_says_that_it_is_a_computer_wherever_it_is_asked(question: str) -> None:
    talk = at_readback()
    reply = talk.say(question)
    assert "I am a computer" in reply.text
    assert reply.text.endswith("Is that right?"), "the open question is asked again"
    assert talk.say("yes").tools


def test_opening_hours_while_a_tool_is_working_do_not_lose_its_result() -> None:
    talk = at_readback()
    tool = talk.say("yes").tools[0]
    assert "Monday to Friday" in talk.say("what are your opening hours").text
    assert "on its way" in talk.result(tool, ON_ITS_WAY).text


def test_a_person_is_a_transfer_to_the_target_of_the_call() -> None:
    assert parcel().say("can I speak to a person please").ending == Transfer(target="sip:100@127.0.0.1")


def test_a_transfer_that_fails_leaves_nobody_in_silence() -> None:
    talk = parcel()
    talk.say("operator")
    reply = talk.take(talk.conversation.transfer_failed(486, "Busy Here"))
    assert "nobody is free" in reply.text
    assert "anything else" in reply.text
    assert "parcel number" in talk.say("where is my parcel").text


def test_no_wait_stops_a_transfer() -> None:
    talk = parcel()
    talk.say("operator", cut=3)
    assert "anything else" in talk.say("no wait").text


def test_noise_over_the_goodbye_does_not_lose_the_hang_up() -> None:
    talk = parcel()
    talk.say("goodbye", cut=2)
    rest = Reply(tuple(talk.conversation.resume()))
    assert isinstance(rest.ending, Hangup)
    assert isinstance(talk.say("hm").ending, Hangup)


# --- repairs ---


def test_misunderstandings_lead_to_another_way_and_then_to_a_person() -> None:
    talk = parcel()
    talk.say("where is my parcel")
    first = talk.say("")
    assert first.text.startswith("Sorry, I did not catch that.")
    assert "eight digits" in first.text
    assert "use the keys" in talk.say("").text
    assert isinstance(talk.say("").ending, Transfer)


def test_an_understood_answer_ends_the_row_of_misunderstandings() -> None:
    talk = parcel()
    talk.say("")
    talk.say("")
    talk.say("what are your opening hours")
    assert talk.say("").text.startswith("Sorry, I did not catch that.")


def test_what_the_line_can_not_do_is_said() -> None:
    reply = parcel().say("do you sell boxes and tape")
    assert reply.text == "Sorry, I can not help with that. What can I do for you?"


def test_silence_is_asked_about_once_then_another_way_is_offered_and_then_the_call_ends() -> None:
    talk = parcel()
    assert talk.silence(7).text == "Are you still there? What can I do for you?"
    assert "press one for a parcel" in (other := talk.silence(7).text)
    assert "zero for a person" in other
    goodbye = talk.silence(7)
    assert "Goodbye" in goodbye.text
    assert goodbye.ending == Hangup(reason="caller_silent")


def test_silent_caller_who_is_asked_for_a_number_is_offered_the_keys() -> None:
    talk = parcel()
    talk.say("where is my parcel")
    assert talk.silence().text == "Are you still there? Please tell me the eight digits of your parcel number."
    assert talk.silence().text == "Please use the keys of your phone now, and key in the eight digits."
    assert talk.say("one two three four").text == "Yes, go on."
    assert talk.silence().text.startswith("Are you still there?"), "who has spoken is asked anew"


def test_silence_while_we_look_something_up_is_ours() -> None:
    talk = at_readback()
    talk.say("yes")
    assert "still looking" in talk.silence().text
    assert talk.silence().ending is None


# --- keys ---


def test_a_keyed_number_is_complete_at_its_length() -> None:
    talk = parcel()
    talk.keys("1")
    assert talk.keys("12345678").text == "I have one two three four, five six seven eight. Is that right?"
    assert talk.keys("1").tools[0].arguments == {"number": "12345678"}


def test_star_clears_a_keyed_number_and_hash_ends_it() -> None:
    talk = parcel()
    talk.say("where is my parcel")
    talk.keys("999")
    assert "eight digits" in talk.keys("*").text
    talk.keys("123")
    assert "not a parcel number" in talk.keys("#").text
    assert "one two three four" in talk.keys("12345678").text


def test_a_yes_that_is_not_understood_twice_may_be_keyed() -> None:
    talk = at_readback()
    assert "Is that right?" in talk.say("").text
    assert talk.say("").text == "Please press one for yes, or two for no."
    assert talk.keys("1").tools[0].arguments == {"number": "12345678"}
    talk = at_readback()
    talk.say("")
    talk.say("")
    assert "eight digits" in talk.keys("2").text


@pytest.mark.parametrize("behind", ["", "uh", "three one", "the weather is nice today"])
def test_noises_between_keys_neither_clear_the_number_nor_are_answered(behind: str) -> None:
    talk = parcel()
    talk.keys("1")
    for key in "1234567":
        assert talk.keys(key).text == ""
        assert talk.say(behind).text == ""
    assert "one two three four, five six seven eight" in talk.keys("8").text


def test_who_stops_keying_and_talks_is_answered_the_third_time() -> None:
    talk = parcel()
    talk.keys("1")
    talk.keys("99")
    assert [talk.say("i do not know").text for _ in range(2)] == ["", ""]
    assert talk.say("i do not know").text
    assert "one two three four, five six seven eight" in talk.keys("12345678").text


def test_who_stops_keying_and_says_it_is_understood() -> None:
    talk = parcel()
    talk.keys("1")
    talk.keys("99")
    assert "one two three four, five six seven eight" in talk.say("one two three four five six seven eight").text
    talk = parcel()
    talk.keys("1")
    talk.keys("99")
    assert "Monday to Friday" in talk.say("when are you open").text
    assert "one two three four, five six seven eight" in talk.keys("12345678").text, "those keys are forgotten"


def test_keys_of_the_menu_mean_its_intents_only_where_no_number_is_keyed() -> None:
    talk = parcel()
    assert "Monday to Friday" in talk.keys("4").text
    talk.say("where is my parcel")
    assert talk.keys("4").text == ""
    assert isinstance(parcel().keys("0").ending, Transfer)


def test_digits_mean_nothing_where_no_number_is_expected() -> None:
    talk = parcel()
    reply = talk.say("one two three four five six seven eight")
    assert "did not catch" in reply.text or "can not help" in reply.text
    assert "slot" not in reply.notes


def test_two_means_no_where_something_is_confirmed() -> None:
    assert "eight digits" in at_readback().keys("2").text
