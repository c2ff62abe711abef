"""Server-sent events: bytes as they come in, the data of whole events out. Pure (WHATWG HTML, 9.2)."""

from __future__ import annotations

from typing import Final

MOST_EVENT_BYTES: Final = 256 * 1024
"""An event that is longer is an attack or a mistake."""


class TooLong(ValueError):
    """An event that does not end."""


class SseParser:
    """Feed bytes, get the ``data`` of each event that is complete. Other fields are ignored."""

    def __init__(self, *, most_bytes: int = MOST_EVENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, received: bytes) -> list[str]:
        """Data of the events that end in ``received``. Raises ``TooLong``."""
        # A carriage return at the end may be half of a line end: it waits for what follows.
        text = self._rest + received
        held = b"\r" if text.endswith(b"\r") else b""
        lines = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        events = [event for line in lines if (event := self._line(line)) is not None]
        if self._size + len(self._rest) > self._most_bytes:
            raise TooLong(f"an event of more than {self._most_bytes} bytes")
        return events

    def _line(self, line: bytes) -> str | None:
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
                self._size += len(value)
            return None
        if not self._data:
            return None
        event = b"\n".join(self._data).decode(errors="replace")
        self._data, self._size = [], 0
        return event
