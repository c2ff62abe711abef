"""Why a call ended, from what was seen of it. Pure."""

from __future__ import annotations

from typing import Final

from agent.events.names import EndReason
from agent.store.interface import CallState
from telephony.events import LegEnded

NEVER_HEARD_S: Final = 20.0
"""A silence longer than this began with the call: the media was never there."""

_OF_LEG: Final[dict[str, EndReason]] = {
    "bye": EndReason.CALLER_HANGUP,
    "cancel": EndReason.CANCELLED,
    "no_ack": EndReason.NO_ACK,
    "media_timeout": EndReason.MEDIA_TIMEOUT,
    "edge_lost": EndReason.EDGE_LOST,
    "transferred": EndReason.TRANSFERRED,
    "refresh_expired": EndReason.MEDIA_TIMEOUT,
    "timeout": EndReason.DIAL_FAILED,
    "dial_timeout": EndReason.DIAL_FAILED,
    "failed": EndReason.DIAL_FAILED,
    "refused": EndReason.DIAL_FAILED,
    "gone": EndReason.CALLER_HANGUP,
    "no_answer_sdp": EndReason.NOT_ACCEPTABLE,
    "media_error": EndReason.NOT_ACCEPTABLE,
    "protocol": EndReason.NOT_ACCEPTABLE,
    "shutdown": EndReason.DRAINED,
}


def of_silence(silent_s: float, state: CallState, *, is_placed: bool) -> EndReason:
    """Who never acknowledged our answer never got it: that is the news, not that no media came."""
    if state is CallState.RINGING and not is_placed:
        return EndReason.NO_ACK
    return EndReason.NO_MEDIA if silent_s > NEVER_HEARD_S else EndReason.MEDIA_TIMEOUT


def of_leg(event: LegEnded, state: CallState, *, is_dialling: bool = False) -> EndReason:
    """``is_dialling``: we have placed the call, and nobody has answered it yet."""
    if is_dialling:
        return _OF_LEG.get(event.reason, EndReason.DIAL_FAILED)
    if state in (CallState.OFFERED, CallState.RINGING) and event.reason == "cancel":
        return EndReason.CANCELLED
    if state is CallState.TRANSFERRING and event.by == "caller":
        return EndReason.TRANSFERRED
    return _OF_LEG.get(event.reason, EndReason.CALLER_HANGUP if event.by == "caller" else EndReason.INTERNAL_ERROR)
