"""Options that several commands take, and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from agent.errors import ConfigError


def with_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file (environment and flags win over it)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, e.g. sip.port=5070"
    )
    parser.add_argument("--sip-port", type=int, metavar="N", help="SIP port (UDP)")
    parser.add_argument("--http-port", type=int, metavar="N", help="HTTP port")
    parser.add_argument("--model", metavar="NAME", help="small (default), parts, vad, echo, talker, silent, marker")


def settings_of(arguments: argparse.Namespace) -> dict[str, object]:
    """What ``--set`` says, unchecked. Raises ``ConfigError`` naming what is no KEY=VALUE."""
    found: dict[str, object] = {}
    for setting in arguments.set:
        key, separator, value = setting.partition("=")
        if not separator:
            raise ConfigError(f"--set {setting}", "must be KEY=VALUE")
        found[key] = value
    return found


def loaded(arguments: argparse.Namespace) -> Any:
    from agent.config_load import load_config, process_environment

    flags = settings_of(arguments)
    named = {"sip.port": arguments.sip_port, "http.port": arguments.http_port, "engine.model": arguments.model}
    flags |= {key: value for key, value in named.items() if value is not None}
    return load_config(arguments.config, process_environment(), flags)


def with_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", default="", help="API key of the service (better: in CROSSTALK_API_KEY)")


def key_of(arguments: argparse.Namespace) -> str:
    """The key of a command: others on this machine can read an argument, but not the environment."""
    from agent.config_load import process_environment

    return str(arguments.key or process_environment().get("CROSSTALK_API_KEY", ""))


def with_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file that may set models.folder")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where models are kept; default: models.folder")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else to stdout")


def models_folder(arguments: argparse.Namespace) -> Path:
    from agent.config_load import load_config, process_environment

    if arguments.folder is not None:
        return Path(arguments.folder)
    return Path(load_config(arguments.config, process_environment(), {}).config.models.folder)
