"""SIP messages: bytes to ``Request`` or ``Response`` and back (RFC 3261 §7, §25; RFC 4475).

``parse_message`` reads tolerantly (folding, compact names, space before the colon, any case, comma lists beside
repeated lines) and validates in the same pass. ``serialise`` is the only way to the wire and the choke point against
injection: no value with CR, LF or NUL passes it. Header text is UTF-8 with surrogate escapes, so that foreign bytes
survive a copy unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from telephony.errors import LocalProtocolError, RemoteProtocolError
from telephony.sip.grammar import TOKEN, is_token, parse_number, split_list
from telephony.sip.headers.cseq import CSeq
from telephony.sip.headers.name_addr import NameAddr
from telephony.sip.headers.session_expires import SessionExpires
from telephony.sip.headers.uri import Uri
from telephony.sip.headers.via import COOKIE, Via

MAX_DATAGRAM_BYTES = 64 * 1024
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 128
MAX_VIAS = 64

COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
}
"""Compact names (RFC 3261 §7.3.3 and the registry)."""

_SINGLE = ("call-id", "cseq", "from", "to", "max-forwards", "content-length", "content-type", "session-expires")
_NO_CONTROLS = ("via", "record-route", "contact", "call-id", "cseq", "require")
"""Copied into what we write: nothing may hide in them. From and To may carry escaped ones in a display name."""
_MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")

_FOLD = re.compile(rb"\r\n[ \t]+")
_REQUEST_LINE = re.compile(rf"({TOKEN}) (\S+) SIP/([0-9]+\.[0-9]+)\Z", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/([0-9]+\.[0-9]+) ([0-9]{1,10})(?: (.*))?\Z", re.IGNORECASE | re.DOTALL)
_HEADER = re.compile(rf"({TOKEN})[ \t]*:[ \t]*(.*?)[ \t]*\Z", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FORBIDDEN = re.compile(r"[\r\n\0]")


class WireText(str):
    """Text as it came from the wire: an escaped NUL in a quoted string may go back unchanged (RFC 4475 §3.1.1.2)."""

    __slots__ = ()


class MessageRefused(RemoteProtocolError):
    """The message cannot be used."""

    def __init__(self, error: RemoteProtocolError, *, request: Request | None) -> None:
        super().__init__(str(error), status_hint=error.status_hint, rule=error.rule)
        self.request = request
        """As far as it could be read, to answer it; ``None`` where no answer is due (responses, noise)."""


class Headers:
    """Header fields in order, found by name in any case or compact form."""

    __slots__ = ("_by_name", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[tuple[str, str]] = []
        self._by_name: dict[str, list[str]] = {}
        for name, value in items:
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        name = COMPACT.get(name.lower(), name)
        self._items.append((name, value))
        self._by_name.setdefault(name.lower(), []).append(value)

    def get(self, name: str) -> str | None:
        values = self._by_name.get(name.lower())
        return values[0] if values else None

    def get_all(self, name: str) -> list[str]:
        return self._by_name.get(name.lower(), [])

    def tokens(self, name: str) -> tuple[str, ...]:
        """Items of a comma list over all lines, lower case (Supported, Require, Allow)."""
        return tuple(item.lower() for value in self.get_all(name) if value for item in split_list(value, where=name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    __hash__ = None  # type: ignore[assignment]  # mutable while a message is being built

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"


@dataclass(kw_only=True)
class _Message:
    """What requests and responses share. Typed headers are parsed once, on first use; do not change headers later."""

    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @cached_property
    def vias(self) -> tuple[Via, ...]:
        values = self.headers.get_all("via")
        if len(values) > MAX_VIAS or sum(value.count(",") for value in values) >= 2 * MAX_VIAS:
            raise RemoteProtocolError("Via: too many hops", rule="too-many-vias")
        vias = Via.parse_list(values)
        if len(vias) > MAX_VIAS:
            raise RemoteProtocolError("Via: too many hops", rule="too-many-vias")
        return vias

    @cached_property
    def cseq(self) -> CSeq:
        return CSeq.parse(self.headers.get("cseq") or "")

    @cached_property
    def from_(self) -> NameAddr:
        return NameAddr.parse(self.headers.get("from") or "", where="From")

    @cached_property
    def to(self) -> NameAddr:
        return NameAddr.parse(self.headers.get("to") or "", where="To")

    @cached_property
    def contacts(self) -> tuple[NameAddr, ...]:
        values = self.headers.get_all("contact")
        if values == ["*"]:  # REGISTER only (RFC 3261 §10.2.2): no address
            return ()
        return NameAddr.parse_list(values, where="Contact")

    @cached_property
    def record_routes(self) -> tuple[NameAddr, ...]:
        return NameAddr.parse_list(self.headers.get_all("record-route"), where="Record-Route")

    @cached_property
    def session_expires(self) -> SessionExpires | None:
        value = self.headers.get("session-expires")
        return SessionExpires.parse(value) if value is not None else None

    @property
    def call_id(self) -> str:
        return self.headers.get("call-id") or ""

    @property
    def content_type(self) -> str:
        """Lower case, without parameters; ``""`` if absent."""
        return (self.headers.get("content-type") or "").partition(";")[0].strip().lower()


@dataclass(kw_only=True)
class Request(_Message):
    method: str
    uri: str
    """As written."""

    @cached_property
    def target(self) -> Uri:
        return Uri.parse(self.uri, where="Request-URI")


@dataclass(kw_only=True)
class Response(_Message):
    status: int
    reason: str = ""


Message = Request | Response


def parse_message(data: bytes) -> Message:
    """One datagram as a message. Raises ``MessageRefused`` with a status, a rule and what could be read."""
    if len(data) > MAX_DATAGRAM_BYTES:
        raise MessageRefused(_refusal("datagram over 64 KiB", "datagram-too-large", 513), request=None)
    data = data.lstrip(b"\r\n")  # RFC 3261 §7.5
    head, blank, rest = data[: MAX_HEAD_BYTES + 4].partition(b"\r\n\r\n")
    message, lines = _start(head)
    request = message if isinstance(message, Request) else None
    try:
        _read_headers(message, lines)
        if not blank:
            raise _unterminated(len(data))
        message.body = _cut_body(message.headers, data[len(head) + 4 :] if rest or blank else b"")
        _validate(message)
    except RemoteProtocolError as error:
        raise MessageRefused(error, request=request) from None
    return message


def _refusal(message: str, rule: str, status: int = 400) -> RemoteProtocolError:
    return RemoteProtocolError(message, rule=rule, status_hint=status)


def _unterminated(size: int) -> RemoteProtocolError:
    if size > MAX_HEAD_BYTES:
        return _refusal("header section over 32 KiB", "header-section-too-large", 513)
    return _refusal("header section has no end", "unterminated-header-section")


def _start(head: bytes) -> tuple[Message, list[str]]:
    """The start line, and the header lines after it with folds undone."""
    first, _, fields = head.partition(b"\r\n")
    line = first.decode("utf-8", "surrogateescape")
    lines = _FOLD.sub(b" ", fields).decode("utf-8", "surrogateescape").split("\r\n") if fields else []
    if line[:4].upper() == "SIP/":
        return _status_line(line), lines
    found = _REQUEST_LINE.match(line)
    if found is not None:
        request = Request(method=found.group(1), uri=found.group(2))
        if found.group(3) != "2.0":
            _read_headers_quietly(request, lines)
            raise MessageRefused(_refusal("version is not SIP/2.0", "bad-version", 505), request=request)
        return request, lines
    raise MessageRefused(_refusal("Request-Line: malformed", "bad-request-line"), request=_guess(line, lines))


def _status_line(line: str) -> Response:
    found = _STATUS_LINE.match(line)
    if found is None or found.group(1) != "2.0":
        raise MessageRefused(_refusal("Status-Line: malformed", "bad-status-line"), request=None)
    status = int(found.group(2))
    if not 100 <= status <= 699:
        raise MessageRefused(_refusal("status code out of range", "bad-status-code"), request=None)
    return Response(status=status, reason=found.group(3) or "")


def _guess(line: str, lines: list[str]) -> Request | None:
    """A request that can at least be answered, if the broken line still names a method and SIP."""
    fields = line.split()
    if len(fields) < 2 or not is_token(fields[0]) or not fields[-1].upper().startswith("SIP/"):
        return None
    request = Request(method=fields[0], uri=fields[1])
    _read_headers_quietly(request, lines)
    return request


def _read_headers_quietly(request: Request, lines: list[str]) -> None:
    """Read what is readable: the message is refused for another reason already."""
    try:
        _read_headers(request, lines)
    except RemoteProtocolError:
        return


def _read_headers(message: Message, lines: list[str]) -> None:
    if len(lines) > MAX_HEADERS:
        raise _refusal("more than 128 header lines", "too-many-headers")
    broken: RemoteProtocolError | None = None
    for line in lines:
        found = _HEADER.match(line)
        if found is None or "\r" in line or "\n" in line:
            broken = broken or _refusal("malformed header line", "bad-header-line")
            continue
        message.headers.add(found.group(1), WireText(found.group(2)))
    if broken is not None:
        raise broken


def _cut_body(headers: Headers, rest: bytes) -> bytes:
    """The body by Content-Length; without it all that is there (RFC 3261 §18.3, UDP)."""
    value = headers.get("content-length")
    if value is None:
        return rest
    size = parse_number(value, where="Content-Length", limit=2**31)
    if size > len(rest):
        raise _refusal("Content-Length: longer than the datagram", "content-length-too-long")
    return rest[:size]


def _validate(message: Message) -> None:
    """The rules that need typed headers; parsing them here is what fills their caches."""
    headers = message.headers
    for name in _SINGLE:
        if len(headers.get_all(name)) > 1:
            raise _refusal(f"{name}: occurs more than once", "duplicate-header")
    for name in _MANDATORY:
        if not headers.get(name):
            raise _refusal(f"{name}: missing", "missing-header")
    for name in _NO_CONTROLS:
        if any(_CONTROLS.search(value) for value in headers.get_all(name)):
            raise _refusal(f"{name}: control character", "control-character")
    if len(message.call_id.split()) != 1:
        raise _refusal("Call-ID: malformed", "bad-call-id")
    if message.vias[0].branch == COOKIE:
        raise _refusal("Via: branch is only the cookie", "empty-branch")
    _ = (message.cseq, message.from_, message.to, message.contacts, message.record_routes, message.session_expires)
    for name in ("Supported", "Require", "Allow"):
        headers.tokens(name)
    if isinstance(message, Request):
        _validate_request(message)


def _validate_request(request: Request) -> None:
    if request.cseq.method != request.method:
        raise _refusal("CSeq: method differs from the request line", "cseq-method-mismatch")
    hops = request.headers.get("max-forwards")
    if hops is not None:
        parse_number(hops, where="Max-Forwards", limit=10**9)  # above 255 is tolerated (RFC 4475 §3.1.2.4)
    _ = request.target


def serialise(message: Message) -> bytes:
    """Bytes for the wire. Raises ``LocalProtocolError`` for anything that could break out of its line."""
    if isinstance(message, Request):
        if not is_token(message.method) or re.search(r"\s", message.uri):
            raise LocalProtocolError("bad method or Request-URI")
        start = f"{message.method} {message.uri} SIP/2.0"
    else:
        start = f"SIP/2.0 {message.status} {message.reason}"
    lines = [start]
    for name, value in message.headers:
        if not is_token(name):
            raise LocalProtocolError(f"bad header name {name!r}")
        if name.lower() != "content-length":
            lines.append(_checked(name, value))
    if _FORBIDDEN.search(start):
        raise LocalProtocolError("CR, LF or NUL in the start line")
    lines.append(f"Content-Length: {len(message.body)}\r\n\r\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + message.body


def _checked(name: str, value: str) -> str:
    found = _FORBIDDEN.search(value)
    if found is not None and not (isinstance(value, WireText) and found.group() == "\0"):
        raise LocalProtocolError(f"CR, LF or NUL in {name}")
    return f"{name}: {value}"
