"""The real model on a worker's scheduler: calls come, go and are interrupted, in virtual time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")

from agent.model.duet import WithEars  # noqa: E402
from agent.model.fakes import EnergyEars  # noqa: E402
from agent.model.moshi.model import Options, load_model  # noqa: E402
from agent.pool.measure import measure_steps  # noqa: E402
from agent.pool.messages import AgentText, CloseSeat, FloorMoved  # noqa: E402
from tests.unit.agent.model.moshi.tiny import write_checkpoint  # noqa: E402
from tests.unit.agent.scheduler.engine import LOUD, SILENCE, Engine  # noqa: E402

CPU = Options(device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-moshi")
    write_checkpoint(folder)
    return folder


def engine(folder: Path, *, rows: int = 3) -> Engine:
    return Engine(WithEars(load_model(folder, rows, CPU), EnergyEars(rows)), rows=rows)


def test_call_hears_the_model_and_the_front_reads_what_it_says(folder: Path) -> None:
    one = engine(folder)
    one.open()
    one.run(1600)
    heard = np.concatenate(one.out["a"])
    assert np.abs(heard[-8000:].astype(np.int32)).max() > 100
    assert any(one.speech["a"])
    assert [event.text for event in one.all(AgentText) if event.text.strip()]


def test_calls_that_join_and_leave_change_nothing_for_the_one_that_stays(folder: Path) -> None:
    quiet, busy = engine(folder), engine(folder)
    for one in (quiet, busy):
        one.open()
    for tick in range(120):
        if tick == 20:  # on the edge of a model's step
            busy.open("b")
        if tick == 52:
            busy.send(CloseSeat(call_id="b"))
            del busy.seats["b"]
        if tick == 60:
            busy.open("c")
        for one in (quiet, busy):
            one.step({"a": np.full(160, 50 * (tick % 7), np.int16)})
    apart = np.abs(np.array(quiet.out["a"], np.int32) - np.array(busy.out["a"], np.int32))
    assert apart.max() <= 1, "float noise alone"
    assert any(speech for speech in busy.speech["c"])


def test_interruption_silences_it_in_the_very_step_and_its_memory_agrees(folder: Path) -> None:
    one = engine(folder, rows=1)
    one.open()
    one.run(1600)
    one.events.clear()
    one.run(480, LOUD)
    assert "yielding" in [move.after for move in one.all(FloorMoved)] or not any(one.speech["a"][-4:])
    assert not one.out["a"][-1].any()
    one.events.clear()
    one.run(400, LOUD)
    assert not one.all(AgentText), "inside too it says nothing meanwhile"
    one.run(2400, SILENCE)
    assert any(one.speech["a"][-60:]), "the floor is free again"


def test_worker_measures_it_and_leaves_every_row_free(folder: Path) -> None:
    model = load_model(folder, 2, CPU)
    costs = measure_steps(model, rows=2, phases=1)
    assert costs.at(2) > 0
    one = Engine(model, rows=2)
    one.open("a")
    one.open("b")
    one.run(160)
    assert len(one.out["b"]) == 8
