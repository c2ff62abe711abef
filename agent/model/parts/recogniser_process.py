"""A recogniser process: utterances of its rows in, hypotheses out, over one socket; ends when the socket does."""

from __future__ import annotations

import select
import signal
import socket
import sys
from collections import deque

import numpy as np

from agent.errors import ModelError
from agent.expectation import Expect
from agent.model.parts.engine import Engine, Guess, Stream, open_engine
from agent.model.parts.recogniser import Mode
from agent.model.parts.recogniser_wire import MOST_BYTES, Kind, Message, unpack, with_json

PARTIAL_SAMPLES = 800
"""A partial hypothesis after that much new audio."""
IDLE_S = 0.15
"""Nobody speaks: whoever does sends every 60 ms."""
MOST_FORESEEN = 64
"""Expectations whose utterances are still to come; of more the oldest are forgotten: their first utterance waits."""


class _Utterance:
    """An open utterance of one row."""

    def __init__(self, number: int, stream: Stream) -> None:
        self.number = number
        self.stream = stream
        self.samples = 0
        self.told_at = 0


class Rows:
    """Utterances of a process's rows. Pure but for the engine: messages in, messages out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: dict[int, _Utterance] = {}
        self._foreseen: deque[tuple[Expect, Mode]] = deque(maxlen=MOST_FORESEEN)

    def prepare(self) -> bool:
        """Do ahead a piece of what the next utterance would wait for. True: there is more."""
        if not self._foreseen:
            return self._engine.prepare()
        self._engine.foresee(*self._foreseen.popleft())
        return True

    def handle(self, message: Message) -> list[Message]:
        """Answers to one message."""
        if message.kind is Kind.START:
            return self._start(message)
        if message.kind is Kind.EXPECT:
            expect = Expect.from_json(message.json()["expect"])
            self._foreseen += [(expect, mode) for mode in Mode if (expect, mode) not in self._foreseen]
            return []
        utterance = self._open.get(message.row)
        if utterance is None or utterance.number != message.utterance:
            return []
        if message.kind is Kind.FEED:
            return self._feed(message.row, utterance, message.payload)
        del self._open[message.row]
        if message.kind is Kind.STOP:
            return [_found(message.row, utterance, utterance.stream.finish(), final=True)]
        utterance.stream.drop()
        return []

    def _start(self, message: Message) -> list[Message]:
        old = self._open.pop(message.row, None)
        if old is not None:
            old.stream.drop()
        data = message.json()
        stream = self._engine.open(Expect.from_json(data["expect"]), Mode(data["mode"]))
        if stream is None:  # all decoders are taken: this utterance goes without words
            nothing = {"words": [], "final": True, "confidence": 0.0, "samples": 0, "refused": True}
            return [with_json(Kind.FOUND, message.row, message.utterance, nothing)]
        self._open[message.row] = _Utterance(message.utterance, stream)
        return []

    def _feed(self, row: int, utterance: _Utterance, payload: bytes) -> list[Message]:
        pcm = np.frombuffer(payload, np.int16)
        utterance.stream.feed(pcm)
        utterance.samples += len(pcm)
        if utterance.samples - utterance.told_at < PARTIAL_SAMPLES:
            return []
        utterance.told_at = utterance.samples
        # Told whether or not the words have changed: the ears must know how far they have been heard.
        return [_found(row, utterance, utterance.stream.partial(), final=False)]


def _found(row: int, utterance: _Utterance, guess: Guess, *, final: bool) -> Message:
    data = {
        "words": list(guess.words),
        "final": final,
        "confidence": guess.confidence,
        "samples": utterance.samples,
        "sure": guess.sure,
    }
    return with_json(Kind.FOUND, row, utterance.number, data)


def serve(link: socket.socket, engine: Engine) -> None:
    """Answer until the other end closes; while nothing comes, do ahead what the next utterance would wait for."""
    rows = Rows(engine)
    more = True
    while True:
        if more and not select.select([link], [], [], IDLE_S)[0]:
            more = rows.prepare()
            continue
        packet = link.recv(MOST_BYTES)
        if not packet:
            return
        for answer in rows.handle(message := unpack(packet)):
            link.send(answer.pack())
        more = more or message.kind in (Kind.START, Kind.EXPECT)


def main(descriptor: int, engine: str, folder: str) -> None:
    """Entry of the process; ``descriptor`` is its end of the socket pair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's ^C is for the service, which closes the socket
    link = socket.socket(fileno=descriptor)
    try:
        serve(link, open_engine(engine, folder))
    except (BrokenPipeError, ConnectionResetError):
        return  # the worker is gone
    except ModelError as error:
        sys.stderr.write(f"crosstalk recogniser: {error}\n")
