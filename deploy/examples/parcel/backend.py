"""The parcel company's back end: answers Crosstalk's webhooks and keeps what they tell. Copy it and make it yours.

    CROSSTALK_WEBHOOKS__SECRET=whsec_… python deploy/examples/parcel/backend.py --port 8090 --db parcel.db

One address for everything, ``POST /webhooks``. Each request is signed (https://www.standardwebhooks.com) and may come
more than once: the same ``webhook-id`` gets the same answer and is stored once.

    call.incoming  → {"action": "accept" | "reject" | "busy", "agent": …, "variables": {…}}
    tool.call      → {"result": …} or {"error": "…"}
    anything else  → stored; 204

For people and tests: ``GET /events[?call_id=…]``, ``GET /parcels``, ``GET /tickets``. They show everything to anybody
who can reach the port, which is why it listens on 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import binascii
import datetime as dt
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

log = logging.getLogger("parcel")

MAX_BODY_BYTES = 256 * 1024
LAST_DELIVERY_DAY = 14
"""Days from today."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS parcels (number TEXT PRIMARY KEY, status TEXT, day TEXT, place TEXT, delivery_window TEXT);
CREATE TABLE IF NOT EXISTS tickets (
    ticket INTEGER PRIMARY KEY, call_id TEXT, number TEXT, details TEXT, request_id TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS tool_results (request_id TEXT PRIMARY KEY, answer TEXT);
CREATE TABLE IF NOT EXISTS answers (webhook_id TEXT PRIMARY KEY, answer TEXT);
CREATE TABLE IF NOT EXISTS events (
    webhook_id TEXT PRIMARY KEY, call_id TEXT, seq INTEGER, type TEXT, timestamp TEXT, data TEXT);
CREATE INDEX IF NOT EXISTS events_of_call ON events (call_id, seq);
"""

SEED = (
    # number, status, days from today, place, window
    ("12345678", "delivered", -2, "with your neighbour", None),
    ("12345679", "in_transit", 2, None, None),
    ("12335678", "in_transit", 3, None, None),
    ("22334455", "out_for_delivery", 0, None, "between two and four in the afternoon"),
    ("87654321", "at_shop", 0, "at the shop in Station Road", None),
    ("10203040", "in_transit", 1, None, None),
    ("11111111", "delivered", -1, "in your letter box", None),
)
FIRST_TICKET = 4711
BLOCKED_CALLERS = ("sip:blocked@",)


class ParcelStore:
    """Parcels, tickets and events in one SQLite file (or ``:memory:``)."""

    def __init__(self, path: str, *, today: Callable[[], dt.date] = dt.date.today) -> None:
        self.today = today
        # One process, one event loop: no statement here takes longer than a few milliseconds.
        self._db = sqlite3.connect(path)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(SCHEMA)
        self._seed()

    def close(self) -> None:
        self._db.close()

    def _seed(self) -> None:
        with self._db:
            for number, status, days, place, window in SEED:
                day = (self.today() + dt.timedelta(days=days)).isoformat()
                self._db.execute(
                    "INSERT OR IGNORE INTO parcels VALUES (?, ?, ?, ?, ?)", (number, status, day, place, window)
                )

    # --- tools ---

    def parcel_status(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        row = self._parcel(arguments)
        if row is None:
            return {"found": False}
        window = row["delivery_window"]
        return {"found": True, "status": row["status"], "day": row["day"], "place": row["place"], "window": window}

    def change_delivery(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        row = self._parcel(arguments)
        if row is None:
            return {"ok": False, "reason": "not_found"}
        if row["status"] != "in_transit":
            return {"ok": False, "reason": row["status"]}
        day = dt.date.fromisoformat(str(arguments.get("day")))
        if not 0 < (day - self.today()).days <= LAST_DELIVERY_DAY or day.weekday() == 6:
            return {"ok": False, "reason": "day"}
        with self._db:
            self._db.execute("UPDATE parcels SET day = ? WHERE number = ?", (day.isoformat(), row["number"]))
        return {"ok": True, "day": day.isoformat()}

    def file_complaint(self, arguments: Mapping[str, Any], call_id: str, request_id: str) -> dict[str, Any]:
        with self._db:
            latest = self._db.execute("SELECT max(ticket) FROM tickets").fetchone()[0]
            ticket = FIRST_TICKET if latest is None else latest + 1
            details = str(arguments.get("text") or "")
            self._db.execute(
                "INSERT INTO tickets VALUES (?, ?, ?, ?, ?)",
                (ticket, call_id, arguments.get("number"), details, request_id),
            )
        return {"ok": True, "ticket": str(ticket)}

    def _parcel(self, arguments: Mapping[str, Any]) -> sqlite3.Row | None:
        number = str(arguments.get("number"))
        found: sqlite3.Row | None = self._db.execute("SELECT * FROM parcels WHERE number = ?", (number,)).fetchone()
        return found

    # --- once only ---

    def remembered(self, table: str, key: str) -> dict[str, Any] | None:
        """Answer given before: ``table`` is ``answers`` (by webhook-id) or ``tool_results`` (by request id)."""
        column = {"answers": "webhook_id", "tool_results": "request_id"}[table]
        row = self._db.execute(f"SELECT answer FROM {table} WHERE {column} = ?", (key,)).fetchone()
        return None if row is None else json.loads(row["answer"])

    def remember(self, table: str, key: str, answer: Mapping[str, Any]) -> None:
        with self._db:
            self._db.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", (key, json.dumps(answer)))

    # --- events ---

    def add_event(self, webhook_id: str, body: Mapping[str, Any]) -> None:
        data = body["data"]
        event = (webhook_id, data.get("call_id"), data.get("seq"), body["type"], body.get("timestamp"))
        with self._db:
            self._db.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?)", (*event, json.dumps(data)))

    def events(self, call_id: str | None = None) -> list[dict[str, Any]]:
        """Events, each call's in the order of its ``seq`` (they may arrive in another order)."""
        rows = self._db.execute(
            "SELECT * FROM events WHERE ?1 IS NULL OR call_id = ?1 ORDER BY call_id, seq, rowid", (call_id,)
        )
        return [{**dict(row), "data": json.loads(row["data"])} for row in rows]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in ``parcels`` or ``tickets``."""
        return [dict(row) for row in self._db.execute(f"SELECT * FROM {table} ORDER BY 1")]


class Backend:
    """The web side: signatures, and who answers what."""

    def __init__(self, store: ParcelStore, secret: str) -> None:
        self._store = store
        self._webhook = Webhook(secret)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.post("/webhooks", self.webhooks),
                web.get("/events", self.events),
                web.get("/parcels", self.parcels),
                web.get("/tickets", self.tickets),
            ]
        )
        return app

    async def webhooks(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            self._webhook.verify(raw, dict(request.headers), json_parse=False)
        except (WebhookVerificationError, ValueError, binascii.Error) as error:
            log.warning("refused: %s", error)
            return web.json_response({"error": "signature"}, status=401)
        body = _body(raw)
        if body is None:
            return web.json_response({"error": 'the body must be {"type": …, "data": {…}}'}, status=400)
        return self._answer(request.headers["webhook-id"], body)

    def _answer(self, webhook_id: str, body: dict[str, Any]) -> web.Response:
        if body["type"] not in ("call.incoming", "tool.call"):
            self._store.add_event(webhook_id, body)
            return web.Response(status=204)
        answer = self._store.remembered("answers", webhook_id)
        if answer is None:
            answer = self._decide(body["data"]) if body["type"] == "call.incoming" else self._tool(body["data"])
            self._store.remember("answers", webhook_id, answer)
        return web.json_response(answer)

    def _decide(self, call: Mapping[str, Any]) -> dict[str, Any]:
        if str(call.get("from")).startswith(BLOCKED_CALLERS):
            return {"action": "reject"}
        return {"action": "accept", "agent": "parcel", "variables": {"today": self._store.today().isoformat()}}

    def _tool(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """A tool's answer. A request id that was answered before is not carried out again."""
        request_id = str(call.get("request_id") or "")
        if not request_id:
            return {"error": "request_id is missing"}
        answer = self._store.remembered("tool_results", request_id)
        if answer is None:
            answer = self._run_tool(str(call.get("name")), call.get("arguments"), str(call.get("call_id")), request_id)
            self._store.remember("tool_results", request_id, answer)
        return answer

    def _run_tool(self, name: str, arguments: Any, call_id: str, request_id: str) -> dict[str, Any]:
        if not isinstance(arguments, dict):
            return {"error": "arguments must be an object"}
        try:
            if name == "parcel_status":
                return {"result": self._store.parcel_status(arguments)}
            if name == "change_delivery":
                return {"result": self._store.change_delivery(arguments)}
            if name == "file_complaint":
                return {"result": self._store.file_complaint(arguments, call_id, request_id)}
        except ValueError as error:
            return {"error": str(error)}
        return {"error": f"there is no tool '{name}'"}

    async def events(self, request: web.Request) -> web.Response:
        return web.json_response(self._store.events(request.query.get("call_id")))

    async def parcels(self, request: web.Request) -> web.Response:
        return web.json_response(self._store.rows("parcels"))

    async def tickets(self, request: web.Request) -> web.Response:
        return web.json_response(self._store.rows("tickets"))


def _body(raw: bytes) -> dict[str, Any] | None:
    """The request's JSON, if it has the form of a webhook."""
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    is_webhook = isinstance(body, dict) and isinstance(body.get("type"), str) and isinstance(body.get("data"), dict)
    return body if is_webhook else None


def main() -> None:
    parser = argparse.ArgumentParser(description="Back end of the parcel example")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--db", default="parcel.db", help="SQLite file")
    parser.add_argument(
        "--secret",
        default=os.environ.get("CROSSTALK_WEBHOOKS__SECRET"),
        help="whsec_… as in Crosstalk's webhooks.secret; better by that environment variable: arguments can be seen",
    )
    options = parser.parse_args()
    if not options.secret:
        parser.error("set CROSSTALK_WEBHOOKS__SECRET to the secret that Crosstalk signs with")
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    store = ParcelStore(options.db)
    try:
        app = Backend(store, options.secret).app()
        web.run_app(app, host=options.host, port=options.port, print=None, access_log=None)
    finally:
        store.close()


if __name__ == "__main__":
    main()
