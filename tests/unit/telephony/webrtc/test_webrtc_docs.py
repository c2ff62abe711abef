"""The reference names every refusal that the code makes, and the how-to's configuration is one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from agent.config_load import load_config

ROOT = Path(__file__).parents[4]
CODE = [ROOT / "agent" / "api" / "webrtc.py", *sorted((ROOT / "telephony" / "webrtc").glob("*.py"))]


def test_every_rule_is_in_the_reference() -> None:
    text = "\n".join(path.read_text() for path in CODE)
    rules = set(re.findall(r'rule="([a-z-]+)"', text))
    rules |= set(re.findall(r'(?:Refused|problem)\(\s*(?:\d+|[a-z_.\[\]0-9]+), "([a-z-]+)"', text)) - {"gone"}
    page = (ROOT / "docs" / "reference" / "webrtc.md").read_text()
    assert len(rules) > 12
    assert not {rule for rule in rules if f"`{rule}`" not in page}


def test_the_how_tos_configuration_starts(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "howto" / "browser.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    assert tomllib.loads(block)["webrtc"]["port_min"] == 30000
    path = tmp_path / "crosstalk.toml"
    path.write_text(block)
    assert load_config(path, {}, {}).config.webrtc.turn == ("turn:turn.example.org?transport=udp",)
