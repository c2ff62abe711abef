"""Agents as versioned YAML: stored, published, rolled back. New calls get what is published; running ones keep theirs.

Version 0 of the default agent is what the configuration names. All else lies in the API's folder: an index
(``agents.json``) and one file per version, never changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml

from agent.brain.flow.brain import FlowBrain
from agent.brain.flow.load import parse_dialogue
from agent.brain.protocol import Brain, CallFacts, Conversation
from agent.errors import AgentError, DialogueError
from agent.files import FileDamaged, JsonFile, write_whole

MOST_AGENTS: Final = 100
MOST_VERSIONS: Final = 200
MOST_DEPTH: Final = 30
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LINE: Final = re.compile(r":(\d+)$")


class AgentUnknown(AgentError):
    """There is no such agent or version."""


class AgentsFull(AgentError):
    """There are too many agents or versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """The agent that the configuration names."""

    name: str
    brain: Brain
    kind: str
    """``flow chatter …``."""
    text: str
    """Its YAML; empty where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    version: int
    created_at: float | None
    note: str
    sha256: str
    is_active: bool


class AgentLibrary:
    """All agents of a gateway. It is a ``Brain`` itself: the default agent's, whichever version is published."""

    def __init__(
        self,
        folder: Path,
        configured: Configured,
        *,
        today: Callable[[], date],
        disclosure: str = "",
        told: Callable[[str, str], None] = lambda name, error: None,
    ) -> None:
        """``told(name, error)``: a stored agent that cannot be used any more was left out."""
        self._folder = folder / "agents"
        self._index = JsonFile(folder / "agents.json")
        self._configured = configured
        self._today = today
        self._disclosure = disclosure
        self._told = told
        self._brains: dict[str, Brain] = {}

    # --- Brain: the default agent ---

    @property
    def name(self) -> str:
        return self._default.name

    def open(self, call: CallFacts) -> Conversation:
        return self._default.open(call)

    def fixed_phrases(self) -> Sequence[str]:
        return self._default.fixed_phrases()

    @property
    def _default(self) -> Brain:
        return self._brains.get(self._configured.name, self._configured.brain)

    def brain_of(self, name: str) -> Brain | None:
        """The published version of an agent."""
        return self._default if name == self._configured.name else self._brains.get(name)

    # --- reading ---

    def load(self) -> None:
        """Take up what is published. An agent whose version cannot be read any more is left out, and told."""
        try:
            stored = self._agents()
        except FileDamaged as error:
            self._told("", str(error))
            return
        for name, entry in stored.items():
            if entry["active"] == 0:
                continue
            try:
                self._brains[name] = self._build(self._read(name, entry["active"]))
            except (OSError, UnicodeDecodeError, DialogueError) as error:
                self._told(name, str(error))

    def listed(self) -> list[dict[str, Any]]:
        """All agents, the default one first."""
        stored = self._agents()
        names = [self._configured.name, *sorted(name for name in stored if name != self._configured.name)]
        return [self._summary(name, stored.get(name)) for name in names]

    def detail(self, name: str) -> tuple[dict[str, Any], list[Version]]:
        """An agent and its versions, newest first. Raises ``AgentUnknown``."""
        entry = self._agents().get(name)
        if entry is None and name != self._configured.name:
            raise AgentUnknown(f"there is no agent {name}")
        active = entry["active"] if entry is not None else 0
        versions = [_version(item, active) for item in reversed(entry["versions"])] if entry is not None else []
        if name == self._configured.name:
            digest = hashlib.sha256(self._configured.text.encode()).hexdigest()
            versions.append(
                Version(version=0, created_at=None, note="configuration", sha256=digest, is_active=active == 0)
            )
        return self._summary(name, entry), versions

    def text_of(self, name: str, version: int) -> str:
        """The YAML of a version. Raises ``AgentUnknown``."""
        if version == 0 and name == self._configured.name and self._configured.text:
            return self._configured.text
        self._find(name, version)
        try:
            return self._read(name, version)
        except (OSError, UnicodeDecodeError) as error:
            raise AgentUnknown(f"version {version} of {name} cannot be read: {error}") from None

    def problems_of(self, text: str) -> list[tuple[int, str]]:
        """What is wrong with a dialogue: line (0: unknown) and reason. One at most: reading stops at the first."""
        try:
            self._build(text)
        except DialogueError as error:
            line = _LINE.search(error.where)
            return [(int(line[1]) if line else 0, error.reason)]
        return []

    # --- changing ---

    def store(self, name: str, text: str, *, note: str, now: float, publish: bool) -> Version:
        """A new version. Raises ``DialogueError`` or ``AgentsFull``."""
        brain = self._build(text)
        with self._index.change() as value:
            agents = value.setdefault("agents", {})
            if name not in agents and len(agents) >= MOST_AGENTS:
                raise AgentsFull(f"there are {MOST_AGENTS} agents already")
            entry = agents.setdefault(name, {"active": 0, "before": [], "versions": []})
            if len(entry["versions"]) >= MOST_VERSIONS:
                raise AgentsFull(f"{name} has {MOST_VERSIONS} versions already")
            number = entry["versions"][-1]["version"] + 1 if entry["versions"] else 1
            write_whole(self._path(name, number), text.encode())
            digest = hashlib.sha256(text.encode()).hexdigest()
            item = {"version": number, "created_at": now, "note": note, "sha256": digest}
            entry["versions"].append(item)
            if publish:
                _activate(entry, number)
                self._brains[name] = brain
            return _version(item, entry["active"])

    def publish(self, name: str, version: int) -> Version:
        """Let a version answer new calls. Raises ``AgentUnknown`` or ``DialogueError``."""
        if version == 0 and name == self._configured.name:
            return self._back_to_configured()
        self._find(name, version)
        brain = self._build(self.text_of(name, version))
        with self._index.change() as value:
            entry = value["agents"][name]
            _activate(entry, version)
            self._brains[name] = brain
            item = next(item for item in entry["versions"] if item["version"] == version)
            return _version(item, version)

    def roll_back(self, name: str) -> Version | None:
        """Publish what answered before; ``None``: nothing did. Raises as ``publish``."""
        entry = self._agents().get(name)
        if entry is None and name != self._configured.name:
            raise AgentUnknown(f"there is no agent {name}")
        before = entry["before"] if entry is not None else []
        if not before:
            return None
        found = self.publish(name, before[-1])
        with self._index.change() as value:  # a second roll-back goes further back, not forth again
            value["agents"][name]["before"] = before[:-1]
        return found

    def _back_to_configured(self) -> Version:
        name = self._configured.name
        with self._index.change() as value:
            entry = value.setdefault("agents", {}).get(name)
            if entry is not None:
                _activate(entry, 0)
        self._brains.pop(name, None)
        return self.detail(name)[1][-1]

    # --- inside ---

    def _build(self, text: str) -> Brain:
        refuse_hostile(text)
        return FlowBrain(parse_dialogue(text), today=self._today, disclosure=self._disclosure)

    def _agents(self) -> dict[str, Any]:
        found: dict[str, Any] = self._index.read().get("agents", {})
        return found

    def _summary(self, name: str, entry: dict[str, Any] | None) -> dict[str, Any]:
        is_default = name == self._configured.name
        active = entry["active"] if entry is not None else 0
        return {
            "name": name,
            "is_default": is_default,
            "brain": self._configured.kind if is_default and active == 0 else "flow",
            "active": active,
            "versions": (len(entry["versions"]) if entry is not None else 0) + is_default,
        }

    def _find(self, name: str, version: int) -> None:
        entry = self._agents().get(name)
        if entry is None or all(item["version"] != version for item in entry["versions"]):
            raise AgentUnknown(f"there is no version {version} of {name}")

    def _path(self, name: str, version: int) -> Path:
        if _NAME.fullmatch(name) is None:  # a name is a path's part: checked here too, whatever the caller did
            raise AgentUnknown(f"there is no agent {name}")
        return self._folder / name / f"{version}.yaml"

    def _read(self, name: str, version: int) -> str:
        return self._path(name, version).read_text(encoding="utf-8")


def refuse_hostile(text: str) -> None:
    """Raises ``DialogueError`` at the first alias (anchors let a few lines stand for gigabytes) and at the first value
    that is nested too deeply (the parser's time grows with the square of the depth)."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark is not None else 1
            if isinstance(event, yaml.AliasEvent):
                raise DialogueError(f"dialogue.yaml:{line}", "aliases (*name) are not taken in published dialogues")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEPTH:
                raise DialogueError(f"dialogue.yaml:{line}", "is nested too deeply")
    except yaml.YAMLError:
        return  # the reader says what is wrong, with its line


def _activate(entry: dict[str, Any], version: int) -> None:
    if entry["active"] != version:
        entry["before"] = [*entry["before"], entry["active"]][-MOST_VERSIONS:]
        entry["active"] = version


def _version(item: dict[str, Any], active: int) -> Version:
    return Version(**item, is_active=item["version"] == active)
