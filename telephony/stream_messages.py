"""What passes between a front and a stream edge; framing, requests and answers as in ``telephony.edge_messages``.

Front to edge: ``answer(seat) refuse(status, reason, retry_after_s) route(seat) hangup(reason) dtmf(digits)
transfer(target) notify(at_ms, kind, data) drain stats``. Edge to front: the events ``offered answered dtmf held
resumed append transfer quality timeout ended``, and ``refused(door, source, rule, why, missed)`` of what never became
a call.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from telephony.edge_messages import quality_from_json
from telephony.events import (
    Direction,
    DtmfReceived,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegHeld,
    LegInfo,
    LegResumed,
    MediaTimeout,
    TextAppended,
    TransferNotified,
    TransferOutcome,
)

COMMANDS = ("answer", "refuse", "route", "hangup", "dtmf", "transfer", "notify", "drain", "stats")


def info_to_json(info: LegInfo) -> dict[str, Any]:
    """``LegInfo`` as a JSON object."""
    return asdict(info)


def info_from_json(body: dict[str, Any]) -> LegInfo:
    """``LegInfo`` out of the JSON object that an edge sends."""
    headers = tuple((str(name), str(value)) for name, value in body["headers"])
    return LegInfo(**body | {"direction": Direction(body["direction"]), "headers": headers})


def leg_event_from_json(body: dict[str, Any]) -> LegEvent | None:
    """The event that a message tells, or ``None`` if it tells none that is known."""
    leg_id = str(body.get("leg", ""))
    match body.get("event"):
        case "answered":
            return LegAnswered(leg_id=leg_id)
        case "dtmf":
            return DtmfReceived(leg_id=leg_id, digit=body["digit"], duration_ms=body["duration_ms"])
        case "held":
            return LegHeld(leg_id=leg_id)
        case "resumed":
            return LegResumed(leg_id=leg_id)
        case "append":
            return TextAppended(leg_id=leg_id, channel=body["channel"], text=body["text"])
        case "transfer":
            outcome = TransferOutcome(body["outcome"])
            return TransferNotified(leg_id=leg_id, outcome=outcome, status=body["status"], reason=body["reason"])
        case "timeout":
            return MediaTimeout(leg_id=leg_id, silent_s=body["silent_s"])
        case "quality":
            return quality_from_json(leg_id, body["quality"])
        case "ended":
            return LegEnded(leg_id=leg_id, by=body["by"], status=body["status"], reason=body["reason"])
        case _:
            return None
