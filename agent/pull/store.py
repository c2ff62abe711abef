"""The folder of models: what is there, what is whole, where a name leads. A model is visible only when it is complete.

``FOLDER/NAME/`` holds a model and ``crosstalk-model.json``, which tells where it is from. Work in progress lies in
``FOLDER/.part/NAME/`` and moves as a whole.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agent.files import write_whole
from agent.pull.catalogue import Kind
from agent.pull.download import digest
from agent.pull.errors import PullFailed
from agent.pull.layout import absent

MANIFEST: Final = "crosstalk-model.json"
PARTS: Final = ".part"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
OWNED: Final = "--"
"""Between owner and model in the folder of a model that a hub names with a slash."""
RESERVE_BYTES: Final = 64 * 1024 * 1024
"""Left free on the disk: a full disk stops recordings and the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFile:
    name: str
    """Relative to the model's folder, with ``/``."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A model of the folder."""

    name: str
    kind: Kind
    source: str
    """URL or path that it came from."""
    licence: str
    """Identifier that was accepted; ``unknown`` where the user answers for it."""
    accepted_at: str
    """When, ISO 8601 UTC."""
    files: tuple[HeldFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class ModelFolder:
    """Models under one folder, which is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Raises ``PullFailed`` for a name that is none."""
        slot = folder_of(name) or name
        if not NAME.fullmatch(slot):
            raise PullFailed(f"{name!r} is no name of a model: letters, digits, '.', '_' or '-', at most 63")
        return self.folder / slot

    def held(self) -> list[Held]:
        """What is there, by name. A folder without a readable manifest is not ours and is left out."""
        if not self.folder.is_dir():
            return []
        slots = [path.name for path in sorted(self.folder.iterdir()) if NAME.fullmatch(path.name)]
        found = [self.get(slot.replace(OWNED, "/", 1)) for slot in slots]
        return [held for held in found if held is not None]

    def get(self, name: str) -> Held | None:
        try:
            data = json.loads((self.path(name) / MANIFEST).read_bytes())
            return _held(name, data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def problems(self, held: Held, *, deep: bool = False) -> list[str]:
        """What is wrong with a model's files: missing, another size; with ``deep`` another checksum."""
        found: list[str] = []
        for file in held.files:
            path = self.path(held.name) / file.name
            if not path.is_file():
                found.append(f"{file.name} is missing")
            elif path.stat().st_size != file.size:
                found.append(f"{file.name} has {path.stat().st_size} bytes instead of {file.size}")
            elif deep and digest(path) != file.sha256:
                found.append(f"{file.name} has another checksum")
        return found

    @contextmanager
    def work(self, name: str, *, keep: bool = False) -> Iterator[Path]:
        """The folder in which ``name`` is put together; two pulls of one model do not meet. Raises ``PullFailed``.

        ``keep``: what is there when the block raises stays for the next try.
        """
        target = self.path(name)
        slot = target.name
        if target.exists() and self.get(name) is None:
            raise PullFailed(f"{target} exists and was not made by crosstalk pull: move it away first")
        parts = self.folder / PARTS
        try:
            (parts / slot).mkdir(parents=True, exist_ok=True)
            with (parts / f"{slot}.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                try:
                    yield parts / slot
                except BaseException:
                    if not keep:
                        shutil.rmtree(parts / slot, ignore_errors=True)
                    raise
        except BlockingIOError:
            raise PullFailed(f"{name} is being pulled by another process") from None
        except OSError as wrong:
            raise PullFailed(f"{self.folder}: {wrong.strerror or wrong}") from None

    def publish(self, work: Path, held: Held) -> Path:
        """Make what lies in ``work`` the model ``held.name``; one that was there is replaced. Raises ``PullFailed``."""
        lacks = absent(work, held.kind)
        if lacks:
            raise PullFailed(f"{held.name} is no {held.kind} model: it lacks {', '.join(lacks)}")
        _settle(work)
        write_whole(work / MANIFEST, json.dumps(asdict(held), indent=1).encode())
        target = self.path(held.name)
        old = self.folder / PARTS / f"{target.name}.old"
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        work.rename(target)
        shutil.rmtree(old, ignore_errors=True)
        return target

    def remove(self, name: str) -> None:
        """Take a model away, and what is left of pulls of it. Raises ``PullFailed`` when it is not here."""
        target = self.path(name)
        work = self.folder / PARTS / target.name
        known = self.get(name) is not None
        if target.exists() and not known:
            raise PullFailed(f"{target} was not made by crosstalk pull: remove it yourself")
        if not known and not work.exists():
            raise PullFailed(f"{name} is not in {self.folder}")
        if known:
            gone = self.folder / PARTS / f"{target.name}.old"
            gone.parent.mkdir(exist_ok=True)
            shutil.rmtree(gone, ignore_errors=True)
            target.rename(gone)  # at once, so that nobody loads a half of it
            shutil.rmtree(gone)
        shutil.rmtree(work, ignore_errors=True)

    def require_space(self, needed: int) -> None:
        """Raises ``PullFailed`` before anything is written that would not fit."""
        nearest = self.folder.absolute()
        while not nearest.exists():
            nearest = nearest.parent
        free = shutil.disk_usage(nearest).free
        if free < needed + RESERVE_BYTES:
            raise PullFailed(
                f"{self.folder}: {needed / 1e6:.0f} MB are needed and {RESERVE_BYTES / 1e6:.0f} MB are kept free, "
                f"but {free / 1e6:.0f} MB are there"
            )


def located(folder: str, given: str) -> str:
    """The folder of a model that the configuration names: a pulled one by its name, any other by its path."""
    if NAME.fullmatch(given) and (Path(folder) / given / MANIFEST).is_file():
        return str(Path(folder) / given)
    return given


def folder_of(name: str) -> str:
    """The folder's name for a model of a hub, ``owner/model``; empty for a name that is none of these."""
    owner, slash, model = name.partition("/")
    found = f"{owner}{OWNED}{model}"
    return found if slash and "/" not in model and owner and model and NAME.fullmatch(found) else ""


def files_of(folder: Path) -> tuple[HeldFile, ...]:
    """Every file of a folder with its checksum. Raises ``PullFailed`` where one is no plain file."""
    found: list[HeldFile] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise PullFailed(f"{path} is a link or a device, not a file")
        if path.is_file() and path.name != MANIFEST:
            name = path.relative_to(folder).as_posix()
            found.append(HeldFile(name=name, size=path.stat().st_size, sha256=digest(path)))
    return tuple(found)


def _held(name: str, data: Any) -> Held:
    files: Sequence[Any] = data["files"]
    return Held(
        name=name,
        kind=Kind(data["kind"]),
        source=str(data["source"]),
        licence=str(data["licence"]),
        accepted_at=str(data["accepted_at"]),
        files=tuple(HeldFile(name=str(f["name"]), size=int(f["size"]), sha256=str(f["sha256"])) for f in files),
    )


def _settle(folder: Path) -> None:
    """Bytes are on the disk before the name is; the service, which may run as somebody else, may read them."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
