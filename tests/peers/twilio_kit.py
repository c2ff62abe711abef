"""A service with its Twilio door open, for tests; what is measured there: ``agent.bench.doors_twilio``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from agent.app import Service, start_service
from agent.bench.doors_service import ACCOUNT, AUTH_TOKEN, open_doors
from agent.bench.doors_service import twilio_uri as voice_uri
from tests.peers.service_kit import SMALL

__all__ = ["ACCOUNT", "AUTH_TOKEN", "twilio_service", "voice_uri"]


@asynccontextmanager
async def twilio_service(more: Mapping[str, object] | None = None) -> AsyncIterator[Service]:
    """A service whose public URLs are its own loopback ports."""
    settings = open_doors("twilio", more={"twilio.account_sid": ACCOUNT.account_sid, **SMALL, **(more or {})})
    async with start_service(settings) as service:
        yield service
