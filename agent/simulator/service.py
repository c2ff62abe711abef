"""What a caller may ask the service over HTTP: its timeline of a call, its processes. Absent service, empty answer."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

TIMEOUT_S = 5.0
TRIES = 6
PAUSE_S = 0.5


async def fetch_json(url: str) -> dict[str, Any] | None:
    """The JSON object at ``url``, or ``None`` where there is none."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.get(url) as response,
        ):
            if response.status != 200:
                return None
            found = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return found if isinstance(found, dict) else None


async def fetch_timeline(http_url: str, call_id: str) -> list[dict[str, Any]]:
    """Timeline entries of a call that has just ended; the service writes its last ones a moment later."""
    if not http_url or not call_id:
        return []
    entries: list[dict[str, Any]] = []
    for _ in range(TRIES):
        call = await fetch_json(f"{http_url}/v1/calls/{call_id}")
        found = await fetch_json(f"{http_url}/v1/calls/{call_id}/timeline")
        entries = [entry for entry in (found or {}).get("entries", []) if isinstance(entry, dict)]
        if found is None or (call is not None and call.get("state") == "ended"):
            break
        await asyncio.sleep(PAUSE_S)
    return sorted(entries, key=lambda entry: float(entry.get("at_ms", 0)))
