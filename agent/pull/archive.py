"""Unpacking an archive of somebody else's: plain files only, inside one folder, no more than was promised."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Final

from agent.pull.errors import PullFailed

MOST_FILES: Final = 10_000
MOST_BYTES: Final = 20 * 1024**3
"""Unpacked; far above every model that fits here, far below a disk full of zeros."""
MOST_RATIO: Final = 200
"""Unpacked bytes for one packed: weights hardly shrink, bombs grow by 1000."""
SMALL_BYTES: Final = 16 * 1024**2
"""So much may come out of any archive."""
_BLOCK: Final = 1 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    open: IO[bytes]


def is_archive(path: Path) -> bool:
    return path.name.endswith((".tar", ".tar.bz2", ".tar.gz", ".tgz", ".tar.xz", ".zip"))


def unpack(archive: Path, into: Path) -> None:
    """Unpack into an existing empty folder; one top folder that holds everything is left out.

    Raises ``PullFailed`` with the member's name; what was unpacked until then is left for the caller to delete.
    """
    most = min(MOST_BYTES, max(SMALL_BYTES, MOST_RATIO * archive.stat().st_size))
    try:
        written = 0
        for count, member in enumerate(_members(archive), 1):
            written += _write(member, _inside(into, member.name), most - written)
            if count > MOST_FILES:
                raise PullFailed(f"{archive.name}: more than {MOST_FILES} files")
    except _BROKEN as broken:
        raise PullFailed(f"{archive.name} cannot be unpacked: {broken}") from None
    _lift_single_folder(into)


def _members(archive: Path) -> Iterator[_Member]:
    if archive.name.endswith(".zip"):
        yield from _zip_members(archive)
        return
    with tarfile.open(archive) as tar:
        for info in tar:
            if info.isdir():
                continue
            if not info.isreg():
                raise PullFailed(f"{archive.name}: {info.name!r} is a link or a device, not a file")
            data = tar.extractfile(info)
            if data is not None:
                yield _Member(info.name, info.size, data)


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise PullFailed(f"{archive.name}: {info.filename!r} is a link or a device, not a file")
            with packed.open(info) as data:
                yield _Member(info.filename, info.file_size, data)


def _inside(folder: Path, name: str) -> Path:
    """Where a member goes. Raises ``PullFailed`` for every name that could mean a place outside of ``folder``."""
    parts = PurePosixPath(name).parts
    bad = not parts or name.startswith("/") or "\\" in name or "\0" in name or ":" in parts[0]
    if bad or any(part in ("..", "") for part in parts):
        raise PullFailed(f"the archive holds {name!r}: a path that leaves the folder")
    return folder.joinpath(*[part for part in parts if part != "."])


def _write(member: _Member, path: Path, most: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as file:  # a name that comes twice is an error, not the last one
        while block := member.open.read(_BLOCK):
            written += len(block)
            if written > most:
                raise PullFailed(f"{member.name!r}: the archive unpacks to far more than a model is")
            file.write(block)
    if written != member.size:
        raise PullFailed(f"{member.name!r} has {written} bytes, the archive says {member.size}")
    return written


def _lift_single_folder(into: Path) -> None:
    """``model/tokens.txt`` is meant as ``tokens.txt``."""
    entries = list(into.iterdir())
    if len(entries) != 1 or not entries[0].is_dir():
        return
    top = entries[0].rename(into / ".lifted")
    for entry in list(top.iterdir()):
        entry.rename(into / entry.name)
    top.rmdir()
