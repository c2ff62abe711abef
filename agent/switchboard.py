"""Takes offers from every door, runs a session for each, and lets them finish when the service drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agent.events.names import EndReason, LogEvent
from agent.services import Services
from agent.session import Placed, Session
from telephony.plane import Leg


class Switchboard:
    """Owner of the live sessions."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sessions: dict[str, Session] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = False

    @property
    def live(self) -> tuple[Session, ...]:
        return tuple(self._sessions.values())

    @property
    def is_draining(self) -> bool:
        return self._draining

    async def offer(self, leg: Leg) -> None:
        """One offered leg: returns when its call is over. Runs in a task of the plane that offered it."""
        if self._draining:
            await leg.refuse(503, "draining", retry_after_s=5)
            return
        await self._run(self._seated(Session(leg, self._services)))

    def place(self, leg: Leg, placed: Placed, *, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> Session:
        """Place a call by a leg that dials when it is answered. ``spawn`` runs the call in a task of its owner."""
        session = self._seated(Session(leg, self._services, placed=placed))
        spawn(self._run(session))
        return session

    def find(self, call_id: str) -> Session | None:
        """A call that is live here."""
        return self._sessions.get(call_id)

    def _seated(self, session: Session) -> Session:
        self._sessions[session.call_id] = session
        self._empty.clear()
        return session

    async def _run(self, session: Session) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[session.call_id]
            if not self._sessions:
                self._empty.set()

    def lost(self, call_id: str) -> None:
        """Somebody else owns the call now (its lease was taken): hang up, write nothing."""
        if (session := self._sessions.get(call_id)) is not None:
            session.fenced()

    def hang_up(self, call_id: str) -> bool:
        """End one call by order; ``False`` if it is not here."""
        session = self._sessions.get(call_id)
        if session is not None:
            session.order_hangup(EndReason.OPERATOR_HANGUP)
        return session is not None

    async def drain(self, deadline_s: float, *, grace_s: float = 15.0) -> int:
        """Take no more calls, wait for the running ones, then end them; returns how many had to be ended."""
        self._draining = True
        self._services.log.info(LogEvent.SERVICE_DRAINING, calls=len(self._sessions))
        if await self._emptied(deadline_s):
            return 0
        ended = len(self._sessions)
        for session in self.live:
            session.order_hangup(EndReason.DRAINED)
        await self._emptied(grace_s)
        return ended

    async def _emptied(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
