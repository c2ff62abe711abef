"""Composition: which processes a service has, and how to start a whole service from a program (benches, tests)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent import VERSION
from agent.config import Config, WebhookEndpoint
from agent.config_load import process_environment
from agent.config_wire import to_wire
from agent.errors import ConfigError, ModelError
from agent.events.names import LogEvent
from agent.events.signing import new_secret
from agent.logging import Log
from agent.model.moshi.config import check_files
from agent.model.moshi.extra import need_extra
from agent.model.moshi.voice_names import voices_in
from agent.model.names import FREE, ModelName, RecogniserName
from agent.model.registry import is_folder, listens
from agent.pipecat.agent_file import parts_of
from agent.pull.store import located
from agent.streams import PROCESS, edge_options, keyed
from agent.supervisor import Role, Supervisor
from agent.webrtc import PROCESS as WEBRTC
from agent.webrtc import edge_options as webrtc_options
from agent.webrtc import settled
from telephony.loopback import free_port

READY_FILE = "ready.json"
"""Written by the front when calls can come: ports, processes, voice."""
START_TIMEOUT_S = 60.0


def roles_of(config: Config, run_folder: str) -> list[Role]:
    """The processes of one gateway with its workers. Sockets lie in ``run_folder``."""
    media = config.media
    edge = Role(
        name="edge",
        role="edge",
        options={
            "control_path": f"{run_folder}/edge.sock",
            "port_min": media.port_min,
            "port_max": media.port_max,
            "phases": media.phases,
            "playout_min_ms": media.playout_min_ms,
            "playout_start_ms": media.playout_start_ms,
            "playout_max_ms": media.playout_max_ms,
            "first_packet_timeout_s": media.first_packet_timeout_s,
            "silence_timeout_s": media.silence_timeout_s,
            "port_rest_s": media.port_rest_s,
            "host": config.sip.host,
        },
    )
    streams = (
        [Role(name=PROCESS, role=PROCESS, options=edge_options(config, run_folder))] if config.stream.doors else []
    )
    if config.webrtc.enabled == "on":
        streams.append(Role(name=WEBRTC, role=PROCESS, options=webrtc_options(config, run_folder)))
    workers = [_worker(config, run_folder, name) for name in worker_names(config)]
    front = Role(name="front", role="front", options={"config": to_wire(config), "run_folder": run_folder})
    return [edge, *streams, *workers, front]


def worker_names(config: Config) -> list[str]:
    """Workers first, spares last."""
    return [f"worker{n + 1}" for n in range(config.engine.workers)] + [
        f"spare{n + 1}" for n in range(config.engine.spare)
    ]


def _worker(config: Config, run_folder: str, name: str) -> Role:
    sockets = {"control": f"{run_folder}/{name}.sock", "audio": f"{run_folder}/{name}.audio"}
    return Role(name=name, role="worker", options=worker_options(config, name, **sockets))


def worker_options(config: Config, name: str, *, control: str, audio: str) -> dict[str, Any]:
    """What a worker's process is started with. ``control``, ``audio``: where it listens, paths or ``host:port``."""
    model_options: dict[str, Any] = {}
    if listens(config.engine.model):
        model_options = {
            "recogniser": config.ears.recogniser,
            "processes": config.ears.recogniser_processes,
            "sherpa_model": located(config.models.folder, config.ears.sherpa_model),
        }
    if config.engine.model == ModelName.SMALL:
        model_options["weights"] = config.ears.weights
    if is_folder(config.engine.model):
        engine, recogniser = config.engine, config.ears.recogniser
        model_options = {
            "device": engine.device,
            "window_s": engine.window_s,
            "short_rows": engine.short_rows,
            "short_window_s": engine.short_window_s,
            "fp8_kv": engine.fp8_kv,
            # Nobody expects anything in a call that a model leads: a recogniser with a grammar has nothing to find.
            "recogniser": recogniser if recogniser in FREE else RecogniserName.NONE.value,
            "processes": config.ears.recogniser_processes,
            "sherpa_model": located(config.models.folder, config.ears.sherpa_model),
            "weights": config.ears.weights,
        }
    if (
        config.ears.recogniser == RecogniserName.PIPECAT
        and (named := parts_of(config, process_environment()).recogniser) is not None
    ):
        model_options["service"] = named.to_json()
    return {
        "name": name,
        "control_path": control,
        "audio_path": audio,
        "model": config.engine.model,
        "model_options": model_options,
        "rows": config.engine.rows,
        "step_budget": config.engine.step_budget,
        "phases": config.media.phases,
    }


def with_example(config: Config, run_folder: str) -> tuple[Config, list[Role]]:
    """The parcel line's own back end beside it, when nothing else answers for the default agent."""
    agent = config.agent
    if agent.brain != "flow" or agent.dialogue or agent.tool_url or agent.decision_url:
        return config, []
    from agent.brain.examples import example_path

    port, secret = free_port(), config.webhooks.secret or new_secret()
    url = f"http://127.0.0.1:{port}"
    database = str(Path(run_folder) / "parcel.db")
    folder = example_path("parcel")
    role = Role(
        name="example",
        role="example",
        options={
            "path": str(folder / "backend.py"),
            "arguments": ["--port", str(port), "--db", database, "--secret", secret],
        },
    )
    webhooks = replace(
        config.webhooks,
        secret=secret,
        allow_http=True,
        allow_networks=(*config.webhooks.allow_networks, "127.0.0.0/8"),
        endpoints=(*config.webhooks.endpoints, WebhookEndpoint(name="example", url=f"{url}/webhooks", secret=secret)),
    )
    agent = replace(agent, decision_url=f"{url}/webhooks", tool_url=f"{url}/webhooks")
    return replace(config, agent=agent, webhooks=webhooks), [role]


async def serve(config: Config, *, log: Log) -> int:
    """Run a service in the foreground; returns its exit code. Raises ``ConfigError``."""
    check_recordings(config)
    check_model(config)
    with _run_folder(config.service.run_folder) as folder:
        config = settled(config)
        config, extra = with_example(keyed(config), folder)
        log.info(LogEvent.SERVICE_STARTING, version=VERSION)
        supervisor = Supervisor([*extra, *roles_of(config, folder)], log=log, drain_s=config.service.drain_s)
        return await supervisor.run()


def check_model(config: Config) -> None:
    """A folder with a speech-native model is looked at before a worker spends minutes on it.

    Raises ``ConfigError`` naming the key. The weights are checked by the worker that loads them.
    """
    if not is_folder(config.engine.model) or not config.engine.workers:
        return
    folder = Path(config.engine.model)
    try:
        need_extra()
        check_files(folder)
    except ModelError as wrong:
        raise ConfigError("engine.model", str(wrong)) from None
    known, voice = voices_in(folder), config.agent.native.voice
    if voice and voice not in known:
        raise ConfigError(
            "agent.native.voice", f"{voice!r} is none of the model's: {', '.join(known) or 'it has none'}"
        )


def check_recordings(config: Config) -> None:
    """Where recordings are to be written must be seen at the start, not at the first call's end.

    Raises ``ConfigError`` naming the key. Calls that are recorded by the customer's word alone are not known yet.
    """
    if not config.recording.enabled:
        return
    folder = Path(config.recording.folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-"):
            pass
    except OSError as wrong:
        raise ConfigError("recording.folder", f"{folder.absolute()} cannot be written: {wrong.strerror}") from None


@contextlib.contextmanager
def _run_folder(named: str) -> Iterator[str]:
    """The named folder, or a private one that is removed afterwards."""
    if not named:
        with tempfile.TemporaryDirectory(prefix="crosstalk-", ignore_cleanup_errors=True) as made:
            yield made
        return
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / READY_FILE).unlink(missing_ok=True)
    yield named


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that was started by ``start_service``."""

    sip_port: int
    http_port: int
    pid: int
    folder: Path
    stream_port: int = 0
    """Of the doors over one WebSocket, where any is open."""

    @property
    def sip_uri(self) -> str:
        return f"sip:agent@127.0.0.1:{self.sip_port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"


@contextlib.asynccontextmanager
async def start_service(
    overrides: Mapping[str, object] | None = None, *, within_s: float = START_TIMEOUT_S
) -> AsyncIterator[Service]:
    """A whole service of its own on free loopback ports, stopped on exit. Raises ``RuntimeError`` with its log."""
    folder = Path(tempfile.mkdtemp(prefix="crosstalk-"))
    settings: dict[str, object] = {
        "sip.host": "127.0.0.1",
        "sip.port": 0,
        "http.port": 0,
        "stream.port": 0,
        "webrtc.enabled": "off",
        "service.run_folder": str(folder),
        "service.drain_s": 1.0,
        "store.url": f"sqlite:{folder}/crosstalk.db",
        "store.spill": f"{folder}/spill.jsonl",
        "recording.folder": f"{folder}/recordings",
        "api.folder": f"{folder}/api",
        "log.format": "json",
        **(overrides or {}),
    }
    arguments = [f"--set={key}={_setting(value)}" for key, value in settings.items()]
    log_path = folder / "service.log"
    with log_path.open("wb") as log_file:
        code = "from agent.cli import main; raise SystemExit(main())"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", code, "serve", *arguments, stdout=log_file, stderr=log_file
        )
    try:
        ready = await _wait_ready(process, folder, log_path, within_s)
        yield Service(
            sip_port=ready["sip_port"],
            http_port=ready["http_port"],
            pid=process.pid,
            folder=folder,
            stream_port=ready.get("stream_port", 0),
        )
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 40.0)
            except TimeoutError:
                process.kill()
                await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _setting(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def _wait_ready(
    process: asyncio.subprocess.Process, folder: Path, log_path: Path, within_s: float
) -> dict[str, Any]:
    ready_path = folder / READY_FILE
    try:
        async with asyncio.timeout(within_s):
            while not ready_path.exists():
                if process.returncode is not None:
                    raise RuntimeError(f"the service ended with {process.returncode}:\n{_tail(log_path)}")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise RuntimeError(f"the service was not ready in {within_s:.0f} s:\n{_tail(log_path)}") from None
    ready: dict[str, Any] = json.loads(ready_path.read_text())
    return ready


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-20:])
