"""Small files of our own: JSON, replaced as a whole, readable by the service's user only."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.errors import AgentError


class FileDamaged(AgentError):
    """A file of the API's folder cannot be used."""


class JsonFile:
    """One JSON object in a file that several processes may change: ``change`` locks, ``read`` sees the newest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._value: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """The object; empty where there is no file. One ``stat`` when nothing has changed. Raises ``FileDamaged``."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen, self._value = None, {}
            return self._value
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            self._value, self._seen = self._load(), seen
        return self._value

    @contextlib.contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Read, let the block change the object, write it, under a lock. Nothing is written when the block raises."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            value = self._load() if self.path.exists() else {}
            yield value
            write_whole(self.path, json.dumps(value, indent=1).encode())

    def _load(self) -> dict[str, Any]:
        try:
            value = json.loads(self.path.read_bytes())
        except (OSError, ValueError) as error:
            raise FileDamaged(f"{self.path}: {error}") from None
        if not isinstance(value, dict):
            raise FileDamaged(f"{self.path}: is no JSON object")
        return value


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file: whoever reads sees the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
