"""One finding about this host.

Each check looks at one thing, changes nothing that stays, and gives advice where it does not say ``ok``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding."""

    name: str
    status: Status
    detail: str
    advice: str = ""
    """What to do; empty where nothing is wrong."""


def ok(name: str, detail: str) -> Check:
    return Check(name=name, status="ok", detail=detail)


def warn(name: str, detail: str, advice: str) -> Check:
    return Check(name=name, status="warn", detail=detail, advice=advice)


def fail(name: str, detail: str, advice: str) -> Check:
    return Check(name=name, status="fail", detail=detail, advice=advice)
