"""A call of one hour on the real model, in virtual time: nothing grows, nothing ends at four minutes."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")

from agent.model.duet import WithEars  # noqa: E402
from agent.model.fakes import EnergyEars  # noqa: E402
from agent.model.moshi.model import Options, load_model  # noqa: E402
from agent.pool.messages import AgentText  # noqa: E402
from tests.unit.agent.model.moshi.tiny import write_checkpoint  # noqa: E402
from tests.unit.agent.scheduler.engine import LOUD, SILENCE, Engine  # noqa: E402

MINUTE = 3000
"""Ticks."""


def minute(engine: Engine, number: int) -> tuple[float, int]:
    """A minute of a call: the caller speaks up now and then. Median seconds of a tick that stepped, words told."""
    times = []
    for tick in range(MINUTE):
        speaks = (tick + 97 * number) % 1500 < 40
        began = time.perf_counter()
        engine.step({"a": LOUD if speaks else SILENCE})
        times.append(time.perf_counter() - began)
    words = len(engine.all(AgentText))
    engine.events.clear()
    for kept in (engine.out, engine.epochs, engine.speech):
        kept["a"].clear()
    return float(np.median(sorted(times)[-MINUTE // 4 :])), words


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_hour_is_bounded_and_its_last_minute_costs_what_its_second_did(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    model = load_model(tmp_path, 2, Options(device="cpu"))
    engine = Engine(WithEars(model, EnergyEars(2)), rows=2)
    engine.open()
    minute(engine, 0)
    size = len(model.snapshot(0))
    early, _ = minute(engine, 1)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(2, 59):
        _, words = minute(engine, number)
        assert words, f"minute {number}: it still says something"
    late, _ = minute(engine, 59)
    assert engine.scheduler.speaker is not None
    counters = engine.scheduler.speaker.lockstep.counters
    assert counters.steps == pytest.approx(60 * 750, abs=3)
    assert counters.starved == counters.concealed == 0
    assert len(model.snapshot(0)) == pytest.approx(size, abs=64)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 20_000
    assert late < 1.5 * early
