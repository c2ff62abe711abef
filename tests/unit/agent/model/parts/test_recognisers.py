"""The pool against a fake process, the process's core against a fake engine, sherpa on a model made here."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.expectation import NOTHING_KNOWN, Expect, ExpectKind
from agent.model.parts import grammar, pocketsphinx_engine
from agent.model.parts.ears import build
from agent.model.parts.engine import Guess
from agent.model.parts.pocketsphinx_engine import MOST_GRAMMARS, SPARE_DECODERS, PocketSphinxEngine, _Decoder
from agent.model.parts.recogniser import Mode
from agent.model.parts.recogniser_pool import MOST_WAITING, RESTART_POLLS, RecogniserPool, spawner
from agent.model.parts.recogniser_process import MOST_FORESEEN, Rows
from agent.model.parts.recogniser_wire import MOST_BYTES, Kind, Message, expect_message, unpack, with_json
from agent.model.parts.sherpa_engine import SherpaEngine, hot_words, open_sherpa
from agent.model.parts.sherpa_files import Spelling, check_model, find_model
from agent.model.parts.trial import try_engine
from agent.model.protocol import HelperStats
from tests.unit.agent.model.parts.tiny_sherpa import tiny_sherpa

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
    assert pool.stats == HelperStats(wanted=2, live=1, restarts=0, given_up=1)
    for _ in range(RESTART_POLLS + 1):
        pool.poll()
    assert pool.stats == HelperStats(wanted=2, live=2, restarts=1, given_up=1)
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
        self.foreseen: list[tuple[Expect, Mode]] = []
        self.most = most

    def open(self, expect: Expect, mode: Mode) -> FakeStream | None:
        if len(self.streams) == self.most:
            return None
        self.streams.append(FakeStream())
        return self.streams[-1]

    def foresee(self, expect: Expect, mode: Mode) -> None:
        self.foreseen.append((expect, mode))

    def prepare(self) -> bool:
        return False


def start(row: int, number: int) -> Message:
    return with_json(Kind.START, row, number, {"expect": NOTHING_KNOWN.to_json(), "mode": "answer"})


def test_partial_words_are_told_with_how_far_was_heard() -> None:
    rows = Rows(FakeEngine())
    assert rows.handle(start(4, 1)) == []
    feed = Message(Kind.FEED, 4, 1, np.zeros(800, np.int16).tobytes())
    told = [answer.json() for _ in range(4) for answer in rows.handle(feed)]
    assert [one["words"] for one in told] == [[], ["one"], ["one"], ["one", "one"]]
    assert [one["samples"] for one in told] == [800, 1600, 2400, 3200]
    [final] = rows.handle(Message(Kind.STOP, 4, 1))
    assert final.json() == {
        "words": ["done"],
        "final": True,
        "confidence": 0.9,
        "samples": 3200,
        "sure": False,
    }
    assert rows.handle(Message(Kind.STOP, 4, 1)) == []


def test_what_is_expected_is_made_ready_piece_by_piece_while_nobody_speaks() -> None:
    engine = FakeEngine()
    rows = Rows(engine)
    assert rows.handle(expect_message(4, NOTHING_KNOWN)) == []
    assert engine.foreseen == []
    assert [rows.prepare() for _ in range(3)] == [True, True, False]
    assert engine.foreseen == [(NOTHING_KNOWN, Mode.ANSWER), (NOTHING_KNOWN, Mode.OVERLAP)]


def test_what_several_callers_are_asked_is_made_ready_once() -> None:
    engine = FakeEngine()
    rows = Rows(engine)
    for row in range(5):
        rows.handle(expect_message(row, NOTHING_KNOWN))
    while rows.prepare():
        pass
    assert engine.foreseen == [(NOTHING_KNOWN, Mode.ANSWER), (NOTHING_KNOWN, Mode.OVERLAP)]


def test_more_expectations_than_are_kept_forget_the_oldest() -> None:
    engine = FakeEngine()
    rows = Rows(engine)
    for count in range(100):
        rows.handle(expect_message(4, Expect(kind=ExpectKind.DIGITS, digits=count + 1)))
    while rows.prepare():
        pass
    assert len(engine.foreseen) == MOST_FORESEEN
    assert engine.foreseen[-1] == (Expect(kind=ExpectKind.DIGITS, digits=100), Mode.OVERLAP)


def test_pocketsphinx_needs_no_time_for_a_question_that_was_foreseen() -> None:
    pytest.importorskip("pocketsphinx")
    engine = PocketSphinxEngine()
    expect = Expect(kind=ExpectKind.PHRASES, phrases=("where is my parcel", "opening hours"))
    engine.foresee(expect, Mode.ANSWER)
    engine.prepare()
    with patch.object(_Decoder, "_compile") as compiled:
        engine.foresee(expect, Mode.ANSWER)
        stream = engine.open(expect, Mode.ANSWER)
    compiled.assert_not_called()
    assert stream is not None
    stream.drop()


def test_a_second_caller_who_answers_at_the_same_time_does_not_wait_for_the_question_either() -> None:
    """Words of three callers stood still for 2.5 s while the decoders of two of them read the question's model."""
    pytest.importorskip("pocketsphinx")
    engine = PocketSphinxEngine()
    expect = Expect(kind=ExpectKind.PHRASES, phrases=("where is my parcel", "opening hours"))
    engine.foresee(expect, Mode.ANSWER)
    pieces = 0
    while engine.prepare():
        pieces += 1
    assert pieces == 2, "a spare decoder is made, then made ready"
    with patch.object(_Decoder, "_compile") as compiled:
        streams = [engine.open(expect, Mode.ANSWER) for _ in range(2)]
    compiled.assert_not_called()
    for stream in streams:
        assert stream is not None
        stream.drop()


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


class FakeOnline:
    """Behaves as ``OnlineRecognizer``: one word per 0.2 s."""

    def __init__(self) -> None:
        self.ready = 0
        self.heard = 0
        self.hot = ""

    def create_stream(self, hotwords: str = "") -> FakeOnline:
        self.hot = hotwords
        return self

    def accept_waveform(self, rate: int, pcm: NDArray[np.float32]) -> None:
        assert rate == 16_000
        assert np.abs(pcm).max(initial=0) <= 1
        self.ready += len(pcm)

    def input_finished(self) -> None:
        self.ready += 800

    def is_ready(self, _: object) -> bool:
        return self.ready >= 3200

    def decode_stream(self, _: object) -> None:
        self.ready -= 3200
        self.heard += 1

    def get_result(self, _: object) -> str:
        return " WORD" * self.heard


SPELLING = Spelling(["<blk>", "▁HELP", "▁S", "E", "VEN", "EVEN", "▁SE", "▁", "Y"])


def test_hot_words_are_those_that_the_model_can_write() -> None:
    expect = Expect(kind=ExpectKind.DIGITS, digits=2, phrases=("help me",))
    assert hot_words(expect, SPELLING) == "HELP/SEVEN"
    assert SPELLING.of("yes") is None
    assert Spelling(["▁y", "es"]).of("Yes") == "yes"


def test_sherpa_words_are_lower_case_and_the_tail_is_flushed() -> None:
    online = FakeOnline()
    stream = SherpaEngine(online, SPELLING).open(Expect(phrases=("help me",)), Mode.ANSWER)
    assert online.hot == "HELP"
    assert stream.partial().words == ()
    stream.feed(np.zeros(1600, np.int16))
    assert stream.partial().words == ("word",)
    assert len(stream.finish().words) > 2


# --- sherpa-onnx itself, on a transducer of a few nodes ---

LOUD = (np.random.default_rng(1).standard_normal(8000) * 3000).astype(np.int16)
needs_sherpa = pytest.mark.skipif(find_spec("sherpa_onnx") is None, reason="sherpa-onnx is not installed")


@needs_sherpa
@pytest.mark.parametrize(
    ("expect", "word"), [(NOTHING_KNOWN, "yes"), (Expect(phrases=("yes",)), "yes"), (Expect(phrases=("no",)), "no")]
)
def test_sherpa_hears_what_is_likely_and_what_is_expected(
    tmp_path: Path, expect: Expect, word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = open_sherpa(str(tiny_sherpa(tmp_path)))
    stream = engine.open(expect, Mode.ANSWER)
    stream.feed(np.zeros(4000, np.int16))
    assert stream.partial().words == ()
    stream.feed(LOUD)
    assert stream.partial().words == (word,)
    assert stream.finish().words == (word,)
    assert capfd.readouterr().err == "", "the library fills the log"


@needs_sherpa
def test_process_of_a_pulled_model_gives_words(tmp_path: Path) -> None:
    pool = RecogniserPool(spawner("sherpa", str(tiny_sherpa(tmp_path))), processes=1)
    try:
        pool.start(0, NOTHING_KNOWN, Mode.ANSWER)
        pool.feed(0, LOUD)
        pool.stop(0)
        found: list[Any] = []
        deadline = time.monotonic() + 30
        while not any(hypothesis.final for hypothesis in found) and time.monotonic() < deadline:
            found += pool.poll()
            time.sleep(0.02)
    finally:
        pool.close()
    assert found[-1].words == ("yes",)


def _cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def _swap(folder: Path) -> None:
    one, other = folder / "encoder-tiny.onnx", folder / "joiner-tiny.onnx"
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("part", ["encoder", "decoder", "joiner"])
def test_truncated_sherpa_files_are_named(tmp_path: Path, part: str, share: float) -> None:
    _cut(tiny_sherpa(tmp_path) / f"{part}-tiny.onnx", share)
    with pytest.raises(ModelError, match=rf"{part}-tiny\.onnx is (no ONNX model|truncated|no {part} of)"):
        check_model(str(tmp_path))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            lambda folder: (folder / "encoder-tiny.onnx").write_bytes(b"<html>" * 99),
            r"encoder-tiny\.onnx is no ONNX model",
        ),
        (
            lambda folder: tiny_sherpa(folder, metadata=False),
            "is no encoder of a streaming transducer: its metadata lacks model_type",
        ),
        (
            lambda folder: os.truncate(folder / "joiner-tiny.onnx", 5000),
            r"joiner-tiny\.onnx is no ONNX model, or is damaged",
        ),
        (_swap, "is no encoder of a streaming transducer"),
        (lambda folder: (folder / "tokens.txt").write_text("<blk> 0\n"), "holds 1 tokens, the decoder has 5"),
        (
            lambda folder: (folder / "tokens.txt").write_text("what is this\n"),
            r"tokens\.txt:1: must be a token and its number",
        ),
        (lambda folder: (folder / "tokens.txt").write_text("a 0\nb 0\n"), r"tokens\.txt:2: .*each number once"),
        (lambda folder: (folder / "tokens.txt").write_text("a 0\nb 2\nc 3\n"), "have gaps"),
        (lambda folder: (folder / "tokens.txt").write_bytes(b"\xff\xfe 0\n"), "is no list of tokens"),
    ],
)
def test_wrong_sherpa_files_stop_the_start_with_their_names(
    tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    damage(tiny_sherpa(tmp_path))
    with pytest.raises(ModelError, match=rf"^ears\.sherpa_model: .*{told}"):
        build(1, recogniser="sherpa", processes=1, sherpa_model=str(tmp_path))


@needs_sherpa
def test_trial_finds_what_only_the_library_knows(tmp_path: Path) -> None:
    folder = tiny_sherpa(tmp_path)
    try_engine("sherpa", str(folder))
    _other_joiner(folder)
    check_model(str(folder))
    with pytest.raises(ModelError, match=r"^sherpa (failed|ended by signal)"):
        try_engine("sherpa", str(folder))


def _other_joiner(folder: Path) -> None:
    """A joiner of another model, which fits by its metadata alone."""
    import onnx
    from onnx import helper

    model = onnx.load(folder / "decoder-tiny.onnx")
    helper.set_model_props(model, {"joiner_dim": "5"})
    onnx.save(model, folder / "joiner-tiny.onnx")


def test_an_unknown_recogniser_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="pocketsphinx, words, both, sherpa, pipecat, none"):
        build(1, recogniser="psychic", processes=1)


def test_a_decoder_compiles_a_grammar_once_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Expect] = []

    def counted(expect: Expect, mode: Mode, knows: grammar.Knows) -> str:
        compiled.append(expect)
        return grammar.grammar(expect, mode, knows)

    monkeypatch.setattr(pocketsphinx_engine, "grammar", counted)
    engine = PocketSphinxEngine()
    asked = [Expect(kind=ExpectKind.DIGITS, digits=count) for count in range(1, MOST_GRAMMARS + 2)]
    for expect in (*asked, asked[-1], asked[0]):
        stream = engine.open(expect, Mode.ANSWER)
        assert stream is not None
        stream.feed(np.zeros(800, np.int16))
        stream.drop()
    assert compiled == [*asked, asked[0]]


def test_a_spare_decoder_is_made_while_nobody_speaks() -> None:
    engine = PocketSphinxEngine()
    while engine.prepare():
        pass
    assert len(engine._free) == SPARE_DECODERS
    held = [engine.open(NOTHING_KNOWN, Mode.ANSWER) for _ in range(SPARE_DECODERS)]
    assert all(held)
    assert engine._made == SPARE_DECODERS
