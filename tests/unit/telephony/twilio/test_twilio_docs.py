"""The how-to says what the code does."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.config_load import load_config
from telephony.twilio.token import TokenGate

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "howto" / "twilio.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", blocks("toml"))
def test_every_configuration_of_the_page_can_be_used(text: str, tmp_path: Path) -> None:
    path = tmp_path / "twilio.toml"
    path.write_text(text, encoding="utf-8")
    env = {} if "auth_token" in text else {"CROSSTALK_TWILIO__AUTH_TOKEN": "secret"}
    config = load_config(path, env, {}).config
    assert config.stream.doors == ("twilio",)
    assert config.twilio.public_url == tomllib.loads(text)["twilio"]["public_url"]


def test_a_token_made_as_the_page_says_is_let_in() -> None:
    (source,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(source, "twilio.md", "exec"), names)  # the page's own code, from this checkout
    TokenGate("k" * 32).admit(names["token"]("k" * 32, "v2:call"), "v2:call", now=time.time())


def test_every_rule_of_the_code_is_on_the_page() -> None:
    sources = [*(ROOT / "telephony" / "twilio").glob("*.py"), ROOT / "agent" / "api" / "twilio.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    rules = set(re.findall(r'"((?:stream|webhook)-[a-z-]+)"', text))
    assert len(rules) > 20
    assert {rule for rule in rules if f"`{rule}`" not in PAGE} == set()
