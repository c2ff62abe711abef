"""Requests of the client: JSON out, JSON in, problems as ``ApiError``."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode


class ApiError(Exception):
    """The service answered with a problem."""

    def __init__(self, status: int, detail: str, *, problems: list[str], retry_after_s: float | None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.problems = problems
        """Places and reasons, where the request was not as described."""
        self.retry_after_s = retry_after_s
        """When to ask again, where the service says so."""


class Http:
    """One service and one key."""

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout_s = timeout_s
        # No redirects and no proxies of the environment: a key goes to the service and nowhere else.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())

    def json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON, ``None`` where it has none. Raises ``ApiError``, or ``OSError`` where none came."""
        with self.open(method, path, query=query, body=body, headers=headers) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None

    def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """The open answer. Raises as ``json``. Values of ``query`` and ``body`` that are ``None`` are left out."""
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        url = self._url + path + (f"?{urlencode(asked)}" if asked else "")
        sent = {**self._headers, **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
            sent["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data=data, headers=sent, method=method)
        try:
            return self._opener.open(request, timeout=timeout_s or self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise _problem(error) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _problem(error: urllib.error.HTTPError) -> ApiError:
    try:
        said = json.loads(error.read())
        detail, problems = str(said["detail"]), [str(one) for one in said.get("problems", [])]
    except (ValueError, KeyError, TypeError, AttributeError):
        detail, problems = error.reason, []
    wait = error.headers.get("Retry-After", "")
    return ApiError(error.code, detail, problems=problems, retry_after_s=float(wait) if wait.isdigit() else None)


def part(text: str) -> str:
    """A name as part of a path."""
    return quote(text, safe="")
