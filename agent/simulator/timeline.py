"""A recorded call as a timeline: who spoke when, how long answers took, what the service says it heard and said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from textwrap import shorten
from typing import Any

from agent.simulator.energy import RATE_HZ, Pcm, Span, agent_spans, merged, segments
from agent.simulator.truth import EventType, TruthEvent

EARLY_S = 0.25
ANSWER_WINDOW_S = 5.0
STOP_SILENCE_S = 0.5
MOST_WHY = 90
"""Characters of an answer that are shown where it was prepared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerMark:
    """One thing that the caller did, and what came of it."""

    event: TruthEvent
    response_s: float | None = None
    """Turns: seconds from their end to the agent's next onset."""
    stop_s: float | None = None
    """Over the agent's voice: seconds from their start until the agent stopped; ``None`` if it went on."""
    over_agent: bool = False
    interrupted: bool = False
    """Turns: the agent took the floor before their end, politely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLine:
    """One utterance by the service's own log."""

    start: float
    end: float | None
    text: str
    heard: str
    unheard: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorState:
    """Who had the floor from ``start`` on."""

    start: float
    state: str
    why: str


class Decided(StrEnum):
    """What the service decided to do about its own voice."""

    DUCK = "duck"
    """Turn it down: the caller speaks into it."""
    YIELD = "yield"
    RESTORE = "restore"
    RESUME = "resume"
    """Go on at the clause that was cut."""
    PREPARED = "prepared"
    """An answer, on partial words."""
    SAID = "said as prepared"
    THROWN_AWAY = "thrown away"
    """What was prepared: the sentence turned."""
    BACKCHANNEL = "our backchannel"
    INTERRUPTION = "polite interruption"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    at: float
    what: Decided
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardTurn:
    """Words that the service understood."""

    at: float
    text: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Everything in seconds from the start of the recording."""

    call: str
    length_s: float
    caller: tuple[CallerMark, ...]
    agent: tuple[Span, ...]
    lines: tuple[AgentLine, ...] = ()
    floor: tuple[FloorState, ...] = ()
    turns: tuple[HeardTurn, ...] = ()
    decisions: tuple[Decision, ...] = ()
    others: tuple[tuple[float, str], ...] = field(default=())
    """Tools, keys, transfers, overlaps, other ears: (time, words for a reader)."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def build_timeline(
    call: str,
    events: Iterable[TruthEvent],
    agent: Pcm,
    *,
    caller_samples: int = 0,
    entries: Iterable[Mapping[str, Any]] = (),
    offset_s: float = 0.0,
) -> Timeline:
    """``agent``: (samples,) int16 on the caller's clock. ``entries``: the service's timeline; ``offset_s`` moves it."""
    spans = agent_spans(agent)
    known = [entry for entry in entries if isinstance(entry.get("data"), Mapping)]
    lines = _lines(known, offset_s)
    spoken, stops = segments(spans), _stops(spans, lines)
    decisions = _decisions(known, offset_s)
    taken = tuple(one.at for one in decisions if one.what is Decided.INTERRUPTION)
    return Timeline(
        call=call,
        length_s=max(len(agent), caller_samples) / RATE_HZ,
        caller=tuple(_mark(event, spoken, stops, taken) for event in events if event.sent),
        agent=tuple(spoken),
        lines=lines,
        floor=_floor(known, offset_s),
        turns=_turns(known, offset_s),
        decisions=decisions,
        others=_others(known, offset_s),
    )


def _stops(spans: list[Span], lines: tuple[AgentLine, ...]) -> list[Span]:
    """What the agent said in one go. A new utterance is a new go, however soon it follows a cut one."""
    cuts = [line.end for line in lines if line.end is not None and line.why != "played"]
    found: list[Span] = []
    for span in merged(spans, STOP_SILENCE_S):
        inside = [one for one in spans if span.start <= one.start < span.end]
        ends = [max((one.end for one in inside if one.end <= cut + 0.1), default=0.0) for cut in cuts]
        edges = sorted({end for end in ends if span.start < end < span.end})
        starts = [span.start, *(min(one.start for one in inside if one.start >= edge) for edge in edges)]
        found += [Span(start, end) for start, end in zip(starts, [*edges, span.end], strict=True)]
    return found


def _mark(event: TruthEvent, spoken: list[Span], stops: list[Span], taken: tuple[float, ...]) -> CallerMark:
    if event.type is EventType.TURN and any(event.start <= at < event.end for at in taken):
        return CallerMark(event=event, interrupted=True)
    over = any(span.start <= event.start < span.end for span in spoken)
    if event.type is EventType.TURN and event.expect == "reply":
        low, high = event.end - EARLY_S, event.end + ANSWER_WINDOW_S
        answer = next((span for span in spoken if low <= span.start <= high), None)
        return CallerMark(event=event, response_s=answer.start - event.end if answer else None)
    if over and event.type not in (EventType.TURN, EventType.HOLD, EventType.DTMF):
        stop = next(span.end for span in stops if span.end > event.start)
        # Later than a second after the sound, the agent had simply finished.
        return CallerMark(event=event, over_agent=True, stop_s=stop - event.start if stop <= event.end + 1.0 else None)
    return CallerMark(event=event, over_agent=over)


def _at(entry: Mapping[str, Any], offset_s: float) -> float:
    return float(entry.get("at_ms", 0)) / 1000 + offset_s


def _lines(entries: list[Mapping[str, Any]], offset_s: float) -> tuple[AgentLine, ...]:
    found: list[AgentLine] = []
    started: dict[Any, tuple[float, str]] = {}
    for entry in entries:
        data = entry["data"]
        if entry.get("kind") != "utterance":
            continue
        if data.get("phase") == "started":
            started[data.get("number")] = (_at(entry, offset_s), str(data.get("text", "")))
        elif data.get("number") in started:
            start, text = started.pop(data.get("number"))
            found.append(
                AgentLine(
                    start=start,
                    end=_at(entry, offset_s),
                    text=text,
                    heard=str(data.get("heard", "")),
                    unheard=str(data.get("unheard", "")),
                    why=str(data.get("why", "")),
                )
            )
    found += [
        AgentLine(start=start, end=None, text=text, heard="", unheard="", why="") for start, text in started.values()
    ]
    return tuple(sorted(found, key=lambda line: line.start))


def _floor(entries: list[Mapping[str, Any]], offset_s: float) -> tuple[FloorState, ...]:
    return tuple(
        FloorState(
            start=_at(entry, offset_s),
            state=str(entry["data"].get("after", "")).lower(),
            why=str(entry["data"].get("why") or entry["data"].get("cause", "")),
        )
        for entry in entries
        if entry.get("kind") == "floor"
    )


def _turns(entries: list[Mapping[str, Any]], offset_s: float) -> tuple[HeardTurn, ...]:
    return tuple(
        HeardTurn(
            at=_at(entry, offset_s), text=str(entry["data"].get("text", "")), why=str(entry["data"].get("why", ""))
        )
        for entry in entries
        if entry.get("kind") == "turn" and entry["data"].get("phase") == "ended"
    )


_MOVED = {
    ("agent", "overlap"): Decided.DUCK,
    ("overlap", "agent"): Decided.RESTORE,
    ("overlap", "yielding"): Decided.YIELD,
    ("agent", "yielding"): Decided.YIELD,
}
_PREPARED = {"begun": Decided.PREPARED, "used": Decided.SAID, "dropped": Decided.THROWN_AWAY}
_BY_KIND = {"resume": Decided.RESUME, "backchannel": Decided.BACKCHANNEL, "interruption": Decided.INTERRUPTION}


def _decisions(entries: list[Mapping[str, Any]], offset_s: float) -> tuple[Decision, ...]:
    found = []
    for entry in entries:
        kind, data = entry.get("kind"), entry["data"]
        match kind:
            case "floor":
                what = _MOVED.get((str(data.get("before", "")).lower(), str(data.get("after", "")).lower()))
            case "prepared":
                what = _PREPARED.get(str(data.get("phase", "")))
            case _:
                what = _BY_KIND.get(str(kind))
        if what is not None:
            told = str(data.get("why") or data.get("text", "")).replace("_", " ")
            found.append(Decision(at=_at(entry, offset_s), what=what, why=shorten(told, MOST_WHY, placeholder=" …")))
    return tuple(found)


def _others(entries: list[Mapping[str, Any]], offset_s: float) -> tuple[tuple[float, str], ...]:
    found = []
    for entry in entries:
        kind, data = str(entry.get("kind", "")), entry["data"]
        if kind in {"tool", "dtmf", "transfer", "overlap", "hangup", "ears"}:
            told = " ".join(f"{key} {value}" for key, value in data.items())
            found.append((_at(entry, offset_s), f"{kind}: {told}"))
    return tuple(found)
