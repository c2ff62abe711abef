"""The rows of a model that speaks beside the ears: for whom its step is under way, and when it begins anew. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from agent.model.protocol import Persona, Speaker, StepOutput
from agent.scheduler.lockstep import Lockstep
from agent.scheduler.reprime import due_after, is_silent
from agent.scheduler.rows import RowTable
from agent.scheduler.seat import Seat

Fail = Callable[[Seat, Exception], None]


class SpeakerRows:
    """One owner: the scheduler. ``fail`` gives up a row that has raised."""

    def __init__(self, speaker: Speaker, table: RowTable, *, rows: int, fail: Fail) -> None:
        self.lockstep: Final = Lockstep(speaker, rows=rows, is_hushed=table.is_hushed, woven=self._woven)
        self.reprimed = 0
        """Rows that were begun anew in the middle of their call."""
        self._table, self._fail = table, fail
        self._reprime_after = due_after(speaker.spec)
        self._personas: dict[int, Persona] = {}
        self._stepped = np.zeros(rows, np.uint32)
        """Claims on the rows of the step that is under way."""

    def join(self, row: int, persona: Persona) -> None:
        """A call takes ``row``."""
        self.lockstep.join(row)
        self._personas[row] = persona

    def begin(self, now: float) -> None:
        """Begin the next step where its audio is there."""
        if self._reprime_after and self.lockstep.is_ready and not self.lockstep.is_under_way:
            self._reprime()
        if self.lockstep.begin(now):
            self._stepped[:] = self._table.numbers

    def finish(self, now: float) -> StepOutput | None:
        """The answer of the step that is under way, where it is there; without words of calls that are over."""
        output = self.lockstep.finish(now)
        if output is None:
            return None
        still = self._stepped == self._table.numbers
        output.words = [heard for heard in output.words if still[heard.row]]
        output.agent_text = [said for said in output.agent_text if still[said[0]]]
        for row, text in output.agent_text:
            if (seat := self._table.seats[row]) is not None:
                seat.own.hear_text(self.lockstep.latest_frame(row), text)
        return output

    def _reprime(self) -> None:
        """Tell rows whose window is nearly full again what they were told, where nobody speaks."""
        for row in np.flatnonzero(self.lockstep.age >= self._reprime_after).tolist():
            seat = self._table.seats[row]
            if seat is None or not is_silent(seat):
                continue
            try:
                self.lockstep.speaker.release(row)
                self.lockstep.speaker.admit(row, self._personas[row].in_call(seat.own.latest))
            except Exception as error:  # one call's fault must not touch the other rows
                self._fail(seat, error)
                continue
            self.lockstep.restart(row)
            self.reprimed += 1

    def _woven(self, row: int) -> str | None:
        seat = self._table.seats[row]
        return None if seat is None else seat.next_woven()
