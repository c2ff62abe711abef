"""Tables of the SQLite store and how an older file becomes the current one (``PRAGMA user_version``)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agent.store.errors import StoreRefused

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE calls (
            id INTEGER PRIMARY KEY,
            call_id TEXT NOT NULL UNIQUE,
            tenant TEXT NOT NULL,
            agent TEXT NOT NULL,
            transport TEXT NOT NULL,
            direction TEXT NOT NULL,
            from_uri TEXT NOT NULL,
            to_uri TEXT NOT NULL,
            state TEXT NOT NULL,
            owner TEXT NOT NULL,
            fence INTEGER NOT NULL,
            created_at REAL NOT NULL,
            answered_at REAL,
            ended_at REAL,
            result TEXT NOT NULL DEFAULT '',
            reason TEXT NOT NULL DEFAULT '',
            data TEXT NOT NULL DEFAULT '{}',
            seq INTEGER NOT NULL DEFAULT 0,
            writes INTEGER NOT NULL DEFAULT 0,
            lease_until REAL NOT NULL
        )""",
        "CREATE INDEX calls_newest ON calls (created_at, call_id)",
        "CREATE INDEX calls_live ON calls (lease_until) WHERE state != 'ended'",
        """CREATE TABLE events (
            call_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            name TEXT NOT NULL,
            at REAL NOT NULL,
            data TEXT NOT NULL,
            PRIMARY KEY (call_id, seq)
        ) WITHOUT ROWID""",
        "CREATE UNIQUE INDEX events_one_end ON events (call_id) WHERE name = 'call.ended'",
        """CREATE TABLE deliveries (
            id INTEGER PRIMARY KEY,
            endpoint TEXT NOT NULL,
            call_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            status TEXT NOT NULL DEFAULT 'pending',
            attempt INTEGER NOT NULL DEFAULT 0,
            due_at REAL NOT NULL,
            claimed_until REAL NOT NULL DEFAULT 0,
            claimed_by TEXT NOT NULL DEFAULT '',
            failing_since REAL
        )""",
        "CREATE INDEX deliveries_due ON deliveries (endpoint, due_at) WHERE status = 'pending'",
        "CREATE INDEX deliveries_order ON deliveries (endpoint, call_id, seq) WHERE status = 'pending'",
        """CREATE TABLE attempts (
            id INTEGER PRIMARY KEY,
            call_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            endpoint TEXT NOT NULL,
            data TEXT NOT NULL
        )""",
        "CREATE INDEX attempts_of_call ON attempts (call_id, id)",
        """CREATE TABLE timeline (
            id INTEGER PRIMARY KEY,
            call_id TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            kind TEXT NOT NULL,
            data TEXT NOT NULL
        )""",
        "CREATE INDEX timeline_of_call ON timeline (call_id, id)",
    ),
)
"""Statements that lead from version n to n + 1."""

NETWORK_FILE_SYSTEMS = frozenset(["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"])
"""WAL needs memory shared by all processes that use the file; these have none."""


def migrate(db: sqlite3.Connection, path: str) -> None:
    """Bring the file to the current version, or refuse one that is newer than this program."""
    newest = len(MIGRATIONS)
    db.execute("BEGIN IMMEDIATE")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > newest:
        db.execute("ROLLBACK")
        raise StoreRefused(
            f"{path}: schema version {version} is newer than this program knows ({newest}); "
            "start the newer program, or use another file"
        )
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {newest}")
    db.execute("COMMIT")


def check_sound(db: sqlite3.Connection, path: str) -> None:
    """``PRAGMA quick_check``: refuse a damaged file."""
    found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    if found != "ok":
        raise StoreRefused(f"{path}: damaged ({found}); restore a backup, or move the file away")


def check_file_system(path: Path, mounts: str) -> None:
    """Refuse a network file system. ``mounts`` is the text of ``/proc/self/mounts`` (empty: not known)."""
    folder = str(path.resolve().parent)
    best, kind = "", ""
    for line in mounts.splitlines():
        parts = line.split()
        if len(parts) > 2 and len(parts[1]) >= len(best) and _lies_under(folder, parts[1]):
            best, kind = parts[1], parts[2]
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreRefused(
            f"{path}: {best} is a network file system ({kind}); SQLite needs a local disk, or use redis://"
        )


def _lies_under(folder: str, mount: str) -> bool:
    return mount == "/" or folder == mount or folder.startswith(mount + "/")
