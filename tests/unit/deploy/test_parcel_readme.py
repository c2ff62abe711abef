"""The configuration that the example's README shows is one that starts."""

from __future__ import annotations

import re
from pathlib import Path

from agent.config_load import load_config

README = Path(__file__).parents[3] / "deploy" / "examples" / "parcel" / "README.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_configuration_of_the_readme_is_accepted(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "crosstalk.toml"
    path.write_text(text.replace("whsec_…", SECRET), encoding="utf-8")
    config = load_config(path, {}, {}).config
    assert config.webhooks.endpoints[0].url == config.agent.tool_url
