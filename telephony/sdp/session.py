"""SDP text to ``SessionDescription`` and back (RFC 8866), as far as one G.711 stream needs it.

The parser is tolerant: unknown lines are skipped, a malformed attribute is kept as text and means nothing. What it
cannot do without (``m=``, a connection address, numbers in range) raises ``RemoteProtocolError``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from telephony.errors import LocalProtocolError, RemoteProtocolError

MAX_SDP_BYTES = 16 * 1024
MAX_LINES = 400
MAX_MEDIA = 16

_MEDIA = re.compile(r"([!-~]{1,40}) ([0-9]{1,5})(?:/[0-9]{1,5})? ([!-~]{1,60})((?: [!-~]{1,80})*) *\Z")
_CONNECTION = re.compile(r"IN (?:IP4|IP6) ([A-Za-z0-9.:\-]{1,255})(?:/[0-9/]+)?\s*\Z", re.IGNORECASE)
_RTPMAP = re.compile(r"([0-9]{1,3}) ([^/\s]{1,60})/([0-9]{1,6})(?:/([0-9]{1,3}))?\s*\Z")
STATIC = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000), 13: ("CN", 8000), 18: ("G729", 8000)}
"""Payload types that need no rtpmap (RFC 3551 §6)."""


class Flow(StrEnum):
    """Direction attribute, from its writer's point of view (RFC 3264 §5.1)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self in {Flow.SENDRECV, Flow.SENDONLY}

    @property
    def receives(self) -> bool:
        return self in {Flow.SENDRECV, Flow.RECVONLY}


_FLOWS = frozenset(flow.value for flow in Flow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One ``m=`` section."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    host: str
    """Its own ``c=`` or the session's; ``""`` if there is none."""
    flow: Flow = Flow.SENDRECV
    ptime_ms: int | None = None
    maxptime_ms: int | None = None
    codecs: tuple[tuple[int, str, int], ...] = ()
    """``(payload type, name in upper case, clock rate)`` in the order of the formats; unknown ones are left out."""

    @property
    def is_plain_audio(self) -> bool:
        return self.kind == "audio" and self.port != 0 and self.protocol in {"RTP/AVP", "RTP/AVPF"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    origin: str
    """The whole ``o=`` value: the same text means an unchanged session (RFC 3264 §8)."""
    media: tuple[Media, ...]


@dataclass(slots=True)
class _Section:
    head: tuple[str, int, str, tuple[str, ...]] | None = None
    host: str = ""
    attributes: list[tuple[str, str]] = field(default_factory=list)


def _error(message: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"SDP: {message}", rule=rule, status_hint=400)


def parse(body: bytes) -> SessionDescription:
    """Raises ``RemoteProtocolError`` with a rule that starts with ``sdp-``."""
    if len(body) > MAX_SDP_BYTES:
        raise _error("body too large", "sdp-too-large")
    lines = body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > MAX_LINES:
        raise _error("too many lines", "sdp-too-many-lines")
    if not lines[0].startswith("v="):
        raise _error("does not begin with v=", "sdp-no-version")
    origin, sections = "", [_Section()]
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals or len(key) != 1:
            continue
        if key == "m":
            sections.append(_Section(head=_media_line(value)))
        elif key == "c":
            sections[-1].host = _connection(value)
        elif key == "a":
            name, _, text = value.partition(":")
            sections[-1].attributes.append((name.strip(), text.strip()))
        elif key == "o" and len(sections) == 1:
            origin = value.strip()
    if len(sections) - 1 > MAX_MEDIA:
        raise _error("too many m-lines", "sdp-too-many-media")
    session = sections[0]
    return SessionDescription(origin=origin, media=tuple(_media(section, session) for section in sections[1:]))


def _media_line(value: str) -> tuple[str, int, str, tuple[str, ...]]:
    found = _MEDIA.match(value)
    if found is None or int(found.group(2)) > 65535:
        raise _error("bad m-line", "sdp-bad-media")
    return found.group(1), int(found.group(2)), found.group(3), tuple(found.group(4).split())


def _connection(value: str) -> str:
    found = _CONNECTION.match(value)
    if found is None:
        raise _error("bad c-line", "sdp-bad-connection")
    return found.group(1)


def _media(section: _Section, session: _Section) -> Media:
    assert section.head is not None
    kind, port, protocol, formats = section.head
    host = section.host or session.host
    if not host and port:
        raise _error("no connection address", "sdp-no-connection")
    flow = _flow(section.attributes) or _flow(session.attributes) or Flow.SENDRECV
    return Media(
        kind=kind,
        port=port,
        protocol=protocol,
        formats=formats,
        host=host,
        flow=flow,
        ptime_ms=_milliseconds(section.attributes, "ptime"),
        maxptime_ms=_milliseconds(section.attributes, "maxptime"),
        codecs=_codecs(formats, section.attributes),
    )


def _flow(attributes: list[tuple[str, str]]) -> Flow | None:
    for name, value in reversed(attributes):
        if not value and name in _FLOWS:
            return Flow(name)
    return None


def _milliseconds(attributes: list[tuple[str, str]], wanted: str) -> int | None:
    for name, value in attributes:
        if name == wanted:
            whole = value.partition(".")[0]
            return int(whole) if whole.isascii() and whole.isdigit() and 0 < len(whole) < 5 else None
    return None


def _codecs(formats: tuple[str, ...], attributes: list[tuple[str, str]]) -> tuple[tuple[int, str, int], ...]:
    mapped = dict(STATIC)
    for name, value in attributes:
        if name == "rtpmap" and (found := _RTPMAP.match(value)):
            mapped[int(found.group(1))] = (found.group(2).upper(), int(found.group(3)))
    numbers = [int(text) for text in formats if text.isascii() and text.isdigit() and len(text) < 4]
    return tuple((number, *mapped[number]) for number in numbers if number in mapped and number < 128)


def build(*, session_id: str, version: int, host: str, media: list[list[str]]) -> bytes:
    """SDP of ours: ``media`` holds the lines of each section, ``m=`` first."""
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0",
        f"o=- {session_id} {version} IN {family} {host}",
        "s=-",
        f"c=IN {family} {host}",
        "t=0 0",
        *(line for section in media for line in section),
    ]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise LocalProtocolError("CR, LF or NUL in SDP")
    return ("\r\n".join(lines) + "\r\n").encode()
