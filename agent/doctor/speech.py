"""Voice and ears: what speaks and what listens, each loaded and tried."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

from agent.config import Config
from agent.doctor.check import Check, fail, ok, warn
from agent.doctor.installed import DISTRIBUTION
from agent.errors import ConfigError, ModelError, VoiceFailed
from agent.model.names import ModelName, RecogniserName
from agent.model.parts.sherpa_files import check_model
from agent.model.parts.trial import try_engine
from agent.model.registry import listens
from agent.model.small.ears import open_net
from agent.pull.store import located
from agent.voice.choose import LOADED, Choice, choose
from agent.voice.piper import PiperEngine
from agent.voice.process import make_engine, warm


def check_voice(config: Config) -> Iterator[Check]:
    try:
        choice = choose(replace(config.voice, model=located(config.models.folder, config.voice.model)))
    except ConfigError as absent:
        yield fail("voice", absent.reason, f"change {absent.path} or install what it needs")
        return
    if choice.engine in LOADED:
        yield _loaded_voice(choice)
    elif choice.engine == "pico" and config.voice.engine == "auto" and not config.voice.name:
        yield warn("voice", f"{choice.label}: {choice.why}", "for exact word times install libflite1 (Debian, Ubuntu)")
    else:
        yield ok("voice", f"{choice.label}: {choice.why}")


def _loaded_voice(choice: Choice) -> Check:
    """Says a few words into nothing: files that are damaged show when they are loaded."""
    begin = time.monotonic()
    try:
        engine = warm(make_engine(choice.engine, choice.handed))
        if isinstance(engine, PiperEngine):
            engine.close()
    except VoiceFailed as wrong:
        return fail("voice", str(wrong), "crosstalk pull --verify; docs/howto/models.md")
    return ok("voice", f"{choice.label}: {choice.why} (loaded and tried in {time.monotonic() - begin:.1f} s)")


def check_net(config: Config) -> Iterator[Check]:
    """The small ears' net, loaded and tried."""
    name = "floor net"
    if config.engine.model != ModelName.SMALL:
        yield ok(name, f"not used by engine.model = {config.engine.model}")
        return
    try:
        open_net(config.ears.weights)
    except ModelError as wrong:
        yield warn(name, f"{wrong}; the parts' ears will serve", "docs/howto/train_small.md, or engine.model = parts")
    else:
        yield ok(name, f"{config.ears.weights or 'the one that ships'} (loaded and tried)")


def check_recogniser(config: Config) -> Iterator[Check]:
    if listens(config.engine.model):
        yield _recogniser("recogniser", config)
    else:
        yield ok("recogniser", f"not used by engine.model = {config.engine.model}")


def _recogniser(name: str, config: Config) -> Check:
    match config.ears.recogniser:
        case RecogniserName.NONE:
            return warn(name, "none: callers can use keys only", "set ears.recogniser")
        case RecogniserName.PIPECAT:
            return ok(name, "pipecat: named in the agent's file")
        case RecogniserName.SHERPA:
            return _sherpa(name, located(config.models.folder, config.ears.sherpa_model))
        case RecogniserName.WORDS:
            about = "our own net, for what a dialogue expects (docs/reference/model_card_small_words.md)"
            return ok(name, f"words: {about}")
        case _ if find_spec("pocketsphinx") is None:
            return fail(
                name, "pocketsphinx is not installed", "pip install pocketsphinx, or set ears.recogniser = none"
            )
        case RecogniserName.BOTH:
            understood = "both: understands people's numbers, hardly any of their sentences on a telephone"
            advice = "for people who speak freely supply a streaming model: ears.recogniser = sherpa"
            return warn(name, f"{understood}; keys always work", advice)
        case _:
            understood = "pocketsphinx: understands synthetic callers, hardly any human on a telephone"
            advice = "for human callers supply a streaming model: ears.recogniser = sherpa"
            return warn(name, f"{understood}; keys always work", advice)


def _sherpa(name: str, folder: str) -> Check:
    if find_spec("sherpa_onnx") is None:
        return fail(name, "sherpa-onnx is not installed", f"pip install '{DISTRIBUTION}[sherpa]'")
    try:
        check_model(folder)
        try_engine(RecogniserName.SHERPA, folder)
    except ModelError as wrong:
        return fail(name, str(wrong), "crosstalk pull zipformer-en, or set ears.sherpa_model to a streaming model")
    return ok(name, f"sherpa: {folder} (loaded and tried)")
