"""What this process knows of its own calls without asking the store: enough to number writes and to go on alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from agent.store.interface import CallRecord, CallState, Event
from agent.store.writes import Create, End, Timeline, Update, Write

ENDED_KEPT = 1000
"""Ended calls that are remembered, for events that follow the end (``recording.ready``)."""


@dataclass(slots=True, kw_only=True)
class KnownCall:
    record: CallRecord
    lease_s: float
    number: int = 1
    """Writes so far."""
    seq: int = 0
    """Events so far."""
    stored: bool = False
    """The store has it."""
    ended: bool = False
    lost: bool = False
    """Somebody else owns it now."""


class KnownCalls:
    """Our live calls and the last ended ones."""

    def __init__(self) -> None:
        self._calls: dict[str, KnownCall] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._calls

    def get(self, call_id: str) -> KnownCall | None:
        return self._calls.get(call_id)

    def live(self) -> list[KnownCall]:
        return [known for known in self._calls.values() if not (known.ended or known.lost)]

    def add(self, record: CallRecord, events: tuple[Event, ...], *, lease_s: float, now: float) -> Create:
        """A new call and its first write."""
        record = replace(record, fence=1)
        self._calls[record.call_id] = KnownCall(record=record, lease_s=lease_s, seq=len(events))
        return Create(call_id=record.call_id, number=1, record=record, events=events, lease_s=lease_s, now=now)

    def give_up(self, call_id: str) -> None:
        """The call is not ours any more."""
        if (known := self._calls.get(call_id)) is not None:
            known.lost = True
            self._remember_ended(call_id)

    def forget(self, call_id: str) -> None:
        self._calls.pop(call_id, None)
        self._ended.pop(call_id, None)

    def numbered(self, write: Update | End | Timeline) -> Write:
        """The write with its place among those of its call. One of a call that we do not know stays without."""
        known = self._calls.get(write.call_id)
        if known is None:
            return write
        any_fence = isinstance(write, Timeline) and write.fence == 0
        if write.fence != known.record.fence and not any_fence:
            return write
        known.number += 1
        placed = replace(write, number=known.number, seq=known.seq, fence=known.record.fence)
        if not isinstance(placed, Timeline):
            known.seq += len(placed.events)
        if isinstance(placed, Update) and not known.ended:
            known.record = _changed(known.record, placed.changes)
        if isinstance(placed, End):
            known.ended = True
            self._remember_ended(write.call_id)
        return placed

    def restoring(self, write: Write, *, now: float) -> Create | None:
        """A write that puts a call back into a store that lost it, just before ``write``."""
        known = self._calls.get(write.call_id)
        if known is None or isinstance(write, Create):
            return None
        return self._restore(known, number=max(write.number - 1, 0), seq=write.seq, now=now)

    def restoring_now(self, call_id: str, *, now: float) -> Create | None:
        """As ``restoring``, behind everything that was written so far."""
        known = self._calls.get(call_id)
        return None if known is None else self._restore(known, number=known.number, seq=known.seq, now=now)

    @staticmethod
    def _restore(known: KnownCall, *, number: int, seq: int, now: float) -> Create:
        record = known.record
        return Create(
            call_id=record.call_id,
            number=number,
            seq=seq,
            fence=record.fence,
            record=record,
            lease_s=known.lease_s,
            now=now,
        )

    def _remember_ended(self, call_id: str) -> None:
        self._ended[call_id] = None
        while len(self._ended) > ENDED_KEPT:
            self._calls.pop(self._ended.popitem(last=False)[0], None)


def _changed(record: CallRecord, changes: dict[str, Any]) -> CallRecord:
    fields = dict(changes)
    if "data" in fields:
        fields["data"] = {**record.data, **fields["data"]}
    if "state" in fields:
        fields["state"] = CallState(fields["state"])
    return replace(record, **fields)
