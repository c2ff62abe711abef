"""Arguments of ``crosstalk pull`` and what it does with them. Imports nothing heavy at the top."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from agent.pull.errors import PullFailed


class Answer(NamedTuple):
    """What the command line prints, in either form, and its exit code."""

    code: int
    data: Any
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; what there is: --list")
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument("--list", action="store_true", help="models that are known and that are here")
    actions.add_argument("--verify", action="store_true", help="like --list, with all checksums compared again")
    actions.add_argument("--remove", action="store_true", help="take the named models away")
    parser.add_argument("--accept-licence", action="store_true", help="accept the licences that are shown")
    parser.add_argument("--from", dest="source", type=Path, metavar="PATH", help="a folder or archive instead")
    parser.add_argument("--url", default="", help="an archive that the catalogue does not know; needs --sha256")
    parser.add_argument("--sha256", default="", metavar="HEX", help="checksum of the archive")
    parser.add_argument(
        "--kind", choices=("kokoro", "moshi", "piper", "sherpa", "whisper"), help="who loads it (--url, --from)"
    )
    parser.add_argument("--mirror", default="", metavar="URL", help="take the files from here; the pins stay")


def run(arguments: argparse.Namespace, folder: Path, ask: TextIO | None) -> Answer:
    """``ask``: a terminal that can accept a licence. Raises ``PullFailed``."""
    from agent.pull.store import ModelFolder

    models = ModelFolder(folder)
    if arguments.list or arguments.verify:
        return _list(arguments, models)
    if not arguments.names:
        raise PullFailed("name a model; what there is: crosstalk pull --list")
    if arguments.remove:
        for name in arguments.names:
            models.remove(name)
        return Answer(0, [{"name": name, "state": "removed"} for name in arguments.names], "")
    return _pull(arguments, models, ask)


def _list(arguments: argparse.Namespace, models: Any) -> Answer:
    from agent.pull.command import listing, table

    rows = [
        row for row in listing(models, deep=arguments.verify) if not arguments.names or row["name"] in arguments.names
    ]
    unknown = sorted(set(arguments.names) - {row["name"] for row in rows})
    if unknown:
        raise PullFailed(f"there is no model {', '.join(unknown)}")
    return Answer(1 if any(row["state"] == "damaged" for row in rows) else 0, rows, table(rows))


def _pull(arguments: argparse.Namespace, models: Any, ask: TextIO | None) -> Answer:
    from agent.config_load import process_environment
    from agent.pull.catalogue import Kind
    from agent.pull.command import Order, pull

    if len(arguments.names) > 1 and (arguments.url or arguments.source is not None):
        raise PullFailed("--url and --from bring one model at a time")
    done = [
        pull(
            Order(
                name=name,
                source=arguments.source,
                url=arguments.url,
                sha256=arguments.sha256.lower(),
                kind=Kind(arguments.kind) if arguments.kind else None,
                mirror=arguments.mirror,
                accepted=arguments.accept_licence,
                quiet=arguments.json,
                token=process_environment().get("HF_TOKEN", ""),
            ),
            models,
            ask=ask,
        )
        for name in arguments.names
    ]
    lines = [
        f"{one['name']} {'is ready' if one['fresh'] else 'was here already'}: {one['folder']}\n    {one['use']}"
        for one in done
    ]
    return Answer(0, done, "\n".join(lines))
