"""One connection pool to Redis or Valkey with the settings of a hot path: short timeouts, no hidden retries.

redis-py's defaults wait 5 s and retry by themselves (measured: a dead server costs a caller 4.2 s). Here a command
fails in 0.25 s and the store above decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from agent.errors import StoreUnavailable
from agent.store.errors import StoreRefused

TIMEOUT_S = 0.25
CONNECTIONS = 16
_REFUSED = ("WRONGTYPE", "NOPERM", "WRONGPASS", "NOAUTH", "AuthenticationError", "HELLO must be called")
_OLDEST = (6, 2)

Command = tuple[object, ...]


class RedisClient:
    """Pipelines of plain commands and of our scripts; reloads scripts that the server has forgotten."""

    def __init__(self, url: str, *, name: str, timeout_s: float = TIMEOUT_S) -> None:
        self.where = without_password(url)
        try:
            from redis import asyncio as aioredis  # an extra: only who uses Redis needs it
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError as error:
            raise StoreRefused(f"{self.where}: the Redis client is missing; install crosstalk-voice[redis]") from error
        pool = aioredis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,  # a check costs one more timeout when the server hangs
            decode_responses=True,
            client_name=name,
        )
        self._redis: Any = aioredis.Redis(connection_pool=pool)
        self._pool = pool
        self._shas: dict[str, str] = {}

    async def close(self) -> None:
        await self._redis.aclose()
        await self._pool.disconnect()

    async def check_server(self, scripts: Sequence[str]) -> None:
        """Load the scripts and refuse a server that may lose what we write. Raises ``StoreUnavailable``."""
        from redis.exceptions import RedisError

        try:
            info = await self._redis.info("memory")
            server = await self._redis.info("server")
            for script in scripts:
                self._shas[script] = await self._redis.script_load(script)
        except (RedisError, OSError, TimeoutError) as error:
            raise self.explain(error) from error
        policy = str(info.get("maxmemory_policy", ""))
        if policy.startswith("allkeys-"):
            raise StoreRefused(
                f"{self.where}: maxmemory-policy is {policy}: the server would throw live calls away; "
                "set it to noeviction"
            )
        version = tuple(int(part) for part in str(server.get("redis_version", "0")).split(".")[:2] if part.isdigit())
        if version < _OLDEST:
            raise StoreRefused(
                f"{self.where}: version {server.get('redis_version')} is too old: 6.2 or newer is needed"
            )

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Answers of a pipeline. A script's command is ``("EVALSHA", script text, n keys, …)``.

        Raises ``StoreUnavailable`` if any of them failed; the others may have been done.
        """
        answers = await self._pipeline(commands)
        if forgotten := [n for n, answer in enumerate(answers) if _is_no_script(answer)]:
            await self._load(commands[n][1] for n in forgotten)
            again = await self._pipeline([commands[n] for n in forgotten])
            for n, answer in zip(forgotten, again, strict=True):
                answers[n] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise self.explain(answer) from answer
        return answers

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        from redis.exceptions import RedisError

        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            if command[0] == "EVALSHA":
                command = ("EVALSHA", self._shas.get(str(command[1]), "0" * 40), *command[2:])
            pipeline.execute_command(*command)
        try:
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            raise self.explain(error) from error
        return answers

    async def _load(self, scripts: Any) -> None:
        from redis.exceptions import RedisError

        try:
            for script in set(scripts):
                self._shas[script] = await self._redis.script_load(script)
        except (RedisError, OSError, TimeoutError) as error:
            raise self.explain(error) from error

    def explain(self, error: BaseException) -> StoreUnavailable:
        """A client's error as ours. What waiting cannot mend is ``StoreRefused`` (operations.md 2.4)."""
        text = str(error) or type(error).__name__
        full = f"{self.where}: {text}"
        refused = type(error).__name__ in _REFUSED or any(word in text for word in _REFUSED)
        return StoreRefused(full) if refused else StoreUnavailable(full)


def _is_no_script(answer: object) -> bool:
    return isinstance(answer, Exception) and (
        type(answer).__name__ == "NoScriptError" or str(answer).startswith("NOSCRIPT")
    )


def without_password(url: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
