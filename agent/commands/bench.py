"""``crosstalk bench …``: the options of each benchmark, and its result on stdout."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agent.argument_types import count, positive
from agent.commands.bench_conversations import add_conversations
from agent.commands.bench_overlaps import PROFILES, add_overlaps
from agent.commands.options import models_folder, with_models

DUPLEX_SYSTEMS = ("small", "parts", "timer", "pipecat")
PIPECAT_PARTS = ("latency", "context", "parts")
DOOR_PARTS = ("browser", "twilio", "neighbours", "script")


def add_bench(commands: Any) -> None:
    benches = commands.add_parser("bench", help="benchmarks").add_subparsers(required=True, metavar="BENCH")
    duplex = benches.add_parser("duplex", help="turn taking, measured on the wire (docs/benchmarks.md)")
    duplex.add_argument("--speech", type=Path, metavar="DIR", help="folder with recorded clips and manifest.csv")
    duplex.add_argument(
        "--events", type=count, default=24, help="events of each kind and profile (200 for headline figures: hours)"
    )
    duplex.add_argument("--quick", action="store_true", help="few events, clean line only")
    duplex.add_argument("--at-once", type=count, default=2, metavar="N", help="calls at a time (default: 2)")
    duplex.add_argument("--echo", type=count, default=0, metavar="N",
                        help="only N silent callers a system, who echo our voice (as bench echo)")  # fmt: skip
    duplex.add_argument("--system", action="append", choices=DUPLEX_SYSTEMS,
                        help="what to compare; may be repeated; default: all. small and parts answer calls, the others "
                        "hear the same audio")  # fmt: skip
    duplex.add_argument("--profile", action="append", choices=PROFILES, default=[],
                        help="only these lines, without marker voice and echo; may be repeated")  # fmt: skip
    duplex.add_argument("--weights", default="", metavar="PATH", help="of small: as ears.weights")
    duplex.add_argument("--picture", type=Path, metavar="FILE", help="write latency against pause takeover as SVG")
    duplex.add_argument("--json", action="store_true")
    duplex.set_defaults(run=_bench_duplex)
    add_conversations(benches)
    add_overlaps(benches)
    engine = benches.add_parser("engine", help="a speech-native model's tick on this device (extra gpu)")
    _add_engine_arguments(engine)
    engine.set_defaults(run=_bench_engine)
    media = benches.add_parser("media", help="the media plane alone")
    media.add_argument("--calls", type=count, default=500)
    media.add_argument("--seconds", type=positive, default=10.0)
    media.add_argument("--json", action="store_true")
    media.set_defaults(run=_bench_media)
    voice = benches.add_parser("voice", help="what voices cost, and what a listener understands of them")
    _add_voice_arguments(voice)
    with_models(voice)
    voice.set_defaults(run=_bench_voice)
    webrtc = benches.add_parser("webrtc", help="browsers' legs, beside aiortc as it comes")
    webrtc.add_argument("--legs", type=count, default=6)
    webrtc.add_argument("--seconds", type=positive, default=10.0)
    webrtc.add_argument("--json", action="store_true")
    webrtc.set_defaults(run=_bench_webrtc)

    doors = benches.add_parser("doors", help="browsers, Twilio and sessions beside the telephone")
    doors.add_argument("--parts", nargs="+", default=list(DOOR_PARTS), choices=DOOR_PARTS, metavar="PART",
                       help=f"of {', '.join(DOOR_PARTS)}; default: all")  # fmt: skip
    doors.add_argument("--rounds", type=count, default=3, help="more of them, surer figures (about 7 minutes for 3)")
    doors.add_argument("--legs", type=count, default=4, help="calls that come and go beside the telephone")
    doors.add_argument("--delay-ms", type=float, default=0.0, help="one way to the double of Twilio")
    doors.add_argument("--json", action="store_true")
    doors.set_defaults(run=_bench_doors)

    pipecat = benches.add_parser("pipecat", help="Pipecat's live service beside our socket, and its services as parts")
    pipecat.add_argument("--parts", nargs="+", default=list(PIPECAT_PARTS), choices=PIPECAT_PARTS, metavar="PART",
                         help=f"of {', '.join(PIPECAT_PARTS)}; default: all")  # fmt: skip
    pipecat.add_argument("--interruptions", type=count, default=50, help="answers to be cut (about 10 s each)")
    pipecat.add_argument("--calls", type=count, default=4, help="calls at once whose parts are measured")
    pipecat.add_argument("--rounds", type=count, default=10, help="of 8 sounds through both doors")
    pipecat.add_argument("--json", action="store_true")
    pipecat.set_defaults(run=_bench_pipecat)


def _bench_duplex(arguments: argparse.Namespace) -> int:
    from agent.app import start_service
    from agent.bench.duplex import duplex_command

    return asyncio.run(
        duplex_command(
            speech=arguments.speech,
            events=arguments.events,
            quick=arguments.quick,
            at_once=arguments.at_once,
            echo=arguments.echo,
            systems=arguments.system or DUPLEX_SYSTEMS,
            only=arguments.profile,
            weights=arguments.weights,
            picture_at=arguments.picture,
            as_json=arguments.json,
            start_service=start_service,
        )
    )


def _add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    from agent.bench.engine_command import add_arguments

    add_arguments(parser)


def _bench_engine(arguments: argparse.Namespace) -> int:
    from agent.bench.engine_command import run_engine_bench

    result = run_engine_bench(arguments)
    if arguments.json:
        _write(json.dumps(result))
    else:
        from agent.bench.engine import table

        _write("\n".join(table(result)))
    return 0


def _bench_media(arguments: argparse.Namespace) -> int:
    from agent.bench.media import run_media_bench

    result = run_media_bench(arguments.calls, arguments.seconds)
    _show(result, as_json=arguments.json)
    return 0


def _add_voice_arguments(parser: argparse.ArgumentParser) -> None:
    from agent.bench.voice_arguments import add_arguments

    add_arguments(parser)


def _bench_voice(arguments: argparse.Namespace) -> int:
    from agent.bench.voice import run_voice_bench, table

    if arguments.word_times:
        from agent.bench import word_times

        found = word_times.run_word_times_bench(arguments.voice)
        _write(json.dumps(found) if arguments.json else word_times.table(found))
        return 0
    result = run_voice_bench(
        arguments.voice, models=models_folder(arguments), listener=arguments.listener, program=arguments.program
    )
    _write(json.dumps(result) if arguments.json else table(result))
    return 0


def _bench_webrtc(arguments: argparse.Namespace) -> int:
    from agent.app import start_service
    from agent.bench.webrtc import webrtc_bench

    result = asyncio.run(webrtc_bench(legs=arguments.legs, seconds=arguments.seconds, start_service=start_service))
    _show(result, as_json=arguments.json)
    return 1 if result["missed"] else 0


def _bench_doors(arguments: argparse.Namespace) -> int:
    from agent.app import start_service
    from agent.bench.doors import doors_command

    return asyncio.run(
        doors_command(
            parts=arguments.parts,
            rounds=arguments.rounds,
            legs=arguments.legs,
            delay_ms=arguments.delay_ms,
            as_json=arguments.json,
            start_service=start_service,
        )
    )


def _bench_pipecat(arguments: argparse.Namespace) -> int:
    from agent.app import start_service
    from agent.bench.pipecat import pipecat_bench

    result = asyncio.run(
        pipecat_bench(
            start_service=start_service,
            parts=arguments.parts,
            interruptions=arguments.interruptions,
            calls=arguments.calls,
            rounds=arguments.rounds,
        )
    )
    _show(result, as_json=arguments.json)
    return 0


def _show(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _write(json.dumps(result))
        return
    width = max(len(key) for key in result)
    for key, value in result.items():
        _write(f"{key:<{width}}  {value}")


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
