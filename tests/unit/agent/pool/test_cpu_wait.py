from __future__ import annotations

from pathlib import Path

import pytest

from agent.pool.cpu_wait import CpuWait, load_of


@pytest.mark.parametrize(
    ("took", "waited", "load"),
    [
        (0.004, 0.0, 0.004),
        (0.004, 0.001, 0.004),  # waiting counts as much again as work
        (0.018, 0.0175, 0.001),  # a neighbour had the core: no reason to refuse a call
        (0.018, 0.009, 0.018),  # half of it our own: the machine is full
        (0.004, 0.005, 0.0),  # the clocks differ by a hair
    ],
)
def test_waiting_for_a_core_counts_no_more_than_the_work_beside_it(took: float, waited: float, load: float) -> None:
    assert load_of(took, waited) == pytest.approx(load, abs=1e-9)


def test_waiting_is_read_from_the_kernel_and_only_grows(tmp_path: Path) -> None:
    (tmp_path / "schedstat").write_text("43239479 6839368 18\n")
    wait = CpuWait(tmp_path / "schedstat")
    assert wait.total_s() == pytest.approx(0.006839368)
    wait.close()
    assert wait.total_s() == 0.0
    own = CpuWait()
    assert 0.0 <= own.total_s() <= own.total_s()
    own.close()


def test_a_kernel_without_the_counter_counts_no_waiting(tmp_path: Path) -> None:
    assert CpuWait(tmp_path / "nothing").total_s() == 0.0
