"""The customer's server of the task bench: answers signed webhooks with the goals' parcels, keeps what it was asked.

In the bench's own process, on loopback. It is asked only a few times in a call.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from agent.bench.task_goals import TODAY, Goal
from agent.bench.task_judge import ToolCall
from agent.brain.examples import example_path
from agent.events.signing import new_secret

FIRST_TICKET: Final = 4711
LAST_DAY: Final = 14


class TaskStore:
    """Parcels, and what was asked about them, by call."""

    def __init__(self, goals: Sequence[Goal]) -> None:
        self._parcels: dict[str, dict[str, Any]] = {goal.number: dict(goal.parcel) for goal in goals}
        self._asked: dict[str, list[ToolCall]] = {}
        self._tickets = FIRST_TICKET

    def asked(self, call_id: str) -> list[ToolCall]:
        """In order."""
        return list(self._asked.get(call_id, ()))

    def ask(self, call_id: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A tool's result."""
        result = self._result(name, arguments)
        self._asked.setdefault(call_id, []).append(ToolCall(name, dict(arguments), result))
        return result

    def _result(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        parcel = self._parcels.get(str(arguments.get("number")))
        if name == "parcel_status":
            return {"found": False} if parcel is None else {"found": True, **parcel}
        if name == "change_delivery":
            return self._change(parcel, str(arguments.get("day")))
        self._tickets += 1
        return {"ok": True, "ticket": str(self._tickets - 1)}

    def _change(self, parcel: dict[str, Any] | None, day: str) -> dict[str, Any]:
        if parcel is None:
            return {"ok": False, "reason": "not_found"}
        if parcel["status"] != "in_transit":
            return {"ok": False, "reason": parcel["status"]}
        if not 0 < (date.fromisoformat(day) - TODAY).days <= LAST_DAY:
            return {"ok": False, "reason": "day"}
        parcel["day"] = day
        return {"ok": True, "day": day}


class TaskServer:
    """The web side of a store."""

    def __init__(self, store: TaskStore) -> None:
        self.store = store
        self.secret = new_secret()
        self.url = ""
        self._answers: dict[str, dict[str, Any]] = {}

    def settings(self, dialogue: Path) -> dict[str, object]:
        """Of a service whose line this server answers for."""
        return {
            "agent.dialogue": str(dialogue),
            "agent.tool_url": self.url,
            "agent.decision_url": self.url,
            "webhooks.secret": self.secret,
            "webhooks.allow_http": True,
            "webhooks.allow_networks": ["127.0.0.0/8"],
        }

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[TaskServer]:
        """Serve on a free port of loopback."""
        app = web.Application()
        app.add_routes([web.post("/webhooks", self._take)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            Webhook(self.secret).verify(raw, dict(request.headers), json_parse=False)
        except (WebhookVerificationError, ValueError, binascii.Error):
            return web.json_response({"error": "signature"}, status=401)
        body = json.loads(raw)
        if body["type"] == "call.incoming":
            return web.json_response({"action": "accept", "variables": {"today": TODAY.isoformat()}})
        if body["type"] != "tool.call":
            return web.Response(status=204)
        asked = body["data"]
        key = f"{asked['call_id']}:{asked['request_id']}"
        if key not in self._answers:
            self._answers[key] = self.store.ask(str(asked["call_id"]), str(asked["name"]), asked["arguments"])
        return web.json_response({"result": self._answers[key]})


def checked_dialogue(folder: Path) -> Path:
    """The shipped dialogue with a check digit (Luhn) in every number, as its own comment offers, in ``folder``."""
    text = (example_path("parcel") / "parcel.yaml").read_text(encoding="utf-8")
    without = re.sub(r"^ +check: .*\n", "", text, flags=re.MULTILINE)
    path = folder / "parcel.yaml"
    path.write_text(re.sub(r"^( +)(kind: digits)$", r"\1\2\n\1check: luhn", without, flags=re.MULTILINE), "utf-8")
    return path
