"""A model that speaks, on a seat: what was heard of it, another voice over it, texts woven in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.model.duet import WithEars
from agent.model.fakes import EnergyEars, _Fake
from agent.model.protocol import OnContextFull, Persona, StepInput, StepOutput
from agent.pool.messages import AgentText, FloorMoved, UtteranceEnded, UtteranceStarted, WeaveText
from agent.scheduler.own_speech import OWN
from tests.unit.agent.scheduler.engine import LOUD, SILENCE, Engine

WORD_STEPS = 4
"""A word every 320 ms."""


class Narrator(_Fake):
    """Says ``w0 w1 w2 …`` without end, a word every 320 ms, unless it is made to be silent or to say something."""

    def __init__(self, rows: int = 2) -> None:
        super().__init__("narrator", rows, emits_pcm=True, step_ms=80)
        self.silent = np.zeros(rows, np.bool_)
        self.silenced: list[int] = []
        self.made_to_say: list[str] = []
        self.pauses_after = 0
        """Words after which it says nothing more; 0: never."""

    def force(self, row: int, *, text: str | None) -> None:
        if text is None:
            self.silent[row] = True
            self.silenced.append(row)
        else:
            self.made_to_say.append(text)

    def _advance(self, rows: NDArray[np.intp], inputs: StepInput, output: StepOutput) -> None:
        assert output.pcm is not None
        said = []
        for row in rows.tolist():
            step = int(self._state[row, 0])
            done = self.pauses_after and step >= WORD_STEPS * self.pauses_after
            if not self.silent[row] and not done:
                output.pcm[row] = 5000
                if step % WORD_STEPS == 0:
                    said.append((row, f" w{step // WORD_STEPS}"))
            self._state[row, 0] += 1
        self.silent[:] = False
        output.agent_text = said


def engine(**changes: Any) -> tuple[Engine, Narrator]:
    model = Narrator()
    for name, value in changes.items():
        setattr(model, name, value)
    one = Engine(WithEars(model, EnergyEars(2)), rows=2)
    one.open()
    return one, model


def own(one: Engine) -> list[UtteranceEnded]:
    return [event for event in one.all(UtteranceEnded) if event.utterance == OWN]


def test_its_speech_begins_and_ends_and_all_of_it_was_heard() -> None:
    one, _ = engine(pauses_after=3)
    one.run(2400)
    assert [e.utterance for e in one.all(UtteranceStarted)] == [OWN]
    assert [(e.heard, e.unheard, e.complete, e.reason) for e in own(one)] == [("w0 w1 w2", "", True, "played")]
    assert [e.text for e in one.all(AgentText)] == [" w0", " w1", " w2"]


def test_interruption_fixes_the_words_whose_audio_has_left() -> None:
    one, _ = engine()
    one.run(1600)
    one.until(UtteranceEnded, LOUD)
    (ended,) = own(one)
    frames = sum(bool(frame.any()) for frame in one.out["a"])
    heard = [f"w{k}" for k in range(len(ended.heard.split()))]
    assert ended.heard.split() == heard
    assert abs(len(heard) - frames / 16) <= 1, "sixteen frames to a word"
    assert ended.reason == "yielded"
    assert not ended.complete
    assert not one.out["a"][-1][40:].any(), "after a fade of 5 ms"


def test_it_is_silent_inside_while_another_voice_of_ours_speaks() -> None:
    one, model = engine()
    one.run(400)
    assert not model.silenced
    one.say(7, words=8, interruptible=False)
    one.run(1200)
    assert len(model.silenced) >= 12, "every step of it"
    before = len(model.silenced)
    one.run(2000)
    assert len(model.silenced) - before <= 8
    assert 7 in [e.utterance for e in one.all(UtteranceEnded)]
    assert any(one.speech["a"][-10:]), "it speaks again"


def test_text_is_woven_in_when_its_phrase_is_over_and_nobody_speaks() -> None:
    one, model = engine(pauses_after=5)
    one.run(600)
    one.send(WeaveText(call_id="a", text="your parcel is here"))
    one.run(400)
    assert not model.made_to_say, "in the middle of a phrase"
    one.run(2000)
    assert model.made_to_say == ["your parcel is here"]


def test_text_waits_for_the_caller_to_finish() -> None:
    one, model = engine(pauses_after=1)
    one.run(1200)
    one.run(200, LOUD)
    assert one.all(FloorMoved)[-1].after == "caller"
    one.send(WeaveText(call_id="a", text="well"))
    one.run(100, LOUD)
    assert not model.made_to_say
    one.run(1200, SILENCE)
    assert model.made_to_say == ["well"]


def test_texts_that_wait_are_bounded() -> None:
    one, model = engine()
    one.run(200)
    for n in range(40):
        one.send(WeaveText(call_id="a", text=f"text {n}"))
    model.pauses_after = 1
    one.run(4000)
    assert model.made_to_say == [f"text {n}" for n in range(32, 40)]


class Forgetful(Narrator):
    """Remembers four seconds; keeps what it was told."""

    def __init__(self, rows: int = 2) -> None:
        super().__init__(rows)
        self.spec = replace(self.spec, context_s=4.0, on_context_full=OnContextFull.REPRIME)
        self.told: list[str] = []

    def admit(self, row: int, persona: Persona) -> None:
        super().admit(row, persona)
        self.told.append(persona.text)


def test_row_is_told_its_role_again_in_a_silence_before_it_forgets() -> None:
    model = Forgetful()
    model.pauses_after = 3
    one = Engine(WithEars(model, EnergyEars(2)), rows=2)
    one.open(persona={"text": "You sell tea."})
    one.run(2800)
    assert model.told == ["You sell tea."], "there is room yet"
    one.run(1200)
    assert model.told[1:] == ["You sell tea. You are in the middle of a call. You have just said: w0 w1 w2"]
    assert one.scheduler.speaker is not None
    assert one.scheduler.speaker.reprimed == 1
    one.run(1600)
    assert [e.heard for e in own(one)] == ["w0 w1 w2", "w0 w1 w2"], "it has begun anew, and its call goes on"


def test_row_is_not_begun_anew_while_anybody_speaks() -> None:
    model = Forgetful()
    one = Engine(WithEars(model, EnergyEars(2)), rows=2)
    one.open()
    one.run(8000)
    assert len(model.told) == 1, "it speaks without end: its window slides"
    model.pauses_after = 1
    one.run(400)
    for _ in range(20):
        one.run(200, LOUD)
        one.run(100, SILENCE)
    assert len(model.told) == 1, "the caller speaks"
    one.run(3000, SILENCE)
    assert len(model.told) == 2
