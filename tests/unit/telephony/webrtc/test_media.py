"""Loss, order, keys and reports of one peer's RTP, without a network."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.rtp import rtcp
from telephony.rtp.dtmf import Key
from telephony.webrtc.sdp import AudioFormat

pytest.importorskip("av", reason="the extra 'webrtc' is not installed")

from telephony.webrtc.media import Inbound, Outbound

OPUS = AudioFormat(codec="opus", clock_hz=48000, payload_type=111, dtmf_payload_type=110)
PCMU = AudioFormat(codec="PCMU", clock_hz=8000, payload_type=0, dtmf_payload_type=126)


def voice(frames: int) -> NDArray[np.int16]:
    """Recorded speech ``[frames, 160]``: what is no speech gets no in-band FEC."""
    with wave.open(str(Path(__file__).parents[3] / "data/speech/ears_digits_rms.wav")) as file:
        return np.frombuffer(file.readframes(frames * 160), np.int16).reshape(frames, 160)


def packets(audio: AudioFormat, frames: int = 50) -> list[bytes]:
    out = Outbound(audio, ssrc=7, sequence=65530, timestamp=1000)
    found = [out.packet(frame) for frame in voice(frames)]
    out.close()
    return found


def feed(inbound: Inbound, chosen: list[bytes]) -> NDArray[np.int16]:
    heard = []
    for n, packet in enumerate(chosen):
        got = inbound.receive(packet, n * 0.02)
        heard += [piece.copy() for piece in got] if isinstance(got, list) else []
    return np.concatenate(heard)


@pytest.mark.parametrize(("audio", "alike"), [(OPUS, 0.85), (PCMU, 0.99)])
def test_audio_goes_through_both_ways(audio: AudioFormat, alike: float) -> None:
    inbound = Inbound(audio)
    heard = feed(inbound, packets(audio))
    said = voice(50).reshape(-1)
    assert len(heard) == len(said)
    lags = [np.corrcoef(said[800:6400], heard[800 + lag : 6400 + lag])[0, 1] for lag in range(120)]
    assert max(lags) > alike
    assert inbound.counters.lost == 0


def test_one_lost_packet_is_made_up_and_nothing_shifts() -> None:
    """In-band FEC: the length stays, and the gap sounds like what was there (concealment alone reaches 0.78)."""
    sent = packets(OPUS, 100)
    whole = feed(Inbound(OPUS), sent)
    alike = []
    for gone in range(20, 98, 6):
        inbound = Inbound(OPUS)
        heard = feed(inbound, sent[:gone] + sent[gone + 1 :])
        assert len(heard) == len(whole)
        assert (inbound.counters.lost, inbound.counters.recovered) == (1, 1)
        gap = slice(gone * 160, (gone + 1) * 160)
        if np.abs(whole[gap].astype(np.int64)).mean() > 300:
            alike.append(np.corrcoef(whole[gap], heard[gap])[0, 1])
    assert len(alike) >= 4
    assert np.median(alike) > 0.95


def test_a_gap_that_is_too_long_is_left_to_the_playout() -> None:
    sent = packets(OPUS)
    inbound = Inbound(OPUS)
    heard = feed(inbound, sent[:10] + sent[20:])
    assert len(heard) == 40 * 160
    assert (inbound.counters.lost, inbound.counters.recovered) == (10, 0)


def test_overtaken_and_repeated_packets_are_counted_and_not_heard() -> None:
    sent = packets(OPUS, 20)
    inbound = Inbound(OPUS)
    heard = feed(inbound, [*sent[:5], sent[6], sent[5], sent[6], *sent[7:]])
    assert len(heard) == 20 * 160
    assert (inbound.counters.late, inbound.counters.duplicate, inbound.counters.lost) == (1, 1, 0)


def test_a_new_source_begins_anew() -> None:
    inbound = Inbound(PCMU)
    feed(inbound, packets(PCMU, 5))
    other = Outbound(PCMU, ssrc=8, sequence=3, timestamp=0)
    assert len(feed(inbound, [other.packet(frame) for frame in voice(5)])) == 5 * 160
    assert inbound.counters.lost == 0


@pytest.mark.parametrize(("audio", "unit"), [(OPUS, 6), (PCMU, 1)])
def test_a_key_is_told_once_and_its_length_is_in_ms(audio: AudioFormat, unit: int) -> None:
    inbound = Inbound(audio)
    event = struct.pack(">BBH", 5, 10, 800 * unit)
    assert audio.dtmf_payload_type is not None
    told = [
        inbound.receive(struct.pack(">BBHII", 0x80, audio.dtmf_payload_type, n, 4000, 7) + event, 1.0) for n in range(3)
    ]
    assert told == [Key(digit="5", duration_ms=100), None, None]


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\x00" * 40, b"\x8f" + b"\x00" * 11, b"\xb0\x6f" + b"\xff" * 30, b"\xa0\x6f" + b"\x00" * 12]
)
def test_what_is_no_packet_is_counted(data: bytes) -> None:
    inbound = Inbound(OPUS)
    assert not inbound.receive(data, 0.0)
    assert inbound.counters.invalid == 1


def test_extensions_csrcs_and_padding_are_skipped() -> None:
    plain = packets(PCMU, 1)[0]
    odd = bytes([0x80 | 0x20 | 0x10 | 1]) + plain[1:12] + b"csrc" + b"\xbe\xde\x00\x01abcd" + plain[12:] + b"\x00\x02"
    assert np.array_equal(feed(Inbound(PCMU), [odd]), feed(Inbound(PCMU), [plain]))


def test_reports_tell_loss_and_bring_the_round_trip() -> None:
    inbound, out = Inbound(OPUS), Outbound(OPUS, ssrc=99, sequence=0, timestamp=0)
    feed(inbound, packets(OPUS)[:20] + packets(OPUS)[30:])
    (block,) = inbound.report(1.0)
    assert (block.ssrc, block.lost, block.fraction_lost) == (7, 10, 256 * 10 // 50)
    compound = rtcp.parse_compound(out.report(1000.0, (block,), "us"))
    assert compound is not None
    assert compound.reports[0].blocks == (block,)
    answer = rtcp.Report(
        ssrc=7,
        ntp=rtcp.ntp_time(1000.5),
        rtp_timestamp=0,
        packets=1,
        octets=1,
        blocks=(
            rtcp.ReportBlock(
                ssrc=99,
                fraction_lost=0,
                lost=0,
                highest_sequence=0,
                jitter=0,
                last_sr=rtcp.middle(rtcp.ntp_time(1000.0)),
                delay_since_sr=65536 // 2,
            ),
        ),
    )
    inbound.take_report(rtcp.build_report(answer, "them"), 99, 2.0, 1000.6)
    assert inbound.counters.rtt_ms == pytest.approx(100.0, abs=1.0)
    assert inbound.report(3.0)[0].delay_since_sr == 65536


def test_random_bytes_never_raise() -> None:
    rng = np.random.default_rng(3)
    inbound = Inbound(OPUS)
    for _ in range(2000):
        data = bytearray(rng.integers(0, 256, rng.integers(0, 80), np.uint8).tobytes())
        if len(data) > 2 and rng.random() < 0.7:
            data[0], data[1] = 0x80, int(rng.choice([111, 110]))
        inbound.receive(bytes(data), 0.0)
        inbound.take_report(bytes(data), 1, 0.0, 0.0)
