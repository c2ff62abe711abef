"""Configuration of the stream doors: what cannot be used is refused at the start."""

from __future__ import annotations

import pytest

from agent.app import roles_of
from agent.config import Config, StreamConfig
from agent.config_rules.problems import problems
from agent.streams import edge_options


def with_stream(**more: object) -> Config:
    return Config(stream=StreamConfig(**more))  # type: ignore[arg-type]


def test_no_door_no_process() -> None:
    assert [role.name for role in roles_of(Config(), "/run") if role.role == "stream" and role.name == "stream"] == []
    assert "stream" in [role.name for role in roles_of(with_stream(doors=("pcm",)), "/run")]


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"doors": ("fax",)}, "stream.doors"),
        ({"doors": ("pcm", "pcm")}, "stream.doors"),
        ({"doors": ("pcm",), "host": "0.0.0.0"}, "stream.token"),
        ({"doors": ("live",), "host": "192.0.2.1"}, "stream.token"),
        ({"public_url": "https://voice.example.org"}, "stream.public_url"),
        ({"max_calls": 0}, "stream.max_calls"),
        ({"silence_timeout_s": 1.0}, "stream.silence_timeout_s"),
        ({"port": 70000}, "stream.port"),
    ],
)
def test_what_cannot_be_used_is_named(settings: dict[str, object], path: str) -> None:
    assert [problem[0] for problem in problems(with_stream(**settings))] == [path]


@pytest.mark.parametrize(
    "settings",
    [{"doors": ("pcm", "live")}, {"doors": ("pcm",), "host": "0.0.0.0", "token": "t"}, {"host": "0.0.0.0"}],
)
def test_what_can_be_used_passes(settings: dict[str, object]) -> None:
    assert problems(with_stream(**settings)) == []


def test_token_reaches_the_doors_and_no_representation() -> None:
    config = with_stream(doors=("live",), token="s3cret")
    assert edge_options(config, "/run")["doors"]["live"]["token"] == "s3cret"
    assert "s3cret" not in repr(config)
