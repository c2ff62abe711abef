"""What a session measures, as Prometheus metrics."""

from __future__ import annotations

from agent.metrics import Metrics
from telephony.events import LegInfo, MediaQuality


class CallMeasures:
    """The session's ``Measures`` for one call."""

    def __init__(self, metrics: Metrics, leg: LegInfo, *, agent: str, model: str) -> None:
        self._metrics = metrics
        self._transport = leg.transport
        self._direction = leg.direction.value
        self._agent = agent
        self._model = model
        self._sent: MediaQuality | None = None
        metrics.calls_active.labels(self._transport, self._direction).inc()

    def answered(self, setup_s: float) -> None:
        self._metrics.call_setup_seconds.labels(self._transport).observe(setup_s)
        self._metrics.admission_total.labels("accepted", "none").inc()

    def refused(self, reason: str) -> None:
        self._metrics.admission_total.labels("refused", reason).inc()

    def ended(self, result: str, reason: str, duration_s: float) -> None:
        self._metrics.calls_active.labels(self._transport, self._direction).dec()
        self._metrics.calls_total.labels(self._transport, self._direction, result, reason).inc()

    def turn(self, end: str) -> None:
        self._metrics.turns_total.labels(end).inc()

    def overlap(self, verdict: str, stop_s: float | None) -> None:
        self._metrics.barge_in_total.labels(verdict).inc()
        if stop_s is not None:
            self._metrics.barge_in_stop_seconds.labels(self._model).observe(stop_s)

    def responded(self, latency_s: float) -> None:
        self._metrics.response_latency_seconds.labels(self._agent, self._model).observe(max(0.0, latency_s))

    def tool(self, ok: bool, took_s: float) -> None:
        self._metrics.tool_seconds.labels("ok" if ok else "failed").observe(took_s)

    def decision(self, fallback: bool, took_s: float) -> None:
        self._metrics.decision_seconds.labels("fallback" if fallback else "ok").observe(took_s)

    def not_written(self, kind: str, count: int) -> None:
        self._metrics.call_writes_lost_total.labels(kind).inc(count)

    def quality(self, quality: MediaQuality) -> None:
        """Counters grow by what is new since the last report of this leg."""
        before, self._sent = self._sent, quality
        packets = self._metrics.rtp_packets_total
        for kind in ("lost", "late", "duplicate", "foreign"):
            new = getattr(quality, kind) - (getattr(before, kind) if before else 0)
            packets.labels("in", kind).inc(max(0, new))
        packets.labels("in", "ok").inc(max(0, quality.received - (before.received if before else 0)))
        packets.labels("out", "ok").inc(max(0, quality.sent - (before.sent if before else 0)))
        self._metrics.rtp_jitter_seconds.labels(self._transport).observe(quality.jitter_ms / 1000)
