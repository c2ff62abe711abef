"""What a metric may look at: true caller events, the agent's channel on the caller's clock, the service's own log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agent.simulator.energy import Levels, Pcm, Span, agent_spans, levels, merged, segments
from agent.simulator.truth import EventType, TruthEvent

STOP_SILENCE_S = 0.5
"""An agent that is inactive for that long has stopped."""
CONTROL_LEFT_S = 2.0
"""An overlap counts only if the agent had that much more to say."""
BACKCHANNEL_MAX_S = 1.0


class AgentChannel:
    """The agent's channel of one call, with what the energy rule finds in it."""

    def __init__(self, pcm: Pcm) -> None:
        """``pcm``: (samples,) int16, 8 kHz, sample 0 at time 0 of the recording."""
        self.pcm = pcm

    @cached_property
    def spans(self) -> list[Span]:
        """Active spans before gaps are merged."""
        return agent_spans(self.pcm)

    @cached_property
    def segments(self) -> list[Span]:
        """Active runs with gaps under 300 ms merged, without those under 60 ms."""
        return segments(self.spans)

    @cached_property
    def utterances(self) -> list[Span]:
        """Active runs with gaps under 500 ms merged: each ends where the agent stopped."""
        return [span for span in merged(self.spans, STOP_SILENCE_S) if span.length >= 0.06 - 1e-6]

    @cached_property
    def levels(self) -> Levels:
        return levels(self.pcm)

    def speaking_at(self, at: float) -> bool:
        """Inside a segment (a gap between words is not silence)."""
        return any(segment.start <= at < segment.end for segment in self.segments)

    def stop_after(self, at: float) -> float | None:
        """End of the last active frame before the first inactive stretch of 500 ms that follows ``at``.

        ``None`` if the agent is not speaking at ``at``. The end of the recording counts as silence.
        """
        if not self.speaking_at(at):
            return None
        return next(span.end for span in merged(self.spans, STOP_SILENCE_S) if span.end > at)

    def onsets(self, after: float, until: float) -> list[Span]:
        """Segments whose onset lies in [after, until]."""
        return [segment for segment in self.segments if after <= segment.start <= until]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedUtterance:
    """What the service says it said, on the caller's clock."""

    start: float
    end: float
    text: str
    """Words recorded as heard."""
    heard_words: int
    reason: str
    """``played``, ``yielded`` …"""
    unheard: str = ""
    whole: str = ""
    """What the utterance was meant to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLog:
    """The service's own account of a call; empty where it could not be had."""

    utterances: tuple[LoggedUtterance, ...] = ()
    backchannels: frozenset[str] = frozenset()
    """Texts that count as an agent's backchannel, lower case."""

    def words_in(self, span: Span) -> list[str]:
        """Words logged for the utterances that overlap ``span``."""
        return [w for u in self.utterances if Span(u.start, u.end).overlap(span) > 0 for w in u.text.split()]

    def is_backchannel(self, segment: Span) -> bool:
        """At most one second, and its logged text is in the list of backchannels."""
        if segment.length > BACKCHANNEL_MAX_S:
            return False
        return " ".join(self.words_in(segment)).lower().strip(" .,!?") in self.backchannels


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The paired run without the event: same seed, nothing sent."""

    left_s: float
    """Agent speech left from the moment where the event would have started to where the agent stopped."""
    at: float = 0.0
    """That moment, on the control run's clock."""
    agent: AgentChannel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvidence:
    """One recorded call."""

    call: str
    events: tuple[TruthEvent, ...]
    agent: AgentChannel
    log: ServiceLog = ServiceLog()
    controls: Mapping[str, Control] = field(default_factory=dict)
    """Item label → what the paired control run shows."""

    def of(self, *types: EventType) -> list[TruthEvent]:
        return [event for event in self.events if event.type in types and event.sent]

    def onsets(self, after: float, until: float) -> list[Span]:
        """Agent segments that are no backchannels, with their onset in [after, until]."""
        return [segment for segment in self.agent.onsets(after, until) if not self.log.is_backchannel(segment)]

    def agent_had_more(self, event: TruthEvent) -> bool:
        """The agent speaks at the event's start, and the control run shows at least 2 s more."""
        control = self.controls.get(event.item)
        return control is not None and control.left_s >= CONTROL_LEFT_S - 1e-6 and self.agent.speaking_at(event.start)


OVERLAPS = (EventType.INTERRUPT, EventType.BACKCHANNEL, EventType.TIC, EventType.SIDE_TALK, EventType.NOISE)


def controls_of(control: CallEvidence) -> dict[str, Control]:
    """From a control run: item label → what the agent did where the event would have started."""
    found: dict[str, Control] = {}
    for event in control.events:
        if event.sent or event.type not in OVERLAPS:
            continue
        stop = control.agent.stop_after(event.start)
        if stop is not None:
            found[event.item] = Control(left_s=stop - event.start, at=event.start, agent=control.agent)
    return found


def log_from_timeline(
    entries: Iterable[Mapping[str, Any]], *, offset_s: float, backchannels: Iterable[str] = ()
) -> ServiceLog:
    """Log from the service's timeline entries. ``offset_s`` moves their media time to the caller's clock."""
    utterances: list[LoggedUtterance] = []
    started: dict[Any, tuple[float, str]] = {}
    for entry in entries:
        data = entry.get("data") or {}
        if not isinstance(data, Mapping):
            continue
        at, number = float(entry.get("at_ms", 0)) / 1000 + offset_s, data.get("number")
        if entry.get("kind") == "backchannel":
            utterances.append(_logged({"heard": data.get("text", ""), "why": "played"}, at, at + BACKCHANNEL_MAX_S, ""))
        if entry.get("kind") != "utterance":
            continue
        if data.get("phase") == "started":
            started[number] = (at, str(data.get("text", "")))
        elif data.get("phase") == "ended" and number in started:
            begun, text = started.pop(number)
            utterances.append(_logged(data, begun, at, text))
    return ServiceLog(utterances=tuple(utterances), backchannels=frozenset(b.lower() for b in backchannels))


def _logged(data: Mapping[str, Any], start: float, end: float, text: str) -> LoggedUtterance:
    heard = str(data.get("heard", ""))
    return LoggedUtterance(
        start=start,
        end=end,
        text=heard,
        heard_words=len(heard.split()),
        reason=str(data.get("why", "")),
        unheard=str(data.get("unheard", "")),
        whole=text,
    )
