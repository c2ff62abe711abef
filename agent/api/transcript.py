"""What both sides have heard, from a call's timeline. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.store.interface import TimelineEntry


def transcript(entries: Sequence[TimelineEntry]) -> list[dict[str, Any]]:
    """Turns of the caller and utterances of the agent, by when they began or ended; see ``Said`` in ``shapes``.

    A turn that was reopened counts once, with its last words. An utterance counts with what was played out of it.
    """
    turns: dict[Any, dict[str, Any]] = {}
    begun: dict[Any, int] = {}
    said: list[dict[str, Any]] = []
    for entry in entries:
        data, phase = entry.data, entry.data.get("phase")
        if entry.kind == "turn" and phase == "started":
            begun.setdefault(("turn", data.get("turn")), entry.at_ms)
        elif entry.kind == "turn" and phase == "ended":
            at_ms = begun.get(("turn", data.get("turn")), entry.at_ms)
            turns[data.get("turn")] = _item(at_ms, "caller", str(data.get("text", "")))
        elif entry.kind == "backchannel":
            said.append(_item(entry.at_ms, "agent", str(data.get("text", ""))))
        elif entry.kind == "utterance" and phase == "started":
            begun["utterance", data.get("number")] = entry.at_ms
        elif entry.kind == "utterance" and phase == "ended":
            at_ms = begun.get(("utterance", data.get("number")), entry.at_ms)
            heard, unheard = str(data.get("heard", "")), str(data.get("unheard", ""))
            if heard or unheard:
                said.append(_item(at_ms, "agent", heard, unheard=unheard))
    return sorted([*turns.values(), *said], key=lambda item: int(item["at_ms"]))


def _item(at_ms: int, speaker: str, text: str, *, unheard: str = "") -> dict[str, Any]:
    return {"at_ms": at_ms, "speaker": speaker, "text": text, "unheard": unheard, "complete": not unheard}
