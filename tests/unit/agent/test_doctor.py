from __future__ import annotations

import os
import resource
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from agent.api.keys import KeyFile
from agent.config import (
    ApiConfig,
    Config,
    EarsConfig,
    EngineConfig,
    HttpConfig,
    MediaConfig,
    RecordingConfig,
    SipConfig,
    StoreConfig,
)
from agent.config_load import LoadedConfig, load_config
from agent.doctor import installed, machine, models, network, speech, store
from agent.doctor.check import Check, fail, ok, warn
from agent.doctor.run import run_doctor, worst
from agent.errors import ConfigError
from agent.model.moshi.config import MIMI_FILE, MODEL_FILE, TEXT_FILE
from agent.pull.command import Order, pull
from agent.pull.store import ModelFolder
from agent.voice.phonemes import data_folder
from tests.ports import free_ports
from tests.unit.agent.model.moshi.shapes import write_shapes
from tests.unit.agent.model.parts.tiny_sherpa import tiny_sherpa
from tests.unit.agent.voice.tiny_models import tiny_kokoro, tiny_piper


def only(checks: Iterator[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


@pytest.fixture
def taken_port() -> Iterator[int]:
    (port,) = free_ports(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", port))
        tcp.bind(("127.0.0.1", port))
        tcp.listen()
        yield port


def test_every_finding_that_is_not_ok_has_advice(tmp_path: Path) -> None:
    flags = {"sip.port": 0, "http.port": 0, "store.url": f"sqlite:{tmp_path}/c.db", "store.spill": f"{tmp_path}/s"}
    checks = run_doctor(load_config(None, {}, flags))
    assert {"python", "packages", "sip port", "voice", "recogniser", "store", "clock"} <= {c.name for c in checks}
    assert all(bool(check.advice) == (check.status != "ok") for check in checks)
    assert len({check.name for check in checks}) == len(checks)
    assert list(tmp_path.iterdir()) == []


def test_worst_finding_decides() -> None:
    fine, doubtful, broken = ok("a", ""), warn("b", "", "x"), fail("c", "", "x")
    assert [worst(checks) for checks in ([fine], [fine, doubtful], [broken, doubtful])] == ["ok", "warn", "fail"]


def test_taken_ports_are_found(taken_port: int) -> None:
    config = Config(
        sip=SipConfig(host="127.0.0.1", port=taken_port), http=HttpConfig(host="127.0.0.1", port=taken_port)
    )
    for name in ("sip port", "http port"):
        check = only(network.check_ports(config), name)
        assert check.status == "fail"
        assert str(taken_port) in check.detail


def test_too_few_rtp_ports_are_told() -> None:
    config = Config(media=MediaConfig(port_min=40000, port_max=40009), engine=EngineConfig(rows=64))
    check = only(network.check_ports(config), "rtp ports")
    assert check.status == "warn"


@pytest.mark.parametrize(
    ("host", "keys", "status"),
    [
        ("127.0.0.1", "none", "ok"),
        ("localhost", "none", "ok"),
        ("0.0.0.0", "none", "warn"),
        ("192.0.2.7", "none", "warn"),
        ("0.0.0.0", "revoked", "warn"),
        ("0.0.0.0", "live", "ok"),
        ("127.0.0.1", "damaged", "fail"),
    ],
)
def test_public_http_without_keys_is_told(tmp_path: Path, host: str, keys: str, status: str) -> None:
    folder = tmp_path / "api"
    if keys == "damaged":
        folder.mkdir()
        (folder / "keys.json").write_text('{"keys": [{"name": "x"}]}')
    elif keys != "none":
        record, _ = KeyFile(folder).create("k", tenant="*", scopes=["calls:read"], now=1.0)
        if keys == "revoked":
            KeyFile(folder).revoke(record.key_id, now=2.0)
    config = Config(http=HttpConfig(host=host), api=ApiConfig(folder=str(folder)))
    (check,) = network.check_api_keys(config)
    assert check.status == status
    assert folder.exists() == (keys != "none")


@pytest.mark.parametrize(
    ("sip", "status"),
    [
        (SipConfig(host="127.0.0.1"), "ok"),
        (SipConfig(advertised_address="127.0.0.1"), "warn"),
        (SipConfig(advertised_address="10.0.0.5"), "ok"),
        (SipConfig(advertised_address="10.0.0.5", allow=("54.172.60.0/30",)), "warn"),
        (SipConfig(advertised_address="8.8.8.8", allow=("54.172.60.0/30",)), "ok"),
    ],
)
def test_advertised_address_is_judged(sip: SipConfig, status: str) -> None:
    (check,) = network.check_advertised_address(Config(sip=sip))
    assert check.status == status


def test_private_address_before_public_trunks_is_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_facing_address", lambda: network._address("10.1.2.3"))
    (check,) = network.check_advertised_address(Config(sip=SipConfig(allow=("54.172.60.0/30",))))
    assert check.status == "warn"
    monkeypatch.setattr(network, "_facing_address", lambda: None)
    (check,) = network.check_advertised_address(Config())
    assert check.status == "warn"


def test_foreign_package_of_our_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"agent": ["crosstalk_voice", "agent"], "telephony": ["crosstalk-voice"]}
    monkeypatch.setattr(metadata, "packages_distributions", lambda: owners)
    checks = {check.name: check for check in installed.check_names(Config())}
    assert checks["package agent"].status == "fail"
    assert "by agent" in checks["package agent"].detail
    assert checks["package telephony"].status == "ok"


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "PACKAGES", {"no_such_module_x": "no-such-package"})
    (check,) = installed.check_packages(Config())
    assert (check.status, check.advice) == ("fail", "pip install no-such-package")


def test_voice_that_cannot_be_had_fails_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_config: object) -> None:
        raise ConfigError("voice.engine", "flite cannot be had")

    monkeypatch.setattr(speech, "choose", refuse)
    (check,) = speech.check_voice(Config())
    assert check.status == "fail"
    assert "flite" in check.detail


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ({}, "warn"),
        ({"ears.recogniser": "none"}, "warn"),
        ({"ears.recogniser": "sherpa", "ears.sherpa_model": "/nowhere"}, "fail"),
        ({"engine.model": "echo"}, "ok"),
    ],
)
def test_recogniser_is_judged_honestly(monkeypatch: pytest.MonkeyPatch, flags: dict[str, object], status: str) -> None:
    monkeypatch.setattr(speech, "find_spec", lambda _name: object())
    (check,) = speech.check_recogniser(load_config(None, {}, flags).config)
    assert check.status == status
    monkeypatch.setattr(speech, "find_spec", lambda _name: None)
    (check,) = speech.check_recogniser(load_config(None, {}, {**flags}).config)
    assert check.status == ("fail" if status != "ok" and flags.get("ears.recogniser") != "none" else status)


def test_small_ears_without_a_net_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Config(engine=EngineConfig(model="small"), ears=EarsConfig(weights=str(tmp_path)))
    found = only(speech.check_net(wanted), "floor net")
    assert (found.status, "there are no weights" in found.detail) == ("warn", True)
    monkeypatch.setattr(speech, "open_net", lambda weights: None)
    assert only(speech.check_net(wanted), "floor net").status == "ok"
    assert only(speech.check_net(Config(engine=EngineConfig(model="vad"))), "floor net").status == "ok"


def test_store_that_will_be_made_and_one_that_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "var" / "c.db"
    config = Config(store=StoreConfig(url=f"sqlite:{path}", spill=str(tmp_path / "s")))
    assert only(store.check_store(config), "store").status == "ok"
    path.parent.mkdir()
    path.write_bytes(b"this is no database, but long enough to look like a file of one" * 20)
    assert only(store.check_store(config), "store").status == "fail"
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    assert only(store.check_store(config), "store").status == "ok"


def test_folder_that_cannot_be_written_fails() -> None:
    config = Config(
        store=StoreConfig(spill="/proc/nobody/s.jsonl", url="sqlite:/proc/nobody/c.db"),
        recording=RecordingConfig(enabled=True, folder="/proc/nobody"),
    )
    checks = list(store.check_store(config))
    assert [check.status for check in checks] == ["fail", "fail", "fail"]


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """A TCP server on loopback that gives one answer."""
    servers: list[tuple[socket.socket, threading.Thread]] = []

    def serve(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64)
                connection.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        servers.append((listener, thread))
        return int(listener.getsockname()[1])

    yield serve
    for listener, thread in servers:
        thread.join(5)
        listener.close()


@pytest.mark.parametrize(("answer", "status"), [(b"+PONG\r\n", "ok"), (b"HTTP/1.1 400\r\n", "fail")])
def test_redis_is_asked_and_its_password_hidden(
    monkeypatch: pytest.MonkeyPatch, answering: Callable[[bytes], int], answer: bytes, status: str
) -> None:
    monkeypatch.setattr(store, "find_spec", lambda _name: object())
    url = f"redis://:geheim@127.0.0.1:{answering(answer)}/0"
    check = only(store.check_store(Config(store=StoreConfig(url=url))), "store")
    assert check.status == status
    assert "geheim" not in check.detail + check.advice


def test_redis_that_is_not_there_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setattr(store, "find_spec", lambda _name: object())
    check = only(store.check_store(Config(store=StoreConfig(url=f"redis://127.0.0.1:{port}/0"))), "store")
    assert check.status == "fail"


def test_realtime_is_tried_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getscheduler(0)
    (check,) = machine.check_scheduling(Config())
    assert check.status in ("ok", "warn")
    assert os.sched_getscheduler(0) == before

    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    (check,) = machine.check_scheduling(Config())
    assert check.status == "warn"


def test_open_file_limit_is_held_against_the_seats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1024, 4096))
    (few,) = machine.check_open_files(Config(engine=EngineConfig(rows=256)))
    (many,) = machine.check_open_files(Config(engine=EngineConfig(rows=2000)))
    assert (few.status, many.status) == ("ok", "warn")


def test_clock_that_was_never_set_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert only(machine.check_clock(Config()), "clock").status == "fail"


def test_result_is_a_plain_list() -> None:
    loaded = LoadedConfig(config=Config(sip=SipConfig(port=0), http=HttpConfig(port=0)), sources={})
    assert all(isinstance(check, Check) for check in run_doctor(loaded))


# --- models that the user brings ---


def test_recogniser_of_the_users_is_loaded_and_tried(tmp_path: Path) -> None:
    tiny_sherpa(tmp_path / "brought")
    pull(Order(name="own", source=tmp_path / "brought", accepted=True, quiet=True), ModelFolder(tmp_path / "models"))
    flags = {"ears.recogniser": "sherpa", "ears.sherpa_model": "own", "models.folder": str(tmp_path / "models")}
    config = load_config(None, {}, flags).config
    (check,) = speech.check_recogniser(config)
    assert check == ok("recogniser", f"sherpa: {tmp_path}/models/own (loaded and tried)")
    (held,) = models.check_models(config)
    assert held == ok("models", f"{tmp_path}/models: own (sherpa)")
    graph = tmp_path / "models/own/encoder-tiny.onnx"
    graph.write_bytes(graph.read_bytes()[:200])
    (check,) = speech.check_recogniser(config)
    assert check.status == "fail"
    assert "encoder-tiny.onnx is" in check.detail
    (held,) = models.check_models(config)
    assert "own: encoder-tiny.onnx has 200 bytes instead of" in held.detail


@pytest.mark.skipif(data_folder() is None, reason="misaki is not installed")
def test_voice_of_the_users_is_loaded_and_tried(tmp_path: Path) -> None:
    folder = tiny_kokoro(tmp_path / "kokoro")
    config = load_config(None, {}, {"voice.engine": "kokoro", "voice.model": str(folder)}).config
    (check,) = speech.check_voice(config)
    assert check.status == "ok"
    assert "kokoro:af_heart: asked for by voice.engine" in check.detail
    assert "loaded and tried" in check.detail
    graph = folder / "kokoro-v1.0.int8.onnx"
    graph.write_bytes(graph.read_bytes()[:200])
    (check,) = speech.check_voice(config)
    assert check.status == "fail"
    assert f"{graph} cannot be loaded" in check.detail


def test_models_without_what_loads_them_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ModelFolder(tmp_path / "models")
    for name, source in (("ears", tiny_sherpa(tmp_path / "s")), ("mouth", tiny_piper(tmp_path / "p"))):
        pull(Order(name=name, source=source, accepted=True, quiet=True), folder)
    monkeypatch.setattr(models, "find_spec", lambda _name: None)
    flags = {"models.folder": str(folder.folder), "voice.program": "no-such-piper"}
    (check,) = models.check_models(load_config(None, {}, flags).config)
    assert check.status == "warn"
    assert "ears (sherpa), mouth (piper)" in check.detail
    assert "pip install 'crosstalk-voice[sherpa]'" in check.advice
    assert "the program 'no-such-piper' is not here" in check.advice


def test_no_models_are_nothing_wrong(tmp_path: Path) -> None:
    (check,) = models.check_models(load_config(None, {}, {"models.folder": str(tmp_path)}).config)
    assert check.status == "ok"
    assert "crosstalk pull --list" in check.detail


def test_services_of_the_agent_s_file_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("voice: {pipecat: a.B}\nbrain: {pipecat: a.C, api_key_env: NOWHERE_KEY}")
    config = load_config(None, {}, {"agent.dialogue": str(path)}).config
    monkeypatch.setattr("agent.pipecat.agent_file.version", lambda name: "1.14.0")
    (missing,) = models.check_agent_file(config)
    assert (missing.status, missing.detail) == (
        "fail", f"{path}:2: brain.api_key_env: the environment has no NOWHERE_KEY",
    )  # fmt: skip
    path.write_text("voice: {pipecat: a.B}\nbrain: {pipecat: a.C}")
    monkeypatch.setattr(models, "check_parts", lambda specs: [("brain.pipecat", "a cannot be imported")])
    assert [(check.status, check.detail) for check in models.check_agent_file(config)] == [
        ("fail", f"{path}: brain.pipecat: a cannot be imported"),
        ("ok", "voice: a.B can be made"),
    ]
    assert list(models.check_agent_file(load_config(None, {}, {}).config)) == []


def test_speech_model_is_looked_at_with_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.app.need_extra", lambda: None)
    config = replace(Config(), engine=EngineConfig(model=f"{tmp_path}/"))
    missing = only(models.check_speech_model(config), "speech model")
    assert missing.status == "fail"
    assert "missing model.safetensors" in missing.detail
    write_shapes(tmp_path)
    for name in (MODEL_FILE, MIMI_FILE, TEXT_FILE):
        (tmp_path / name).touch()
    found = list(models.check_speech_model(config))
    assert only(iter(found), "speech model").status == "ok"
    assert "2 processes load it" in only(iter(found), "graphics memory").detail
    assert not list(models.check_speech_model(Config()))
