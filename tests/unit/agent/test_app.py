"""What is seen at the start, before any process is started."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from agent.app import check_model, check_recordings, serve
from agent.config import Config, RecordingConfig
from agent.errors import ConfigError
from agent.model.moshi.config import MIMI_FILE, MODEL_FILE, TEXT_FILE
from tests.unit.agent.call_fakes import KeptLog
from tests.unit.agent.model.moshi.shapes import write_shapes


def config(folder: Path, *, enabled: bool = True) -> Config:
    return replace(Config(), recording=RecordingConfig(enabled=enabled, folder=str(folder)))


def test_folder_of_recordings_is_made_and_left_empty(tmp_path: Path) -> None:
    check_recordings(config(tmp_path / "a" / "b"))
    assert list((tmp_path / "a" / "b").iterdir()) == []


async def test_folder_that_cannot_be_written_stops_the_start_and_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^recording\.folder: .*file/sub cannot be written: Not a directory$"):
        await serve(config(tmp_path / "file" / "sub"), log=KeptLog())


def test_folder_is_not_looked_at_where_nothing_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_recordings(config(tmp_path / "file" / "sub", enabled=False))


def test_folder_that_is_no_model_stops_the_start_and_names_key_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.app.need_extra", lambda: None)
    model = replace(Config(), engine=replace(Config().engine, model=str(tmp_path)))
    with pytest.raises(ConfigError, match=r"^engine\.model: .*missing model\.safetensors, tokenizer-"):
        check_model(model)
    with pytest.raises(ConfigError, match=r"^engine\.model: .*nowhere: no such folder$"):
        check_model(replace(model, engine=replace(model.engine, model=f"{tmp_path}/nowhere")))
    check_model(Config())


def test_missing_extra_stops_the_start_with_the_command_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.model.moshi.extra.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^engine\.model: torch, .* missing: pip install 'crosstalk-voice\[gpu\]'$"):
        check_model(replace(Config(), engine=replace(Config().engine, model=str(tmp_path))))


def test_voice_that_the_model_has_not_stops_the_start_with_those_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.app.need_extra", lambda: None)
    write_shapes(tmp_path)
    for name in (MODEL_FILE, MIMI_FILE, TEXT_FILE):
        (tmp_path / name).touch()
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "NATF0.pt").touch()
    packed = tmp_path / "voices.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(tmp_path / "voices" / "NATF0.pt", "voices/NATF2.pt")

    def asked(voice: str) -> Config:
        base = Config()
        agent = replace(base.agent, native=replace(base.agent.native, voice=voice))
        return replace(base, engine=replace(base.engine, model=str(tmp_path)), agent=agent)

    check_model(asked("NATF0"))
    check_model(asked("NATF2"))
    check_model(asked(""))
    with pytest.raises(ConfigError, match=r"^agent\.native\.voice: 'Bob' is none of the model's: NATF0, NATF2$"):
        check_model(asked("Bob"))
    packed.write_bytes(b"no archive")
    check_model(asked("NATF0"))
