"""Is it the same conversation? What the service logged of two callers who did the same thing, side by side. Pure.

What must be equal: the caller's turns by their words, the floor's way through its states, what the agent said and
whether it was cut, and its tools. What may differ, and by how much, is in ``Tolerance`` (docs/reference/doors.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.simulator.timeline import CallerMark

OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How much two doors may differ."""

    heard_words: int = 1
    """Of an answer that was cut: the cut may fall into the neighbouring word."""
    response_ms: float = 150.0
    """From the end of a turn to the agent's first sound, at the caller."""
    stop_ms: float = 150.0
    """From the start of an interruption to the agent's silence, at the caller."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing that the agent said."""

    text: str
    heard: str
    why: str
    """``played`` or ``yielded``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A call, without its times where they do not matter."""

    turns: tuple[str, ...]
    """Words of each turn of the caller, as they were last understood."""
    floor: tuple[str, ...]
    """States, in order; one that lasts is there once. Without a last ``open``: the agent's goodbye may end the call
    before its floor is told."""
    said: tuple[Utterance, ...]
    tools: tuple[str, ...]
    """``name ok`` or ``name failed``."""
    response_ms: tuple[float | None, ...] = ()
    stop_ms: tuple[float | None, ...] = ()


def conversation(entries: Iterable[Mapping[str, Any]], marks: Sequence[CallerMark] = ()) -> Conversation:
    """Of the service's timeline; ``marks``: what the caller measured."""
    known = sorted(entries, key=lambda entry: float(entry.get("at_ms", 0)))
    replies = [mark for mark in marks if mark.event.expect == "reply"]
    stops = [mark for mark in marks if mark.over_agent and mark.event.type == "interrupt"]
    return Conversation(
        turns=_turns(known),
        floor=_floor(known),
        said=_said(known),
        tools=tuple(
            f"{entry['data'].get('name')} {'ok' if entry['data'].get('ok') else 'failed'}"
            for entry in known
            if entry.get("kind") == "tool"
        ),
        response_ms=tuple(_ms(mark.response_s) for mark in replies),
        stop_ms=tuple(_ms(mark.stop_s) for mark in stops),
    )


def differences(reference: Conversation, other: Conversation, tolerance: Tolerance | None = None) -> list[str]:
    """What is not the same, in words; empty where it is the same conversation."""
    tolerance = tolerance or Tolerance()
    found = []
    for name in ("turns", "floor", "tools"):
        first, second = getattr(reference, name), getattr(other, name)
        if first != second:
            found.append(f"{name}: {' | '.join(first)} <> {' | '.join(second)}")
    found += _said_apart(reference.said, other.said, tolerance.heard_words)
    found += _times_apart("response_ms", reference.response_ms, other.response_ms, tolerance.response_ms)
    found += _times_apart("stop_ms", reference.stop_ms, other.stop_ms, tolerance.stop_ms)
    return found


def _turns(entries: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A turn that was reopened ends twice: its last words count."""
    found: dict[Any, str] = {}
    for entry in entries:
        data = entry["data"]
        if entry.get("kind") == "turn" and data.get("phase") == "ended":
            found[data.get("turn")] = str(data.get("text", ""))
    return tuple(found.values())


def _floor(entries: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found: list[str] = []
    for entry in entries:
        if entry.get("kind") != "floor":
            continue
        state = str(entry["data"].get("after", ""))
        if not found or found[-1] != state:
            found.append(state)
    return tuple(found[:-1] if found[-1:] == [OPEN] else found)


def _said(entries: Sequence[Mapping[str, Any]]) -> tuple[Utterance, ...]:
    started: dict[Any, str] = {}
    found = []
    for entry in entries:
        data = entry["data"]
        if entry.get("kind") != "utterance":
            continue
        if data.get("phase") == "started":
            started[data.get("number")] = str(data.get("text", ""))
        elif data.get("number") in started:
            text = started.pop(data.get("number"))
            found.append(Utterance(text, str(data.get("heard", "")), str(data.get("why", ""))))
    return tuple(found)


def _said_apart(first: Sequence[Utterance], second: Sequence[Utterance], words: int) -> list[str]:
    if [(one.text, one.why) for one in first] != [(one.text, one.why) for one in second]:
        return [f"said: {_shown(first)} <> {_shown(second)}"]
    found = []
    for one, other in zip(first, second, strict=True):
        apart = abs(len(one.heard.split()) - len(other.heard.split()))
        if apart > (words if one.why == "yielded" else 0):
            found.append(f"heard: {one.heard!r} <> {other.heard!r}")
    return found


def _shown(said: Sequence[Utterance]) -> str:
    return " | ".join(f"{one.text} ({one.why})" for one in said)


def _times_apart(name: str, first: Sequence[float | None], second: Sequence[float | None], most_ms: float) -> list[str]:
    if len(first) != len(second):
        return [f"{name}: {list(first)} <> {list(second)}"]
    pairs = zip(first, second, strict=True)
    apart = [
        (one, other)
        for one, other in pairs
        if (one is None) != (other is None) or (one is not None and other is not None and abs(one - other) > most_ms)
    ]
    return [f"{name}: {one} <> {other}" for one, other in apart]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
