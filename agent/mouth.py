"""The mouth of one call: texts to utterances on the call's seat, and what became of them.

The mouth owns the numbering of utterances, the texts that wait for the voice, and those that the worker holds. It
never decides what is said. Audio goes to the worker as the voice gives it; the worker plays it and tells what was
heard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from agent.brain.protocol import Say
from agent.errors import VoiceFailed
from agent.pool.messages import BeginUtterance, DropUtterance, SeatMessage, UtteranceAudio, UtteranceEnded
from agent.voice.protocol import CallVoice, PerCallVoice, SpeechChunk, Voice, WordSpan


class Seat(Protocol):
    """What the mouth needs of a seat."""

    def send(self, message: SeatMessage) -> None: ...


@dataclass(slots=True)
class Utterance:
    """One ``Say`` on its way to the caller's ear."""

    number: int
    say: Say
    on_turn: int = 0
    on_revision: int = 0
    started: bool = False
    failed: bool = False
    """The voice gave up on it: the worker's "played" is true of what it got only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What an interruption left: ``heard`` of the utterance cut, and everything after it that was not said."""

    heard: str
    unheard: str


class Mouth:
    """Speaks for one call."""

    def __init__(
        self,
        voice: Voice,
        *,
        call_id: str,
        on_failure: Callable[[str], None],
        on_words: Callable[[int, Sequence[WordSpan]], None] = lambda number, words: None,
        on_voice: Callable[[str], None] = lambda name: None,
    ) -> None:
        """``on_words``: told of the words of an utterance (its number) as soon as their times are known.

        ``on_voice``: told when another voice speaks from now on; empty: the chosen one again.
        """
        self._own: CallVoice | None = voice.of_call(call_id) if isinstance(voice, PerCallVoice) else None
        self._voice: Voice | CallVoice = self._own or voice
        self._call_id = call_id
        self._on_failure = on_failure
        self._on_words = on_words
        self._on_voice = on_voice
        self._speaks = ""
        self._seat: Seat | None = None
        self._next = 1
        self._waiting: deque[Utterance] = deque()
        self._current: Utterance | None = None
        self._current_dropped = False
        self._placed: dict[int, Utterance] = {}
        self._wake = asyncio.Event()
        self._prepared: list[Utterance] = []

    # --- state ---

    @property
    def idle(self) -> bool:
        """Nothing waits, is rendered or is on the worker."""
        held = {utterance.number for utterance in self._prepared}
        return not self._waiting and self._current is None and not (self._placed.keys() - held)

    @property
    def next_number(self) -> int:
        """Number of the utterance that is said next."""
        return self._next

    def attach(self, seat: Seat) -> None:
        """Speak on this seat from now on."""
        self._seat = seat
        self._wake.set()

    def detach(self) -> str:
        """The seat is gone. Returns the text that was placed on it or waited, for saying it again."""
        rest = " ".join(u.say.text for u in (*self._placed.values(), *self._waiting) if _is_due(u))
        self._seat = None
        self._placed.clear()
        self._prepared.clear()
        self._waiting.clear()
        self._current_dropped = True
        return rest

    # --- saying ---

    def say(self, say: Say) -> int:
        """Queue a text; returns its utterance number."""
        utterance = self._new(say)
        self._waiting.append(utterance)
        self._wake.set()
        return utterance.number

    def prepare(self, turn: int, revision: int, says: Sequence[Say]) -> None:
        """Render an answer that the worker holds until the turn ends with exactly these words."""
        self.forget_prepared()
        for say in says:
            self.prepare_more(turn, revision, say)

    def prepare_more(self, turn: int, revision: int, say: Say) -> None:
        """As ``prepare``, one more text behind those that were prepared for the same words."""
        utterance = self._new(say)
        utterance.on_turn, utterance.on_revision = turn, revision
        self._prepared.append(utterance)
        self._waiting.append(utterance)
        self._wake.set()

    def forget_prepared(self) -> None:
        """Drop what was prepared."""
        for utterance in self._prepared:
            self._drop(utterance)
        self._prepared.clear()

    def take_prepared(self, released: int) -> list[Utterance]:
        """The prepared answer whose first utterance the worker has released; it counts as said from now on."""
        if not self._prepared or self._prepared[0].number != released:
            self.forget_prepared()
            return []
        taken, self._prepared = self._prepared, []
        for utterance in taken:
            utterance.on_turn = utterance.on_revision = 0
        return taken

    def drop_said(self, utterance: Utterance) -> None:
        """Take back one utterance that must not be said after all."""
        self._drop(utterance)

    def take_back(self, first: int) -> None:
        """Drop what was said from the number ``first`` on and has not started, except what must be heard."""
        for utterance in (*self._waiting, *self._placed.values()):
            if utterance.number >= first and utterance.say.interruptible and not utterance.started:
                self._drop(utterance)

    def drop_fillers(self) -> None:
        """Drop fillers that have not started: something better is ready."""
        for utterance in (*self._waiting, *self._placed.values()):
            if utterance.say.filler and not utterance.started:
                self._drop(utterance)

    # --- what the worker tells ---

    def started(self, number: int) -> Utterance | None:
        utterance = self._placed.get(number)
        if utterance is not None:
            utterance.started = True
        return utterance

    def ended(self, event: UtteranceEnded) -> Utterance | None:
        """The utterance is over; ``None`` if it had been forgotten before."""
        return self._placed.pop(event.utterance, None)

    def cut(self, event: UtteranceEnded, *, before: int | None = None) -> Cut:
        """The utterance of ``event`` was cut: everything behind it goes too, up to the number ``before``."""
        end = self._next if before is None else before
        behind = (u for u in (*self._placed.values(), *self._waiting) if _is_due(u) and u.number < end)
        later = sorted(behind, key=lambda u: u.number)
        unheard = [event.unheard, *(u.say.text for u in later if not u.say.filler and u.number != event.utterance)]
        for utterance in later:
            self._drop(utterance)
        self.forget_prepared()
        return Cut(heard=event.heard, unheard=" ".join(text for text in unheard if text))

    # --- the task ---

    async def run(self) -> None:
        """Feed the seat until cancelled. A task of the session's group."""
        try:
            while True:
                while not self._waiting or self._seat is None:
                    self._wake.clear()
                    await self._wake.wait()
                await self._say_next(self._seat)
        finally:
            if self._own is not None:
                self._own.close()

    async def _say_next(self, seat: Seat) -> None:
        utterance = self._waiting.popleft()
        self._current, self._current_dropped = utterance, False
        try:
            await self._render(utterance, seat)
        finally:
            self._current = None

    async def _render(self, utterance: Utterance, seat: Seat) -> None:
        self._placed[utterance.number] = utterance
        seat.send(
            BeginUtterance(
                call_id=self._call_id,
                utterance=utterance.number,
                interruptible=utterance.say.interruptible,
                on_turn=utterance.on_turn,
                on_revision=utterance.on_revision,
                aside=utterance.say.aside,
            )
        )
        speech = cast("AsyncGenerator[SpeechChunk, None]", self._voice.speak(utterance.say.text))
        last = False
        shown: set[int] = set()
        try:
            async for piece in speech:
                if self._current_dropped or self._seat is not seat:
                    return
                last = piece.last
                if piece.voice != self._speaks:
                    self._speaks = piece.voice
                    self._on_voice(piece.voice)
                seat.send(_audio(self._call_id, utterance.number, piece))
                if new := [word for word in piece.words if word.clause not in shown]:
                    self._on_words(utterance.number, new)
                    shown.update(word.clause for word in new)
        except VoiceFailed as error:
            utterance.failed = True
            self._on_failure(str(error))
        finally:
            await speech.aclose()
            if not last and not self._current_dropped and self._seat is seat:
                seat.send(UtteranceAudio(call_id=self._call_id, utterance=utterance.number, words=[], last=True))

    def _new(self, say: Say) -> Utterance:
        number, self._next = self._next, self._next + 1
        return Utterance(number, say)

    def _drop(self, utterance: Utterance) -> None:
        if utterance in self._waiting:
            self._waiting.remove(utterance)
            return
        if utterance is self._current:
            self._current_dropped = True
        if self._placed.pop(utterance.number, None) is not None and self._seat is not None:
            self._seat.send(DropUtterance(call_id=self._call_id, utterance=utterance.number))


def _is_due(utterance: Utterance) -> bool:
    """It is to be said now: no answer to a turn that may not be over, no word aside."""
    return not utterance.on_turn and not utterance.say.aside


def _audio(call_id: str, number: int, piece: SpeechChunk) -> UtteranceAudio:
    words = [[w.text, w.start, w.end, w.clause] for w in piece.words]
    return UtteranceAudio(call_id=call_id, utterance=number, words=words, last=piece.last, pcm=piece.pcm.tobytes())
