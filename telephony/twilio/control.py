"""Commands to Twilio's REST API: place a call, give it new TwiML, end it. The only module that knows ``twilio``.

The package (extra ``twilio``) is imported when the first command is given. It talks through an HTTP client of ours on
the event loop: its own would hold a thread, and time-outs are needed that hold for every command.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from telephony.errors import MediaError

GONE = 20404
"""Twilio's code for a call that is not there (any more)."""
TIMEOUT_S = 5.0


class CallGone(MediaError):
    """The call is over at Twilio."""


class TwilioControl:
    """Commands for calls of one account. Raises ``MediaError`` with Twilio's own words, ``CallGone`` for 20404."""

    def __init__(self, *, account_sid: str, user: str, password: str, api_url: str = "") -> None:
        """``user`` and ``password``: account SID and auth token, or an API key's SID and secret. ``api_url`` replaces
        scheme and host of Twilio's own (a regional proxy, a test)."""
        self._account_sid, self._user, self._password = account_sid, user, password
        self._api_url = api_url
        self._session: aiohttp.ClientSession | None = None
        self._client: Any = None

    async def call(self, to: str, *, caller: str, voice_url: str, status_url: str = "") -> str:
        """Place a call, which asks ``voice_url`` for its TwiML when it is answered; returns its SID."""
        more = {"status_callback": status_url, "status_callback_event": ["ringing", "answered", "completed"]}
        made = await self._do(
            lambda calls: calls.create_async(to=to, from_=caller, url=voice_url, **(more if status_url else {}))
        )
        return str(made.sid)

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """Give a running call new TwiML: its stream ends."""
        await self._do(lambda calls: calls(call_sid).update_async(twiml=twiml))

    async def hang_up(self, call_sid: str) -> bool:
        """End a call; false if it was over already."""
        try:
            await self._do(lambda calls: calls(call_sid).update_async(status="completed"))
        except CallGone:
            return False
        return True

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = self._client = None

    async def _do(self, command: Any) -> Any:
        if self._client is None:  # the package takes a second to import: not on the event loop
            with contextlib.suppress(ImportError):
                await asyncio.to_thread(importlib.import_module, "twilio.rest")
        calls = self._open().api.v2010.accounts(self._account_sid).calls
        errors = importlib.import_module("twilio.base.exceptions")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await command(calls)
        except errors.TwilioRestException as error:
            if error.code == GONE or error.status == 404:
                raise CallGone from None
            raise MediaError(f"Twilio refused: {error.code or error.status} {error.msg}") from None
        except (aiohttp.ClientError, TimeoutError, errors.TwilioException) as error:
            raise MediaError(f"no answer from Twilio: {type(error).__name__}") from None

    def _open(self) -> Any:
        if self._client is None:
            try:
                rest = importlib.import_module("twilio.rest")
            except ImportError:
                raise MediaError("the extra 'twilio' is not installed") from None
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
            self._client = rest.Client(
                self._user, self._password, self._account_sid, http_client=_http_client(self._session, self._api_url)
            )
        return self._client


def _http_client(session: aiohttp.ClientSession, api_url: str) -> Any:
    """An object of ``twilio.http.AsyncHttpClient``; its base class exists only where the package does."""
    http, answers = importlib.import_module("twilio.http"), importlib.import_module("twilio.http.response")

    async def request(
        _self: Any, method: str, url: str, params: Any = None, data: Any = None, headers: Any = None, auth: Any = None,
        timeout: Any = None, allow_redirects: bool = False,
    ) -> Any:  # fmt: skip
        async with session.request(
            method, _moved(url, api_url), params=params, data=_form(data),
            headers={**(headers or {}), **_basic(auth)}, allow_redirects=allow_redirects,
        ) as response:  # fmt: skip
            return answers.Response(response.status, await response.text(), response.headers)

    made = type("_Client", (http.AsyncHttpClient,), {"request": request})
    return made(logger=_Quiet(), is_async=True)


class _Quiet:
    """The package logs requests with their bodies: numbers and TwiML have no place in our log."""

    def debug(self, *_: object, **__: object) -> None: ...

    info = warning = debug


def _basic(auth: Any) -> dict[str, str]:
    if not auth:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode("ascii")}


def _moved(url: str, api_url: str) -> str:
    if not api_url:
        return url
    parts, other = urlsplit(url), urlsplit(api_url)
    return urlunsplit((other.scheme, other.netloc, parts.path, parts.query, ""))


def _form(data: Any) -> Any:
    """Fields with lists as repeated fields, as the package means them."""
    if not isinstance(data, dict):
        return data
    return [(key, str(item)) for key, value in data.items() for item in (value if isinstance(value, list) else [value])]
