"""Prometheus metrics: one owner, one registry, labels of few values (never a call id, a number or free text)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PREFIX = "crosstalk_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

RESPONSE_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0)
STOP_S = (0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0)
SETUP_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 10.0)
PEER_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 4.0, 8.0)
LAG_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
JITTER_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15)

METHODS = frozenset(
    [
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REFER",
        "NOTIFY",
        "INFO",
        "UPDATE",
        "PRACK",
        "REGISTER",
        "SUBSCRIBE",
        "MESSAGE",
    ]
)


def method_label(method: str) -> str:
    """A SIP method as a label: whatever a peer invents is ``other``."""
    return method if method in METHODS else "other"


def code_class(code: int | None) -> str:
    """HTTP status as a label: ``2xx`` … ``5xx``, ``none`` where there was no answer."""
    return f"{code // 100}xx" if code is not None and 100 <= code < 600 else "none"


class Metrics:
    """All metrics of one process. Attributes carry the names without ``crosstalk_``."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._calls()
        self._floor()
        self._engine()
        self._wire()
        self._peers()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(PREFIX + name, text, labels, registry=self.registry, buckets=buckets)

    def _calls(self) -> None:
        self.calls_active = self._gauge("calls_active", "Calls in progress", "transport", "direction")
        self.calls_total = self._counter(
            "calls_total", "Calls that ended", "transport", "direction", "result", "reason"
        )
        self.call_setup_seconds = self._histogram(
            "call_setup_seconds", "From the offer to the final answer", SETUP_S, "transport"
        )
        self.admission_total = self._counter("admission_total", "Offers by decision", "decision", "reason")
        self.degradation_level = self._gauge("degradation_level", "Step of the degradation ladder; 0 = none")

    def _floor(self) -> None:
        self.response_latency_seconds = self._histogram(
            "response_latency_seconds", "Caller stops to first agent audio on the wire", RESPONSE_S, "agent", "model"
        )
        self.barge_in_stop_seconds = self._histogram(
            "barge_in_stop_seconds", "Caller onset to agent silent", STOP_S, "model"
        )
        self.barge_in_total = self._counter(
            "barge_in_total", "Overlaps by verdict (barge_in, backchannel, false_alarm)", "verdict"
        )
        self.turns_total = self._counter("turns_total", "Caller turns by what ended them", "end")

    def _engine(self) -> None:
        self.step_seconds = self._gauge("step_seconds", "Time of a model step: p50 and p99", "worker", "quantile")
        self.seats_total = self._gauge("seats_total", "Seats that a worker offers", "worker")
        self.seats_used = self._gauge("seats_used", "Seats in use", "worker")
        self.recognisers_live = self._gauge("recognisers_live", "Recogniser processes that live", "worker")
        self.recogniser_restarts = self._gauge(
            "recogniser_restarts", "Recogniser processes replaced since the worker's start", "worker"
        )
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How late the event loop wakes", LAG_S, "process"
        )
        self.build_info = self._gauge("build_info", "Always 1", "version", "commit", "model")
        self.voice_deaths_total = self._counter("voice_deaths_total", "Voice processes that ended by themselves")
        self.voice_fallback = self._gauge("voice_fallback", "1 while another voice speaks in place of the chosen one")
        self.log_dropped = self._gauge("log_dropped", "Log lines of this process lost since its start")

    def _wire(self) -> None:
        self.rtp_packets_total = self._counter(
            "rtp_packets_total",
            "RTP packets by direction and kind (ok, lost, late, duplicate, foreign)",
            "dir",
            "kind",
        )
        self.rtp_jitter_seconds = self._histogram(
            "rtp_jitter_seconds", "Interarrival jitter of a call (RFC 3550)", JITTER_S, "transport"
        )
        self.tick_late_seconds = self._gauge(
            "tick_late_seconds", "How late a media process's ticks begin: p99 (edge, stream, webrtc)", "process"
        )
        self.ticks_skipped = self._gauge("ticks_skipped", "Ticks that a media process never did", "process")
        self.stream_refused_total = self._counter(
            "stream_refused_total", "What doors over sockets turned away or cut off", "door", "rule"
        )
        self.sip_requests_total = self._counter("sip_requests_total", "SIP requests received", "method")
        self.sip_responses_total = self._counter("sip_responses_total", "SIP responses sent", "method", "code")

    def _peers(self) -> None:
        self.webhook_attempts_total = self._counter(
            "webhook_attempts_total", "Webhook attempts", "result", "code_class"
        )
        self.webhook_backlog = self._gauge("webhook_backlog", "Events that wait for delivery")
        self.webhook_dead_total = self._counter("webhook_dead_total", "Events given up")
        self.decision_seconds = self._histogram("decision_seconds", "call.incoming until answered", PEER_S, "result")
        self.tool_seconds = self._histogram("tool_seconds", "tool.call until answered", PEER_S, "result")
        self.auth_failures_total = self._counter("auth_failures_total", "Requests without a usable key", "surface")
        self.rate_limited_total = self._counter("rate_limited_total", "Requests refused by a limit", "surface")
        self.api_requests_total = self._counter("api_requests_total", "API requests", "operation", "code")
        self.api_watchers = self._gauge("api_watchers", "Streams of live events")
        self.store_away = self._gauge("store_away", "1 while the store cannot be reached")
        self.call_writes_lost_total = self._counter(
            "call_writes_lost_total", "What was not written of calls (timeline, update)", "kind"
        )
        self.store_timeline_dropped = self._gauge(
            "store_timeline_dropped", "Timeline lines lost since the start while the store was away"
        )
        self.store_backlog_bytes = self._gauge("store_backlog_bytes", "Journal that waits for the store")

    def sip_request(self, method: str) -> None:
        """Count a received request."""
        self.sip_requests_total.labels(method_label(method)).inc()

    def sip_response(self, method: str, code: int) -> None:
        """Count a response that we sent."""
        self.sip_responses_total.labels(method_label(method), str(code)).inc()

    def forget_workers(self) -> None:
        """Before the gauges of the workers are set anew: one that is gone must not stay."""
        gauges = (self.step_seconds, self.seats_total, self.seats_used, self.recognisers_live, self.recogniser_restarts)
        for gauge in gauges:
            gauge.clear()

    def step_times(self, worker: str, *, p50_s: float, p99_s: float) -> None:
        """Latest quantiles of a worker's step."""
        self.step_seconds.labels(worker, "0.5").set(p50_s)
        self.step_seconds.labels(worker, "0.99").set(p99_s)

    def media_process(self, name: str, *, late_p99_ms: float, skipped: int) -> None:
        """Latest punctuality of a media process."""
        self.tick_late_seconds.labels(name).set(late_p99_ms / 1000)
        self.ticks_skipped.labels(name).set(skipped)

    def stream_refused(self, door: str, rule: str, count: int) -> None:
        """Count refusals of a door; ``rule`` is one of its own slugs."""
        self.stream_refused_total.labels(door, rule).inc(count)

    def render(self) -> bytes:
        """The text exposition format, with ``CONTENT_TYPE``."""
        return generate_latest(self.registry)
