"""What the agent does of its own accord, on whole calls with the parcel line in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from agent.behaviour import Behaviour
from tests.sim.line import PARCEL, Line, calling
from tests.virtual import run

EIGHT = "one two three four five six seven eight"
TOO_MANY = "That was too many digits."
AGAIN = "Please tell me the eight digits of your parcel number."


def call(line: Line, play: Callable[[Line], Awaitable[None]]) -> Line:
    """Ask for a parcel, and play the caller from there on."""

    async def whole() -> None:
        async with calling(line):
            await line.say("where is my parcel")
            await line.until_quiet()
            assert line.said()[-1].startswith("What is your parcel number?")
            await play(line)

    run(whole())
    return line


# --- the polite interruption ---


async def _nine_and_on(line: Line) -> None:
    await line.say(f"{EIGHT} nine one two three four", confidence=0.9)
    await line.until_quiet()


def test_caller_of_a_ninth_digit_is_told_at_once_and_what_they_still_say_is_dropped() -> None:
    line = call(Line(), _nine_and_on)
    assert line.turns()[1:] == [(f"{EIGHT} nine", "interrupted")]
    assert line.said()[-2:] == [TOO_MANY, AGAIN]
    ((told_ms, told),) = line.noted("interruption")
    assert told == {"turn": 2, "why": "too_many_digits"}
    begun = [at for at, data in line.noted("utterance") if data["phase"] == "started" and data["text"] == TOO_MANY]
    words = [at for at, data in line.noted("words") if data["text"] == f"{EIGHT} nine"]
    assert told_ms - words[0] == pytest.approx(Behaviour().interrupt_after_ms, abs=40)
    assert 0 <= begun[0] - told_ms <= 60, "at once, while they speak"
    (move,) = [data for _, data in line.noted("floor") if data["cause"] == "agent_interrupts"]
    assert (move["before"], move["after"], move["why"]) == ("caller", "open", "too_many_digits")
    assert "overlap" not in {data["after"] for _, data in line.noted("floor")}, "what runs on is no interruption of us"
    ended = line.metrics.turns_total.labels("interrupted")
    assert ended._value.get() == 1


async def _nine_then_again(line: Line, *, anew: bool) -> None:
    await line.say(f"{EIGHT} nine one")
    await line.silence(1200)
    await line.say("four three two one five six seven eight", anew=anew)
    await line.until_quiet()


@pytest.mark.parametrize("anew", [True, False], ids=["ears begin anew", "ears tell all again"])
def test_number_said_again_over_the_agents_line_is_taken_alone(anew: bool) -> None:
    line = call(Line(), lambda line: _nine_then_again(line, anew=anew))
    assert line.turns()[-1][0] == "four three two one five six seven eight"
    assert line.said()[-1].startswith("I have four three two one, five six seven eight.")


@pytest.mark.parametrize(
    "words",
    [
        f"{EIGHT} no seven",
        "one two three four no four five six seven eight",
        "one two three four five six seven eight sorry start again four three two one",
        EIGHT,
        f"{EIGHT} oh no seven",
        f"{EIGHT} for my parcel",
    ],
)
def test_caller_who_puts_it_right_is_not_interrupted(words: str) -> None:
    async def play(line: Line) -> None:
        await line.say(words)
        await line.silence(2600)  # numbers that lack digits are waited for

    line = call(Line(), play)
    assert line.noted("interruption") == []
    assert line.turns()[1][0] == words


async def _doubtful(line: Line) -> None:
    await line.say(f"{EIGHT} nine one two", confidence=0.4)
    await line.until_quiet()


async def _taken_back(line: Line) -> None:
    """The recogniser hears a ninth digit for a moment."""
    await line.say(f"{EIGHT} nine")
    await line.sound(100)
    line.forget_word()
    await line.sound(600)
    await line.until_quiet()


@pytest.mark.parametrize("play", [_doubtful, _taken_back])
def test_words_that_are_not_sure_are_waited_for(play: Callable[[Line], Awaitable[None]]) -> None:
    assert call(Line(), play).noted("interruption") == []


@pytest.mark.parametrize(
    "line",
    [
        lambda: Line(behaviour=Behaviour(interrupts=False)),
        lambda: Line(PARCEL.replace("    groups: [4, 4]\n    prompt: What", "    interrupt: false\n    prompt: What")),
    ],
    ids=["agent.behaviour", "the dialogue's slot"],
)
def test_interrupting_can_be_turned_off(line: Callable[[], Line]) -> None:
    found = call(line(), _nine_and_on)
    assert found.noted("interruption") == []
    assert found.turns()[1] == (f"{EIGHT} nine one two three four", "score")
    assert found.said()[-2:] == [TOO_MANY, AGAIN], "told at the end instead"


def test_caller_who_never_stops_is_heard_again_in_the_end() -> None:
    async def play(line: Line) -> None:
        await line.say(f"{EIGHT} nine")
        await line.sound(12_000)
        await line.until_quiet()

    line = call(Line(), play)
    moves = [(data["cause"], at) for at, data in line.noted("floor")]
    interrupted = next(at for cause, at in moves if cause == "agent_interrupts")
    started = next(at for cause, at in moves if cause == "caller_started" and at > interrupted)
    assert 10_000 <= started - interrupted <= 10_200


# --- down, then out or up; and on at the clause ---

HOURS = "what are your opening hours"


def hours(line: Line, *, cut_after_ms: int = 2500) -> Line:
    """The caller asks for the opening hours, coughs, and then makes a longer sound without a word in it."""

    async def whole() -> None:
        async with calling(line):
            await line.say(HOURS)
            await line.silence(cut_after_ms)
            await line.sound(300)
            await line.silence(1000)
            await line.sound(1000)
            await line.silence(3000)

    run(whole())
    return line


def test_short_sound_turns_the_voice_down_and_up_again_and_a_longer_one_stops_it() -> None:
    line = hours(Line())
    moves = [(data["before"], data["after"]) for _, data in line.noted("floor")]
    down = moves.index(("agent", "overlap"))
    assert moves[down : down + 4] == [
        ("agent", "overlap"),
        ("overlap", "agent"),
        ("agent", "overlap"),
        ("overlap", "yielding"),
    ]
    assert [data["verdict"] for _, data in line.noted("overlap")] == ["false_alarm", "barge_in"]


def test_answer_that_a_sound_has_cut_goes_on_with_the_clause_that_was_cut() -> None:
    line = hours(Line())
    assert [data for _, data in line.noted("resume")] == [{"why": "false_alarm"}]
    cut = next(data for _, data in line.noted("utterance") if data.get("why") == "yielded")
    assert cut["heard"].endswith("they are closed, but our parcel lockers can be")
    begun = [data["text"] for _, data in line.noted("utterance") if data["phase"] == "started"]
    assert begun[-2:] == [f"but our parcel lockers can be {cut['unheard']}", "What can I do for you?"]


def test_going_on_after_a_false_alarm_can_be_turned_off_and_asked_for() -> None:
    line = Line(behaviour=Behaviour(resumes=False))
    hours(line)
    assert line.noted("resume") == []
    assert [data["phase"] for _, data in line.noted("utterance")][-1] == "ended", "nothing more was said"


# --- our own backchannels ---

FREE = """
dialogue: free
disclosure: I am a computer.
start: ask
slots:
  story: { kind: text, prompt: "What happened?" }
states:
  ask: { ask: story, then: end }
  end: { say: Thank you., hangup: done }
"""
STORY = "my parcel came on monday and the box was open and wet and nobody had rung the bell"


def told(line: Line) -> Line:
    """A caller who tells a story with a pause in it."""

    async def whole() -> None:
        async with calling(line):
            await line.say(STORY)
            await line.silence(180)
            await line.say("and then your driver", anew=False)
            await line.silence(180)
            await line.say("was rude", anew=False)
            await line.silence(1000)

    run(whole())
    return line


def test_caller_who_speaks_long_hears_that_we_listen_and_keeps_the_floor() -> None:
    line = told(Line(FREE))
    ((at, said),) = line.noted("backchannel")
    assert said == {"text": "Okay."}
    paused = next(ms for ms, data in line.noted("words") if data["text"] == STORY)
    assert 160 <= at - paused <= 320, "early in the pause"
    moved = [data["cause"] for ms, data in line.noted("floor") if ms >= at]
    assert moved[0] == "turn_ended", "the floor does not move for it"
    assert line.turns() == [(f"{STORY} and then your driver was rude", "score")]
    assert len(line.noted("response")) == 1
    assert not [data for _, data in line.noted("utterance") if "Okay" in str(data)]


@pytest.mark.parametrize(
    "line",
    [
        lambda: Line(FREE, behaviour=Behaviour(backchannels=False)),
        lambda: Line(FREE, behaviour=Behaviour(backchannel_phrases=())),
        lambda: Line(FREE, behaviour=Behaviour(backchannel_after_ms=20_000)),
        lambda: Line(FREE.replace("kind: text", "kind: digits, length: 30")),
    ],
    ids=["off", "no words", "not long enough", "no free speech"],
)
def test_nobody_is_answered_aside_where_it_does_not_fit(line: Callable[[], Line]) -> None:
    assert told(line()).noted("backchannel") == []


def test_word_that_comes_when_the_pause_is_over_is_not_said() -> None:
    line = Line(FREE)
    line.voice.takes_s = 0.2
    assert told(line).noted("backchannel") == []


# --- silence ---


def test_silent_caller_is_asked_once_offered_another_way_and_let_go() -> None:
    line = call(Line(), lambda line: line.silence(32_000))
    assert "Are you still there?" in line.said()
    assert line.said().count("Are you still there?") == 1
    keys = line.said().index("Please use the keys of your phone now, and key in the eight digits.")
    assert line.said()[keys + 1].startswith("I can not hear you")
    assert [round(data["seconds"]) for _, data in line.noted("silence")] == [7, 7, 7]


# --- the answer prepared on partial words ---


async def _turn_that_goes_on(line: Line) -> None:
    await line.say("one two three four")
    await line.silence(140)  # long enough to prepare, too short to end the turn
    await line.say("five six seven eight", anew=False)
    await line.until_quiet()


def test_prepared_answer_is_thrown_away_when_the_sentence_goes_on_and_said_when_it_is_over() -> None:
    line = call(Line(), _turn_that_goes_on)
    told = [(data["phase"], data["text"].partition("?")[0]) for _, data in line.noted("prepared")]
    question = "What is your parcel number"
    assert told == [("begun", question), ("used", question), ("begun", "Yes, go on."), ("dropped", "Yes, go on.")]
    assert "Yes, go on." not in line.said()
    assert line.said()[-1].startswith("I have one two three four, five six seven eight.")


def test_nothing_is_prepared_where_that_is_turned_off() -> None:
    line = call(Line(behaviour=Behaviour(prepares=False)), _turn_that_goes_on)
    assert line.noted("prepared") == []
    assert line.said()[-1].startswith("I have one two three four, five six seven eight.")
