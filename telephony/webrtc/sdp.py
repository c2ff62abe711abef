"""WebRTC offers and answers (RFC 8829, RFC 9429; WHIP's part of it: RFC 9725 §4.2). Pure.

One audio line and at most one data channel line, bundled on one transport; whatever else is offered is refused line
by line with port 0. A refusal of the whole offer names its rule; docs/reference/webrtc.md lists them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from telephony.errors import RemoteProtocolError

MAX_OFFER_BYTES = 32 * 1024
"""Browsers' offers of audio and data are 2 to 6 KB."""
MAX_LINES = 1000
MAX_CANDIDATES = 30
SCTP_PORT = 5000

Codec = Literal["opus", "PCMU", "PCMA"]
CODECS: dict[str, tuple[Codec, int]] = {
    "opus/48000/2": ("opus", 48000),
    "pcmu/8000": ("PCMU", 8000),
    "pcma/8000": ("PCMA", 8000),
}
"""``rtpmap`` in lower case to codec and RTP clock."""
STATIC_TYPES = {"0": "PCMU/8000", "8": "PCMA/8000"}

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_ICE = re.compile(r"[A-Za-z0-9+/]+")
_MEDIA = re.compile(r"m=(\S+) (\d{1,5})(?:/\d+)? (\S+) (.+)", re.ASCII)
_CANDIDATE = re.compile(
    r"candidate:(?P<foundation>[A-Za-z0-9+/]{1,32}) (?P<component>\d{1,3}) (?P<protocol>\S{1,8}) (?P<priority>\d{1,10})"
    r" (?P<host>[A-Za-z0-9.:_-]{1,253}) (?P<port>\d{1,5}) typ (?P<kind>[a-z]{4,6})(?: .*)?",
    re.ASCII,
)
_FINGERPRINT = re.compile(r"(sha-(?:256|384|512)) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31,63})")


@dataclass(frozen=True, slots=True, kw_only=True)
class IceCandidate:
    """One UDP address (RFC 8839 §5.1)."""

    foundation: str
    priority: int
    host: str
    port: int
    kind: str
    """``host``, ``srflx`` or ``relay``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IceCredentials:
    ufrag: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One ``m=`` line of the offer, as far as an answer must repeat it."""

    kind: str
    protocol: str
    formats: str
    mid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    """A codec that the peer offers and we have."""

    codec: Codec
    clock_hz: int
    payload_type: int
    dtmf_payload_type: int | None
    """Of telephone-event at the same clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What an answer needs to know."""

    lines: tuple[Line, ...]
    bundled: frozenset[str]
    audio_at: int
    data_at: int | None
    ice: IceCredentials
    candidates: tuple[IceCandidate, ...]
    fingerprints: tuple[tuple[str, str], ...]
    setup: str
    """``actpass``, ``active`` or ``passive``."""
    formats: tuple[AudioFormat, ...]
    """In the peer's order."""
    sctp_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """Our side of an answer."""

    session_id: int
    ice: IceCredentials
    candidates: tuple[IceCandidate, ...]
    fingerprint: str
    """SHA-256 of our certificate, colon form."""
    ssrc: int
    cname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A trickle-ice-sdpfrag (RFC 8840) of WHIP: candidates, or new credentials for an ICE restart."""

    ice: IceCredentials | None
    candidates: tuple[IceCandidate, ...]


# --- reading -------------------------------------------------------------------------------------------------------


def parse_offer(text: str) -> Offer:
    """An offer; raises ``RemoteProtocolError`` with the rule that it breaks and an HTTP status as its hint."""
    session, sections = _sections(_lines(text))
    lines = tuple(_line(section) for section in sections)
    audio_at = next((at for at, line in enumerate(lines) if line.kind == "audio"), None)
    if audio_at is None:
        raise RemoteProtocolError("the offer has no audio line", rule="no-audio", status_hint=422)
    audio = sections[audio_at]
    bundled = frozenset(
        mid for group in _values(session, "group") if group.startswith("BUNDLE") for mid in group.split()[1:]
    )
    return Offer(
        lines=lines,
        bundled=bundled,
        audio_at=audio_at,
        data_at=_data_line(lines, bundled, lines[audio_at].mid),
        ice=_credentials([*audio, *session]),
        candidates=tuple(_candidates(audio)),
        fingerprints=_fingerprints([*audio, *session]),
        setup=_setup([*audio, *session]),
        formats=_formats(audio, lines[audio_at]),
        sctp_port=_sctp_port(sections, lines),
    )


def parse_fragment(text: str) -> Fragment:
    """A trickle fragment; raises ``RemoteProtocolError``."""
    lines = _lines(text, needs_version=False)
    has_credentials = bool(_values(lines, "ice-ufrag"))
    return Fragment(ice=_credentials(lines) if has_credentials else None, candidates=tuple(_candidates(lines)))


def _lines(text: str, *, needs_version: bool = True) -> list[str]:
    if len(text.encode(errors="replace")) > MAX_OFFER_BYTES:
        raise RemoteProtocolError(
            f"the offer is longer than {MAX_OFFER_BYTES} bytes", rule="too-large", status_hint=413
        )
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if len(lines) > MAX_LINES or any(line[1:2] != "=" or not line.isprintable() for line in lines):
        raise RemoteProtocolError("the offer is no SDP", rule="malformed", status_hint=400)
    if needs_version and (not lines or lines[0] != "v=0"):
        raise RemoteProtocolError("the offer does not begin with v=0", rule="malformed", status_hint=400)
    return lines


def _sections(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """Session lines, and the lines of each media section."""
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    return lines[: starts[0]], [lines[start:end] for start, end in itertools.pairwise(starts)]


def _values(lines: list[str], name: str) -> list[str]:
    """Values of ``a=name:…`` in their order."""
    start = f"a={name}:"
    return [line[len(start) :].strip() for line in lines if line.startswith(start)]


def _line(section: list[str]) -> Line:
    found = _MEDIA.fullmatch(section[0])
    if found is None:
        raise RemoteProtocolError("an m= line cannot be read", rule="malformed", status_hint=400)
    mid = next(iter(_values(section, "mid")), "")
    if mid and not _TOKEN.fullmatch(mid):
        raise RemoteProtocolError("a=mid is no token", rule="malformed", status_hint=400)
    return Line(kind=found[1], protocol=found[3], formats=found[4], mid=mid)


def _data_line(lines: tuple[Line, ...], bundled: frozenset[str], audio_mid: str) -> int | None:
    """The data channel, where it shares the audio's transport."""
    for at, line in enumerate(lines):
        if line.kind == "application" and line.protocol.endswith("DTLS/SCTP") and {line.mid, audio_mid} <= bundled:
            return at
    return None


def _credentials(lines: list[str]) -> IceCredentials:
    ufrag, password = _values(lines, "ice-ufrag"), _values(lines, "ice-pwd")
    if not ufrag or not password:
        raise RemoteProtocolError("the offer has no ICE credentials", rule="no-ice", status_hint=422)
    if not (4 <= len(ufrag[0]) <= 256 and 22 <= len(password[0]) <= 256):  # RFC 8839 §5.4
        raise RemoteProtocolError("ice-ufrag or ice-pwd has an impossible length", rule="malformed", status_hint=400)
    if not (_ICE.fullmatch(ufrag[0]) and _ICE.fullmatch(password[0])):
        raise RemoteProtocolError("ice-ufrag or ice-pwd has other characters", rule="malformed", status_hint=400)
    return IceCredentials(ufrag=ufrag[0], password=password[0])


def _candidates(lines: list[str]) -> Iterator[IceCandidate]:
    """UDP candidates of component 1. Names (mDNS) are left out: a peer behind one reaches us, not we it."""
    count = 0
    for line in lines:
        found = _CANDIDATE.fullmatch(line[2:]) if line.startswith("a=candidate:") else None
        if found is None or found["protocol"].lower() != "udp" or found["component"] != "1":
            continue
        if found["host"].endswith(".local") or found["kind"] not in ("host", "srflx", "relay"):
            continue
        if not 0 < int(found["port"]) < 65536:
            continue
        count += 1
        if count > MAX_CANDIDATES:
            return
        yield IceCandidate(
            foundation=found["foundation"],
            priority=min(int(found["priority"]), (1 << 31) - 1),
            host=found["host"],
            port=int(found["port"]),
            kind=found["kind"],
        )


def _fingerprints(lines: list[str]) -> tuple[tuple[str, str], ...]:
    found = [_FINGERPRINT.fullmatch(value.strip()) for value in _values(lines, "fingerprint")]
    usable = tuple((match[1].lower(), match[2].upper()) for match in found if match is not None)
    if not usable:
        raise RemoteProtocolError("the offer has no usable DTLS fingerprint", rule="no-fingerprint", status_hint=422)
    return usable


def _setup(lines: list[str]) -> str:
    found = next(iter(_values(lines, "setup")), "actpass")
    if found not in ("actpass", "active", "passive"):
        raise RemoteProtocolError("a=setup is not actpass, active or passive", rule="malformed", status_hint=400)
    return found


def _formats(section: list[str], line: Line) -> tuple[AudioFormat, ...]:
    """Codecs in the order of the ``m=`` line."""
    names = dict(STATIC_TYPES)
    for value in _values(section, "rtpmap"):
        payload_type, _, name = value.partition(" ")
        names[payload_type] = name.strip()
    events = {name.rpartition("/")[2]: pt for pt, name in names.items() if name.lower().startswith("telephone-event/")}
    found = []
    for payload_type in line.formats.split():
        known = CODECS.get(names.get(payload_type, "").lower().removesuffix("/1"))
        number = _number(payload_type, 127)
        if known is None or number is None:
            continue
        found.append(
            AudioFormat(
                codec=known[0],
                clock_hz=known[1],
                payload_type=number,
                dtmf_payload_type=_number(events.get(str(known[1]), ""), 127),
            )
        )
    if not found:
        raise RemoteProtocolError("no codec of the offer is known (opus, PCMU, PCMA)", rule="no-codec", status_hint=422)
    return tuple(found)


def _sctp_port(sections: list[list[str]], lines: tuple[Line, ...]) -> int:
    for section, line in zip(sections, lines, strict=True):
        if line.kind == "application":
            value = next(iter(_values(section, "sctp-port")), "")
            return _number(value, 65535) or SCTP_PORT
    return SCTP_PORT


def _number(text: str, most: int) -> int | None:
    """A decimal number up to ``most``; ``None`` for anything else (``isdigit`` takes more than ``int`` does)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 and int(text) <= most else None


# --- choosing and answering ----------------------------------------------------------------------------------------


def choose(offer: Offer, preferred: tuple[str, ...]) -> AudioFormat:
    """The first of our preferred codecs that the peer offers. Raises ``RemoteProtocolError`` when there is none."""
    for codec in preferred:
        for audio in offer.formats:
            if audio.codec == codec:
                return audio
    wanted = ", ".join(preferred)
    raise RemoteProtocolError(f"no codec of the offer is allowed here ({wanted})", rule="no-codec", status_hint=422)


def build_answer(offer: Offer, audio: AudioFormat, local: Local) -> str:
    """The answer to ``offer`` with codec ``audio``: full candidates, no trickle of ours."""
    used = [at for at in (offer.audio_at, offer.data_at) if at is not None]
    bundle = " ".join(offer.lines[at].mid for at in used if offer.lines[at].mid in offer.bundled)
    lines = [
        "v=0",
        f"o=- {local.session_id} 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        *([f"a=group:BUNDLE {bundle}"] if bundle else []),
        "a=ice-options:trickle",
        f"a=msid-semantic: WMS {local.cname}",
    ]
    for at, line in enumerate(offer.lines):
        if at == offer.audio_at:
            lines += _audio_lines(line, audio, local, offer)
        elif at == offer.data_at:
            lines += _data_lines(line, local, offer)
        else:
            lines += [f"m={line.kind} 0 {line.protocol} {line.formats}", "c=IN IP4 0.0.0.0", "a=inactive"]
            lines += [f"a=mid:{line.mid}"] if line.mid else []
    return "\r\n".join(lines) + "\r\n"


def our_setup(offer: Offer) -> Literal["active", "passive"]:
    """Our DTLS role: the client where we may choose (RFC 8842 §5.3)."""
    return "passive" if offer.setup == "active" else "active"


def build_fragment(offer_mid: str, ice: IceCredentials, candidates: tuple[IceCandidate, ...]) -> str:
    """Our side after an ICE restart (RFC 9725 §4.3.3)."""
    lines = [
        f"a=ice-ufrag:{ice.ufrag}",
        f"a=ice-pwd:{ice.password}",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0",
        f"a=mid:{offer_mid}",
        *_candidate_lines(candidates),
    ]
    return "\r\n".join(lines) + "\r\n"


def _audio_lines(line: Line, audio: AudioFormat, local: Local, offer: Offer) -> list[str]:
    types = [audio.payload_type] + ([] if audio.dtmf_payload_type is None else [audio.dtmf_payload_type])
    name = "opus/48000/2" if audio.codec == "opus" else f"{audio.codec}/8000"
    lines = [
        f"m=audio 9 {line.protocol} {' '.join(map(str, types))}",
        "c=IN IP4 0.0.0.0",
        *_transport_lines(line, local, offer),
        "a=rtcp-mux",
        "a=sendrecv",
        f"a=msid:{local.cname} agent",
        f"a=ssrc:{local.ssrc} cname:{local.cname}",
        f"a=rtpmap:{audio.payload_type} {name}",
    ]
    if audio.codec == "opus":
        # RFC 7587 §7: wideband mono is all that a voice at our rate needs; FEC is what we ask for.
        parameters = "minptime=10;useinbandfec=1;maxplaybackrate=16000;maxaveragebitrate=32000;stereo=0;usedtx=0"
        lines.append(f"a=fmtp:{audio.payload_type} {parameters}")
    if audio.dtmf_payload_type is not None:
        lines += [
            f"a=rtpmap:{audio.dtmf_payload_type} telephone-event/{audio.clock_hz}",
            f"a=fmtp:{audio.dtmf_payload_type} 0-15",
        ]
    return [*lines, "a=ptime:20"]


def _data_lines(line: Line, local: Local, offer: Offer) -> list[str]:
    return [
        f"m=application 9 {line.protocol} {line.formats}",
        "c=IN IP4 0.0.0.0",
        *_transport_lines(line, local, offer),
        f"a=sctp-port:{SCTP_PORT}",
        "a=max-message-size:65536",
    ]


def _transport_lines(line: Line, local: Local, offer: Offer) -> list[str]:
    return [
        *([f"a=mid:{line.mid}"] if line.mid else []),
        f"a=ice-ufrag:{local.ice.ufrag}",
        f"a=ice-pwd:{local.ice.password}",
        f"a=fingerprint:sha-256 {local.fingerprint}",
        f"a=setup:{our_setup(offer)}",
        *(_candidate_lines(local.candidates) if line.kind == "audio" else []),
    ]


def _candidate_lines(candidates: tuple[IceCandidate, ...]) -> list[str]:
    lines = []
    for one in candidates:
        related = "" if one.kind == "host" else " raddr 0.0.0.0 rport 9"
        where = f"{one.host} {one.port} typ {one.kind}{related}"
        lines.append(f"a=candidate:{one.foundation} 1 udp {one.priority} {where}")
    return [*lines, "a=end-of-candidates"]
