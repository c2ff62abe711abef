"""``crosstalk pull``: what it shows, what it asks, what it answers. Results are returned; progress goes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from agent.pull.catalogue import CATALOGUE, Kind, Licence, PinnedModel
from agent.pull.download import Downloader, Progress
from agent.pull.errors import PullFailed
from agent.pull.run import UNKNOWN, FileProgress, Pulled, import_pinned, import_unknown, pull_pinned, pull_url
from agent.pull.store import Held, ModelFolder

STEP_S: Final = 0.2
"""Between two updates of the progress line."""
USE: Final[dict[Kind, str]] = {
    Kind.KOKORO: "voice.engine = kokoro, voice.model = {name} (pip install 'crosstalk-voice[kokoro]')",
    Kind.PIPER: "voice.engine = piper, voice.model = {name} (and the program piper: see docs/howto/models.md)",
    Kind.SHERPA: "ears.recogniser = sherpa, ears.sherpa_model = {name} (pip install 'crosstalk-voice[sherpa]')",
    Kind.MOSHI: "crosstalk serve --model {name} (pip install 'crosstalk-voice[gpu]'; see docs/howto/gpu.md)",
    Kind.WHISPER: "crosstalk transcribe RECORDING --model {name} (pip install 'crosstalk-voice[whisper]')",
}
"""How a model is put to use once it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for."""

    name: str
    source: Path | None = None
    """A folder or archive on this machine, instead of the network."""
    url: str = ""
    sha256: str = ""
    kind: Kind | None = None
    mirror: str = ""
    accepted: bool = False
    quiet: bool = False
    token: str = field(default="", repr=False)
    """Of an account at the hub that holds the models."""


def pull(
    order: Order,
    folder: ModelFolder,
    *,
    catalogue: Mapping[str, PinnedModel] = CATALOGUE,
    downloader: Downloader | None = None,
    ask: TextIO | None = None,
) -> dict[str, Any]:
    """Bring one model. ``ask``: a terminal that can accept a licence. Raises ``PullFailed``."""
    pinned = None if order.url else catalogue.get(order.name)
    _check(order, pinned, catalogue)
    _accept(pinned.licence if pinned else UNKNOWN, order, ask)
    progress = _progress(quiet=order.quiet)
    if pinned is not None and order.source is not None:
        done = import_pinned(pinned, folder, order.source)
    elif pinned is not None:
        done = pull_pinned(pinned, folder, downloader or Downloader(token=order.token), progress, mirror=order.mirror)
    elif order.source is not None:
        done = import_unknown(order.name, order.source, order.kind, folder, order.sha256)
    else:
        done = pull_url(order.name, order.url, order.sha256, order.kind, folder, downloader or Downloader(), progress)
    return _told(done)


def _check(order: Order, pinned: PinnedModel | None, catalogue: Mapping[str, PinnedModel]) -> None:
    if order.url and order.source is not None:
        raise PullFailed("--url and --from exclude each other")
    if order.url and order.name in catalogue:
        raise PullFailed(f"{order.name} is a name of the catalogue: choose another, or use --mirror")
    if pinned is None and order.source is None and not order.url:
        raise PullFailed(
            f"there is no model {order.name!r}: {', '.join(catalogue)}; or bring one of your own by --from or --url"
        )
    if pinned is not None and order.kind not in (None, pinned.kind):
        raise PullFailed(f"{order.name} is a {pinned.kind} model, not {order.kind}")
    if pinned is not None and order.sha256:
        raise PullFailed(f"{order.name} has its own checksums: --sha256 is for models that the catalogue lacks")
    if order.mirror and (pinned is None or order.source is not None):
        raise PullFailed("--mirror is for models of the catalogue that come over the network")


def _accept(licence: Licence, order: Order, ask: TextIO | None) -> None:
    """Show the licence; go on when it is accepted. Raises ``PullFailed``."""
    shown = [f"{order.name}: licence {licence.id} ({licence.holder})", licence.url, licence.note]
    if not order.quiet or not order.accepted:
        sys.stderr.write("".join(f"{'  ' if index else ''}{line}\n" for index, line in enumerate(shown) if line))
    if order.accepted:
        return
    if ask is None:
        raise PullFailed("the licence is not accepted: add --accept-licence")
    sys.stderr.write("Accept this licence? [y/N] ")
    sys.stderr.flush()
    if ask.readline().strip().lower() not in ("y", "yes"):
        raise PullFailed("the licence was not accepted; nothing was pulled")


def _told(done: Pulled) -> dict[str, Any]:
    return {
        "name": done.held.name,
        "kind": done.held.kind.value,
        "folder": str(done.folder),
        "bytes": done.held.size,
        "licence": done.held.licence,
        "source": done.held.source,
        "fresh": done.fresh,
        "use": USE[done.held.kind].format(name=done.held.name),
    }


def listing(
    folder: ModelFolder, *, catalogue: Mapping[str, PinnedModel] = CATALOGUE, deep: bool = False
) -> list[dict[str, Any]]:
    """Models of the catalogue and of the folder, each with its state: ``absent``, ``ready`` or ``damaged``."""
    held = {one.name: one for one in folder.held()}
    rows = []
    for model in catalogue.values():
        problems, state = _state(held.pop(model.name, None), folder, deep=deep)
        rows.append(_row(model.name, model.kind, model.size, model.licence.id, model.about, state, problems))
    for one in held.values():
        problems, state = _state(one, folder, deep=deep)
        rows.append(_row(one.name, one.kind, one.size, one.licence, f"from {one.source}", state, problems))
    return rows


def _state(held: Held | None, folder: ModelFolder, *, deep: bool) -> tuple[list[str], str]:
    if held is None:
        return [], "absent"
    problems = folder.problems(held, deep=deep)
    return problems, "damaged" if problems else "ready"


def _row(name: str, kind: Kind, size: int, licence: str, about: str, state: str, problems: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind.value,
        "bytes": size,
        "licence": licence,
        "state": state,
        "problems": problems,
        "about": about,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """For people."""
    cells = [
        (row["name"], row["kind"], f"{row['bytes'] / 1e6:.0f} MB", row["licence"], row["state"], row["about"])
        for row in rows
    ]
    cells.insert(0, ("name", "kind", "size", "licence", "state", ""))
    widths = [max(len(row[column]) for row in cells) for column in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines += [f"{row['name']}: {problem}" for row in rows for problem in row["problems"]]
    return "\n".join(lines)


def _progress(*, quiet: bool) -> FileProgress:
    """A line on stderr that is written over, where that is a terminal; else one line per file."""
    if quiet:
        return lambda _name: lambda _have, _total: None
    return _Line if sys.stderr.isatty() else _one_line


def _one_line(name: str) -> Progress:
    sys.stderr.write(f"{name} …\n")
    return lambda _have, _total: None


class _Line:
    def __init__(self, name: str) -> None:
        self._name = name
        self._shown_at = 0.0
        self._begin: tuple[float, int] | None = None

    def __call__(self, have: int, total: int) -> None:
        now = time.monotonic()
        self._begin = self._begin or (now, have)
        if have < total and now - self._shown_at < STEP_S:
            return
        self._shown_at = now
        rate = (have - self._begin[1]) / max(now - self._begin[0], 1e-3)
        of = f"/{total / 1e6:.1f}" if total else ""
        end = "\n" if total and have >= total else ""
        sys.stderr.write(f"\r\033[K{self._name}  {have / 1e6:.1f}{of} MB  {rate / 1e6:.1f} MB/s{end}")
        sys.stderr.flush()
