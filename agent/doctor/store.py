"""Where calls are kept: the store, the spill and recordings."""

from __future__ import annotations

import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent.config import Config
from agent.config_load import without_password
from agent.doctor.check import Check, fail, ok
from agent.doctor.installed import DISTRIBUTION

REDIS_TIMEOUT_S: Final = 2.0


def check_store(config: Config) -> Iterator[Check]:
    url = config.store.url
    if url.startswith("sqlite:"):
        yield _sqlite(Path(url.removeprefix("sqlite:")))
    else:
        yield _redis(url)
    yield _folder("spill", Path(config.store.spill).parent)
    if config.recording.enabled:
        yield _folder("recordings", Path(config.recording.folder))


def _sqlite(path: Path) -> Check:
    if not path.exists():
        found = _folder("store", path.parent)
        return ok("store", f"{path} will be made") if found.status == "ok" else found
    try:
        connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=1.0)
        try:
            connection.execute("BEGIN IMMEDIATE")  # takes the write lock, writes nothing
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error as wrong:
        return fail("store", f"{path}: {wrong}", "is another process writing, is the file ours, is it a database?")
    return ok("store", f"{path} can be written")


def _folder(name: str, folder: Path) -> Check:
    """A folder that exists or can be made, and takes a file."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as wrong:
        return fail(name, f"{folder}: {wrong.strerror}", f"make {folder} writable for this user")
    return ok(name, f"{folder} can be written")


def _redis(url: str) -> Check:
    shown, parts = without_password(url), urlsplit(url)
    if find_spec("redis") is None:
        return fail("store", "the package redis is not installed", f"pip install '{DISTRIBUTION}[redis]'")
    try:
        with socket.create_connection((parts.hostname, parts.port or 6379), REDIS_TIMEOUT_S) as connection:
            if parts.scheme == "rediss":
                return ok("store", f"{shown} takes connections (TLS not tried)")
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except OSError as wrong:
        return fail("store", f"{shown}: {wrong}", "start the server, or correct store.url")
    if answer.startswith((b"+PONG", b"-NOAUTH")):
        return ok("store", f"{shown} answers")
    return fail("store", f"{shown}: answers, but not as Redis does", "correct store.url")
