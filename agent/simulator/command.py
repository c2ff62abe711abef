"""``crosstalk call`` and the call of ``crosstalk demo``: one scripted call, its timeline and its page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from agent.brain.examples import example_path
from agent.simulator.caller import CallResult, run_call, save_call
from agent.simulator.energy import agent_onsets
from agent.simulator.html import render_page
from agent.simulator.live_call import is_live_uri, run_live_call
from agent.simulator.media import MediaThread
from agent.simulator.script import Script, load_script
from agent.simulator.service import check_access, fetch_ears, fetch_timeline, media_offset_s
from agent.simulator.show import show_timeline
from agent.simulator.timeline import Timeline, build_timeline
from agent.simulator.twilio_call import TwilioAccount, run_twilio_call
from agent.simulator.webrtc_call import is_webrtc_uri, run_webrtc_call

DEFAULT_SCRIPT = "parcel.yaml"


async def call_command(
    uri: str,
    script: Path | None,
    out: Path,
    *,
    http_url: str = "",
    key: str = "",
    as_json: bool = False,
    twilio: TwilioAccount | None = None,
    token: str = "",
) -> int:
    """Place the call and show it; returns the exit code. With ``as_json`` stdout gets one object and nothing else.

    ``key``: API key for ``http_url`` and for calls as a browser. ``twilio``: for a ``twilio+ws`` address, whose calls
    come by Twilio's double. ``token``: of a ``live+ws`` address (``stream.token``). Raises ``AgentError`` where the
    service does not take the key.
    """
    http_url = http_url.rstrip("/")
    if http_url:
        await check_access(http_url, key)
    progress = Console(stderr=True)
    path = script or example_path("scripts") / DEFAULT_SCRIPT
    loaded = load_script(path)
    with MediaThread() as media, progress.status(f"calling {uri} …", spinner="dots"):
        result = await _placed(uri, loaded, media, twilio, key=key, token=token)
        entries = await fetch_timeline(http_url, result.book, key) if result.book.status else []
        ears = await fetch_ears(http_url)
    save_call(result, out)
    timeline = build_timeline(
        loaded.name,
        result.events,
        result.agent,
        caller_samples=len(result.caller),
        entries=entries,
        offset_s=media_offset_s(entries, agent_onsets(result.agent)),
    )
    (out / "timeline.json").write_text(json.dumps(timeline.to_json(), indent=1) + "\n", encoding="utf-8")
    page = out / "call.html"
    page.write_text(
        render_page(timeline, result.caller, result.agent, title=f"Call: {loaded.name}", facts=facts(result, ears)),
        encoding="utf-8",
    )
    if as_json:
        sys.stdout.write(json.dumps({**result.to_json(), "page": str(page), **summary(timeline)}) + "\n")
    else:
        _show(result, timeline, page, progress)
    return 0 if result.answered else 1


async def _placed(
    uri: str, script: Script, media: MediaThread, twilio: TwilioAccount | None, *, key: str, token: str
) -> CallResult:
    if twilio is not None:
        return (await run_twilio_call(uri, script, account=twilio, call=script.name)).result
    if is_live_uri(uri):
        return (await run_live_call(uri, script, token=token, call=script.name)).result
    if is_webrtc_uri(uri):
        return (await run_webrtc_call(uri, script, key=key, call=script.name)).result
    return await run_call(uri, script, media=media, call=script.name)


def facts(result: CallResult, ears: str = "") -> dict[str, str]:
    """What stands under the page's title."""
    return {
        **({"ears": ears} if ears else {}),
        "status": str(result.book.status),
        "seconds": f"{result.length_s:.1f}",
        "seed": str(result.seed),
        "ended by": result.book.ended_by or "nobody",
        "packets": str(len(result.track)),
        "caller's pacing": "good" if result.pacing.is_good else f"void (worst {result.pacing.worst_s * 1000:.0f} ms)",
    }


def summary(timeline: Timeline) -> dict[str, Any]:
    """Latencies of the call, in order, for machines."""
    return {
        "response_ms": [
            None if mark.response_s is None else round(mark.response_s * 1000)
            for mark in timeline.caller
            if mark.event.expect == "reply" and mark.event.type == "turn"
        ],
        "stop_ms": [
            {"type": str(mark.event.type), "ms": None if mark.stop_s is None else round(mark.stop_s * 1000)}
            for mark in timeline.caller
            if mark.over_agent
        ],
    }


def _show(result: CallResult, timeline: Timeline, page: Path, progress: Console) -> None:
    if not result.answered:
        why = f"{result.book.status or ''} {result.book.reason}".strip()
        progress.print(f"[red]not answered[/]: {escape(why)}", soft_wrap=True, highlight=False)
        return
    console = Console()
    show_timeline(timeline, console)
    for note in result.notes:
        console.print(f"[yellow]note[/] {note}")
    if not result.pacing.is_good:
        console.print("[yellow]note[/] this machine was too busy for the caller: its timing is void")
    console.print(f"page: {page}")
