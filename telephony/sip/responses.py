"""Responses of ours: what each copies from its request and which headers a status must carry (RFC 3261 §8.2.6)."""

from __future__ import annotations

from collections.abc import Iterable

from telephony.sip.headers.dtmf_relay import TYPES as DTMF_TYPES
from telephony.sip.message import Headers, Request, Response, WireText
from telephony.sip.transaction import Address

ALLOW = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO", "REFER", "NOTIFY")
KNOWN = frozenset({*ALLOW, "PRACK", "REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE"})
"""Methods with a meaning to us: those outside ``ALLOW`` get 405 or 481, all others 501."""
NOT_ALLOWED = frozenset({"REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE"})
SUPPORTED = ("timer",)
"""Option tags that a ``Require`` may name."""

REASONS = {
    100: "Trying",
    180: "Ringing",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    422: "Session Interval Too Small",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "Version Not Supported",
    513: "Message Too Large",
    603: "Decline",
}

Extra = Iterable[tuple[str, str]]


def make(
    request: Request, status: int, reason: str = "", *, to_tag: str = "", extra: Extra = (), body: bytes = b""
) -> Response:
    """A response to ``request``; what cannot be read of it is left out (answers to broken messages)."""
    headers = Headers()
    for value in request.headers.get_all("via"):
        headers.add("Via", value)
    for name in ("From", "To", "Call-ID", "CSeq"):
        value_of = request.headers.get(name)
        if value_of is not None:
            headers.add(name, _tagged(value_of, to_tag) if name == "To" and status > 100 else value_of)
    for name, value in extra:
        headers.add(name, value)
    if body and headers.get("content-type") is None:
        headers.add("Content-Type", "application/sdp")
    return Response(status=status, reason=reason or REASONS.get(status, "Failed"), headers=headers, body=body)


def _tagged(value: str, tag: str) -> str:
    """``To`` as it came (same text type: escaped bytes may go back), with our tag if it has none."""
    if not tag or ";tag" in value.replace(" ", "").lower():
        return value
    closed = value if ">" in value else f"<{value}>" if ";" not in value else value
    return type(value)(f"{closed};tag={tag}")


def extra_for(
    status: int, *, unsupported: Iterable[str] = (), retry_after_s: int | None = None
) -> list[tuple[str, str]]:
    """Headers that a failure must carry (RFC 3261 §21.4)."""
    extra: list[tuple[str, str]] = []
    if status in {405, 501}:
        extra.append(("Allow", ", ".join(ALLOW)))
    if status == 415:
        extra.append(("Accept", ", ".join(("application/sdp", *DTMF_TYPES))))
    if status == 420:
        extra.append(("Unsupported", ", ".join(unsupported)))
    if status == 422:
        extra.append(("Min-SE", "90"))
    if retry_after_s is not None:
        extra.append(("Retry-After", str(retry_after_s)))
    return extra


def capabilities() -> list[tuple[str, str]]:
    """What OPTIONS and every 2xx to an INVITE tell (RFC 3261 §11.2)."""
    return [("Allow", ", ".join(ALLOW)), ("Supported", ", ".join(SUPPORTED))]


def stamp(request: Request, source: Address) -> None:
    """Write ``received`` and ``rport`` into the topmost Via, in place (RFC 3261 §18.2.1, RFC 3581 §4)."""
    vias = request.vias
    stamped = (vias[0].stamped(source), *vias[1:])
    headers = Headers((name, value) for name, value in request.headers if name.lower() != "via")
    for via in stamped:
        headers.add("Via", WireText(via))
    request.headers = headers
    request.__dict__["vias"] = stamped


def reply_address(request: Request, source: Address) -> Address:
    """Where responses go: always the packet's source IP (§18.2.2), its port if the peer asked for rport."""
    via = request.vias[0]
    return source if via.wants_rport else (source[0], via.port or 5060)
