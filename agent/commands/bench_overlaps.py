"""``crosstalk bench overlaps``: sounds over our voice by the hundred, in virtual time."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from agent.argument_types import count
from agent.commands.bench_conversations import SYSTEMS

PROFILES = ("clean", "loss2_jitter30", "babble10", "echo30")
SEED = 20261126


def add_overlaps(benches: Any) -> None:
    overlaps = benches.add_parser("overlaps", help="sounds over our voice by the hundred, in virtual time")
    overlaps.add_argument("--events", type=count, default=200, metavar="N",
                          help="of each kind on each line (default: 200)")  # fmt: skip
    overlaps.add_argument("--system", action="append", choices=SYSTEMS, default=[],
                          help="whose ears; may be repeated (default: small)")  # fmt: skip
    overlaps.add_argument("--profile", action="append", choices=PROFILES, default=[],
                          help="only these lines; may be repeated (default: all)")  # fmt: skip
    overlaps.add_argument("--speech", type=Path, metavar="DIR",
                          help="folder with recorded clips and manifest.csv: people instead")  # fmt: skip
    overlaps.add_argument("--weights", default="", metavar="PATH", help="of small: as ears.weights")
    overlaps.add_argument("--seed", type=int, default=SEED)
    overlaps.add_argument("--json", action="store_true")
    overlaps.set_defaults(run=_bench_overlaps)


def _bench_overlaps(arguments: argparse.Namespace) -> int:
    from agent.bench.overlaps import overlaps_command

    return overlaps_command(
        events=arguments.events,
        systems=arguments.system or SYSTEMS[:1],
        only=arguments.profile,
        speech=arguments.speech,
        weights=arguments.weights,
        seed=arguments.seed,
        as_json=arguments.json,
    )
