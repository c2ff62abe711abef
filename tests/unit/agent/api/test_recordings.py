"""Recordings: whose file, which part, which peaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.recordings import Part, asked_part, recording_of, waveform
from agent.store.interface import StoredEvent
from tests.unit.agent.api.rest_kit import write_wav


def ready(path: Path | str) -> StoredEvent:
    return StoredEvent(event_id="e", call_id="c", seq=1, name="recording.ready", at=1.0, data={"path": str(path)})


def test_file_of_the_call_is_found_in_its_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    write_wav(folder / "c.wav")
    write_wav(tmp_path / "other.wav")
    (folder / "link.wav").symlink_to(tmp_path / "other.wav")
    (folder / "keys.json").write_text("{}")
    assert recording_of([ready(folder / "c.wav")], folder) == folder / "c.wav"
    for path in (
        tmp_path / "other.wav",
        folder / ".." / "other.wav",
        folder / "link.wav",
        folder / "keys.json",
        folder / "none.wav",
        "",
    ):
        assert recording_of([ready(path)], folder) is None
    assert recording_of([], folder) is None


def test_each_part_of_a_call_that_moved_is_found_and_the_last_one_by_itself(tmp_path: Path) -> None:
    for name in ("c.wav", "c-2.wav"):
        write_wav(tmp_path / name)
    told = [ready(tmp_path / "c.wav"), ready(tmp_path / "c-2.wav")]
    assert recording_of(told, tmp_path) == recording_of(told, tmp_path, 2) == tmp_path / "c-2.wav"
    assert recording_of(told, tmp_path, 1) == tmp_path / "c.wav"
    assert recording_of(told, tmp_path, 3) is None


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-9", Part(0, 9)),
        ("bytes=90-", Part(90, 99)),
        ("bytes=90-1000", Part(90, 99)),
        ("bytes=-10", Part(90, 99)),
        ("bytes=-1000", Part(0, 99)),
        ("bytes=9-0", None),
        ("bytes=-", None),
        ("bytes=0-1,2-3", None),
        ("lines=0-1", None),
    ],
)
def test_range_is_read_as_the_rfc_says(header: str | None, part: Part | None) -> None:
    assert asked_part(header, 100) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-101", "bytes=-0"])
def test_range_after_the_end_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="range"):
        asked_part(header, 100)


@pytest.mark.parametrize("points", [10, 7, 333, 4000])
def test_peaks_show_who_was_loud_when(tmp_path: Path, points: int) -> None:
    write_wav(tmp_path / "c.wav")
    found = waveform(tmp_path / "c.wav", points)
    half = points // 2
    assert found["duration_ms"] == 1000
    assert len(found["caller"]) == len(found["agent"]) == found["points"] == points
    assert set(found["caller"][:half]) == {0.5}
    assert set(found["caller"][half + 1 :]) == {0.0}
    assert set(found["agent"][: half - 1]) <= {0.0}
    assert set(found["agent"][half + 1 :]) == {0.25}


def test_peaks_do_not_depend_on_how_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "c.wav")
    whole = waveform(tmp_path / "c.wav", 77)
    monkeypatch.setattr("agent.api.recordings._READ_FRAMES", 100)
    assert waveform(tmp_path / "c.wav", 77) == whole
