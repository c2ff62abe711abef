"""The rows of a worker and who sits on them. Pure.

A slot goes free -> seated -> evicting -> free; an evicted row is free again at the next edge of a tick, after the
model has let go of it. Seat numbers never repeat: whatever carries an older one is dropped.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from agent.scheduler.seat import Seat


class SlotState(StrEnum):
    FREE = "free"
    SEATED = "seated"
    EVICTING = "evicting"


class RowTable:
    """``rows`` slots. The lowest free row is taken first, so that a batch stays dense."""

    def __init__(self, rows: int) -> None:
        self.seats: list[Seat | None] = [None] * rows
        self.numbers: NDArray[np.uint32] = np.zeros(rows, np.uint32)
        """Number of the claim on each row; 0 where nobody sits."""
        self._states = [SlotState.FREE] * rows
        self._by_call: dict[str, Seat] = {}
        self._evicting: list[int] = []
        self._next_number = 1

    def __len__(self) -> int:
        return len(self._by_call)

    def state(self, row: int) -> SlotState:
        return self._states[row]

    def find(self, call_id: str) -> Seat | None:
        """The seat of a call."""
        return self._by_call.get(call_id)

    def calls(self) -> tuple[Seat, ...]:
        """All that are seated."""
        return tuple(self._by_call.values())

    def is_hushed(self, row: int) -> bool:
        """See ``Seat.is_hushed``."""
        seat = self.seats[row]
        return seat is not None and seat.is_hushed

    def free_row(self) -> int | None:
        """The row and number that the next claim gets, or ``None`` when all are taken."""
        try:
            return self._states.index(SlotState.FREE)
        except ValueError:
            return None

    def take_number(self) -> int:
        """A number for a claim, never given before."""
        number, self._next_number = self._next_number, self._next_number + 1
        return number

    def seat(self, seat: Seat) -> None:
        """Claim ``seat.row``, which must be free."""
        assert self._states[seat.row] is SlotState.FREE
        self._states[seat.row] = SlotState.SEATED
        self.seats[seat.row] = seat
        self.numbers[seat.row] = seat.number
        self._by_call[seat.call_id] = seat

    def evict(self, seat: Seat) -> None:
        """The claim is over now; the row is free after ``settle``."""
        row = seat.row
        if self.seats[row] is not seat:
            return
        self._states[row] = SlotState.EVICTING
        self.seats[row] = None
        self.numbers[row] = 0
        del self._by_call[seat.call_id]
        self._evicting.append(row)

    def settle(self) -> list[int]:
        """Free the rows that were evicted; the caller tells the model."""
        freed, self._evicting = self._evicting, []
        for row in freed:
            self._states[row] = SlotState.FREE
        return freed
