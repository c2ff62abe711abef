from __future__ import annotations

import time
import wave
from pathlib import Path

import numpy as np

from agent.pool.recorder import AUDIO, CLOSE, DONE, FAILED, OPEN, Recorder, RecorderLink


def message(kind: bytes, number: int, rest: bytes = b"") -> bytes:
    return kind + number.to_bytes(4, "little") + rest


def audio(number: int, frame: int, value: int) -> bytes:
    stereo = np.full((160, 2), value, "<i2").tobytes()
    return message(AUDIO, 1, number.to_bytes(4, "little") + frame.to_bytes(4, "little") + stereo)


def test_frames_that_were_dropped_are_silence_so_that_times_stay_right(tmp_path: Path) -> None:
    recorder = Recorder()
    path = tmp_path / "new" / "a.wav"
    recorder.take(message(OPEN, 7, str(path).encode()))
    recorder.take(audio(7, 0, 11))
    recorder.take(audio(7, 3, 22))
    recorder.take(audio(8, 0, 33))  # nobody's
    assert not path.exists()
    assert recorder.take(message(CLOSE, 7)) == message(DONE, 7)
    assert recorder.take(message(CLOSE, 8)) == message(FAILED, 8)
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(9999), "<i2").reshape(-1, 160, 2)
    assert samples[:, 0, 0].tolist() == [11, 0, 0, 22]
    assert not Path(f"{path}.part").exists()


def test_a_path_that_cannot_be_written_costs_only_its_own_recording(tmp_path: Path) -> None:
    recorder = Recorder()
    (tmp_path / "file").write_text("")
    recorder.take(message(OPEN, 1, str(tmp_path / "file" / "a.wav").encode()))
    recorder.take(message(OPEN, 2, str(tmp_path / "b.wav").encode()))
    recorder.take(audio(1, 0, 1))
    recorder.take(audio(2, 0, 1))
    recorder.close()
    assert (tmp_path / "b.wav").exists()


def test_a_recorder_that_cannot_keep_up_is_told_as_truncated(tmp_path: Path) -> None:
    link = RecorderLink()
    number = link.open(str(tmp_path / "a.wav"))
    other = link.open(str(tmp_path / "b.wav"))
    assert link._process is not None
    frame = np.zeros((1, 160), np.int16)
    for tick in range(20_000):  # the process has not even started: the socket is full long before
        link.write([number], tick, frame, frame)
    assert link.close(number)
    assert not link.close(other)
    ended: dict[int, bool] = {}
    while link.awaits:
        ended |= dict(link.closed())
        time.sleep(0.005)
    assert ended == {number: True, other: True}
    assert (tmp_path / "a.wav").stat().st_mode & 0o077 == 0  # nobody else's business
    link.stop()


def test_a_frame_lies_where_its_tick_was(tmp_path: Path) -> None:
    """Ticks without a frame are silence; another edge's count goes on right behind; recordings begin at their first."""
    link = RecorderLink()
    first, second = link.open(str(tmp_path / "a.wav")), link.open(str(tmp_path / "b.wav"))

    def write(tick: int, value: int, *numbers: int) -> None:
        frame = np.full((len(numbers), 160), value, np.int16)
        link.write(list(numbers), tick, frame, frame)

    write(1000, 1, first)
    write(1001, 2, first, second)
    write(1004, 3, first, second)
    write(7, 4, first)  # the edge was started again
    write(9, 5, first)
    write(4_000_000_000, 6, first)
    for number in (first, second):
        link.close(number)
    while link.awaits:
        link.closed()
        time.sleep(0.005)
    link.stop()
    assert frames_of(tmp_path / "a.wav") == [1, 2, 0, 0, 3, 4, 0, 5, 6]
    assert frames_of(tmp_path / "b.wav") == [2, 0, 0, 3]


def frames_of(path: Path) -> list[int]:
    """First sample of each frame."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(9999), "<i2").reshape(-1, 160, 2)
    return [int(value) for value in samples[:, 0, 0]]
