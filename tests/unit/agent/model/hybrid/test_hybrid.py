"""A second family behind the same protocol: what holds for every model of rows, and what only this one has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.duet import WithEars
from agent.model.fakes import EnergyEars
from agent.model.hybrid.codec import REACH, rate_matrix
from agent.model.hybrid.config import OUT_HZ, OUT_SAMPLES, PHONE_HZ, HybridConfig
from agent.model.hybrid.model import HybridModel
from agent.model.protocol import OnContextFull, Persona, StepInput, StepOutput
from agent.pool.messages import AgentText, FloorMoved, TurnWords, UtteranceEnded
from agent.scheduler.own_speech import OWN
from tests.unit.agent.scheduler.engine import LOUD, SILENCE, Engine

ROWS = 3


def sound(step: int, row: int) -> NDArray[np.int16]:
    rng = np.random.default_rng([step, row])
    return rng.integers(-8000, 8000, 640).astype(np.int16)


def step(model: HybridModel, number: int, rows: list[int], *, streams: dict[int, int] | None = None) -> StepOutput:
    """One step of ``rows``; ``streams``: whose audio a row hears, its own by default."""
    no = np.zeros(model.spec.rows, np.bool_)
    mask = no.copy()
    mask[rows] = True
    pcm = np.stack([sound(number, (streams or {}).get(row, row)) for row in range(model.spec.rows)])
    first = mask if number == 0 else no
    return model.step(StepInput(pcm=pcm, own=np.zeros_like(pcm), mask=mask, reset=first, lost=no, speaking=no))


def said(model: HybridModel, row: int, steps: range, rows: list[int], *, stream: int) -> NDArray[np.int32]:
    outputs = [step(model, n, rows, streams={row: stream}) for n in steps]
    return np.array([out.pcm[row] for out in outputs if out.pcm is not None], np.int32)


def test_it_says_what_it_is() -> None:
    spec = HybridModel(ROWS).spec
    assert (spec.step_ms, spec.emits_pcm, spec.emits_words, spec.emits_scores) == (80, True, True, True)
    assert spec.context_s is None
    assert spec.on_context_full is OnContextFull.SLIDE
    attention = 2 * HybridConfig().layers.count("a") * HybridConfig().window * HybridConfig().groups * 12 * 4
    assert attention < spec.bytes_per_row < 4 * attention


def test_row_in_a_batch_says_what_it_says_alone_in_any_place() -> None:
    alone = said(HybridModel(ROWS), 0, range(12), [0], stream=7)
    busy = said(HybridModel(ROWS), 2, range(12), [0, 1, 2], stream=7)
    assert np.abs(alone - busy).max() <= 1
    assert np.abs(alone).max() > 300, "it makes a sound"


def test_masked_row_does_not_move() -> None:
    model = HybridModel(ROWS)
    step(model, 0, [0, 1])
    before = model.snapshot(1)
    out = step(model, 1, [0])
    assert model.snapshot(1) == before
    assert out.pcm is not None
    assert not out.pcm[1].any()
    assert out.valid.tolist() == [True, False, False]


def test_reset_row_remembers_nothing() -> None:
    used, fresh = HybridModel(ROWS), HybridModel(ROWS)
    for n in range(5):
        step(used, n, [1])
    assert (said(used, 1, range(8), [1], stream=4) == said(fresh, 1, range(8), [1], stream=4)).all()


def test_row_moves_to_another_place_of_another_model_bit_for_bit() -> None:
    here, there = HybridModel(ROWS), HybridModel(ROWS)
    for n in range(28):  # past the window of its attention layers
        step(here, n, [0, 1])
    here.force(1, text="abc")
    there.restore(2, here.snapshot(1))
    after = range(28, 32)
    assert (said(here, 1, after, [1], stream=5) == said(there, 2, after, [2], stream=5)).all()
    for blob in (b"", b"moshi", here.snapshot(1)[:-40]):
        with pytest.raises(ModelError, match="snapshot"):
            there.restore(0, blob)


def test_seed_of_its_persona_decides_what_it_says() -> None:
    model = HybridModel(ROWS)
    model.admit(0, Persona(seed=1))
    model.admit(1, Persona(seed=2))
    streams = {0: 9, 1: 9}
    outputs = [step(model, n, [0, 1], streams=streams) for n in range(10)]
    texts = [[text for out in outputs for row, text in out.agent_text if row == one] for one in (0, 1)]
    assert texts[0] != texts[1]


def test_recurrent_layers_hear_what_the_window_has_lost() -> None:
    """Two calls that differ in their first step alone still differ long after the window of the attention layers."""
    config = replace(HybridConfig(), window=4)
    model = HybridModel(2, config)
    for n in range(12):
        step(model, n, [0, 1], streams={0: 1 if n == 0 else 3, 1: 2 if n == 0 else 3})
    state = [model._state.save(row) for row in (0, 1)]
    assert any(not np.array_equal(state[0][name], state[1][name]) for name in state[0] if name.startswith("layer."))


def test_callers_words_come_out_with_their_time() -> None:
    model = HybridModel(1)
    heard = [one for n in range(20) for one in step(model, n, [0]).words]
    assert heard
    assert heard[-1].words[: len(heard[0].words)] == heard[0].words
    assert [one.end_samples for one in heard] == sorted(one.end_samples or 0 for one in heard)


def test_rate_of_its_voice_becomes_the_telephones() -> None:
    at = np.arange(2 * REACH + OUT_SAMPLES)
    tone = np.sin(2 * np.pi * 500.0 * at / OUT_HZ).astype(np.float32)
    found = tone @ rate_matrix()
    wanted = np.sin(2 * np.pi * 500.0 * (np.arange(640) / PHONE_HZ + REACH / OUT_HZ))
    assert np.abs(found - wanted).max() < 0.02


def test_it_lives_on_a_workers_scheduler_beside_ears_and_yields() -> None:
    one = Engine(WithEars(HybridModel(2, replace(HybridConfig(), temperature=1.2)), EnergyEars(2)), rows=2)
    one.open()
    one.run(1200)
    assert any(one.speech["a"])
    assert one.all(AgentText)
    one.run(600, LOUD)
    assert "yielding" in [move.after for move in one.all(FloorMoved)]
    ended = [event for event in one.all(UtteranceEnded) if event.utterance == OWN]
    assert ended[-1].reason == "yielded"
    assert not one.out["a"][-1].any()
    assert one.all(TurnWords), "its own ears tell the caller's words"
    one.run(1200, SILENCE)
    assert any(one.speech["a"][-40:])


def test_it_lives_there_alone_too() -> None:
    one = Engine(HybridModel(2), rows=2)
    one.open()
    one.run(800)
    assert any(frame.any() for frame in one.out["a"])


def test_wrong_steps_are_refused() -> None:
    no = np.zeros(ROWS, np.bool_)
    pcm = np.zeros((ROWS, 320), np.int16)
    with pytest.raises(ModelError, match="step of"):
        HybridModel(ROWS).step(StepInput(pcm=pcm, own=pcm, mask=~no, reset=~no, lost=no, speaking=no))
