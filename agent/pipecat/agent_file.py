"""The parts that an agent's YAML names: ``voice``, ``recogniser``, ``brain`` beside (or without) its dialogue.

They name code that is run: the file of ``agent.dialogue`` may name them, a dialogue published over REST may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from agent.brain.flow.reader import Node, Section, entries, read_document, scalar, text, value_of, whole
from agent.config import Config
from agent.errors import ConfigError, DialogueError
from agent.model.names import RecogniserName
from agent.pipecat.spec import PARTS, RATES_HZ, Part, Parts, PartSpec

_KEYS: Final = ("pipecat", "settings", "arguments", "api_key_env", "secrets_env", "sample_rate", "processes")
_BRAIN_KEYS: Final = ("prompt", "greeting")
_USUAL_RATE_HZ: Final[dict[Part, int]] = {"voice": 24000, "recogniser": 16000, "brain": 16000}
"""Pipecat's own defaults: what its services are tried with."""
MOST_PROCESSES: Final = 64


def parts_of(config: Config, environment: Mapping[str, str]) -> Parts:
    """What the file of ``agent.dialogue`` names. Raises ``DialogueError`` with file and line."""
    path = config.agent.dialogue
    if not path:
        return Parts()
    try:
        source = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DialogueError(path, f"can not be read: {error}") from None
    return read_parts(source, path, environment)


def with_parts(config: Config, parts: Parts) -> Config:
    """``config`` with the names of what the agent's YAML replaces."""
    agent, ears = config.agent, config.ears
    if parts.brain is not None:
        agent = replace(agent, brain="pipecat")
    if parts.recogniser is not None:
        ears = replace(ears, recogniser=RecogniserName.PIPECAT.value)
    return replace(config, agent=agent, ears=ears)


def read_parts(source: str, file: str, environment: Mapping[str, str]) -> Parts:
    """Parts of a YAML text; keys of the dialogue are passed over. Raises ``DialogueError`` or ``ConfigError``."""
    top = entries(read_document(source, file))
    found: dict[str, Any] = {name: _part(name, top[name], environment) for name in PARTS if name in top}
    if not found:
        return Parts()
    _check_installed(next(top[name] for name in PARTS if name in top))
    brain = entries(top["brain"]) if "brain" in top else {}
    return Parts(
        **found,
        prompt=_prose(brain["prompt"]) if "prompt" in brain else "",
        greeting=_prose(brain["greeting"]) if "greeting" in brain else None,
        file=file,
    )


def _prose(node: Node) -> str:
    value = scalar(node)
    if not isinstance(value, str):
        node.fail("must be a text")
    return value.strip()


def _part(part: Part, node: Node, environment: Mapping[str, str]) -> PartSpec:
    known = (*_KEYS, *_BRAIN_KEYS) if part == "brain" else _KEYS
    section = Section(node, known, ("pipecat",))
    names = _secret_names(section)
    secrets = {argument: _secret(name, environment) for argument, name in names.items()}
    return PartSpec(
        part=part,
        service=section.take("pipecat", _class_path, ""),
        settings=section.take("settings", _table, {}),
        arguments=section.take("arguments", _table, {}),
        secrets=secrets,
        secret_names={argument: text(name) for argument, name in names.items()},
        rate_hz=section.take("sample_rate", _rate, _USUAL_RATE_HZ[part]),
        processes=section.take("processes", lambda node: whole(node, least=1, most=MOST_PROCESSES), 1),
    )


def _class_path(node: Node) -> str:
    path = text(node)
    if path.count(".") < 1 or not all(name.isidentifier() for name in path.split(".")):
        node.fail(f"'{path}' is no path of a class, as pipecat.services.openai.tts.OpenAITTSService")
    return path


def _table(node: Node) -> dict[str, Any]:
    return {key: value_of(value) for key, value in entries(node).items()}


def _rate(node: Node) -> int:
    value = scalar(node)
    if isinstance(value, bool) or value not in RATES_HZ:
        node.fail(f"must be one of {', '.join(str(rate) for rate in RATES_HZ)}")
    return int(value)


def _secret_names(section: Section) -> dict[str, Node]:
    """Argument of the constructor to the node that names its variable."""
    several = section.get("secrets_env")
    names = dict(entries(several)) if several is not None else {}
    one = section.get("api_key_env")
    return {**names, "api_key": one} if one is not None else names


def _secret(node: Node, environment: Mapping[str, str]) -> str:
    name = text(node)
    if not name.replace("_", "a").isalnum():
        node.fail("must be the name of an environment variable, not a key")
    value = environment.get(name, "").strip()
    if not value:
        node.fail(f"the environment has no {name}")
    return value


def _check_installed(node: Node) -> None:
    try:
        found = version("pipecat-ai")
    except PackageNotFoundError:
        node.fail("pipecat is not installed: pip install 'crosstalk-voice[pipecat]'")
    major = int(found.partition(".")[0])
    if major != 1:
        raise ConfigError(node.where, f"{node.path}: pipecat-ai {found} is installed; >= 1.14, < 2 is wanted")
