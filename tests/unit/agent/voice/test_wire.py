from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.errors import VoiceFailed
from agent.voice.engine import ClauseJob, Emit, NotAligned, Times
from agent.voice.process import FIRST_PIECE, MOST_QUEUED, Aligner, VoiceServer
from agent.voice.wire import (
    HEAD,
    MOST_PAYLOAD,
    Frame,
    FrameReader,
    Kind,
    pack,
    pack_audio,
    pack_job,
    pack_times,
    unpack_audio,
    unpack_job,
    unpack_times,
)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(1, 20))
def test_frames_survive_any_cutting(payloads: list[bytes], piece: int) -> None:
    sent = [Frame(Kind.AUDIO, number, payload) for number, payload in enumerate(payloads)]
    data = b"".join(pack(frame.kind, frame.request, frame.payload) for frame in sent)
    reader = FrameReader()
    got = [frame for at in range(0, len(data), piece) for frame in reader.feed(data[at : at + piece])]
    assert got == sent


def test_frame_too_large_or_of_unknown_kind_is_refused() -> None:
    for data in (HEAD.pack(MOST_PAYLOAD + 1, 1, 0), HEAD.pack(0, 99, 0)):
        with pytest.raises(ValueError):
            list(FrameReader().feed(data))


def test_contents_come_back_as_they_went() -> None:
    job = ClauseJob(("one two,", "é"), "?", 7)
    pcm = np.array([-32768, 0, 32767], np.int16)
    (a, b, c) = FrameReader().feed(pack_job(1, job, 250) + pack_times(2, ((0, 5), (6, 9))) + pack_audio(3, pcm))
    assert unpack_job(a.payload) == (job, 250)
    assert unpack_times(b.payload) == ((0, 5), (6, 9))
    assert np.array_equal(unpack_audio(c.payload), pcm)


class SlowEngine:
    """Emits ten pieces; at the third lets the test act."""

    exact = True

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.emitted: list[str] = []

    def say(self, job: ClauseJob, emit: Emit) -> None:
        if job.words == ("broken",):
            raise VoiceFailed("no such sound")
        for number in range(10):
            if job.words == ("wait",) and number == 3:
                self.reached.set()
                self.go_on.wait(5)
            self.emitted.append(job.words[0])
            if not emit(piece(), ((0, 1600),) if number == 0 else None):
                return


def piece() -> NDArray[np.int16]:
    return np.zeros(FIRST_PIECE, np.int16)


class Owner:
    """The test's end of the socket, and a server in a thread."""

    def __init__(self, aligner: Aligner | None = None) -> None:
        self.sock, theirs = socket.socketpair()
        self.engine = SlowEngine()
        self.theirs = theirs
        self.thread = threading.Thread(target=VoiceServer(theirs, self.engine, aligner).run)
        self.thread.start()
        self.reader = FrameReader()

    def until(self, kind: Kind, request: int) -> list[Frame]:
        frames: list[Frame] = []
        while not any((frame.kind, frame.request) == (kind, request) for frame in frames):
            frames += self.reader.feed(self.sock.recv(65536))
        return frames

    def close(self) -> None:
        self.engine.go_on.set()
        self.sock.close()
        self.thread.join(5)
        self.theirs.close()
        assert not self.thread.is_alive()


def test_cancelled_clause_stops_and_queued_ones_are_dropped() -> None:
    owner = Owner()
    for number, word in enumerate(("wait", "dropped", "after"), start=1):
        owner.sock.sendall(pack_job(number, ClauseJob((word,), "", 0)))
    owner.engine.reached.wait(5)
    owner.sock.sendall(pack(Kind.CANCEL, 1) + pack(Kind.CANCEL, 2))
    owner.engine.go_on.set()
    frames = owner.until(Kind.END, 3)
    owner.close()
    assert owner.engine.emitted.count("wait") == 4
    assert "dropped" not in owner.engine.emitted
    assert {(f.kind, f.request) for f in frames if f.kind is Kind.END} == {(Kind.END, 3)}


def test_messages_grow_so_that_the_first_is_small() -> None:
    owner = Owner()
    owner.sock.sendall(pack_job(1, ClauseJob(("word",), "", 0)))
    frames = owner.until(Kind.END, 1)
    owner.close()
    sizes = [len(frame.payload) // 2 for frame in frames if frame.kind is Kind.AUDIO]
    assert sizes[:3] == [160, 320, 640]
    assert sum(sizes) == 1600


def test_failure_of_the_engine_is_told_and_the_next_clause_spoken() -> None:
    owner = Owner()
    owner.sock.sendall(pack_job(1, ClauseJob(("broken",), "", 0)) + pack_job(2, ClauseJob(("fine",), "", 0)))
    frames = owner.until(Kind.END, 2)
    owner.close()
    assert Frame(Kind.FAILED, 1, b"no such sound") in frames


def test_full_queue_refuses_new_clauses() -> None:
    owner = Owner()
    owner.sock.sendall(pack_job(1, ClauseJob(("wait",), "", 0)))
    owner.engine.reached.wait(5)
    for number in range(2, MOST_QUEUED + 4):
        owner.sock.sendall(pack_job(number, ClauseJob(("x",), "", 0)))
    owner.sock.sendall(pack(Kind.CANCEL, 1))
    owner.engine.go_on.set()
    frames = owner.until(Kind.FAILED, MOST_QUEUED + 3)
    owner.close()
    assert any(frame.kind is Kind.FAILED and b"overloaded" in frame.payload for frame in frames)


def test_clause_whose_hearer_runs_dry_first_is_spoken_first() -> None:
    owner = Owner()
    owner.sock.sendall(pack_job(1, ClauseJob(("wait",), "", 0)))
    owner.engine.reached.wait(5)
    for number, (word, slack_ms) in enumerate((("later", 3000), ("soon", 500), ("now", 0), ("too", 0)), start=2):
        owner.sock.sendall(pack_job(number, ClauseJob((word,), "", 0), slack_ms))
    owner.engine.go_on.set()
    owner.until(Kind.END, 2)
    owner.close()
    assert list(dict.fromkeys(owner.engine.emitted)) == ["wait", "now", "too", "soon", "later"]


class Finder:
    """Finds one word in the whole clause; gives way as the real one does. "held" is begun and waits for the test."""

    def __init__(self, why: str = "") -> None:
        self.why = why
        self.asked: list[str] = []
        self.reached, self.go_on = threading.Event(), threading.Event()

    def times(self, job: ClauseJob, pcm: NDArray[np.int16], go_on: Callable[[], bool]) -> Times | None:
        self.asked.append(job.words[0])
        if job.words == ("held",):
            self.reached.set()
            self.go_on.wait(5)
        if not go_on():
            return None
        if self.why:
            raise NotAligned(self.why)
        return ((7, pcm.size),)


def test_words_are_found_behind_the_audio_and_replace_the_estimate() -> None:
    owner = Owner(Finder())
    owner.sock.sendall(pack_job(1, ClauseJob(("word",), "", 0)))
    frames = owner.until(Kind.END, 1)
    owner.close()
    kinds = [frame.kind for frame in frames if frame.request == 1]
    assert kinds[0] is Kind.TIMES
    assert kinds[-2:] == [Kind.TIMES, Kind.END]
    assert unpack_times(frames[-2].payload) == ((7, 1600),)
    assert frames[-1].payload == b""


def test_words_that_are_not_found_keep_the_estimate_and_say_why() -> None:
    owner = Owner(Finder("the net hears something else"))
    owner.sock.sendall(pack_job(1, ClauseJob(("word",), "", 0)))
    frames = owner.until(Kind.END, 1)
    owner.close()
    assert [frame.kind for frame in frames].count(Kind.TIMES) == 1
    assert frames[-1].payload == b"the net hears something else"


def test_a_clause_that_is_waited_for_is_said_before_words_are_found() -> None:
    finder = Finder()
    owner = Owner(finder)
    owner.sock.sendall(pack_job(1, ClauseJob(("wait",), "", 0), 1000))
    owner.engine.reached.wait(5)
    owner.sock.sendall(pack_job(2, ClauseJob(("now",), "", 0)))
    owner.engine.go_on.set()
    frames = owner.until(Kind.END, 1)
    owner.close()
    said = [frame.request for frame in frames if frame.kind is Kind.AUDIO]
    found = [frame.request for frame in frames if frame.kind is Kind.END]
    assert said == sorted(said)
    assert found == [2, 1]
    assert finder.asked == ["now", "wait"]


def test_a_search_gives_way_to_a_clause_that_is_waited_for() -> None:
    finder = Finder()
    owner = Owner(finder)
    owner.sock.sendall(pack_job(1, ClauseJob(("held",), "", 0), 2000))
    finder.reached.wait(5)
    owner.sock.sendall(pack_job(2, ClauseJob(("now",), "", 0)))
    finder.go_on.set()
    frames = owner.until(Kind.END, 1)
    owner.close()
    assert [frame.request for frame in frames if frame.kind is Kind.END] == [2, 1]
    assert finder.asked == ["held", "now", "held"]


def test_a_search_is_given_up_when_its_clause_is_cancelled() -> None:
    finder = Finder()
    owner = Owner(finder)
    owner.sock.sendall(pack_job(1, ClauseJob(("held",), "", 0)))
    finder.reached.wait(5)
    owner.sock.sendall(pack(Kind.CANCEL, 1) + pack_job(2, ClauseJob(("after",), "", 0)))
    finder.go_on.set()
    frames = owner.until(Kind.END, 2)
    owner.close()
    assert [frame.request for frame in frames if frame.kind is Kind.END] == [2]
    assert finder.asked == ["held", "after"]


def test_a_clause_that_is_cancelled_is_not_searched_for_words() -> None:
    finder = Finder()
    owner = Owner(finder)
    owner.sock.sendall(pack_job(1, ClauseJob(("wait",), "", 0)))
    owner.engine.reached.wait(5)
    owner.sock.sendall(pack(Kind.CANCEL, 1) + pack_job(2, ClauseJob(("after",), "", 0)))
    owner.engine.go_on.set()
    owner.until(Kind.END, 2)
    owner.close()
    assert finder.asked == ["after"]
