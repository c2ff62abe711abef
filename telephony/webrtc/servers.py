"""STUN and TURN servers (RFC 7064, RFC 7065) as the configuration names them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from telephony.errors import MediaError

if TYPE_CHECKING:
    from telephony.webrtc.ice import IceSettings

_URL = re.compile(
    r"(?P<scheme>stun|turn|turns):(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,5}))?(?:\?transport=(?P<transport>udp|tcp))?",
    re.ASCII,
)
_PORTS = {"stun": 3478, "turn": 3478, "turns": 5349}


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServer:
    """One server; used by us and told to the browser."""

    url: str
    """``stun:host[:port]``, ``turn:host[:port][?transport=udp|tcp]`` or ``turns:…``."""
    username: str = ""
    credential: str = field(default="", repr=False)

    def to_browser(self) -> dict[str, Any]:
        """As an ``RTCIceServer``."""
        shown: dict[str, Any] = {"urls": self.url}
        return shown | ({"username": self.username, "credential": self.credential} if self.username else {})

    def links(self) -> list[str]:
        """``Link`` header values of WHIP (RFC 9725 §4.6)."""
        link = f'<{self.url}>; rel="ice-server"'
        if self.username:
            link += f'; username="{self.username}"; credential="{self.credential}"; credential-type="password"'
        return [link]


def check_url(url: str) -> str | None:
    """Why a server's URL cannot be used, or ``None``."""
    found = _URL.fullmatch(url)
    if found is None:
        return "must be stun:host[:port], turn:host[:port][?transport=udp|tcp] or turns:host[:port]"
    return None if 0 < int(found["port"] or 1) < 65536 else "has an impossible port"


def ice_settings(base: IceSettings, servers: tuple[IceServer, ...]) -> IceSettings:
    """The first STUN and the first TURN server into the settings (the agent knows one of each)."""
    settings = base
    for server in servers:
        found = _URL.fullmatch(server.url)
        if found is None:
            raise MediaError(f"{server.url!r} is no STUN or TURN server")
        address = (found["host"].strip("[]"), int(found["port"] or _PORTS[found["scheme"]]))
        if found["scheme"] == "stun":
            settings = settings if settings.stun else replace(settings, stun=address)
        elif settings.turn is None:
            tls = found["scheme"] == "turns"
            settings = replace(
                settings,
                turn=address,
                turn_username=server.username,
                turn_password=server.credential,
                turn_tls=tls,
                turn_transport=found["transport"] or ("tcp" if tls else "udp"),
            )
    return settings
