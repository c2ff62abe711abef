"""Control messages between a front and a worker. Audio of calls never passes here; voice audio for a seat does.

On the wire a message is ``u32 length | u32 json length | json | binary`` (little endian); the JSON object has the
message's class name under ``type`` and its fields. All times ``at`` are samples of media time since the seat opened.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final

from telephony.errors import RemoteProtocolError

_HEAD = struct.Struct("<II")
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
SAMPLES_PER_MS: Final = 8
"""Of every time ``at``, and of the voice's audio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Base of all control messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatMessage(Message):
    call_id: str


# --- front to worker -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSeat(SeatMessage):
    """Claim a row. Answered by ``SeatOpened`` or ``SeatRefused``."""

    profile: dict[str, Any]
    """``FloorProfile.to_json()``."""
    persona: dict[str, Any]
    record: str = ""
    """Path of the two-channel recording, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSeat(SeatMessage):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Expecting(SeatMessage):
    expect: dict[str, Any]
    """``Expect.to_json()``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginUtterance(SeatMessage):
    """Something to say. Audio follows by ``UtteranceAudio``; utterances are spoken in the order of their begin."""

    utterance: int
    interruptible: bool
    on_turn: int = 0
    """0: speak as soon as the floor allows. Else: hold until this turn has ended with ``on_revision`` …"""
    on_revision: int = 0
    """… of its words, and drop the utterance if it ends with other words or goes on."""
    aside: bool = False
    """A backchannel: said in the caller's present pause without taking the floor, or dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceAudio(SeatMessage):
    """Voice audio. The binary part is 8 kHz PCM16."""

    utterance: int
    words: list[list[Any]]
    """``[text, start, end, clause]``: ``WordSpan`` fields, from the utterance's start."""
    last: bool
    pcm: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropUtterance(SeatMessage):
    """Forget an utterance that was not yet begun; one that is being spoken is cut (answered by ``UtteranceEnded``)."""

    utterance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeaveText(SeatMessage):
    """Have a model that speaks say this by itself, when a phrase of its own is over; nothing where none speaks."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPressed(SeatMessage):
    """The caller pressed a key: an interruptible utterance yields, a turn of words is over."""

    digit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptTurn(SeatMessage):
    """Take the floor from a caller who speaks: end the turn, answered by ``TurnEnded``, if it goes on with these words.

    What the caller still says then belongs to that turn and is dropped.
    """

    turn: int
    revision: int
    """Of its words. Ignored where they have changed, or the turn is over."""
    at: int
    """Media time from which it may be done: until then the words must stand."""
    reason: str
    """Why, as a slug (``too_many_digits``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHold(SeatMessage):
    held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain(Message):
    """Take no new seats."""


# --- worker to front -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHello(Message):
    """First message of a worker: what it is and where its audio socket is."""

    worker: str
    pid: int
    model: str
    audio: str
    """Path (UDS) or ``host:port`` for ``SeatAddress.worker``."""
    rows: int
    """Rows that admission offers."""
    step_ms: int
    step_p99_ms: dict[str, float]
    """Measured at start: batch size to p99 of one step."""
    step_worst_ms: dict[str, float] = field(default_factory=dict)
    """The same of the worst window that was measured: far above, and neighbours took their share."""
    fallback: str = ""
    """Why these ears judge and not those that were asked for; empty: they were."""
    speaker_p99_ms: dict[str, float] = field(default_factory=dict)
    """Of a model that speaks in steps of its own, beside the ears: rows in one step, to p99 of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats(Message):
    """About once a second."""

    seats: int
    rows: int
    step_p50_ms: float
    step_p99_ms: float
    late_rows: int
    concealed_rows: int
    overruns: int
    degradation: int
    cpu_s: float
    """Process CPU seconds so far."""
    failed_rows: int = 0
    """Seats given up because their own code raised."""
    last_error: str = ""
    """Of the last of them."""
    recognisers_wanted: int = 0
    recognisers_live: int = 0
    recogniser_restarts: int = 0
    recogniser_given_up: int = 0
    """Utterances that ended without the words that were still to come."""
    fallback: str = ""
    """As in ``WorkerHello``, now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatOpened(SeatMessage):
    row: int
    seat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatRefused(SeatMessage):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatClosed(SeatMessage):
    """The row is free again; nothing follows for this seat."""

    reason: str
    """``closed`` (as asked) or ``failed`` (the row was evicted because its own code raised)."""
    recording_truncated: bool = False
    """Parts of the recording are missing: the recorder could not keep up."""
    recording_ready: bool = False
    """The recording's file is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatEvent(SeatMessage):
    """Base of what happens on a seat."""

    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted(SeatEvent):
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWords(SeatEvent):
    """Words of the running turn, replacing earlier ones. ``revision`` grows with each change of the words."""

    turn: int
    revision: int
    words: tuple[str, ...]
    confidence: float
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPaused(SeatEvent):
    """The caller stopped; it may be the end. Time to prepare an answer for exactly these words."""

    turn: int
    revision: int
    words: tuple[str, ...]
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnContinued(SeatEvent):
    """The pause was not the end: what was prepared for it is dropped here and must be dropped there."""

    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnded(SeatEvent):
    turn: int
    revision: int
    words: tuple[str, ...]
    confidence: float
    reason: str
    """``score`` (ears), ``complete`` (the expectation is met), ``backstop`` (silence), ``key``,
    ``interrupted`` (by us)."""
    speech_end: int
    """Media time of the caller's last speech."""
    released: int
    """Number of the held utterance that starts now, or 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReopened(SeatEvent):
    """The caller went on right after the end was called: the answer begun is cut, the turn goes on."""

    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceStarted(SeatEvent):
    """The first sample was played out. Number 0: what a model that speaks says by itself."""

    utterance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceEnded(SeatEvent):
    """The last sample was played out, or the utterance was cut or dropped."""

    utterance: int
    heard_words: int
    heard: str
    unheard: str
    complete: bool
    reason: str
    """``played``, ``yielded``, ``dropped``, ``reopened``, ``closed``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorMoved(SeatEvent):
    """One transition of the floor table, for the timeline."""

    before: str
    after: str
    cause: str
    """Floor input (``caller_started``, ``floor_taken`` …)."""
    reason: str
    """Why, for a reader (``speech 900 ms``, ``word 'stop'``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapEnded(SeatEvent):
    """What an overlap turned out to be."""

    verdict: str
    """``barge_in``, ``backchannel``, ``false_alarm``."""
    duration_ms: int
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSilent(SeatEvent):
    """Nobody has spoken for ``seconds`` (repeated at each limit of the profile)."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EarsChanged(SeatEvent):
    """Other ears than those that were asked for listen to the call, or those again."""

    why: str
    """Empty: those again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentText(SeatEvent):
    """A model that speaks said this."""

    text: str


_TYPES: dict[str, type[Message]] = {
    cls.__name__: cls
    for cls in (
        OpenSeat, CloseSeat, Expecting, BeginUtterance, UtteranceAudio, DropUtterance, WeaveText, KeyPressed,
        InterruptTurn, SetHold, Drain,
        WorkerHello, WorkerStats, SeatOpened, SeatRefused, SeatClosed, TurnStarted, TurnWords, TurnPaused,
        TurnContinued, TurnEnded, TurnReopened, UtteranceStarted, UtteranceEnded, FloorMoved, OverlapEnded,
        CallerSilent, EarsChanged, AgentText,
    )
}  # fmt: skip


def encode(message: Message) -> bytes:
    """One message as bytes."""
    blob = b""
    body: dict[str, Any] = {"type": type(message).__name__}
    for item in fields(message):
        value = getattr(message, item.name)
        if isinstance(value, bytes):
            blob = value
        else:
            body[item.name] = value
    text = json.dumps(body, separators=(",", ":")).encode()
    return _HEAD.pack(4 + len(text) + len(blob), len(text)) + text + blob


def decode(payload: bytes) -> Message:
    """Message from the bytes after the first length; raises ``RemoteProtocolError`` naming what is wrong."""
    (json_length,) = struct.unpack_from("<I", payload)
    try:
        body = json.loads(payload[4 : 4 + json_length])
        cls = _TYPES[body.pop("type")]
    except (ValueError, KeyError, AttributeError) as error:
        raise RemoteProtocolError(f"control message: {error!r}", rule="control-message") from None
    if cls is UtteranceAudio:
        body["pcm"] = payload[4 + json_length :]
    if isinstance(body.get("words"), list) and cls is not UtteranceAudio:
        body["words"] = tuple(body["words"])
    try:
        return cls(**body)
    except TypeError as error:
        raise RemoteProtocolError(f"control message {cls.__name__}: {error}", rule="control-fields") from None


class MessageReader:
    """Cuts a byte stream into control messages. Pure."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            length, json_length = _HEAD.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES or json_length + 4 > length:
                raise RemoteProtocolError(f"control message of {length} bytes", rule="control-length")
            if len(self._buffer) < 4 + length:
                return
            payload = bytes(self._buffer[4 : 4 + length])
            del self._buffer[: 4 + length]
            yield decode(payload)
