"""One media stream from the carrier's first word to its last: a table, and what it means. Pure.

What comes in is a ``Message``; what goes out are facts for the door. A message that the table does not know in this
state breaks the protocol, and the stream is refused with a rule that names both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from telephony.errors import RemoteProtocolError
from telephony.twilio.dialect import Dialect
from telephony.twilio.messages import Connected, Dtmf, Mark, Media, Message, Other, Start, Stop, parse

START_S = 5.0
"""``start`` must come within this time of the WebSocket's opening."""


class State(StrEnum):
    """How far a stream has come."""

    OPEN = "open"
    """The socket is there, nothing was said."""
    CONNECTED = "connected"
    STARTED = "started"
    STOPPED = "stopped"


class Input(StrEnum):
    """What can happen to it."""

    CONNECTED = "connected"
    START = "start"
    MEDIA = "media"
    MARK = "mark"
    DTMF = "dtmf"
    STOP = "stop"
    START_DUE = "start_due"
    """The time for ``start`` is over."""
    CLOSED = "closed"
    """The socket is closed."""


class Action(StrEnum):
    """What follows."""

    BIND = "bind"
    """Check the token, and tie the stream to its call."""
    HEAR = "hear"
    PLAYED = "played"
    KEY = "key"
    END = "end"
    REFUSE = "refuse"


TABLE: dict[tuple[State, Input], tuple[State, tuple[Action, ...]]] = {
    (State.OPEN, Input.CONNECTED): (State.CONNECTED, ()),
    (State.OPEN, Input.START_DUE): (State.STOPPED, (Action.REFUSE,)),
    (State.OPEN, Input.CLOSED): (State.STOPPED, ()),
    (State.CONNECTED, Input.START): (State.STARTED, (Action.BIND,)),
    (State.CONNECTED, Input.START_DUE): (State.STOPPED, (Action.REFUSE,)),
    (State.CONNECTED, Input.STOP): (State.STOPPED, ()),
    (State.CONNECTED, Input.CLOSED): (State.STOPPED, ()),
    (State.STARTED, Input.MEDIA): (State.STARTED, (Action.HEAR,)),
    (State.STARTED, Input.MARK): (State.STARTED, (Action.PLAYED,)),
    (State.STARTED, Input.DTMF): (State.STARTED, (Action.KEY,)),
    (State.STARTED, Input.START_DUE): (State.STARTED, ()),
    (State.STARTED, Input.STOP): (State.STOPPED, (Action.END,)),
    (State.STARTED, Input.CLOSED): (State.STOPPED, (Action.END,)),
    (State.STOPPED, Input.MEDIA): (State.STOPPED, ()),
    (State.STOPPED, Input.MARK): (State.STOPPED, ()),
    (State.STOPPED, Input.DTMF): (State.STOPPED, ()),
    (State.STOPPED, Input.STOP): (State.STOPPED, ()),
    (State.STOPPED, Input.START_DUE): (State.STOPPED, ()),
    (State.STOPPED, Input.CLOSED): (State.STOPPED, ()),
}
"""A missing cell breaks the protocol: the stream is refused with the rule ``stream-order``."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The stream is a call's, and it was proven."""

    start: Start


@dataclass(frozen=True, slots=True)
class Heard:
    """Caller audio, G.711."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class MarkBack:
    """A mark has come."""

    name: str


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key."""

    digit: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The carrier has ended the stream."""

    by_stop: bool
    """It said so; otherwise the socket closed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The stream broke a rule; close it."""

    rule: str
    why: str


Fact = Bound | Heard | MarkBack | KeyPressed | Ended | Refused

CheckStart = Callable[[Start], None]
"""Raises ``RemoteProtocolError`` for a start that is not to be trusted (token, account)."""


class Stream:
    """State of one stream."""

    def __init__(self, dialect: Dialect, check: CheckStart, *, now: float) -> None:
        self._dialect, self._check = dialect, check
        self.state = State.OPEN if dialect.says_connected else State.CONNECTED
        self.start: Start | None = None
        self._sequence = 0
        self._start_by = now + START_S
        self.overtaken = 0
        """Media that came after a later one, where the carrier says that this happens: too late to be of use."""
        self._chunk = 0
        self.others = 0

    @property
    def start_by(self) -> float:
        """When ``start`` is due."""
        return self._start_by

    def receive(self, text: str | bytes) -> list[Fact]:
        """One text message. Raises nothing."""
        if self.state is State.STOPPED:
            return []
        try:
            message = parse(text, self._dialect)
            self._check_order(message)
            return self._take(message)
        except RemoteProtocolError as error:
            self.state = State.STOPPED
            return [Refused(error.rule, str(error))]

    def start_due(self) -> list[Fact]:
        """The time for ``start`` is over."""
        return self._step(Input.START_DUE, None)

    def closed(self) -> list[Fact]:
        """The socket is closed."""
        return self._step(Input.CLOSED, None)

    def _take(self, message: Message) -> list[Fact]:
        if isinstance(message, Other):
            self.others += 1
            return []
        return self._step(_INPUTS[type(message)], message)

    def _step(self, happened: Input, message: Message | None) -> list[Fact]:
        cell = TABLE.get((self.state, happened))
        if cell is None:
            raise RemoteProtocolError(f"{happened} in state {self.state}", rule="stream-order")
        self.state, actions = cell
        return [fact for action in actions for fact in self._act(action, message)]

    def _act(self, action: Action, message: Message | None) -> list[Fact]:
        match action, message:
            case Action.BIND, Start():
                self._check(message)
                self.start = message
                return [Bound(message)]
            case Action.HEAR, Media():
                return self._hear(message)
            case Action.PLAYED, Mark():
                return [MarkBack(message.name)]
            case Action.KEY, Dtmf():
                return [KeyPressed(message.digit)]
            case Action.END, _:
                return [Ended(by_stop=isinstance(message, Stop))]
            case _:
                return [Refused("stream-start-timeout", f"no start within {START_S:.0f} s")]

    def _hear(self, message: Media) -> list[Fact]:
        if message.chunk <= self._chunk:
            self.overtaken += 1
            return []
        self._chunk = message.chunk
        return [Heard(message.payload)]

    def _check_order(self, message: Message) -> None:
        """Numbers of an ordered stream only grow: what does not is replayed or made up."""
        if isinstance(message, Connected | Other) or not self._dialect.is_ordered:
            return
        if message.sequence == 0 and isinstance(message, Mark | Start | Stop):
            return  # Plivo counts from 0, and does not count its answers
        if message.sequence <= self._sequence:
            raise RemoteProtocolError(
                f"{'.'.join(self._dialect.sequence)} {message.sequence} after {self._sequence}", rule="stream-sequence"
            )
        if isinstance(message, Media) and message.chunk <= self._chunk:
            raise RemoteProtocolError(
                f"{'.'.join(self._dialect.chunk)} {message.chunk} after {self._chunk}", rule="stream-sequence"
            )
        self._sequence = message.sequence


_INPUTS: dict[type[Message], Input] = {
    Connected: Input.CONNECTED,
    Start: Input.START,
    Media: Input.MEDIA,
    Mark: Input.MARK,
    Dtmf: Input.DTMF,
    Stop: Input.STOP,
}
