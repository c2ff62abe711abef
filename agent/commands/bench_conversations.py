"""``crosstalk bench task`` and ``bench echo``: callers who want something, and callers who only echo."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from agent.argument_types import count
from agent.commands.options import settings_of
from agent.model.names import ModelName

SYSTEMS = (ModelName.SMALL.value, ModelName.PARTS.value)
NOISES = ("babble", "white", "street", "tv")


def add_conversations(benches: Any) -> None:
    task = benches.add_parser("task", help="callers with goals: whether the parcel line serves them")
    task.add_argument("--calls", type=count, default=40, metavar="N", help="default: 40 (about 40 s each)")
    task.add_argument("--at-once", type=count, default=2, metavar="N", help="calls at a time (default: 2)")
    task.add_argument(
        "--noise-db", type=float, metavar="DB", help="background that far under the callers; default: none"
    )
    task.add_argument("--noise", choices=NOISES, default="babble", help="what it is (default: babble)")
    task.add_argument("--voice", action="append", default=[], metavar="NAME",
                      help="of the callers; may be repeated (default: flite:rms, pico:en-GB)")  # fmt: skip
    task.add_argument("--no-keys", action="store_true", help="callers press no keys where they are asked to")
    task.add_argument("--seed", type=int, default=20261126)
    _with_system(task)
    task.set_defaults(run=_bench_task)

    echo = benches.add_parser("echo", help="silent callers who echo our voice: how often it stops for itself")
    echo.add_argument("--calls", type=count, default=10, metavar="N", help="a minute of our speech each (default: 10)")
    echo.add_argument("--at-once", type=count, default=2, metavar="N", help="calls at a time (default: 2)")
    echo.add_argument("--level-db", type=float, default=-20.0, help="of the echo against our voice (default: -20)")
    echo.add_argument("--delay-ms", type=count, default=150, help="of the echo (default: 150)")
    _with_system(echo)
    echo.set_defaults(run=_bench_echo)


def _with_system(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", choices=SYSTEMS, default=ModelName.SMALL.value, help="who answers (default: small)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting of the service")
    parser.add_argument("--json", action="store_true")


def _checked_settings(arguments: argparse.Namespace) -> dict[str, object]:
    """Settings of the service. Raises ``ConfigError`` naming the option or the key, before a service starts."""
    from agent.config_load import load_config

    found = settings_of(arguments)
    load_config(None, {}, found)
    return found


def _bench_task(arguments: argparse.Namespace) -> int:
    from agent.app import start_service
    from agent.bench.task import VOICES, TaskOptions, task_command

    options = TaskOptions(
        calls=arguments.calls,
        at_once=arguments.at_once,
        noise_db=arguments.noise_db,
        noise=arguments.noise,
        system=arguments.system,
        settings=_checked_settings(arguments),
        voices=arguments.voice or VOICES,
        use_keys=not arguments.no_keys,
        seed=arguments.seed,
    )
    return asyncio.run(task_command(options, as_json=arguments.json, start_service=start_service))


def _bench_echo(arguments: argparse.Namespace) -> int:
    from agent.app import start_service
    from agent.bench.echo import EchoOptions, echo_command

    options = EchoOptions(
        calls=arguments.calls,
        at_once=arguments.at_once,
        level_db=arguments.level_db,
        delay_ms=arguments.delay_ms,
        system=arguments.system,
        settings=_checked_settings(arguments),
    )
    return asyncio.run(echo_command(options, as_json=arguments.json, start_service=start_service))
