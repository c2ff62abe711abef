"""How messages reach an MCP server and come back: by HTTP, or by the standard streams of a program."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import aiohttp

from agent.brain.sse import SseParser, TooLong
from agent.mcp.messages import PROTOCOL, McpError, decode, notification, reply_to, request, result_of
from agent.tasks import Tasks

MOST_BYTES: Final = 1 << 20
CONNECT_S: Final = 3.0
END_S: Final = 2.0
LIST_CHANGED: Final = "notifications/tools/list_changed"


class Transport(Protocol):
    """One connection. ``closed`` is set when it is of no more use."""

    closed: asyncio.Event

    async def open(self, tasks: Tasks) -> None:
        """Raises ``McpError`` or ``OSError``."""
        ...

    async def request(self, method: str, params: dict[str, Any] | None, *, timeout_s: float, key: str = "") -> Any:
        """The result. Raises ``McpError``."""
        ...

    async def notify(self, method: str) -> None: ...

    async def close(self) -> None: ...


class HttpTransport:
    """Streamable HTTP: each message is a POST, answered by JSON or by a stream of events that ends with the answer."""

    def __init__(self, url: str, headers: Mapping[str, str], on_change: Callable[[], None]) -> None:
        self.closed = asyncio.Event()
        self._url = url
        self._headers = headers
        self._on_change = on_change
        self._http: aiohttp.ClientSession | None = None
        self._session = ""
        self._number = 0

    async def open(self, tasks: Tasks) -> None:
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        self._http = aiohttp.ClientSession(
            headers={**headers, **self._headers},
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        )

    async def request(self, method: str, params: dict[str, Any] | None, *, timeout_s: float, key: str = "") -> Any:
        self._number += 1
        number = self._number
        headers = {"Idempotency-Key": key} if key else {}
        try:
            async with asyncio.timeout(timeout_s):
                async with self._post(request(number, method, params), headers) as response:
                    await self._check(response)
                    if method == "initialize":
                        self._session = response.headers.get("Mcp-Session-Id", "")
                    return result_of(await self._answer(response, number))
        except TimeoutError:
            raise McpError(f"no answer within {timeout_s:.1f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise McpError(f"connection failed: {type(error).__name__}", may_not_have_run=True) from error

    async def notify(self, method: str) -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with asyncio.timeout(CONNECT_S), self._post(notification(method), {}):
                pass

    async def close(self) -> None:
        self.closed.set()
        if self._http is None:
            return
        if self._session:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with asyncio.timeout(END_S), self._http.delete(self._url, headers=self._own_headers()):
                    pass
        await self._http.close()

    def _post(
        self, message: dict[str, Any], headers: Mapping[str, str]
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._http is None:
            raise McpError("not open")
        body = json.dumps(message).encode()
        return self._http.post(self._url, data=body, headers={**self._own_headers(), **headers}, allow_redirects=False)

    def _own_headers(self) -> dict[str, str]:
        headers = {"MCP-Protocol-Version": PROTOCOL}
        return {**headers, "Mcp-Session-Id": self._session} if self._session else headers

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 404 and self._session:
            self.closed.set()
            raise McpError("the session is gone", session_is_gone=True)
        if response.status != 200:
            raise McpError(f"status {response.status}")

    async def _answer(self, response: aiohttp.ClientResponse, number: int) -> dict[str, Any]:
        if response.content_type != "text/event-stream":
            return decode(await _capped(response))
        parser, size = SseParser(most_bytes=MOST_BYTES), 0
        async for received in response.content.iter_any():
            size += len(received)
            try:
                events = parser.feed(received)
            except TooLong as error:
                raise McpError(str(error)) from error
            for message in map(decode, events):
                if message.get("id") == number and "method" not in message:
                    return message
                if message.get("method") == LIST_CHANGED:
                    self._on_change()
            if size > MOST_BYTES:
                raise McpError(f"more than {MOST_BYTES} bytes before an answer")
        raise McpError("the stream ended without an answer", may_not_have_run=True)


async def _capped(response: aiohttp.ClientResponse) -> bytes:
    text = bytearray()
    async for received in response.content.iter_any():
        text += received
        if len(text) > MOST_BYTES:
            raise McpError(f"an answer of more than {MOST_BYTES} bytes")
    return bytes(text)


class StdioTransport:
    """A program of ours: one message a line on its standard input and output."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], on_change: Callable[[], None]) -> None:
        self.closed = asyncio.Event()
        self._command = command
        self._environment = environment
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0

    async def open(self, tasks: Tasks) -> None:
        pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=nowhere, env=dict(self._environment), limit=MOST_BYTES
        )
        tasks.start(self._read(self._process))

    async def request(self, method: str, params: dict[str, Any] | None, *, timeout_s: float, key: str = "") -> Any:
        self._number += 1
        number = self._number
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self._write(request(number, method, params))
                return result_of(await answer)
        except TimeoutError:
            raise McpError(f"no answer within {timeout_s:.1f} s") from None
        finally:
            del self._waiting[number]

    async def notify(self, method: str) -> None:
        await self._write(notification(method))

    async def close(self) -> None:
        """As the specification says: close its input, wait, terminate, kill."""
        self.closed.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        for end in (process.terminate, process.kill):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await process.wait()
                    return
            with contextlib.suppress(ProcessLookupError):
                end()
        await process.wait()

    async def _write(self, message: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None or self.closed.is_set():
            raise McpError("the program is not running", may_not_have_run=True)
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            await process.stdin.drain()
        except OSError as error:
            raise McpError("the program is gone", may_not_have_run=True) from error

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                await self._take(line)
        except (ValueError, McpError):  # a line without end, or a program that reads nothing more
            pass
        finally:
            self.closed.set()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(McpError("the program ended", may_not_have_run=True))

    async def _take(self, line: bytes) -> None:
        try:
            message = decode(line)
        except McpError:
            return  # some programs print to the wrong stream
        if (reply := reply_to(message)) is not None:
            await self._write(reply)
        elif message.get("method") == LIST_CHANGED:
            self._on_change()
        elif isinstance(number := message.get("id"), int):
            answer = self._waiting.get(number)
            if answer is not None and not answer.done():
                answer.set_result(message)
