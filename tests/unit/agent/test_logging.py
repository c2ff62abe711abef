from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import structlog

from agent.events.names import LogEvent
from agent.logging import LogWriter, configure, get_log, mask_digits, mask_number, mask_uri

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logged() -> Iterator[tuple[LogWriter, Lines]]:
    stream = io.StringIO()
    writer = configure("json", "info", stream=stream, strict=True)

    def lines() -> list[dict[str, Any]]:
        writer.close()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield writer, lines
    writer.close()
    structlog.reset_defaults()


def test_line_carries_name_level_time_and_bound_fields(logged: tuple[LogWriter, Lines]) -> None:
    get_log(call_id="c1").bind(worker=2).info(LogEvent.CALL_ANSWERED, setup_ms=12)
    (line,) = logged[1]()
    assert line["event"] == "call.answered"
    assert line["level"] == "info"
    assert (line["call_id"], line["worker"], line["setup_ms"]) == ("c1", 2, 12)
    assert line["ts"].endswith("Z")
    assert line["mono_ns"] > 0


def test_levels_below_the_set_one_are_not_written(logged: tuple[LogWriter, Lines]) -> None:
    get_log().debug(LogEvent.CALL_ANSWERED)
    assert logged[1]() == []


def test_name_outside_the_list_is_refused_in_tests(logged: tuple[LogWriter, Lines]) -> None:
    with pytest.raises(ValueError, match=r"call\.answerd"):
        structlog.get_logger().info("call.answerd")


def test_numbers_are_masked_in_uri_fields(logged: tuple[LogWriter, Lines]) -> None:
    get_log().info(
        LogEvent.CALL_OFFERED,
        from_uri="sip:+4930123456@192.168.100.200:5060",
        to_uri="tel:+1-202-555-0143",
        reason="no route to sip:4930123456@example.com",
        caller="004930123456",
        call_id="20251125123456",
        address="192.168.100.200",
    )
    (line,) = logged[1]()
    assert line["from_uri"] == "sip:+********56@192.168.100.200:5060"
    assert line["to_uri"] == "tel:+*-***-***-**43"
    assert line["reason"] == "no route to sip:********56@example.com"
    assert line["caller"] == "**********56"
    assert line["call_id"] == "20251125123456"
    assert line["address"] == "192.168.100.200"


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("sip:100@example.com", "sip:100@example.com"),
        ("sip:alice@198.51.100.123", "sip:alice@198.51.100.123"),
        ('"Bob" <sips:(030) 123@x>', '"Bob" <sips:(030) 123@x>'),
        ("192.168.100.200", "192.168.100.200"),
        ("+49 30 123456", "+** ** ****56"),
        ("12345", "12345"),
        ("sip:example.com", "sip:example.com"),
        ("sip:1234567;phone-context=+49@x", "sip:*****67;phone-context=+49@x"),
    ],
)
def test_only_numbers_of_six_digits_are_masked(value: str, masked: str) -> None:
    assert mask_number(value) == masked


def test_masking_keeps_two_digits_and_free_text() -> None:
    assert mask_digits("123") == "*23"
    assert mask_uri("step 1234567 of nothing") == "step 1234567 of nothing"


def test_what_was_said_audio_and_secrets_are_hidden(logged: tuple[LogWriter, Lines]) -> None:
    get_log().warning(
        LogEvent.TOOL_FAILED, text="my pin is 1234", secret="whsec_x", frame=np.zeros(4), blob=b"\x01", digits="1234"
    )
    (line,) = logged[1]()
    assert {line[key] for key in ("text", "secret", "frame", "blob", "digits")} == {"[hidden]"}


def test_traceback_goes_into_the_line(logged: tuple[LogWriter, Lines]) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        get_log().error(LogEvent.CALL_FAILED, exc_info=True)
    (line,) = logged[1]()
    assert "RuntimeError: broken" in line["exception"]


def test_full_queue_drops_counts_and_tells_later() -> None:
    stream = io.StringIO()
    writer = LogWriter(stream, lambda _l, _m, event: json.dumps(event), lines=2)
    for number in range(5):
        writer.put({"n": number})
    assert writer.dropped == 3
    writer.start()
    writer.close()
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first == {"n": 0, "log_dropped": 3}
    assert second == {"n": 1}


def test_closed_stream_does_not_raise() -> None:
    stream = io.StringIO()
    stream.close()
    writer = LogWriter(stream, lambda _l, _m, event: str(event))
    writer.start()
    writer.put({"n": 1})
    writer.close()
    assert writer.dropped == 1


def test_human_format_is_one_readable_line() -> None:
    stream = io.StringIO()
    writer = configure("human", "info", stream=stream)
    get_log().info(LogEvent.SERVICE_READY, port=5060)
    writer.close()
    structlog.reset_defaults()
    assert "service.ready" in stream.getvalue()
    assert "port=5060" in stream.getvalue()
