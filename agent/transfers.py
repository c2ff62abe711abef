"""A blind transfer: asked for at the leg, and told as failed when nothing is heard of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from agent.inbox import Inbox, TransferFailed
from agent.performing import Spawn
from telephony.errors import TelephonyError
from telephony.plane import Leg

OUTCOME_WITHIN_S: Final = 30.0


class Transfers:
    """Owner of the transfer that is under way. Its outcome comes as an event of the leg or as ``TransferFailed``."""

    def __init__(self, leg: Leg, inbox: Inbox, *, allowed: Sequence[str], spawn: Spawn) -> None:
        """``allowed``: what a target may begin with."""
        self._leg = leg
        self._inbox = inbox
        self._allowed = tuple(allowed)
        self._spawn = spawn
        self._number = 0

    def may_go_to(self, target: str) -> bool:
        return target.startswith(self._allowed)

    def begin(self, target: str) -> None:
        """Ask the leg. One at a time: the lifecycle sees to it."""
        self._number += 1
        self._spawn(self._send(target, self._number))

    async def _send(self, target: str, number: int) -> None:
        try:
            await self._leg.transfer(target)
        except TelephonyError as error:
            self._inbox.put(TransferFailed(500, str(error)))
            return
        await asyncio.sleep(OUTCOME_WITHIN_S)
        if self._number == number:  # not a later one
            self._inbox.put(TransferFailed(408, "no outcome"))
