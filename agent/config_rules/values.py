"""The rule of each key that has one."""

from __future__ import annotations

import re

from agent.config_rules.addresses import (
    address_or_empty,
    caller_or_empty,
    dial_rules,
    even_port,
    fallback_or_empty,
    named_targets,
    networks,
    number_or_empty,
    store_url,
    target_or_empty,
    url_or_empty,
    worker_addresses,
    ws_url_or_empty,
)
from agent.config_rules.rule import (
    NOT_NEGATIVE,
    ONE_OR_MORE,
    PORT,
    POSITIVE,
    SCORE,
    Rule,
    above,
    between,
    not_empty,
    one_of,
)
from agent.config_rules.texts import (
    header_lines,
    hex_or_empty,
    json_object_or_empty,
    secret_or_empty,
    short_texts,
    slug,
)
from agent.model.names import ModelName, RecogniserName

MOST_DECISION_S = 4.0
"""Longest that a caller may wait for ``call.incoming``."""


def model_or_folder(value: object) -> str | None:
    """A path is looked at when the service starts."""
    return None if "/" in str(value) else one_of(*ModelName)(value)


def device(value: object) -> str | None:
    known = value in ("auto", "cpu", "cuda") or re.fullmatch(r"cuda:\d{1,2}", str(value))
    return None if known else f"must be auto, cpu, cuda or cuda:N, not {value!r}"


def phase_count(value: object) -> str | None:
    """Frames are sent half of the phases after they came in."""
    return None if value in (2, 4, 8, 10, 20) else f"must be 2, 4, 8, 10 or 20, not {value}"


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
        "ears.recogniser": one_of(*RecogniserName),
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
