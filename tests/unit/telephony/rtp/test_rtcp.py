from __future__ import annotations

import pytest

from telephony.rtp import rtcp

BLOCK = rtcp.ReportBlock(
    ssrc=7, fraction_lost=25, lost=-3, highest_sequence=70000, jitter=12, last_sr=0x12345678, delay_since_sr=65536
)
NTP = rtcp.ntp_time(1_700_000_000.5)


def sender(blocks: tuple[rtcp.ReportBlock, ...] = (BLOCK,)) -> rtcp.Report:
    return rtcp.Report(ssrc=9, ntp=NTP, rtp_timestamp=4000, packets=10, octets=1600, blocks=blocks)


def test_a_sender_report_with_name_and_goodbye_is_parsed_back() -> None:
    compound = rtcp.parse_compound(rtcp.build_report(sender(), "c0ffee", bye=True))
    assert compound == rtcp.Compound(reports=(sender(),), byes=(9,))


def test_who_has_not_sent_sends_a_receiver_report() -> None:
    report = rtcp.Report(ssrc=9, ntp=None, rtp_timestamp=None, packets=None, octets=None, blocks=(BLOCK,))
    data = rtcp.build_report(report, "x")
    assert data[1] == rtcp.RR
    assert rtcp.parse_compound(data) == rtcp.Compound(reports=(report,))


@pytest.mark.parametrize("name", ["", "a", "ab", "abc", "abcd"])
def test_a_name_of_any_length_keeps_the_compound_aligned(name: str) -> None:
    data = rtcp.build_report(sender(()), name)
    assert len(data) % 4 == 0
    assert rtcp.parse_compound(data) is not None


def test_round_trip_is_now_minus_their_delay_minus_our_report() -> None:
    sent = rtcp.ntp_time(1000.0)
    block = rtcp.ReportBlock(
        ssrc=9, fraction_lost=0, lost=0, highest_sequence=0, jitter=0,
        last_sr=rtcp.middle(sent), delay_since_sr=2 * 65536,
    )  # fmt: skip
    assert rtcp.round_trip_ms(block, rtcp.ntp_time(1002.080)) == pytest.approx(80.0, abs=0.1)


def test_a_peer_that_saw_no_report_of_ours_gives_no_round_trip() -> None:
    block = rtcp.ReportBlock(ssrc=9, fraction_lost=0, lost=0, highest_sequence=0, jitter=0, last_sr=0, delay_since_sr=0)
    assert rtcp.round_trip_ms(block, NTP) is None


def test_cut_or_foreign_datagrams_are_no_reports() -> None:
    data = rtcp.build_report(sender(), "name")
    assert [rtcp.parse_compound(data[:size]) for size in (0, 3, 10, 30)] == [None] * 4
    assert rtcp.parse_compound(b"\x80\x00" + data[2:]) is None
