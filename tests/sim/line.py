"""A whole call in virtual time: session, dialogue and engine, all real; the caller's sound and words are the test's.

The wire has no delay: what the engine hands out in one tick has been played in the next. A word of the agent takes
100 ms, a word of the caller 300 ms, and the ears tell each word as it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Any, cast

import numpy as np

from agent.behaviour import Behaviour
from agent.brain.examples import example_path
from agent.brain.flow.brain import FlowBrain
from agent.brain.flow.load import parse_dialogue
from agent.config import AgentConfig, RecordingConfig
from agent.measures import CallMeasures
from agent.metrics import Metrics
from agent.model.fakes import EnergyEars
from agent.model.protocol import HeardWords, StepInput, StepOutput
from agent.pool.messages import SeatEvent, SeatMessage
from agent.scheduler.floor.profile import FloorProfile
from agent.scribe import Scribe
from agent.services import Services
from agent.session import Session
from agent.voice.protocol import SpeechChunk, VoiceInfo, WordSpan
from telephony.clock import Clock
from telephony.events import LegAnswered, LegEnded
from telephony.plane import SeatAddress
from tests.unit.agent import call_fakes as fakes
from tests.unit.agent.scheduler.engine import SILENCE, SPEECH, Engine

CALL = fakes.CALL
WORD_MS = 300
PARCEL = (example_path("parcel") / "parcel.yaml").read_text()


@lru_cache(maxsize=4)
def brain_of(text: str) -> FlowBrain:
    """All calls of a dialogue share one brain, as they do in service."""
    return FlowBrain(parse_dialogue(text), today=lambda: date(2026, 11, 25))


class LoopClock(Clock):
    def now(self) -> float:
        return asyncio.get_running_loop().time()


class ToldEars(EnergyEars):
    """Ears that hear the caller's level and are told the words."""

    def __init__(self) -> None:
        super().__init__(1)
        self.told: list[HeardWords] = []

    def step(self, inputs: StepInput) -> StepOutput:
        output = super().step(inputs)
        output.words, self.told = self.told, []
        return output


class ToneVoice:
    """A word is 100 ms of a steady level."""

    info = VoiceInfo(name="tone", word_times="exact", why="test")

    takes_s = 0.0
    """Before the first sample."""

    async def speak(self, text: str) -> AsyncIterator[SpeechChunk]:
        await asyncio.sleep(self.takes_s)
        words = text.split()
        spans = tuple(WordSpan(text=w, start=800 * i, end=800 * (i + 1)) for i, w in enumerate(words))
        yield SpeechChunk(np.full(800 * len(words), 9000, np.int16), spans, True)

    async def start(self) -> None: ...

    async def preload(self, phrases: list[str]) -> None: ...

    async def stop(self) -> None: ...


class EngineSeat:
    """A seat on an engine that lives in the same loop."""

    row = 0
    call_id = CALL
    recording_truncated = recording_ready = False
    address = SeatAddress(worker="w", row=0, seat=1)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._told = 0
        self._queue: asyncio.Queue[SeatEvent] = asyncio.Queue()

    def send(self, message: SeatMessage) -> None:
        self._engine.send(message)
        self.tell()

    def tell(self) -> None:
        """Pass on what has happened since the last time."""
        fresh, self._told = self._engine.events[self._told :], len(self._engine.events)
        for event in fresh:
            if isinstance(event, SeatEvent):
                self._queue.put_nowait(event)

    async def events(self) -> AsyncIterator[SeatEvent]:
        while True:
            yield await self._queue.get()

    async def close(self) -> None: ...


class OneSeat:
    transfer_targets = ("sip:",)

    def __init__(self, seat: EngineSeat) -> None:
        self._seat = seat

    async def open_seat(self, call_id: str, profile: FloorProfile, record: str) -> Any:
        return self._seat

    async def reseat(self, lost: Any, profile: FloorProfile, record: str) -> Any:
        raise AssertionError("no worker dies here")


class Line:
    """One call on the dialogue ``text``."""

    def __init__(self, text: str = PARCEL, *, behaviour: Behaviour | None = None, **floor: Any) -> None:
        self.ears = ToldEars()
        profile = replace(FloorProfile(), **floor)
        self.engine = Engine(self.ears, rows=1, profile=profile)
        self.engine.open(CALL)
        self.seat = EngineSeat(self.engine)
        self.leg = fakes.FakeLeg()
        self.store = fakes.RecordingStore()
        self.metrics = Metrics()
        self.voice = ToneVoice()
        self._words: tuple[str, ...] = ()
        self._services = Services(
            pool=cast(Any, OneSeat(self.seat)),
            voice=self.voice,
            brain=brain_of(text),
            decisions=fakes.FakeDecisions(),
            new_scribe=lambda: Scribe(cast(Any, self.store), lease_s=10.0, wall=lambda: 1.0),
            new_measures=lambda leg: CallMeasures(self.metrics, leg, agent="parcel", model="told"),
            log=fakes.NoLog(),
            agent=AgentConfig(floor=profile, behaviour=behaviour or Behaviour()),
            recording=RecordingConfig(enabled=False),
            gateway="gw",
            clock=LoopClock(),
            wall=lambda: 1.0,
        )

    def ring(self) -> Session:
        """The call comes in."""
        return Session(cast(Any, self.leg), self._services)

    # --- the caller ---

    async def _tick(self, frame: Any) -> None:
        self.engine.step({CALL: frame})
        self.seat.tell()
        await asyncio.sleep(0.02)

    async def silence(self, ms: int) -> None:
        for _ in range(ms // 20):
            await self._tick(SILENCE)

    async def sound(self, ms: int) -> None:
        """The caller makes a sound that is no word."""
        for _ in range(ms // 20):
            await self._tick(SPEECH)

    async def say(self, text: str, *, confidence: float = 0.9, anew: bool = True) -> None:
        """Speak, word by word. ``anew``: the ears begin a new turn; else they tell what was said before again, too."""
        if anew:
            self._words = ()
        for word in text.split():
            for _ in range(WORD_MS // 20):
                await self._tick(SPEECH)
            self._words += (word,)
            self.ears.told.append(HeardWords(row=0, words=self._words, final=False, confidence=confidence))
        await self._tick(SPEECH)

    def forget_word(self) -> None:
        """The ears take their last word back."""
        self._words = self._words[:-1]
        self.ears.told.append(HeardWords(row=0, words=self._words, final=False, confidence=0.9))

    async def until_quiet(self, *, limit_ms: int = 60_000) -> None:
        """Listen until the agent has said all that it has to say."""
        silent = 0
        for _ in range(limit_ms // 20):
            await self._tick(SILENCE)
            silent = 0 if self.is_speaking else silent + 20
            if silent >= 400:
                return
        raise AssertionError("the agent goes on for ever")

    # --- what came of it ---

    @property
    def is_speaking(self) -> bool:
        return bool(self.engine.speech[CALL] and self.engine.speech[CALL][-1])

    @property
    def now_ms(self) -> int:
        return 20 * self.engine.tick

    def noted(self, kind: str) -> list[tuple[int, dict[str, Any]]]:
        """Time in ms and data of each line of the timeline of this kind."""
        return [(at_ms, data) for at_ms, known, data in self.leg.notified if known == kind]

    def said(self) -> list[str]:
        """What was heard of each utterance, in order."""
        return [data["heard"] for _, data in self.noted("utterance") if data["phase"] == "ended" and data["heard"]]

    def turns(self) -> list[tuple[str, str]]:
        """Words and reason of each turn that was ended."""
        return [(data["text"], data["why"]) for _, data in self.noted("turn") if data["phase"] == "ended"]


@asynccontextmanager
async def calling(line: Line) -> AsyncIterator[Line]:
    """The call is answered, and the greeting has been heard."""
    task = asyncio.ensure_future(line.ring().run())
    try:
        await asyncio.sleep(0.1)
        line.leg.emit(LegAnswered(leg_id=CALL))
        await line.until_quiet()
        yield line
    finally:
        line.leg.emit(LegEnded(leg_id=CALL, by="caller", status=200, reason="bye"))
        await asyncio.wait_for(task, 30)
