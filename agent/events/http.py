"""The HTTP client of webhooks: guarded, no redirects, no proxies, no cookies, answers capped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp.abc import AbstractResolver

from agent.events.errors import WebhookFailed
from agent.events.ssrf import AddressRefused, Guard, GuardedResolver, UrlRefused

ANSWER_LIMIT = 64 * 1024
CONNECT_TIMEOUT_S = 3.0
USER_AGENT = "crosstalk-webhooks/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint answered. ``body`` is cut after 64 kB, then ``is_cut``."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_cut: bool = False


class HttpClient:
    """One session with kept-alive connections. ``post`` is the only verb."""

    def __init__(self, guard: Guard, *, resolver: AbstractResolver | None = None) -> None:
        self._guard = guard
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HttpClient:
        self._session = self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
        """Raises ``WebhookFailed`` with a ``kind`` where there is no answer."""
        if self._session is None:
            raise WebhookFailed("closed", "the client is not open")
        try:
            target = self._guard.check_url(url)
            timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s))
            sent = self._session.post(target, data=body, headers=headers, timeout=timeout, allow_redirects=False)
            async with sent as response:
                text, is_cut = await _read(response)
                return Answer(status=response.status, headers=response.headers, body=text, is_cut=is_cut)
        except UrlRefused as error:
            raise WebhookFailed("refused", str(error)) from error
        except TimeoutError as error:
            raise WebhookFailed("timeout", f"no answer within {timeout_s:.2g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = getattr(error, "os_error", error)
            kind = "refused" if isinstance(cause, AddressRefused) else "connection"
            raise WebhookFailed(kind, str(cause if kind == "refused" else error) or type(error).__name__) from error

    def _open(self) -> aiohttp.ClientSession:
        resolver = GuardedResolver(self._guard, self._resolver or aiohttp.ThreadedResolver())
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit=0, keepalive_timeout=30)
        return aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small answer must stay small
            headers={
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
            },
        )


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """At most ``ANSWER_LIMIT`` bytes of the body; of a longer one the connection is closed."""
    text = bytearray()
    async for block in response.content.iter_any():
        text += block
        if len(text) > ANSWER_LIMIT:
            response.close()
            return bytes(text[:ANSWER_LIMIT]), True
    return bytes(text), False
