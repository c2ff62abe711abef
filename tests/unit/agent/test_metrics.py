from __future__ import annotations

from agent.metrics import Metrics, code_class


def test_rendered_text_has_every_name_with_its_prefix() -> None:
    metrics = Metrics()
    metrics.calls_total.labels("sip", "in", "success", "caller_hangup").inc()
    metrics.response_latency_seconds.labels("parcel", "parts").observe(0.42)
    metrics.step_times("w0", p50_s=0.004, p99_s=0.011)
    text = metrics.render().decode()
    assert 'crosstalk_calls_total{direction="in",reason="caller_hangup",result="success",transport="sip"} 1.0' in text
    assert 'crosstalk_response_latency_seconds_bucket{agent="parcel",le="0.5",model="parts"} 1.0' in text
    assert 'crosstalk_step_seconds{quantile="0.99",worker="w0"} 0.011' in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert all(name.startswith("crosstalk_") for name in names)


def test_two_owners_do_not_share_a_registry() -> None:
    first, second = Metrics(), Metrics()
    first.webhook_dead_total.inc()
    assert b"crosstalk_webhook_dead_total 0.0" in second.render()


def test_methods_that_a_peer_invents_share_one_label() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.sip_request(f"X{number}")
    metrics.sip_response("INVITE", 200)
    text = metrics.render().decode()
    assert 'crosstalk_sip_requests_total{method="other"} 50.0' in text
    assert 'crosstalk_sip_responses_total{code="200",method="INVITE"} 1.0' in text


def test_status_codes_are_grouped() -> None:
    assert [code_class(code) for code in (200, 404, 599, None, 0)] == ["2xx", "4xx", "5xx", "none", "none"]
