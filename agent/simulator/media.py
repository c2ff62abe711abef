"""The media thread: all lines of this process, each sending on its own absolute deadlines.

One thread for one caller or for a hundred. Lines come by ``add`` and leave when their caller hangs up or by
``remove``; both may be called from any thread.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import queue
import sys
import threading
import time

from agent.simulator.line import Line
from agent.simulator.performer import FRAME_S
from telephony.edge_stats import raise_priority
from telephony.media import LegMedia

IDLE_S = 0.005
"""Longest sleep: a new line waits no longer."""
SWITCH_S = 0.0005
"""How long another thread of this process may keep the interpreter from this one; Python's default of 5 ms is all
that a caller's packet may be late."""


class MediaThread:
    """Runs lines. Use as a context manager: within it this process collects no garbage.

    A collection over all recordings stops every caller for hundreds of milliseconds. The thread asks for real-time
    scheduling, as the service's edges do: callers that are late make the service look wrong.
    """

    def __init__(self) -> None:
        self._commands: queue.SimpleQueue[tuple[Line, LegMedia | None]] = queue.SimpleQueue()
        self._due: list[tuple[float, int, Line]] = []
        self._mail: list[tuple[float, int, Line, bytes, tuple[str, int]]] = []
        """Datagrams on the simulated wire."""
        self._live: set[Line] = set()
        self._order = itertools.count()
        self._stopping = threading.Event()
        self._switch_s = sys.getswitchinterval()
        self._thread = threading.Thread(target=self._run, name="callers", daemon=True)

    def __enter__(self) -> MediaThread:
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        gc.collect()
        gc.freeze()
        gc.disable()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        gc.enable()
        gc.unfreeze()
        sys.setswitchinterval(self._switch_s)

    def add(self, line: Line, media: LegMedia) -> None:
        """The call of ``line`` is answered: talk to ``media.remote``."""
        self._commands.put((line, media))

    def remove(self, line: Line) -> None:
        """The call is over; the line sends nothing more."""
        self._commands.put((line, None))

    # --- the thread ---

    def _run(self) -> None:
        raise_priority(below=1)
        while not self._stopping.is_set():
            self._obey()
            now = time.monotonic()
            while self._mail and self._mail[0][0] <= now:
                _, _, line, packet, remote = heapq.heappop(self._mail)
                if line in self._live:
                    line.send_now(packet, remote)
            while self._due and self._due[0][0] <= now:
                self._tick(heapq.heappop(self._due)[2], now)
                now = time.monotonic()
            self._sleep()

    def _sleep(self) -> None:
        deadlines = [heap[0][0] for heap in (self._due, self._mail) if heap]
        wait = min([IDLE_S, *(at - time.monotonic() for at in deadlines)])
        if wait > 0:
            time.sleep(wait)

    def _obey(self) -> None:
        while True:
            try:
                line, media = self._commands.get_nowait()
            except queue.Empty:
                return
            if media is None:
                self._live.discard(line)
            elif line in self._live:
                line.change(media)
            elif not line.finished:
                # Deadlines of many lines spread over the frame by the moment of their answers; a common one is
                # moved so that they do not all send in one burst.
                start = time.monotonic() + FRAME_S * (next(self._order) * 7 % 20) / 20
                line.start(media, start)
                self._live.add(line)
                heapq.heappush(self._due, (line.due(), next(self._order), line))

    def _tick(self, line: Line, now: float) -> None:
        if line not in self._live:
            return

        def deliver(at: float, packet: bytes, remote: tuple[str, int]) -> None:
            heapq.heappush(self._mail, (at, next(self._order), line, packet, remote))

        line.tick(now, deliver)
        if line.finished:
            self._live.discard(line)
        else:
            heapq.heappush(self._due, (line.due(), next(self._order), line))
