"""Stand-ins for what surrounds a session: a leg, a seat, a voice, a brain that follows a list. All deterministic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.brain.protocol import Action, CallFacts, Conversation, Say, ToolResult, Turn
from agent.errors import SeatLost
from agent.pool.messages import BeginUtterance, SeatEvent, SeatMessage, UtteranceAudio, UtteranceEnded, UtteranceStarted
from agent.ports import Decision
from agent.store.interface import CallRecord, Event, TimelineEntry
from agent.voice.protocol import SpeechChunk, VoiceInfo, WordSpan
from telephony.events import Direction, LegEnded, LegEvent, LegInfo, MediaQuality
from telephony.plane import SeatAddress

CALL = "call-1"


class FakeVoice:
    """A word is 100 ms of silence; each text comes in one piece."""

    info = VoiceInfo(name="fake", word_times="exact", why="test")

    async def speak(self, text: str) -> AsyncIterator[SpeechChunk]:
        words = text.split()
        spans = tuple(WordSpan(text=w, start=800 * i, end=800 * (i + 1)) for i, w in enumerate(words))
        yield SpeechChunk(np.zeros(800 * len(words), np.int16), spans, True)

    async def start(self) -> None: ...

    async def preload(self, phrases: list[str]) -> None: ...

    async def stop(self) -> None: ...


class FakeSeat:
    """Keeps what was sent; ``play`` acts as the worker that speaks everything to its end."""

    def __init__(self, row: int = 0) -> None:
        self.row = row
        self.call_id = CALL
        self.sent: list[SeatMessage] = []
        self.queue: asyncio.Queue[SeatEvent | None] = asyncio.Queue()
        self.closed = False
        self.recording_ready = False
        self.recording_truncated = False
        self.address = SeatAddress(worker="w", row=row, seat=1)

    def send(self, message: SeatMessage) -> None:
        self.sent.append(message)

    def emit(self, event: SeatEvent) -> None:
        self.queue.put_nowait(event)

    def die(self) -> None:
        self.queue.put_nowait(None)

    async def events(self) -> AsyncIterator[SeatEvent]:
        while (event := await self.queue.get()) is not None:
            yield event
        raise SeatLost

    async def close(self) -> None:
        self.closed = True

    def of(self, kind: type[SeatMessage]) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]

    def texts(self) -> dict[int, str]:
        """Utterance number to the words whose audio was sent."""
        found: dict[int, str] = {}
        for message in self.of(UtteranceAudio):
            found[message.utterance] = " ".join(w[0] for w in message.words)
        return found

    def play_all(self, at: int = 1000) -> None:
        for begin in self.of(BeginUtterance):
            number, text = begin.utterance, self.texts()[begin.utterance]
            self.emit(UtteranceStarted(call_id=CALL, at=at, utterance=number))
            self.emit(played(number, text, at=at + 100))


def played(number: int, text: str, *, at: int = 2000) -> UtteranceEnded:
    return UtteranceEnded(
        call_id=CALL,
        at=at,
        utterance=number,
        heard_words=len(text.split()),
        heard=text,
        unheard="",
        complete=True,
        reason="played",
    )


def yielded(number: int, heard: str, unheard: str, *, at: int = 2000) -> UtteranceEnded:
    return UtteranceEnded(
        call_id=CALL,
        at=at,
        utterance=number,
        heard_words=len(heard.split()),
        heard=heard,
        unheard=unheard,
        complete=False,
        reason="yielded",
    )


class ListedConversation:
    """Answers from tables; remembers what it was told."""

    def __init__(self, answers: dict[str, list[Action]], opening: Sequence[Action] = ()) -> None:
        self.answers = answers
        self.opening_actions = opening
        self.told: list[tuple[Any, ...]] = []
        self.rest = ""

    async def _listed(self, actions: Sequence[Action]) -> AsyncGenerator[Action, None]:
        for action in actions:
            yield action

    def opening(self) -> AsyncIterator[Action]:
        return self._listed(self.opening_actions)

    def preview(self, turn: Turn) -> Sequence[Action] | None:
        return self.answers.get(turn.text)

    def turn(self, turn: Turn) -> AsyncIterator[Action]:
        self.told.append(("turn", turn.text))
        return self._listed(self.answers.get(turn.text, [Say(text="pardon")]))

    def dtmf(self, digit: str) -> AsyncIterator[Action]:
        self.told.append(("dtmf", digit))
        return self._listed(self.answers.get(digit, []))

    def silence(self, seconds: float) -> AsyncIterator[Action]:
        self.told.append(("silence", seconds))
        return self._listed([])

    def tool_result(self, result: ToolResult) -> AsyncIterator[Action]:
        self.told.append(("tool", result.ok, result.value))
        return self._listed([Say(text="result is in")])

    def transfer_failed(self, status: int, reason: str) -> AsyncIterator[Action]:
        self.told.append(("transfer_failed", status))
        return self._listed([Say(text="nobody answers")])

    def heard(self, text: str, *, complete: bool) -> None:
        self.told.append(("heard", text, complete))

    def interrupted(self, heard: str, unheard: str) -> None:
        self.rest = unheard
        self.told.append(("interrupted", heard, unheard))

    def resume(self) -> Sequence[Action]:
        return [Say(text=self.rest)] if self.rest else []

    def reopened(self, turn: int) -> None:
        self.told.append(("reopened", turn))


@dataclass
class FakeBrain:
    conversation: Conversation
    name: str = "listed"

    def open(self, call: CallFacts) -> Conversation:
        return self.conversation

    def fixed_phrases(self) -> list[str]:
        return []


def quality(*, sent: int, received: int) -> MediaQuality:
    """Counters of a quiet line."""
    return MediaQuality(
        leg_id=CALL,
        sent=sent,
        received=received,
        lost=0,
        late=0,
        duplicate=0,
        concealed=0,
        jitter_ms=0.5,
        delay_ms=40.0,
        rtt_ms=None,
        foreign=0,
    )


class FakeLeg:
    """A leg whose far end the test plays."""

    def __init__(self) -> None:
        self.info = LegInfo(
            leg_id=CALL,
            transport="sip",
            direction=Direction.INBOUND,
            from_uri="sip:anna@example.org",
            to_uri="sip:line@example.org",
            source="127.0.0.1:5060",
        )
        self.queue: asyncio.Queue[LegEvent | None] = asyncio.Queue()
        self.did: list[tuple[Any, ...]] = []
        self.notified: list[tuple[int, str, dict[str, Any]]] = []
        self.quality: MediaQuality | None = None
        """Told when we hang up."""
        self.ended = False

    def emit(self, event: LegEvent) -> None:
        self.queue.put_nowait(event)
        if isinstance(event, LegEnded):
            self.ended = True
            self.queue.put_nowait(None)

    async def ring(self) -> None:
        self.did.append(("ring",))

    async def answer(self, seat: SeatAddress) -> None:
        self.did.append(("answer", seat.row))

    async def refuse(self, status: int, reason: str, *, retry_after_s: int | None = None) -> None:
        self.did.append(("refuse", status))

    async def reroute(self, seat: SeatAddress) -> None:
        self.did.append(("reroute", seat.row))

    async def hangup(self, reason: str) -> None:
        self.did.append(("hangup", reason))
        if self.ended:
            return
        if self.quality is not None:
            self.emit(self.quality)
        self.emit(LegEnded(leg_id=CALL, by="us", status=200, reason=reason))

    async def transfer(self, target: str) -> None:
        self.did.append(("transfer", target))

    async def send_dtmf(self, digits: str) -> None:
        self.did.append(("dtmf", digits))

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None:
        self.notified.append((at_ms, kind, data))

    async def events(self) -> AsyncIterator[LegEvent]:
        if self.ended and self.queue.empty():
            return
        while (event := await self.queue.get()) is not None:
            yield event


@dataclass
class FakeDecisions:
    decision: Decision = field(default_factory=Decision)
    never: bool = False
    tools: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    tool_takes_s: float = 0.0

    async def incoming(self, call_id: str, leg: LegInfo) -> Decision:
        if self.never:
            await asyncio.Event().wait()
        return self.decision

    async def tool(self, call_id: str, name: str, arguments: dict[str, Any], request_id: str) -> Any:
        self.tools.append((name, arguments, request_id))
        await asyncio.sleep(self.tool_takes_s)
        return {"ok": True}


class NoMeasures:
    """Takes every measurement and keeps none."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


class KeptLog:
    """Keeps every line: level, event, fields."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def bind(self, **fields: object) -> KeptLog:
        return self

    def of(self, event: str) -> list[tuple[str, dict[str, object]]]:
        """Level and fields of each line of this event."""
        return [(level, fields) for level, name, fields in self.lines if name == event]

    def _keep(self, level: str, event: object, fields: dict[str, object]) -> None:
        self.lines.append((level, str(event), fields))

    def debug(self, event: object, **fields: object) -> None:
        self._keep("debug", event, fields)

    def info(self, event: object, **fields: object) -> None:
        self._keep("info", event, fields)

    def warning(self, event: object, **fields: object) -> None:
        self._keep("warning", event, fields)

    def error(self, event: object, **fields: object) -> None:
        self._keep("error", event, fields)


class NoLog:
    """Takes every line and writes none."""

    def bind(self, **fields: object) -> NoLog:
        return self

    def info(self, event: object, **fields: object) -> None: ...

    debug = warning = error = info


class RecordingStore:
    """The writes of a scribe, in order."""

    def __init__(self) -> None:
        self.record: CallRecord | None = None
        self.events: list[Event] = []
        self.timeline: list[TimelineEntry] = []
        self.ended: list[tuple[str, str]] = []

    async def create_call(self, record: CallRecord, events: Sequence[Event], *, lease_s: float, now: float) -> int:
        self.record = record
        self.events += events
        return 1

    async def update_call(
        self, call_id: str, fence: int, changes: dict[str, Any], events: Sequence[Event], *, now: float
    ) -> None:
        self.events += events

    async def append_timeline(self, call_id: str, entries: Sequence[TimelineEntry]) -> None:
        self.timeline += entries

    async def end_call(
        self, call_id: str, fence: int, *, result: str, reason: str, data: dict[str, Any], event: Event, now: float
    ) -> bool:
        if self.ended:
            return False
        self.ended.append((result, reason))
        self.events.append(event)
        return True

    def names(self) -> list[str]:
        return [str(event.name) for event in self.events]
