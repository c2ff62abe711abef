"""The table of routes: the whole REST API in one place."""

from __future__ import annotations

from typing import Any, Final

from agent.api.route import Param, Reply, Route
from agent.api.shapes import ID, NAME
from agent.store.interface import CallState

_CALL_ID: Final = Param(name="call_id", where="path", schema=ID, doc="The call")
_NAME: Final = Param(name="name", where="path", schema=NAME, doc="Its name")
_NO_CALL: Final = {404: "There is no such call, or it belongs to another tenant"}
_STEER: Final = {**_NO_CALL, 409: "The call is not in a state for that, or not live on this gateway"}
_NO_AGENT: Final = {404: "There is no such agent or version"}
_NO_ENDPOINT: Final = {404: "There is no such endpoint"}
_RECORDED_MS: Final = {"type": "integer", "minimum": 0, "maximum": 1_000_000_000}
_READ_ONLY: Final = {**_NO_ENDPOINT, 409: "The endpoint is of the configuration and is changed there"}


def _query(name: str, schema: dict[str, Any], doc: str, default: Any = None) -> Param:
    return Param(name=name, where="query", schema=schema, doc=doc, default=default)


_RECORDING_PART = _query(
    "part", {"type": "integer", "minimum": 1, "maximum": 9}, "Which file of a call that moved to another worker"
)


CALLS: Final = (
    Route(
        method="GET",
        path="/v1/calls",
        name="listCalls",
        tag="calls",
        summary="Calls, newest first",
        scope="calls:read",
        doc="A page may hold fewer calls than asked for; `next` says whether there are more.",
        params=(
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 200}, "Most calls of the page", 50),
            _query("before", ID, "`next` of the page before"),
            _query("state", {"type": "string", "enum": [state.value for state in CallState]}, "Only calls in it"),
            _query("live", {"type": "boolean"}, "true: only calls that are live on this gateway, on one page"),
        ),
        replies=(Reply(doc="A page", shape="Calls"),),
    ),
    Route(
        method="POST",
        path="/v1/calls",
        name="placeCall",
        tag="calls",
        summary="Place a call by SIP",
        scope="calls:write",
        doc="Returns when the call is in the store, not when it is answered: `call.started` or `call.ended` tell that. "
        "With an `Idempotency-Key` the same request is the same call, also after a restart.",
        params=(
            Param(
                name="Idempotency-Key",
                where="header",
                schema={"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
                doc="Yours; one key, one call",
            ),
        ),
        body="NewCall",
        replies=(
            Reply(status=201, doc="The call is being placed", shape="Call", headers={"Location": "Where the call is"}),
            Reply(doc="The call that this key has placed before", shape="Call"),
        ),
        problems={
            403: "The key lacks the scope, or no rule of `outbound.allow` fits the target",
            409: "The key was used with another request",
            422: "There is no such agent",
            429: "The tenant has `outbound.max_concurrent` calls, or too many wrong keys",
            503: "The gateway drains, has no caller's address, or the store does not answer",
        },
    ),
    Route(
        method="GET",
        path="/v1/calls/{call_id}",
        name="getCall",
        tag="calls",
        summary="One call",
        scope="calls:read",
        params=(_CALL_ID,),
        replies=(Reply(doc="The call; with `live` while it is live here", shape="Call"),),
        problems=_NO_CALL,
    ),
    Route(
        method="GET",
        path="/v1/calls/{call_id}/timeline",
        name="getTimeline",
        tag="calls",
        summary="What happened, by media time",
        scope="calls:read",
        doc="Floor transitions with reasons, turns, words, utterances with their heard and unheard part, how soon the "
        "agent answered, tools, and orders with the name of the key that gave them.",
        params=(_CALL_ID,),
        replies=(Reply(doc="All entries", shape="Timeline"),),
        problems=_NO_CALL,
    ),
    Route(
        method="GET",
        path="/v1/calls/{call_id}/events",
        name="getCallEvents",
        tag="calls",
        summary="Its events, and the attempts to deliver them",
        scope="calls:read",
        params=(_CALL_ID,),
        replies=(Reply(doc="By `seq`", shape="CallEvents"),),
        problems=_NO_CALL,
    ),
    Route(
        method="GET",
        path="/v1/calls/{call_id}/transcript",
        name="getTranscript",
        tag="calls",
        summary="What both sides have heard",
        scope="calls:read",
        doc="Of our side only what was played out; what the caller did not hear is under `unheard`.",
        params=(_CALL_ID,),
        replies=(Reply(doc="In order", shape="Transcript"),),
        problems=_NO_CALL,
    ),
    Route(
        method="GET",
        path="/v1/calls/{call_id}/recording",
        name="getRecording",
        tag="calls",
        summary="The recording: WAV, left the caller, right the agent",
        scope="recordings:read",
        params=(
            _CALL_ID,
            _RECORDING_PART,
            Param(
                name="Range",
                where="header",
                schema={"type": "string", "maxLength": 100},
                doc="`bytes=FROM-TO`: one range; anything else is ignored",
            ),
        ),
        replies=(
            Reply(doc="The whole file", content_type="audio/wav", headers={"Accept-Ranges": "bytes"}),
            Reply(status=206, doc="The range", content_type="audio/wav", headers={"Content-Range": "What it is"}),
        ),
        problems={404: "There is no such call, or no recording of it here", 416: "The range begins after the end"},
    ),
    Route(
        method="GET",
        path="/v1/calls/{call_id}/waveform",
        name="getWaveform",
        tag="calls",
        summary="Peaks of both sides of the recording",
        scope="recordings:read",
        params=(
            _CALL_ID,
            _RECORDING_PART,
            _query("points", {"type": "integer", "minimum": 10, "maximum": 4000}, "Stretches of equal length", 800),
            _query("from_ms", _RECORDED_MS, "Only from there on", 0),
            _query("to_ms", _RECORDED_MS, "Only until there"),
        ),
        replies=(Reply(doc="Peaks, 0 to 1", shape="Waveform"),),
        problems={404: "There is no such call, or no recording of it here"},
    ),
    Route(
        method="POST",
        path="/v1/calls/{call_id}/say",
        name="say",
        tag="steer",
        summary="Say a text after what is being said",
        scope="calls:steer",
        params=(_CALL_ID,),
        body="Say",
        replies=(Reply(status=202, doc="It will be said", shape="Ordered"),),
        problems=_STEER,
    ),
    Route(
        method="POST",
        path="/v1/calls/{call_id}/transfer",
        name="transfer",
        tag="steer",
        summary="Blind transfer",
        scope="calls:steer",
        doc="The outcome is a `transfer` entry of the timeline, and `call.transferred` or `call.transfer_failed`.",
        params=(_CALL_ID,),
        body="Transfer",
        replies=(Reply(status=202, doc="It is asked for", shape="Ordered"),),
        problems={**_STEER, 403: "The key lacks the scope, or `sip.transfer_targets` does not allow the target"},
    ),
    Route(
        method="POST",
        path="/v1/calls/{call_id}/hangup",
        name="hangUp",
        tag="steer",
        summary="End the call after what is being said",
        scope="calls:steer",
        params=(_CALL_ID,),
        replies=(Reply(status=202, doc="It ends", shape="Ordered"),),
        problems=_STEER,
    ),
)

AGENTS: Final = (
    Route(
        method="GET",
        path="/v1/agents",
        name="listAgents",
        tag="agents",
        summary="Agents",
        scope="agents:read",
        replies=(Reply(doc="The default one first", shape="Agents"),),
    ),
    Route(
        method="GET",
        path="/v1/agents/{name}",
        name="getAgent",
        tag="agents",
        summary="One agent and its versions",
        scope="agents:read",
        params=(_NAME,),
        replies=(Reply(doc="Newest version first", shape="AgentDetail"),),
        problems=_NO_AGENT,
    ),
    Route(
        method="GET",
        path="/v1/agents/{name}/versions/{version}",
        name="getAgentVersion",
        tag="agents",
        summary="The YAML of a version",
        scope="agents:read",
        params=(
            _NAME,
            Param(
                name="version",
                where="path",
                schema={"type": "integer", "minimum": 0, "maximum": 1000000},
                doc="Its number; 0: what the configuration names",
            ),
        ),
        replies=(Reply(doc="The text", shape="AgentText"),),
        problems=_NO_AGENT,
    ),
    Route(
        method="POST",
        path="/v1/agents/{name}/validate",
        name="validateAgent",
        tag="agents",
        summary="Check a dialogue without storing it",
        scope="agents:read",
        params=(_NAME,),
        body="Yaml",
        replies=(Reply(doc="What is wrong, with lines", shape="Verdict"),),
    ),
    Route(
        method="PUT",
        path="/v1/agents/{name}",
        name="putAgent",
        tag="agents",
        summary="Store a new version, and publish it if asked",
        scope="agents:write",
        doc="Versions never change. A published one answers new calls; running calls keep theirs.",
        params=(_NAME,),
        body="NewVersion",
        replies=(Reply(status=201, doc="The version", shape="AgentVersion"),),
        problems={
            409: "There are too many agents or versions",
            422: "The dialogue is not valid; `problems` says where",
        },
        operator=True,
    ),
    Route(
        method="POST",
        path="/v1/agents/{name}/publish",
        name="publishAgent",
        tag="agents",
        summary="Let a stored version answer new calls (also: roll back to it)",
        scope="agents:write",
        params=(_NAME,),
        body="Publish",
        replies=(Reply(doc="The version that answers now", shape="AgentVersion"),),
        problems={**_NO_AGENT, 422: "The version is not valid for this release"},
        operator=True,
    ),
    Route(
        method="POST",
        path="/v1/agents/{name}/rollback",
        name="rollBackAgent",
        tag="agents",
        summary="Publish the version that answered before",
        scope="agents:write",
        params=(_NAME,),
        replies=(Reply(doc="The version that answers now", shape="AgentVersion"),),
        problems={**_NO_AGENT, 409: "No other version has answered before", 422: "That version is not valid any more"},
        operator=True,
    ),
)

WEBHOOKS: Final = (
    Route(
        method="GET",
        path="/v1/webhooks",
        name="listWebhooks",
        tag="webhooks",
        summary="Endpoints",
        scope="webhooks:read",
        replies=(Reply(doc="Those of the configuration first", shape="Endpoints"),),
        operator=True,
    ),
    Route(
        method="POST",
        path="/v1/webhooks",
        name="createWebhook",
        tag="webhooks",
        summary="Add an endpoint",
        scope="webhooks:write",
        doc="It gets what happens from now on.",
        body="NewEndpoint",
        replies=(Reply(status=201, doc="With its secret, shown this once", shape="EndpointSecret"),),
        problems={409: "The name is taken, or there are too many", 422: "Webhooks may not go to that URL"},
        operator=True,
    ),
    Route(
        method="DELETE",
        path="/v1/webhooks/{name}",
        name="deleteWebhook",
        tag="webhooks",
        summary="Remove an endpoint",
        scope="webhooks:write",
        doc="What waits for it becomes dead letters.",
        params=(_NAME,),
        replies=(Reply(status=204, doc="It is gone", content_type=""),),
        problems=_READ_ONLY,
        operator=True,
    ),
    Route(
        method="POST",
        path="/v1/webhooks/{name}/test",
        name="testWebhook",
        tag="webhooks",
        summary="Send a signed `test.ping` now",
        scope="webhooks:write",
        params=(_NAME,),
        replies=(Reply(doc="What came of it", shape="Attempt"),),
        problems=_NO_ENDPOINT,
        operator=True,
    ),
    Route(
        method="POST",
        path="/v1/webhooks/{name}/replay",
        name="replayWebhook",
        tag="webhooks",
        summary="Send a call's stored events again, now",
        scope="webhooks:write",
        doc="By `seq`, at most 50, with the `webhook-id` that they had; stops at the first that fails.",
        params=(_NAME,),
        body="Replay",
        replies=(Reply(doc="What came of each", shape="Replayed"),),
        problems={404: "There is no such endpoint, call or event"},
        operator=True,
    ),
    Route(
        method="POST",
        path="/v1/webhooks/{name}/rotate",
        name="rotateWebhook",
        tag="webhooks",
        summary="Change the secret; for a while both sign",
        scope="webhooks:write",
        params=(_NAME,),
        body="Rotate",
        body_optional=True,
        replies=(Reply(doc="The new secret, shown this once", shape="EndpointSecret"),),
        problems=_READ_ONLY,
        operator=True,
    ),
)

SERVICE: Final = (
    Route(
        method="GET",
        path="/v1/events",
        name="watchEvents",
        tag="events",
        summary="Live events (Server-Sent Events)",
        scope="calls:read",
        doc="`event:` is the kind (`state floor turn words utterance overlap tool quality call.started …`), `data:` is "
        "`{call_id, at_ms, data}`. A client that falls 512 events behind loses the oldest, and is told by an event "
        "`lost` with their number. `Last-Event-ID` resumes from the last 2,000 events of this gateway.",
        params=(
            _query("call_id", ID, "Only of this call"),
            _query("kinds", {"type": "string", "pattern": "^[a-z_.,]{1,200}$"}, "Only these, separated by commas"),
            Param(
                name="Last-Event-ID",
                where="header",
                schema={"type": "string", "maxLength": 64},
                doc="The last `id:` that was seen",
            ),
        ),
        replies=(Reply(doc="A stream without end", content_type="text/event-stream"),),
        problems={429: "Too many streams, or too many wrong keys"},
    ),
    Route(
        method="GET",
        path="/v1/workers",
        name="listWorkers",
        tag="service",
        summary="Workers with their rows and step times",
        scope="service:read",
        replies=(Reply(doc="Those that are connected", shape="Workers"),),
        operator=True,
    ),
    Route(
        method="GET",
        path="/v1/health",
        name="getHealth",
        tag="service",
        summary="Is it well?",
        scope="service:read",
        replies=(Reply(doc="The service as a whole", shape="Health"),),
        operator=True,
    ),
    Route(
        method="GET",
        path="/v1/whoami",
        name="whoami",
        tag="service",
        summary="What this key may",
        scope="",
        replies=(Reply(doc="The key's name, tenant and scopes", shape="Whoami"),),
    ),
)

ROUTES: Final[tuple[Route, ...]] = (*CALLS, *AGENTS, *WEBHOOKS, *SERVICE)
