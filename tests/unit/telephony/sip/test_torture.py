"""Every message of RFC 4475 gets its verdict, and the endpoint answers an OPTIONS after each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from telephony.sip.actions import Offered, Output, Transmit
from telephony.sip.endpoint import SipEndpoint
from telephony.sip.message import Response, parse_message
from tests.unit.telephony.sip.wire import PEER, endpoint, request
from tests.yardstick import yards

FOLDER = Path(__file__).parents[3] / "data" / "sip_torture"
VERDICTS = json.loads((FOLDER / "verdicts.json").read_text())


def read(name: str) -> bytes:
    return (FOLDER / f"{name}.dat").read_bytes()


def outputs_for(data: bytes, sip: SipEndpoint | None = None) -> list[Output]:
    sip = sip or endpoint()
    sip.receive(data, PEER, 0.0)
    return sip.poll()


def statuses(outputs: list[Output]) -> list[int]:
    """From the bytes: answers to broken messages carry their broken headers back."""
    return [int(output.data[8:11]) for output in outputs if isinstance(output, Transmit)]


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_torture_message_gets_its_verdict(name: str) -> None:
    verdict, sip = VERDICTS[name], endpoint()
    got = statuses(outputs_for(read(name), sip))
    if verdict["kind"] == "response":
        assert got == []
    else:
        wanted = {100, 200} if verdict["status"] is None else {verdict["status"]}  # 100: an INVITE on offer
        assert len(got) == 1
        assert got[0] in {*wanted, *verdict.get("may", ())}
    assert statuses(outputs_for(request("OPTIONS", call_id="ping"), sip)) == [200]


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_repeated_torture_message_opens_no_second_call(name: str) -> None:
    sip = endpoint()
    events = [output for _ in range(3) for output in outputs_for(read(name), sip)]
    assert sum(isinstance(event, Offered) for event in events) <= 1


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_torture_message_stalls_nobody(name: str) -> None:
    data = read(name)
    assert yards(lambda: outputs_for(data, endpoint())) < 5  # about 5 ms of an unloaded core


def test_long_headers_are_copied_whole() -> None:
    (answer, *_) = [output for output in outputs_for(read("longreq")) if isinstance(output, Transmit)]
    response, asked = parse_message(answer.data), parse_message(read("longreq"))
    assert isinstance(response, Response)
    assert len(response.vias) == 34
    assert [via.host for via in response.vias] == [via.host for via in asked.vias]
    assert response.call_id == asked.call_id
    assert response.from_ == asked.from_


def test_escaped_control_bytes_survive_the_copy() -> None:
    (answer, *_) = [output for output in outputs_for(read("intmeth")) if isinstance(output, Transmit)]
    assert b"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" in answer.data
