"""The service that the bench of the doors calls: every door open, on loopback, Twilio's double with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from agent.simulator.twilio_call import TwilioAccount
from telephony.loopback import free_port

AUTH_TOKEN = "auth-token-of-the-double"
ACCOUNT = TwilioAccount(auth_token=AUTH_TOKEN)
ECHO_AGENT: Mapping[str, object] = {
    "engine.model": "echo",
    "agent.brain": "chatter",
    "voice.engine": "marker",
    "ears.recogniser": "none",
}
"""Says what it hears, in the same step."""
MARKER_AGENT: Mapping[str, object] = {"voice.engine": "marker"}
"""The shipped agent, whose words are tones with numbers; a whole answer is rendered in a moment."""


class Running(Protocol):
    """A started service (``agent.app.Service``)."""

    @property
    def http_url(self) -> str: ...

    @property
    def sip_uri(self) -> str: ...

    @property
    def stream_port(self) -> int: ...


StartService = Callable[[Mapping[str, object]], AbstractAsyncContextManager[Running]]


def open_doors(*doors: str, browsers: bool = False, more: Mapping[str, object] | None = None) -> dict[str, object]:
    """Settings of a service with these doors of the stream edge, and with the WebRTC door if ``browsers``.

    Without an account of Twilio there is no REST API to ask: a call is hung up by closing its stream.
    """
    http, stream = free_port(), free_port()
    settings: dict[str, object] = {
        "http.port": http,
        "stream.port": stream,
        "stream.doors": list(doors),
        "twilio.public_url": f"http://127.0.0.1:{http}",
        "twilio.stream_url": f"ws://127.0.0.1:{stream}/twilio/stream",
        "twilio.auth_token": AUTH_TOKEN,
    }
    if browsers:
        settings |= {"webrtc.enabled": "on", "webrtc.hosts": ["127.0.0.1"]}
    return {**settings, **(more or {})}


def twilio_uri(service: Running) -> str:
    return f"twilio+{service.http_url.replace('http', 'ws', 1)}/twilio/voice"


def webrtc_uri(service: Running) -> str:
    return f"webrtc+{service.http_url}"


def live_uri(service: Running) -> str:
    return f"live+ws://127.0.0.1:{service.stream_port}/v1/live/sessions"


def pcm_url(service: Running) -> str:
    return f"ws://127.0.0.1:{service.stream_port}/v1/pcm"
