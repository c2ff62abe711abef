"""What a configuration must fulfil beyond its types. Pure: a configuration in, problems out.

``VALUES`` holds the rules of single keys, ``COMBINATIONS`` those that look at several.
A reason never repeats the value of a secret.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from urllib.parse import urlsplit

from agent.config import Config
from agent.dialplan import rule_problem
from agent.events.names import WebhookEvent
from telephony.webrtc.servers import check_url

Problem = tuple[str, str]
"""Dotted path and reason."""
Rule = Callable[[object], str | None]
"""Value to the reason why it cannot be used, or ``None``."""

CALLER = re.compile(r"sip:[A-Za-z0-9+._-]{1,64}@[A-Za-z0-9.-]{1,128}(:[0-9]{1,5})?")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[ \t]*[^\r\n\x00]*")
TARGET = re.compile(r"[A-Za-z0-9_ -]{1,40}=(sips?|tel):\S+")
SECRET_BYTES = range(24, 65)  # Standard Webhooks specification, "Signature scheme"
MOST_DECISION_S = 4.0
MOST_ASIDE_WORDS = 4
"""Longest that a caller may wait for ``call.incoming``."""


def between(low: float, high: float = math.inf) -> Rule:
    """Numbers from ``low`` to ``high``, both included."""
    wanted = f"must be {low:g} or more" if high == math.inf else f"must lie in {low:g} to {high:g}"

    def rule(value: object) -> str | None:
        fits = isinstance(value, int | float) and low <= value <= high
        return None if fits else f"{wanted}, not {value}"

    return rule


def above(low: float, high: float = math.inf) -> Rule:
    """Numbers greater than ``low`` and at most ``high``."""
    wanted = f"must be more than {low:g}" + ("" if high == math.inf else f" and at most {high:g}")

    def rule(value: object) -> str | None:
        fits = isinstance(value, int | float) and low < value <= high and value != math.inf
        return None if fits else f"{wanted}, not {value}"

    return rule


def one_of(*names: str) -> Rule:
    return lambda value: None if value in names else f"must be one of {', '.join(names)}, not {value!r}"


def model_or_folder(value: object) -> str | None:
    """A path is looked at when the service starts."""
    return None if "/" in str(value) else one_of("small", "parts", "vad", "echo", "talker", "silent", "marker")(value)


def device(value: object) -> str | None:
    known = value in ("auto", "cpu", "cuda") or re.fullmatch(r"cuda:\d{1,2}", str(value))
    return None if known else f"must be auto, cpu, cuda or cuda:N, not {value!r}"


def worker_addresses(value: object) -> str | None:
    for text in value if isinstance(value, tuple) else ():
        host, _, port = str(text).rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            return f"must hold host:port, not {text!r}"
    return None


def networks(value: object) -> str | None:
    for text in value if isinstance(value, tuple) else ():
        try:
            ipaddress.ip_network(text)
        except ValueError as wrong:
            return f"is not a network: {wrong}"
    return None


def address_or_empty(value: object) -> str | None:
    if not value:
        return None
    try:
        address = ipaddress.ip_address(str(value))
    except ValueError:
        return f"must be an IP address, not {value!r}"
    return "must be an address that a peer can send to" if address.is_unspecified or address.is_multicast else None


def short_texts(value: object) -> str | None:
    """Each is said within a pause of the caller."""
    texts = value if isinstance(value, tuple) else ()
    wrong = next((text for text in texts if not 0 < len(text.split()) <= MOST_ASIDE_WORDS), None)
    return None if wrong is None else f"must be texts of one to {MOST_ASIDE_WORDS} words, not {wrong!r}"


def not_empty(value: object) -> str | None:
    return None if value else "must not be empty"


def slug(value: object) -> str | None:
    return None if SLUG.fullmatch(str(value)) else "must be letters, digits, '.', '_' or '-', at most 63"


def url_or_empty(value: object) -> str | None:
    if not value:
        return None
    try:
        parts = urlsplit(str(value))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as wrong:
        return f"is not a URL: {wrong}"
    return None if usable else "must be a URL with http:// or https:// and a host"


def json_object_or_empty(value: object) -> str | None:
    try:
        return None if not value or isinstance(json.loads(str(value)), dict) else "must be a JSON object"
    except (ValueError, RecursionError):
        return "is not valid JSON"


def header_lines(value: object) -> str | None:
    """``Name: value`` each; the reason never repeats one, it may be a password."""
    lines = value if isinstance(value, tuple) else ()
    return None if all(HEADER.fullmatch(line) for line in lines) else "must be lines of the form Name: value"


def environment_lines(value: object) -> str | None:
    lines = value if isinstance(value, tuple) else ()
    return None if all(line.partition("=")[1] and line[0] != "=" for line in lines) else "must be lines NAME=value"


def named_targets(value: object) -> str | None:
    lines = value if isinstance(value, tuple) else ()
    return None if all(TARGET.fullmatch(line) for line in lines) else "must be of the form name=sip:user@host"


def target_or_empty(value: object) -> str | None:
    return None if not value or str(value).startswith(("sip:", "sips:", "tel:")) else "must begin with sip: or tel:"


def secret_or_empty(value: object) -> str | None:
    """One secret, or two with a space between while they change; each ``whsec_`` and base64 of 24 to 64 bytes."""
    return next((reason for one in str(value).split() if (reason := _secret(one))), None)


def _secret(text: str) -> str | None:
    prefix, _, encoded = text.partition("_")
    if prefix != "whsec":
        return "must begin with whsec_"
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        return "is not valid base64 after whsec_"
    return None if size in SECRET_BYTES else f"must hold 24 to 64 bytes, not {size}"


def store_url(value: object) -> str | None:
    text = str(value)
    if text.startswith("sqlite:"):
        return None if len(text) > len("sqlite:") else "needs a path after sqlite:"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    return None if usable else "must be sqlite:PATH or redis://host:port/db"


FALLBACK = re.compile(r"\+[1-9][0-9]{6,14}|sips?:[^@\s]{1,64}@[A-Za-z0-9.:-]{1,253}")


def fallback_or_empty(value: object) -> str | None:
    text = str(value)
    if text.startswith("http"):
        return url_or_empty(text)
    return None if not text or FALLBACK.fullmatch(text) else "must be a URL, a number (+E.164), or sip:user@host"


def ws_url_or_empty(value: object) -> str | None:
    if not value:
        return None
    try:
        parts = urlsplit(str(value))
        usable = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError as wrong:
        return f"is not a URL: {wrong}"
    return None if usable else "must be a URL with ws:// or wss:// and a host"


def dial_rules(value: object) -> str | None:
    for rule in value if isinstance(value, tuple) else ():
        if (why := rule_problem(str(rule))) is not None:
            return why
    return None


def caller_or_empty(value: object) -> str | None:
    return None if not value or CALLER.fullmatch(str(value)) else "must be sip:user@host, or empty"


def number_or_empty(value: object) -> str | None:
    return None if re.fullmatch(r"(\+[0-9]{5,15})?", str(value)) else "must be a number with its country, +15551234567"


def hex_or_empty(value: object) -> str | None:
    return None if re.fullmatch(r"([0-9a-f]{64})?", str(value)) else "must be 64 hex digits"


def even_port(value: object) -> str | None:
    fits = isinstance(value, int) and 1024 <= value <= 65534 and value % 2 == 0
    return None if fits else f"must be an even port in 1024 to 65534, not {value}"


def phase_count(value: object) -> str | None:
    """Frames are sent half of the phases after they came in."""
    return None if value in (2, 4, 8, 10, 20) else f"must be 2, 4, 8, 10 or 20, not {value}"


PORT = between(0, 65535)
SCORE = between(0, 1)
ONE_OR_MORE = between(1)
POSITIVE = above(0)
NOT_NEGATIVE = between(0)

VALUES: dict[str, Rule] = (
    {
        "sip.host": not_empty,
        "sip.port": PORT,
        "sip.advertised_address": address_or_empty,
        "sip.allow": networks,
        "sip.session_expires_s": between(90, 86400),  # RFC 4028 section 5: no interval under 90 s
        "sip.max_half_open": ONE_OR_MORE,
        "media.port_min": even_port,
        "media.port_max": between(1025, 65535),
        "media.phases": phase_count,
        "media.playout_min_ms": between(0, 100),
        "media.playout_start_ms": between(0, 100),
        "media.playout_max_ms": between(0, 100),
        "media.first_packet_timeout_s": POSITIVE,
        "media.silence_timeout_s": POSITIVE,
        "media.port_rest_s": NOT_NEGATIVE,
        "stream.host": not_empty,
        "stream.port": PORT,
        "stream.public_url": ws_url_or_empty,
        "stream.max_calls": between(1, 1024),
        "stream.silence_timeout_s": between(6, 3600),
        "twilio.public_url": url_or_empty,
        "twilio.stream_url": ws_url_or_empty,
        "twilio.rest_url": url_or_empty,
        "twilio.fallback": fallback_or_empty,
        "twilio.caller": number_or_empty,
        "webrtc.enabled": one_of("auto", "on", "off"),
        "webrtc.opus_complexity": between(0, 10),
        "webrtc.port_min": PORT,
        "webrtc.port_max": PORT,
        "webrtc.advertised_address": address_or_empty,
        "webrtc.resume_s": between(0, 60),
        "webrtc.max_calls": between(1, 1024),
        "webrtc.secret": hex_or_empty,
        "http.host": not_empty,
        "http.port": PORT,
        "api.folder": not_empty,
        "outbound.allow": dial_rules,
        "outbound.caller": caller_or_empty,
        "outbound.max_concurrent": between(0, 100_000),
        "outbound.ring_limit_s": between(5, 110),  # the SIP core gives up after 120 s
        "engine.model": model_or_folder,
        "engine.device": device,
        "engine.window_s": between(0, 3600),
        "engine.short_rows": between(0, 65535),
        "engine.short_window_s": above(0, 3600),
        "engine.workers": between(0, 1024),
        "engine.remote": worker_addresses,
        "engine.spare": between(0, 1024),
        "engine.rows": between(1, 65536),
        "engine.step_budget": above(0, 1),
        "ears.recogniser": one_of("pocketsphinx", "words", "both", "sherpa", "pipecat", "none"),
        "ears.recogniser_processes": between(1, 256),
        "voice.engine": one_of("auto", "flite", "pico", "kokoro", "piper", "marker"),
        "voice.processes": between(1, 256),
        "voice.cache_phrases": NOT_NEGATIVE,
        "agent.name": slug,
        "agent.brain": one_of("flow", "chatter", "chat", "relay", "native"),
        "agent.native.seed": between(-1, 2**31 - 1),
        "agent.max_duration_s": ONE_OR_MORE,
        "agent.decision_url": url_or_empty,
        "agent.tool_url": url_or_empty,
        "agent.on_decision_failure": one_of("accept", "reject", "busy"),
        "agent.decision_budget_s": above(0, MOST_DECISION_S),
        "agent.tool_budget_s": above(0, 60),
        "agent.chat.url": url_or_empty,
        "agent.chat.extra": json_object_or_empty,
        "agent.chat.transfers": named_targets,
        "agent.chat.give_up_target": target_or_empty,
        "agent.chat.most_failures": ONE_OR_MORE,
        "agent.chat.filler_after_ms": between(100, 10000),
        "agent.chat.first_token_budget_s": above(0, 60),
        "agent.chat.stall_s": above(0, 60),
        "agent.chat.answer_budget_s": above(0, 300),
        "agent.chat.most_words": between(1, 2000),
        "agent.chat.keys_gap_ms": between(100, 10000),
        "agent.chat.history_characters": between(1000),
        "agent.relay.url": ws_url_or_empty,
        "agent.relay.headers": header_lines,
        "agent.relay.give_up_target": target_or_empty,
        "agent.relay.handoff_target": target_or_empty,
        "agent.relay.filler_after_ms": between(100, 10000),
        "agent.relay.first_token_budget_s": above(0, 60),
        "agent.relay.connect_budget_s": above(0, 60),
        "agent.relay.most_words": between(1, 5000),
        "store.url": store_url,
        "store.lease_s": above(1, 3600),
        "store.spill": not_empty,
        "webhooks.secret": secret_or_empty,
        "webhooks.allow_networks": networks,
        "recording.folder": not_empty,
        "models.folder": not_empty,
        "log.format": one_of("auto", "json", "human"),
        "log.level": one_of("debug", "info", "warning", "error"),
        "service.gateway": slug,
        "service.drain_s": NOT_NEGATIVE,
    }
    | {
        f"agent.floor.{name}": SCORE
        for name in ("speech_on", "speech_off", "take_score", "backchannel_score", "end_score")
    }
    | {
        f"agent.floor.{name}_ms": NOT_NEGATIVE
        for name in ("start_after", "duck_after", "restore_after", "gap", "agree", "pause_after", "reopen", "run_on")
    }
    | {f"agent.floor.{name}_ms": ONE_OR_MORE for name in ("yield_after", "yield_judged", "backstop", "max_turn")}
    | {"agent.floor.duck_db": between(-60, 0)}
    | {"agent.behaviour.interrupt_confidence": SCORE, "agent.behaviour.interrupt_after_ms": NOT_NEGATIVE}
    | {"agent.behaviour.backchannel_after_ms": ONE_OR_MORE, "agent.behaviour.backchannel_phrases": short_texts}
)


def _ports(config: Config) -> Iterator[Problem]:
    if config.media.port_min >= config.media.port_max:
        yield "media.port_min", f"must be less than media.port_max ({config.media.port_max})"


def _playout(config: Config) -> Iterator[Problem]:
    media = config.media
    if not media.playout_min_ms <= media.playout_start_ms <= media.playout_max_ms:
        yield "media.playout_start_ms", "must lie between media.playout_min_ms and media.playout_max_ms"


CARRIERS = ("twilio", "telnyx", "plivo")
DOORS = ("pcm", "live", *CARRIERS)
LOOPBACK = ("localhost", "::1")


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
    if config.ears.recogniser == "sherpa" and not config.ears.sherpa_model:
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
    if agent.brain == "native" and config.engine.workers and config.engine.model in ("parts", "small", "vad", "silent"):
        yield "agent.brain", f"native wants a model that speaks, and engine.model = {config.engine.model} does not"
    narrow = config.ears.recogniser
    listens = config.engine.model in ("parts", "small") and narrow in ("pocketsphinx", "words", "both")
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


def problems(config: Config) -> list[Problem]:
    """Everything that is wrong with ``config``; combinations are looked at only where single values are right."""
    found = [(path, reason) for path, rule in VALUES.items() if (reason := rule(attrgetter(path)(config)))]
    if found:
        return found
    return [problem for rule in COMBINATIONS for problem in rule(config)]
