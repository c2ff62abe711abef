"""A speech-native model in the configuration: where its files lie, and a brain that leaves the talking to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.config import AgentConfig, Config
from agent.errors import ConfigError
from agent.model.registry import is_folder
from agent.pull.store import folder_of, located

NATIVE = "native"


def settled_native(config: Config) -> Config:
    """``engine.model`` as a folder, and ``agent.brain = native`` where no other was chosen. Raises ``ConfigError``."""
    if not is_folder(config.engine.model) or not config.engine.workers:
        return config  # other hosts run the workers, and know their models
    return replace(
        config,
        engine=replace(config.engine, model=str(_folder(config))),
        agent=replace(config.agent, brain=NATIVE) if _is_default(config.agent) else config.agent,
    )


def _folder(config: Config) -> Path:
    """A folder as it is named, or the one that ``crosstalk pull`` has filled under that name."""
    name = config.engine.model
    if Path(name).is_dir():
        return Path(name)
    pulled = folder_of(name)
    if pulled and (found := located(config.models.folder, pulled)) != pulled:
        return Path(found)
    hint = f"; to bring it: crosstalk pull {name}" if pulled else ""
    raise ConfigError("engine.model", f"{name}: no such folder{hint}")


def _is_default(agent: AgentConfig) -> bool:
    """The line that ships would talk beside the model; a dialogue that somebody has chosen may."""
    return agent.brain == AgentConfig().brain and not agent.dialogue
