"""Bodies of webhooks: ``{"type", "timestamp", "data"}``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agent.store.interface import StoredEvent


def iso(at: float) -> str:
    """Epoch seconds as ``2026-11-25T00:00:00.000Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def body(kind: str, at: float, data: Mapping[str, Any]) -> bytes:
    """A body in ASCII JSON."""
    message = {"type": str(kind), "timestamp": iso(at), "data": data}
    return json.dumps(message, separators=(",", ":"), default=str).encode()


def event_body(event: StoredEvent) -> bytes:
    """A stored event; its ``data`` carries ``call_id`` and ``seq``."""
    return body(event.name, event.at, {**event.data, "call_id": event.call_id, "seq": event.seq})
