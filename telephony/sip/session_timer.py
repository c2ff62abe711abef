"""Session timers (RFC 4028): who refreshes, when, and when the call is given up. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.errors import RemoteProtocolError
from telephony.sip.headers.session_expires import MIN_SE_S, SessionExpires
from telephony.sip.message import Request, Response


@dataclass(slots=True)
class SessionTimer:
    """Running for one dialog. Any 2xx to a re-INVITE or UPDATE makes a new one (§7.2, §9)."""

    interval_s: int
    we_refresh: bool
    refresh_at: float | None
    """Half of the interval, if it is our duty (§7.2); ``None`` while a refresh is on its way."""
    give_up_at: float
    """BYE at min(32 s, interval/3) before expiry (§10)."""

    def next_deadline(self) -> float:
        return self.give_up_at if self.refresh_at is None else min(self.refresh_at, self.give_up_at)


def start(interval_s: int, *, we_refresh: bool, now: float) -> SessionTimer:
    refresh_at = now + interval_s / 2 if we_refresh else None
    return SessionTimer(interval_s, we_refresh, refresh_at, now + interval_s - min(32.0, interval_s / 3))


def as_uas(request: Request, *, longest_s: int, now: float) -> tuple[SessionTimer | None, list[tuple[str, str]]]:
    """Answer to the Session-Expires of a request: our timer and headers of the 2xx (§9).

    Raises ``RemoteProtocolError`` 422 when the peer asks for less than ``MIN_SE_S``. Without the header there is no
    timer: we do not impose one.
    """
    asked = request.session_expires
    if asked is None:
        return None, []
    peer_knows = "timer" in (*request.headers.tokens("supported"), *request.headers.tokens("require"))
    if asked.interval_s < MIN_SE_S:
        if peer_knows:
            raise RemoteProtocolError("Session-Expires: too small", rule="session-interval-too-small", status_hint=422)
        asked = SessionExpires(interval_s=MIN_SE_S)  # put there by a proxy: it must take what we say
    least = _min_se(request)
    interval = max(min(asked.interval_s, longest_s), least)
    refresher = (asked.refresher or "uac") if peer_knows else "uas"
    headers = [("Session-Expires", str(SessionExpires(interval_s=interval, refresher=refresher)))]
    if refresher == "uac":
        headers.append(("Require", "timer"))
    return start(interval, we_refresh=refresher == "uas", now=now), headers


def _min_se(request: Request) -> int:
    value = request.headers.get("min-se") or ""
    digits = value.partition(";")[0].strip()
    return max(MIN_SE_S, int(digits)) if digits.isascii() and digits.isdigit() and len(digits) < 7 else MIN_SE_S


def as_uac(response: Response, *, now: float) -> SessionTimer | None:
    """What a 2xx to our INVITE or UPDATE says (§7.2): no header, no timer."""
    told = response.session_expires
    if told is None:
        return None
    return start(max(told.interval_s, MIN_SE_S), we_refresh=told.refresher != "uas", now=now)
