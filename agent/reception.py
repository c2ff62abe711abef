"""Whether an offered call is wanted, and its seat. The answer goes into the inbox, which stays open meanwhile: a
caller may give up, an operator may end the call."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from agent.books import Books
from agent.errors import AdmissionRefused
from agent.events.names import EndReason
from agent.inbox import Admitted, Inbox, Refused
from agent.ports import Decision, Decisions
from agent.seating import Seating
from telephony.clock import Clock
from telephony.errors import TelephonyError
from telephony.plane import Leg

RING_AFTER_S: Final = 0.05
"""A decision that comes sooner needs no ringing before it."""
_REFUSALS: Final[dict[str, tuple[int, str]]] = {"reject": (603, "Decline"), "busy": (486, "Busy Here")}


async def receive(
    leg: Leg, inbox: Inbox, seating: Seating, books: Books, *, decisions: Decisions, clock: Clock
) -> None:
    """Ask the customer's server about a call that came in, then ``seat`` it."""
    asked_at = clock.now()
    asking = asyncio.ensure_future(decisions.incoming(books.call_id, leg.info))
    try:
        done, _ = await asyncio.wait({asking}, timeout=RING_AFTER_S)
        if not done:  # a caller without any answer gives up or calls twice
            with contextlib.suppress(TelephonyError):  # a caller that is gone says so by its event
                await leg.ring()
        decision = await asking
    finally:
        asking.cancel()
    books.measures.decision(decision.fallback, clock.now() - asked_at)
    await seat(decision, inbox, seating)


async def seat(decision: Decision, inbox: Inbox, seating: Seating) -> None:
    """Claim a seat for a call that is wanted; tell the inbox what became of it."""
    if decision.action != "accept":
        inbox.put(Refused(EndReason.REFUSED_BY_POLICY, *_REFUSALS[decision.action]))
        return
    try:
        await seating.claim(decision.record)
    except AdmissionRefused as refused:
        inbox.put(Refused(EndReason.NO_CAPACITY, 503, refused.reason, refused.retry_after_s))
    else:
        inbox.put(Admitted(decision))
