"""Webhook endpoints: those of the configuration, and those that the API adds, kept in a file of the API's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.config import WebhookEndpoint
from agent.errors import AgentError
from agent.events.signing import new_secret
from agent.files import JsonFile

MOST_ENDPOINTS: Final = 50


class EndpointUnknown(AgentError):
    """There is no such endpoint."""


class EndpointRefused(AgentError):
    """The endpoint cannot be added or changed here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An endpoint as it is shown; its secret is not."""

    endpoint: WebhookEndpoint
    source: str
    """``configuration`` or ``api``."""
    created_at: float | None = None
    rotates_until: float | None = None


class EndpointBook:
    """All endpoints of a gateway. Times are aware-UTC epoch seconds."""

    def __init__(self, folder: Path, configured: Sequence[WebhookEndpoint]) -> None:
        self._file = JsonFile(folder / "webhooks.json")
        self._configured = {endpoint.name: endpoint for endpoint in configured}

    def listed(self, now: float) -> list[Listed]:
        """Those of the configuration first; each with the secrets that sign now."""
        found = [Listed(endpoint=endpoint, source="configuration") for endpoint in self._configured.values()]
        for name, item in self._stored().items():
            if name not in self._configured:
                found.append(_listed(name, item, now))
        return found

    def effective(self, now: float) -> list[WebhookEndpoint]:
        """What the deliverer delivers to."""
        return [one.endpoint for one in self.listed(now)]

    def next_change(self, now: float) -> float | None:
        """When the next old secret stops signing."""
        times = [one.rotates_until for one in self.listed(now) if one.rotates_until is not None]
        return min(times, default=None)

    def create(self, name: str, url: str, events: Sequence[str], *, now: float) -> str:
        """Add an endpoint; its secret. Raises ``EndpointRefused``."""
        secret = new_secret()
        with self._file.change() as value:
            stored = value.setdefault("endpoints", {})
            if name in stored or name in self._configured:
                raise EndpointRefused(f"there is an endpoint {name} already")
            if len(stored) >= MOST_ENDPOINTS:
                raise EndpointRefused(f"there are {MOST_ENDPOINTS} endpoints already")
            stored[name] = {"url": url, "events": list(events), "secret": secret, "created_at": now, "old": None}
        return secret

    def rotate(self, name: str, *, overlap_s: float, now: float) -> str:
        """A new secret; the old one signs as well for ``overlap_s``. Raises as ``delete``."""
        secret = new_secret()
        with self._file.change() as value:
            item = self._changeable(value, name)
            item["old"] = {"secret": item["secret"], "until": now + overlap_s} if overlap_s > 0 else None
            item["secret"] = secret
        return secret

    def delete(self, name: str) -> None:
        """Raises ``EndpointUnknown``, or ``EndpointRefused`` for one of the configuration."""
        with self._file.change() as value:
            self._changeable(value, name)
            del value["endpoints"][name]

    def find(self, name: str, now: float) -> Listed:
        """Raises ``EndpointUnknown``."""
        for one in self.listed(now):
            if one.endpoint.name == name:
                return one
        raise EndpointUnknown(f"there is no endpoint {name}")

    def _changeable(self, value: dict[str, Any], name: str) -> dict[str, Any]:
        if name in self._configured:
            raise EndpointRefused(f"{name} is an endpoint of the configuration: change it there")
        if name not in value.get("endpoints", {}):
            raise EndpointUnknown(f"there is no endpoint {name}")
        item: dict[str, Any] = value["endpoints"][name]
        return item

    def _stored(self) -> dict[str, Any]:
        found: dict[str, Any] = self._file.read().get("endpoints", {})
        return found


def _listed(name: str, item: dict[str, Any], now: float) -> Listed:
    old = item["old"] if item["old"] is not None and now < item["old"]["until"] else None
    signing = item["secret"] if old is None else f"{item['secret']} {old['secret']}"
    endpoint = WebhookEndpoint(name=name, url=item["url"], secret=signing, events=tuple(item["events"]))
    until = old["until"] if old is not None else None
    return Listed(endpoint=endpoint, source="api", created_at=item["created_at"], rotates_until=until)
