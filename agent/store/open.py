"""Which store a URL means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from agent.logging import Log
from agent.store.errors import StoreRefused
from agent.store.resilient import ResilientStore
from agent.store.spool import Backing, Limits
from telephony.clock import Clock


def backing_store(url: str, *, prefix: str = "ct") -> Backing:
    """``sqlite:PATH``, ``sqlite::memory:``, ``redis://…`` or ``rediss://…``. Not open yet. Raises ``StoreRefused``."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        from agent.store.sqlite import SqliteStore

        return SqliteStore(rest)
    if scheme in ("redis", "rediss"):
        from agent.store.redis import RedisStore

        return RedisStore(url, prefix=prefix)
    raise StoreRefused(f"store.url: {scheme or 'an empty URL'} is not known: use sqlite:PATH or redis://host:port/db")


def open_store(
    url: str,
    *,
    spill: str,
    owner: str,
    endpoints: dict[str, Sequence[str]],
    wall: Callable[[], float],
    clock: Clock,
    log: Log,
    limits: Limits | None = None,
) -> tuple[ResilientStore, ResilientStore]:
    """The service's store and outbox (one object). ``await store.open()`` replays and reaps, ``close()`` flushes.

    ``endpoints``: webhook endpoint to the event names that it wants. A server that is away at start is waited for while
    calls go on; a file that cannot be opened stops the start.
    """
    store = ResilientStore(
        backing_store(url),
        journal=Path(spill),
        owner=owner,
        endpoints=endpoints,
        wall=wall,
        clock=clock,
        log=log,
        may_start_away=url.startswith("redis"),
        limits=limits,
    )
    return store, store
