"""A load of RTP calls from one socket: batched system calls, so that Python is not what is measured.

Runs as a process of its own. Prints ``{"port": p}`` on stdout, reads one JSON line with the plan (``Plan``) on stdin,
runs it and prints one JSON line with the result. Each 10 ms of audio carries a number, so that the way of a sample
through edge and worker can be timed.
"""

from __future__ import annotations

import ctypes
import json
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKET_S = 0.02
_PACKET_BYTES = 172
_BLOCK_S = 0.01
_BATCH = 1024
_STEP_S = 0.001
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE, _DONTWAIT = 35, 33, 0x40
_BUFFER_BYTES = 16 * 1024 * 1024
# µ-law codes that survive decoding and encoding (0x7F is minus zero and comes back as 0xFF).
_CODES = np.array([code for code in range(20, 220) if code != 0x7F], np.uint8)
_PERIOD = len(_CODES)
_READ_AT = 12 + 79  # last byte of the first block: where concealment is blended in, the first bytes differ

_libc = ctypes.PyDLL(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send."""

    ports: list[int]
    """RTP ports of the edge, one per call."""
    seconds: float
    start_at: float
    """On the machine's monotonic clock."""
    loss: float = 0.0
    jitter_ms: float = 0.0
    """Each packet is sent up to this much late, evenly distributed."""
    seed: int = 1


class _Messages:
    """Memory of ``_BATCH`` datagrams for ``sendmmsg`` or ``recvmmsg``."""

    def __init__(self, width: int) -> None:
        self.data = np.zeros((_BATCH, width), np.uint8)
        self.names = np.zeros((_BATCH, 16), np.uint8)
        self.control = np.zeros((_BATCH, 64), np.uint8)
        self._iov = np.zeros((_BATCH, 2), np.uint64)
        self.headers = np.zeros((_BATCH, 8), np.uint64)
        line = np.arange(_BATCH, dtype=np.uint64)
        self._iov[:, 0], self._iov[:, 1] = self.data.ctypes.data + line * width, width
        self.headers[:, 0], self.headers[:, 1] = self.names.ctypes.data + line * 16, 16
        self.headers[:, 2], self.headers[:, 3] = self._iov.ctypes.data + line * 16, 1
        self.address = ctypes.c_void_p(int(self.headers.ctypes.data))


class Generator:
    """Sends and receives one plan on one socket."""

    def __init__(self, sock: socket.socket, plan: Plan) -> None:
        self._sock = sock
        self._plan = plan
        calls, packets = len(plan.ports), int(plan.seconds / PACKET_S)
        rng = np.random.default_rng(plan.seed)
        offset = np.arange(calls) / calls * PACKET_S
        due = offset[:, None] + np.arange(packets) * PACKET_S
        due = due + rng.uniform(0.0, plan.jitter_ms / 1000.0, due.shape)
        kept = rng.random(due.shape) >= plan.loss
        call, sequence = np.nonzero(kept)
        order = np.argsort(due[call, sequence], kind="stable")
        self._call, self._sequence = call[order], sequence[order]
        self._due = due[self._call, self._sequence]
        self._ideal = offset[:, None] + np.arange(packets) * PACKET_S
        self.late_ms = np.zeros(len(self._due))
        self._out, self._in = _Messages(_PACKET_BYTES), _Messages(256)
        self._out.data[:, 0] = 0x80
        self._names = _names(plan.ports)
        self._call_of = np.full(1 << 16, -1, np.int64)
        self._call_of[plan.ports] = np.arange(calls)
        self._got: list[NDArray[np.float64]] = []

    def run(self) -> dict[str, Any]:
        """Send the plan in time while receiving; then the figures."""
        sent, total = 0, len(self._due)
        start = self._plan.start_at
        # While legs were opened and the plan was made nobody read: what overflowed then is our loss, not the edge's.
        time.sleep(max(0.0, start - time.monotonic()))
        self._receive()
        self._got.clear()
        end = self._plan.seconds + 0.3
        step = 0
        while True:
            wait = start + step * _STEP_S - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            at = time.monotonic() - start
            until = int(np.searchsorted(self._due, at, "right"))
            while sent < until:
                sent += self._send(sent, min(until, sent + _BATCH), start)
            self._receive()
            if at > end:
                break
            step = max(step + 1, int(at / _STEP_S))
        return self._figures(total)

    def _send(self, first: int, last: int, start: float) -> int:
        n = last - first
        call, sequence = self._call[first:last], self._sequence[first:last]
        data = self._out.data[:n]
        data[:, 2:4].view(">u2")[:, 0] = sequence & 0xFFFF
        data[:, 4:8].view(">u4")[:, 0] = sequence * 160 & 0xFFFFFFFF
        data[:, 8:12].view(">u4")[:, 0] = call + 1
        data[:, 12:92] = _CODES[2 * sequence % _PERIOD][:, None]
        data[:, 92:] = _CODES[(2 * sequence + 1) % _PERIOD][:, None]
        self._out.names[:n] = self._names[call]
        done = max(0, int(_libc.sendmmsg(self._sock.fileno(), self._out.address, n, _DONTWAIT)))
        self.late_ms[first : first + done] = (time.monotonic() - start - self._due[first : first + done]) * 1000.0
        return done

    def _receive(self) -> None:
        box = self._in
        while True:
            box.headers[:, 1] = 16
            box.headers[:, 4], box.headers[:, 5] = box.control.ctypes.data + np.arange(_BATCH) * 64, 64
            n = _libc.recvmmsg(self._sock.fileno(), box.address, _BATCH, _DONTWAIT, None)
            if n <= 0:
                return
            ports = box.names[:n, 2:4].view(">u2")[:, 0].astype(np.int64)
            stamps = box.control[:n].view(np.int64)
            out = np.empty((n, 5))
            out[:, 0] = self._call_of[ports]
            out[:, 1] = box.data[:n, 2:4].view(">u2")[:, 0]
            out[:, 2] = box.data[:n, 4:8].view(">u4")[:, 0]
            out[:, 3] = stamps[:, 2] + stamps[:, 3] * 1e-9
            out[:, 4] = box.data[:n, _READ_AT]
            self._got.append(out)
            if n < _BATCH:
                return

    def _figures(self, sent: int) -> dict[str, Any]:
        to_monotonic = time.monotonic() - time.time()
        got = np.concatenate(self._got) if self._got else np.zeros((0, 5))
        got = got[got[:, 0] >= 0]
        call = got[:, 0].astype(np.int64)
        arrived = got[:, 3] + to_monotonic - self._plan.start_at
        lateness = _lateness(call, got[:, 2].astype(np.int64), arrived, len(self._plan.ports))
        through = self._through(call, got[:, 4].astype(np.int64), arrived)
        steady = (arrived > 1.0) & (arrived < self._plan.seconds - 0.1)
        first = call == 0
        return {
            "sent": sent,
            "received": len(got),
            "lost": _lost(call, got[:, 1].astype(np.int64), len(self._plan.ports)),
            "own_late_ms": percentiles(self.late_ms),
            "send_lateness_ms": percentiles(lateness[steady]),
            "through_ms": percentiles(through[steady & ~np.isnan(through)]),
            # Concealment garbles some marks, and a garbled mark is off by up to 2 s: quantiles, not the largest.
            "through_by_100ms": _by_time(arrived, through, 0.5),
            "through_p90_by_100ms": _by_time(arrived, through, 0.9),
            "first_call_late_by_100ms": _by_time(arrived[first], lateness[first], 1.0),
            "cpu_s": time.process_time(),
        }

    def _through(self, call: NDArray[np.int64], code: NDArray[np.int64], arrived: NDArray[np.float64]
                 ) -> NDArray[np.float64]:  # fmt: skip
        """Milliseconds from when a sample was due at our side to when it came back; NaN where it carries no number."""
        number_of = np.full(256, -1, np.int64)
        number_of[_CODES] = np.arange(_PERIOD)
        number = number_of[code]
        newest = ((arrived - self._ideal[call, 0]) / _BLOCK_S).astype(np.int64)
        block = newest - (newest - number) % _PERIOD
        known = (number >= 0) & (block >= 0) & (block // 2 < self._ideal.shape[1])
        block = np.where(known, block, 0)
        due = self._ideal[call, block // 2] + block % 2 * _BLOCK_S
        return np.where(known, (arrived - due) * 1000.0, np.nan)


def percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    """p50, p99, p999 and max; zeros of nothing."""
    if not len(values):
        return {"p50": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0}
    p50, p99, p999 = np.percentile(values, (50, 99, 99.9))
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3), "p999": round(float(p999), 3),
            "max": round(float(values.max()), 3)}  # fmt: skip


def _lateness(
    call: NDArray[np.int64], timestamp: NDArray[np.int64], arrived: NDArray[np.float64], calls: int
) -> NDArray[np.float64]:
    """Arrival minus the call's earliest arrival, aligned by RTP timestamp; milliseconds."""
    first = np.zeros(calls, np.int64)
    first[call[::-1]] = timestamp[::-1]  # the earliest in the list stays
    media = ((timestamp - first[call] + 0x80000000) % (1 << 32) - 0x80000000) / 8000.0
    relative = arrived - media
    earliest = np.full(calls, np.inf)
    np.minimum.at(earliest, call, relative)
    return np.asarray((relative - earliest[call]) * 1000.0)


def _lost(call: NDArray[np.int64], sequence: NDArray[np.int64], calls: int) -> int:
    """Packets missing between the first and the last of each call, by sequence number; loopback keeps order."""
    first, last = np.zeros(calls, np.int64), np.zeros(calls, np.int64)
    first[call[::-1]] = sequence[::-1]
    last[call] = sequence
    count = np.bincount(call, minlength=calls)
    expected = np.where(count > 0, (last - first) % 65536 + 1, 0)
    return int((expected - count).sum())


def _by_time(arrived: NDArray[np.float64], value: NDArray[np.float64], share: float) -> list[float]:
    """Quantile of the values in each 100 ms (1.0: the largest); -1 where there is none."""
    good = ~np.isnan(value)
    arrived, value = arrived[good], value[good]
    bucket = np.maximum((arrived * 10).astype(np.int64), 0)
    size = int(bucket.max()) + 1 if len(bucket) else 0
    inside = [value[bucket == at] for at in range(size)]
    return [round(float(np.quantile(some, share)), 2) if len(some) else -1.0 for some in inside]


def _names(ports: list[int]) -> NDArray[np.uint8]:
    names = np.zeros((len(ports), 16), np.uint8)
    names[:, 0] = socket.AF_INET
    names[:, 2:4].view(">u2")[:, 0] = ports
    names[:, 4:8] = np.frombuffer(socket.inet_aton("127.0.0.1"), np.uint8)
    return names


def main() -> None:
    """Process entry: plan in on stdin, figures out on stdout, one JSON line each."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.bind(("127.0.0.1", 0))
    _say({"port": sock.getsockname()[1]})
    for line in sys.stdin:
        _say(Generator(sock, Plan(**json.loads(line))).run())


def _say(body: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
