"""The brain and the voice that the configuration names."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from agent import logging
from agent.brain.chatter import ChatterBrain
from agent.brain.examples import example_path
from agent.brain.flow.brain import FlowBrain
from agent.brain.flow.load import load_dialogue
from agent.brain.native import NativeBrain
from agent.brain.protocol import Brain
from agent.brain.tool_specs import ToolSpec, parse_tools
from agent.brain.triggers import parse_triggers
from agent.config import Config
from agent.config_load import process_environment
from agent.errors import ConfigError
from agent.events.names import LogEvent
from agent.mcp.tools import McpDecisions, McpTools
from agent.model.names import RecogniserName
from agent.pipecat import agent_file
from agent.pipecat.brain import BrainProcess
from agent.pipecat.spawn import check
from agent.pipecat.spec import Parts
from agent.pipecat.voice import PipecatVoice
from agent.ports import Decisions
from agent.pull.store import located
from agent.remote.chat import ChatBrain
from agent.remote.relay import RelayBrain
from agent.remote.stream import Endpoints
from agent.voice.client import ProcessVoice
from agent.voice.fallback import FallbackVoice, Told, others
from agent.voice.protocol import Voice
from telephony.clock import MonotonicClock

DISCLOSURE = "Hello, this is an automated assistant."
"""Of a brain that has none of its own: who talks to a machine is told so."""
PROMPT = "You are the friendly assistant of a telephone line. You were given no task yet: say so, and ask for patience."


def with_agent_file(config: Config) -> Config:
    """``config`` with what the agent's YAML names in place of our own parts; each is made once, to see if it can be.

    Raises ``DialogueError`` or ``ConfigError`` with the field.
    """
    parts = parts_of(config)
    if config.ears.recogniser == RecogniserName.PIPECAT and parts.recogniser is None:
        raise ConfigError("agent.dialogue", "names no recogniser, which ears.recogniser = pipecat wants")
    if parts.named():
        wrong = check(parts.named())
        if wrong:
            (field, reason), *more = wrong
            rest = [f"{parts.file}: {other}: {why}" for other, why in more]
            raise ConfigError(f"{parts.file}: {field}", "\n".join([reason, *rest]))
    return agent_file.with_parts(config, parts)


def parts_of(config: Config) -> Parts:
    """What the agent's YAML names. Raises ``DialogueError``."""
    return agent_file.parts_of(config, process_environment())


def open_brain(config: Config, *, more_tools: Callable[[], Sequence[ToolSpec]] = tuple) -> Brain:
    """Raises ``DialogueError`` or ``ConfigError`` with what is wrong where.

    ``more_tools``: those that do not stand in a file, asked when a call opens. A brain that talks to a server is an
    async context manager and answers inside its block only.
    """
    if config.agent.brain == "chatter":
        return ChatterBrain()
    if config.agent.brain == "native":
        return _open_native(config)
    if config.agent.brain == "chat":
        return _open_chat(config, more_tools)
    if config.agent.brain == "pipecat":
        return _open_pipecat(config, more_tools)
    if config.agent.brain == "relay":
        disclosure = config.agent.disclosure or DISCLOSURE
        log = logging.get_log(process="front")
        return RelayBrain(
            config.agent.relay, disclosure=disclosure, phrases=config.agent.phrases, clock=MonotonicClock(), log=log
        )
    path = Path(config.agent.dialogue) if config.agent.dialogue else example_path("parcel") / "parcel.yaml"
    return FlowBrain(load_dialogue(path), today=dt.date.today, disclosure=config.agent.disclosure)


def _open_native(config: Config) -> NativeBrain:
    tools = config.agent.native.tools
    triggers = parse_triggers(_text_of(tools, "agent.native.tools"), tools) if tools else ()
    return NativeBrain(disclosure=config.agent.disclosure or DISCLOSURE, triggers=triggers)


def _open_pipecat(config: Config, more_tools: Callable[[], Sequence[ToolSpec]]) -> ChatBrain:
    """A Pipecat service answers, in everything else as ``chat``."""
    parts, chat = parts_of(config), config.agent.chat
    assert parts.brain is not None
    log = logging.get_log(process="front")
    endpoints = BrainProcess(parts.brain, answer_s=chat.answer_budget_s, most_words=chat.most_words, log=log)
    greeting = chat.greeting if parts.greeting is None else parts.greeting
    named = replace(config, agent=replace(config.agent, chat=replace(chat, greeting=greeting)))
    return _open_chat(named, more_tools, prompt=parts.prompt, endpoints=endpoints)


def _open_chat(
    config: Config,
    more_tools: Callable[[], Sequence[ToolSpec]],
    *,
    prompt: str = "",
    endpoints: Endpoints | None = None,
) -> ChatBrain:
    chat = config.agent.chat
    own = webhook_tools(config)
    names = {tool.name for tool in own}
    return ChatBrain(
        chat,
        prompt=prompt or (_text_of(chat.prompt, "agent.chat.prompt") if chat.prompt else PROMPT),
        disclosure=config.agent.disclosure or DISCLOSURE,
        phrases=config.agent.phrases,
        extra=json.loads(chat.extra) if chat.extra else {},
        tools=lambda: [*own, *(tool for tool in more_tools() if tool.name not in names)],
        clock=MonotonicClock(),
        log=logging.get_log(process="front"),
        endpoints=endpoints,
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


def open_voice(
    config: Config, on_death: Callable[[int], None], told: Told, on_estimated: Callable[[str, str], None]
) -> FallbackVoice:
    """The voice with those behind it, none of them started yet.

    ``on_death(pid)`` is told of each process that ended by itself, ``told`` of each change of the voice,
    ``on_estimated(voice, why)`` once of each that speaks words which cannot be found in its audio.
    """
    voice = config.voice
    own = ProcessVoice(
        voice.engine,
        voice.name,
        processes=voice.processes,
        cache_phrases=voice.cache_phrases,
        on_death=on_death,
        model=located(config.models.folder, voice.model),
        program=voice.program,
        on_estimated=on_estimated,
    )
    behind = [
        ProcessVoice(
            other.engine,
            other.name,
            processes=voice.processes,
            cache_phrases=voice.cache_phrases,
            on_death=on_death,
            on_estimated=on_estimated,
        )
        for other in others(own.engine)
    ]
    named = _named_voice(config, on_death)
    if named is None:
        return FallbackVoice(own, behind, clock=MonotonicClock(), told=told)
    return FallbackVoice(named, [own, *behind], clock=MonotonicClock(), told=told, warm=1)


def _named_voice(config: Config, on_death: Callable[[int], None]) -> Voice | None:
    """The service that the agent's file names."""
    named = parts_of(config).voice
    if named is None:
        return None
    log = logging.get_log(process="front")
    return PipecatVoice(
        named,
        cache_phrases=config.voice.cache_phrases,
        on_death=on_death,
        on_failure=lambda call_id, why: log.warning(LogEvent.VOICE_FAILED, call_id=call_id, error=why),
    )
