"""The small ears with a scripted net: what it decides, what the words decide, and how they go on without it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import Expect, ExpectKind
from agent.model.baseline import HasBaseline, fallback_of
from agent.model.parts.ears import Ears, silent_input
from agent.model.parts.recogniser import NoRecogniser
from agent.model.parts.sense import Sense
from agent.model.parts.silero import open_session
from agent.model.small import ears as small
from agent.model.small.ears import SmallEars, build
from agent.model.small.opinion import NetOpinion
from agent.model.small.rules import AGREED, DOUBTED_MS, ENDS, LATE, NEVER, TAKES, Answer, LateRule, Overlap, answer_of
from agent.model.small.weights import RULES, SUMS, located, rules_of
from agent.pool.messages import EarsChanged, OpenSeat, TurnEnded, TurnReopened, UtteranceEnded
from agent.scheduler.admission import Admission
from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.tick import Scheduler
from tests.unit.agent.model.parts.test_ears import Scripted, pcm_of, play
from tests.unit.agent.scheduler.engine import SILENCE, Engine

SESSION = open_session()
Floats = NDArray[np.float32]
SURE, NOT = 9.0, -9.0


class ScriptedNet:
    """Says of every row what ``says`` holds, as logits; its state is how often a row was asked."""

    bytes_per_row = 8

    def __init__(self, rows: int) -> None:
        self.says = {"speech": NOT, "end": NOT, "takes": 0.0, "backchannel": 0.0}
        self.count = np.zeros(rows, np.int64)
        self.error: Exception | None = None

    def reset(self, rows: NDArray[np.intp]) -> None:
        self.count[rows] = 0

    def step(self, caller: Floats, own: Floats, expect: Floats, rows: NDArray[np.intp]) -> dict[str, Floats]:
        if self.error is not None:
            raise self.error
        assert caller.shape == own.shape == (len(rows), 320)
        self.count[rows] += 1
        shares = np.zeros((len(rows), len(Overlap)), np.float32)
        shares[:, Overlap.TAKES], shares[:, Overlap.BACKCHANNEL] = self.says["takes"], self.says["backchannel"]
        shares[:, Overlap.NONE] = 1 - shares.sum(axis=1)
        overlap = np.log(shares + np.float32(1e-9))
        one = np.ones((len(rows), 1), np.float32)
        return {"speech": one * self.says["speech"], "end": one * self.says["end"], "overlap": overlap}

    def snapshot(self, row: int) -> bytes:
        return bytes([int(self.count[row])])

    def restore(self, row: int, blob: bytes) -> None:
        self.count[row] = blob[0]


def opinion(rows: int = 1) -> tuple[NetOpinion, ScriptedNet]:
    net: Any = ScriptedNet(rows)
    return NetOpinion(net, rows), net


def hear(one: NetOpinion, ms: int) -> None:
    for _ in range(ms // 20):
        silence = np.zeros((1, 160), np.int16)
        one.hear(silence, silence, np.arange(1))


def ends(one: NetOpinion, words: Sense, silence_ms: int, by_words: float = 0.1) -> float:
    told = one.ends(
        np.arange(1), np.array([by_words], np.float32), np.array([int(words)]), np.array([silence_ms], np.int64)
    )
    return float(told[0])


def test_a_menu_that_takes_a_number_as_well_has_the_patience_of_a_menu() -> None:
    """The shipped dialogue's menu was waited for as long as a number is: late rules and phrases counted for nothing."""
    menu = Expect(kind=ExpectKind.PHRASES, phrases=("where is my parcel please", "what are your opening hours"))
    assert answer_of(menu) is answer_of(replace(menu, digits=8)) is Answer.OPEN


@pytest.mark.parametrize("answer", list(Answer))
def test_a_turn_ends_when_the_score_has_held_for_its_states_time(answer: Answer) -> None:
    expects = {
        Answer.OPEN: Expect(kind=ExpectKind.FREE),
        Answer.YES_NO: Expect(kind=ExpectKind.YES_NO),
        Answer.DIGITS: Expect(kind=ExpectKind.DIGITS, digits=8),
        Answer.DATE: Expect(kind=ExpectKind.DATE),
        Answer.NAME: Expect(kind=ExpectKind.PHRASES, phrases=("ann smith", "bob")),
    }
    assert answer_of(expects[answer]) is answer
    one, net = opinion()
    one.expect(0, expects[answer])
    net.says["end"] = SURE
    hear(one, ENDS[answer].agree_ms - 40)
    assert ends(one, Sense.OTHER, 100) < 0.5
    hear(one, 40)
    assert ends(one, Sense.OTHER, 100) >= 0.5
    net.says["speech"] = SURE
    hear(one, 40)
    assert ends(one, Sense.OTHER, 100) < 0.5, "a turn does not end while the net hears speech"


def test_words_without_their_end_make_the_net_wait_longer_and_a_whole_answer_ends_by_its_words() -> None:
    one, net = opinion()
    net.says["end"] = SURE
    hear(one, ENDS[Answer.OPEN].agree_ms)
    assert ends(one, Sense.PHRASE_BEGUN, 400) < 0.5 <= ends(one, Sense.OTHER, 400)
    net.says["end"] = NOT
    hear(one, 40)
    assert ends(one, Sense.PHRASE, 300, by_words=0.6) == pytest.approx(0.6)


def test_no_turn_hangs_on_a_net_that_is_never_sure() -> None:
    one, _ = opinion()
    hear(one, 400)
    last_ms = int(LATE[Sense.NOTHING][-1].after_ms)
    assert ends(one, Sense.NOTHING, last_ms - 100) < 0.5 <= ends(one, Sense.NOTHING, last_ms)
    assert FloorProfile().backstop_ms >= last_ms


SILENCES = [(sense, rule) for sense, rules in LATE.items() for rule in rules if rule is not NEVER and rule.score]


@pytest.mark.parametrize(("sense", "rule"), SILENCES)
def test_the_longer_nobody_speaks_the_lower_the_score_that_ends_a_turn(sense: Sense, rule: LateRule) -> None:
    """One phrase in ten, one sentence in four waited 2.3 s for words that the recogniser had missed."""
    one, net = opinion()
    for over, is_over in ((rule.score + 0.01, True), (rule.score - 0.01, False)):
        net.says["end"] = math.log(over / (1 - over))
        hear(one, 40)
        assert (ends(one, sense, int(rule.after_ms)) >= 0.5) is is_over
        assert ends(one, Sense.VALUE_BEGUN, int(rule.after_ms)) < 0.5, "a number is known too well to be misheard"


@pytest.mark.parametrize("sense", Sense)
def test_late_rules_ask_for_less_as_time_passes(sense: Sense) -> None:
    after_ms, scores = zip(*LATE[sense], strict=True)
    assert (list(after_ms), list(scores)) == (sorted(after_ms), sorted(scores, reverse=True))
    assert scores[-1] == 0, "the last one takes any score"


def test_a_word_that_cannot_end_a_sentence_is_waited_for_although_nobody_speaks() -> None:
    """ "What are", "when will" scored 0.8 in the pauses behind them: one pause in nine of phrases was taken for it."""
    one, net = opinion()
    net.says["end"] = math.log(0.85 / 0.15)
    hear(one, 400)
    assert ends(one, Sense.HANGING, 1000) < 0.5 <= ends(one, Sense.OTHER, 1000)


def test_words_and_net_together_end_a_phrase_sooner_than_its_words_alone() -> None:
    one, net = opinion()
    for over, is_over in ((AGREED.score + 0.01, True), (AGREED.score - 0.01, False)):
        net.says["end"] = math.log(over / (1 - over))
        hear(one, 40)
        by_words = 0.5 / AGREED.times
        assert (ends(one, Sense.PHRASE, 160, by_words=by_words + 0.001) >= 0.5) is is_over
        assert ends(one, Sense.VALUE, 160, by_words=by_words + 0.001) < 0.5
        assert one.ends_soon(np.arange(1), np.array([Sense.PHRASE])).tolist() == [is_over], "its words must be final"


@pytest.mark.parametrize(
    ("over", "sense", "soon"),
    [
        (0.7, Sense.PHRASE_BEGUN, False),
        (0.9, Sense.PHRASE_BEGUN, True),
        (0.7, Sense.OTHER, True),
        (0.9, Sense.HANGING, False),
        (0.9, Sense.VALUE_BEGUN, False),
    ],
)
def test_the_recogniser_may_finish_where_the_turn_is_likely_to_end(over: float, sense: Sense, soon: bool) -> None:
    one, net = opinion()
    net.says["end"] = math.log(over / (1 - over))
    hear(one, ENDS[Answer.OPEN].agree_ms)
    assert one.ends_soon(np.arange(1), np.array([sense])).tolist() == [soon]


def test_a_sound_that_the_net_does_not_hear_as_speech_is_none() -> None:
    one, net = opinion()
    p_speech = np.array([0.9], np.float32)
    hear(one, 40)
    assert one.speech(np.arange(1), p_speech)[0] == 0
    net.says["speech"] = SURE
    hear(one, 40)
    assert one.speech(np.arange(1), p_speech)[0] == pytest.approx(0.9)


def test_the_net_is_the_voice_activity_and_the_other_one_is_asked_only_where_it_fails() -> None:
    class Counted:
        runs = 0

        def run(self, *asked: Any) -> Any:
            Counted.runs += 1
            return SESSION.run(*asked)

    net: Any = ScriptedNet(1)
    ears = SmallEars(1, NoRecogniser(), net, Counted())
    loud = replace(silent_input(1), pcm=np.where(np.arange(160) % 2, 6000, -6000).astype(np.int16)[None])

    def heard(steps: int = 20) -> float:
        return float(max(ears.step(loud).p_speech[0] for _ in range(steps)))

    assert heard() == 0, "loud, and no speech to the net"
    net.says["speech"] = SURE
    assert heard() > 0.9
    assert Counted.runs == 0
    net.error = RuntimeError("no memory")
    heard()
    assert Counted.runs > 0


def test_a_sound_that_lasts_needs_a_lower_score_to_take_the_floor() -> None:
    assert [rule.after_ms for rule in TAKES] == sorted({0, *(rule.after_ms for rule in TAKES)})
    assert all(0.5 <= rule.threshold < 1 and rule.why for rule in TAKES)
    one, net = opinion()
    row, nothing = np.arange(1), (np.zeros(1, np.float32), np.array([1.0], np.float32))
    for share in (0.6, 0.8, 0.95):
        net.says["takes"] = share
        hear(one, 40)
        for over_ms in (0, 399, 400, 5000):
            due = [rule for rule in TAKES if rule.after_ms <= over_ms][-1]
            takes, leaves = one.overlap(row, *nothing, np.array([over_ms]))
            assert (takes[0], leaves[0]) == ((1, 0) if share >= due.threshold else (0, 1)), (share, over_ms)
    net.error = RuntimeError("no memory")
    hear(one, 40)
    assert one.overlap(row, *nothing, np.array([5000])) == nothing


@pytest.mark.parametrize(("score", "doubted"), [(0.3, True), (0.65, False)])
def test_the_length_of_a_sound_that_was_never_likely_to_take_the_floor_does_not_count_at_first(
    score: float, doubted: bool
) -> None:
    one, net = opinion()
    none = np.zeros(1, np.float32)
    found = {}
    for over_ms in range(20, 1600, 40):
        net.says["takes"] = score if over_ms < 300 else 0.1
        hear(one, 40)
        takes, leaves = one.overlap(np.arange(1), none, none, np.array([over_ms]))
        assert takes[0] == 0
        found[over_ms] = bool(leaves[0])
    assert [ms for ms, left in found.items() if left] == [
        ms for ms in found if doubted and DOUBTED_MS[0] <= ms < DOUBTED_MS[1]
    ]
    assert one.overlap(np.arange(1), np.ones(1, np.float32), none, np.array([700])) == (1, 0), "words decide"


def test_words_of_a_sure_backchannel_take_no_floor_until_the_next_sound() -> None:
    one, net = opinion()
    words = (np.arange(1), np.array([1.0], np.float32), np.zeros(1, np.float32))

    def takes(over_ms: int, **says: float) -> float:
        net.says |= {"takes": 0.0, "backchannel": 0.0, **says}
        hear(one, 40)
        return float(one.overlap(*words, np.array([over_ms]))[0][0])

    assert takes(20, backchannel=0.95) == takes(200, backchannel=0.3) == takes(400) == 0
    assert takes(20, backchannel=0.5) == 1, "the next sound"
    assert takes(200, takes=0.7) == takes(300, backchannel=0.95) == 1, "it was an interruption first"


@pytest.mark.parametrize("sure", [True, False])
def test_words_that_are_sure_take_the_floor_whatever_the_net_says(sure: bool) -> None:
    """ "Stop it" of one voice is a backchannel to the floor net, and was heard rightly: it went on for 12 s."""
    net: Any = ScriptedNet(1)
    recogniser = Scripted()
    ears = SmallEars(1, recogniser, net, SESSION)
    net.says |= {"speech": SURE, "takes": 0.02, "backchannel": 0.95}
    line = pcm_of("ears_parcel_awb.wav")
    play(ears, line[:6400], speaking=True)
    recogniser.say("stop it", sure=sure)
    played = play(ears, line[6400:9600], speaking=True)
    assert {float(out.p_take[0]) for out in played} == ({1.0} if sure else {0.0})
    recogniser.say("stop it now", final=True)
    assert {float(out.p_take[0]) for out in play(ears, line[9600:10_240], speaking=True)} == {float(sure)}


def test_the_clock_waits_longer_for_ears_that_judge_overlaps_themselves() -> None:
    net: Any = ScriptedNet(1)
    ears = SmallEars(1, NoRecogniser(), net, SESSION)
    net.says |= {"speech": SURE, "takes": 0.7}
    took = {}
    for judged_ in (True, False):
        if not judged_:
            net.error = RuntimeError("no memory")
            for _ in range(2):
                ears.step(silent_input(1))
        engine = Engine(ears, rows=1, profile=FloorProfile(yield_judged_ms=1000))
        engine.open()
        engine.say(1, words=30)
        engine.run(400)
        frames = pcm_of("ears_parcel_awb.wav")
        loud = frames[: len(frames) // 160 * 160].reshape(-1, 160)
        loud = np.tile(loud[np.abs(loud.astype(np.int32)).max(axis=1) > 2000], (3, 1))
        for ms in range(0, 20 * len(loud), 20):
            engine.step({"a": loud[ms // 20]})
            if engine.all(UtteranceEnded):
                break
        took[judged_] = ms
    assert 150 <= took[True] - took[False] <= 300
    assert ears.spec.judges_overlaps


def test_a_net_that_fails_is_asked_no_more_and_the_parts_judge() -> None:
    net: Any = ScriptedNet(2)
    ears = SmallEars(2, NoRecogniser(), net, SESSION)
    net.error = RuntimeError("no memory")
    plain = Ears(2, NoRecogniser(), SESSION)
    for _ in range(6):
        mine, theirs = ears.step(silent_input(2)), plain.step(silent_input(2))
    assert ears.fallback == "the floor net failed: no memory"
    assert np.array_equal(mine.p_end, theirs.p_end)
    net.error = None
    ears.step(silent_input(2))
    assert ears.fallback, "it stays so"


def test_every_call_is_told_when_the_net_fails() -> None:
    net: Any = ScriptedNet(2)
    ears = SmallEars(2, NoRecogniser(), net, SESSION)
    assert isinstance(ears, HasBaseline)
    scheduler = Scheduler(ears, rows=2, admission=Admission(offered=2, step_ms=20))
    scheduler.open(OpenSeat(call_id="a", profile={}, persona={}))
    scheduler.take_events()
    net.error = RuntimeError("no memory")
    for _ in range(2):
        ears.step(silent_input(2))
    scheduler.tell_fallback()
    scheduler.open(OpenSeat(call_id="b", profile={}, persona={}))
    told = [event for event in scheduler.take_events() if isinstance(event, EarsChanged)]
    assert fallback_of(ears)
    assert [(event.call_id, event.why) for event in told] == [("a", fallback_of(ears)), ("b", fallback_of(ears))]


def test_without_weights_the_parts_serve_and_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = build(2, recogniser=NoRecogniser, weights=str(tmp_path / "none.onnx"), session=SESSION)
    assert (missing.spec.name, "there are no weights" in fallback_of(missing)) == ("parts", True)
    broken = tmp_path / "floor.onnx"
    broken.write_bytes(b"\x08\x07 this is not a net")
    damaged = build(2, recogniser=NoRecogniser, weights=str(tmp_path), session=SESSION)
    assert "cannot be loaded" in fallback_of(damaged)
    (tmp_path / SUMS).write_text(f"{'0' * 64}  floor.onnx\n")
    with pytest.raises(ModelError, match="sha256 is"):
        located(str(tmp_path))
    net: Any = ScriptedNet(1)
    monkeypatch.setattr(small, "located", lambda weights: broken)
    monkeypatch.setattr(small, "FloorRuntime", lambda path, rows: net)
    assert build(1, recogniser=NoRecogniser, session=SESSION).spec.name == "small"
    monkeypatch.setattr(small, "BUDGET", 0.0)
    assert "takes" in fallback_of(build(1, recogniser=NoRecogniser, session=SESSION))
    net.error = RuntimeError("bad graph")
    assert "bad graph" in fallback_of(build(1, recogniser=NoRecogniser, session=SESSION))


def test_rules_beside_the_weights_are_theirs(tmp_path: Path) -> None:
    weights = tmp_path / "floor.onnx"
    assert rules_of(weights) == ENDS
    rules = {"DIGITS": {"threshold": 0.7, "agree_ms": 200, "why": "measured"}}
    (tmp_path / RULES).write_text(json.dumps(rules))
    found = rules_of(weights)
    assert (found[Answer.DIGITS].agree_ms, found[Answer.OPEN]) == (200, ENDS[Answer.OPEN])
    net: Any = ScriptedNet(1)
    one = NetOpinion(net, 1, found)
    one.expect(0, Expect(kind=ExpectKind.DIGITS))
    net.says["end"] = SURE
    hear(one, 200)
    assert ends(one, Sense.OTHER, 100) >= 0.5
    for wrong in ({"DIGITS": {"threshold": 2, "agree_ms": 200, "why": ""}}, {"TEA": {}}, [], {"OPEN": {"x": 1}}):
        (tmp_path / RULES).write_text(json.dumps(wrong))
        with pytest.raises(ModelError, match="rules"):
            rules_of(weights)


def test_a_row_moves_with_its_net_and_a_snapshot_is_small() -> None:
    here, there = (SmallEars(3, NoRecogniser(), net, SESSION) for net in self_made(2, 3))
    for _ in range(5):
        here.step(silent_input(3))
    blob = here.snapshot(1)
    assert len(blob) <= 64_000
    there.restore(2, blob)
    assert there.snapshot(2) == blob
    one = silent_input(3)
    one.mask[:] = [False, True, True]
    one.reset[:] = [False, False, True]
    before = here.snapshot(0)
    here.step(one)
    assert here.snapshot(0) == before, "a masked row rests"


def self_made(count: int, rows: int) -> list[Any]:
    return [ScriptedNet(rows) for _ in range(count)]


def test_an_end_that_the_net_called_wrongly_is_taken_back_with_its_answer() -> None:
    net: Any = ScriptedNet(1)
    engine = Engine(SmallEars(1, NoRecogniser(), net, SESSION), rows=1, profile=FloorProfile())
    engine.open()
    line = pcm_of("ears_parcel_awb.wav")
    frames = line[: len(line) // 160 * 160].reshape(-1, 160)
    loud = np.flatnonzero(np.abs(frames.astype(np.int32)).max(axis=1) > 2000)
    words = frames[loud]
    net.says["speech"] = SURE
    for frame in words[:30]:
        engine.step({"a": frame})
    net.says |= {"speech": NOT, "end": SURE}
    took_ms = engine.until(TurnEnded, SILENCE)
    assert took_ms <= ENDS[Answer.OPEN].agree_ms + 120
    engine.say(1, words=20)
    engine.run(100)
    net.says |= {"speech": SURE, "end": NOT}
    for frame in words[30:60]:
        engine.step({"a": frame})
    assert len(engine.all(TurnReopened)) == 1
    assert [(one.utterance, one.reason) for one in engine.all(UtteranceEnded)] == [(1, "reopened")]


def test_no_step_asks_the_net_for_all_rows_and_each_is_asked_once_a_frame() -> None:
    one, net = opinion(rows=4)
    silence, asked = np.zeros((4, 160), np.int16), []
    for _ in range(6):
        before = net.count.copy()
        one.hear(silence, silence, np.arange(4))
        asked.append(np.flatnonzero(net.count > before).tolist())
    assert asked == [[1, 3], [0, 2]] * 3
    one.reset(np.array([1, 2]))
    one.hear(silence, silence, np.arange(4))
    assert net.count.tolist() == [3, 1, 0, 4], "a row that begins anew keeps its place between the steps"
