"""The whole of ``crosstalk pull``: catalogue, mirror, address, import, list, verify, remove."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.pull import command, store
from agent.pull.catalogue import CATALOGUE, Kind, Licence, PinnedFile, PinnedModel
from agent.pull.command import Order, listing, pull
from agent.pull.download import Downloader
from agent.pull.errors import PullFailed
from agent.pull.layout import WANTED, kind_of
from agent.pull.store import MANIFEST, ModelFolder, located
from tests.unit.agent.pull.pull_server import Files, serving
from tests.unit.agent.pull.test_archive import tar_of

PARTS = {
    "tokens.txt": b"<blk> 0\n",
    "encoder.int8.onnx": b"e" * 300_000,
    "decoder.onnx": b"d" * 20,
    "joiner.int8.onnx": b"j" * 30,
}
LICENCE = Licence(id="Apache-2.0", holder="somebody", url="https://example.org/LICENSE", note="A note.")
QUICK = Downloader(timeout_s=1.0, pause=lambda _s: None)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pinned(base: str) -> PinnedModel:
    files = tuple(
        PinnedFile(name=name, url=f"{base}/{name}", size=len(data), sha256=sha(data)) for name, data in PARTS.items()
    )
    return PinnedModel(name="small", kind=Kind.SHERPA, about="a test", licence=LICENCE, files=files)


@pytest.fixture
def files() -> Files:
    return Files(data=dict(PARTS))


@pytest.fixture
def catalogue(files: Files) -> Iterator[dict[str, PinnedModel]]:
    with serving(files) as base:
        yield {"small": pinned(base)}


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


def bring(folder: ModelFolder, catalogue: dict[str, PinnedModel], **order: object) -> dict[str, object]:
    asked = Order(**{"name": "small", "accepted": True, "quiet": True, **order})  # type: ignore[arg-type]
    return pull(asked, folder, catalogue=catalogue, downloader=QUICK)


def model_files(path: Path) -> dict[str, bytes]:
    return {found.name: found.read_bytes() for found in path.iterdir() if found.name != MANIFEST}


def test_catalogue_is_well_formed() -> None:
    for name, model in CATALOGUE.items():
        assert name == model.name
        assert model.licence.id
        assert model.licence.url.startswith("https://")
        for file in model.files:
            assert file.url.startswith("https://")
            assert file.url.endswith(f"/{file.name}")
            if file.pointer:
                assert file.pointer == file.url.replace("/resolve/", "/raw/")
            else:
                assert len(file.sha256) == 64
                assert int(file.sha256, 16)
                assert file.size > 1000
            assert "/main/" not in file.url, "a branch is no pin"
    assert {model.kind for model in CATALOGUE.values()} == set(Kind)


@pytest.mark.parametrize("model", CATALOGUE.values(), ids=lambda model: model.name)
def test_every_model_of_the_catalogue_has_the_files_of_its_kind(model: PinnedModel, tmp_path: Path) -> None:
    for file in model.files:
        (tmp_path / file.name).write_bytes(b"x")
    assert kind_of(tmp_path) is model.kind


def test_model_is_pulled_once_and_found_by_its_name(
    folder: ModelFolder, catalogue: dict[str, PinnedModel], files: Files
) -> None:
    told = bring(folder, catalogue)
    assert told["fresh"] is True
    assert model_files(folder.folder / "small") == PARTS
    assert located(str(folder.folder), "small") == str(folder.folder / "small")
    asked = len(files.asked)
    assert bring(folder, catalogue)["fresh"] is False
    assert len(files.asked) == asked
    assert not list((folder.folder / ".part").glob("small/*"))


def test_pull_that_broke_goes_on_and_nothing_is_visible_before(
    folder: ModelFolder, catalogue: dict[str, PinnedModel], files: Files
) -> None:
    files.cut_after = [len(PARTS["tokens.txt"]), 100_000, 0, 0, 0, 0]
    with pytest.raises(PullFailed, match="100000 bytes are kept"):
        bring(folder, catalogue)
    assert listing(folder, catalogue=catalogue)[0]["state"] == "absent"
    assert not (folder.folder / "small").exists()
    files.asked.clear()
    files.cut_after = []
    bring(folder, catalogue)
    assert files.asked[0] == ("/encoder.int8.onnx", "bytes=100000-")
    assert model_files(folder.folder / "small") == PARTS


def test_wrong_checksum_keeps_the_model_away(
    folder: ModelFolder, catalogue: dict[str, PinnedModel], files: Files
) -> None:
    files.data["joiner.int8.onnx"] = b"J" * 30
    with pytest.raises(PullFailed, match=r"joiner\.int8\.onnx: SHA-256"):
        bring(folder, catalogue)
    assert not (folder.folder / "small").exists()
    files.data = dict(PARTS)
    bring(folder, catalogue)


def test_mirror_is_held_to_the_same_pins(folder: ModelFolder, files: Files) -> None:
    with serving(files) as base:
        unreachable = {"small": pinned("https://hub.invalid")}
        bring(folder, unreachable, mirror=f"{base}/mirror/")
    assert files.asked[0][0] == "/mirror/tokens.txt"


def test_disk_that_is_too_full_is_told_before_anything_is_written(
    folder: ModelFolder, catalogue: dict[str, PinnedModel], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=store.RESERVE_BYTES + 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(PullFailed, match="MB are needed"):
        bring(folder, catalogue)
    assert files.asked == []


def test_two_pulls_of_one_model_do_not_meet(folder: ModelFolder, catalogue: dict[str, PinnedModel]) -> None:
    (folder.folder / ".part").mkdir(parents=True)
    with (folder.folder / ".part/small.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PullFailed, match="being pulled by another process"):
            bring(folder, catalogue)


def test_folder_that_is_not_ours_is_left_alone(folder: ModelFolder, catalogue: dict[str, PinnedModel]) -> None:
    (folder.folder / "small").mkdir(parents=True)
    (folder.folder / "small/mine.txt").write_text("x")
    for act in (lambda: bring(folder, catalogue), lambda: folder.remove("small")):
        with pytest.raises(PullFailed, match="was not made by crosstalk pull"):
            act()
    assert (folder.folder / "small/mine.txt").exists()


@pytest.mark.parametrize("packed", [False, True])
def test_pinned_model_is_imported_from_what_somebody_brought(folder: ModelFolder, tmp_path: Path, packed: bool) -> None:
    catalogue = {"small": pinned("https://hub.invalid")}
    source = tmp_path / "brought"
    source.mkdir()
    for name, data in {**PARTS, "encoder.onnx": b"another size of it", "README.md": b"x"}.items():
        (source / name).write_bytes(data)
    if packed:
        source = tar_of(
            tmp_path / "a.tar.bz2", *[(f"top/{p.name}", p.read_bytes()) for p in source.iterdir()], mode="w:bz2"
        )
    bring(folder, catalogue, source=source)
    assert model_files(folder.folder / "small") == PARTS, "what no pin covers is left out"
    assert source.exists()


def test_import_of_a_pinned_model_with_other_bytes_is_refused(folder: ModelFolder, tmp_path: Path) -> None:
    catalogue = {"small": pinned("https://hub.invalid")}
    for name, data in {**PARTS, "joiner.int8.onnx": b"J" * 30}.items():
        (tmp_path / "brought").mkdir(exist_ok=True)
        (tmp_path / "brought" / name).write_bytes(data)
    with pytest.raises(PullFailed, match=r"joiner\.int8\.onnx: SHA-256"):
        bring(folder, catalogue, source=tmp_path / "brought")
    assert (tmp_path / "brought/joiner.int8.onnx").exists()
    (tmp_path / "brought/joiner.int8.onnx").unlink()
    with pytest.raises(PullFailed, match=r"holds no joiner\.int8\.onnx"):
        bring(folder, catalogue, source=tmp_path / "brought")
    assert not list((folder.folder / ".part").glob("small/*"))


def test_unknown_model_comes_from_an_archive_with_its_checksum(
    folder: ModelFolder, files: Files, tmp_path: Path
) -> None:
    archive = tar_of(tmp_path / "own.tar.gz", *[(f"own/{name}", data) for name, data in PARTS.items()])
    files.data["own.tar.gz"] = archive.read_bytes()
    with serving(files) as base:
        told = bring(folder, {}, name="own", url=f"{base}/own.tar.gz", sha256=sha(archive.read_bytes()))
        assert (told["kind"], told["licence"]) == ("sherpa", "unknown")
        with pytest.raises(PullFailed, match="SHA-256"):
            bring(folder, {}, name="other", url=f"{base}/own.tar.gz", sha256="0" * 64)
        with pytest.raises(PullFailed, match="64 hex digits"):
            bring(folder, {}, name="other", url=f"{base}/own.tar.gz")
    assert model_files(folder.folder / "own") == PARTS
    assert [row["name"] for row in listing(folder, catalogue={})] == ["own"]


def test_unknown_model_comes_from_a_folder(folder: ModelFolder, tmp_path: Path) -> None:
    (tmp_path / "voice").mkdir()
    (tmp_path / "voice/a.onnx").write_bytes(b"x")
    with pytest.raises(PullFailed, match="no model that Crosstalk loads"):
        bring(folder, {}, name="own", source=tmp_path / "voice")
    (tmp_path / "voice/a.onnx.json").write_bytes(b"{}")
    assert bring(folder, {}, name="own", source=tmp_path / "voice")["kind"] == "piper"
    with pytest.raises(PullFailed, match=r"own is no whisper model: it lacks model\.bin"):
        bring(folder, {}, name="own", source=tmp_path / "voice", kind=Kind.WHISPER)
    assert folder.get("own") is not None, "the one that was there stays"
    (tmp_path / "voice/link").symlink_to("/etc/passwd")
    with pytest.raises(PullFailed, match="is a link"):
        bring(folder, {}, name="other", source=tmp_path / "voice")


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"name": "nothing"}, "there is no model 'nothing'"),
        ({"name": "../x", "source": Path("/tmp")}, "no name of a model"),
        ({"name": "small", "kind": Kind.PIPER}, "is a sherpa model"),
        ({"name": "small", "sha256": "0" * 64}, "has its own checksums"),
        ({"name": "small", "url": "https://example.org/a.zip"}, "is a name of the catalogue"),
        ({"name": "x", "url": "https://example.org/a.zip", "source": Path("/tmp")}, "exclude each other"),
        ({"name": "x", "url": "http://example.org/a.zip", "sha256": "0" * 64}, "must begin with https"),
        ({"name": "x", "url": "https://example.org/a.bin", "sha256": "0" * 64}, "no archive"),
        ({"name": "x", "source": Path("/nowhere")}, "does not exist"),
        ({"name": "x", "source": Path(__file__)}, "no archive"),
        ({"name": "x", "source": Path("/tmp"), "mirror": "https://example.org"}, "--mirror is for"),
    ],
)
def test_impossible_orders_are_refused(folder: ModelFolder, order: dict[str, object], told: str) -> None:
    with pytest.raises(PullFailed, match=told):
        bring(folder, {"small": pinned("https://hub.invalid")}, **order)


def test_licence_is_shown_and_must_be_accepted(
    folder: ModelFolder, catalogue: dict[str, PinnedModel], capsys: pytest.CaptureFixture[str], files: Files
) -> None:
    order = Order(name="small")
    for ask, told in (
        (None, "--accept-licence"),
        (io.StringIO("n\n"), "not accepted"),
        (io.StringIO(""), "not accepted"),
    ):
        with pytest.raises(PullFailed, match=told):
            pull(order, folder, catalogue=catalogue, downloader=QUICK, ask=ask)
    assert files.asked == []
    pull(order, folder, catalogue=catalogue, downloader=QUICK, ask=io.StringIO("y\n"))
    shown = capsys.readouterr()
    assert "Apache-2.0 (somebody)\n  https://example.org/LICENSE\n  A note.\n" in shown.err
    assert not shown.out
    held = folder.get("small")
    assert held is not None
    assert held.licence == "Apache-2.0"
    assert held.accepted_at.endswith("+00:00")


def test_damage_is_seen_and_pulled_again(folder: ModelFolder, catalogue: dict[str, PinnedModel]) -> None:
    bring(folder, catalogue)
    path = folder.folder / "small/joiner.int8.onnx"
    path.write_bytes(b"J" * 30)
    assert listing(folder, catalogue=catalogue)[0]["state"] == "ready", "a look at sizes alone"
    (row,) = listing(folder, catalogue=catalogue, deep=True)
    assert (row["state"], row["problems"]) == ("damaged", ["joiner.int8.onnx has another checksum"])
    path.write_bytes(b"J")
    (row,) = listing(folder, catalogue=catalogue)
    assert row["problems"] == ["joiner.int8.onnx has 1 bytes instead of 30"]
    path.unlink()
    (row,) = listing(folder, catalogue=catalogue)
    assert row["problems"] == ["joiner.int8.onnx is missing"]
    assert bring(folder, catalogue)["fresh"] is True
    assert listing(folder, catalogue=catalogue, deep=True)[0]["state"] == "ready"


def test_removed_model_is_gone_with_what_was_kept_of_it(
    folder: ModelFolder, catalogue: dict[str, PinnedModel], files: Files
) -> None:
    bring(folder, catalogue)
    folder.remove("small")
    files.cut_after = [1, 0, 0, 0, 0, 0]
    with pytest.raises(PullFailed):
        bring(folder, catalogue)
    folder.remove("small")
    assert [path.name for path in folder.folder.rglob("*") if not path.is_dir()] == ["small.lock"]
    with pytest.raises(PullFailed, match="is not in"):
        folder.remove("small")


@pytest.mark.parametrize("kind", WANTED)
def test_empty_files_are_no_model(kind: Kind, tmp_path: Path) -> None:
    for group in WANTED[kind]:
        (tmp_path / group[0].replace("*", "")).write_bytes(b"")
    with pytest.raises(PullFailed, match="no model that Crosstalk loads"):
        kind_of(tmp_path)


def test_name_that_is_a_path_stays_a_path(tmp_path: Path) -> None:
    for given in ("/models/x", "./x", "x", ""):
        assert located(str(tmp_path), given) == given


# --- the command line ---


def test_command_lists_pulls_verifies_and_removes(
    catalogue: dict[str, PinnedModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "c.toml").write_text(f'[models]\nfolder = "{tmp_path}/here"\n')
    at = ["--config", str(tmp_path / "c.toml"), "--json"]
    monkeypatch.setitem(CATALOGUE, "small", catalogue["small"])
    monkeypatch.setattr(command, "Downloader", lambda **_: QUICK)

    def run(*arguments: str) -> object:
        assert main(["pull", *arguments, *at]) == 0
        return json.loads(capsys.readouterr().out)

    assert run("small", "--list")[0]["state"] == "absent"  # type: ignore[index]
    (done,) = run("small", "--accept-licence")  # type: ignore[misc]
    assert done["folder"] == f"{tmp_path}/here/small"
    assert run("--verify", "small")[0]["state"] == "ready"  # type: ignore[index]
    assert run("--remove", "small") == [{"name": "small", "state": "removed"}]
    assert not (tmp_path / "here/small").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name a model"),
        (["nothing"], "there is no model 'nothing'"),
        (["--remove", "kokoro-en"], "is not in"),
        (["kokoro-en"], "--accept-licence"),
        (["a", "b", "--from", "/tmp"], "one model at a time"),
    ],
)
def test_command_tells_what_is_wrong(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["pull", *arguments, "--folder", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert told in printed.err
    assert not printed.out
