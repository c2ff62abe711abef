"""What a caller may ask the service over HTTP: its timeline of a call, its processes. Absent service, empty answer."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

import aiohttp

from agent.errors import AgentError
from agent.simulator.phone import PhoneBook

TIMEOUT_S = 5.0
TRIES = 6
PAUSE_S = 0.5
PAGE, PAGES = 100, 20
FARTHEST_S, AGREE_S = 6.0, 0.06


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


async def check_access(http_url: str, key: str = "") -> None:
    """Raises ``AgentError`` where the service is there and would not show us its calls."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), headers=_bearer(key)) as session,
            session.get(f"{http_url}/v1/calls?limit=1") as response,
        ):
            if response.status not in (401, 403, 429):
                return
            told = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return
    why = str(told.get("detail", "")) if isinstance(told, dict) else ""
    raise AgentError(f"{http_url}: {why or response.status} (--key, or CROSSTALK_API_KEY; scope calls:read)")


async def fetch_json(url: str, key: str = "") -> dict[str, Any] | None:
    """The JSON object at ``url``, or ``None`` where there is none. ``key``: an API key."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), headers=_bearer(key)) as session,
            session.get(url) as response,
        ):
            if response.status != 200:
                return None
            found = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return found if isinstance(found, dict) else None


async def fetch_ears(http_url: str) -> str:
    """Which ears judge and whose words they use, as text; empty where nobody tells."""
    found = await fetch_json(f"{http_url}/healthz") if http_url else None
    ears = (found or {}).get("ears")
    if not isinstance(ears, dict):
        return ""
    instead = f" instead of {ears['instead_of']} ({ears.get('why', '')})" if ears.get("instead_of") else ""
    return f"{ears.get('model', '')}{instead}, words by {ears.get('recogniser', '')}"


async def find_call(http_url: str, user: str, key: str = "") -> str:
    """The service's name of the call whose caller's address has ``user``, newest first; empty where there is none."""
    before = ""
    for _ in range(PAGES):
        found = await fetch_json(f"{http_url}/v1/calls?limit={PAGE}{before}", key)
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


async def fetch_timeline(http_url: str, book: PhoneBook, key: str = "") -> list[dict[str, Any]]:
    """Timeline entries of a call that has just ended; the service writes its last ones a moment later."""
    if not http_url:
        return []
    if not book.service_call_id:
        book.service_call_id = await find_call(http_url, book.user, key)
    call_id = book.service_call_id
    if not call_id:
        return []
    entries: list[dict[str, Any]] = []
    for _ in range(TRIES):
        call = await fetch_json(f"{http_url}/v1/calls/{call_id}", key)
        found = await fetch_json(f"{http_url}/v1/calls/{call_id}/timeline", key)
        entries = [entry for entry in (found or {}).get("entries", []) if isinstance(entry, dict)]
        if found is None or (call is not None and call.get("state") == "ended"):
            break
        await asyncio.sleep(PAUSE_S)
    return sorted(entries, key=lambda entry: float(entry.get("at_ms", 0)))
