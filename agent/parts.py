"""The brain and the voice that the configuration names."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from agent import logging
from agent.brain.chatter import ChatterBrain
from agent.brain.examples import example_path
from agent.brain.flow.brain import FlowBrain
from agent.brain.flow.load import load_dialogue
from agent.brain.protocol import Brain
from agent.brain.tool_specs import ToolSpec, parse_tools
from agent.config import Config
from agent.errors import ConfigError
from agent.mcp.tools import McpDecisions, McpTools
from agent.ports import Decisions
from agent.remote.chat import ChatBrain
from agent.remote.relay import RelayBrain
from agent.voice.client import ProcessVoice
from agent.voice.protocol import Voice
from telephony.clock import MonotonicClock

DISCLOSURE = "Hello, this is an automated assistant."
"""Of a brain that has none of its own: who talks to a machine is told so."""
PROMPT = "You are the friendly assistant of a telephone line. You were given no task yet: say so, and ask for patience."


def open_brain(config: Config, *, more_tools: Callable[[], Sequence[ToolSpec]] = tuple) -> Brain:
    """Raises ``DialogueError`` or ``ConfigError`` with what is wrong where.

    ``more_tools``: those that do not stand in a file, asked when a call opens. A brain that talks to a server is an
    async context manager and answers inside its block only.
    """
    if config.agent.brain == "chatter":
        return ChatterBrain()
    if config.agent.brain == "chat":
        return _open_chat(config, more_tools)
    if config.agent.brain == "relay":
        disclosure = config.agent.disclosure or DISCLOSURE
        log = logging.get_log(process="front")
        return RelayBrain(
            config.agent.relay, disclosure=disclosure, phrases=config.agent.phrases, clock=MonotonicClock(), log=log
        )
    path = Path(config.agent.dialogue) if config.agent.dialogue else example_path("parcel") / "parcel.yaml"
    return FlowBrain(load_dialogue(path), today=dt.date.today, disclosure=config.agent.disclosure)


def _open_chat(config: Config, more_tools: Callable[[], Sequence[ToolSpec]]) -> ChatBrain:
    chat = config.agent.chat
    own = webhook_tools(config)
    names = {tool.name for tool in own}
    return ChatBrain(
        chat,
        prompt=_text_of(chat.prompt, "agent.chat.prompt") if chat.prompt else PROMPT,
        disclosure=config.agent.disclosure or DISCLOSURE,
        phrases=config.agent.phrases,
        extra=json.loads(chat.extra) if chat.extra else {},
        tools=lambda: [*own, *(tool for tool in more_tools() if tool.name not in names)],
        clock=MonotonicClock(),
        log=logging.get_log(process="front"),
    )


def mcp_decisions(others: Decisions, tools: McpTools, config: Config) -> Decisions:
    """``others``, and the tools of MCP servers where there are any."""
    if not config.agent.mcp:
        return others
    own = frozenset(tool.name for tool in webhook_tools(config))
    return McpDecisions(others, tools, own=own, budget_s=config.agent.tool_budget_s)


def webhook_tools(config: Config) -> tuple[ToolSpec, ...]:
    """What the file of ``agent.chat.tools`` names. Raises ``ConfigError``."""
    path = config.agent.chat.tools
    return parse_tools(_text_of(path, "agent.chat.tools"), path) if path else ()


def _text_of(path: str, key: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise ConfigError(key, f"{path} cannot be read: {wrong}") from None


def open_voice(config: Config, on_death: Callable[[int], None]) -> Voice:
    """The voice is not started yet; ``on_death(pid)`` is told of each of its processes that ended by itself."""
    voice = config.voice
    return ProcessVoice(
        voice.engine,
        voice.name,
        processes=voice.processes,
        cache_phrases=voice.cache_phrases,
        on_death=on_death,
    )
