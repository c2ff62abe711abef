"""``crosstalk train small`` and ``crosstalk eval small``: calls, net, weights and figures, one command each."""

from __future__ import annotations

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from agent.argument_types import count, positive
from agent.errors import AgentError

NEEDED: Final = ("torch", "onnx")
"""What the extra ``train`` brings."""
PRODUCTS: Final = ("auto", "float32", "bf16")
"""``agent.training.net.products.Asked``: training is imported where it runs only."""


def add_training(commands: Any) -> None:
    trains = commands.add_parser("train", help="train a net of ours").add_subparsers(required=True, metavar="NET")
    small = trains.add_parser("small", help="Crosstalk-small: makes calls, trains, exports, judges (extra train)")
    small.add_argument("--out", type=Path, default=Path("var/small"), help="folder of all of it; a stopped run goes on")
    small.add_argument("--hours", type=positive, default=30.0, help="of training calls (33 MB each)")
    small.add_argument("--valid-hours", type=positive, default=0.8, help="of calls to judge by, voices of their own")
    small.add_argument("--steps", type=count, default=4000)
    small.add_argument("--batch", type=count, default=16, help="calls in a step")
    small.add_argument("--hidden", type=count, help="size of the net's memory; default: as shipped")
    small.add_argument("--seed", type=count, default=1)
    small.add_argument("--device", default="cpu", help="cpu or cuda")
    small.add_argument("--jobs", type=count, default=1, help="processes that make calls")
    small.add_argument(
        "--products", choices=PRODUCTS, default=PRODUCTS[0], help="what is multiplied; auto: bf16 where that is faster"
    )
    small.add_argument("--rate", type=positive, default=2e-3, help="highest learning rate")
    small.add_argument("--start", type=Path, metavar="CHECKPOINT", help="adapt this net instead of a new one")
    small.add_argument(
        "--mix", metavar="CHECKPOINT:SHARE", help="another net's share (0 to 1) of the weights that are exported"
    )
    small.add_argument("--domain", type=Path, metavar="FLOW.yaml", help="a dialogue whose sayings the net should know")
    small.add_argument("--recordings", type=Path, metavar="DIR", help="recorded people: a folder with manifest.csv")
    small.add_argument("--no-share-alike", action="store_true", help="leave out recordings under CC BY-SA")
    small.add_argument("--json", action="store_true", help="print the figures as one object")
    small.set_defaults(run=_train_small)
    judged = commands.add_parser("eval", help="judge a net of ours").add_subparsers(required=True, metavar="NET")
    small = judged.add_parser("small", help="Crosstalk-small, on voices that training never met (extra train)")
    small.add_argument("weights", nargs="?", default="", help="file or folder; default: the net that ships")
    small.add_argument("--data", type=Path, default=Path("var/small/valid"), help="calls; made where there are none")
    small.add_argument("--hours", type=positive, default=0.8, help="of calls, where they must be made")
    small.add_argument("--seed", type=count, default=900)
    small.add_argument("--recordings", type=Path, metavar="DIR", help="recorded people: a folder with manifest.csv")
    small.add_argument("--json", action="store_true")
    small.set_defaults(run=_eval_small)


def _train_small(arguments: argparse.Namespace) -> int:
    _need_extra("crosstalk train")
    from agent.training.mix import part
    from agent.training.net.products import Asked
    from agent.training.small import SmallPlan, train_small

    try:
        mix = part(arguments.mix) if arguments.mix else None
    except argparse.ArgumentTypeError as wrong:
        raise AgentError(f"--mix {wrong}") from None
    found = train_small(
        SmallPlan(
            out=arguments.out,
            hours=arguments.hours,
            valid_hours=arguments.valid_hours,
            steps=arguments.steps,
            batch=arguments.batch,
            hidden=arguments.hidden or 0,
            seed=arguments.seed,
            device=arguments.device,
            jobs=arguments.jobs,
            products=Asked(arguments.products),
            rate=arguments.rate,
            start=arguments.start,
            mix=mix,
            domain=arguments.domain,
            recordings=arguments.recordings,
            share_alike=not arguments.no_share_alike,
        )
    )
    _show(found, as_json=arguments.json)
    return 0


def _eval_small(arguments: argparse.Namespace) -> int:
    _need_extra("crosstalk eval")
    from agent.training.small import eval_small

    found = eval_small(
        arguments.weights,
        arguments.data,
        hours=arguments.hours,
        seed=arguments.seed,
        recordings=arguments.recordings,
    )
    _show(found, as_json=arguments.json)
    return 0


def _need_extra(command: str) -> None:
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        raise AgentError(
            f"{command} needs {' and '.join(lacking)}: pip install 'crosstalk-voice[train]' (docs/howto/train_small.md)"
        )


def _show(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    from agent.training.report import table

    sys.stdout.write(table(figures) + "\n")
