"""What the doors for programs share: the upgrade, the call behind a socket, its ends."""

from __future__ import annotations

from aiohttp import web

from telephony.errors import MediaError
from telephony.stream_codec import StreamCodec
from telephony.stream_door import Call, Desk, Door
from telephony.stream_guard import unwelcome
from telephony.stream_socket import StreamSocket

MAX_ERRORS = 20
"""Bad messages that a client is told of; one more ends its call."""


def turned_away(
    request: web.Request, desk: Desk, door: Door, *, token: str, allow_origins: tuple[str, ...]
) -> web.Response | None:
    """An early HTTP answer to whoever may not, or cannot now, open a stream."""
    refused = unwelcome(request.headers, token=token, allow_origins=allow_origins)
    if refused is not None:
        desk.refused(door.name, source_of(request), refused.rule, refused.why)
        headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
        return web.Response(status=refused.status, text=f"{refused.why}\n", headers=headers)
    if desk.refusal is not None:
        status, why = desk.refusal
        return web.Response(status=status, text=f"{why}\n", headers={"Retry-After": "5"})
    return None


def source_of(request: web.Request) -> str:
    """``ip:port`` of the connection."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "?"


class SocketPeer:
    """A ``Peer`` on a ``StreamSocket``; doors add their words. Bad messages are told, a stream of them is not."""

    def __init__(self, wire: StreamSocket, desk: Desk, door: Door, source: str) -> None:
        self.wire = wire
        self.call: Call | None = None
        self.codec = StreamCodec("pcm16")
        self._desk, self._door, self._source = desk, door, source
        self._errors = 0
        self._cause: tuple[str, str] | None = None
        wire.on_stalled = self._stalled

    @property
    def unsent(self) -> int:
        return self.wire.unsent

    def use(self, codec: StreamCodec, wire_bytes_per_frame: int) -> None:
        """The client has chosen its format."""
        self.codec = codec
        self.wire.bytes_per_frame = wire_bytes_per_frame

    def send_dtmf(self, digits: str) -> None:
        raise MediaError("this door cannot send keys")

    def transfer(self, target: str) -> None:
        raise MediaError("a stream cannot be transferred")

    def clear(self) -> None:
        self.wire.clear_audio()

    def hear(self, data: bytes) -> None:
        """Caller audio in the client's format."""
        if self.call is not None:
            self.call.hear(self.codec.decode(data))

    def note_error(self, rule: str, why: str) -> bool:
        """Count a bad message; ``False`` when it was one too many."""
        self._errors += 1
        if self._errors <= MAX_ERRORS:
            return True
        self._cause = ("network", "protocol")
        self._desk.refused(self._door.name, self._source, rule, why)
        return False

    def gone(self, how: str) -> None:
        """The socket is over, however it came."""
        if how == "oversized":
            self._cause = ("network", "protocol")
            self._desk.refused(self._door.name, self._source, "stream-oversized", "a message was too long")
        elif how == "closed" and self._cause is None:
            self._cause = ("network", "protocol")
        by, reason = self._cause or ("caller", "bye")
        if self.call is not None and not self.call.is_over:
            self.call.end(by=by, reason=reason)

    def _stalled(self) -> None:
        self._cause = ("network", "media_timeout")
        self._desk.refused(self._door.name, self._source, "stream-stalled", "the client takes nothing")
