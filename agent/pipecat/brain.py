"""The endpoint of a Pipecat brain as the front has it: its process, restarted when it dies, and a path per call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import aiohttp

from agent.errors import ConfigError
from agent.events.names import LogEvent
from agent.logging import Log
from agent.pipecat.spawn import Spawn, spawner
from agent.pipecat.spec import PartSpec
from agent.remote.stream import ChatEndpoint
from agent.tasks import Tasks

START_S: Final = 30.0
PAUSES_S: Final = (0.0, 0.5, 2.0, 5.0)
"""Before the process is started again; the last one goes on."""
TELL_S: Final = 2.0


class BrainProcess:
    """An async context manager: the process answers inside the block."""

    def __init__(self, spec: PartSpec, *, answer_s: float, most_words: int, log: Log) -> None:
        self._spec = spec
        self._log = log
        self._answer_s = answer_s
        self._most_words = most_words
        self._folder = ""
        self._session: aiohttp.ClientSession | None = None
        self._tasks = Tasks()
        self._process: subprocess.Popen[bytes] | None = None
        self._life: asyncio.StreamWriter | None = None
        """Our end of the process's life: it ends when this is closed."""

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    async def __aenter__(self) -> BrainProcess:
        self._folder = tempfile.mkdtemp(prefix="crosstalk-brain-")
        path = str(Path(self._folder) / "brain.sock")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path, limit=0),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=2.0),
        )
        await self._tasks.__aenter__()
        try:
            lost = await self._start(spawner("brain", self._spec, path=path))
        except BaseException:
            await self.__aexit__()
            raise
        self._tasks.start(self._keep(lost, spawner("brain", self._spec, path=path)))
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            if self._session is not None:
                await self._session.close()
            await self._end()
            shutil.rmtree(self._folder, ignore_errors=True)

    def of_call(self, call_id: str) -> CallEndpoint:
        """Begin to get ready for a call."""
        assert self._session is not None
        endpoint = CallEndpoint(self._session, call_id, answer_s=self._answer_s, most_words=self._most_words)
        self._tasks.start(self._tell("PUT", call_id))
        return endpoint

    def forget(self, call_id: str) -> None:
        """The call is over."""
        self._tasks.start(self._tell("DELETE", call_id))

    async def _tell(self, method: str, call_id: str) -> None:
        """Best effort: a process that cannot be told makes its pipelines when asked, and ends them with itself."""
        assert self._session is not None
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(TELL_S), self._session.request(method, f"http://brain/calls/{call_id}"):
                pass

    async def _start(self, spawn: Spawn) -> asyncio.StreamReader:
        """Start the process and wait until it listens; what is returned ends with it. Raises ``ConfigError``."""
        ours, theirs = socket.socketpair()
        with theirs:
            (Path(self._folder) / "brain.sock").unlink(missing_ok=True)
            self._process = spawn(theirs)
        reader, self._life = await asyncio.open_connection(sock=ours)
        try:
            async with asyncio.timeout(START_S):
                line = await reader.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise ConfigError(self._spec.part, "the process of the Pipecat brain did not start")
        refused = json.loads(line).get("refused")
        if refused:
            raise ConfigError(self._spec.part, refused)
        return reader

    async def _end(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            life.close()
            with contextlib.suppress(OSError):
                await life.wait_closed()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def _keep(self, lost: asyncio.StreamReader, spawn: Spawn) -> None:
        deaths = 0
        while True:
            await lost.read()
            self._log.warning(LogEvent.PART_FAILED, part="brain", why="the process died", pid=self.pid)
            await self._end()
            await asyncio.sleep(PAUSES_S[min(deaths, len(PAUSES_S) - 1)])
            deaths += 1
            with contextlib.suppress(ConfigError):
                lost = await self._start(spawn)


class CallEndpoint(ChatEndpoint):
    """The endpoint that one call asks."""

    def __init__(self, session: aiohttp.ClientSession, call_id: str, *, answer_s: float, most_words: int) -> None:
        super().__init__(
            f"http://brain/calls/{call_id}", model="", api_key="", answer_s=answer_s, most_words=most_words, extra={}
        )
        self._session = session
