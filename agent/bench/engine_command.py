"""Arguments of ``crosstalk bench engine``. Imports no torch: the command line stays light without the extra."""

from __future__ import annotations

import argparse
from typing import Any, Final

from agent.argument_types import count
from agent.model.moshi.extra import need_extra

ROWS: Final = "1,8,16,32,64,128"
MOST_ROWS: Final = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="moshi-7b", metavar="NAME", help="moshi-7b, personaplex-7b, or a checkpoint's folder"
    )
    parser.add_argument("--random-weights", action="store_true", help="of the model's shape: speed is the same")
    parser.add_argument("--rows", type=row_counts, default=row_counts(ROWS), metavar="N,N…", help=f"default: {ROWS}")
    parser.add_argument("--window", type=count, default=3000, metavar="FRAMES", help="80 ms each")
    parser.add_argument("--ticks", type=count, default=200, help="per row count")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 …")
    parser.add_argument("--dtype", default="auto", choices=("auto", "bfloat16", "float32"))
    parser.add_argument("--fp8-kv", action="store_true", help="keys and values in 8 bits")
    parser.add_argument("--no-graphs", action="store_true", help="launch every operation by itself")
    parser.add_argument("--no-reference", action="store_true", help="do not measure moshi's own generator")
    parser.add_argument("--json", action="store_true")


def row_counts(text: str) -> tuple[int, ...]:
    """``1,8,16``"""
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of row counts") from None
    if not all(1 <= rows <= MOST_ROWS for rows in counts):
        raise argparse.ArgumentTypeError(f"row counts are 1 to {MOST_ROWS}")
    return counts


def run_engine_bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """The measurement. Raises ``ModelError`` where the extra, the device or the files are missing."""
    need_extra()
    from agent.bench.engine import Plan, engine_bench
    from agent.model.moshi.model import Options

    options = Options(
        device=arguments.device,
        dtype=arguments.dtype,
        window=arguments.window,
        fp8_kv=arguments.fp8_kv,
        graphs=not arguments.no_graphs,
    )
    return engine_bench(
        Plan(
            model=arguments.model,
            rows=arguments.rows,
            window=arguments.window,
            ticks=arguments.ticks,
            random_weights=arguments.random_weights,
            reference=not arguments.no_reference,
            options=options,
        )
    )
