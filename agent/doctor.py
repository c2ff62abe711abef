"""What is wrong with this host for this configuration, before a caller finds out. A pure list; the CLI renders it.

Each check looks at one thing, changes nothing that stays, and gives advice where it does not say ``ok``.
"""

from __future__ import annotations

import ipaddress
import os
import resource
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from agent.api.keys import KeyFile
from agent.app import check_model as check_speech_files
from agent.config import Config
from agent.config_load import LoadedConfig, process_environment, without_password
from agent.errors import AgentError, ConfigError, DialogueError, ModelError, VoiceFailed
from agent.model.parts.sherpa_files import check_model
from agent.model.parts.trial import try_engine
from agent.model.registry import is_folder, listens
from agent.model.small.ears import open_net
from agent.native import settled_native
from agent.pipecat.agent_file import parts_of
from agent.pipecat.spawn import check as check_parts
from agent.pull.catalogue import Kind
from agent.pull.store import ModelFolder, located
from agent.voice.choose import LOADED, Choice, choose
from agent.voice.piper import PiperEngine
from agent.voice.process import make_engine, warm

Status = Literal["ok", "warn", "fail"]

DISTRIBUTION: Final = "crosstalk-voice"
PACKAGES: Final = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "aiohttp": "aiohttp",
    "uvloop": "uvloop",
    "structlog": "structlog",
    "yaml": "pyyaml",
    "standardwebhooks": "standardwebhooks",
    "prometheus_client": "prometheus-client",
    "rich": "rich",
}
"""Import name to package: what the core install brings."""
PARTS: Final = {
    Kind.KOKORO: ("misaki", "kokoro"),
    Kind.SHERPA: ("sherpa_onnx", "sherpa"),
    Kind.WHISPER: ("faster_whisper", "whisper"),
    Kind.MOSHI: ("torch", "gpu"),
}
"""Kind of a pulled model to the module that loads it and the extra that brings it."""
OLDEST_PYTHON: Final = (3, 11)
REDIS_TIMEOUT_S: Final = 2.0
FILES_PER_CALL: Final = 2
"""RTP and RTCP socket."""
FILES_BESIDE_CALLS: Final = 256
OLDEST_WALL_TIME_S: Final = 1_735_689_600
"""2025-01-01: a clock before that was never set, and signatures and certificates fail."""
LATE_MS: Final = 5.0
"""A timer that is later than this on an idle machine will be heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding."""

    name: str
    status: Status
    detail: str
    advice: str = ""
    """What to do; empty where nothing is wrong."""


def ok(name: str, detail: str) -> Check:
    return Check(name=name, status="ok", detail=detail)


def warn(name: str, detail: str, advice: str) -> Check:
    return Check(name=name, status="warn", detail=detail, advice=advice)


def fail(name: str, detail: str, advice: str) -> Check:
    return Check(name=name, status="fail", detail=detail, advice=advice)


def run_doctor(loaded: LoadedConfig) -> list[Check]:
    """All checks, in the order in which a newcomer would fix things."""
    return [check for look in CHECKS for check in look(loaded.config)]


def worst(checks: list[Check]) -> Status:
    """``fail`` before ``warn`` before ``ok``."""
    found = {check.status for check in checks}
    return "fail" if "fail" in found else "warn" if "warn" in found else "ok"


# --- what is installed ---


def check_python(_config: Config) -> Iterator[Check]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < OLDEST_PYTHON:
        yield fail("python", version, "Python 3.11 or newer is needed")
    else:
        yield ok("python", f"{version} ({sys.executable})")


def check_packages(_config: Config) -> Iterator[Check]:
    absent = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if absent:
        yield fail("packages", f"not installed: {', '.join(absent)}", f"pip install {' '.join(absent)}")
    else:
        yield ok("packages", f"{len(PACKAGES)} core packages present")


def check_names(_config: Config) -> Iterator[Check]:
    """``agent`` and ``telephony`` are common names: another distribution's files may hide ours."""
    owners = metadata.packages_distributions()
    for name in ("agent", "telephony"):
        others = sorted({owner for owner in owners.get(name, ()) if owner.lower().replace("_", "-") != DISTRIBUTION})
        if others:
            advice = f"install Crosstalk into an environment of its own, or remove {', '.join(others)}"
            yield fail(f"package {name}", f"also provided by {', '.join(others)}", advice)
        else:
            yield ok(f"package {name}", "ours alone")


# --- network ---


def check_ports(config: Config) -> Iterator[Check]:
    yield _port("sip port", config.sip.host, config.sip.port, socket.SOCK_DGRAM)
    yield _port("http port", config.http.host, config.http.port, socket.SOCK_STREAM)
    yield _rtp_ports(config)


def _port(name: str, host: str, port: int, kind: socket.SocketKind) -> Check:
    label = f"{host}:{port} {'udp' if kind == socket.SOCK_DGRAM else 'tcp'}"
    if port == 0:
        return ok(name, f"{label}: a free one is picked at the start")
    problem = _bind(host, port, kind)
    if problem is None:
        return ok(name, f"{label} is free")
    return fail(
        name, f"{label}: {problem}", "stop what holds it (is Crosstalk running already?) or choose another port"
    )


def _bind(host: str, port: int, kind: socket.SocketKind) -> str | None:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:  # as a server does: a connection in TIME_WAIT is no obstacle
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as wrong:
        return wrong.strerror or str(wrong)
    return None


def _rtp_ports(config: Config) -> Check:
    media, calls = config.media, config.engine.rows * config.engine.workers
    pairs = (media.port_max - media.port_min + 1) // 2
    first, last = media.port_min, media.port_min + 2 * (pairs - 1)
    taken = [port for port in sorted({first, (first + last) // 4 * 2, last}) if _bind("", port, socket.SOCK_DGRAM)]
    detail = f"{media.port_min}-{media.port_max} udp: {pairs} calls at once"
    if taken:
        return warn("rtp ports", f"{detail}; {taken[0]} is taken", "give Crosstalk a range that nobody else uses")
    if pairs < calls:
        return warn("rtp ports", f"{detail}, {calls} seats", "widen media.port_min to media.port_max")
    return ok("rtp ports", detail)


def check_advertised_address(config: Config) -> Iterator[Check]:
    """The address in Via, Contact and SDP: wrong ones are the commonest cause of one-way audio."""
    name, told = "advertised address", config.sip.advertised_address
    advice = "set sip.advertised_address to the address at which phones and trunks reach this host"
    if told:
        yield _told_address(name, told, config)
        return
    facing = _facing_address()
    listening = _address(config.sip.host)
    if listening is not None and listening.is_loopback:
        yield ok(name, f"{config.sip.host}: callers on this machine only")
    elif facing is None:
        yield warn(name, "no network besides this machine", advice)
    elif facing.is_private and _allows_public(config):
        yield warn(name, f"{facing} (private), but sip.allow names public networks", advice)
    else:
        yield ok(name, f"{facing}: the address that faces the peer")


def _told_address(name: str, told: str, config: Config) -> Check:
    address = ipaddress.ip_address(told)
    if address.is_loopback and not config.sip.host.startswith("127."):
        return warn(name, f"{told} is this machine only", "tell peers an address that they can send to")
    if address.is_private and not address.is_loopback and _allows_public(config):
        return warn(name, f"{told} is private, but sip.allow names public networks", "tell trunks the public address")
    return ok(name, told)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _facing_address() -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Our address towards the outside; connecting a UDP socket sends nothing (192.0.2.1: RFC 5737)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = ipaddress.ip_address(probe.getsockname()[0])
    return None if found.is_loopback or found.is_unspecified else found


def _allows_public(config: Config) -> bool:
    return any(not ipaddress.ip_network(network).is_private for network in config.sip.allow)


def check_api_keys(config: Config) -> Iterator[Check]:
    """Who may use the HTTP API. Looks, and makes no folder."""
    name, host = "api keys", config.http.host
    path = Path(config.api.folder) / "keys.json"
    try:
        live = sum(record.is_live(time.time()) for record in KeyFile(path.parent).listed()) if path.exists() else 0
    except (AgentError, TypeError, KeyError) as wrong:
        yield fail(name, f"{path}: {wrong}", f"restore {path}, or remove it and make new keys")
        return
    if live:
        yield ok(name, f"{live} can be used")
    elif host == "localhost" or ((address := _address(host)) is not None and address.is_loopback):
        yield ok(name, f"none: {host} is open to whoever is on this machine")
    else:
        yield warn(
            name, f"none, and http.host = {host} is open to others: /v1 answers 401 to everybody",
            "crosstalk keys create NAME, or http.host = 127.0.0.1",
        )  # fmt: skip


# --- voice and ears ---


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


def _lacks(kind: Kind, config: Config) -> str | None:
    """What a model of this kind needs besides its files."""
    if kind is Kind.PIPER:
        return None if shutil.which(config.voice.program) else f"the program {config.voice.program!r} is not here"
    module, extra = PARTS[kind]
    return None if find_spec(module) else f"pip install '{DISTRIBUTION}[{extra}]'"


def check_net(config: Config) -> Iterator[Check]:
    """The small ears' net, loaded and tried."""
    name = "floor net"
    if config.engine.model != "small":
        yield ok(name, f"not used by engine.model = {config.engine.model}")
        return
    try:
        open_net(config.ears.weights)
    except ModelError as wrong:
        yield warn(name, f"{wrong}; the parts' ears will serve", "docs/howto/train_small.md, or engine.model = parts")
    else:
        yield ok(name, f"{config.ears.weights or 'the one that ships'} (loaded and tried)")


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


def check_recogniser(config: Config) -> Iterator[Check]:
    name, wanted = "recogniser", config.ears.recogniser
    if not listens(config.engine.model):
        yield ok(name, f"not used by engine.model = {config.engine.model}")
    elif wanted == "none":
        yield warn(name, "none: callers can use keys only", "set ears.recogniser")
    elif wanted == "pipecat":
        yield ok(name, "pipecat: named in the agent's file")
    elif wanted == "sherpa":
        yield _sherpa(name, located(config.models.folder, config.ears.sherpa_model))
    elif wanted == "words":
        yield ok(name, "words: our own net, for what a dialogue expects (docs/reference/model_card_small_words.md)")
    elif wanted == "both" and find_spec("pocketsphinx") is not None:
        yield warn(
            name,
            "both: understands people's numbers, hardly any of their sentences on a telephone; keys always work",
            "for people who speak freely supply a streaming model: ears.recogniser = sherpa",
        )
    elif find_spec("pocketsphinx") is None:
        yield fail(name, "pocketsphinx is not installed", "pip install pocketsphinx, or set ears.recogniser = none")
    else:
        yield warn(
            name,
            "pocketsphinx: understands synthetic callers, hardly any human on a telephone; keys always work",
            "for human callers supply a streaming model: ears.recogniser = sherpa",
        )


def _sherpa(name: str, folder: str) -> Check:
    if find_spec("sherpa_onnx") is None:
        return fail(name, "sherpa-onnx is not installed", f"pip install '{DISTRIBUTION}[sherpa]'")
    try:
        check_model(folder)
        try_engine("sherpa", folder)
    except ModelError as wrong:
        return fail(name, str(wrong), "crosstalk pull zipformer-en, or set ears.sherpa_model to a streaming model")
    return ok(name, f"sherpa: {folder} (loaded and tried)")


# --- store and files ---


def check_store(config: Config) -> Iterator[Check]:
    url = config.store.url
    if url.startswith("sqlite:"):
        yield _sqlite(Path(url.removeprefix("sqlite:")))
    else:
        yield _redis(url)
    yield _folder("spill", Path(config.store.spill).parent)
    if config.recording.enabled:
        yield _folder("recordings", Path(config.recording.folder))


def _sqlite(path: Path) -> Check:
    if not path.exists():
        found = _folder("store", path.parent)
        return ok("store", f"{path} will be made") if found.status == "ok" else found
    try:
        connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=1.0)
        try:
            connection.execute("BEGIN IMMEDIATE")  # takes the write lock, writes nothing
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error as wrong:
        return fail("store", f"{path}: {wrong}", "is another process writing, is the file ours, is it a database?")
    return ok("store", f"{path} can be written")


def _folder(name: str, folder: Path) -> Check:
    """A folder that exists or can be made, and takes a file."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as wrong:
        return fail(name, f"{folder}: {wrong.strerror}", f"make {folder} writable for this user")
    return ok(name, f"{folder} can be written")


def _redis(url: str) -> Check:
    shown, parts = without_password(url), urlsplit(url)
    if find_spec("redis") is None:
        return fail("store", "the package redis is not installed", f"pip install '{DISTRIBUTION}[redis]'")
    try:
        with socket.create_connection((parts.hostname, parts.port or 6379), REDIS_TIMEOUT_S) as connection:
            if parts.scheme == "rediss":
                return ok("store", f"{shown} takes connections (TLS not tried)")
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except OSError as wrong:
        return fail("store", f"{shown}: {wrong}", "start the server, or correct store.url")
    if answer.startswith((b"+PONG", b"-NOAUTH")):
        return ok("store", f"{shown} answers")
    return fail("store", f"{shown}: answers, but not as Redis does", "correct store.url")


# --- the machine ---


def check_scheduling(_config: Config) -> Iterator[Check]:
    """Whether the media process may run ahead of others. Tried on this process, and taken back at once."""
    if not hasattr(os, "sched_setscheduler"):
        yield warn("scheduling class", "not known on this system", "run on Linux for even media timing")
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        advice = "LimitRTPRIO=20 in the systemd unit, or --cap-add SYS_NICE for a container"
        yield warn("scheduling class", "realtime is not permitted: packets are late while the machine is busy", advice)
        return
    os.sched_setscheduler(0, policy, parameter)
    yield ok("scheduling class", "realtime is permitted for the media process")


def check_open_files(config: Config) -> Iterator[Check]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    calls = config.engine.rows * config.engine.workers
    needed = calls * FILES_PER_CALL + FILES_BESIDE_CALLS
    if soft != resource.RLIM_INFINITY and soft < needed:
        advice = f"ulimit -n {needed} (hard limit {hard}), or LimitNOFILE={needed} in the systemd unit"
        yield warn("open files", f"{soft} allowed, {needed} needed for {calls} calls", advice)
    else:
        yield ok("open files", f"{soft} allowed, {needed} needed for {calls} calls")


def check_cores(config: Config) -> Iterator[Check]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = config.engine.workers + 1
    if usable < busy:
        yield warn(
            "cores", f"{usable} for {config.engine.workers} workers and media", "fewer engine.workers, or more cores"
        )
    else:
        yield ok("cores", f"{usable}")


def check_clock(_config: Config) -> Iterator[Check]:
    if time.time() < OLDEST_WALL_TIME_S:
        yield fail("clock", "the wall clock was never set", "start a time service (chrony, systemd-timesyncd)")
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
    late_ms = max(_lateness_ms() for _ in range(5))
    if late_ms > LATE_MS:
        yield warn("timer", f"up to {late_ms:.1f} ms late", "a busy or throttled machine: packets will be late as well")
    else:
        yield ok("timer", f"up to {late_ms:.1f} ms late")


def _lateness_ms() -> float:
    begin = time.monotonic()
    time.sleep(0.002)
    return (time.monotonic() - begin - 0.002) * 1000


CHECKS: tuple[Callable[[Config], Iterator[Check]], ...] = (
    check_python,
    check_packages,
    check_names,
    check_ports,
    check_advertised_address,
    check_api_keys,
    check_models,
    check_voice,
    check_net,
    check_speech_model,
    check_recogniser,
    check_agent_file,
    check_store,
    check_scheduling,
    check_open_files,
    check_cores,
    check_clock,
)
