"""A file of writes, one a line, for the time when the store is away. Blocking: to be called in a thread."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from agent.store.writes import Write, to_line


class Journal:
    """Append-only until it is cleared. Raises ``OSError`` (disk full, no folder, in use by another process)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        self.size = 0
        """Bytes in the file."""

    def open(self) -> None:
        """Open or make the file. A torn last line (killed while writing) is closed off: the next one is whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise
        self._file = file
        self.size = os.fstat(self._file).st_size
        if self.size and os.pread(self._file, 1, self.size - 1) != b"\n":
            self.size += os.write(self._file, b"\n")

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def append_writes(self, writes: Sequence[Write]) -> None:
        self.append([to_line(write) for write in writes])

    def append(self, lines: Sequence[str]) -> None:
        """Write the lines and sync them. When the disk is full, nothing of them stays."""
        block = "".join(f"{line}\n" for line in lines).encode()
        written = 0
        try:
            while written < len(block):
                written += os.write(self._file, block[written:])
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        os.fdatasync(self._file)
        self.size += len(block)

    def read(self, offset: int, *, lines: int) -> tuple[list[bytes], int]:
        """At most so many lines from ``offset`` on, and the offset after them."""
        found: list[bytes] = []
        with self.path.open("rb") as file:
            file.seek(offset)
            while len(found) < lines and (line := file.readline()).endswith(b"\n"):
                offset += len(line)
                found.append(line[:-1])
        return found, offset

    def clear(self) -> None:
        os.ftruncate(self._file, 0)
        os.fdatasync(self._file)
        self.size = 0
