"""Every name that leaves the service: webhook events, log events, results and reasons. One list, tested both ways."""

from __future__ import annotations

from enum import StrEnum


class WebhookEvent(StrEnum):
    """Events by Standard Webhooks; ordered per call by ``seq``."""

    CALL_INCOMING = "call.incoming"
    """Synchronous: asks what to do with a call. Not stored in the outbox."""
    CALL_STARTED = "call.started"
    CALL_TURN = "call.turn"
    CALL_INTERRUPTED = "call.interrupted"
    CALL_DTMF = "call.dtmf"
    CALL_TRANSFERRED = "call.transferred"
    CALL_TRANSFER_FAILED = "call.transfer_failed"
    """The caller is still here, and the agent goes on with them."""
    CALL_ENDED = "call.ended"
    """Exactly one per call that was offered and not refused before it had a record."""
    RECORDING_READY = "recording.ready"
    TOOL_CALL = "tool.call"
    """Synchronous: asks for a tool's result. Not stored in the outbox."""
    DISCLOSURE_COMPLETED = "disclosure.completed"
    TEST_PING = "test.ping"
    """Sent on demand, to try an endpoint. Not stored in the outbox."""


class Result(StrEnum):
    """How a call ended, for whom."""

    SUCCESS = "success"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    UPSTREAM_ERROR = "upstream_error"
    INDETERMINATE = "indeterminate"


class EndReason(StrEnum):
    """Why a call ended: one slug for each way."""

    CALLER_HANGUP = "caller_hangup"
    AGENT_HANGUP = "agent_hangup"
    OPERATOR_HANGUP = "operator_hangup"
    TRANSFERRED = "transferred"
    CANCELLED = "cancelled"
    REFUSED_BY_POLICY = "refused_by_policy"
    NO_CAPACITY = "no_capacity"
    NO_MEDIA = "no_media"
    NO_ACK = "no_ack"
    MEDIA_TIMEOUT = "media_timeout"
    MAX_DURATION = "max_duration"
    DRAINED = "drained"
    NOT_ACCEPTABLE = "not_acceptable"
    DIAL_FAILED = "dial_failed"
    WORKER_LOST = "worker_lost"
    EDGE_LOST = "edge_lost"
    GATEWAY_LOST = "gateway_lost"
    INTERNAL_ERROR = "internal_error"


RESULT_OF: dict[EndReason, Result] = {
    EndReason.CALLER_HANGUP: Result.SUCCESS,
    EndReason.AGENT_HANGUP: Result.SUCCESS,
    EndReason.OPERATOR_HANGUP: Result.SUCCESS,
    EndReason.TRANSFERRED: Result.SUCCESS,
    EndReason.CANCELLED: Result.SUCCESS,
    EndReason.REFUSED_BY_POLICY: Result.SUCCESS,
    EndReason.NO_CAPACITY: Result.SERVER_ERROR,
    EndReason.NO_MEDIA: Result.CLIENT_ERROR,
    EndReason.NO_ACK: Result.CLIENT_ERROR,
    EndReason.MEDIA_TIMEOUT: Result.CLIENT_ERROR,
    EndReason.MAX_DURATION: Result.SUCCESS,
    EndReason.DRAINED: Result.SUCCESS,
    EndReason.NOT_ACCEPTABLE: Result.CLIENT_ERROR,
    EndReason.DIAL_FAILED: Result.UPSTREAM_ERROR,
    EndReason.WORKER_LOST: Result.SERVER_ERROR,
    EndReason.EDGE_LOST: Result.SERVER_ERROR,
    EndReason.GATEWAY_LOST: Result.SERVER_ERROR,
    EndReason.INTERNAL_ERROR: Result.SERVER_ERROR,
}


class LogEvent(StrEnum):
    """Log events: ``area.thing_happened``. Values are fields, never part of the name."""

    SERVICE_STARTING = "service.starting"
    SERVICE_READY = "service.ready"
    SERVICE_DRAINING = "service.draining"
    SERVICE_STOPPED = "service.stopped"
    PROCESS_STARTED = "process.started"
    PROCESS_EXITED = "process.exited"
    PROCESS_GAVE_UP = "process.gave_up"
    CALL_OFFERED = "call.offered"
    CALL_REFUSED = "call.refused"
    CALL_ANSWERED = "call.answered"
    CALL_RESEATED = "call.reseated"
    CALL_ENDED = "call.ended"
    CALL_REAPED = "call.reaped"
    CALL_FAILED = "call.failed"
    CALL_NOT_WRITTEN = "call.not_written"
    TURN_COMMITTED = "turn.committed"
    FLOOR_YIELDED = "floor.yielded"
    TOOL_CALLED = "tool.called"
    TOOL_FAILED = "tool.failed"
    DECISION_FAILED = "decision.failed"
    BRAIN_FAILED = "brain.failed"
    PART_FAILED = "part.failed"
    MCP_LISTED = "mcp.listed"
    MCP_FAILED = "mcp.failed"
    SIP_REFUSED = "sip.refused"
    SIP_DROPPED = "sip.dropped"
    SIP_LISTENING = "sip.listening"
    SIP_ADDRESS_DOUBTFUL = "sip.address_doubtful"
    LEG_MEDIA_TIMEOUT = "leg.media_timeout"
    LEG_TRANSFER = "leg.transfer"
    EDGE_CONNECTED = "edge.connected"
    EDGE_LOST = "edge.lost"
    STREAM_LISTENING = "stream.listening"
    STREAM_REFUSED = "stream.refused"
    STREAM_LOST = "stream.lost"
    TWILIO_STATUS = "twilio.status"
    TWILIO_FALLBACK = "twilio.fallback"
    WORKER_CONNECTED = "worker.connected"
    WORKER_LOST = "worker.lost"
    WORKER_OVERRUN = "worker.overrun"
    WORKER_ROW_FAILED = "worker.row_failed"
    VOICE_LIVE = "voice.live"
    VOICE_FAILED = "voice.failed"
    VOICE_CHANGED = "voice.changed"
    VOICE_WORDS_ESTIMATED = "voice.words_estimated"
    EARS_LIVE = "ears.live"
    EARS_LOST = "ears.lost"
    EARS_BACK = "ears.back"
    EARS_CHANGED = "ears.changed"
    EARS_RESTARTED = "ears.restarted"
    STORE_OPENED = "store.opened"
    STORE_AWAY = "store.away"
    STORE_BACK = "store.back"
    WEBHOOK_DELIVERED = "webhook.delivered"
    WEBHOOK_FAILED = "webhook.failed"
    WEBHOOK_DEAD = "webhook.dead"
    RECORDING_READY = "recording.ready"
    RECORDING_FAILED = "recording.failed"
    HTTP_LISTENING = "http.listening"
    API_FAILED = "api.failed"
    AGENT_PUBLISHED = "agent.published"
    AGENT_FAILED = "agent.failed"
