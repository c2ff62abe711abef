"""Recognisers in processes of their own: rows are pinned to processes, queues are bounded, dead ones start again."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.expectation import Expect
from agent.model.parts.recogniser import Hypothesis, Mode
from agent.model.parts.recogniser_wire import (
    MOST_BYTES,
    Kind,
    Message,
    expect_message,
    hypothesis_of,
    start_message,
    unpack,
)
from agent.model.protocol import HelperStats

GROUP_SAMPLES = 480
"""Audio goes out in packets of 60 ms."""
MOST_WAITING = 1500
"""Packets that wait for one process (about 2 s of 40 talking rows); then the oldest utterance is dropped."""
RESTART_POLLS = 50
"""About a second of steps between two starts of the same process."""

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from agent.model.parts.recogniser_process import main; main(int(sys.argv[2]), sys.argv[3], sys.argv[4])"
)

Spawn = Callable[[socket.socket], "subprocess.Popen[bytes]"]


def spawner(engine: str, folder: str) -> Spawn:
    """Starts a process of ``engine`` on its end of a socket pair."""

    def spawn(link: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(link.fileno()), engine, folder],
            pass_fds=(link.fileno(),),
            stdin=subprocess.DEVNULL,
        )

    return spawn


class _Utterance:
    """An open utterance as the ears' side knows it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pending: list[NDArray[np.int16]] = []
        self.pending_samples = 0
        self.last: Hypothesis | None = None

    def take_pending(self) -> bytes:
        joined = b"".join(pcm.tobytes() for pcm in self.pending)
        self.pending, self.pending_samples = [], 0
        return joined


class _Helper:
    """One process and what waits for it."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self.waiting: deque[Message] = deque()
        self._polls_since_start = 0
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.process = self._spawn(theirs)
        theirs.close()
        self._link = ours
        self._polls_since_start = 0

    def flush(self) -> bool:
        """Send what the socket takes. False: the process is gone."""
        while self.waiting:
            try:
                self._link.send(self.waiting[0].pack())
            except BlockingIOError:
                return True
            except OSError:
                return False
            self.waiting.popleft()
        return True

    def receive(self) -> tuple[list[Message], bool]:
        """Messages that are there, and whether the process lives."""
        found: list[Message] = []
        while True:
            try:
                packet = self._link.recv(MOST_BYTES)
            except BlockingIOError:
                return found, True
            except OSError:
                return found, False
            if not packet:
                return found, False
            found.append(unpack(packet))

    @property
    def is_live(self) -> bool:
        """The process holds its end of the socket. Looks, and takes nothing."""
        try:
            return bool(self._link.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def restart_when_due(self) -> bool:
        """Called in every poll while the process is gone; True when a new one was started."""
        self._polls_since_start += 1
        if self._polls_since_start < RESTART_POLLS:
            return False
        self.stop()
        self.waiting.clear()
        self._start()
        return True

    def stop(self) -> None:
        self._link.close()
        self.process.kill()
        self.process.wait()


class RecogniserPool:
    """See ``recogniser.Recogniser``. ``lost`` counts what was given up."""

    gives_words = True

    def __init__(self, spawn: Spawn, *, processes: int, is_late: bool = False, per_call: bool = False) -> None:
        """``per_call``: the processes keep something for each call, and are told when it is over."""
        self.is_late = is_late
        self._per_call = per_call
        self._helpers = [_Helper(spawn) for _ in range(max(processes, 1))]
        self._open: dict[int, _Utterance] = {}
        self._numbers = 0
        self._lost: list[Hypothesis] = []
        self._polls_gone = 0
        self.dropped_utterances = 0
        self.restarts = 0

    @property
    def stats(self) -> HelperStats:
        live = sum(helper.is_live for helper in self._helpers)
        return HelperStats(
            wanted=len(self._helpers), live=live, restarts=self.restarts, given_up=self.dropped_utterances
        )

    @property
    def pids(self) -> list[int]:
        return [helper.process.pid for helper in self._helpers]

    def expect(self, row: int, expect: Expect) -> None:
        if not self.is_late:  # a server has nothing to make ready
            self._put(expect_message(row, expect))

    def start(self, row: int, expect: Expect, mode: Mode) -> int:
        self._numbers += 1
        self._open[row] = _Utterance(self._numbers)
        self._put(start_message(row, self._numbers, expect, mode))
        return self._numbers

    def feed(self, row: int, pcm: NDArray[np.int16]) -> None:
        utterance = self._open.get(row)
        if utterance is None:
            return
        utterance.pending.append(pcm)
        utterance.pending_samples += len(pcm)
        if utterance.pending_samples >= GROUP_SAMPLES:
            self._put(Message(Kind.FEED, row, utterance.number, utterance.take_pending()))

    def stop(self, row: int) -> None:
        utterance = self._open.get(row)
        if utterance is None:
            return
        if utterance.pending:
            self._put(Message(Kind.FEED, row, utterance.number, utterance.take_pending()))
        self._put(Message(Kind.STOP, row, utterance.number))

    def cancel(self, row: int) -> None:
        utterance = self._open.pop(row, None)
        if utterance is not None:
            self._put(Message(Kind.CANCEL, row, utterance.number))

    def release(self, row: int) -> None:
        self.cancel(row)
        if self._per_call:
            self._put(Message(Kind.RELEASE, row, 0))

    def poll(self) -> Sequence[Hypothesis]:
        found: list[Hypothesis] = []
        for at, helper in enumerate(self._helpers):
            sent = helper.flush()
            messages, alive = helper.receive()
            answers = [self._take(message) for message in messages if message.kind is Kind.FOUND]
            found += [hypothesis for hypothesis in answers if hypothesis is not None]
            if not (sent and alive):
                self._give_up_rows(at)
                self.restarts += helper.restart_when_due()
        found += self._lost
        self._lost.clear()
        return found

    def close(self) -> None:
        for helper in self._helpers:
            helper.stop()

    def _helper(self, row: int) -> _Helper:
        return self._helpers[row % len(self._helpers)]

    def _put(self, message: Message) -> None:
        helper = self._helper(message.row)
        if len(helper.waiting) >= MOST_WAITING:
            self._drop_oldest(helper)
        helper.waiting.append(message)

    def _drop_oldest(self, helper: _Helper) -> None:
        """The utterance that waits longest is given up whole: its words would come too late anyway."""
        row, number = helper.waiting[0].row, helper.waiting[0].utterance
        kept = [m for m in helper.waiting if (m.row, m.utterance) != (row, number)]
        helper.waiting = deque([*kept, Message(Kind.CANCEL, row, number)])
        utterance = self._open.get(row)
        if utterance is not None and utterance.number == number:
            self._give_up(row)

    def _give_up_rows(self, helper: int) -> None:
        for row in [row for row in self._open if row % len(self._helpers) == helper]:
            self._give_up(row)

    def _give_up(self, row: int) -> None:
        """End the row's utterance with the words that it has."""
        utterance = self._open.pop(row)
        self.dropped_utterances += 1
        last = utterance.last
        self._lost.append(
            Hypothesis(
                row=row,
                utterance=utterance.number,
                words=last.words if last else (),
                final=True,
                confidence=last.confidence if last else 0.0,
                samples=last.samples if last else 0,
            )
        )

    def _take(self, message: Message) -> Hypothesis | None:
        utterance = self._open.get(message.row)
        if utterance is None or utterance.number != message.utterance:
            return None
        hypothesis = hypothesis_of(message)
        utterance.last = hypothesis
        if hypothesis.final:
            del self._open[message.row]
        return hypothesis
