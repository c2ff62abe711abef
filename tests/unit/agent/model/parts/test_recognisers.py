"""The pool against a fake process, the process's core against a fake engine, sherpa against a fake library."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import NOTHING_KNOWN, Expect, ExpectKind
from agent.model.parts.ears import build
from agent.model.parts.engine import Guess, open_engine
from agent.model.parts.recogniser import Mode
from agent.model.parts.recogniser_pool import MOST_WAITING, RESTART_POLLS, RecogniserPool
from agent.model.parts.recogniser_process import Rows
from agent.model.parts.recogniser_wire import MOST_BYTES, Kind, Message, unpack, with_json
from agent.model.parts.sherpa_engine import SherpaEngine, find_model, hot_words

AUDIO = np.zeros(480, np.int16)


class FakeProcess:
    """The far end of a helper's socket, driven by the test."""

    pid = 0

    def __init__(self, link: socket.socket) -> None:
        self.link = link.dup()
        self.link.setblocking(False)

    def kill(self) -> None:
        self.link.close()

    def wait(self) -> int:
        return 0

    def received(self) -> Iterator[Message]:
        while True:
            try:
                yield unpack(self.link.recv(MOST_BYTES))
            except BlockingIOError:
                return

    def tell(self, row: int, utterance: int, words: list[str], *, final: bool) -> None:
        data = {"words": words, "final": final, "confidence": 0.9, "samples": 480}
        self.link.send(with_json(Kind.FOUND, row, utterance, data).pack())


@pytest.fixture
def far() -> list[FakeProcess]:
    return []


@pytest.fixture
def pool(far: list[FakeProcess]) -> Iterator[RecogniserPool]:
    def spawn(link: socket.socket) -> Any:
        far.append(FakeProcess(link))
        return far[-1]

    pool = RecogniserPool(spawn, processes=2)
    yield pool
    pool.close()


def test_rows_are_pinned_to_processes_and_told_what_to_expect(pool: RecogniserPool, far: list[FakeProcess]) -> None:
    pool.start(3, Expect(kind=ExpectKind.YES_NO), Mode.ANSWER)
    pool.feed(3, AUDIO)
    pool.stop(3)
    pool.poll()
    assert list(far[0].received()) == []
    start, feed, stop = far[1].received()
    assert start.json()["expect"]["kind"] == "yes_no"
    assert (feed.kind, len(feed.payload), stop.kind) == (Kind.FEED, 960, Kind.STOP)


def test_hypotheses_of_an_old_utterance_are_dropped(pool: RecogniserPool, far: list[FakeProcess]) -> None:
    old = pool.start(0, NOTHING_KNOWN, Mode.ANSWER)
    new = pool.start(0, NOTHING_KNOWN, Mode.ANSWER)
    far[0].tell(0, old, ["old"], final=False)
    far[0].tell(0, new, ["new"], final=True)
    far[0].tell(0, new, ["late"], final=True)
    assert [found.words for found in pool.poll()] == [("new",)]


def test_a_dead_process_ends_its_utterances_and_starts_again(pool: RecogniserPool, far: list[FakeProcess]) -> None:
    number = pool.start(0, NOTHING_KNOWN, Mode.ANSWER)
    far[0].tell(0, number, ["where"], final=False)
    pool.poll()
    far[0].kill()
    lost = pool.poll()
    assert [(found.words, found.final) for found in lost] == [(("where",), True)]
    for _ in range(RESTART_POLLS + 1):
        pool.poll()
    assert pool.restarts == 1
    pool.start(0, NOTHING_KNOWN, Mode.ANSWER)
    pool.poll()
    assert [message.kind for message in far[2].received()] == [Kind.START]


def test_a_full_queue_gives_up_the_oldest_utterance(pool: RecogniserPool, far: list[FakeProcess]) -> None:
    old = pool.start(0, NOTHING_KNOWN, Mode.ANSWER)
    pool.start(2, NOTHING_KNOWN, Mode.ANSWER)
    for _ in range(MOST_WAITING):
        pool.feed(2, AUDIO)
    assert pool.dropped_utterances >= 1
    assert any(found.utterance == old and found.final for found in pool.poll())


class FakeStream:
    def __init__(self) -> None:
        self.samples = 0
        self.dropped = False

    def feed(self, pcm: NDArray[np.int16]) -> None:
        self.samples += len(pcm)

    def partial(self) -> Guess:
        return Guess(("one",) * (self.samples // 1600), 0.8)

    def finish(self) -> Guess:
        return Guess(("done",), 0.9)

    def drop(self) -> None:
        self.dropped = True


class FakeEngine:
    def __init__(self, most: int = 9) -> None:
        self.streams: list[FakeStream] = []
        self.most = most

    def open(self, expect: Expect, mode: Mode) -> FakeStream | None:
        if len(self.streams) == self.most:
            return None
        self.streams.append(FakeStream())
        return self.streams[-1]


def start(row: int, number: int) -> Message:
    return with_json(Kind.START, row, number, {"expect": NOTHING_KNOWN.to_json(), "mode": "answer"})


def test_partial_words_are_told_when_they_change() -> None:
    rows = Rows(FakeEngine())
    assert rows.handle(start(4, 1)) == []
    feed = Message(Kind.FEED, 4, 1, np.zeros(800, np.int16).tobytes())
    told = [answer.json()["words"] for _ in range(4) for answer in rows.handle(feed)]
    assert told == [["one"], ["one", "one"]]
    [final] = rows.handle(Message(Kind.STOP, 4, 1))
    assert final.json() == {"words": ["done"], "final": True, "confidence": 0.9, "samples": 3200}
    assert rows.handle(Message(Kind.STOP, 4, 1)) == []


def test_a_new_utterance_frees_the_decoder_of_the_old_one() -> None:
    engine = FakeEngine()
    rows = Rows(engine)
    rows.handle(start(4, 1))
    rows.handle(start(4, 2))
    rows.handle(Message(Kind.CANCEL, 4, 2))
    assert [stream.dropped for stream in engine.streams] == [True, True]


def test_without_a_free_decoder_the_utterance_ends_without_words() -> None:
    [refused] = Rows(FakeEngine(most=0)).handle(start(4, 1))
    assert (refused.json()["words"], refused.json()["final"]) == ([], True)


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ((), "tokens.txt"),
        (("tokens.txt",), r"encoder\*.onnx"),
        (("tokens.txt", "encoder-1.onnx", "decoder-1.onnx"), r"joiner\*.onnx"),
    ],
)
def test_a_sherpa_folder_names_what_it_lacks(tmp_path: Path, files: tuple[str, ...], missing: str) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=missing):
        build(1, recogniser="sherpa", processes=1, sherpa_model=str(tmp_path))


def test_no_sherpa_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no folder is given"):
        find_model("")
    with pytest.raises(ModelError, match="is not a folder"):
        find_model(str(tmp_path / "nothing"))


def test_small_files_are_preferred_in_a_sherpa_folder(tmp_path: Path) -> None:
    for name in ("tokens.txt", "encoder.onnx", "encoder.int8.onnx", "decoder.onnx", "joiner.onnx"):
        (tmp_path / name).touch()
    assert find_model(str(tmp_path))["encoder"].endswith("encoder.int8.onnx")


def test_damaged_sherpa_files_are_an_error_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        class OnlineRecognizer:
            @staticmethod
            def from_transducer(**_: Any) -> None:
                raise RuntimeError("not an ONNX file")

    for name in ("tokens.txt", "encoder.onnx", "decoder.onnx", "joiner.onnx"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "sherpa_onnx", Library)
    with pytest.raises(ModelError, match="cannot be loaded: not an ONNX file"):
        open_engine("sherpa", str(tmp_path))


class FakeOnline:
    """Behaves as ``OnlineRecognizer``: one word per 0.2 s."""

    def __init__(self) -> None:
        self.ready = 0
        self.heard = 0
        self.hot = ""

    def create_stream(self, hotwords: str = "") -> FakeOnline:
        if hotwords:
            raise RuntimeError("no bpe model")
        return self

    def accept_waveform(self, rate: int, pcm: NDArray[np.float32]) -> None:
        assert rate == 8000
        assert np.abs(pcm).max(initial=0) <= 1
        self.ready += len(pcm)

    def input_finished(self) -> None:
        self.ready += 800

    def is_ready(self, _: object) -> bool:
        return self.ready >= 1600

    def decode_stream(self, _: object) -> None:
        self.ready -= 1600
        self.heard += 1

    def get_result(self, _: object) -> str:
        return " WORD" * self.heard


def test_sherpa_words_are_lower_case_and_the_tail_is_flushed() -> None:
    expect = Expect(kind=ExpectKind.DIGITS, digits=2, phrases=("help me",))
    assert "HELP" in hot_words(expect)
    assert "SEVEN" in hot_words(expect)
    stream = SherpaEngine(FakeOnline()).open(expect, Mode.ANSWER)
    assert stream.partial().words == ()
    stream.feed(np.zeros(1600, np.int16))
    assert stream.partial().words == ("word",)
    assert len(stream.finish().words) > 2


def test_an_unknown_recogniser_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="pocketsphinx, sherpa, none"):
        build(1, recogniser="psychic", processes=1)
