"""What the user brought: pulled models, a speech-native model, services that the agent's file names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from agent.app import check_model as check_speech_files
from agent.config import Config
from agent.config_load import process_environment
from agent.doctor.check import Check, fail, ok, warn
from agent.doctor.installed import DISTRIBUTION
from agent.errors import ConfigError, DialogueError
from agent.model.registry import is_folder
from agent.native import settled_native
from agent.pipecat.agent_file import parts_of
from agent.pipecat.spawn import check as check_parts
from agent.pull.catalogue import Kind
from agent.pull.store import ModelFolder

PARTS: Final = {
    Kind.KOKORO: ("misaki", "kokoro"),
    Kind.SHERPA: ("sherpa_onnx", "sherpa"),
    Kind.WHISPER: ("faster_whisper", "whisper"),
    Kind.MOSHI: ("torch", "gpu"),
}
"""Kind of a pulled model to the module that loads it and the extra that brings it."""


def check_models(config: Config) -> Iterator[Check]:
    folder = ModelFolder(Path(config.models.folder))
    held = folder.held()
    wrong = [f"{model.name}: {problem}" for model in held for problem in folder.problems(model)]
    if wrong:
        yield fail("models", f"{config.models.folder}: {'; '.join(wrong)}", "crosstalk pull the model again")
    elif held:
        lacking = sorted({lack for model in held if (lack := _lacks(model.kind, config)) is not None})
        detail = f"{config.models.folder}: {', '.join(f'{model.name} ({model.kind})' for model in held)}"
        if lacking:
            yield warn("models", detail, f"not usable yet: {'; '.join(lacking)}")
        else:
            yield ok("models", detail)
    else:
        yield ok("models", f"{config.models.folder}: none pulled (crosstalk pull --list)")


def _lacks(kind: Kind, config: Config) -> str | None:
    """What a model of this kind needs besides its files."""
    if kind is Kind.PIPER:
        return None if shutil.which(config.voice.program) else f"the program {config.voice.program!r} is not here"
    module, extra = PARTS[kind]
    return None if find_spec(module) else f"pip install '{DISTRIBUTION}[{extra}]'"


def check_speech_model(config: Config) -> Iterator[Check]:
    """The files of a speech-native model, and whether there is a card for it. Who loads it looks at the weights."""
    name = "speech model"
    if not is_folder(config.engine.model) or not config.engine.workers:
        return
    try:
        settled = settled_native(config)
        check_speech_files(settled)
    except ConfigError as wrong:
        yield fail(name, str(wrong), "docs/howto/gpu.md")
        return
    yield ok(name, f"{settled.engine.model}: every file is there")
    if config.engine.device != "cpu" and not Path("/dev/nvidiactl").exists():
        yield warn(
            "graphics card", "no NVIDIA card is to be seen: a CPU runs tiny models only", "install the card's driver"
        )
    if config.engine.workers + config.engine.spare > 1:
        told = f"{config.engine.workers + config.engine.spare} processes load it, each whole"
        yield warn("graphics memory", told, "one card: engine.workers = 1, engine.spare = 0")


def check_agent_file(config: Config) -> Iterator[Check]:
    """Services that the agent's file names: each is made once, as at the start."""
    name = "agent file"
    try:
        parts = parts_of(config, process_environment())
    except (ConfigError, DialogueError) as wrong:
        yield fail(name, str(wrong), "correct that line")
        return
    found = dict(check_parts(parts.named())) if parts.named() else {}
    for field, reason in found.items():
        yield fail(name, f"{parts.file}: {field}: {reason}", "correct that field")
    for spec in parts.named():
        if not any(field.startswith(f"{spec.part}.") for field in found):
            yield ok(name, f"{spec.part}: {spec.service} can be made")
