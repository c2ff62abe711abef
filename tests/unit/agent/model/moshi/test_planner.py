"""Rows from memory: the figures of duplex.md 2.5, refusals with the number that fits."""

from __future__ import annotations

import pytest

from agent.errors import ModelError
from agent.model.moshi.config import builtin
from agent.model.moshi.planner import GIB, RowClass, check_plan, costs, frame_bytes, rows_that_fit

MOSHI = builtin()
COST = costs(MOSHI)


def test_a_frame_of_the_7b_model_is_half_a_mebibyte() -> None:
    assert frame_bytes(MOSHI.lm, item_bytes=2) == 512 * 1024
    assert frame_bytes(MOSHI.lm, item_bytes=2, fp8_kv=True) == (512 + 16) * 1024 // 2


def test_weights_are_what_the_files_hold() -> None:
    assert COST.weights == pytest.approx(15.4e9 + 0.25e9, rel=0.02)


@pytest.mark.parametrize(
    ("free_gib", "window", "fp8", "least", "most"),
    [
        (78, 3000, False, 35, 42),
        (78, 3000, True, 68, 80),
        (78, 1500, False, 70, 82),
        (139, 3000, False, 75, 84),
        (139, 3000, True, 140, 164),
        (16, 3000, False, 0, 0),
    ],
)
def test_rows_that_fit_are_those_of_the_arithmetic(
    free_gib: int, window: int, fp8: bool, least: int, most: int
) -> None:
    fitting = rows_that_fit(costs(MOSHI, fp8_kv=fp8), free_bytes=free_gib * GIB, window=window)
    assert least <= fitting <= most


def test_one_row_more_than_fits_is_refused_with_the_number() -> None:
    fitting = rows_that_fit(COST, free_bytes=78 * GIB, window=3000)
    free = 78 * GIB
    assert check_plan(MOSHI, COST, [RowClass(rows=fitting, window=3000)], free_bytes=free) == (3000,) * fitting
    with pytest.raises(ModelError, match=f"{fitting} rows of 3000 frames fit"):
        check_plan(MOSHI, COST, [RowClass(rows=fitting + 1, window=3000)], free_bytes=free)


def test_classes_of_windows_are_mixed_longest_first() -> None:
    classes = [RowClass(rows=2, window=750), RowClass(rows=1, window=3000)]
    assert check_plan(MOSHI, COST, classes, free_bytes=139 * GIB) == (3000, 750, 750)


@pytest.mark.parametrize(
    ("rows", "window", "told"), [(1, 3001, "takes 1 to 3000"), (1, 0, "takes 1 to 3000"), (0, 10, "0 rows")]
)
def test_impossible_rows_and_windows_are_refused(rows: int, window: int, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        check_plan(MOSHI, COST, [RowClass(rows=rows, window=window)], free_bytes=139 * GIB)
