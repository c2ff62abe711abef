"""Rules that look at several keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from agent.config import Config
from agent.config_rules.addresses import address_or_empty, url_or_empty
from agent.config_rules.rule import between, not_empty
from agent.config_rules.texts import environment_lines, header_lines, secret_or_empty, slug
from agent.events.names import WebhookEvent
from agent.model.names import EXPECTING, LISTENING, MUTE, RecogniserName
from telephony.webrtc.servers import check_url

Problem = tuple[str, str]
"""Dotted path and reason."""
CARRIERS = ("twilio", "telnyx", "plivo")
DOORS = ("pcm", "live", *CARRIERS)
LOOPBACK = ("localhost", "::1")


def _ports(config: Config) -> Iterator[Problem]:
    if config.media.port_min >= config.media.port_max:
        yield "media.port_min", f"must be less than media.port_max ({config.media.port_max})"


def _playout(config: Config) -> Iterator[Problem]:
    media = config.media
    if not media.playout_min_ms <= media.playout_start_ms <= media.playout_max_ms:
        yield "media.playout_start_ms", "must lie between media.playout_min_ms and media.playout_max_ms"


def _stream(config: Config) -> Iterator[Problem]:
    stream = config.stream
    for name in stream.doors:
        if name not in DOORS:
            yield "stream.doors", f"must be of {', '.join(DOORS)}, not {name!r}"
    if len(set(stream.doors)) < len(stream.doors):
        yield "stream.doors", "names a door twice"
    is_local = stream.host in LOOPBACK or stream.host.startswith("127.")
    if {"pcm", "live"} & set(stream.doors) and not stream.token and not is_local:
        yield "stream.token", f"is needed where others can reach the doors (stream.host = {stream.host})"


def _twilio(config: Config) -> Iterator[Problem]:
    twilio, doors = config.twilio, config.stream.doors
    if "twilio" in doors:
        for name in ("public_url", "stream_url", "auth_token"):
            if not getattr(twilio, name):
                yield f"twilio.{name}", "is needed with twilio in stream.doors"
        for name, secure in (("public_url", "https"), ("stream_url", "wss")):
            parts = urlsplit(getattr(twilio, name))
            host = parts.hostname or ""
            if parts.scheme not in ("", secure) and host not in LOOPBACK and not host.startswith("127."):
                yield f"twilio.{name}", f"must be {secure}:// (Twilio opens no other), but on this machine alone"
    if {"telnyx", "plivo"} & set(doors) and len(twilio.token_key) < 16:
        yield "twilio.token_key", "of 16 characters or more is needed: who answers the carrier's webhook mints with it"
    if bool(twilio.api_key) != bool(twilio.api_secret):
        yield "twilio.api_secret", "api_key and api_secret go together"


def _webrtc(config: Config) -> Iterator[Problem]:
    webrtc = config.webrtc
    if not webrtc.codecs or set(webrtc.codecs) - {"opus", "PCMU", "PCMA"}:
        yield "webrtc.codecs", "must be of opus, PCMU, PCMA"
    if webrtc.port_min > webrtc.port_max or (webrtc.port_max and not webrtc.port_min):
        yield "webrtc.port_min", f"must be from 1 to webrtc.port_max ({webrtc.port_max}), or both 0"
    for key, schemes in (("stun", ("stun:",)), ("turn", ("turn:", "turns:"))):
        for url in getattr(webrtc, key):
            reason = check_url(url) if url.startswith(schemes) else f"must begin with {' or '.join(schemes)}"
            if reason is not None:
                yield f"webrtc.{key}", reason
    for host in webrtc.hosts:
        if (reason := address_or_empty(host)) is not None:
            yield "webrtc.hosts", reason


def _voice(config: Config) -> Iterator[Problem]:
    if config.voice.engine in ("kokoro", "piper") and not config.voice.model:
        yield "voice.model", f"is needed with voice.engine = {config.voice.engine} (crosstalk pull --list)"
    if config.voice.engine == "piper" and not config.voice.program:
        yield "voice.program", "is needed with voice.engine = piper"


def _ears(config: Config) -> Iterator[Problem]:
    if config.ears.recogniser == RecogniserName.SHERPA and not config.ears.sherpa_model:
        yield "ears.sherpa_model", "is needed with ears.recogniser = sherpa"


def _floor(config: Config) -> Iterator[Problem]:
    floor = config.agent.floor
    if floor.speech_off > floor.speech_on:
        yield "agent.floor.speech_off", "must not be above agent.floor.speech_on"
    if floor.duck_after_ms > floor.yield_after_ms:
        yield "agent.floor.duck_after_ms", "must not be above agent.floor.yield_after_ms"
    limits = floor.silence_limits_ms
    if any(limit <= 0 for limit in limits) or list(limits) != sorted(set(limits)):
        yield "agent.floor.silence_limits_ms", "must be positive and grow"


def _endpoints(config: Config) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, endpoint in enumerate(config.webhooks.endpoints):
        path = f"webhooks.endpoints[{index}]"
        checks = (
            ("name", slug(endpoint.name) or ("is used twice" if endpoint.name in seen else None)),
            ("url", not_empty(endpoint.url) or url_or_empty(endpoint.url)),
            ("secret", not_empty(endpoint.secret) or secret_or_empty(endpoint.secret)),
            ("events", _event_names(endpoint.events)),
        )
        yield from ((f"{path}.{name}", reason) for name, reason in checks if reason)
        seen.add(endpoint.name)


def _event_names(names: tuple[str, ...]) -> str | None:
    known = {"*", *(event.value for event in WebhookEvent)}
    unknown = [name for name in names if name not in known]
    if unknown:
        return f"unknown event {unknown[0]!r}; known: {', '.join(sorted(known))}"
    return None if names else "must not be empty"


def _webhook_urls(config: Config) -> Iterator[Problem]:
    urls = {"agent.decision_url": config.agent.decision_url, "agent.tool_url": config.agent.tool_url}
    urls |= {f"webhooks.endpoints[{i}].url": point.url for i, point in enumerate(config.webhooks.endpoints)}
    for path, url in urls.items():
        if url.startswith("http:") and not config.webhooks.allow_http:
            yield path, "uses http, which webhooks.allow_http = false forbids"
    if (config.agent.decision_url or config.agent.tool_url) and not config.webhooks.secret:
        yield "webhooks.secret", "is needed to sign call.incoming and tool.call"


def _engine(config: Config) -> Iterator[Problem]:
    if not config.engine.workers and not config.engine.remote:
        yield "engine.workers", "must be at least 1 where engine.remote names none"
    if config.engine.short_rows >= config.engine.rows:
        yield "engine.short_rows", "must be below engine.rows"


def _brain(config: Config) -> Iterator[Problem]:
    agent = config.agent
    if agent.brain == "chat":
        yield from ((f"agent.chat.{name}", reason) for name in ("url", "model") if (reason := _needed(config, name)))
        if agent.chat.first_token_budget_s * 1000 < agent.chat.filler_after_ms:
            yield "agent.chat.filler_after_ms", "must not be above agent.chat.first_token_budget_s"
    if agent.brain == "relay" and not agent.relay.url:
        yield "agent.relay.url", "is needed with agent.brain = relay"
    if agent.brain == "native" and config.engine.workers and config.engine.model in MUTE:
        yield "agent.brain", f"native wants a model that speaks, and engine.model = {config.engine.model} does not"
    narrow = config.ears.recogniser
    listens = config.engine.model in LISTENING and narrow in EXPECTING
    if agent.brain in ("chat", "relay") and listens and not agent.phrases:
        other = "or ears.recogniser = sherpa for free speech, none for keys"
        yield "agent.phrases", f"is needed with ears.recogniser = {narrow}, which understands nothing else; {other}"


def _needed(config: Config, name: str) -> str | None:
    return None if getattr(config.agent.chat, name) else "is needed with agent.brain = chat"


def _mcp(config: Config) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, server in enumerate(config.agent.mcp):
        path = f"agent.mcp[{index}]"
        checks = (
            ("name", slug(server.name) or ("is used twice" if server.name in seen else None)),
            ("url", url_or_empty(server.url)),
            ("command", None if bool(server.url) != bool(server.command) else "exactly one of url and command"),
            ("headers", header_lines(server.headers)),
            ("environment", environment_lines(server.environment)),
            ("tools", None if server.tools else "must name the tools that may be used, or *"),
            ("refresh_s", between(1)(server.refresh_s)),
        )
        yield from ((f"{path}.{name}", reason) for name, reason in checks if reason)
        seen.add(server.name)


COMBINATIONS: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    _ports,
    _playout,
    _stream,
    _twilio,
    _webrtc,
    _voice,
    _ears,
    _floor,
    _endpoints,
    _webhook_urls,
    _engine,
    _brain,
    _mcp,
)
