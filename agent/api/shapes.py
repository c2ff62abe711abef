"""JSON shapes of requests and answers: ``components.schemas`` of the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from agent.api.keys import SCOPES
from agent.api.route import ref
from agent.events.names import EndReason, Result, WebhookEvent
from agent.store.interface import CallState

ID: Final = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}
NAME: Final = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"}
TEXT: Final = {"type": "string"}
TIME: Final = {"type": "number", "description": "UTC, seconds since 1970"}
MAYBE_TIME: Final = {"type": ["number", "null"], "description": "UTC, seconds since 1970"}
COUNT: Final = {"type": "integer", "minimum": 0}
FREE: Final = {"type": "object"}
EVENTS: Final = sorted({"*", *(event.value for event in WebhookEvent)})


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def _list(item: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": item, **more}


_LIVE: Final = _object(
    {
        "state": {"enum": [state.value for state in CallState]},
        "floor": {"type": "string", "description": "OPEN CALLER AGENT OVERLAP YIELDING, lower case; empty before"},
        "media_ms": {**COUNT, "description": "Media time since the answer"},
        "worker": TEXT,
        "row": {"type": ["integer", "null"]},
        "turns": COUNT,
        "interruptions": COUNT,
        "response_ms": {"type": ["integer", "null"], "description": "The last answer came that long after the caller"},
        "quality": {**FREE, "description": "sent received lost late jitter_ms delay_ms; empty until first reported"},
        "is_recorded": {"type": "boolean"},
    }
)
_CALL: Final = {
    "call_id": ID,
    "tenant": TEXT,
    "agent": TEXT,
    "transport": TEXT,
    "direction": {"enum": ["inbound", "outbound"]},
    "from_uri": TEXT,
    "to_uri": TEXT,
    "state": {"enum": [state.value for state in CallState]},
    "owner": {"type": "string", "description": "Gateway that has the call"},
    "fence": {"type": "integer"},
    "created_at": TIME,
    "answered_at": MAYBE_TIME,
    "ended_at": MAYBE_TIME,
    "result": {"enum": ["", *(result.value for result in Result)]},
    "reason": {"enum": ["", *(reason.value for reason in EndReason)]},
    "data": {**FREE, "description": "Turns, response times, media counters, `dial` of a call that nobody answered"},
}
_ENDPOINT: Final = {
    "name": NAME,
    "url": TEXT,
    "events": _list({"enum": EVENTS}),
    "source": {"enum": ["configuration", "api"], "description": "Those of the configuration are changed there"},
    "created_at": MAYBE_TIME,
    "is_disabled": {"type": "boolean", "description": "It answered 410"},
    "rotates_until": {**MAYBE_TIME, "description": "Until then the old secret signs as well"},
}
_ATTEMPT: Final = {
    "at": TIME,
    "status": {"type": ["integer", "null"], "description": "HTTP status; null: no answer"},
    "latency_ms": COUNT,
    "error": {"type": "string", "description": "Empty: delivered"},
}
_WORKER: Final = {
    "name": TEXT,
    "pid": {"type": "integer"},
    "rows": {**COUNT, "description": "Calls that it takes at most"},
    "seats": {**COUNT, "description": "Calls that it has"},
    "model": TEXT,
    "step_ms": {**COUNT, "description": "Time between two steps"},
    "measured_p99_ms": {**FREE, "description": "Measured at its start: rows to p99 of a step of so many"},
}
_WORKER_STATS: Final = {
    "step_p50_ms": {"type": "number", "description": "What a step takes; this and what follows, once it has reported"},
    "step_p99_ms": {"type": "number"},
    "late_rows": {**COUNT, "description": "Frames that did not come in time"},
    "overruns": {**COUNT, "description": "Steps that took longer than `step_ms`"},
    "failed_rows": {**COUNT, "description": "Calls given up because their own row failed"},
    "degradation": {**COUNT, "description": "Given up: 0 nothing, 1 early preparation, 2 new calls"},
    "recognisers": _object(
        {"wanted": COUNT, "live": COUNT, "restarts": COUNT, "given_up": {**COUNT, "description": "Utterances unheard"}}
    ),
}
_VERSION: Final = _object(
    {
        "version": {"type": "integer", "minimum": 0, "description": "0: what the configuration names"},
        "created_at": MAYBE_TIME,
        "note": TEXT,
        "sha256": TEXT,
        "is_active": {"type": "boolean"},
    }
)
_YAML: Final = {"type": "string", "minLength": 1, "maxLength": 65536, "description": "A dialogue, as in a file"}
_VARIABLES: Final = {
    "type": "object",
    "maxProperties": 64,
    "description": "What the dialogue is told, as by `call.incoming`",
}

SHAPES: Final[dict[str, dict[str, Any]]] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457",
        "properties": {
            "type": TEXT,
            "status": {"type": "integer"},
            "title": TEXT,
            "detail": TEXT,
            "problems": _list(TEXT, description="Each place that is wrong, and why"),
        },
        "required": ["type", "status", "title", "detail"],
    },
    "Live": _LIVE,
    "Call": _object(_CALL, {"live": {**ref("Live"), "description": "While the call is live on this gateway"}}),
    "Calls": _object(
        {"calls": _list(ref("Call")), "next": {"type": ["string", "null"], "description": "`before` of the next page"}}
    ),
    "NewCall": _object(
        {
            "to": {
                "type": "string",
                "minLength": 5,
                "maxLength": 256,
                "description": "`sip:user@host[:port]`, or by Twilio `tel:+15551234567`",
                "examples": ["sip:test@127.0.0.1:5070"],
            }
        },
        {
            "from": {
                "type": "string",
                "pattern": "^(sip:[A-Za-z0-9+._-]{1,64}@[A-Za-z0-9.-]{1,128}(:[0-9]{1,5})?|tel:[+][0-9]{5,15})$",
                "description": "Caller's address; default: `outbound.caller`, to a `tel:` target `twilio.caller`",
            },
            "agent": {**NAME, "description": "Default: the configured agent"},
            "variables": _VARIABLES,
            "record": {"type": "boolean", "description": "Default: `recording.enabled`"},
            "ring_limit_s": {"type": "integer", "minimum": 5, "maximum": 110},
        },
    ),
    "TimelineEntry": _object({"at_ms": {"type": "integer"}, "kind": TEXT, "data": FREE}),
    "Timeline": _object({"entries": _list(ref("TimelineEntry"))}),
    "StoredEvent": _object(
        {"event_id": TEXT, "call_id": ID, "seq": {"type": "integer"}, "name": TEXT, "at": TIME, "data": FREE}
    ),
    "CallEvents": _object(
        {
            "events": _list(ref("StoredEvent")),
            "attempts": _list(ref("DeliveryAttempt"), description="In the order in which they were made"),
        }
    ),
    "DeliveryAttempt": _object({"endpoint": TEXT, "event_id": TEXT, "name": TEXT, **_ATTEMPT}),
    "Said": _object(
        {
            "at_ms": {"type": "integer"},
            "speaker": {"enum": ["caller", "agent"]},
            "text": {"type": "string", "description": "What the caller said, or what of ours was heard"},
            "unheard": {"type": "string", "description": "What of ours the caller did not hear"},
            "complete": {"type": "boolean"},
        }
    ),
    "Transcript": _object({"call_id": ID, "items": _list(ref("Said"))}),
    "Waveform": _object(
        {
            "duration_ms": {**COUNT, "description": "Of the whole recording"},
            "from_ms": {**COUNT, "description": "Where the peaks begin; the recording itself begins at 0"},
            "length_ms": {**COUNT, "description": "How much the peaks are of"},
            "points": COUNT,
            "caller": _list({"type": "number", "minimum": 0, "maximum": 1}, description="Peak of each stretch"),
            "agent": _list({"type": "number", "minimum": 0, "maximum": 1}),
        }
    ),
    "Say": _object(
        {"text": {"type": "string", "minLength": 1, "maxLength": 1000}},
        {"interruptible": {"type": "boolean", "default": True}},
    ),
    "Transfer": _object({"target": {"type": "string", "minLength": 5, "maxLength": 256}}),
    "Ordered": _object({"call_id": ID, "accepted": {"const": True}}),
    "Agent": _object(
        {
            "name": NAME,
            "is_default": {"type": "boolean", "description": "Answers every call that names no other"},
            "brain": TEXT,
            "active": {"type": "integer", "minimum": 0, "description": "Version that answers new calls"},
            "versions": COUNT,
        }
    ),
    "Agents": _object({"agents": _list(ref("Agent"))}),
    "AgentVersion": _VERSION,
    "AgentDetail": _object(
        {
            "name": NAME,
            "is_default": {"type": "boolean"},
            "brain": TEXT,
            "active": COUNT,
            "versions": _list(ref("AgentVersion")),
        }
    ),
    "AgentText": _object({"name": NAME, "version": COUNT, "yaml": TEXT}),
    "Yaml": _object({"yaml": _YAML}),
    "NewVersion": _object(
        {"yaml": _YAML},
        {"note": {"type": "string", "maxLength": 200}, "publish": {"type": "boolean", "default": False}},
    ),
    "Verdict": _object(
        {
            "valid": {"type": "boolean"},
            "problems": _list(_object({"line": {"type": "integer", "minimum": 0}, "reason": TEXT})),
        }
    ),
    "Publish": _object({"version": {"type": "integer", "minimum": 0, "maximum": 1000000}}),
    "Endpoint": _object(_ENDPOINT),
    "Endpoints": _object({"endpoints": _list(ref("Endpoint"))}),
    "NewEndpoint": _object(
        {"name": NAME, "url": {"type": "string", "minLength": 8, "maxLength": 2048}},
        {"events": _list({"enum": EVENTS}, minItems=1, maxItems=len(EVENTS))},
    ),
    "EndpointSecret": _object(
        {"endpoint": ref("Endpoint"), "secret": {"type": "string", "description": "Shown this once"}}
    ),
    "Rotate": _object({}, {"overlap_s": {"type": "integer", "minimum": 0, "maximum": 604800, "default": 86400}}),
    "Replay": _object({"call_id": ID}, {"seq": {"type": "integer", "minimum": 1, "maximum": 1000000}}),
    "Attempt": _object(_ATTEMPT),
    "Replayed": _object({"attempts": _list(_object({"event_id": TEXT, "name": TEXT, **_ATTEMPT}))}),
    "Worker": _object(_WORKER, _WORKER_STATS),
    "Workers": _object({"workers": _list(ref("Worker"))}),
    "Health": {
        "type": "object",
        "properties": {
            "status": {"enum": ["ready", "draining", "degraded"]},
            "version": TEXT,
            "calls": COUNT,
            "voice": FREE,
            "ears": FREE,
            "workers": _list(ref("Worker")),
            "edge": FREE,
            "sip": {**FREE, "description": "`port` where calls come by SIP"},
            "store": _object({"is_away": {"type": "boolean"}, "backlog_bytes": COUNT}),
            "webhooks": _object({"backlog": {"type": ["integer", "null"]}, "disabled": _list(TEXT)}),
            "watchers": COUNT,
            "api": _object({"auth": {"enum": ["open", "keys"]}}),
        },
        "required": ["status", "version", "calls", "workers", "store", "webhooks", "api"],
    },
    "Whoami": _object({"name": TEXT, "tenant": TEXT, "scopes": _list({"enum": list(SCOPES)})}),
}
