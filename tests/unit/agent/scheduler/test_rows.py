from __future__ import annotations

from agent.scheduler.floor.profile import FloorProfile
from agent.scheduler.rows import RowTable, SlotState
from agent.scheduler.seat import Seat


def seat(table: RowTable, call_id: str) -> Seat:
    row = table.free_row()
    assert row is not None
    made = Seat(
        call_id, row=row, number=table.take_number(), profile=FloorProfile(), delay=0, emit=lambda message: None
    )
    table.seat(made)
    return made


def test_a_slot_is_free_seated_evicting_and_free_again() -> None:
    table = RowTable(1)
    a = seat(table, "a")
    assert table.state(0) is SlotState.SEATED
    assert table.free_row() is None
    table.evict(a)
    assert table.state(0) is SlotState.EVICTING
    assert table.free_row() is None
    assert table.settle() == [0]
    assert table.state(0) is SlotState.FREE


def test_a_claim_number_never_comes_twice() -> None:
    table = RowTable(2)
    numbers = set()
    for k in range(10):
        made = seat(table, str(k))
        numbers.add(made.number)
        table.evict(made)
        table.settle()
    assert len(numbers) == 10
    assert 0 not in numbers


def test_evicting_twice_frees_once() -> None:
    table = RowTable(2)
    a = seat(table, "a")
    table.evict(a)
    table.evict(a)
    assert table.settle() == [0]
    assert table.settle() == []
    assert len(table) == 0
