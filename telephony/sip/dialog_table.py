"""The life of a dialog as a table (RFC 3261 §12, §14, §15)."""

from __future__ import annotations

from enum import StrEnum


class DialogState(StrEnum):
    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class DialogEvent(StrEnum):
    ANSWERED = "2xx"
    REFUSED = "3xx-6xx"
    """To the INVITE; a CANCEL ends here too, by its 487."""
    BYE_SENT = "bye-sent"
    BYE_RECEIVED = "bye-received"
    GONE = "gone"
    """481 or 408 to a request inside the dialog (RFC 3261 §12.2.1.2), or nothing at all."""


DIALOG_TABLE: dict[tuple[DialogState, DialogEvent], DialogState] = {
    (DialogState.EARLY, DialogEvent.ANSWERED): DialogState.CONFIRMED,  # §12.1, §13.2.2.4
    (DialogState.EARLY, DialogEvent.REFUSED): DialogState.TERMINATED,  # §12.3
    (DialogState.EARLY, DialogEvent.BYE_SENT): DialogState.TERMINATED,  # §15
    (DialogState.EARLY, DialogEvent.BYE_RECEIVED): DialogState.TERMINATED,  # §15
    (DialogState.EARLY, DialogEvent.GONE): DialogState.TERMINATED,
    (DialogState.CONFIRMED, DialogEvent.BYE_SENT): DialogState.TERMINATED,  # §15.1.1
    (DialogState.CONFIRMED, DialogEvent.BYE_RECEIVED): DialogState.TERMINATED,  # §15.1.2
    (DialogState.CONFIRMED, DialogEvent.GONE): DialogState.TERMINATED,  # §12.2.1.2
}
"""A missing cell changes nothing."""
