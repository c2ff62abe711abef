"""Pulling one model: by its name in the catalogue, from an address with a checksum, or from files that are here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from agent.pull.archive import is_archive, unpack
from agent.pull.catalogue import Kind, Licence, PinnedFile, PinnedModel
from agent.pull.download import Downloader, Progress, check_file, check_url, digest
from agent.pull.errors import PullFailed
from agent.pull.layout import kind_of
from agent.pull.store import Held, HeldFile, ModelFolder, files_of

SHA256: Final = re.compile(r"[0-9a-f]{64}")
POINTER: Final = re.compile(
    r"version https://git-lfs\.github\.com/spec/v1\noid sha256:(?P<sha256>[0-9a-f]{64})\nsize (?P<size>\d{1,15})\n?"
)
POINTER_BYTES: Final = 1024
UNKNOWN: Final = Licence(
    id="unknown",
    holder="whoever publishes it",
    url="",
    note="Crosstalk does not know this model: read its licence where you got it from.",
)
FileProgress = Callable[[str], Progress]
"""What is told of the file with this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    held: Held
    folder: Path
    fresh: bool
    """False: it was there already, whole."""


def pull_pinned(
    model: PinnedModel,
    folder: ModelFolder,
    downloader: Downloader,
    progress: FileProgress,
    *,
    mirror: str = "",
) -> Pulled:
    """Bring a model of the catalogue; ``mirror`` replaces the addresses' beginnings. Raises ``PullFailed``."""
    there = _whole(folder, model)
    if there is not None:
        return there
    model = with_checksums(model, downloader)
    with folder.work(model.name, keep=True) as work:
        folder.require_space(model.size - sum(_bytes(work / file.name) for file in model.files))
        for file in model.files:
            url = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url
            _bring(downloader, url, work, file, progress)
        return _published(folder, work, model, mirror or model.files[0].url.rpartition("/")[0])


def import_pinned(model: PinnedModel, folder: ModelFolder, source: Path) -> Pulled:
    """A model of the catalogue from a folder or archive that somebody brought; the pins hold all the same."""
    there = _whole(folder, model)
    if there is not None:
        return there
    with folder.work(model.name) as work:
        _clear(work)
        _gather(folder, source, work)
        for file in model.files:
            if not file.sha256:
                raise PullFailed(
                    f"{file.name} of {model.name}: its checksum is asked of the publisher, so it can only be pulled; "
                    "a folder that you answer for is served by its path"
                )
            if not (work / file.name).is_file():
                raise PullFailed(f"{source} holds no {file.name}, which {model.name} needs")
            check_file(work / file.name, size=file.size, sha256=file.sha256, name=f"{source}: {file.name}")
        return _published(folder, work, model, str(source.absolute()))


def pull_url(
    name: str,
    url: str,
    sha256: str,
    kind: Kind | None,
    folder: ModelFolder,
    downloader: Downloader,
    progress: FileProgress,
) -> Pulled:
    """An archive at an address, with the checksum that the user answers for. Raises ``PullFailed``."""
    check_url(url)
    if not SHA256.fullmatch(sha256):
        raise PullFailed("--sha256 must be 64 hex digits; without it nobody knows what was downloaded")
    file_name = url.partition("?")[0].rstrip("/").rpartition("/")[2]
    packed = Path(file_name)
    if not is_archive(packed):
        raise PullFailed(f"{file_name!r} is no archive (.tar, .tar.bz2, .tar.gz, .tar.xz, .zip)")
    with folder.work(name) as work:
        part = work.parent / f"{name}.{sha256[:12]}.download"
        downloader.fetch(url, part, size=None, sha256=sha256, progress=progress(file_name))
        archive = part.with_name(f"{name}-{file_name}")
        part.rename(archive)
        try:
            return _unknown(name, archive, kind, folder, work, url)
        finally:
            archive.unlink(missing_ok=True)


def import_unknown(name: str, source: Path, kind: Kind | None, folder: ModelFolder, sha256: str = "") -> Pulled:
    """A folder or archive that the catalogue does not know. Raises ``PullFailed``."""
    if sha256 and not SHA256.fullmatch(sha256):
        raise PullFailed("--sha256 must be 64 hex digits")
    if sha256 and not source.is_file():
        raise PullFailed("--sha256 is for one archive, not for a folder")
    with folder.work(name) as work:
        if sha256:
            _check_only(source, sha256)
        return _unknown(name, source, kind, folder, work, str(source.absolute()))


def _unknown(name: str, source: Path, kind: Kind | None, folder: ModelFolder, work: Path, said: str) -> Pulled:
    _clear(work)
    _gather(folder, source, work)
    held = Held(
        name=name,
        kind=kind or kind_of(work),
        source=said,
        licence=UNKNOWN.id,
        accepted_at=_now(),
        files=files_of(work),
    )
    return Pulled(held=held, folder=folder.publish(work, held), fresh=True)


def _bring(downloader: Downloader, url: str, work: Path, file: PinnedFile, progress: FileProgress) -> None:
    """A file gets its name when it is whole: what has its name and size need not come again."""
    path = work / file.name
    if not path.is_file() or path.stat().st_size != file.size:
        part = work / f"{file.name}.part"
        downloader.fetch(url, part, size=file.size, sha256=file.sha256, progress=progress(file.name))
        part.rename(path)


def _published(folder: ModelFolder, work: Path, model: PinnedModel, source: str) -> Pulled:
    _keep_only(work, {file.name for file in model.files})
    held = Held(
        name=model.name,
        kind=model.kind,
        source=source,
        licence=model.licence.id,
        accepted_at=_now(),
        files=_pinned_files(model),
    )
    return Pulled(held=held, folder=folder.publish(work, held), fresh=True)


def _whole(folder: ModelFolder, model: PinnedModel) -> Pulled | None:
    """The model where it is there already, with the files of today's pins."""
    held = folder.get(model.name)
    if held is None or not _same_files(held.files, model.files) or folder.problems(held):
        return None
    return Pulled(held=held, folder=folder.path(model.name), fresh=False)


def _same_files(held: tuple[HeldFile, ...], wanted: tuple[PinnedFile, ...]) -> bool:
    """A file whose checksum is not known here was checked when it came, by the same revision's pointer."""
    return [(file.name, file.sha256) for file in held] == [
        (file.name, file.sha256 or have.sha256) for file, have in zip(wanted, held, strict=False)
    ] and len(held) == len(wanted)


def with_checksums(model: PinnedModel, downloader: Downloader) -> PinnedModel:
    """``model`` with what the pointers of its files tell. Raises ``PullFailed``."""
    files = tuple(
        file if file.sha256 else replace(file, pointer="", **_pointed(file, downloader)) for file in model.files
    )
    return replace(model, files=files)


def _pointed(file: PinnedFile, downloader: Downloader) -> dict[str, Any]:
    found = POINTER.fullmatch(downloader.read(file.pointer, most=POINTER_BYTES).decode("utf-8", "replace"))
    if found is None:
        raise PullFailed(f"{file.pointer}: no Git LFS pointer, so {file.name} has no checksum")
    return {"sha256": found["sha256"], "size": int(found["size"])}


def _pinned_files(model: PinnedModel) -> tuple[HeldFile, ...]:
    return tuple(HeldFile(name=file.name, size=file.size, sha256=file.sha256) for file in model.files)


def _gather(folder: ModelFolder, source: Path, work: Path) -> None:
    """Copy or unpack ``source`` into ``work``. Raises ``PullFailed``."""
    if source.is_dir():
        files = files_of(source)
        folder.require_space(sum(file.size for file in files))
        for file in files:
            (work / file.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file.name, work / file.name)
    elif source.is_file() and is_archive(source):
        folder.require_space(2 * source.stat().st_size)
        unpack(source, work)
    elif source.is_file():
        raise PullFailed(f"{source} is no archive (.tar, .tar.bz2, .tar.gz, .tar.xz, .zip) and no folder")
    else:
        raise PullFailed(f"{source} does not exist")


def _check_only(source: Path, sha256: str) -> None:
    """Like ``check_file``, but the file is the user's own and stays."""
    found = digest(source)
    if found != sha256:
        raise PullFailed(f"{source}: SHA-256 is {found}, not {sha256}")


def _keep_only(work: Path, names: set[str]) -> None:
    """Test sounds, other sizes of the same model, what an older pin left: none of it was checked."""
    for path in sorted(work.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        elif path.relative_to(work).as_posix() not in names:
            path.unlink()


def _clear(work: Path) -> None:
    shutil.rmtree(work)
    work.mkdir()


def _bytes(path: Path) -> int:
    part = path.with_name(f"{path.name}.part")
    return sum(found.stat().st_size for found in (path, part) if found.is_file())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
