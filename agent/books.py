"""The books of one call: everything that is told of it, and to whom.

A fact goes from here into the record, the events and the timeline (the scribe), the metrics and the log, to whoever
watches, and to a client on the leg that shows it. Owner of the call's media time and of the numbers that its end tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.events.names import RESULT_OF, EndReason, LogEvent, WebhookEvent
from agent.facts import Fact, Interrupted, Overlapped, Responded, Spoke, Turned
from agent.pool.messages import SAMPLES_PER_MS
from agent.seating import Recorded
from agent.services import Services
from agent.store.interface import CallRecord, CallState, Event
from agent.voice.protocol import WordSpan
from telephony.events import Direction, MediaQuality
from telephony.plane import Leg


@dataclass(slots=True)
class Tally:
    """Numbers of the call for its record and canonical log line."""

    turns: int = 0
    interruptions: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    reseated: int = 0
    late_news: int = 0
    """Inputs that the lifecycle had no row for any more."""
    quality: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        ordered = sorted(self.latencies_ms)
        return {
            "turns": self.turns,
            "interruptions": self.interruptions,
            "response_p50_ms": round(ordered[len(ordered) // 2]) if ordered else None,
            "response_p95_ms": round(ordered[int(len(ordered) * 0.95)]) if ordered else None,
            "reseated": self.reseated,
            "media": self.quality,
        }


class Books:
    """Implements ``agent.facts.Teller``."""

    def __init__(self, leg: Leg, services: Services, *, tenant: str) -> None:
        self.call_id = leg.info.leg_id
        self.log = services.log.bind(call_id=self.call_id)
        self.measures = services.new_measures(leg.info)
        self.scribe = services.new_scribe()
        self.scribe.on_drop = self._dropped
        self.tally = Tally()
        self._leg = leg
        self._tenant = tenant
        self._clock, self._wall, self._watch = services.clock, services.wall, services.watch
        self._voice = services.voice
        self._offered_at = self._clock.now()
        self._answered_at: float | None = None
        self._base_ms = 0
        """Media time at which the samples of the seat in use began."""
        self._floor = ""
        self._disclosed = False
        self._lost: dict[str, int] = {}
        """What was not written, by kind."""

    # --- what is known ---

    @property
    def claim(self) -> tuple[str, int] | None:
        """``(call_id, fence)`` of the record, once there is one."""
        return (self.call_id, self.scribe.fence) if self.scribe.call_id and not self.scribe.fenced else None

    @property
    def view(self) -> dict[str, Any]:
        """The call as it is now, for people who watch it."""
        tally = self.tally
        return {
            "floor": self._floor,
            "media_ms": self.media_ms,
            "turns": tally.turns,
            "interruptions": tally.interruptions,
            "response_ms": round(tally.latencies_ms[-1]) if tally.latencies_ms else None,
            "quality": dict(tally.quality),
        }

    @property
    def was_answered(self) -> bool:
        return self._answered_at is not None

    @property
    def talked_s(self) -> float:
        return 0.0 if self._answered_at is None else self._clock.now() - self._answered_at

    @property
    def media_ms(self) -> int:
        return int(self.talked_s * 1000)

    # --- lifecycle ---

    async def open(self, record: CallRecord) -> None:
        """Store the call and tell that it was offered."""
        await self.scribe.create(record)
        info = self._leg.info
        self.watch("state", {"state": record.state.value, "from": info.from_uri, "to": info.to_uri})
        self.log.info(LogEvent.CALL_OFFERED, from_uri=info.from_uri, to_uri=info.to_uri, transport=info.transport)

    def answered(self) -> None:
        """Media time begins now."""
        self._answered_at = self._clock.now()
        self.measures.answered(self._answered_at - self._offered_at)

    def started(self, *, agent: str, row: int | None, is_placed: bool) -> None:
        """Tell that the call has been answered."""
        info = self._leg.info
        self.note("leg", at=0, phase="answered", transport=info.transport)
        data = {"from": info.from_uri, "to": info.to_uri, "agent": agent, "transport": info.transport}
        if is_placed:
            data["direction"] = Direction.OUTBOUND.value
        self.scribe.update(
            {"state": CallState.ACTIVE.value, "answered_at": self._wall()},
            Event(name=WebhookEvent.CALL_STARTED, at=self._wall(), data=data),
        )
        self.watch(WebhookEvent.CALL_STARTED, data)
        self.log.info(LogEvent.CALL_ANSWERED, row=row)

    def moved(self, state: CallState, *, is_stored: bool) -> None:
        """The lifecycle has moved. ``is_stored``: nothing else writes the new state."""
        self.watch("state", {"state": state.value})
        if is_stored:
            self.scribe.update({"state": state.value})

    def recorded(self, part: Recorded) -> None:
        """What became of a part of the recording."""
        if not part.is_ready:
            self.log.warning(LogEvent.RECORDING_FAILED, path=part.path)
            return
        self.event(WebhookEvent.RECORDING_READY, path=part.path, truncated=part.is_truncated, starts_ms=part.starts_ms)
        self.log.info(LogEvent.RECORDING_READY, path=part.path, truncated=part.is_truncated)

    def reseated(self) -> None:
        """The samples of another seat count from now."""
        self._base_ms = self.media_ms

    async def ended(self, reason: EndReason, *, talked_s: float, dial: dict[str, Any]) -> None:
        """The end, once. ``dial``: status and reason of a call that we placed and nobody answered."""
        result = RESULT_OF[reason]
        data = {"duration_s": round(talked_s, 2), **self.tally.summary()}
        if dial:
            data["dial"] = dial
        event = Event(
            name=WebhookEvent.CALL_ENDED,
            at=self._wall(),
            data={"result": result.value, "reason": reason.value, **data},
        )
        await self.scribe.finish(result=result.value, reason=reason.value, data=data, event=event)
        self.watch(WebhookEvent.CALL_ENDED, event.data)
        self.measures.ended(result.value, reason.value, talked_s)
        lost = {"not_written": dict(self._lost)} if self._lost else {}
        self.log.info(LogEvent.CALL_ENDED, result=result.value, reason=reason.value, **data, **lost)

    def _dropped(self, kind: str, count: int) -> None:
        """The store takes too little. One line per call and kind: the rest is counted."""
        if kind not in self._lost:
            self.log.warning(LogEvent.CALL_NOT_WRITTEN, kind=kind)
        self._lost[kind] = self._lost.get(kind, 0) + count
        self.measures.not_written(kind, count)

    # --- what happens in between ---

    def note(self, kind: str, *, at: int | None, **data: Any) -> None:
        """One line of the timeline. ``at``: sample of the seat in use; ``None`` = now."""
        at_ms = self.media_ms if at is None else self._base_ms + at // SAMPLES_PER_MS
        if kind == "floor":
            self._floor = str(data.get("after", ""))
        self.scribe.note(at_ms, kind, **data)
        self._leg.notify(at_ms, kind, data)
        self.watch(kind, data, at_ms=at_ms)

    def event(self, name: WebhookEvent, **data: Any) -> None:
        """One event for webhooks and for whoever watches."""
        self.scribe.event(name, **data)
        self.watch(name, data)

    def watch(self, kind: str, data: dict[str, Any], *, at_ms: int | None = None) -> None:
        """For whoever watches only."""
        self._watch(self.call_id, self._tenant, str(kind), self.media_ms if at_ms is None else at_ms, data)

    def show(self, kind: str, data: dict[str, Any]) -> None:
        """For a client on the leg only."""
        self._leg.notify(self.media_ms, kind, data)

    def voice_failed(self, why: str) -> None:
        """A text was not said, or not to its end."""
        self.log.warning(LogEvent.VOICE_FAILED, error=why)

    def voice_changed(self, name: str) -> None:
        """``name`` speaks in place of the chosen voice; empty: that one speaks again."""
        self.note("voice", at=None, name=name or self._voice.info.name, is_fallback=bool(name))

    def words_rendered(self, number: int, words: Sequence[WordSpan]) -> None:
        """Words of an utterance, with their times in ms from its start: for a client, not for the record."""
        spans = [[word.text, word.start // SAMPLES_PER_MS, word.end // SAMPLES_PER_MS] for word in words]
        self.show("speech", {"number": number, "words": spans})

    def tell(self, fact: Fact) -> None:
        match fact:
            case Turned():
                self.tally.turns += 1
                self.measures.turn(fact.reason)
                self.event(WebhookEvent.CALL_TURN, turn=fact.turn, text=fact.text, confidence=round(fact.confidence, 3))
                self.log.info(LogEvent.TURN_COMMITTED, turn=fact.turn, why=fact.reason, early=fact.early)
            case Interrupted():
                self.tally.interruptions += 1
                self.event(WebhookEvent.CALL_INTERRUPTED, heard=fact.heard, unheard=fact.unheard)
                self.log.info(LogEvent.FLOOR_YIELDED)
            case Spoke():
                if fact.complete and not fact.interruptible and not self._disclosed:
                    self._disclosed = True
                    self.event(WebhookEvent.DISCLOSURE_COMPLETED, heard=fact.heard)
            case Overlapped():
                self.measures.overlap(fact.verdict, None if fact.stop_ms is None else fact.stop_ms / 1000)
            case Responded():
                self.tally.latencies_ms.append(fact.latency_ms)
                self.note("response", at=None, latency_ms=round(fact.latency_ms))
                self.measures.responded(fact.latency_ms / 1000)

    def quality(self, event: MediaQuality) -> bool:
        """Counters of the leg; true if packets of the caller have come since the last ones."""
        is_more = event.received > self.tally.quality.get("received", 0)
        self.tally.quality = {
            "sent": event.sent,
            "received": event.received,
            "lost": event.lost,
            "late": event.late,
            "jitter_ms": round(event.jitter_ms, 1),
            "delay_ms": round(event.delay_ms, 1),
        }
        self.measures.quality(event)
        self.watch("quality", self.tally.quality)
        return bool(is_more)
