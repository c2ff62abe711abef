"""Handlers of calls: read what is stored, place, steer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import wave
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from agent.api.bind import Answer, Ask, Handler
from agent.api.problems import Problem
from agent.api.recordings import Part, asked_part, blocks, recording_of, waveform
from agent.api.transcript import transcript
from agent.config import OutboundConfig
from agent.dialplan import is_number, target_problem
from agent.errors import StoreUnavailable
from agent.events.names import EndReason
from agent.outbound import DialledLeg, Door, NumberDoor
from agent.ports import Decision
from agent.session import Placed, Session
from agent.store.interface import CallRecord, CallState, Outbox, Store
from agent.switchboard import Switchboard

MOST_PAGES: Final = 5
"""Pages of the store that one page of a tenant may take."""
RECORDED_S: Final = 3.0
"""How long placing a call waits for its record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsDeps:
    store: Store
    outbox: Outbox
    switchboard: Switchboard
    door: Door
    outbound: OutboundConfig
    recordings: Path
    has_agent: Callable[[str], bool]
    spawn: Callable[[Coroutine[Any, Any, None]], object]
    numbers: NumberDoor | None = None
    """Places calls to ``tel:`` targets."""


class CallHandlers:
    """One method per route of ``routes.CALLS``."""

    def __init__(self, deps: CallsDeps) -> None:
        self._deps = deps
        self._placing: dict[str, asyncio.Lock] = {}

    def table(self) -> dict[str, Handler]:
        return {
            "listCalls": self.listed,
            "placeCall": self.place,
            "getCall": self.one,
            "getTimeline": self.timeline,
            "getCallEvents": self.events,
            "getTranscript": self.transcript,
            "getRecording": self.recording,
            "getWaveform": self.waveform,
            "say": self.say,
            "transfer": self.transfer,
            "hangUp": self.hang_up,
        }

    # --- read ---

    async def listed(self, ask: Ask) -> Answer:
        limit, before = ask.params["limit"], ask.params["before"]
        state = CallState(ask.params["state"]) if ask.params["state"] else None
        if ask.params["live"]:
            return self._page(await self._running(ask, limit, state), None)
        found: list[CallRecord] = []
        for _ in range(MOST_PAGES):
            page = await self._deps.store.list_calls(limit=limit, before=before, state=state)
            for record in page:
                before = record.call_id
                if ask.principal.sees(record.tenant):
                    found.append(record)
                if len(found) == limit:
                    break
            if len(page) < limit or len(found) == limit:
                more = len(found) == limit
                return self._page(found, before if more else None)
        return self._page(found, before)

    async def _running(self, ask: Ask, limit: int, state: CallState | None) -> list[CallRecord]:
        """Records of the calls that are live here, newest first."""
        seen = [session for session in self._deps.switchboard.live if ask.principal.sees(session.tenant)]
        newest = [session for session in reversed(seen) if state in (None, session.state)][:limit]
        records = [await self._deps.store.get_call(session.call_id) for session in newest]
        return [record for record in records if record is not None and record.state is not CallState.ENDED]

    def _page(self, found: list[CallRecord], after: str | None) -> Answer:
        return Answer(value={"calls": [self._shown(record) for record in found], "next": after})

    async def one(self, ask: Ask) -> Answer:
        return Answer(value=self._shown(await self._seen(ask)))

    async def timeline(self, ask: Ask) -> Answer:
        record = await self._seen(ask)
        entries = await self._deps.store.timeline(record.call_id)
        return Answer(value={"entries": [asdict(entry) for entry in entries]})

    async def events(self, ask: Ask) -> Answer:
        record = await self._seen(ask)
        found = await self._deps.store.events_of(record.call_id)
        attempts = await self._deps.outbox.attempts(record.call_id)
        return Answer(value={"events": [asdict(event) for event in found], "attempts": list(attempts)})

    async def transcript(self, ask: Ask) -> Answer:
        record = await self._seen(ask)
        entries = await self._deps.store.timeline(record.call_id)
        return Answer(value={"call_id": record.call_id, "items": transcript(entries)})

    # --- recording ---

    async def recording(self, ask: Ask) -> web.StreamResponse:
        path = await self._recording(ask)
        size = (await asyncio.to_thread(path.stat)).st_size
        try:
            part = asked_part(ask.params["Range"], size)
        except ValueError as error:
            raise Problem(416, str(error), headers={"Content-Range": f"bytes */{size}"}) from None
        response = web.StreamResponse(status=206 if part is not None else 200)
        response.content_type = "audio/wav"
        response.headers.update({"Accept-Ranges": "bytes", "Cache-Control": "no-store"})
        if part is not None:
            response.headers["Content-Range"] = f"bytes {part.start}-{part.end}/{size}"
        part = part or Part(0, size - 1)
        response.content_length = part.size
        file = await asyncio.to_thread(path.open, "rb")
        try:
            await response.prepare(ask.request)
            async for block in blocks(file, part, asyncio.to_thread):
                await response.write(block)
        finally:
            await asyncio.to_thread(file.close)
        await response.write_eof()
        return response

    async def waveform(self, ask: Ask) -> Answer:
        points, from_ms, to_ms = ask.params["points"], ask.params["from_ms"], ask.params["to_ms"]
        if to_ms is not None and to_ms <= from_ms:
            raise Problem(400, "to_ms: must be after from_ms")
        path = await self._recording(ask)
        try:
            return Answer(value=await asyncio.to_thread(waveform, path, points, from_ms, to_ms))
        except (OSError, EOFError, wave.Error) as error:
            raise Problem(404, f"the recording cannot be read: {error}") from None

    async def _recording(self, ask: Ask) -> Path:
        record = await self._seen(ask)
        events = await self._deps.store.events_of(record.call_id)
        path = await asyncio.to_thread(recording_of, events, self._deps.recordings, ask.params["part"])
        if path is None:
            raise Problem(404, "there is no recording of this call here")
        return path

    # --- place ---

    async def place(self, ask: Ask) -> Answer:
        tenant = "default" if ask.principal.is_operator else ask.principal.tenant
        key = ask.params["Idempotency-Key"]
        if key is None:
            return await self._place(ask, tenant, secrets.token_hex(16), "")
        call_id = "i" + hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest()[:31]
        lock = self._placing.setdefault(call_id, asyncio.Lock())
        try:
            async with lock:  # two requests at once with one key are one call
                return await self._place_once(ask, tenant, call_id)
        finally:
            if not lock.locked():
                self._placing.pop(call_id, None)

    async def _place_once(self, ask: Ask, tenant: str, call_id: str) -> Answer:
        digest = hashlib.sha256(json.dumps(ask.body, sort_keys=True).encode()).hexdigest()
        known = await self._deps.store.get_call(call_id)
        if known is None:
            return await self._place(ask, tenant, call_id, digest)
        if known.data.get("request_sha256") != digest:
            raise Problem(409, "this Idempotency-Key was used with another request")
        return Answer(value=self._shown(known), headers={"Location": f"/v1/calls/{call_id}"})

    async def _place(self, ask: Ask, tenant: str, call_id: str, digest: str) -> Answer:
        body, deps = ask.body, self._deps
        door, caller = self._way_to(body["to"], body.get("from", ""))
        self._check_place(tenant, body["to"], body.get("agent", ""), caller)
        decision = Decision(agent=body.get("agent", ""), variables=body.get("variables", {}), record=body.get("record"))
        placed = Placed(
            decision=decision,
            tenant=tenant,
            ring_limit_s=body.get("ring_limit_s", deps.outbound.ring_limit_s),
            data={"placed_by": ask.principal.name, **({"request_sha256": digest} if digest else {})},
        )
        leg = DialledLeg(door, call_id=call_id, target=body["to"], caller=caller)
        session = deps.switchboard.place(leg, placed, spawn=deps.spawn)
        try:
            async with asyncio.timeout(RECORDED_S):
                await session.recorded.wait()
        except TimeoutError:
            pass  # the record says whether it came in time
        record = await deps.store.get_call(call_id)
        if record is None:
            raise StoreUnavailable("the call could not be written down, so it was not placed")
        return Answer(value=self._shown(record), status=201, headers={"Location": f"/v1/calls/{call_id}"})

    def _way_to(self, target: str, caller: str) -> tuple[Door, str]:
        """The door that dials ``target``, and who it says is calling."""
        deps = self._deps
        if caller and is_number(caller) != is_number(target):
            raise Problem(422, "from: must be a number where `to` is one, and else a SIP address")
        if not is_number(target):
            return deps.door, caller or deps.outbound.caller
        if deps.numbers is None:
            raise Problem(422, "to: Twilio dials numbers: it must be in stream.doors, and twilio.account_sid set")
        return deps.numbers, caller or deps.numbers.caller

    def _check_place(self, tenant: str, target: str, agent: str, caller: str) -> None:
        deps = self._deps
        if (why := target_problem(target, deps.outbound.allow)) is not None:
            raise Problem(403, f"to: {why}")
        if agent and not deps.has_agent(agent):
            raise Problem(422, f"agent: there is no agent {agent}")
        if deps.switchboard.is_draining:
            raise Problem(503, "the gateway is draining", headers={"Retry-After": "5"})
        if not caller:
            raise Problem(503, "no address to call from: set outbound.caller or twilio.caller, or say `from`")
        running = sum(session.is_placed and session.tenant == tenant for session in deps.switchboard.live)
        if running >= deps.outbound.max_concurrent:
            raise Problem(
                429, f"{running} placed calls of this tenant are running already", headers={"Retry-After": "5"}
            )

    # --- steer ---

    async def say(self, ask: Ask) -> Answer:
        session = await self._live(ask, CallState.ACTIVE)
        interruptible = ask.body.get("interruptible", True)
        session.order_say(ask.body["text"], interruptible=interruptible, by=ask.principal.name)
        return _ordered(session)

    async def transfer(self, ask: Ask) -> Answer:
        target = ask.body["target"]
        session = await self._live(ask, CallState.ACTIVE)
        if not session.may_transfer(target) or not target.isprintable():
            raise Problem(403, "target: sip.transfer_targets does not allow it")
        session.order_transfer(target, by=ask.principal.name)
        return _ordered(session)

    async def hang_up(self, ask: Ask) -> Answer:
        session = await self._live(ask)
        session.order_hangup(EndReason.OPERATOR_HANGUP, by=ask.principal.name)
        return _ordered(session)

    async def _live(self, ask: Ask, *states: CallState) -> Session:
        record = await self._seen(ask)
        session = self._deps.switchboard.find(record.call_id)
        if session is None:
            why = "the call has ended" if record.state is CallState.ENDED else f"the call is on gateway {record.owner}"
            raise Problem(409, why)
        if states and session.state not in states:
            raise Problem(409, f"the call is {session.state.value}")
        return session

    # --- inside ---

    async def _seen(self, ask: Ask) -> CallRecord:
        """The call, if this key may see it: of another tenant's there is no more to know than of one that is not."""
        call_id = ask.params["call_id"]
        record = await self._deps.store.get_call(call_id)
        if record is None or not ask.principal.sees(record.tenant):
            raise Problem(404, f"there is no call {call_id}")
        return record

    def _shown(self, record: CallRecord) -> dict[str, Any]:
        shown = asdict(record)
        session = self._deps.switchboard.find(record.call_id)
        if session is not None:
            shown["live"] = session.view
        return shown


def _ordered(session: Session) -> Answer:
    return Answer(value={"call_id": session.call_id, "accepted": True}, status=202)
