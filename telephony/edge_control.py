"""The edge's end of the control channel: one front at a time, served between sub-ticks, never waited for."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from telephony.edge_messages import ControlReader, pack_message, parse_object
from telephony.errors import RemoteProtocolError, TelephonyError

_READ_BYTES = 16 * 1024
_MESSAGES_PER_TURN = 4
"""Commands per sub-tick: the rest waits a few milliseconds, so that a burst of commands moves no packet."""
_ACCEPT_EVERY = 20  # polls between looks for a second front, which is only refused
_MAX_UNSENT_BYTES = 4 * 1024 * 1024

Handler = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Carries out one command of a message and returns the fields of its answer; raises ``TelephonyError``."""


class ControlServer:
    """Listens on a Unix socket. A second front is refused while the first is there."""

    def __init__(self, path: str, handler: Handler, now: float) -> None:
        self._path = path
        self._handler = handler
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(path)
        self._listener.listen(4)
        self._front: socket.socket | None = None
        self._reader = ControlReader()
        self._waiting: list[bytes] = []
        self._unsent = bytearray()
        self._polls = 0
        self.errors = 0
        self.seen_front = False
        self.alone_since: float | None = now
        """Since when there is no front."""

    def poll(self, now: float) -> None:
        """Take a new front, some commands, and send what can be sent."""
        self._polls += 1
        if self._front is None or self._polls % _ACCEPT_EVERY == 0:
            self._accept()
        if self._front is None:
            return
        if not self._waiting:
            self._read(now)
        for text in self._waiting[:_MESSAGES_PER_TURN]:
            self._serve(text)
        del self._waiting[:_MESSAGES_PER_TURN]
        self._flush(now)

    def tell(self, event: dict[str, Any]) -> None:
        """Queue an event for the front, if there is one."""
        if self._front is not None:
            self._unsent += pack_message(event)

    def close(self) -> None:
        if self._front is not None:
            self._front.close()
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _accept(self) -> None:
        try:
            front, _ = self._listener.accept()
        except OSError:
            return
        if self._front is not None:
            answer = {"ok": False, "rule": "edge-second-front", "error": "another front is connected"}
            with contextlib.suppress(OSError):
                front.send(pack_message(answer))
            front.close()
            return
        front.setblocking(False)
        self._front, self._reader, self.alone_since = front, ControlReader(), None
        self.seen_front = True
        self._waiting.clear()
        self._unsent.clear()

    def _read(self, now: float) -> None:
        assert self._front is not None
        try:
            data = self._front.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(now)
            return
        try:
            self._waiting.extend(self._reader.feed(data))
        except RemoteProtocolError as error:
            self._refuse(None, error)
            self._flush(now)
            self._lose(now)

    def _serve(self, text: bytes) -> None:
        number: Any = None
        try:
            body = parse_object(text)
            number = body.get("id")
            command, leg_id = body.get("cmd"), body.get("leg", "")
            if not isinstance(command, str) or not isinstance(leg_id, str):
                raise RemoteProtocolError("cmd and leg must be texts", rule="edge-command")
            answer = self._handler(command, body)
        except TelephonyError as error:
            self._refuse(number, error)
        else:
            self._unsent += pack_message({"id": number, "ok": True, **answer})

    def _refuse(self, number: Any, error: TelephonyError) -> None:
        self.errors += 1
        rule = error.rule if isinstance(error, RemoteProtocolError) else "edge-refused"
        number = number if isinstance(number, int | str) else None
        self._unsent += pack_message({"id": number, "ok": False, "rule": rule, "error": str(error)})

    def _flush(self, now: float) -> None:
        if self._front is None or not self._unsent:
            return
        try:
            sent = self._front.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(now)
            return
        del self._unsent[:sent]
        if len(self._unsent) > _MAX_UNSENT_BYTES:  # a front that does not read is no front
            self._lose(now)

    def _lose(self, now: float) -> None:
        if self._front is not None:
            self._front.close()
        self._front, self.alone_since = None, now
        self._waiting.clear()
        self._unsent.clear()
