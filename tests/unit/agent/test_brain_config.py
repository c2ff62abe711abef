"""What the configuration of brains behind servers must fulfil, and what opens from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config_load import load_config, render
from agent.errors import ConfigError
from agent.parts import open_brain
from agent.remote.chat import ChatBrain
from agent.remote.relay import RelayBrain

CHAT = {
    "agent.brain": "chat",
    "agent.chat.url": "http://127.0.0.1:8000/v1",
    "agent.chat.model": "m",
    "ears.recogniser": "none",
}
RELAY = {"agent.brain": "relay", "agent.relay.url": "wss://example.com/relay", "ears.recogniser": "none"}


def load(flags: dict[str, Any]) -> Any:
    return load_config(None, {}, flags)


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        (CHAT | {"agent.chat.url": ""}, "agent.chat.url"),
        (CHAT | {"agent.chat.url": "ftp://x"}, "agent.chat.url"),
        (CHAT | {"agent.chat.model": ""}, "agent.chat.model"),
        (CHAT | {"agent.chat.extra": "[1]"}, "agent.chat.extra"),
        (CHAT | {"agent.chat.transfers": ["billing"]}, "agent.chat.transfers"),
        (CHAT | {"agent.chat.filler_after_ms": 9000}, "agent.chat.filler_after_ms"),
        (CHAT | {"ears.recogniser": "pocketsphinx"}, "agent.phrases"),
        (RELAY | {"agent.relay.url": "https://example.com"}, "agent.relay.url"),
        (RELAY | {"agent.relay.url": ""}, "agent.relay.url"),
        (RELAY | {"agent.relay.headers": ["no colon"]}, "agent.relay.headers"),
        ({"agent.mcp": [{"name": "a", "tools": ["*"]}]}, "agent.mcp[0].command"),
        ({"agent.mcp": [{"name": "a", "url": "http://x/mcp"}]}, "agent.mcp[0].tools"),
        ({"agent.mcp": [{"name": "a", "url": "http://x/mcp", "tools": ["*"]}] * 2}, "agent.mcp[1].name"),
        ({"agent.mcp": [{"name": "a", "colour": "red"}]}, "agent.mcp[0].colour"),
        (
            {"agent.mcp": [{"name": "a", "command": ["x"], "tools": ["*"], "environment": ["A"]}]},
            "agent.mcp[0].environment",
        ),
    ],
)
def test_impossible_setting_is_named(flags: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(flags)
    assert refused.value.path == key


def test_brains_open_from_their_sections() -> None:
    assert isinstance(open_brain(load(CHAT).config), ChatBrain)
    assert isinstance(open_brain(load(RELAY).config), RelayBrain)


@pytest.mark.parametrize("key", ["agent.chat.prompt", "agent.chat.tools"])
def test_file_that_is_not_there_stops_the_start(key: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        open_brain(load(CHAT | {key: "/nonexistent"}).config)


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-very-secret\n")
    headers = {"agent.relay.headers": ["X: very-secret"], "agent.relay.signing_token": "very-secret"}
    mcp = {"agent.mcp": [{"name": "a", "url": "http://x/mcp", "tools": ["*"], "headers": ["X: very-secret"]}]}
    loaded = load_config(None, {"CROSSTALK_AGENT__CHAT__API_KEY_FILE": str(secret)}, CHAT | headers | mcp)
    assert loaded.config.agent.chat.api_key == "sk-very-secret"
    for shown in (render(loaded, as_json=True), render(loaded, as_json=False), repr(loaded.config)):
        assert "very-secret" not in shown
