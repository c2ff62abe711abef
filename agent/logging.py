"""Log lines: JSON in production, readable in a terminal; names from one list, numbers masked, writing off the caller.

A line costs its caller the processors and a queue; rendering and writing happen in one thread. When the queue is
full the line is dropped and counted, and the next line that gets through tells how many were lost.
"""

from __future__ import annotations

import queue
import re
import sys
import threading
import time
from collections.abc import MutableMapping
from typing import Any, Final, Protocol, TextIO, cast

import structlog

from agent.events.names import LogEvent

QUEUE_LINES = 4096
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
KNOWN_EVENTS: Final = frozenset(event.value for event in LogEvent)

HIDDEN_FIELDS: Final = frozenset(
    [
        "secret",
        "token",
        "authorization",
        "password",
        "signature",
        "text",
        "transcript",
        "words",
        "digits",
        "dtmf",
        "pcm",
        "audio",
        "body",
        "payload",
    ]
)
"""Fields whose value never reaches a log line (secrets, what was said, audio)."""
NUMBER_FIELDS: Final = frozenset(
    ["caller", "callee", "number", "target", "contact", "user", "from_number", "to_number"]
)
"""Fields that hold a telephone number or a URI, besides everything that ends in ``uri``."""

_SIP_URI = re.compile(r"(?P<scheme>\bsips?:)(?P<user>[^@\s<>]+)(?P<at>@)", re.IGNORECASE)
_TEL_URI = re.compile(r"(?P<scheme>\btel:)(?P<user>[+\d().-]+)(?P<at>)", re.IGNORECASE)
_NUMBER = re.compile(r"\+?\d(?:[-.() ]*\d){5,}")  # six digits or more, with what people write between them
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")

Event = MutableMapping[str, Any]


class Log(Protocol):
    """What the service logs with. Bind by hand: ``self._log = log.bind(call_id=…)``."""

    def bind(self, **fields: object) -> Log: ...

    def debug(self, event: LogEvent, **fields: object) -> None: ...

    def info(self, event: LogEvent, **fields: object) -> None: ...

    def warning(self, event: LogEvent, **fields: object) -> None: ...

    def error(self, event: LogEvent, **fields: object) -> None: ...


def get_log(**fields: object) -> Log:
    """A logger with ``fields`` bound. ``exc_info=True`` adds a traceback."""
    return cast(Log, structlog.get_logger(**fields))


# --- masking ------------------------------------------------------------------------------------------------------


def mask_digits(text: str) -> str:
    """``+4930123456`` → ``+********56``: the last two digits stay, every other digit becomes a star."""
    keep_from = max((i for i, char in enumerate(text) if char.isdigit()), default=0)
    seen = 0
    for index in range(len(text) - 1, -1, -1):
        seen += text[index].isdigit()
        if seen == 2:
            keep_from = index
            break
    return "".join("*" if char.isdigit() and i < keep_from else char for i, char in enumerate(text))


def _mask_numbers_in(text: str) -> str:
    return _NUMBER.sub(lambda found: mask_digits(found[0]), text)


def mask_uri(text: str) -> str:
    """Numbers of six digits or more in the user part of SIP URIs and in ``tel:`` URIs masked; hosts stay."""

    def user_masked(found: re.Match[str]) -> str:
        return found["scheme"] + _mask_numbers_in(found["user"]) + found["at"]

    return _TEL_URI.sub(user_masked, _SIP_URI.sub(user_masked, text))


def mask_number(text: str) -> str:
    """Mask a field that holds a number or a URI. Addresses are no numbers."""
    masked = mask_uri(text)
    if "sip:" in masked.lower() or "sips:" in masked.lower() or _ADDRESS.search(masked):
        return masked
    return _mask_numbers_in(masked)


def mask_number_fields(_logger: object, _method: str, event: Event) -> Event:
    """Processor: telephone numbers lose all but their last two digits."""
    for key, value in event.items():
        if isinstance(value, str) and key != "event":
            is_number = key in NUMBER_FIELDS or key.endswith("uri")
            event[key] = mask_number(value) if is_number else mask_uri(value)
    return event


# --- other processors ---------------------------------------------------------------------------------------------


def hide_content(_logger: object, _method: str, event: Event) -> Event:
    """Processor: nothing that was said, no audio, no secret."""
    for key, value in event.items():
        if key in HIDDEN_FIELDS or isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "__array__"):
            event[key] = "[hidden]"
    return event


def refuse_unknown_events(_logger: object, _method: str, event: Event) -> Event:
    """Processor for tests: a name outside ``LogEvent`` is a bug."""
    if str(event.get("event")) not in KNOWN_EVENTS:
        raise ValueError(f"log event {event.get('event')!r} is not in agent.events.names.LogEvent")
    return event


def stamp(_logger: object, method: str, event: Event) -> Event:
    """Processor: level and monotonic time; the name as plain text."""
    event["event"] = str(event["event"])
    event["level"] = method
    event["mono_ns"] = time.monotonic_ns()
    return event


# --- the queue and its thread -------------------------------------------------------------------------------------


class LogWriter:
    """Owner of the queue and of the one thread that renders and writes."""

    def __init__(self, stream: TextIO, render: Any, *, lines: int = QUEUE_LINES) -> None:
        self.dropped = 0
        """Lines lost because the queue was full or the stream failed."""
        self._told = 0
        self._stream = stream
        self._render = render
        self._queue: queue.Queue[Event | None] = queue.Queue(lines)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, event: Event) -> None:
        """Hand a line over; never waits."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued, then stop."""
        if self._thread.is_alive():
            self._queue.put(None, timeout=timeout_s)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            if self.dropped > self._told:
                event["log_dropped"], self._told = self.dropped, self.dropped
            try:
                self._stream.write(str(self._render(None, "", event)) + "\n")
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # a closed terminal or pipe must not end the service
                self.dropped += 1


class _QueueLogger:
    """The end of structlog's chain: any level hands the finished fields to the writer."""

    def __init__(self, writer: LogWriter) -> None:
        self._put = writer.put

    def msg(self, **event: Any) -> None:
        self._put(event)

    debug = info = warning = error = critical = exception = msg


def configure(
    format: str = "auto",
    level: str = "info",
    mask_numbers: bool = True,
    *,
    stream: TextIO | None = None,
    strict: bool = False,
) -> LogWriter:
    """Set up logging for this process; returns the running writer (``close()`` it last).

    ``format``: ``auto`` (human in a terminal, JSON otherwise), ``json`` or ``human``. ``strict`` refuses names that
    are not in ``LogEvent``.
    """
    stream = stream or sys.stderr
    human = format == "human" or (format == "auto" and stream.isatty())
    writer = LogWriter(stream, _human_renderer(stream) if human else structlog.processors.JSONRenderer(default=str))
    processors: list[Any] = [
        stamp,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        hide_content,
        structlog.processors.format_exc_info,
    ]
    if mask_numbers:
        processors.append(mask_number_fields)
    if strict:
        processors.insert(0, refuse_unknown_events)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _QueueLogger(writer),
        cache_logger_on_first_use=False,
    )
    writer.start()
    return writer


def _human_renderer(stream: TextIO) -> Any:
    console = structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="ts", pad_event_to=24)

    def render(logger: Any, method: str, event: Event) -> str:
        event.pop("mono_ns", None)
        return console(logger, method, event)

    return render
