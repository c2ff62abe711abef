"""Shards: written whole, read back, made again by seed, resumed, reported."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from agent.training import make as maker
from agent.training.conversation.labels import Labels
from agent.training.errors import TrainingError
from agent.training.recipe import Recipe, families, settle
from agent.training.report import distance, main, tally
from agent.training.shard import paths, read, shard_of, write
from tests.unit.agent.training.kit import conversation, conversations, material


def wanted(seed: int = 5, fold: str = "train") -> Recipe:
    return Recipe(
        seed=seed, fold=fold, speech="", share_alike=True, audio=False, frames=128, conversations=2, voices=families()
    )


@pytest.fixture
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "_material", lambda *_: material())


def test_a_shard_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    shard = shard_of(conversations(2), audio=True)
    write(shard, tmp_path / "shard-00000.npz")
    found = read(tmp_path / "shard-00000.npz")
    assert {*found.arrays} == {*shard.arrays}
    assert all(np.array_equal(found[name], array) for name, array in shard.arrays.items())
    assert found.meta == json.loads(json.dumps(shard.meta))
    assert not list(tmp_path.glob("*.part"))
    assert found["mel_caller"].shape == (2, 2048, 40)
    assert {*Labels.__slots__} <= {*found.arrays}
    assert (tmp_path / "shard-00000.npz").stat().st_size < 2 * 20.48 * (9_500 + 16_100)


def test_words_name_what_was_said() -> None:
    shard = shard_of([conversation(0), conversation(1)])
    first = [shard.vocabulary[word] for word in shard["word"][shard["word_item"] == 0]]
    assert first == [word.text for word in conversation(0).script.words]
    assert np.all(shard["word_start"] < shard["word_end"])
    assert np.all(shard["word_end"] <= 2048 + 1)


@pytest.mark.usefixtures("_fast")
def test_a_run_makes_claims_resumes_and_makes_the_same_again(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    hours = 2.5 * wanted().shard_hours
    maker.make(wanted(), one, hours, jobs=1)
    assert [path.name for path in paths(one)] == [f"shard-{index:05d}.npz" for index in range(3)]
    kept = paths(one)[0].stat().st_mtime_ns
    paths(one)[1].unlink()
    (one / "shard-00001.claim").write_text("999999999")  # of a run that died
    maker.make(wanted(), one, hours, jobs=1)
    assert paths(one)[0].stat().st_mtime_ns == kept
    maker.make(wanted(), other, wanted().shard_hours, jobs=1)
    same = zip(read(paths(one)[0]).arrays.items(), read(paths(other)[0]).arrays.values(), strict=True)
    differing = [name for (name, array), again in same if not np.array_equal(array, again)]
    assert not {*differing} - {"mel_caller", "mel_own"}  # Pico's first words of a process differ by a few samples
    assert not list(one.glob("*.claim"))


@pytest.mark.usefixtures("_fast")
def test_a_shard_that_another_run_makes_is_left_to_it(tmp_path: Path) -> None:
    settle(wanted(), tmp_path)
    (tmp_path / "shard-00000.claim").write_text(str(os.getppid()))
    assert maker.make_shard(wanted(), tmp_path, 0) == 0.0
    assert not (tmp_path / "shard-00000.npz").exists()


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    settle(wanted(), tmp_path)
    settle(wanted(), tmp_path)
    with pytest.raises(TrainingError, match="other settings: fold, seed"):
        settle(wanted(seed=6, fold="all"), tmp_path)


@pytest.mark.parametrize("blob", [b"", b"PK\x03\x04 no zip", b"\x00" * 200])
def test_what_is_no_shard_is_a_clear_error(tmp_path: Path, blob: bytes) -> None:
    path = tmp_path / "shard-00000.npz"
    path.write_bytes(blob)
    with pytest.raises(TrainingError, match="not a shard"):
        read(path)


def test_the_report_counts_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = conversations(6)
    write(shard_of(found), tmp_path / "shard-00000.npz")
    report = tally(tmp_path).to_json()
    assert report["conversations"] == 6
    assert abs(report["hours"] - 6 * 20.48 / 3600) < 1e-3
    assert report["words"]["all"] == sum(len(one.script.words) for one in found)
    assert abs(report["label_share"]["speech"] - np.mean([one.labels.speech == 1 for one in found])) < 1e-3
    assert main([str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["conversations"] == 6
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "holds no shards" in capsys.readouterr().err


def test_the_distance_of_two_samples() -> None:
    assert distance([1, 2, 3], [1, 2, 3]) == 0
    assert distance([1, 2], [3, 4]) == 1
    assert distance([], [1]) == 1


def test_the_command_line_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert maker.main(["--hours", "-1", "--out", str(tmp_path)]) == 2
    assert "--hours must be above 0" in capsys.readouterr().err
    assert maker.main(["--hours", "0.001", "--out", str(tmp_path / "x"), "--speech", str(tmp_path)]) == 2
    assert "needs a manifest.csv" in capsys.readouterr().err
