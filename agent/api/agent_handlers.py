"""Handlers of agents: versions, checks, publishing. Reading YAML is work: it is done in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from agent.agents import AgentLibrary, AgentsFull, AgentUnknown
from agent.api.bind import Answer, Ask, Handler
from agent.api.problems import Problem
from agent.errors import DialogueError

T = TypeVar("T")


class AgentHandlers:
    """One method per route of ``routes.AGENTS``."""

    def __init__(
        self,
        library: AgentLibrary,
        *,
        wall: Callable[[], float],
        published: Callable[[str, int, Sequence[str]], None] = lambda name, version, phrases: None,
    ) -> None:
        """``published(name, version, phrases)``: another version answers from now on."""
        self._library = library
        self._wall = wall
        self._published = published
        self._changing = asyncio.Lock()

    def table(self) -> dict[str, Handler]:
        return {
            "listAgents": self.listed,
            "getAgent": self.one,
            "getAgentVersion": self.text,
            "validateAgent": self.validate,
            "putAgent": self.put,
            "publishAgent": self.publish,
            "rollBackAgent": self.roll_back,
        }

    async def listed(self, ask: Ask) -> Answer:
        return Answer(value={"agents": self._library.listed()})

    async def one(self, ask: Ask) -> Answer:
        summary, versions = await _asked(self._library.detail, ask.params["name"])
        return Answer(value={**summary, "versions": [asdict(version) for version in versions]})

    async def text(self, ask: Ask) -> Answer:
        name, version = ask.params["name"], ask.params["version"]
        text = await _asked(self._library.text_of, name, version)
        return Answer(value={"name": name, "version": version, "yaml": text})

    async def validate(self, ask: Ask) -> Answer:
        async with self._changing:  # one at a time: reading a long dialogue takes a second of this process
            found = await asyncio.to_thread(self._library.problems_of, ask.body["yaml"])
        problems = [{"line": line, "reason": reason} for line, reason in found]
        return Answer(value={"valid": not problems, "problems": problems})

    async def put(self, ask: Ask) -> Answer:
        name, publish = ask.params["name"], ask.body.get("publish", False)
        async with self._changing:
            version = await _asked(
                lambda: self._library.store(
                    name, ask.body["yaml"], note=ask.body.get("note", ""), now=self._wall(), publish=publish
                )
            )
        if publish:
            self._tell(name, version.version)
        location = f"/v1/agents/{name}/versions/{version.version}"
        return Answer(value=asdict(version), status=201, headers={"Location": location})

    async def publish(self, ask: Ask) -> Answer:
        name = ask.params["name"]
        async with self._changing:
            version = await _asked(self._library.publish, name, ask.body["version"])
        self._tell(name, version.version)
        return Answer(value=asdict(version))

    async def roll_back(self, ask: Ask) -> Answer:
        name = ask.params["name"]
        async with self._changing:
            version = await _asked(self._library.roll_back, name)
        if version is None:
            raise Problem(409, f"no other version of {name} has answered before")
        self._tell(name, version.version)
        return Answer(value=asdict(version))

    def _tell(self, name: str, version: int) -> None:
        brain = self._library.brain_of(name)
        self._published(name, version, list(brain.fixed_phrases()) if brain is not None else [])


async def _asked(work: Callable[..., T], *arguments: Any) -> T:
    """``work`` in a thread, its errors as problems."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except AgentUnknown as error:
        raise Problem(404, str(error)) from None
    except AgentsFull as error:
        raise Problem(409, str(error)) from None
    except DialogueError as error:
        raise Problem(422, str(error), problems=[str(error)]) from None
