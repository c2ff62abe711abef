"""The ``crosstalk`` command. Results go to stdout, everything else to stderr; ``--json`` prints one object."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent import VERSION
from agent.argument_types import count, positive
from agent.commands.bench import add_bench
from agent.commands.options import key_of, loaded, models_folder, with_config, with_key, with_models
from agent.commands.training import add_training
from agent.commands.worker import add_worker
from agent.errors import AgentError, ConfigError

EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ConfigError as error:
        print(f"crosstalk: configuration: {error}", file=sys.stderr)
        return EXIT_USAGE
    except AgentError as error:
        print(f"crosstalk: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough (``crosstalk config show | head``)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crosstalk", description="A telephony voice agent that listens while it talks."
    )
    parser.add_argument("--version", action="version", version=f"crosstalk {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    add_worker(commands)
    _add_call(commands)
    _add_demo(commands)
    _add_load(commands)
    add_bench(commands)
    add_training(commands)
    _add_config(commands)
    _add_doctor(commands)
    _add_keys(commands)
    _add_pull(commands)
    _add_transcribe(commands)
    return parser


# --- serve ---------------------------------------------------------------------------------------------------------


def _add_serve(commands: Any) -> None:
    parser = commands.add_parser("serve", help="answer calls")
    with_config(parser)
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from agent import logging
    from agent.app import serve
    from agent.native import settled_native
    from agent.parts import open_brain, with_agent_file

    config = settled_native(with_agent_file(loaded(arguments).config))
    open_brain(config)  # a dialogue that cannot be used stops the start here, with its line
    writer = logging.configure(config.log.format, config.log.level, config.log.mask_numbers)
    try:
        return asyncio.run(serve(config, log=logging.get_log(process="supervisor")))
    finally:
        writer.close()


# --- callers -------------------------------------------------------------------------------------------------------


def _add_call(commands: Any) -> None:
    parser = commands.add_parser("call", help="call an agent as a simulated caller and show the conversation")
    parser.add_argument(
        "uri",
        help="sip:user@host:port, webrtc+http://host:port (as a browser), live+ws://host:port/v1/live/sessions, or "
        "twilio+ws://host:port/twilio/voice (a double of Twilio)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="with twilio+ws and live+ws: where the auth token or token stands"
    )
    parser.add_argument("--script", type=Path, help="caller script (YAML); default: the shipped parcel conversation")
    parser.add_argument("--out", type=Path, default=Path("out/call"), help="folder for recording, truth and page")
    parser.add_argument("--http", default="", metavar="URL", help="the service's HTTP address, to show words and floor")
    with_key(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_call)


def _call(arguments: argparse.Namespace) -> int:
    from agent.simulator.command import call_command

    return asyncio.run(
        call_command(
            arguments.uri,
            arguments.script,
            arguments.out,
            http_url=arguments.http,
            key=key_of(arguments),
            as_json=arguments.json,
            twilio=_twilio_account(arguments),
            token=_stream_token(arguments),
        )
    )


def _twilio_account(arguments: argparse.Namespace) -> Any:
    """Whose calls a double of Twilio signs: those of the service's own configuration."""
    if not arguments.uri.startswith("twilio+"):
        return None
    from agent.config_load import load_config, process_environment
    from agent.simulator.twilio_call import TwilioAccount

    twilio = load_config(arguments.config, process_environment(), {}).config.twilio
    if not twilio.auth_token:
        raise ConfigError("twilio.auth_token", "is needed to sign (--config FILE or CROSSTALK_TWILIO__AUTH_TOKEN)")
    given = {"account_sid": twilio.account_sid} if twilio.account_sid else {}
    return TwilioAccount(auth_token=twilio.auth_token, public_url=twilio.public_url.rstrip("/"), **given)


def _stream_token(arguments: argparse.Namespace) -> str:
    """What the live door asks for, by the service's own configuration."""
    if not arguments.uri.startswith("live+"):
        return ""
    from agent.config_load import load_config, process_environment

    return str(load_config(arguments.config, process_environment(), {}).config.stream.token)


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser("demo", help="serve, let a simulated caller ring, show what happened")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for recording and page")
    parser.add_argument("--model", default="", help="whose ears listen: parts, small (default: as configured)")
    parser.add_argument("--script", type=Path, help="caller script (YAML)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from agent.app import start_service
    from agent.simulator.command import call_command

    async def run() -> int:
        async with start_service({"engine.model": arguments.model} if arguments.model else None) as service:
            return await call_command(
                service.sip_uri, arguments.script, arguments.out, http_url=service.http_url, as_json=arguments.json
            )

    return asyncio.run(run())


def _add_load(commands: Any) -> None:
    parser = commands.add_parser("load", help="many simulated callers at once")
    parser.add_argument("uri", nargs="?", help="target; default: a service of its own on this machine")
    parser.add_argument("--calls", type=count, default=40)
    parser.add_argument("--rate", type=positive, default=5.0, help="new calls per second")
    parser.add_argument("--seconds", type=positive, default=60.0, help="length of a call")
    parser.add_argument("--http", default="", metavar="URL", help="the target's HTTP address, for its CPU figures")
    with_key(parser)
    parser.add_argument("--model", default="vad", help="model of the own service (vad, parts, echo …)")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_load_test)


def _load_test(arguments: argparse.Namespace) -> int:
    from agent.app import start_service
    from agent.bench.load import load_command

    return asyncio.run(
        load_command(
            arguments.uri,
            http_url=arguments.http,
            key=key_of(arguments),
            calls=arguments.calls,
            rate=arguments.rate,
            seconds=arguments.seconds,
            model=arguments.model,
            as_json=arguments.json,
            start_service=start_service,
        )
    )


# --- config and doctor ---------------------------------------------------------------------------------------------


def _add_config(commands: Any) -> None:
    actions = commands.add_parser("config", help="the configuration").add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("show", help="effective values and where each comes from")
    with_config(show)
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=_config_show)


def _config_show(arguments: argparse.Namespace) -> int:
    from agent.config_load import render

    print(render(loaded(arguments), as_json=arguments.json))
    return 0


def _add_doctor(commands: Any) -> None:
    parser = commands.add_parser("doctor", help="check this machine and the configuration")
    with_config(parser)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from agent.doctor.run import run_doctor, worst

    checks = run_doctor(loaded(arguments))
    if arguments.json:
        print(
            json.dumps([{"name": c.name, "status": c.status, "detail": c.detail, "advice": c.advice} for c in checks])
        )
    else:
        marks = {"ok": "✓", "warn": "!", "fail": "✗"}
        for check in checks:
            print(f"{marks[check.status]} {check.name}: {check.detail}")
            if check.advice:
                print(f"    {check.advice}")
    return 1 if worst(checks) == "fail" else 0


# --- keys ----------------------------------------------------------------------------------------------------------


def _add_keys(commands: Any) -> None:
    actions = commands.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key; it is shown this once")
    create.add_argument("name", help="what it is for")
    create.add_argument("--tenant", default="*", help="tenant it is for; default: * (the operator, all tenants)")
    create.add_argument("--scope", action="append", default=[], help="one scope; may be repeated; default: all")
    create.add_argument("--days", type=positive, help="days until it expires; default: never")
    revoke = actions.add_parser("revoke", help="end a key, at once")
    revoke.add_argument("key_id", metavar="ID")
    for parser, run in (
        (create, _keys_create),
        (actions.add_parser("list", help="keys, without their text"), _keys_list),
        (revoke, _keys_revoke),
    ):
        with_config(parser)
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(run=run)


def _keys_create(arguments: argparse.Namespace) -> int:
    from agent.key_commands import create_key

    made = create_key(
        _api_folder(arguments),
        arguments.name,
        tenant=arguments.tenant,
        scopes=arguments.scope,
        days=arguments.days,
        now=time.time(),
    )
    print(json.dumps(made) if arguments.json else made["key"])
    return 0


def _keys_list(arguments: argparse.Namespace) -> int:
    from agent.key_commands import list_keys, table

    keys = list_keys(_api_folder(arguments), now=time.time())
    print(json.dumps(keys) if arguments.json else table(keys))
    return 0


def _keys_revoke(arguments: argparse.Namespace) -> int:
    from agent.key_commands import revoke_key

    revoke_key(_api_folder(arguments), arguments.key_id, now=time.time())
    if arguments.json:
        print(json.dumps({"key_id": arguments.key_id, "state": "revoked"}))
    return 0


def _api_folder(arguments: argparse.Namespace) -> Path:
    return Path(loaded(arguments).config.api.folder)


# --- models --------------------------------------------------------------------------------------------------------


def _add_pull(commands: Any) -> None:
    from agent.pull.arguments import add_arguments

    parser = commands.add_parser("pull", help="bring a voice or recogniser: pinned, checked, licence accepted")
    add_arguments(parser)
    with_models(parser)
    parser.set_defaults(run=_pull)


def _pull(arguments: argparse.Namespace) -> int:
    from agent.pull.arguments import run

    answer = run(arguments, models_folder(arguments), sys.stdin if sys.stdin.isatty() else None)
    if arguments.json:
        print(json.dumps(answer.data))
    elif answer.text:
        print(answer.text)
    return answer.code


def _add_transcribe(commands: Any) -> None:
    from agent.transcribe.arguments import add_arguments

    parser = commands.add_parser("transcribe", help="what was said in recordings, by a model of crosstalk pull")
    add_arguments(parser)
    with_models(parser)
    parser.set_defaults(run=_transcribe)


def _transcribe(arguments: argparse.Namespace) -> int:
    from agent.pull.store import located
    from agent.transcribe.command import transcripts

    results = transcripts(
        arguments.recordings,
        Path(located(str(models_folder(arguments)), arguments.model)),
        language=arguments.language,
        only=arguments.only,
        threads=arguments.threads,
        write=arguments.write,
    )
    if arguments.json:
        print(json.dumps(list(results)))
        return 0
    for result in results:
        print(f"{result['recording']} ({result['seconds']} s)")
        print(result["text"] or "nobody said anything")
    return 0
