"""``crosstalk keys``: create, list and revoke API keys. A running service sees each change at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.api.keys import ALL_TENANTS, SCOPES, KeyFile, KeyRecord, KeyRefused

DAY_S = 86_400.0


def create_key(
    folder: Path, name: str, *, tenant: str, scopes: Sequence[str], days: float | None, now: float
) -> dict[str, Any]:
    """A new key, with its text under ``key``: shown this once. Raises ``KeyRefused``."""
    if not name or not name.isprintable() or len(name) > 100:
        raise KeyRefused("a name is 1 to 100 printable characters")
    if tenant != ALL_TENANTS and (not tenant.isprintable() or not 0 < len(tenant) <= 63):
        raise KeyRefused("a tenant is 1 to 63 printable characters, or * for the operator")
    expires_at = now + days * DAY_S if days is not None else None
    record, key = KeyFile(folder).create(name, tenant=tenant, scopes=scopes or SCOPES, now=now, expires_at=expires_at)
    return {**shown(record, now), "key": key}


def list_keys(folder: Path, *, now: float) -> list[dict[str, Any]]:
    return [shown(record, now) for record in KeyFile(folder).listed()]


def revoke_key(folder: Path, key_id: str, *, now: float) -> None:
    """Raises ``KeyRefused``."""
    KeyFile(folder).revoke(key_id, now=now)


def shown(record: KeyRecord, now: float) -> dict[str, Any]:
    """A key without its hash."""
    told = asdict(record)
    del told["hash"]
    told["scopes"] = list(record.scopes)
    told["state"] = "live" if record.is_live(now) else "revoked" if record.revoked_at is not None else "expired"
    return told


def table(keys: Sequence[dict[str, Any]]) -> str:
    """For people."""
    if not keys:
        return "no keys: a loopback listener is open, any other takes no request"
    rows = [
        (key["key_id"], key["state"], key["tenant"], _day(key["created_at"]), f"…{key['last4']}", key["name"])
        for key in keys
    ]
    rows.insert(0, ("id", "state", "tenant", "created", "ends in", "name"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
