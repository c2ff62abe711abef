"""API keys: 256 random bits, shown once, kept as a hash with a name, a tenant and scopes.

A random key needs no slow hash: SHA-256 of it tells nothing to whoever reads the file.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError
from agent.files import JsonFile

PREFIX: Final = "ct_live_"
SCOPES: Final = (
    "calls:read",
    "calls:write",
    "calls:steer",
    "recordings:read",
    "agents:read",
    "agents:write",
    "webhooks:read",
    "webhooks:write",
    "service:read",
)
ALL_TENANTS: Final = "*"
"""A key of the operator: sees every tenant, and may change what all of them share (agents, webhooks)."""
MOST_KEYS: Final = 1000
_CHECK_LENGTH: Final = 6


class KeyRefused(AgentError):
    """A key cannot be made or found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks."""

    key_id: str
    name: str
    tenant: str
    scopes: frozenset[str]

    @property
    def is_operator(self) -> bool:
        return self.tenant == ALL_TENANTS

    def sees(self, tenant: str) -> bool:
        return self.tenant in (ALL_TENANTS, tenant)


ANYBODY: Final = Principal(key_id="", name="anybody", tenant=ALL_TENANTS, scopes=frozenset(SCOPES))
"""Whoever reaches a loopback listener while there are no keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    key_id: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    hash: str
    """SHA-256 of the whole key, hex."""
    last4: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def is_live(self, now: float) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def new_key() -> str:
    """``ct_live_``, 256 random bits, six digits that tell a mistyped key from a wrong one."""
    body = PREFIX + secrets.token_urlsafe(32)
    return body + _check(body)


def is_well_formed(text: str) -> bool:
    """Whether the check digits fit: cheap, before any file is looked at."""
    return text.startswith(PREFIX) and text.isascii() and text[-_CHECK_LENGTH:] == _check(text[:-_CHECK_LENGTH])


def _check(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:_CHECK_LENGTH]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class KeyFile:
    """The keys of a gateway, in ``keys.json`` of the API's folder. A running service sees changes at once."""

    def __init__(self, folder: Path) -> None:
        self._file = JsonFile(folder / "keys.json")
        self._parsed_from: dict[str, Any] | None = None
        self._parsed: list[KeyRecord] = []

    def listed(self) -> list[KeyRecord]:
        """All keys, revoked ones too, oldest first. Raises ``FileDamaged``."""
        value = self._file.read()
        if value is not self._parsed_from:
            self._parsed = [_record(item) for item in value.get("keys", [])]
            self._parsed_from = value
        return self._parsed

    @property
    def any_live(self) -> bool:
        """There is a key that has not been revoked (an expired one still asks for another: it never opens the door)."""
        return any(record.revoked_at is None for record in self.listed())

    def create(
        self, name: str, *, tenant: str, scopes: Sequence[str], now: float, expires_at: float | None = None
    ) -> tuple[KeyRecord, str]:
        """A new key; its text is returned here and never again. Raises ``KeyRefused``."""
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise KeyRefused(f"scope {unknown[0]!r} is unknown" if unknown else "a key needs a scope")
        key = new_key()
        record = KeyRecord(
            key_id=secrets.token_hex(4),
            name=name,
            tenant=tenant,
            scopes=tuple(scopes),
            hash=_hash(key),
            last4=key[-4:],
            created_at=now,
            expires_at=expires_at,
        )
        with self._file.change() as value:
            kept = value.setdefault("keys", [])
            if len(kept) >= MOST_KEYS:
                raise KeyRefused(f"there are {MOST_KEYS} keys already")
            kept.append(asdict(record))
        return record, key

    def revoke(self, key_id: str, *, now: float) -> None:
        """End a key. Raises ``KeyRefused`` when there is none of that id."""
        with self._file.change() as value:
            for item in value.get("keys", []):
                if item["key_id"] == key_id:
                    item["revoked_at"] = item["revoked_at"] or now
                    return
            raise KeyRefused(f"there is no key {key_id}")

    def find(self, key: str, *, now: float) -> Principal | None:
        """Whose key it is. Compares with every record, in constant time each, found or not."""
        asked, found = _hash(key), None
        for record in self.listed():
            if hmac.compare_digest(record.hash, asked) and record.is_live(now):
                found = record
        if found is None:
            return None
        return Principal(key_id=found.key_id, name=found.name, tenant=found.tenant, scopes=frozenset(found.scopes))


def _record(item: dict[str, Any]) -> KeyRecord:
    return KeyRecord(**{**item, "scopes": tuple(item["scopes"])})
