"""What is promised by name is there: each log event is logged somewhere, each metric is fed somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.events.names import LogEvent, WebhookEvent
from agent.metrics import Metrics

ROOT = Path(__file__).parents[2]
SOURCES = {
    path: path.read_text(encoding="utf-8")
    for folder in ("agent", "telephony")
    for path in (ROOT / folder).rglob("*.py")
}
ALL = "\n".join(text for path, text in SOURCES.items() if path.name != "names.py")
FED = "\n".join(text for path, text in SOURCES.items() if path != ROOT / "agent/metrics.py")
HELPERS = {
    "sip_requests_total": "sip_request",
    "sip_responses_total": "sip_response",
    "step_seconds": "step_times",
    "tick_late_seconds": "media_process",
    "ticks_skipped": "media_process",
    "stream_refused_total": "stream_refused",
}


@pytest.mark.parametrize("event", LogEvent)
def test_log_event_is_logged_somewhere(event: LogEvent) -> None:
    assert f"LogEvent.{event.name}" in ALL or f'"{event.value}"' in ALL


@pytest.mark.parametrize("event", WebhookEvent)
def test_webhook_event_is_told_somewhere(event: WebhookEvent) -> None:
    assert f"WebhookEvent.{event.name}" in ALL


def test_every_literal_log_event_of_telephony_is_in_the_list() -> None:
    known = {event.value for event in LogEvent}
    text = "\n".join(text for path, text in SOURCES.items() if "telephony" in path.parts)
    assert set(re.findall(r'_log\(\s*"([a-z_.]+)"', text)) <= known


@pytest.mark.parametrize("name", [name for name in vars(Metrics()) if name != "registry"])
def test_metric_is_fed_somewhere(name: str) -> None:
    assert re.search(rf"\.{HELPERS.get(name, name)}\b", FED)
