"""From the table of routes to handlers: who asks, is the request as described, what is answered."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from aiohttp import web

from agent.api.gate import Gate
from agent.api.keys import Principal
from agent.api.problems import Problem, answer_to
from agent.api.route import Param, Route
from agent.api.schema import from_text, violations
from agent.api.shapes import SHAPES
from agent.errors import StoreUnavailable

MOST_BODY: Final = 1 << 20
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request that is as described."""

    principal: Principal
    request: web.Request
    params: dict[str, Any]
    """Every parameter of the route by name, as its type; its default (mostly ``None``) where absent."""
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """JSON to answer with."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Ask], Awaitable[Answer | web.StreamResponse]]


class Counted(Protocol):
    """Told of each answer: operation and status."""

    def __call__(self, operation: str, status: int, /) -> None: ...


def bind(
    app: web.Application,
    routes: Sequence[Route],
    handlers: Mapping[str, Handler],
    gate: Gate,
    *,
    counted: Counted = lambda operation, status: None,
    on_bug: Callable[[str, Exception], None] = lambda operation, error: None,
) -> None:
    """Add every route. Raises ``KeyError`` for one without a handler: at start, not at its first request."""
    for route in routes:
        # aiohttp's own pattern leaves braces out: a name with one would be "not found" instead of "not a name"
        path = re.sub(r"{(\w+)}", r"{\1:[^/]+}", route.path)
        app.router.add_route(route.method, path, _bound(route, handlers[route.name], gate, counted, on_bug))


def _bound(
    route: Route, handler: Handler, gate: Gate, counted: Counted, on_bug: Callable[[str, Exception], None]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            principal = gate.admit(request, scope=route.scope, operator=route.operator)
            params, body = _params(route, request), await _body(route, request)
            answer = await handler(Ask(principal=principal, request=request, params=params, body=body))
            response = answer if isinstance(answer, web.StreamResponse) else _json(answer)
        except Problem as error:
            response = answer_to(error)
        except StoreUnavailable as error:
            response = answer_to(Problem(503, str(error)))
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:  # the boundary of a request: a bug is told to the log, not to the caller
            on_bug(route.name, error)
            response = answer_to(Problem(500, "something went wrong here; the log says what"))
        counted(route.name, response.status)
        return response

    return answered


def _json(answer: Answer) -> web.Response:
    text = json.dumps(answer.value, separators=(",", ":"), default=str)
    return web.Response(
        status=answer.status, text=text, content_type="application/json", headers={**_HEADERS, **answer.headers}
    )


# --- parameters ----------------------------------------------------------------------------------------------------


def _params(route: Route, request: web.Request) -> dict[str, Any]:
    known = {param.name for param in route.params if param.where == "query"}
    wrong = [
        f"{name[:80]}: unknown; known here: {', '.join(sorted(known)) or 'none'}"
        for name in request.query
        if name not in known
    ]
    found: dict[str, Any] = {}
    for param in route.params:
        found[param.name] = param.default
        for text in _texts(param, request):
            try:
                found[param.name] = from_text(text, param.schema)
            except ValueError as error:
                wrong.append(f"{param.name}: {error}")
                break
            wrong += violations(found[param.name], param.schema, SHAPES, param.name)
    if wrong:
        raise Problem(400, wrong[0], problems=wrong[:10])
    return found


def _texts(param: Param, request: web.Request) -> Iterator[str]:
    if param.where == "path":
        yield request.match_info[param.name]
    elif param.where == "query":
        yield from request.query.getall(param.name, [])
    elif param.name in request.headers:
        yield request.headers[param.name]


# --- body ----------------------------------------------------------------------------------------------------------


async def _body(route: Route, request: web.Request) -> dict[str, Any]:
    if not route.body:
        return {}
    try:
        raw = await request.content.read(MOST_BODY + 1)
        while len(raw) <= MOST_BODY and (more := await request.content.read(MOST_BODY + 1 - len(raw))):
            raw += more
    except (web.HTTPException, ConnectionError):
        raise
    except Exception as error:  # aiohttp raises what its decoders raise: a broken encoding is the caller's
        raise Problem(400, f"the body cannot be read: {type(error).__name__}") from None
    if len(raw) > MOST_BODY:
        raise Problem(413, f"the body is larger than {MOST_BODY} bytes")
    if not raw and route.body_optional:
        return {}
    if request.content_type != "application/json":
        raise Problem(415, "the body must be application/json")
    body = parse_json(raw)
    wrong = violations(body, SHAPES[route.body], SHAPES)
    if wrong:
        raise Problem(400, wrong[0], problems=wrong)
    found: dict[str, Any] = body
    return found


def parse_json(raw: bytes) -> Any:
    """A value that can be written again: no NaN, no lone surrogates, no numbers without end. Raises ``Problem``."""
    try:
        value = json.loads(raw, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON: {str(error)[:200]}") from None
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
