"""One request to a chat endpoint: read as it comes by a task of the brain, kept until somebody takes it.

The request does not belong to who reads it: it may be begun while a turn is perhaps over, and be read from its first
item again when the turn is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp

from agent.brain.chat_delta import AnswerFailed, BadDelta, DeltaReader, Fragment
from agent.brain.clauses import ClauseCutter
from agent.brain.sse import SseParser, TooLong
from agent.tasks import Tasks

CONNECT_S: Final = 2.0
MOST_ATTEMPTS: Final = 3
RETRY_PAUSE_S: Final = 0.1
RETRIED_STATUS: Final = frozenset({502, 503, 504})
"""Answers of something in front of the endpoint: the endpoint has not begun."""
MOST_BROKEN: Final = 5
"""Events that are no JSON; one may be a glitch, more are another protocol."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of the answer that can be spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer's tool calls, all of them."""

    calls: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing follows. ``failure``: slug of what went wrong, or empty."""

    failure: str = ""
    detail: str = ""


Item = Clause | Asked | Over


class RequestFailed(Exception):
    """The endpoint gave no (whole) answer."""

    def __init__(self, failure: str, detail: str = "", *, may_retry: bool = False) -> None:
        super().__init__(failure)
        self.failure = failure
        self.detail = detail
        self.may_retry = may_retry


class AnswerStream:
    """The answer to one request, item by item."""

    def __init__(self, endpoint: ChatEndpoint, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> None:
        self.messages = messages
        self._endpoint = endpoint
        self._tools = tools
        self._items: list[Item] = []
        self._news = asyncio.Event()
        self._words = 0
        self._task: asyncio.Task[None] | None = None

    def start(self, tasks: Tasks) -> None:
        self._task = tasks.start(self._run())

    def close(self) -> None:
        """Nobody wants the rest: hang up on the endpoint, which ends its generation."""
        if self._task is not None:
            self._task.cancel()

    async def item(self, index: int, timeout_s: float) -> Item | None:
        """Item ``index`` when it has come; ``None`` if it has not within ``timeout_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_s)):
                while index >= len(self._items):
                    self._news.clear()
                    await self._news.wait()
        return self._items[index] if index < len(self._items) else None

    # --- the task ---

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(self._endpoint.answer_s):
                await self._ask()
            over = Over()
        except TimeoutError:
            over = Over("timeout", f"not done after {self._endpoint.answer_s:g} s")
        except RequestFailed as error:
            over = Over(error.failure, error.detail)
        except Exception as error:  # an endpoint must not be able to end the brain of other calls
            over = Over("internal", repr(error))
        self._put(over)

    def _put(self, item: Item) -> None:
        self._items.append(item)
        self._news.set()

    async def _ask(self) -> None:
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                return await self._attempt()
            except RequestFailed as error:
                if not error.may_retry or self._items or attempt == MOST_ATTEMPTS:
                    raise
            await asyncio.sleep(RETRY_PAUSE_S * attempt)
        return None

    async def _attempt(self) -> None:
        begun = False
        try:
            async with self._endpoint.post(self.messages, self._tools) as response:
                if response.status != 200:
                    raise await _refusal(response)
                parser, reader, cutter = SseParser(), DeltaReader(), ClauseCutter()
                broken = 0
                async for received in response.content.iter_any():
                    for event in parser.feed(received):
                        try:
                            text = reader.read(event)
                        except BadDelta as wrong:
                            broken += 1
                            if broken > MOST_BROKEN:
                                raise RequestFailed("broken", str(wrong)) from None
                            continue
                        begun = True
                        if self._give(cutter.feed(text)) or reader.is_done:
                            return self._finish(reader, cutter)
                if not reader.finish_reason:
                    raise RequestFailed("died", "the stream ended in the middle", may_retry=not begun)
                self._finish(reader, cutter)
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
                raise
            raise RequestFailed("connection", type(error).__name__, may_retry=not begun) from error
        except TooLong as error:
            raise RequestFailed("broken", str(error)) from error
        except AnswerFailed as error:
            raise RequestFailed("endpoint", str(error), may_retry=False) from error

    def _give(self, clauses: list[str]) -> bool:
        """Pass clauses on; true when the answer is long enough for any telephone."""
        for text in clauses:
            self._put(Clause(text))
            self._words += len(text.split())
            if self._words >= self._endpoint.most_words:
                return True
        return False

    def _finish(self, reader: DeltaReader, cutter: ClauseCutter) -> None:
        if self._words < self._endpoint.most_words and (rest := cutter.rest()):
            self._put(Clause(rest))
        if reader.calls:
            self._put(Asked(tuple(reader.calls)))


async def _refusal(response: aiohttp.ClientResponse) -> RequestFailed:
    text = (await response.content.read(500)).decode(errors="replace")
    return RequestFailed(
        f"status_{response.status}", " ".join(text.split())[:200], may_retry=response.status in RETRIED_STATUS
    )


class Endpoints(Protocol):
    """Where calls ask. An async context manager: they are answered inside the block."""

    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *_: object) -> None: ...

    def of_call(self, call_id: str) -> ChatEndpoint:
        """A call begins: where it asks."""
        ...

    def forget(self, call_id: str) -> None:
        """The call is over."""
        ...


class ChatEndpoint:
    """``POST {url}/chat/completions``: kept connections, no redirects, no proxies, no cookies. One for all calls."""

    def __init__(
        self, url: str, *, model: str, api_key: str, answer_s: float, most_words: int, extra: dict[str, Any]
    ) -> None:
        """``extra``: more fields of the request (``temperature`` and friends)."""
        base = url.rstrip("/")
        self._url = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
        self._model = model
        self._api_key = api_key
        self._extra = extra
        self.answer_s = answer_s
        self.most_words = most_words
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ChatEndpoint:
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def of_call(self, call_id: str) -> ChatEndpoint:
        return self

    def forget(self, call_id: str) -> None:
        """Nothing was kept for it."""

    def post(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The response, headers read. Raises what aiohttp raises."""
        if self._session is None:
            raise RequestFailed("closed", "the brain is not open")
        body: dict[str, Any] = {**self._extra, "model": self._model, "messages": messages, "stream": True}
        if tools:
            body["tools"] = tools
        return self._session.post(self._url, data=json.dumps(body).encode(), allow_redirects=False)
