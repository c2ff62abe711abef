"""A worker's non-blocking connections: bounded outgoing buffers with a written rule for when they are full."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections import deque
from typing import Final

from agent.pool.address import parse_address

READ_BYTES: Final = 256 * 1024
SOCKET_BYTES: Final = 512 * 1024


class ConnectionOver(Exception):
    """The peer has gone, or has stopped reading."""


def listen(address: str) -> socket.socket:
    """A non-blocking listener. A socket file that a dead worker left is replaced."""
    where = parse_address(address)
    if isinstance(where, str):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(where).st_mode):
                os.unlink(where)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(where)
        listener.listen(64)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket, address: str) -> str:
    """``address`` with the port that a listener on port 0 got."""
    if isinstance(parse_address(address), str):
        return address
    host, port = listener.getsockname()[:2]
    return f"{host}:{port}"


class Outgoing:
    """What waits to be sent on one socket, message by message.

    ``drop_oldest``: above ``limit`` messages the oldest that was not begun is dropped (audio: late is worse than
    lost). Else too many bytes end the connection (control: a lost message is worse than a lost connection).
    """

    def __init__(self, sock: socket.socket, *, drop_oldest: bool, limit: int) -> None:
        self._sock = sock
        self._queue: deque[bytes | memoryview] = deque()
        self._begun = False
        self._drop_oldest = drop_oldest
        self._limit = limit
        self._bytes = 0
        self.dropped = 0

    @property
    def waits(self) -> bool:
        return bool(self._queue)

    def send(self, message: bytes) -> None:
        """Send at once what the socket takes, keep the rest. Raises ``ConnectionOver``."""
        self._queue.append(message)
        self._bytes += len(message)
        self.flush()
        if self._drop_oldest:
            while len(self._queue) > self._limit:
                first = 1 if self._begun else 0
                self._bytes -= len(self._queue[first])
                del self._queue[first]
                self.dropped += 1
        elif self._bytes > self._limit:
            raise ConnectionOver("the peer does not read")

    def flush(self) -> None:
        """Send what the socket takes now."""
        queue = self._queue
        while queue:
            try:
                sent = self._sock.send(queue[0])
            except BlockingIOError:
                return
            except OSError as error:
                raise ConnectionOver(str(error)) from None
            self._bytes -= sent
            if sent == len(queue[0]):
                queue.popleft()
                self._begun = False
            else:
                queue[0] = memoryview(queue[0])[sent:]
                self._begun = True


def read(sock: socket.socket) -> bytes:
    """What has come, at most ``READ_BYTES``; empty if nothing has. Raises ``ConnectionOver`` at the end."""
    try:
        data = sock.recv(READ_BYTES)
    except BlockingIOError:
        return b""
    except OSError as error:
        raise ConnectionOver(str(error)) from None
    if not data:
        raise ConnectionOver("closed by the peer")
    return data
