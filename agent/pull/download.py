"""One file over HTTP: goes on where it stopped, checked against its pin before anybody can see it.

``https`` only, in redirects too; plain ``http`` only to this machine (a mirror on a port of its own, tests).
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from agent.pull.errors import PullFailed

TIMEOUT_S: Final = 30.0
"""No byte for that long and the connection is given up …"""
TRIES: Final = 4
"""… and asked again, from where it stopped, that often in a row without anything new."""
PAUSES_S: Final = (0.5, 2.0, 5.0)
BLOCK: Final = 1 << 18
MOST_REDIRECTS: Final = 5
HUB: Final = "huggingface.co"
USER_AGENT: Final = "crosstalk-pull"

Progress = Callable[[int, int], None]
"""Bytes there, bytes in all."""


class _Broken(Exception):
    """The connection broke; what came is kept."""


class _OnlySafeRedirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MOST_REDIRECTS

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_url(newurl, "a redirect to")
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise PullFailed(f"a redirect to {newurl!r} is refused: it leaves https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_url(url: str, what: str = "the address") -> None:
    """Raises ``PullFailed`` unless the file comes encrypted, or from this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as wrong:
        raise PullFailed(f"{what} {url!r} is not a URL: {wrong}") from None
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and _is_this_machine(host):
        return
    raise PullFailed(f"{what} {url!r} is refused: it must begin with https://")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Downloader:
    """``context``: whom to trust in TLS; ``pause`` waits between tries."""

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
        pause: Callable[[float], None] = time.sleep,
        token: str = "",
        hub: str = HUB,
    ) -> None:
        """``token``: of an account, told to the host ``hub`` alone and to no host that it sends us to."""
        https = urllib.request.HTTPSHandler(context=context or ssl.create_default_context())
        self._opener = urllib.request.build_opener(https, _OnlySafeRedirects())
        self._token, self._hub = token, hub
        self._timeout_s = timeout_s
        self._pause = pause

    def fetch(self, url: str, part: Path, *, size: int | None, sha256: str, progress: Progress) -> None:
        """Fill ``part``, which may hold the beginning already. Raises ``PullFailed``.

        When it returns the file has the pinned size and checksum. A file with wrong bytes is deleted, so that the next
        try begins at zero; one that is only cut off stays.
        """
        check_url(url)
        failures, before = 0, -1
        while not self._is_whole(part, size):
            have = part.stat().st_size if part.exists() else 0
            failures = 0 if have > before else failures
            before = have
            try:
                self._once(url, part, size, progress)
                if size is None:
                    break
            except _Broken as broken:
                failures += 1
                if failures >= TRIES:
                    raise PullFailed(f"{url}: {broken}; {_bytes_of(part)} bytes are kept for the next try") from None
                self._pause(PAUSES_S[min(failures, len(PAUSES_S)) - 1])
        check_file(part, size=size, sha256=sha256, name=url)

    def read(self, url: str, *, most: int) -> bytes:
        """A small file, whole. Raises ``PullFailed``."""
        check_url(url)
        try:
            with self._opener.open(self._request(url), timeout=self._timeout_s) as answer:
                data: bytes = answer.read(most + 1)
        except urllib.error.HTTPError as refused:
            with refused:
                raise PullFailed(f"{url}: HTTP {refused.code} {refused.reason}{_hint(refused.code)}") from None
        except (urllib.error.URLError, OSError, http.client.HTTPException) as broken:
            raise PullFailed(f"{url}: {broken}") from None
        if len(data) > most:
            raise PullFailed(f"{url}: more than {most} bytes")
        return data

    def _request(self, url: str) -> urllib.request.Request:
        request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        if self._token and (urlsplit(url).hostname or "") == self._hub:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        return request

    def _is_whole(self, part: Path, size: int | None) -> bool:
        return size is not None and part.exists() and part.stat().st_size >= size

    def _once(self, url: str, part: Path, size: int | None, progress: Progress) -> None:
        """One request. Raises ``_Broken`` for what may be tried again, ``PullFailed`` for what will not change."""
        have = _bytes_of(part)
        request = self._request(url)
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                if have and (answer.status != 206 or _range_start(answer.headers) != have):
                    have = 0  # the server has no ranges: from the beginning
                total = _announced(answer.headers, have)
                if size is not None and total is not None and total != size:
                    raise PullFailed(f"{url}: the server offers {total} bytes, the pinned file has {size}")
                with part.open("ab" if have else "wb") as file:
                    self._copy(answer, file, have, size if size is not None else total, progress, url)
        except urllib.error.HTTPError as refused:
            self._refused(refused, url, part)
        except urllib.error.URLError as unreachable:
            if isinstance(unreachable.reason, ssl.SSLCertVerificationError):
                raise PullFailed(f"{url}: {unreachable.reason}") from None
            raise _Broken(str(unreachable.reason)) from None
        except (OSError, http.client.HTTPException) as broken:
            raise _Broken(f"{type(broken).__name__}: {broken}") from None

    def _refused(self, refused: urllib.error.HTTPError, url: str, part: Path) -> None:
        with refused:
            if refused.code == 416:  # what we have is not a beginning of that file
                part.unlink(missing_ok=True)
                raise _Broken("the server has no such part")
            if refused.code in (408, 425, 429) or refused.code >= 500:
                raise _Broken(f"HTTP {refused.code} {refused.reason}")
            raise PullFailed(f"{url}: HTTP {refused.code} {refused.reason}{_hint(refused.code)}")

    def _copy(self, answer: Any, file: IO[bytes], have: int, total: int | None, progress: Progress, url: str) -> None:
        progress(have, total or 0)
        while block := answer.read1(BLOCK):
            have += len(block)
            if total is not None and have > total:
                raise PullFailed(f"{url}: more than the {total} bytes of the pinned file")
            file.write(block)
            progress(have, total or 0)
        if total is not None and have < total:
            raise _Broken(f"the connection ended after {have} of {total} bytes")


def _hint(code: int) -> str:
    return (
        " (the publisher wants an account for it: accept its terms there, and set HF_TOKEN)"
        if code in (401, 403)
        else ""
    )


def check_file(path: Path, *, size: int | None, sha256: str, name: str) -> None:
    """Raises ``PullFailed`` and deletes the file unless it has this size and checksum."""
    have = path.stat().st_size
    found = digest(path) if size is None or have == size else ""
    if found == sha256:
        return
    path.unlink()
    if not found:
        raise PullFailed(f"{name}: {have} bytes, the pinned file has {size}; deleted")
    raise PullFailed(f"{name}: SHA-256 is {found}, pinned is {sha256}; deleted")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bytes_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _range_start(headers: Any) -> int | None:
    """``Content-Range: bytes 100-199/200`` → 100."""
    unit, _, rest = str(headers.get("Content-Range", "")).partition(" ")
    start = rest.partition("-")[0]
    return int(start) if unit == "bytes" and start.isdigit() else None


def _announced(headers: Any, have: int) -> int | None:
    """Bytes of the whole file by the headers of a whole or partial answer."""
    length = str(headers.get("Content-Length", ""))
    return have + int(length) if length.isdigit() else None
