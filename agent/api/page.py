"""Pages of the service: static files, read once at start; they load nothing from outside and run no script but ours."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
COMMON = "common"
"""What pages share: colours of voices and floor, by name."""


def add_page(app: web.Application, name: str, *, at: str, permissions: str) -> None:
    """``static/<name>/index.html`` at ``at``, the files beside it under ``/<name>/``.

    ``permissions``: the page's ``Permissions-Policy``.
    """
    headers = _HEADERS | {"Permissions-Policy": permissions}
    for path in sorted((FOLDER / name).iterdir()):
        serving = _serving(path, headers)
        if path.name == "index.html":
            app.router.add_get(at, serving)
            if at != "/":
                app.router.add_get(f"{at}/", serving)
        else:
            app.router.add_get(f"/{name}/{path.name}", serving)


def add_common(app: web.Application) -> None:
    """The files that several pages load, under ``/common/``."""
    for path in sorted((FOLDER / COMMON).iterdir()):
        app.router.add_get(f"/{COMMON}/{path.name}", _serving(path, _HEADERS))


def _serving(path: Path, headers: dict[str, str]):  # type: ignore[no-untyped-def]  # aiohttp's handler type is private
    body = path.read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    kind = _TYPES[path.suffix.removeprefix(".")]
    sent = headers | {"ETag": tag}

    async def serve(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=sent)
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=sent)

    return serve
