"""One route of the API as data: what it takes, what it answers, what can go wrong. Written once, used three times:
to check requests, to write the OpenAPI document, and to bind handlers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.api.schema import REF

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter in ``path``, ``query`` or ``header``."""

    name: str
    where: str
    schema: Mapping[str, Any]
    doc: str
    default: Any = None
    """Value where the parameter is absent."""

    @property
    def required(self) -> bool:
        return self.where == "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that is no error."""

    status: int = 200
    doc: str = ""
    shape: str = ""
    """Name in ``SHAPES``; empty: no JSON."""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header to its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: str
    path: str
    name: str
    """operationId."""
    tag: str
    summary: str
    scope: str
    doc: str = ""
    params: tuple[Param, ...] = ()
    body: str = ""
    """Shape of the JSON body; empty: none is read."""
    body_optional: bool = False
    replies: tuple[Reply, ...] = ()
    problems: Mapping[int, str] = field(default_factory=dict)
    """Status to what it means here, besides those that every route can have."""
    operator: bool = False
    """Concerns all tenants: only for keys of the operator."""

    @property
    def all_problems(self) -> dict[int, str]:
        """Every error that this route documents, by status."""
        found = {
            400: "The request is not as described here",
            401: "No key, or one that is unknown, expired or revoked",
            403: "The key lacks the scope, or the tenant may not",
            429: "Too many wrong keys from this address",
            500: "A bug of ours; it is in the log",
            503: "The store does not answer",
        }
        if self.body:
            found |= {413: "The body is too large", 415: "The body is not application/json"}
        return dict(sorted((found | dict(self.problems)).items()))


def ref(shape: str) -> dict[str, str]:
    return {"$ref": REF + shape}
