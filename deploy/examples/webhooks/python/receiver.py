"""A receiver of Crosstalk's webhooks. Standard library only: ``python receiver.py --secret whsec_… [--port 8090]``."""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

TOLERANCE_S = 300
MOST_BYTES = 64 * 1024
KEPT_IDS = 10_000


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> bool:
    """Standard Webhooks: HMAC-SHA256 of ``id.timestamp.body``; any of several signatures, of these five minutes."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not stamp.isascii() or not stamp.isdigit() or abs(now - int(stamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{stamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)


class Receiver(BaseHTTPRequestHandler):
    """``POST /``: 204 for an event, a decision for ``call.incoming``, 401 for what we did not sign."""

    secret = ""
    seen: ClassVar[OrderedDict[str, None]] = OrderedDict()
    lock: ClassVar[threading.Lock] = threading.Lock()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            self._answer(413)
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_genuine(self.secret, headers, body, now=time.time()):
            self._answer(401)
            return
        event = json.loads(body)
        if event["type"] == "call.incoming":  # a question: the caller waits for the answer
            self._answer(200, {"action": "accept", "variables": {}})
            return
        if self._is_new(headers["webhook-id"]):  # at least once: the same id may come again
            self._handle(event)
        self._answer(204)

    def _handle(self, event: dict[str, Any]) -> None:
        """Your work. Let it be quick (10 s at most), or put the event into a queue of yours."""
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    def _is_new(self, message_id: str) -> bool:
        with self.lock:
            if message_id in self.seen:
                return False
            self.seen[message_id] = None
            if len(self.seen) > KEPT_IDS:
                self.seen.popitem(last=False)
            return True

    def _answer(self, status: int, value: dict[str, Any] | None = None) -> None:
        body = json.dumps(value).encode() if value is not None else b""
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: events are the log."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--secret", default=os.environ.get("WEBHOOK_SECRET", ""))
    parser.add_argument("--port", type=int, default=8090)
    arguments = parser.parse_args()
    if not arguments.secret.startswith("whsec_"):
        parser.error("--secret whsec_… (or WEBHOOK_SECRET) is needed")
    Receiver.secret = arguments.secret
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Receiver)
    sys.stderr.write(f"listening on http://127.0.0.1:{server.server_port}/\n")
    sys.stderr.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
