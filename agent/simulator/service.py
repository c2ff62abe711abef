"""What a caller may ask the service over HTTP: its timeline of a call, its processes. Absent service, empty answer."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

import aiohttp

from agent.simulator.phone import PhoneBook

TIMEOUT_S = 5.0
TRIES = 6
PAUSE_S = 0.5
PAGE, PAGES = 100, 20
FARTHEST_S, AGREE_S = 6.0, 0.06


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


async def find_call(http_url: str, user: str) -> str:
    """The service's name of the call whose caller's address has ``user``, newest first; empty where there is none."""
    before = ""
    for _ in range(PAGES):
        found = await fetch_json(f"{http_url}/v1/calls?limit={PAGE}{before}")
        calls = [call for call in (found or {}).get("calls", []) if isinstance(call, dict)]
        for call in calls:
            if user in str(call.get("from_uri", "")):
                return str(call.get("call_id", ""))
        if len(calls) < PAGE:
            break
        before = f"&before={calls[-1].get('call_id', '')}"
    return ""


def media_offset_s(entries: list[dict[str, Any]], onsets: list[float]) -> float:
    """What to add to the service's media times so that its utterances begin where the caller heard them begin.

    ``onsets``: where the agent's segments begin on the wire. The service's clock may have begun some time before the
    caller's, so every pair votes for its difference; the difference that most utterances agree on wins, the smaller
    one on a tie. 0 where nothing agrees.
    """
    starts = [
        float(entry.get("at_ms", 0)) / 1000
        for entry in entries
        if entry.get("kind") == "utterance" and (entry.get("data") or {}).get("phase") == "started"
    ]
    votes = sorted((onset - start for start in starts for onset in onsets if abs(onset - start) <= FARTHEST_S), key=abs)
    best: list[float] = []
    for vote in votes:
        agreeing = [other for other in votes if abs(other - vote) <= AGREE_S]
        if len(agreeing) > len(best):
            best = agreeing
    return statistics.median(best) if best else 0.0


async def fetch_timeline(http_url: str, book: PhoneBook) -> list[dict[str, Any]]:
    """Timeline entries of a call that has just ended; the service writes its last ones a moment later."""
    if not http_url:
        return []
    if not book.service_call_id:
        book.service_call_id = await find_call(http_url, book.user)
    call_id = book.service_call_id
    if not call_id:
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
