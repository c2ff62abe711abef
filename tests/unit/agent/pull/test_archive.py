"""Archives of somebody else's: what may be unpacked, and what is refused with its name."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.pull import archive
from agent.pull.archive import unpack
from agent.pull.errors import PullFailed


def tar_of(path: Path, *members: tuple[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def zip_of(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members:
            packed.writestr(name, data)
    return path


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def found(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("suffix", "mode"), [("tar.gz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz"), ("tar", "w")]
)
def test_tar_is_unpacked_without_its_top_folder(into: Path, tmp_path: Path, suffix: str, mode: str) -> None:
    unpack(tar_of(tmp_path / f"a.{suffix}", ("m/tokens.txt", b"t"), ("m/./sub/x", b"x"), mode=mode), into)
    assert found(into) == {"tokens.txt": b"t", "sub/x": b"x"}


def test_zip_is_unpacked(into: Path, tmp_path: Path) -> None:
    unpack(zip_of(tmp_path / "a.zip", ("tokens.txt", b"t"), ("sub/x", b"x")), into)
    assert found(into) == {"tokens.txt": b"t", "sub/x": b"x"}


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "m/../../evil", "..\\evil", "C:evil", "m/.."])
@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_paths_that_leave_the_folder_are_refused(
    into: Path, tmp_path: Path, make: Callable[..., Path], name: str
) -> None:
    path = tmp_path / ("a.zip" if make is zip_of else "a.tar.gz")
    with pytest.raises(PullFailed, match="leaves the folder"):
        unpack(make(path, (name, b"evil")), into)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(into: Path, tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("model.bin")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(PullFailed, match=r"'model.bin' is a link or a device"):
        unpack(tmp_path / "a.tar", into)


def test_link_in_a_zip_is_refused(into: Path, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("model.bin")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(PullFailed, match="is a link"):
        unpack(tmp_path / "a.zip", into)


def test_name_that_comes_twice_is_refused(into: Path, tmp_path: Path) -> None:
    with pytest.raises(PullFailed, match="cannot be unpacked"):
        unpack(tar_of(tmp_path / "a.tar", ("x", b"1"), ("x", b"2"), mode="w"), into)


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_archive_of_zeros_without_end_is_refused(into: Path, tmp_path: Path, make: Callable[..., Path]) -> None:
    path = tmp_path / ("a.zip" if make is zip_of else "a.tar.gz")
    with pytest.raises(PullFailed, match="far more than a model"):
        unpack(make(path, ("model.bin", bytes(30_000_000))), into)
    assert sum(len(data) for data in found(into).values()) < 30_000_000


def test_too_many_files_are_refused(into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 3)
    with pytest.raises(PullFailed, match="more than 3 files"):
        unpack(tar_of(tmp_path / "a.tar", *[(f"x{n}", b"1") for n in range(5)], mode="w"), into)


@pytest.mark.parametrize("keep", [10, 100, 200])
@pytest.mark.parametrize("suffix", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_truncated_archive_is_named(into: Path, tmp_path: Path, suffix: str, keep: int) -> None:
    whole = tmp_path / f"whole.{suffix}"
    data = bytes(range(256)) * 40
    if suffix == "zip":
        zip_of(whole, ("model.bin", data))
    else:
        tar_of(whole, ("model.bin", data), mode=f"w:{suffix.removeprefix('tar.')}")
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(PullFailed, match=f"cut.{suffix} cannot be unpacked"):
        unpack(cut, into)


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.bz2", "zip", "tar"])
def test_file_that_is_no_archive_is_named(into: Path, tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(PullFailed, match="cannot be unpacked"):
        unpack(tmp_path / f"a.{suffix}", into)
