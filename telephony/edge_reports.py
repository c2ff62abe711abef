"""What an edge does per leg every few seconds: RTCP both ways, quality counters, timeouts."""

from __future__ import annotations

import math
import random
from typing import Any

from telephony.edge_bank import Bank, BankEvent, Leg
from telephony.rtp import rtcp

_DATAGRAMS_PER_POLL = 8


class Reporter:
    """Reports of all legs."""

    def __init__(
        self, *, first_packet_timeout_s: float, silence_timeout_s: float, on_event: BankEvent, rng: random.Random
    ) -> None:
        self._first_packet_timeout_s = first_packet_timeout_s
        self._silence_timeout_s = silence_timeout_s
        self._on_event = on_event
        self._rng = rng
        self._due: dict[str, float] = {}

    def start(self, leg: Leg, now: float) -> None:
        leg.cname = f"{self._rng.getrandbits(96):024x}"  # RFC 7022 §4.2: short-term persistent, random
        self._due[leg.leg_id] = now + self._interval()

    def stop(self, leg: Leg, wall: float) -> dict[str, Any]:
        """The leg ends: RTCP BYE; its last counters."""
        self._due.pop(leg.leg_id, None)
        self._send_report(leg, 0.0, wall, bye=True)
        return quality(leg)

    def poll(self, bank: Bank, now: float, wall: float) -> None:
        """Timeouts, and reports that are due."""
        for leg in bank.legs:
            if leg is None:
                continue
            self._check_timeout(leg, bank, now)
            if now >= self._due.get(leg.leg_id, math.inf):
                self._due[leg.leg_id] = now + self._interval()
                self._read_reports(leg, now, wall)
                self._send_report(leg, now, wall, bye=False)
                self._on_event(leg, "quality", {"quality": quality(leg)})

    def _interval(self) -> float:
        return rtcp.INTERVAL_S * self._rng.uniform(0.5, 1.5)

    def _check_timeout(self, leg: Leg, bank: Bank, now: float) -> None:
        silent_s = now - float(bank.last_rx[leg.row])
        if bank.held(leg.row):
            return
        limit_s = self._silence_timeout_s if bank.heard[leg.row] else self._first_packet_timeout_s
        if silent_s < limit_s:
            leg.timed_out = False
        elif not leg.timed_out:
            leg.timed_out = True
            self._on_event(leg, "timeout", {"silent_s": round(silent_s, 2)})

    def _send_report(self, leg: Leg, now: float, wall: float, *, bye: bool) -> None:
        bank, latch = leg.bank, leg.latch
        target = latch.target if latch is not None else None
        if bank is None or target is None:
            return
        row = leg.row
        sent = int(bank.sent[row])
        ntp = rtcp.ntp_time(wall)
        is_sender = sent > leg.prior_sent
        leg.prior_sent = sent
        report = rtcp.Report(
            ssrc=bank.ssrc(row),
            ntp=ntp if is_sender else None,
            rtp_timestamp=bank.timestamp(row),
            packets=sent,
            octets=int(bank.octets[row]),
            blocks=_blocks(leg, bank, now),
        )
        try:
            leg.ports.rtcp.sendto(rtcp.build_report(report, leg.cname, bye=bye), (target[0], target[1] + 1))
        except OSError:
            return  # a peer without RTCP answers by ICMP; that is its right

    def _read_reports(self, leg: Leg, now: float, wall: float) -> None:
        bank, latch = leg.bank, leg.latch
        target = latch.target if latch is not None else None
        for _ in range(_DATAGRAMS_PER_POLL):
            try:
                data, source = leg.ports.rtcp.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue
            if bank is None or target is None or source[0] != target[0]:
                continue
            compound = rtcp.parse_compound(data)
            for report in compound.reports if compound else ():
                if report.ntp is not None:
                    leg.last_sr, leg.last_sr_at = rtcp.middle(report.ntp), now
                for block in report.blocks:
                    if block.ssrc == bank.ssrc(leg.row):
                        leg.rtt_ms = rtcp.round_trip_ms(block, rtcp.ntp_time(wall))


def quality(leg: Leg) -> dict[str, Any]:
    """Fields of ``MediaQuality`` of an open leg."""
    bank = leg.bank
    assert bank is not None
    row, playout = leg.row, bank.playout
    delay_ms = float(playout.delay_ms[row])
    return {
        "sent": int(bank.sent[row]),
        "received": int(playout.received[row]),
        "lost": playout.lost(row),
        "late": int(playout.late[row]),
        "duplicate": int(playout.duplicate[row]),
        "concealed": int(playout.concealed[row]),
        "jitter_ms": round(float(playout.jitter_ms[row]), 2),
        "delay_ms": 0.0 if math.isnan(delay_ms) else round(delay_ms, 1),
        "rtt_ms": None if leg.rtt_ms is None else round(leg.rtt_ms, 2),
        "foreign": leg.foreign,
    }


def _blocks(leg: Leg, bank: Bank, now: float) -> tuple[rtcp.ReportBlock, ...]:
    row, playout = leg.row, bank.playout
    if not playout.has_source[row]:
        return ()
    expected, lost = playout.source_expected(row), playout.source_lost(row)
    new_expected, new_lost = expected - leg.prior_expected, max(0, lost - leg.prior_lost)
    leg.prior_expected, leg.prior_lost = expected, lost
    fraction = min(255, 256 * new_lost // new_expected) if new_expected > 0 else 0
    since_sr = int((now - leg.last_sr_at) * 65536) & 0xFFFFFFFF if leg.last_sr and now else 0
    block = rtcp.ReportBlock(
        ssrc=int(playout.ssrc[row]),
        fraction_lost=fraction,
        lost=lost,
        highest_sequence=int(playout.highest[row]),
        jitter=int(playout.jitter_ms[row] * 8),
        last_sr=leg.last_sr if now else 0,
        delay_since_sr=since_sr,
    )
    return (block,)
