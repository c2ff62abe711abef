"""``crosstalk worker``: an engine by itself, for gateways on this host or others (``engine.remote``)."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from agent.commands.options import loaded, with_config
from agent.errors import ConfigError


def add_worker(commands: Any) -> None:
    parser = commands.add_parser("worker", help="an engine by itself, for gateways that name it in engine.remote")
    with_config(parser)
    parser.add_argument("--name", default="worker1", help="what gateways call it")
    parser.add_argument("--control", required=True, metavar="HOST:PORT", help="where gateways' fronts connect")
    parser.add_argument("--audio", required=True, metavar="HOST:PORT", help="where their edges connect")
    parser.set_defaults(run=_worker)


def _worker(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; 0. Raises ``ConfigError`` and ``ModelError``."""
    from agent.app import check_model, worker_options
    from agent.model.registry import build_model
    from agent.native import settled_native
    from agent.pool.address import parse_address
    from agent.pool.worker import run_worker

    for option in ("control", "audio"):
        try:
            parse_address(getattr(arguments, option))
        except ValueError as wrong:
            raise ConfigError(f"--{option}", str(wrong)) from None
    config = settled_native(loaded(arguments).config)
    check_model(config)
    options = worker_options(config, arguments.name, control=arguments.control, audio=arguments.audio)
    model, model_options = options.pop("model"), options.pop("model_options")
    try:
        run_worker(
            **options,
            model_factory=lambda rows: build_model(model, rows, **model_options),
            on_ready=lambda hello: _told(
                f"worker {hello.worker}: {hello.model}, {hello.rows} rows, audio {hello.audio}"
            ),
        )
    except OSError as wrong:
        raise ConfigError("--control, --audio", f"cannot be listened on: {wrong.strerror or wrong}") from None
    return 0


def _told(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
