"""Errors as problem details (RFC 9457): one shape for every one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from agent.errors import AgentError, StoreUnavailable

CONTENT_TYPE = "application/problem+json"


class Problem(AgentError):
    """A request cannot be done; the caller is told why."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        """``more``: further members of the document."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more


def problem(status: int, title: str, detail: str, **more: Any) -> web.Response:
    """One error as problem+json."""
    return web.Response(
        status=status,
        text=json.dumps({"type": "about:blank", "status": status, "title": title, "detail": detail, **more}),
        content_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store"},
    )


def answer_to(error: Problem) -> web.Response:
    """The document of a ``Problem``."""
    response = problem(error.status, HTTPStatus(error.status).phrase, error.detail, **error.more)
    response.headers.update(error.headers)
    return response


@web.middleware
async def problems(request: web.Request, handler: Any) -> web.StreamResponse:
    """No traceback leaves: every error is a problem document."""
    try:
        response: web.StreamResponse = await handler(request)
    except Problem as error:
        return answer_to(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = problem(error.status, error.reason, error.text or error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except StoreUnavailable as error:
        return problem(503, "Store unavailable", str(error))
    return response
