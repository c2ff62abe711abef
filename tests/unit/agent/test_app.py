"""What is seen at the start, before any process is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.app import check_recordings, serve
from agent.config import Config, RecordingConfig
from agent.errors import ConfigError
from tests.unit.agent.call_fakes import KeptLog


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
