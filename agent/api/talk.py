"""``/``: the page to talk to the agent. Static files, read once; nothing from outside is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static" / "talk"
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",
}


def add_talk_routes(app: web.Application) -> None:
    """``/`` and the files beside it under ``/talk/``."""
    for path in sorted(FOLDER.iterdir()):
        where = "/" if path.name == "index.html" else f"/talk/{path.name}"
        app.router.add_get(where, _serving(path))


def _serving(path: Path):  # type: ignore[no-untyped-def]  # aiohttp's handler type is private
    body = path.read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    kind = _TYPES[path.suffix.removeprefix(".")]

    async def serve(request: web.Request) -> web.Response:
        headers = HEADERS | {"ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    return serve
